"""Real processes for benchmarks: a broker, the cloud's processes, an edge node, a load that keeps the contract."""

import json
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from cloud.ingest import store as ingest_store
from cloud.kit.sql import Database

ROOT = Path(__file__).parents[1]
EDGES = 64
START_S = 60.0
_MOSQUITTO = """
listener {port} 127.0.0.1
allow_anonymous true
persistence false
max_inflight_messages 0
max_queued_messages 100000
set_tcp_nodelay true
"""
_CLOUD = """
database: {{url: "sqlite:///app.db"}}
series: {{kind: local, path: series}}
broker: {{port: {port}, password_file: password}}
web: {{port: {web}}}
rules: {rules}
log: {{level: warning}}
"""


def row(  # noqa: D417 - the rest are the columns of the table
    name: str,
    value: float,
    unit: str,
    target: float | None = None,
    reference: str = "",
    *,
    at_most: bool = False,
) -> dict[str, Any]:
    """Make one line of the table; without a target it informs only.

    Args:
        at_most: the target is a limit from above.
    """
    passed = None if target is None else value <= target if at_most else value >= target
    shown = "" if target is None else f"{'≤' if at_most else '≥'} {target:,g}"
    return {
        "name": name, "value": round(value, 3), "unit": unit, "target": shown,
        "reference": reference, "passed": passed,
    }  # fmt: skip


def percentile(samples: list[float], share: float) -> float:
    """Give the sample below which `share` of them lie; infinite when there is none."""
    return sorted(samples)[min(len(samples) - 1, int(len(samples) * share))] if samples else 1e9


def free_port() -> int:
    """Find a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def cpu_s(process: psutil.Process, *, with_children: bool = False) -> float:
    """Give the CPU seconds a process has used so far."""
    times = process.cpu_times()
    children = process.children(recursive=True) if with_children else []
    return float(times.user + times.system) + sum(cpu_s(child) for child in children)


@contextmanager
def running(command: list[str], log: Path | None = None) -> Iterator[psutil.Process]:
    """Keep a process running; it is asked to end, and made to after 20 s."""
    with (log or Path("/dev/null")).open("ab") as told:
        process = subprocess.Popen(command, cwd=ROOT, stdout=told, stderr=told)
    try:
        yield psutil.Process(process.pid)
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def await_port(port: int, within_s: float = START_S) -> None:
    """Wait until somebody listens."""
    end = time.monotonic() + within_s
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)
        else:
            return


@contextmanager
def broker(folder: Path) -> Iterator[tuple[int, psutil.Process]]:
    """Keep a mosquitto running; gives its port and process."""
    port = free_port()
    config = folder / "mosquitto.conf"
    config.write_text(_MOSQUITTO.format(port=port))
    binary = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
    with running([binary, "-c", str(config)]) as process:
        await_port(port, 10)
        yield port, process


@dataclass(frozen=True, slots=True)
class CloudFiles:
    """A migrated database and its configuration, and who may sign in."""

    config: Path
    web: int
    username: str
    password: str


def prepare_cloud(folder: Path, port: int) -> CloudFiles:
    """Write the configuration and make the database."""
    (folder / "password").write_text("linli-cloud")
    config, web = folder / "cloud.yaml", free_port()
    config.write_text(_CLOUD.format(port=port, web=web, rules=ROOT / "config" / "rules"))
    migrate = [sys.executable, "-m", "cloud", "migrate", "--config", str(config), "--json"]
    printed = subprocess.run(migrate, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    login = next(json.loads(line) for line in printed.splitlines() if line.startswith("{"))
    who = login["first_login"]
    return CloudFiles(config, web, who["username"], who["password"])


def cloud(files: CloudFiles, part: str) -> list[str]:
    """Give the command of one of the cloud's processes: `serve` or `ingest`."""
    return [sys.executable, "-m", "cloud", part, "--config", str(files.config)]


def await_worker(folder: Path) -> None:
    """Wait until the ingest worker has its broker."""
    database = Database(f"sqlite:///{folder / 'app.db'}")
    end = time.monotonic() + START_S
    while time.monotonic() < end:
        with database.read() as connection:
            if any(pulse.is_connected for pulse in ingest_store.pulses(connection)):
                database.close()
                return
        time.sleep(0.1)
    raise TimeoutError("the worker does not connect")


class Load:
    """Edges that send readings, in a process of their own; begins when made and their births are taken."""

    def __init__(self, port: int, size: int, seconds: float, messages_per_s: float = 1e9) -> None:
        arguments = [str(part) for part in (port, 1, EDGES, size, seconds, messages_per_s)]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.ingest_load", *arguments],
            cwd=ROOT, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self._process.stdout is not None
        self._out = self._process.stdout
        if self._out.readline() != "ready\n":
            raise RuntimeError("the load generator does not begin")

    @property
    def is_running(self) -> bool:
        """Tell whether it is still sending."""
        return self._process.poll() is None

    def result(self) -> dict[str, float]:
        """Wait for the end; gives what was sent, acknowledged, sent again, and how long it took."""
        told: dict[str, float] = json.loads(self._out.read())
        self._process.wait(30)
        return told
