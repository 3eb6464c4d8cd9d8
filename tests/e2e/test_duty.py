"""The duty page against the real API process."""

from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest
from playwright.sync_api import Browser

from tests.e2e.desk import PASSWORD, Desk, smoke, wait_for
from tests.e2e.screen import Screen

pytestmark = pytest.mark.xdist_group("e2e")


@contextmanager
def signed_in(desk: Desk) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=desk.url, timeout=30) as client:
        login = {"username": "zhang", "password": PASSWORD}
        client.post("/api/session", json=login).raise_for_status()
        yield client


def test_an_alert_appears_sounds_until_acknowledged_by_keyboard_and_is_closed_with_a_verdict(
    desk: Desk, screen: Screen
) -> None:
    page = screen.page
    desk.alarm(smoke(0))
    screen.wait_rows(1)
    screen.wait_for("window.tones > 6")  # more than one round: it loops
    assert screen.text("count-p1") == "1"
    page.keyboard.press("a")
    page.wait_for_selector("[data-test=toast]")
    screen.wait_for("document.querySelector('[data-test=state]').innerText.startsWith('已确认')")
    before = screen.tones()
    wait_for(lambda: "2 " in screen.text("beat") or "1 " in screen.text("beat"), "beats go on")
    assert screen.tones() == before
    page.keyboard.press("c")
    page.wait_for_selector("[data-test=decide]")
    assert page.locator("[data-test=decide]").is_disabled()
    page.keyboard.press("4")  # false alarm: cooking
    page.keyboard.press("Enter")
    screen.wait_rows(0)
    assert screen.mistakes == []


def test_sound_is_off_until_armed_and_a_new_fire_ends_a_mute(desk: Desk, screen: Screen) -> None:
    screen.take_over()  # touched by nobody yet
    desk.alarm(smoke(1))
    screen.wait_rows(1)
    assert screen.page.locator("[data-test=sound-bar]").is_visible()
    assert screen.tones() == 0
    screen.page.click("[data-test=sound-enable]")
    screen.wait_for("window.tones > 0")
    screen.page.wait_for_selector("[data-test=sound-bar]", state="detached")
    screen.page.keyboard.press("m")
    wait_for(lambda: "静音" in screen.text("sound"), "not muted")
    desk.alarm(smoke(14))
    screen.wait_rows(2)
    wait_for(lambda: "已启用" in screen.text("sound"), "the new fire did not end the mute")
    assert screen.mistakes == []


def test_only_what_was_painted_is_confirmed_to_the_server(desk: Desk, screen: Screen) -> None:
    desk.alarm(smoke(2))
    screen.wait_rows(1)
    with signed_in(desk) as client:
        seq = client.get("/api/alerts").json()["seq"]

        def is_told() -> bool:
            receipts = client.get("/api/feed/receipts").json()["receipts"]
            return any(one["seq"] >= seq for one in receipts)

        wait_for(is_told, "the screen did not confirm what it displays")


def test_somebody_elses_acknowledgement_is_shown_and_a_late_key_does_no_harm(
    desk: Desk, screen: Screen
) -> None:
    desk.alarm(smoke(3))
    screen.wait_rows(1)
    with signed_in(desk) as client:
        alert = client.get("/api/alerts").json()["alerts"][0]["id"]
        client.post(f"/api/alerts/{alert}/acknowledge").raise_for_status()
        screen.wait_for(
            "document.querySelector('[data-test=state]').innerText.startsWith('已确认')"
        )
        assert client.post(f"/api/alerts/{alert}/acknowledge").status_code == 409
    screen.page.keyboard.press("a")
    assert screen.page.locator("[data-test=acknowledge]").is_disabled()
    assert screen.mistakes == []


def test_an_ended_session_asks_for_the_name_again_and_the_siren_goes_on(
    desk: Desk, browser: Browser
) -> None:
    screen = Screen(browser, desk.url)  # a session of its own: the others go on with theirs
    screen.sign_in()
    desk.alarm(smoke(4))
    screen.wait_rows(1)
    screen.wait_for("window.tones > 0")
    screen.run("fetch('/api/session', {method: 'DELETE'})")
    screen.page.wait_for_selector("[data-test=sign-in-again]")
    assert screen.rows() == 1
    before = screen.tones()
    screen.wait_for(f"window.tones > {before}")
    screen.page.fill("#ln-password", PASSWORD)
    screen.page.keyboard.press("Enter")
    screen.page.wait_for_selector("[data-test=sign-in-again]", state="detached")
    screen.wait_live()
    assert screen.rows() == 1
    screen.close()


def test_a_storm_keeps_few_rows_in_the_page_and_the_chosen_one_in_sight(
    desk: Desk, screen: Screen
) -> None:
    for number in range(48):
        desk.alarm(smoke(number), "unheard_of")
    with signed_in(desk) as client:
        count = len(client.get("/api/alerts").json()["alerts"])
    assert count >= 40
    screen.wait_for(f"document.querySelector('[data-test=count-p2]').innerText === '{count}'")
    assert screen.rows() < 40
    screen.page.keyboard.press("Home")
    for _ in range(20):
        screen.page.keyboard.press("j")
    chosen = "document.querySelector('[data-test=alert-row][aria-selected=true]')"
    inside = "document.querySelector('[data-test=alert-list]').getBoundingClientRect()"
    screen.wait_for(
        f"{chosen} && {chosen}.getBoundingClientRect().top >= {inside}.top"
        f" && {chosen}.getBoundingClientRect().bottom <= {inside}.bottom + 1"
    )
