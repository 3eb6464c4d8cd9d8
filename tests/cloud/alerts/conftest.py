from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cloud.alerts.world import World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.close()


@pytest.fixture
def any_world(tmp_path: Path, database_url: str) -> Iterator[World]:
    """The same on each database; what a test asks for where SQL decides, not the rules."""
    made = World(tmp_path, url=database_url)
    yield made
    made.close()
