"""The stream of a real process through cuts, black holes and restarts: nothing missing, nothing twice."""

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cloud.screens.cloud_process import CloudProcess, Screen
from tests.cutting_proxy import CuttingProxy


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[CloudProcess]:
    cloud = CloudProcess(tmp_path / "cloud")
    cloud.start()
    yield cloud
    cloud.close()


@pytest.fixture
def screen(cloud: CloudProcess) -> Iterator[Screen]:
    screen = Screen(cloud.session())
    yield screen
    screen.close()


@pytest.fixture
def proxy(cloud: CloudProcess) -> Iterator[CuttingProxy]:
    proxy = CuttingProxy(("127.0.0.1", cloud.port))
    yield proxy
    proxy.close()


def open_again(screen: Screen, port: int) -> None:
    """Try as a browser does until the stream is there."""
    end = time.monotonic() + 60
    while True:
        try:
            status = screen.open(port)
        except OSError:
            status = 0
        if status == 200:
            return
        assert time.monotonic() < end, "the stream does not come back"
        time.sleep(0.02)


def test_a_cut_loses_and_doubles_nothing(
    cloud: CloudProcess, screen: Screen, proxy: CuttingProxy
) -> None:
    screen.open(proxy.port)
    screen.read_event()
    cloud.raise_alerts(1, 20)
    screen.read_until(10)
    proxy.is_refusing = True
    proxy.cut()
    cloud.raise_alerts(21, 60)
    proxy.is_refusing = False
    open_again(screen, proxy.port)
    screen.read_until(60)
    assert screen.seqs == list(range(1, 61))


def test_a_black_hole_is_noticed_by_the_missing_beat_and_loses_nothing(
    cloud: CloudProcess, screen: Screen, proxy: CuttingProxy
) -> None:
    screen.open(proxy.port, timeout_s=6)
    cloud.raise_alerts(1, 5)
    screen.read_until(5)
    proxy.is_swallowing = True
    cloud.raise_alerts(6, 30)
    with pytest.raises(TimeoutError):
        screen.read_to_the_end()
    proxy.is_swallowing = False
    open_again(screen, proxy.port)
    screen.read_until(30)
    assert screen.seqs == list(range(1, 31))


def test_numbers_survive_a_killed_process(cloud: CloudProcess, screen: Screen) -> None:
    screen.open(cloud.port)
    cloud.raise_alerts(1, 10)
    screen.read_until(10)
    cloud.stop(signal.SIGKILL)
    cloud.raise_alerts(11, 40)
    cloud.start()
    open_again(screen, cloud.port)
    screen.read_until(40)
    assert screen.seqs == list(range(1, 41))
    assert "resync" not in screen.names


def test_asked_to_stop_it_says_goodbye_and_goes(cloud: CloudProcess, screen: Screen) -> None:
    screen.open(cloud.port)
    screen.read_event()
    assert cloud.stop(signal.SIGTERM) == 0
    screen.read_to_the_end()
    assert screen.names[-1] == "end"


def test_a_place_ahead_of_the_stream_is_told_to_resync(cloud: CloudProcess, screen: Screen) -> None:
    screen.open(cloud.port)
    cloud.raise_alerts(1, 3)
    screen.read_until(3)
    screen.last_id = "1790000000000.900"
    screen.open(cloud.port)
    assert screen.read_event() == "resync"
    assert screen.last_id == "1790000000000.3"
    cloud.raise_alerts(4, 5)
    screen.read_until(5)
    assert screen.seqs == [1, 2, 3, 4, 5]


def test_signing_out_ends_the_stream(cloud: CloudProcess, screen: Screen) -> None:
    screen.open(cloud.port)
    screen.read_event()
    with cloud.database.write() as connection:
        connection.exec_driver_sql("delete from user_session")
    screen.read_to_the_end()
    assert screen.names[-1] == "end"
    assert screen.open(cloud.port) == 401
