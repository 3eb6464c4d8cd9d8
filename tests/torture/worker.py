"""The ingest worker with faults of its own, for what cannot be done to it from outside.

Run: python -m tests.torture.worker CONFIG FAULT…, where a fault is
`clock=FILE`      its clock is wrong by the milliseconds in the file, read at SIGUSR2;
`keepalive=S`     it notices a dead wire sooner;
`die_before=N`    it kills itself before its Nth commit of readings, after the rules' commit;
`die_after=N`     it kills itself after that commit, before the acknowledgement.
"""

import itertools
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from cloud import worker
from cloud.ingest.writer import Committed, SeriesWriter
from cloud.kit import mqtt
from cloud.kit.clock import SystemClock
from cloud.series.model import LaneMark, Row, SeriesStore
from cloud.settings import load


class ShiftedClock(SystemClock):
    """A clock that is wrong by as much as a file says; its seconds go on as they should."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._shift_ms = 0
        self.look()

    def look(self) -> None:
        self._shift_ms = int(self._file.read_text()) if self._file.exists() else 0

    def now_ms(self) -> int:
        return super().now_ms() + self._shift_ms


def shift_clock(file: str) -> None:
    clock = ShiftedClock(Path(file))
    worker.SystemClock = lambda: clock  # type: ignore[assignment,misc]
    signal.signal(signal.SIGUSR2, lambda _number, _frame: clock.look())


def hurry(seconds: str) -> None:
    mqtt.KEEPALIVE_S = int(seconds)  # type: ignore[misc]


def die(which: str, *, is_before: bool) -> None:
    """Make the writer's `which`th commit the last deed of this process."""
    commit, count = SeriesWriter._commit, itertools.count(1)

    def fatal(
        self: SeriesWriter, store: SeriesStore, rows: Sequence[Row], marks: Sequence[LaneMark]
    ) -> Committed:
        is_last = next(count) == int(which)
        if is_last and is_before:
            os.kill(os.getpid(), signal.SIGKILL)
        done = commit(self, store, rows, marks)
        if is_last:
            os.kill(os.getpid(), signal.SIGKILL)
        return done

    SeriesWriter._commit = fatal  # type: ignore[method-assign]


FAULTS = {
    "clock": shift_clock,
    "keepalive": hurry,
    "die_before": lambda which: die(which, is_before=True),
    "die_after": lambda which: die(which, is_before=False),
}

if __name__ == "__main__":
    for fault in sys.argv[2:]:
        name, _, value = fault.partition("=")
        FAULTS[name](value)
    sys.exit(worker.run(load(Path(sys.argv[1]))))
