"""Commands to edges: rows written in a service's transaction, sent until answered or too late."""

from enum import StrEnum
from typing import Final

import msgspec
import sqlalchemy as sa

from cloud.ingest.model import QueuedCommand
from cloud.kit.sql import Connection, metadata
from contract.messages import Detail, Reply

KEEP_MS: Final = 30 * 86_400_000


class CommandState(StrEnum):
    """What became of a command."""

    QUEUED = "queued"
    DONE = "done"
    FAILED = "failed"
    EXPIRED = "expired"


command_table: Final = sa.Table(
    "edge_command",
    metadata,
    sa.Column("id", sa.String(36), primary_key=True),
    sa.Column("edge", sa.String(64), nullable=False, index=True),
    sa.Column("op", sa.String(32), nullable=False),
    sa.Column("args", sa.String(4000), nullable=False),
    sa.Column("issued_at", sa.BigInteger, nullable=False),
    sa.Column("issued_by", sa.String(64), nullable=False),
    sa.Column("expires", sa.BigInteger, nullable=False),
    sa.Column("state", sa.String(8), nullable=False, index=True),
    sa.Column("replied_at", sa.BigInteger),
    sa.Column("message", sa.String(400), nullable=False, server_default=""),
    sa.Column("result", sa.String(4000), nullable=False, server_default="{}"),
)


def add(
    connection: Connection,
    *,
    command_id: str,
    edge: str,
    op: str,
    args: Detail,
    issued_at: int,
    issued_by: str,
    expires: int,
) -> None:
    """Put a command into the outbox, within the transaction that decided it; times in Unix ms."""
    connection.execute(
        sa.insert(command_table).values(
            id=command_id,
            edge=edge,
            op=op,
            args=msgspec.json.encode(args).decode(),
            issued_at=issued_at,
            issued_by=issued_by,
            expires=expires,
            state=CommandState.QUEUED.value,
        )
    )


def waiting(connection: Connection, limit: int) -> list[QueuedCommand]:
    """Give commands that have no answer yet, oldest first."""
    columns = command_table.c
    statement = (
        sa.select(
            columns.id, columns.edge, columns.op, columns.args, columns.issued_at, columns.expires
        )
        .where(columns.state == CommandState.QUEUED.value)
        .order_by(columns.issued_at, columns.id)
        .limit(limit)
    )
    return [QueuedCommand(*row) for row in connection.execute(statement)]


def save_reply(connection: Connection, edge: str, reply: Reply, at: int) -> bool:
    """Note an edge's answer, received at `at`; tells whether the command was one of that edge's."""
    state = CommandState.DONE if reply.ok else CommandState.FAILED
    statement = (
        sa.update(command_table)
        .where(command_table.c.id == reply.id[:36], command_table.c.edge == edge)
        .values(
            state=state.value,
            replied_at=at,
            message=reply.message.replace("\x00", "")[:400],
            result=msgspec.json.encode(reply.result).decode()[:4000],
        )
    )
    return connection.execute(statement).rowcount == 1


def expire(connection: Connection, now: int) -> int:
    """Give up on commands whose time is over, forget those of last month, and tell how many gave up."""
    statement = (
        sa.update(command_table)
        .where(command_table.c.state == CommandState.QUEUED.value, command_table.c.expires <= now)
        .values(state=CommandState.EXPIRED.value)
    )
    connection.execute(
        sa.delete(command_table).where(
            command_table.c.state != CommandState.QUEUED.value,
            command_table.c.issued_at < now - KEEP_MS,
        )
    )
    return connection.execute(statement).rowcount


def state_of(connection: Connection, command_id: str) -> tuple[CommandState, str] | None:
    """Give a command's state and the edge's message, or None when there is no such command."""
    statement = sa.select(command_table.c.state, command_table.c.message)
    row = connection.execute(statement.where(command_table.c.id == command_id)).one_or_none()
    return (CommandState(row.state), row.message) if row is not None else None
