"""What a shift does besides acknowledging: remarks, what stands inside an alert, passwords, several windows, keys."""

import pytest
from playwright.sync_api import Browser

from tests.e2e.desk import Desk, smoke, wait_for
from tests.e2e.screen import Screen

pytestmark = pytest.mark.xdist_group("e2e")


def test_a_remark_written_by_keyboard_stands_first_in_the_history(
    desk: Desk, screen: Screen
) -> None:
    page = screen.page
    desk.alarm(smoke(5))
    screen.wait_rows(1)
    page.wait_for_selector("[data-test=comment]")
    page.keyboard.press("n")
    page.keyboard.type("已到场, a pan burns")  # letters in a field are letters, not commands
    page.keyboard.press("Enter")
    first = "document.querySelector('[data-test=timeline] li')"
    screen.wait_for(f"{first} && {first}.innerText.includes('已到场, a pan burns')")
    screen.wait_for("document.querySelector('[data-test=comment]').value === ''")
    assert "张班长" in screen.run(f"{first}.innerText")
    assert screen.text("state").startswith("未确认")
    assert screen.mistakes == []


def test_what_stands_inside_a_confirmed_fire_is_listed_and_leads_to_its_device(
    desk: Desk, screen: Screen
) -> None:
    page = screen.page
    desk.alarm(smoke(6))
    desk.alarm(smoke(18))  # another floor of the same building
    row = page.locator("[data-test=alert-row]", has_text="多点")
    row.click()
    page.wait_for_selector("[data-test=members] li >> nth=1")
    link = page.locator(f"[data-test=members] a[href$='{smoke(18)}']")
    link.click()
    page.wait_for_selector("[data-test=device]")
    assert "陈记牛杂" not in screen.text("device")
    assert smoke(18) in screen.text("device")
    page.keyboard.press("1")
    page.wait_for_selector("[data-test=alert-list]")
    assert screen.mistakes == []


def test_a_password_somebody_gave_out_must_be_replaced_before_anything_is_handled(
    browser: Browser, desk: Desk
) -> None:
    desk.alarm(smoke(7))
    screen = Screen(browser, desk.url)
    page = screen.page
    screen.sign_in("li", desk.given)
    page.wait_for_selector("[data-test=password-save]")
    screen.wait_for("window.tones > 0")  # the siren does not wait for a new password
    page.keyboard.press("Escape")
    page.fill("#ln-old", desk.given)
    page.fill("#ln-fresh", "tea by the river")
    page.fill("#ln-again", "tea by the rivers")
    page.keyboard.press("Enter")
    screen.wait_for("document.querySelector('.problem').innerText.includes('不一样')")
    page.fill("#ln-again", "tea by the river")
    page.keyboard.press("Enter")
    page.wait_for_selector("[data-test=password-save]", state="detached")
    screen.wait_live()
    page.wait_for_selector("[data-test=detail]")
    page.keyboard.press("a")
    screen.wait_for("document.querySelector('[data-test=state]').innerText.startsWith('已确认')")
    screen.close()


def test_of_two_windows_one_sounds_and_the_other_takes_over(desk: Desk, screen: Screen) -> None:
    first, second = screen.page, screen.another()
    wait_for(lambda: "已启用" in screen.text("sound"), "the first window is not armed")
    second.keyboard.press("Escape")
    wait_for(lambda: "另一窗口" in second.locator("[data-test=sound]").inner_text(), "both sound")
    desk.alarm(smoke(8))
    screen.wait_for("window.tones > 0")
    second.wait_for_selector("[data-test=alert-row]")
    assert second.evaluate("window.tones") == 0
    second.keyboard.press("m")
    wait_for(lambda: "静音" in screen.text("sound"), "a mute is not that of all windows")
    second.keyboard.press("Escape")
    first.close()
    second.locator("[data-test=sound] button").click()  # unmute
    wait_for(lambda: second.evaluate("window.tones") > 0, "nobody sounds any more")


def test_every_page_and_the_help_have_a_key_and_letters_in_a_field_are_only_letters(
    screen: Screen,
) -> None:
    page = screen.page
    page.keyboard.press("2")
    page.wait_for_selector("[data-test=device-list]")
    page.keyboard.press("/")
    page.keyboard.type("gas-001 3?")
    assert page.locator("[data-test=device-search]").input_value() == "gas-001 3?"
    page.keyboard.press("Escape")
    page.keyboard.press("3")
    page.wait_for_selector("[data-test=screens]")
    page.keyboard.press("?")
    page.wait_for_selector("[role=dialog]")
    page.keyboard.press("1")
    assert page.locator("[data-test=screens]").is_visible()  # keys rest under a dialog
    page.keyboard.press("Escape")
    page.wait_for_selector("[role=dialog]", state="hidden")
    page.keyboard.press("1")
    page.wait_for_selector("[data-test=alert-list]")
    assert screen.mistakes == []


def test_the_first_click_on_an_untouched_page_is_not_lost(desk: Desk, screen: Screen) -> None:
    screen.take_over()
    desk.alarm(smoke(9))
    desk.alarm(smoke(10), "unheard_of")
    screen.wait_rows(2)
    row = screen.page.locator("[data-test=alert-row]").nth(1)
    row.click()  # it also arms the sound, and the bar above goes
    screen.page.wait_for_selector("[data-test=sound-bar]", state="detached")
    assert row.get_attribute("aria-selected") == "true"
