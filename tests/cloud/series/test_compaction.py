"""Compaction: no reader ever misses or doubles a reading, whatever the compactor does or wherever it dies."""

import random
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from cloud.errors import ConflictError
from cloud.kit import hot
from cloud.kit.clock import SystemClock
from cloud.series import segment_store, store
from cloud.series.compaction import CompactionSettings, Compactor, run_compaction
from cloud.series.engine import WHOLE_DAY, MergeRule, Segment
from cloud.series.local import LocalSeries
from cloud.series.model import DAY_MS, HOUR_MS, Row
from cloud.series.reader import SeriesReader
from tests.cloud.series import ingest_process
from tests.cloud.series.conftest import BASE, HandClock
from tests.cloud.series.worlds import KEYS

EAGER = CompactionSettings(
    roll_every_ms=0, grace_ms=0, merge=MergeRule(fan_in=2, settle_ms=0, again_ms=0)
)
PLACES = ["sealed", "written", "listed", "merged", "relisted", "rolling", "rolled", "unlinked"]


def segments(path: Path) -> list[Segment]:
    connection = hot.open_reader(path / "series.db")
    try:
        return store.segments(connection)
    finally:
        connection.close()


class CrashError(Exception):
    """What stands for a kill at a chosen place."""


@pytest.mark.parametrize("place", PLACES)
def test_a_crash_at_any_place_loses_and_doubles_nothing(
    place: str, tmp_path: Path, clock: HandClock
) -> None:
    path = tmp_path / "series"
    series = LocalSeries(path, clock)
    series.register(KEYS)
    hits: list[str] = []

    def reached(name: str) -> None:
        if name == place:
            hits.append(name)
            raise CrashError

    written = 0
    for _ in range(4):
        rows: list[Row] = [
            (BASE + (written + n) * 300_000, 1, float(written + n), 0) for n in range(50)
        ]
        series.append(rows, [])
        written += 50
        clock.now += 5 * HOUR_MS
        for hook in (reached, lambda _: None):
            compactor = Compactor(path, EAGER, clock, reached=hook)
            try:
                compactor.close_hot(clock.now, even_if_few=True)
                while compactor.step():
                    pass
            except CrashError:
                assert hook is reached
            finally:
                compactor.close()
            found = series.raw(1, 0, BASE + 9 * DAY_MS, 10_000)
            assert [point.value for point in found] == [float(n) for n in range(written)]
            chart = series.chart(1, BASE - 30 * DAY_MS, BASE + DAY_MS, 100)
            assert sum(bucket.n for bucket in chart) == written
    series.close()
    assert hits, f"the compactor never came to {place}"
    listed = {segment.name for segment in segments(path)}
    on_disk = {p.relative_to(path / "segments").as_posix() for p in (path / "segments").glob("*/*")}
    assert listed <= on_disk


def test_readers_see_every_reading_once_while_files_come_and_go(tmp_path: Path) -> None:
    path = tmp_path / "series"
    clock = SystemClock()
    series = LocalSeries(path, clock)
    series.register(KEYS)
    base = clock.now_ms() - 9 * DAY_MS
    stop = threading.Event()
    eager = CompactionSettings(
        close_rows=300, close_apart_ms=0, roll_every_ms=100, grace_ms=5_000,
        merge=MergeRule(fan_in=2, settle_ms=50, again_ms=100),
    )  # fmt: skip
    worker = threading.Thread(
        target=run_compaction, args=(path, eager, clock, stop), name="compaction"
    )
    worker.start()
    reader = SeriesReader(path)
    mistakes: list[str] = []
    committed = [0]

    def look() -> None:
        while not stop.is_set():
            low = committed[0]
            values = [point.value for point in reader.raw(1, 0, 1 << 60, 1 << 20)]
            if values != [float(n) for n in range(len(values))] or len(values) < low:
                mistakes.append(f"raw: {len(values)} readings, {low} were committed")
            low = committed[0]
            count = sum(b.n for b in reader.chart(1, base - HOUR_MS, base + 9 * DAY_MS, 100))
            if not low <= count <= committed[0] + 50:
                mistakes.append(f"chart: {count} readings, {low} were committed")

    watchers = [threading.Thread(target=look, name=f"reader-{n}") for n in range(2)]
    for watcher in watchers:
        watcher.start()
    for first in range(0, 6_000, 50):
        series.append([(base + n * 120_000, 1, float(n), 0) for n in range(first, first + 50)], [])
        committed[0] = first + 50
    limit = time.monotonic() + 20
    while len(segments(path)) == 0 and time.monotonic() < limit:
        time.sleep(0.02)
    stop.set()
    for thread in (*watchers, worker):
        thread.join(30)
    reader.close()
    series.close()
    assert not mistakes
    assert segments(path)


def _start(*arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "tests.cloud.series.ingest_process", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=Path(__file__).parents[3],
        text=True,
    )


def test_killing_ingest_and_compactor_at_random_moments_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "series"
    LocalSeries(path, SystemClock()).close()
    base = SystemClock().now_ms() - 2 * DAY_MS
    seeded = random.Random(20_261_123)
    acknowledged = -1
    for _ in range(4):
        compactor = _start("compact", str(path))
        writer = _start("append", str(path), str(base), str(acknowledged + 1))
        assert writer.stdout is not None
        before, limit = segments(path), time.monotonic() + 30
        while segments(path) == before and time.monotonic() < limit:
            acknowledged = int(writer.stdout.readline())
        for _ in range(seeded.randrange(5, 60)):
            acknowledged = int(writer.stdout.readline())
        first, second = seeded.sample([compactor, writer], 2)
        first.kill()
        for process in (first, second):
            process.kill()
            # Not `communicate`: it would pass over what `readline` has already taken from the pipe.
            assert process.stdout is not None
            out = process.stdout.read()
            process.communicate(timeout=30)
            if process is writer and out:
                lines = [line for line in out.split("\n")[:-1] if line]
                acknowledged = int(lines[-1]) if lines else acknowledged
        _check(path, base, acknowledged)
    assert segments(path), "the compactor never closed anything"


