"""A song's tempo, bars, sections and words as a Standard MIDI File, for any sequencer. mido writes it."""

from __future__ import annotations

import io
from bisect import bisect_right
from collections.abc import Sequence
from itertools import pairwise

from app.music.beats import Section, TempoMap
from app.music.words import Line, one_line

TICKS_PER_QUARTER = 960
MAX_QUARTER_MICROSECONDS = 0xFFFFFF
"""Maximum microseconds per quarter note that a MIDI file can hold."""


def midi_of(tempo_map: TempoMap, sections: Sequence[Section], lines: Sequence[Line], *, title: str | None) -> bytes:
    """Write a file with one track: tempos, time signatures, markers and lyrics."""
    # Imported here: only who asks for a MIDI file pays for it.
    from mido import MetaMessage, MidiFile, MidiTrack

    clock = _MidiClock(tempo_map)
    events: list[tuple[int, int, MetaMessage]] = []
    if title:
        events.append((0, 0, MetaMessage("track_name", name=one_line(title))))
    events += [(tick, 1, MetaMessage("set_tempo", tempo=tempo)) for tick, tempo in clock.tempos]
    for signature in tempo_map.signatures:
        message = MetaMessage("time_signature", numerator=signature.numerator, denominator=signature.denominator)
        events.append((round(signature.position * TICKS_PER_QUARTER), 0, message))
    for number, section in enumerate(sections, 1):
        events.append((clock.tick(section.at), 2, MetaMessage("marker", text=section.name or f"Section {number}")))
    for line in lines:
        for index, word in enumerate(line.words):
            end = "\n" if index == len(line.words) - 1 else ""
            events.append((clock.tick(word.start), 3, MetaMessage("lyrics", text=word.text + end)))
    track, now = MidiTrack(), 0
    for tick, _, message in sorted(events, key=lambda event: event[:2]):
        message.time = tick - now
        track.append(message)
        now = tick
    # UTF-8 is what sequencers of today read; the format itself names no encoding.
    file = MidiFile(type=0, ticks_per_beat=TICKS_PER_QUARTER, charset="utf-8")
    file.tracks.append(track)
    written = io.BytesIO()
    file.save(file=written)
    return written.getvalue()


class _MidiClock:
    """Ticks and seconds of the file.

    A tempo is a whole number of microseconds. Each beat gets the tempo that leads from where the file is to where the
    next beat must be, so that the errors do not add up.
    """

    def __init__(self, tempo_map: TempoMap) -> None:
        self.tempos: list[tuple[int, int]] = []
        """Tick, and microseconds per quarter note."""
        self._seconds: list[float] = []
        now = 0.0
        for (position, _), (following, at) in pairwise(tempo_map.anchors):
            tick, until = (round(each * TICKS_PER_QUARTER) for each in (position, following))
            quarters = (until - tick) / TICKS_PER_QUARTER
            tempo = min(MAX_QUARTER_MICROSECONDS, max(1, round((at - now) / quarters * 1e6)))
            if not self.tempos or tempo != self.tempos[-1][1]:
                self.tempos.append((tick, tempo))
                self._seconds.append(now)
            now += tempo * quarters / 1e6

    def tick(self, at: float) -> int:
        """The tick at a time in seconds."""
        index = max(0, bisect_right(self._seconds, at) - 1)
        tick, tempo = self.tempos[index]
        return max(0, round(tick + (at - self._seconds[index]) * 1e6 / tempo * TICKS_PER_QUARTER))
