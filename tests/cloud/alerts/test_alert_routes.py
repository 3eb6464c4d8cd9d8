"""The routes: what they answer, whom they refuse."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from cloud.alerts.api import router
from cloud.errors import CloudError
from cloud.people.model import Principal, Role
from cloud.people.permission import current_principal
from tests.cloud.alerts.world import World


@pytest.fixture
def world(any_world: World) -> World:
    return any_world


def answer(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, CloudError)
    body = {"code": error.code, "message": str(error), "hint": error.hint}
    return JSONResponse(body, status_code=error.status)


@pytest.fixture
def app(world: World) -> FastAPI:
    app = FastAPI()
    app.state.alerts = world.service
    app.include_router(router)
    app.add_exception_handler(CloudError, answer)
    app.state.role = Role.DUTY
    app.dependency_overrides[current_principal] = lambda: Principal(
        "u1", "li", "李", app.state.role
    )
    world.town.add("smoke-1", "smoke")
    world.alarm("smoke-1")
    return app


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://linli") as made:
        yield made


async def test_the_whole_life_of_an_alert(client: httpx.AsyncClient, world: World) -> None:
    page = (await client.get("/api/alerts")).json()
    assert (page["epoch"], page["seq"], page["next"]) == (world.journal()[0].at, 1, None)
    path = f"/api/alerts/{page['alerts'][0]['id']}"
    taken = await client.post(f"{path}/acknowledge", json={"note": "on my way"})
    assert (taken.status_code, taken.json()["acknowledged_by"]) == (200, "李")
    again = await client.post(f"{path}/acknowledge")
    assert (again.status_code, again.json()["code"]) == (409, "conflict")
    assert (await client.post(f"{path}/comment", json={"note": "called"})).status_code == 200
    assert (await client.post(f"{path}/close")).status_code == 422
    verdict = {"verdict": "false_cooking"}
    assert (await client.post(f"{path}/verify", json=verdict)).json()["handling"] == "verified"
    assert (await client.post(f"{path}/close")).json()["handling"] == "closed"
    assert (await client.get(f"{path}/history")).json()["is_whole"] is True
    detail = (await client.get(path)).json()
    assert [line["what"] for line in detail["history"]][-1] == "closed"
    assert (await client.get(f"{path}/members")).json() == []


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/api/alerts?state=odd", None, 422),
        ("GET", "/api/alerts?limit=0", None, 422),
        ("GET", "/api/alerts/not-an-id", None, 422),
        ("GET", "/api/alerts/01890000-0000-7000-8000-000000000000", None, 404),
        ("POST", "/api/alerts/01890000-0000-7000-8000-000000000000/verify", {"verdict": "x"}, 422),
        ("POST", "/api/alerts/01890000-0000-7000-8000-000000000000/close", {"odd": 1}, 422),
    ],
)
async def test_nonsense_is_refused(
    client: httpx.AsyncClient, method: str, path: str, body: Any, status: int
) -> None:
    assert (await client.request(method, path, json=body)).status_code == status


@pytest.mark.parametrize("verb", ["acknowledge", "verify", "close", "comment"])
async def test_an_installer_may_look_but_not_act(
    app: FastAPI, client: httpx.AsyncClient, verb: str
) -> None:
    alert = (await client.get("/api/alerts")).json()["alerts"][0]
    app.state.role = Role.INSTALLER
    assert (await client.get(f"/api/alerts/{alert['id']}")).status_code == 200
    body = {"verdict": "test", "note": "n"} if verb in {"verify", "close"} else {"note": "n"}
    assert (await client.post(f"/api/alerts/{alert['id']}/{verb}", json=body)).status_code == 403
