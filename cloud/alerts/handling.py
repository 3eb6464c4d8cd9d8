"""What people do to an alert: acknowledge, verify, close, comment; and an acknowledgement that lapses. Pure."""

from dataclasses import replace

from cloud.alerts.alert import Alert
from cloud.alerts.model import (
    LEGAL_HANDLING,
    NOT_REAL,
    SYSTEM,
    Handling,
    Phase,
    Priority,
    Suppression,
    Trust,
    Verdict,
)
from cloud.errors import ConflictError, InvalidError


def acknowledge(alert: Alert, who: str, now: int) -> Alert:
    """Take an alert over; it comes back to new at its deadline without a verdict.

    Raises:
        ConflictError: it is not new any more; the message tells who has it.
    """
    if alert.handling is not Handling.NEW:
        raise _conflict(alert, "be acknowledged")
    deadline = now + alert.ack_within_s * 1000 if alert.ack_within_s else None
    return replace(
        alert,
        handling=Handling.ACKNOWLEDGED,
        acknowledged_by=who,
        acknowledged_at=now,
        ack_deadline=deadline,
        updated_at=now,
    )


def verify(alert: Alert, who: str, verdict: Verdict, now: int) -> Alert:
    """Say what it is; a latched alert whose device is quiet returns to normal.

    Raises:
        ConflictError: it is closed.
    """
    if Handling.VERIFIED not in LEGAL_HANDLING[alert.handling]:
        raise _conflict(alert, "be verified")
    is_over = alert.is_latched and alert.cleared_at is not None
    return replace(
        alert,
        handling=Handling.VERIFIED,
        condition=Phase.NORMAL if is_over else alert.condition,
        verdict=verdict,
        verified_by=who,
        verified_at=now,
        acknowledged_by=alert.acknowledged_by or who,
        acknowledged_at=alert.acknowledged_at or now,
        ack_deadline=None,
        updated_at=now,
    )


def close(alert: Alert, who: str, verdict: Verdict | None, now: int) -> Alert:
    """Finish an alert.

    Raises:
        InvalidError: priority 1 and 2 need a verdict.
        ConflictError: it is closed already, or its device still alarms and the verdict does not say
            that the alarm is not real.
    """
    if alert.handling is Handling.CLOSED:
        raise _conflict(alert, "be closed")
    final = verdict or alert.verdict
    if final is None and alert.priority <= Priority.P2:
        raise InvalidError(
            f"an alert of priority {alert.priority:d} is closed with a verdict", "choose a verdict"
        )
    must_end = alert.is_latched or alert.priority <= Priority.P2
    if must_end and alert.is_alarming and final not in NOT_REAL:
        raise ConflictError(
            f"{alert.device or alert.place or alert.subject} still alarms",
            "wait until it is over, or close it as a false alarm, a fault, a test or a drill",
        )
    return replace(
        alert,
        handling=Handling.CLOSED,
        condition=alert.condition if alert.is_alarming else Phase.NORMAL,
        verdict=final,
        ack_deadline=None,
        closed_by=who,
        closed_at=now,
        updated_at=now,
    )


def comment(alert: Alert, note: str, now: int) -> Alert:
    """Add a remark; the newest stands on the alert, all stand in its history."""
    return replace(alert, note=note, updated_at=now)


def lapse(alert: Alert, now: int) -> Alert | None:
    """Give an alert back to everybody when its acknowledgement held too long without a verdict."""
    if (
        alert.handling is not Handling.ACKNOWLEDGED
        or alert.ack_deadline is None
        or alert.ack_deadline > now
    ):
        return None
    return renew(alert, now)


def renew(alert: Alert, now: int) -> Alert:
    """Make an alert new again, for everybody."""
    return replace(
        alert,
        handling=Handling.NEW,
        acknowledged_by=None,
        acknowledged_at=None,
        ack_deadline=None,
        verdict=None,
        verified_by=None,
        verified_at=None,
        closed_by=None,
        closed_at=None,
        updated_at=now,
    )


def close_by_rule(alert: Alert, now: int) -> Alert:
    """Close without a person: it cleared and its rule says that suffices, or its rule is gone."""
    return replace(
        alert,
        handling=Handling.CLOSED,
        suppression=Suppression.NONE,
        inhibited_by=None,
        ack_deadline=None,
        closed_by=SYSTEM,
        closed_at=now,
        updated_at=now,
    )


def _conflict(alert: Alert, what: str) -> ConflictError:
    who = alert.closed_by if alert.handling is Handling.CLOSED else alert.acknowledged_by
    return ConflictError(
        f"the alert is {alert.handling.value}{f' by {who}' if who else ''} and cannot {what}",
        "reload it to see its present state",
    )


def free(alert: Alert, now: int) -> Alert:
    """Show an alert by itself again: what explained it is gone."""
    return replace(
        alert,
        suppression=Suppression.NONE,
        inhibited_by=None,
        announce=alert.quality is not Trust.LATE,
        updated_at=now,
    )


def close_with(alert: Alert, who: str, verdict: Verdict, now: int) -> Alert:
    """Close an alert together with the one that explains it."""
    closed = replace(alert, closed_by=who, closed_at=now, verdict=alert.verdict or verdict)
    return replace(
        closed,
        handling=Handling.CLOSED,
        condition=alert.condition if alert.is_alarming else Phase.NORMAL,
        ack_deadline=None,
        updated_at=now,
    )
