"""A small fleet in one process: orders in, bytes and events out."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from firmware_sim.errors import OrderError
from firmware_sim.modbus.frames import tcp_frame
from firmware_sim.orders import Deed, Order
from firmware_sim.plan import SimPlan
from firmware_sim.uitd.frames import Frame, Reader
from firmware_sim.world import World

Eventually = Callable[[Callable[[], bool]], Awaitable[None]]


class Centre:
    """Confirms everything and remembers it."""

    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        framer = Reader()
        try:
            while chunk := await reader.read(4096):
                for frame in framer.feed(chunk):
                    self.frames.append(frame)
                    writer.write(Frame(frame.serial, frame.target, frame.source, 3).pack())
        except OSError:
            return
        finally:
            writer.close()

    def states(self) -> list[int]:
        """Give the states of single components in the order in which they came."""
        return [f.app[9] for f in self.frames if f.app[:2] == b"\x02\x01"]


class Rig:
    def __init__(self, world: World, centre: Centre) -> None:
        self.world, self.centre = world, centre

    def do(self, deed: str, device: str, **more: Any) -> None:
        self.world.order(Order(do=Deed(deed), device=device, **more))

    async def registers(self, unit: int, count: int = 2) -> list[int]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.world.ports["line-1"])
        writer.write(tcp_frame(1, unit, bytes([3, 0, 0, 0, count])))
        async with asyncio.timeout(20):
            raw = await reader.readexactly(9 + 2 * count)
        writer.close()
        return [int.from_bytes(raw[at : at + 2], "big") for at in range(9, len(raw), 2)]


@asynccontextmanager
async def rig(folder: Path, clock: Any, events: Any) -> AsyncIterator[Rig]:
    centre = Centre()
    server = await asyncio.start_server(centre.serve, "127.0.0.1", 0)
    plan = SimPlan.model_validate(
        {
            "site": "shuibei",
            "lines": [
                {
                    "id": "line-1",
                    "transport": {"type": "tcp", "port": 0},
                    "units": [
                        {"id": "gas-1", "unit": 1, "model": "gas-lel-simple"},
                        {"id": "hydrant-1", "unit": 2, "model": "pressure-oem-kpa"},
                        {"id": "tank-1", "unit": 3, "model": "level-oem-m"},
                    ],
                }
            ],
            "uitds": [
                {
                    "id": "uitd-1",
                    "address": 7,
                    "port": server.sockets[0].getsockname()[1],
                    "backoff_s": 0.05,
                    "components": [{"id": f"smoke-{n}", "zone": 1, "point": n} for n in (1, 2, 3)],
                }
            ],
        }
    )
    world = World(plan, folder, clock, events)
    is_ready = asyncio.Event()

    async def ready() -> None:
        is_ready.set()

    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(world.run(ready), name="world")
        try:
            async with asyncio.timeout(20):
                await is_ready.wait()
            yield Rig(world, centre)
        finally:
            running.cancel()
            server.close()


async def test_a_leak_is_told_when_the_register_has_passed_the_limit(
    tmp_path: Path, clock: Any, events: Any, eventually: Eventually
) -> None:
    async with rig(tmp_path, clock, events) as it:
        assert (await it.registers(1))[1] == 0
        it.do("gas_leak", "gas-1")
        clock.plant += 3
        assert events.of("sent") == []
        clock.plant += 4
        await eventually(lambda: bool(events.of("sent")))
        told = events.of("sent")[0]
        assert (told["device"], told["what"], told["at"]) == ("gas-1", "gas_leak", clock.unix_ms)
        concentration, status = await it.registers(1)
        assert concentration >= 200
        assert status == 2


@pytest.mark.parametrize(
    ("deed", "device"), [("pressure_loss", "hydrant-1"), ("overflow", "tank-1")]
)
async def test_water_emergencies_are_told_and_can_be_restored(
    tmp_path: Path, clock: Any, events: Any, eventually: Eventually, deed: str, device: str
) -> None:
    async with rig(tmp_path, clock, events) as it:
        it.do(deed, device)
        clock.plant += 30
        await eventually(lambda: [e["what"] for e in events.of("sent")] == [deed])
        it.do("restore", device)
        assert [e["what"] for e in events.of("sent")] == [deed, "restore"]


async def test_an_actuator_set_by_a_master_is_told(
    tmp_path: Path, clock: Any, events: Any, eventually: Eventually
) -> None:
    async with rig(tmp_path, clock, events) as it:
        _, writer = await asyncio.open_connection("127.0.0.1", it.world.ports["line-1"])
        writer.write(tcp_frame(1, 1, bytes.fromhex("0500000000")))
        await eventually(lambda: bool(events.of("write")))
        writer.close()
        assert events.of("write") == [
            {"event": "write", "device": "gas-1", "metric": "valve_open", "value": 0}
            | {"at": clock.unix_ms}
        ]


async def test_a_fire_is_told_when_its_bytes_have_left(
    tmp_path: Path, clock: Any, events: Any, eventually: Eventually
) -> None:
    async with rig(tmp_path, clock, events) as it:
        it.do("fire", "smoke-2")
        await eventually(lambda: it.centre.states() == [3])
        assert [(e["device"], e["what"]) for e in events.of("sent")] == [("smoke-2", "fire")]
        it.do("restore", "smoke-2")
        await eventually(lambda: it.centre.states() == [3, 1])


async def test_a_lost_detector_is_a_fault_and_keeps_its_fire(
    tmp_path: Path, clock: Any, events: Any, eventually: Eventually
) -> None:
    async with rig(tmp_path, clock, events) as it:
        it.do("fire", "smoke-1")
        it.do("silence", "smoke-1")
        await eventually(lambda: it.centre.states() == [3, 7])


async def test_a_test_is_an_operation_and_a_fire_with_the_test_bit(
    tmp_path: Path, clock: Any, events: Any, eventually: Eventually
) -> None:
    async with rig(tmp_path, clock, events) as it:
        it.do("test", "smoke-1")
        await eventually(lambda: it.centre.states() == [2, 0])
        assert [f.app[4] for f in it.centre.frames if f.app[:1] == b"\x04"] == [0x40]


async def test_a_chattering_contact_floods_and_ends_quietly(
    tmp_path: Path, clock: Any, events: Any, eventually: Eventually
) -> None:
    async with rig(tmp_path, clock, events) as it:
        it.do("flood", "smoke-3", number=0.5)
        await eventually(lambda: len(it.centre.states()) >= 6)
        assert it.centre.states() == [3, 1, 3, 1, 3, 1]
        assert [e["what"] for e in events.of("sent")] == ["flood"]


async def test_an_order_for_a_while_undoes_itself(
    tmp_path: Path, clock: Any, events: Any, eventually: Eventually
) -> None:
    async with rig(tmp_path, clock, events) as it:
        it.do("silence", "gas-1", for_s=0.05)
        await eventually(lambda: [e["what"] for e in events.of("sent")] == ["silence", "restore"])
        assert (await it.registers(1))[1] == 0


async def test_a_restart_ends_by_itself(
    tmp_path: Path, clock: Any, events: Any, eventually: Eventually
) -> None:
    async with rig(tmp_path, clock, events) as it:
        it.do("fault", "gas-1", fault="restart", number=0.05)
        twin: Any = it.world.twins["gas-1"]
        assert twin.slave.is_mute
        await eventually(lambda: not twin.slave.is_mute)


async def test_a_sensor_fault_shows_at_once(tmp_path: Path, clock: Any, events: Any) -> None:
    async with rig(tmp_path, clock, events) as it:
        it.do("fault", "gas-1")
        assert (await it.registers(1))[1] == 3
        it.do("fault", "gas-1", on=False)
        assert (await it.registers(1))[1] == 0


async def test_link_faults_named_at_a_detector_go_to_its_gateway(
    tmp_path: Path, clock: Any, events: Any, eventually: Eventually
) -> None:
    async with rig(tmp_path, clock, events) as it:
        await eventually(lambda: it.world.links[0].is_connected)
        it.do("fault", "smoke-1", fault="link_lost")
        await eventually(lambda: not it.world.links[0].is_connected)
        it.do("restore", "uitd-1")
        await eventually(lambda: it.world.links[0].is_connected)


@pytest.mark.parametrize(
    ("deed", "device", "more", "reason"),
    [
        ("fire", "nobody", {}, "no such device"),
        ("fire", "gas-1", {}, "cannot do fire"),
        ("overflow", "gas-1", {}, "knows gas_leak, not overflow"),
        ("gas_leak", "smoke-1", {}, "cannot do gas_leak"),
        ("fire", "line-1", {}, "silence and restore"),
        ("fire", "uitd-1", {}, "cannot do fire"),
        ("fault", "gas-1", {"fault": "wet"}, "no fault is called 'wet'; there are silent"),
        ("fault", "uitd-1", {"fault": "open_loop"}, "there are deaf"),
    ],
)
async def test_what_a_device_cannot_do_is_refused(
    tmp_path: Path, clock: Any, events: Any, deed: str, device: str, more: Any, reason: str
) -> None:
    async with rig(tmp_path, clock, events) as it:
        with pytest.raises(OrderError, match=reason):
            it.do(deed, device, **more)
        assert events.of("sent") == []
