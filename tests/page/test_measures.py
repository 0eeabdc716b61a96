"""What is wrong with stems, in words on their rows."""

from __future__ import annotations

from random import Random
from typing import Any

from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from tests.npm import NODE
from tests.page.conftest import Page
from tests.page.test_mixer import keep_files
from tests.page.test_rules import run


def file(id: str, *faults: str, seconds: float = 180.0, rate: int = 48_000, **measures: Any) -> dict[str, Any]:
    """A kept file as `POST /api/audio` lists it."""
    known = {"sample_rate": rate, "frames": round(seconds * rate), "same_length": True, "lag_ms": 0.0}
    return {"id": id, "status": "kept", **known, **measures, "faults": list(faults)}


SONG = file("song", same_length=None, lag_ms=None)


@NODE
def test_faults_in_words() -> None:
    cases = [
        (file("a"), ""),
        (file("a", "silent"), "silent"),
        (file("a", "late", lag_ms=37.0), "starts 37 ms late"),
        (file("a", "early", lag_ms=-12.4), "starts 12 ms early"),
        (file("a", "shorter", seconds=179.5, same_length=False), "0.5 s shorter than the song"),
        (file("a", "longer", seconds=181.25, same_length=False), "1.25 s longer than the song"),
        (file("a", "other_sample_rate", rate=44_100), "44,100 Hz, the song 48,000 Hz"),
        (file("a", "clipped", "late", lag_ms=20.2), "clipped, starts 20 ms late"),
        (file("a", "of_a_newer_service"), "of a newer service"),
        ({"id": "a", "status": "kept"}, ""),
    ]
    script = "given[0].map((file) => measures.faultsOf(file, given[1]))"
    found = run(script, [stem for stem, _ in cases], SONG, module="measures")
    assert found == [words for _, words in cases]


@NODE
def test_a_shorter_file_ends_before_the_song_does() -> None:
    peaks = {"data": [0, 0] * 100, "length": 100, "sample_rate": 1000, "samples_per_pixel": 90}  # 9 seconds
    zoom = {"from": 0.5, "to": 1, "seconds": 10}
    script = "[0, 0.8, 1].map((share) => wave.pairOf(given[0], given[1], share))"
    assert run(script, peaks, zoom, module="wave") == [55, 100, 111]
    assert run(script, peaks, zoom | {"seconds": 0}, module="wave") == [50, 90, 100], "the length is not known yet"


@NODE
def test_fifty_clean_sets_have_no_words() -> None:
    chance = Random(5)
    sets = [
        [
            file(str(i), lag_ms=round(chance.uniform(-4.9, 4.9), 1), residual_dbfs=chance.uniform(-90, -40))
            for i in range(12)
        ]
        for _ in range(50)
    ]
    script = "given[0].flatMap((files) => files.map((file) => measures.faultsOf(file, given[1]))).filter(Boolean)"
    assert run(script, sets, SONG, module="measures") == []


@NODE
def test_files_are_looked_at_again_until_they_are_compared() -> None:
    lists = [
        [SONG, file("a")],
        [SONG, file("a"), file("b", same_length=None)],
        [SONG, file("a", same_length=None, frames=None)],  # never measured
    ]
    found = run("given[0].map((files) => measures.areCompared(files, 'song'))", lists, module="measures")
    assert found == [True, False, True]


def test_a_late_stem_says_so_on_its_row_and_a_good_one_nothing(page: Page) -> None:
    keep_files(page, "song-vocals-late", "mp3", 6)
    page.enter("song-vocals-late" + Keys.ENTER)
    page.press("Open the stems")
    page.wait(lambda: "starts 37 ms late" in page.find("group", "Vocals").text)
    assert page.find("group", "Instrumental").find_element(By.CLASS_NAME, "faults").text == ""
    page.press("Mute", page.find("group", "Vocals"))
    faded = "return getComputedStyle(arguments[0].closest('.wave')).opacity"
    faults = page.find("group", "Vocals").find_element(By.CLASS_NAME, "faults")
    assert page.browser.execute_script(faded, faults) == "1", "the words stay readable"
