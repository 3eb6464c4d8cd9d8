"""Browser and desk of the end-to-end tests; the pages are built first, once, by whichever worker comes first.

One API process and one sign-in serve all tests: they share a group, so they never run beside one another, and
each begins with an empty list.
"""

import fcntl
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, StorageState, sync_playwright

from linli import web
from tests.e2e.desk import Desk
from tests.e2e.screen import CHROMIUM, FLAGS, Screen


@pytest.fixture(scope="session")
def node() -> web.Node:
    """Give Node with the packages installed and the pages built."""
    with (Path(sys.prefix) / "linli-web.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        found = web.ensure_node()
        web.install_packages(found)
        web.build_pages(found)
    return found


@pytest.fixture(scope="module")
def browser(node: web.Node) -> Iterator[Browser]:
    """Open Chromium; per module, because the sync API keeps an event loop running as long as it is open."""
    assert node.program.is_file()
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield opened
        opened.close()


@pytest.fixture(scope="session")
def running_desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    made = Desk(tmp_path_factory.mktemp("desk") / "cloud")
    made.start()
    yield made
    made.close()


@pytest.fixture
def desk(running_desk: Desk) -> Iterator[Desk]:
    """Give a running desk without open alerts."""
    yield running_desk
    running_desk.clear()


@pytest.fixture(scope="module")
def signed_in_state(browser: Browser, running_desk: Desk) -> StorageState:
    """Sign in once by the page itself; the cookie belongs to the host, so it holds behind a proxy too."""
    made = Screen(browser, running_desk.url)
    made.sign_in()
    state = made.context.storage_state()
    made.close()
    return state


@pytest.fixture
def screen(browser: Browser, desk: Desk, signed_in_state: StorageState) -> Iterator[Screen]:
    """Give a signed-in duty screen whose sound is armed."""
    made = Screen(browser, desk.url, state=signed_in_state)
    made.open()
    made.wait_live()
    made.page.keyboard.press("Escape")
    yield made
    made.close()
