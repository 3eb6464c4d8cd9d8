"""Ingest end to end: real broker, real worker process with rules and compaction, edges that honour acknowledgements.

References of the same run: the broker alone, a bare decode loop, the series store's commit alone.
"""

import sqlite3
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

from benchmarks.ingest_load import Inflow, connect, publish
from benchmarks.stand import Load, await_worker, broker, cloud, cpu_s, prepare_cloud, row, running
from cloud.kit.clock import SystemClock
from cloud.series.local import LocalSeries
from cloud.series.model import LaneMark, SeriesKey
from contract.codec import decode_data, encode
from contract.messages import DataBatch

SIZES = (1, 20, 100)
TARGET = 200_000.0


def _stored(folder: Path) -> int:
    """Count what is hot or in listed files; keys are unique in both, and one statement sees one state."""
    connection = sqlite3.connect(folder / "series" / "series.db")
    hot = "(select count(*) from hot_0) + (select count(*) from hot_1)"
    sql = f"select {hot} + (select coalesce(sum(rows), 0) from segment)"
    (count,) = connection.execute(sql).fetchone()
    connection.close()
    return int(count)


def _run_size(size: int, seconds: float) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as name, broker(Path(name)) as (port, mosquitto):
        folder = Path(name)
        files = prepare_cloud(folder, port)
        with running(cloud(files, "ingest")) as worker:
            await_worker(folder)
            return _measure(size, seconds, port, folder, mosquitto, worker)


def _measure(
    size: int,
    seconds: float,
    port: int,
    folder: Path,
    mosquitto: psutil.Process,
    worker: psutil.Process,
) -> list[dict[str, Any]]:
    load = Load(port, size, seconds)
    before = cpu_s(worker), cpu_s(mosquitto)
    told = load.result()
    worker_s, broker_s = cpu_s(worker) - before[0], cpu_s(mosquitto) - before[1]
    stored = _stored(folder) - told["before"]
    rate = told["acked"] / told["seconds"]
    many, sent = max(1.0, told["acked"]), max(1.0, told["sent"])
    worker_us, what = worker_s / many * 1e6, f"{size} a message"
    cores = worker_us * TARGET / 1e6
    return [
        row(f"stored, ruled and acknowledged, {what}", rate, "readings/s", TARGET if size == 20 else None),
        row(f"stored of those sent, {what}", stored / sent, "", 1.0, f"{stored:,.0f} of {sent:,.0f}"),
        row(f"worker CPU, {what}", worker_us, "µs a reading", None, f"{cores:.2f} cores at 200,000/s"),
        row(f"broker CPU, {what}", broker_s / many * 1e6, "µs a reading"),
        row(f"sent again, {what}", told["resent"], "messages"),
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
    return row(
        f"bare decode loop, {size} a message",
        count * size / took,
        "readings/s",
        None,
        "is a reference",
    )


def _broker_alone(size: int, seconds: float) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as name, broker(Path(name)) as (port, _):
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
    return row(f"broker alone, {size} a message", rate, "readings/s", None, "is a reference")


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
    return row("commit of the series store alone", rate, "readings/s", None, "is a reference")


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
