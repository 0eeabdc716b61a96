"""What one decoding of a file tells, and what comparing the files of a song tells."""

from __future__ import annotations

import math
import random
from array import array
from collections.abc import Mapping
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path

import pytest

from app.audio.compare import Sound, compare_kept, compared
from app.audio.facts import Facts, Fault, Measures, StemSet
from app.audio.files import Details
from app.audio.folder import FolderStore
from app.audio.measure import measure
from app.audio.measurements import Measurements
from app.audio.shelf import Shelf
from app.audio.trace import Trace
from sandbox import audio
from sandbox.storage import encoded
from tests.audio.conftest import wav

SECONDS = 8
FRAME = 2
"""Bytes of a sample of the local Suno's files."""

CLEAN_SETS = 50


def sound(tmp_path: Path, content: bytes, format: str = "wav") -> Sound:
    file = tmp_path / "file"
    file.write_bytes(content)
    found = measure(file, format)
    return Sound(Facts.read(asdict(found.facts)), Trace.read(found.trace.dumped()))


def samples_of(content: bytes) -> bytes:
    return content[44:]


def late(content: bytes, ms: float) -> bytes:
    """The same file, with so many milliseconds of silence before it, and as long as before."""
    samples, silence = samples_of(content), FRAME * round(audio.RATE * abs(ms) / 1000)
    moved = bytes(silence) + samples[:-silence] if ms > 0 else samples[silence:] + bytes(silence)
    return audio.as_wav(moved)


def louder(content: bytes, gain: float) -> bytes:
    samples = array("h", samples_of(content))
    return audio.as_wav(array("h", [max(-32_768, min(32_767, int(gain * each))) for each in samples]).tobytes())


@lru_cache(maxsize=12)
def song_of(id: str, task: str = "twelve", seconds: float = SECONDS) -> tuple[bytes, dict[str, bytes]]:
    """A song and its stems as the local Suno makes them."""
    parts = audio.TWELVE if task == "twelve" else audio.TWO
    stems = {part: audio.longer(audio.stem(id, task, part), seconds) for part in parts}
    return audio.longer(audio.song(id), seconds), stems


def beginning_at(frame: int, content: bytes) -> bytes:
    """The same music in another order: what comes before this frame comes last."""
    samples = samples_of(content)
    return audio.as_wav(samples[FRAME * frame :] + samples[: FRAME * frame])


def compare(tmp_path: Path, original: bytes, stems: Mapping[str, bytes], format: str = "wav") -> StemSet:
    sounds = {part: sound(tmp_path, content, format) for part, content in stems.items()}
    return compared(sound(tmp_path, original, format), sounds, format, take=1)


def test_a_file_has_its_rate_channels_length_peak_and_loudness(tmp_path: Path) -> None:
    facts = sound(tmp_path, wav(seconds=2, rate=44_100, loud=16_384)).facts

    assert (facts.sample_rate, facts.channels, facts.frames, facts.seconds) == (44_100, 1, 88_200, 2.0)
    assert facts.peak_dbfs == pytest.approx(-6.02, abs=0.01)
    # A tone of 780 Hz in one channel: its RMS is 3 dB below its peak, and the meter takes 0.7 dB off.
    assert facts.loudness_lufs == pytest.approx(-9.7, abs=0.5)
    assert facts.is_silent is False


@pytest.mark.parametrize("format", ["mp3", "m4a"])
def test_lossy_files_have_nearly_the_same_measures(tmp_path: Path, format: str) -> None:
    tone = wav(seconds=4, rate=audio.RATE)
    exact, lossy = sound(tmp_path, tone).facts, sound(tmp_path, encoded(tone, format), format).facts

    assert (lossy.sample_rate, lossy.channels) == (exact.sample_rate, exact.channels)
    assert lossy.seconds == pytest.approx(exact.seconds, abs=0.11)
    assert lossy.loudness_lufs == pytest.approx(exact.loudness_lufs, abs=0.5)


