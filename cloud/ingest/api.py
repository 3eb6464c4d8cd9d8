"""Routes of ingest: the counts of the first screen, and what was refused and why."""

from collections.abc import Callable
from typing import Annotated, Final, cast

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, Field

from cloud.devices.service import DeviceService
from cloud.devices.view import Counts
from cloud.ingest import store
from cloud.ingest.model import Reason
from cloud.kit.clock import Clock
from cloud.kit.sql import Database
from cloud.kit.web import ERRORS
from cloud.people.permission import AnyRole

router: Final = APIRouter(prefix="/api", tags=["ingest"], responses=ERRORS)


class RejectionView(BaseModel):
    """How often one sender was refused for one reason; times in Unix ms."""

    sender: str = Field(description="The edge, by its topic; `(cloud)` for ourselves.")
    reason: Reason
    count: int
    first_at: int
    last_at: int
    example: str = Field(description="What was seen last.")


class RejectionList(BaseModel):
    """What was refused, the last seen first."""

    rejections: list[RejectionView]


class IngestView(BaseModel):
    """Whether readings and alarms are coming in; times in Unix ms."""

    alive_at: int | None = Field(description="The oldest newest sign of life of all workers.")
    is_connected: bool
    last_message_at: int | None
    problem: str


class OverviewView(BaseModel):
    """The counts of the first screen; times in Unix ms.

    `silent` counts devices that are not live, `faults` open alerts of priority 3.
    """

    now: int
    devices: int
    silent: int
    faults: int
    ingest_alive_at: int | None
    states: Counts
    kinds: dict[str, Counts]
    edges_online: int
    edges: int
    ingest: IngestView


class OverviewService:
    """Puts the counts together; `open_faults` counts open alerts of priority 3."""

    def __init__(
        self,
        database: Database,
        devices: DeviceService,
        *,
        clock: Clock,
        open_faults: Callable[[], int] = lambda: 0,
    ) -> None:
        self._database = database
        self._devices = devices
        self._clock = clock
        self._open_faults = open_faults

    def overview(self) -> OverviewView:
        """Give the counts of this moment."""
        counts = self._devices.counts()
        total = counts.pop("")
        edges = self._devices.edges().edges
        ingest = self._ingest()
        return OverviewView(
            now=self._clock.now_ms(),
            devices=total.total,
            silent=total.total - total.live,
            faults=self._open_faults(),
            ingest_alive_at=ingest.alive_at,
            states=total,
            kinds=counts,
            edges_online=sum(edge.online is True for edge in edges),
            edges=len(edges),
            ingest=ingest,
        )

    def _ingest(self) -> IngestView:
        with self._database.read() as connection:
            pulses = store.pulses(connection)
        messages = [pulse.last_message_at for pulse in pulses if pulse.last_message_at]
        return IngestView(
            alive_at=min((pulse.beat_at for pulse in pulses), default=None),
            is_connected=bool(pulses) and all(pulse.is_connected for pulse in pulses),
            last_message_at=max(messages, default=None),
            problem="; ".join(pulse.problem for pulse in pulses if pulse.problem),
        )

    def rejections(self, sender: str | None, limit: int) -> RejectionList:
        """Give what was refused of one sender or of all."""
        with self._database.read() as connection:
            found = store.rejections(connection, sender, limit)
        return RejectionList(
            rejections=[
                RejectionView(
                    sender=item.edge,
                    reason=item.reason,
                    count=item.count,
                    first_at=item.first_at,
                    last_at=item.last_at,
                    example=item.example,
                )
                for item in found
            ]
        )


def _overview(request: Request) -> OverviewService:
    return cast("OverviewService", request.app.state.overview)


Overview = Annotated[OverviewService, Depends(_overview)]


@router.get("/overview", operation_id="getOverview")
def get_overview(_principal: AnyRole, overview: Overview) -> OverviewView:
    """Give the counts of the first screen."""
    return overview.overview()


@router.get("/ingest/rejections", operation_id="listRejections")
def list_rejections(
    _principal: AnyRole,
    overview: Overview,
    sender: Annotated[str | None, Query(max_length=64)] = None,
    limit: Annotated[int, Query(ge=1, le=1_000)] = 200,
) -> RejectionList:
    """List what was refused, by sender and reason, the last seen first."""
    return overview.rejections(sender, limit)
