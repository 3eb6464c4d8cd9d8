"""The composition root of the API process: builds every part from the settings and hands it to those who need it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import structlog
from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.types import Lifespan

from cloud import health
from cloud.alerts import api as alerts_api
from cloud.alerts.model import Priority
from cloud.alerts.service import AlertService
from cloud.devices import api as devices_api
from cloud.devices.service import DeviceService
from cloud.ingest import api as ingest_api
from cloud.ingest.api import OverviewService
from cloud.kit.clock import Clock, SystemClock
from cloud.kit.password import Passwords
from cloud.kit.sql import Database, DatabaseError
from cloud.kit.web import ERRORS, App, Shell, compressed, handle_errors
from cloud.kit.web_pages import serve_pages
from cloud.people import api as people_api
from cloud.people.accounts import Accounts
from cloud.people.model import SessionLimits
from cloud.people.service import PeopleService
from cloud.screens import api as screens_api
from cloud.screens.feed import StreamLimits
from cloud.screens.service import ScreenService
from cloud.series import service as series
from cloud.series.model import SeriesReads
from cloud.settings import CloudSettings, InfluxSeries, database_url, secret

FEED_PATH: Final = "/api/feed"
HOUSEKEEPING_S: Final = 3_600.0
_MINUTE_MS: Final = 60_000
_HOUR_MS: Final = 3_600_000

FAULTS_COUNTED: Final = 1_000
ROUTERS: Final = (
    people_api.router, alerts_api.router, devices_api.router, ingest_api.router, screens_api.router,
    health.router,
)  # fmt: skip

log: Final = structlog.stdlib.get_logger("app")


def _nothing() -> None:
    return


@dataclass(slots=True)
class Cloud:
    """Everything of one API process; `on_crash` is called when a part that must run has ended."""

    settings: CloudSettings
    clock: Clock
    database: Database
    people: PeopleService
    accounts: Accounts
    screens: ScreenService
    alerts: AlertService
    series: SeriesReads
    devices: DeviceService
    overview: OverviewService
    on_crash: Callable[[], None] = field(default=_nothing)


def build(settings: CloudSettings, clock: Clock | None = None) -> Cloud:
    """Build the parts; nothing runs yet, and the database is only opened when first used.

    Raises:
        UnavailableError: the series cannot be opened.
        ConfigError: a secret cannot be read.
    """
    clock = clock or SystemClock()
    database = Database(database_url(settings))
    web = settings.web
    passwords = Passwords()
    people = PeopleService(
        database,
        clock=clock,
        passwords=passwords,
        limits=SessionLimits(
            idle_ms=web.session_idle_min * _MINUTE_MS, absolute_ms=web.session_hours * _HOUR_MS
        ),
    )
    alerts = AlertService(database=database, clock=clock)
    reads = open_reader(settings, clock)
    devices = DeviceService(
        database, reads, clock=clock, open_alerts=lambda device: _open_alerts(alerts, device)
    )
    return Cloud(
        settings=settings,
        clock=clock,
        database=database,
        people=people,
        accounts=Accounts(database, clock=clock, passwords=passwords),
        alerts=alerts,
        series=reads,
        devices=devices,
        overview=OverviewService(
            database, devices, clock=clock, open_faults=lambda: _open_faults(alerts)
        ),
        screens=ScreenService(
            database,
            people=people,
            clock=clock,
            limits=StreamLimits(web.stream_limit, web.stream_limit_user),
        ),
    )


def _open_alerts(alerts: AlertService, device: str) -> list[dict[str, Any]]:
    return [view.model_dump(mode="json") for view in alerts.list(device=device).alerts]


def _open_faults(alerts: AlertService) -> int:
    return len(alerts.list(priority=Priority.P3, limit=FAULTS_COUNTED).alerts)


def open_reader(settings: CloudSettings, clock: Clock) -> SeriesReads:
    """Open the time series for questions; the folder is made when nobody has written yet.

    Raises:
        UnavailableError: the folder cannot be used.
        ConfigError: the token file of InfluxDB cannot be read.
    """
    place = None
    kept = settings.series
    if isinstance(kept, InfluxSeries):
        place = series.InfluxPlace(kept.url, kept.org, kept.bucket, secret(kept.token_file))
    if not kept.path.is_dir():
        series.open_series(kept.path, clock, place).close()
    return series.open_reader(kept.path, place)


def bare_app(lifespan: Lifespan[FastAPI] | None = None) -> FastAPI:
    """Make the application with its routes and nothing behind them: enough to describe it."""
    app = FastAPI(
        title="Linli",
        version=health.VERSION,
        summary="Alerts, devices and people of a smart community.",
        openapi_url="/api/openapi.json",
        docs_url=None,
        redoc_url=None,
        generate_unique_id_function=operation_id,
        lifespan=lifespan,
    )
    for router in ROUTERS:
        app.include_router(router, responses=ERRORS)
    handle_errors(app)
    return app


def create_app(cloud: Cloud) -> FastAPI:
    """Make the web application: routes with their services, errors, pages."""
    app = bare_app(lambda _app: _running(cloud))
    state = app.state
    state.is_https = cloud.settings.web.is_https
    state.people, state.accounts, state.screens = cloud.people, cloud.accounts, cloud.screens
    state.alerts, state.devices, state.overview = cloud.alerts, cloud.devices, cloud.overview
    state.health = health.HealthService(cloud.database, clock=cloud.clock)
    serve_pages(app, cloud.settings.web.dist)
    return app


def wrap(app: FastAPI, settings: CloudSettings) -> App:
    """Put the shell around it: limits, same-origin check, headers; JSON is compressed, the stream is not."""
    return Shell(
        compressed(app, except_path=FEED_PATH),
        origins=settings.web.origins,
        is_https=settings.web.is_https,
    )


def operation_id(route: APIRoute) -> str:
    """Name an operation as TypeScript would: `list_alerts` becomes `listAlerts`, `close` of alerts `closeAlert`."""
    first, *others = route.name.split("_")
    if not others and route.tags:
        others = [str(route.tags[0]).removesuffix("s")]
    return first + "".join(word.capitalize() for word in others)


@asynccontextmanager
async def _running(cloud: Cloud) -> AsyncIterator[None]:
    """Run what must run beside the requests, as long as they are served."""
    started = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        running = [
            tasks.create_task(
                _supervised(cloud, "screens", lambda: cloud.screens.run(started)), name="screens"
            ),
            tasks.create_task(
                _supervised(cloud, "housekeeping", lambda: _keep_house(cloud)), name="housekeeping"
            ),
        ]
        await started.wait()
        yield
        cloud.screens.stop()
        for task in running:
            task.cancel()
    cloud.series.close()
    cloud.database.close()


async def _supervised(cloud: Cloud, name: str, run: Callable[[], Awaitable[None]]) -> None:
    """Run a part that must not end; if it does, the process ends and is started again whole."""
    try:
        await run()
    except Exception:
        log.exception("part crashed", part=name)
        cloud.on_crash()
        raise


async def _keep_house(cloud: Cloud) -> None:
    while True:
        try:
            gone = await asyncio.to_thread(forget_old, cloud)
        except DatabaseError as error:
            log.warning("housekeeping has to wait", error=str(error).split("\n", 1)[0])
        else:
            if gone:
                log.info("old rows removed", rows=gone)
        await asyncio.sleep(HOUSEKEEPING_S)


def forget_old(cloud: Cloud) -> int:
    """Remove ended sessions, expired tokens, old attempts and receipts; tell how many rows went."""
    return cloud.people.forget_ended() + cloud.screens.forget_old()
