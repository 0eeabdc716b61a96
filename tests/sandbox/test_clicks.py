"""What the local Suno tells of a song in time is what can be heard in its audio."""

from __future__ import annotations

from operator import add

import pytest

from sandbox import song_time, storage
from sandbox.audio import RATE
from sandbox.songs import SONGS
from tests.sandbox.test_audio import samples

SECONDS = 16.0
QUIET = 0.3
"""Seconds without a loud sample before a click."""
CLICKS = [song.id for song in SONGS.values() if song.rhythm]


def heard(song: str, part: str = "") -> list[int]:
    return samples(storage.file_of(song, "two" if part else "", part, "wav", SECONDS))


@pytest.mark.parametrize("song", CLICKS)
def test_a_click_sounds_at_each_beat(song: str) -> None:
    music = heard(song, "Instrumental")
    loud = [i for i, sample in enumerate(music) if abs(sample) > 6_000]
    onsets = [i for before, i in zip([-RATE, *loud], loud, strict=False) if i - before > QUIET * RATE]
    beats = song_time.downbeats(SONGS[song], SECONDS)

    assert [i / RATE for i in onsets] == pytest.approx([at for at, _ in beats], abs=1.5 / RATE)
    accents = [abs(music[i]) > 12_000 for i in onsets]
    assert accents == [place == 1 for _, place in beats]


@pytest.mark.parametrize("song", CLICKS)
def test_the_voice_sounds_at_the_words_and_nowhere_else(song: str) -> None:
    voice = heard(song, "Vocals")
    words = song_time.aligned_lyrics(SONGS[song], SECONDS)["aligned_words"]
    spans = [(round(word["start_s"] * RATE), round(word["end_s"] * RATE)) for word in words]
    notes = storage.clicks.RHYTHMS[SONGS[song].rhythm].notes(SECONDS)

    assert words
    # Suno's times have four decimals: up to two samples beside the note.
    assert all(min(abs(start - at * RATE) for at, _ in notes) < 2.5 for start, _ in spans)
    assert all(max(map(abs, voice[start : start + RATE // 20])) > 6_000 for start, _ in spans)
    sung = {i for at, end in notes for i in range(round(at * RATE), round(end * RATE) + 1)}
    assert {i for i, sample in enumerate(voice) if sample} <= sung


@pytest.mark.parametrize("song", CLICKS)
def test_such_a_song_is_the_sum_of_its_stems(song: str) -> None:
    assert list(map(add, heard(song, "Vocals"), heard(song, "Instrumental"))) == heard(song)


@pytest.mark.parametrize("damage", ["late", "silent", "clipped"])
def test_damaged_vocals_are_not_what_the_song_has_of_them(damage: str) -> None:
    song = f"song-vocals-{damage}"
    assert list(map(add, heard(song, "Vocals"), heard(song, "Instrumental"))) != heard(song)


def test_short_vocals_end_half_a_second_early() -> None:
    assert len(heard("song-vocals-short", "Vocals")) == len(heard("song-vocals-short")) - RATE // 2
