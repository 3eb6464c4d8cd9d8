"""What the time series store costs and how quickly it answers while readings pour in.

The reference of an append is a bare `executemany` into one table with the same key, in the same run.
"""

import os
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from cloud.kit.clock import SystemClock
from cloud.series.compaction import CompactionSettings, Compactor, run_compaction
from cloud.series.engine import MergeRule
from cloud.series.local import LocalSeries
from cloud.series.model import DAY_MS, HOUR_MS, LaneMark, Row, SeriesKey
from cloud.series.reader import SeriesReader

BATCH = 10_000
TICK_MS = 10_000
Result = dict[str, object]


class SetClock:
    """Shows the time of the readings, so that three months pass in seconds."""

    def __init__(self, now: int) -> None:
        self.now = now

    def now_ms(self) -> int:
        """Give the moment it was set to."""
        return self.now

    def monotonic_s(self) -> float:
        """Give the same in seconds."""
        return self.now / 1000


def result(
    name: str, value: float, unit: str, target: float | None, reference: str, *, at_most: bool
) -> Result:
    """Make one row of the table; without a target it only informs."""
    is_met = None if target is None else value <= target if at_most else value >= target
    return {
        "name": name,
        "value": round(value, 2),
        "unit": unit,
        "target": target,
        "reference": reference,
        "passed": is_met,
    }


