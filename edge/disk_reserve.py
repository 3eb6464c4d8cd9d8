"""A SQLite file whose disk space is taken beforehand, so that a full disk cannot stop what is written to it.

SQLite needs new disk blocks in two places: when the write-ahead log grows, and when a checkpoint
lengthens the database. Both are taken in advance here (`posix_fallocate`), and SQLite is told by
`max_page_count` never to go past what was taken: "full" is then a clean SQLITE_FULL inside our own
file, answered by growing or by dropping, never a half-written state.
"""

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from edge.errors import SpoolLockedError

PAGE_BYTES: Final = 1024
LOG_BYTES: Final = 1_048_576
CHUNK_BYTES: Final = 262_144
VACUUM_PAGES: Final = 200
_FULL: Final = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR}


def is_full(error: sqlite3.Error) -> bool:
    """Tell whether SQLite failed for want of space (its own limit or the disk's)."""
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in _FULL


class ReservedDatabase:
    """One connection, one owner: the file is locked against every other process.

    Small pages: a commit of one reading writes 1.1 kB to the log instead of 4.2 kB (measured), which
    is what an eMMC's life is made of.
    """

    def __init__(
        self, path: Path, *, is_synced: bool, limit_bytes: int, reserve_bytes: int
    ) -> None:
        """Open or create the file.

        Args:
            path: the database file; its log lies beside it.
            is_synced: True waits for the medium at each commit (survives a power cut); False
                survives the death of the process only, but never corrupts.
            limit_bytes: the database file is never made larger than this.
            reserve_bytes: space to take at once, as far as the disk gives it.

        Raises:
            SpoolLockedError: another process has the file.
            sqlite3.DatabaseError: the file is no database.
        """
        self.limit_bytes = limit_bytes
        self._files: list[int] = []
        self._stand_in = Path(f"{path}-reserve")
        self._stand_in.unlink(missing_ok=True)
        self.connection = sqlite3.connect(
            path, isolation_level=None, check_same_thread=False, timeout=0.2
        )
        try:
            self._prepare(path, is_synced=is_synced)
        except sqlite3.OperationalError as error:
            self.close()
            if "locked" in str(error):
                raise SpoolLockedError(
                    f"{path} is in use by another process; stop that edge node first"
                ) from error
            raise
        except sqlite3.Error:
            self.close()
            raise
        self._cap()
        if self.size_bytes < reserve_bytes:
            self.grow(reserve_bytes - self.size_bytes)

    def _prepare(self, path: Path, *, is_synced: bool) -> None:
        run = self.connection.execute
        # Before anything reads the file, so that no shared-memory file is needed either.
        run("pragma locking_mode=exclusive")
        run(f"pragma page_size={PAGE_BYTES}")
        run("pragma auto_vacuum=incremental")
        run("pragma journal_mode=wal").fetchone()
        run(f"pragma synchronous={'full' if is_synced else 'normal'}")
        run(f"pragma wal_autocheckpoint={LOG_BYTES // PAGE_BYTES // 3}")
        run("begin immediate")
        run("create table if not exists reserve (filler blob)")
        run("delete from reserve")
        run("commit")
        # These handles stay open as long as the connection: closing one would give up SQLite's lock.
        self._files = [os.open(path, os.O_RDWR), os.open(f"{path}-wal", os.O_RDWR)]
        self._allocate(self._files[1], LOG_BYTES)

    @staticmethod
    def _allocate(file: int, size: int) -> bool:
        if not hasattr(os, "posix_fallocate"):
            return True
        try:
            os.posix_fallocate(file, 0, size)
        except OSError:
            return False
        return True

    @property
    def size_bytes(self) -> int:
        """Give the size of the database file, free pages in it included."""
        pages: int = self.connection.execute("pragma page_count").fetchone()[0]
        return pages * PAGE_BYTES

    def _cap(self) -> None:
        self.connection.execute(f"pragma max_page_count={self.size_bytes // PAGE_BYTES}")

    def grow(self, step: int = CHUNK_BYTES) -> bool:
        """Take `step` more bytes of disk; False when the limit or the disk does not allow it."""
        wanted = self.size_bytes + step
        if wanted > self.limit_bytes or not self._allocate(self._files[0], wanted + 8 * PAGE_BYTES):
            return False
        run = self.connection.execute
        run(f"pragma max_page_count={wanted // PAGE_BYTES + 8}")
        free = run("pragma freelist_count").fetchone()[0] * PAGE_BYTES
        try:
            with self.transaction():
                # Free pages are used first, so the filler must be larger by them to reach new ones;
                # a page carries 4 bytes of chain, and one in 204 is a map (auto_vacuum).
                filler = (free + step) * 98 // 100
                run("insert into reserve values (zeroblob(?))", (filler,))
            with self.transaction():
                run("delete from reserve")
            self.checkpoint()
        except sqlite3.OperationalError as error:
            if not is_full(error):
                raise
            return False
        finally:
            self._cap()
        return True

    def give_back(self) -> None:
        """Return the free pages to the file system."""
        before = -1
        while before != self.size_bytes:
            before = self.size_bytes
            # executescript, because execute() frees a single page.
            self.connection.executescript(f"pragma incremental_vacuum({VACUUM_PAGES})")
            self.checkpoint()
        self._cap()

    def checkpoint(self) -> None:
        """Bring the log's content into the database file, so that the log begins anew."""
        self.connection.execute("pragma wal_checkpoint(restart)").fetchall()

    def begin(self) -> None:
        """Begin a transaction."""
        self.connection.execute("begin immediate")

    def commit(self) -> None:
        """Make the transaction durable."""
        self.connection.execute("commit")

    def rollback(self) -> None:
        """Undo the transaction, if SQLite has not already done so itself."""
        if self.connection.in_transaction:
            self.connection.execute("rollback")

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """Run a block as one transaction."""
        self.begin()
        try:
            yield
            self.commit()
        except BaseException:
            self.rollback()
            raise

    def close(self) -> None:
        """Close the file and give up the lock; the log's space stays ours.

        SQLite deletes the log. Somebody else might fill the disk before the next start, and a node that
        cannot open its spool watches nothing: so a file of the same size keeps the place.
        """
        was_open = bool(self._files)
        self.connection.close()
        for file in self._files:
            os.close(file)
        self._files = []
        if was_open:
            self._keep_place()

    def _keep_place(self) -> None:
        try:
            file = os.open(self._stand_in, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError:
            return
        has_place = self._allocate(file, LOG_BYTES)
        os.close(file)
        if not has_place:
            self._stand_in.unlink(missing_ok=True)
