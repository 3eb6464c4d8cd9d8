"""The least a cloud does: hears one edge through a real broker and acknowledges as it is told."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import aiomqtt

from contract.codec import DECODERS, Message, decode_state, encode
from contract.messages import Ack, Alarm, Birth, DataBatch, Event, Lane, State
from contract.topics import Channel, parse_topic, topic
from tests.mosquitto import CLOUD, Mosquitto

EDGE = "edge-1"
LANES = {
    Channel.ALARM: Lane.ALARM,
    Channel.EVENT: Lane.EVENT,
    Channel.DATA: Lane.DATA,
    Channel.BACKFILL: Lane.BACKFILL,
}
PATIENCE_S = 30.0


async def until(condition: Callable[[], bool], what: str = "") -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110 - the condition is any fact of the test
            await asyncio.sleep(0.01)


class CloudStandIn:
    """Keeps what came, in the order it came, and the mark of each lane."""

    def __init__(self) -> None:
        self.order: list[tuple[Lane, int]] = []
        self.kept: dict[Lane, dict[int, bytes]] = {lane: {} for lane in Lane}
        self.epochs: dict[Lane, int] = {}
        self.births: list[Birth] = []
        self.states: list[State] = []
        self.replies: list[Message] = []
        self.acks = True
        self.ack_twice = False
        self.mute_lanes: set[Lane] = set()
        self._client: aiomqtt.Client | None = None

    def mark(self, lane: Lane) -> int:
        mark = 0
        while mark + 1 in self.kept[lane]:
            mark += 1
        return mark

    def values(self, *lanes: Lane) -> list[float]:
        found = []
        for lane in lanes:
            for seq in sorted(self.kept[lane]):
                batch = DECODERS[Channel.DATA](self.kept[lane][seq])
                assert isinstance(batch, DataBatch)
                found += [row[2] for row in batch.readings if row[2] is not None]
        return found

    async def say(self, channel: Channel, payload: bytes, *, retain: bool = False) -> None:
        assert self._client is not None
        await self._client.publish(topic(EDGE, channel), payload, qos=1, retain=retain)

    async def acknowledge(self, lane: Lane, epoch: int, through: int) -> None:
        assert self._client is not None
        ack = encode(Ack(epoch, lane, through))
        await self._client.publish(topic(EDGE, Channel.ACK), ack, qos=0)

    async def hear(self, client: aiomqtt.Client) -> None:
        self._client = client
        # A broker that the test kills ends this connection; what was kept stays.
        with contextlib.suppress(aiomqtt.MqttError):
            async for message in client.messages:
                assert isinstance(message.payload, bytes)
                await self._take(parse_topic(str(message.topic)).channel, message.payload)

    async def _take(self, channel: Channel, payload: bytes) -> None:
        if channel is Channel.STATE:
            self.states.append(decode_state(payload))
            return
        found = DECODERS[channel](payload)
        if isinstance(found, Birth):
            self.births.append(found)
        elif isinstance(found, DataBatch | Alarm | Event):
            await self._keep(LANES[channel], found, payload)
        else:
            self.replies.append(found)

    async def _keep(self, lane: Lane, found: DataBatch | Alarm | Event, payload: bytes) -> None:
        if self.epochs.setdefault(lane, found.epoch) != found.epoch:
            self.epochs[lane] = found.epoch
            self.kept[lane] = {}
        assert self.kept[lane].setdefault(found.seq, payload) == payload, "a resend differs"
        self.order.append((lane, found.seq))
        if self.acks and lane not in self.mute_lanes:
            for _ in range(1 + self.ack_twice):
                await self.acknowledge(lane, found.epoch, self.mark(lane))


@asynccontextmanager
async def cloud_at(broker: Mosquitto, cloud: CloudStandIn) -> AsyncIterator[CloudStandIn]:
    """Connect the stand-in; it keeps what it has when it connects again."""
    async with (
        aiomqtt.Client(
            "127.0.0.1",
            broker.port,
            username=CLOUD,
            password=CLOUD,
            socket_options=[(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)],
        ) as client,
        asyncio.TaskGroup() as tasks,
    ):
        await client.subscribe([(f"linli/1/+/{EDGE}/up/#", 1), (f"linli/1/+/{EDGE}/state", 1)])
        hearing = tasks.create_task(cloud.hear(client), name="cloud")
        await until(lambda: cloud._client is client)
        try:
            yield cloud
        finally:
            hearing.cancel()
