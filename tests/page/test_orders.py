"""Many songs on the page: chosen, priced, paid once, followed."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.select import Select

from app.web.errors import OverLimit
from tests.conftest import NUMBERS, until
from tests.npm import NODE
from tests.page.conftest import Page, emulated, unzipped
from tests.page.test_for_everyone import check_for_everyone

LOST_REPLY = """
const direct = window.fetch;
window.fetch = async (path, options) => {
  const isOrder = path === "api/orders" && !JSON.parse(options.body ?? "{}").quote;
  if (isOrder) window.sent = (window.sent ?? 0) + 1;
  const response = await direct(path, options);
  return isOrder ? new Promise(() => {}) : response;
};
"""

REFUSED = """
const direct = window.fetch;
window.fetch = async (path, options) => {
  const isOrder = path === "api/orders" && !JSON.parse(options.body ?? "{}").quote;
  if (isOrder) window.sentKeys = [...(window.sentKeys ?? []), options.headers["Idempotency-Key"]];
  return isOrder ? new Response(JSON.stringify(refusal), { status: 402 }) : direct(path, options);
};
"""

SLOW_ACCOUNT = """
const direct = window.fetch;
window.fetch = async (path, options) => {
  if (path === "api/get_limit") await new Promise((resolve) => (window.goOn = resolve));
  return direct(path, options);
};
"""


def orders(page: Page) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = page.service.get("/api/orders").json()
    return found


def order(page: Page, songs: list[str], **more: Any) -> str:
    """Order songs without the page. Return the order's id."""
    headers = {"Idempotency-Key": f"page-{next(NUMBERS)}"}
    reply = page.service.post("/api/orders", json={"songs": songs, "on_captcha": "wait", **more}, headers=headers)
    assert reply.status_code == 202, reply.text
    id: str = reply.json()["id"]
    return id


def show(page: Page, id: str) -> None:
    page.browser.execute_script("location.hash = arguments[0]", f"#/order/{id}")
    page.wait(lambda: "songs" in page.text("order-status"))


def wait_for_state(page: Page, words: str) -> None:
    page.wait(lambda: page.text("order-status").startswith(words))


def boxes(page: Page) -> list[WebElement]:
    return page.browser.find_elements(By.CSS_SELECTOR, "#songs li:not([hidden]) > [role=checkbox]")


def choose(page: Page, words: str) -> None:
    """Search for songs in the library, and choose all that are found, by keyboard."""
    search = page.browser.find_element(By.ID, "search")
    search.clear()
    search.send_keys(words)
    page.wait(lambda: boxes(page) and all(words in box.text for box in boxes(page)))
    for box in boxes(page):
        box.send_keys(Keys.SPACE)


def table(page: Page) -> list[list[str]]:
    """The cells of the price, by song."""
    rows = (
        "[...document.querySelectorAll('.quote tbody tr')].map((row) => [...row.cells].map((cell) => cell.innerText))"
    )
    found: list[list[str]] = page.browser.execute_script(f"return {rows}")
    return found


def targets_that_are_small(page: Page) -> list[str]:
    """What a finger would miss on a phone."""
    script = """
        return [...document.querySelectorAll('button, select, nav a, #order-pane a')].filter(
          (each) => each.checkVisibility() && each.getBoundingClientRect().height < 44).map((each) => each.outerHTML)
    """
    with emulated(page, width=390):
        small: list[str] = page.browser.execute_script(script)
    return small


@pytest.fixture(autouse=True)
def _ended_orders(page: Page) -> Iterator[None]:
    """End the orders of a test, and wait for what they pay: an order looks at the balance, that others change too."""
    yield
    for one in orders(page):
        if one["state"] in ("running", "paused"):
            page.service.request("DELETE", f"/api/orders/{one['id']}").raise_for_status()
    until(
        lambda: (
            not any(song["state"] == "running" and song["credits"] for one in orders(page) for song in one["songs"])
        )
    )


