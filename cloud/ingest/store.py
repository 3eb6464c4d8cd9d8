"""Tables and statements of ingest: marks of alarm and event lanes, refusals, signs of life."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Final

import sqlalchemy as sa

from cloud.ingest.lanes import EPOCHS_KEPT, LaneKey, LaneState
from cloud.ingest.model import Reason, Rejection, WorkerPulse
from cloud.kit.sql import Connection, insert, metadata
from contract.messages import Lane

REJECTIONS_KEPT: Final = 2_000

lane_table: Final = sa.Table(
    "lane_mark",
    metadata,
    sa.Column("edge", sa.String(64), primary_key=True),
    sa.Column("epoch", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("lane", sa.String(16), primary_key=True),
    sa.Column("high", sa.BigInteger, nullable=False),
    sa.Column("window", sa.String(20), nullable=False),
)
rejection_table: Final = sa.Table(
    "ingest_rejection",
    metadata,
    sa.Column("edge", sa.String(64), primary_key=True),
    sa.Column("reason", sa.String(32), primary_key=True),
    sa.Column("count", sa.BigInteger, nullable=False),
    sa.Column("first_at", sa.BigInteger, nullable=False),
    sa.Column("last_at", sa.BigInteger, nullable=False),
    sa.Column("example", sa.String(200), nullable=False),
)
pulse_table: Final = sa.Table(
    "ingest_pulse",
    metadata,
    sa.Column("name", sa.String(32), primary_key=True),
    sa.Column("owner", sa.String(120), nullable=False),
    sa.Column("started_at", sa.BigInteger, nullable=False),
    sa.Column("beat_at", sa.BigInteger, nullable=False),
    sa.Column("last_message_at", sa.BigInteger),
    sa.Column("messages", sa.BigInteger, nullable=False),
    sa.Column("readings", sa.BigInteger, nullable=False),
    sa.Column("is_connected", sa.Boolean, nullable=False),
    sa.Column("problem", sa.String(200), nullable=False),
)


def lanes(connection: Connection) -> list[tuple[LaneKey, LaneState]]:
    """Give the remembered lanes, oldest epoch first."""
    rows = connection.execute(sa.select(lane_table).order_by(lane_table.c.epoch))
    return [
        (LaneKey(row.edge, row.epoch, Lane(row.lane)), LaneState(row.high, int(row.window, 16)))
        for row in rows
    ]


def save_lanes(connection: Connection, lanes: Iterable[tuple[LaneKey, LaneState]]) -> None:
    """Remember what was received of these lanes; the oldest epochs of an edge are forgotten."""
    for key, state in lanes:
        values = {"high": state.high, "window": f"{state.window:x}"}
        statement = insert(connection, lane_table).values(
            edge=key.edge, epoch=key.epoch, lane=key.lane.value, **values
        )
        connection.execute(
            statement.on_conflict_do_update(index_elements=["edge", "epoch", "lane"], set_=values)
        )
        if not state.is_stored:
            state.is_stored = True
            _forget_epochs(connection, key)


def _forget_epochs(connection: Connection, key: LaneKey) -> None:
    """Keep the newest epochs of a lane and in any case the present one: a box without a clock counts from 1970."""
    others = sa.and_(
        lane_table.c.edge == key.edge,
        lane_table.c.lane == key.lane.value,
        lane_table.c.epoch != key.epoch,
    )
    statement = sa.select(lane_table.c.epoch).where(others).order_by(lane_table.c.epoch.desc())
    kept = list(connection.execute(statement.limit(EPOCHS_KEPT - 1)).scalars())
    if len(kept) == EPOCHS_KEPT - 1:
        connection.execute(sa.delete(lane_table).where(others, lane_table.c.epoch < kept[-1]))


def add_rejections(connection: Connection, rejections: Sequence[Rejection]) -> None:
    """Add counts to what is stored; the table stays bounded, the longest unseen go."""
    for rejection in rejections:
        values = asdict(rejection) | {"reason": rejection.reason.value}
        statement = insert(connection, rejection_table).values(**values)
        connection.execute(
            statement.on_conflict_do_update(
                index_elements=["edge", "reason"],
                set_={
                    "count": rejection_table.c.count + rejection.count,
                    "last_at": rejection.last_at,
                    "example": rejection.example,
                },
            )
        )
    if rejections:
        border = (
            sa.select(rejection_table.c.last_at)
            .order_by(rejection_table.c.last_at.desc())
            .offset(REJECTIONS_KEPT)
            .limit(1)
            .scalar_subquery()
        )
        connection.execute(sa.delete(rejection_table).where(rejection_table.c.last_at < border))


def rejections(connection: Connection, edge: str | None, limit: int) -> list[Rejection]:
    """Give the refusals of one edge or of all, the last seen first."""
    statement = sa.select(rejection_table).order_by(rejection_table.c.last_at.desc()).limit(limit)
    if edge is not None:
        statement = statement.where(rejection_table.c.edge == edge)
    return [
        Rejection(row[0], Reason(row[1]), row[2], row[3], row[4], row[5])
        for row in connection.execute(statement)
    ]


def save_pulse(connection: Connection, pulse: WorkerPulse) -> None:
    """Write a worker's sign of life over its last one."""
    values = asdict(pulse)
    statement = insert(connection, pulse_table).values(**values)
    del values["name"]
    connection.execute(statement.on_conflict_do_update(index_elements=["name"], set_=values))


def pulses(connection: Connection) -> list[WorkerPulse]:
    """Give the last signs of life of all workers."""
    rows = connection.execute(sa.select(pulse_table).order_by(pulse_table.c.name))
    return [WorkerPulse(**row._mapping) for row in rows]  # noqa: SLF001 - SQLAlchemy's public name for a row as a mapping
