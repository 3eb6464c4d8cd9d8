"""paho-mqtt fed in large reads: paho itself asks the system three times for each message (31 µs, this way 3).

Messages of quality 0 are cut out of the stream here and handed over together; every other packet goes paho's own
way, so connecting, subscribing, keeping alive and quality 1 stay its business. Uses three of paho's inner doors
(`_packet_read`, `_packet_handle`, `_packet_queue`); `tests/cloud/kit/test_mqtt_stream.py` tells when they move.
MQTT 3.1.1, OASIS standard, 2.2 (fixed header) and 3.3 (PUBLISH).
"""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.exception import MalformedPacket
from typing_extensions import override

READ_BYTES: Final = 131_072
TOPICS_KEPT: Final = 50_000
OUT_LIMIT: Final = 2_000
Message = tuple[str, bytes]


class BrokenStreamError(ValueError):
    """The other side does not speak MQTT: the connection is given up and made anew."""


class Packet(NamedTuple):
    """One whole control packet in a stream: its first byte, where its body starts and ends."""

    first: int
    start: int
    end: int


class Cut(NamedTuple):
    """What a stream holds: whole packets, where the rest begins, and how long the rest must grow to be of use."""

    packets: list[Packet]
    rest: int
    needed: int


def cut(stream: bytes) -> Cut:
    """Find the whole packets of a stream; pure.

    Raises:
        BrokenStreamError: a length of more than four bytes.
    """
    packets: list[Packet] = []
    at, size = 0, len(stream)
    while size - at >= 2:
        length, start = stream[at + 1], at + 2
        shift = 7
        while length >> shift & 1:
            if shift > 21:
                raise BrokenStreamError("a length of more than four bytes")
            if start == size:
                return Cut(packets, at, size - at + 1)
            length += (stream[start] << shift) - (1 << shift)
            start, shift = start + 1, shift + 7
        end = start + length
        if end > size:
            return Cut(packets, at, end - at)
        packets.append(Packet(stream[at], start, end))
        at = end
    return Cut(packets, at, 2)


def frame(topic: str, payload: bytes) -> bytes:
    """Write a PUBLISH packet of quality 0."""
    name = topic.encode()
    size = 2 + len(name) + len(payload)
    head = bytearray(b"\x30")
    while size > 0x7F:
        head.append(size & 0x7F | 0x80)
        size >>= 7
    head.append(size)
    return b"".join((head, len(name).to_bytes(2, "big"), name, payload))


def _text(error: OSError) -> str:
    return str(error) or type(error).__name__


class StreamClient(paho.Client):
    """A client whose messages of quality 0 come by the hundred.

    Args:
        client_id: our name at the broker.
        take: called by the network thread with what one read brought, in order; must not wait.

    Attributes:
        failure: what ended the present connection or kept it from being made; empty where nobody told.
    """

    def __init__(self, client_id: str, take: Callable[[list[Message]], None]) -> None:
        super().__init__(CallbackAPIVersion.VERSION2, client_id=client_id, protocol=paho.MQTTv311)
        self._take_all = take
        self._topics: dict[bytes, str] = {}
        self._chunks: list[bytes] = []
        self._held = self._needed = 0
        self.failure = ""

    def publish_all(self, messages: Sequence[Message]) -> bool:
        """Send messages of quality 0 with one wake of the network thread; False when that is not possible now."""
        if not self.is_connected() or len(self._out_packet) >= OUT_LIMIT:
            return False
        packets = b"".join([frame(topic, payload) for topic, payload in messages])
        # Command 0 is none of paho's: nothing is to be done once these bytes are out.
        return self._packet_queue(0, packets, 0, 0) == MQTTErrorCode.MQTT_ERR_SUCCESS

    @override
    def reconnect(self) -> MQTTErrorCode:
        self._chunks, self._held, self._needed = [], 0, 0
        self.failure = ""
        try:
            return super().reconnect()
        except OSError as error:
            # paho drops it, and with it what is wrong with a certificate or an address.
            self.failure = _text(error)
            raise

    @override
    def _packet_read(self) -> MQTTErrorCode:
        try:
            chunk = self._sock_recv(READ_BYTES)
        except BlockingIOError:
            return MQTTErrorCode.MQTT_ERR_AGAIN
        except OSError as error:
            # With TLS 1.3 a broker that refuses our certificate says so only after the handshake.
            self.failure = _text(error)
            return MQTTErrorCode.MQTT_ERR_CONN_LOST
        if not chunk:
            return MQTTErrorCode.MQTT_ERR_CONN_LOST
        with self._msgtime_mutex:
            self._last_bytes_received = paho.time_func()
        self._chunks.append(chunk)
        self._held += len(chunk)
        if self._held < self._needed:
            return MQTTErrorCode.MQTT_ERR_SUCCESS
        try:
            return self._work_off(b"".join(self._chunks))
        except (BrokenStreamError, MalformedPacket):
            return MQTTErrorCode.MQTT_ERR_PROTOCOL

    def _work_off(self, stream: bytes) -> MQTTErrorCode:
        packets, rest, self._needed = cut(stream)
        self._chunks = [stream[rest:]] if rest < len(stream) else []
        self._held = len(stream) - rest
        found: list[Message] = []
        for first, start, end in packets:
            if first & 0xF6 == paho.PUBLISH:
                found.append(self._message(stream, start, end))
                continue
            found = self._hand_over(found)
            code = self._by_paho(first, stream[start:end])
            if code > 0 or self._sock is None:
                return code
        self._hand_over(found)
        return MQTTErrorCode.MQTT_ERR_SUCCESS

    def _message(self, stream: bytes, start: int, end: int) -> Message:
        body = start + 2
        at = body + int.from_bytes(stream[start:body], "big")
        if at > end:
            raise BrokenStreamError("a topic longer than its packet")
        name = stream[body:at]
        topic = self._topics.get(name)
        if topic is None:
            if len(self._topics) >= TOPICS_KEPT:
                self._topics.clear()
            topic = self._topics[name] = name.decode(errors="replace")
        return topic, stream[at:end]

    def _hand_over(self, found: list[Message]) -> list[Message]:
        if found:
            self._take_all(found)
        return []

    def _by_paho(self, first: int, body: bytes) -> MQTTErrorCode:
        self._in_packet = {
            "command": first,
            "have_remaining": 1,
            "remaining_count": [],
            "remaining_mult": 1,
            "remaining_length": len(body),
            "packet": bytearray(body),
            "to_process": 0,
            "pos": 0,
        }
        return self._packet_handle()
