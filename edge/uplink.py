"""The way up: lanes to the cloud, alarms first, each message again until the cloud says that it has it.

The broker's receipt (PUBACK) means nothing for safety; only `down/ack` deletes. It paces the bulk
lanes, though: at most four live messages and one of backfill are without receipt, so that on a slow
line an alarm stands behind some kilobytes, never behind a window of data.
"""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import partial
from typing import Final

import structlog

from contract.codec import ContractError, decode_ack, decode_birth, encode
from contract.messages import Birth, Lane, State
from contract.topics import Channel, parse_topic, topic
from edge.broker_link import BrokerAddress, BrokerLink, Will, open_link
from edge.clock import Clock
from edge.errors import LinkLostError
from edge.lane_window import LaneWindow
from edge.spool import Message, Spool

log = structlog.get_logger()
CHANNELS: Final = {
    Lane.ALARM: Channel.ALARM,
    Lane.EVENT: Channel.EVENT,
    Lane.DATA: Channel.DATA,
    Lane.BACKFILL: Channel.BACKFILL,
}
PIPELINE: Final = {Lane.ALARM: 32, Lane.EVENT: 16, Lane.DATA: 4, Lane.BACKFILL: 1}
BACKOFF_S: Final = (0.5, 5.0)
STALL_S: Final = (30.0, 300.0)
IDLE_S: Final = 1.0
FAREWELL_S: Final = 0.5
Opener = Callable[[BrokerAddress, Will], AbstractAsyncContextManager[BrokerLink]]


@dataclass(frozen=True, slots=True)
class UplinkOptions:
    """What an installer may set."""

    address: BrokerAddress
    edge_id: str
    boot: int
    backfill_per_s: float = 10.0


@dataclass(slots=True)
class LinkState:
    """What a status page shows of the link; times in Unix ms."""

    is_up: bool = False
    since: int = 0
    connects: int = 0
    last_ack_at: int = 0
    last_error: str = ""
    commands_dropped: int = 0


