"""The desk: rows, volume, pan, folds, zoom, what is remembered, and what stops the sound."""

from __future__ import annotations

import pytest
from selenium.webdriver import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement

from tests.page.conftest import Page, samples
from tests.page.test_mixer import OPEN
from tests.page.test_paid_once import choose

SOURCE = """
const source = (value) => ({ rate: 48_000, channels: 1, length: 6 * 48_000, seconds: 6, async read(first, count) {
  count = Math.min(count, 6 * 48_000 - first);
  if (count <= 0) return null;
  const buffer = new AudioBuffer({ length: count, numberOfChannels: 1, sampleRate: 48_000 });
  buffer.getChannelData(0).fill(value);
  return buffer;
} });
"""


def open_stems(page: Page, song: str) -> None:
    choose(page, song)
    page.press("Open the stems")
    page.wait_until_ready()


def set_slider(page: Page, slider: WebElement, value: int) -> None:
    script = "arguments[0].value = arguments[1]; arguments[0].dispatchEvent(new Event('input'))"
    page.browser.execute_script(script, slider, value)


def play_label(page: Page) -> str:
    return page.browser.find_element(By.ID, "play").text


def test_rows_are_low_coloured_by_family_and_second_takes_are_folded(page: Page) -> None:
    open_stems(page, "song-with-twelve")
    rows = page.browser.execute_script(
        "return [...document.querySelectorAll('#tracks [role=group]')].filter((each) => each.checkVisibility())"
        ".map((each) => [each.getBoundingClientRect().height, getComputedStyle(each).borderInlineStartColor,"
        " each.querySelector('h3').innerText])"
    )
    assert len(rows) == 12
    assert max(height for height, _, _ in rows) <= 56
    colours = {text.splitlines()[0]: colour for _, colour, text in rows}
    assert colours["Vocals"] == colours["Backing vocals"] != colours["Drums"] == colours["Percussion"]
    assert len(set(colours.values())) == 7
    fold = page.browser.find_element(By.CSS_SELECTOR, "#tracks summary")
    assert fold.text == "12 second takes, muted"
    page.browser.execute_script("arguments[0].click()", fold)
    page.press("Mute", page.find("group", "Drums, take 2"))
    assert fold.text == "12 second takes, 11 muted"
    page.press("Mute", page.find("group", "Drums, take 2"))
    assert fold.text == "12 second takes, muted"


def test_silent_parts_are_folded(page: Page) -> None:
    choose(page, "song-silent-part")
    page.press("Split every instrument")
    page.wait_until_ready()
    assert "2 silent parts" in page.text("tracks")
    assert not {"Vocals", "Keyboard"} & set(page.parts())
    assert "Drums" in page.parts()


def test_volume_is_shown_in_decibels_and_reset_by_a_double_click(page: Page) -> None:
    open_stems(page, "song-with-two")
    vocals = page.find("group", "Vocals")
    volume, pan = page.find("slider", "Volume", vocals), page.find("slider", "Pan", vocals)
    assert "0.0 dB" in vocals.text
    set_slider(page, volume, 50)
    assert "\N{MINUS SIGN}12.0 dB" in vocals.text
    assert volume.get_attribute("aria-valuetext") == "\N{MINUS SIGN}12.0 dB"
    set_slider(page, pan, -100)
    assert pan.get_attribute("aria-valuetext") == "100 % left"
    for slider in (volume, pan):
        page.browser.execute_script("arguments[0].dispatchEvent(new MouseEvent('dblclick'))", slider)
    assert (volume.get_property("value"), pan.get_property("value")) == ("100", "0")


def test_shift_and_solo_plays_only_this_stem(page: Page) -> None:
    open_stems(page, "song-with-two")
    vocals, music = page.find("group", "Vocals"), page.find("group", "Instrumental")
    page.press("Solo", vocals)
    solo = page.find("button", "Solo", music)
    ActionChains(page.browser).key_down(Keys.SHIFT).click(solo).key_up(Keys.SHIFT).perform()
    assert "silent" in vocals.get_attribute("class")
    assert "silent" not in music.get_attribute("class")


def test_a_mix_is_remembered_for_its_song(page: Page) -> None:
    open_stems(page, "song-with-two")
    vocals = page.find("group", "Vocals")
    page.press("Mute", vocals)
    set_slider(page, page.find("slider", "Volume", page.find("group", "Instrumental")), 40)
    page.browser.refresh()
    page.wait_until_ready()
    vocals, music = page.find("group", "Vocals"), page.find("group", "Instrumental")
    page.wait(lambda: "silent" in vocals.get_attribute("class"))
    assert page.find("slider", "Volume", music).get_property("value") == "40"


