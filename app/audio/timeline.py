"""A song in time, as Suno tells it now: read once, free, and kept beside the song's files.

A stem has the words and beats of its song: stems start with the song.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass
from typing import Any, TypeVar

from app.audio.files import Details
from app.audio.shelf import Shelf
from app.audio.store import AudioFull, AudioUnavailable
from app.music.beats import Beats, Section, sections_of
from app.music.words import Line, lines_of
from app.suno.errors import SunoError
from app.suno.gateway import SunoGateway
from app.suno.session import Account
from app.suno.song_time import AlignedLine, AlignedLyrics, AlignedWord, Beat

log = logging.getLogger(__name__)

T = TypeVar("T")

EMPTY_KEPT_SECONDS = 3600.0
"""Seconds to believe that a song has no words or beats: Suno may still align a new song."""

SECTIONS_LOOKS = 3
"""Maximum requests for the sections, which Suno computes when they are first asked for."""


@dataclass(frozen=True, slots=True)
class Subject:
    """The song that a request is about."""

    id: str
    title: str | None
    duration: float | None
    """Seconds."""
    is_complete: bool
    """Whether Suno has finished it. What it tells before that may be a part, and is not kept."""


@dataclass(frozen=True, slots=True)
class Timeline:
    """Reads songs in time, for one account. Every method raises SunoErrors. A shelf that fails costs only calls.

    `folders`: the account's folders on the shelf, the current one first; () keeps nothing.
    """

    account: Account
    folders: Sequence[str]
    gateway: SunoGateway
    shelf: Callable[[], Shelf]
    poll_interval: float
    """Seconds between two requests for what Suno still computes."""

    def subject(self, id: str) -> Subject:
        """The song with this id, or the song of the stem with this id. Raises SongNotFound."""
        details = self._details(id)
        if details and details.song_id == id:
            # Its file is kept, so it is complete.
            return Subject(id, details.song_title, details.duration, is_complete=True)
        clip = self.gateway.clip(self.account, details.song_id if details else id)
        if clip.is_stem and clip.stem_from_id:
            clip = self.gateway.clip(self.account, clip.stem_from_id)
        return Subject(clip.id, clip.title, clip.duration, is_complete=clip.status == "complete")

    def _details(self, id: str) -> Details | None:
        try:
            return self.shelf().details(self.folders, id) if self.folders else None
        except AudioUnavailable as error:
            log.warning("The kept details of clip %s cannot be read: %s", id, error)
            return None

    def words(self, song: Subject) -> AlignedLyrics:
        """The words as Suno aligns them; without any for an instrumental."""
        return self._kept_or_read(
            song,
            "words",
            lambda: self.gateway.aligned_lyrics(self.account, song.id),
            _words_as_json,
            _words_from_json,
        )

    def lines(self, song: Subject) -> tuple[Line, ...]:
        """The lines in time; () if there are none."""
        return lines_of(self.words(song))

    def beats(self, song: Subject) -> Beats:
        """The beats; without any if Suno has none."""
        found = self._kept_or_read(
            song,
            "beats",
            lambda: self.gateway.downbeats(self.account, song.id),
            lambda beats: [[beat.at, beat.weight] for beat in beats],
            lambda stored: tuple(Beat(*each) for each in stored),
        )
        return Beats.of(found)

    def sections(self, song: Subject, lines: Sequence[Line]) -> tuple[Section, ...]:
        """The sections, named by the lines' sections; () if Suno has none, or cannot tell them now."""
        try:
            peaks = self._kept_or_read(song, "sections", lambda: self._peaks(song.id), list, _peaks_from_json)
        except SunoError as error:
            log.warning("The sections of song %s cannot be read: %s", song.id, error)
            return ()
        return sections_of(peaks, lines)

    def _peaks(self, song_id: str) -> tuple[float, ...]:
        for look in range(SECTIONS_LOOKS):
            if look:
                time.sleep(self.poll_interval)
            novelty = self.gateway.novelty_sections(self.account, song_id)
            if novelty.is_ready:
                return novelty.peaks
        return ()

    def _kept_or_read(
        self, song: Subject, part: str, read: Callable[[], T], dump: Callable[[T], Any], load: Callable[[Any], T]
    ) -> T:
        """What is kept, or what Suno tells now. Nothing that is empty is kept for long."""
        kept = self._kept(song.id, part)
        if kept is not None:
            try:
                return load(kept)
            except (TypeError, ValueError):
                log.warning("The kept %s of song %s cannot be read, and are read from Suno again.", part, song.id)
        found = read()
        if self.folders and song.is_complete:
            try:
                self.shelf().keep_note(self.folders[0], song.id, part, {"at": time.time(), part: dump(found)})
            except (AudioFull, AudioUnavailable) as error:
                log.warning("The %s of song %s cannot be kept: %s", part, song.id, error)
        return found

    def _kept(self, song_id: str, part: str) -> Any:
        try:
            note = self.shelf().note(self.folders, song_id, part) if self.folders else None
        except AudioUnavailable as error:
            log.warning("The kept %s of song %s cannot be read: %s", part, song_id, error)
            return None
        if not isinstance(note, dict):
            return None
        at, content = note.get("at"), note.get(part)
        is_young = isinstance(at, int | float) and 0 <= time.time() - at < EMPTY_KEPT_SECONDS
        return content if is_young or _has_content(content) else None


def _has_content(content: Any) -> bool:
    return any(content.values()) if isinstance(content, dict) else bool(content)


def _peaks_from_json(stored: Any) -> tuple[float, ...]:
    return tuple(float(peak) for peak in stored)


def _words_as_json(lyrics: AlignedLyrics) -> dict[str, Any]:
    return {
        "words": [astuple(word) for word in lyrics.words],
        "lines": [[line.section, [astuple(word) for word in line.words]] for line in lyrics.lines],
    }


def _words_from_json(stored: Any) -> AlignedLyrics:
    return AlignedLyrics(
        tuple(AlignedWord(*word) for word in stored["words"]),
        tuple(
            AlignedLine(section, tuple(AlignedWord(*word) for word in words)) for section, words in stored["lines"]
        ),
    )
