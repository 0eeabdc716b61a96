"""A small trace of a file, stored beside it: by it, files are compared without decoding them again.

It has two parts:

- `slow`: the sound below 1 kHz, for the time by which one file is later than another.
- `sketch`: each block of samples, summed with random signs that are the same for every file. The sketch of a
  difference is the difference of the sketches, and its energy is that of the difference, on average.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

SLOW_SAMPLE_RATE = 2_000
"""Samples a second of `slow`."""

SKETCH_RATE, SKETCH_BLOCK = 48_000, 256
"""Samples a second of the sound that is summed, and samples of each sum."""

MAX_SHIFT_SECONDS = 0.5
"""Maximum seconds by which a file is looked for before and after its place."""

MIN_PEAK_RATIO = 8.0
"""How far the best place must stand out from the usual one, as a multiple."""

MIN_CORRELATION = 0.3
"""Minimum correlation of a stem with what the others leave of the mix, at its best place."""

IN_PLACE_RATIO = 0.9
"""A file that fits almost as well where it should start does start there: music repeats itself."""

LOWEST_DBFS = -120.0
"""What is quieter counts as this."""

Numbers = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Trace:
    """The trace of a file."""

    slow: Numbers
    """From -1 to 1."""
    sketch: Numbers

    @classmethod
    def of(cls, slow: Numbers, sketch: Numbers) -> Self:
        """Make a trace."""
        return cls(slow.astype(np.float32), sketch.astype(np.float32))

    def dumped(self) -> dict[str, object]:
        """Return the trace as a JSON object. `slow` has 8 bits, which is enough to find a place."""
        loudest = float(np.abs(self.slow).max(initial=0.0))
        small = np.round(self.slow * (127 / loudest if loudest else 0.0)).astype(np.int8)
        return {
            "slow": base64.b64encode(small.tobytes()).decode(),
            "loudest": loudest,
            "sketch": base64.b64encode(self.sketch.astype("<f4").tobytes()).decode(),
        }

    @classmethod
    def read(cls, value: Any) -> Self:
        """Read what `dumped` returned. Raises TypeError, KeyError or ValueError for anything else."""
        slow = np.frombuffer(base64.b64decode(value["slow"]), np.int8).astype(np.float32) * (value["loudest"] / 127)
        return cls.of(slow, np.frombuffer(base64.b64decode(value["sketch"]), "<f4"))


def lags_of(mix: Trace, stems: Sequence[Trace]) -> list[float | None]:
    """Seconds by which each stem starts later than in the mix; negative if earlier. None if no place is clear.

    A stem is compared with what the other stems leave of the mix, where it stands alone: even a quiet one is found.
    The second round knows which of the others are late.
    """
    length = max(len(each.slow) for each in (mix, *stems))
    whole = _fit(mix.slow, length)
    parts = [_fit(stem.slow, length) for stem in stems]
    shifts = [_common_shift(whole, parts)] * len(parts)
    lags: list[float | None] = [None] * len(parts)
    for _ in range(2):
        placed = [_moved(part, -shift) for part, shift in zip(parts, shifts, strict=True)]
        left = whole - _total(placed)
        lags = [_lag(part, left + own) for part, own in zip(parts, placed, strict=True)]
        shifts = [
            shift if lag is None else round(lag * SLOW_SAMPLE_RATE) for shift, lag in zip(shifts, lags, strict=True)
        ]  # fmt: skip
    return lags


def _common_shift(whole: Numbers, parts: Sequence[Numbers]) -> int:
    """The shift of all stems together, if that explains the mix better than none."""
    total = _total(parts)
    lag = _lag(total, whole)
    shift = round(lag * SLOW_SAMPLE_RATE) if lag else 0
    return shift if _power(whole - _moved(total, -shift)) < _power(whole - total) else 0


def _lag(stem: Numbers, alone: Numbers) -> float | None:
    """Seconds by which a stem is later than the same sound in another; None if it is not clear."""
    power = np.sqrt(_power(stem) * _power(alone))
    if not power:
        return None
    length = 1 << (2 * len(stem) - 1).bit_length()
    cross = np.fft.rfft(stem, length) * np.conj(np.fft.rfft(alone, length))
    plain = _near(np.fft.irfft(cross, length))
    # Each frequency counts by the root of its strength: a few low ones would hide the place.
    sharp = _near(np.fft.irfft(cross / (np.sqrt(np.abs(cross)) + 1e-20), length))
    best, none = int(sharp.argmax()), len(sharp) // 2
    if sharp[none] >= IN_PLACE_RATIO * sharp[best]:
        best = none
    if plain[best] < MIN_CORRELATION * power or sharp[best] < MIN_PEAK_RATIO * float(np.median(np.abs(sharp))):
        return None
    return (best - none + _between(sharp, best)) / SLOW_SAMPLE_RATE


def _near(values: NDArray[Any]) -> NDArray[Any]:
    """A correlation at the places that are looked at, from the earliest to the latest."""
    most = round(MAX_SHIFT_SECONDS * SLOW_SAMPLE_RATE)
    return np.concatenate([values[-most:], values[: most + 1]])


def _fit(samples: Numbers, length: int) -> Numbers:
    return np.pad(samples, (0, length - len(samples)))


def _total(parts: Sequence[Numbers]) -> Numbers:
    # One by one: a sum over all of them would copy them first.
    total = np.zeros_like(parts[0])
    for part in parts:
        total += part
    return total


def _moved(samples: Numbers, by: int) -> Numbers:
    """The samples, later by so many; silence comes in."""
    if by == 0:
        return samples
    moved = np.zeros_like(samples)
    if by >= 0:
        moved[by:] = samples[: len(samples) - by]
    else:
        moved[:by] = samples[-by:]
    return moved


def _power(samples: Numbers) -> float:
    return float(np.vdot(samples, samples))


def _between(values: NDArray[Any], best: int) -> float:
    """Where between the neighbours of a maximum a parabola through them has its own."""
    if not 0 < best < len(values) - 1:
        return 0.0
    before, at, after = (float(value) for value in values[best - 1 : best + 2])
    curve = before - 2 * at + after
    return 0.0 if curve >= 0 else max(-0.5, min(0.5, (before - after) / (2 * curve)))


def residual_dbfs(mix: Trace, stems: Sequence[Trace], seconds: float) -> float:
    """The level of what is left of a mix of so many seconds without its stems: its root mean square."""
    left = np.zeros(max(len(each.sketch) for each in (mix, *stems)), np.float64)
    left[: len(mix.sketch)] += mix.sketch
    for stem in stems:
        left[: len(stem.sketch)] -= stem.sketch
    power = float(np.square(left).sum()) / max(1.0, 2 * seconds * SKETCH_RATE)
    return max(LOWEST_DBFS, 10 * float(np.log10(power))) if power else LOWEST_DBFS
