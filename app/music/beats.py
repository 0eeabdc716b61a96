"""The beats and sections of a song: tempo, bars, and the song's tempo map for other programs."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from statistics import mean, median

from app.music.words import Line, section_at
from app.suno.song_time import Beat

SAME_BEAT_SECONDS = 0.03
"""Two beats closer than this are one: no music has 2,000 beats a minute."""

STEADY_DEVIATION = 0.06
STEADY_SHARE = 0.9
"""A tempo is steady if this share of the intervals is within that deviation of the median."""

MISSING_BEAT_RATIO = 1.5
"""An interval of more than this many usual ones lacks a beat in between."""

BEATS_PER_BAR_RANGE = (2, 12)
"""Fewest and most beats of a bar. A list with other places has weights in them, and its bars are not known."""

SECTION_NAME_SECONDS = 2.0
"""Seconds between a change that Suno hears and the first word of a section that may name it."""


@dataclass(frozen=True, slots=True)
class Beats:
    """A song's beats in order of time; empty if none are known."""

    times: tuple[float, ...] = ()
    """Seconds."""
    places: tuple[int, ...] = ()
    """The place of each beat in its bar, from 1; () if the bars are not known."""

    @classmethod
    def of(cls, beats: Iterable[Beat]) -> Beats:
        """Put Suno's beats in order, without repeats."""
        ordered: list[Beat] = []
        for beat in sorted(beats, key=lambda each: each.at):
            if not ordered or beat.at - ordered[-1].at >= SAME_BEAT_SECONDS:
                ordered.append(beat)
        weights = [beat.weight for beat in ordered]
        return cls(tuple(beat.at for beat in ordered), _places(weights))

    @property
    def bpm(self) -> float | None:
        """Beats per minute: the mean of a steady tempo, otherwise the median; None with fewer than two beats."""
        if not self._intervals:
            return None
        usual = mean(self._near_intervals) if self.is_steady else median(self._intervals)
        return round(60 / usual, 2)

    @property
    def is_steady(self) -> bool | None:
        """Whether the tempo stays the same; None with fewer than two beats."""
        if not self._intervals:
            return None
        return len(self._near_intervals) >= STEADY_SHARE * len(self._intervals)

    @property
    def beats_per_bar(self) -> int | None:
        """Beats of most bars; None if the bars are not known."""
        lengths = Counter(bar.quarters for bar in self.bars()[:-1])
        if not lengths:
            return max(self.places) if self.places else None
        return max(lengths, key=lambda length: (lengths[length], length))

    @property
    def _intervals(self) -> list[float]:
        return [later - earlier for earlier, later in pairwise(self.times)]

    @property
    def _near_intervals(self) -> list[float]:
        """The intervals that are close to the median."""
        usual = median(self._intervals)
        return [each for each in self._intervals if abs(each - usual) <= STEADY_DEVIATION * usual]

    def quarters(self) -> list[int]:
        """The position of each beat, in beats from the first. A beat that Suno left out is counted."""
        intervals = self._intervals
        usual = median(intervals) if intervals else 0.0
        longest = max(self.places, default=0)
        positions = [0] if self.times else []
        for i, interval in enumerate(intervals):
            count = 1
            if interval > MISSING_BEAT_RATIO * usual:
                count = max(1, round(interval / usual))
                if self.places:
                    # By the places: how many bars were left out in between is for the time to say.
                    step = (self.places[i + 1] - self.places[i] - 1) % longest + 1
                    count = step + longest * max(0, round((count - step) / longest))
            positions.append(positions[-1] + count)
        return positions

    def bars(self) -> list[Bar]:
        """The bars, from the first beat with place 1; [] if they are not known. The last one may be cut."""
        if not self.places:
            return []
        positions = self.quarters()
        firsts = [i for i, place in enumerate(self.places) if place == 1]
        ends = [*(positions[i] for i in firsts[1:]), positions[-1] + 1]
        return [
            Bar(self.times[i], positions[i], end - positions[i])
            for i, end in zip(firsts, ends, strict=True)
            if firsts
        ]


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar."""

    at: float
    """Seconds."""
    position: int
    """Beats from the song's first beat."""
    quarters: int
    """Its length in beats, which count as quarter notes."""


@dataclass(frozen=True, slots=True)
class Section:
    """A place where the song changes."""

    at: float
    """Seconds."""
    name: str | None
    """The section that begins here, by its tag in the lyrics."""


def sections_of(peaks: Iterable[float], lines: Sequence[Line]) -> tuple[Section, ...]:
    """The sections that Suno hears, with the names of those whose words begin there."""
    return tuple(Section(at, section_at(lines, at, SECTION_NAME_SECONDS)) for at in sorted(set(peaks)))


@dataclass(frozen=True, slots=True)
class Tempo:
    """From here on, the tempo is this."""

    position: Fraction
    """Quarter notes from the start of the file."""
    at: float
    """Seconds from the start of the file."""
    bpm: float


@dataclass(frozen=True, slots=True)
class Signature:
    """From here on, bars have this length."""

    position: Fraction
    at: float
    numerator: int
    denominator: int


@dataclass(frozen=True, slots=True)
class TempoMap:
    """How bars and seconds belong together, from the start of the file, where no bar line of the song may be."""

    anchors: tuple[tuple[Fraction, float], ...]
    """Quarter notes and seconds of the file's start and of each beat."""
    tempos: tuple[Tempo, ...]
    """The first is at 0. Between two of them every beat lies within ONE_TEMPO_SECONDS of its place."""
    signatures: tuple[Signature, ...]
    """The first is at 0; () if the bars are not known."""

    def position(self, at: float) -> float:
        """Quarter notes at a time in seconds."""
        before = self.tempos[max(0, bisect_right(self.tempos, at, key=lambda tempo: tempo.at) - 1)]
        return float(before.position) + (at - before.at) * before.bpm / 60


