"""The words of a song in time: lines and words, each with a start and an end.

Suno aligns words one by one. A word may hold line breaks and section tags, and some have no time. Here they become
lines, in order of time: no word ends before it begins, and none begins before the one ahead of it.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from app.suno.song_time import AlignedLyrics, AlignedWord

SHUFFLED_SHARE = 0.1
"""If more than this share of neighbours are in the wrong order, the list is unsorted, and is sorted by time. With
fewer, a voice in the background has only begun early: its words stay in their line."""

UNPLACED_SECONDS = 0.3
"""Length of a word without a time, at the beginning or the end of a song."""

_TAG = re.compile(r"\[(\s*[^\[\]\s][^\[\]]{0,79})\]")
_WORDLESS_SCRIPTS = ("CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR")
"""Beginnings of the Unicode names of letters that are written without spaces between words."""


@dataclass(frozen=True, slots=True)
class Word:
    """A word of a line."""

    text: str
    """With its following space, if there is one: the texts of a line's words make the line."""
    start: float
    """Seconds."""
    end: float
    """Seconds."""
    placed: bool
    """Whether Suno found it in the song; False: its time is a guess between its neighbours."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the lyrics; it has at least one word."""

    section: str | None
    """The section's tag, without brackets, such as `Chorus`."""
    words: tuple[Word, ...]

    @property
    def text(self) -> str:
        """The line as one text."""
        return "".join(word.text for word in self.words).strip()

    @property
    def start(self) -> float:
        """Seconds."""
        return self.words[0].start

    @property
    def end(self) -> float:
        """Seconds."""
        return self.words[-1].end


def lines_of(lyrics: AlignedLyrics) -> tuple[Line, ...]:
    """The lines of a song; () if it has no words, or if no word has a time."""
    words = list(lyrics.words)
    if not words or (len(lyrics.lines) > 1 and not any("\n" in word.text for word in words)):
        words = list(_joined(lyrics)) or words
    if not any(word.placed for word in words):
        return ()
    words = _in_order(words)
    return _timed(_split_lines(_spaced(words)))


def section_at(lines: Sequence[Line], at: float, within: float) -> str | None:
    """The section whose first word is at most `within` seconds from `at`; the nearest one."""
    starts = _section_starts(lines)
    position = bisect_right([start for start, _ in starts], at)
    near = [(abs(start - at), name) for start, name in starts[max(0, position - 1) : position + 1]]
    distance, name = min(near, default=(within + 1, ""))
    return name if distance <= within else None


def _section_starts(lines: Sequence[Line]) -> list[tuple[float, str]]:
    starts: list[tuple[float, str]] = []
    before: str | None = None
    for line in lines:
        if line.section and line.section != before:
            starts.append((line.start, line.section))
        before = line.section
    return starts


def _joined(lyrics: AlignedLyrics) -> Iterator[AlignedWord]:
    """The words of Suno's lines as one list, with line breaks and section tags in them."""
    unplaced = {(word.start, word.text.strip()) for word in lyrics.words if not word.placed}
    section = ""
    for line in lyrics.lines:
        tag = f"[{line.section}]\n" if line.section and line.section != section else ""
        section = line.section
        for number, word in enumerate(line.words):
            text = (tag if number == 0 else "") + word.text + ("\n" if number == len(line.words) - 1 else "")
            placed = word.placed and (word.start, word.text.strip()) not in unplaced
            yield replace(word, text=text, placed=placed)


def _in_order(words: list[AlignedWord]) -> list[AlignedWord]:
    """The words in order of time, if they were sent in none. A word without a time follows the one before it."""
    times = [word.start for word in words if word.placed and word.start is not None]
    wrong = sum(later < earlier for earlier, later in pairwise(times))
    if wrong <= SHUFFLED_SHARE * len(times):
        return words
    key, keys = 0.0, []
    for word in words:
        key = word.start if word.placed and word.start is not None else key
        keys.append(key)
    return [words[i] for i in sorted(range(len(words)), key=keys.__getitem__)]


def _spaced(words: Sequence[AlignedWord]) -> list[AlignedWord]:
    """The words with spaces between them. Suno sends these within the words, or (in some lists) not at all."""
    if any(any(c.isspace() for c in word.text) for word in words):
        return list(words)
    spaced = []
    for word, following in zip(words, [*words[1:], None], strict=True):
        touches = following and not (_is_wordless(word.text[-1:]) or _is_wordless(following.text[:1]))
        spaced.append(replace(word, text=f"{word.text} ") if touches else word)
    return spaced


def _is_wordless(letter: str) -> bool:
    return letter == "" or unicodedata.name(letter, "").startswith(_WORDLESS_SCRIPTS)


@dataclass(frozen=True, slots=True)
class _WordPiece:
    """The characters of one aligned word that are in one line: all of it, unless it has a line break in it."""

    text: str
    word: AlignedWord
    number: int
    """The word's place in the song."""


