"""Tables and statements of edge nodes, their births and their devices."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec
import sqlalchemy as sa

from cloud.devices.model import AliasPlan, Device, DeviceMetric, Edge, LinkState
from cloud.kit.sql import Connection, insert, metadata
from contract.messages import Birth, DeviceBirth

MODELS_KEPT: Final = 8

edge_table: Final = sa.Table(
    "edge",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("name", sa.String(120), nullable=False, server_default=""),
    sa.Column("is_online", sa.Boolean),
    sa.Column("online_since", sa.BigInteger),
    sa.Column("last_seen_at", sa.BigInteger),
    sa.Column("born_at", sa.BigInteger),
    sa.Column("model", sa.BigInteger),
    sa.Column("is_complete", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("software", sa.String(80), nullable=False, server_default=""),
    sa.Column("boot", sa.BigInteger),
    sa.Column("config_version", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("retired_at", sa.BigInteger),
)
edge_model_table: Final = sa.Table(
    "edge_model",
    metadata,
    sa.Column("edge", sa.String(64), primary_key=True),
    sa.Column("model", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("last_at", sa.BigInteger, nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
)
device_table: Final = sa.Table(
    "device",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("edge", sa.String(64), nullable=False, index=True),
    sa.Column("kind", sa.String(64), nullable=False),
    sa.Column("model", sa.String(64), nullable=False),
    sa.Column("name", sa.String(120), nullable=False),
    sa.Column("place", sa.String(120), nullable=False),
    sa.Column("gateway", sa.String(64), nullable=False),
    sa.Column("period_s", sa.Float, nullable=False),
    sa.Column("born_at", sa.BigInteger, nullable=False),
    sa.Column("link", sa.String(8), nullable=False, server_default=LinkState.UNKNOWN.value),
    sa.Column("link_since", sa.BigInteger),
    sa.Column("link_reason", sa.String(200), nullable=False, server_default=""),
    sa.Column("self_test_at", sa.BigInteger),
    sa.Column("self_test_ok", sa.Boolean),
    sa.Column("retired_at", sa.BigInteger),
    sa.Column("metrics", sa.JSON, nullable=False),
)
position_table: Final = sa.Table(
    "device_position",
    metadata,
    sa.Column("device", sa.String(64), primary_key=True),
    sa.Column("x", sa.Float, nullable=False),
    sa.Column("y", sa.Float, nullable=False),
)


def edges(connection: Connection) -> dict[str, Edge]:
    """Give all edge nodes that are not retired, by id."""
    statement = sa.select(edge_table).where(edge_table.c.retired_at.is_(None))
    return {row.id: _edge(row) for row in connection.execute(statement.order_by(edge_table.c.id))}


def edges_revision(connection: Connection) -> int:
    """Give a number that changes with every birth that says something new, and when edges or devices move."""
    columns = edge_table.c
    statement = sa.select(columns.id, columns.model, columns.is_complete, columns.retired_at)
    return hash(frozenset(tuple(row) for row in connection.execute(statement)))


def edge(connection: Connection, edge_id: str) -> Edge | None:
    """Give one edge node, also a retired one."""
    row = connection.execute(sa.select(edge_table).where(edge_table.c.id == edge_id)).one_or_none()
    return _edge(row) if row is not None else None


def _edge(row: Any) -> Edge:  # noqa: ANN401 - a database row
    return Edge(
        row.id, row.name, row.is_online, row.online_since, row.last_seen_at, row.born_at,
        row.model, row.software, row.boot, row.config_version, row.retired_at,
    )  # fmt: skip


def devices(connection: Connection, *, with_retired: bool = False) -> dict[str, Device]:
    """Give the devices by id, in the order of their ids."""
    statement = _device_query()
    if not with_retired:
        statement = statement.where(device_table.c.retired_at.is_(None))
    rows = connection.execute(statement.order_by(device_table.c.id))
    return {row.id: _device(row) for row in rows}


def device(connection: Connection, device_id: str) -> Device | None:
    """Give one device, also a retired one."""
    row = connection.execute(_device_query().where(device_table.c.id == device_id)).one_or_none()
    return _device(row) if row is not None else None


def _device_query() -> "sa.Select[Any]":
    return sa.select(device_table, position_table.c.x, position_table.c.y).join_from(
        device_table, position_table, device_table.c.id == position_table.c.device, isouter=True
    )


def _device(row: Any) -> Device:  # noqa: ANN401 - a database row
    return Device(
        id=row.id, edge=row.edge, kind=row.kind, model=row.model, name=row.name, place=row.place,
        gateway=row.gateway, period_s=row.period_s, born_at=row.born_at, x=row.x, y=row.y,
        link=LinkState(row.link), link_since=row.link_since, link_reason=row.link_reason,
        self_test_at=row.self_test_at, self_test_ok=row.self_test_ok, retired_at=row.retired_at,
        metrics=tuple(DeviceMetric(*metric) for metric in row.metrics),
    )  # fmt: skip


def has_complete_birth(connection: Connection, edge_id: str, model: int) -> bool:
    """Tell whether exactly this birth was taken already, without a device left out."""
    statement = sa.select(edge_table.c.model, edge_table.c.is_complete, edge_table.c.retired_at)
    row = connection.execute(statement.where(edge_table.c.id == edge_id)).one_or_none()
    return (
        row is not None and row.model == model and bool(row.is_complete) and row.retired_at is None
    )


def save_birth(
    connection: Connection, edge_id: str, birth: Birth, at: int, *, is_complete: bool
) -> None:
    """Note what an edge said of itself at `at` (Unix ms)."""
    values = {
        "born_at": at, "model": birth.model, "software": birth.software[:80], "boot": birth.boot,
        "config_version": birth.config_version, "is_complete": is_complete, "retired_at": None,
        "last_seen_at": at,
    }  # fmt: skip
    statement = insert(connection, edge_table).values(id=edge_id, **values)
    connection.execute(statement.on_conflict_do_update(index_elements=["id"], set_=values))


def save_model(connection: Connection, edge_id: str, plan: AliasPlan, at: int) -> None:
    """Keep the aliases of a birth, so that its data can be read after a restart; the newest few stay."""
    values = {"last_at": at, "body": msgspec.msgpack.encode(plan)}
    statement = insert(connection, edge_model_table).values(
        edge=edge_id, model=plan.model, **values
    )
    connection.execute(
        statement.on_conflict_do_update(index_elements=["edge", "model"], set_=values)
    )
    mine = edge_model_table.c.edge == edge_id
    newest = (
        sa.select(edge_model_table.c.model)
        .where(mine)
        .order_by(edge_model_table.c.last_at.desc())
        .limit(MODELS_KEPT)
    )
    connection.execute(
        sa.delete(edge_model_table).where(mine, edge_model_table.c.model.not_in(newest))
    )


def models(connection: Connection) -> list[tuple[str, AliasPlan]]:
    """Give (edge, aliases) of all births that are kept."""
    statement = sa.select(edge_model_table.c.edge, edge_model_table.c.body)
    return [
        (row.edge, msgspec.msgpack.decode(row.body, type=AliasPlan))
        for row in connection.execute(statement.order_by(edge_model_table.c.last_at))
    ]


def owners(connection: Connection, ids: Sequence[str]) -> dict[str, str]:
    """Give the edge of each of these devices that is registered and not retired."""
    found: dict[str, str] = {}
    for start in range(0, len(ids), 500):
        statement = sa.select(device_table.c.id, device_table.c.edge).where(
            device_table.c.id.in_(ids[start : start + 500]), device_table.c.retired_at.is_(None)
        )
        found.update((row.id, row.edge) for row in connection.execute(statement))
    return found


def gone_edges(connection: Connection, edges: Iterable[str], border: int) -> set[str]:
    """Give those of these edges that are offline since before `border` (Unix ms), and still so."""
    columns = edge_table.c
    statement = sa.select(columns.id).where(
        columns.id.in_(sorted(edges)), columns.is_online.is_(False), columns.online_since <= border
    )
    return set(connection.execute(statement).scalars())


def mark_incomplete(connection: Connection, edge_id: str) -> None:
    """Have the next birth of an edge judged anew."""
    statement = sa.update(edge_table).where(edge_table.c.id == edge_id)
    connection.execute(statement.values(is_complete=False))


def claimants(connection: Connection, border: int) -> list[str]:
    """Give the edges that name devices of others, if there is one that is offline since before `border` (Unix ms)."""
    columns = edge_table.c
    owner = edge_table.alias()
    is_gone = sa.exists().where(
        owner.c.is_online.is_(False), owner.c.online_since <= border, device_table.c.edge == owner.c.id,
        device_table.c.retired_at.is_(None),
    )  # fmt: skip
    statement = sa.select(columns.id).where(
        columns.is_online.is_(True), columns.is_complete.is_(False), columns.model.is_not(None), is_gone
    )  # fmt: skip
    return list(connection.execute(statement.order_by(columns.id)).scalars())


def save_devices(
    connection: Connection,
    edge_id: str,
    births: Iterable[DeviceBirth],
    metrics: Mapping[str, list[DeviceMetric]],
    at: int,
) -> None:
    """Write devices as a birth describes them; what was learned of their links stays."""
    for birth in births:
        values = {
            "edge": edge_id, "kind": birth.kind[:64], "model": birth.model[:64], "name": birth.name[:120],
            "place": birth.place[:120], "gateway": birth.gateway[:64], "period_s": birth.period_s,
            "born_at": at, "retired_at": None,
            "metrics": [[m.metric, m.low, m.high] for m in metrics.get(birth.id, ())],
        }  # fmt: skip
        statement = insert(connection, device_table).values(id=birth.id, **values)
        connection.execute(statement.on_conflict_do_update(index_elements=["id"], set_=values))


def retire_missing(
    connection: Connection, edge_id: str, present: Iterable[str], at: int
) -> list[str]:
    """Mark the devices that this edge no longer names as retired, and tell which these were."""
    statement = sa.select(device_table.c.id).where(
        device_table.c.edge == edge_id, device_table.c.retired_at.is_(None)
    )
    gone = sorted(set(connection.execute(statement).scalars()) - set(present))
    for start in range(0, len(gone), 500):
        connection.execute(
            sa.update(device_table)
            .where(device_table.c.id.in_(gone[start : start + 500]))
            .values(retired_at=at, link=LinkState.UNKNOWN.value, link_since=at)
        )
    return gone


def retire_edge(connection: Connection, edge_id: str, at: int) -> None:
    """Mark an edge as gone for good, so that its devices may belong to another."""
    connection.execute(
        sa.update(edge_table).where(edge_table.c.id == edge_id).values(retired_at=at)
    )


def set_link(
    connection: Connection, device_id: str, *, state: LinkState, at: int, reason: str
) -> None:
    """Note a device's link; an older fact never overwrites a newer one."""
    is_newer = sa.or_(device_table.c.link_since.is_(None), device_table.c.link_since <= at)
    connection.execute(
        sa.update(device_table)
        .where(device_table.c.id == device_id, is_newer)
        .values(link=state.value, link_since=at, link_reason=reason[:200])
    )


def set_self_test(connection: Connection, device_id: str, *, at: int, is_ok: bool) -> None:
    """Note a device's newest self-test."""
    is_newer = sa.or_(device_table.c.self_test_at.is_(None), device_table.c.self_test_at <= at)
    connection.execute(
        sa.update(device_table)
        .where(device_table.c.id == device_id, is_newer)
        .values(self_test_at=at, self_test_ok=is_ok)
    )


def set_online(connection: Connection, edge_id: str, *, is_online: bool, at: int) -> None:
    """Note that an edge came or went at `at` (Unix ms)."""
    values = {"is_online": is_online, "online_since": at}
    statement = insert(connection, edge_table).values(id=edge_id, **values)
    connection.execute(statement.on_conflict_do_update(index_elements=["id"], set_=values))


def set_seen(connection: Connection, seen: Mapping[str, int]) -> None:
    """Note when edges were last heard of (Unix ms)."""
    statement = (
        sa.update(edge_table)
        .where(edge_table.c.id == sa.bindparam("edge_id"))
        .values(last_seen_at=sa.bindparam("seen_at"))
    )
    if seen:
        rows = [{"edge_id": edge_id, "seen_at": at} for edge_id, at in seen.items()]
        connection.execute(statement, rows)
