"""A transmission device's TCP link to the centre: heartbeats, events resent until confirmed, reconnection.

Source: GB/T 26875.3-2011, 6.5: no answer within 10 s at most, the packet is sent three times more.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from contextlib import suppress
from functools import partial
from typing import Final

from firmware_sim.plan import UitdPlan
from firmware_sim.uitd import frames
from firmware_sim.uitd.faults import Fault, Faults
from firmware_sim.uitd.frames import Command, Frame
from firmware_sim.uitd.memory import Memory, Packet
from firmware_sim.uitd.panel import DUTY_ANSWER, Panel

SENDS: Final = 4
WINDOW: Final = 16
HEARTBEATS_MISSED: Final = 3
BACKOFF_LIMIT_S: Final = 30.0
IO_TIMEOUT_S: Final = 10.0
SPLIT_GAP_S: Final = 0.001
REPLIES_KEPT: Final = 64


class _LinkLostError(Exception):
    """The connection is of no use any more: reconnect."""


class Link:
    """The network side of one transmission device. `run` it as a task; all other methods return at once."""

    def __init__(self, plan: UitdPlan, panel: Panel) -> None:
        self.faults = Faults()
        self.memory = Memory()
        self.is_connected = False
        self._plan = plan
        self._panel = panel
        self._replies: deque[Frame] = deque(maxlen=REPLIES_KEPT)
        self._wake = asyncio.Event()
        self._heartbeat_due_s = 0.0
        self._states_due_s = 0.0
        self._heartbeats_open = 0

    def tell(
        self, app: bytes, *, is_fire: bool = False, on_first_send: Callable[[], None] | None = None
    ) -> None:
        """Send an event now, and again until the centre confirms it, through any number of lost links."""
        self.memory.keep(app, is_event=True, is_fire=is_fire, on_first_send=on_first_send)
        self._wake.set()

    def switch(self, fault: Fault, *, on: bool, number: float | None = None) -> None:
        """Switch a fault on or off."""
        self.faults.switch(fault, on=on, number=number)
        self._panel.has_dead_clock = self.faults.has(Fault.DEAD_CLOCK)
        self._panel.is_in_test = self.faults.has(Fault.TEST_BIT)
        self._wake.set()

    async def run(self) -> None:
        """Keep the link up until cancelled."""
        pause_s = self._plan.backoff_s
        while True:
            if not self.faults.has(Fault.LINK_LOST) and await self._attend():
                pause_s = self._plan.backoff_s
            else:
                pause_s = min(pause_s * 2, BACKOFF_LIMIT_S)
            self._wake.clear()
            # An event that happens meanwhile must not wait for the whole pause, yet a dead centre is not hammered.
            await asyncio.sleep(self._plan.backoff_s)
            with suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, pause_s - self._plan.backoff_s)):
                    await self._wake.wait()

    async def _attend(self) -> bool:
        """Connect and serve one connection; False when none came about."""
        try:
            async with asyncio.timeout(IO_TIMEOUT_S):
                reader, writer = await asyncio.open_connection(self._plan.host, self._plan.port)
        except (OSError, TimeoutError):
            return False
        self.is_connected = True
        self._begin_session()
        session: list[asyncio.Task[None]] = []
        try:
            async with asyncio.TaskGroup() as tasks:
                for part in (partial(self._listen, reader), partial(self._speak, writer)):
                    session.append(
                        tasks.create_task(_until_lost(part, session), name=f"link[{self._plan.id}]")
                    )
        finally:
            self.is_connected = False
            writer.transport.abort()
        return True

    def _begin_session(self) -> None:
        self.memory.begin_session()
        self._replies.clear()
        self._heartbeats_open = 0
        now_s = asyncio.get_running_loop().time()
        self._heartbeat_due_s = now_s + self._plan.heartbeat_s
        self._states_due_s = now_s
        self._wake.set()

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        framer = frames.Reader()
        while True:
            # The speaking task notices a dead centre by its heartbeats, so that this wait needs no end.
            chunk = await reader.read(4096)
            if not chunk:
                raise _LinkLostError
            if self.faults.has(Fault.SILENT_CUT):
                continue
            for frame in framer.feed(chunk):
                self._received(frame)
            self._wake.set()

    def _received(self, frame: Frame) -> None:
        match frame.command:
            case Command.CONFIRM:
                self._confirmed(frame.serial)
            case Command.DENY:
                for packet in self.memory:
                    if packet.serial == frame.serial:
                        packet.due_s = 0.0
            case Command.CONTROL | Command.REQUEST:
                self._replies.append(self._panel.reply(frame))
                if frame.app[:1] == b"\x5b":  # duty check: the officer presses the key
                    self.tell(self._panel.note_operation(DUTY_ANSWER))

    def _confirmed(self, serial: int) -> None:
        self._heartbeats_open = 0
        if self.faults.has(Fault.DEAF):
            return
        if self.faults.has(Fault.SERIAL_ZERO):
            self.memory.confirm_oldest()
        else:
            self.memory.confirm(serial)

    async def _speak(self, writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        while True:
            self._wake.clear()
            if self.faults.has(Fault.LINK_LOST):
                raise _LinkLostError
            if not self.faults.has(Fault.SILENT_CUT):
                await self._speak_once(writer, loop.time())
            wait_s = max(0.0, self._next_due_s() - loop.time())
            if self.faults.has(Fault.SILENT_CUT):
                wait_s = self._plan.heartbeat_s
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._wake.wait()

    async def _speak_once(self, writer: asyncio.StreamWriter, now_s: float) -> None:
        if now_s >= self._states_due_s:
            self._states_due_s = now_s + self._plan.states_every_s
            for app in (self._panel.own_state(), *self._panel.all_states()):
                self.memory.keep(app, is_event=False)
        packets = self._due_packets(now_s)
        outgoing = list(self._replies)
        self._replies.clear()
        outgoing += [self._frame(packet.serial, packet.app) for packet in packets]
        if self._wants_heartbeat(now_s, is_busy=bool(outgoing)):
            outgoing.append(self._heartbeat(now_s))
        if outgoing:
            await self._write(writer, b"".join(self._pack(frame) for frame in outgoing))
        for packet in packets:
            if packet.on_first_send is not None:
                packet.on_first_send()
                packet.on_first_send = None

    def _wants_heartbeat(self, now_s: float, *, is_busy: bool) -> bool:
        if self.faults.has(Fault.SERIAL_ZERO) and any(packet.tries for packet in self.memory):
            # Without serials a confirmation of the heartbeat would be taken for that of the event.
            self._heartbeat_due_s = max(self._heartbeat_due_s, now_s + self._plan.ack_timeout_s)
            return False
        return now_s >= self._heartbeat_due_s or (is_busy and self.faults.has(Fault.DOUBLE))

    def _due_packets(self, now_s: float) -> list[Packet]:
        window = 1 if self.faults.has(Fault.SERIAL_ZERO) else WINDOW
        found = []
        for packet in list(self.memory)[:window]:
            if packet.due_s > now_s:
                continue
            if packet.tries >= SENDS:
                raise _LinkLostError
            packet.tries += 1
            packet.due_s = now_s + self._plan.ack_timeout_s
            found.append(packet)
        return found

    def _heartbeat(self, now_s: float) -> Frame:
        if self._heartbeats_open >= HEARTBEATS_MISSED:
            raise _LinkLostError
        self._heartbeats_open += 1
        self._heartbeat_due_s = now_s + self._plan.heartbeat_s
        return self._frame(self.memory.next_serial(), b"")

    def _next_due_s(self) -> float:
        window = 1 if self.faults.has(Fault.SERIAL_ZERO) else WINDOW
        waiting = [packet.due_s for packet in list(self.memory)[:window]]
        return min([self._heartbeat_due_s, self._states_due_s, *waiting])

    def _frame(self, serial: int, app: bytes) -> Frame:
        number = 0 if self.faults.has(Fault.SERIAL_ZERO) else serial
        return self._panel.frame(number, Command.SEND, app, self._plan.centre)

    def _pack(self, frame: Frame) -> bytes:
        raw = frame.pack()
        if self.faults.takes_one(Fault.BAD_CHECKSUM):
            return raw[:-3] + bytes([raw[-3] ^ 0xFF]) + raw[-2:]
        return raw

    async def _write(self, writer: asyncio.StreamWriter, raw: bytes) -> None:
        async with asyncio.timeout(IO_TIMEOUT_S):
            if not self.faults.has(Fault.SPLIT):
                writer.write(raw)
                await writer.drain()
                return
        for index in range(len(raw)):
            async with asyncio.timeout(IO_TIMEOUT_S):
                writer.write(raw[index : index + 1])
                await writer.drain()
            await asyncio.sleep(SPLIT_GAP_S)


async def _until_lost(
    part: Callable[[], Coroutine[None, None, None]], session: list[asyncio.Task[None]]
) -> None:
    """Run one half of a session, and end the other half when the link is lost.

    The group sees no error: before Python 3.13 one that ends by an error of its own forgets a cancellation that
    comes at the same moment.
    """
    try:
        await part()
    except (_LinkLostError, OSError, TimeoutError):
        for task in session:
            task.cancel()
