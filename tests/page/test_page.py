"""From a pasted link to files on disk. One click is one split, whatever happens in between."""

from __future__ import annotations

import re

import pytest
from selenium.webdriver import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement

from tests.conftest import SONG
from tests.page.conftest import SPLIT_TWO, Page, Relay, unzipped

LANTERNS, NIGHT_BUS = "a624123d-5b1e-4c0f-9a57-7b6f0e1d2c3b", "0b9e5f1c-2d47-4e6a-8c31-95a7d3f4e862"


def question(page: Page) -> WebElement:
    """Wait for the question before a split, and return its dialog."""
    return page.wait(lambda: page.browser.find_element(By.CSS_SELECTOR, "dialog[open]"))


def account_line(page: Page) -> str:
    """Return the line that the page should show for the account now."""
    limits = page.service.get("/api/get_limit").json()
    downloads = limits["downloads_limit"] - limits["downloads_used"]
    return f"Account default: {limits['credits_left']} credits, {downloads} downloads left"


def test_from_a_pasted_link_to_a_zip_on_disk(page: Page) -> None:
    page.enter(f"https://suno.com/song/{SONG}?sh=abc")
    page.wait(lambda: "Ocean Wanderer" in page.text("chosen"))
    words = rf"{SPLIT_TWO} about 10 credits( · this song's download, \d+ left)?"
    page.wait(lambda: re.fullmatch(words, page.find("button", SPLIT_TWO).accessible_name))
    page.press(SPLIT_TWO)
    page.wait_until_ready()
    assert page.parts() == ["Vocals", "Instrumental"]
    page.press("Download all", role="link")
    files = unzipped(page.downloaded("Ocean Wanderer - Stems.zip"))
    assert {name for name in files if name.endswith(".mp3")} == {"Vocals.mp3", "Instrumental.mp3"}
    vocals = page.find("group", "Vocals")
    page.press("Save MP3", vocals, role="link")
    assert page.downloaded("Ocean Wanderer - Vocals.mp3") == files["Vocals.mp3"]
    assert "The browser saves Ocean Wanderer - Vocals.mp3" in page.text("saving")
    page.press("Save session (DAWproject)", role="link")
    session = unzipped(page.downloaded("Ocean Wanderer*.dawproject"))
    assert session["Vocals.mp3"] == files["Vocals.mp3"]
    assert "project.xml" in session
    assert len(page.charges(SONG)) == 1
    page.wait(lambda: page.text("account") == account_line(page))
    assert page.complaints() == []


def test_playback_mute_solo_and_volume(page: Page) -> None:
    page.split(LANTERNS)
    page.wait_until_ready()
    page.press("Play")
    position = page.find("slider", "Position")
    page.wait(lambda: float(str(position.get_property("value"))) > 0.2)
    assert position.get_attribute("aria-valuetext").endswith("of 0:04")
    page.press("Pause")
    page.find("button", "Play")
    vocals, instrumental = page.find("group", "Vocals"), page.find("group", "Instrumental")
    page.press("Solo", vocals)
    assert "silent" in instrumental.get_attribute("class")
    assert "silent" not in vocals.get_attribute("class")
    page.press("Solo", vocals)
    page.press("Mute", vocals)
    assert page.find("button", "Mute", vocals).get_attribute("aria-pressed") == "true"
    assert "silent" in vocals.get_attribute("class")
    page.find("slider", "Volume", instrumental).send_keys(Keys.HOME)
    assert "silent" in instrumental.get_attribute("class")
    drawn = (
        "return arguments[0].querySelector('canvas').getContext('2d').getImageData(0, 0, 300, 50).data.some(Boolean)"
    )
    page.wait(lambda: page.browser.execute_script(drawn, vocals))
    page.press("Original")
    assert page.find("button", "Original").get_attribute("aria-pressed") == "true"
    assert page.complaints() == []


