"""Earlier splits: found again tomorrow, in another browser, for free."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement

from tests.page.conftest import SPLIT_TWO, Page
from tests.page.test_library import search, song_of
from tests.page.test_paid_once import choose, question

NEW_PROFILE = {"source": "sessionStorage.clear(); localStorage.clear()"}


def open_in_a_new_profile(page: Page) -> None:
    """Open the page in a browser that remembers nothing."""
    forget = page.browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", NEW_PROFILE)
    page.open()
    page.browser.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", forget)


def splits(page: Page) -> list[WebElement]:
    return [split for split in page.browser.find_elements(By.CSS_SELECTOR, "#splits li") if split.is_displayed()]


def newest(page: Page, *words: str) -> WebElement:
    """Return the first split of the list, once its text has these words."""

    def found() -> WebElement | None:
        first = next(iter(splits(page)), None)
        return first if first and all(word in first.text for word in words) else None

    return page.wait(found)


def test_splits_are_found_again_in_a_new_profile(page: Page) -> None:
    page.browser.execute_script("document.getElementById('earlier').open = true")
    page.split("song-waltz")
    page.wait_until_ready()
    newest(page, "Turning Room", "Voice and music", "kept here")
    search(page, "Turning Room")
    assert song_of(page, "Turning Room").text.endswith("kept here")

    page.suno.set(pace=2)
    try:
        page.split("song-changing-tempo")
        newest(page, "Restless Feet", "splitting… 0:0")
        open_in_a_new_profile(page)
        newest(page, "Restless Feet", "splitting… 0:0")
        page.press("Account")
        page.press("Use these")  # the same account again
        newest(page, "Restless Feet", "splitting… 0:").find_element(By.TAG_NAME, "button").click()
        page.find("button", "Splitting… 0:")
    finally:
        page.suno.set(pace=0.2)
    page.wait_until_ready()
    newest(page, "Restless Feet", "kept here")

    open_in_a_new_profile(page)
    newest(page, "kept here")
    second = splits(page)[1]
    second.find_element(By.TAG_NAME, "button").click()
    page.wait_until_ready()
    assert page.find("textbox", "Song link or id").get_property("value") == "song-waltz"
    assert [len(page.charges(song)) for song in ("song-waltz", "song-changing-tempo")] == [1, 1]
    assert page.complaints() == []


LISTED = """
const direct = window.fetch;
window.fetch = (...asked) =>
  String(asked[0]).includes("api/requests?") ? Promise.resolve(Response.json(given)) : direct(...asked);
"""


def test_made_stems_are_not_said_to_be_split_while_no_job_notes_them(page: Page) -> None:
    stems = page.service.get("/api/stems?audio_id=song-with-two").json()
    split = {
        **{"request_id": "old", "audio_id": "song-with-two", "stem_task": "two", "stem_name": None, "state": "done"},
        **{"created_at": datetime.now(UTC).isoformat(), "ready": False, "audio_format": "mp3"},
        "clips": [{**stem, "status": "submitted"} for stem in stems],
    }
    script = {"source": f"const given = {json.dumps([split])}; {LISTED}"}
    added = page.browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", script)
    page.open()
    page.browser.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", added)
    page.wait(lambda: page.text("elsewhere") == "The stems of Copper Field are ready.")
    newest(page, "fetching the audio")


def test_what_may_have_been_charged_elsewhere_is_not_paid_again_without_a_question(page: Page) -> None:
    song = "song-vocals-clipped"
    choose(page, song)
    page.run(
        """
        const send = window.fetch;
        const lost = { request_id: "lost", audio_id: given[0], stem_task: "two", stem_name: null, state: "in_doubt",
          created_at: new Date().toISOString(), clips: [], ready: false };
        window.fetch = (...asked) =>
          String(asked[0]).includes("api/requests?") ? Promise.resolve(Response.json([lost])) : send(...asked);
        """,
        song,
    )
    page.browser.execute_script("document.getElementById('earlier').open = true")
    page.press(SPLIT_TWO)
    page.press("Wait", question(page))
    assert "no reply from Suno" in newest(page).text
    assert page.charges(song) == []
    page.press(SPLIT_TWO)
    assert "It may have been charged" in question(page).text
    page.press("Split again", question(page))
    page.wait_until_ready()
    assert len(page.charges(song)) == 1
