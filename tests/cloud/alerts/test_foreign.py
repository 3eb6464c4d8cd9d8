"""An alarm of a device by the word of an edge node that does not own it: never lost, never taken for certain."""

from dataclasses import replace

from cloud.alerts.model import Handling, Verdict
from tests.cloud.alerts.world import EDGE, World


def smoke(world: World) -> str:
    return world.town.add("smoke-1", "smoke", place="b01/f01")


def test_it_is_raised_unconfirmed_and_says_who_told_it(world: World) -> None:
    world.alarm(smoke(world), reported_by="edge-2")
    alert = world.only()
    assert (alert.device, alert.priority, alert.quality) == ("smoke-1", 1, "unconfirmed")
    assert (alert.place, alert.announce) == ("b01/f01", True)
    assert "edge-2" in alert.title_en
    assert "edge-2" in alert.title_zh
    assert "does not own" in world.service.history(alert.id).lines[0].why


def test_it_never_moves_what_the_devices_own_edge_says(world: World) -> None:
    device = smoke(world)
    world.alarm(device)
    world.alarm(device, reported_by="edge-2")
    world.alarm(device, on=False, reported_by="edge-2")
    world.wait(70)
    world.restart()
    own, other = sorted(world.alerts(), key=lambda alert: alert.quality)
    assert (own.quality, own.cleared_at, own.count) == ("ok", None, 1)
    assert (other.quality, other.cleared_at is not None) == ("unconfirmed", True)


def test_strangers_confirm_no_fire(world: World) -> None:
    world.alarm(smoke(world))
    world.alarm(world.town.add("smoke-2", "smoke", place="b01/f02"), reported_by="edge-2")
    assert {alert.rule for alert in world.alerts()} == {"smoke.fire"}


def test_a_new_owner_goes_on_in_the_alert_it_began(world: World) -> None:
    device = smoke(world)
    world.alarm(device, reported_by="edge-2")
    world.town.devices[device] = replace(world.town.devices[device], edge="edge-2")
    world.alarm(device)
    alert = world.only()
    assert alert.count == 2
    world.alarm(device, on=False)
    world.wait(70)
    world.service.verify(alert.id, "Li", Verdict.FALSE_COOKING)
    world.service.close(alert.id, "Li")
    world.alarm(device)
    assert world.only().handling is Handling.NEW
    assert world.only().quality == "ok"


def test_its_kind_may_be_one_that_no_rule_names(world: World) -> None:
    world.alarm(smoke(world), "unreadable_alarm", reported_by=EDGE)
    assert world.only().rule == "device.unknown"
