"""Nothing is paid for twice by mistake, and nothing that was paid for vanishes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement

from tests.conftest import NUMBERS
from tests.page.conftest import SPLIT_TWO, Page


def question(page: Page) -> WebElement:
    """Wait for the question before a split, and return its dialog."""
    return page.wait(lambda: page.browser.find_element(By.CSS_SELECTOR, "dialog[open]"))


def ask_to_split(page: Page, song: str) -> WebElement:
    """Press the button of a song that has stems, and return the dialog of the question."""
    choose(page, song)
    page.press(SPLIT_TWO)
    return question(page)


def choose(page: Page, song: str) -> None:
    """Show a song, and wait until its stems are known."""
    page.enter(song + Keys.ENTER)
    page.wait(lambda: page.text("chosen"))


def can_split(page: Page) -> bool:
    """Whether the song's first split button can be pressed: no split goes on, and none is being prepared."""
    return any(button.is_enabled() for button in page.all("button", SPLIT_TWO))


@contextmanager
def slowly(page: Page, pace: float) -> Iterator[None]:
    """Let each stage of new stems take `pace` seconds."""
    page.suno.set(pace=pace)
    try:
        yield
    finally:
        page.suno.set(pace=0.2)


@pytest.mark.parametrize("song", ["song-stem-fails", "song-stem-vanishes"])
def test_a_failed_stem_stays_in_its_row_with_reason_charge_and_next_step(page: Page, song: str) -> None:
    paid = len(page.charges(song))
    choose(page, song)
    page.press(SPLIT_TWO)
    if paid:
        page.press("Split again", question(page))
    page.wait_until_ready()
    assert page.parts() == ["Vocals"]
    failed = page.find("group", "Instrumental")
    assert "Failed. This stem could not be separated" in failed.text
    assert "The balance fell by 10 credits meanwhile." in failed.text
    page.press("Split again…", failed)
    assert "instrumental failed" in question(page).text
    page.press("Cancel", question(page))
    assert len(page.charges(song)) == paid + 1
    if song == "song-stem-fails":
        page.browser.refresh()
        page.wait_until_ready()
        failed = page.find("group", "Instrumental")
        page.wait(lambda: "Failed. This stem could not be separated" in failed.text)
        assert "Suno charged for the split" in failed.text


def test_the_split_button_is_the_progress_and_a_second_split_needs_an_answer(page: Page) -> None:
    song = "song-weights"
    choose(page, song)
    with slowly(page, 1):
        page.press(SPLIT_TWO)
        button = page.find("button", "Splitting… 0:0")
        assert not button.is_enabled()
        page.browser.execute_script("arguments[0].click()", button)
        page.find("group", "Instrumental")
    page.wait_until_ready()
    page.press(SPLIT_TWO)
    asked = question(page)
    assert "This song has vocals and instrumental already, made on" in asked.text
    assert "costs about 10 credits" in asked.text
    page.press("Cancel", asked)
    assert page.find("button", SPLIT_TWO).is_enabled()
    assert len(page.charges(song)) == 1
    page.press(SPLIT_TWO)
    page.press("Split again", question(page))
    page.wait(lambda: len(page.charges(song)) == 2)
    page.wait_until_ready()
    # The earlier ones; the new ones are open.
    page.wait(lambda: len(page.all("button", "Open vocals and instrumental")) == 1)


def test_the_desk_belongs_to_the_song_that_is_shown(page: Page) -> None:
    choose(page, "song-with-two")
    page.press("Open the stems")
    page.wait_until_ready()
    page.press("Play")
    choose(page, "song-with-twelve")
    page.find("button", "Open the stems")
    assert page.text("desk") == ""
    assert not page.all("button", "Save karaoke")
    page.browser.back()
    page.wait(lambda: "Copper Field" in page.text("chosen"))
    assert page.text("desk") == ""


def test_a_split_goes_on_while_another_song_is_shown(page: Page) -> None:
    song = "song-wrapped-beats"
    choose(page, song)
    with slowly(page, 1):
        page.press(SPLIT_TWO)
        page.find("group", "Vocals")
        choose(page, "song-with-twelve")
        assert page.text("desk") == ""
        assert page.find("button", SPLIT_TWO).is_enabled()
    page.wait(lambda: "The stems of Paper Drum are ready" in page.text("elsewhere"))
    choose(page, song)
    page.press("Open the stems")
    page.wait_until_ready()
    assert len(page.charges(song)) == 1


def test_a_stale_tab_finds_the_free_stems_before_it_pays(page: Page) -> None:
    song = "song-shuffled"
    choose(page, song)
    body = {"audio_id": song, "wait_audio": True}
    assert page.service.post("/api/generate_stems", json=body).status_code == 200
    page.press(SPLIT_TWO)
    asked = question(page)
    assert "vocals and instrumental" in asked.text.lower()
    asked.send_keys(Keys.ESCAPE)
    page.wait(lambda: not page.browser.find_elements(By.CSS_SELECTOR, "dialog"))
    assert len(page.charges(song)) == 1


@contextmanager
def second_tab(page: Page) -> Iterator[tuple[str, str]]:
    """Open a second tab and go to it. Yield the handles of both; close the second at the end."""
    first = page.browser.current_window_handle
    page.browser.switch_to.new_window("tab")
    second = page.browser.current_window_handle
    try:
        page.browser.get(page.service.url)
        yield first, second
    finally:
        page.browser.switch_to.window(second)
        page.browser.close()
        page.browser.switch_to.window(first)


