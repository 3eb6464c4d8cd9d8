"""Somebody who hears at the broker everything that edge nodes send, in its order."""

import threading
import time
from dataclasses import dataclass
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from contract.codec import DECODERS
from contract.messages import Alarm, DataBatch, Event
from contract.topics import Channel, parse_topic
from linli.up.home import CLOUD_USER, secret
from tests.torture.core import Core


@dataclass(frozen=True, slots=True)
class Heard:
    """One message of an edge node."""

    edge: str
    channel: Channel
    body: Alarm | Event | DataBatch


class Witness:
    """Listens until closed; sits at the broker itself, behind every wire."""

    def __init__(self, core: Core) -> None:
        self.heard: list[Heard] = []
        self._ready = threading.Event()
        word = secret(core.home.cloud_config.parent / "secrets" / CLOUD_USER)
        self._client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv311)
        self._client.username_pw_set(CLOUD_USER, word)
        self._client.on_message = self._message
        self._client.on_connect = lambda client, *_: client.subscribe("linli/1/+/+/up/+", qos=1)
        self._client.on_subscribe = lambda *_: self._ready.set()
        self._client.connect("127.0.0.1", core.home.ports.broker)
        self._client.loop_start()
        assert self._ready.wait(20)

    def _message(self, _client: Any, _data: Any, message: paho.MQTTMessage) -> None:
        address = parse_topic(message.topic)
        body = DECODERS[address.channel](message.payload)
        if isinstance(body, Alarm | Event | DataBatch):
            self.heard.append(Heard(address.edge, address.channel, body))

    def of(self, edge: str) -> list[Heard]:
        return [one for one in list(self.heard) if one.edge == edge]

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


def now_ms() -> int:
    return time.time_ns() // 1_000_000
