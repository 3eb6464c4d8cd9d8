"""One connection of a transmission device: frames in, kept, then confirmed; our requests out."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

import structlog

from edge.clock import Clock
from edge.driver import Sink
from edge.drivers.gb26875.frame import Frame, FrameScanner, Skipped, answer, encode
from edge.drivers.gb26875.objects import encode_components, encode_set_time
from edge.drivers.gb26875.settings import Gb26875Settings
from edge.drivers.gb26875.tables import ANSWER, CONFIRM, CONTROL, DENY, REQUEST, SEND
from edge.drivers.gb26875.unit import Intake, Unit
from edge.drivers.gb26875.wall_time import WallTime
from edge.errors import SpoolFullError
from edge.listener import Connection

log = structlog.get_logger(__name__)

READ_COMPONENT_STATE = 62
NOISE_LIMIT = 65_536
"""Bytes in a row that are no frame, after which a connection is given up."""
_SERIALS = 65_535


@dataclass(slots=True)
class Counters:
    """What a listener has seen; for its page and for tests."""

    frames: int = 0
    skipped_bytes: int = 0
    damaged: int = 0
    unknown_sources: int = 0
    unreadable: int = 0
    not_kept: int = 0
    unanswered: int = 0
    contested: int = 0


@dataclass(slots=True)
class Desk:
    """What all connections of a listener share.

    `units` is by source address, `live` holds the one live session of each unit by its id, `told` what was logged.
    """

    settings: Gb26875Settings
    sink: Sink
    clock: Clock
    wall: WallTime
    units: Mapping[int, Unit]
    live: "dict[str, Session]" = field(default_factory=dict)
    told: set[str] = field(default_factory=set)
    counters: Counters = field(default_factory=Counters)

    def is_first(self, what: str) -> bool:
        """Tell whether something is to be logged: once each, bounded."""
        if what in self.told or len(self.told) >= 1000:
            return False
        self.told.add(what)
        return True


class Session:
    """One connection; a concentrator may speak for several units on it."""

    def __init__(self, connection: Connection, desk: Desk) -> None:
        self._connection = connection
        self._desk = desk
        self._scanner = FrameScanner()
        self._units: set[str] = set()
        self._centre: dict[str, Frame] = {}
        self._heard_s: dict[str, float] = {}
        self._waiting: dict[int, asyncio.Future[Frame]] = {}
        self._serial = 0
        self._noise = 0

    async def serve(self) -> None:
        """Take frames until the peer closes, falls silent for three heartbeats, sends noise only, or is replaced.

        The silence counts from the last whole frame of a configured device, so that dripping bytes keep no connection.
        """
        settings, clock = self._desk.settings, self._desk.clock
        limit_s = 3 * settings.heartbeat_s
        deadline_s = clock.monotonic_s() + limit_s
        try:
            while (left_s := deadline_s - clock.monotonic_s()) > 0:
                data = await self._connection.read(left_s)
                if not data:
                    return
                for item in self._scanner.feed(data):
                    if await self._take(item):
                        deadline_s = clock.monotonic_s() + limit_s
                if self._noise > NOISE_LIMIT:
                    return
        finally:
            self._leave()

    def close(self) -> None:
        """Drop the connection; `serve` returns soon."""
        self._connection.close()

    async def refresh(self, unit: Unit) -> bool:
        """Ask for the states of all components, batch after batch; tell whether each was answered.

        The first batch without an answer ends it; one that is denied does not, its components may be new to the panel.
        """
        is_granted = True
        for batch in unit.batches():
            app = encode_components(
                READ_COMPONENT_STATE, [component.address for component in batch]
            )
            reply = await self._request(unit, REQUEST, app)
            if reply is None:
                return False
            is_granted &= reply.command != DENY
        return is_granted

    async def _take(self, item: Frame | Skipped) -> bool:
        """Handle what was found; tell whether it was a frame of a configured device."""
        counters = self._desk.counters
        frame = item if isinstance(item, Frame) else item.damaged
        if isinstance(item, Skipped):
            counters.skipped_bytes += item.size
            self._noise += item.size
            if frame is not None and frame.source in self._desk.units:
                counters.damaged += 1
                await self._reply(frame, DENY)
            return False
        unit = self._desk.units.get(item.source)
        if unit is None:
            await self._turn_away(item)
            return False
        counters.frames += 1
        self._noise = 0
        self._attach(unit, item)
        await self._handle(unit, item)
        return True

    async def _turn_away(self, frame: Frame) -> None:
        self._desk.counters.unknown_sources += 1
        if self._desk.is_first(f"source {frame.source}"):
            log.warning("device not configured", source=frame.source, peer=self._connection.peer_ip)
        await self._reply(frame, DENY)
        if not self._units:
            self._connection.close()

    def _attach(self, unit: Unit, frame: Frame) -> None:
        """Make this the unit's one live connection; the older one is dropped, if it may be."""
        self._centre[unit.id] = frame
        self._heard_s[unit.id] = self._desk.clock.monotonic_s()
        old = self._desk.live.get(unit.id)
        if old is self or (old is not None and not self._may_replace(old, unit)):
            return
        if old is not None:
            old.release(unit)
        self._connection.is_known = True
        self._units.add(unit.id)
        self._desk.live[unit.id] = self
        unit.refresh_due_s = self._desk.clock.monotonic_s()
        unit.wake.set()

    def _may_replace(self, old: "Session", unit: Unit) -> bool:
        """Tell whether the older connection is to go: not while it lives and this one comes from another address.

        Anybody can claim a device's number. What he says is kept, it may be a fire, but he cuts nobody off.
        """
        silence_s = self._desk.clock.monotonic_s() - old.heard_s(unit)
        here, there = self._connection.peer_ip, old.peer_ip
        if here == there or silence_s > self._desk.settings.heartbeat_s:
            return True
        self._desk.counters.contested += 1
        if self._desk.is_first(f"contested {unit.id}"):
            log.warning("two peers claim one device", device_id=unit.id, peers=[there, here])
        return False

    @property
    def peer_ip(self) -> str:
        """Network address of the other side."""
        return self._connection.peer_ip

    def heard_s(self, unit: Unit) -> float:
        """Give when the unit was last heard on this connection, monotonic seconds."""
        return self._heard_s.get(unit.id, 0.0)

    def release(self, unit: Unit) -> None:
        """Give a unit to another session; without units the connection is dropped."""
        self._units.discard(unit.id)
        if not self._units:
            self._connection.close()

    def _leave(self) -> None:
        for unit_id in self._units:
            if self._desk.live.get(unit_id) is self:
                del self._desk.live[unit_id]
        for waiting in self._waiting.values():
            waiting.cancel()

    async def _handle(self, unit: Unit, frame: Frame) -> None:
        """Keep what the frame brings, then confirm it."""
        async with unit.intake_lock:
            intake = unit.take(frame)
            if not await self._keep(unit, intake):
                return
        if intake.app_error:
            self._note_unreadable(unit, frame, intake.app_error)
        if frame.command in {CONFIRM, ANSWER, DENY}:
            waiting = self._waiting.get(frame.serial)
            if waiting is not None and not waiting.done():
                waiting.set_result(frame)
        elif frame.command == SEND or frame.command >= 128:
            await self._reply(frame, CONFIRM)
        else:
            await self._reply(frame, DENY)
        if frame.command == SEND and unit.is_clock_wrong(frame):
            await self._set_clock(unit)

    async def _keep(self, unit: Unit, intake: Intake) -> bool:
        """Put it on disk; False when the disk is full: unconfirmed, the device sends again."""
        if intake.observations:
            try:
                await self._desk.sink.deliver(intake.observations)
            except SpoolFullError as error:
                self._desk.counters.not_kept += 1
                if self._desk.is_first("spool full"):
                    log.error("alarms cannot be kept", device_id=unit.id, error=str(error))  # noqa: TRY400 - no bug
                return False
            self._desk.told.discard("spool full")
        unit.keep(intake)
        return True

    def _note_unreadable(self, unit: Unit, frame: Frame, error: str) -> None:
        self._desk.counters.unreadable += 1
        kind = frame.app[0] if frame.app else 0
        if self._desk.is_first(f"unreadable {unit.id} {kind} {error}"):
            log.warning(
                "data not readable", device_id=unit.id, error=error, app=frame.app[:64].hex()
            )

    async def _reply(self, frame: Frame, command: int) -> None:
        unit = self._desk.units.get(frame.source)
        wall = unit.wall if unit else self._desk.wall
        time = wall.write(self._desk.clock.now_ms())
        await self._connection.write(answer(frame, command, time))

    async def _set_clock(self, unit: Unit) -> None:
        """Send our time; whether it was taken shows in the next frame's header."""
        log.info("clock is set", device_id=unit.id)
        time = unit.wall.write(self._desk.clock.now_ms())
        frame = self._own_frame(unit, CONTROL, encode_set_time(time))
        await self._connection.write(encode(frame))

    async def _request(self, unit: Unit, command: int, app: bytes) -> Frame | None:
        """Send a request and wait for its answer, with repeats; None when there is none."""
        settings = self._desk.settings
        frame = self._own_frame(unit, command, app)
        waiting = asyncio.get_running_loop().create_future()
        self._waiting[frame.serial] = waiting
        try:
            for _ in range(1 + settings.answer_retries):
                if self._desk.live.get(unit.id) is not self:
                    return None
                await self._connection.write(encode(frame))
                done, _ = await asyncio.wait({waiting}, timeout=settings.answer_timeout_s)
                if waiting.cancelled():
                    return None
                if done:
                    reply: Frame = waiting.result()
                    return reply
        finally:
            del self._waiting[frame.serial]
        self._desk.counters.unanswered += 1
        return None

    def _own_frame(self, unit: Unit, command: int, app: bytes) -> Frame:
        heard = self._centre[unit.id]
        self._serial = self._serial % _SERIALS + 1
        time = unit.wall.write(self._desk.clock.now_ms())
        return Frame(self._serial, heard.version, time, heard.target, heard.source, command, app)
