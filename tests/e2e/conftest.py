"""Browser and desk of the end-to-end tests; the pages are built first, once, by whichever worker comes first."""

import fcntl
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

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
    assert node
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield opened
        opened.close()


@pytest.fixture(scope="module")
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


@pytest.fixture
def screen(browser: Browser, desk: Desk) -> Iterator[Screen]:
    """Give a signed-in duty screen."""
    made = Screen(browser, desk.url)
    made.sign_in()
    yield made
    made.close()
