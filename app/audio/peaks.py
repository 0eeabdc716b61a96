"""A clip's waveform in the format of audiowaveform (JSON, version 2), which players support."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypedDict

PAIRS = 1_000
"""Number of pairs of the lowest and the highest sample."""

DEMUXERS = {"mp3": "mp3", "m4a": "mov", "wav": "wav"}


class NotAudio(Exception):
    """The file cannot be decoded."""


class Peaks(TypedDict):
    """A waveform, in audiowaveform's JSON format."""

    version: int
    channels: int
    sample_rate: int
    samples_per_pixel: int
    bits: int
    length: int
    data: list[int]


def peaks_from_suno(reply: Any, duration: float | None) -> Peaks | None:
    """Read Suno's own waveform of a clip; None if it is not understood: its format was never captured."""
    longest: Sequence[float] = ()
    waiting, looked = [reply], 0
    while waiting and looked < 10_000:
        found, looked = waiting.pop(), looked + 1
        if isinstance(found, dict):
            waiting += found.values()
        elif isinstance(found, list):
            numbers = [each for each in found if isinstance(each, int | float) and not isinstance(each, bool)]
            if found and len(numbers) == len(found):
                longest = max(longest, numbers, key=len)
            elif len(found) <= 10_000:
                waiting += found
    try:
        loudest = max(map(abs, longest), default=0.0)
        if len(longest) < 2 or not 0 < loudest < float("inf"):
            return None
        if min(longest) < 0 and len(longest) % 2 == 0 and all(low <= high for low, high in _in_pairs(longest)):
            lows, highs = [low for low, _ in _in_pairs(longest)], [high for _, high in _in_pairs(longest)]
        else:
            highs = [abs(each) for each in longest]
            lows = [-each for each in highs]
        scale = 32_767 / loudest
        pairs = _pairs([int(each * scale) for each in lows], [int(each * scale) for each in highs])
    except (OverflowError, ValueError):
        return None
    rate = 44_100
    return _as_json(pairs, rate, int((duration or 0) * rate) or PAIRS)


def _in_pairs(numbers: Sequence[float]) -> list[tuple[float, float]]:
    return list(zip(numbers[::2], numbers[1::2], strict=True))


def peaks_as_json(lows: Sequence[int], highs: Sequence[int], rate: int, samples: int) -> Peaks:
    """A waveform from the lowest and highest samples of equal pieces. `samples`: of the whole."""
    return _as_json(_pairs(lows, highs), rate, samples)


def _pairs(lows: Sequence[int], highs: Sequence[int]) -> list[int]:
    """The lowest and the highest value of each of PAIRS parts, alternating."""
    numbers: list[int] = []
    for i in range(PAIRS):
        start = i * len(lows) // PAIRS
        end = max(start + 1, (i + 1) * len(lows) // PAIRS)
        numbers += (min(lows[start:end]), max(highs[start:end]))
    return numbers


def _as_json(pairs: list[int], rate: int, samples: int) -> Peaks:
    return {
        "version": 2,
        "channels": 1,
        "sample_rate": rate,
        "samples_per_pixel": max(1, round(samples / PAIRS)),
        "bits": 16,
        "length": PAIRS,
        "data": pairs,
    }


def demuxer_of(file: Path, format: str) -> str:
    """The demuxer, by the file's first bytes if they are unambiguous, otherwise by `format`."""
    with file.open("rb") as content:
        beginning = content.read(12)
    if beginning[:4] in (b"RIFF", b"RF64"):
        return "wav"
    return "mov" if beginning[4:8] == b"ftyp" else DEMUXERS[format]
