"""What one decoding of a file tells: its waveform, its levels, and a trace by which it is compared with others.

PyAV decodes: its wheels contain FFmpeg, which supports all formats of Suno, including Opus in m4a files. This module
is slow to load: import it where a file is measured.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import av
import av.filter
import numpy as np
from numpy.typing import NDArray

from app.audio.facts import Facts
from app.audio.peaks import PAIRS, NotAudio, Peaks, demuxer_of, peaks_as_json
from app.audio.trace import SKETCH_BLOCK, SKETCH_RATE, SLOW_SAMPLE_RATE, Trace

Samples: TypeAlias = NDArray[np.float32]
"""Channels, and samples from -1 to 1."""

PIECES_PER_PAIR = 16
"""Pieces to measure for each pair of a waveform: a file's exact length is known only at its end."""

SAMPLES_AT_ONCE = 1 << 16
"""Samples to collect before they are measured: few calls are faster."""

QUIETEST_DBFS = -120.0
"""Lower peaks count as none: 24 bits have no more."""

MIN_LOUDNESS_SECONDS = 0.4
"""Seconds that the meter needs: its blocks are as long."""

SIGNS_REPEAT_AFTER = SKETCH_BLOCK * 2048
"""Samples after which the signs of a sketch repeat."""


@dataclass(frozen=True, slots=True)
class Measured:
    """A decoded file."""

    peaks: Peaks
    facts: Facts
    trace: Trace


def measure(file: Path, format: str) -> Measured:
    """Decode a file, once. Raises NotAudio. Four minutes of music take about two seconds, and little memory."""
    try:
        # With a file object and a named demuxer, the file cannot make FFmpeg open anything else.
        with file.open("rb") as content, av.open(content, "r", format=demuxer_of(file, format)) as container:
            return _measured(container)
    except (av.FFmpegError, OSError, ValueError, LookupError, MemoryError) as error:
        raise NotAudio(type(error).__name__) from error


