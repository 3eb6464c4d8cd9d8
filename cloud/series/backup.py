"""Copies of a store while it works: a backup that can be opened as it is, and an export anyone can read.

https://sqlite.org/lang_vacuum.html#vacuuminto: one read transaction, so it disturbs no writer.
"""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cloud.errors import ConflictError, UnavailableError
from cloud.kit import hot
from cloud.kit.disk import sync
from cloud.kit.duck import Duck
from cloud.series import segment_store, store
from cloud.series.compaction import removal_allowed
from cloud.series.local import open_database
from cloud.series.model import Row
from cloud.series.reader import DATABASE, SEGMENTS


@dataclass(frozen=True, slots=True)
class Backup:
    """What a backup holds: segment files and all bytes."""

    segments: int
    bytes: int


def backup(path: Path, to: Path) -> Backup:
    """Copy a store into a new folder; segment files are hard links where the file system allows.

    The folder appears only when everything in it is checked and synced.

    Raises:
        ConflictError: the folder exists already.
        UnavailableError: the copy of the database is damaged, or the disk is full.
    """
    if to.exists():
        raise ConflictError(f"{to} exists already", "choose a new folder")
    part = to.with_name(to.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    (part / SEGMENTS).mkdir(parents=True)
    connection = open_database(path)
    try:
        with removal_allowed(path, holds=True):
            connection.execute("vacuum into ?", (str(part / DATABASE),))
            count = _copy_segments(path / SEGMENTS, part)
    finally:
        connection.close()
    if not hot.is_sound(part / DATABASE):
        raise UnavailableError(f"backup {part} is damaged", "look at the disk, then try again")
    for file in part.rglob("*"):
        sync(file)
    part.rename(to)
    sync(to.parent)
    return Backup(count, sum(file.stat().st_size for file in to.rglob("*") if file.is_file()))


def _copy_segments(source: Path, part: Path) -> int:
    copy = hot.open_reader(part / DATABASE)
    try:
        names = [segment.name for segment in store.segments(copy)]
    finally:
        copy.close()
    for name in names:
        target = part / SEGMENTS / name
        target.parent.mkdir(exist_ok=True)
        try:
            target.hardlink_to(source / name)
        except OSError:
            shutil.copyfile(source / name, target)
    return len(names)


def export(path: Path, to: Path) -> int:
    """Write every reading with device and metric to one `.parquet` or `.csv` file; tell how many.

    Columns: device, metric, measured_at_ms (Unix), value (null for a sensor fault), quality.

    Raises:
        ConflictError: the ending is neither, or the file exists already.
    """
    if to.suffix not in {".parquet", ".csv"} or to.exists():
        raise ConflictError(f"cannot export to {to}", "name a new file, .parquet or .csv")
    connection = hot.open_reader(path / DATABASE)
    duck = Duck(threads=2, memory_mb=512, spill=to.parent / f"{to.name}.spill", cursors=1)
    try:
        with removal_allowed(path, holds=True), hot.reading(connection):
            segment_store.load(duck, _hot_rows(connection))
            paths = [path / SEGMENTS / segment.name for segment in store.segments(connection)]
            names = [(n, key.device, key.metric) for n, key in store.keys(connection).items()]
            return segment_store.export(duck, paths, names, to)
    finally:
        duck.close()
        connection.close()


def _hot_rows(connection: hot.Connection) -> Iterator[list[Row]]:
    cursor = store.hot_rows(connection)
    while rows := cursor.fetchmany(50_000):
        yield rows
