import warnings
from collections.abc import Iterator

import pytest
from fastapi import FastAPI

from cloud.kit.password import Passwords
from cloud.kit.sql import Database
from cloud.kit.web import Shell, handle_errors
from cloud.people.accounts import Accounts
from cloud.people.api import router
from cloud.people.model import Role, SessionLimits
from cloud.people.service import PeopleService

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it would rather have httpx2, which is not yet everywhere
    from fastapi.testclient import TestClient

PASSWORD = "a quiet river at night"
LIMITS = SessionLimits(idle_ms=3_600_000, absolute_ms=36_000_000)


class HandClock:
    def __init__(self) -> None:
        self.now = 1_790_000_000_000

    def now_ms(self) -> int:
        return self.now

    def monotonic_s(self) -> float:
        return self.now / 1000


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = Database(database_url)
    database.create_all()
    yield database
    database.close()


@pytest.fixture
def passwords() -> Passwords:
    return Passwords(memory_kib=8, passes=1)


@pytest.fixture
def people(database: Database, clock: HandClock, passwords: Passwords) -> PeopleService:
    return PeopleService(database, clock=clock, passwords=passwords, limits=LIMITS)


@pytest.fixture
def accounts(database: Database, clock: HandClock, passwords: Passwords) -> Accounts:
    accounts = Accounts(database, clock=clock, passwords=passwords)
    for role in Role:
        accounts.add(username=f"a-{role.value}", name=role.value, role=role, password=PASSWORD)
    return accounts


@pytest.fixture
def client(people: PeopleService, accounts: Accounts) -> Iterator[TestClient]:
    app = FastAPI()
    app.state.people = people
    app.state.accounts = accounts
    app.include_router(router)
    handle_errors(app)
    with TestClient(Shell(app), base_url="http://linli.test") as client:
        yield client
