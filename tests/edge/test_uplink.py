"""The uplink against a real broker that is killed, wiped and frozen, and a cloud that answers or does not."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from contract.codec import encode, model_hash
from contract.messages import Alarm, Birth, Command, DeviceBirth, Event, Lane, MetricBirth, Reply
from contract.topics import Channel
from edge import uplink as uplink_module
from edge.broker_link import BrokerAddress
from edge.clock import SystemClock
from edge.spool import Spool
from edge.uplink import Uplink, UplinkOptions
from tests.edge.cloud_stand_in import EDGE, CloudStandIn, cloud_at, until
from tests.mosquitto import Mosquitto

NOW = 1_790_000_000_000
DEVICES = [DeviceBirth(id="d-1", kind="gas", model="m")]
METRICS = [MetricBirth(alias=1, device="d-1", metric="gas_lel_pct")]


def birth() -> Birth:
    return Birth(
        epoch=1,
        boot=7,
        at=NOW,
        software="t",
        model=model_hash(DEVICES, METRICS),
        devices=DEVICES,
        metrics=METRICS,
    )


def alarm(number: int) -> Alarm:
    return Alarm(
        epoch=0,
        seq=0,
        alarm_id=str(number),
        device="d-1",
        kind="fire",
        is_active=True,
        measured_at=NOW,
    )


def rows(first: int, count: int) -> list[tuple[int, int, float | None, int]]:
    return [(1, NOW + first + i, float(first + i), 0) for i in range(count)]


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    broker = Mosquitto(tmp_path / "broker", [EDGE])
    broker.start()
    yield broker
    broker.kill()


@pytest.fixture
async def spool(tmp_path: Path) -> AsyncIterator[Spool]:
    spool = Spool(tmp_path / "spool.db", limit_mb=16, clock=SystemClock())
    await spool.use_model(birth())
    yield spool
    spool.close()


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uplink_module, "BACKOFF_S", (0.05, 0.2))


def uplink_to(
    broker: Mosquitto, spool: Spool, *, per_s: float = 1000, password: str = EDGE
) -> Uplink:
    address = BrokerAddress("127.0.0.1", broker.port, EDGE, EDGE, password)
    return Uplink(
        UplinkOptions(address, EDGE, 7, per_s),
        spool=spool,
        birth=birth,
        inbox=asyncio.Queue(4),
        clock=SystemClock(),
        jitter=lambda: 1.0,
    )


@asynccontextmanager
async def running(uplink: Uplink) -> AsyncIterator[Uplink]:
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(uplink.run(), name="uplink")
        yield uplink
        task.cancel()


async def emptied(spool: Spool) -> None:
    async with asyncio.timeout(30):
        while True:
            depth = await spool.depth()
            held = depth.alarm + depth.event + depth.data + depth.backfill
            if not held + depth.live_readings + depth.backlog_readings:
                return
            await asyncio.sleep(0.02)


async def test_birth_state_lanes_and_acks_empty_the_spool(broker: Mosquitto, spool: Spool) -> None:
    event = Event(epoch=0, seq=0, event_id="e", device="d-1", kind="link_up", measured_at=NOW)
    async with cloud_at(broker, CloudStandIn()) as cloud:
        async with running(uplink_to(broker, spool)) as uplink:
            await until(lambda: uplink.state.is_up)
            await spool.append([alarm(1), event], rows(0, 250))
            await emptied(spool)
            await until(lambda: len(cloud.states) == 1)
        await until(lambda: len(cloud.states) == 2)
    assert [state.online for state in cloud.states] == [True, False]
    assert cloud.births == [birth()]
    assert cloud.values(Lane.DATA, Lane.BACKFILL) == [float(i) for i in range(250)]
    assert len(cloud.kept[Lane.ALARM]) == len(cloud.kept[Lane.EVENT]) == 1


async def test_alarms_overtake_a_backlog(broker: Mosquitto, spool: Spool) -> None:
    await spool.append([], rows(0, 5000))
    async with (
        cloud_at(broker, CloudStandIn()) as cloud,
        running(uplink_to(broker, spool, per_s=20)),
    ):
        await until(lambda: cloud.mark(Lane.BACKFILL) >= 2)
        await spool.append([alarm(1)], rows(5000, 30))
        await until(lambda: cloud.mark(Lane.ALARM) == 1 and cloud.mark(Lane.DATA) >= 1)
        assert cloud.mark(Lane.BACKFILL) < 50, "the alarm waited for the backlog"
        await emptied(spool)
    values = cloud.values(Lane.BACKFILL) + cloud.values(Lane.DATA)
    assert values == [float(i) for i in range(5030)]


async def test_more_alarms_than_a_window_still_go_before_a_backlog(
    broker: Mosquitto, spool: Spool
) -> None:
    await spool.append([alarm(i) for i in range(200)], rows(0, 3000))
    cloud = CloudStandIn()
    cloud.mute_lanes = {Lane.ALARM}
    async with cloud_at(broker, cloud), running(uplink_to(broker, spool)):
        # The second copy of the first alarm: the window is full, and the node has waited long enough.
        await until(lambda: cloud.order.count((Lane.ALARM, 1)) == 2)
        cloud.mute_lanes = set()
        await emptied(spool)
    last_alarm = cloud.order.index((Lane.ALARM, 200))
    assert last_alarm < cloud.order.index((Lane.BACKFILL, 1))


async def test_a_cloud_that_does_not_answer_gets_the_same_bytes_again(
    broker: Mosquitto, spool: Spool
) -> None:
    cloud = CloudStandIn()
    cloud.acks = False
    async with cloud_at(broker, cloud), running(uplink_to(broker, spool)):
        await spool.append([alarm(i) for i in range(100)], rows(0, 50))
        await until(lambda: cloud.order.count((Lane.ALARM, 1)) == 2)
        assert max(cloud.kept[Lane.ALARM]) == 64, "more than a window under way"
        await cloud.acknowledge(Lane.ALARM, spool.epoch(Lane.ALARM) + 1, 64)
        await spool.append([alarm(100)], [])
        assert (await spool.depth()).alarm == 101
        cloud.acks = cloud.ack_twice = True
        await emptied(spool)
    assert cloud.mark(Lane.ALARM) == 101


async def test_a_broker_killed_and_wiped_again_and_again_loses_nothing(
    broker: Mosquitto, spool: Spool
) -> None:
    cloud, sent = CloudStandIn(), 0
    async with running(uplink_to(broker, spool)) as uplink:
        for life in range(4):
            if life:
                broker.start()
            async with cloud_at(broker, cloud):
                await until(lambda life=life: uplink.state.connects > life)
                for _ in range(20):
                    await spool.append([alarm(sent)], rows(sent * 10, 10))
                    sent += 1
                if life < 3:
                    await until(lambda sent=sent: cloud.mark(Lane.ALARM) > sent - 15)
                    broker.kill()
                else:
                    await emptied(spool)
    assert cloud.mark(Lane.ALARM) == sent
    assert sorted(cloud.values(Lane.DATA, Lane.BACKFILL)) == [float(i) for i in range(sent * 10)]


async def test_a_frozen_broker_is_noticed_and_left(
    broker: Mosquitto, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.broker_link.PUBLISH_S", 0.3)
    monkeypatch.setattr("edge.broker_link.CONNECT_S", 0.3)
    async with running(uplink_to(broker, spool)) as uplink:
        await until(lambda: uplink.state.is_up)
        assert broker._process is not None
        os.kill(broker._process.pid, signal.SIGSTOP)
        try:
            await spool.append([alarm(1)], [])
            await until(lambda: not uplink.state.is_up)
        finally:
            os.kill(broker._process.pid, signal.SIGCONT)
        async with cloud_at(broker, CloudStandIn()) as cloud:
            await until(lambda: cloud.mark(Lane.ALARM) == 1)
            await emptied(spool)


async def test_a_connection_without_any_ack_is_given_up(
    broker: Mosquitto, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uplink_module, "STALL_S", (0.5, 1.0))
    monkeypatch.setattr(uplink_module, "IDLE_S", 0.05)
    await spool.append([alarm(1)], [])
    async with running(uplink_to(broker, spool)) as uplink:
        await until(lambda: uplink.state.connects >= 2)
        assert "nothing was acknowledged" in uplink.state.last_error


async def test_a_wrong_password_is_told_and_tried_again(broker: Mosquitto, spool: Spool) -> None:
    async with running(uplink_to(broker, spool, password="wrong")) as uplink:
        await until(lambda: "as edge-1" in uplink.state.last_error)
        assert not uplink.state.is_up


async def test_commands_reach_the_inbox_and_a_rebirth_is_answered(
    broker: Mosquitto, spool: Spool
) -> None:
    uplink = uplink_to(broker, spool)
    command = encode(Command(id="c", op="ping", issued_at=NOW, expires=NOW + 1))
    async with cloud_at(broker, CloudStandIn()) as cloud, running(uplink):
        await until(lambda: len(cloud.births) == 1)
        await until(lambda: uplink.state.is_up)
        await cloud.say(Channel.ACK, b"\xc1 nonsense")
        for _ in range(9):
            await cloud.say(Channel.COMMAND, command)
        await until(lambda: uplink.state.commands_dropped == 5)
        assert uplink._inbox.get_nowait() == (Channel.COMMAND, command)
        uplink.request_birth()
        await until(lambda: len(cloud.births) == 2)
        answer = Reply(id="c", ok=True, at=NOW)
        assert await uplink.reply(encode(answer))
        await until(lambda: cloud.replies == [answer])


async def test_a_cloud_that_comes_back_need_not_wait_for_our_timers(
    broker: Mosquitto, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.lane_window.RESEND_S", (0.2, 3600.0))
    cloud = CloudStandIn()
    cloud.acks = False
    command = encode(Command(id="c", op="ping", issued_at=NOW, expires=NOW + 1))
    async with cloud_at(broker, cloud), running(uplink_to(broker, spool)):
        await spool.append([alarm(1)], [])
        await until(lambda: cloud.order.count((Lane.ALARM, 1)) == 2)
        cloud.acks = True
        await cloud.say(Channel.COMMAND, command)
        await emptied(spool)
