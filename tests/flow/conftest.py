"""One small community for all flow tests of a worker: it takes seconds to start."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.flow.stack import Stack, start


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    root: Path = tmp_path_factory.mktemp("community")
    running = start(root)
    try:
        yield running
    finally:
        stubborn = running.stop()
    assert not stubborn, f"had to be killed: {stubborn}"
