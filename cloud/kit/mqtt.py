"""The door to paho-mqtt (3.1.1, clean session): messages into a bounded inbox, publications out.

Correctness asks nothing of the broker: what is dropped here was not acknowledged end to end, so the
edge sends it again. That is why the network thread never waits for anybody.
"""

import ssl
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

import paho.mqtt.client as paho
import structlog
from typing_extensions import override

from cloud.kit.clock import Clock
from cloud.kit.fair_queue import FairQueue
from cloud.kit.mqtt_stream import Message, StreamClient

QUEUE_BYTES: Final = 67_108_864
URGENT_LIMIT: Final = 20_000
BULK_LIMIT: Final = 20_000
BULK_ENDINGS: Final = ("/up/data", "/up/backfill")
KEEPALIVE_S: Final = 10
RECONNECT_S: Final = (0.2, 5.0)
OUTBOX_LIMIT: Final = 2_000
TOLD_LIMIT: Final = 20

_log = structlog.get_logger(__name__)


class Arrival(NamedTuple):
    """One message as it came; `received_at` in Unix ms."""

    topic: str
    payload: bytes
    received_at: int


@dataclass(frozen=True, slots=True)
class BrokerTls:
    """Files of a TLS connection; the client's own certificate is optional."""

    ca_file: Path
    cert_file: Path | None = None
    key_file: Path | None = None


@dataclass(frozen=True, slots=True)
class BrokerLogin:
    """Where the broker is and who we are there."""

    host: str
    port: int
    username: str
    password: str = field(repr=False)
    tls: BrokerTls | None = None


class _Queue:
    """A deque with one producer and one consumer, bounded in messages and bytes; the newest is dropped."""

    def __init__(self, limit: int, bytes_limit: int) -> None:
        self._items: deque[Arrival] = deque()
        self._limit = limit
        self._bytes_limit = bytes_limit
        # Each counter is written by one thread only, so none needs a lock.
        self._bytes_in = 0
        self._bytes_out = 0
        self.dropped = 0

    def put(self, items: Sequence[Arrival]) -> None:
        size = sum([len(item.payload) + len(item.topic) for item in items])
        waiting = self._bytes_in - self._bytes_out
        if len(self._items) + len(items) > self._limit or waiting + size > self._bytes_limit:
            self._put_what_fits(items)
            return
        self._items.extend(items)
        self._bytes_in += size

    def _put_what_fits(self, items: Sequence[Arrival]) -> None:
        for item in items:
            size = len(item.payload) + len(item.topic)
            waiting = self._bytes_in - self._bytes_out
            if len(self._items) >= self._limit or waiting + size > self._bytes_limit:
                self.dropped += 1
                continue
            self._items.append(item)
            self._bytes_in += size

    def take(self, most: int) -> list[Arrival]:
        items = self._items
        taken = [items.popleft() for _ in range(min(most, len(items)))]
        self._bytes_out += sum([len(item.payload) + len(item.topic) for item in taken])
        return taken

    def __len__(self) -> int:
        return len(self._items)


class Inbox:
    """What came and is not yet worked on: alarms, events, births, replies and states go before readings."""

    def __init__(
        self,
        *,
        urgent_limit: int = URGENT_LIMIT,
        bulk_limit: int = BULK_LIMIT,
        bytes_limit: int = QUEUE_BYTES,
    ) -> None:
        self._urgent: FairQueue[Arrival] = FairQueue(urgent_limit, bytes_limit)
        self._bulk = _Queue(bulk_limit, bytes_limit)
        self._stirred = threading.Event()

    def put(self, arrivals: Sequence[Arrival]) -> None:
        """Add messages, or drop and count those whose queue is full; never waits."""
        bulk = [arrival for arrival in arrivals if arrival.topic.endswith(BULK_ENDINGS)]
        if len(bulk) < len(arrivals):
            self._urgent.put([a for a in arrivals if not a.topic.endswith(BULK_ENDINGS)])
        if bulk:
            self._bulk.put(bulk)
        if not self._stirred.is_set():
            self._stirred.set()

    def wake(self) -> None:
        """Let `wait` return although nothing came."""
        self._stirred.set()

    def wait(self, timeout_s: float) -> None:
        """Wait until something came, somebody called `wake`, or the time is over."""
        self._stirred.wait(timeout_s)
        self._stirred.clear()

    def take_urgent(self, most: int) -> list[Arrival]:
        """Take up to `most` messages that must not wait, one of each edge in turn."""
        return self._urgent.take(most)

    def take_bulk(self, most: int) -> list[Arrival]:
        """Take up to `most` messages of readings, oldest first."""
        return self._bulk.take(most)

    @property
    def waiting(self) -> tuple[int, int]:
        """Urgent and bulk messages waiting."""
        return len(self._urgent), len(self._bulk)

    @property
    def dropped(self) -> int:
        """Messages dropped since the start, each of them unacknowledged."""
        return self._urgent.dropped + self._bulk.dropped


