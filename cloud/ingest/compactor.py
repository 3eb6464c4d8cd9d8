"""What must run beside the series store, as a child process that ends with its parent, however that ends.

The child watches its standard input: it is a pipe that only the parent holds, so even a parent killed
without warning closes it.
"""

import argparse
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

import structlog

from cloud.errors import ConflictError
from cloud.kit.clock import Clock, SystemClock
from cloud.series.service import InfluxPlace, compact

RESTART_S: Final = 10.0
STOP_S: Final = 5.0
NICENESS: Final = 5

_log = structlog.get_logger(__name__)


class InfluxFiles(NamedTuple):
    """An InfluxDB 2 and the file that holds its token: a command line is no place for a secret."""

    url: str
    org: str
    bucket: str
    token_file: str


class CompactionChild:
    """Starts the child, starts it again when it ended, ends it."""

    def __init__(
        self,
        folder: Path,
        keep_days: Mapping[str, int],
        clock: Clock,
        influx: InfluxFiles | None = None,
    ) -> None:
        days = [f"--{name}-days={count}" for name, count in keep_days.items()]
        where = ["--influx", *influx] if influx is not None else []
        command = [sys.executable, "-m", "cloud.ingest.compactor", str(folder), *days, *where]
        self._command = command
        self._clock = clock
        self._process: subprocess.Popen[bytes] | None = None
        self._started_s = -RESTART_S

    def look(self) -> None:
        """Start the child if there is none, at most every 10 s."""
        if self._process is not None and self._process.poll() is None:
            return
        now = self._clock.monotonic_s()
        if now - self._started_s < RESTART_S:
            return
        if self._process is not None:
            _log.warning("compaction ended, starting it again", code=self._process.returncode)
        self._started_s = now
        self._process = subprocess.Popen(self._command, stdin=subprocess.PIPE)

    def stop(self) -> None:
        """End the child; whatever it did not finish, its successor goes on with."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.stdin is not None:
            process.stdin.close()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def main() -> None:
    """Compact one folder until standard input ends or a signal comes."""
    parser = argparse.ArgumentParser(description="Look after the readings of one store.")
    parser.add_argument("folder", type=Path)
    names = ("safety", "process", "housekeeping")
    for name in names:
        parser.add_argument(f"--{name}-days", type=int, required=True)
    parser.add_argument("--influx", nargs=4, metavar=("URL", "ORG", "BUCKET", "TOKEN_FILE"))
    chosen = parser.parse_args()
    influx = _place(InfluxFiles(*chosen.influx)) if chosen.influx else None
    keep = {name: getattr(chosen, f"{name}_days") for name in names}
    # Where cores are scarce, alarms and ingest come first; a third of a share still keeps the hot tables small.
    os.nice(NICENESS)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: stop.set())
    threading.Thread(target=_wait_for_end, args=(stop,), name="parent-watch", daemon=True).start()
    try:
        compact(chosen.folder, keep, SystemClock(), stop, influx)
    except ConflictError as error:
        _log.warning("another compactor works here", error=str(error))
        sys.exit(3)


def _place(files: InfluxFiles) -> InfluxPlace:
    token = Path(files.token_file).read_text(encoding="utf-8").strip()
    return InfluxPlace(files.url, files.org, files.bucket, token)


def _wait_for_end(stop: threading.Event) -> None:
    sys.stdin.buffer.read()
    stop.set()


if __name__ == "__main__":
    main()
