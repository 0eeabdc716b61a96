"""Songs with a beat that a machine can hear: a click on each beat, and a voice that sings only at the words.

Their tempo is known to the sample, and may change from bar to bar. Other instruments are silent.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import cycle, pairwise

from sandbox import audio


@dataclass(frozen=True, slots=True)
class Rhythm:
    """When the beats of a song are."""

    first: float  # seconds until the first beat, which is the first of a bar
    per_bar: int
    tempos: tuple[float, ...]  # beats per minute of each bar, over and over

    def beats(self, seconds: float) -> Iterator[tuple[float, int]]:
        """Time and place in the bar of each beat within so many seconds."""
        at = self.first
        for tempo in cycle(self.tempos):
            for place in range(1, self.per_bar + 1):
                if at >= seconds:
                    return
                yield at, place
                at += 60 / tempo

    def notes(self, seconds: float) -> list[tuple[float, float]]:
        """Start and end of each note of the voice: on every beat but the first of a bar."""
        beats = [*self.beats(seconds), (seconds, 1)]
        return [(at, (at + after) / 2) for (at, place), (after, _) in pairwise(beats) if place > 1]

    def bars(self, seconds: float) -> list[float]:
        """The first beat of each bar."""
        return [at for at, place in self.beats(seconds) if place == 1]


RHYTHMS = {"waltz": Rhythm(0.35, 3, (132.0,)), "changing": Rhythm(0.2, 4, (100.0, 140.0))}
CLICK_SECONDS, SUNG_PEAK = 0.02, 14_000  # seconds of a click; the voice's peak
PITCHES = (220.0, 261.6, 329.6, 293.7)  # Hz, one after the other


def wav(rhythm: Rhythm, names: Iterable[str], seconds: float) -> bytes:
    """Some parts of such a song as a WAV file."""
    samples = array("h", bytes(2 * round(seconds * audio.RATE)))
    if "Drums" in names:
        for at, place in rhythm.beats(seconds):
            _put(samples, at, CLICK_SECONDS, 2000.0 if place == 1 else 1000.0, 16_000 if place == 1 else 9_000)
    if "Vocals" in names:
        for (at, end), pitch in zip(rhythm.notes(seconds), cycle(PITCHES), strict=False):
            _put(samples, at, end - at, pitch, SUNG_PEAK)
    return audio.as_wav(samples.tobytes())


def _put(samples: array[int], at: float, seconds: float, hertz: float, peak: int) -> None:
    """Add a fading tone that begins at once: its first sample is its loudest."""
    first, length = round(at * audio.RATE), round(seconds * audio.RATE)
    for i in range(min(length, len(samples) - first)):
        samples[first + i] += int(peak * (1 - i / length) * math.cos(2 * math.pi * hertz * i / audio.RATE))
