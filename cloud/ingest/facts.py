"""Messages of edges to facts for rules, with everything put right that would hurt further on. Pure.

An alarm with an impossible time is still an alarm: it is raised with the time of its arrival and marked.
"""

import math
import re
from collections import Counter
from dataclasses import replace
from typing import Final

from cloud.alerts.model import AlarmFact, EventFact
from cloud.ingest.lanes import COUNT_LIMIT
from cloud.ingest.model import NEWEST_MS, OLDEST_MS
from contract.ids import NAME_LIMIT, is_name
from contract.messages import Alarm, Birth, Detail, Event

DEVICES_LIMIT: Final = 20_000
METRICS_LIMIT: Final = 200_000
PERIOD_LIMIT_S: Final = 31 * 86_400
DETAIL_LIMIT: Final = 64
TEXT_LIMIT: Final = 1_000
_METRIC: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")
UNTRUSTED: Final = "time_untrusted"
UNREADABLE: Final = "unreadable_alarm"
UNREADABLE_EVERY_MS: Final = 60_000
SENDERS_KEPT: Final = 10_000


def is_possible(at: int, now: int) -> bool:
    """Tell whether a time (Unix ms) can be meant: within the last 400 days and the next two hours."""
    return now - OLDEST_MS <= at <= now + NEWEST_MS


def alarm_fact(alarm: Alarm, received_at: int) -> AlarmFact:
    """Give the fact of an alarm."""
    detail = _detail(alarm.detail)
    measured_at = alarm.measured_at
    if not is_possible(measured_at, received_at):
        detail[UNTRUSTED] = True
        measured_at = received_at
    return AlarmFact(
        device=_clean(alarm.device)[:NAME_LIMIT],
        kind=_clean(alarm.kind)[:NAME_LIMIT],
        is_active=alarm.is_active,
        measured_at=measured_at,
        received_at=received_at,
        alarm_id=_clean(alarm.alarm_id)[:64],
        device_at=_small(alarm.device_at),
        is_test=alarm.is_test,
        is_history=alarm.is_history,
        detail=detail,
    )


def event_fact(event: Event, received_at: int) -> EventFact:
    """Give the fact of an event."""
    detail = _detail(event.detail)
    measured_at = event.measured_at
    if not is_possible(measured_at, received_at):
        detail[UNTRUSTED] = True
        measured_at = received_at
    return EventFact(
        device=_clean(event.device)[:NAME_LIMIT],
        kind=_clean(event.kind)[:NAME_LIMIT],
        measured_at=measured_at,
        received_at=received_at,
        event_id=_clean(event.event_id)[:64],
        is_history=event.is_history,
        detail=detail,
    )


def reported(fact: AlarmFact, edge: str) -> AlarmFact:
    """Mark an alarm of a device that belongs to another edge than the one that sent it."""
    return replace(fact, reported_by=edge, detail={**fact.detail, "reported_by": edge})


def unreadable(subject: str, at: int) -> AlarmFact:
    """Give the fact that an alarm came which nobody could read, so that a person asks what it was; `at` Unix ms."""
    return AlarmFact(subject, UNREADABLE, is_active=True, measured_at=at, received_at=at)


class UnreadableAlarms:
    """Says it at most once a minute for each edge: such a message is sent again for ever."""

    def __init__(self) -> None:
        self._told: dict[str, int] = {}

    def fact(self, edge: str, at: int) -> AlarmFact | None:
        """Give the fact to raise at `at` (Unix ms), None when it was given just now."""
        if 0 <= at - self._told.get(edge, -UNREADABLE_EVERY_MS) < UNREADABLE_EVERY_MS:
            return None
        if len(self._told) >= SENDERS_KEPT:
            self._told.clear()
        self._told[edge] = at
        return unreadable(edge, at)


def _detail(detail: Detail) -> Detail:
    """Bound a detail to what a JSON column and a screen can carry."""
    clean: Detail = {}
    for name, value in list(detail.items())[:DETAIL_LIMIT]:
        if isinstance(value, str):
            clean[_clean(name)[:64]] = _clean(value)[:TEXT_LIMIT]
        elif isinstance(value, float) and not math.isfinite(value):
            clean[_clean(name)[:64]] = None
        else:
            clean[_clean(name)[:64]] = value
    return clean


def _clean(text: str) -> str:
    # PostgreSQL takes no NUL in a text.
    return text.replace("\x00", "")


def _small(at: int | None) -> int | None:
    return at if at is not None and 0 <= at < COUNT_LIMIT else None


def birth_fault(birth: Birth) -> str:
    """Tell what is wrong with a birth whose types are right; empty when nothing is."""
    if len(birth.devices) > DEVICES_LIMIT or len(birth.metrics) > METRICS_LIMIT:
        return f"{len(birth.devices)} devices and {len(birth.metrics)} metrics are too many"
    if any(not 0 <= n < COUNT_LIMIT for n in (birth.epoch, birth.boot, birth.config_version)):
        return "epoch, boot or config_version is no sensible number"
    return _devices_fault(birth) or _metrics_fault(birth)


def _devices_fault(birth: Birth) -> str:
    for device in birth.devices:
        if not is_name(device.id):
            return f"{device.id[:80]!r} is no device id"
        if not 0 < device.period_s <= PERIOD_LIMIT_S:
            return f"{device.id}: period_s {device.period_s} is not between 0 and 31 days"
        texts = (device.kind, device.model, device.name, device.place, device.gateway)
        if not device.kind or any("\x00" in text or len(text) > 200 for text in texts):
            return f"{device.id}: a text is empty, too long or holds a NUL"
    doubled = [name for name, n in Counter(device.id for device in birth.devices).items() if n > 1]
    return f"{doubled[0]} stands twice" if doubled else ""


def _metrics_fault(birth: Birth) -> str:
    devices = {device.id for device in birth.devices}
    aliases: set[int] = set()
    for metric in birth.metrics:
        if metric.device not in devices:
            return f"alias {metric.alias} is of {metric.device[:80]!r}, which is not in the birth"
        if not 0 <= metric.alias < COUNT_LIMIT or metric.alias in aliases:
            return f"alias {metric.alias} is used twice or no sensible number"
        if not _METRIC.fullmatch(metric.metric):
            return f"alias {metric.alias} has no sensible metric name"
        aliases.add(metric.alias)
    return ""
