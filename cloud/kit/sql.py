"""The door to SQLAlchemy: engines whose transactions begin as they must, on SQLite and PostgreSQL.

SQLite's driver begins no transaction before a SELECT and a deferred one cannot be upgraded under load (300 of 360
concurrent updates were lost, then 286 refused), so writers BEGIN IMMEDIATE and readers get a query-only engine
of their own. PostgreSQL by itself would let a worker overwrite what a person acknowledged between its read and
its write, and give a reader two moments in one transaction; so its writers queue for one lock, its readers keep one
snapshot, and both databases obey the same laws (docs/adr/0005).
"""

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.pool import ConnectionPoolEntry, NullPool

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
WRITERS: Final = 0x4C696E6C69
"""The advisory lock that PostgreSQL's writers queue for."""
POLL_S: Final = 0.05
_LOCK_WAIT: Final = "10s"
_STALLED: Final = "60s"
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
            # A server that was restarted must not cost a failure for each connection that was open.
            pool: dict[str, Any] = {"pool_size": 8, "max_overflow": 8, "pool_pre_ping": True}
            self._writer = sa.create_engine(url, **pool)
            self._reader = sa.create_engine(
                url, isolation_level="REPEATABLE READ", **pool
            ).execution_options(postgresql_readonly=True)
            sa.event.listen(self._writer, "connect", _prepare_postgres_writer)
            sa.event.listen(self._writer, "begin", _begin_alone)

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

    def listen(self, channel: str) -> "Listener":
        """Hear what `announce` says on a channel; only PostgreSQL can."""
        return Listener(self.url, channel)

    def create_all(self) -> None:
        """Make every declared table; for tests and tools, a service migrates instead."""
        with self.write() as connection:
            metadata.create_all(connection)

    def close(self) -> None:
        """Close all connections."""
        self._writer.dispose()
        self._reader.dispose()


class Listener:
    """Waits for announcements over a connection of its own, opened when needed; used from one thread."""

    def __init__(self, url: sa.URL, channel: str) -> None:
        self._channel = channel
        self._engine = sa.create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
        self._failures = (sa.exc.DBAPIError, self._engine.dialect.loaded_dbapi.Error)
        self._connection: Connection | None = None

    def wait(self, timeout_s: float) -> None:
        """Wait for an announcement, at most so long; without a connection, 50 ms. Whoever waits looks for himself."""
        try:
            if self._connection is None:
                self._connection = self._engine.connect()
                self._connection.exec_driver_sql(f'listen "{self._channel}"')
                return
            heard: Any = self._connection.connection.driver_connection
            for _ in heard.notifies(timeout=timeout_s, stop_after=1):
                pass
        except self._failures:
            self.close()
            time.sleep(POLL_S)

    def close(self) -> None:
        """Close the connection; the next `wait` opens another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.invalidate()
            connection.close()


def announce(connection: Connection, channel: str) -> None:
    """Wake every `Listener` of a channel when this transaction commits; SQLite's watchers see commits themselves."""
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_notify(channel, "")))


def _prepare_postgres_writer(raw: Any, _entry: ConnectionPoolEntry) -> None:  # noqa: ANN401 - DBAPI type
    # A process that stalls within a transaction must not hold the district for ever.
    with raw.cursor() as cursor:
        cursor.execute(f"set lock_timeout = '{_LOCK_WAIT}'")
        cursor.execute(f"set idle_in_transaction_session_timeout = '{_STALLED}'")
    raw.commit()


def _begin_alone(connection: Connection) -> None:
    connection.exec_driver_sql(f"select pg_advisory_xact_lock({WRITERS})")


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
