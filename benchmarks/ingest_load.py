"""A load generator that keeps the contract: many edges on one connection, windows of 64, resends, counts acks.

Run as `python -m benchmarks.ingest_load PORT FIRST_EDGE EDGES READINGS_PER_MESSAGE SECONDS`; prints `ready` when
the births are taken, then one JSON line.
Speaks just enough MQTT 3.1.1 (OASIS standard, chapter 3) to be cheaper than what it measures.
"""

import json
import selectors
import socket
import struct
import sys
import time

from contract.codec import decode_ack, decode_command, encode, model_hash
from contract.messages import Birth, DataBatch, DeviceBirth, Lane, MetricBirth
from contract.topics import Channel, topic

WINDOW = 64
RESEND_S = 2.0
DRAIN_S = 60.0
USER = "linli-cloud"


def packet(kind: int, body: bytes) -> bytes:
    """Frame one control packet: type byte, remaining length in base 128, body."""
    size, head = len(body), bytearray([kind])
    while True:
        size, digit = size >> 7, size & 0x7F
        head.append(digit | 0x80 if size else digit)
        if not size:
            return bytes(head) + body


def text(value: str) -> bytes:
    """Write a string as MQTT does: two bytes of length, UTF-8."""
    raw = value.encode()
    return struct.pack(">H", len(raw)) + raw


def publish(name: str, payload: bytes) -> bytes:
    """Write a PUBLISH packet of quality 0."""
    return packet(0x30, text(name) + payload)


def connect(port: int, client: str, filters: list[str]) -> socket.socket:
    """Open a connection and subscribe; the answers come with what is read later."""
    link = socket.create_connection(("127.0.0.1", port))
    link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    body = text("MQTT") + bytes([4, 0xC2, 0, 0]) + text(client) + text(USER) + text(USER)
    link.sendall(packet(0x10, body))
    if filters:
        wanted = b"".join(text(name) + b"\x00" for name in filters)
        link.sendall(packet(0x82, struct.pack(">H", 1) + wanted))
    return link


