"""What screens and other programs see of an alert; the same body in the API and in the journal."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from cloud.alerts.alert import Alert
from cloud.alerts.chain import Link
from cloud.alerts.model import Handling, Phase, Suppression, Trust, Verdict


class View(BaseModel):
    """Everything a view has is always there; what is unknown is null."""

    model_config = ConfigDict(frozen=True, from_attributes=True)


class RunbookView(View):
    """What to know and do."""

    cause: str
    consequence: str
    response: str
    respond_within_s: int
    cause_en: str
    consequence_en: str
    response_en: str


class AlertView(View):
    """One alert; times are Unix ms, UTC. Of two views of an alert the one with the higher `seq` is newer."""

    id: str
    seq: int = Field(description="Number of the journal entry that carried this state.")
    rule: str
    priority: int = Field(ge=1, le=4)
    title_zh: str
    title_en: str
    device: str | None
    device_kind: str | None
    device_name: str | None
    place: str | None
    place_name_zh: str | None
    place_name_en: str | None
    x: float | None = Field(description="Site metres.")
    y: float | None = Field(description="Site metres.")
    gateway: str | None
    condition: Phase
    handling: Handling
    suppression: Suppression
    inhibited_by: str | None = Field(description="The alert that explains this one.")
    quality: Trust
    announce: bool = Field(description="Whether screens may sound for it.")
    value: float | None
    unit: str | None
    limit: float | None
    count: int
    opened_at: int
    active_since: int | None
    last_seen_at: int | None
    cleared_at: int | None
    acknowledged_by: str | None
    acknowledged_at: int | None
    ack_deadline: int | None
    verdict: Verdict | None
    verified_by: str | None
    verified_at: int | None
    note: str | None
    closed_by: str | None
    closed_at: int | None
    device_at: int | None
    measured_at: int | None
    received_at: int | None
    raised_at: int
    is_test: bool
    is_latched: bool
    members: list[str]
    runbook: RunbookView
    updated_at: int


class HistoryLine(View):
    """One line of history; `state` holds the four axes after it."""

    number: int
    at: int
    who: str
    what: str
    why: str
    state: dict[str, Any]
    digest: str


class HistoryView(View):
    """An alert's history and whether its chain is whole; `broken_at` is the first line that does not fit."""

    alert: str
    is_whole: bool
    broken_at: int | None
    lines: list[HistoryLine]


class PastVerdict(View):
    """What an earlier alert of the same device turned out to be."""

    alert: str
    rule: str
    at: int
    verdict: Verdict
    by: str | None


class AlertDetail(AlertView):
    """One alert with all that a person needs to decide."""

    history: list[HistoryLine]
    recent_verdicts: list[PastVerdict]


class AlertPage(View):
    """Alerts, newest first, as of journal number `seq`; `next` goes into `before` for the next page."""

    epoch: int
    seq: int
    alerts: list[AlertView]
    next: str | None


def view_of(alert: Alert) -> AlertView:
    """Show an alert."""
    return AlertView.model_validate(alert, from_attributes=True)


def line_of(chained: Link) -> HistoryLine:
    """Show a line of history."""
    note = chained.note
    return HistoryLine(
        number=chained.number,
        at=note.at,
        who=note.who,
        what=note.what,
        why=note.why,
        state=note.state,
        digest=chained.digest,
    )


def verdict_of(alert: Alert) -> PastVerdict | None:
    """Show a past alert's verdict."""
    if alert.verdict is None:
        return None
    at = alert.verified_at or alert.closed_at or alert.updated_at
    by = alert.verified_by or alert.closed_by
    return PastVerdict(alert=alert.id, rule=alert.rule, at=at, verdict=alert.verdict, by=by)
