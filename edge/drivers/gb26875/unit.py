"""One transmission device as the listener knows it, across its connections: link, levels, what is kept, requests."""

import asyncio
from collections.abc import Iterator, Sequence
from typing import Any, Final

import structlog

from contract.messages import DeviceBirth
from edge.clock import Clock
from edge.driver import DeviceEvent, MetricSpec, Observation, Reading
from edge.drivers.gb26875.facts import FactReader, Report
from edge.drivers.gb26875.frame import Frame
from edge.drivers.gb26875.objects import App, decode_app
from edge.drivers.gb26875.resends import Key, Resends
from edge.drivers.gb26875.settings import Component, Gb26875Settings, UnitSettings, wall_time
from edge.drivers.gb26875.tables import ANSWER, SEND
from edge.levels import AlarmLevels, StagedLevels

log = structlog.get_logger(__name__)

BATCH: Final = 22
"""Component states that fit one answer: 22 times 46 bytes."""
MISSED_HEARTBEATS: Final = 3
OWN_CLOCK_FROM_MS: Final = 1_735_689_600_000
"""2025-01-01; a clock that says less was never set."""


class Intake:
    """What one frame brings, not yet on disk."""

    def __init__(self, levels: StagedLevels) -> None:
        self.observations: list[Observation] = []
        self.keys: list[Key] = []
        self.levels = levels
        self.app_error = ""
        self.is_link_up = False


class Unit:
    """State of one transmission device."""

    def __init__(
        self, settings: UnitSettings, listener: Gb26875Settings, *, clock: Clock, timezone: str
    ) -> None:
        self.settings = settings
        self.wall = wall_time(settings, timezone)
        self.is_up: bool | None = None
        self.heard_s = clock.monotonic_s()
        self.refresh_due_s = 0.0
        self.clock_due_s = 0.0
        self.wake = asyncio.Event()
        # Two connections of one device may overlap while one replaces the other; their frames count one by one.
        self.intake_lock = asyncio.Lock()
        self._listener = listener
        self._clock = clock
        self._facts = FactReader(settings)
        self._levels = AlarmLevels()
        self._resends = Resends()
        self._told: set[tuple[object, ...]] = set()

    @property
    def id(self) -> str:
        """Device id."""
        return self.settings.id

    @property
    def silence_limit_s(self) -> float:
        """Silence after which the device is gone: three heartbeats."""
        return MISSED_HEARTBEATS * self._listener.heartbeat_s

    def births(self) -> Iterator[DeviceBirth]:
        """Describe the device and everything behind it."""
        yield DeviceBirth(
            id=self.id,
            kind="uitd",
            model="gb26875-uitd",
            name=self.settings.name,
            place=self.settings.place,
            # A heartbeat proves the link and carries no value; the states come with every refresh.
            period_s=self._listener.refresh_s,
        )
        for component in self.settings.components:
            yield DeviceBirth(
                id=component.id,
                kind=component.device_kind(),
                model=f"gb26875-type-{component.type}",
                name=component.name,
                place=component.place,
                gateway=self.id,
                period_s=self._listener.refresh_s,
            )

    def metrics(self) -> Iterator[MetricSpec]:
        """Give what the device and everything behind it report."""
        yield MetricSpec(self.id, "system_state", resolution=1)
        yield MetricSpec(self.id, "status_word", resolution=1)
        for component in self.settings.components:
            yield MetricSpec(component.id, "component_state", resolution=1)
            for item in component.analogs:
                yield MetricSpec(
                    component.id, item.metric_name(), item.low, item.high, item.resolution
                )

    def batches(self) -> Iterator[Sequence[Component]]:
        """Give the components in the portions in which their states are asked for."""
        components = self.settings.components
        for start in range(0, len(components), BATCH):
            yield components[start : start + BATCH]

    def take(self, frame: Frame) -> Intake:
        """Read a frame; nothing counts until `keep` is called."""
        intake = Intake(self._levels.stage())
        now_ms, now_s = self._clock.now_ms(), self._clock.monotonic_s()
        if self.is_up is not True:
            intake.is_link_up = True
            intake.observations.append(self.link_event(is_up=True, reason="heard"))
        if frame.command not in {SEND, ANSWER}:
            return intake
        app = decode_app(frame.app, self.wall)
        if app.error:
            intake.app_error = app.error
        for fields, part in zip(app.objects, app.parts, strict=True):
            key = (frame.serial, app.type_flag or 0, part)
            is_report = frame.command == SEND
            is_resend = is_report and self._resends.is_known(key, fields, now_s)
            report = Report(now_ms, is_report, frame.raw, is_resend, self.wall.read_ms(frame.time))
            self._read_object(app, fields, report, intake)
            if is_report:
                intake.keys.append(key)
        return intake

    def _read_object(
        self, app: App, fields: dict[str, Any], report: Report, intake: Intake
    ) -> None:
        if app.type_flag is None:
            return
        self._tell_unknown(app.type_flag, fields)
        found = self._facts.read(app.type_flag, fields, report, intake.levels)
        intake.observations.extend(
            item for item in found if not (report.is_resend and isinstance(item, Reading))
        )

    def _tell_unknown(self, type_flag: int, fields: dict[str, Any]) -> None:
        """Log a component or analog value that is not configured, once each."""
        if type_flag not in {2, 3} or len(self._told) >= 1000:
            return
        component = self._facts.component(fields)
        analog = fields.get("analog_type")
        if component is not None and (
            analog is None or self._facts.analog(component, fields) is not None
        ):
            return
        key = (fields["system_type"], fields["system_addr"], fields["component_addr"], analog)
        if key in self._told:
            return
        self._told.add(key)
        log.warning(
            "component not configured",
            device_id=self.id,
            system=fields["system_type"],
            zone=fields["zone"],
            point=fields["point"],
            analog_type=analog,
        )

    def keep(self, intake: Intake) -> None:
        """Make a frame count, after everything it brought is on disk."""
        now_s = self._clock.monotonic_s()
        intake.levels.commit()
        self._resends.keep(intake.keys, now_s)
        if intake.is_link_up:
            if self.is_up is False:
                log.info("device is back", device_id=self.id)
            self.is_up = True
        self.heard_s = now_s

    def link_event(self, *, is_up: bool, reason: str) -> DeviceEvent:
        """Tell that the device is heard again, or no more."""
        kind = "link_up" if is_up else "link_down"
        return DeviceEvent(self.id, kind, self._clock.now_ms(), detail={"reason": reason})

    def clock_error_s(self, frame: Frame) -> float | None:
        """Give how far the device's clock is ahead of ours; None when it sends no date."""
        device_ms = self.wall.read_ms(frame.time)
        return None if device_ms is None else (device_ms - self._clock.now_ms()) / 1000

    def is_clock_wrong(self, frame: Frame) -> bool:
        """Tell whether the clock must be set now; then it is left alone for a while.

        Never while our own clock stands at its beginning: a box without a battery starts in 1970.
        """
        if self._clock.now_ms() < OWN_CLOCK_FROM_MS:
            return False
        error_s = self.clock_error_s(frame)
        is_wrong = error_s is None or abs(error_s) > self._listener.clock_tolerance_s
        now_s = self._clock.monotonic_s()
        if not is_wrong or now_s < self.clock_due_s:
            return False
        self.clock_due_s = now_s + self._listener.clock_pause_s
        return True