def _check(path: Path, base: int, acknowledged: int) -> None:
    """Everything acknowledged is there, once; at most one further batch was cut off before its word."""
    reader = SeriesReader(path)
    (mark,) = reader.marks()
    assert acknowledged <= mark.seq <= acknowledged + 1
    for series in (1, 7):
        wanted = sorted(
            (row[0], row[2])
            for number in range(mark.seq + 1)
            for row in ingest_process.rows_of(number, base)
            if row[1] == series
        )
        found = reader.raw(series, 0, 1 << 60, 1 << 22)
        assert [(point.measured_at, point.value) for point in found] == wanted
        start = base - 12 * DAY_MS
        chart = reader.chart(series, start, base + 300 * DAY_MS, 100)
        assert sum(bucket.n for bucket in chart) == len(wanted)
    reader.close()


def test_a_file_that_does_not_read_back_is_never_listed(
    local: LocalSeries, compactor: Compactor, clock: HandClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    local.register(KEYS)
    local.append([(BASE, 1, 1.0, 0), (BASE + 1, 1, 2.0, 0)], [])
    monkeypatch.setattr(segment_store, "_is_sorted", lambda *_: False)
    with pytest.raises(segment_store.SegmentBrokenError, match="wrote"):
        compactor.close_hot(clock.now, even_if_few=True)
    monkeypatch.undo()
    assert len(local.raw(1, 0, 1 << 60, 9)) == 2
    compactor.close_hot(clock.now)
    assert len(local.raw(1, 0, 1 << 60, 9)) == 2
    assert compactor.counts.rows_closed == 2


def test_two_compactors_never_share_a_store(compactor: Compactor, tmp_path: Path) -> None:
    assert compactor
    with pytest.raises(ConflictError, match="another compactor"):
        Compactor(tmp_path / "series", EAGER, SystemClock())


def test_what_a_killed_predecessor_left_is_swept_away(tmp_path: Path, clock: HandClock) -> None:
    path = tmp_path / "series"
    folder = path / "segments" / "020000"
    folder.mkdir(parents=True)
    (folder / "000000000001-0000.part").write_bytes(b"half")
    (folder / "000000000001-0000.parquet").write_bytes(b"never listed")
    Compactor(path, EAGER, clock).close()
    assert list(folder.iterdir()) == []


def test_a_day_becomes_one_file_and_late_readings_join_it(
    local: LocalSeries, tmp_path: Path, clock: HandClock
) -> None:
    path = tmp_path / "series"
    local.register(KEYS)
    settings = CompactionSettings(roll_every_ms=0)
    compactor = Compactor(path, settings, clock)
    for hour in range(4):
        rows: list[Row] = [(BASE + hour * HOUR_MS + n, 1 + n % 3, 1.0, 0) for n in range(100)]
        local.append(rows, [])
        compactor.close_hot(clock.now, even_if_few=True)
    clock.now += 2 * DAY_MS
    while compactor.step():
        pass
    assert [(segment.level, segment.rows) for segment in segments(path)] == [(WHOLE_DAY, 400)]
    local.append([(BASE + 500, 1, 2.0, 0), (BASE + 3, 1, 9.0, 0)], [])
    compactor.close_hot(clock.now, even_if_few=True)
    clock.now += DAY_MS
    while compactor.step():
        pass
    compactor.close()
    assert [(segment.level, segment.rows) for segment in segments(path)] == [(WHOLE_DAY, 401)]
    assert len(list((path / "segments").glob("*/*.parquet"))) <= 3
    assert next(p.value for p in local.raw(1, BASE + 3, BASE + 4, 9)) == 9.0


def test_a_reader_that_was_too_slow_takes_a_new_view(
    local: LocalSeries, compactor: Compactor, clock: HandClock, tmp_path: Path
) -> None:
    local.register(KEYS)
    for n in range(2):
        local.append([(BASE + n, 1, float(n), 0)], [])
        compactor.close_hot(clock.now, even_if_few=True)
    folder = tmp_path / "series" / "segments"
    calls: list[int] = []

    def points(*arguments: object) -> object:
        if not calls:
            calls.append(1)
            clock.now += 3 * DAY_MS
            compactor.step()
            clock.now += DAY_MS
            compactor.step()
        return genuine(*arguments)

    genuine: Callable[..., object] = segment_store.points
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(segment_store, "points", points)
        assert len(local.raw(1, 0, 1 << 60, 9)) == 2
    assert len(list(folder.glob("*/*.parquet"))) == 1


def test_the_log_and_the_free_pages_stay_bounded(tmp_path: Path, clock: HandClock) -> None:
    path = tmp_path / "series"
    series = LocalSeries(path, clock)
    series.register(KEYS)
    compactor = Compactor(path, CompactionSettings(), clock)
    sizes = []
    for part in range(6):
        rows: list[Row] = [(BASE + part * 40_000 + n, 1 + n % 3, 1.0, 0) for n in range(20_000)]
        for at in range(0, 20_000, 2_000):
            series.append(rows[at : at + 2_000], [])
        compactor.close_hot(clock.now, even_if_few=True)
        compactor.tidy()
        sizes.append(sum(p.stat().st_size for p in path.glob("series.db*")))
    compactor.close()
    series.close()
    assert sizes[-1] < 2 * sizes[1]
    shutil.rmtree(path)
