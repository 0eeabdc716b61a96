"""What reaches people beside the page: sound, notifications, media keys, forced colours. What closed songs leave."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement

from tests.page.conftest import SPLIT_TWO, Page
from tests.page.test_desk import open_stems, play_label
from tests.page.test_paid_once import choose
from tests.page.test_stillness import WATCH_SHIFTS, shifts

LISTEN = """
window.rung = [];
window.isAway = false;
window.refuses = false;
Object.defineProperty(document, "hidden", { configurable: true, get: () => window.isAway });
window.Notification = class {
  static permission = "default";
  static async requestPermission() { return (this.permission = "granted"); }
  constructor(title, { body }) {
    if (window.refuses) throw new TypeError("Illegal constructor"); // as on phones
    window.rung.push(body);
  }
};
const { start } = OscillatorNode.prototype;
OscillatorNode.prototype.start = function (at) {
  window.rung.push(this.frequency.value);
  return start.call(this, at);
};
window.handlers = {};
navigator.mediaSession.setActionHandler = (action, act) => (window.handlers[action] = act);
"""


@pytest.fixture
def watched(page: Page) -> Iterator[Page]:
    """The page with its sounds, notifications and media keys noted."""
    added = page.browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": LISTEN})
    page.open()
    yield page
    page.browser.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", added)


def rung(page: Page) -> list[Any]:
    return page.browser.execute_script("return window.rung")


def media_keys_play_pause_and_seek(page: Page) -> None:
    assert page.run("return navigator.mediaSession.metadata.title") == "Cut Short"

    def press(key: str, more: str = "{}") -> None:
        page.browser.execute_script(f"window.handlers.{key}({more})")

    position = page.find("slider", "Position")
    press("play")
    page.wait(lambda: play_label(page) == "Pause")
    press("play")
    press("pause")
    page.wait(lambda: play_label(page) == "Play")
    for key, more, seconds in (
        ("seekto", "{seekTime: 3}", 3),
        ("seekforward", "{}", 8),
        ("seekbackward", "{}", 3),
        ("seekbackward", "{}", 0),
    ):
        press(key, more)
        assert float(str(position.get_property("value"))) == seconds
    assert page.run("return navigator.mediaSession.playbackState") == "paused"


def test_media_keys_work_and_the_end_of_a_split_is_heard_if_one_looks_elsewhere(watched: Page) -> None:
    page = watched
    page.suno.set(audio_length=12)
    choose(page, "song-vocals-short")
    page.browser.execute_script(WATCH_SHIFTS)
    page.suno.set(pace=1)
    try:
        page.press(SPLIT_TWO)
        page.press("Notify me when it is ready")
    finally:
        page.suno.set(pace=0.2)
    page.wait_until_ready()
    assert rung(page) == [], "who looks at the page needs no bell"
    assert shifts(page) == []
    media_keys_play_pause_and_seek(page)
    page.browser.execute_script("window.isAway = true")
    page.press("Split every instrument")
    page.wait(lambda: rung(page) == ["The stems of Cut Short are ready.", 660, 880])
    page.browser.execute_script("window.rung = []; window.refuses = true")
    page.split("fault-402")
    page.wait(lambda: rung(page) == [660, 880])
    # Of a song that is no longer shown.
    page.suno.set(delay=1)
    page.split("fault-403-plan")
    page.wait(lambda: "Splitting…" in page.browser.title)
    page.suno.set(delay=0)
    page.browser.execute_script("location.hash = '#/song/song-vocals-short'")
    page.wait(lambda: "Fault 403-plan could not be split." in page.text("elsewhere"))
    assert [said for said in page.complaints() if "402" not in said and "403" not in said] == []


def test_what_is_pressed_is_seen_in_forced_colours(page: Page) -> None:
    open_stems(page, "song-with-two")
    vocals = page.find("group", "Vocals")
    mute, solo = page.find("button", "Mute", vocals), page.find("button", "Solo", vocals)

    def colours(button: WebElement) -> str:
        return button.value_of_css_property("background-color") + button.value_of_css_property("color")

    forced = {"features": [{"name": "forced-colors", "value": "active"}]}
    page.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", forced)
    try:
        assert colours(mute) == colours(solo)
        page.press("Mute", vocals)
        assert colours(mute) != colours(solo)
    finally:
        page.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_songs_that_were_opened_leave_no_nodes_and_listeners(page: Page) -> None:
    def counted() -> tuple[int, int]:
        page.browser.execute_cdp_cmd("HeapProfiler.collectGarbage", {})
        found = page.browser.execute_cdp_cmd("Memory.getDOMCounters", {})
        return found["nodes"], found["jsEventListeners"]

    def open_both() -> tuple[int, int]:
        for song in ("song-with-old-stems", "song-with-two"):
            open_stems(page, song)
        page.wait(lambda: not page.text("progress"))
        return counted()

    nodes, listeners = open_both()
    more_nodes, more_listeners = open_both()
    assert more_nodes - nodes < 50
    assert more_listeners - listeners < 10
    assert page.browser.find_elements(By.CSS_SELECTOR, "#tracks [role=group]")
