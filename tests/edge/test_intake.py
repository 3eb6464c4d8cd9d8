"""What drivers deliver is judged, kept, and shown to the reflexes; nothing odd gets an alarm lost."""

import math
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import structlog

from contract.codec import decode_alarm, decode_data, decode_event
from contract.messages import Birth, DeviceBirth, Event, Lane, MetricBirth, Quality
from edge.clock import BUILD_MS, ClockGuard
from edge.disk_reserve import CHUNK_BYTES
from edge.driver import DeviceAlarm, DeviceEvent, Reading
from edge.errors import SpoolFullError
from edge.intake import PORTION, Intake, Inventory
from edge.spool import Spool
from tests.edge.clocks import FakeClock

DEVICES = [
    DeviceBirth(id="edge-1", kind="edge", model="e"),
    DeviceBirth(id="line-1", kind="line", model="l"),
    DeviceBirth(id="gas-1", kind="gas", model="m", gateway="line-1"),
    DeviceBirth(id="uitd-1", kind="uitd", model="u"),
    DeviceBirth(id="smoke-1", kind="smoke", model="s", gateway="uitd-1"),
]
METRICS = [MetricBirth(alias=4, device="gas-1", metric="gas_lel_pct", low=0, high=100)]


class Bench:
    def __init__(self, folder: Path) -> None:
        self.clock = FakeClock()
        self.seen: list[Reading] = []
        self.spool = Spool(folder / "spool.db", limit_mb=8, clock=self.clock)
        self.intake = Intake(
            edge_id="edge-1",
            inventory=Inventory(DEVICES, METRICS),
            spool=self.spool,
            clock=self.clock,
            guard=ClockGuard(self.clock),
            feed=self.seen.append,
            entropy=lambda: b"0123456789",
        )

    async def rows(self) -> list[tuple[int, int, float | None, int]]:
        message = await self.spool.form(Lane.DATA)
        return decode_data(message[1]).readings if message else []

    async def events(self) -> list[Event]:
        return [decode_event(item) for _, item in await self.spool.outgoing(Lane.EVENT, 1, 100)]


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    bench = Bench(tmp_path)
    birth = Birth(epoch=1, boot=1, at=1, software="t", model=5, devices=[], metrics=[])
    await bench.spool.use_model(birth)
    yield bench
    bench.spool.close()


def gas(value: float | None, quality: Quality = Quality.OK) -> Reading:
    return Reading("gas-1", "gas_lel_pct", value, 1_790_000_000_000, quality)


async def test_range_fault_and_nonsense_become_qualities(bench: Bench) -> None:
    values = [12.0, -1.0, 101.0, math.nan, math.inf, None]
    await bench.intake.deliver([gas(value) for value in values])
    kept = [(value, quality) for _, _, value, quality in await bench.rows()]
    fault = (None, Quality.SENSOR_FAULT)
    assert kept == [(12.0, 0), (-1.0, 2), (101.0, 2), fault, fault, fault]
    assert [reading.value for reading in bench.seen] == [12.0, -1.0, 101.0, None, None, None]
    assert bench.intake.refused == {"not_finite": 2}


async def test_an_unknown_metric_is_refused_counted_and_logged_once(bench: Bench) -> None:
    stranger = Reading("gas-1", "voltage_v", 1.0, 1)
    with structlog.testing.capture_logs() as logs:
        for _ in range(5):
            await bench.intake.deliver([stranger, gas(1.0)])
    assert bench.intake.refused == {"unknown_metric": 5}
    assert len(logs) == 1
    assert len(await bench.rows()) == 5


async def test_an_alarm_outside_the_contract_is_cut_never_refused(bench: Bench) -> None:
    await bench.intake.deliver(
        [
            DeviceAlarm(
                device_id="x" * 100,
                kind="",
                is_active=True,
                measured_at=-5,
                raw=b"r" * 9000,
                detail={"note": "n" * 500_000, **{f"k{i}": i for i in range(999)}},
            )
        ]
    )
    [(_, payload)] = await bench.spool.outgoing(Lane.ALARM, 1, 10)
    alarm = decode_alarm(payload)
    assert (len(alarm.device), alarm.kind, len(alarm.raw)) == (64, "unknown", 1500)


async def test_a_clock_that_jumps_is_told_once_and_marks_readings(bench: Bench) -> None:
    bench.clock.wall_ms += 3_600_000
    await bench.intake.deliver([gas(1.0)])
    await bench.intake.deliver([gas(None), gas(200.0)])
    assert [row[3] for row in await bench.rows()] == [4, 3, 2]
    [event] = await bench.events()
    assert (event.kind, event.device) == ("clock_jump", "edge-1")
    assert event.detail["jump_ms"] == 3_600_000


