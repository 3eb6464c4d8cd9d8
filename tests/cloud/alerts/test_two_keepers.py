"""Two workers with half of the shards each, on one database: each condition has one owner, wherever it moves."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from cloud.alerts.keeper import AlertKeeper
from cloud.alerts.model import AlarmFact, PlainDevice
from cloud.alerts.ownership import Ownership
from contract.topics import shard_of
from tests.cloud.alerts.world import Key, World

LOW = next(f"edge-{n}" for n in range(100) if shard_of(f"edge-{n}") < 32)
HIGH = next(f"edge-{n}" for n in range(100) if shard_of(f"edge-{n}") >= 32)


class Registry:
    """The town as the cloud's registry knows it."""

    def __init__(self, world: World) -> None:
        self._town = world.town

    def device(self, device_id: str) -> PlainDevice | None:
        return self._town.device(device_id)

    def first_edge(self, place: str) -> str:
        devices = self._town.devices.values()
        edges = {
            d.edge for d in devices if d.place.split("/")[0] == place.split("/", maxsplit=1)[0]
        }
        return min(edges, default="")


class Pair:
    """Two keepers; `low` owns shards 0 to 31."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.low, self.high = self.keeper(0, 31), self.keeper(32, 63)
        self._count = 0

    def keeper(self, first: int, last: int) -> AlertKeeper:
        world = self.world
        keeper = AlertKeeper(
            database=world.database,
            rules=world.rules,
            directory=world.town,
            clock=world.clock,
            ownership=Ownership(Registry(world), first, last),
        )
        keeper.load()
        return keeper

    def add(self, device: str, edge: str, place: str = "b01/f01", kind: str = "smoke") -> None:
        self.world.town.add(device, kind, place=place)
        self.world.town.devices[device] = replace(self.world.town.devices[device], edge=edge)

    def alarm(self, keeper: AlertKeeper, device: str, *, on: bool = True) -> None:
        self._count += 1
        at = self.world.clock.wall
        keeper.feed_alarm(AlarmFact(device, "fire", on, at, at, f"p{self._count}"))
        self.save(keeper)

    def save(self, keeper: AlertKeeper) -> None:
        if keeper.has_changes:
            with self.world.database.write() as connection:
                keeper.save(connection, self.world.clock.wall)

    def wait(self, seconds: int) -> None:
        for _ in range(seconds):
            self.world.clock.pass_s(1)
            for keeper in (self.low, self.high):
                keeper.tick(self.world.clock.wall)
                self.save(keeper)

    def subjects(self, keeper: AlertKeeper) -> set[str]:
        return {c.subject for c in keeper._engine.register.conditions.values() if c.level}


@pytest.fixture
def pair(any_world: World) -> Iterator[Pair]:
    return Pair(any_world)


def test_each_takes_up_only_what_is_its_own(pair: Pair) -> None:
    pair.add("smoke-low", LOW)
    pair.add("smoke-high", HIGH, "b02/f01")
    pair.alarm(pair.low, "smoke-low")
    pair.alarm(pair.high, "smoke-high")
    pair.alarm(pair.high, "nobody-knows-it")
    low, high = pair.keeper(0, 31), pair.keeper(32, 63)
    assert pair.subjects(low) == {"smoke-low"}
    assert pair.subjects(high) == {"smoke-high", "nobody-knows-it"}
    assert pair.subjects(pair.keeper(0, 63)) == pair.subjects(low) | pair.subjects(high)


def test_what_time_does_is_done_once(pair: Pair) -> None:
    pair.add("smoke-low", LOW)
    pair.alarm(pair.low, "smoke-low")
    pair.world.service.acknowledge(pair.world.only().id, "Li")
    pair.low, pair.high = pair.keeper(0, 31), pair.keeper(32, 63)
    pair.alarm(pair.low, "smoke-low", on=False)
    pair.wait(301)
    alert = pair.world.only()
    lines = [line.what for line in pair.world.service.history(alert.id).lines]
    assert [lines.count(what) for what in ("cleared", "lapsed")] == [1, 1]


def test_a_device_that_moves_takes_its_alert_along(pair: Pair) -> None:
    pair.add("smoke-1", LOW)
    pair.alarm(pair.low, "smoke-1")
    pair.add("smoke-1", HIGH)
    for keeper in (pair.low, pair.high):
        keeper.watch({})
    assert (pair.subjects(pair.low), pair.subjects(pair.high)) == (set(), {"smoke-1"})
    pair.alarm(pair.high, "smoke-1", on=False)
    pair.wait(70)
    assert pair.world.only().cleared_at is not None
    assert pair.world.only().count == 1


def test_a_building_behind_two_workers_is_one_confirmed_fire(pair: Pair) -> None:
    pair.add("smoke-low", LOW)
    pair.add("smoke-high", HIGH, "b01/f02")
    pair.alarm(pair.low, "smoke-low")
    pair.alarm(pair.high, "smoke-high")
    pair.wait(2)
    (confirmed,) = [a for a in pair.world.alerts() if a.rule == "smoke.confirmed"]
    assert set(confirmed.members) == {"smoke-low", "smoke-high"}
    pair.low, pair.high = pair.keeper(0, 31), pair.keeper(32, 63)
    pair.alarm(pair.low, "smoke-low", on=False)
    pair.alarm(pair.high, "smoke-high", on=False)
    pair.wait(140)
    (confirmed,) = [a for a in pair.world.alerts() if a.rule == "smoke.confirmed"]
    assert confirmed.cleared_at is not None


def test_silence_is_judged_by_the_owner_alone(pair: Pair) -> None:
    pair.add("gas-low", LOW, kind="gas")
    pair.add("gas-high", HIGH, kind="gas")
    series = {1: Key("gas-low", "gas_lel_pct"), 2: Key("gas-high", "gas_lel_pct")}
    for keeper in (pair.low, pair.high):
        keeper.watch(series)
    for _ in range(100):
        pair.world.clock.pass_s(1)
        pair.low.feed_readings([(pair.world.clock.wall, 1, 1.0, 0)], pair.world.clock.wall)
        for keeper in (pair.low, pair.high):
            keeper.tick(pair.world.clock.wall)
            pair.save(keeper)
    assert [(a.rule, a.device) for a in pair.world.alerts()] == [("device.offline", "gas-high")]
