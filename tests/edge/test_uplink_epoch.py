"""A lane whose numbers mean something else to the cloud is counted anew, and nothing of it is lost."""

from pathlib import Path

import pytest

from contract.codec import decode_alarm, decode_data, decode_event
from contract.messages import Alarm, Birth, Event, Lane
from edge.lane_window import RESEND_S, LaneWindow
from edge.spool import Spool
from tests.edge.clocks import FakeClock
from tests.edge.cloud_stand_in import CloudStandIn, cloud_at, until
from tests.edge.test_uplink import (  # noqa: F401 - two are fixtures
    alarm,
    broker,
    emptied,
    rows,
    running,
    spool,
    uplink_to,
)
from tests.mosquitto import Mosquitto


async def test_a_spool_from_the_past_is_counted_anew_and_its_alarms_arrive(
    broker: Mosquitto,  # noqa: F811 - the fixture
    spool: Spool,  # noqa: F811 - the fixture
) -> None:
    old = spool.epoch(Lane.ALARM)
    cloud = CloudStandIn()
    cloud.acks = False
    async with cloud_at(broker, cloud), running(uplink_to(broker, spool)):
        await spool.append([alarm(1), alarm(2)], rows(0, 30))
        await until(lambda: (Lane.ALARM, 2) in cloud.order)
        await cloud.acknowledge(Lane.ALARM, old, 500)
        await until(lambda: spool.epoch(Lane.ALARM) > old)
        cloud.acks = True
        await emptied(spool)
    arrived = [decode_alarm(payload) for payload in cloud.kept[Lane.ALARM].values()]
    assert [item.seq for item in arrived] == [1, 2]
    assert {item.epoch for item in arrived} == {spool.epoch(Lane.ALARM)}


async def test_a_cloud_from_the_past_gets_everything_under_a_new_epoch(
    broker: Mosquitto,  # noqa: F811 - the fixture
    spool: Spool,  # noqa: F811 - the fixture
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("edge.lane_window.RESEND_S", (0.05, 0.05, 0.05))
    cloud = CloudStandIn()
    async with cloud_at(broker, cloud), running(uplink_to(broker, spool)):
        await spool.append([alarm(n) for n in range(40)], [])
        await emptied(spool)
        old, cloud.acks = spool.epoch(Lane.ALARM), False
        await spool.append([alarm(40)], [])
        await until(lambda: cloud.order.count((Lane.ALARM, 41)) > 3)
        await cloud.acknowledge(Lane.ALARM, old, 7)
        await until(lambda: spool.epoch(Lane.ALARM) > old)
        cloud.acks = True
        await emptied(spool)
    assert cloud.mark(Lane.ALARM) == 1


def test_only_a_cloud_that_answers_too_little_again_and_again_is_behind() -> None:
    window = LaneWindow.from_lowest(100)
    for attempt in range(len(RESEND_S)):
        assert not window.is_behind(50), attempt
        window.sent(100, 0.0)
        window.tick(1_000.0)
    assert window.is_behind(50)
    assert not window.is_behind(99)


async def test_all_that_is_kept_is_numbered_from_one_and_survives_a_restart(tmp_path: Path) -> None:
    clock = FakeClock()
    kept = Spool(tmp_path / "spool.db", limit_mb=16, clock=clock)
    birth = Birth(epoch=1, boot=1, at=1, software="t", model=5, devices=[], metrics=[])
    await kept.use_model(birth)
    facts: list[Alarm | Event] = [alarm(n) for n in range(9)]
    facts.append(Event(epoch=0, seq=0, event_id="e", device="d", kind="k", measured_at=1))
    await kept.append(facts, [(1, 1_790_000_000_000 + n, float(n), 0) for n in range(60)])
    while await kept.form(Lane.DATA):
        await kept.append(
            [], [(1, 1_790_000_001_000, 1.0, 0)] if kept.next_seq(Lane.DATA) < 9 else []
        )
    await kept.acknowledge(Lane.ALARM, 4)
    await kept.acknowledge(Lane.DATA, 3)
    left = len(await kept.outgoing(Lane.DATA, 1, 99))
    for lane in (Lane.ALARM, Lane.DATA):
        before = kept.epoch(lane)
        await kept.begin_epoch(lane)
        assert kept.epoch(lane) > before
    kept.close()
    kept = Spool(tmp_path / "spool.db", limit_mb=16, clock=clock)
    alarms = [decode_alarm(item) for _, item in await kept.outgoing(Lane.ALARM, 1, 99)]
    assert [(item.seq, item.alarm_id) for item in alarms] == [
        (n - 3, item.alarm_id) for n, item in enumerate(facts[:9]) if n > 3 and isinstance(item, Alarm)
    ]  # fmt: skip
    assert {item.epoch for item in alarms} == {kept.epoch(Lane.ALARM)}
    assert kept.next_seq(Lane.ALARM) == 6
    [(seq, event)] = await kept.outgoing(Lane.EVENT, 1, 99)
    assert (seq, decode_event(event).seq) == (1, 1)
    data = [decode_data(item) for _, item in await kept.outgoing(Lane.DATA, 1, 99)]
    assert [item.seq for item in data] == list(range(1, left + 1))
    assert {item.epoch for item in data} == {kept.epoch(Lane.DATA)}
    assert kept.next_seq(Lane.DATA) == left + 1
    kept.close()
