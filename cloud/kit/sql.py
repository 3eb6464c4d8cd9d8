"""The door to SQLAlchemy: engines whose transactions begin as they must, on SQLite and PostgreSQL.

SQLite's driver begins no transaction before a SELECT and a deferred one cannot be upgraded under load (300 of 360
concurrent updates were lost, then 286 refused), so writers BEGIN IMMEDIATE and readers get a query-only engine
of their own.
"""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.pool import ConnectionPoolEntry

NAMING: Final = {
    "ix": "ix_%(column_0_label)s",
    "uq": "uq_%(table_name)s_%(column_0_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}

metadata: Final = sa.MetaData(naming_convention=NAMING)
"""Every slice's `store.py` declares its tables on this; the migrations are tested to produce exactly it."""

Connection = sa.Connection
DatabaseError: Final = sa.exc.DBAPIError
"""The database refuses or is not there: what the driver raised, as SQLAlchemy wraps it."""


class Database:
    """The application database: people, devices, alerts, marks, journal.

    Args:
        url: `sqlite:////path/app.db` or `postgresql+psycopg://…`.
    """

    def __init__(self, url: str) -> None:
        self.url = sa.make_url(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self._write_lock = threading.Lock()
        if self.is_sqlite:
            self._writer = sa.create_engine(url, pool_size=1, max_overflow=0, pool_timeout=60)
            self._reader = sa.create_engine(url, pool_size=8, max_overflow=8)
            sa.event.listen(self._writer, "connect", _prepare_sqlite_writer)
            sa.event.listen(self._writer, "begin", _begin_immediate)
            sa.event.listen(self._reader, "connect", _prepare_sqlite_reader)
            sa.event.listen(self._reader, "begin", _begin_deferred)
        else:
            self._writer = self._reader = sa.create_engine(url, pool_size=8, max_overflow=8)

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Open the one transaction of a command: commits at the end, rolls back on any error.

        Never wait for the network inside it.
        """
        if self.is_sqlite:
            with self._write_lock, self._writer.begin() as connection:
                yield connection
        else:
            with self._writer.begin() as connection:
                yield connection

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Open a consistent view for reading."""
        with self._reader.begin() as connection:
            yield connection

    def create_all(self) -> None:
        """Make every declared table; for tests and tools, a service migrates instead."""
        with self.write() as connection:
            metadata.create_all(connection)

    def close(self) -> None:
        """Close all connections."""
        self._writer.dispose()
        self._reader.dispose()


def _prepare_sqlite_writer(raw: Any, _entry: ConnectionPoolEntry) -> None:  # noqa: ANN401 - DBAPI type
    _pragmas(raw, "journal_mode=WAL", "synchronous=FULL")


def _prepare_sqlite_reader(raw: Any, _entry: ConnectionPoolEntry) -> None:  # noqa: ANN401 - DBAPI type
    _pragmas(raw, "query_only=ON")


def _pragmas(raw: Any, *extra: str) -> None:  # noqa: ANN401 - DBAPI type
    if not isinstance(raw, sqlite3.Connection):
        raise TypeError(f"expected a sqlite3 connection, not {type(raw)}")
    raw.isolation_level = None
    for pragma in ("busy_timeout=10000", "foreign_keys=ON", "cache_size=-16384", *extra):
        raw.execute(f"pragma {pragma}")


def _begin_immediate(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _begin_deferred(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN")


def insert(connection: Connection, table: sa.Table) -> "sqlite.Insert | postgresql.Insert":
    """Give the dialect's INSERT, which knows `on_conflict_do_update` and `on_conflict_do_nothing`."""
    if connection.dialect.name == "sqlite":
        return sqlite.insert(table)
    return postgresql.insert(table)
