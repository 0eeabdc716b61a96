"""Karaoke: the words run with the music, on one page for all tests of this module."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from selenium.webdriver import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from tests.npm import NODE
from tests.page.conftest import Page, emulated
from tests.page.test_for_everyone import check_for_everyone
from tests.page.test_mixer import keep_files

SONG, SECONDS = "song-changing-tempo", 16
EAR = 0.06  # seconds: the lit word may be as early or late

WATCH = """
const lit = () => document.querySelector("#stage .lit")?.textContent ?? "";
const now = () => [Number(document.getElementById("position").value), lit()];
const watched = async (seconds) => {
  const seen = [];
  for (const ends = performance.now() + seconds * 1000; performance.now() < ends; ) {
    await new Promise((resolve) => requestAnimationFrame(resolve));
    seen.push(now());
  }
  return seen;
};
const seek = (to) => {
  const position = document.getElementById("position");
  position.value = to;
  position.dispatchEvent(new Event("input"));
};
"""


@pytest.fixture(scope="module")
def page(tab: Page) -> Iterator[Page]:
    """Karaoke of a song, open."""
    tab.open_anew(audio_length=SECONDS)
    tab.service.post("/api/audio", json={"ids": ["song-hebrew", "song-instrumental"], "format": "mp3"})
    keep_files(tab, SONG, "mp3", SECONDS)
    open_karaoke(tab, is_first=True)
    yield tab
    tab.browser.get("about:blank")


def open_karaoke(page: Page, *, is_first: bool = False) -> None:
    page.enter(SONG + Keys.ENTER)
    page.press("Open the stems")
    page.wait_until_ready()
    if is_first:
        assert [path for path in loaded(page) if "karaoke" in path or "words.js" in path or "/lyrics/" in path] == []
    page.press("Karaoke")
    page.find("button", "Full screen")


def loaded(page: Page) -> list[str]:
    return page.run("return performance.getEntriesByType('resource').map(({ name }) => name);")


def seek(page: Page, seconds: float) -> None:
    page.run(WATCH + "seek(given[0]);", seconds)


def words_of(page: Page, song: str = SONG) -> list[dict[str, Any]]:
    lines = page.service.get(f"/api/lyrics/{song}.json").json()["lines"]
    return [word for line in lines for word in line["words"]]


def may_be_lit(words: list[dict[str, Any]], at: float) -> set[str]:
    """The words that may be lit at a time; "" for none. In a pause the last one may stay lit."""
    near = [word["text"].strip() for word in words if word["start_s"] - EAR <= at <= word["end_s"] + EAR]
    if any(word["start_s"] + EAR <= at <= word["end_s"] - EAR for word in words):
        return set(near)
    last = [word["text"].strip() for word in words if word["start_s"] <= at][-1:]
    return {*near, *last, ""}


def assert_in_time(seen: list[tuple[float, str]], words: list[dict[str, Any]]) -> None:
    assert [(at, lit) for at, lit in seen if lit not in may_be_lit(words, at)] == []


def test_the_lit_word_is_the_right_one_at_twenty_places(page: Page) -> None:
    words = words_of(page)
    spread = [
        at
        for word in words
        for at in (word["start_s"] + 0.02, (word["start_s"] + word["end_s"]) / 2, word["end_s"] - 0.02)
    ]
    places = [*spread, 0.0, 3.3, 7.7, 9.9, SECONDS - 0.1]
    script = "const seen = []; for (const at of given[0]) { seek(at); seen.push(now()); } return seen;"
    seen = page.run(WATCH + script, places)
    assert len(seen) == 20
    assert [round(at, 2) for at, _ in seen] == pytest.approx(places, abs=0.011)
    assert_in_time(seen, words)
    assert [lit for _, lit in seen[:15:3]] == [word["text"].strip() for word in words]


def test_the_words_run_with_the_music_also_after_a_seek_and_muted(page: Page) -> None:
    words = words_of(page)
    seek(page, words[1]["start_s"] - 0.4)
    page.press("Play")
    page.find("button", "Pause")
    ran = page.run(WATCH + "return await watched(1.2);")
    page.press("Mute", page.find("group", "Vocals"))
    script = WATCH + "seek(given[0]); const seen = await watched(1.4); return seen.slice(15);"
    after = page.run(script, words[3]["start_s"] - 0.3)
    page.press("Mute", page.find("group", "Vocals"))
    page.press("Pause")
    for seen, word in ((ran, words[1]), (after, words[3])):
        assert_in_time(seen, words)
        assert word["text"].strip() in {lit for _, lit in seen}


def test_a_click_on_a_line_jumps_there_and_the_next_line_is_ready(page: Page) -> None:
    first, second = page.service.get(f"/api/lyrics/{SONG}.json").json()["lines"]
    seek(page, SECONDS)
    page.press(first["text"])
    assert float(str(page.find("slider", "Position").get_property("value"))) == pytest.approx(first["start_s"])
    current, following = (page.browser.find_element(By.CSS_SELECTOR, f"#stage .{name}") for name in ("now", "next"))
    assert current.get_attribute("aria-current") == "true"
    assert (current.text, following.text) == (first["text"], second["text"])
    seek(page, second["start_s"] - 0.5)
    assert page.browser.find_element(By.CSS_SELECTOR, "#stage .now").text == second["text"]


def test_the_voice_is_off_a_guide_or_on(page: Page) -> None:
    vocals, voice = page.find("group", "Vocals"), page.find("group", "Voice")
    for name, is_silent, level in (("off", True, ""), ("guide", False, "12.0 dB"), ("on", False, "0.0 dB")):
        page.press(name, voice)
        assert ("silent" in vocals.get_attribute("class")) == is_silent
        assert level in vocals.text
        pressed = {each.text: each.get_attribute("aria-pressed") for each in page.all("button", "", voice)}
        assert pressed == {"off": "false", "guide": "false", "on": "false"} | {name: "true"}
    page.press("Mute", vocals)
    assert page.find("button", "off", voice).get_attribute("aria-pressed") == "true"
    ActionChains(page.browser).send_keys("vv").perform()
    assert page.find("button", "on", voice).get_attribute("aria-pressed") == "true"


def test_it_fills_the_screen_with_a_button_to_play(page: Page) -> None:
    page.press("Full screen")
    page.wait(lambda: page.browser.execute_script("return document.fullscreenElement?.id") == "stage")
    stage = page.browser.find_element(By.ID, "stage")
    assert [each.text for each in page.all("button", "P", stage)] == ["Play"]
    size = "return parseFloat(getComputedStyle(document.querySelector('#stage .now')).fontSize)"
    assert page.browser.execute_script(size) >= 48
    ActionChains(page.browser).send_keys("f").perform()
    page.wait(lambda: page.browser.execute_script("return document.fullscreenElement") is None)
    page.find("button", "Full screen")


@NODE
def test_axe_finds_no_violations_in_karaoke(page: Page, axe: str) -> None:
    seek(page, words_of(page)[1]["start_s"] + 0.1)
    check_for_everyone(page, axe)


def test_on_a_phone_the_words_are_large_and_the_targets_too(page: Page) -> None:
    with emulated(page, width=390, height=844, still=True):
        small = page.browser.execute_script(
            "return [...document.querySelectorAll('#stage button, #playing button')].filter((each) =>"
            " each.checkVisibility() && each.getBoundingClientRect().height < 44).map((each) => each.outerHTML)"
        )
        assert small == []
        size = "return parseFloat(getComputedStyle(document.querySelector('#stage .now')).fontSize)"
        assert page.browser.execute_script(size) >= 24
        script = "const list = document.querySelector('#stage ol'); seek(0); seek(given[0]); return list.scrollTop;"
        # Without motion, the words are at their place at once.
        top = page.run(WATCH + script, words_of(page)[-1]["start_s"])
        assert 0 < top == page.run("return document.querySelector('#stage ol').scrollTop;")


def test_the_lyrics_are_saved_as_lrc(page: Page) -> None:
    page.press("Save lyrics (LRC)")
    saved = page.downloaded("*.lrc")
    assert saved == page.service.get(f"/api/lyrics/{SONG}.lrc").content
    assert b"<00:" in saved


def test_it_is_closed_by_a_key_and_with_its_song(page: Page) -> None:
    seek(page, SECONDS)
    page.browser.execute_script("document.querySelector('#stage [aria-current]').focus()")
    ActionChains(page.browser).send_keys(Keys.ARROW_UP).perform()
    assert page.browser.execute_script("return document.activeElement.className") == "past"
    ActionChains(page.browser).send_keys("k").perform()
    assert page.browser.find_elements(By.ID, "stage") == []
    assert page.browser.execute_script("return document.activeElement.id") == "sing"
    ActionChains(page.browser).send_keys("k").perform()
    page.find("button", "Full screen")
    assert page.complaints() == []
    try:
        check_words_from_right_to_left(page)
        check_a_song_without_words(page)
    finally:
        open_karaoke(page)


def check_words_from_right_to_left(page: Page) -> None:
    """With *Listen*: there are no stems, and no voice to turn off."""
    page.enter("song-hebrew" + Keys.ENTER)
    page.wait(lambda: "שיר הים" in page.text("chosen"))
    assert page.browser.find_elements(By.ID, "stage") == []
    page.press("Listen")
    page.press("Karaoke")
    page.find("button", "Full screen")
    words = words_of(page, "song-hebrew")
    page.press("Pause")
    seek(page, words[1]["start_s"] + 0.05)
    direction, rights, lit = page.browser.execute_script(
        "const line = document.querySelector('#stage .now');"
        "return [getComputedStyle(line).direction,"
        " [...line.children].map((word) => word.getBoundingClientRect().right), line.querySelector('.lit').innerText]"
    )
    assert (direction, lit) == ("rtl", words[1]["text"].strip())
    assert rights == sorted(rights, reverse=True)
    assert page.all("group", "Voice") == []
    assert page.complaints() == []


def check_a_song_without_words(page: Page) -> None:
    page.enter("song-instrumental" + Keys.ENTER)
    page.wait(lambda: "Still Water" in page.text("chosen"))
    page.press("Listen")
    page.press("Karaoke")
    page.wait(lambda: "no words in time" in page.text("saving"))
