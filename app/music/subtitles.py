"""Lyrics as subtitles: SRT and WebVTT with a cue a line, ASS with karaoke times. pysubs2 writes them."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from app.music.words import Line, one_line

SHORTEST_MS = 10
"""Minimum milliseconds of a cue: WebVTT and SRT want an end after the beginning, and ASS counts hundredths."""


class Subtitles(StrEnum):
    """The formats of subtitles."""

    SRT = "srt"
    VTT = "vtt"
    ASS = "ass"


def subtitles_of(lines: Sequence[Line], format: Subtitles, *, title: str | None) -> str:
    """Write the lines as subtitles. `title` is shown by ASS editors only."""
    # Imported here: only who asks for subtitles pays for it.
    from pysubs2 import SSAEvent, SSAFile

    file = SSAFile()
    file.info["Title"] = one_line(title or "")
    for line in lines:
        start = _ms(line.start)
        text = _karaoke(line) if format is Subtitles.ASS else _plain(line.text)
        file.events.append(SSAEvent(start=start, end=max(_ms(line.end), start + SHORTEST_MS), text=text))
    written: str = file.to_string(format.value)
    return written


def _karaoke(line: Line) -> str:
    """The words, each behind its time in hundredths of a second, counted from the line's start without drift."""
    parts, at = [], _cs(line.start)
    for word in line.words:
        if (wait := _cs(word.start) - at) > 0:
            parts.append(f"{{\\k{wait}}}")
        at = max(at, _cs(word.start))
        length = max(0, _cs(word.end) - at)
        parts.append(f"{{\\k{length}}}{_plain(word.text)}")
        at += length
    return "".join(parts)


def _plain(text: str) -> str:
    r"""The text without what these formats take for commands: `{…}` and `\N`; `<` and `-->` in SRT and VTT."""
    for command, shown in (("{", "("), ("}", ")"), ("\\", "/"), ("<", "‹"), (">", "›")):  # noqa: RUF001
        text = text.replace(command, shown)
    return text


def _ms(seconds: float) -> int:
    return round(seconds * 1000)


def _cs(seconds: float) -> int:
    return round(seconds * 100)
