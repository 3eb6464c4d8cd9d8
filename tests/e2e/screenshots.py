"""Draw the pictures of the documentation: `python -m tests.e2e.screenshots` (after `make web`).

The whole community runs: broker, service, edge nodes and simulator with 964 devices. Three devices are given the
90 days that the simulator's own physics would have measured, with two outages; all else is what came in meanwhile.
"""

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

from playwright.sync_api import Browser, sync_playwright

from cloud.kit.clock import SystemClock
from cloud.series.model import SeriesKey
from cloud.series.service import open_series
from firmware_sim import plant
from linli.up.client import ApiClient
from linli.up.health import listens
from linli.up.home import Home, choose_ports
from linli.up.parts import prepare_community, prepare_database, start_community
from tests.e2e.desk import ROOT
from tests.e2e.screen import CHROMIUM, FLAGS, Screen
from tests.flow.stack import Stack

IMAGES = ROOT / "docs" / "images"
SIZE = (1440, 810)
MINUTE_MS = 60_000
DAY_MS = 1_440 * MINUTE_MS
OUTAGES_DAYS = ((41.2, 43.9), (12.5, 12.9))
HISTORY = (
    (SeriesKey("shuibei-gas-001", "gas_lel_pct"), plant.KitchenAir),
    (SeriesKey("shuibei-pressure-001", "pressure_kpa"), plant.HydrantPipe),
    (SeriesKey("shuibei-level-001", "level_m"), plant.WaterTank),
)
ORDERS = (
    ("fault", "shuibei-smoke-", (300, 301, 410, 500)),
    ("silence", "shuibei-gas-", (10, 50, 77)),
    ("silence", "shuibei-pressure-", (12, 60)),
    ("silence", "shuibei-line-0", (7,)),
    ("test", "shuibei-smoke-", (111, 333)),
    ("overflow", "shuibei-level-", (1,)),
    ("pressure_loss", "shuibei-pressure-", (1, 40)),
    ("gas_leak", "shuibei-gas-", (33,)),
    ("fire", "shuibei-smoke-", (45, 46, 200)),
)


def past(source: plant.Plant, now: int) -> Iterator[tuple[int, float]]:
    """Give (Unix ms, value) of 90 days, every two minutes, without the outages."""
    for at in range(now - 90 * DAY_MS, now - 3 * MINUTE_MS, 2 * MINUTE_MS):
        value = source.value(at / 1_000)
        if not any(low < (now - at) / DAY_MS < high for low, high in OUTAGES_DAYS):
            yield at, round(value, 2)


def remember(folder: Path) -> None:
    """Write the past into the store before anything runs."""
    clock = SystemClock()
    store = open_series(folder, clock)
    try:
        keys = store.register([key for key, _ in HISTORY])
        for key, kind in HISTORY:
            rows = [
                (at, keys[key], value, 0)
                for at, value in past(kind(Random(key.device)), clock.now_ms())
            ]
            for start in range(0, len(rows), 5_000):
                store.append(rows[start : start + 5_000], [])
    finally:
        store.close()


def start(root: Path) -> tuple[Stack, str, str]:
    """Start the community; gives it with name and password of its first person."""
    home = Home(root, choose_ports(18600))
    broker = prepare_community(home, ROOT, "full", embedded_broker=False)
    login = prepare_database(home, ROOT)
    assert login is not None
    remember(home.cloud_config.parent / "series")
    stack = Stack(start_community(home, ROOT, broker, print), ApiClient(home.ports.web))
    stack.wait(lambda: listens(home.ports.web), "the API does not listen")
    stack.client.sign_in(login.username, login.password)
    return stack, login.username, login.password


def states(stack: Stack) -> dict[str, Any]:
    found: dict[str, Any] = stack.client.call("GET", "/api/overview")["states"]
    return found


def bad_evening(stack: Stack) -> None:
    """Let the simulator do what a bad evening may bring, and take some of it over."""
    stack.wait(lambda: states(stack)["live"] == states(stack)["total"], "not all live", 180)
    for what, kind, numbers in ORDERS:
        for number in numbers:
            stack.simulator.tell(
                do=what, device=f"{kind}{number}" if "line" in kind else f"{kind}{number:03d}"
            )
    wanted = {"gateway.offline", "water.level_high", "device.offline"}
    stack.wait(lambda: wanted <= {alert["rule"] for alert in stack.alerts("open")}, "too calm", 180)
    for alert in stack.alerts("open"):
        is_taken = alert["rule"] == "water.level_high" or alert["device"] == "shuibei-smoke-300"
        if is_taken and alert["handling"] == "new":
            stack.client.call("POST", f"/api/alerts/{alert['id']}/acknowledge", {})
    stack.simulator.tell(do="gas_leak", device="shuibei-gas-001")
    stack.wait(
        lambda: any(alert["device"] == "shuibei-gas-001" for alert in stack.alerts("open")),
        "no leak",
    )


def photograph(browser: Browser, url: str, name: str, password: str) -> None:
    for language, theme in (("zh-CN", "light"), ("en", "dark")):
        screen = Screen(browser, url, language=language, theme=theme, size=SIZE)
        short = language[:2]
        screen.sign_in(name, password)
        screen.page.locator("[data-test=alert-row]").first.click()
        screen.page.wait_for_selector("[data-test=detail] .trend svg")
        time.sleep(2)  # not a test: the picture should show a settled page
        screen.page.screenshot(path=IMAGES / f"console-{short}.png")
        if short == "zh":
            screen.open("#/devices/shuibei-pressure-001")
            screen.page.click("[data-test=season]")
            screen.page.wait_for_selector("[data-test=device] .trend svg")
            time.sleep(2)
            screen.page.screenshot(path=IMAGES / "device-zh.png")
        screen.close()


def main() -> None:
    """Start a community, let it have a bad evening, and photograph the duty page and a device."""
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        stack, name, password = start(Path(folder))
        try:
            bad_evening(stack)
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
            photograph(browser, f"http://127.0.0.1:{stack.client.port}", name, password)
            browser.close()
        finally:
            stack.stop()


if __name__ == "__main__":
    main()
