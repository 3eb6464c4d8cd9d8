"""Silence, broken links, edges that are gone, and what stands behind them."""

import random

import pytest

from tests.cloud.alerts.world import World

GAS = "gas_lel_pct"


def fill(world: World, count: int, *, gateway: str, kind: str = "gas") -> list[int]:
    world.town.add(gateway, "line")
    names = [f"{gateway}-{kind}-{n}" for n in range(count)]
    return [world.measure(world.town.add(name, kind, gateway=gateway), GAS) for name in names]


def test_a_silent_device_is_missed_after_three_periods_and_once(world: World) -> None:
    series = fill(world, 3, gateway="line-1")
    beating = dict.fromkeys(series[1:], 1.0)
    world.wait(58, beating)
    assert world.alerts() == []
    world.wait(60, beating)
    alert = world.only()
    assert (alert.rule, alert.device) == ("device.offline", "line-1-gas-0")
    world.wait(10, dict.fromkeys(series, 1.0))
    assert world.alerts() == []
    assert world.only("closed").closed_by == "system"


def test_a_bus_that_dies_is_one_alert(world: World) -> None:
    series = fill(world, 37, gateway="line-1")
    others = fill(world, 5, gateway="line-2")
    alive = dict.fromkeys(others, 1.0)
    world.wait(10, {**dict.fromkeys(series, 1.0), **alive})
    world.wait(120, alive)
    alert = world.only()
    assert (alert.rule, alert.device, len(alert.members)) == ("gateway.offline", "line-1", 37)
    held = [a for a in world.alerts(suppressed=True) if a.id != alert.id]
    assert len(held) == 37
    assert {(a.suppression, a.inhibited_by) for a in held} == {("inhibited", alert.id)}
    assert [entry.subject for entry in world.journal()] == [alert.id]


def test_a_bus_that_comes_back_leaves_nothing(world: World) -> None:
    series = fill(world, 37, gateway="line-1")
    others = dict.fromkeys(fill(world, 5, gateway="line-2"), 1.0)
    world.wait(120, others)
    world.wait(200, {**dict.fromkeys(series, 1.0), **others})
    assert world.alerts(suppressed=True) == []


def test_one_that_does_not_come_back_with_its_bus_is_missed_by_itself(world: World) -> None:
    series = fill(world, 10, gateway="line-1")
    others = dict.fromkeys(fill(world, 5, gateway="line-2"), 1.0)
    world.wait(120, others)
    world.wait(200, {**dict.fromkeys(series[1:], 1.0), **others})
    alert = world.only()
    assert (alert.device, alert.suppression) == ("line-1-gas-0", "none")


def test_an_edge_that_goes_is_one_alert_and_holds_its_gateways_and_devices(world: World) -> None:
    fill(world, 20, gateway="line-1")
    world.edge(online=False)
    world.wait(9)
    assert world.alerts() == []
    world.wait(120)
    alert = world.only()
    assert (alert.rule, alert.priority) == ("edge.offline", 2)
    world.edge(online=True)
    world.wait(8)
    assert world.alerts() == []


def test_links_of_all_detectors_broken_one_by_one_are_one_alert(world: World) -> None:
    world.town.add("uitd-1", "uitd")
    names = [world.town.add(f"smoke-{n}", "smoke", gateway="uitd-1") for n in range(25)]
    world.link("uitd-1", up=False)
    for name in names:
        world.clock.pass_s(0.1)
        world.link(name, up=False)
    world.wait(60)
    assert world.only().device == "uitd-1"
    for name in ["uitd-1", *names]:
        world.link(name, up=True)
    world.wait(10)
    assert world.alerts(suppressed=True) == []


def test_a_short_break_of_a_link_is_no_alert(world: World) -> None:
    world.town.add("smoke-1", "smoke")
    world.link("smoke-1", up=False)
    world.wait(20)
    world.link("smoke-1", up=True)
    world.wait(60)
    assert world.alerts("all") == []


@pytest.mark.parametrize("jump_s", [3_600, -3_600])
def test_a_clock_that_jumps_makes_nobody_missing(world: World, jump_s: int) -> None:
    beating = dict.fromkeys(fill(world, 5, gateway="line-1"), 1.0)
    world.wait(30, beating)
    world.clock.wall += jump_s * 1000
    world.wait(30, beating)
    world.clock.wall -= jump_s * 1000
    world.wait(30, beating)
    assert world.alerts("all") == []


def test_nobody_is_silent_while_the_worker_is_away_or_deaf(world: World) -> None:
    fill(world, 5, gateway="line-1")
    world.clock.pass_s(3_600)
    world.restart()
    world.wait(50)
    world.keeper.feed_deafness()
    world.wait(50)
    assert world.alerts("all") == []


def test_a_pending_break_survives_a_restart(world: World) -> None:
    world.town.add("smoke-1", "smoke")
    world.link("smoke-1", up=False)
    world.wait(20)
    world.restart()
    world.wait(11)
    assert world.only().device == "smoke-1"


def test_a_device_that_returns_in_any_order_never_leaves_a_stuck_alert(world: World) -> None:
    chance = random.Random(7)
    series = fill(world, 1, gateway="")[0]
    device = world.series[series].device
    for _ in range(250):
        steps = [
            lambda: world.link(device, up=False),
            lambda: world.keeper.tick(world.clock.wall),
            lambda: world.read(series, 1.0),
            lambda: world.keeper.tick(world.clock.wall),
        ]
        chance.shuffle(steps)
        world.clock.pass_s(chance.choice([1, 30, 59, 60, 61]))
        for step in steps:
            world.clock.pass_s(chance.choice([0, 0.001]))
            step()
        world.clock.pass_s(0.002)
        world.link(device, up=True)
        world.save()
    # It may have been taken for flapping, which is over ten quiet minutes later.
    world.wait(607, {series: 1.0})
    assert world.alerts() == []


def test_data_measured_before_a_break_does_not_end_it(world: World) -> None:
    series = fill(world, 1, gateway="")[0]
    device = world.series[series].device
    world.link(device, up=False)
    world.read(series, 1.0, age_s=2)
    world.wait(31)
    assert world.only().device == device


def test_what_stands_behind_a_gateway_that_returned_gets_time_to_speak(world: World) -> None:
    series = dict.fromkeys(fill(world, 4, gateway="line-1"), 1.0)
    others = dict.fromkeys(fill(world, 4, gateway="line-2"), 1.0)
    world.wait(5, {**series, **others})
    world.link("line-1", up=False)
    world.wait(50, others)
    assert world.only().device == "line-1"
    world.link("line-1", up=True)
    world.wait(25, others)
    assert world.alerts(suppressed=True) == []
    world.wait(90, {**series, **others})
    assert [alert.device for alert in world.alerts("all", suppressed=True)] == ["line-1"]