def _measured(container: av.container.InputContainer) -> Measured:
    stream = container.streams.audio[0]
    seconds = float(stream.duration * stream.time_base) if stream.duration and stream.time_base else 0.0
    rate = stream.rate or 0
    waveform = _Waveform(max(1, int(seconds * rate) // (PAIRS * PIECES_PER_PAIR)))
    mono = av.AudioResampler(format="s16", layout="mono")
    # A WAV may name no layout, and a filter would then change the frame that the next one reads.
    plain = av.AudioResampler(format="fltp", layout="mono" if stream.channels == 1 else None)
    levels, tracer = _Levels(), _Tracer()
    for frame in container.decode(stream):
        for each in plain.resample(frame):
            levels.add(each)
            tracer.add(each)
            for one in mono.resample(each):
                waveform.add(np.frombuffer(bytes(one.planes[0]), np.int16, one.samples))
    waveform.end()
    if not waveform.samples:
        raise NotAudio("no sound in it")
    facts = levels.facts()
    return Measured(peaks_as_json(waveform.lows, waveform.highs, rate, waveform.samples), facts, tracer.end())


@dataclass(slots=True)
class _Waveform:
    """The lowest and highest sample of each piece of so many samples."""

    piece: int
    lows: list[int] = field(default_factory=list)
    highs: list[int] = field(default_factory=list)
    samples: int = 0
    _rest: list[NDArray[np.int16]] = field(default_factory=list)
    _waiting: int = 0

    def add(self, samples: NDArray[np.int16]) -> None:
        self.samples += len(samples)
        self._rest.append(samples)
        self._waiting += len(samples)
        if self._waiting >= max(SAMPLES_AT_ONCE, self.piece):
            self._take()

    def end(self) -> None:
        self._take()
        if self._waiting:
            [rest] = self._rest
            self.lows.append(int(rest.min()))
            self.highs.append(int(rest.max()))

    def _take(self) -> None:
        if not self._rest:
            return
        samples = np.concatenate(self._rest)
        whole = len(samples) - len(samples) % self.piece
        pieces = samples[:whole].reshape(-1, self.piece)
        self.lows += pieces.min(axis=1).tolist()
        self.highs += pieces.max(axis=1).tolist()
        self._rest, self._waiting = [samples[whole:]], len(samples) - whole


class _Levels:
    """Length, peak and loudness (EBU R 128, by FFmpeg's filter)."""

    def __init__(self) -> None:
        self._graph: av.filter.Graph | None = None
        self._rate = self._channels = self._frames = 0
        self._peak = 0.0
        self._loudness: float | None = None

    def add(self, frame: av.AudioFrame) -> None:
        if self._graph is None:
            self._rate, self._channels = frame.sample_rate, frame.layout.nb_channels
            self._graph = _meter(frame)
        self._frames += frame.samples
        self._peak = max(self._peak, float(np.abs(_samples(frame)).max()))
        self._graph.push(frame)
        self._read(self._graph)

    def _read(self, graph: av.filter.Graph) -> None:
        while True:
            try:
                frame = graph.pull()
            except (av.error.BlockingIOError, av.error.EOFError):
                return
            self._loudness = float(frame.metadata["lavfi.r128.I"])

    def facts(self) -> Facts:
        peak = 20 * math.log10(self._peak) if self._peak > 0 else -math.inf
        is_long = self._frames >= MIN_LOUDNESS_SECONDS * self._rate
        return Facts(
            sample_rate=self._rate,
            channels=self._channels,
            frames=self._frames,
            peak_dbfs=round(peak, 2) if peak > QUIETEST_DBFS else None,
            loudness_lufs=round(self._loudness, 1) if is_long and self._loudness is not None else None,
        )


def _meter(frame: av.AudioFrame) -> av.filter.Graph:
    graph = av.filter.Graph()
    source = graph.add_abuffer(
        format=frame.format.name, layout=frame.layout.name, sample_rate=frame.sample_rate, time_base=frame.time_base
    )
    meter, sink = graph.add("ebur128", "metadata=1"), graph.add("abuffersink")
    source.link_to(meter)
    meter.link_to(sink)
    graph.configure()
    return graph


class _Tracer:
    """Makes the trace of a file."""

    def __init__(self) -> None:
        self._slowly = av.AudioResampler(format="flt", layout="mono", rate=SLOW_SAMPLE_RATE)
        self._slow: list[Samples] = []
        self._exactly: av.AudioResampler | None = None
        self._waiting: list[Samples] = []
        self._number = self._position = 0
        self._sketch: list[Samples] = []

    def add(self, frame: av.AudioFrame) -> None:
        for each in self._slowly.resample(frame):
            self._slow.append(_samples(each)[0].copy())
        for samples in self._at_sketch_rate(frame):
            self._waiting.append(samples)
            self._number += samples.shape[1]
        if self._number >= SAMPLES_AT_ONCE:
            self._draw()

    def end(self) -> Trace:
        for each in self._slowly.resample(None):
            self._slow.append(_samples(each)[0].copy())
        if self._exactly:
            for each in self._exactly.resample(None):
                self._waiting.append(_two_channels(_samples(each)))
                self._number += each.samples
        if missing := -self._number % SKETCH_BLOCK:
            self._waiting.append(np.zeros((2, missing), np.float32))
            self._number += missing
        self._draw()
        nothing = np.zeros(0, np.float32)
        return Trace.of(np.concatenate([nothing, *self._slow]), np.concatenate([nothing, *self._sketch]))

    def _at_sketch_rate(self, frame: av.AudioFrame) -> Iterator[Samples]:
        if frame.sample_rate == SKETCH_RATE and self._exactly is None:
            yield _two_channels(_samples(frame))
            return
        if self._exactly is None:
            self._exactly = av.AudioResampler(format="fltp", rate=SKETCH_RATE)
        for each in self._exactly.resample(frame):
            yield _two_channels(_samples(each))

    def _draw(self) -> None:
        """Sum the samples of each block with random signs."""
        if not self._waiting:
            return
        samples = np.concatenate(self._waiting, axis=1)
        whole = samples.shape[1] - samples.shape[1] % SKETCH_BLOCK
        places = np.arange(self._position, self._position + whole)
        signed = samples[:, :whole] * np.take(SKETCH_SIGNS, places, axis=1, mode="wrap")
        self._sketch.append(signed.sum(axis=0).reshape(-1, SKETCH_BLOCK).sum(axis=1))
        self._position = (self._position + whole) % SIGNS_REPEAT_AFTER
        self._waiting, self._number = [samples[:, whole:].copy()], samples.shape[1] - whole


def _samples(frame: av.AudioFrame) -> Samples:
    return frame.to_ndarray().astype(np.float32, copy=False)


def _two_channels(samples: Samples) -> Samples:
    """The first two channels; a single one twice."""
    return samples[:2].copy() if samples.shape[0] > 1 else np.repeat(samples, 2, axis=0)


def _signs() -> Samples:
    """The signs of the samples of two channels: the same in every version, as sketches are stored."""
    bits = np.unpackbits(
        np.frombuffer(hashlib.shake_256(b"suno-stems sketch").digest(2 * SIGNS_REPEAT_AFTER // 8), np.uint8)
    )
    return (bits.astype(np.float32) * 2 - 1).reshape(2, SIGNS_REPEAT_AFTER)


SKETCH_SIGNS = _signs()
