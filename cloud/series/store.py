"""The SQL of `series.db`: hot rows, newest values, lane marks, roll-ups and the list of segment files.

Hot rows lie in two tables by turns: readings go to the active one; the other, once sealed, is written to segments
and emptied in the transaction that lists them, so a reader's view never misses or doubles a row. Emptying a whole
table frees pages without visiting rows. Keyed (ts, series) a reading costs tens of bytes of writing; keyed (series, ts)
it costs ten thousand, one dirty page per series.
"""

import operator
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Final

from cloud.kit.hot import Connection
from cloud.series.engine import Segment
from cloud.series.model import LaneMark, Latest, Part, Point, Row, SeriesKey

_SCHEMA: Final = """
create table if not exists hot_0(
  ts integer not null, series integer not null, value real, quality integer not null,
  primary key (ts, series)) without rowid;
create table if not exists hot_1(
  ts integer not null, series integer not null, value real, quality integer not null,
  primary key (ts, series)) without rowid;
create table if not exists series(
  id integer primary key autoincrement, device text not null, metric text not null, class text not null,
  unique (device, metric));
create table if not exists latest(
  series integer primary key, ts integer not null, received integer not null, value real, quality integer not null);
create table if not exists mark(
  edge text, epoch integer, lane text, seq integer not null,
  primary key (edge, epoch, lane)) without rowid;
create table if not exists roll(
  series integer, hour integer, n integer not null, low real, high real, sum real,
  primary key (series, hour)) without rowid;
create table if not exists dirty(hour integer primary key);
create table if not exists segment(
  name text primary key, day integer not null, gen integer not null, level integer not null,
  t0 integer not null, t1 integer not null, rows integer not null, bytes integer not null,
  made_at integer not null, lacks text not null);
create table if not exists trash(name text primary key, at integer not null);
create table if not exists aside(
  ts integer not null, series integer not null, value real, quality integer not null, reason text not null,
  at integer not null, primary key (ts, series)) without rowid;
create table if not exists state(
  id integer primary key check (id = 1), active integer not null, gen integer not null, rows integer not null,
  since integer not null, sealed integer not null, rolled_until integer not null);
insert or ignore into state values (1, 0, 1, 0, 0, 0, 0)
"""
# Rows go in by the hundred: one statement with a hundred rows costs half of a hundred statements (measured).
_AT_ONCE: Final = 100
_ADD: Final = "insert or replace into hot_{n} values "
_NEWER: Final = (
    " on conflict (series) do update"
    " set ts = excluded.ts, received = excluded.received, value = excluded.value, quality = excluded.quality"
    " where excluded.ts >= latest.ts"
)
_MARK: Final = (
    "insert into mark values (?, ?, ?, ?) on conflict do update set seq = excluded.seq"
    " where excluded.seq > mark.seq"
)
# Jumping from one moment to the next costs a seek each; it pays when many series share a moment.
_SPAN: Final = "select (select min(ts) from hot_{n}), (select max(ts) from hot_{n})"
_SCAN: Final = "select ts, value, quality from hot_{n} where ts >= ? and ts < ? and series = ?"
_SKIP: Final = """with recursive moment(ts) as (
  select min(ts) from hot_{n} where ts >= ?1
  union all select (select min(ts) from hot_{n} where ts > moment.ts) from moment where moment.ts < ?2)
select h.ts, h.value, h.quality from moment join hot_{n} h on h.ts = moment.ts and h.series = ?3 where h.ts < ?2"""
_SEEK_ROWS: Final = 60
"""A jump costs as much as looking at so many rows (measured: 3.4 µs against 0.05 µs)."""

_IDS_AT_ONCE: Final = 500
_TIME: Final = operator.itemgetter(0)
_SERIES: Final = operator.itemgetter(1)


def create(connection: Connection) -> None:
    """Make what is missing; inside the caller's transaction."""
    for statement in _SCHEMA.split(";"):
        connection.execute(statement)


