"""How the service does, for whoever watches it: open to all, so it tells states and ages and nothing else."""

import importlib.metadata
from typing import Annotated, Final, Literal, cast

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, Field

from cloud.ingest import store as ingest_store
from cloud.ingest.model import WorkerPulse
from cloud.kit.clock import Clock
from cloud.kit.sql import Database, DatabaseError
from cloud.kit.web import ERRORS
from cloud.notify import journal
from cloud.screens.service import ScreenService

VERSION: Final = importlib.metadata.version("linli")
PULSE_LIMIT_MS: Final = 15_000

router: Final = APIRouter(prefix="/api", tags=["health"], responses=ERRORS)


class DatabaseHealth(BaseModel):
    """Whether the application database answers."""

    reachable: bool


class IngestHealth(BaseModel):
    """The ingest workers together; ages are of the worker that was heard of longest ago."""

    alive: bool = Field(description="Every worker gave a sign of life within 15 s.")
    connected: bool = Field(description="Every worker is connected to the broker.")
    workers: int
    age_ms: int | None = Field(description="Age of the oldest sign of life; null without workers.")
    last_message_age_ms: int | None = Field(description="Age of the newest message of any edge.")
    messages: int = Field(description="Messages since the workers started.")
    readings: int = Field(description="Readings since the workers started.")


class FeedHealth(BaseModel):
    """The event stream of this process."""

    epoch: int | None
    head: int | None
    streams: int


class HealthView(BaseModel):
    """How the service does; `now` is Unix ms."""

    status: Literal["ok", "degraded", "down"]
    version: str
    now: int
    database: DatabaseHealth
    ingest: IngestHealth
    feed: FeedHealth


class HealthService:
    """Asks the parts.

    Args:
        database: the application database.
        clock: what time it is.
    """

    def __init__(self, database: Database, *, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def look(self, streams: int) -> HealthView:
        """Ask all parts; `streams` is the number of open event streams."""
        now = self._clock.now_ms()
        try:
            with self._database.read() as connection:
                head = journal.head(connection)
                pulses = ingest_store.pulses(connection)
        except DatabaseError:
            return HealthView(
                status="down",
                version=VERSION,
                now=now,
                database=DatabaseHealth(reachable=False),
                ingest=_ingest([], now),
                feed=FeedHealth(epoch=None, head=None, streams=streams),
            )
        ingest = _ingest(pulses, now)
        return HealthView(
            status="ok" if ingest.alive and ingest.connected else "degraded",
            version=VERSION,
            now=now,
            database=DatabaseHealth(reachable=True),
            ingest=ingest,
            feed=FeedHealth(epoch=head.epoch, head=head.seq, streams=streams),
        )


def _ingest(pulses: list[WorkerPulse], now: int) -> IngestHealth:
    ages = [now - pulse.beat_at for pulse in pulses]
    heard = [pulse.last_message_at for pulse in pulses if pulse.last_message_at is not None]
    return IngestHealth(
        alive=bool(ages) and max(ages) < PULSE_LIMIT_MS,
        connected=bool(pulses) and all(pulse.is_connected for pulse in pulses),
        workers=len(pulses),
        age_ms=max(ages, default=None),
        last_message_age_ms=now - max(heard) if heard else None,
        messages=sum(pulse.messages for pulse in pulses),
        readings=sum(pulse.readings for pulse in pulses),
    )


def _health(request: Request) -> HealthService:
    return cast("HealthService", request.app.state.health)


def _screens(request: Request) -> ScreenService:
    return cast("ScreenService", request.app.state.screens)


@router.get("/health", operation_id="getHealth")
def get_health(
    response: Response,
    service: Annotated[HealthService, Depends(_health)],
    screens: Annotated[ScreenService, Depends(_screens)],
) -> HealthView:
    """Tell how the service does; open to all. 503 when the database does not answer."""
    view = service.look(screens.streams)
    if view.status == "down":
        response.status_code = 503
    return view