@pytest.fixture
def lost_reply(page: Page) -> Iterator[Page]:
    """The page, in which the replies to orders do not arrive."""
    added = page.browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": LOST_REPLY})
    page.open()
    page.browser.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", added)
    yield page


def test_a_playlist_is_priced_paid_once_and_followed_to_its_end(page: Page) -> None:
    before = len(orders(page))
    page.enter("My playlist https://suno.com/playlist/playlist-of-2?sh=x" + Keys.ENTER)
    page.find("button", "Split 2 songs · 20 credits")
    assert table(page) == [[f"Library Song {number}", "split", "10"] for number in (1, 2)]
    Select(page.find("combobox", "Stems")).select_by_visible_text("Every instrument")
    page.find("button", "Split 2 songs · 100 credits")
    Select(page.find("combobox", "Stems")).select_by_visible_text("Voice and music")
    pay = page.find("button", "Split 2 songs · 20 credits")
    first = page.browser.current_window_handle
    page.browser.execute_script("window.open(location.href)")  # a copy of this tab, with the same price
    [second] = [handle for handle in page.browser.window_handles if handle != first]
    page.browser.switch_to.window(second)
    page.find("button", "Split 2 songs · 20 credits")
    page.browser.switch_to.window(first)
    page.browser.execute_script("arguments[0].click(); arguments[0].click()", pay)
    page.wait(lambda: "#/order/" in page.browser.current_url)
    address = page.browser.current_url
    page.browser.switch_to.window(second)
    page.press("Split 2 songs · 20 credits")
    page.wait(lambda: page.browser.current_url == address)
    page.browser.close()
    page.browser.switch_to.window(first)
    page.browser.refresh()
    wait_for_state(page, "Done: 2 of 2 songs are done.")
    assert "It has spent 20 credits." in page.text("order-pane")
    assert len(orders(page)) == before + 1
    assert orders(page)[0]["max_credits"] == 20
    assert [len(page.charges(f"song-library-{number}")) for number in (1, 2)] == [1, 1]
    page.press("Library Song 2", role="link")
    page.find("button", "Open the stems")
    page.browser.back()
    wait_for_state(page, "Done")
    page.press("Orders", role="link")
    page.press("Library Song 1 and 1 more", role="link")
    wait_for_state(page, "Done")
    assert page.complaints() == []


@NODE
def test_chosen_songs_have_a_price_which_a_change_of_the_choice_ends(lost_reply: Page, axe: str) -> None:
    page = lost_reply
    page.press("Select")
    page.wait(lambda: boxes(page))
    choose(page, "Copper Field")
    choose(page, "أغنية البحر")
    page.wait(lambda: page.text("chosen-count") == "2 songs chosen")
    page.press("See the price")
    page.find("button", "Split 1 song · 10 credits")
    check_for_everyone(page, axe)
    assert targets_that_are_small(page) == []
    assert sorted(row[1:] for row in table(page)) == [["has stems already", "0"], ["split", "10"]]
    boxes(page)[0].send_keys(Keys.SPACE)
    assert page.all("button", "Split 1 song") == []
    Select(page.find("combobox", "Files")).select_by_visible_text("MP3")
    page.press("Fetch the stems of 1 song · 1 download")
    page.wait(lambda: page.browser.execute_script("return window.sent"))
    page.wait(lambda: [one for one in orders(page) if one["audio_format"] == "mp3"])
    page.browser.refresh()
    page.wait(lambda: "#/order/" in page.browser.current_url)
    wait_for_state(page, "Done: 1 of 1")
    assert sum(one["audio_format"] == "mp3" for one in orders(page)) == 1
    assert "It has spent 0 credits and 1 download." in page.text("order-pane")
    page.press("Download all", role="link")
    assert len(unzipped(page.downloaded("Order * - Stems.zip"))) > 2


