"""What Suno tells of a song in time: its words, beats and sections. All of it is free.

The forms are those of captures of 2026-08. Numbers that are not finite, and items of another form, are left out:
they must not cost the rest.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from app.suno.clip import UnreadableReply

MAX_WORD_LENGTH = 1_000
"""Maximum characters of one aligned word; the rest is cut."""

MAX_ITEMS = 50_000
"""Maximum words or beats of one song. Eight minutes at 184 BPM have 1,500 beats."""


@dataclass(frozen=True, slots=True)
class AlignedWord:
    """A word as Suno aligns it with the song."""

    text: str
    """It may hold line breaks, a following space, or a tag such as `[Verse 1]`."""
    start: float | None
    """Seconds."""
    end: float | None
    """Seconds."""
    placed: bool
    """Whether Suno could find the word in the song; False: its times mean nothing."""
    certainty: float | None = None
    """Suno's `p_align`."""


@dataclass(frozen=True, slots=True)
class AlignedLine:
    """A line of the lyrics, as Suno groups the words."""

    section: str
    words: tuple[AlignedWord, ...]


@dataclass(frozen=True, slots=True)
class AlignedLyrics:
    """The words of a song, twice: one after another, and by line. Both are empty for an instrumental."""

    words: tuple[AlignedWord, ...] = ()
    lines: tuple[AlignedLine, ...] = ()

    @classmethod
    def from_wire(cls, reply: Any) -> AlignedLyrics:
        """Parse the reply of `aligned_lyrics/v2`. Raises UnreadableReply without its two lists."""
        if not isinstance(reply, dict) or not any(_is_list(reply, name) for name in WORDS_AND_LINES):
            raise UnreadableReply("an object without aligned_words or aligned_lyrics")
        words, lines = (_list(reply.get(name)) for name in WORDS_AND_LINES)
        return cls(
            tuple(_word(each, "word", each.get("success") is not False) for each in _objects(words)),
            tuple(
                AlignedLine(
                    _text(line.get("section")),
                    tuple(_word(each, "text", True) for each in _objects(_list(line.get("words"))))
                    or (_word(line, "text", True),),
                )
                for line in _objects(lines)
            ),
        )


WORDS_AND_LINES = ("aligned_words", "aligned_lyrics")


@dataclass(frozen=True, slots=True)
class Beat:
    """One beat."""

    at: float
    """Seconds."""
    weight: float | None
    """Its place in the bar from 1, or in an older reply a weight; None if Suno sent neither."""


def beats_from_wire(reply: Any) -> tuple[Beat, ...]:
    """Parse the reply of `downbeats`: a list of `[seconds, place]`, bare or under `downbeats`.

    Raises UnreadableReply without a list.
    """
    listed = reply if isinstance(reply, list) else None
    if isinstance(reply, dict) and _is_list(reply, "downbeats"):
        listed = _list(reply["downbeats"])
    if listed is None:
        raise UnreadableReply("a reply without a list of beats")
    return tuple(_beats(listed))


@dataclass(frozen=True, slots=True)
class Novelty:
    """Where the song's sections change."""

    is_ready: bool
    """Whether Suno has computed them; False: ask again later."""
    peaks: tuple[float, ...] = ()
    """Seconds."""

    @classmethod
    def from_wire(cls, reply: Any) -> Novelty:
        """Parse the reply of `novelty-sections`. Raises UnreadableReply without a state."""
        state = reply.get("state") if isinstance(reply, dict) else None
        if not isinstance(state, str):
            raise UnreadableReply("a reply without a state of the sections")
        peaks = tuple(at for each in _list(reply.get("peak_times")) if (at := _seconds(each)) is not None)
        return cls(state == "complete", peaks if state == "complete" else ())


def _beats(listed: list[Any]) -> Iterator[Beat]:
    for item in listed[:MAX_ITEMS]:
        at, weight = item if isinstance(item, list) and len(item) == 2 else (item, None)
        if (seconds := _seconds(at)) is not None:
            yield Beat(seconds, _seconds(weight))


def _word(item: Mapping[str, Any], name: str, placed: bool) -> AlignedWord:
    start, end = _seconds(item.get("start_s")), _seconds(item.get("end_s"))
    text = _text(item.get(name))[:MAX_WORD_LENGTH]
    return AlignedWord(text, start, end, placed and start is not None, _seconds(item.get("p_align")))


def _objects(items: list[Any]) -> Iterator[Mapping[str, Any]]:
    return (item for item in items[:MAX_ITEMS] if isinstance(item, dict))


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _is_list(reply: Mapping[str, Any], name: str) -> bool:
    """Whether a field is there as a list, or as null: an empty one."""
    return name in reply and isinstance(reply[name], list | None)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _seconds(value: Any) -> float | None:
    """A finite number that is not negative; Suno sends some numbers as text."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) and number >= 0 else None