def register(
    connection: Connection, keys: Sequence[SeriesKey], classes: Sequence[str]
) -> dict[SeriesKey, int]:
    """Give ids, making new ones; `classes` are the retention classes, in the order of `keys`."""
    connection.executemany(
        "insert into series(device, metric, class) values (?, ?, ?) on conflict do nothing",
        [(key.device, key.metric, kind) for key, kind in zip(keys, classes, strict=True)],
    )
    ask = "select id from series where device = ? and metric = ?"
    return {key: connection.execute(ask, (key.device, key.metric)).fetchone()[0] for key in keys}


def keys(connection: Connection) -> dict[int, SeriesKey]:
    """Give all series by id."""
    found = connection.execute("select id, device, metric from series order by id")
    return {number: SeriesKey(device, metric) for number, device, metric in found}


def of_classes(connection: Connection, classes: Sequence[str]) -> list[int]:
    """Give the ids of the series of these retention classes."""
    found = connection.execute("select id, class from series order by id").fetchall()
    return [number for number, kind in found if kind in classes]


def append(
    connection: Connection, rows: Sequence[Row], marks: Sequence[LaneMark], received_at: int
) -> None:
    """Store rows, newest values and marks; inside the caller's transaction."""
    (active,) = connection.execute("select active from state").fetchone()
    # In order of time neighbouring rows meet the same page, for a page holds all series of some moments; ordering them
    # by series too costs four times as much and saves nothing. The sort is stable: the last of equal keys wins.
    ordered = sorted(rows, key=_TIME)
    _insert(connection, _ADD.format(n=active), ordered, "")
    newest = dict(zip(map(_SERIES, ordered), ordered, strict=True))
    heads = [(*newest[series], received_at) for series in sorted(newest)]
    _insert(
        connection,
        "insert into latest(ts, series, value, quality, received) values ",
        heads,
        _NEWER,
    )
    connection.executemany(_MARK, [(m.edge, m.epoch, m.lane, m.seq) for m in marks])
    if rows:
        connection.execute(
            "update state set since = case rows when 0 then ? else since end, rows = rows + ?",
            (received_at, len(rows)),
        )


def _insert(
    connection: Connection, head: str, rows: Sequence[Sequence[float | None]], tail: str
) -> None:
    if not rows:
        return
    one = f"({', '.join('?' * len(rows[0]))})"
    many = f"{head}{', '.join([one] * _AT_ONCE)}{tail}"
    full = len(rows) - len(rows) % _AT_ONCE
    for at in range(0, full, _AT_ONCE):
        connection.execute(many, list(chain.from_iterable(rows[at : at + _AT_ONCE])))
    connection.executemany(f"{head}{one}{tail}", rows[full:])


def latest(connection: Connection, series: Sequence[int] | None) -> list[Latest]:
    """Give newest values, by id."""
    ask = "select series, ts, received, value, quality from latest"
    if series is None:
        return [Latest(*row) for row in connection.execute(f"{ask} order by series")]
    wanted = sorted(set(series))
    found: list[Latest] = []
    for at in range(0, len(wanted), _IDS_AT_ONCE):
        some = wanted[at : at + _IDS_AT_ONCE]
        holes = ", ".join("?" * len(some))
        sql = f"{ask} where series in ({holes}) order by series"
        found += [Latest(*row) for row in connection.execute(sql, some)]
    return found


def marks(connection: Connection) -> list[LaneMark]:
    """Give all marks."""
    found = connection.execute("select edge, epoch, lane, seq from mark order by 1, 2, 3")
    return [LaneMark(*row) for row in found]


_LANES_FULL: Final = (
    "select edge, lane, min(epoch) from (select edge, lane, epoch,"
    " row_number() over (partition by edge, lane order by epoch desc) as place from mark)"
    " where place = ? group by edge, lane"
)


