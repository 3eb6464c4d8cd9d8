"""Routes of alerts: parse, call one service function, answer."""

from typing import Annotated, Literal, Protocol, cast

from fastapi import APIRouter, Depends, Path, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from cloud.alerts.model import Verdict
from cloud.alerts.service import AlertService
from cloud.alerts.view import AlertDetail, AlertPage, AlertView, HistoryView
from cloud.people.permission import AnyRole, OnDuty

router = APIRouter(prefix="/api/alerts", tags=["alerts"])


class AlertsState(Protocol):
    """What the application's lifespan puts into `app.state`."""

    alerts: AlertService


def alert_service(request: Request) -> AlertService:
    """Give the service that the application built."""
    return cast("AlertsState", request.app.state).alerts


Alerts = Annotated[AlertService, Depends(alert_service)]
AlertId = Annotated[
    str,
    Path(
        pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$",
        description="Id of the alert, a UUID.",
    ),
]
NoteText = Annotated[str, Field(min_length=1, max_length=2_000)]


class _Body(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)


class Acknowledgement(_Body):
    """Taking an alert over."""

    note: NoteText | None = None


class Verification(_Body):
    """Saying what it is."""

    verdict: Verdict
    note: NoteText | None = None


class Closing(_Body):
    """Finishing an alert; priority 1 and 2 need a verdict, here or from before."""

    verdict: Verdict | None = None
    note: NoteText | None = None


class Comment(_Body):
    """A remark."""

    note: NoteText


@router.get("")
def list_alerts(
    _who: AnyRole,
    alerts: Alerts,
    state: Literal["open", "closed", "all"] = "open",
    priority: Annotated[int | None, Query(ge=1, le=4)] = None,
    device: Annotated[str | None, Query(max_length=96)] = None,
    q: Annotated[str, Query(max_length=100, description="Part of a device, place or title.")] = "",
    before: Annotated[str | None, Query(max_length=36, description="`next` of a page.")] = None,
    limit: Annotated[int, Query(ge=1, le=1_000)] = 500,
    suppressed: Annotated[  # noqa: FBT002 - a query parameter
        bool, Query(description="Also those that another alert explains.")
    ] = False,
) -> AlertPage:
    """Give alerts, newest first, with the journal number they reflect."""
    return alerts.list(
        state=state,
        priority=priority,
        device=device,
        text=q.strip(),
        before=before,
        limit=limit,
        with_suppressed=suppressed,
    )


@router.get("/{alert_id}")
def get_alert(alert_id: AlertId, _who: AnyRole, alerts: Alerts) -> AlertDetail:
    """Give one alert with its history and the last verdicts of its device."""
    return alerts.get(alert_id)


@router.get("/{alert_id}/history")
def get_history(alert_id: AlertId, _who: AnyRole, alerts: Alerts) -> HistoryView:
    """Give an alert's history and whether its hash chain is whole."""
    return alerts.history(alert_id)


@router.get("/{alert_id}/members")
def get_members(alert_id: AlertId, _who: AnyRole, alerts: Alerts) -> list[AlertView]:
    """Give the open alerts that this one explains: the detectors of a fire, what is behind a gateway."""
    return list(alerts.members(alert_id))


@router.post("/{alert_id}/acknowledge")
def acknowledge(
    alert_id: AlertId, officer: OnDuty, alerts: Alerts, body: Acknowledgement | None = None
) -> AlertView:
    """Take an alert over; 409 when somebody has it already or it is closed."""
    return alerts.acknowledge(alert_id, officer.name, body.note if body else None)


@router.post("/{alert_id}/verify")
def verify(alert_id: AlertId, officer: OnDuty, alerts: Alerts, body: Verification) -> AlertView:
    """Say what it is; 409 when it is closed."""
    return alerts.verify(alert_id, officer.name, body.verdict, body.note)


@router.post("/{alert_id}/close")
def close(
    alert_id: AlertId, officer: OnDuty, alerts: Alerts, body: Closing | None = None
) -> AlertView:
    """Finish an alert; 409 while its device alarms, unless the verdict says that it is not real."""
    given = body or Closing()
    return alerts.close(alert_id, officer.name, given.verdict, given.note)


@router.post("/{alert_id}/comment")
def comment(alert_id: AlertId, officer: OnDuty, alerts: Alerts, body: Comment) -> AlertView:
    """Add a remark."""
    return alerts.comment(alert_id, officer.name, body.note)