class _TidySocket(ssl.SSLSocket):
    """Closed when the other side's certificate is refused; paho leaves that to the garbage collector."""

    @override
    def do_handshake(self, block: bool = False) -> None:
        try:
            super().do_handshake(block)
        except OSError:
            self.close()
            raise


def _tls_context(tls: BrokerTls) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(tls.ca_file))
    context.sslsocket_class = _TidySocket
    if tls.cert_file is not None:
        context.load_cert_chain(tls.cert_file, tls.key_file)
    return context


class MqttLink:
    """One connection to the broker with a network thread of its own; reconnects by itself.

    Args:
        subscriptions: (topic filter, quality of service) pairs, renewed at every connect.
        on_connected: called by the network thread after each connect; must not wait.
    """

    def __init__(
        self,
        login: BrokerLogin,
        *,
        client_id: str,
        subscriptions: Sequence[tuple[str, int]],
        inbox: Inbox,
        clock: Clock,
        on_connected: Callable[[], None] = lambda: None,
    ) -> None:
        self._login = login
        self._subscriptions = list(subscriptions)
        self._inbox = inbox
        self._clock = clock
        self._on_connected = on_connected
        self._told: set[str] = set()
        self._trouble = ""
        client = StreamClient(client_id, self._messages)
        client.username_pw_set(login.username, login.password)
        if login.tls:
            client.tls_set_context(_tls_context(login.tls))
        client.reconnect_delay_set(*RECONNECT_S)  # type: ignore[arg-type]  # fractions of a second work
        client.max_queued_messages_set(OUTBOX_LIMIT)
        client.on_connect = self._connected
        client.on_connect_fail = self._failed
        client.on_disconnect = self._disconnected
        client.on_message = self._message
        self._client = client

    def start(self) -> None:
        """Begin connecting; returns at once."""
        self._client.connect_async(self._login.host, self._login.port, keepalive=KEEPALIVE_S)
        self._client.loop_start()

    def stop(self) -> None:
        """Disconnect and end the network thread."""
        self._client.disconnect()
        self._client.loop_stop()

    @property
    def is_connected(self) -> bool:
        """Whether the broker has accepted us and not gone since."""
        return self._client.is_connected()

    @property
    def trouble(self) -> str:
        """Why there is no connection, for people; empty while there is one or nothing is known yet."""
        return self._trouble

    def publish(self, topic: str, payload: bytes, *, qos: int = 0) -> bool:
        """Hand a message to the network thread.

        Returns:
            Whether it could be taken; nothing is kept for a broker that is not there, because
            acknowledgements and commands are repeated by those who need them.
        """
        if not self._client.is_connected():
            return False
        return self._client.publish(topic, payload, qos=qos).rc == paho.MQTT_ERR_SUCCESS

    def publish_all(self, messages: Sequence[Message]) -> bool:
        """Hand many (topic, payload) of quality 0 over at once; see `publish`."""
        return self._client.publish_all(messages)

    def _connected(self, client: paho.Client, _data: Any, _flags: Any, code: Any, _p: Any) -> None:  # noqa: ANN401 - paho's callback
        if code.is_failure:
            self._trouble = str(code)
            if self._is_news(self._trouble):
                _log.error("broker refuses us", host=self._login.host, reason=self._trouble)
            return
        for start in range(0, len(self._subscriptions), 64):
            client.subscribe(self._subscriptions[start : start + 64])
        self._told.clear()
        self._trouble = ""
        _log.info("broker connected", host=self._login.host, port=self._login.port)
        self._on_connected()

    def _failed(self, _client: paho.Client, _data: Any) -> None:  # noqa: ANN401 - paho's callback
        self._tell_lost(self._client.failure or "no connection")

    def _disconnected(
        self,
        _client: paho.Client,
        _data: Any,  # noqa: ANN401 - paho's callback
        _flags: Any,  # noqa: ANN401 - paho's callback
        code: Any,  # noqa: ANN401 - paho's callback
        _p: Any,  # noqa: ANN401 - paho's callback
    ) -> None:
        reason = self._client.failure
        if reason or not self._told:
            # Without one, paho's "Unspecified error" would only hide what was told before.
            self._tell_lost(reason or str(code))

    def _tell_lost(self, reason: str) -> None:
        self._trouble = reason
        if self._is_news(reason):
            _log.warning("broker away", host=self._login.host, reason=reason)

    def _is_news(self, reason: str) -> bool:
        # Each reason once: a broker that comes back with a wrong certificate is no longer just "refused".
        if reason in self._told or len(self._told) >= TOLD_LIMIT:
            return False
        self._told.add(reason)
        return True

    def _messages(self, messages: list[Message]) -> None:
        now = self._clock.now_ms()
        self._inbox.put([Arrival(topic, payload, now) for topic, payload in messages])

    def _message(self, _client: paho.Client, _data: Any, message: paho.MQTTMessage) -> None:  # noqa: ANN401 - paho's callback
        try:
            topic = message.topic
        except UnicodeDecodeError:
            topic = "?"
        self._messages([(topic, bytes(message.payload))])
