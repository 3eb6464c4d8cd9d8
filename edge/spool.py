"""The edge's memory: what was delivered is on disk, in lanes, until the cloud says that it has it.

Two files, because two promises: `<name>.db` keeps alarms and events and waits for the medium at each
commit; `<name>-readings.db` keeps readings and survives the death of the process (a power cut may take
the last second of them). A flood of readings can therefore neither delay nor displace an alarm.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from contract.codec import encode
from contract.messages import Alarm, Birth, Event, Lane
from edge.clock import Clock
from edge.errors import SpoolFullError
from edge.spool_facts import FACT_LANES, FactStore
from edge.spool_readings import BATCH_LIMIT, Dropped, ReadingStore, Row
from edge.spool_writer import Writer

GATHER_S: Final = 0.02
BATCH_MIN: Final = 20
BATCH_WAIT_S: Final = 1.0
LIVE_LIMIT: Final = 2_000
FACTS_SHARE: Final = 4
Message = tuple[int, bytes]
_Store = TypeVar("_Store")


@dataclass(frozen=True, slots=True)
class Depth:
    """What the spool holds: messages per lane, readings waiting to become messages, bytes of disk."""

    alarm: int
    event: int
    data: int
    backfill: int
    live_readings: int
    backlog_readings: int
    bytes_used: int
    dropped_total: int


def _open(build: Callable[[Path], _Store], path: Path, now_ms: int) -> tuple[_Store, str]:
    """Open a file; one that is no database any more is set aside, so that the node works on."""
    try:
        return build(path), ""
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError):
            raise
        for suffix in ("", "-wal"):
            broken = path.with_name(path.name + suffix)
            if broken.exists():
                broken.rename(path.with_name(f"{path.name}.broken-{now_ms}{suffix}"))
        return build(path), f"{path.name} was damaged and set aside as {path.name}.broken-{now_ms}"


class Spool:
    """Lanes of messages on disk; all methods belong to one event loop."""

    def __init__(self, path: Path, *, limit_mb: float, clock: Clock) -> None:
        """Open or create the two files.

        Args:
            path: the file of alarms and events; that of readings is named after it.
            limit_mb: what both together may take; a quarter is kept for alarms and events.
            clock: gives the epoch of a new file.

        Raises:
            SpoolLockedError: another process has them open.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        now_ms = clock.now_ms()
        limit = int(limit_mb * 1_048_576)
        readings_path = path.with_name(f"{path.stem}-readings{path.suffix}")
        facts, facts_note = _open(
            lambda file: FactStore(file, now_ms=now_ms, limit_bytes=limit), path, now_ms
        )
        readings, readings_note = _open(
            lambda file: ReadingStore(
                file, now_ms=now_ms, limit_bytes=limit - limit // FACTS_SHARE
            ),
            readings_path,
            now_ms,
        )
        self.damage = [note for note in (facts_note, readings_note) if note]
        self.facts: Final = facts
        self.readings: Final = readings
        self._clock = clock
        self._facts_writer = Writer(facts, name="spool-facts")
        self._readings_writer = Writer(readings, name="spool-readings", gather_s=GATHER_S)
        self.wake: dict[Lane, asyncio.Event] = {lane: asyncio.Event() for lane in Lane}
        self._waiting_since: float | None = clock.monotonic_s() if readings.live_count else None
        self._lost_in_memory = Dropped(0, 0, 0)
        self._lost_total = 0

    def epoch(self, lane: Lane) -> int:
        """Give the epoch in which this lane is counted."""
        return self.facts.epoch if lane in FACT_LANES else self.readings.epoch

    def next_seq(self, lane: Lane) -> int:
        """Give the seq that the lane's next new message will carry."""
        if lane in FACT_LANES:
            return self.facts.next_seq[lane]
        return self.readings.next_seq[lane]

    async def use_model(self, birth: Birth) -> None:
        """Say what the aliases of the readings to come mean, before the first of them."""
        payload = encode(birth)
        await self._readings_writer.submit(lambda: self.readings.use_model(birth.model, payload))

    async def births(self) -> list[bytes]:
        """Give the encoded births that stored readings need, the present one last."""
        return await self._readings_writer.submit(self.readings.births)

    async def append(self, facts: Sequence[Alarm | Event], rows: Sequence[Row]) -> None:
        """Keep alarms and events, then readings; all are on disk when this returns.

        Readings for which no space can be made are counted, never an error.

        Raises:
            SpoolFullError: an alarm or event could not be kept.
        """
        if facts:
            await self._append_facts(list(facts))
        if rows:
            await self._append_rows(list(rows))

    async def _append_facts(self, facts: list[Alarm | Event]) -> None:
        try:
            await self._facts_writer.submit(lambda: self.facts.append(facts))
        except SpoolFullError:
            if not await self._clear_for_facts():
                raise
            await self._facts_writer.submit(lambda: self.facts.append(facts))
        for fact in facts:
            self.wake[Lane.ALARM if isinstance(fact, Alarm) else Lane.EVENT].set()

    async def _clear_for_facts(self) -> bool:
        def clear() -> bool:
            # Leaves the writer's transaction: dropping and shrinking are transactions of their own.
            self.readings.commit()
            gave = self.readings.give_way()
            self.readings.begin()
            return gave

        if self.facts.is_at_limit:
            return False
        return await self._readings_writer.submit(clear)

    async def _append_rows(self, rows: list[Row]) -> None:
        try:
            await self._readings_writer.submit(lambda: self.readings.append(rows), is_urgent=False)
        except SpoolFullError:
            lost = self._lost_in_memory
            first = lost.first_at if lost.count else rows[0][1]
            self._lost_in_memory = Dropped(lost.count + len(rows), first, rows[-1][1])
            self._lost_total += len(rows)
            return
        if self._waiting_since is None:
            self._waiting_since = self._clock.monotonic_s()
            self.wake[Lane.DATA].set()
        elif self.readings.live_count >= BATCH_MIN:
            self.wake[Lane.DATA].set()

    def live_due_in_s(self) -> float | None:
        """Give the seconds until waiting readings should go, 0 when due, None when none wait."""
        count = self.readings.live_count
        if not count:
            return None
        if count >= BATCH_MIN or self._waiting_since is None:
            return 0.0
        return max(0.0, self._waiting_since + BATCH_WAIT_S - self._clock.monotonic_s())

    @property
    def has_backlog(self) -> bool:
        """Tell whether readings of an outage wait to become messages."""
        return self.readings.backlog_count > 0

    async def link_is_up(self) -> None:
        """Make backlog of what waited while the link was down, so that new readings go first."""
        await self._readings_writer.submit(self.readings.set_apart)
        self._waiting_since = None
        self.wake[Lane.BACKFILL].set()

    async def form(self, lane: Lane) -> Message | None:
        """Make the next message of data or backfill; None when no reading waits."""

        def form() -> Message | None:
            if lane is Lane.DATA and self.readings.live_count > LIVE_LIMIT:
                self.readings.set_apart(BATCH_LIMIT)
            return self.readings.form(lane)

        message = await self._readings_writer.submit(form)
        if lane is Lane.DATA:
            left = self.readings.live_count
            self._waiting_since = self._clock.monotonic_s() if left else None
        return message

    async def outgoing(self, lane: Lane, first: int, limit: int) -> list[Message]:
        """Give up to `limit` messages with their bytes from seq `first` on, in order."""
        if lane in FACT_LANES:
            return await self._facts_writer.submit(lambda: self.facts.outgoing(lane, first, limit))
        return await self._readings_writer.submit(
            lambda: self.readings.outgoing(lane, first, limit)
        )

    async def lowest(self, lane: Lane) -> int:
        """Give the lowest seq of the lane that is not acknowledged."""
        if lane in FACT_LANES:
            return await self._facts_writer.submit(lambda: self.facts.lowest(lane))
        return await self._readings_writer.submit(lambda: self.readings.lowest(lane))

    async def acknowledge(self, lane: Lane, through: int) -> int:
        """Forget what the cloud has; gives how many messages that were."""
        if lane in FACT_LANES:
            return await self._facts_writer.submit(lambda: self.facts.acknowledge(lane, through))
        return await self._readings_writer.submit(
            lambda: self.readings.acknowledge(lane, through), is_urgent=False
        )

    async def begin_epoch(self, lane: Lane) -> None:
        """Number what the lane's file keeps anew, because the cloud counts it otherwise than we do."""
        now_ms = self._clock.now_ms()
        if lane in FACT_LANES:
            await self._facts_writer.submit(lambda: self.facts.begin_epoch(now_ms))
        else:
            await self._readings_writer.submit(lambda: self.readings.begin_epoch(now_ms))

    async def take_dropped(self) -> Dropped:
        """Give the readings dropped since the last call, so that they can be reported."""
        lost, self._lost_in_memory = self._lost_in_memory, Dropped(0, 0, 0)
        stored = await self._readings_writer.submit(self.readings.take_dropped)
        if not lost.count:
            return stored
        if not stored.count:
            return lost
        return Dropped(
            lost.count + stored.count,
            min(lost.first_at, stored.first_at),
            max(lost.last_at, stored.last_at),
        )

    async def depth(self) -> Depth:
        """Measure what is held."""
        facts = await self._facts_writer.submit(
            lambda: (*map(self.facts.depth, FACT_LANES), self.facts.database.size_bytes)
        )
        # All in one job, so that a reading just formed is in exactly one of the counts.
        data, backfill, live, backlog, size, dropped = await self._readings_writer.submit(
            lambda: (
                self.readings.depth(Lane.DATA),
                self.readings.depth(Lane.BACKFILL),
                self.readings.live_count,
                self.readings.backlog_count,
                self.readings.database.size_bytes,
                self.readings.dropped_total,
            )
        )
        return Depth(
            alarm=facts[0],
            event=facts[1],
            data=data,
            backfill=backfill,
            live_readings=live,
            backlog_readings=backlog,
            bytes_used=facts[2] + size,
            dropped_total=dropped + self._lost_total,
        )

    async def claim_command(self, command_id: str, now_ms: int, kept_until: int) -> bool:
        """Note a command on disk before it is acted on; False when it is already known."""
        return await self._facts_writer.submit(
            lambda: self.facts.claim_command(command_id, now_ms, kept_until)
        )

    async def command_reply(self, command_id: str) -> bytes | None:
        """Give the stored reply of a command; None while it has none."""
        return await self._facts_writer.submit(lambda: self.facts.command_reply(command_id))

    async def keep_reply(self, command_id: str, reply: bytes) -> None:
        """Store what a command was answered with."""
        await self._facts_writer.submit(lambda: self.facts.keep_reply(command_id, reply))

    async def note(self, key: str) -> int | str | None:
        """Give a remembered value."""
        return await self._facts_writer.submit(lambda: self.facts.note(key))

    async def keep_note(self, key: str, value: int | str) -> None:
        """Remember a value on disk."""
        await self._facts_writer.submit(lambda: self.facts.keep_note(key, value))

    def close(self) -> None:
        """Write what waits and close both files."""
        self._facts_writer.close()
        self._readings_writer.close()