class Uplink:
    """Keeps one connection to the cloud and works the four lanes through it."""

    def __init__(
        self,
        options: UplinkOptions,
        *,
        spool: Spool,
        birth: Callable[[], Birth],
        inbox: "asyncio.Queue[tuple[Channel, bytes]]",
        clock: Clock,
        jitter: Callable[[], float],
        opener: Opener = open_link,
    ) -> None:
        """Build; nothing is opened before `run`.

        Args:
            options: where to connect and as whom.
            spool: what is sent.
            birth: gives the present birth.
            inbox: takes commands and configurations; what does not fit is dropped (the cloud repeats).
            clock: for pauses and time stamps.
            jitter: gives a number from 0 to 1 that spreads reconnections.
            opener: opens a connection.
        """
        self.state = LinkState()
        self._options = options
        self._spool = spool
        self._birth = birth
        self._inbox = inbox
        self._clock = clock
        self._jitter = jitter
        self._opener = opener
        self._link: BrokerLink | None = None
        self._windows: dict[Lane, LaneWindow] = {}
        self._has_unsent = dict.fromkeys(Lane, True)
        self._wants_birth = asyncio.Event()
        self._to_forget: dict[Lane, int] = {}
        self._miscounted: set[Lane] = set()
        self._has_acks = asyncio.Event()
        self._stall_s = STALL_S[0]
        self._progress_at = 0.0
        self._backfill_at = 0.0

    async def run(self) -> None:
        """Stay connected until cancelled; a lost link is tried again after 0.5 to 5 s."""
        pause = BACKOFF_S[0]
        while True:
            connects = self.state.connects
            try:
                await self._session()
            except LinkLostError as error:
                self._went_down(str(error))
            if self.state.connects > connects:
                pause = BACKOFF_S[0]
            await asyncio.sleep(pause * (0.5 + self._jitter() / 2))
            pause = min(pause * 2, BACKOFF_S[1])

    def request_birth(self) -> None:
        """Have the birth sent again."""
        self._wants_birth.set()

    async def reply(self, payload: bytes) -> bool:
        """Send a command's reply; False when the link is down (the cloud will ask again)."""
        link = self._link
        if link is None:
            return False
        try:
            await link.publish(self._topic(Channel.REPLY), payload)
        except LinkLostError:
            return False
        return True

    def _topic(self, channel: Channel) -> str:
        return topic(self._options.edge_id, channel)

    def _state_payload(self, *, is_online: bool) -> bytes:
        return encode(State(is_online, self._options.boot, self._clock.now_ms()))

    def _went_down(self, reason: str) -> None:
        if self.state.is_up or not self.state.last_error:
            log.warning("uplink down", error=reason)
        self.state.is_up = False
        self.state.since = self._clock.now_ms()
        self.state.last_error = reason

    async def _session(self) -> None:
        will = Will(self._topic(Channel.STATE), self._state_payload(is_online=False))
        async with self._opener(self._options.address, will) as link:
            await link.subscribe(
                [self._topic(channel) for channel in (Channel.ACK, Channel.COMMAND, Channel.CONFIG)]
            )
            await self._announce(link)
            await self._spool.link_is_up()
            for lane in Lane:
                self._windows[lane] = LaneWindow.from_lowest(await self._spool.lowest(lane))
                self._has_unsent[lane] = True
            self._came_up(link)
            try:
                await self._work(link)
            except asyncio.CancelledError:
                await self._say_farewell(link)
                raise
            finally:
                self._link = None

    def _came_up(self, link: BrokerLink) -> None:
        self._link = link
        self._progress_at = self._clock.monotonic_s()
        self.state.is_up = True
        self.state.connects += 1
        self.state.since = self._clock.now_ms()
        log.info("uplink up", broker=f"{self._options.address.host}:{self._options.address.port}")

    async def _work(self, link: BrokerLink) -> None:
        parts: dict[str, Callable[[], Coroutine[None, None, None]]] = {
            "hear": partial(self._hear, link),
            "watch": partial(self._watch, link),
            "forget": self._forget,
            **{lane.value: partial(self._send_lane, link, lane) for lane in Lane},
        }
        session: list[asyncio.Task[None]] = []
        lost: list[str] = []
        async with asyncio.TaskGroup() as tasks:
            for name, part in parts.items():
                watched = _until_lost(part, session, lost)
                session.append(tasks.create_task(watched, name=f"uplink.{name}"))
        if lost:
            raise LinkLostError(lost[0])

    async def _say_farewell(self, link: BrokerLink) -> None:
        try:
            async with asyncio.timeout(FAREWELL_S):
                await link.publish(
                    self._topic(Channel.STATE),
                    self._state_payload(is_online=False),
                    is_retained=True,
                )
        except (LinkLostError, TimeoutError) as error:
            log.debug("farewell not sent", error=str(error))

    async def _announce(self, link: BrokerLink) -> None:
        """Say what we have: older births first, for readings that were stored under them."""
        present = self._birth()
        for payload in await self._spool.births():
            if decode_birth(payload).model != present.model:
                await link.publish(self._topic(Channel.BIRTH), payload, is_retained=True)
        await link.publish(self._topic(Channel.BIRTH), encode(present), is_retained=True)
        await link.publish(
            self._topic(Channel.STATE), self._state_payload(is_online=True), is_retained=True
        )

    async def _hear(self, link: BrokerLink) -> None:
        async for name, payload in link.messages():
            try:
                channel = parse_topic(name).channel
                if channel is Channel.ACK:
                    self._take_ack(payload)
                    continue
            except (ContractError, ValueError) as error:
                log.warning("message refused", topic=name[:200], error=str(error))
                continue
            self._hurry()
            try:
                self._inbox.put_nowait((channel, payload))
            except asyncio.QueueFull:
                self.state.commands_dropped += 1

    def _hurry(self) -> None:
        """Send again at once what was not answered: who asks is there, maybe after an absence."""
        now = self._clock.monotonic_s()
        for lane, window in self._windows.items():
            if window.hurry(now):
                self._spool.wake[lane].set()

    def _take_ack(self, payload: bytes) -> None:
        ack = decode_ack(payload)
        window = self._windows[ack.lane]
        if ack.epoch != self._spool.epoch(ack.lane):
            return
        # The cloud may be ahead of this connection's window after our restart, never of our numbers.
        is_beyond = ack.committed_through >= self._spool.next_seq(ack.lane)
        if is_beyond or window.is_behind(ack.committed_through):
            log.warning("counted otherwise by the cloud", lane=ack.lane.value, error=repr(ack))
            self._miscounted.add(ack.lane)
            self._has_acks.set()
            return
        if ack.committed_through <= window.acked:
            return
        self._to_forget[ack.lane] = ack.committed_through
        self._has_acks.set()
        now = self._clock.monotonic_s()
        window.acknowledged(ack.committed_through, now)
        self._progress_at = now
        self._stall_s = STALL_S[0]
        self.state.last_ack_at = self._clock.now_ms()
        self._spool.wake[ack.lane].set()

    async def _forget(self) -> None:
        """Delete what is acknowledged; acknowledgements that come during one commit share the next."""
        while True:
            await self._has_acks.wait()
            self._has_acks.clear()
            if self._miscounted:
                await self._count_anew()
            due, self._to_forget = self._to_forget, {}
            for lane, through in due.items():
                await self._spool.acknowledge(lane, through)

    async def _count_anew(self) -> None:
        """Number a lane under a new epoch when its numbers mean something else to the cloud.

        Either our file is from the past (a copied card, a restored image): its new messages would pass for old ones,
        alarms too. Or the cloud's is: it would wait for ever for what was acknowledged long ago. What it has already
        it knows by alarm id, or by device and time.
        """
        for lane in sorted(self._miscounted):
            await self._spool.begin_epoch(lane)
        self._miscounted.clear()
        self._to_forget.clear()
        raise LinkLostError("the lanes are counted anew")

    async def _watch(self, link: BrokerLink) -> None:
        """Repeat births when asked; give up a connection over which nothing is acknowledged."""
        while True:
            if self._wants_birth.is_set():
                self._wants_birth.clear()
                await self._announce(link)
            now = self._clock.monotonic_s()
            if all(window.next_seq == window.acked + 1 for window in self._windows.values()):
                self._progress_at = now
            if now - self._progress_at > self._stall_s:
                waited, self._stall_s = self._stall_s, min(self._stall_s * 2, STALL_S[1])
                raise LinkLostError(f"nothing was acknowledged for {waited:.0f} s")
            await _wait(self._wants_birth, IDLE_S)

    async def _send_lane(self, link: BrokerLink, lane: Lane) -> None:
        window = self._windows[lane]
        wake = self._spool.wake[lane]
        while True:
            wake.clear()
            window.tick(self._clock.monotonic_s())
            messages = await self._next(lane, window)
            self._has_unsent[lane] = bool(messages)
            if messages:
                await self._publish(link, lane, messages)
                self._has_unsent[lane] = window.room > 0
                continue
            await _wait(wake, self._pause_s(lane, window))

    def _pause_s(self, lane: Lane, window: LaneWindow) -> float:
        pauses = [IDLE_S]
        now = self._clock.monotonic_s()
        if window.resend_at is not None:
            pauses.append(window.resend_at - now)
        if lane is Lane.DATA and window.room and (due := self._spool.live_due_in_s()) is not None:
            pauses.append(due)
        if lane is Lane.BACKFILL and (
            self._spool.has_backlog or window.next_seq < self._spool.next_seq(lane)
        ):
            # Held back by the rate, or because something better is going up: look again soon.
            pauses.append(self._backfill_at - now if self._backfill_at > now else 0.1)
        return max(0.001, min(pauses))

    async def _next(self, lane: Lane, window: LaneWindow) -> list[Message]:
        if not window.room or (lane is Lane.BACKFILL and not self._may_backfill()):
            return []
        limit = min(window.room, PIPELINE[lane])
        messages = await self._spool.outgoing(lane, window.next_seq, limit)
        if messages or lane in {Lane.ALARM, Lane.EVENT}:
            return messages
        if lane is Lane.DATA and self._spool.live_due_in_s() != 0:
            return []
        formed = await self._spool.form(lane)
        return [formed] if formed else []

    def _may_backfill(self) -> bool:
        """Tell whether nothing better is waiting and the rate allows one more message."""
        now = self._clock.monotonic_s()
        # More alarms than a window holds wait for acknowledgements, and are still first.
        has_facts = any(
            self._windows[lane].next_seq < self._spool.next_seq(lane)
            for lane in (Lane.ALARM, Lane.EVENT)
        )
        ahead = has_facts or self._has_unsent[Lane.DATA]
        return not ahead and now >= self._backfill_at

    async def _publish(self, link: BrokerLink, lane: Lane, messages: list[Message]) -> None:
        name = self._topic(CHANNELS[lane])
        async with asyncio.TaskGroup() as tasks:
            for seq, payload in messages:
                tasks.create_task(link.publish(name, payload), name=f"uplink.{lane}.{seq}")
        now = self._clock.monotonic_s()
        for seq, _ in messages:
            self._windows[lane].sent(seq, now)
        if lane is Lane.BACKFILL:
            self._backfill_at = now + len(messages) / self._options.backfill_per_s


async def _wait(event: asyncio.Event, timeout_s: float) -> None:
    try:
        async with asyncio.timeout(timeout_s):
            await event.wait()
    except TimeoutError:
        return


async def _until_lost(
    part: Callable[[], Coroutine[None, None, None]],
    session: "list[asyncio.Task[None]]",
    lost: list[str],
) -> None:
    """Run one part of a session, and end all others when the link is lost.

    The group that holds them sees no error: before Python 3.13 one that ends by an error of its own
    forgets a cancellation that comes at the same moment, and the node would never stop.
    """
    try:
        await part()
    except* LinkLostError as group:
        lost.append(_first(group))
        for task in session:
            task.cancel()


def _first(group: BaseExceptionGroup[LinkLostError]) -> str:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return str(error)
