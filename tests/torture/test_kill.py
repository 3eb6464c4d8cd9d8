"""kill -9 of every part at random moments under load: each reading stored once, each alarm raised once.

`make torture` kills each part twenty times; the ordinary run does it a few times, so that a break is seen at once.
"""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.torture.core import chances, start

ALARM_EVERY = 40


def torment(root: Path, *, rounds: int, seed: int) -> tuple[int, int]:
    """Kill all four kinds of parts `rounds` times each in random order; gives readings and alarms compared."""
    luck = chances(seed)
    core = start(root, edges=2, per_second=1_000, alarm_every=ALARM_EVERY)
    try:
        victims = ["broker", "ingest", "cloud", *core.edges] * rounds
        luck.shuffle(victims)
        for victim in victims:
            core.run_for(luck.uniform(0.1, 1.5))
            core.kill(victim)
        core.run_for(1.0)
        core.settle()
        return core.check_readings(), core.check_alarms(ALARM_EVERY)
    finally:
        core.supervisor.stop()


@pytest.mark.xdist_group("torture")
def test_nothing_is_lost_or_doubled_by_kill_9(tmp_path: Path) -> None:
    readings, alarms = torment(tmp_path, rounds=2, seed=1)
    assert readings > 0
    assert alarms > 0


@pytest.mark.torture
@pytest.mark.timeout(1_500)
@pytest.mark.parametrize("seed", [11, 12])
def test_nothing_is_lost_or_doubled_by_twenty_kills_of_each(
    tmp_path: Path, seed: int, record_property: Callable[[str, object], None]
) -> None:
    readings, alarms = torment(tmp_path, rounds=20, seed=seed)
    record_property("compared", f"{readings} readings, {alarms} alarms")
    assert readings > 0
    assert alarms > 0
