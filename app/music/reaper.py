"""A session as a REAPER project (`.rpp`), which is text: blocks `<NAME …` to `>`, one value a line.

The form is that of projects which REAPER 6 and 7 write. REAPER fills in what is left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

from app.music.session import Session, Track, section_name
from app.music.words import one_line

SQUARE = 1
"""The shape of a tempo point: the tempo stays until the next point."""

DEFAULT_BPM = 120.0

_SOURCES = {"wav": "WAVE", "mp3": "MP3", "m4a": "VIDEO"}
"""REAPER's names of its readers; it reads M4A with its video reader."""


def reaper_of(session: Session) -> str:
    """Write a project. The files of the tracks lie beside it."""
    return "\n".join(_rows(session)) + "\n"


def _rows(session: Session) -> Iterator[str]:
    yield '<REAPER_PROJECT 0.1 "6.0/suno-stems"'
    first = session.tempo_map.signatures[0] if session.tempo_map and session.tempo_map.signatures else None
    bpm = session.tempo_map.tempos[0].bpm if session.tempo_map else session.bpm or DEFAULT_BPM
    yield f"  TEMPO {bpm:.10f} {first.numerator if first else 4} {first.denominator if first else 4}"
    # Items keep their time in seconds when the tempo map changes: they are audio.
    yield "  TIMEMODE 1 5 -1 30 0 0 -1"
    yield "  TIMELOCKMODE 0"
    for number, section in enumerate(session.sections, 1):
        yield f"  MARKER {number} {section.at:.9f} {_quoted(section_name(section, number))} 0"
    yield from _tempo_points(session)
    ids = count(1)
    for track in session.tracks:
        yield from _track(track, next(ids))
    yield ">"


def _tempo_points(session: Session) -> Iterator[str]:
    """`PT seconds bpm shape [signature]`; the signature is 65,536 times the denominator, plus the numerator."""
    if session.tempo_map is None:
        return
    signatures = {signature.at: signature for signature in session.tempo_map.signatures}
    tempos = {tempo.at: tempo.bpm for tempo in session.tempo_map.tempos}
    yield "  <TEMPOENVEX"
    yield "    ACT 1 -1"
    bpm = DEFAULT_BPM
    for at in sorted({*signatures, *tempos}):
        bpm = tempos.get(at, bpm)
        signature = signatures.get(at)
        packed = f" {signature.denominator * 65536 + signature.numerator} 0 1" if signature else ""
        yield f"    PT {at:.12f} {bpm:.10f} {SQUARE}{packed}"
    yield "  >"


def _track(track: Track, number: int) -> Iterator[str]:
    red, green, blue = (int(track.colour[i : i + 2], 16) for i in (1, 3, 5))
    yield "  <TRACK"
    yield f"    NAME {_quoted(track.name)}"
    # The highest bit says that the colour is set.
    yield f"    PEAKCOL {0x1000000 | blue << 16 | green << 8 | red}"
    yield f"    MUTESOLO {int(track.is_muted)} 0 0"
    yield "    <ITEM"
    yield "      POSITION 0"
    yield f"      LENGTH {track.seconds:.9f}"
    yield "      LOOP 0"
    yield f"      IID {number}"
    yield f"      NAME {_quoted(track.name)}"
    # The item's times are in seconds, whatever the project's tempo does.
    yield "      BEAT 0"
    yield f"      <SOURCE {_SOURCES[track.file.rpartition('.')[2]]}"
    yield f"        FILE {_quoted(track.file)}"
    yield "      >"
    yield "    >"
    yield "  >"


def _quoted(text: str) -> str:
    """A text in the quotes that it does not contain itself: REAPER knows three, and no way to escape one."""
    line = one_line(text)
    for quote in ('"', "'", "`"):
        if quote not in line:
            return f"{quote}{line}{quote}"
    return "`" + line.replace("`", "'") + "`"
