"""A duty screen in headless Chromium whose sound can be counted and whose mistakes are kept."""

import time
from typing import Any

from playwright.sync_api import Browser, ConsoleMessage, Page, StorageState

from tests.e2e.desk import PASSWORD

CHROMIUM = "/usr/bin/chromium"
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
PATIENCE_MS = 30_000
# One and a half beats instead of three: the tests of blindness need not wait longer than it takes to prove it.
SILENCE_MS = 3_000
# Headless Chromium lets sound play without any touch, so a test would pass vacuously: this one starts suspended,
# as a desktop browser's does, and counts the tones.
_AUDIO = """
window.tones = 0
class Gain {
  gain = { setValueAtTime() {}, linearRampToValueAtTime() {} }
  connect() {}
  disconnect() {}
}
class Tone {
  frequency = { value: 0 }
  connect() {}
  start() { window.tones += 1 }
  stop() {}
}
window.AudioContext = class {
  state = 'suspended'
  currentTime = 0
  destination = {}
  async resume() { this.state = 'running' }
  createGain() { return new Gain() }
  createOscillator() { return new Tone() }
}
"""


class Screen:
    """One page in a context of its own; `mistakes` are what the browser complained about."""

    def __init__(
        self,
        browser: Browser,
        url: str,
        *,
        language: str = "zh-CN",
        theme: str = "light",
        size: tuple[int, int] = (1366, 768),
        state: StorageState | None = None,
    ) -> None:
        self.url = url
        self.context = browser.new_context(
            viewport={"width": size[0], "height": size[1]},
            reduced_motion="reduce",
            storage_state=state,
        )
        self.context.set_default_timeout(PATIENCE_MS)
        self.context.add_init_script(
            f"localStorage.setItem('linli.language', '{language}');"
            f"localStorage.setItem('linli.theme', '{theme}');"
            f"window.linliSilenceMs = {SILENCE_MS};{_AUDIO}"
        )
        self.mistakes: list[str] = []
        self.page = self._new_page()

    def _new_page(self) -> Page:
        page = self.context.new_page()
        page.on("pageerror", lambda error: self.mistakes.append(str(error)))
        page.on("console", self._keep)
        return page

    def take_over(self) -> None:
        """Go on in a new page of the same session: signed in, and touched by nobody yet."""
        self.page.close()
        self.page = self._new_page()
        self.open()
        self.wait_live()

    def _keep(self, message: ConsoleMessage) -> None:
        # The browser itself reports every refused request; whether one was meant is the test's business.
        if message.type in {"error", "warning"} and "Failed to load resource" not in message.text:
            self.mistakes.append(message.text)

    def close(self) -> None:
        self.context.close()

    def open(self, fragment: str = "") -> None:
        self.page.goto(f"{self.url}/{fragment}")

    def sign_in(self, name: str = "zhang", password: str = PASSWORD) -> None:
        self.open()
        self.page.fill("#ln-user", name)
        self.page.fill("#ln-password", password)
        self.page.keyboard.press("Enter")
        self.wait_live()

    def another(self) -> Page:
        """Open a second window of the same browser; what goes wrong in it is kept like that of the first."""
        page = self._new_page()
        page.goto(self.url)
        page.wait_for_selector("[data-test=alert-list]")
        return page

    def wait_live(self) -> None:
        """Wait until the list claims to be true."""
        self.page.wait_for_selector("[data-test=alert-list]")
        self.page.wait_for_selector("[data-test=feed-bar]", state="detached")

    def rows(self) -> int:
        return self.page.locator("[data-test=alert-row]").count()

    def wait_rows(self, count: int) -> None:
        self.wait_for(
            f"document.querySelectorAll('[data-test=alert-row]').length === {count}",
        )

    def wait_for(self, claim: str) -> None:
        """Wait until an expression is true; asked from outside, because the page's policy forbids `eval`."""
        end = time.monotonic() + PATIENCE_MS / 1000
        while not self.page.evaluate(claim):
            assert time.monotonic() < end, claim
            self.page.wait_for_timeout(30)

    def tones(self) -> int:
        counted: int = self.page.evaluate("window.tones")
        return counted

    def text(self, name: str) -> str:
        return self.page.locator(f"[data-test={name}]").inner_text()

    def run(self, script: str) -> Any:
        return self.page.evaluate(script)
