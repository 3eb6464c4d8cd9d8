"""A wire that dies in silence: sockets stay open, no byte goes through. It is noticed; nothing is lost or doubled."""

import time
from collections.abc import Callable, Iterator

import pytest

from contract.messages import Alarm
from contract.topics import Channel
from tests.torture.compare import Compared, alerts, compare
from tests.torture.core import Core
from tests.torture.witness import Heard, Witness, now_ms

pytestmark = pytest.mark.xdist_group("torture")
NOTICED_S = 30.0


@pytest.fixture
def witness(core: Core) -> Iterator[Witness]:
    witness = Witness(core)
    yield witness
    witness.close()


def cut_edge(core: Core, witness: Witness, cut_s: float, **patience: float) -> Compared:
    """Cut the wire of a node under load for some seconds, or until it is noticed if that is later."""
    wire = core.edge_wire
    edge = core.add_edge(alarm_every=20, **patience)
    core.wait(lambda: any(one.channel is Channel.DATA for one in witness.of(edge)), "no data")
    wire.is_cut, began, before = True, time.monotonic(), wire.accepted
    cut_at, heard_before = now_ms(), len(witness.of(edge))
    core.wait(lambda: wire.accepted > before, "the cut is not noticed", NOTICED_S)
    core.run_for(max(0.0, cut_s - (time.monotonic() - began)))
    mended_at = now_ms()
    wire.is_cut = False
    core.wait(lambda: len(witness.of(edge)) > heard_before + 20, "it does not come back")
    core.run_for(1.0)
    core.settle(edge)
    check_order(witness.of(edge)[heard_before:], cut_at, mended_at)
    return compare(core, edge)


def check_order(heard: list[Heard], cut_at: int, mended_at: int) -> None:
    """Check that every alarm of the outage came before the first message of its backlog."""
    late = [
        n
        for n, one in enumerate(heard)
        if isinstance(one.body, Alarm) and cut_at <= one.body.measured_at < mended_at
    ]
    backlog = [n for n, one in enumerate(heard) if one.channel is Channel.BACKFILL]
    assert late, "no alarm happened during the outage"
    assert backlog, "the outage left no backlog"
    first_copies = {heard[n].body.seq: n for n in reversed(late)}
    assert max(first_copies.values()) < backlog[0], "an alarm waited for the backlog"


def test_a_node_behind_a_dead_wire_loses_nothing_and_sends_alarms_first(
    core: Core, witness: Witness
) -> None:
    compared = cut_edge(core, witness, 1.0, keepalive_s=2, connect_s=2.0)
    assert compared.readings > 100
    assert compared.alarms > 1


def test_a_worker_behind_a_dead_wire_loses_nothing_and_blames_no_node(core: Core) -> None:
    with core.odd_worker("keepalive=2"):
        edge = core.add_edge()
        cut_worker(core, edge, 1.0)
        compared = compare(core, edge)
    assert compared.readings > 100


def cut_worker(core: Core, edge: str, cut_s: float) -> None:
    """Cut the wire between broker and worker; no node is called offline because the worker could not hear."""
    wire = core.ingest_wire
    core.wait(lambda: alerts(core) and any(edge in a["device"] for a in alerts(core)), "no alarm")
    wire.is_cut, began, before = True, time.monotonic(), wire.accepted
    core.wait(lambda: wire.accepted > before, "the cut is not noticed", NOTICED_S)
    core.run_for(max(0.0, cut_s - (time.monotonic() - began)))
    wire.is_cut = False
    core.run_for(1.0)
    core.settle(edge)
    offline = [view for view in alerts(core, "edge.offline") if view["device"] == edge]
    assert not offline, "the node was blamed for the worker's wire"


@pytest.mark.torture
@pytest.mark.timeout(600)
@pytest.mark.parametrize("cut_s", [10.0, 180.0])
def test_a_node_behind_a_dead_wire_for_long(
    core: Core, witness: Witness, cut_s: float, report: Callable[[str], None]
) -> None:
    compared = cut_edge(core, witness, cut_s)
    report(str(compared))
    assert compared.alarms > 1


@pytest.mark.torture
@pytest.mark.timeout(600)
@pytest.mark.parametrize("cut_s", [10.0, 180.0])
def test_a_worker_behind_a_dead_wire_for_long(
    core: Core, cut_s: float, report: Callable[[str], None]
) -> None:
    edge = core.add_edge()
    cut_worker(core, edge, cut_s)
    compared = compare(core, edge)
    report(str(compared))
    assert compared.alarms > 1