class Inflow:
    """Cuts a byte stream into the PUBLISH packets in it."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[tuple[str, bytes]]:
        """Give (topic, payload) of each packet that is complete now."""
        stream, at, found = self._rest + data, 0, []
        while True:
            size, shift, start = 0, 0, at + 1
            while start < len(stream) and stream[start] & 0x80:
                size |= (stream[start] & 0x7F) << shift
                shift, start = shift + 7, start + 1
            if start >= len(stream):
                break
            size |= stream[start] << shift
            end = start + 1 + size
            if end > len(stream):
                break
            if stream[at] & 0xF0 == 0x30:
                cut = start + 3 + int.from_bytes(stream[start + 1 : start + 3], "big")
                body = cut + (2 if stream[at] & 0x06 else 0)
                found.append((stream[start + 3 : cut].decode(), stream[body:end]))
            at = end
        self._rest = stream[at:]
        return found


class Edge:
    """One pretended edge: its birth, its window, what it still waits for."""

    def __init__(self, number: int, readings: int, epoch: int) -> None:
        self.id = f"bench-edge-{number}"
        self.epoch = epoch
        devices = [
            DeviceBirth(id=f"{self.id}-{n}", kind="gas", model="m", name="x", period_s=1.0)
            for n in range(readings)
        ]
        metrics = [
            MetricBirth(alias=n, device=device.id, metric="gas_lel_pct")
            for n, device in enumerate(devices)
        ]
        self.birth = Birth(
            epoch=epoch, boot=1, at=epoch, software="bench", model=model_hash(devices, metrics),
            devices=devices, metrics=metrics,
        )  # fmt: skip
        self.data = topic(self.id, Channel.DATA)
        self.seq = self.acked = self.resent = 0
        self.t0 = 0
        self.waiting: dict[int, bytes] = {}
        self.moved_s = time.monotonic()
        self._values: list[tuple[int, int, float | None, int]] = [
            (n, 0, 2.0 + n % 10 / 10, 0) for n in range(readings)
        ]

    def next(self) -> bytes:
        """Make the next message and keep it until it is acknowledged."""
        self.seq += 1
        if not self.waiting:
            self.moved_s = time.monotonic()
        self.t0 = max(self.t0 + 1, time.time_ns() // 1_000_000)
        batch = DataBatch(self.epoch, self.seq, self.t0, self.birth.model, self._values)
        message = self.waiting[self.seq] = publish(self.data, encode(batch))
        return message

    def take_ack(self, through: int) -> None:
        """Forget what is stored."""
        if through > self.acked:
            for seq in range(self.acked + 1, through + 1):
                self.waiting.pop(seq, None)
            self.acked, self.moved_s = through, time.monotonic()

    def due(self, now: float) -> list[bytes]:
        """Give everything unacknowledged when nothing has moved for 2 s."""
        if not self.waiting or now - self.moved_s < RESEND_S:
            return []
        self.moved_s = now
        self.resent += len(self.waiting)
        return list(self.waiting.values())


class Load:
    """All edges on one connection, sending as fast as acknowledgements allow, at most `rate` messages/s."""

    def __init__(self, port: int, edges: list[Edge], client: str, rate: float) -> None:
        self._edges = {edge.id: edge for edge in edges}
        filters = [f"linli/1/+/{edge.id}/down/#" for edge in edges]
        self._link = connect(port, client, filters)
        self._link.settimeout(0)
        self._inflow = Inflow()
        self._out = bytearray()
        self._select = selectors.DefaultSelector()
        self._select.register(self._link, selectors.EVENT_READ | selectors.EVENT_WRITE)
        self._rate = rate
        for edge in edges:
            self._out += publish(topic(edge.id, Channel.BIRTH), encode(edge.birth))

    def pump(self, timeout_s: float) -> None:
        """Send and receive what is possible."""
        mask = selectors.EVENT_READ | (selectors.EVENT_WRITE if self._out else 0)
        self._select.modify(self._link, mask)
        for _, ready in self._select.select(timeout_s):
            if ready & selectors.EVENT_READ:
                for name, payload in self._inflow.feed(self._link.recv(1 << 18)):
                    self._heard(name, payload)
            if ready & selectors.EVENT_WRITE and self._out:
                sent = self._link.send(memoryview(self._out)[: 1 << 18])
                del self._out[:sent]

    def _heard(self, name: str, payload: bytes) -> None:
        edge = self._edges[name.split("/")[3]]
        if name.endswith("/ack"):
            ack = decode_ack(payload)
            if ack.lane is Lane.DATA and ack.epoch == edge.epoch:
                edge.take_ack(ack.committed_through)
        elif name.endswith("/command") and decode_command(payload).op == "rebirth":
            self._out += publish(topic(edge.id, Channel.BIRTH), encode(edge.birth))

    def warm(self) -> None:
        """Wait until the births are taken: one message of each edge is acknowledged."""
        for edge in self._edges.values():
            self._out += edge.next()
        self._drain(time.monotonic())

    def run(self, seconds: float) -> float:
        """Send for `seconds`, then wait for the rest; gives the seconds it took."""
        began = time.monotonic()
        total = 0
        while (now := time.monotonic()) - began < seconds:
            allowed = self._rate * (now - began) - total
            if len(self._out) < 1 << 20:
                for edge in self._edges.values():
                    room = min(WINDOW - (edge.seq - edge.acked), allowed)
                    for _ in range(int(room)):
                        self._out += edge.next()
                        total += 1
                        allowed -= 1
                    self._out += b"".join(edge.due(now))
            self.pump(0.002)
        return self._drain(began)

    def _drain(self, began: float) -> float:
        end = time.monotonic() + DRAIN_S
        while time.monotonic() < end and any(edge.waiting for edge in self._edges.values()):
            now = time.monotonic()
            for edge in self._edges.values():
                self._out += b"".join(edge.due(now))
            self.pump(0.01)
        return time.monotonic() - began


def main() -> None:
    """Be one load generator."""
    port, first, count, readings = (int(value) for value in sys.argv[1:5])
    seconds, rate = float(sys.argv[5]), float(sys.argv[6])
    epoch = time.time_ns() // 1_000_000
    edges = [Edge(first + n, readings, epoch) for n in range(count)]
    load = Load(port, edges, f"bench-load-{first}-{epoch}", rate)
    load.warm()
    before = sum(edge.acked for edge in edges)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    cpu = time.process_time()
    took = load.run(seconds)
    sys.stdout.write(
        json.dumps({
            "sent": (sum(edge.seq for edge in edges) - before) * readings,
            "acked": (sum(edge.acked for edge in edges) - before) * readings,
            "before": before * readings,
            "resent": sum(edge.resent for edge in edges),
            "seconds": took,
            "cpu_s": time.process_time() - cpu,
        }) + "\n"
    )  # fmt: skip


if __name__ == "__main__":
    main()
