"""A song in time: karaoke, bars, loops and speed, on one page for all tests of this module."""

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

SONG, SECONDS = "song-waltz", 16
EAR = 0.06  # seconds: the lit word may be as early or late

WATCH = """
const lit = () => document.querySelector("#stage .lit")?.textContent ?? "";
const now = () => [Number(document.getElementById("position").value), lit()];
/** What each frame shows, until some have shown a lit word. */
const watched = async (count) => {
  const seen = [];
  while (seen.filter(([, word]) => word).length < count && !(seen.at(-1)?.[0] > 15)) {
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
    """The stems of a song with its karaoke."""
    tab.open_anew(audio_length=SECONDS)
    tab.service.post("/api/audio", json={"ids": ["song-hebrew", "song-instrumental"], "format": "mp3"})
    keep_files(tab, SONG, "mp3", SECONDS)
    open_karaoke(tab, is_first=True)
    yield tab
    tab.leave()


@pytest.fixture(autouse=True)
def paused(page: Page) -> None:
    """No music goes on from the test before: it would move the position."""
    if page.all("button", "Pause"):
        page.press("Pause")
    page.find("button", "Play")


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
    places = [*spread, 0.0, SECONDS - 0.1][-20:]
    script = "const seen = []; for (const at of given[0]) { seek(at); seen.push(now()); } return seen;"
    seen = page.run(WATCH + script, places)
    assert len(seen) == 20
    assert [round(at, 2) for at, _ in seen] == pytest.approx(places, abs=0.011)
    assert_in_time(seen, words)
    assert [lit for _, lit in seen[:-2]] == [word["text"].strip() for word in words for _ in range(3)]


def test_the_words_run_with_the_music_also_after_a_seek_muted_and_at_half_speed(page: Page) -> None:
    words = words_of(page)
    go_on = (
        WATCH + "seek(given[0]); await new Promise((resolve) => setTimeout(resolve, 200)); return await watched(8);"
    )
    seek(page, words[0]["start_s"] - 0.3)
    page.press("Play")
    page.find("button", "Pause")
    seen = page.run(WATCH + "return await watched(8);")
    page.press("Mute", page.find("group", "Vocals"))
    seen += page.run(go_on, words[3]["start_s"] - 0.3)
    page.press("Mute", page.find("group", "Vocals"))
    set_speed(page, 50)
    slow = page.run(go_on, words[1]["start_s"] - 0.3)
    began, first = page.run(WATCH + "return [performance.now(), now()[0]];")
    ended, last = page.run(
        WATCH + "while (now()[0] < given[0] + 0.5) await watched(1); return [performance.now(), now()[0]];", first
    )
    page.press("Pause")
    set_speed(page, 100)
    for frames in (seen, slow):
        assert_in_time(frames, words)
        assert any(lit for _, lit in frames)
    assert (last - first) / (ended - began) * 1000 == pytest.approx(0.5, abs=0.1)


def test_a_click_on_a_line_jumps_there_and_the_next_line_is_ready(page: Page) -> None:
    first, second = page.service.get(f"/api/lyrics/{SONG}.json").json()["lines"]
    seek(page, SECONDS)
    page.press(first["text"])
    assert position_of(page) == pytest.approx(first["start_s"])
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
    page.run(
        """
        window.locks = [];
        const lock = () => ({ release() { this.isReleased = true; } });
        navigator.wakeLock.request = async () => (locks.push(lock()), locks.at(-1));
        """
    )
    page.press("Full screen")
    page.wait(lambda: page.browser.execute_script("return document.fullscreenElement?.id") == "stage")
    stage = page.browser.find_element(By.ID, "stage")
    assert [each.text for each in page.all("button", "P", stage)] == ["Play"]
    size = "return parseFloat(getComputedStyle(document.querySelector('#stage .now')).fontSize)"
    assert page.browser.execute_script(size) >= 48
    ActionChains(page.browser).send_keys("f").perform()
    page.wait(lambda: page.browser.execute_script("return document.fullscreenElement") is None)
    page.find("button", "Full screen")
    page.wait(lambda: page.run("return locks.map(({ isReleased }) => isReleased)") == [True])  # the screen may go off


@NODE
def test_axe_finds_no_violations_in_karaoke(page: Page, axe: str) -> None:
    seek(page, words_of(page)[1]["start_s"] + 0.1)
    check_for_everyone(page, axe)


def test_on_a_phone_the_words_are_large_and_the_targets_too(page: Page) -> None:
    with emulated(page, width=390, height=844, still=True):
        small = page.browser.execute_script(
            "const targets = '#stage button, #playing button, #timing button, #timing summary, #speed';"
            "return [...document.querySelectorAll(targets)].filter((each) =>"
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


def set_speed(page: Page, percent: int) -> None:
    script = "const slider = document.getElementById('speed'); slider.value = arguments[0];"
    page.browser.execute_script(script + "slider.dispatchEvent(new Event('input'))", percent)


def bars_of(page: Page) -> list[float]:
    beats = page.service.get(f"/api/beats?audio_id={SONG}").json()["beats"]
    return [at for at, place in beats if place == 1]


def test_bar_lines_are_at_the_beats_and_the_tempo_is_told(page: Page) -> None:
    bars = bars_of(page)
    page.wait(lambda: "132 BPM, 3 beats a bar" in page.text("tempo"))
    drawn, shown, dark, width = page.browser.execute_script(
        "const ruler = document.getElementById('ruler'), box = ruler.getBoundingClientRect();"
        "const canvas = document.querySelector('#tracks canvas');"
        "const pixels = canvas.getContext('2d').getImageData(0, 0, canvas.width, 1).data;"
        "const alpha = [...pixels].filter((_, at) => at % 4 === 3);"
        "return [[...ruler.children].map((mark) => Number(mark.dataset.at)),"
        " [...ruler.children].map((mark) => (mark.getBoundingClientRect().left - box.left) / box.width),"
        " alpha.flatMap((each, x) => each ? [x] : []), canvas.width]"
    )
    assert drawn == bars
    assert shown == pytest.approx([bar / SECONDS for bar in bars], abs=0.002)
    assert dark == pytest.approx([bar / SECONDS * width for bar in bars], abs=1)


def test_a_click_goes_to_a_bar_line_and_with_shift_to_any_place(page: Page) -> None:
    bars = bars_of(page)
    for selector in ("#tracks .wave", "#map", "#ruler"):
        element = page.browser.find_element(By.CSS_SELECTOR, selector)
        width = element.size["width"]
        target = (bars[3] + 0.3) / SECONDS * width - width / 2
        click = ActionChains(page.browser).move_to_element_with_offset(element, round(target), 0)
        click.click().perform()
        assert position_of(page) == pytest.approx(bars[3])
        click.key_down(Keys.SHIFT).click().key_up(Keys.SHIFT).perform()
        assert position_of(page) == pytest.approx(bars[3] + 0.3, abs=1.5 * SECONDS / width)


def position_of(page: Page) -> float:
    return float(str(page.find("slider", "Position").get_property("value")))


def test_a_loop_is_drawn_on_the_ruler_or_set_by_keys_and_plays_over_and_over(page: Page) -> None:
    bars = bars_of(page)
    ruler = page.browser.find_element(By.ID, "ruler")
    width = ruler.size["width"]
    places = [round(at / SECONDS * width - width / 2) for at in (bars[2] + 0.2, bars[4] - 0.2)]
    draw = ActionChains(page.browser).move_to_element_with_offset(ruler, places[0], 0).click_and_hold()
    draw.move_by_offset(places[1] - places[0], 0).release().perform()
    assert page.text("loop-length") == "2 bars"
    assert position_of(page) == pytest.approx(bars[2])
    assert page.find("button", "Loop").get_attribute("aria-pressed") == "true"
    seek(page, bars[4] - 0.5)
    page.press("Play")
    page.wait(lambda: bars[2] < position_of(page) < bars[2] + 1)
    page.press("Pause")
    ActionChains(page.browser).send_keys("l").perform()
    assert page.text("loop-length") == ""
    seek(page, bars[1])
    ActionChains(page.browser).send_keys("i").perform()
    assert page.text("loop-length") == "3 bars"
    seek(page, bars[2] + 0.1)
    ActionChains(page.browser).send_keys("o-").perform()
    assert page.text("loop-length") == "1 bar"
    assert page.text("speed-now") == "95 % · 125 BPM"
    ActionChains(page.browser).send_keys("l+").perform()
    assert page.text("speed-now") == "100 % · 132 BPM"
    ActionChains(page.browser).send_keys("?").perform()
    dialog = page.wait(lambda: page.browser.find_element(By.CSS_SELECTOR, "dialog[open]"))
    assert all(word in dialog.text for word in ("loop", "speed", "karaoke"))
    page.press("Close", dialog)


FAST = """
const { Mixer, Track } = await import("/page/mixer.js");
/** Let a mixer play for so many seconds, as fast as they can be computed; returns the samples. */
async function heardFrom(mixer, seconds, rate) {
  const Real = window.AudioContext, interval = window.setInterval;
  let context, look;
  window.AudioContext = class extends OfflineAudioContext {
    constructor() {
      super(1, seconds * rate, rate);
      context = this;
      Object.defineProperty(this, "state", { value: "running" });
    }
    async resume() {}
    async close() {}
  };
  window.setInterval = (what) => (look = what);
  await mixer.play();
  window.AudioContext = Real;
  window.setInterval = interval;
  const settled = async () => { for (let i = 0; i < 4; i++) await new Promise((resolve) => setTimeout(resolve)); };
  for (let at = 1; at < seconds; at++) {
    context.suspend(at).then(async () => {
      look();
      await settled();
      OfflineAudioContext.prototype.resume.call(context);
    });
  }
  await settled();
  const heard = (await context.startRendering()).getChannelData(0);
  mixer.close();
  return heard;
}
const source = (rate, seconds, sample) => ({ rate, channels: 1, length: rate * seconds, seconds,
  async read(first, count) {
  count = Math.min(count, rate * seconds - first);
  if (count <= 0) return null;
  const buffer = new AudioBuffer({ length: count, numberOfChannels: 1, sampleRate: rate });
  buffer.copyToChannel(Float32Array.from({ length: count }, (_, i) => sample(first + i)), 0);
  return buffer;
} });
"""


def test_a_loop_of_four_bars_stays_in_time_for_five_minutes(page: Page) -> None:
    """The mixer itself, its nodes and its clock; only the context is faster than the time of the day."""
    bars = [0.35 + bar * 180 / 132 for bar in range(12)]
    start, end = bars[3], bars[7]
    clicks = page.run(
        FAST
        + """
        const [bars, loop, rate] = given;
        const at = new Set(bars.map((bar) => Math.round(bar * rate)));
        const mixer = new Mixer();
        mixer.tracks.push(new Track(source(rate, 20, (sample) => at.has(sample) ? 1 : 0)));
        mixer.loop = loop;
        mixer.seek(loop.from);
        const heard = await heardFrom(mixer, 300, rate);
        return [...heard].flatMap((sample, i) => Math.abs(sample) > 0.02 ? [[i / rate, sample]] : []);
        """,
        bars,
        {"from": start, "to": end},
        24_000,
    )
    first = clicks[0][0]
    expected = [first + bar * 180 / 132 for bar in range(len(clicks))]
    assert len(clicks) == int((300 - first) / 180 * 132) + 1
    assert [at for at, _ in clicks] == pytest.approx(expected, abs=2 / 24_000)
    assert {loud for _, loud in clicks} == {1}


@pytest.mark.parametrize("speed", [0.5, 1.25])
def test_at_another_speed_stems_stay_together_to_the_sample_and_keep_their_pitch(page: Page, speed: float) -> None:
    left, heard, crossings, length = page.run(
        FAST
        + """
        const [speed] = given, rate = 24_000;
        const noise = (seed) => (sample) => Math.sin((sample + seed) ** 2 % 1e4) / 3;
        const [one, other] = [noise(1), noise(500)];
        const play = async (seconds, ...sounds) => {
          const mixer = new Mixer();
          mixer.tracks.push(...sounds.map((sound) => new Track(source(rate, 20, sound))));
          mixer.speed = speed;
          mixer.seek(1.3);
          return heardFrom(mixer, seconds, rate);
        };
        const loudest = (samples) => samples.reduce((most, sample) => Math.max(most, Math.abs(sample)), 0);
        const both = await play(6, one, other, (sample) => -one(sample) - other(sample) + (sample > 1e9));
        const tone = await play(8, (sample) => Math.sin(2 * Math.PI * 440 * sample / rate));
        const rises = tone.reduce((count, sample, i) => count + (i && tone[i - 1] < 0 && sample >= 0), 0);
        const until = await play(40, (sample) => sample < 10 * rate ? 0.5 : 0);
        const lasts = until.filter((sample) => sample > 0.49).length / rate;
        return [loudest(both), loudest(await play(2, one, other)), rises, lasts];
        """,
        speed,
    )
    assert left < 1e-6 < 0.3 < heard
    assert crossings == pytest.approx(440 * 7.9, rel=0.005)
    assert length == pytest.approx(8.7 / speed, abs=0.05)


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
