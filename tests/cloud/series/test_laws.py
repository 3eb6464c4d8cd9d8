"""The laws of `SeriesStore`, held over every implementation, in every stage of its background work."""

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cloud.errors import InvalidError
from cloud.series.model import (
    DAY_MS,
    HOUR_MS,
    Bucket,
    LaneMark,
    Point,
    Row,
    SeriesKey,
    grid,
)
from tests.cloud.series.conftest import BASE
from tests.cloud.series.worlds import KEYS, WORLDS, World

MINUTE = 60_000
END = BASE + 400 * DAY_MS
modest = settings(
    max_examples=6,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture(params=sorted(WORLDS))
def make_world(
    request: pytest.FixtureRequest, fresh_path: Callable[[], Path]
) -> Callable[[], World]:
    return lambda: WORLDS[request.param](fresh_path())


@pytest.fixture
def world(make_world: Callable[[], World]) -> Iterator[World]:
    world = make_world()
    yield world
    world.close()


values = st.one_of(
    st.none(), st.integers(-500, 500).map(lambda n: n / 8), st.floats(-1e6, 1e6, width=32)
)
moments = st.one_of(
    st.integers(BASE, BASE + 2 * HOUR_MS),
    st.integers(BASE // HOUR_MS - 24 * 9, BASE // HOUR_MS).map(lambda hour: hour * HOUR_MS),
    st.integers(BASE - 12 * DAY_MS, BASE),
)
batches = st.lists(
    st.lists(st.tuples(moments, st.integers(1, 3), values, st.integers(0, 4)), max_size=30),
    max_size=5,
)


def fill(world: World, written: Sequence[Sequence[Row]]) -> dict[tuple[int, int], Row]:
    """Append batches, background work between them; give what must be there (None never erases)."""
    world.store.register(KEYS)
    kept: dict[tuple[int, int], Row] = {}
    for batch in written:
        rows = [row for row in batch if row[2] is not None or (row[0], row[1]) not in kept]
        rows = list({(row[0], row[1]): row for row in rows}.values())
        world.store.append(rows, [])
        kept |= {(row[0], row[1]): row for row in rows}
        world.settle()
    return kept


def reference(kept: dict[tuple[int, int], Row], series: int, start: int, end: int) -> list[Row]:
    return sorted(
        (row for row in kept.values() if row[1] == series and start <= row[0] < end),
        key=lambda row: row[0],
    )


def same(one: Sequence[Bucket], other: Sequence[Bucket]) -> bool:
    return len(one) == len(other) and all(
        (a.start, a.n, a.low, a.high) == (b.start, b.n, b.low, b.high)
        and math.isclose(a.mean, b.mean, rel_tol=1e-9, abs_tol=1e-6)
        for a, b in zip(one, other, strict=True)
    )


def buckets_by_hand(rows: Sequence[Row], start: int, end: int, buckets: int) -> list[Bucket]:
    width = grid(start, end, buckets).width_ms
    groups: dict[int, list[float]] = {}
    for at, _, value, _ in rows:
        if value is not None and start <= at < end:
            groups.setdefault(at // width * width, []).append(value)
    return [
        Bucket(at, len(some), min(some), sum(some) / len(some), max(some))
        for at, some in sorted(groups.items())
    ]


@modest
@given(batches=batches, start=st.integers(BASE - 12 * DAY_MS, BASE), data=st.data())
def test_raw_gives_each_reading_once_with_the_word_said_last(
    make_world: Callable[[], World], batches: list[list[Row]], start: int, data: st.DataObject
) -> None:
    world = make_world()
    try:
        kept = fill(world, batches)
        end = data.draw(st.integers(start, BASE + 3 * HOUR_MS))
        for series in (1, 2, 3):
            wanted = [Point(row[0], row[2], row[3]) for row in reference(kept, series, start, end)]
            assert world.store.raw(series, start, end, 10_000) == wanted
            assert world.store.raw(series, start, end, 3) == wanted[:3]
    finally:
        world.close()


@modest
@given(
    batches=batches,
    start=st.integers(BASE - 12 * DAY_MS, BASE),
    span=st.one_of(st.integers(1, DAY_MS), st.integers(7 * DAY_MS, 13 * DAY_MS)),
    buckets=st.sampled_from([1, 7, 100, 200, 1_000]),
)
def test_buckets_equal_a_reference_by_hand(
    make_world: Callable[[], World], batches: list[list[Row]], start: int, span: int, buckets: int
) -> None:
    world = make_world()
    try:
        kept = fill(world, batches)
        for series in (1, 2, 3):
            wanted = buckets_by_hand(reference(kept, series, 0, END), start, start + span, buckets)
            assert same(world.store.chart(series, start, start + span, buckets), wanted)
    finally:
        world.close()


def test_appending_twice_is_appending_once(world: World) -> None:
    world.store.register(KEYS)
    rows: list[Row] = [(BASE + n * 10_000, 1, n / 10, 0) for n in range(200)]
    world.store.append(rows, [])
    world.settle()
    once = world.store.raw(1, 0, END, 10_000)
    chart = world.store.chart(1, BASE - 30 * DAY_MS, BASE + DAY_MS, 100)
    for _ in range(3):
        world.store.append(rows, [])
        world.settle()
    assert world.store.raw(1, 0, END, 10_000) == once
    assert len(once) == 200
    assert same(world.store.chart(1, BASE - 30 * DAY_MS, BASE + DAY_MS, 100), chart)


def test_a_corrected_number_replaces_the_old_one_everywhere(world: World) -> None:
    world.store.register(KEYS)
    first, last = BASE - 9 * DAY_MS, BASE + DAY_MS
    world.store.append([(BASE, 1, 50.0, 0), (BASE + 1, 1, 2.0, 0)], [])
    world.settle()
    world.store.append([(BASE, 1, 4.0, 1)], [])
    for _ in range(3):
        for buckets in (20, 100_000):
            chart = world.store.chart(1, first, last, buckets)
            assert sum(bucket.n for bucket in chart) == 2
            assert max(bucket.high for bucket in chart) == 4.0
        assert world.store.raw(1, BASE, BASE + 1, 9) == [Point(BASE, 4.0, 1)]
        world.settle()


def test_the_order_of_arrival_changes_no_answer(make_world: Callable[[], World]) -> None:
    rows: list[Row] = [(BASE + n * 7_001, 1 + n % 3, n / 4, n % 2) for n in range(600)]
    answers = []
    for ordered in (rows, rows[::-1], rows[300:] + rows[:300]):
        world = make_world()
        world.store.register(KEYS)
        for at in range(0, 600, 150):
            world.store.append(ordered[at : at + 150], [])
            world.settle()
        answers.append(
            (
                world.store.raw(2, 0, END, 1_000),
                world.store.chart(2, BASE - 20 * DAY_MS, BASE + DAY_MS, 50),
                [(one.series, one.measured_at, one.value) for one in world.store.latest()],
            )
        )
        world.close()
    assert answers[0] == answers[1] == answers[2]
    assert len(answers[0][0]) == 200


def test_latest_is_the_newest_by_measuring_not_by_arrival(world: World) -> None:
    world.store.register(KEYS)
    world.store.append([(BASE + MINUTE, 1, 5.0, 0), (BASE, 1, 4.0, 0), (BASE, 2, 1.0, 0)], [])
    world.settle()
    world.store.append([(BASE + 1, 1, 9.0, 0), (BASE + 2 * MINUTE, 2, None, 3)], [])
    found = {one.series: (one.measured_at, one.value, one.quality) for one in world.store.latest()}
    assert found == {1: (BASE + MINUTE, 5.0, 0), 2: (BASE + 2 * MINUTE, None, 3)}
    assert [one.series for one in world.store.latest([2, 99])] == [2]
    assert world.store.latest([]) == []


def test_marks_are_stored_with_the_rows_and_never_go_back(world: World) -> None:
    world.store.register(KEYS)
    world.store.append([(BASE, 1, 1.0, 0)], [LaneMark("e-1", 7, "data", 20)])
    world.store.append([], [LaneMark("e-1", 7, "data", 12), LaneMark("e-1", 7, "backfill", 3)])
    world.store.append([], [LaneMark("e-1", 8, "data", 1)])
    world.settle()
    world.restart()
    assert world.store.marks() == [
        LaneMark("e-1", 7, "backfill", 3),
        LaneMark("e-1", 7, "data", 20),
        LaneMark("e-1", 8, "data", 1),
    ]


def test_rows_and_marks_are_stored_together_or_not_at_all(world: World) -> None:
    world.store.register(KEYS)
    world.store.append([(BASE, 1, 1.0, 0)], [LaneMark("e-1", 7, "data", 1)])
    broken = LaneMark("e-1", 7, "data", None)  # type: ignore[arg-type] # what no lane has
    with pytest.raises(Exception, match=r"(?i)null"):
        world.store.append([(BASE + 1, 1, 2.0, 0)], [broken])
    world.settle()
    assert [point.measured_at for point in world.store.raw(1, 0, END, 10)] == [BASE]
    assert world.store.marks() == [LaneMark("e-1", 7, "data", 1)]
    assert [one.measured_at for one in world.store.latest()] == [BASE]


def test_the_start_belongs_to_a_range_and_the_end_does_not(world: World) -> None:
    world.store.register(KEYS)
    world.store.append([(BASE + n, 1, float(n), 0) for n in range(5)], [])
    world.settle()
    found = world.store.raw(1, BASE + 1, BASE + 3, 100)
    assert [point.value for point in found] == [1.0, 2.0]
    chart = world.store.chart(1, BASE + 1, BASE + 3, 1)
    assert sum(bucket.n for bucket in chart) == 2
    assert world.store.raw(1, BASE + 3, BASE + 3, 100) == []


def test_a_sensor_fault_is_kept_but_counts_in_no_mean(world: World) -> None:
    world.store.register(KEYS)
    world.store.append([(BASE, 1, 10.0, 0), (BASE + 1, 1, None, 3), (BASE + 2, 1, 20.0, 0)], [])
    world.settle()
    assert world.store.raw(1, BASE, BASE + 10, 9)[1] == Point(BASE + 1, None, 3)
    (bucket,) = world.store.chart(1, BASE - BASE % HOUR_MS, BASE + HOUR_MS, 1)
    assert (bucket.n, bucket.low, bucket.mean, bucket.high) == (2, 10.0, 15.0, 20.0)


def test_a_spike_of_one_reading_survives_a_year_on_one_screen(world: World) -> None:
    world.store.register(KEYS)
    rows: list[Row] = [(BASE - n * HOUR_MS, 1, 5.0, 0) for n in range(20 * 24)]
    world.store.append([*rows, (BASE - 3 * DAY_MS - 1, 1, 98.5, 0)], [])
    world.settle()
    chart = world.store.chart(1, BASE - 365 * DAY_MS, BASE + HOUR_MS, 300)
    assert max(bucket.high for bucket in chart) == 98.5
    assert sum(bucket.n for bucket in chart) == 20 * 24 + 1


def test_late_readings_join_hours_that_were_summed_already(world: World) -> None:
    world.store.register(KEYS)
    first, last = BASE - 10 * DAY_MS, BASE + DAY_MS
    world.store.append([(first + n * HOUR_MS, 1, 1.0, 0) for n in range(200)], [])
    world.settle()
    world.store.append([(first + 50 * HOUR_MS + 5, 1, 7.0, 0)], [])
    assert sum(bucket.n for bucket in world.store.chart(1, first, last, 20)) == 201
    world.settle()
    chart = world.store.chart(1, first, last, 20)
    assert sum(bucket.n for bucket in chart) == 201
    assert max(bucket.high for bucket in chart) == 7.0


def test_everything_is_there_after_a_restart(world: World) -> None:
    ids = world.store.register(KEYS)
    world.store.append([(BASE + n, 1 + n % 3, n / 2, 0) for n in range(90)], [])
    world.settle()
    world.store.append([(BASE + 90, 1, 3.5, 0)], [LaneMark("e", 1, "data", 9)])
    before = (world.store.raw(1, 0, END, 99), world.store.latest(), world.store.marks())
    world.restart()
    assert (world.store.raw(1, 0, END, 99), world.store.latest(), world.store.marks()) == before
    assert world.store.register(KEYS) == ids


def test_ids_stay_and_new_series_get_new_ones(world: World) -> None:
    first = world.store.register(KEYS[:2])
    again = world.store.register([*KEYS, KEYS[0]])
    assert {key: again[key] for key in KEYS[:2]} == first
    assert len(set(again.values())) == 3
    assert world.store.keys() == {number: key for key, number in again.items()}
    assert world.store.register([SeriesKey("x-1", "no_such_metric")])


def test_an_empty_store_answers_with_nothing(world: World) -> None:
    assert world.store.keys() == {}
    assert world.store.latest() == []
    assert world.store.marks() == []
    assert world.store.raw(1, 0, END, 10) == []
    assert world.store.chart(1, BASE, BASE + 90 * DAY_MS, 500) == []


def test_a_chart_without_room_is_refused(world: World) -> None:
    with pytest.raises(InvalidError, match="no buckets fit"):
        world.store.chart(1, BASE, BASE, 10)
    with pytest.raises(InvalidError, match="no buckets fit"):
        world.store.chart(1, BASE, BASE + 1, 0)