def _split_lines(words: Sequence[AlignedWord]) -> Iterator[tuple[str | None, list[_WordPiece]]]:
    """The lines, with their section. A tag may reach over several aligned words, and a word over two lines."""
    whole = "".join(word.text for word in words)
    starts, position = [], 0
    for word in words:
        starts.append(position)
        position += len(word.text)
    section: str | None = None
    at = 0
    for tag in [*_TAG.finditer(whole), None]:
        ends = tag.start() if tag else len(whole)
        for found in re.finditer(r"[^\r\n]+", whole[at:ends]):
            pieces = _pieces(words, starts, whole, at + found.start(), at + found.end())
            if pieces:
                yield section, pieces
        if tag:
            section, at = " ".join(tag[1].split()) or None, tag.end()


def _pieces(
    words: Sequence[AlignedWord], starts: Sequence[int], whole: str, first: int, end: int
) -> list[_WordPiece]:
    pieces: list[_WordPiece] = []
    while first < end:
        index = bisect_right(starts, first) - 1
        word = words[index]
        stop = min(end, starts[index] + len(word.text))
        text = _shown(whole[first:stop])
        if text.strip():
            pieces.append(_WordPiece(text, word, index))
        elif pieces and text and not pieces[-1].text.endswith(" "):
            pieces[-1] = replace(pieces[-1], text=f"{pieces[-1].text} ")
        first = stop
    if pieces:
        pieces[0] = replace(pieces[0], text=pieces[0].text.lstrip())
        pieces[-1] = replace(pieces[-1], text=pieces[-1].text.rstrip())
    return pieces


def one_line(text: str) -> str:
    """A text that any file can hold, on one line."""
    return _shown(text).strip()


def _shown(text: str) -> str:
    """The text without characters that are not shown, and with plain single spaces."""
    kept = "".join(" " if c.isspace() else c for c in text if c.isspace() or unicodedata.category(c) not in _HIDDEN)
    return re.sub(" +", " ", kept)


_HIDDEN = ("Cc", "Cs", "Cn", "Zl", "Zp")
"""Categories of control characters, lone surrogates, unassigned code points and separators."""


def _timed(lines: Iterable[tuple[str | None, list[_WordPiece]]]) -> tuple[Line, ...]:
    """Give each word its time: its own, cut to the order of the words, or one between its neighbours."""
    sections = list(lines)
    pieces = [piece for _, line in sections for piece in line]
    times = _monotonic(_filled(list(_own_times(pieces))))
    timed = iter(
        Word(piece.text, start, end, piece.word.placed) for piece, (start, end) in zip(pieces, times, strict=True)
    )
    return tuple(Line(section, tuple(next(timed) for _ in line)) for section, line in sections)


def _own_times(pieces: Sequence[_WordPiece]) -> Iterator[tuple[float, float] | None]:
    """Suno's times. The pieces of one word share its time by their length; None for a word that has no time."""
    letters: Counter[int] = Counter()
    for piece in pieces:
        letters[piece.number] += len(piece.text.strip())
    before: Counter[int] = Counter()
    for piece in pieces:
        word, all_letters = piece.word, letters[piece.number]
        first = before[piece.number]
        before[piece.number] = last = first + len(piece.text.strip())
        if not word.placed or word.start is None:
            yield None
            continue
        length = max(0.0, (word.start if word.end is None else word.end) - word.start)
        yield word.start + length * first / all_letters, word.start + length * last / all_letters


def _filled(times: Sequence[tuple[float, float] | None]) -> list[tuple[float, float]]:
    """Share the time between two placed words among those between them."""
    filled: list[tuple[float, float]] = []
    position = 0
    while position < len(times):
        time = times[position]
        if time is not None:
            filled.append(time)
            position += 1
            continue
        stop = position
        while stop < len(times) and times[stop] is None:
            stop += 1
        count = stop - position
        after = times[stop] if stop < len(times) else None
        if filled:
            start = max(filled[-1])
            end = max(start, after[0]) if after else start + count * UNPLACED_SECONDS
        else:
            end = after[0] if after else count * UNPLACED_SECONDS
            start = max(0.0, end - count * UNPLACED_SECONDS)
        step = (end - start) / count
        filled += [(start + i * step, start + (i + 1) * step) for i in range(count)]
        position = stop
    return filled


def _monotonic(times: Sequence[tuple[float, float]]) -> Iterator[tuple[float, float]]:
    """The times without overlaps: each begins at or after the one ahead, and ends before the next begins."""
    starts: list[float] = []
    for start, _ in times:
        starts.append(max(start, starts[-1]) if starts else start)
    for (_, end), start, following in zip(times, starts, [*starts[1:], float("inf")], strict=True):
        yield start, max(start, min(end, following))
