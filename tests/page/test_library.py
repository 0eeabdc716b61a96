"""The library: which songs are split, how they are found, and the address of each."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.select import Select

from tests.conftest import SONG
from tests.page.conftest import SPLIT_TWO, Page

MANY = """
const direct = window.fetch;
window.fetch = async (path, options) => {
  const page = /^\\/?api\\/get\\?page=(\\d+)$/.exec(path)?.[1];
  if (page === undefined) return direct(path, options);
  const songs = Array.from({ length: page < 53 ? 20 : 0 }, (_, i) => page * 20 + i).filter((number) => number < 1050);
  const clip = (number) => ({ id: `song-${number}`, title: `Song number ${number}`, has_stems: number === 1040 });
  return new Response(JSON.stringify(songs.map(clip)), { headers: { "Content-Type": "application/json" } });
};
"""


ONE = """
const direct = window.fetch;
window.isCut = true;
window.fetch = async (path, options) => {
  const page = /^\\/?api\\/get\\?page=(\\d+)$/.exec(path)?.[1];
  if (page === undefined) return direct(path, options);
  if (page > 0 && window.isCut) throw new TypeError("Failed to fetch");
  const songs = page > 0 ? [] : [{ id: "song-1", title: "🎤 ".repeat(40) + "שיר", has_stems: false }];
  return new Response(JSON.stringify(songs), { headers: { "Content-Type": "application/json" } });
};
"""


def songs(page: Page) -> list[WebElement]:
    # In one command: to ask for each of a thousand songs takes WebDriver half a minute.
    return page.browser.execute_script(
        "return [...document.querySelectorAll('#songs li')].filter((song) => song.checkVisibility())"
    )


def loaded(page: Page) -> int:
    return page.browser.execute_script("return document.querySelectorAll('#songs li').length")


def song_of(page: Page, title: str) -> WebElement:
    """Return the song with this title, once it is loaded."""
    return page.wait(lambda: next((song for song in songs(page) if title in song.text), None))


def search(page: Page, words: str) -> None:
    field = page.browser.find_element(By.ID, "search")
    field.clear()
    field.send_keys(words)


def which(page: Page, choice: str) -> None:
    Select(page.browser.find_element(By.ID, "which")).select_by_visible_text(choice)


@pytest.fixture
def listed(page: Page, request: pytest.FixtureRequest) -> Iterator[Page]:
    """The page with another list of songs: a script that replaces it."""
    added = page.browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": request.param})
    page.open()
    yield page
    page.browser.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", added)


def test_songs_are_marked_and_filtered_by_whether_they_are_split(page: Page) -> None:
    search(page, "Copper Field")
    assert "split" in song_of(page, "Copper Field").text
    search(page, "Half a Whisper Two")
    page.wait(lambda: "No song has “Half a Whisper Two” in its title" in page.text("more"))
    search(page, "")
    which(page, "Split")
    song_of(page, "Copper Field")
    assert all("split" in song.text for song in songs(page))
    which(page, "Not split")
    page.wait(lambda: songs(page) and not any("split" in song.text.splitlines() for song in songs(page)))


def test_a_song_that_is_being_split_is_marked_so(page: Page) -> None:
    search(page, "Crowded Room")
    page.suno.set(pace=1)
    try:
        page.split("song-feed-429")
        page.wait(lambda: "splitting…" in song_of(page, "Crowded Room").text)
        page.wait(lambda: "Splitting…" in page.browser.title)
    finally:
        page.suno.set(pace=0.2)
    page.wait_until_ready()
    assert page.text("elsewhere") == "The balance fell by 10 credits meanwhile."
    marks = song_of(page, "Crowded Room").find_elements(By.CSS_SELECTOR, ".mark")
    assert "split" in [mark.text for mark in marks]
    assert page.browser.title == "Crowded Room · Suno Stems"
    shown = page.browser.find_element(By.CSS_SELECTOR, "#songs [aria-current=true]")
    assert "Crowded Room" in shown.text


def test_a_day_later_the_stems_are_found_again_for_free(page: Page) -> None:
    """Another browser, which remembers nothing: Suno does."""
    before = len(page.charges("song-with-twelve"))
    which(page, "Split")
    song_of(page, "Glass Orchard").find_element(By.TAG_NAME, "button").click()
    page.find("button", "Open the stems")
    page.browser.execute_script(
        "const direct = fetch; window.fetch = async (path, options) => path.includes('get_limit')"
        " ? Promise.reject(new TypeError('Failed to fetch')) : direct(path, options)"
    )
    page.press("Open the stems")
    page.wait_until_ready()
    page.wait(lambda: page.text("account") == "What the account has left could not be read.")
    page.wait(lambda: "kept here" in song_of(page, "Glass Orchard").text)
    assert len(page.charges("song-with-twelve")) == before


def test_a_song_has_an_address(page: Page) -> None:
    page.browser.get(f"{page.service.url}/#/song/song-with-two")
    page.browser.refresh()
    page.wait(lambda: "Copper Field" in page.text("chosen"))
    song_of(page, "Ocean Wanderer").find_element(By.TAG_NAME, "button").click()
    page.wait(lambda: "Ocean Wanderer" in page.text("chosen"))
    page.browser.back()
    page.wait(lambda: "Copper Field" in page.text("chosen"))
    assert page.find("textbox", "Song link or id").get_property("value") == "song-with-two"
    page.browser.refresh()
    page.wait(lambda: "Copper Field" in page.text("chosen"))
    page.browser.forward()
    page.wait(lambda: "Ocean Wanderer" in page.text("chosen"))
    page.leave()
    page.browser.get(f"{page.service.url}/#/song/{SONG.upper()}")
    page.wait(lambda: "Ocean Wanderer" in page.text("chosen"))
    page.wait(lambda: song_of(page, "Ocean Wanderer").find_elements(By.CSS_SELECTOR, "[aria-current=true]"))


@pytest.mark.parametrize("listed", [ONE], indirect=True, ids=["one"])
def test_a_search_does_not_hide_that_the_list_could_not_be_loaded(listed: Page) -> None:
    page = listed
    page.wait(lambda: "could not be reached" in page.text("more"))
    search(page, "zzz")
    assert songs(page) == []
    assert page.text("more") == "The service could not be reached. Check your connection. Try again"
    page.browser.execute_script("window.isCut = false")
    page.press("Try again")
    page.wait(lambda: page.text("more") == "No song has “zzz” in its title. There is 1 song.")


@pytest.mark.parametrize("listed", [MANY], indirect=True, ids=["many"])
def test_more_than_a_thousand_songs_are_listed_and_found(listed: Page) -> None:
    page = listed
    page.wait(lambda: loaded(page) >= 20)
    assert loaded(page) < 200
    search(page, "number 1049")
    [found] = page.wait(lambda: songs(page) if loaded(page) == 1050 else None)
    assert "Song number 1049" in found.text
    search(page, "")
    which(page, "Split")
    [found] = songs(page)
    assert "Song number 1040" in found.text
    search(page, "nothing")
    assert page.text("more") == "No split song has “nothing” in its title. There are 1050 songs."


def test_on_a_phone_there_is_one_pane_and_a_way_back(page: Page) -> None:
    metrics = {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}
    page.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        page.open()
        assert not page.all("button", SPLIT_TWO)
        song_of(page, "Ocean Wanderer").find_element(By.TAG_NAME, "button").click()
        page.find("button", SPLIT_TWO)
        assert not page.all("textbox", "Song link or id")
        assert page.browser.switch_to.active_element.accessible_name == "All songs"
        page.browser.switch_to.active_element.send_keys(Keys.ENTER)
        page.find("textbox", "Song link or id")
        assert not page.all("button", SPLIT_TWO)
        page.browser.back()
        page.find("button", SPLIT_TWO)
        small = page.browser.execute_script(
            "return [...document.querySelectorAll('button, input:not([type=range]), select, nav a, #back a')]"
            ".filter((each) => each.checkVisibility() && each.getBoundingClientRect().height < 44)"
            ".map((each) => each.outerHTML)"
        )
        assert small == []
    finally:
        page.browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
