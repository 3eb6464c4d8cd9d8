"""A clock that tests turn, and stores of every kind."""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cloud.series.compaction import CompactionSettings, Compactor
from cloud.series.local import LocalSeries
from cloud.series.model import DAY_MS, HOUR_MS

BASE = 20_000 * DAY_MS + 5 * HOUR_MS


class HandClock:
    """Time stands still until a test moves it."""

    def __init__(self, now: int = BASE) -> None:
        self.now = now

    def now_ms(self) -> int:
        return self.now

    def monotonic_s(self) -> float:
        return self.now / 1000


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def local(tmp_path: Path, clock: HandClock) -> Iterator[LocalSeries]:
    store = LocalSeries(tmp_path / "series", clock)
    yield store
    store.close()


@pytest.fixture
def compactor(local: LocalSeries, tmp_path: Path, clock: HandClock) -> Iterator[Compactor]:
    assert local
    worker = Compactor(tmp_path / "series", CompactionSettings(), clock)
    yield worker
    worker.close()


@pytest.fixture
def fresh_path(tmp_path: Path) -> Callable[[], Path]:
    counter = itertools.count()
    return lambda: tmp_path / f"series-{next(counter)}"