def forget_marks(connection: Connection, kept: int) -> int:
    """Forget all but the newest `kept` epochs of each lane; gives how many. Inside the caller's transaction."""
    full = connection.execute(_LANES_FULL, (kept,)).fetchall()
    gone = [
        connection.execute(
            "delete from mark where edge = ? and lane = ? and epoch < ?", lane_and_border
        ).rowcount
        for lane_and_border in full
    ]
    return sum(gone)


# --- hot rows ---------------------------------------------------------------------------------------------------------


def hot_points(connection: Connection, series: int, start: int, end: int) -> dict[int, Point]:
    """Give the hot readings of a series in [start, end) by time; the active table's word is the newer one."""
    active, rows, sealed = connection.execute("select active, rows, sealed from state").fetchone()
    found: dict[int, Point] = {}
    for table, size in ((1 - active, sealed), (active, rows)):
        first, last = connection.execute(_SPAN.format(n=table)).fetchone()
        if first is None or first >= end or last < start:
            continue
        moments = min(last, end) - max(first, start) + 1
        sql = _SKIP if moments * _SEEK_ROWS < size else _SCAN
        for ts, value, quality in connection.execute(sql.format(n=table), (start, end, series)):
            found[ts] = Point(ts, value, quality)
    return found


@dataclass(frozen=True, slots=True)
class HotState:
    """How the hot tables stand.

    Attributes:
        gen: generation of the active table; that of the sealed one is one less.
        rows: rows written to the active table, a repeated key counted again.
        since: when its first row came, Unix ms.
        sealed: rows that wait in the sealed table, 0 when it is empty.
    """

    gen: int
    rows: int
    since: int
    sealed: int


def hot_state(connection: Connection) -> HotState:
    """Tell how the hot tables stand."""
    return HotState(*connection.execute("select gen, rows, since, sealed from state").fetchone())


def seal(connection: Connection) -> None:
    """Turn the tables: what was active is closed for good, the empty other one takes over."""
    connection.execute(
        "update state set active = 1 - active, gen = gen + 1, rows = 0, since = 0, sealed = rows where sealed = 0"
    )


def sealed_rows(
    connection: Connection, after: tuple[int, int] | None, limit: int
) -> list[tuple[int, int, float | None, int]]:
    """Give rows of the sealed table in key order after a key (ts, series); the table does not change any more."""
    (active,) = connection.execute("select active from state").fetchone()
    table = f"hot_{1 - active}"
    if after is None:
        sql = f"select ts, series, value, quality from {table} order by ts, series limit ?"  # noqa: S608 - our name
        return connection.execute(sql, (limit,)).fetchall()
    sql = f"select ts, series, value, quality from {table} where (ts, series) > (?, ?) order by ts, series limit ?"  # noqa: S608 - our name
    return connection.execute(sql, (*after, limit)).fetchall()


def hot_rows(connection: Connection) -> sqlite3.Cursor:
    """Give every hot row (ts, series, value, quality), each key once; inside the caller's view."""
    (active,) = connection.execute("select active from state").fetchone()
    return connection.execute(
        f"select * from hot_{active} union all select * from hot_{1 - active} as old where not exists"  # noqa: S608 - 0 or 1
        f" (select 1 from hot_{active} as new where new.ts = old.ts and new.series = old.series)"
    )


def empty_sealed(connection: Connection) -> None:
    """Drop the sealed rows; in the transaction that lists their segments."""
    (active,) = connection.execute("select active from state").fetchone()
    connection.execute(f"delete from hot_{1 - active}")  # noqa: S608 - 0 or 1
    connection.execute("update state set sealed = 0")


def put_aside(connection: Connection, row: Row, reason: str, now_ms: int) -> None:
    """Keep a reading that InfluxDB refuses, with the reason."""
    connection.execute(
        "insert or replace into aside values (?, ?, ?, ?, ?, ?)", (*row, reason[:500], now_ms)
    )


