"""Every page can be read by everybody: no accessibility violation in any language and theme, no boxes for Chinese."""

from typing import Any

import pytest
from playwright.sync_api import Browser

from tests.e2e.desk import ROOT, Desk, smoke
from tests.e2e.screen import Screen

pytestmark = pytest.mark.xdist_group("e2e")
AXE = ROOT / "dashboards" / "node_modules" / "axe-core" / "axe.min.js"
# Colours do not depend on the language, nor names on the theme: two passes see every rule in every variant.
LOOKS = [("zh-CN", "light"), ("en", "dark")]


def violations(screen: Screen) -> list[str]:
    """Ask axe-core; each line names the rule and the first elements that break it."""
    if not screen.run("'axe' in window"):
        screen.run(AXE.read_text(encoding="utf-8"))
    found: list[dict[str, Any]] = screen.run("axe.run().then(result => result.violations)")
    return [
        f"{one['id']}: {[(node['html'][:120], node['failureSummary'][:200]) for node in one['nodes'][:3]]}"
        for one in found
    ]


def settled(screen: Screen) -> None:
    """Wait until nothing fades any more: axe would measure the colours of the fading."""
    screen.wait_for(
        "document.getAnimations().every(one => one.playState === 'finished'"
        " || one.effect.getTiming().iterations === Infinity)"
    )


@pytest.fixture(params=LOOKS, ids="-".join)
def looked_at(request: pytest.FixtureRequest, browser: Browser, desk: Desk) -> Any:
    language, theme = request.param
    made = Screen(browser, desk.url, language=language, theme=theme)
    yield made
    made.close()


def test_no_page_breaks_a_rule_of_accessibility(desk: Desk, looked_at: Screen) -> None:
    screen, page = looked_at, looked_at.page
    screen.open()
    page.wait_for_selector("#ln-user")
    broken = {"login": violations(screen)}
    desk.alarm(smoke(0))
    desk.alarm(smoke(1), "unheard_of")
    screen.sign_in()
    page.wait_for_selector("[data-test=detail]")
    broken["duty"] = violations(screen)
    page.keyboard.press("c")
    page.wait_for_selector("[data-test=decide]")
    settled(screen)
    broken["verdict"] = violations(screen)
    page.keyboard.press("Escape")
    page.wait_for_selector("[data-test=decide]", state="hidden")
    page.click("[data-test=account]")
    page.wait_for_selector("[data-test=password-save]")
    settled(screen)
    broken["password"] = violations(screen)
    page.keyboard.press("Escape")
    page.wait_for_selector("[data-test=password-save]", state="hidden")
    page.keyboard.press("?")
    page.wait_for_selector("[role=dialog] .live")
    settled(screen)
    broken["help"] = violations(screen)
    page.keyboard.press("Escape")
    page.wait_for_selector("[role=dialog] .live", state="hidden")
    screen.open("#/devices")
    page.wait_for_selector(".kinds")
    broken["devices"] = violations(screen)
    screen.open("#/devices/shuibei-gas-001")
    page.wait_for_selector("[data-test=device] .trend svg")
    broken["device"] = violations(screen)
    screen.open("#/pipeline")
    page.wait_for_selector("[data-test=screens]")
    broken["pipeline"] = violations(screen)
    assert {name: found for name, found in broken.items() if found} == {}
    assert screen.mistakes == []


def test_chinese_is_drawn_as_characters_not_as_boxes(browser: Browser, desk: Desk) -> None:
    screen = Screen(browser, desk.url)
    screen.open()
    screen.page.wait_for_selector(".brand")
    # A missing glyph is drawn as the same box whatever the character: different characters must differ.
    script = """(family => {
      const pixels = sign => {
        const canvas = document.createElement('canvas')
        canvas.width = canvas.height = 48
        const pen = canvas.getContext('2d')
        pen.font = `40px ${family}`
        pen.fillText(sign, 2, 40)
        return pen.getImageData(0, 0, 48, 48).data.join()
      }
      return new Set([...'邻里警消防'].map(pixels)).size
    })(getComputedStyle(document.body).fontFamily)"""
    assert screen.run(script) == 5
    screen.close()
