"""One running cloud for all failure tests of a run: starting it costs more than most of them."""

from collections.abc import Callable, Iterator

import pytest

from tests.torture.core import Core

FIGURES = pytest.StashKey[list[str]]()


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Core]:
    core = Core(tmp_path_factory.mktemp("torture"))
    try:
        core.start()
        yield core
    finally:
        core.close()


@pytest.fixture
def core(cloud: Core) -> Iterator[Core]:
    """Give the cloud without feeders; those that a test adds are gone after it."""
    yield cloud
    cloud.edge_wire.is_cut = cloud.ingest_wire.is_cut = cloud.edge_wire.is_refusing = False
    for part in list(cloud.supervisor.parts):
        if part.name not in {"broker", "cloud", "ingest"}:
            cloud.remove(part.name)


@pytest.fixture
def report(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Take a figure that is printed at the end of the run."""
    figures = request.config.stash.setdefault(FIGURES, [])
    return lambda text: figures.append(f"{request.node.name}: {text}")


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    for line in config.stash.get(FIGURES, []):
        terminalreporter.write_line(line)
