"""The link against a small centre that is written here, from the standard alone."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from firmware_sim.plan import UitdPlan
from firmware_sim.uitd import link as link_module
from firmware_sim.uitd.faults import Fault
from firmware_sim.uitd.frames import ComponentKey
from firmware_sim.uitd.link import Link
from firmware_sim.uitd.panel import FIRE, RUNNING, Component, Panel

Eventually = Callable[[Callable[[], bool]], Awaitable[None]]


class Centre:
    """Takes the stream apart by length, checks every sum, and confirms what it is told to confirm."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.bad = 0
        self.segments: list[int] = []
        self.connections = 0
        self.confirms = True
        self.port = 0
        self._writers: list[asyncio.StreamWriter] = []
        self._server: asyncio.Server | None = None

    async def open(self, port: int = 0) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", port)
        self.port = self._server.sockets[0].getsockname()[1]

    def close(self) -> None:
        assert self._server is not None
        self._server.close()
        self.hang_up()

    def hang_up(self) -> None:
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    def ask(self, command: int, app: bytes) -> None:
        self._writers[-1].write(self._frame(b"\x2a\x00", b"\x11\x27" + bytes(4), command, app))

    def fires(self) -> list[bytes]:
        """Give the frames (command 2, type 2, one object) whose state has the fire bit."""
        return [f for f in self.frames if f[26:29] == b"\x02\x02\x01" and f[36] & FIRE]

    def of(self, command: int, kind: int | None = None) -> list[bytes]:
        return [
            f
            for f in self.frames
            if f[26] == command and (kind is None or f[27:28] == bytes([kind]))
        ]

    def heartbeats(self) -> list[bytes]:
        return [f for f in self.frames if f[24:27] == b"\0\0\x02"]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.append(writer)
        buffer = b""
        try:
            while chunk := await reader.read(4096):
                self.segments.append(len(chunk))
                buffer = self._take(buffer + chunk, writer)
        except OSError:
            return
        finally:
            writer.close()

    def _take(self, buffer: bytes, writer: asyncio.StreamWriter) -> bytes:
        while len(buffer) >= 30:
            size = 30 + int.from_bytes(buffer[24:26], "little")
            if len(buffer) < size:
                break
            raw, buffer = buffer[:size], buffer[size:]
            assert raw[:2] == b"@@"
            assert raw[-2:] == b"##"
            is_good = sum(raw[2:-3]) % 256 == raw[-3]
            self.bad += not is_good
            if is_good:
                self.frames.append(raw)
            if raw[26] == 2 and (self.confirms or not is_good):
                command = 3 if is_good else 6
                writer.write(self._frame(raw[2:4], raw[12:18], command, b""))
        return buffer

    @staticmethod
    def _frame(serial: bytes, target: bytes, command: int, app: bytes) -> bytes:
        body = serial + b"\1\1" + bytes([0, 0, 8, 1, 1, 26]) + b"\1" + bytes(5) + target
        body += len(app).to_bytes(2, "little") + bytes([command]) + app
        return b"@@" + body + bytes([sum(body) % 256]) + b"##"


class Rig:
    """One device and its centre."""

    def __init__(self, centre: Centre, link: Link, panel: Panel) -> None:
        self.centre, self.link, self.panel = centre, link, panel
        self.left: list[str] = []

    def burn(self, device: str = "smoke-0") -> None:
        component = self.panel.components[device]
        component.state = RUNNING | FIRE
        self.link.tell(
            self.panel.one_state(component),
            is_fire=True,
            on_first_send=lambda: self.left.append(device),
        )


@asynccontextmanager
async def rig(clock: Any, *, count: int = 3, **settings: float) -> AsyncIterator[Rig]:
    centre = Centre()
    await centre.open()
    plan = UitdPlan(
        id="shuibei-uitd-01",
        address=10_001,
        centre=1,
        port=centre.port,
        backoff_s=0.05,
        **{"heartbeat_s": 30.0, "ack_timeout_s": 0.1, **settings},  # type: ignore[arg-type]
    )
    parts = [Component(f"smoke-{n}", ComponentKey(1, 1, 1, n), 40, "店内") for n in range(count)]
    panel = Panel(10_001, parts, clock)
    link = Link(plan, panel)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(link.run(), name="link")
        try:
            yield Rig(centre, link, panel)
        finally:
            running.cancel()
            centre.close()


