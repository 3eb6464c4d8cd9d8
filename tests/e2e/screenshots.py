"""Draw the pictures of the documentation: `python -m tests.e2e.screenshots` (after `make web`)."""

import tempfile
import time
from pathlib import Path

from playwright.sync_api import sync_playwright

from tests.e2e.desk import ROOT, Desk, smoke
from tests.e2e.screen import CHROMIUM, FLAGS, Screen

IMAGES = ROOT / "docs" / "images"
SIZE = (1600, 900)


def busy(desk: Desk) -> None:
    """Raise what a bad evening may bring: a leak, a confirmed fire, faults."""
    for number in (5, 17, 43, 8, 20):
        desk.alarm(smoke(number), "fault")
    for number in (30, 33):
        desk.alarm(smoke(number), "low_battery")
    until = time.monotonic() + 6
    while time.monotonic() < until:
        desk.measure(25.8)
        time.sleep(0.5)
    desk.alarm(smoke(3))
    desk.alarm(smoke(2))
    desk.alarm(smoke(14))


def main() -> None:
    """Start a desk, raise alerts, and photograph the duty page and a device."""
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        desk = Desk(Path(folder) / "cloud")
        desk.start()
        busy(desk)
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        screen = Screen(browser, desk.url, size=SIZE)
        screen.sign_in()
        screen.page.wait_for_selector("[data-test=detail]")
        screen.page.wait_for_timeout(1_500)
        screen.page.locator("[data-test=alert-row]", has_text="LEL").first.click()
        screen.page.wait_for_selector("[data-test=detail] .trend svg")
        screen.page.wait_for_timeout(800)
        screen.page.screenshot(path=IMAGES / "console-zh.png")
        screen.open("#/devices/shuibei-gas-001")
        screen.page.wait_for_selector("[data-test=device] .trend svg")
        screen.page.wait_for_timeout(800)
        screen.page.screenshot(path=IMAGES / "device-zh.png")
        browser.close()
        desk.close()


if __name__ == "__main__":
    main()
