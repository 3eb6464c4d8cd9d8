"""Clocks that jump by an hour, at the node or at the worker: nothing lost or doubled, and no silence invented."""

import signal
from pathlib import Path

import pytest

from tests.torture.compare import alerts, compare
from tests.torture.core import Core
from tests.torture.witness import now_ms

pytestmark = pytest.mark.xdist_group("torture")
HOUR_MS = 3_600_000
LIVE = {"per_second": 2_000, "period_s": 1.0}
ABSENCE = ("edge.offline", "device.offline", "gateway.offline", "detector.offline")


def jump(core: Core, part: str, file: Path, shift_ms: int) -> None:
    file.write_text(str(shift_ms))
    core.signal(part, signal.SIGUSR2)


def silences(core: Core, edge: str) -> list[str]:
    """Give the rules by which the node or one of its devices was ever called silent."""
    found = [view for rule in ABSENCE for view in alerts(core, rule)]
    return [view["rule"] for view in found if str(view["device"]).startswith(edge)]


@pytest.mark.parametrize("shift_ms", [HOUR_MS, -HOUR_MS])
def test_a_worker_whose_clock_jumps_invents_no_silence(
    core: Core, tmp_path: Path, shift_ms: int
) -> None:
    clock = tmp_path / "clock_ms"
    with core.odd_worker(f"clock={clock}"):
        edge = core.add_edge(start=now_ms(), **LIVE)
        core.wait(lambda: any(a["device"].startswith(edge) for a in alerts(core)), "no alarm")
        for shift in (shift_ms, 0):
            jump(core, "ingest", clock, shift)
            core.run_for(2.5)
        core.settle(edge)
        compare(core, edge)
        assert not silences(core, edge)


@pytest.mark.parametrize("shift_ms", [HOUR_MS, -HOUR_MS])
def test_a_node_whose_clock_jumps_loses_nothing(core: Core, shift_ms: int) -> None:
    # The readings carry the jumped clock from the first on, five seconds beyond the hour.
    edge = core.add_edge(start=now_ms() + shift_ms + 5_000 * (shift_ms > 0), **LIVE)
    core.wait(lambda: any(a["device"].startswith(edge) for a in alerts(core)), "no alarm")
    for shift in (shift_ms, 0):
        jump(core, edge, core.folder(edge) / "clock_ms", shift)
        core.run_for(1.0)
    core.settle(edge)
    compare(core, edge)
    assert not silences(core, edge)