async def test_a_clock_from_before_the_build_marks_readings(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.clock.wall_ms = BUILD_MS - 1
    bench.intake._guard = ClockGuard(bench.clock)
    birth = Birth(epoch=1, boot=1, at=1, software="t", model=5, devices=[], metrics=[])
    await bench.spool.use_model(birth)
    await bench.intake.deliver([gas(1.0)])
    assert [row[3] for row in await bench.rows()] == [4]
    bench.spool.close()


async def test_gone_and_back_are_logged_and_kept_once(bench: Bench) -> None:
    def link(kind: str, reason: str = "") -> DeviceEvent:
        return DeviceEvent("gas-1", kind, 1, detail={"reason": reason})

    with structlog.testing.capture_logs() as logs:
        for kind in ("link_up", "link_down", "link_down", "link_down", "link_up", "link_up"):
            await bench.intake.deliver([link(kind, "silent" if kind == "link_down" else "")])
    assert [entry["event"] for entry in logs] == ["device gone", "device back"]
    kinds = [event.kind for event in await bench.events()]
    assert kinds == ["link_up", "link_down", "link_up"]


async def test_liveness_goes_through_the_transmission_device(bench: Bench) -> None:
    def live() -> dict[str, int]:
        return {kind: count["live"] for kind, count in bench.intake.liveness().items()}

    assert live() == {"edge": 1, "line": 0, "gas": 0, "uitd": 0, "smoke": 0}
    await bench.intake.deliver([DeviceEvent(name, "link_up", 1) for name in ("uitd-1", "gas-1")])
    assert live() == {"edge": 1, "line": 1, "gas": 1, "uitd": 1, "smoke": 1}
    await bench.intake.deliver([DeviceEvent("uitd-1", "link_down", 1)])
    assert live()["smoke"] == 0


async def test_on_a_full_disk_the_reflex_still_sees_and_the_device_is_not_answered(
    bench: Bench,
) -> None:
    for store in (bench.spool.facts, bench.spool.readings):
        store.database.grow = lambda step=CHUNK_BYTES: False  # type: ignore[method-assign]
    alarm = DeviceAlarm("smoke-1", "fire", is_active=True, measured_at=1, raw=b"x" * 1400)
    burst = [alarm] * 400

    async def fill() -> None:
        while True:
            await bench.intake.deliver([*burst, gas(50.0)])

    with pytest.raises(SpoolFullError):
        await fill()
    assert bench.intake.refused["spool_full"] == 400
    assert bench.seen[-1].value == 50.0
    kept = (await bench.spool.depth()).alarm
    assert kept % 400 == 0, "a delivery is kept whole or not at all"
    link = DeviceEvent("smoke-1", "link_down", 1, detail={"reason": "n" * 2000})
    with pytest.raises(SpoolFullError):
        await bench.intake.deliver([link, *burst])
    await bench.spool.acknowledge(Lane.ALARM, kept)
    await bench.intake.deliver([link])
    assert (await bench.events())[-1].kind == "link_down"


def smoke(number: int, *, is_on: bool) -> DeviceAlarm:
    return DeviceAlarm(f"smoke-{number}", "fire", is_on, 1_790_000_000_000)


async def alarms(bench: Bench) -> list[tuple[str, bool]]:
    found = [decode_alarm(item) for _, item in await bench.spool.outgoing(Lane.ALARM, 1, 9999)]
    return [(alarm.device, alarm.is_active) for alarm in found]


async def test_a_fire_stands_before_a_thousand_levels_told_for_the_first_time(bench: Bench) -> None:
    await bench.intake.deliver([smoke(number, is_on=False) for number in range(1_000)])
    await bench.intake.release()
    await bench.intake.deliver([smoke(500, is_on=True)])
    for _ in range(3):
        await bench.intake.release()
    told = await alarms(bench)
    assert told.index(("smoke-500", True)) <= PORTION
    assert len(told) <= 2 * PORTION, "what waits must not fill a lane that does not move"


async def test_every_first_off_is_told_once_the_lane_moves_and_none_after_its_on(
    bench: Bench,
) -> None:
    await bench.intake.deliver([smoke(number, is_on=False) for number in range(100)])
    await bench.intake.deliver([smoke(7, is_on=True), smoke(7, is_on=False), smoke(7, is_on=True)])
    told: list[tuple[str, bool]] = []
    for _ in range(20):
        await bench.intake.release()
        told += await alarms(bench)
        await bench.spool.acknowledge(Lane.ALARM, bench.spool.next_seq(Lane.ALARM) - 1)
    assert told[:3] == [("smoke-7", True), ("smoke-7", False), ("smoke-7", True)]
    assert sorted(told[3:]) == sorted((f"smoke-{n}", False) for n in range(100) if n != 7)


async def test_an_off_after_its_on_never_waits(bench: Bench) -> None:
    await bench.intake.deliver([smoke(1, is_on=True), smoke(1, is_on=False)])
    await bench.intake.deliver([smoke(2, is_on=True)])
    await bench.intake.deliver([smoke(2, is_on=False)])
    assert await alarms(bench) == [
        ("smoke-1", True), ("smoke-1", False), ("smoke-2", True), ("smoke-2", False),
    ]  # fmt: skip


async def test_a_first_off_waits_on_while_the_disk_is_full(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(_facts: object, _rows: object) -> None:
        raise SpoolFullError("full")

    await bench.intake.deliver([smoke(1, is_on=False)])
    with monkeypatch.context() as patch:
        patch.setattr(bench.spool, "append", full)
        await bench.intake.release()
    await bench.intake.release()
    assert await alarms(bench) == [("smoke-1", False)]
