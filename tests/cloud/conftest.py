"""The application database of a test: on SQLite, and on PostgreSQL wherever its server is installed."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.postgres import DIALECTS, PROGRAMS, Postgres


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A server for the whole run; only tests that are collected where it is installed ask for it."""
    assert PROGRAMS is not None
    server = Postgres(PROGRAMS)
    try:
        yield server
    finally:
        server.close()


@pytest.fixture(params=DIALECTS)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Where a new, empty application database is; a test that asks for it runs once for each dialect."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/app.db"
        return
    server: Postgres = request.getfixturevalue("postgres")
    url = server.new_database()
    yield url
    server.drop(url)