def test_the_page_works_with_the_keyboard_alone(page: Page) -> None:
    def until_focus(name: str) -> None:
        """Press Tab until this element has the focus."""
        for _ in range(80):
            if page.browser.switch_to.active_element.accessible_name.startswith(name):
                return
            ActionChains(page.browser).send_keys(Keys.TAB).perform()
        raise AssertionError(f"Tab never reaches {name}")

    def press(*keys: str) -> None:
        ActionChains(page.browser).send_keys(*keys).perform()

    until_focus("Song link or id")
    press("song-one-take", Keys.ENTER)
    page.wait(lambda: page.text("chosen"))
    until_focus(SPLIT_TWO)
    press(Keys.ENTER)
    page.wait_until_ready()
    page.browser.execute_script("document.activeElement.blur()")
    press(Keys.SPACE)
    page.find("button", "Pause")
    press(Keys.SPACE)
    page.find("button", "Play")
    position = page.find("slider", "Position")
    press(Keys.ARROW_RIGHT)
    assert position.get_property("value") == position.get_property("max")
    press(Keys.ARROW_LEFT)
    assert position.get_property("value") == "0"
    until_focus("Mute")
    press(Keys.SPACE)
    assert page.browser.switch_to.active_element.get_attribute("aria-pressed") == "true"
    page.find("button", "Play")


def test_a_double_click_pays_once(page: Page) -> None:
    page.suno.set(delay=1)
    page.enter("song-4-stems" + Keys.ENTER)
    page.wait(lambda: page.text("chosen"))
    ActionChains(page.browser).double_click(page.find("button", SPLIT_TWO)).perform()
    page.wait_until_ready()
    assert len(page.charges("song-4-stems")) == 1
    # Two takes of each part: the second takes are folded away, and are silent at first.
    assert page.parts() == ["Vocals", "Instrumental"]
    fold = page.browser.find_element(By.CSS_SELECTOR, "#tracks summary")
    assert fold.text == "2 second takes, muted"
    fold.click()
    assert page.parts() == ["Vocals", "Instrumental", "Vocals, take 2", "Instrumental, take 2"]
    silent = page.browser.find_elements(By.CSS_SELECTOR, "[role=group].silent")
    assert [group.accessible_name for group in silent] == ["Vocals, take 2", "Instrumental, take 2"]


def test_a_reload_in_the_middle_pays_once(page: Page) -> None:
    page.suno.set(delay=1.5)
    page.split(NIGHT_BUS)
    page.wait(lambda: page.charges(NIGHT_BUS) or "Asking Suno" in page.text("progress"))
    page.browser.refresh()
    page.wait_until_ready()
    assert len(page.charges(NIGHT_BUS)) == 1
    page.browser.refresh()
    page.wait_until_ready()
    assert page.parts() == ["Vocals", "Instrumental"]
    assert len(page.charges(NIGHT_BUS)) == 1


def test_a_cut_connection_pays_once(page: Page) -> None:
    page.suno.set(delay=1.5)
    with Relay(page.service) as relay:
        page.browser.get(relay.url)
        page.split("song-history")
        page.wait(lambda: "Asking Suno" in page.text("progress"))
        page.wait(lambda: page.suno.log("/api/edit/stems/song-history"))
        relay.cut()
        page.wait(lambda: "nothing is charged twice" in page.text("progress"))
        relay.restore()
        page.wait_until_ready()
    assert len(page.charges("song-history")) == 1


def test_existing_stems_are_offered_first(page: Page) -> None:
    page.split("song-with-two")
    page.press("Open them", question(page))
    page.wait_until_ready()
    assert page.charges("song-with-two") == []
    assert page.complaints() == []


def test_one_part_is_split_from_the_rest(page: Page) -> None:
    page.find("combobox", "Part").send_keys("Drum Kit")
    page.split("song-plain-history", "Split this part from the rest")
    page.wait_until_ready()
    assert page.parts() == ["Drum kit", "Without drum kit"]
    assert not page.all("button", "Save karaoke")
    [charge] = page.charges("song-plain-history")
    assert charge["task"] == "extract"


