"""Alarms, events and answered commands on disk, each commit waiting for the medium (survives a power cut)."""

from pathlib import Path
from typing import Final

import msgspec

from contract.codec import decode_alarm, decode_event, encode
from contract.messages import Alarm, Event, Lane
from edge.disk_reserve import CHUNK_BYTES, ReservedDatabase

RESERVE_BYTES: Final = 2_097_152
COMMANDS_LIMIT: Final = 10_000
FACT_LANES: Final = (Lane.ALARM, Lane.EVENT)
_SCHEMA: Final = """
create table if not exists meta (key text primary key, value) without rowid;
create table if not exists message (
    lane text not null, seq integer not null, payload blob not null, primary key (lane, seq)
) without rowid;
create table if not exists command (
    id text primary key, kept_until integer not null, reply blob
) without rowid;
"""


class FactStore:
    """The lanes alarm and event, numbered when they are stored; used by one thread only."""

    def __init__(self, path: Path, *, now_ms: int, limit_bytes: int) -> None:
        """Open or create the file; `now_ms` becomes the epoch of a new one."""
        self.database = ReservedDatabase(
            path, is_synced=True, limit_bytes=limit_bytes, reserve_bytes=RESERVE_BYTES
        )
        self._sql = self.database.connection
        self._sql.executescript(_SCHEMA)
        with self.database.transaction():
            self._sql.execute("insert or ignore into meta values ('epoch', ?)", (now_ms,))
        self.epoch = 0
        self.next_seq: dict[Lane, int] = {}
        self._is_at_limit = False
        self.rollback()

    def begin(self) -> None:
        """Begin a transaction."""
        self.database.begin()

    def commit(self) -> None:
        """Make it durable."""
        self.database.commit()

    def rollback(self) -> None:
        """Undo what was begun and read the counters again."""
        self.database.rollback()
        self.epoch = int(self.note("epoch") or 0)
        self.next_seq = {lane: int(self.note(f"next_{lane}") or 1) for lane in FACT_LANES}

    def make_room(self) -> bool:
        """Grow the file; facts are never dropped for facts."""
        self._is_at_limit = self.database.size_bytes + CHUNK_BYTES > self.database.limit_bytes
        return self.database.grow()

    @property
    def is_at_limit(self) -> bool:
        """Tell whether the file may not grow even if the disk had room."""
        return self._is_at_limit

    def close(self) -> None:
        """Close the file."""
        self.database.close()

    def append(self, facts: list[Alarm | Event]) -> None:
        """Number and store facts, in their order."""
        for fact in facts:
            lane = Lane.ALARM if isinstance(fact, Alarm) else Lane.EVENT
            seq = self.next_seq[lane]
            payload = encode(msgspec.structs.replace(fact, epoch=self.epoch, seq=seq))
            self._sql.execute("insert into message values (?, ?, ?)", (lane.value, seq, payload))
            self.next_seq[lane] = seq + 1
        for lane in FACT_LANES:
            self.keep_note(f"next_{lane}", self.next_seq[lane])

    def begin_epoch(self, now_ms: int) -> None:
        """Number what is kept anew, from 1, under an epoch of its own."""
        self.epoch = max(now_ms, self.epoch + 1)
        self.keep_note("epoch", self.epoch)
        kept = self._sql.execute("select lane, payload from message order by lane, seq").fetchall()
        self._sql.execute("delete from message")
        self.next_seq = dict.fromkeys(FACT_LANES, 1)
        for lane, payload in kept:
            self.append([decode_alarm(payload) if lane == Lane.ALARM else decode_event(payload)])
        self.append([])

    def outgoing(self, lane: Lane, first: int, limit: int) -> list[tuple[int, bytes]]:
        """Give up to `limit` stored messages from seq `first` on, in order."""
        return self._sql.execute(
            "select seq, payload from message where lane = ? and seq >= ? order by seq limit ?",
            (lane.value, first, limit),
        ).fetchall()

    def lowest(self, lane: Lane) -> int:
        """Give the lowest seq not yet acknowledged: the next one to be given when nothing is kept."""
        found = self._sql.execute(
            "select min(seq) from message where lane = ?", (lane.value,)
        ).fetchone()[0]
        return self.next_seq[lane] if found is None else int(found)

    def acknowledge(self, lane: Lane, through: int) -> int:
        """Forget messages up to and including `through`; gives how many."""
        return self._sql.execute(
            "delete from message where lane = ? and seq <= ?", (lane.value, through)
        ).rowcount

    def depth(self, lane: Lane) -> int:
        """Count the messages not yet acknowledged."""
        count: int = self._sql.execute(
            "select count(*) from message where lane = ?", (lane.value,)
        ).fetchone()[0]
        return count

    def claim_command(self, command_id: str, now_ms: int, kept_until: int) -> bool:
        """Note a command before it is acted on; False when it is already known."""
        self._sql.execute("delete from command where kept_until < ?", (now_ms,))
        self._sql.execute(
            "delete from command where id in "
            "(select id from command order by kept_until desc limit -1 offset ?)",
            (COMMANDS_LIMIT - 1,),
        )
        cursor = self._sql.execute(
            "insert or ignore into command values (?, ?, null)", (command_id, kept_until)
        )
        return cursor.rowcount == 1

    def command_reply(self, command_id: str) -> bytes | None:
        """Give the stored reply; None while the command is unanswered."""
        row = self._sql.execute("select reply from command where id = ?", (command_id,)).fetchone()
        return row[0] if row else None

    def keep_reply(self, command_id: str, reply: bytes) -> None:
        """Store what a command was answered with."""
        self._sql.execute("update command set reply = ? where id = ?", (reply, command_id))

    def note(self, key: str) -> int | str | None:
        """Give a remembered value."""
        row = self._sql.execute("select value from meta where key = ?", (key,)).fetchone()
        return row[0] if row else None

    def keep_note(self, key: str, value: int | str) -> None:
        """Remember a value under a key."""
        self._sql.execute("insert or replace into meta values (?, ?)", (key, value))
