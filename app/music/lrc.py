"""Lyrics as an LRC file, with a time for each word (the "enhanced" form).

No kept library writes it. A line is `[mm:ss.xx]` and its words, each behind its own `<mm:ss.xx>`. Players that do
not know word times show the text.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from app.music.words import Line, one_line


def lrc_of(lines: Sequence[Line], *, title: str | None, length: float | None) -> str:
    """Write an LRC file. `length`: of the song, in seconds."""
    return "\n".join(_rows(lines, title, length)) + "\n"


def _rows(lines: Sequence[Line], title: str | None, length: float | None) -> Iterator[str]:
    if title:
        shown = one_line(title).replace("[", "(").replace("]", ")")
        yield f"[ti:{shown}]"
    if length:
        yield f"[length:{int(length) // 60:02}:{int(length) % 60:02}]"
    for line in lines:
        words = "".join(f"<{_time(word.start)}>{word.text}" for word in line.words)
        yield f"[{_time(line.start)}]{words}<{_time(line.end)}>"


def _time(seconds: float) -> str:
    hundredths = round(seconds * 100)
    return f"{hundredths // 6000:02}:{hundredths // 100 % 60:02}.{hundredths % 100:02}"