@pytest.mark.parametrize(
    ("loud", "seconds", "silent"), [(0, 2, True), (3, 2, True), (20_000, 2, False), (3, 0.1, None), (0, 0.1, True)]
)
def test_a_file_that_nobody_can_hear_is_silent(tmp_path: Path, loud: int, seconds: float, silent: bool) -> None:
    assert sound(tmp_path, wav(seconds=seconds, rate=audio.RATE, loud=loud)).facts.is_silent is silent


def test_what_is_left_of_a_mix_is_as_loud_as_what_was_taken_out(tmp_path: Path) -> None:
    original, stems = song_of("song")
    left = sound(tmp_path, stems["Bass"])
    power = sum(each * each for each in array("h", samples_of(song_of("song")[1]["Bass"]))) / (SECONDS * audio.RATE)

    others = {part: content for part, content in stems.items() if part != "Bass"}
    assert compare(tmp_path, original, others).residual_dbfs == pytest.approx(
        10 * math.log10(power / 32_768**2), abs=0.3
    )
    assert left.facts.peak_dbfs is not None


@pytest.mark.parametrize("song", range(5))
def test_clean_sets_have_no_fault(tmp_path: Path, song: int) -> None:
    original, stems = song_of(f"clean {song}", "twelve" if song == 0 else "two", audio.SECONDS)
    for start in random.Random(song).sample(range(audio.LENGTH), CLEAN_SETS // 5):
        moved = {part: beginning_at(start, content) for part, content in stems.items()}
        found = compare(tmp_path, beginning_at(start, original), moved)
        assert [(part, fit.faults) for part, fit in found.stems.items() if fit.faults] == []
        assert found.same_length and found.residual_dbfs < -90
        assert abs(found.lag_ms or 0) < 1, start


@pytest.mark.parametrize("number", range(3))
@pytest.mark.parametrize("ms", [37.0, -37.0, 210.0])
def test_the_late_stem_is_found_among_twelve(tmp_path: Path, number: int, ms: float) -> None:
    original, stems = song_of(f"song {number}")
    part = random.Random(f"{number} {ms}").choice(["Vocals", "Backing Vocals", "Drums", "Bass", "Guitar", "Strings"])
    found = compare(tmp_path, original, stems | {part: late(stems[part], ms)})

    assert found.lag_ms == pytest.approx(ms, abs=1)
    assert found.stems[part].faults == ((Fault.LATE if ms > 0 else Fault.EARLY),)
    assert {each for each, fit in found.stems.items() if fit.faults} == {part}
    assert found.residual_dbfs > -60


def test_stems_that_are_all_late_are_all_found(tmp_path: Path) -> None:
    original, stems = song_of("song", "two")
    found = compare(tmp_path, original, {part: late(content, 37) for part, content in stems.items()})

    assert [fit.lag_ms for fit in found.stems.values()] == pytest.approx([37, 37], abs=1)


@pytest.mark.parametrize("format", ["mp3", "m4a"])
def test_a_late_stem_is_found_in_lossy_formats(tmp_path: Path, format: str) -> None:
    original, stems = song_of("song", "two")
    files = {
        part: encoded(late(content, 37) if part == "Vocals" else content, format) for part, content in stems.items()
    }
    found = compare(tmp_path, encoded(original, format), files, format)

    assert found.stems["Vocals"].lag_ms == pytest.approx(37, abs=2)
    assert found.stems["Instrumental"].faults == ()
    assert found.same_length


def test_a_shorter_stem_and_one_of_another_rate_are_named(tmp_path: Path) -> None:
    original, stems = song_of("song", "two")
    short = audio.as_wav(samples_of(stems["Vocals"])[: -FRAME * audio.RATE // 2])
    found = compare(tmp_path, original, stems | {"Vocals": short})
    assert (found.same_length, found.stems["Vocals"].faults) == (False, (Fault.SHORTER,))

    other = wav(seconds=SECONDS, rate=44_100)
    found = compare(tmp_path, original, stems | {"Vocals": other})
    assert Fault.OTHER_SAMPLE_RATE in found.stems["Vocals"].faults
    assert found.stems["Vocals"].same_length


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(FolderStore(tmp_path / "kept"), limit=10**9, kept_for=0)


def details(id: str, part: str | None = "vocals", *, silent: bool | None = None) -> Details:
    return Details(id, "song", "Song", None, part, 1, None, None, "complete", silent)


def keep(shelf: Shelf, clip: Details, content: bytes) -> None:
    file = shelf.spool_file(clip.id)
    file.write_bytes(content)
    shelf.keep("mine", clip, "wav", file, compare=lambda: compare_kept(shelf, "mine", clip, "wav"))


def measures(shelf: Shelf, clip: Details) -> Measures:
    return Measurements(shelf, ("mine",)).of(clip, "wav")


def test_a_set_is_compared_when_its_last_file_is_kept_in_any_order(shelf: Shelf) -> None:
    original, stems = song_of("song", "two")
    clips = [details("v"), details("i", "instrumental"), details("song", None)]
    shelf.note_stems("mine", "song", clips[:2])
    contents = [late(stems["Vocals"], 37), stems["Instrumental"], original]
    for clip, content in zip(clips, contents, strict=True):
        assert measures(shelf, clips[0]).lag_ms is None
        keep(shelf, clip, content)

    found = measures(shelf, clips[0])
    assert (found.sample_rate, found.frames, found.same_length) == (audio.RATE, SECONDS * audio.RATE, True)
    assert found.lag_ms == pytest.approx(37, abs=1)
    assert found.faults == (Fault.LATE,)
    assert measures(shelf, clips[1]).faults == ()
    [of_set] = Measurements(shelf, ("mine",)).sets("song", "wav")
    assert (of_set.take, of_set.lag_ms, of_set.residual_dbfs) == (1, found.lag_ms, found.residual_dbfs)
    assert measures(shelf, clips[2]).same_length is None


def test_silent_and_clipped_files_are_named(shelf: Shelf) -> None:
    _, stems = song_of("song", "two")
    keep(shelf, details("quiet"), bytes(stems["Vocals"][:44]) + bytes(len(stems["Vocals"]) - 44))
    keep(shelf, details("loud"), louder(stems["Vocals"], 8))

    assert measures(shelf, details("quiet")).faults == (Fault.SILENT,)
    assert measures(shelf, details("loud")).faults == (Fault.CLIPPED,)
    # Suno's mark counts more than what is measured.
    assert measures(shelf, details("quiet", silent=False)).silent is False
    assert measures(shelf, details("loud", silent=True)).faults == (Fault.SILENT, Fault.CLIPPED)
    assert measures(shelf, details("unknown", silent=True)) == Measures(silent=True, faults=(Fault.SILENT,))


@pytest.mark.parametrize("note", ["{half", "[]", "{}", '{"sets": 3}', '{"sets": [{"stems": {"v": 3}}]}', "null"])
@pytest.mark.parametrize("end", ["wavfacts", "wavtrace", "wavset"])
def test_measures_that_cannot_be_read_count_as_none(shelf: Shelf, tmp_path: Path, end: str, note: str) -> None:
    _, stems = song_of("song", "two")
    keep(shelf, details("v"), stems["Vocals"])
    id = "song" if end == "wavset" else "v"
    shelf.note_stems("mine", "song", [details("v")])
    (tmp_path / "kept/mine" / f"{id}.{end}.json").write_text(note)

    assert measures(shelf, details("v")).lag_ms is None
    keep(shelf, details("song", None), stems["Vocals"])
    assert measures(shelf, details("v")).lag_ms == (0 if end == "wavset" else None)
