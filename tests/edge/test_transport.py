import asyncio
import contextlib
import os
import pty
import tty
from collections.abc import Iterator

import pytest

from edge.drivers.modbus.codec import response_frame
from edge.errors import DeviceUnavailableError
from edge.transport import (
    ExceptionAnswerError,
    LineDownError,
    ModbusLine,
    RtuOverTcpLink,
    SerialLink,
    TcpLink,
)
from tests.edge.drivers.driver_peers import ModbusPeer, slow_crc, until


@contextlib.contextmanager
def serial_slave(peer: ModbusPeer) -> Iterator[str]:
    """A slave behind a pseudo terminal: what the master writes is answered by `peer`."""
    master, slave = pty.openpty()
    tty.setraw(master)
    tty.setraw(slave)
    buffer = bytearray()
    loop = asyncio.get_running_loop()

    def heard() -> None:
        buffer.extend(os.read(master, 256))
        while len(buffer) >= 8:
            reply = peer.reply(bytes(buffer[:6]))
            del buffer[:8]
            if reply is not None:
                os.write(master, reply + slow_crc(reply))

    loop.add_reader(master, heard)
    try:
        yield os.ttyname(slave)
    finally:
        loop.remove_reader(master)
        os.close(master)
        os.close(slave)


def line(link: SerialLink | RtuOverTcpLink | TcpLink) -> ModbusLine:
    return ModbusLine(link, timeout_s=0.2, find_frame=response_frame)


def link_to(peer: ModbusPeer) -> RtuOverTcpLink | TcpLink:
    if peer.is_rtu:
        return RtuOverTcpLink(type="rtu_over_tcp", host="127.0.0.1", port=peer.port)
    return TcpLink(type="tcp", host="127.0.0.1", port=peer.port)


async def test_a_serial_line_reads_and_writes() -> None:
    peer = ModbusPeer()
    peer.words[3, 3, 16] = 1234
    with serial_slave(peer) as port:
        made = line(SerialLink(type="serial", port=port))
        await made.connect()
        assert await made.read(3, 3, 15, 3) == [0, 1234, 0]
        await made.write(3, 5, 2, [1])
        assert await made.read(3, 1, 0, 4) == [0, 0, 1, 0]
        await made.write(3, 6, 7, [99])
        assert peer.words[3, 3, 7] == 99
        peer.dead.add(3)
        with pytest.raises(DeviceUnavailableError):
            await made.read(3, 3, 0, 1)
        assert made.is_connected
        made.close()


async def test_a_port_that_is_not_there_is_a_line_that_is_down() -> None:
    made = line(SerialLink(type="serial", port="/dev/no-such-port"))
    with pytest.raises(LineDownError, match="no-such-port"):
        await made.connect()
    with pytest.raises(LineDownError):
        await made.read(1, 3, 0, 1)


@pytest.mark.parametrize("is_rtu", [True, False], ids=["rtu over tcp", "tcp"])
async def test_many_unanswered_requests_do_not_cost_the_connection(is_rtu: bool) -> None:
    peer = ModbusPeer(is_rtu=is_rtu)
    peer.dead.add(2)
    peer.words[1, 4, 0] = 7
    async with peer.serving():
        made = ModbusLine(link_to(peer), timeout_s=0.02, find_frame=response_frame)
        await made.connect()
        for _ in range(12):
            with pytest.raises(DeviceUnavailableError):
                await made.read(2, 3, 0, 1)
        await until(lambda: made.is_connected)
        assert await made.read(1, 4, 0, 1) == [7]
        assert peer.connections == 1
        made.close()


async def test_an_exception_answer_is_raised_with_its_code() -> None:
    peer = ModbusPeer()
    peer.exceptions[1] = 2
    async with peer.serving():
        made = line(link_to(peer))
        await made.connect()
        with pytest.raises(ExceptionAnswerError) as caught:
            await made.read(1, 3, 0, 1)
        assert caught.value.code == 2
        made.close()


async def test_a_wrong_checksum_is_no_answer_and_noise_before_one_does_not_matter() -> None:
    peer = ModbusPeer()
    peer.words[1, 3, 0] = 5
    async with peer.serving():
        made = line(link_to(peer))
        await made.connect()
        peer.noise[1] = b"\x01\x03\x02\x00\x05\xde\xad"
        assert await made.read(1, 3, 0, 1) == [5]
        made.close()


async def test_a_master_can_be_stopped_at_any_moment() -> None:
    peer = ModbusPeer()
    async with peer.serving():
        made = line(link_to(peer))
        await made.connect()
        for turns in range(60):
            task = asyncio.ensure_future(read_on(made))
            for _ in range(turns % 20 + 1):
                await asyncio.sleep(0)
            task.cancel()
            done, _ = await asyncio.wait({task}, timeout=20)
            assert done
            assert task.cancelled()
        made.close()


async def read_on(made: ModbusLine) -> None:
    while True:
        await made.read(1, 3, 0, 1)


async def test_a_peer_that_closes_is_a_line_that_is_down_and_can_be_opened_again() -> None:
    peer = ModbusPeer()
    async with peer.serving():
        made = line(link_to(peer))
        await made.connect()
        await made.read(1, 3, 0, 1)
        for writer in peer.writers:
            writer.close()
        await until(lambda: not made.is_connected)
        with pytest.raises(LineDownError):
            await made.read(1, 3, 0, 1)
        await made.connect()
        assert await made.read(1, 3, 0, 1) == [0]
        made.close()
