"""A bad network between two brokers: messages are dropped, doubled, delayed and therefore overtaken, all by a seed."""

import heapq
import itertools
import random
import threading
import time
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from linli.up.home import CLOUD_USER, secret
from tests.mosquitto import CLOUD, Mosquitto
from tests.torture.core import Core

DELAY_S = 0.4


class Bridge:
    """Carries what nodes say from `near` to the core's broker, and what the cloud says back, badly."""

    def __init__(self, core: Core, near: Mosquitto, seed: int) -> None:
        self.drop = 0.05
        self.double = 0.2
        self.delay = 0.3
        self.counts = {"carried": 0, "dropped": 0, "doubled": 0, "delayed": 0}
        self._luck = random.Random(seed)
        self._queue: list[tuple[float, int, Any, paho.MQTTMessage]] = []
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._is_closed = threading.Event()
        word = secret(core.home.cloud_config.parent / "secrets" / CLOUD_USER)
        self._near = self._client(near.port, CLOUD, CLOUD)
        self._far = self._client(core.home.ports.broker, CLOUD_USER, word)
        self._join(self._near, self._far, ["linli/1/+/+/up/#", "linli/1/+/+/state"])
        self._join(self._far, self._near, ["linli/1/+/+/down/#"])
        self._thread = threading.Thread(target=self._carry, name="bridge", daemon=True)
        self._thread.start()

    @staticmethod
    def _client(port: int, user: str, word: str) -> paho.Client:
        client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv311)
        client.username_pw_set(user, word)
        client.connect("127.0.0.1", port)
        return client

    def _join(self, source: paho.Client, sink: paho.Client, filters: list[str]) -> None:
        ready = threading.Event()
        source.on_subscribe = lambda *_: ready.set()
        source.on_message = lambda _client, _data, message: self._take(sink, message)
        source.on_connect = lambda client, *_: client.subscribe([(f, 1) for f in filters])
        source.loop_start()
        assert ready.wait(20)

    def _take(self, sink: paho.Client, message: paho.MQTTMessage) -> None:
        with self._lock:
            if self._luck.random() < self.drop:
                self.counts["dropped"] += 1
                return
            copies = 1 + (self._luck.random() < self.double)
            self.counts["doubled"] += copies - 1
            for _ in range(copies):
                is_late = self._luck.random() < self.delay
                self.counts["delayed"] += is_late
                due = time.monotonic() + (self._luck.uniform(0, DELAY_S) if is_late else 0)
                heapq.heappush(self._queue, (due, next(self._numbers), sink, message))

    def _carry(self) -> None:
        while not self._is_closed.wait(0.002):
            with self._lock:
                while self._queue and self._queue[0][0] <= time.monotonic():
                    _, _, sink, message = heapq.heappop(self._queue)
                    is_kept = message.topic.endswith(("/birth", "/state"))
                    sink.publish(message.topic, message.payload, qos=1, retain=is_kept)
                    self.counts["carried"] += 1

    def close(self) -> None:
        """Stop carrying."""
        self._is_closed.set()
        self._thread.join(20)
        for client in (self._near, self._far):
            client.disconnect()
            client.loop_stop()
