"""What driver tests talk to: a sink that records, and peers that speak the wire protocols with code of their own."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import yaml

from edge.clock import SystemClock
from edge.driver import DeviceAlarm, DeviceEvent, Driver, DriverTools, Observation, Reading
from edge.errors import SpoolFullError

ROOT = Path(__file__).parents[3]
MODELS = ROOT / "config" / "devices"
LIMIT_S = 30.0


def cases(kind: str) -> list[dict[str, Any]]:
    text = (ROOT / "tests" / "frames" / f"{kind}.yaml").read_text(encoding="utf-8")
    return list(yaml.safe_load(text)["cases"])


def holds(expected: object, found: object) -> bool:
    """Tell whether `found` has everything that `expected` names."""
    if isinstance(expected, dict):
        return isinstance(found, dict) and all(
            key in found and holds(value, found[key]) for key, value in expected.items()
        )
    if isinstance(expected, list):
        return (
            isinstance(found, list)
            and len(found) == len(expected)
            and all(map(holds, expected, found))
        )
    return bool(expected == found)


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(LIMIT_S):
        while not condition():  # noqa: ASYNC110 - what is waited for is seen in records, not events
            await asyncio.sleep(0.01)


class Sink:
    """Records in order; can be full, and can be held shut."""

    def __init__(self) -> None:
        self.seen: list[Observation] = []
        self.is_full = False
        self.gate = asyncio.Event()
        self.gate.set()
        self.waiting = 0

    async def deliver(self, observations: Sequence[Observation]) -> None:
        self.waiting += 1
        await self.gate.wait()
        self.waiting -= 1
        if self.is_full:
            raise SpoolFullError("the disk is full")
        self.seen.extend(observations)

    def alarms(self, device: str = "", kind: str = "") -> list[DeviceAlarm]:
        return [
            item
            for item in self.seen
            if isinstance(item, DeviceAlarm)
            and device in {"", item.device_id}
            and kind in {"", item.kind}
        ]

    def events(self, kind: str, device: str = "") -> list[DeviceEvent]:
        return [
            item
            for item in self.seen
            if isinstance(item, DeviceEvent)
            and item.kind == kind
            and device in {"", item.device_id}
        ]

    def readings(self, device: str, metric: str) -> list[Reading]:
        return [
            item
            for item in self.seen
            if isinstance(item, Reading) and (item.device_id, item.metric) == (device, metric)
        ]


def tools(sink: Sink, models: Path = MODELS) -> DriverTools:
    return DriverTools(sink=sink, clock=SystemClock(), models_dir=models)


@contextlib.asynccontextmanager
async def running(driver: Driver) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(driver.run())
        try:
            yield
        finally:
            task.cancel()


def uitd_frame(
    app: bytes = b"",
    *,
    serial: int = 1,
    source: int = 1001,
    command: int = 2,
    time: bytes = bytes((5, 0, 9, 2, 7, 21)),
    target: int = 1,
) -> bytes:
    body = serial.to_bytes(2, "little") + b"\x01\x01" + time
    body += source.to_bytes(6, "little") + target.to_bytes(6, "little")
    body += len(app).to_bytes(2, "little") + bytes((command,)) + app
    return b"\x40\x40" + body + bytes((sum(body) % 256,)) + b"\x23\x23"


def component_state(
    state: int,
    *,
    zone: int = 1,
    point: int = 1,
    kind: int = 40,
    system: int = 1,
    second: int = 5,
    time: bytes | None = None,
    count: int = 1,
) -> bytes:
    address = zone.to_bytes(2, "little") + point.to_bytes(2, "little")
    text = "厨房".encode("gb18030").ljust(31, b"\0")
    when = bytes((second, 0, 9, 2, 7, 21)) if time is None else time
    one = bytes((system, 1, kind)) + address + state.to_bytes(2, "little") + text + when
    return bytes((2, count)) + one * count


class UitdPeer:
    """A transmission device: sends what it is told and cuts the answers into frames."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def frame(self) -> tuple[int, int, bytes]:
        """Give serial, command and application data of the next frame from the centre."""
        async with asyncio.timeout(LIMIT_S):
            head = await self.reader.readexactly(27)
            rest = await self.reader.readexactly(int.from_bytes(head[24:26], "little") + 3)
        assert rest[-3] == (sum(head[2:]) + sum(rest[:-3])) % 256
        return int.from_bytes(head[2:4], "little"), head[26], rest[:-3]

    async def answer_to(self, serial: int) -> int:
        """Skip the centre's own requests and give the command that answers `serial`."""
        while True:
            found, command, _ = await self.frame()
            if command in {3, 6} and found == serial:
                return command

    async def is_closed(self) -> bool:
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(LIMIT_S):
                while await self.reader.read(4096):
                    pass
        return True

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()


