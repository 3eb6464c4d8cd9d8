"""What is written of places, edges and devices, always inside the caller's transaction, with the journal's lines."""

import math
from collections import defaultdict
from collections.abc import Mapping
from typing import Any, Final

from cloud.devices import place_store, store
from cloud.devices.model import AliasPlan, BirthOutcome, DeviceMetric, LinkState
from cloud.devices.site import SiteFile
from cloud.kit.sql import Connection
from cloud.notify import journal
from cloud.people.audit_store import add_audit
from contract.messages import Birth, Detail

TAKEOVER_MS: Final = 300_000
AUDITED: Final = 100


def import_site(connection: Connection, site: SiteFile) -> None:
    """Take a site file over, within the caller's transaction; the same file again changes nothing."""
    place_store.save_site(connection, site.community(), [part.place() for part in site.places])
    place_store.save_edge_names(connection, [(edge.id, edge.name) for edge in site.edges])
    place_store.save_positions(connection, [(d.id, d.x, d.y) for d in site.devices])


def apply_birth(connection: Connection, edge: str, birth: Birth, at: int) -> BirthOutcome:
    """Register what an edge says it has; the same birth again changes nothing but its time.

    A device belongs to the edge that bore it first, until that edge's birth no longer names it, somebody
    retires that edge, or it has been offline for `TAKEOVER_MS` when another edge names the device: a box that was
    exchanged under a new name needs nobody's help, and a wrong configuration cannot speak for the detectors of
    an edge that is there. The aliases are kept as they were accepted, so that a backlog can still be read after
    a device has moved. `at` is Unix ms by our clock.
    """
    if store.has_complete_birth(connection, edge, birth.model):
        store.save_birth(connection, edge, birth, at, is_complete=True)
        return BirthOutcome(is_new=False)
    owners = store.owners(connection, [device.id for device in birth.devices])
    taken = _take_over(connection, edge, owners, at)
    owners.update(dict.fromkeys(taken, edge))
    foreign = tuple(sorted(device for device, owner in owners.items() if owner != edge))
    own = [device for device in birth.devices if owners.get(device.id, edge) == edge]
    metrics: dict[str, list[DeviceMetric]] = defaultdict(list)
    for metric in birth.metrics:
        low, high = _finite(metric.low), _finite(metric.high)
        metrics[metric.device].append(DeviceMetric(metric.metric, low, high))
    store.save_birth(connection, edge, birth, at, is_complete=not foreign)
    store.save_model(connection, edge, alias_plan(birth, frozenset(foreign)), at)
    store.save_devices(connection, edge, own, metrics, at)
    retired = store.retire_missing(connection, edge, (device.id for device in own), at)
    _tell_edge(connection, edge, at)
    for device_id in taken:
        _tell_device(connection, device_id, at)
    return BirthOutcome(is_new=True, foreign=foreign, retired=tuple(retired), taken=taken)


def _take_over(
    connection: Connection, edge: str, owners: Mapping[str, str], at: int
) -> tuple[str, ...]:
    """Give the devices that move to this edge because theirs is gone; each move is written down."""
    gone = store.gone_edges(connection, set(owners.values()) - {edge}, at - TAKEOVER_MS)
    taken = tuple(sorted(device for device, owner in owners.items() if owner in gone))
    for former in sorted(gone):
        moved = [device for device in taken if owners[device] == former]
        # Its next birth must be judged anew, though it may be the same as ever.
        store.mark_incomplete(connection, former)
        _tell_edge(connection, former, at)
        add_audit(
            connection, at=at, actor="system", action="devices_taken_over", subject=edge,
            detail={"from": former, "count": len(moved), "devices": moved[:AUDITED]},
        )  # fmt: skip
    return taken


def alias_plan(birth: Birth, foreign: frozenset[str]) -> AliasPlan:
    """Give the aliases of a birth, those of `foreign` devices apart."""
    return AliasPlan(
        birth.model,
        tuple(
            (metric.alias, metric.device, metric.metric)
            for metric in birth.metrics
            if metric.device not in foreign
        ),
        tuple(metric.alias for metric in birth.metrics if metric.device in foreign),
    )


def apply_link(
    connection: Connection, device: str, *, is_up: bool, measured_at: int, reason: str, at: int
) -> None:
    """Note that a device's link came or went; `measured_at` by the edge's clock, `at` by ours."""
    state = LinkState.UP if is_up else LinkState.DOWN
    store.set_link(connection, device, state=state, at=measured_at, reason=reason)
    _tell_device(connection, device, at)


def apply_self_test(
    connection: Connection, device: str, *, measured_at: int, detail: Detail, at: int
) -> None:
    """Note a self-test; it passed unless `detail.ok` says otherwise."""
    is_ok = bool(detail.get("ok", True))
    store.set_self_test(connection, device, at=measured_at, is_ok=is_ok)
    _tell_device(connection, device, at)


def apply_online(connection: Connection, edge: str, *, is_online: bool, at: int) -> None:
    """Note that an edge came or went at `at`."""
    store.set_online(connection, edge, is_online=is_online, at=at)
    _tell_edge(connection, edge, at)


def retire_edge(connection: Connection, edge: str, at: int) -> None:
    """Mark an edge and all its devices as gone, so that they may belong to another."""
    store.retire_missing(connection, edge, (), at)
    store.retire_edge(connection, edge, at)
    _tell_edge(connection, edge, at)


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _tell_device(connection: Connection, device_id: str, at: int) -> None:
    device = store.device(connection, device_id)
    if device is None:
        return
    body: dict[str, Any] = {
        "id": device.id, "edge": device.edge, "link": device.link.value, "link_since": device.link_since,
        "link_reason": device.link_reason, "self_test_at": device.self_test_at,
        "self_test_ok": device.self_test_ok, "updated_at": at,
    }  # fmt: skip
    journal.append(connection, at=at, kind="device", subject=device.id, body=body)


def _tell_edge(connection: Connection, edge_id: str, at: int) -> None:
    edge = store.edge(connection, edge_id)
    if edge is None:
        return
    body: dict[str, Any] = {
        "id": edge.id, "name": edge.name, "is_online": edge.is_online,
        "online_since": edge.online_since, "born_at": edge.born_at, "updated_at": at,
    }  # fmt: skip
    journal.append(connection, at=at, kind="edge", subject=edge.id, body=body)
