from typing import Any

import pytest

from edge.clock import SystemClock
from edge.driver import DeviceAlarm, DeviceEvent, Reading
from edge.drivers.gb26875.driver import KIND
from edge.drivers.gb26875.frame import Frame, scan
from edge.drivers.gb26875.settings import Gb26875Settings
from edge.drivers.gb26875.tables import COMPONENT_BITS, SYSTEM_BITS, UITD_BITS
from edge.drivers.gb26875.unit import Unit
from tests.edge.drivers.driver_peers import MODELS, component_state, uitd_frame

NOW = bytes((5, 0, 9, 2, 7, 21))


def entry(*components: dict[str, Any], **more: Any) -> dict[str, Any]:
    first = {"id": "smoke-1", "zone": 1, "point": 1, "type": 40}
    units = [{"id": "uitd-1", "address": 1001, "components": [first, *components]}]
    return {"id": "listener-1", "kind": "gb26875", "units": units, **more}


def unit(*components: dict[str, Any]) -> Unit:
    settings = Gb26875Settings.model_validate(entry(*components))
    made = Unit(settings.units[0], settings, clock=SystemClock(), timezone="Asia/Shanghai")
    made.is_up = True
    return made


def say(to: Unit, app: bytes, *, command: int = 2, serial: int = 1) -> list[Any]:
    (frame,) = scan(uitd_frame(app, command=command, serial=serial)).found
    assert isinstance(frame, Frame)
    intake = to.take(frame)
    to.keep(intake)
    return intake.observations


def alarms(found: list[Any]) -> dict[str, bool]:
    return {item.kind: item.is_active for item in found if isinstance(item, DeviceAlarm)}


def test_every_bit_of_a_component_is_an_alarm_and_the_test_bit_holds_none_back() -> None:
    found = say(unit(), component_state(0x01FE))
    on = [item for item in found if isinstance(item, DeviceAlarm) and item.is_active]
    assert {item.kind for item in on} == set(COMPONENT_BITS.values())
    assert all(item.is_test and item.device_id == "smoke-1" for item in on)
    assert on[0].kind == "fire"
    assert on[0].raw.startswith(b"@@")
    assert on[0].detail["description"] == "厨房"


def test_the_first_look_tells_the_levels_and_then_only_changes_are_told() -> None:
    there = unit()
    assert alarms(say(there, component_state(1), command=5)) == {
        "fire": False,
        "fault": False,
        "shielded": False,
        "supervisory": False,
        "power_fault": False,
    }
    assert alarms(say(there, component_state(1), command=5)) == {}
    assert alarms(say(there, component_state(3), command=5)) == {"fire": True}
    assert alarms(say(there, component_state(3), command=5)) == {}
    assert alarms(say(there, component_state(1, second=9), serial=2)) == {"fire": False}


def test_a_fire_reported_afresh_is_told_again_but_a_resend_is_not() -> None:
    there = unit()
    assert alarms(say(there, component_state(3), serial=5))["fire"]
    assert say(there, component_state(3), serial=5) == []
    assert alarms(say(there, component_state(3, second=30), serial=6)) == {"fire": True}


def test_an_equal_object_still_raises_a_fire_that_was_off_meanwhile() -> None:
    there = unit()
    for _ in range(2):
        assert alarms(say(there, component_state(3, time=bytes(6)), serial=0))["fire"]
        assert alarms(say(there, component_state(1, time=bytes(6)), serial=0)) == {"fire": False}


@pytest.mark.parametrize(("kind", "alarm"), [(10, "gas"), (13, "gas"), (74, "gas"), (23, "fire")])
def test_the_fire_bit_of_a_gas_detector_is_gas(kind: int, alarm: str) -> None:
    assert alarms(say(unit(), component_state(3, kind=kind)))[alarm]


def test_an_unknown_component_raises_its_alarm_under_the_transmission_device() -> None:
    there = unit()
    found = say(there, component_state(3, zone=4, point=77))
    (fire,) = [item for item in found if isinstance(item, DeviceAlarm) and item.is_active]
    assert fire.device_id == "uitd-1"
    assert (fire.detail["zone"], fire.detail["point"]) == (4, 77)
    assert fire.detail["is_unknown"] is True
    # Off only when no unknown component is on any more.
    say(there, component_state(3, zone=4, point=78), serial=2)
    assert alarms(say(there, component_state(1, zone=4, point=77), serial=3)) == {}
    assert alarms(say(there, component_state(1, zone=4, point=78), serial=4)) == {"fire": False}


def test_a_dead_clock_gives_no_device_time_and_a_wrong_one_is_marked() -> None:
    dead = say(unit(), component_state(3, time=bytes(6)))[0]
    assert (dead.device_at, dead.detail["device_clock"]) == (None, "dead")
    wrong = say(unit(), component_state(3))[0]
    assert wrong.device_at == 1625187605000
    assert str(wrong.detail["device_clock"]).startswith("off by")


