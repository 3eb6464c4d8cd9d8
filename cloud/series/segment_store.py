"""The SQL of segments: sorted Parquet files, written, verified, merged and read by DuckDB.

Of two rows with one key the one in the file whose name sorts last counts; files of one day sort by generation.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cloud.errors import CloudError
from cloud.kit.disk import sync
from cloud.kit.duck import Duck
from cloud.series.model import DAY_MS, HOUR_MS, Grid, Part, Point, Row

GROUP_ROWS: Final = 40_960
"""Rows per row group: one series' day is 8,640, so a chart decodes little beside what it asked for."""

_FORMAT: Final = f"(format parquet, compression zstd, row_group_size {GROUP_ROWS})"
_LAST_WORD: Final = "row_number() over (partition by series, ts order by filename desc) = 1"
_DAYS: Final = f"select distinct ts // {DAY_MS} from piece order by 1"  # noqa: S608 - a constant
_HOURS: Final = f"select distinct ts // {HOUR_MS} from piece order by 1"  # noqa: S608 - a constant
Roll = tuple[int, int, int, float | None, float | None, float | None]


class SegmentBrokenError(CloudError):
    """A file written just now does not read back the same: keep the source, write anew, look at the disk."""


@dataclass(frozen=True, slots=True)
class Written:
    """What a new file holds; times in Unix ms."""

    rows: int
    t0: int
    t1: int
    bytes: int


def load(duck: Duck, batches: Iterable[Sequence[Row]]) -> int:
    """Take hot rows into a table of DuckDB, replacing what was there; tell how many."""
    duck.rows(
        "create or replace table piece(ts bigint, series integer, value double, quality utinyint)"
    )
    return duck.fill("piece", batches)


def days_loaded(duck: Duck) -> list[int]:
    """Tell the days since the epoch that the loaded rows fall on."""
    return [day for (day,) in duck.rows(_DAYS)]


def hours_loaded(duck: Duck) -> list[int]:
    """Tell the hours since the epoch that the loaded rows fall on."""
    return [hour for (hour,) in duck.rows(_HOURS)]


def write_day(duck: Duck, day: int, path: Path) -> Written:
    """Write the loaded rows of one day as a verified, synced file.

    Raises:
        SegmentBrokenError: the file does not read back the same.
    """
    source = f"select series, ts, value, quality from piece where ts // {DAY_MS} = {int(day)}"  # noqa: S608 - an integer
    return _write(duck, source, (), path)


def merge(duck: Duck, paths: Sequence[Path], path: Path, without: Sequence[int] = ()) -> Written:
    """Join files into one, each key once, leaving out the series `without`; nothing left gives `rows` 0.

    Raises:
        SegmentBrokenError: the file does not read back the same.
        SegmentGoneError: one of the files is not there.
    """
    names = [str(one) for one in paths]
    source = "select series, ts, value, quality from read_parquet(?) where not list_contains(?::bigint[], series)"
    if _has_doubles(duck, names):
        source += f" qualify {_LAST_WORD}"
    return _write(duck, source, (names, list(without)), path)


def _has_doubles(duck: Duck, names: list[str]) -> bool:
    if len(names) < 2:
        return False
    sql = "select 1 from read_parquet(?) group by series, ts having count(*) > 1 limit 1"
    return bool(duck.rows(sql, [names]))


_SUM: Final = "count(*), coalesce(sum(hash(series, ts, value, quality)), 0)"


def _write(
    duck: Duck, source: str, values: Sequence[Sequence[str] | Sequence[int]], path: Path
) -> Written:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    name = str(part).replace("'", "''")
    duck.rows(f"copy ({source} order by series, ts) to '{name}' {_FORMAT}", values)
    sync(part)
    (wanted,) = duck.rows(f"select {_SUM} from ({source})", values)  # noqa: S608 - our texts
    found = duck.rows(f"select {_SUM}, min(ts), max(ts) from read_parquet(?)", [str(part)])[0]  # noqa: S608 - our texts
    if wanted != found[:2] or not _is_sorted(duck, str(part)):
        part.unlink()
        raise SegmentBrokenError(f"segment {path.name}: wrote {wanted}, read {found}", "check disk")
    size = part.stat().st_size
    part.rename(path)
    sync(path.parent)
    return Written(found[0], found[2] or 0, found[3] or 0, size)


def _is_sorted(duck: Duck, name: str) -> bool:
    sql = (
        "select count(*) from (select series, ts, lag(series) over () as s, lag(ts) over () as t from read_parquet(?))"
        " where s > series or (s = series and t >= ts)"
    )
    return duck.rows(sql, [name]) == [(0,)]


