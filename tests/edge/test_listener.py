import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

import pytest

from edge import listener as listening
from edge.listener import Connection, Listener
from tests.edge.drivers.driver_peers import LIMIT_S, Site, UitdPeer, running, site, until


async def echo(connection: Connection) -> None:
    while data := await connection.read(LIMIT_S):
        if data == b"known":
            connection.is_known = True
        if data == b"crash":
            raise ZeroDivisionError
        await connection.write(data)


@contextlib.asynccontextmanager
async def serving(port: int = 0, connections: int = 3, per_ip: int = 3) -> AsyncIterator[Listener]:
    made = Listener(
        host="127.0.0.1",
        port=port,
        handle=echo,
        connections=connections,
        connections_per_ip=per_ip,
    )
    async with running(made):  # type: ignore[arg-type]  # all it needs is run()
        yield made


async def say(there: Site, word: bytes) -> UitdPeer:
    peer = await there.connect()
    await peer.send(word)
    assert await hear(peer) == word
    return peer


async def hear(peer: UitdPeer) -> bytes:
    async with asyncio.timeout(LIMIT_S):
        return await peer.reader.read(100)


async def test_a_handler_that_fails_ends_only_its_connection() -> None:
    async with serving() as made, site(await made.port()) as there:
        other = await say(there, b"hello")
        failing = await there.connect()
        await failing.send(b"crash")
        assert await hear(failing) == b""
        await other.send(b"still here")
        assert await hear(other) == b"still here"
        await say(there, b"again")
        await there.close()
        await until(lambda: made.open_connections == 0)


async def test_the_oldest_unknown_connection_goes_and_known_ones_stay() -> None:
    async with serving() as made, site(await made.port()) as there:
        known = await say(there, b"known")
        first = await say(there, b"first")
        await say(there, b"second")
        await say(there, b"third")
        assert await hear(first) == b""
        await known.send(b"still here")
        assert await hear(known) == b"still here"
        assert (made.evicted, made.refused, made.open_connections) == (1, 0, 3)


async def test_a_connection_too_many_is_refused_when_all_are_known() -> None:
    async with serving(connections=2) as made, site(await made.port()) as there:
        for _ in range(2):
            await say(there, b"known")
        refused = await there.connect()
        assert await refused.is_closed()
        assert made.refused == 1


async def test_a_port_that_is_taken_is_tried_until_it_is_free(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(listening, "REBIND_S", 0.02)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        async with serving(port) as made:
            await asyncio.sleep(0.05)
            taken.close()
            async with site(await made.port()) as there:
                await say(there, b"hello")
                assert there.port == port
