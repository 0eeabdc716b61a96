"""A clip's waveform in the format of audiowaveform (JSON, version 2), which players support."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict

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


def peaks_as_json(lows: Sequence[int], highs: Sequence[int], rate: int, samples: int) -> Peaks:
    """A waveform from the lowest and highest samples of equal pieces. `samples`: of the whole."""
    return {
        "version": 2,
        "channels": 1,
        "sample_rate": rate,
        "samples_per_pixel": max(1, round(samples / PAIRS)),
        "bits": 16,
        "length": PAIRS,
        "data": _pairs(lows, highs),
    }


def _pairs(lows: Sequence[int], highs: Sequence[int]) -> list[int]:
    """The lowest and the highest value of each of PAIRS parts, alternating."""
    numbers: list[int] = []
    for i in range(PAIRS):
        start = i * len(lows) // PAIRS
        end = max(start + 1, (i + 1) * len(lows) // PAIRS)
        numbers += (min(lows[start:end]), max(highs[start:end]))
    return numbers


def demuxer_of(file: Path, format: str) -> str:
    """The demuxer, by the file's first bytes if they are unambiguous, otherwise by `format`."""
    with file.open("rb") as content:
        beginning = content.read(12)
    if beginning[:4] in (b"RIFF", b"RF64"):
        return "wav"
    return "mov" if beginning[4:8] == b"ftyp" else DEMUXERS[format]
