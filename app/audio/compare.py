"""Compares the stems of a song with the original, by the traces of their files. No file is decoded for it.

This module is slow to load: import it where files are compared.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from app.audio.facts import SAME_LENGTH_SECONDS, Facts, Fit, StemSet
from app.audio.files import Details
from app.audio.measurements import read_sets
from app.audio.shelf import Shelf
from app.audio.trace import Trace, lags_of, residual_dbfs

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Sound:
    """What was measured of a file."""

    facts: Facts
    trace: Trace


def compared(original: Sound, stems: Mapping[str, Sound], format: str, *, take: int | None) -> StemSet:
    """Compare the stems of one take, by their ids, with the original."""
    traces = [sound.trace for sound in stems.values()]
    lags = lags_of(original.trace, traces)
    fits = {
        id: _fit(original.facts, sound.facts, lag, format)
        for (id, sound), lag in zip(stems.items(), lags, strict=True)
    }  # fmt: skip
    residual = residual_dbfs(original.trace, traces, original.facts.seconds)
    return StemSet(take, fits, round(residual, 1))


def compare_kept(
    shelf: Shelf,
    folder: str,
    kept: Details,
    format: str,
    *,
    run: Callable[[Callable[[], StemSet]], StemSet] = lambda work: work(),
) -> None:
    """Compare the sets of a song for which a file was just kept, if all of their files are.

    A set is one take of each part. Its result is kept beside the song's files. `run` does the work, for example in a
    thread. Raises AudioFull and AudioUnavailable.
    """
    original = _sound(shelf, folder, kept.song_id, format)
    if original is None:
        return
    listed = shelf.stems((folder,), kept.song_id) or []
    found = {each.take: each for each in read_sets(shelf.note((folder,), kept.song_id, f"{format}set"))}
    is_new = False
    for take, stems in _takes(listed).items():
        if kept.id not in (kept.song_id, *(stem.id for stem in stems)):
            continue
        sounds = _sounds(shelf, folder, stems, format)
        if sounds is not None:
            found[take] = run(partial(compared, original, sounds, format, take=take))
            is_new = True
    if is_new:
        sets = [asdict(each) for each in found.values()]
        shelf.keep_note(folder, kept.song_id, f"{format}set", {"sets": sets})


def _takes(stems: Iterable[Details]) -> dict[int | None, list[Details]]:
    takes: dict[int | None, list[Details]] = {}
    for stem in stems:
        takes.setdefault(stem.take, []).append(stem)
    return takes


def _sounds(shelf: Shelf, folder: str, stems: Sequence[Details], format: str) -> dict[str, Sound] | None:
    """The sounds of stems; None if one of them was not measured."""
    sounds: dict[str, Sound] = {}
    for stem in stems:
        sound = _sound(shelf, folder, stem.id, format)
        if sound is None:
            return None
        sounds[stem.id] = sound
    return sounds


def _sound(shelf: Shelf, folder: str, clip_id: str, format: str) -> Sound | None:
    trace: Any = shelf.note((folder,), clip_id, f"{format}trace")
    if trace is None:
        return None
    try:
        return Sound(Facts.read(shelf.note((folder,), clip_id, f"{format}facts")), Trace.read(trace))
    except (TypeError, ValueError, KeyError) as error:
        log.warning("The measures of clip %s cannot be read: %s", clip_id, error)
        return None


def _fit(original: Facts, stem: Facts, lag: float | None, format: str) -> Fit:
    difference = stem.seconds - original.seconds
    return Fit(
        same_length=abs(difference) <= SAME_LENGTH_SECONDS[format],
        lag_ms=None if lag is None else round(lag * 1000, 1),
        has_same_rate=stem.sample_rate == original.sample_rate,
        is_shorter=difference < 0,
    )
