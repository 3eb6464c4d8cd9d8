"""A screen that loses its connection says so, and nothing raised meanwhile is lost."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, StorageState

from tests.cutting_proxy import CuttingProxy
from tests.e2e.desk import Desk, smoke
from tests.e2e.screen import Screen

pytestmark = pytest.mark.xdist_group("e2e")


@pytest.fixture
def proxy(desk: Desk) -> Iterator[CuttingProxy]:
    made = CuttingProxy(("127.0.0.1", desk.port))
    yield made
    made.close()


@pytest.fixture
def far_screen(
    browser: Browser, proxy: CuttingProxy, signed_in_state: StorageState
) -> Iterator[Screen]:
    """Give a signed-in screen behind the proxy."""
    made = Screen(browser, f"http://127.0.0.1:{proxy.port}", state=signed_in_state)
    made.open()
    made.wait_live()
    yield made
    made.close()


def blind(screen: Screen) -> None:
    screen.page.wait_for_selector("[data-test=feed-bar]")
    assert "中断" in screen.text("feed-bar")


def test_a_silent_connection_is_noticed_and_nothing_is_missed(
    desk: Desk, proxy: CuttingProxy, far_screen: Screen
) -> None:
    desk.alarm(smoke(20))
    far_screen.wait_rows(1)
    proxy.is_swallowing = True  # sockets stay open, no byte arrives, no error is raised
    desk.alarm(smoke(21))
    blind(far_screen)
    assert far_screen.rows() == 1  # the last known list stays
    before = far_screen.run("document.querySelector('[data-test=beat]').innerText")
    far_screen.wait_for(f"document.querySelector('[data-test=beat]').innerText !== {before!r}")
    proxy.is_swallowing = False
    proxy.cut()
    far_screen.wait_live()
    far_screen.wait_rows(2)


def test_a_refused_connection_is_retried_and_nothing_is_missed(
    desk: Desk, proxy: CuttingProxy, far_screen: Screen
) -> None:
    proxy.is_refusing = True
    proxy.cut()
    desk.alarm(smoke(22))
    blind(far_screen)
    proxy.is_refusing = False
    far_screen.wait_live()
    far_screen.wait_rows(1)


def test_a_killed_server_comes_back_and_nothing_is_missed_or_doubled(
    desk: Desk, proxy: CuttingProxy, far_screen: Screen
) -> None:
    desk.alarm(smoke(23))
    far_screen.wait_rows(1)
    desk.kill()
    desk.alarm(smoke(28))
    blind(far_screen)
    desk.start()
    assert proxy.port
    far_screen.wait_live()
    far_screen.wait_rows(2)
    desk.alarm(smoke(29))
    far_screen.wait_rows(3)
