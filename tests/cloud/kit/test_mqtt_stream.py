"""Packets are found however the stream is cut, and paho still does what is left to it."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import paho.mqtt.client as paho
import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.enums import CallbackAPIVersion

from cloud.kit.clock import SystemClock
from cloud.kit.mqtt import Arrival, BrokerLogin, Inbox, MqttLink
from cloud.kit.mqtt_stream import BrokenStreamError, cut, frame
from tests.mosquitto import CLOUD, Mosquitto

PATIENCE_S = 20.0


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    mosquitto = Mosquitto(tmp_path / "broker", [])
    mosquitto.start()
    yield mosquitto
    mosquitto.kill()


@pytest.fixture
def link(broker: Mosquitto) -> Iterator[tuple[MqttLink, Inbox]]:
    inbox, ready = Inbox(), threading.Event()
    made = MqttLink(
        BrokerLogin("127.0.0.1", broker.port, CLOUD, CLOUD),
        client_id="tester",
        subscriptions=[("linli/1/00/a/up/alarm", 1), ("linli/1/00/a/up/data", 0)],
        inbox=inbox,
        clock=SystemClock(),
        on_connected=ready.set,
    )
    made.start()
    assert ready.wait(PATIENCE_S)
    yield made, inbox
    made.stop()


def sender(port: int) -> paho.Client:
    client = paho.Client(CallbackAPIVersion.VERSION2, client_id="sender")
    client.username_pw_set(CLOUD, CLOUD)
    client.connect("127.0.0.1", port)
    client.loop_start()
    return client


def gather(inbox: Inbox, wanted: int) -> tuple[list[Arrival], list[Arrival]]:
    urgent: list[Arrival] = []
    bulk: list[Arrival] = []
    end = time.monotonic() + PATIENCE_S
    while len(urgent) + len(bulk) < wanted and time.monotonic() < end:
        inbox.wait(0.05)
        urgent += inbox.take_urgent(10_000)
        bulk += inbox.take_bulk(10_000)
    return urgent, bulk


@given(st.lists(st.binary(max_size=300), max_size=8), st.data())
def test_packets_are_found_wherever_the_stream_is_cut(
    payloads: list[bytes], data: st.DataObject
) -> None:
    stream = b"".join(frame("t/火", payload) for payload in payloads)
    found: list[bytes] = []
    held, at = b"", 0
    while at < len(stream):
        size = data.draw(st.integers(1, 400))
        held += stream[at : at + size]
        at += size
        packets, rest, needed = cut(held)
        found += [held[start:end] for _, start, end in packets]
        assert needed > len(held) - rest
        held = held[rest:]
    head = len("t/火".encode()) + 2
    assert [body[head:] for body in found] == payloads
    assert not held


@given(st.binary(max_size=200))
def test_random_bytes_give_packets_or_a_broken_stream(stream: bytes) -> None:
    try:
        packets, rest, needed = cut(stream)
    except BrokenStreamError:
        return
    assert all(start <= end <= len(stream) for _, start, end in packets)
    assert rest <= len(stream) < rest + needed


@pytest.mark.parametrize("size", [0, 127, 128, 16_383, 16_384, 2_097_152])
def test_every_length_that_a_header_can_have_is_read(size: int) -> None:
    stream = frame("t", bytes(size))
    ((_, start, end),), rest, _ = cut(stream)
    assert end - start == size + 3
    assert rest == len(stream)


def test_a_length_of_five_bytes_breaks_the_connection() -> None:
    with pytest.raises(BrokenStreamError, match="four bytes"):
        cut(b"\x30\xff\xff\xff\xff\x01")


def test_messages_of_both_qualities_arrive_once_each_and_in_order(
    broker: Mosquitto, link: tuple[MqttLink, Inbox]
) -> None:
    client = sender(broker.port)
    for number in range(500):
        client.publish("linli/1/00/a/up/data", number.to_bytes(2, "big"), qos=0)
        client.publish("linli/1/00/a/up/alarm", number.to_bytes(2, "big"), qos=1)
    urgent, bulk = gather(link[1], 1_000)
    client.disconnect()
    client.loop_stop()
    wanted = [number.to_bytes(2, "big") for number in range(500)]
    assert [arrival.payload for arrival in urgent] == wanted
    assert [arrival.payload for arrival in bulk] == wanted


def test_a_message_of_megabytes_arrives_whole(
    broker: Mosquitto, link: tuple[MqttLink, Inbox]
) -> None:
    client = sender(broker.port)
    payload = bytes(range(256)) * 12_000
    client.publish("linli/1/00/a/up/data", payload, qos=1)
    _, bulk = gather(link[1], 1)
    client.disconnect()
    client.loop_stop()
    assert [arrival.payload for arrival in bulk] == [payload]


def test_many_are_sent_at_once_and_none_while_there_is_no_broker(
    broker: Mosquitto, link: tuple[MqttLink, Inbox]
) -> None:
    made, inbox = link
    assert made.publish_all([("linli/1/00/a/up/data", bytes([number])) for number in range(200)])
    _, bulk = gather(inbox, 200)
    assert [arrival.payload for arrival in bulk] == [bytes([number]) for number in range(200)]
    broker.kill()
    end = time.monotonic() + PATIENCE_S
    while made.is_connected and time.monotonic() < end:
        inbox.wait(0.05)
    assert not made.publish_all([("linli/1/00/a/up/data", b"x")])


def test_the_stream_begins_anew_after_a_lost_connection(
    broker: Mosquitto, link: tuple[MqttLink, Inbox]
) -> None:
    made, inbox = link
    broker.kill()
    end = time.monotonic() + PATIENCE_S
    while made.is_connected and time.monotonic() < end:
        inbox.wait(0.05)
    broker.start()
    heard: list[Arrival] = []
    while not heard and time.monotonic() < end + PATIENCE_S:
        made.publish_all([("linli/1/00/a/up/data", b"again")])
        inbox.wait(0.05)
        heard = inbox.take_bulk(10)
    assert heard[0].payload == b"again"


def test_a_full_inbox_takes_what_fits_and_counts_the_rest() -> None:
    inbox = Inbox(bulk_limit=3, urgent_limit=1)
    inbox.put([Arrival("linli/1/00/a/up/data", bytes([number]), 1) for number in range(5)])
    inbox.put([Arrival("linli/1/00/a/up/alarm", b"1", 1), Arrival("linli/1/00/a/up/data", b"9", 1)])
    assert [arrival.payload for arrival in inbox.take_bulk(9)] == [b"\0", b"\1", b"\2"]
    assert [arrival.payload for arrival in inbox.take_urgent(9)] == [b"1"]
    assert inbox.dropped == 3