def rows_in_order(count: int, series: int, start: int) -> Iterator[list[Row]]:
    """Give batches as an ingest worker at 200,000 readings/s sees them: 20 readings a message."""
    seeded = random.Random(1)
    values = [round(seeded.gauss(20, 3), 2) for _ in range(10_007)]
    for first in range(0, count, BATCH):
        yield [
            (start + n // 200, 1 + n % series, values[n % 10_007], 0)
            for n in range(first, min(count, first + BATCH))
        ]


def keys(count: int) -> list[SeriesKey]:
    """Name `count` series."""
    return [SeriesKey(f"bench-{n:06d}", "pressure_kpa") for n in range(count)]


def percentile(samples: list[float], share: float) -> float:
    """Give the sample below which `share` of them lie."""
    return sorted(samples)[min(len(samples) - 1, int(len(samples) * share))]


def bare_executemany(folder: Path, batches: list[list[Row]]) -> float:
    """Append to one keyed table and nothing else; rows per second."""
    connection = sqlite3.connect(folder / "bare.db", isolation_level=None)
    for pragma in ("journal_mode=WAL", "synchronous=FULL"):
        connection.execute(f"pragma {pragma}")
    connection.execute(
        "create table hot(ts integer, series integer, value real, quality integer,"
        " primary key (ts, series)) without rowid"
    )
    start = time.perf_counter()
    for batch in batches:
        connection.execute("begin immediate")
        connection.executemany("insert or replace into hot values (?, ?, ?, ?)", batch)
        connection.execute("commit")
    taken = time.perf_counter() - start
    connection.close()
    return sum(map(len, batches)) / taken


def appends(folder: Path, count: int) -> list[Result]:
    """Measure appending with newest values and marks, then closing to segments."""
    now = SystemClock().now_ms()
    batches = list(rows_in_order(count, 2_000, now))
    bare = bare_executemany(folder, batches)
    store = LocalSeries(folder / "append", SystemClock())
    store.register(keys(2_000))
    samples = []
    for number, batch in enumerate(batches):
        start = time.perf_counter()
        store.append(batch, [LaneMark("e-1", 1, "data", number)])
        samples.append(time.perf_counter() - start)
    settings = CompactionSettings()
    compactor = Compactor(folder / "append", settings, SystemClock())
    compactor.tidy()
    hot_bytes = (folder / "append" / "series.db").stat().st_size
    cpu = time.process_time()
    compactor.close_hot(SystemClock().now_ms(), even_if_few=True)
    cpu = time.process_time() - cpu
    compactor.close()
    stored = sum(f.stat().st_size for f in (folder / "append" / "segments").glob("*/*.parquet"))
    store.close()
    speed = count / sum(samples)
    beside = f"bare executemany {bare:,.0f}"
    return [
        result("append, 10,000 rows a commit", speed, "rows/s", 450_000, beside, at_most=False),
        result("append p99", percentile(samples, 0.99) * 1e3, "ms", None, "", at_most=True),
        result("hot on disk", hot_bytes / count, "B/row", 60, "", at_most=True),
        result("Parquet on disk", stored / count, "B/row", 4, "", at_most=True),
        result("closing to Parquet", count / cpu, "rows/s of one core", 400_000,
               "200,000 rows/s on half a core", at_most=False),
    ]  # fmt: skip


def written_bytes() -> int:
    """Tell what this process sent to the disk so far (Linux)."""
    text = Path("/proc/self/io").read_text(encoding="ascii")
    return int(text.split("\nwrite_bytes: ")[1].split("\n")[0])


def amplification(folder: Path, ticks: int) -> list[Result]:
    """Measure bytes written per reading: every 10 s each of 2,000 series has one."""
    store = LocalSeries(folder / "ticks", SystemClock())
    store.register(keys(2_000))
    start = SystemClock().now_ms()
    compactor = Compactor(folder / "ticks", CompactionSettings(), SystemClock())
    before = written_bytes()
    for tick in range(ticks):
        store.append([(start + tick * TICK_MS, 1 + n, n / 10, 0) for n in range(2_000)], [])
        if tick % 20 == 19:
            compactor.tidy()
    spent = (written_bytes() - before) / (ticks * 2_000)
    compactor.close()
    store.close()
    reference = "60 for bare rows, 10,120 with the key (series, ts)"
    return [
        result("written per row, 2,000 rows a commit", spent, "B", 150, reference, at_most=True)
    ]


def history(folder: Path, series: int, days: int) -> int:
    """Fill three months in the order of arrival, compacting as they pass; give the end, Unix ms."""
    end = SystemClock().now_ms() // HOUR_MS * HOUR_MS
    clock = SetClock(end - days * DAY_MS)
    store = LocalSeries(folder / "history", clock)
    store.register(keys(max(series, 2_000)))
    settings = CompactionSettings(
        roll_every_ms=0, grace_ms=0, merge=MergeRule(fan_in=8, settle_ms=0)
    )
    compactor = Compactor(folder / "history", settings, clock)
    while clock.now < end:
        stop = min(end, clock.now + DAY_MS // 4)
        rows = [(t, 1 + n, 20 + (t // 977 + n) % 100 / 10, 0)
                for t in range(clock.now, stop, TICK_MS) for n in range(series)]  # fmt: skip
        for at in range(0, len(rows), 50_000):
            store.append(rows[at : at + 50_000], [])
        clock.now = stop
        compactor.close_hot(stop, even_if_few=True)
        compactor.step()
    clock.now += HOUR_MS
    while compactor.step():
        pass
    compactor.close()
    store.close()
    return end


def flood(path: Path, rate: int, stop: threading.Event, samples: list[float]) -> None:
    """Append at `rate` readings/s of 2,000 series until told to stop; for the child process."""
    store = LocalSeries(path, SystemClock())
    size = max(200, min(BATCH, rate // 20))
    due = time.monotonic()
    number = 0
    while not stop.is_set():
        now = SystemClock().now_ms()
        rows: list[Row] = [(now - n // 2_000 * 10, 1 + n % 2_000, n / 10, 0) for n in range(size)]
        start = time.perf_counter()
        store.append(rows, [LaneMark("e-1", 1, "data", number)])
        samples.append(time.perf_counter() - start)
        number += size
        due = max(due + size / rate, time.monotonic() - 1)
        stop.wait(max(0.0, due - time.monotonic()))
    store.close()


def child(*arguments: str) -> "subprocess.Popen[str]":
    """Start this file as a process of its own."""
    command = [sys.executable, "-m", "benchmarks.series", *arguments]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def queries(folder: Path, series: int, days: int, rate: int, rounds: int) -> list[Result]:
    """Measure charts while another process appends and a third compacts."""
    end = history(folder, series, days)
    path = folder / "history"
    others = [child("flood", str(path), str(rate)), child("compact", str(path))]
    time.sleep(6)
    reader = SeriesReader(path)
    asked: dict[str, Callable[[int], object]] = {
        "24 h raw": lambda n: reader.raw(n, end - DAY_MS, end, 10_000),
        "90 d in 500 buckets": lambda n: reader.chart(n, end - days * DAY_MS, end, 500),
        "up to now, 24 h": lambda n: reader.chart(n, end - DAY_MS, end + DAY_MS // 4, 500),
    }
    samples: dict[str, list[float]] = {name: [] for name in asked}
    for turn in range(rounds):
        for name, ask in asked.items():
            start = time.perf_counter()
            ask(1 + turn % series)
            samples[name].append((time.perf_counter() - start) * 1e3)
    reader.close()
    said = [process.communicate("\n", timeout=120)[0].strip() for process in others]
    beside = f"while {rate:,} rows/s come in; ingest: {said[0]}"
    results = []
    for (name, times), target in zip(samples.items(), (20, 60, None), strict=True):
        for share in (0.5, 0.99):
            goal = target if share == 0.5 else None
            value = percentile(times, share)
            results.append(
                result(f"{name}, p{share * 100:.0f}", value, "ms", goal, beside, at_most=True)
            )
    return results


def sustained(folder: Path, rate: int, seconds: float) -> list[Result]:
    """Hold a rate with the compactor beside and see whether it keeps up, and with what."""
    path = folder / "sustained"
    store = LocalSeries(path, SystemClock())
    store.register(keys(2_000))
    store.close()
    others = [child("flood", str(path), str(rate)), child("compact", str(path))]
    time.sleep(seconds)
    said = [process.communicate("\n", timeout=180)[0].strip() for process in others]
    rows, p99 = said[0].split(" rows/s, append p99 ")
    closed, cpu = said[1].split()
    share = float(cpu) / seconds
    # What came last is still hot; only over a minute does that not matter.
    enough = rate * 0.8 if seconds >= 60 else None
    return [
        result("held rate, compactor beside", float(rows.replace(",", "")), "rows/s", rate * 0.98,
               f"{rate:,} asked for", at_most=False),
        result("append p99 meanwhile", float(p99.removesuffix(" ms")), "ms", None, "", at_most=True),
        result("closed meanwhile", int(closed) / seconds, "rows/s", enough, "", at_most=False),
        result("compactor's share of a core", share, "cores", 0.6, "", at_most=True),
    ]  # fmt: skip


def run(quick: bool) -> list[Result]:  # noqa: FBT001 - the shape that all benchmarks share
    """Measure everything; `quick` takes about half a minute, else some minutes."""
    folder = Path(tempfile.mkdtemp(prefix="linli-bench-"))
    try:
        return [
            *appends(folder, 300_000 if quick else 2_000_000),
            *amplification(folder, 100 if quick else 200),
            *queries(folder, 4 if quick else 20, 90, 20_000 if quick else 100_000, 40 if quick else 300),
            *sustained(folder, 200_000, 10 if quick else 60),
        ]  # fmt: skip
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main() -> None:
    """Do what a child process is for; it ends when a line comes on stdin, and says what it did."""
    stop = threading.Event()
    threading.Thread(target=_until_told, args=(stop,), daemon=True).start()
    path = Path(sys.argv[2])
    if sys.argv[1] == "flood":
        samples: list[float] = []
        rate, start = int(sys.argv[3]), time.monotonic()
        flood(path, rate, stop, samples)
        held = len(samples) * max(200, min(BATCH, rate // 20)) / (time.monotonic() - start)
        print(f"{held:,.0f} rows/s, append p99 {percentile(samples, 0.99) * 1e3:.0f} ms")
        return
    compactor_rows(path, stop)


def _until_told(stop: threading.Event) -> None:
    sys.stdin.readline()
    stop.set()


def compactor_rows(path: Path, stop: threading.Event) -> None:
    """Compact until told to stop; say rows closed and CPU seconds."""
    before = segment_rows(path)
    times = os.times()
    run_compaction(path, CompactionSettings(), SystemClock(), stop)
    after = os.times()
    cpu = after.user + after.system - times.user - times.system
    print(segment_rows(path) - before, f"{cpu:.2f}")


def segment_rows(path: Path) -> int:
    """Count the readings in listed files."""
    connection = sqlite3.connect(path / "series.db")
    (rows,) = connection.execute("select coalesce(sum(rows), 0) from segment").fetchone()
    connection.close()
    return int(rows)


if __name__ == "__main__":
    if len(sys.argv) > 2:
        main()
    else:
        for row in run(quick="--full" not in sys.argv):
            print(row)
