"""A TCP listener that a hostile or broken peer cannot exhaust: bounded buffers, connections and waiting."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

log = structlog.get_logger(__name__)

BUFFER_LIMIT: Final = 65_536
READ_SIZE: Final = 16_384
WRITE_TIMEOUT_S: Final = 5.0
REBIND_S: Final = 5.0


class Connection:
    """One peer. `is_known` is set by its handler when it has proved to be one of ours; such a one is never evicted."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        peer = writer.get_extra_info("peername")
        self.peer_ip = str(peer[0]) if peer else "?"
        self.is_known = False

    async def read(self, timeout_s: float) -> bytes:
        """Give what has arrived, at most 16 KiB; empty when the peer has closed.

        Raises:
            TimeoutError: nothing arrived in time.
            ConnectionError: the peer is gone without saying so.
        """
        async with asyncio.timeout(timeout_s):
            return await self._reader.read(READ_SIZE)

    async def write(self, data: bytes) -> None:
        """Send bytes.

        Raises:
            TimeoutError: the peer does not take them.
            ConnectionError: the peer is gone.
        """
        if self._writer.is_closing():
            raise ConnectionResetError("the connection is closed")
        self._writer.write(data)
        async with asyncio.timeout(WRITE_TIMEOUT_S):
            await self._writer.drain()

    def close(self) -> None:
        """Drop the connection with what is still unsent, when a peer reads nothing; harmless when it is closed."""
        if self._writer.transport.get_write_buffer_size():
            self._writer.transport.abort()
        else:
            self._writer.close()

    async def wait_closed(self) -> None:
        """Wait until the socket is given back, 5 s at most."""
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(WRITE_TIMEOUT_S):
                await self._writer.wait_closed()


Handler = Callable[[Connection], Awaitable[None]]


class Listener:
    """Accepts connections and runs the handler for each; a handler's connection errors end only its connection."""

    def __init__(
        self,
        *,
        host: str,
        port: int,
        handle: Handler,
        connections: int,
        connections_per_ip: int,
    ) -> None:
        self._host, self._port = host, port
        self._handle = handle
        self._limit, self._limit_per_ip = connections, connections_per_ip
        self._open: list[Connection] = []
        self._tasks: asyncio.TaskGroup | None = None
        self._bound: int | None = None
        self._bound_event = asyncio.Event()
        self._told_full: set[str] = set()
        self.refused = 0
        self.evicted = 0

    @property
    def open_connections(self) -> int:
        """Count the connections that are open."""
        return len(self._open)

    async def port(self) -> int:
        """Give the TCP port, once it is bound; of interest when 0 was asked for."""
        await self._bound_event.wait()
        if self._bound is None:
            raise RuntimeError("bound without a port")
        return self._bound

    async def run(self) -> None:
        """Listen until cancelled; a port that is taken is tried again every 5 s and told once."""
        is_told = False
        while True:
            try:
                await self._listen()
            except OSError as error:
                if not is_told:
                    log.error(  # noqa: TRY400 - the reason is in the message, a traceback says no more
                        "port cannot be bound", host=self._host, port=self._port, error=str(error)
                    )
                is_told = True
                await asyncio.sleep(REBIND_S)

    async def _listen(self) -> None:
        server = await asyncio.start_server(
            self._accept, self._host, self._port, limit=BUFFER_LIMIT // 2, start_serving=False
        )
        try:
            async with asyncio.TaskGroup() as self._tasks:
                await server.start_serving()
                self._bound = int(server.sockets[0].getsockname()[1])
                self._bound_event.set()
                await asyncio.Event().wait()
        finally:
            self._tasks = None
            server.close()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = Connection(reader, writer)
        if self._tasks is None or not self._admit(connection):
            writer.transport.abort()
            return
        self._tasks.create_task(self._serve(connection), name=f"connection[{connection.peer_ip}]")

    def _admit(self, connection: Connection) -> bool:
        """Make room for a connection: the oldest unknown one goes before a new one is refused."""
        same_ip = [item for item in self._open if item.peer_ip == connection.peer_ip]
        crowd = same_ip if len(same_ip) >= self._limit_per_ip else self._open
        is_full = len(same_ip) >= self._limit_per_ip or len(self._open) >= self._limit
        if is_full:
            oldest = next((item for item in crowd if not item.is_known), None)
            if oldest is None:
                self._refuse(connection)
                return False
            self.evicted += 1
            self._open.remove(oldest)
            oldest.close()
        self._open.append(connection)
        return True

    def _refuse(self, connection: Connection) -> None:
        self.refused += 1
        if connection.peer_ip not in self._told_full and len(self._told_full) < 1000:
            self._told_full.add(connection.peer_ip)
            log.warning("too many connections", port=self._bound, peer=connection.peer_ip)

    async def _serve(self, connection: Connection) -> None:
        try:
            await self._handle(connection)
        except (OSError, TimeoutError) as error:
            log.debug("connection ended", peer=connection.peer_ip, error=str(error))
        except Exception:
            # One peer's frame must not end the listener for its neighbours.
            log.exception("connection failed", peer=connection.peer_ip)
        finally:
            if connection in self._open:
                self._open.remove(connection)
            connection.close()
            await connection.wait_closed()
