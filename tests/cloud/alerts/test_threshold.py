"""Values beyond limits: levels, hysteresis, delays, unknown values, late and overtaken ones."""

import pytest

from tests.cloud.alerts.world import World

GAS = "gas_lel_pct"


@pytest.fixture
def gas(world: World) -> int:
    world.town.add("gas-1", "gas")
    return world.measure("gas-1", GAS)


def test_a_value_must_stay_beyond_the_limit_for_its_delay(world: World, gas: int) -> None:
    world.wait(9, {gas: 6.0})
    world.wait(5, {gas: 1.0})
    assert world.alerts() == []
    world.wait(12, {gas: 6.0})
    alert = world.only()
    assert (alert.priority, alert.limit, alert.unit, alert.title_en) == (2, 5.0, "%LEL", "Some gas")


def test_a_delay_ends_by_the_clock_without_another_reading(world: World, gas: int) -> None:
    world.read(gas, 7.0)
    world.wait(11)
    assert world.only().value == 7.0


def test_levels_step_up_and_down_inside_one_alert(world: World, gas: int) -> None:
    seen = []
    for value in (6.0, 25.0, 16.0, 10.0, 4.0, 2.0):
        world.wait(35, {gas: value})
        alert = world.alerts("all")[0]
        seen.append((alert.priority, alert.condition))
    assert seen == [
        (2, "active"), (1, "active"), (1, "active"), (2, "active"), (2, "active"), (2, "normal"),
    ]  # fmt: skip
    assert len(world.alerts("all")) == 1


def test_getting_worse_makes_an_acknowledged_alert_new_again(world: World, gas: int) -> None:
    world.wait(12, {gas: 6.0})
    world.service.acknowledge(world.only().id, "Li")
    world.wait(5, {gas: 30.0})
    alert = world.only()
    assert (alert.priority, alert.handling, alert.acknowledged_by) == (1, "new", None)


def test_a_limit_true_at_the_start_fires_once(world: World, gas: int) -> None:
    world.wait(20, {gas: 30.0})
    world.restart()
    world.wait(20, {gas: 30.0})
    assert len(world.alerts("all")) == 1


def test_an_unknown_value_neither_raises_nor_clears(world: World, gas: int) -> None:
    world.wait(5, {gas: 30.0})
    for _ in range(60):
        world.clock.pass_s(1)
        world.read(gas, None, quality=3)
        world.keeper.tick(world.clock.wall)
        world.save()
    kinds = {alert.rule: alert.condition for alert in world.alerts()}
    assert kinds == {"gas.lel": "active", "sensor.fault": "active"}
    world.wait(40, {gas: 1.0})
    kinds = {alert.rule: alert.condition for alert in world.alerts("all")}
    assert kinds == {"gas.lel": "normal", "sensor.fault": "normal"}


def test_a_stale_value_says_nothing(world: World, gas: int) -> None:
    world.read(gas, 50.0, quality=1)
    world.wait(20)
    assert world.alerts() == []


def test_a_value_beyond_the_range_of_its_sensor_still_counts(world: World, gas: int) -> None:
    world.read(gas, 120.0, quality=2)
    world.wait(5)
    assert world.only().priority == 1


def test_a_clock_that_cannot_be_trusted_does_not_make_a_reading_late(
    world: World, gas: int
) -> None:
    world.read(gas, 50.0, age_s=40_000, quality=4)
    world.wait(5)
    assert (world.only().quality, world.only().announce) == ("ok", True)


def test_an_overtaken_reading_within_the_lateness_raises_nothing(world: World, gas: int) -> None:
    world.read(gas, 1.0)
    world.read(gas, 50.0, age_s=30)
    world.wait(20)
    assert world.alerts() == []


def test_a_backlog_raises_only_an_alert_marked_late(world: World, gas: int) -> None:
    world.read(gas, 1.0)
    for age_s in range(3_600, 3_540, -2):
        world.read(gas, 50.0, age_s=age_s)
    alert = world.only()
    assert (alert.quality, alert.announce) == ("late", False)
    for age_s in range(3_540, 3_480, -2):
        world.read(gas, 1.0, age_s=age_s)
    assert world.only().condition == "normal"


def test_a_backlog_of_what_was_seen_live_raises_nothing_more(world: World, gas: int) -> None:
    world.wait(20, {gas: 30.0})
    world.wait(300, {gas: 30.0})
    for age_s in range(310, 250, -1):
        world.read(gas, 30.0, age_s=age_s)
    world.wait(20)
    assert len(world.alerts("all")) == 1


def test_readings_sent_again_change_nothing(world: World, gas: int) -> None:
    rows = []
    for n in range(30):
        world.clock.pass_s(1)
        rows.append((world.clock.wall, gas, 30.0 if n > 5 else 1.0, 0))
        world.keeper.feed_readings(rows[-1:], world.clock.wall)
        world.save()
    before = (world.alerts("all"), world.journal())
    world.keeper.feed_readings(rows, world.clock.wall)
    world.save()
    assert (world.alerts("all"), world.journal()) == before


def test_low_pressure_fires_below_its_limit_and_clears_above_its_own(world: World) -> None:
    world.town.add("pressure-1", "pressure")
    series = world.measure("pressure-1", "pressure_kpa")
    world.read(series, 100.0)
    assert world.alerts() == []
    world.clock.pass_s(1)
    world.read(series, 99.9)
    assert world.only().rule == "water.low"
    world.wait(20, {series: 130.0})
    assert world.only().condition == "active"
    world.wait(12, {series: 150.0})
    assert world.only().condition == "normal"


@pytest.mark.parametrize("jump_s", [3_600, -3_600])
def test_a_jump_of_the_clock_neither_fires_nor_delays_a_limit(
    world: World, gas: int, jump_s: int
) -> None:
    world.read(gas, 7.0)
    world.clock.wall += jump_s * 1000
    world.wait(5)
    assert world.alerts() == []
    world.wait(6)
    assert world.only().rule == "gas.lel"
