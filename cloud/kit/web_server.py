"""The door to uvicorn: one server that ends its streams before it waits for anybody, and says where it listens."""

import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

import uvicorn
from typing_extensions import override

from cloud.errors import UnavailableError
from cloud.kit.web import App

GRACE_S: Final = 1
_KEEP_ALIVE_S: Final = 15
_CONNECTIONS: Final = 4_000
_BACKLOG: Final = 1_024


class _Server(uvicorn.Server):
    def __init__(
        self, config: uvicorn.Config, on_start: Callable[[], None], on_stop: Callable[[], None]
    ) -> None:
        super().__init__(config)
        self._on_start = on_start
        self._on_stop = on_stop

    @override
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._on_start()

    @override
    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # With a stream open uvicorn would wait for it for ever: it was still there 15 s after SIGTERM.
        self._on_stop()
        await super().shutdown(sockets)


def listen(host: str, port: int) -> socket.socket:
    """Take the address before anything else starts.

    Raises:
        UnavailableError: it is taken, or not of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise UnavailableError(
            f"cannot listen on {host}:{port}: {error.strerror}",
            "is it running already? else set web.host and web.port",
        ) from None


class WebServer:
    """Serves one application until SIGTERM, SIGINT or `stop`.

    Args:
        app: what is served.
        bound: the socket from `listen`.
        on_stop: called on the loop when stopping begins; ends what would go on for ever.
        on_start: called on the loop when requests are answered and signals end the server in order.
    """

    def __init__(
        self,
        app: App,
        bound: socket.socket,
        on_stop: Callable[[], None],
        *,
        on_start: Callable[[], None] = lambda: None,
    ) -> None:
        config = uvicorn.Config(
            app,
            http="h11",
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            limit_concurrency=_CONNECTIONS,
            timeout_keep_alive=_KEEP_ALIVE_S,
            timeout_graceful_shutdown=GRACE_S,
        )
        self._server = _Server(config, on_start, on_stop)
        self._bound = bound
        self.has_failed = False

    def run(self) -> bool:
        """Serve, and tell whether it ended as it should."""
        with _ended_by_signal_quietly():
            self._server.run(sockets=[self._bound])
        return self._server.started and not self.has_failed

    def fail(self) -> None:
        """End because a part this cannot do without has crashed; whoever watches the process starts it again."""
        self.has_failed = True
        self._server.should_exit = True


@contextmanager
def _ended_by_signal_quietly() -> Iterator[None]:
    """Uvicorn raises the signal again when it has stopped; being asked to stop is no failure."""

    def nothing(_number: int, _frame: FrameType | None) -> None:
        return

    before = {number: signal.signal(number, nothing) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
