"""A full disk at the node: alarms still go, readings give way, and what was dropped is counted and told."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from contract.messages import Event
from tests.torture.compare import alerts, compare_alarms, stored
from tests.torture.core import Core
from tests.torture.feeder import STEP_MS, ledger_end
from tests.torture.witness import Witness

pytestmark = pytest.mark.xdist_group("torture")


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """Give a file system of 10 MB, where this machine lets us make one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=10m", "tmpfs", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode != 0:
        pytest.skip(f"no file system can be mounted here: {made.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def overflow(core: Core, *, limit_mb: float, disk: Path | None = None) -> int:
    """Fill a node whose link is down until it drops readings, mend the link and compare; gives the readings dropped."""
    core.edge_wire.is_refusing = True
    edge = core.add_edge(
        limit_mb=limit_mb,
        batch=50,
        per_second=60_000,
        alarm_every=100,
        disk=disk,
        backfill_per_s=1_000,
    )
    core.wait(lambda: (told := core.told(edge)) and told.dropped > 0, "nothing is dropped")
    witness = Witness(core)
    try:
        core.edge_wire.is_refusing = False
        core.settle(edge)
        dropped = core.wait(lambda: core.told(edge), "no word").dropped
        core.wait(lambda: reported(witness, edge) == dropped, f"{dropped} dropped, not all told")
    finally:
        witness.close()
    count = ledger_end(core.folder(edge) / "ledger")
    found = stored(core, edge)
    plan = core.plan(edge)
    for points in found.values():
        assert all(at == plan.start + int(value or 0) * STEP_MS for at, value in points)
        assert len({at for at, _ in points}) == len(points)
    kept = sum(len(points) for points in found.values())
    # Feeding is stopped between two batches or inside one: the last may be in the store and not in the ledger.
    assert kept + dropped - count * plan.series in {0, plan.batch * plan.series}
    assert compare_alarms(alerts(core), edge, count, plan.alarm_every) > 0
    return int(dropped)


def reported(witness: Witness, edge: str) -> int:
    """Add up what the node told of its dropped readings."""
    told = {
        one.body.seq: int(str(one.body.detail["count"]))
        for one in witness.of(edge)
        if isinstance(one.body, Event) and one.body.kind == "spool_dropped"
    }
    return sum(told.values())


def test_a_full_spool_drops_readings_counts_them_and_keeps_every_alarm(core: Core) -> None:
    assert overflow(core, limit_mb=3) > 0


@pytest.mark.torture
def test_a_full_file_system_drops_readings_counts_them_and_keeps_every_alarm(
    core: Core, tiny_disk: Path
) -> None:
    assert overflow(core, limit_mb=512, disk=tiny_disk) > 0
