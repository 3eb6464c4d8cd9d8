"""Alarms that devices tell themselves: fires, faults, and what nobody described."""

import pytest

from cloud.alerts.model import Verdict
from cloud.errors import ConflictError, InvalidError
from tests.cloud.alerts.world import World


def test_a_fire_is_one_alert_at_once(world: World) -> None:
    world.town.add("smoke-1", "smoke")
    world.alarm("smoke-1")
    alert = world.only()
    assert (alert.rule, alert.priority, alert.condition, alert.handling) == (
        "smoke.fire", 1, "active", "new",
    )  # fmt: skip
    assert alert.announce
    assert (alert.device_name, alert.place, alert.x) == ("name of smoke-1", "b01/f01", 3.0)


def test_the_same_alarm_sent_again_changes_nothing(world: World) -> None:
    world.town.add("smoke-1", "smoke")
    fact = world.alarm("smoke-1")
    before = (world.alerts("all"), world.journal())
    for _ in range(3):
        world.keeper.feed_alarm(fact)
        world.save()
    world.restart()
    world.keeper.feed_alarm(fact)
    world.save()
    assert (world.alerts("all"), world.journal()) == before


def test_another_alarm_of_the_same_device_raises_the_count(world: World) -> None:
    world.town.add("smoke-1", "smoke")
    world.alarm("smoke-1")
    world.wait(5)
    world.alarm("smoke-1")
    assert world.only().count == 2


def test_a_fire_stays_active_until_it_is_verified(world: World) -> None:
    world.town.add("smoke-1", "smoke")
    world.alarm("smoke-1")
    world.alarm("smoke-1", on=False)
    world.wait(70)
    alert = world.only()
    assert (alert.condition, alert.cleared_at is not None) == ("active", True)
    verified = world.service.verify(alert.id, "Li", Verdict.FALSE_COOKING)
    assert (verified.condition, verified.handling) == ("normal", "verified")
    assert world.service.close(alert.id, "Li").handling == "closed"
    assert world.alerts() == []


def test_a_burning_fire_cannot_be_closed_as_real_but_as_false(world: World) -> None:
    world.town.add("smoke-1", "smoke")
    world.alarm("smoke-1")
    alert = world.only()
    with pytest.raises(InvalidError, match="verdict"):
        world.service.close(alert.id, "Li")
    with pytest.raises(ConflictError, match="still alarms"):
        world.service.close(alert.id, "Li", Verdict.REAL_FIRE)
    assert world.service.close(alert.id, "Li", Verdict.FALSE_SMOKING).handling == "closed"


def test_a_detector_that_alarms_anew_after_a_false_verdict_is_heard(world: World) -> None:
    world.town.add("smoke-1", "smoke")
    world.alarm("smoke-1")
    first = world.only()
    world.clock.pass_s(1)
    world.service.close(first.id, "Li", Verdict.FALSE_SMOKING)
    world.clock.pass_s(1)
    world.alarm("smoke-1")
    assert world.only().id != first.id


def test_an_alarm_of_an_unknown_kind_from_an_unknown_device_is_raised(world: World) -> None:
    world.alarm("nobody-7", "weird")
    world.alarm("nobody-7", "odd")
    titles = {alert.title_en for alert in world.alerts()}
    assert titles == {"Unknown weird", "Unknown odd"}
    assert {alert.device for alert in world.alerts()} == {"nobody-7"}


def test_a_fire_of_an_unregistered_device_is_a_fire(world: World) -> None:
    world.alarm("nobody-7", "fire")
    assert world.only().rule == "smoke.fire"


def test_the_alarm_bit_beats_the_test_bit(world: World) -> None:
    world.town.add("smoke-1", "smoke")
    world.alarm("smoke-1", is_test=True)
    assert (world.only().is_test, world.only().announce) == (True, True)
    world.alarm("smoke-1")
    assert world.only().is_test is False


def test_a_cached_alarm_is_stored_but_never_pages_as_live(world: World) -> None:
    world.town.add("smoke-1", "smoke")
    world.alarm("smoke-1", is_history=True, age_s=3600)
    alert = world.only()
    assert (alert.quality, alert.announce) == ("late", False)
    world.alarm("smoke-1")
    alert = world.only()
    assert (alert.quality, alert.announce, alert.count) == ("ok", True, 2)


def test_a_cached_end_does_not_end_what_began_later(world: World) -> None:
    world.town.add("smoke-1", "smoke")
    world.alarm("smoke-1")
    world.alarm("smoke-1", on=False, is_history=True, age_s=600)
    world.wait(70)
    assert world.only().cleared_at is None


@pytest.mark.parametrize(("age_s", "announced"), [(10, True), (3_600, True), (7_300, False)])
def test_a_late_fire_is_announced_for_two_hours(world: World, age_s: int, announced: bool) -> None:
    world.town.add("smoke-1", "smoke")
    world.alarm("smoke-1", age_s=age_s)
    alert = world.only()
    assert alert.quality == ("ok" if age_s < 120 else "late")
    assert alert.announce is announced


def test_one_fault_alert_while_any_of_its_bits_is_set(world: World) -> None:
    world.town.add("smoke-1", "smoke")
    world.alarm("smoke-1", "fault")
    world.alarm("smoke-1", "low_battery")
    world.alarm("smoke-1", "fault", on=False)
    world.wait(10)
    assert world.only().condition == "active"
    world.alarm("smoke-1", "low_battery", on=False)
    world.wait(10)
    assert world.alerts() == []
    assert world.only("closed").closed_by == "system"


def test_a_contact_that_chatters_is_one_alert_marked_flapping(world: World) -> None:
    world.town.add("smoke-1", "smoke")
    for n in range(40):
        world.clock.pass_s(0.1)
        world.alarm("smoke-1", "fault", on=n % 2 == 0)
    alert = world.only()
    assert (alert.quality, alert.condition) == ("flapping", "active")
    entries = len(world.journal())
    for n in range(40):
        world.clock.pass_s(0.1)
        world.alarm("smoke-1", "fault", on=n % 2 == 0)
    assert world.only().id == alert.id
    assert len(world.journal()) <= entries + 20
    world.wait(620)
    assert world.alerts() == []


def test_a_fault_that_comes_back_soon_opens_the_same_alert_a_fire_another(world: World) -> None:
    for kind in ("fault", "fire"):
        world.town.add(kind, "smoke")
        world.alarm(kind, kind)
        world.alarm(kind, kind, on=False)
        world.wait(70)
    world.service.close(world.only().id, "Li", Verdict.FALSE_COOKING)
    ids = {alert.device: alert.id for alert in world.alerts("closed")}
    world.clock.pass_s(1)
    world.alarm("fault", "fault")
    world.alarm("fire", "fire")
    again = {alert.device: alert.id for alert in world.alerts()}
    assert again["fault"] == ids["fault"]
    assert again["fire"] != ids["fire"]


def test_a_flapping_fire_closed_as_a_fault_is_heard_when_it_speaks_again(world: World) -> None:
    world.town.add("smoke-1", "smoke")
    for n in range(13):
        world.clock.pass_s(0.1)
        world.alarm("smoke-1", on=n % 2 == 0)
    first = world.only()
    assert first.quality == "flapping"
    world.alarm("smoke-1", on=False)
    world.clock.pass_s(20)
    world.service.close(first.id, "Li", Verdict.DEVICE_FAULT)
    world.clock.pass_s(20)
    world.alarm("smoke-1")
    assert (world.only().id != first.id, world.only().quality) == (True, "flapping")