def points(
    duck: Duck, paths: Sequence[Path], series: int, start: int, end: int, limit: int
) -> list[Point]:
    """Give the readings of a series in [start, end) Unix ms, oldest first, at most `limit`.

    Raises:
        SegmentGoneError: one of the files is not there.
    """
    if not paths:
        return []
    sql = "select ts, value, quality from read_parquet(?) where series = ? and ts >= ? and ts < ?"
    if len(paths) > 1:
        sql += f" qualify {_LAST_WORD}"
    found = duck.rows(f"{sql} order by ts limit ?", [_names(paths), series, start, end, limit])
    return [Point(*row) for row in found]


def parts(
    duck: Duck,
    paths: Sequence[Path],
    series: int,
    lattice: Grid,
    *,
    hours: Sequence[int] | None,
    skip: Sequence[int],
) -> list[Part]:
    """Give the parts of a series' buckets.

    Args:
        duck: where to ask.
        paths: the files, all that hold the range.
        series: its id.
        lattice: range and buckets.
        hours: only these hours since the epoch; None: the whole range.
        skip: moments (Unix ms) that a newer source speaks for.

    Raises:
        SegmentGoneError: one of the files is not there.
    """
    if not paths:
        return []
    inner = (
        "select ts, value, filename from read_parquet(?) where series = ? and ts >= ? and ts < ?"
    )
    values: list[Sequence[str] | Sequence[int] | int] = [
        _names(paths), series, lattice.start, lattice.end
    ]  # fmt: skip
    if hours is not None:
        inner += f" and ts // {HOUR_MS} in (select unnest(?::bigint[]))"
        values.append(list(hours))
    if skip:
        inner += " and ts not in (select unnest(?::bigint[]))"
        values.append(list(skip))
    if len(paths) > 1:
        inner += " qualify row_number() over (partition by ts order by filename desc) = 1"
    sql = (
        f"select ts - ts % {lattice.width_ms} as b, count(value), min(value), max(value), sum(value) from ({inner})"  # noqa: S608 - integers and our texts
        " group by b having count(value) > 0"
    )
    return [Part(*row) for row in duck.rows(sql, values)]


def roll_hours(
    duck: Duck, paths: Sequence[Path], hours: Sequence[int], rows_at_once: int
) -> Iterator[list[Roll]]:
    """Give (series, hour, n, low, high, sum) for whole hours, in slices of series to bound memory.

    Raises:
        SegmentGoneError: one of the files is not there.
    """
    names = _names(paths)
    low, high = min(hours) * HOUR_MS, (max(hours) + 1) * HOUR_MS
    within = f"ts >= {low} and ts < {high}"
    (row,) = duck.rows(
        f"select count(*), min(series), max(series) from read_parquet(?) where {within}",  # noqa: S608 - integers
        [names],
    )
    count, first, last = row
    if not count:
        return
    width = max(1, (last - first + 1) * rows_at_once // count)
    for start in range(first, last + 1, width):
        sql = (
            f"select series, ts // {HOUR_MS} as h, count(value), min(value), max(value), sum(value) from ("  # noqa: S608 - integers and our texts
            f"select series, ts, value, filename from read_parquet(?) where {within} and series >= ? and series < ?"
            f" and ts // {HOUR_MS} in (select unnest(?::bigint[])) qualify {_LAST_WORD})"
            " group by series, h order by all"
        )
        yield duck.rows(sql, [names, start, start + width, list(hours)])


def export(
    duck: Duck, paths: Sequence[Path], names: Iterable[Sequence[int | str]], path: Path
) -> int:
    """Write the readings of files and of the loaded rows, with names, to one Parquet or CSV file.

    Args:
        duck: where to work; `load` was called before with the rows that no file holds.
        paths: segment files.
        names: (series id, device, metric) of every series.
        path: ends in `.parquet` or `.csv`.

    Returns:
        Readings written.
    """
    duck.rows("create or replace table names(series integer, device varchar, metric varchar)")
    duck.fill("names", [list(names)])
    every = "select series, ts, value, quality, '~' as filename from piece"
    values: list[Sequence[str]] = []
    if paths:
        every += " union all select series, ts, value, quality, filename from read_parquet(?)"
        values.append(_names(paths))
    form = "(format csv, header)" if path.suffix == ".csv" else "(format parquet, compression zstd)"
    target = str(path).replace("'", "''")
    sql = (
        "select device, metric, ts as measured_at_ms, value, quality"  # noqa: S608 - our texts
        f" from ({every}) join names using (series) qualify {_LAST_WORD} order by device, metric, ts"
    )
    ((count,),) = duck.rows(f"copy ({sql}) to '{target}' {form}", values)
    return int(count)


def _names(paths: Sequence[Path]) -> list[str]:
    return [str(path) for path in paths]
