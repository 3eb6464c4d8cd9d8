"""Which segments are joined and which are thinned."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from cloud.series.compaction import KEEP_DAYS
from cloud.series.engine import (
    WHOLE_DAY,
    MergeRule,
    Segment,
    plan_merges,
    plan_thinning,
)
from cloud.series.model import DAY_MS

RULE = MergeRule(fan_in=4, settle_ms=600_000, again_ms=DAY_MS, rows_limit=1_000)
NOON = 20_000 * DAY_MS + DAY_MS // 2


def segment(gen: int, level: int = 0, rows: int = 10, day: int = 20_000) -> Segment:
    return Segment(
        f"{day}/{gen}", day, gen, level, day * DAY_MS, day * DAY_MS + 5, rows, 99, NOON, ""
    )


def test_a_tier_is_joined_when_it_is_full() -> None:
    files = [segment(1, 1), *(segment(gen) for gen in range(2, 6))]
    (plan,) = plan_merges(files, NOON, RULE)
    assert [part.gen for part in plan.segments] == [2, 3, 4, 5]
    assert plan.level == 1
    assert plan_merges(files[:4], NOON, RULE) == []


def test_a_past_day_becomes_one_file_once_it_is_quiet() -> None:
    files = [segment(1, 1), segment(2)]
    midnight = 20_001 * DAY_MS
    assert plan_merges(files, midnight, RULE) == []
    (plan,) = plan_merges(files, midnight + 600_000, RULE)
    assert plan.level == WHOLE_DAY
    late = [replace(segment(2, WHOLE_DAY), made_at=midnight), segment(3)]
    assert plan_merges(late, midnight + 3_600_000, RULE) == []
    assert plan_merges(late, midnight + DAY_MS, RULE)[0].level == WHOLE_DAY


@given(st.lists(st.tuples(st.integers(1, 400), st.integers(0, 2)), max_size=30))
def test_only_neighbours_are_joined_and_never_beyond_the_limit(
    shapes: list[tuple[int, int]],
) -> None:
    levels = sorted((level for _, level in shapes), reverse=True)
    pairs = zip(shapes, levels, strict=True)
    files = [segment(gen, level, rows) for gen, ((rows, _), level) in enumerate(pairs)]
    for plan in plan_merges(files, NOON, RULE):
        gens = [part.gen for part in plan.segments]
        assert gens == list(range(gens[0], gens[0] + len(gens)))
        assert len(gens) > 1
        assert sum(part.rows for part in plan.segments) <= RULE.rows_limit


def test_each_class_goes_after_its_own_time_and_the_file_with_the_last() -> None:
    file = segment(1)
    at = [20_000 + days for days in (90, 91, 366, 1_096)]
    plans = [plan_thinning([file], day * DAY_MS, KEEP_DAYS) for day in at]
    assert plans[0] == []
    assert plans[1][0].classes == {"housekeeping"}
    assert plans[2][0].classes == {"housekeeping", "process"}
    assert plans[3][0].removes_all
    done = replace(file, lacks="housekeeping")
    assert plan_thinning([done], at[1] * DAY_MS, KEEP_DAYS) == []
    assert plan_thinning([done], at[2] * DAY_MS, KEEP_DAYS)[0].classes == {
        "housekeeping",
        "process",
    }
