"""Puts a backup back where the stores are: checked first, the present files kept, screens told to start anew."""

import shutil
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cloud import settings as cloud_settings
from cloud.errors import ConflictError, UnavailableError
from cloud.kit import migrations
from cloud.kit.backup import check_copy
from cloud.kit.sql import Database
from cloud.notify import journal
from cloud.settings import CloudSettings

_SIDES: Final = ("", "-wal", "-shm")


@dataclass(frozen=True, slots=True)
class Restored:
    """What was done: the database's revision, the journal's new epoch, and where the former files went."""

    revision: str
    epoch: int
    kept: tuple[str, ...]


def restore(settings: CloudSettings, source: Path, now_ms: int) -> Restored:
    """Put the backup in `source` in place of the present stores.

    A restored journal would number new changes like ones that screens have already seen, so it gets a new epoch:
    every screen then fetches the whole list.

    Args:
        settings: where the stores are.
        source: a folder made by `linli cloud backup`; it stays as it is.
        now_ms: Unix ms; the new epoch, and part of the names of the files that are kept.

    Raises:
        ConflictError: the service still runs.
        UnavailableError: there is no whole backup, or the database is not SQLite.
    """
    target = _target(settings)
    _require_backup(source)
    _require_stopped(settings, target, now_ms)
    kept = [*_set_aside(target, settings.series.path, now_ms)]
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source / "app.db", target)
    if (source / "series").is_dir():
        shutil.copytree(source / "series", settings.series.path)
    database = Database(cloud_settings.database_url(settings))
    try:
        revision = migrations.upgrade(database)
        with database.write() as connection:
            journal.start(connection, now_ms)
            epoch = journal.renew(connection, now_ms).epoch
    finally:
        database.close()
    return Restored(revision, epoch, tuple(kept))


def _target(settings: CloudSettings) -> Path:
    database = Database(cloud_settings.database_url(settings))
    try:
        if not database.is_sqlite or database.url.database is None:
            hint = "put it back with pg_restore, then raise `epoch` in `journal_head`"
            raise UnavailableError("only SQLite is restored here", hint)
        return Path(database.url.database)
    finally:
        database.close()


def _require_backup(source: Path) -> None:
    if not (source / "app.db").is_file():
        hint = "name a folder made by `linli cloud backup`"
        raise UnavailableError(f"there is no backup in {source}: app.db is missing", hint)
    check_copy(source / "app.db")
    if (source / "series" / "series.db").is_file():
        check_copy(source / "series" / "series.db")


def _require_stopped(settings: CloudSettings, target: Path, now_ms: int) -> None:
    hint = "stop `linli cloud serve` and `linli cloud ingest` first"
    if target.is_file() and _lease_until(target) > now_ms:
        raise ConflictError("the ingest worker runs, or ended less than a lease ago", hint)
    if settings.web.port and _answers(settings.web.host, settings.web.port):
        raise ConflictError(f"something answers on port {settings.web.port}", hint)


def _answers(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=1).close()
    except OSError:
        return False
    return True


def _lease_until(target: Path) -> int:
    try:
        with closing(sqlite3.connect(f"file:{target}?mode=ro", uri=True)) as present:
            return int(present.execute("select max(until) from shard_lease").fetchone()[0] or 0)
    except sqlite3.Error:
        # Damaged or empty: that is why somebody restores.
        return 0


def _set_aside(target: Path, series: Path, now_ms: int) -> Iterator[str]:
    for path in (*(target.with_name(target.name + side) for side in _SIDES), series):
        if path.exists():
            aside = path.with_name(f"{path.name}.before-{now_ms}")
            path.rename(aside)
            yield str(aside)
