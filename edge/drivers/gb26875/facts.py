"""What the objects of a frame mean: alarms, events and readings of the configured devices.

An alarm bit always counts. Bit 0 tells whether the part is in normal or test mode; it is handed on as `is_test` and
never holds an alarm back: the makers' own worked example of a fire has it at "test".
"""

from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from contract.messages import Detail, Quality
from edge.driver import DeviceAlarm, DeviceEvent, Observation, Reading
from edge.drivers.gb26875.settings import (
    Address,
    AnalogValue,
    Component,
    UnitSettings,
    components_by_address,
)
from edge.drivers.gb26875.tables import (
    COMPONENT_BITS,
    FIRE_BIT,
    GAS_COMPONENTS,
    MOMENTS,
    NORMAL_BIT,
    SYSTEM_BITS,
    UITD_BITS,
)
from edge.levels import StagedLevels

CLOCK_LIMIT_MS: Final = 600_000
LEVELS_TOLD_FIRST: Final = frozenset(
    {"fire", "gas", "fault", "shielded", "supervisory", "power_fault", "mains_fault"}
    | {"battery_fault", "bus_fault", "link_fault", "line_fault"}
)
"""Kinds whose "off" is told at the first look after a start, since their alert may still be open."""

SUMMED: Final = frozenset({"gas", *COMPONENT_BITS.values()})
"""Kinds that a system says of its components, which say them too; the rest it says of itself."""

Fields = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Report:
    """The circumstances of one frame.

    `is_report` is true when the device sent it of its own accord, false when it answers our request. `is_resend` is
    true when the same object is on disk already: it may then still raise a level that has gone since, nothing else.
    `raw` is the frame as received, `sent_ms` what the device's clock said when it was sent, None when it is dead.
    """

    now_ms: int
    is_report: bool
    raw: bytes
    is_resend: bool = False
    sent_ms: int | None = None

    @property
    def is_news(self) -> bool:
        """Tell whether the device says it afresh."""
        return self.is_report and not self.is_resend


@dataclass(frozen=True, slots=True)
class _Place:
    """Whose fact it is: a configured device, and the source within it."""

    device_id: str
    source: Hashable
    detail: Detail


class FactReader:
    """Reads the objects of one unit."""

    def __init__(self, unit: UnitSettings) -> None:
        self._unit = unit
        self._components = components_by_address(unit)

    def read(
        self, type_flag: int, fields: Fields, report: Report, levels: StagedLevels
    ) -> Iterator[Observation]:
        """Give what one object means; objects that are no facts (versions, texts) give nothing."""
        if type_flag == 1:
            yield from self._system_state(fields, report, levels)
        elif type_flag == 2:
            yield from self._component_state(fields, report, levels)
        elif type_flag == 3:
            yield from self._analog(fields, report)
        elif type_flag == 21:
            place = _Place(self._unit.id, "uitd", {"scope": "uitd"})
            yield from _alarms(place, fields, UITD_BITS, report, levels)
            yield Reading(self._unit.id, "status_word", float(fields["state"]), report.now_ms)
        elif type_flag in {4, 24}:
            yield from self._operation(fields, report, levels)

    def component(self, fields: Fields) -> Component | None:
        """Find the configured component an object speaks of."""
        return self._components.get(_address(fields))

    def analog(self, component: Component, fields: Fields) -> AnalogValue | None:
        """Find what the configuration says about an analog value."""
        wanted = fields["analog_type"]
        return next((item for item in component.analogs if item.type == wanted), None)

    def _system_state(
        self, fields: Fields, report: Report, levels: StagedLevels
    ) -> Iterator[Observation]:
        source = ("system", fields["system_type"], fields["system_addr"])
        place = _Place(self._unit.id, source, {"scope": "system", **_system(fields)})
        yield from _alarms(place, fields, SYSTEM_BITS, report, levels)
        yield Reading(self._unit.id, "system_state", float(fields["state"]), report.now_ms)

    def _component_state(
        self, fields: Fields, report: Report, levels: StagedLevels
    ) -> Iterator[Observation]:
        component = self.component(fields)
        detail: Detail = {
            "scope": "component",
            **_system(fields),
            "component_type": fields["component_type"],
            "zone": fields["zone"],
            "point": fields["point"],
            "description": fields["description"],
        }
        if component is None:
            # Better an alarm of the whole building than a lost one: the address says the rest.
            place = _Place(self._unit.id, _address(fields), {**detail, "is_unknown": True})
            yield from _alarms(place, fields, COMPONENT_BITS, report, levels)
            return
        place = _Place(component.id, "component", detail)
        yield from _alarms(place, fields, COMPONENT_BITS, report, levels)
        yield Reading(component.id, "component_state", float(fields["state"]), report.now_ms)

    def _analog(self, fields: Fields, report: Report) -> Iterator[Observation]:
        component = self.component(fields)
        analog = None if component is None else self.analog(component, fields)
        if component is None or analog is None:
            return
        value = round(fields["raw"] * analog.factor(), 6)
        is_low = analog.low is not None and value < analog.low
        is_high = analog.high is not None and value > analog.high
        quality = Quality.OUT_OF_RANGE if is_low or is_high else Quality.OK
        yield Reading(component.id, analog.metric_name(), value, report.now_ms, quality)

    def _operation(
        self, fields: Fields, report: Report, levels: StagedLevels
    ) -> Iterator[Observation]:
        """Tell what somebody pressed; the button that reports a fire is an alarm of its own."""
        if not report.is_report:
            return
        unit_id, device_at = self._unit.id, fields["time_ms"]
        detail: Detail = {"operator": fields["operator"]}
        if "system_type" in fields:
            detail |= _system(fields)
        ops: list[str] = fields["op"]
        is_call = "manual_alarm" in ops
        is_over = not is_call and bool({"cancel", "reset"} & set(ops))
        if (is_call or is_over) and levels.change(
            unit_id,
            "manual_call",
            "panel",
            is_active=is_call,
            insists=report.is_news,
            tells_first_off=False,
        ):
            yield DeviceAlarm(
                unit_id,
                "manual_call",
                is_call,
                report.now_ms,
                device_at,
                detail=detail,
                raw=report.raw if is_call else b"",
            )
        if not report.is_news:
            return
        told = {**detail, "op": ",".join(ops)}
        yield DeviceEvent(unit_id, "operation", report.now_ms, device_at, detail=told)
        if {"self_test", "test"} & set(ops):
            yield DeviceEvent(unit_id, "self_test", report.now_ms, device_at, detail=told)


