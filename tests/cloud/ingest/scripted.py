"""An edge node after a script: births, lanes with resending, everything the contract asks, and things it forbids."""

import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from contract.codec import decode_ack, decode_command, encode, model_hash
from contract.ids import uuid7
from contract.messages import (
    Alarm,
    Birth,
    Command,
    DataBatch,
    DeviceBirth,
    Event,
    Lane,
    MetricBirth,
    Reply,
    State,
)
from contract.topics import Channel, topic

PATIENCE_S = 30.0


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def until(claim: Callable[[], Any], what: str, within_s: float = PATIENCE_S) -> Any:
    end = time.monotonic() + within_s
    while True:
        value = claim()
        if value:
            return value
        assert time.monotonic() < end, what
        time.sleep(0.02)


def birth(
    edge: str, devices: Iterable[str], *, metric: str = "gas_lel_pct", epoch: int = 1
) -> Birth:
    born = [
        DeviceBirth(id=name, kind="gas", model="gas-lel-simple", name=name, period_s=1.0)
        for name in devices
    ]
    metrics = [
        MetricBirth(alias=alias, device=device.id, metric=metric)
        for alias, device in enumerate(born, 1)
    ]
    return Birth(
        epoch=epoch,
        boot=1,
        at=now_ms(),
        software="script",
        model=model_hash(born, metrics),
        devices=born,
        metrics=metrics,
    )


class ScriptedEdge:
    """One client; `epoch` names its spool, `window` is kept like a real edge keeps it."""

    def __init__(self, edge: str, port: int, devices: Iterable[str], *, epoch: int = 1) -> None:
        self.id = edge
        self.epoch = epoch
        self.birth = birth(edge, devices, epoch=epoch)
        self.acked: dict[Lane, int] = dict.fromkeys(Lane, 0)
        self.commands: list[Command] = []
        self.seq: dict[Lane, int] = dict.fromkeys(Lane, 0)
        self.unacked: dict[Lane, dict[int, bytes]] = {lane: {} for lane in Lane}
        self._lock = threading.Lock()
        self._resent_s = 0.0
        self._client = paho.Client(
            CallbackAPIVersion.VERSION2, client_id=f"{edge}-{id(self)}", protocol=paho.MQTTv311
        )
        self._client.username_pw_set(edge, edge)
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = self._connected
        self._client.on_message = self._message
        self._client.max_queued_messages_set(0)
        will = encode(State(online=False, boot=1, at=now_ms()))
        self._client.will_set(topic(edge, Channel.STATE), will, qos=1, retain=True)
        self._client.connect_async("127.0.0.1", port, keepalive=10)

    def start(self) -> "ScriptedEdge":
        self._client.loop_start()
        until(self._client.is_connected, f"{self.id} does not connect")
        return self

    def stop(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _connected(self, client: paho.Client, *_: Any) -> None:
        client.subscribe(f"linli/1/+/{self.id}/down/#", qos=1)
        self.publish(Channel.STATE, encode(State(online=True, boot=1, at=now_ms())), retain=True)
        self.publish(Channel.BIRTH, encode(self.birth), retain=True)

    def _message(self, _client: paho.Client, _data: Any, message: paho.MQTTMessage) -> None:
        payload = bytes(message.payload)
        if message.topic.endswith(Channel.ACK):
            ack = decode_ack(payload)
            if ack.epoch != self.epoch:
                return
            with self._lock:
                self.acked[ack.lane] = max(self.acked[ack.lane], ack.committed_through)
                for seq in [s for s in self.unacked[ack.lane] if s <= ack.committed_through]:
                    del self.unacked[ack.lane][seq]
        elif message.topic.endswith(Channel.COMMAND):
            command = decode_command(payload)
            self.commands.append(command)
            if command.op == "rebirth":
                self.publish(Channel.BIRTH, encode(self.birth), retain=True)
            reply = Reply(id=command.id, ok=True, at=now_ms())
            self.publish(Channel.REPLY, encode(reply))

    def publish(self, channel: Channel, payload: bytes, *, retain: bool = False) -> None:
        self._client.publish(topic(self.id, channel), payload, qos=1, retain=retain)

    def publish_raw(self, topic_text: str, payload: bytes) -> None:
        self._client.publish(topic_text, payload, qos=1)

    def next_seq(self, lane: Lane) -> int:
        self.seq[lane] += 1
        return self.seq[lane]

    def send(self, lane: Lane, seq: int, payload: bytes, *, publish: bool = True) -> None:
        with self._lock:
            self.unacked[lane][seq] = payload
        if publish:
            self.publish(Channel(f"up/{lane.value}"), payload)

    def data(
        self,
        readings: list[tuple[int, int, float | None, int]],
        *,
        t0: int | None = None,
        lane: Lane = Lane.DATA,
        publish: bool = True,
        model: int | None = None,
    ) -> int:
        seq = self.next_seq(lane)
        batch = DataBatch(
            self.epoch,
            seq,
            now_ms() if t0 is None else t0,
            self.birth.model if model is None else model,
            readings,
        )
        self.send(lane, seq, encode(batch), publish=publish)
        return seq

    def alarm(self, device: str, *, kind: str = "gas", publish: bool = True, **more: Any) -> Alarm:
        seq = self.next_seq(Lane.ALARM)
        fields: dict[str, Any] = {"measured_at": now_ms(), "is_active": True} | more
        alarm = Alarm(
            epoch=self.epoch,
            seq=seq,
            alarm_id=uuid7(now_ms(), seq.to_bytes(10, "big")),
            device=device,
            kind=kind,
            **fields,
        )
        self.send(Lane.ALARM, seq, encode(alarm), publish=publish)
        return alarm

    def event(self, device: str, kind: str, **more: Any) -> int:
        seq = self.next_seq(Lane.EVENT)
        fields: dict[str, Any] = {"measured_at": now_ms()} | more
        event = Event(
            epoch=self.epoch, seq=seq, event_id=f"e{seq}", device=device, kind=kind, **fields
        )
        self.send(Lane.EVENT, seq, encode(event))
        return seq

    def resend(self) -> None:
        """Send everything unacknowledged again, from the lowest, as after a time-out; at most the window."""
        if time.monotonic() - self._resent_s < 0.3:
            return
        self._resent_s = time.monotonic()
        for lane in Lane:
            with self._lock:
                waiting = sorted(self.unacked[lane].items())[:64]
            for _, payload in waiting:
                self.publish(Channel(f"up/{lane.value}"), payload)

    def window_open(self) -> bool:
        """Whether another forty messages fit into the window."""
        with self._lock:
            return all(len(waiting) <= 20 for waiting in self.unacked.values())

    def all_acked(self) -> bool:
        with self._lock:
            return not any(self.unacked.values())
