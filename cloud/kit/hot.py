"""The door to bare `sqlite3` for the hot path of series: no layer between a batch of rows and the disk.

SQLAlchemy costs more per row than SQLite itself, and the application database must not wait behind bulk appends,
so readings have a file of their own. https://sqlite.org/wal.html, https://sqlite.org/pragma.html#pragma_auto_vacuum
"""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from cloud.errors import UnavailableError

PAGE_BYTES: Final = 4096
WRITER_CHECKPOINT_PAGES: Final = 32_768
"""Only when nobody else checkpoints for 128 MB of log does a writer stop to do it itself."""

_WAIT: Final = "busy_timeout=10000"
_TURN_PAUSE_S: Final = 0.001
_TURN_TRIES: Final = 10_000

Connection = sqlite3.Connection


def open_writer(path: Path) -> Connection:
    """Open a connection that may write: WAL, every commit on the disk when it returns.

    The file gets incremental vacuum, which SQLite accepts only before the first table.

    Raises:
        UnavailableError: the folder or the file cannot be written.
    """
    connection = _open(path, "rwc")
    pragmas = (
        _WAIT,
        "auto_vacuum=INCREMENTAL",
        "journal_mode=WAL",
        "synchronous=FULL",
        # Some distributions switch this on: emptying a table would then write every page of it once more.
        "secure_delete=OFF",
        "cache_size=-32768",
        "journal_size_limit=67108864",
        f"wal_autocheckpoint={WRITER_CHECKPOINT_PAGES}",
    )
    for pragma in pragmas:
        connection.execute(f"pragma {pragma}")
    return connection


def open_reader(path: Path) -> Connection:
    """Open a connection that cannot change anything; any number of processes may.

    Raises:
        UnavailableError: there is no such file.
    """
    connection = _open(path, "rw")
    for pragma in (_WAIT, "cache_size=-16384", "query_only=ON"):
        connection.execute(f"pragma {pragma}")
    return connection


def _open(path: Path, mode: str) -> Connection:
    uri = f"{path.absolute().as_uri()}?mode={mode}"
    try:
        return sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)
    except sqlite3.OperationalError as error:
        raise UnavailableError(f"series database {path}: {error}", "check the folder") from error


@contextmanager
def writing(connection: Connection) -> Iterator[None]:
    """Hold the one write transaction; commits at the end, rolls back on any error.

    Raises:
        UnavailableError: the disk is full, or another writer held the file for 10 s; nothing was kept, try again.
    """
    try:
        _take_turn(connection)
        try:
            yield
            connection.execute("commit")
        except BaseException:
            if connection.in_transaction:
                connection.execute("rollback")
            raise
    except sqlite3.OperationalError as error:
        raise UnavailableError(
            f"series database refused a write: {error}", "free disk space"
        ) from error


def _take_turn(connection: Connection) -> None:
    # SQLite's own waiting sleeps up to 100 ms at a time; beside a busy writer it was seen to lose for seconds.
    connection.execute("pragma busy_timeout=0")
    try:
        for _ in range(_TURN_TRIES):
            try:
                connection.execute("begin immediate")
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                    raise
                time.sleep(_TURN_PAUSE_S)
            else:
                return
        connection.execute("begin immediate")
    finally:
        connection.execute(f"pragma {_WAIT}")


@contextmanager
def reading(connection: Connection) -> Iterator[None]:
    """Hold one consistent view; close it soon, it keeps the log from being reused."""
    connection.execute("begin")
    try:
        yield
    finally:
        connection.execute("commit")


def checkpoint(connection: Connection, restart_above_pages: int) -> int:
    """Move the log into the file without making writers wait.

    A passive pass copies nearly everything beside the writers; only when the log is long is a second pass asked to
    make the next writer start it anew, and then there is little left to copy while they wait; it gives up after 50 ms,
    for it waits for readers while it keeps writers out.

    Returns:
        Pages in the log.
    """
    _busy, log, _done = connection.execute("pragma wal_checkpoint(PASSIVE)").fetchone()
    if log > restart_above_pages:
        connection.execute("pragma busy_timeout=50")
        connection.execute("pragma wal_checkpoint(RESTART)").fetchone()
        connection.execute(f"pragma {_WAIT}")
    return int(log)


def give_back(connection: Connection, pages: int) -> None:
    """Return up to `pages` free pages to the file system.

    `execute` would step once and free a single page (measured); a script runs to its end.
    """
    connection.executescript(f"pragma incremental_vacuum({pages})")


def is_sound(path: Path) -> bool:
    """Tell whether SQLite finds no fault in a copy."""
    connection = open_reader(path)
    try:
        return bool(connection.execute("pragma quick_check").fetchall() == [("ok",)])
    finally:
        connection.close()
