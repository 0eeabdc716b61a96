"""A song in time, as Suno tells it now: read once, free, and kept beside the song's files.

A stem has the words and beats of its song: stems start with the song.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, astuple, dataclass, replace
from typing import Any, TypeVar

from app.audio.files import Details
from app.audio.shelf import Shelf
from app.audio.store import AudioFull, AudioUnavailable
from app.music.beats import Beats, Section, sections_of
from app.music.words import Line, lines_of
from app.suno.clip import Clip
from app.suno.errors import SunoError, SunoFailed, SunoUnreachable
from app.suno.gateway import SunoGateway
from app.suno.session import Account
from app.suno.song_time import AlignedLine, AlignedLyrics, AlignedWord, Beat

log = logging.getLogger(__name__)

T = TypeVar("T")

EMPTY_KEPT_SECONDS = 3600.0
"""Seconds to believe that a song has no words or beats: Suno may still align a new song."""

SONG_KEPT_SECONDS = 24 * 3600.0
"""Seconds to believe a song's kept title, tempo and key: its owner may rename it."""

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
    bpm: float | None = None
    """Suno's own average of beats per minute."""
    key: str | None = None
    """As Suno writes it, such as `C_major`."""

    @property
    def details(self) -> Details:
        """The details of the song itself, as of a kept file."""
        return Details(self.id, self.id, self.title, self.title, None, None, None, self.duration)

    @classmethod
    def of(cls, clip: Clip) -> Subject:
        """The subject that is this song."""
        return cls(clip.id, clip.title, clip.duration, clip.status == "complete", clip.bpm, clip.key)


NO_BEATS = Beats()


@dataclass(frozen=True, slots=True)
class SongInTime:
    """What is known of a song in time; without anything that could not be read."""

    song: Subject
    lines: tuple[Line, ...] = ()
    beats: Beats = NO_BEATS
    sections: tuple[Section, ...] = ()

    @property
    def bpm(self) -> float | None:
        """Beats per minute: of the beats if they are known, otherwise Suno's own average."""
        return self.beats.bpm or self.song.bpm


