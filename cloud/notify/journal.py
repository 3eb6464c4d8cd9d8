"""The journal: every change a screen must hear of, numbered without gaps in the transaction that makes it.

A screen resumes from the number it last saw, so a number must never be reused or skipped: the head is a row, not a
database sequence, because sequences leave gaps when a transaction rolls back.
"""

from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from cloud.kit.sql import Connection, announce, metadata

CHANNEL: Final = "linli_journal"
"""Where PostgreSQL announces that the journal grew."""

journal_table: Final = sa.Table(
    "journal",
    metadata,
    sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("kind", sa.String(32), nullable=False),
    sa.Column("subject", sa.String(96), nullable=False),
    sa.Column("body", sa.JSON, nullable=False),
)
head_table: Final = sa.Table(
    "journal_head",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("epoch", sa.BigInteger, nullable=False),
    sa.Column("seq", sa.BigInteger, nullable=False),
)


@dataclass(frozen=True, slots=True)
class Head:
    """Where the journal stands; `epoch` changes only when the database is made anew or restored."""

    epoch: int
    seq: int


@dataclass(frozen=True, slots=True)
class Entry:
    """One change: `kind` says of what (`alert`, `device`, `edge`), `subject` of which."""

    seq: int
    at: int
    kind: str
    subject: str
    body: dict[str, Any]


def start(connection: Connection, epoch: int) -> Head:
    """Make the head row if the database is new; `epoch` is then kept for good."""
    row = connection.execute(sa.select(head_table)).one_or_none()
    if row is None:
        connection.execute(sa.insert(head_table).values(id=1, epoch=epoch, seq=0))
        return Head(epoch, 0)
    return Head(row.epoch, row.seq)


def renew(connection: Connection, epoch: int) -> Head:
    """Begin a new epoch, later than the present one: every screen then fetches everything anew.

    Needed when the database came back from a backup, since its next numbers were already given out once.
    """
    present = head(connection)
    newer = max(epoch, present.epoch + 1)
    connection.execute(sa.update(head_table).values(epoch=newer))
    return Head(newer, present.seq)


def append(
    connection: Connection, *, at: int, kind: str, subject: str, body: dict[str, Any]
) -> int:
    """Add a change inside the caller's transaction and give its number, which its body carries as `seq`."""
    statement = sa.update(head_table).values(seq=head_table.c.seq + 1).returning(head_table.c.seq)
    seq: int = connection.execute(statement).scalar_one()
    connection.execute(
        sa.insert(journal_table).values(
            seq=seq, at=at, kind=kind, subject=subject, body={**body, "seq": seq}
        )
    )
    announce(connection, CHANNEL)
    return seq


def head(connection: Connection) -> Head:
    """Tell the epoch and the newest number."""
    row = connection.execute(sa.select(head_table)).one()
    return Head(row.epoch, row.seq)


def after(connection: Connection, seq: int, limit: int = 1_000) -> list[Entry]:
    """Give the changes after `seq`, oldest first, at most `limit`."""
    statement = (
        sa.select(journal_table)
        .where(journal_table.c.seq > seq)
        .order_by(journal_table.c.seq)
        .limit(limit)
    )
    return [
        Entry(row.seq, row.at, row.kind, row.subject, row.body)
        for row in connection.execute(statement)
    ]


def forget_before(connection: Connection, at: int) -> int:
    """Remove changes older than `at` (Unix ms) and tell how many went; the head stays."""
    return connection.execute(sa.delete(journal_table).where(journal_table.c.at < at)).rowcount