def test_a_report_that_was_held_back_is_marked_but_still_live() -> None:
    header = bytes((5, 0, 12, 2, 7, 21))
    (frame,) = scan(uitd_frame(component_state(3), time=header)).found
    assert isinstance(frame, Frame)
    fire = unit().take(frame).observations[0]
    assert (fire.detail["held_back_s"], fire.is_history) == (3 * 3600, False)


def test_states_of_systems_and_of_the_device_itself_become_alarms_readings_and_events() -> None:
    found = say(unit(), bytes((1, 1, 1, 1)) + (0x3FFF).to_bytes(2, "little") + NOW)
    moments = {"config_changed", "reset"}
    assert set(alarms(found)) == set(SYSTEM_BITS.values()) - moments
    events = [item for item in found if isinstance(item, DeviceEvent)]
    assert {item.detail["op"] for item in events} == moments
    assert any(isinstance(item, Reading) and item.metric == "system_state" for item in found)
    own = say(unit(), bytes((21, 1, 0x7F)) + NOW)
    assert alarms(own) == dict.fromkeys(UITD_BITS.values(), True)


def test_the_fire_button_of_the_panel_is_an_alarm_until_it_is_cancelled() -> None:
    there = unit()
    pressed = say(there, bytes((24, 1, 0b100, 1)) + NOW)
    assert alarms(pressed) == {"manual_call": True}
    assert alarms(say(there, bytes((24, 1, 0b1000, 1)) + NOW, serial=2)) == {"manual_call": False}


def test_what_is_pressed_is_an_operation_and_a_self_test_is_told_as_such() -> None:
    found = say(unit(), bytes((4, 1, 1, 1, 0b10010, 250)) + NOW)
    assert [item.kind for item in found] == ["operation", "self_test"]
    assert found[0].detail["op"] == "silence,self_test"


def analog(kind: int, raw: int) -> bytes:
    return bytes((3, 1, 1, 1, 92, 2, 0, 2, 0, kind)) + raw.to_bytes(2, "little") + NOW


def test_analog_values_follow_the_standard_or_the_devices_own_scale() -> None:
    tank = {"id": "tank-1", "zone": 2, "point": 2, "type": 92}
    own = {"type": 128, "metric": "pressure_kpa", "scale": 0.5, "high": 100}
    there = unit({**tank, "analogs": [{"type": 2}, own]})
    (level,) = say(there, analog(2, 345))
    assert (level.device_id, level.metric, level.value) == ("tank-1", "level_m", 3.45)
    (pressure,) = say(there, analog(128, 300))
    assert (pressure.value, int(pressure.quality)) == (150.0, 2)
    assert say(there, analog(3, 10)) == []


def test_versions_texts_and_user_types_are_no_facts() -> None:
    for app in (bytes((25, 1, 3, 4)), bytes((26, 1, 1, 65)), bytes((200, 1, 9)), b""):
        assert say(unit(), app) == []


def test_addresses_given_twice_are_told() -> None:
    settings = Gb26875Settings.model_validate(
        entry({"id": "smoke-1", "zone": 1, "point": 1}, {"id": "smoke-3", "zone": 1, "point": 2})
    )
    doubled = settings.model_copy(update={"units": settings.units * 2})
    assert [item.path[-1] for item in KIND.check(settings, MODELS)] == ["point", "id"]
    assert ("units", 1, "address") in {item.path for item in KIND.check(doubled, MODELS)}


@pytest.mark.parametrize(
    "analog_value",
    [{"type": 128}, {"type": 12}, {"type": 5, "metric": "level_m"}, {"type": 5, "metric": "x"}],
)
def test_an_analog_value_without_metric_or_scale_is_refused(analog_value: dict[str, Any]) -> None:
    component = {"id": "x", "zone": 1, "point": 9, "analogs": [analog_value]}
    with pytest.raises(ValueError, match=r"metric|scale"):
        Gb26875Settings.model_validate(entry(component))


def test_a_sum_is_told_apart_from_what_the_device_says_of_itself() -> None:
    there = unit()
    system = bytes((1, 1, 1, 1)) + (1 << 1 | 1 << 8 | 1).to_bytes(2, "little") + NOW
    on = {a.kind: a.detail.get("is_sum") for a in say(there, system) if getattr(a, "is_active", 0)}
    assert on == {"fire": True, "mains_fault": None}


def test_a_sum_that_ends_does_not_end_an_unknown_component() -> None:
    there = unit()
    system = bytes((1, 1, 1, 1)) + (3).to_bytes(2, "little") + NOW
    over = bytes((1, 1, 1, 1)) + (1).to_bytes(2, "little") + NOW
    say(there, system)
    say(there, component_state(3, zone=4, point=77), serial=2)
    found = [a for a in say(there, over, serial=3) if isinstance(a, DeviceAlarm)]
    assert [(a.kind, a.is_active, a.detail["is_sum"]) for a in found] == [("fire", False, True)]
    gone = say(there, component_state(1, zone=4, point=77), serial=4)
    assert [(a.kind, a.detail.get("is_sum")) for a in gone if isinstance(a, DeviceAlarm)] == [
        ("fire", None)
    ]
