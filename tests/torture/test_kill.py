"""kill -9 of every part at random moments under load: each reading stored once, each alarm raised once.

`make torture` kills each part twenty times; the ordinary run does it once, so that a break is seen at once.
"""

from collections.abc import Callable

import pytest

from tests.torture.compare import Compared, compare
from tests.torture.core import Core, chances

pytestmark = pytest.mark.xdist_group("torture")


def torment(core: Core, *, rounds: int, seed: int) -> Compared:
    """Kill all four kinds of parts `rounds` times each in random order; the broker holds nothing on disk."""
    luck = chances(seed)
    edges = [core.add_edge(), core.add_edge()]
    victims = ["broker", "ingest", "cloud", *edges] * rounds
    luck.shuffle(victims)
    for victim in victims:
        core.run_for(luck.uniform(0.1, 1.5))
        core.kill(victim)
    core.run_for(1.0)
    core.settle(*edges)
    return compare(core, *edges)


def test_nothing_is_lost_or_doubled_by_kill_9(core: Core) -> None:
    compared = torment(core, rounds=1, seed=1)
    assert compared.readings > 500
    assert compared.alarms > 1


@pytest.mark.torture
@pytest.mark.timeout(1_200)
@pytest.mark.parametrize("seed", [11, 12])
def test_nothing_is_lost_or_doubled_by_twenty_kills_of_each(
    core: Core, seed: int, report: Callable[[str], None]
) -> None:
    compared = torment(core, rounds=20, seed=seed)
    report(str(compared))
    assert compared.readings > 10_000
    assert compared.alarms > 10
