"""Tables of screens: what each has displayed, which urgent alerts nobody saw in time; and the watch on the database."""

import sqlite3
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from cloud.kit.sql import Connection, Database, insert, metadata
from cloud.notify import journal

_SCREENS_KEPT: Final = 5_000
_SQLITE_POLL_S: Final = 0.01
_LISTEN_S: Final = 0.2

displayed_table: Final = sa.Table(
    "displayed",
    metadata,
    sa.Column("screen", sa.String(64), primary_key=True),
    sa.Column("user_id", sa.String(36), nullable=False),
    sa.Column("epoch", sa.BigInteger, nullable=False),
    sa.Column("seq", sa.BigInteger, nullable=False),
    sa.Column("at", sa.BigInteger, nullable=False, index=True),
)
unseen_table: Final = sa.Table(
    "unseen",
    metadata,
    sa.Column("alert", sa.String(96), primary_key=True),
    sa.Column("seq", sa.BigInteger, nullable=False),
    sa.Column("at", sa.BigInteger, nullable=False),
)


@dataclass(frozen=True, slots=True)
class Receipt:
    """One screen has displayed everything up to `seq`; `at` is Unix ms."""

    screen: str
    user_id: str
    epoch: int
    seq: int
    at: int


def store_receipt(connection: Connection, receipt: Receipt) -> None:
    """Note what a screen has displayed; within an epoch the number never goes back."""
    statement = insert(connection, displayed_table).values(
        screen=receipt.screen,
        user_id=receipt.user_id,
        epoch=receipt.epoch,
        seq=receipt.seq,
        at=receipt.at,
    )
    columns = displayed_table.c
    furthest = sa.case(
        ((columns.epoch == receipt.epoch) & (columns.seq > receipt.seq), columns.seq),
        else_=receipt.seq,
    )
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=["screen"],
            set_={
                "user_id": receipt.user_id,
                "epoch": receipt.epoch,
                "seq": furthest,
                "at": receipt.at,
            },
        )
    )


def receipts(connection: Connection, limit: int) -> list[Receipt]:
    """Give what the screens have displayed, latest first."""
    statement = sa.select(displayed_table).order_by(displayed_table.c.at.desc()).limit(limit)
    return [
        Receipt(row.screen, row.user_id, row.epoch, row.seq, row.at)
        for row in connection.execute(statement)
    ]


def furthest_displayed(connection: Connection, epoch: int) -> int:
    """Give the newest number that any screen has displayed in this epoch, 0 when none has."""
    statement = sa.select(sa.func.max(displayed_table.c.seq)).where(
        displayed_table.c.epoch == epoch
    )
    return connection.execute(statement).scalar() or 0


def forget_receipts(connection: Connection, before: int) -> int:
    """Remove receipts older than `before` (Unix ms) and beyond the newest 5,000; tell how many went."""
    overflow = (
        sa.select(displayed_table.c.at)
        .order_by(displayed_table.c.at.desc())
        .offset(_SCREENS_KEPT)
        .limit(1)
        .scalar_subquery()
    )
    statement = sa.delete(displayed_table).where(
        (displayed_table.c.at < before) | (displayed_table.c.at <= overflow)
    )
    return connection.execute(statement).rowcount


def mark_unseen(connection: Connection, *, alert: str, seq: int, at: int) -> bool:
    """Note that nobody saw an urgent alert in time; False when that was noted before."""
    statement = (
        insert(connection, unseen_table)
        .values(alert=alert, seq=seq, at=at)
        .on_conflict_do_nothing(index_elements=["alert"])
        .returning(unseen_table.c.alert)
    )
    # PostgreSQL's driver does not count what an INSERT wrote.
    return connection.execute(statement).first() is not None


def forget_unseen(connection: Connection, before: int) -> int:
    """Remove notes older than `before` (Unix ms) and tell how many went."""
    return connection.execute(sa.delete(unseen_table).where(unseen_table.c.at < before)).rowcount


class ChangeWatch:
    """Tells cheaply whether any process has changed the database since the last question.

    SQLite counts other connections' commits in `data_version` (2 µs a question). PostgreSQL announces what is added
    to the journal: there the question waits for that, at most 200 ms, and the answer is always yes, so that
    a lost announcement delays a change but never hides it. Used from one thread.
    """

    def __init__(self, database: Database) -> None:
        self._file = database.url.database if database.is_sqlite else None
        self._listener = None if database.is_sqlite else database.listen(journal.CHANNEL)
        self.interval_s = _SQLITE_POLL_S if database.is_sqlite else 0.0
        self._connection: sqlite3.Connection | None = None
        self._version = -1

    def has_changed(self) -> bool:
        """Tell whether to look; the first answer is yes.

        Raises:
            sqlite3.Error: the database cannot be read just now.
        """
        if self._listener is not None:
            self._listener.wait(_LISTEN_S)
            return True
        if self._file is None:
            return True
        if self._connection is None:
            self._connection = sqlite3.connect(
                self._file, isolation_level=None, check_same_thread=False
            )
            self._version = -1
        version = self._connection.execute("pragma data_version").fetchone()[0]
        has_changed: bool = version != self._version
        self._version = version
        return has_changed

    def forget(self) -> None:
        """Open anew at the next question, which is then answered yes."""
        if self._listener is not None:
            self._listener.close()
        if self._connection is not None:
            self._connection.close()
            self._connection = None
