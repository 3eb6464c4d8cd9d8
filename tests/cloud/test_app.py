"""The whole application as it is put together: who may do what, what it tells about itself, what it survives."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import schemathesis
from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from hypothesis import HealthCheck, Phase, seed, settings
from structlog.testing import capture_logs

from cloud import app as cloud_app
from cloud.app import Cloud, bare_app, build, create_app, wrap
from cloud.kit import migrations
from cloud.kit.password import Passwords
from cloud.kit.sql import Database
from cloud.notify import journal
from cloud.people.accounts import Accounts
from cloud.people.model import PERMITTED, Role
from cloud.people.permission import Requires
from cloud.screens import store as screens_store
from cloud.screens.store import Receipt
from cloud.settings import CloudSettings, DatabaseSettings, LocalSeries, WebSettings
from tests.cloud.people.conftest import PASSWORD, HandClock, TestClient

ROOT = Path(__file__).parents[2]
PUBLIC = {("POST", "/api/session"), ("GET", "/api/health")}
READ_ONLY_FOR_INSTALLERS = "/api/alerts"


def api_routes() -> list[APIRoute]:
    found: list[APIRoute] = []
    for router in cloud_app.ROUTERS:
        found += [route for route in router.routes if isinstance(route, APIRoute)]
    return found


def permission_of(dependant: Dependant) -> frozenset[Role] | None:
    """Give the roles that a route lets in, None when it asks for none."""
    for inner in dependant.dependencies:
        if isinstance(inner.call, Requires):
            return inner.call.allowed
    return None


@pytest.mark.parametrize("route", api_routes(), ids=lambda route: f"{route.methods}{route.path}")
def test_every_route_names_its_permission_or_is_listed_as_public(route: APIRoute) -> None:
    assert route.methods is not None
    [method] = route.methods
    allowed = permission_of(route.dependant)
    assert (allowed is None) == ((method, route.path) in PUBLIC)
    assert route.path.startswith("/api/")
    if allowed is not None and route.path.startswith(READ_ONLY_FOR_INSTALLERS):
        assert (Role.INSTALLER in allowed) == (method == "GET")


def test_an_administrator_may_all_and_duty_staff_not() -> None:
    assert all(Role.ADMIN in allowed for allowed in PERMITTED.values())
    assert Role.DUTY not in PERMITTED[Role.SUPERVISOR] | PERMITTED[Role.ADMIN]
    assert Role.SUPERVISOR in PERMITTED[Role.DUTY]
    assert Role.INSTALLER not in PERMITTED[Role.DUTY]


def test_the_description_of_the_api_is_current() -> None:
    stored = json.loads((ROOT / "docs" / "openapi.json").read_text(encoding="utf-8"))
    assert stored == bare_app().openapi(), "run: linli cloud openapi --out docs/openapi.json"


def test_operations_have_names_of_their_own_and_refusals_one_shape() -> None:
    names = []
    for operations in bare_app().openapi()["paths"].values():
        for operation in operations.values():
            names.append(operation["operationId"])
            schema = operation["responses"]["4XX"]["content"]["application/json"]["schema"]
            assert schema == {"$ref": "#/components/schemas/ErrorView"}
    assert len(names) == len(set(names))
    assert all(name.isidentifier() and name[0].islower() and "_" not in name for name in names)


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Cloud:
    folder = tmp_path_factory.mktemp("cloud")
    dist = folder / "dist"
    (dist / "console").mkdir(parents=True)
    (dist / "assets").mkdir()
    (dist / "console" / "index.html").write_text("<!doctype html>duty")
    (dist / "assets" / "console-B3x_9aZq.js").write_text("1")
    chosen = CloudSettings(
        database=DatabaseSettings(url=f"sqlite:///{folder}/app.db"),
        series=LocalSeries(path=folder / "series"),
        web=WebSettings(dist=dist),
    )
    database = Database(chosen.database.url)
    migrations.upgrade(database)
    with database.write() as connection:
        journal.start(connection, 1_790_000_000_000)
    passwords = Passwords(memory_kib=8, passes=1)
    accounts = Accounts(database, clock=HandClock(), passwords=passwords)
    for role in Role:
        accounts.add(username=role.value, name=role.value, role=role, password=PASSWORD)
    database.close()
    return build(chosen)


@pytest.fixture(scope="module")
def app(cloud: Cloud) -> FastAPI:
    return create_app(cloud)


@pytest.fixture(scope="module")
def client(cloud: Cloud, app: FastAPI) -> Iterator[TestClient]:
    served = wrap(app, cloud.settings)
    with TestClient(served, base_url="http://linli.test", raise_server_exceptions=False) as client:
        yield client


def signed_in(client: TestClient, role: Role) -> dict[str, str]:
    body = {"username": role.value, "password": PASSWORD}
    answer = client.post("/api/session", json=body)
    assert answer.status_code == 200, answer.text
    secret = client.cookies["linli_session"]
    client.cookies.clear()
    return {"cookie": f"linli_session={secret}"}


def test_health_is_open_and_tells_that_no_worker_runs(client: TestClient) -> None:
    answer = client.get("/api/health")
    assert answer.status_code == 200
    assert answer.json()["status"] == "degraded"
    assert answer.json()["ingest"]["alive"] is False


STARTS_WITH = ("overview", "alerts", "devices", "places", "edges", "metrics", "ingest/rejections")


@pytest.mark.parametrize("path", STARTS_WITH)
def test_what_a_screen_starts_with_needs_a_session_and_answers(
    client: TestClient, path: str
) -> None:
    assert client.get(f"/api/{path}").status_code == 401
    answer = client.get(f"/api/{path}", headers=signed_in(client, Role.DUTY))
    assert answer.status_code == 200, answer.text


def test_pages_are_asked_for_again_and_hashed_files_kept(client: TestClient) -> None:
    page = client.get("/")
    assert page.text == "<!doctype html>duty"
    assert page.headers["cache-control"] == "no-cache"
    asset = client.get("/assets/console-B3x_9aZq.js")
    assert "immutable" in asset.headers["cache-control"]
    assert client.get("/console/").text == page.text
    assert client.get("/../cloud.yaml").status_code == 404
    assert client.get("/%2e%2e/app.db").status_code == 404


def test_large_answers_are_compressed(client: TestClient) -> None:
    answer = client.get("/api/openapi.json", headers={"accept-encoding": "gzip"})
    assert answer.headers["content-encoding"] == "gzip"


def test_a_database_in_trouble_is_told_as_such(
    client: TestClient, app: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken:
        def read(self) -> object:
            import sqlalchemy as sa

            raise sa.exc.OperationalError("select", {}, Exception("disk I/O error"))

    headers = signed_in(client, Role.DUTY)
    monkeypatch.setattr(app.state.health, "_database", Broken())
    assert client.get("/api/health").status_code == 503
    monkeypatch.setattr(app.state.people, "_database", Broken())
    answer = client.get("/api/session", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")


def test_a_text_that_the_database_does_not_take_is_the_senders_mistake(
    client: TestClient, app: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        import sqlalchemy as sa

        raise sa.exc.DataError("insert", {}, Exception("cannot contain NUL (0x00) bytes"))

    headers = signed_in(client, Role.DUTY)
    monkeypatch.setattr(app.state.alerts, "list", refuse)
    answer = client.get("/api/alerts?q=%00", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid")


def test_a_bug_is_told_without_its_inside(
    client: TestClient, app: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    def bug(*_: object) -> None:
        raise ZeroDivisionError("a secret inside")

    headers = signed_in(client, Role.DUTY)
    monkeypatch.setattr(app.state.people, "by_session", bug)
    with capture_logs() as lines:
        answer = client.get("/api/session", headers=headers)
    assert [line["event"] for line in lines] == ["request failed"]
    assert answer.status_code == 500
    assert answer.json()["code"] == "internal"
    assert "secret" not in answer.text


@pytest.mark.usefixtures("client")
def test_old_rows_are_forgotten(cloud: Cloud) -> None:
    cloud_app.forget_old(cloud)
    with cloud.database.write() as connection:
        screens_store.store_receipt(connection, Receipt("a-desk-of-1970", "u", 1, 1, at=0))
    assert cloud_app.forget_old(cloud) == 1


@pytest.fixture(scope="module")
def token(client: TestClient) -> str:
    """An administrator's, which no fuzzed request can end."""
    headers = signed_in(client, Role.ADMIN)
    answer = client.post("/api/tokens", json={"name": "t", "scope": "act"}, headers=headers)
    return str(answer.json()["secret"])


ENDLESS = r"/api/feed$"
SCHEMA = schemathesis.openapi.from_dict(bare_app().openapi()).exclude(path_regex=ENDLESS)


@SCHEMA.parametrize()
@seed(20260729)
@settings(
    max_examples=5, deadline=None, derandomize=True, database=None, phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
def test_no_request_makes_the_server_fail(
    case: schemathesis.Case, client: TestClient, token: str
) -> None:
    asked = case.as_transport_kwargs(base_url="http://linli.test")
    body = asked.get("data")
    answer = client.request(
        asked["method"],
        asked["url"],
        params=asked.get("params"),
        headers={**asked["headers"], "authorization": f"Bearer {token}"},
        json=asked.get("json"),
        content=body if isinstance(body, bytes | str) else None,
    )
    client.cookies.clear()
    assert answer.status_code < 500, answer.text
