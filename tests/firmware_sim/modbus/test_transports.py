"""An independent master (pymodbus) reads the twin over its three transports, and sees each fault."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from pathlib import Path
from random import Random

import pytest
from pymodbus import FramerType, ModbusException
from pymodbus.client import AsyncModbusSerialClient, AsyncModbusTcpClient

from firmware_sim.modbus.boards import PressureBoard
from firmware_sim.modbus.faults import Fault, Faults
from firmware_sim.modbus.frames import crc16, rtu_frame
from firmware_sim.modbus.line import Line, Slave
from firmware_sim.modbus.transports import MASTERS_LIMIT, serve_pty, serve_tcp
from firmware_sim.plant import Steady

Master = AsyncModbusSerialClient | AsyncModbusTcpClient
Opener = Callable[[Line], AbstractAsyncContextManager[Master]]
ASK = rtu_frame(1, bytes.fromhex("0300020003"))
ANSWER = rtu_frame(1, bytes.fromhex("0306000100010dac"))


@pytest.fixture
def line() -> Line:
    slaves = {}
    for address in (1, 2):
        faults = Faults()
        board = PressureBoard(Steady(Random(1), 350.0), faults, address)
        board.sample(0)
        slaves[address] = Slave(f"shuibei-pressure-00{address}", address, board, faults)
    return Line("shuibei-line-01", slaves)


@pytest.fixture(params=["pty", "rtu_over_tcp", "tcp"])
def opener(request: pytest.FixtureRequest, tmp_path: Path) -> Opener:
    @asynccontextmanager
    async def over_pty(line: Line) -> AsyncIterator[Master]:
        with serve_pty(line, tmp_path / "lines" / line.line_id):
            client = AsyncModbusSerialClient(
                str(tmp_path / "lines" / line.line_id), baudrate=9600, timeout=0.3, retries=0
            )
            await client.connect()
            yield client
            client.close()

    @asynccontextmanager
    async def over_tcp(line: Line) -> AsyncIterator[Master]:
        is_rtu = request.param == "rtu_over_tcp"
        framer = FramerType.RTU if is_rtu else FramerType.SOCKET
        async with serve_tcp(line, "127.0.0.1", 0, is_rtu=is_rtu) as port:
            client = AsyncModbusTcpClient(
                "127.0.0.1", port=port, framer=framer, timeout=0.3, retries=0
            )
            client.set_max_no_responses(10**6)
            await client.connect()
            yield client
            client.close()

    return over_pty if request.param == "pty" else over_tcp


async def read_once(master: Master, unit: int) -> list[int]:
    answer = await master.read_holding_registers(2, count=3, device_id=unit)
    assert not answer.isError(), answer
    return list(answer.registers)


async def read(master: Master, unit: int) -> list[int]:
    """Read a unit that is well; on a busy machine its answer may be late, then ask again."""
    for _ in range(40):
        with suppress(ModbusException):
            return await read_once(master, unit)
    pytest.fail(f"unit {unit} does not answer")


async def test_a_foreign_master_reads_and_writes_every_unit(opener: Opener, line: Line) -> None:
    async with opener(line) as master:
        for unit in (1, 2):
            assert await read(master, unit) == [1, 1, 3500]
        answer = await master.write_registers(0, [7], device_id=2)
        assert not answer.isError()
        assert line.slaves[2].board.image.holding[0] == 7
        assert (await master.read_coils(0, count=1, device_id=1)).exception_code == 2


async def test_an_exception_is_answered_with_its_code(opener: Opener, line: Line) -> None:
    line.slaves[1].faults.switch(Fault.EXCEPTION, on=True, number=6)
    async with opener(line) as master:
        answer = await master.read_holding_registers(2, count=3, device_id=1)
        assert answer.exception_code == 6
        assert await read(master, 2) == [1, 1, 3500]


@pytest.mark.parametrize("fault", [Fault.SILENT, Fault.WRONG_CRC, Fault.SLOW, Fault.RESTART])
async def test_a_mute_broken_or_slow_unit_leaves_its_neighbour_alone(
    opener: Opener, line: Line, fault: Fault
) -> None:
    line.slaves[1].faults.switch(fault, on=True, number=60)
    async with opener(line) as master:
        with pytest.raises(ModbusException):
            await read_once(master, 1)
        assert await read(master, 2) == [1, 1, 3500]
        line.slaves[1].faults.switch(fault, on=False)
        assert await read(master, 1) == [1, 1, 3500]


async def test_an_answer_torn_into_single_bytes_is_whole_in_the_end(
    opener: Opener, line: Line
) -> None:
    line.slaves[1].faults.switch(Fault.SPLIT, on=True)
    async with opener(line) as master:
        assert await read(master, 1) == [1, 1, 3500]


async def test_a_cut_line_is_mute(opener: Opener, line: Line) -> None:
    line.is_cut = True
    async with opener(line) as master:
        with pytest.raises(ModbusException):
            await read_once(master, 1)


async def ask(port: int, request: bytes, size: int) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    async with asyncio.timeout(20):
        answer = await reader.readexactly(size)
    writer.close()
    await writer.wait_closed()
    return answer


async def test_the_bytes_of_a_double_and_of_a_broken_answer_are_as_named(line: Line) -> None:
    async with serve_tcp(line, "127.0.0.1", 0, is_rtu=True) as port:
        assert await ask(port, ASK, len(ANSWER)) == ANSWER
        line.slaves[1].faults.switch(Fault.DOUBLE, on=True)
        assert await ask(port, ASK, 2 * len(ANSWER)) == ANSWER * 2
        line.slaves[1].faults.active.clear()
        line.slaves[1].faults.switch(Fault.WRONG_CRC, on=True)
        broken = await ask(port, ASK, len(ANSWER))
        assert broken[:-2] == ANSWER[:-2]
        assert crc16(broken[:-2]) != broken[-2:]


async def test_a_gateway_tells_when_it_does_not_know_a_unit(line: Line) -> None:
    async with serve_tcp(line, "127.0.0.1", 0, is_rtu=False) as port:
        request = bytes.fromhex("00070000000663 0300020001".replace(" ", ""))
        assert await ask(port, request, 9) == bytes.fromhex("000700000003 63830b")


async def test_a_broadcast_reaches_all_and_is_answered_by_none(line: Line) -> None:
    async with serve_tcp(line, "127.0.0.1", 0, is_rtu=True) as port:
        broadcast = rtu_frame(0, bytes.fromhex("0600000009"))
        assert await ask(port, broadcast + ASK, len(ANSWER)) == ANSWER
    assert [slave.board.image.holding[0] for slave in line.slaves.values()] == [9, 9]


async def test_a_stream_that_is_no_modbus_is_hung_up_on(line: Line) -> None:
    async with serve_tcp(line, "127.0.0.1", 0, is_rtu=False) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        async with asyncio.timeout(20):
            assert await reader.read() == b""
        writer.close()


async def test_too_many_masters_are_refused(line: Line) -> None:
    async with serve_tcp(line, "127.0.0.1", 0, is_rtu=True) as port:
        first = [await asyncio.open_connection("127.0.0.1", port) for _ in range(MASTERS_LIMIT)]
        for _, writer in first:
            writer.write(ASK)
        async with asyncio.timeout(20):
            for reader, _ in first:
                assert await reader.readexactly(len(ANSWER)) == ANSWER
            late, late_writer = await asyncio.open_connection("127.0.0.1", port)
            assert await late.read() == b""
        for writer in (late_writer, *(writer for _, writer in first)):
            writer.close()


async def test_a_serial_port_can_be_reopened_and_its_link_goes_at_the_end(
    line: Line, tmp_path: Path
) -> None:
    link = tmp_path / "line"
    link.symlink_to("/dev/null")  # a leftover of a killed run
    with serve_pty(line, link):
        for _ in range(2):
            client = AsyncModbusSerialClient(str(link), baudrate=9600, timeout=2, retries=0)
            await client.connect()
            assert await read(client, 1) == [1, 1, 3500]
            client.close()
        assert link.is_symlink()
    assert not link.is_symlink()