class Site:
    """Opens connections to one port, and closes all of them at the end."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.writers: list[asyncio.StreamWriter] = []

    async def connect(self, *, local: str = "127.0.0.1") -> UitdPeer:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", self.port, local_addr=(local, 0)
        )
        self.writers.append(writer)
        return UitdPeer(reader, writer)

    async def close(self) -> None:
        for writer in self.writers:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


@contextlib.asynccontextmanager
async def site(port: int) -> AsyncIterator[Site]:
    made = Site(port)
    try:
        yield made
    finally:
        await made.close()


def slow_crc(data: bytes) -> bytes:
    crc = 0xFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0xA001 if crc % 2 else 0)
    return crc.to_bytes(2, "little")


class ModbusPeer:
    """Slaves on one line: words by unit, function and address; some may be dead, late or full of noise."""

    def __init__(self, *, is_rtu: bool = True) -> None:
        self.is_rtu = is_rtu
        self.words: dict[tuple[int, int, int], int] = {}
        self.dead: set[int] = set()
        self.exceptions: dict[int, int] = {}
        self.noise: dict[int, bytes] = {}
        self.late: dict[int, float] = {}
        self.stuck: set[tuple[int, int]] = set()
        self.asked: list[tuple[int, int, int]] = []
        self.port = 0
        self.connections = 0
        self.writers: set[asyncio.StreamWriter] = set()
        self.tasks: set[asyncio.Task[None]] = set()

    @contextlib.asynccontextmanager
    async def serving(self, port: int = 0) -> AsyncIterator["ModbusPeer"]:
        server = await asyncio.start_server(self._accept, "127.0.0.1", port)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for writer in self.writers:
                writer.close()
            if self.tasks:
                await asyncio.wait(self.tasks, timeout=LIMIT_S)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._serve(reader, writer))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.writers.add(writer)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                await self._one(reader, writer)
        writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = b"" if self.is_rtu else await reader.readexactly(6)
        request = await reader.readexactly(8 if self.is_rtu else head[5])
        reply = self.reply(request[:6])
        unit = request[0]
        if reply is None:
            return
        await asyncio.sleep(self.late.get(unit, 0))
        if self.is_rtu:
            writer.write(self.noise.get(unit, b"") + reply + slow_crc(reply))
        else:
            writer.write(head[:4] + len(reply).to_bytes(2, "big") + reply)
        await writer.drain()

    def reply(self, request: bytes) -> bytes | None:
        unit, function = request[0], request[1]
        address = int.from_bytes(request[2:4], "big")
        count = int.from_bytes(request[4:6], "big")
        self.asked.append((unit, function, address))
        if unit in self.dead:
            return None
        if unit in self.exceptions:
            return bytes((unit, function | 0x80, self.exceptions[unit]))
        if function in {5, 6}:
            read = 1 if function == 5 else 3
            if (unit, address) not in self.stuck:
                self.words[unit, read, address] = int(bool(count)) if function == 5 else count
            return request
        words = [self.words.get((unit, function, address + at), 0) for at in range(count)]
        if function in {1, 2}:
            packed = sum(word << at for at, word in enumerate(words))
            data = packed.to_bytes(-(-count // 8), "little")
        else:
            data = b"".join(word.to_bytes(2, "big") for word in words)
        return bytes((unit, function, len(data))) + data
