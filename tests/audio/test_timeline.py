"""A song in time, with a store or a song that is not whole."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from app.audio.folder import FolderStore
from app.audio.shelf import Shelf
from app.audio.store import AudioUnavailable
from app.audio.timeline import SongInTime, Subject, Timeline
from app.suno.clip import Clip
from app.suno.session import Account
from app.suno.song_time import AlignedLyrics, AlignedWord, Beat, Novelty

SAME = AlignedLyrics((AlignedWord("Over ", 1.0, 1.4, True),))
MORE = AlignedLyrics((*SAME.words, AlignedWord("water", 1.5, 2.0, True)))


@dataclass
class Suno:
    """Tells the words so far of a song that it still makes, and all of them later."""

    status: str = "complete"
    words: AlignedLyrics = SAME
    asked: list[str] = field(default_factory=list)

    def clip(self, account: Any, id: str) -> Clip:
        return Clip(id, self.status, title="Song")

    def aligned_lyrics(self, account: Any, id: str) -> AlignedLyrics:
        self.asked.append(id)
        return self.words

    def downbeats(self, account: Any, id: str) -> tuple[Beat, ...]:
        return ()

    def novelty_sections(self, account: Any, id: str) -> Novelty:
        return Novelty(is_ready=True)


class BrokenStore(FolderStore):
    """A store that cannot be read."""

    def read(self, name: str) -> bytes | None:
        raise AudioUnavailable("it is full of sand")


def timeline(suno: Any, store: FolderStore) -> Timeline:
    shelf = Shelf(store, limit=10**9, kept_for=0)
    return Timeline(Account("cookie", "SUNO_COOKIE", "default"), ("folder",), suno, lambda: shelf, 0.01)


@pytest.mark.parametrize(("status", "later", "asked"), [("complete", SAME, 1), ("streaming", MORE, 2)])
def test_the_words_of_a_song_that_suno_still_makes_are_not_kept(
    tmp_path: Path, status: str, later: AlignedLyrics, asked: int
) -> None:
    suno = Suno(status)
    reads = timeline(suno, FolderStore(tmp_path))
    assert reads.words(reads.subject("song")) == SAME
    suno.words = MORE
    assert reads.words(reads.subject("song")) == later
    assert len(suno.asked) == asked


def test_without_an_account_only_what_is_kept_is_known(tmp_path: Path) -> None:
    store, suno = FolderStore(tmp_path), Suno()
    asks = timeline(suno, store)
    only_kept = replace(asks, account=None)
    assert only_kept.known("song", "Song") == SongInTime(Subject("song", "Song", None, is_complete=False))
    asks.lines(asks.subject("song"))
    suno.words = MORE
    assert [line.text for line in only_kept.known("song", None).lines] == ["Over"]
    assert suno.asked == ["song"]


def test_words_need_no_store(tmp_path: Path) -> None:
    reads = timeline(Suno(), BrokenStore(tmp_path))
    assert reads.words(reads.subject("song")) == SAME