def test_a_refused_order_is_priced_again(page: Page) -> None:
    page.enter("https://suno.com/playlist/playlist-of-2" + Keys.ENTER)
    Select(page.find("combobox", "Stems")).select_by_visible_text("Every instrument")
    page.find("button", "Split 2 songs")
    refusal = {"code": "over_limit", "error": str(OverLimit()), "request_id": "r"}
    page.browser.execute_script(f"const [refusal] = arguments; {REFUSED}", refusal)
    page.press("Split 2 songs")
    page.wait(lambda: "No song fits the price that was shown." in page.text("error"))
    assert page.all("button", "Split 2 songs") == []
    page.press("Show the price")
    page.press("Split 2 songs")
    page.wait(lambda: page.browser.execute_script("return new Set(window.sentKeys).size === 2"))


def test_an_order_of_another_tab_is_sent_again_without_leaving_the_song(page: Page) -> None:
    body = {"songs": ["song-with-two"], "stem_task": "two", "max_credits": 0}
    entries = {
        key: {"key": key, "question": of, "who": "", "at": time.time() * 1000, "underWay": True}
        for key, of in {"page-wrong": {**body, "songs": []}, "page-lost": body}.items()
    }
    page.browser.execute_script("localStorage['suno-stems.orders'] = arguments[0]", json.dumps(entries))
    page.browser.execute_script("location.hash = '#/song/song-with-two'")
    page.browser.refresh()
    link = page.find("link", "An order of several songs")
    assert page.browser.current_url.endswith("#/song/song-with-two")
    page.find("button", "Open the stems")
    assert [entry for entry in orders(page) if entry["songs"][0]["song_id"] == "song-with-two"]
    link.click()
    wait_for_state(page, "Done: 1 of 1")


def test_a_paused_order_goes_on_after_a_question_that_names_the_sum(page: Page) -> None:
    id = order(page, ["song-library-11", "song-library-12"], max_credits=10)
    added = page.browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": SLOW_ACCOUNT})
    page.browser.refresh()
    page.browser.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", added)
    page.wait(lambda: page.browser.execute_script("return window.goOn !== undefined"))
    show(page, id)
    shown = page.find("button", "Go on")
    page.browser.execute_script("goOn()")
    page.wait(lambda: page.text("account").strip())
    assert page.find("button", "Go on") == shown
    page.press("Go on")
    page.press("Go on · up to 10 credits more")
    page.wait(lambda: "20 credits" in page.text("order-pane"))
    assert len(page.charges("song-library-11")) == len(page.charges("song-library-12")) == 1


def test_a_question_does_not_lower_the_limit_that_another_tab_has_raised_meanwhile(page: Page) -> None:
    id = order(page, ["song-library-13", "song-library-14"], max_credits=10)
    show(page, id)
    page.press("Go on")
    page.find("button", "Go on · up to 10 credits more")
    page.service.post(f"/api/orders/{id}/again", json={"max_credits": 50}).raise_for_status()
    page.press("Go on · up to 10 credits more")
    wait_for_state(page, "Done: 2 of 2")
    assert page.service.get(f"/api/orders/{id}").json()["max_credits"] == 50


@NODE
def test_an_order_waits_for_a_person_and_is_stopped(page: Page, axe: str) -> None:
    account = {"account": page.account}
    page.suno.set(edit_route="404")
    page.suno.post("/sandbox/person", json={**account, "action": "want"}).raise_for_status()
    try:
        id = order(page, ["song-library-21", "song-library-22"], max_credits=20)
        show(page, id)
        wait_for_state(page, "Waits for you: 0 of 2")
        link = page.find("link", "Open the song at suno.com")
        assert link.get_attribute("href") == "https://suno.com/song/song-library-21"
        check_for_everyone(page, axe)
        assert targets_that_are_small(page) == []
        page.press("Stop this order")
        wait_for_state(page, "Stopped: 0 of 2")
        assert "It has spent 0 credits." in page.text("order-pane")
    finally:
        page.suno.post("/sandbox/person", json={**account, "action": "solve"}).raise_for_status()
        page.suno.set(edit_route="there")
