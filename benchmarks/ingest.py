"""Ingest end to end: real broker, real worker process with rules and compaction, edges that honour acknowledgements.

References of the same run: the broker alone, a bare decode loop, the series store's commit alone.
"""

import json
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from benchmarks.ingest_load import Inflow, connect, publish
from cloud.ingest import store as ingest_store
from cloud.kit.clock import SystemClock
from cloud.kit.sql import Database
from cloud.series.local import LocalSeries
from cloud.series.model import LaneMark, SeriesKey
from cloud.series.reader import SeriesReader
from contract.codec import decode_data, encode
from contract.messages import DataBatch

ROOT = Path(__file__).parents[1]
EDGES = 64
SIZES = (1, 20, 100)
TARGET = 200_000.0
START_S = 60.0
_MOSQUITTO = """
listener {port} 127.0.0.1
allow_anonymous true
persistence false
max_inflight_messages 0
max_queued_messages 100000
set_tcp_nodelay true
"""
_CONFIG = """
database: {{url: "sqlite:///app.db"}}
series: {{kind: local, path: series}}
broker: {{port: {port}, password_file: password}}
rules: {rules}
log: {{level: warning}}
"""


def row(
    name: str, value: float, unit: str, target: float | None = None, reference: str = ""
) -> dict[str, Any]:
    """Make one line of the table; without a target it informs only."""
    passed = None if target is None else value >= target
    return {
        "name": f"ingest: {name}",
        "value": round(value, 3),
        "unit": unit,
        "target": target,
        "reference": reference,
        "passed": passed,
    }


def _port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def _process(command: list[str]) -> Iterator[psutil.Process]:
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield psutil.Process(process.pid)
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def _broker(folder: Path) -> Iterator[tuple[int, psutil.Process]]:
    port = _port()
    config = folder / "mosquitto.conf"
    config.write_text(_MOSQUITTO.format(port=port))
    binary = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
    with _process([binary, "-c", str(config)]) as process:
        end = time.monotonic() + 10
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.05)
        yield port, process


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _stored(folder: Path) -> int:
    reader = SeriesReader(folder / "series")
    try:
        now = time.time_ns() // 1_000_000
        start, end = now - 3_600_000, now + 3_600_000
        numbers = list(reader.keys())
        return sum(bucket.n for number in numbers for bucket in reader.chart(number, start, end, 4))
    finally:
        reader.close()


def _run_size(size: int, seconds: float) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with _broker(folder) as (port, broker):
            (folder / "password").write_text("linli-cloud")
            config = folder / "cloud.yaml"
            config.write_text(_CONFIG.format(port=port, rules=ROOT / "config" / "rules"))
            cloud = [sys.executable, "-m", "cloud"]
            migrate = [*cloud, "migrate", "--config", str(config)]
            subprocess.run(migrate, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
            with _process([*cloud, "ingest", "--config", str(config)]) as worker:
                _await_worker(folder)
                return _measure(size, seconds, port, folder, broker, worker)


def _await_worker(folder: Path) -> None:
    database = Database(f"sqlite:///{folder / 'app.db'}")
    end = time.monotonic() + START_S
    while time.monotonic() < end:
        with database.read() as connection:
            if any(pulse.is_connected for pulse in ingest_store.pulses(connection)):
                database.close()
                return
        time.sleep(0.1)
    raise TimeoutError("the worker does not connect")


def _measure(
    size: int,
    seconds: float,
    port: int,
    folder: Path,
    broker: psutil.Process,
    worker: psutil.Process,
) -> list[dict[str, Any]]:
    before = _cpu(worker), _cpu(broker)
    arguments = [str(part) for part in (port, 1, EDGES, size, seconds, 1e9)]
    load = [sys.executable, "-m", "benchmarks.ingest_load", *arguments]
    output = subprocess.run(load, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    told = json.loads(output)
    worker_s, broker_s = _cpu(worker) - before[0], _cpu(broker) - before[1]
    stored = _stored(folder)
    rate = told["acked"] / told["seconds"]
    many = max(1, told["acked"])
    sent = max(1, told["sent"])
    what = f"{size} a message"
    return [
        row(f"readings stored, ruled and acknowledged, {what}", rate, "1/s", TARGET if size == 20 else None),
        row(f"readings not lost, {what}", stored / sent, "of those sent", 1.0, f"{stored} of {sent}"),
        row(f"worker, {what}", worker_s / many * 1e6, "µs CPU a reading"),
        row(f"broker, {what}", broker_s / many * 1e6, "µs CPU a reading"),
        row(f"messages sent again, {what}", told["resent"], ""),
        row(f"worker memory, {what}", worker.memory_info().rss / 1e6, "MB"),
    ]  # fmt: skip


def _batch(size: int) -> bytes:
    return encode(DataBatch(1, 1, 1_764_000_000_000, 7, [(n, 0, 2.5, 0) for n in range(size)]))


def _bare_decode(size: int) -> dict[str, Any]:
    payload, count = _batch(size), 100_000 // size
    began = time.process_time()
    for _ in range(count):
        decode_data(payload)
    took = time.process_time() - began
    return row(f"bare decode loop, {size} a message", count * size / took, "1/s", None, "reference")


def _broker_alone(size: int, seconds: float) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as name, _broker(Path(name)) as (port, _):
        listener = connect(port, "bench-listener", ["bench/#"])
        sender = connect(port, "bench-sender", [])
        time.sleep(0.5)
        chunk = publish("bench/data", _batch(size)) * 200
        inflow, heard, sent = Inflow(), 0, 0
        listener.settimeout(5)
        began = time.monotonic()
        while time.monotonic() - began < seconds:
            sender.sendall(chunk)
            sent += 200
            while heard < sent:
                heard += len(inflow.feed(listener.recv(1 << 18)))
        rate = heard * size / (time.monotonic() - began)
        listener.close()
        sender.close()
    return row(f"broker alone, {size} a message", rate, "1/s", None, "reference")


def _commit_alone(seconds: float) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as name:
        store = LocalSeries(Path(name), SystemClock())
        keys = [SeriesKey(f"d{n}", "gas_lel_pct") for n in range(640)]
        ids = list(store.register(keys).values())
        count, at = 0, 1_764_000_000_000
        began = time.monotonic()
        while time.monotonic() - began < seconds:
            rows = [(at + n // 640, ids[n % 640], 2.5, 0) for n in range(12_800)]
            store.append(rows, [LaneMark("e", 1, "data", count + 1)])
            count, at = count + len(rows), at + 20
        rate = count / (time.monotonic() - began)
        store.close()
    return row("commit of the series store alone", rate, "1/s", None, "reference")


def run(quick: bool, seconds: float = 8.0) -> list[dict[str, Any]]:  # noqa: FBT001 - the signature that all benchmarks have
    """Measure; `seconds` is the time of load for each size of message.

    Returns:
        Rows with name, value, unit, target, reference, passed (None: informs only).
    """
    sizes = (20,) if quick else SIZES
    found = [_commit_alone(min(seconds, 3.0))]
    for size in sizes:
        found += [_bare_decode(size), _broker_alone(size, min(seconds, 3.0))]
        found += _run_size(size, seconds)
    return found


if __name__ == "__main__":
    for line in run("--quick" in sys.argv):
        print(line)
