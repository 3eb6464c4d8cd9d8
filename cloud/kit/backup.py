"""Copies of the application database while it is in use, checked before they appear.

https://sqlite.org/lang_vacuum.html#vacuuminto: one read transaction, so writers go on meanwhile.
"""

import sqlite3
from contextlib import closing
from pathlib import Path

from cloud.errors import ConflictError, UnavailableError
from cloud.kit.disk import sync
from cloud.kit.sql import Database


def copy_database(database: Database, target: Path) -> int:
    """Write a compact copy to `target` and give its size in bytes.

    Raises:
        ConflictError: the file exists already.
        UnavailableError: it is not SQLite, or the copy is damaged.
    """
    if not database.is_sqlite or database.url.database is None:
        raise UnavailableError("only SQLite is copied here", "back PostgreSQL up with pg_dump")
    if target.exists():
        raise ConflictError(f"{target} exists already", "choose a new folder")
    part = target.with_name(target.name + ".part")
    part.unlink(missing_ok=True)
    try:
        with closing(sqlite3.connect(database.url.database, isolation_level=None)) as source:
            source.execute("vacuum into ?", (str(part),))
    except sqlite3.Error as error:
        raise UnavailableError(f"cannot copy the database: {error}", "look at the disk") from None
    check_copy(part)
    sync(part)
    part.rename(target)
    sync(target.parent)
    return target.stat().st_size


def check_copy(file: Path) -> None:
    """Let SQLite look through a whole file.

    Raises:
        UnavailableError: it is damaged or no database.
    """
    try:
        with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as copy:
            found = copy.execute("pragma quick_check").fetchone()[0]
    except sqlite3.Error as error:
        found = str(error)
    if found != "ok":
        raise UnavailableError(f"{file} is damaged: {found}", "do not use it; look at the disk")
