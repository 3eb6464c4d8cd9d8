"""Readings on disk: one row each, written once; a message is a span of rows, so a resend is byte for byte the same."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from contract.codec import SPAN_LIMIT_MS, encode
from contract.messages import DataBatch, Lane
from edge.disk_reserve import ReservedDatabase

RESERVE_BYTES: Final = 1_048_576
DROP_STEP: Final = 5_000
BATCH_LIMIT: Final = 100
READING_LANES: Final = (Lane.DATA, Lane.BACKFILL)
Row = tuple[int, int, float | None, int]
_SCHEMA: Final = """
create table if not exists meta (key text primary key, value) without rowid;
create table if not exists model (first integer primary key, hash integer not null, birth blob not null);
create table if not exists reading (
    id integer primary key, alias integer not null, at integer not null, value real, quality integer not null
);
create table if not exists message (
    lane text not null, seq integer not null, first integer not null, last integer not null,
    primary key (lane, seq)
) without rowid;
create table if not exists backlog (first integer primary key, last integer not null);
"""


@dataclass(frozen=True, slots=True)
class Dropped:
    """Readings that had to make room and were not yet told of; times in Unix ms."""

    count: int
    first_at: int
    last_at: int


class ReadingStore:
    """The lanes data and backfill; used by one thread only.

    Rows wait until the uplink forms them into live messages. What waited while the link was down is
    set apart as backlog (spans of row ids) and formed later. Rows leave when their message is
    acknowledged, or oldest first when space runs out.
    """

    def __init__(self, path: Path, *, now_ms: int, limit_bytes: int) -> None:
        """Open or create the file; `now_ms` becomes the epoch of a new one."""
        self.database = ReservedDatabase(
            path, is_synced=False, limit_bytes=limit_bytes, reserve_bytes=RESERVE_BYTES
        )
        self._sql = self.database.connection
        self._sql.executescript(_SCHEMA)
        with self.database.transaction():
            self._sql.execute("insert or ignore into meta values ('epoch', ?)", (now_ms,))
        self.epoch = self._note("epoch")
        self.rollback()

    def begin(self) -> None:
        """Begin a transaction."""
        self.database.begin()

    def commit(self) -> None:
        """Make it survive the death of the process."""
        self.database.commit()

    def rollback(self) -> None:
        """Undo what was begun and read the counters again."""
        self.database.rollback()
        self.next_seq = {lane: self._note(f"next_{lane}", 1) for lane in READING_LANES}
        self.live_mark = self._note("live_mark")
        self.next_id = 1 + max(self.live_mark, self._one("select max(id) from reading"))
        self.live_count = self._count(self.live_mark + 1, self.next_id)
        self.backlog_count = sum(self._count(first, last) for first, last in self._backlog())
        self.dropped = Dropped(
            self._note("dropped"), self._note("dropped_first"), self._note("dropped_last")
        )
        self.dropped_total = self._note("dropped_total")
        row = self._sql.execute("select hash, birth from model order by first desc").fetchone()
        self._model: tuple[int, bytes] | None = row

    def make_room(self) -> bool:
        """Grow the file, or drop the oldest readings that are in no message yet."""
        if self.database.grow():
            return True
        with self.database.transaction():
            return self.drop_oldest(DROP_STEP) > 0

    def close(self) -> None:
        """Close the file."""
        self.database.close()

    def begin_epoch(self, now_ms: int) -> None:
        """Number what is kept anew, from 1, under an epoch of its own."""
        self.epoch = max(now_ms, self.epoch + 1)
        self._keep("epoch", self.epoch)
        for lane in self.next_seq:
            shift = self.lowest(lane) - 1
            # By way of the negative numbers, so that no two rows ever have the same.
            self._sql.execute(
                "update message set seq = ? - seq where lane = ?", (shift, lane.value)
            )
            self._sql.execute("update message set seq = -seq where lane = ?", (lane.value,))
            self.next_seq[lane] -= shift
            self._keep(f"next_{lane}", self.next_seq[lane])

    def use_model(self, model: int, birth: bytes) -> None:
        """Say what the aliases of the rows to come mean; `birth` is kept as long as such rows are."""
        if self._model == (model, birth):
            return
        self._sql.execute(
            "insert or replace into model values (?, ?, ?)", (self.next_id, model, birth)
        )
        self._model = (model, birth)

    def births(self) -> list[bytes]:
        """Give the births that stored rows still need, the present one last; forgets the others."""
        rows = self._sql.execute("select first, birth from model order by first").fetchall()
        births = []
        for (first, birth), (end, _) in zip(rows, [*rows[1:], (0, b"")], strict=True):
            if end and not self._one(
                "select exists(select 1 from reading where id >= ? and id < ?)", first, end
            ):
                self._sql.execute("delete from model where first = ?", (first,))
            else:
                births.append(birth)
        return births

    def append(self, rows: Sequence[Row]) -> None:
        """Store readings (alias, Unix ms, value or None, quality) in their order."""
        self._sql.executemany(
            "insert into reading values (?, ?, ?, ?, ?)",
            [(self.next_id + index, *row) for index, row in enumerate(rows)],
        )
        self.next_id += len(rows)
        self.live_count += len(rows)

    def set_apart(self, keep: int = 0) -> None:
        """Make backlog of the rows waiting to go live, but for the newest `keep`."""
        last = self.next_id - 1 - keep
        if self.live_count <= keep or last <= self.live_mark:
            return
        moved = self._count(self.live_mark + 1, last)
        if moved:
            self._sql.execute("insert into backlog values (?, ?)", (self.live_mark + 1, last))
        self.live_count -= moved
        self.backlog_count += moved
        self._mark(last)

    def form(self, lane: Lane) -> tuple[int, bytes] | None:
        """Make the next message of the lane from the oldest rows that wait for it.

        Returns:
            Its seq and bytes; None when no row waits.
        """
        if lane is Lane.DATA:
            rows = self._span(self.live_mark + 1, self.next_id)
            if not rows:
                return None
            self._mark(rows[-1][0])
            self.live_count -= len(rows)
        else:
            rows = self._take_backlog()
            if not rows:
                return None
            self.backlog_count -= len(rows)
        seq = self.next_seq[lane]
        self._sql.execute(
            "insert into message values (?, ?, ?, ?)", (lane.value, seq, rows[0][0], rows[-1][0])
        )
        self.next_seq[lane] = seq + 1
        self._keep(f"next_{lane}", seq + 1)
        return seq, self._encode(seq, rows)

    def _take_backlog(self) -> list[tuple[int, int, int, float | None, int]]:
        for first, last in self._backlog():
            rows = self._span(first, last)
            self._sql.execute("delete from backlog where first = ?", (first,))
            if rows:
                if rows[-1][0] < last:
                    self._sql.execute("insert into backlog values (?, ?)", (rows[-1][0] + 1, last))
                return rows
        return []

    def _span(self, first: int, last: int) -> list[tuple[int, int, int, float | None, int]]:
        """Give the rows of the next message: one model, and no more than a day between any two."""
        found = self._sql.execute(
            "select * from reading where id between ? and ? order by id limit ?",
            (first, last, BATCH_LIMIT),
        ).fetchall()
        if not found:
            return []
        end = self._one("select min(first) from model where first > ?", found[0][0])
        low = high = found[0][2]
        for index, row in enumerate(found):
            low, high = min(low, row[2]), max(high, row[2])
            if (end and row[0] >= end) or high - low > SPAN_LIMIT_MS:
                return found[:index]
        return found

    def _encode(self, seq: int, rows: Sequence[tuple[int, int, int, float | None, int]]) -> bytes:
        t0 = min(row[2] for row in rows)
        model = self._one(
            "select hash from model where first <= ? order by first desc limit 1", rows[0][0]
        )
        readings = [(alias, at - t0, value, quality) for _, alias, at, value, quality in rows]
        return encode(DataBatch(self.epoch, seq, t0, model, readings))

    def outgoing(self, lane: Lane, first: int, limit: int) -> list[tuple[int, bytes]]:
        """Give up to `limit` formed messages from seq `first` on, in order."""
        spans = self._sql.execute(
            "select seq, first, last from message where lane = ? and seq >= ? order by seq limit ?",
            (lane.value, first, limit),
        ).fetchall()
        return [(seq, self._encode(seq, self._rows(start, end))) for seq, start, end in spans]

    def _rows(self, first: int, last: int) -> list[tuple[int, int, int, float | None, int]]:
        return self._sql.execute(
            "select * from reading where id between ? and ? order by id", (first, last)
        ).fetchall()

    def lowest(self, lane: Lane) -> int:
        """Give the lowest seq not yet acknowledged: the next one to be given when nothing is kept."""
        found = self._one("select min(seq) from message where lane = ?", lane.value)
        return found or self.next_seq[lane]

    def acknowledge(self, lane: Lane, through: int) -> int:
        """Forget messages up to and including `through` with their rows; gives how many."""
        spans = self._sql.execute(
            "select first, last from message where lane = ? and seq <= ?", (lane.value, through)
        ).fetchall()
        self._sql.executemany("delete from reading where id between ? and ?", spans)
        return self._sql.execute(
            "delete from message where lane = ? and seq <= ?", (lane.value, through)
        ).rowcount

    def depth(self, lane: Lane) -> int:
        """Count the formed messages not yet acknowledged."""
        return self._one("select count(*) from message where lane = ?", lane.value)

    def drop_oldest(self, limit: int) -> int:
        """Delete up to `limit` of the oldest rows that are in no message; gives how many."""
        spans = [*self._backlog(), (self.live_mark + 1, self.next_id - 1)]
        for first, last in spans:
            rows = self._sql.execute(
                "select id, at from reading where id between ? and ? order by id limit ?",
                (first, last, limit),
            ).fetchall()
            if not rows:
                continue
            end = rows[-1][0]
            self._sql.execute("delete from reading where id between ? and ?", (first, end))
            if first == self.live_mark + 1:
                self._mark(end)
                self.live_count -= len(rows)
            else:
                self._sql.execute("delete from backlog where first = ?", (first,))
                if end < last:
                    self._sql.execute("insert into backlog values (?, ?)", (end + 1, last))
                self.backlog_count -= len(rows)
            self.count_dropped(len(rows), rows[0][1], rows[-1][1])
            return len(rows)
        return 0

    def count_dropped(self, count: int, first_at: int, last_at: int) -> None:
        """Remember that readings were lost, until somebody is told."""
        before = self.dropped
        first = min(before.first_at, first_at) if before.count else first_at
        last = max(before.last_at, last_at)
        self._set_dropped(Dropped(before.count + count, first, last))
        self.dropped_total += count
        self._keep("dropped_total", self.dropped_total)

    def take_dropped(self) -> Dropped:
        """Give what was dropped since the last call."""
        dropped = self.dropped
        if dropped.count:
            self._set_dropped(Dropped(0, 0, 0))
        return dropped

    def _set_dropped(self, dropped: Dropped) -> None:
        self.dropped = dropped
        self._keep("dropped", dropped.count)
        self._keep("dropped_first", dropped.first_at)
        self._keep("dropped_last", dropped.last_at)

    def give_way(self) -> bool:
        """Drop the older half of what waits and return its space to the disk, for an alarm's sake."""
        wanted = max(DROP_STEP, (self.live_count + self.backlog_count) // 2)
        dropped = 0
        while dropped < wanted:
            # Small steps: the log may not grow either.
            with self.database.transaction():
                step = self.drop_oldest(DROP_STEP)
            if not step:
                break
            dropped += step
            self.database.checkpoint()
        if dropped:
            self.database.give_back()
        return dropped > 0

    def _backlog(self) -> list[tuple[int, int]]:
        return self._sql.execute("select first, last from backlog order by first").fetchall()

    def _count(self, first: int, last: int) -> int:
        return self._one("select count(*) from reading where id between ? and ?", first, last)

    def _mark(self, live_mark: int) -> None:
        self.live_mark = live_mark
        self._keep("live_mark", live_mark)

    def _one(self, query: str, *values: object) -> int:
        row: Iterable[int | None] | None = self._sql.execute(query, values).fetchone()
        return next(iter(row), None) or 0 if row else 0

    def _note(self, key: str, default: int = 0) -> int:
        return self._one("select value from meta where key = ?", key) or default

    def _keep(self, key: str, value: int) -> None:
        self._sql.execute("insert or replace into meta values (?, ?)", (key, value))
