"""Marks of lanes are few, whatever epochs an edge node invents."""

from cloud.series.compaction import Compactor
from cloud.series.local import LocalSeries
from cloud.series.model import LaneMark


def test_invented_epochs_are_forgotten_and_the_others_kept(
    compactor: Compactor, local: LocalSeries
) -> None:
    invented = [LaneMark("loud", epoch, "data", 5) for epoch in range(500)]
    local.append(
        [], [*invented, LaneMark("calm", 3, "data", 9), LaneMark("loud", 3, "backfill", 7)]
    )
    compactor.tidy()
    left = local.marks()
    assert LaneMark("calm", 3, "data", 9) in left
    assert LaneMark("loud", 3, "backfill", 7) in left
    assert max(invented, key=lambda mark: mark.epoch) in left
    assert len(left) < 40
