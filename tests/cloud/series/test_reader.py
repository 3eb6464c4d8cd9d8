"""The planner: whichever way it chooses, the answer is the same."""

import random
from pathlib import Path

import pytest

from cloud.errors import UnavailableError
from cloud.series import store
from cloud.series.local import LocalSeries
from cloud.series.model import DAY_MS, HOUR_MS, Point, Row, grid
from cloud.series.reader import SeriesReader
from tests.cloud.series.conftest import BASE
from tests.cloud.series.worlds import KEYS


def test_jumping_and_scanning_find_the_same_hot_readings(
    local: LocalSeries, monkeypatch: pytest.MonkeyPatch
) -> None:
    local.register(KEYS)
    seeded = random.Random(7)
    rows: list[Row] = [
        (BASE + seeded.randrange(40), 1 + seeded.randrange(3), float(n), 0) for n in range(500)
    ]
    local.append(rows, [])
    ranges = [(BASE, BASE + 40), (BASE + 3, BASE + 17), (BASE + 39, BASE + 80), (0, BASE)]
    answers = []
    for cost in (0, 1 << 40):
        monkeypatch.setattr(store, "_SEEK_ROWS", cost)
        answers.append([local.raw(2, start, end, 999) for start, end in ranges])
    assert answers[0] == answers[1]
    wanted = {row[0]: row[2] for row in rows if row[1] == 2}
    assert answers[0][0] == [Point(at, wanted[at], 0) for at in sorted(wanted)]


def test_a_reader_needs_a_store(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="series database"):
        SeriesReader(tmp_path)


def test_long_charts_have_buckets_of_whole_hours() -> None:
    long = grid(BASE + 5, BASE + 90 * DAY_MS, 500)
    assert long.may_use_roll_up
    assert long.width_ms % HOUR_MS == 0
    assert (long.end - long.start) / long.width_ms <= 500
    assert not grid(BASE, BASE + 7 * DAY_MS, 10).may_use_roll_up
    assert not grid(BASE, BASE + 8 * DAY_MS, 5_000).may_use_roll_up
    assert grid(BASE, BASE + DAY_MS, 100).width_ms == DAY_MS // 100