MAX_QUARTERS_PER_BAR = 12
"""Quarter notes that may be one bar. A silence has no beats, and MIDI and REAPER count up to 255 in a bar."""

ONE_TEMPO_SECONDS = 0.0005
"""Seconds by which a beat may lie beside one tempo for the whole song. Most songs need a tempo for each beat."""

SAME_TEMPO_SECONDS = 1e-6
"""Seconds of difference that two beats' tempos may have to be one entry."""


def tempo_map_of(beats: Beats) -> TempoMap | None:
    """The tempo map of a song; None with fewer than two beats.

    Each beat of Suno's lies exactly at a quarter note of the map. What is before the first beat becomes notes of
    about the song's tempo, in a bar of its own, as a file begins with a bar line.
    """
    if len(beats.times) < 2:
        return None
    positions = beats.quarters()
    usual = median([(b - a) / (q - p) for a, b, p, q in _steps(beats.times, positions)])
    lead = _lead_in(beats.times[0], usual)
    placed = [(lead + position, at) for position, at in zip(positions, beats.times, strict=True)]
    if lead:
        placed.insert(0, (Fraction(0), 0.0))
    else:
        placed[0] = (Fraction(0), 0.0)
    return TempoMap(tuple(placed), _tempos(placed, lead), _signatures(beats, lead, placed))


def _steps(times: Sequence[float], positions: Sequence[int]) -> list[tuple[float, float, int, int]]:
    return [(*pair, *at) for pair, at in zip(pairwise(times), pairwise(positions), strict=True)]


def _lead_in(seconds: float, beat: float) -> Fraction:
    """Quarter notes before the first beat: whole ones, or a fraction down to a 64th note where there is less time."""
    if seconds <= ONE_TEMPO_SECONDS / 2:
        return Fraction(0)
    if seconds >= beat * 0.75:
        return Fraction(round(seconds / beat))
    return max(Fraction(round(seconds / beat * 16), 16), Fraction(1, 16))


def _tempos(placed: Sequence[tuple[Fraction, float]], lead: Fraction) -> tuple[Tempo, ...]:
    """One tempo where that meets every beat; otherwise one for each beat at which it changes."""
    first = 1 if lead else 0
    (p, a), (q, b) = placed[first], placed[-1]
    even = (b - a) / float(q - p)
    if all(abs(a + even * float(position - p) - at) <= ONE_TEMPO_SECONDS for position, at in placed[first:]):
        placed = [*placed[: first + 1], placed[-1]]
    tempos: list[Tempo] = []
    for (position, at), (following, then) in pairwise(placed):
        bpm = 60 * float(following - position) / (then - at)
        if not tempos or abs(60 / bpm - 60 / tempos[-1].bpm) > SAME_TEMPO_SECONDS / len(placed):
            tempos.append(Tempo(position, at, bpm))
    return tuple(tempos)


def _signatures(beats: Beats, lead: Fraction, placed: Sequence[tuple[Fraction, float]]) -> tuple[Signature, ...]:
    bars = beats.bars()
    if not bars:
        return ()
    usual = beats.beats_per_bar or bars[0].quarters
    first = lead + bars[0].position
    lengths = list(_countable(Fraction(0), first, usual)) if first else []
    # The last bar may be cut by the song's end.
    for bar, quarters in zip(bars, [*(bar.quarters for bar in bars[:-1]), usual], strict=True):
        lengths += _countable(lead + bar.position, Fraction(quarters), usual)
    signatures: list[Signature] = []
    for position, length in lengths:
        last = signatures[-1] if signatures else None
        numerator, denominator = length.numerator, 4 * length.denominator
        if last is None or (last.numerator, last.denominator) != (numerator, denominator) or position == first:
            signatures.append(Signature(position, _seconds_at(position, placed), numerator, denominator))
    return tuple(signatures)


def _countable(position: Fraction, length: Fraction, usual: int) -> Iterator[tuple[Fraction, Fraction]]:
    """A bar's position and length; a bar that is too long becomes what is over, and then usual bars."""
    if length <= MAX_QUARTERS_PER_BAR:
        yield position, length
        return
    over = length % usual or Fraction(usual)
    yield position, over
    yield position + over, Fraction(usual)


def _seconds_at(position: Fraction, placed: Sequence[tuple[Fraction, float]]) -> float:
    """The time of a position between two beats, or before the first."""
    after = max(1, bisect_right(placed, position, key=lambda each: each[0]))
    (p, a), (q, b) = placed[after - 1], placed[min(after, len(placed) - 1)]
    return a if p == q else a + (b - a) * float((position - p) / (q - p))


def _places(weights: Sequence[float | None]) -> tuple[int, ...]:
    """The weights as places in the bar; () if that is not what they are: an older reply has 1.0 for each beat."""
    places = [int(weight) for weight in weights if weight is not None and weight == int(weight)]
    fewest, most = BEATS_PER_BAR_RANGE
    if len(places) < len(weights) or not places or min(places) < 1 or not fewest <= max(places) <= most:
        return ()
    if 1 not in places or sum(b == a + 1 or b == 1 for a, b in pairwise(places)) < 0.9 * (len(places) - 1):
        return ()
    return tuple(places)