def test_the_files_are_offered_in_another_format(page: Page) -> None:
    page.split("song-late-ids")
    page.wait_until_ready()
    page.find("combobox", "Format").send_keys("M4A")
    link = page.find("link", "Save M4A")
    assert link.get_attribute("href").endswith(".m4a")
    page.wait(
        lambda: page.find("link", "Download all").get_attribute("href").partition("&")[2].startswith("format=m4a")
    )
    page.press("Download all", role="link")
    files = unzipped(page.downloaded("Slow Echo - Stems.zip"))
    assert {name for name in files if name.endswith(".m4a")} == {"Vocals.m4a", "Instrumental.m4a"}


def test_songs_are_listed_searched_and_chosen(page: Page) -> None:
    def songs() -> list[str]:
        listed = page.browser.find_elements(By.CSS_SELECTOR, "#songs li")
        return [song.text for song in listed if song.is_displayed()]

    page.wait(lambda: len(songs()) >= 20)
    to_the_end = "document.getElementById('library').scrollTop = 1e6"
    page.wait(lambda: page.browser.execute_script(to_the_end) or len(songs()) > 40)
    page.browser.execute_script("document.getElementById('library').scrollTop = 0")
    shown = page.browser.find_element(By.CSS_SELECTOR, "#songs img")
    page.wait(lambda: shown.get_property("naturalWidth") == 96)
    page.browser.find_element(By.ID, "search").send_keys("بحر")
    [found] = songs()
    assert "أغنية البحر" in found
    page.press("أغنية البحر")
    page.wait(lambda: "أغنية البحر" in page.text("chosen"))
    title = page.browser.find_element(By.CSS_SELECTOR, "#chosen h3")
    assert page.browser.execute_script("return getComputedStyle(arguments[0]).direction", title) == "rtl"
    assert page.complaints() == []


@pytest.mark.parametrize("song", ["", "https://suno.com/s/AbC", "no song of ours", "unknown-song"])
def test_an_invalid_song_shows_an_error(page: Page, song: str) -> None:
    page.split(song)
    page.wait(lambda: page.text("error"))
    expected = {
        "": "Which song?",
        "https://suno.com/s/AbC": "short link",
        "no song of ours": "no link or id of a song",
        "unknown-song": "Suno knows no such",
    }
    assert expected[song] in page.text("error")
    assert page.find("button", SPLIT_TWO).is_enabled()


def pending_keys(page: Page) -> list[str]:
    """Return the Idempotency-Keys of the splits that have no reply yet."""
    return page.browser.execute_script(
        "return Object.keys(JSON.parse(localStorage.getItem('suno-stems.splits') ?? '{}'))"
    )


def test_a_split_in_doubt_keeps_its_key_whatever_else_changes(page: Page) -> None:
    song = "fault-reset-before-reading"
    page.split(song)
    page.wait(lambda: "is not charged twice" in page.text("error"))
    [key] = pending_keys(page)
    # It does not continue by itself: the user decides.
    page.open()
    assert (page.text("chosen"), page.text("progress"), page.text("error")) == ("", "", "")
    page.choose_format("wav")
    page.press("Account")
    page.browser.find_element(By.NAME, "account").send_keys("default")
    page.press("Use these")
    page.wait(lambda: "Account default" in page.text("account"))
    page.press("Account")
    page.press("Forget them")
    page.wait(lambda: "Account default" in page.text("account"))
    page.split(song)
    page.wait(lambda: "nothing is charged twice" in page.text("progress"))
    assert pending_keys(page) == [key]
    page.browser.refresh()
    page.wait(lambda: "nothing is charged twice" in page.text("progress"))
    assert pending_keys(page) == [key]


