"""Three ways to reach a line: a serial port (pty pair), RTU bytes inside TCP, Modbus TCP."""

import asyncio
import os
import tty
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Final, cast

from typing_extensions import override

from firmware_sim.modbus.line import Line, Session

MASTERS_LIMIT: Final = 8
READ_SIZE: Final = 4096


class _MasterConnection(asyncio.Protocol):
    """One TCP connection of a master."""

    def __init__(
        self, line: Line, open_connections: set[asyncio.Transport], *, is_tcp: bool
    ) -> None:
        self._line = line
        self._open = open_connections
        self._is_tcp = is_tcp
        self._transport: asyncio.Transport | None = None
        self._session: Session | None = None

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        if len(self._open) >= MASTERS_LIMIT:
            self._transport.close()
            return
        self._open.add(self._transport)
        self._session = Session(self._line, self._write, is_tcp=self._is_tcp)

    @override
    def data_received(self, data: bytes) -> None:
        if self._session is None or self._transport is None:
            return
        try:
            self._session.received(data)
        except ValueError:
            self._transport.close()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        if self._session is not None:
            self._session.close()
        if self._transport is not None:
            self._open.discard(self._transport)

    def _write(self, chunk: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(chunk)


@asynccontextmanager
async def serve_tcp(line: Line, host: str, port: int, *, is_rtu: bool) -> AsyncIterator[int]:
    """Serve a line on a TCP port, as Modbus TCP or, with `is_rtu`, as a transparent serial server.

    Yields:
        The port that is listened on; it differs from `port` when that is 0.

    Raises:
        OSError: the port is taken.
    """
    loop = asyncio.get_running_loop()
    open_connections: set[asyncio.Transport] = set()
    server = await loop.create_server(
        lambda: _MasterConnection(line, open_connections, is_tcp=not is_rtu), host, port
    )
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for transport in list(open_connections):
            transport.abort()


@contextmanager
def serve_pty(line: Line, link: Path) -> Iterator[Path]:
    """Serve a line on a pseudo terminal; `link` becomes a symbolic link to the end for the master.

    Yields:
        The device file behind the link.
    """
    ours, theirs = os.openpty()
    loop = asyncio.get_running_loop()
    # Our own handle on the far end stays open, so that a master may close and reopen the port at will.
    tty.setraw(theirs)
    os.set_blocking(ours, False)
    device = Path(os.ttyname(theirs))
    _point(link, device)

    def write(chunk: bytes) -> None:
        with suppress(BlockingIOError):  # nobody reads: the bytes are lost, as on a wire
            os.write(ours, chunk)

    session = Session(line, write)

    def readable() -> None:
        with suppress(BlockingIOError):
            session.received(os.read(ours, READ_SIZE))

    loop.add_reader(ours, readable)
    try:
        yield device
    finally:
        loop.remove_reader(ours)
        session.close()
        with suppress(FileNotFoundError):
            if link.readlink() == device:
                link.unlink()
        os.close(theirs)
        os.close(ours)


def _point(link: Path, device: Path) -> None:
    link.parent.mkdir(parents=True, exist_ok=True)
    fresh = link.with_name(f".{link.name}.new")
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(device)
    fresh.replace(link)
