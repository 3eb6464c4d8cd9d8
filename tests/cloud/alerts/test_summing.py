"""A panel tells a fire twice, as component and as system: one row on the list, and no fire without a row."""

import pytest

from cloud.alerts.model import Verdict
from tests.cloud.alerts.world import RULES, RUNBOOK, World, rules_of

GAS = f"""
  - {{id: gas.alarm, kind: device_alarm, title_zh: 燃气, title_en: Gas, priority: P1,
      alarms: [gas], clear_for_s: 60, latch: true, {RUNBOOK}}}
"""
SUM = {"is_sum": True}


@pytest.fixture
def house(world: World) -> World:
    world.rules = rules_of(RULES + GAS)
    world.restart()
    world.town.add("uitd-1", "uitd")
    world.town.add("smoke-1", "smoke", gateway="uitd-1")
    world.town.add("smoke-2", "smoke", gateway="uitd-1")
    world.town.add("gas-1", "gas", gateway="uitd-1")
    return world


def rows(world: World) -> list[str | None]:
    return [alert.device or alert.place for alert in world.alerts()]


@pytest.mark.parametrize("order", [("uitd-1", "smoke-1"), ("smoke-1", "uitd-1")])
def test_component_and_sum_are_one_row_and_confirm_nothing(
    house: World, order: tuple[str, str]
) -> None:
    for device in order:
        house.alarm(device, detail=SUM if device == "uitd-1" else {})
    alert = house.only()
    assert (alert.rule, alert.device) == ("smoke.fire", "smoke-1")
    assert [held.device for held in house.service.members(alert.id)] == ["uitd-1"]


def test_a_sum_alone_is_a_fire(house: World) -> None:
    house.alarm("uitd-1", detail=SUM)
    alert = house.only()
    assert (alert.device, alert.priority, alert.announce) == ("uitd-1", 1, True)


def test_an_unknown_component_of_the_panel_is_one_row_with_the_sum_and_outlasts_it(
    house: World,
) -> None:
    house.alarm("uitd-1", detail=SUM)
    house.alarm("uitd-1", detail={"is_unknown": True, "scope": "component"})
    house.alarm("uitd-1", on=False, detail=SUM)
    house.wait(120)
    alert = house.only()
    assert (alert.device, alert.cleared_at) == ("uitd-1", None)


def test_two_components_and_their_sum_are_one_confirmed_fire_that_closes_whole(
    house: World,
) -> None:
    house.alarm("smoke-1")
    house.alarm("uitd-1", detail=SUM)
    house.alarm("smoke-2")
    alert = house.only()
    assert (alert.rule, alert.members) == ("smoke.confirmed", ["smoke-1", "smoke-2"])
    house.clock.pass_s(1)
    house.service.close(alert.id, "Li", Verdict.DRILL)
    assert house.alerts(suppressed=True) == []


def test_a_sum_that_outlasts_its_component_is_shown(house: World) -> None:
    house.alarm("smoke-1")
    house.alarm("uitd-1", detail=SUM)
    house.alarm("smoke-1", on=False)
    house.wait(80)
    assert rows(house) == ["smoke-1"]
    house.restart()
    house.wait(30)
    assert sorted(map(str, rows(house))) == ["smoke-1", "uitd-1"]


def test_a_sum_that_goes_with_its_component_is_never_shown(house: World) -> None:
    house.alarm("uitd-1", detail=SUM)
    house.alarm("smoke-1")
    house.restart()
    house.alarm("smoke-1", on=False)
    house.clock.pass_s(5)
    house.alarm("uitd-1", on=False, detail=SUM)
    house.wait(200)
    assert rows(house) == ["smoke-1"]
    house.service.close(house.only().id, "Li", Verdict.FALSE_COOKING)
    assert house.alerts(suppressed=True) == []


def test_what_is_told_again_after_closing_is_one_row_again(house: World) -> None:
    house.alarm("uitd-1", detail=SUM)
    house.alarm("smoke-1")
    house.clock.pass_s(1)
    house.service.close(house.only().id, "Li", Verdict.FALSE_COOKING)
    house.clock.pass_s(10)
    house.alarm("uitd-1", detail=SUM)
    house.alarm("smoke-1")
    assert rows(house) == ["smoke-1"]


def test_gas_explains_the_one_danger_bit_of_the_panel(house: World) -> None:
    house.alarm("gas-1", "gas")
    house.alarm("uitd-1", detail=SUM)
    assert rows(house) == ["gas-1"]


def test_what_was_cached_explains_no_fire_of_now(house: World) -> None:
    house.alarm("smoke-1", is_history=True)
    house.alarm("uitd-1", detail=SUM)
    assert "uitd-1" in rows(house)
