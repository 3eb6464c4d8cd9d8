"""Several detectors of one place: a confirmed fire is one row, whatever the number of its detectors."""

from cloud.alerts.model import Verdict
from tests.cloud.alerts.world import World


def smoke(world: World, name: str, place: str) -> str:
    return world.town.add(name, "smoke", place=place)


def test_two_detectors_of_a_building_are_a_confirmed_fire(world: World) -> None:
    world.alarm(smoke(world, "smoke-1", "b01/f01"))
    world.wait(100)
    world.alarm(smoke(world, "smoke-2", "b01/f03"))
    alert = world.only()
    assert (alert.rule, alert.place, alert.place_name_en) == ("smoke.confirmed", "b01", "One")
    assert alert.members == ["smoke-1", "smoke-2"]
    held = world.service.members(alert.id)
    assert {(a.device, a.suppression) for a in held} == {
        ("smoke-1", "inhibited"), ("smoke-2", "inhibited"),
    }  # fmt: skip


def test_two_buildings_or_one_detector_twice_confirm_nothing(world: World) -> None:
    world.alarm(smoke(world, "smoke-1", "b01/f01"))
    world.alarm("smoke-1")
    world.alarm(smoke(world, "smoke-2", "b02/f01"))
    world.alarm(smoke(world, "smoke-3", ""))
    assert {alert.rule for alert in world.alerts()} == {"smoke.fire"}


def test_detectors_too_far_apart_in_time_confirm_nothing(world: World) -> None:
    smoke(world, "smoke-1", "b01/f01")
    world.alarm("smoke-1")
    world.alarm("smoke-1", on=False)
    world.wait(200)
    world.alarm(smoke(world, "smoke-2", "b01/f02"))
    assert {alert.rule for alert in world.alerts()} == {"smoke.fire"}


def test_one_that_still_alarms_counts_however_long(world: World) -> None:
    world.alarm(smoke(world, "smoke-1", "b01/f01"))
    world.wait(400)
    world.alarm(smoke(world, "smoke-2", "b01/f02"))
    assert world.only().rule == "smoke.confirmed"


def test_cached_alarms_confirm_nothing(world: World) -> None:
    world.alarm(smoke(world, "smoke-1", "b01/f01"), is_history=True)
    world.alarm(smoke(world, "smoke-2", "b01/f02"))
    assert {alert.rule for alert in world.alerts()} == {"smoke.fire"}


def test_two_hundred_detectors_are_one_row(world: World) -> None:
    for n in range(200):
        world.clock.pass_s(0.05)
        world.is_batching = n % 10 != 9
        world.alarm(smoke(world, f"smoke-{n}", f"b01/f{n % 9:02d}"))
    alert = world.only()
    assert (alert.rule, len(alert.members)) == ("smoke.confirmed", 200)
    assert len(world.alerts(suppressed=True)) == 201
    told = [entry.subject for entry in world.journal()]
    assert set(told) == {alert.id}
    assert len(told) <= 20


def test_closing_the_confirmed_fire_closes_what_it_holds(world: World) -> None:
    for n in range(3):
        world.alarm(smoke(world, f"smoke-{n}", "b01/f01"))
    alert = world.only()
    world.clock.pass_s(1)
    world.service.close(alert.id, "Li", Verdict.DRILL)
    assert world.alerts(suppressed=True) == []
    closed = world.alerts("closed", suppressed=True)
    assert {(a.verdict, a.closed_by) for a in closed} == {("drill", "Li")}


def test_a_fire_after_a_closed_drill_is_a_new_alert(world: World) -> None:
    for n in range(2):
        world.alarm(smoke(world, f"smoke-{n}", "b01/f01"))
    world.clock.pass_s(1)
    drill = world.only()
    world.service.close(drill.id, "Li", Verdict.DRILL)
    world.clock.pass_s(1)
    world.alarm(smoke(world, "smoke-9", "b01/f05"))
    alert = world.only()
    assert (alert.rule, alert.id != drill.id) == ("smoke.confirmed", True)


def test_a_confirmed_fire_is_over_when_all_are_and_waits_for_a_person(world: World) -> None:
    for n in range(2):
        world.alarm(smoke(world, f"smoke-{n}", "b01/f01"))
    for n in range(2):
        world.alarm(f"smoke-{n}", on=False)
    world.wait(130)
    alert = world.only()
    assert alert.cleared_at is not None
    assert world.service.close(alert.id, "Li", Verdict.REAL_FIRE).handling == "closed"
