"""Readings go when their class is due; roll-ups stay for years."""

from pathlib import Path

from cloud.series.compaction import CompactionSettings, Compactor
from cloud.series.local import LocalSeries
from cloud.series.model import DAY_MS, HOUR_MS, SeriesKey
from tests.cloud.series.conftest import BASE, HandClock

SAFETY = SeriesKey("shuibei-gas-001", "gas_lel_pct")
PROCESS = SeriesKey("shuibei-gas-001", "temperature_c")
CARE = SeriesKey("shuibei-gas-001", "battery_pct")
END = BASE + 9 * DAY_MS


def test_each_class_is_kept_for_its_own_time(
    local: LocalSeries, tmp_path: Path, clock: HandClock
) -> None:
    ids = local.register([SAFETY, PROCESS, CARE])
    local.append([(BASE + n, i, 1.0, 0) for i in ids.values() for n in range(50)], [])
    compactor = Compactor(tmp_path / "series", CompactionSettings(thin_every_ms=0), clock)
    compactor.close_hot(clock.now, even_if_few=True)
    left = []
    for days in (1, 91, 366, 1_096):
        clock.now = BASE + days * DAY_MS
        while compactor.step():
            pass
        left.append([len(local.raw(ids[key], 0, END, 99)) for key in (SAFETY, PROCESS, CARE)])
    clock.now += DAY_MS
    compactor.step()
    compactor.close()
    assert left == [[50, 50, 50], [50, 50, 0], [50, 0, 0], [0, 0, 0]]
    assert list((tmp_path / "series" / "segments").glob("*/*.parquet")) == []
    for number in ids.values():
        chart = local.chart(number, BASE - 20 * DAY_MS, BASE + 20 * DAY_MS, 100)
        assert [bucket.n for bucket in chart] == [50]
    assert len(local.latest()) == 3


def test_a_reading_older_than_its_class_does_not_spoil_the_roll_up(
    local: LocalSeries, tmp_path: Path, clock: HandClock
) -> None:
    number = local.register([CARE])[CARE]
    local.append([(BASE + n, number, 1.0, 0) for n in range(50)], [])
    compactor = Compactor(
        tmp_path / "series", CompactionSettings(thin_every_ms=0, roll_every_ms=0), clock
    )
    compactor.close_hot(clock.now, even_if_few=True)
    clock.now += 95 * DAY_MS
    while compactor.step():
        pass
    local.append([(BASE + 60, number, 1.0, 0)], [])
    clock.now += HOUR_MS
    while compactor.step():
        pass
    compactor.close()
    (bucket,) = local.chart(number, BASE - 20 * DAY_MS, BASE + 20 * DAY_MS, 100)
    assert bucket.n == 50