async def test_it_tells_the_state_of_everything_when_it_connects(
    clock: Any, eventually: Eventually
) -> None:
    async with rig(clock, count=30) as it:
        await eventually(lambda: len(it.centre.frames) >= 3 and len(it.link.memory) == 0)
        assert [frame[27:29] for frame in it.centre.frames] == [b"\x15\1", b"\2\x16", b"\2\x08"]
        assert it.centre.frames[0][12:18] == (10_001).to_bytes(6, "little")


async def test_it_keeps_the_link_alive_with_empty_frames(
    clock: Any, eventually: Eventually
) -> None:
    async with rig(clock, heartbeat_s=0.05) as it:
        await eventually(lambda: len(it.centre.heartbeats()) >= 5)
        assert it.centre.connections == 1


async def test_a_fire_is_sent_once_when_it_is_confirmed(clock: Any, eventually: Eventually) -> None:
    async with rig(clock) as it:
        it.burn()
        await eventually(lambda: len(it.link.memory) == 0 and bool(it.centre.fires()))
        assert len(it.centre.fires()) == 1
        assert it.left == ["smoke-0"]


async def test_a_fire_is_resent_with_its_serial_and_then_over_a_new_link(
    clock: Any, eventually: Eventually
) -> None:
    async with rig(clock) as it:
        it.centre.confirms = False
        it.burn()
        await eventually(lambda: len(it.centre.fires()) >= 6)
        assert it.centre.connections >= 2
        assert len({frame[2:4] for frame in it.centre.fires()}) == 1
        it.centre.confirms = True
        await eventually(lambda: len(it.link.memory) == 0)
        assert it.left == ["smoke-0"]


async def test_a_fire_survives_a_centre_that_is_down(clock: Any, eventually: Eventually) -> None:
    async with rig(clock) as it:
        await eventually(lambda: it.centre.connections == 1)
        port = it.centre.port
        it.centre.close()
        await eventually(lambda: not it.link.is_connected)
        it.burn()
        assert it.left == []
        await it.centre.open(port)
        await eventually(lambda: len(it.centre.fires()) == 1 and len(it.link.memory) == 0)


async def test_a_deaf_device_repeats_itself(clock: Any, eventually: Eventually) -> None:
    async with rig(clock) as it:
        it.link.switch(Fault.DEAF, on=True)
        it.burn()
        await eventually(lambda: len(it.centre.fires()) >= 5)
        it.link.switch(Fault.DEAF, on=False)
        await eventually(lambda: len(it.link.memory) == 0)


async def test_a_denied_frame_is_sent_again(clock: Any, eventually: Eventually) -> None:
    async with rig(clock, ack_timeout_s=10) as it:
        await eventually(lambda: it.centre.connections == 1 and len(it.link.memory) == 0)
        it.link.switch(Fault.BAD_CHECKSUM, on=True, number=2)
        it.burn()
        await eventually(lambda: len(it.centre.fires()) == 1)
        assert it.centre.bad == 2


async def test_a_split_frame_arrives_whole(clock: Any, eventually: Eventually) -> None:
    async with rig(clock, ack_timeout_s=10) as it:
        await eventually(lambda: it.centre.connections == 1 and len(it.link.memory) == 0)
        it.link.switch(Fault.SPLIT, on=True)
        it.centre.segments.clear()
        it.burn()
        await eventually(lambda: len(it.centre.fires()) == 1)
        assert len(it.centre.segments) > 5


async def test_two_frames_come_in_one_segment(clock: Any, eventually: Eventually) -> None:
    async with rig(clock, ack_timeout_s=10) as it:
        await eventually(lambda: it.centre.connections == 1 and len(it.link.memory) == 0)
        it.link.switch(Fault.DOUBLE, on=True)
        it.burn()
        await eventually(lambda: len(it.centre.fires()) == 1 and len(it.link.memory) == 0)
        assert it.centre.segments[-1] == 78 + 30


