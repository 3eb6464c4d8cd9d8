"""A network that doubles, drops, delays and reorders: every reading stored once, every alarm raised once."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.mosquitto import Mosquitto
from tests.torture.bridge import Bridge
from tests.torture.compare import Compared, compare
from tests.torture.core import Core

pytestmark = pytest.mark.xdist_group("torture")


@pytest.fixture
def near(core: Core, tmp_path: Path) -> Iterator[Mosquitto]:
    """Give the broker on the nodes' side of the bad network; every password is the user's name."""
    broker = Mosquitto(tmp_path / "near", list(core.words))
    broker.start()
    yield broker
    broker.kill()


def disturb(core: Core, near: Mosquitto, seconds: float, seed: int) -> tuple[Compared, Bridge]:
    """Let two nodes work through the bad network; only dropping ends with the feeding, so that it settles."""
    bridge = Bridge(core, near, seed)
    try:
        edges = []
        for _ in range(2):
            name = core.next_edge
            edges.append(core.add_edge(port=near.port, password=name, per_second=500))
        core.run_for(seconds)
        bridge.drop = 0.0
        core.settle(*edges, within_s=180)
    finally:
        bridge.close()
    return compare(core, *edges), bridge


def test_duplicates_gaps_and_disorder_change_nothing(core: Core, near: Mosquitto) -> None:
    compared, bridge = disturb(core, near, 3.0, seed=3)
    assert compared.readings > 500
    assert all(bridge.counts[what] > 10 for what in ("doubled", "delayed"))
    assert bridge.counts["dropped"] > 2


@pytest.mark.torture
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", [31, 32])
def test_duplicates_gaps_and_disorder_for_long(
    core: Core, near: Mosquitto, seed: int, report: Callable[[str], None]
) -> None:
    compared, bridge = disturb(core, near, 60.0, seed)
    report(f"{compared} {bridge.counts}")
    assert compared.readings > 10_000