def _address(fields: Fields) -> Address:
    return fields["system_type"], fields["system_addr"], fields["component_addr"]


def _system(fields: Fields) -> Detail:
    return {"system": fields["system_type"], "system_address": fields["system_addr"]}


def _alarms(
    place: _Place,
    fields: Fields,
    bits: Mapping[int, str],
    report: Report,
    levels: StagedLevels,
) -> Iterator[Observation]:
    """Tell every alarm bit that must be told, fire first."""
    state: int = fields["state"]
    device_at: int | None = fields["time_ms"]
    detail = {**place.detail, "state": state, **_times(device_at, report)}
    is_test = not state >> NORMAL_BIT & 1
    for bit, name in sorted(bits.items()):
        is_on = bool(state >> bit & 1)
        if name in MOMENTS:
            if is_on and report.is_news:
                told = {**detail, "op": name}
                yield DeviceEvent(
                    place.device_id, "operation", report.now_ms, device_at, detail=told
                )
            continue
        kind = "gas" if bit == FIRE_BIT and _is_gas(fields) else name
        is_sum = _is_sum(place, kind)
        is_told = levels.change(
            f"{place.device_id} sum" if is_sum else place.device_id,
            kind,
            place.source,
            is_active=is_on,
            insists=report.is_news,
            tells_first_off=kind in LEVELS_TOLD_FIRST,
        )
        if is_told:
            yield DeviceAlarm(
                place.device_id,
                kind,
                is_on,
                report.now_ms,
                device_at,
                is_test=is_test,
                detail={**detail, "is_sum": True} if is_sum else detail,
                raw=report.raw if is_on else b"",
            )


def _is_sum(place: _Place, kind: str) -> bool:
    """Tell whether the bit repeats what a component says: one situation, which must not become two alerts."""
    scope = place.detail["scope"]
    return (scope == "system" and kind in SUMMED) or (scope == "uitd" and kind == "fire")


def _times(device_at: int | None, report: Report) -> Detail:
    """Say what is wrong with the device's time: a dead or wrong clock, or a report that was held back."""
    if device_at is None:
        return {"device_clock": "dead"}
    sent_ms = device_at if report.sent_ms is None else report.sent_ms
    found: Detail = {}
    if abs(sent_ms - report.now_ms) > CLOCK_LIMIT_MS:
        found["device_clock"] = f"off by {(sent_ms - report.now_ms) // 1000} s"
    if sent_ms - device_at > CLOCK_LIMIT_MS:
        found["held_back_s"] = (sent_ms - device_at) // 1000
    return found


def _is_gas(fields: Fields) -> bool:
    return fields.get("component_type") in GAS_COMPONENTS
