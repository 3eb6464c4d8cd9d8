"""Table of failed logins, by user and by address; bounded, because anybody can add to it."""

from typing import Final

import sqlalchemy as sa

from cloud.kit.sql import Connection, insert, metadata
from cloud.people.model import Attempts

ATTEMPT_ROWS: Final = 10_000

attempt_table: Final = sa.Table(
    "login_attempt",
    metadata,
    sa.Column("key", sa.String(130), primary_key=True),
    sa.Column("failures", sa.Integer, nullable=False),
    sa.Column("last_at", sa.BigInteger, nullable=False, index=True),
    sa.Column("blocked_until", sa.BigInteger, nullable=False),
)


def attempts(connection: Connection, key: str) -> Attempts:
    """Give the failed logins under a key."""
    row = connection.execute(
        sa.select(attempt_table).where(attempt_table.c.key == key)
    ).one_or_none()
    return Attempts() if row is None else Attempts(row.failures, row.last_at, row.blocked_until)


def set_attempts(connection: Connection, key: str, counted: Attempts) -> None:
    """Store the failed logins under a key; the table keeps the newest 10,000 keys."""
    values = {
        "failures": counted.failures,
        "last_at": counted.last_at,
        "blocked_until": counted.blocked_until,
    }
    connection.execute(
        insert(connection, attempt_table)
        .values(key=key, **values)
        .on_conflict_do_update(index_elements=["key"], set_=values)
    )
    overflow = (
        sa.select(attempt_table.c.last_at)
        .order_by(attempt_table.c.last_at.desc())
        .offset(ATTEMPT_ROWS)
        .limit(1)
        .scalar_subquery()
    )
    connection.execute(sa.delete(attempt_table).where(attempt_table.c.last_at <= overflow))


def clear_attempts(connection: Connection, keys: list[str]) -> None:
    """Forget the failed logins under these keys."""
    connection.execute(sa.delete(attempt_table).where(attempt_table.c.key.in_(keys)))


def forget_attempts(connection: Connection, before: int) -> int:
    """Remove what was counted before `before` (Unix ms) and tell how many rows went."""
    return connection.execute(
        sa.delete(attempt_table).where(attempt_table.c.last_at <= before)
    ).rowcount