def test_a_split_started_a_day_ago_does_not_continue_by_itself(page: Page) -> None:
    before = page.charges("song-roots")
    page.browser.execute_script(
        """
        const at = Date.now() - 24 * 3600 * 1000;
        const question = { audio_id: "song-roots", stem_task: "two" };
        localStorage.setItem(
          "suno-stems.splits", JSON.stringify({ old: { key: "old", question, at, who: "", underWay: true } }));
        """
    )
    page.browser.refresh()
    page.wait(lambda: page.text("account").strip())
    page.wait(lambda: page.find("button", SPLIT_TWO).is_enabled())
    assert (page.text("chosen"), page.text("error"), page.charges("song-roots")) == ("", "", before)


def test_a_new_account_sees_nothing_of_the_previous_one(page: Page) -> None:
    page.enter("song-with-two" + Keys.ENTER)
    page.press("Open the stems")
    page.wait_until_ready()
    page.press("Play")
    page.find("button", "Pause")
    page.press("Account")
    page.browser.find_element(By.NAME, "cookie").send_keys("sandbox-bob")
    page.press("Use these")
    page.wait(lambda: "Your own Suno account: 120 credits" in page.text("account"))
    assert page.text("chosen") == page.text("existing") == page.text("desk") == ""
    assert page.complaints() == []


def test_stems_opened_hours_ago_use_no_download_by_themselves(page: Page) -> None:
    stems = [stem["id"] for stem in old_stems(page)]
    open_then = "sessionStorage.setItem('suno-stems.open', JSON.stringify({ who: '', song: arguments[0], "
    open_then += "stems: arguments[1], at: Date.now() - 2 * 3600 * 1000 }))"
    page.browser.execute_script(open_then, "song-with-old-stems", stems)
    page.browser.get(f"{page.service.url}/#/song/song-with-old-stems")
    page.browser.refresh()
    page.find("button", "Open the stems")
    page.wait(lambda: page.text("progress") == "")
    assert page.text("desk") == ""
    assert "song-with-old-stems" not in page.suno.get("/sandbox/unlocks").json().get(page.account, [])


def test_another_tabs_split_is_named_and_what_is_left_read_again(page: Page) -> None:
    stems = page.service.get("/api/stems?audio_id=song-with-two").json()
    page.browser.execute_script(
        "const song = { id: 'song-with-two', title: null };"
        "const run = { who: '', kind: 'two', song, stems: arguments[0], at: Date.now() };"
        "localStorage.setItem('suno-stems.runs', JSON.stringify([run]))",
        [{"id": stem["id"], "title": stem["title"]} for stem in stems],
    )
    page.browser.refresh()
    page.wait(lambda: page.text("elsewhere") == "The stems of Copper Field are ready.")
    page.wait(lambda: page.text("account") == account_line(page))
    page.service.split("song-roots").raise_for_status()
    assert page.text("account") != account_line(page)
    page.browser.execute_script("document.dispatchEvent(new Event('visibilitychange'))")
    page.wait(lambda: page.text("account") == account_line(page))


def old_stems(page: Page) -> list[dict[str, str]]:
    return page.service.get("/api/stems?audio_id=song-with-old-stems").json()


def test_an_invalid_cookie_is_reported_at_once(page: Page) -> None:
    page.press("Account")
    page.browser.find_element(By.NAME, "cookie").send_keys("eyJhbGci…")
    page.press("Use these")
    assert '"Suno cookie" has characters that are not allowed' in page.text("error")


def test_finished_stems_are_offered_if_others_were_opened_meanwhile(page: Page) -> None:
    page.enter("song-with-twelve" + Keys.ENTER)
    page.wait(lambda: page.text("chosen"))
    page.suno.set(pace=1)
    try:
        page.press("Split this part from the rest")
        page.find("group", "Lead vocal")
        page.press("Open the stems")
        page.wait(
            lambda: "lead vocal and without lead vocal" in page.find("button", "Open the stems").accessible_name
        )
        page.wait(lambda: len(page.parts()) == 12)
    finally:
        page.suno.set(pace=0.2)
    assert len(page.charges("song-with-twelve")) == 1
