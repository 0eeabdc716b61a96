"""A clip's waveform, as audiowaveform writes it (JSON, version 2), so that players know it.

PyAV decodes: it has FFmpeg in its wheels and knows every format of Suno's, the Opus in its m4a files included.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import Any

LENGTH = 1_000
"""Pairs of the lowest and the highest sample."""

FINER = 16
"""Pieces of each pair that are measured one by one: how long a file is, is certain at its end only."""

DEMUXERS = {"mp3": "mp3", "m4a": "mov", "wav": "wav"}


class NotAudio(Exception):
    """The file cannot be decoded."""


def peaks_of(file: Path, format: str) -> dict[str, Any]:
    """Measure a file. Raises NotAudio. It takes about a second for five minutes of music, and little memory."""
    # Here, because it takes its time to load.
    import av

    lows, highs, samples = array("h"), array("h"), 0
    piece = 0
    rest = array("h")
    try:
        # A file object and a named demuxer: whatever the file says, nothing else is opened.
        with file.open("rb") as content, av.open(content, "r", format=_demuxer(file, format)) as container:
            stream = container.streams.audio[0]
            rate = stream.rate or 0
            seconds = float(stream.duration * stream.time_base) if stream.duration and stream.time_base else 0.0
            piece = max(1, int(seconds * rate) // (LENGTH * FINER))
            resampler = av.AudioResampler(format="s16", layout="mono")
            for frame in container.decode(stream):
                for mono in resampler.resample(frame):
                    rest.frombytes(bytes(mono.planes[0])[: mono.samples * 2])
                    samples += mono.samples
                whole = len(rest) - len(rest) % piece
                for start in range(0, whole, piece):
                    part = rest[start : start + piece]
                    lows.append(min(part))
                    highs.append(max(part))
                del rest[:whole]
    except (av.FFmpegError, OSError, ValueError, IndexError) as error:
        raise NotAudio(type(error).__name__) from error
    if rest:
        lows.append(min(rest))
        highs.append(max(rest))
    if not samples:
        raise NotAudio("no sound in it")
    return _as_json(_pairs(lows, highs), rate, samples)


def peaks_from_suno(reply: Any, duration: float | None) -> dict[str, Any] | None:
    """Read Suno's own waveform of a clip; None where it cannot be understood: its form was never captured."""
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
    return _as_json(pairs, rate, int((duration or 0) * rate) or LENGTH)


def _in_pairs(numbers: Sequence[float]) -> list[tuple[float, float]]:
    return list(zip(numbers[::2], numbers[1::2], strict=True))


def _pairs(lows: Sequence[int], highs: Sequence[int]) -> list[int]:
    """The lowest and the highest of each of LENGTH parts, in turn."""
    numbers: list[int] = []
    for i in range(LENGTH):
        start = i * len(lows) // LENGTH
        end = max(start + 1, (i + 1) * len(lows) // LENGTH)
        numbers += (min(lows[start:end]), max(highs[start:end]))
    return numbers


def _as_json(pairs: list[int], rate: int, samples: int) -> dict[str, Any]:
    return {
        "version": 2,
        "channels": 1,
        "sample_rate": rate,
        "samples_per_pixel": max(1, round(samples / LENGTH)),
        "bits": 16,
        "length": LENGTH,
        "data": pairs,
    }


def _demuxer(file: Path, format: str) -> str:
    """By the file's beginning, where it has an unmistakable one."""
    with file.open("rb") as content:
        beginning = content.read(12)
    if beginning[:4] in (b"RIFF", b"RF64"):
        return "wav"
    return "mov" if beginning[4:8] == b"ftyp" else DEMUXERS[format]
