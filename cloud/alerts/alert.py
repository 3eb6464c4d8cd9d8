"""The alert record: one situation, from its first sign to its verdict."""

from dataclasses import dataclass, field
from typing import Any

from cloud.alerts.model import Handling, Phase, Priority, Suppression, Trust, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """One alert; every change makes a new value. Times are Unix ms by the cloud's clock unless said.

    Attributes:
        announce: whether screens may sound for it: not suppressed, no history, not too late.
        inhibited_by: the id of the alert that explains this one.
        measured_at: when the edge measured or heard what raised it; `device_at` by the device's clock.
        cleared_at: since when the device no longer says it; a latched alert stays active until verified.
        ack_within_s: how long an acknowledgement holds without a verdict; None for ever.
        members: the devices of a combined alert.
        history_count, history_hash: length and head of its hash chain.
    """

    id: str
    key: str
    rule: str
    subject: str
    priority: Priority
    title_zh: str
    title_en: str
    device: str | None = None
    device_kind: str | None = None
    device_name: str | None = None
    place: str | None = None
    place_name_zh: str | None = None
    place_name_en: str | None = None
    x: float | None = None
    y: float | None = None
    gateway: str | None = None
    condition: Phase = Phase.ACTIVE
    handling: Handling = Handling.NEW
    suppression: Suppression = Suppression.NONE
    inhibited_by: str | None = None
    quality: Trust = Trust.OK
    announce: bool = True
    value: float | None = None
    unit: str | None = None
    limit: float | None = None
    count: int = 1
    opened_at: int
    raised_at: int
    active_since: int | None = None
    last_seen_at: int | None = None
    cleared_at: int | None = None
    acknowledged_by: str | None = None
    acknowledged_at: int | None = None
    ack_deadline: int | None = None
    verdict: Verdict | None = None
    verified_by: str | None = None
    verified_at: int | None = None
    note: str | None = None
    closed_by: str | None = None
    closed_at: int | None = None
    device_at: int | None = None
    measured_at: int | None = None
    received_at: int | None = None
    is_test: bool = False
    is_latched: bool = False
    closes_itself: bool = False
    ack_within_s: int | None = None
    members: tuple[str, ...] = ()
    runbook: dict[str, Any] = field(default_factory=dict)
    updated_at: int = 0
    seq: int = 0
    history_count: int = 0
    history_hash: str = ""

    @property
    def is_open(self) -> bool:
        """Tell whether people still have something to do."""
        return self.handling is not Handling.CLOSED

    @property
    def is_alarming(self) -> bool:
        """Tell whether the device still says it, as far as we know."""
        return self.cleared_at is None and self.condition in {Phase.ACTIVE, Phase.CLEARING}


@dataclass(frozen=True, slots=True)
class Note:
    """One line of history: who did what, when and why; `state` holds the four axes after it."""

    at: int
    who: str
    what: str
    why: str
    state: dict[str, Any]


def note_of(alert: Alert, *, at: int, who: str, what: str, why: str = "") -> Note:
    """Write the line that a change to `alert` leaves behind."""
    return Note(
        at,
        who,
        what,
        why,
        {
            "condition": alert.condition.value,
            "handling": alert.handling.value,
            "suppression": alert.suppression.value,
            "quality": alert.quality.value,
            "priority": int(alert.priority),
            "verdict": alert.verdict.value if alert.verdict else None,
            "count": alert.count,
            "value": alert.value,
        },
    )
