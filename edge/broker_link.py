"""The door to the MQTT broker: one connection, opened, used and lost."""

import asyncio
import logging
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import aiomqtt
from typing_extensions import override

from edge.errors import LinkLostError

KEEPALIVE_S: Final = 10
CONNECT_S: Final = 10.0
PUBLISH_S: Final = 15.0
CLOSE_S: Final = 1.0
INFLIGHT: Final = 400
INBOX: Final = 1_000


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Paths of PEM files; the client's pair is optional."""

    ca_file: Path
    cert_file: Path | None = None
    key_file: Path | None = None


@dataclass(frozen=True, slots=True)
class BrokerAddress:
    """Where the broker is and who we are there."""

    host: str
    port: int
    client_id: str
    username: str
    password: str = field(repr=False)
    tls: TlsFiles | None = None


@dataclass(frozen=True, slots=True)
class Will:
    """What the broker says in our name when we vanish; QoS 1, retained."""

    topic: str
    payload: bytes


@contextmanager
def _heeding_cancellation() -> Iterator[None]:
    """See that a cancellation that comes while aiomqtt waits is not forgotten.

    It waits with asyncio.wait_for, which before Python 3.12 drops one that comes in the same moment
    as the answer; the node would then never stop.
    """
    task = asyncio.current_task()
    before = task.cancelling() if task is not None else 0
    try:
        yield
    finally:
        if task is not None and task.cancelling() > before:
            raise asyncio.CancelledError


class BrokerLink:
    """One open connection."""

    def __init__(self, client: aiomqtt.Client) -> None:
        self._client = client

    async def publish(self, topic: str, payload: bytes, *, is_retained: bool = False) -> None:
        """Hand a message to the broker with QoS 1 and wait for its receipt (at most 15 s).

        Raises:
            LinkLostError: no receipt.
        """
        try:
            with _heeding_cancellation():
                await self._client.publish(
                    topic, payload, qos=1, retain=is_retained, timeout=PUBLISH_S
                )
        except (aiomqtt.MqttError, OSError, ValueError) as error:
            raise LinkLostError(f"publishing: {error}") from error

    async def subscribe(self, topics: list[str]) -> None:
        """Hear these topics with QoS 1.

        Raises:
            LinkLostError: the broker did not confirm, or refused one of them.
        """
        try:
            with _heeding_cancellation():
                granted = await self._client.subscribe([(topic, 1) for topic in topics])
        except (aiomqtt.MqttError, OSError) as error:
            raise LinkLostError(f"subscribing: {error}") from error
        if any((code if isinstance(code, int) else code.value) >= 128 for code in granted):
            raise LinkLostError(f"the broker refused a subscription among {topics}; check its ACL")

    async def messages(self) -> AsyncIterator[tuple[str, bytes]]:
        """Give what arrives, as (topic, payload), until the connection is lost.

        Raises:
            LinkLostError: the connection is lost.
        """
        try:
            async for message in self._client.messages:
                payload = message.payload
                yield str(message.topic), payload if isinstance(payload, bytes) else b""
        except aiomqtt.MqttError as error:
            raise LinkLostError(f"connection lost: {error.__cause__ or error}") from error


class _TidySocket(ssl.SSLSocket):
    """Closed when the other side's certificate is refused; paho leaves that to the garbage collector."""

    @override
    def do_handshake(self, block: bool = False) -> None:
        try:
            super().do_handshake(block)
        except OSError:
            self.close()
            raise


def _tls_context(files: TlsFiles) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(files.ca_file))
    context.sslsocket_class = _TidySocket
    if files.cert_file is not None:
        context.load_cert_chain(files.cert_file, files.key_file)
    return context


async def _reach(address: BrokerAddress) -> None:
    """See that the broker's port answers: paho connects in a thread that cannot be cancelled."""
    async with asyncio.timeout(CONNECT_S):
        _, writer = await asyncio.open_connection(address.host, address.port)
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()


@contextmanager
def _overhearing(log: logging.Logger) -> Iterator[list[str]]:
    """Catch what paho only logs while connecting: aiomqtt then says no more than that the time is over.

    With TLS 1.3 that is how a broker refuses our certificate.
    """
    heard: list[str] = []

    def keep(record: logging.LogRecord) -> bool:
        heard[:] = [record.getMessage()]
        return False

    log.addFilter(keep)
    try:
        yield heard
    finally:
        log.removeFilter(keep)


@asynccontextmanager
async def open_link(address: BrokerAddress, will: Will) -> AsyncIterator[BrokerLink]:
    """Connect with a clean session; disconnects at the end.

    Raises:
        LinkLostError: not reachable, refused, or no answer in time.
    """
    log = logging.getLogger("linli.mqtt")
    log.setLevel(logging.ERROR)
    heard: list[str] = []
    try:
        await _reach(address)
        client = aiomqtt.Client(
            address.host,
            address.port,
            username=address.username,
            password=address.password,
            identifier=address.client_id,
            clean_session=True,
            will=aiomqtt.Will(will.topic, will.payload, qos=1, retain=True),
            keepalive=KEEPALIVE_S,
            timeout=CONNECT_S,
            max_inflight_messages=INFLIGHT,
            max_queued_incoming_messages=INBOX,
            tls_context=_tls_context(address.tls) if address.tls else None,
            logger=log,
            # Nagle's algorithm would hold a small message back for the receipt of the one before.
            socket_options=[(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)],
        )
        client.pending_calls_threshold = INFLIGHT
        with _overhearing(log) as heard, _heeding_cancellation():
            await client.__aenter__()
    except (aiomqtt.MqttError, OSError, TimeoutError) as error:
        where = f"{address.host}:{address.port} as {address.username}"
        reason = "; ".join([str(error) or "no answer in time", *heard])
        raise LinkLostError(f"connecting to {where}: {reason}") from error
    try:
        yield BrokerLink(client)
    finally:
        # Fetches the reason of a lost connection, which asyncio would else report as never retrieved.
        with suppress(aiomqtt.MqttError, TimeoutError):
            async with asyncio.timeout(0.01):
                async for _ in client.messages:
                    pass
        with suppress(aiomqtt.MqttError, OSError, TimeoutError), _heeding_cancellation():
            async with asyncio.timeout(CLOSE_S):
                await client.__aexit__(None, None, None)