@dataclass(frozen=True, slots=True)
class Timeline:
    """Reads songs in time, for one account. Every method raises SunoErrors. A shelf that fails costs only calls.

    `folders`: the account's folders on the shelf, the current one first; () keeps nothing.
    """

    account: Account | None
    """None: Suno is not asked. Only what is kept is known."""
    folders: Sequence[str]
    gateway: SunoGateway
    shelf: Callable[[], Shelf]
    poll_interval: float
    """Seconds between two requests for what Suno still computes."""

    @property
    def _asked(self) -> Account:
        if self.account is None:
            raise SunoFailed("Only what is kept of this song is known here.")
        return self.account

    def subject(self, id: str) -> Subject:
        """The song with this id, or the song of the stem with this id. Raises SongNotFound."""
        details = self._details(id)
        song_id = details.song_id if details else id
        kept, is_young = self._kept_subject(song_id)
        if kept and is_young:
            return kept
        try:
            clip = self.gateway.clip(self._asked, song_id)
            if clip.is_stem and clip.stem_from_id:
                clip = self.gateway.clip(self._asked, clip.stem_from_id)
        except SunoError:
            if kept:
                return kept
            if details and details.song_id == id:
                # Its file is kept, so it is complete.
                return Subject(id, details.song_title, details.duration, is_complete=True)
            raise
        found = Subject.of(clip)
        if found.is_complete:
            self._keep(found.id, "song", asdict(found))
        return found

    def known(self, song_id: str, title: str | None) -> SongInTime:
        """All that is kept of a song, or that Suno tells now. Raises nothing: what cannot be read is missing.

        `title`: for a song that cannot be read.
        """
        found = SongInTime(Subject(song_id, title, None, is_complete=False))
        try:
            found = SongInTime(song := self.subject(song_id))
            found = replace(found, lines=self._or_nothing(lambda: self.lines(song), found.lines))
            found = replace(found, beats=self._or_nothing(lambda: self.beats(song), NO_BEATS))
            return replace(found, sections=self.sections(song, found.lines))
        except SunoError as error:
            self._say("Song %s is given without its words and beats, or some of them: %s", song_id, error)
            return found

    def _or_nothing(self, read: Callable[[], T], nothing: T) -> T:
        """What was read, or nothing. Raises SunoUnreachable: the next call would wait as long."""
        try:
            return read()
        except SunoUnreachable:
            raise
        except SunoError as error:
            self._say("A song in time is not complete: %s", error)
            return nothing

    def _say(self, message: str, *about: object) -> None:
        # Without an account, what is not kept is no fault.
        log.log(logging.WARNING if self.account else logging.DEBUG, message, *about)

    def _kept_subject(self, song_id: str) -> tuple[Subject | None, bool]:
        """The kept song, and whether that is young enough to be believed without asking Suno."""
        kept, at = self._note(song_id, "song")
        try:
            return Subject(**kept), 0 <= time.time() - at < SONG_KEPT_SECONDS
        except TypeError:
            return None, False

    def _details(self, id: str) -> Details | None:
        try:
            return self.shelf().details(self.folders, id) if self.folders else None
        except AudioUnavailable as error:
            log.warning("The kept details of clip %s cannot be read: %s", id, error)
            return None

    def words(self, song: Subject) -> AlignedLyrics:
        """The words as Suno aligns them; without any for an instrumental."""
        return self._kept_or_read(
            song, "words", lambda: self.gateway.aligned_lyrics(self._asked, song.id), _words_as_json, _words_from_json
        )

    def lines(self, song: Subject) -> tuple[Line, ...]:
        """The lines in time; () if there are none."""
        return lines_of(self.words(song))

    def beats(self, song: Subject) -> Beats:
        """The beats; without any if Suno has none."""
        found = self._kept_or_read(
            song,
            "beats",
            lambda: self.gateway.downbeats(self._asked, song.id),
            lambda beats: [[beat.at, beat.weight] for beat in beats],
            lambda stored: tuple(Beat(*each) for each in stored),
        )
        return Beats.of(found)

    def sections(self, song: Subject, lines: Sequence[Line]) -> tuple[Section, ...]:
        """The sections, named by the lines' sections; () if Suno has none, or cannot tell them now."""
        try:
            peaks = self._kept_or_read(song, "sections", lambda: self._peaks(song.id), list, _peaks_from_json)
        except SunoError as error:
            self._say("The sections of song %s cannot be read: %s", song.id, error)
            return ()
        return sections_of(peaks, lines)

    def _peaks(self, song_id: str) -> tuple[float, ...]:
        for look in range(SECTIONS_LOOKS):
            if look:
                time.sleep(self.poll_interval)
            novelty = self.gateway.novelty_sections(self._asked, song_id)
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
        if song.is_complete:
            self._keep(song.id, part, dump(found))
        return found

    def _keep(self, song_id: str, part: str, value: Any) -> None:
        if not self.folders:
            return
        try:
            self.shelf().keep_note(self.folders[0], song_id, part, _dated(part, value))
        except (AudioFull, AudioUnavailable) as error:
            log.warning("The %s of song %s cannot be kept: %s", part, song_id, error)

    def _kept(self, song_id: str, part: str) -> Any:
        content, at = self._note(song_id, part)
        is_young = 0 <= time.time() - at < EMPTY_KEPT_SECONDS
        return content if is_young or _has_content(content) else None

    def _note(self, song_id: str, part: str) -> tuple[Any, float]:
        """The kept part, or None, and when it was kept, in seconds since 1970."""
        try:
            note = self.shelf().note(self.folders, song_id, part) if self.folders else None
        except AudioUnavailable as error:
            log.warning("The kept %s of song %s cannot be read: %s", part, song_id, error)
            return None, 0.0
        if not isinstance(note, dict) or not isinstance(note.get("at"), int | float):
            return None, 0.0
        return note.get(part), float(note["at"])


def note_subject(shelf: Shelf, folder: str, song: Clip) -> None:
    """Keep what a finished song says of itself. Raises AudioFull and AudioUnavailable."""
    found = Subject.of(song)
    if found.is_complete:
        shelf.keep_note(folder, song.id, "song", _dated("song", asdict(found)))


def _dated(part: str, value: Any) -> dict[str, Any]:
    return {"at": time.time(), part: value}


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
