"""What drivers saw becomes what is kept: judged, numbered by alias, put on disk, and shown to the reflexes."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import isfinite
from typing import Final

import structlog

from contract.codec import RAW_LIMIT
from contract.ids import uuid7
from contract.messages import Alarm, Detail, DeviceBirth, Event, Lane, MetricBirth, Quality
from edge.baseline import Baseline
from edge.clock import Clock, ClockGuard
from edge.driver import DeviceAlarm, DeviceEvent, Observation, Reading
from edge.errors import SpoolFullError
from edge.spool import Spool
from edge.spool_readings import Row

log = structlog.get_logger()
NAME_LIMIT: Final = 64
DETAIL_KEYS: Final = 64
DETAIL_TEXT: Final = 2_000
PORTION: Final = 16
"""How many first "off"s may stand before a fire."""


@dataclass(frozen=True, slots=True)
class Inventory:
    """All devices and metrics of the configuration; `metrics` carry the aliases."""

    devices: Sequence[DeviceBirth]
    metrics: Sequence[MetricBirth]


class Intake:
    """The sink of all drivers."""

    def __init__(
        self,
        *,
        edge_id: str,
        inventory: Inventory,
        spool: Spool,
        clock: Clock,
        guard: ClockGuard,
        feed: Callable[[Reading], None],
        entropy: Callable[[], bytes],
    ) -> None:
        """Build.

        Args:
            edge_id: stands in for a device in the node's own events.
            inventory: what may report; a reading of anything else is refused and counted.
            spool: where all goes.
            clock: for the ids of alarms and events.
            guard: says whether the clock is to be believed.
            feed: shows a reading to the reflexes.
            entropy: gives 10 random bytes for an id.
        """
        self._edge_id = edge_id
        self._metrics = {(row.device, row.metric): row for row in inventory.metrics}
        self._devices = {device.id: device for device in inventory.devices}
        self._spool = spool
        self._clock = clock
        self._guard = guard
        self._feed = feed
        self._entropy = entropy
        self._links: dict[str, tuple[str, str]] = {}
        self._baseline = Baseline()
        self._told: set[tuple[str, str]] = set()
        self.refused: Counter[str] = Counter()
        self.accepted = 0

    async def deliver(self, observations: Sequence[Observation]) -> None:
        """Keep the observations; they are on disk when this returns (a first "off" waits, see `release`).

        Raises:
            SpoolFullError: an alarm or event could not be kept; do not acknowledge it to the device.
        """
        alarms = [item for item in observations if isinstance(item, DeviceAlarm)]
        urgent, later = self._baseline.sift(alarms)
        facts: list[Alarm | Event] = [self._alarm(alarm) for alarm in urgent]
        rows: list[Row] = []
        links: dict[str, tuple[str, str]] = {}
        jump = self._guard.look()
        if jump:
            log.warning("clock jumped", jump_ms=jump)
            detail: Detail = {"jump_ms": jump, "trusted": self._guard.is_trusted}
            facts.append(self._event(self.own_event("clock_jump", detail)))
        readings: list[Reading] = []
        for item in observations:
            match item:
                case Reading():
                    self._judge(item, rows, readings)
                case DeviceEvent() if self._is_news(item, links):
                    facts.append(self._event(item))
                case _:
                    continue
        # The valve must close even when the disk is full, so the reflexes look first.
        for reading in readings:
            self._feed(reading)
        try:
            await self._spool.append(facts, rows)
        except SpoolFullError:
            self.refused["spool_full"] += len(facts)
            raise
        self._baseline.accept(urgent, later)
        self.accepted += len(facts) + len(later) + len(rows)
        self._note_links(links)

    async def release(self) -> None:
        """Send up a portion of first "off"s while hardly an alarm is under way; called again and again."""
        under_way = self._spool.next_seq(Lane.ALARM) - await self._spool.lowest(Lane.ALARM)
        if not len(self._baseline) or under_way > PORTION // 2:
            return
        alarms = self._baseline.take(PORTION)
        try:
            await self._spool.append([self._alarm(alarm) for alarm in alarms], [])
        except SpoolFullError:
            self._baseline.give_back(alarms)

    def own_event(self, kind: str, detail: Detail) -> DeviceEvent:
        """Make an event of the node itself."""
        return DeviceEvent(self._edge_id, kind, self._clock.now_ms(), detail=detail)

    def _judge(self, reading: Reading, rows: list[Row], kept: list[Reading]) -> None:
        known = self._metrics.get((reading.device_id, reading.metric))
        if known is None:
            self._refuse("unknown_metric", reading.device_id, reading.metric)
            return
        value, quality = reading.value, reading.quality
        if value is not None and not isfinite(value):
            value = None
            self.refused["not_finite"] += 1
        if value is None:
            quality = Quality.SENSOR_FAULT
        elif quality is Quality.OK and (
            (known.low is not None and value < known.low)
            or (known.high is not None and value > known.high)
        ):
            quality = Quality.OUT_OF_RANGE
        if quality is Quality.OK and not self._guard.is_trusted:
            quality = Quality.CLOCK_UNTRUSTED
        rows.append((known.alias, max(0, reading.measured_at), value, int(quality)))
        kept.append(replace(reading, value=value, quality=quality))

    def _refuse(self, reason: str, device_id: str, name: str) -> None:
        self.refused[reason] += 1
        if (device_id, name) not in self._told and len(self._told) < 1_000:
            self._told.add((device_id, name))
            log.warning("reading refused", reason=reason, device_id=device_id[:64], name=name[:64])

    def _alarm(self, alarm: DeviceAlarm) -> Alarm:
        # An alarm is never refused: what the contract would not take is cut, so that it gets through.
        return Alarm(
            epoch=0,
            seq=0,
            alarm_id=uuid7(max(0, self._clock.now_ms()), self._entropy()),
            device=alarm.device_id[:NAME_LIMIT] or self._edge_id,
            kind=alarm.kind[:NAME_LIMIT] or "unknown",
            is_active=alarm.is_active,
            measured_at=max(0, alarm.measured_at),
            device_at=alarm.device_at,
            is_test=alarm.is_test,
            is_history=alarm.is_history,
            detail=_cut(alarm.detail),
            raw=bytes(alarm.raw[:RAW_LIMIT]),
        )

    def _event(self, event: DeviceEvent) -> Event:
        return Event(
            epoch=0,
            seq=0,
            event_id=uuid7(max(0, self._clock.now_ms()), self._entropy()),
            device=event.device_id[:NAME_LIMIT] or self._edge_id,
            kind=event.kind[:NAME_LIMIT] or "unknown",
            measured_at=max(0, event.measured_at),
            device_at=event.device_at,
            is_history=event.is_history,
            detail=_cut(event.detail),
        )

    def _is_news(self, event: DeviceEvent, links: dict[str, tuple[str, str]]) -> bool:
        """Let a device's link state through when it changed, once."""
        if event.kind not in {"link_up", "link_down"}:
            return True
        state = (event.kind, str(event.detail.get("reason", "")))
        before = links.get(event.device_id) or self._links.get(event.device_id)
        links[event.device_id] = state
        return state != before

    def _note_links(self, links: Mapping[str, tuple[str, str]]) -> None:
        for device_id, state in links.items():
            before = self._links.get(device_id, ("", ""))
            if len(self._links) < 100_000 or device_id in self._links:
                self._links[device_id] = state
            if state[0] == before[0]:
                continue
            if state[0] == "link_down":
                log.warning("device gone", device_id=device_id, reason=state[1])
            elif before[0]:
                log.info("device back", device_id=device_id)

    def liveness(self) -> dict[str, dict[str, int]]:
        """Count the configured devices and those that are there, by kind.

        What is behind a transmission device lives with it; a line lives with any of its units; the
        node itself always does.
        """
        counts: dict[str, dict[str, int]] = {}
        for device in self._devices.values():
            count = counts.setdefault(device.kind, {"total": 0, "live": 0})
            count["total"] += 1
            count["live"] += device.id == self._edge_id or self._is_live(device)
        return counts

    def _is_live(self, device: DeviceBirth) -> bool:
        own = self._links.get(device.id, ("", ""))[0]
        if own:
            return own == "link_up"
        if device.kind == "line":
            return any(
                self._links.get(other.id, ("", ""))[0] == "link_up"
                for other in self._devices.values()
                if other.gateway == device.id
            )
        gateway = self._devices.get(device.gateway)
        return gateway is not None and gateway.kind == "uitd" and self._is_live(gateway)


def _cut(detail: Detail) -> Detail:
    return {
        key[:NAME_LIMIT]: value[:DETAIL_TEXT] if isinstance(value, str) else value
        for key, value in list(detail.items())[:DETAIL_KEYS]
    }