def test_the_waveforms_zoom_and_the_map_seeks(page: Page) -> None:
    open_stems(page, "song-with-two")
    page.press("Zoom in")
    assert page.text("zoom") == "2\N{MULTIPLICATION SIGN}"
    small = page.browser.find_element(By.ID, "map")
    ActionChains(page.browser).move_to_element_with_offset(small, small.size["width"] // 2 - 2, 0).click().perform()
    position = page.find("slider", "Position")
    page.wait(lambda: float(str(position.get_property("value"))) > 3.5)
    wave = page.browser.find_element(By.CSS_SELECTOR, "#tracks .wave")
    ActionChains(page.browser).move_to_element_with_offset(wave, 2 - wave.size["width"] // 2, 0).click().perform()
    page.wait(lambda: 1.9 < float(str(position.get_property("value"))) < 2.3)
    page.press("Zoom out")
    assert page.text("zoom") == "1\N{MULTIPLICATION SIGN}"


def test_the_keys_are_shown(page: Page) -> None:
    open_stems(page, "song-with-two")
    ActionChains(page.browser).send_keys("?").perform()
    dialog = page.wait(lambda: page.browser.find_element(By.CSS_SELECTOR, "dialog[open]"))
    assert "M mutes it" in dialog.text
    page.press("Close", dialog)
    page.find("button", "Mute", page.find("group", "Vocals")).send_keys("m")
    page.wait(lambda: "silent" in page.find("group", "Vocals").get_attribute("class"))


def test_the_master_volume_counts_in_the_saved_mix(page: Page) -> None:
    page.choose_format("wav")
    open_stems(page, "song-with-two")
    page.press("Save this mix")
    full = samples(page.downloaded("Copper Field - Mix.wav"))
    set_slider(page, page.find("slider", "Master volume"), 50)
    page.press("Save this mix")
    quiet = samples(page.downloaded("Copper Field - Mix.wav"))
    assert max(abs(half - whole / 4) for half, whole in zip(quiet, full, strict=True)) <= 1


def test_pan_moves_a_stem_and_the_middle_changes_nothing(page: Page) -> None:
    heard = page.run(
        OPEN
        + SOURCE
        + """
        const render = async (pan) => {
          const mixer = new Mixer();
          const track = new Track(source(0.25));
          track.pan = pan;
          mixer.tracks.push(track, new Track(source(0)));
          const { blob } = await mixer.render(mixer.tracks.map((each) => [each, 1]));
          const wav = new DataView(await blob.arrayBuffer());
          const channels = wav.getUint16(22, true);
          const at = 44 + 4000 * channels;
          return [channels, wav.getInt16(at, true), wav.getInt16(at + 2 * (channels - 1), true)];
        };
        return [await render(0), await render(-1), await render(1)];
        """
    )
    assert heard == [[1, 8192, 8192], [2, 16384, 0], [2, 0, 16384]]


@pytest.mark.parametrize("state", ["suspended", "interrupted", "closed"])
def test_after_an_interruption_the_button_tells_the_truth_and_play_starts_anew(page: Page, state: str) -> None:
    """An iPhone stops the sound for a call: `resume` then rejects or never answers."""
    page.browser.execute_script(
        """
        const Real = window.AudioContext;
        window.contexts = [];
        window.AudioContext = class extends Real {
          constructor(...options) {
            super(...options);
            contexts.push(this);
          }
          interrupt(state) {
            Object.defineProperty(this, "state", { value: state, configurable: true });
            Object.defineProperty(this, "resume", { value: () => new Promise(() => {}) });
            this.dispatchEvent(new Event("statechange"));
          }
        };
        """
    )
    open_stems(page, "song-with-two")
    page.press("Play")
    page.find("button", "Pause")
    page.browser.execute_script("contexts.at(-1).interrupt(arguments[0])", state)
    assert play_label(page) == "Play"
    page.press("Play")
    page.find("button", "Pause")
    assert page.browser.execute_script("return contexts.length") == 2
    page.press("Pause")


def test_play_says_what_is_wrong_if_the_sound_cannot_start(page: Page) -> None:
    page.browser.execute_script(
        """
        const Real = window.AudioContext;
        window.AudioContext = class extends Real {
          get state() { return "interrupted"; }
          resume() { return Promise.reject(new Error("not now")); }
        };
        """
    )
    open_stems(page, "song-with-two")
    page.press("Play")
    page.wait(lambda: "does not start the sound" in page.text("saving"))
    assert play_label(page) == "Play"


def test_on_a_phone_all_stems_fit_some_screens(page: Page) -> None:
    metrics = {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}
    page.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        choose(page, "song-with-twelve")
        page.press("Open the stems")
        page.wait(lambda: page.find("button", "Play").is_enabled() and len(page.parts()) == 12)
        assert page.browser.execute_script("return document.getElementById('tracks').offsetHeight") < 1400
        small = page.browser.execute_script(
            "return [...document.querySelectorAll('button, input:not([type=range]), select, summary, a')]"
            ".filter((each) => each.checkVisibility() && each.getBoundingClientRect().height < 44)"
            ".map((each) => each.outerHTML)"
        )
        assert small == []
        transport = page.browser.find_element(By.ID, "transport")
        assert page.browser.execute_script("return arguments[0].getBoundingClientRect().bottom", transport) <= 845
    finally:
        page.browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
