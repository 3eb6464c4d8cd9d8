"""A backup opens as it is, an export is readable by anyone."""

import csv
from pathlib import Path

import pytest

from cloud.errors import ConflictError
from cloud.series.backup import backup, export
from cloud.series.compaction import CompactionSettings, Compactor, removal_allowed
from cloud.series.local import LocalSeries
from cloud.series.model import LaneMark
from cloud.series.service import open_reader, open_series
from tests.cloud.series.conftest import BASE, HandClock
from tests.cloud.series.worlds import KEYS


@pytest.fixture
def filled(local: LocalSeries, tmp_path: Path, clock: HandClock) -> LocalSeries:
    """One reading twice: in a file, and corrected in the hot table."""
    local.register(KEYS)
    local.append([(BASE + n, 1, float(n), 0) for n in range(10)], [LaneMark("e", 1, "data", 4)])
    compactor = Compactor(tmp_path / "series", CompactionSettings(), clock)
    compactor.close_hot(clock.now, even_if_few=True)
    compactor.close()
    local.append([(BASE + 9, 1, 99.0, 0), (BASE + 10, 1, None, 3)], [])
    return local


def test_a_backup_answers_like_the_store(filled: LocalSeries, tmp_path: Path) -> None:
    made = backup(tmp_path / "series", tmp_path / "copy")
    assert made.segments == 1
    reader = open_reader(tmp_path / "copy")
    assert reader.raw(1, 0, 1 << 60, 99) == filled.raw(1, 0, 1 << 60, 99)
    assert reader.marks() == filled.marks()
    assert reader.latest() == filled.latest()


def test_a_backup_goes_on_working(filled: LocalSeries, tmp_path: Path, clock: HandClock) -> None:
    assert filled
    backup(tmp_path / "series", tmp_path / "copy")
    copy = open_series(tmp_path / "copy", clock)
    copy.append([(BASE + 11, 1, 1.0, 0)], [])
    assert len(copy.raw(1, 0, 1 << 60, 99)) == 12
    assert len(filled.raw(1, 0, 1 << 60, 99)) == 11
    copy.close()


def test_a_backup_never_overwrites(filled: LocalSeries, tmp_path: Path) -> None:
    assert filled
    backup(tmp_path / "series", tmp_path / "copy")
    with pytest.raises(ConflictError, match="exists already"):
        backup(tmp_path / "series", tmp_path / "copy")


def test_no_file_is_removed_while_one_copies(tmp_path: Path) -> None:
    with removal_allowed(tmp_path, holds=True), removal_allowed(tmp_path) as is_allowed:
        assert not is_allowed
    with removal_allowed(tmp_path) as is_allowed:
        assert is_allowed


def test_an_export_names_every_reading_once(filled: LocalSeries, tmp_path: Path) -> None:
    assert filled
    assert export(tmp_path / "series", tmp_path / "all.csv") == 11
    with (tmp_path / "all.csv").open() as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["device", "metric", "measured_at_ms", "value", "quality"]
    assert rows[10] == [KEYS[0].device, KEYS[0].metric, str(BASE + 9), "99.0", "0"]
    assert rows[11][3] == ""
    assert export(tmp_path / "series", tmp_path / "all.parquet") == 11
    with pytest.raises(ConflictError, match="cannot export"):
        export(tmp_path / "series", tmp_path / "all.txt")
