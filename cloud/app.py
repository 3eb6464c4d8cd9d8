"""The composition root of the API process: builds every part from the settings and hands it to those who need it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

import structlog
from fastapi import FastAPI
from fastapi.routing import APIRoute

from cloud import health
from cloud.kit.clock import Clock, SystemClock
from cloud.kit.password import Passwords
from cloud.kit.sql import Database
from cloud.kit.web import App, Shell, compressed, handle_errors
from cloud.kit.web_pages import serve_pages
from cloud.people import api as people_api
from cloud.people.accounts import Accounts
from cloud.people.model import SessionLimits
from cloud.people.service import PeopleService
from cloud.screens import api as screens_api
from cloud.screens.feed import StreamLimits
from cloud.screens.service import ScreenService
from cloud.settings import CloudSettings, database_url

FEED_PATH: Final = "/api/feed"
HOUSEKEEPING_S: Final = 3_600.0
_MINUTE_MS: Final = 60_000
_HOUR_MS: Final = 3_600_000

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
    on_crash: Callable[[], None] = field(default=_nothing)


def build(settings: CloudSettings, clock: Clock | None = None) -> Cloud:
    """Build the parts; nothing runs yet, and the database is only opened when first used."""
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
    return Cloud(
        settings=settings,
        clock=clock,
        database=database,
        people=people,
        accounts=Accounts(database, clock=clock, passwords=passwords),
        screens=ScreenService(
            database,
            people=people,
            clock=clock,
            limits=StreamLimits(web.stream_limit, web.stream_limit_user),
        ),
    )


def create_app(cloud: Cloud) -> FastAPI:
    """Make the web application: routes, errors, pages."""
    app = FastAPI(
        title="Linli",
        version=health.VERSION,
        summary="Alerts, devices and people of a smart community.",
        openapi_url="/api/openapi.json",
        docs_url=None,
        redoc_url=None,
        generate_unique_id_function=operation_id,
        lifespan=lambda _app: _running(cloud),
    )
    state = app.state
    state.is_https = cloud.settings.web.is_https
    state.people, state.accounts, state.screens = cloud.people, cloud.accounts, cloud.screens
    state.health = health.HealthService(cloud.database, clock=cloud.clock)
    for router in (people_api.router, screens_api.router, health.router):
        app.include_router(router)
    handle_errors(app)
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
    """Name an operation as TypeScript would: `list_alerts` becomes `listAlerts`."""
    first, *others = route.name.split("_")
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
        except health.DatabaseError as error:
            log.warning("housekeeping has to wait", error=str(error).split("\n", 1)[0])
        else:
            if gone:
                log.info("old rows removed", rows=gone)
        await asyncio.sleep(HOUSEKEEPING_S)


def forget_old(cloud: Cloud) -> int:
    """Remove ended sessions, expired tokens, old attempts and receipts; tell how many rows went."""
    return cloud.people.forget_ended() + cloud.screens.forget_old()
