"""Applies transitions to alert records: opens, repeats, reopens, clears, holds and frees them. Pure.

The record as it stands in the book is the truth about handling: people change it in another process.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any, Final, Protocol

from cloud.alerts import handling
from cloud.alerts.alert import Alert, Note, note_of
from cloud.alerts.gate import LATE
from cloud.alerts.model import (
    SYSTEM,
    DeviceDirectory,
    Handling,
    Phase,
    Priority,
    Suppression,
    Transition,
    Trust,
    What,
)
from cloud.alerts.moves import OVERFLOW
from cloud.alerts.rule import Rule
from cloud.alerts.rules.threshold import ThresholdRule
from contract.ids import uuid7
from contract.metrics import METRICS

MEMBERS_LIMIT: Final = 1_000
LATE_ANNOUNCED_MS: Final = 7_200_000
_OPENS: Final = frozenset({What.RAISED, What.REPEATED, What.MEMBERS, What.LEVEL, What.RELEASED})


class Book(Protocol):
    """Where alert records stand."""

    def latest(self, key: str) -> Alert | None:
        """Give the newest record of a key, open or closed."""
        ...

    def put(self, alert: Alert, note: Note | None) -> None:
        """Store a record and the line of its history; none for a mere new value."""
        ...


@dataclass(frozen=True, slots=True)
class Scene:
    """What is needed to write a record: the rules in force and who knows devices and places."""

    rules: Mapping[str, Rule]
    directory: DeviceDirectory


def settle(transitions: Iterable[Transition], book: Book, scene: Scene) -> None:
    """Apply transitions in their order; each leaves one line of history, except a mere new value."""
    for transition in transitions:
        rule = scene.rules.get(transition.rule)
        if rule is None:
            continue
        present = book.latest(transition.key)
        settled = _apply(present, transition, rule, book, scene)
        if settled is not None and settled != present:
            what = transition.what.value
            if present is None or (not present.is_open and settled.is_open):
                what = "reopened" if present and present.id == settled.id else "raised"
            why = _why(transition)
            note = note_of(settled, at=transition.at, who=SYSTEM, what=what, why=why)
            book.put(settled, None if transition.what is What.VALUE else note)


def _why(transition: Transition) -> str:
    parts = [transition.why] if transition.why else []
    if transition.reported_by:
        parts.append(f"reported by {transition.reported_by}, which does not own this device")
    if transition.is_history:
        parts.append("cached by the device")
    if transition.is_late:
        parts.append("received late")
    if transition.is_test:
        parts.append("marked as a test by the device")
    return ", ".join(parts)


def _apply(
    present: Alert | None, t: Transition, rule: Rule, book: Book, scene: Scene
) -> Alert | None:
    if present is None or not present.is_open:
        return _opened(present, t, rule, book, scene)
    alert = replace(present, updated_at=t.at, last_seen_at=t.received_at or t.at)
    match t.what:
        case What.RAISED:
            return _held(_again(alert, t, rule), t, book)
        case What.INHIBITED | What.RELEASED:
            return _held(alert, t, book)
        case What.CLEARED:
            return _cleared(present, t, rule)
        case What.LEVEL:
            return _leveled(alert, t, rule)
        case What.REPEATED | What.MEMBERS:
            return replace(_now_live(_seen(alert, t), t), count=alert.count + 1)
        case _:
            return _touched(alert, t)


def _opened(
    closed: Alert | None, t: Transition, rule: Rule, book: Book, scene: Scene
) -> Alert | None:
    """Open a record, if the transition is an occurrence of its own."""
    if t.what not in _OPENS or not _is_news(closed, t):
        return None
    if t.what is What.LEVEL and closed is not None and _level_of(rule, t) >= closed.priority:
        return None
    if t.zone == LATE and _was_seen_live(t, book):
        return None
    return _held(_open(closed, t, rule, scene), t, book)


def _was_seen_live(t: Transition, book: Book) -> bool:
    """Tell whether a late reading belongs to what was alerted while it happened."""
    live = book.latest(f"{t.rule}|{t.subject}")
    if live is None or live.active_since is None or t.measured_at is None:
        return False
    return live.active_since <= t.measured_at and (
        live.cleared_at is None or t.measured_at <= live.cleared_at
    )


def _touched(alert: Alert, t: Transition) -> Alert:
    match t.what:
        case What.CLEARING:
            return alert if alert.is_latched else replace(alert, condition=Phase.CLEARING)
        case What.FLAPPING:
            return replace(alert, quality=Trust.FLAPPING, condition=Phase.ACTIVE)
        case What.CALM:
            return replace(alert, quality=Trust.OK)
        case What.VALUE:
            return replace(alert, value=t.value)
        case _:
            return alert


def _is_news(closed: Alert | None, t: Transition) -> bool:
    """Tell whether a transition of a closed record is a new occurrence, not the echo of the old one."""
    if t.what is What.RAISED or closed is None or closed.closed_at is None:
        return True
    return (t.received_at or t.at) > closed.closed_at


def _level_of(rule: Rule, t: Transition) -> Priority:
    return rule.levels[max(t.level, 1) - 1].priority


def _open(closed: Alert | None, t: Transition, rule: Rule, scene: Scene) -> Alert:
    priority = _level_of(rule, t)
    is_soon = (
        closed is not None
        and closed.closed_at is not None
        and t.at - closed.closed_at < rule.reopen_ms(priority)
    )
    if closed is not None and is_soon:
        return _again(handling.renew(closed, t.at), t, rule)
    return _seen(_new(t, rule, priority, scene), t)


def _new(t: Transition, rule: Rule, priority: Priority, scene: Scene) -> Alert:
    entropy = sha256(f"{t.key}|{t.at}|{t.measured_at}".encode()).digest()[:10]
    device = None if t.subject == OVERFLOW else scene.directory.device(t.subject)
    place = scene.directory.place(t.subject) if device is None else None
    is_place = not rule.watch.alarms and place is not None
    about: dict[str, Any] = {}
    if device is not None:
        about = {
            "device": device.id,
            "device_kind": device.kind,
            "device_name": device.name or None,
            "place": device.place or None,
            "place_name_zh": device.place_name_zh or None,
            "place_name_en": device.place_name_en or None,
            "x": device.x,
            "y": device.y,
            "gateway": device.gateway or None,
        }
    elif place is not None and is_place:
        about = {
            "place": place.path,
            "place_name_zh": place.name_zh or None,
            "place_name_en": place.name_en or None,
            "x": place.x,
            "y": place.y,
        }
    elif t.subject != OVERFLOW:
        about = {"device": t.subject}
    alert = Alert(
        id=uuid7(t.at, entropy),
        key=t.key,
        rule=rule.id,
        subject=t.subject,
        priority=priority,
        title_zh="",
        title_en="",
        opened_at=t.at,
        raised_at=t.at,
        active_since=t.measured_at or t.at,
        is_test=t.is_test,
        is_latched=rule.latch,
        unit=_unit(rule),
        runbook=rule.runbook.model_dump(),
        **about,
    )
    return _shown(alert, t, rule)


def _unit(rule: Rule) -> str | None:
    return METRICS[rule.metric].unit if isinstance(rule, ThresholdRule) else None


def _shown(alert: Alert, t: Transition, rule: Rule) -> Alert:
    """Put the words, the limit and the trust of the present level on the alert."""
    level = rule.levels[max(t.level, 1) - 1]
    zh, en = level.title_zh or rule.title_zh, level.title_en or rule.title_en
    if t.subject == OVERFLOW:
        zh, en = (
            f"{zh}：超过{rule.max_active}条，其余合并",
            f"{en}: over {rule.max_active}, rest merged",
        )
    if t.reported_by:
        zh, en = (
            f"{zh}（由 {t.reported_by} 上报，待核实）",
            f"{en} (told by {t.reported_by}, unconfirmed)",
        )
    age_ms = (t.received_at or t.at) - (t.measured_at or t.at)
    is_told = rule.is_state and level.priority is Priority.P1 and age_ms <= LATE_ANNOUNCED_MS
    return replace(
        alert,
        priority=level.priority,
        title_zh=zh.replace("{kind}", "?" if t.reported_by else t.zone),
        title_en=en.replace("{kind}", "?" if t.reported_by else t.zone),
        limit=level.limit,
        quality=_trust(t),
        announce=not t.is_late or (is_told and not t.is_history),
        closes_itself=rule.closes(level.priority) or t.subject == OVERFLOW,
        ack_within_s=rule.acknowledgement_s(level.priority),
    )


def _trust(t: Transition) -> Trust:
    if t.is_late:
        return Trust.LATE
    if t.reported_by:
        return Trust.UNCONFIRMED
    return Trust.FLAPPING if t.is_flapping else Trust.OK


def _seen(alert: Alert, t: Transition) -> Alert:
    members = tuple(dict.fromkeys((*alert.members, *t.members)))[-MEMBERS_LIMIT:]
    return replace(
        alert,
        condition=Phase.ACTIVE,
        cleared_at=None,
        value=t.value if t.value is not None else alert.value,
        is_test=alert.is_test and t.is_test,
        measured_at=t.measured_at or alert.measured_at,
        received_at=t.received_at or alert.received_at,
        device_at=t.device_at or alert.device_at,
        last_seen_at=t.received_at or t.at,
        members=members,
        updated_at=t.at,
    )


def _now_live(alert: Alert, t: Transition) -> Alert:
    """What was only late is happening now: it is announced like any other."""
    if alert.quality is not Trust.LATE or t.is_late or t.is_history:
        return alert
    return replace(
        alert, quality=Trust.OK, announce=alert.suppression is Suppression.NONE, raised_at=t.at
    )


def _again(alert: Alert, t: Transition, rule: Rule) -> Alert:
    """Raise a record that is open (or was just closed): the same one, counted once more.

    One that people had already explained is new again; one that somebody is looking at stays his.
    """
    seen = _shown(_seen(alert, t), t, rule)
    explained = alert.handling is Handling.VERIFIED
    renewed = handling.renew(seen, t.at) if explained else seen
    if alert.quality is Trust.OK and t.is_late:
        renewed = replace(renewed, quality=alert.quality, announce=alert.announce)
    return replace(
        renewed,
        count=alert.count + 1,
        raised_at=t.at,
        active_since=t.measured_at or t.at,
    )


def _leveled(alert: Alert, t: Transition, rule: Rule) -> Alert:
    level = rule.levels[max(t.level, 1) - 1]
    shown = replace(_shown(alert, t, rule), value=t.value, quality=alert.quality)
    if level.priority >= alert.priority:
        return shown
    # It got worse: whoever took the milder one over has not seen this.
    return replace(handling.renew(shown, t.at), raised_at=t.at)


def _cleared(alert: Alert, t: Transition, rule: Rule) -> Alert:
    is_held = alert.is_latched and alert.handling is not Handling.VERIFIED
    over = replace(
        alert,
        condition=Phase.ACTIVE if is_held else Phase.NORMAL,
        cleared_at=t.at,
        value=t.value if t.value is not None else alert.value,
        updated_at=t.at,
    )
    if is_held or not (rule.closes(alert.priority) or alert.closes_itself):
        return over
    return handling.close_by_rule(over, t.at)


def _held(alert: Alert, t: Transition, book: Book) -> Alert:
    """Put the alert under the one that explains it, or free it."""
    holder = book.latest(t.inhibited_by) if t.inhibited_by else None
    if holder is not None and holder.is_open:
        return replace(
            alert,
            suppression=Suppression.INHIBITED,
            inhibited_by=holder.id,
            announce=False,
        )
    return replace(
        alert,
        suppression=Suppression.NONE,
        inhibited_by=None,
        announce=alert.announce or alert.quality is not Trust.LATE,
    )