async def test_a_device_without_serials_sends_one_at_a_time(
    clock: Any, eventually: Eventually
) -> None:
    async with rig(clock) as it:
        await eventually(lambda: it.centre.connections == 1 and len(it.link.memory) == 0)
        it.link.switch(Fault.SERIAL_ZERO, on=True)
        it.centre.frames.clear()
        for device in it.panel.components:
            it.burn(device)
        await eventually(lambda: len(it.link.memory) == 0)
        assert {frame[2:4] for frame in it.centre.frames} == {b"\0\0"}
        assert len(it.centre.fires()) >= 3


async def test_a_dead_clock_says_the_year_2000(clock: Any, eventually: Eventually) -> None:
    async with rig(clock) as it:
        it.link.switch(Fault.DEAD_CLOCK, on=True)
        it.burn()
        await eventually(lambda: bool(it.centre.fires()))
        assert it.centre.fires()[0][6:12] == bytes([0, 0, 0, 1, 1, 0])


async def test_a_fire_under_test_has_the_test_bit(clock: Any, eventually: Eventually) -> None:
    async with rig(clock) as it:
        it.link.switch(Fault.TEST_BIT, on=True)
        it.burn()
        await eventually(lambda: bool(it.centre.fires()))
        assert it.centre.fires()[0][36] == FIRE


async def test_a_silent_cut_keeps_the_socket_and_sends_nothing(
    clock: Any, eventually: Eventually
) -> None:
    async with rig(clock, heartbeat_s=0.05) as it:
        await eventually(lambda: len(it.centre.heartbeats()) >= 1 and len(it.link.memory) == 0)
        it.link.switch(Fault.SILENT_CUT, on=True)
        it.burn()
        assert it.link.is_connected
        assert it.centre.connections == 1
        before = len(it.centre.fires())
        it.link.switch(Fault.SILENT_CUT, on=False)
        await eventually(lambda: len(it.centre.fires()) == 1)
        assert before == 0
        assert it.centre.connections == 1


async def test_a_lost_link_comes_back_with_its_events(clock: Any, eventually: Eventually) -> None:
    async with rig(clock) as it:
        await eventually(lambda: it.centre.connections == 1)
        it.link.switch(Fault.LINK_LOST, on=True)
        await eventually(lambda: not it.link.is_connected)
        it.burn()
        it.link.switch(Fault.LINK_LOST, on=False)
        await eventually(lambda: len(it.centre.fires()) == 1 and it.centre.connections == 2)


async def test_a_centre_that_answers_nothing_is_left_and_called_again(
    clock: Any, eventually: Eventually
) -> None:
    async with rig(clock, heartbeat_s=0.03) as it:
        it.centre.confirms = False
        await eventually(lambda: it.centre.connections >= 2)


async def test_the_duty_officer_answers_the_check(clock: Any, eventually: Eventually) -> None:
    async with rig(clock) as it:
        await eventually(lambda: it.centre.connections == 1)
        it.centre.ask(1, bytes([91, 1, 10]))
        await eventually(lambda: bool(it.centre.of(3)) and bool(it.centre.of(2, 24)))
        assert it.centre.of(3)[0][2:4] == b"\x2a\x00"
        assert it.centre.of(2, 24)[0][29] == 0x20


@pytest.mark.parametrize(("asked", "answered"), [(81, 21), (85, 25), (88, 28)])
async def test_a_query_over_the_link_is_answered(
    clock: Any, eventually: Eventually, asked: int, answered: int
) -> None:
    async with rig(clock) as it:
        await eventually(lambda: it.centre.connections == 1)
        it.centre.ask(4, bytes([asked, 1, 0]))
        await eventually(lambda: bool(it.centre.of(5, answered)))


async def test_a_stop_at_the_moment_the_link_is_lost_is_a_stop(
    clock: Any, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def stopped_and_lost(self: Link, writer: asyncio.StreamWriter) -> None:
        running.cancel()
        raise link_module._LinkLostError

    monkeypatch.setattr(Link, "_speak", stopped_and_lost)
    centre = Centre()
    await centre.open()
    plan = UitdPlan(id="shuibei-uitd-01", address=1, port=centre.port, backoff_s=0.05)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(Link(plan, Panel(1, [], clock)).run(), name="link")
        await eventually(running.done)
        assert running.cancelled()
        centre.close()
