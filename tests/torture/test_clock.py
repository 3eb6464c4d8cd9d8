"""Clocks that jump by an hour, at the node or at the worker: nothing lost or doubled, and no silence invented."""

import signal
from pathlib import Path
from typing import Any

import pytest

from tests.torture.compare import alerts, compare
from tests.torture.core import Core
from tests.torture.witness import now_ms

pytestmark = pytest.mark.xdist_group("torture")
HOUR_MS = 3_600_000
LIVE: dict[str, Any] = {"per_second": 2_000, "period_s": 1.0}
ABSENCE = ("edge.offline", "device.offline", "gateway.offline", "detector.offline")


def jump(core: Core, part: str, file: Path, shift_ms: int) -> None:
    file.write_text(str(shift_ms))
    core.signal(part, signal.SIGUSR2)


def silences(core: Core, edge: str) -> list[str]:
    """Give the rules by which the node or one of its devices was ever called silent."""
    found = [view for rule in ABSENCE for view in alerts(core, rule)]
    return [view["rule"] for view in found if str(view["device"]).startswith(edge)]


def alarmed(core: Core, edge: str) -> bool:
    return any(view["device"].startswith(edge) for view in alerts(core))


def test_a_worker_whose_clock_jumps_invents_no_silence(core: Core, tmp_path: Path) -> None:
    clock = tmp_path / "clock_ms"
    with core.odd_worker(f"clock={clock}"):
        edge = core.add_edge(start=now_ms(), **LIVE)
        core.wait(lambda: alarmed(core, edge), "no alarm")
        for shift_ms in (HOUR_MS, 0, -HOUR_MS, 0):
            jump(core, "ingest", clock, shift_ms)
            core.run_for(1.5)
        core.settle(edge)
        compare(core, edge)
        assert not silences(core, edge)


def test_nodes_whose_clocks_jump_lose_nothing(core: Core) -> None:
    # The readings carry the jumped clocks from the first on, one five seconds beyond the hour.
    shifts_ms = [HOUR_MS + 5_000, -HOUR_MS]
    edges = [core.add_edge(start=now_ms() + shift_ms, **LIVE) for shift_ms in shifts_ms]
    for edge in edges:
        core.wait(lambda edge=edge: alarmed(core, edge), "no alarm")
    for is_wrong in (True, False):
        for edge, shift_ms in zip(edges, shifts_ms, strict=True):
            jump(core, edge, core.folder(edge) / "clock_ms", shift_ms * is_wrong)
        core.run_for(1.0)
    core.settle(*edges)
    compare(core, *edges)
    assert not [rule for edge in edges for rule in silences(core, edge)]