def test_two_tabs_on_one_song_pay_once(page: Page) -> None:
    song = "song-unplaced"
    choose(page, song)
    with second_tab(page) as (first, second):
        choose(page, song)
        page.suno.set(delay=1.5)
        page.press(SPLIT_TWO)
        page.find("button", "Splitting…")
        page.browser.switch_to.window(first)
        page.press(SPLIT_TWO)
        # On a busy machine the split of the other tab may have ended by now: then there is a question.
        page.wait(lambda: page.all("link", "Download all") or page.all("button", "Open them"))
        if page.all("button", "Open them"):
            page.press("Open them")
        page.wait_until_ready()
        assert len(page.charges(song)) == 1
        page.browser.switch_to.window(second)
        page.wait_until_ready()
        assert len(page.charges(song)) == 1


def test_two_tabs_at_the_same_question_pay_once(page: Page) -> None:
    song = "song-with-two"
    paid = len(page.charges(song))
    ask_to_split(page, song)
    with second_tab(page) as (first, _):
        page.press("Split again", ask_to_split(page, song))
        page.wait(lambda: len(page.charges(song)) > paid)
        page.browser.switch_to.window(first)
        page.press("Split again", question(page))
        # The split of the other tab goes on here too; if it has ended by now, it is asked about.
        asked = (By.CSS_SELECTOR, "dialog[open]")
        page.wait(lambda: can_split(page) or page.browser.find_elements(*asked))
    assert len(page.charges(song)) == paid + 1


def test_stems_that_come_while_a_question_is_open_are_asked_about(page: Page) -> None:
    song = "song-with-two"
    paid = len(page.charges(song))
    ask_to_split(page, song)
    body = {"audio_id": song, "wait_audio": True}
    assert page.service.post("/api/generate_stems", json=body).status_code == 200
    page.press("Split again", question(page))
    page.press("Cancel", question(page))
    page.wait(lambda: can_split(page))
    assert len(page.charges(song)) == paid + 1


def test_a_song_that_is_being_split_elsewhere_is_shown_so(page: Page) -> None:
    song = "song-slow-sections"
    with slowly(page, 1):
        assert page.service.post("/api/generate_stems", json={"audio_id": song}).status_code == 200
        choose(page, song)
        page.find("button", "Splitting…")
    page.wait_until_ready()
    assert len(page.charges(song)) == 1


def test_no_player_is_shown_that_cannot_play(page: Page) -> None:
    page.press("Account")
    page.browser.find_element(By.NAME, "cookie").send_keys(f"sandbox-load-{next(NUMBERS)}")
    page.press("Use these")
    page.wait(lambda: "Your own Suno account" in page.text("account"))
    page.split("song-with-two")
    page.press("Open them", question(page))
    page.find("button", "Prepare MP3", page.find("group", "Vocals"))
    assert not page.all("button", "Play")
    assert not page.all("slider", "Position")
    assert not page.browser.find_element(By.CSS_SELECTOR, "#tracks canvas").is_displayed()


def test_an_answered_question_leaves_no_listener(page: Page) -> None:
    closed = page.run(
        """
        const { question } = await import("/page/question.js");
        const view = new AbortController();
        const answer = question("Pay?", "", [["yes", "Yes"]], view.signal);
        document.querySelector("dialog .main").click();
        await answer;
        const close = HTMLDialogElement.prototype.close;
        let closed = 0;
        HTMLDialogElement.prototype.close = () => closed++;
        view.abort();
        HTMLDialogElement.prototype.close = close;
        return [await answer, closed, await question("Pay?", "", [], view.signal)];
        """
    )
    assert closed == ["yes", 0, ""]


def test_closed_stems_leave_no_listeners(page: Page) -> None:
    result = page.run(
        """
        const { drawWave } = await import("/page/wave.js");
        const { Scope } = await import("/page/session.js");
        const { Zoom } = await import("/page/zoom.js");
        const scope = new Scope();
        const canvas = document.createElement("canvas");
        canvas.style.width = "50px";
        document.body.append(canvas);
        drawWave(canvas, { data: [-50, 50, -90, 90], bits: 8 }, scope.signal, new Zoom());
        const settled = () => new Promise((done) => setTimeout(done, 200));
        await settled();
        const before = canvas.width;
        scope.end();
        canvas.style.width = "80px";
        await settled();
        canvas.remove();
        return [before, canvas.width];
        """
    )
    assert result == [50, 50]


def test_stems_that_still_arrive_are_waited_for_however_long_that_takes(page: Page) -> None:
    choose(page, "song-hebrew")
    # Nine minutes pass after each change that the page has seen; it gives up ten minutes after the last one.
    page.run(
        """
        const now = Date.now, send = window.fetch;
        let skipped = 0, seen = "", hasChanged = false;
        window.changes = 0;
        Date.now = () => now() + skipped;
        window.fetch = async (...asked) => {
          if (!String(asked[0]).includes("api/get?ids=")) return send(...asked);
          if (hasChanged) skipped += 540_000;
          const reply = await send(...asked);
          const statuses = JSON.stringify((await reply.clone().json()).map(({ status }) => status));
          hasChanged = statuses !== seen;
          window.changes += hasChanged;
          seen = statuses;
          return reply;
        };
        """
    )
    with slowly(page, 3):
        page.press(SPLIT_TWO)
        page.wait_until_ready()
    assert page.parts() == ["Vocals", "Instrumental"]
    assert page.run("return window.changes") >= 2
