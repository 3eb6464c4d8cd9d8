import pytest

from tests.edge.drivers.driver_peers import Sink


@pytest.fixture
async def sink() -> Sink:
    return Sink()
