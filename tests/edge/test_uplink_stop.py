"""The uplink stops when it is told to, also in the very moment in which its link dies or answers."""

import asyncio
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from contract.codec import model_hash
from contract.messages import Birth, Lane
from contract.topics import Channel, topic
from edge.broker_link import BrokerAddress, BrokerLink, Will
from edge.clock import SystemClock
from edge.errors import LinkLostError
from edge.spool import Spool
from edge.uplink import Uplink, UplinkOptions
from tests.mosquitto import Mosquitto

EDGE = "edge-1"
TRIES = 300


def birth() -> Birth:
    return Birth(
        epoch=1, boot=1, at=1, software="t", model=model_hash([], []), devices=[], metrics=[]
    )


def uplink_through(opener: Any, spool: Spool, port: int = 1) -> Uplink:
    address = BrokerAddress("127.0.0.1", port, EDGE, EDGE, EDGE)
    return Uplink(
        UplinkOptions(address, EDGE, 1), spool=spool, birth=birth, inbox=asyncio.Queue(4),
        clock=SystemClock(), jitter=lambda: 0.0, **({"opener": opener} if opener else {}),
    )  # fmt: skip


@pytest.fixture
async def spool(tmp_path: Path) -> AsyncIterator[Spool]:
    spool = Spool(tmp_path / "spool.db", limit_mb=8, clock=SystemClock())
    await spool.use_model(birth())
    yield spool
    spool.close()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    broker = Mosquitto(tmp_path / "broker", [EDGE])
    broker.start()
    yield broker
    broker.kill()


class DyingLink:
    """Takes everything, and is lost as soon as the test says so."""

    def __init__(self) -> None:
        self.dead = asyncio.Event()
        self.listening = asyncio.Event()

    async def publish(self, topic: str, payload: bytes, *, is_retained: bool = False) -> None:
        if self.dead.is_set():
            raise LinkLostError("publishing: dead")

    async def subscribe(self, topics: list[str]) -> None:
        return

    async def messages(self) -> AsyncIterator[tuple[str, bytes]]:
        self.listening.set()
        await self.dead.wait()
        for _ in range(1):
            raise LinkLostError("dead")
        yield "", b""


async def steps(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_a_stop_in_the_moment_of_a_lost_link_is_obeyed(spool: Spool) -> None:
    luck = random.Random(5)
    for _ in range(TRIES):
        link = DyingLink()

        @asynccontextmanager
        async def opener(_address: BrokerAddress, _will: Will, link: Any = link) -> Any:
            yield link

        async with asyncio.TaskGroup() as tasks, asyncio.timeout(20):
            running = tasks.create_task(uplink_through(opener, spool).run(), name="uplink")
            await link.listening.wait()
            first, second = luck.randrange(4), luck.randrange(4)
            await steps(first)
            link.dead.set()
            await steps(second)
            running.cancel()
            await asyncio.wait([running], timeout=10)
            assert running.cancelled()


async def test_a_stop_in_the_moment_of_a_receipt_is_obeyed(
    broker: Mosquitto, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A message is always under way, so that the stop often meets the broker's receipt."""
    luck = random.Random(6)
    sent = 0

    async def chatter(uplink: Uplink, link: BrokerLink, lane: Lane) -> None:
        nonlocal sent
        while True:
            await link.publish(topic(EDGE, Channel.REPLY), b"x")
            sent += 1

    monkeypatch.setattr(Uplink, "_send_lane", chatter)
    async with asyncio.timeout(60):
        for _ in range(40):
            running = uplink_through(None, spool, broker.port).run()
            async with asyncio.TaskGroup() as tasks:
                task = tasks.create_task(running, name="uplink")
                goal = sent + 1
                while sent < goal:  # noqa: ASYNC110 - polls what another task counts
                    await asyncio.sleep(0)
                await steps(luck.randrange(30))
                task.cancel()
                await asyncio.wait([task], timeout=10)
                assert task.cancelled()