def set_aside(connection: Connection) -> list[tuple[Row, str]]:
    """Give the refused readings with their reasons."""
    found = connection.execute("select ts, series, value, quality, reason from aside")
    return [((ts, series, value, quality), why) for ts, series, value, quality, why in found]


# --- segments ---------------------------------------------------------------------------------------------------------

_COLUMNS: Final = "name, day, gen, level, t0, t1, rows, bytes, made_at, lacks"


def segments(
    connection: Connection, start: int | None = None, end: int | None = None
) -> list[Segment]:
    """List the segments that hold readings in [start, end), Unix ms, oldest word first."""
    low = -(1 << 62) if start is None else start
    high = 1 << 62 if end is None else end
    sql = f"select {_COLUMNS} from segment where t1 >= ? and t0 < ? order by day, gen, name"  # noqa: S608 - our columns
    return [Segment(*row) for row in connection.execute(sql, (low, high))]


def replace_segments(
    connection: Connection, old: Iterable[Segment], new: Iterable[Segment], now_ms: int
) -> None:
    """List `new` files in the place of `old` ones, which are removed from disk some time later."""
    names = [(segment.name,) for segment in old]
    connection.executemany("delete from segment where name = ?", names)
    connection.executemany(
        "insert or replace into trash values (?, ?)", [(name, now_ms) for (name,) in names]
    )
    connection.executemany(
        f"insert into segment({_COLUMNS}) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608 - our columns
        [segment.fields() for segment in new],
    )


def trash(connection: Connection, before: int) -> list[str]:
    """Name the files that no new view has named since `before`, Unix ms."""
    found = connection.execute("select name from trash where at < ?", (before,))
    return [name for (name,) in found]


def all_trash(connection: Connection) -> set[str]:
    """Name every file that waits for removal."""
    return {name for (name,) in connection.execute("select name from trash")}


def forget_trash(connection: Connection, names: Iterable[str]) -> None:
    """Forget files that are gone."""
    connection.executemany("delete from trash where name = ?", [(name,) for name in names])


# --- roll-up ----------------------------------------------------------------------------------------------------------


def rolled_until(connection: Connection) -> int:
    """Give the hour (since the epoch) before which every hour is rolled up, save the dirty ones."""
    (hour,) = connection.execute("select rolled_until from state").fetchone()
    return int(hour)


def set_rolled_until(connection: Connection, hour: int) -> None:
    """Move the end of the roll-up."""
    connection.execute("update state set rolled_until = ?", (hour,))


def mark_dirty(connection: Connection, hours: Iterable[int]) -> None:
    """Note hours whose roll-up lacks readings that a segment now holds."""
    connection.executemany("insert or ignore into dirty values (?)", [(hour,) for hour in hours])


def dirty(connection: Connection, first: int, last: int) -> list[int]:
    """Give the dirty hours from `first` to `last`, both included."""
    found = connection.execute(
        "select hour from dirty where hour between ? and ? order by hour", (first, last)
    )
    return [hour for (hour,) in found]


def forget_dirty(connection: Connection, hours: Iterable[int]) -> None:
    """These hours are right again."""
    connection.executemany("delete from dirty where hour = ?", [(hour,) for hour in hours])


def put_rolls(
    connection: Connection,
    rolls: Sequence[tuple[int, int, int, float | None, float | None, float | None]],
) -> None:
    """Write (series, hour, n, low, high, sum) over what stands."""
    connection.executemany("insert or replace into roll values (?, ?, ?, ?, ?, ?)", rolls)


def rolls(connection: Connection, series: int, first: int, end: int) -> list[tuple[int, Part]]:
    """Give (hour, part) of a series for hours in [first, end); the part starts at the hour, Unix ms."""
    found = connection.execute(
        "select hour, n, low, high, sum from roll where series = ? and hour >= ? and hour < ? and n > 0",
        (series, first, end),
    )
    return [
        (hour, Part(hour * 3_600_000, n, low, high, total)) for hour, n, low, high, total in found
    ]
