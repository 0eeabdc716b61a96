"""What is measured of kept files, and what that shows. A clip's file in each format has its own measures."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


SILENT_LUFS = -60.0
"""Quieter files count as silent."""

FULL_SCALE_DBFS = -0.01
"""A WAV with a sample from here on counts as clipped. A lossy format may go beyond full scale by itself."""

LATE_MS = 5.0
"""A stem that begins so many milliseconds beside its place counts as late, or early."""

SAME_LENGTH_SECONDS = {"wav": 0.01, "mp3": 0.06, "m4a": 0.06}
"""Maximum difference of two lengths that count as the same. Lossy formats have whole blocks."""


class Fault(StrEnum):
    """What is wrong with a file, by its measures."""

    SILENT = "silent"
    CLIPPED = "clipped"
    LATE = "late"
    EARLY = "early"
    SHORTER = "shorter"
    LONGER = "longer"
    OTHER_SAMPLE_RATE = "other_sample_rate"


@dataclass(frozen=True, slots=True)
class Facts:
    """The measures of a file."""

    sample_rate: int
    """Hertz."""
    channels: int
    frames: int
    """Samples of each channel."""
    peak_dbfs: float | None
    """The highest sample, in decibels below full scale; None for digital silence."""
    loudness_lufs: float | None
    """Integrated loudness (EBU R 128); -70 is the lowest that it tells. None for less than 0.4 s."""

    @property
    def seconds(self) -> float:
        """Its length."""
        return self.frames / self.sample_rate if self.sample_rate else 0.0

    @property
    def is_silent(self) -> bool | None:
        """Whether nothing can be heard; None if that is not known."""
        if self.peak_dbfs is None:
            return True
        return None if self.loudness_lufs is None else self.loudness_lufs < SILENT_LUFS

    @classmethod
    def read(cls, value: Any) -> Self:
        """Read what `asdict` returned. Raises TypeError or ValueError for anything else."""
        known = {field.name for field in fields(cls)}
        return cls(**{name: each for name, each in dict(value).items() if name in known})


@dataclass(frozen=True, slots=True)
class Fit:
    """A stem beside the original: the song's own file in the same format."""

    same_length: bool
    lag_ms: float | None
    """Milliseconds by which the stem starts later than in the original; negative if earlier. None if unclear."""
    has_same_rate: bool
    is_shorter: bool

    @property
    def faults(self) -> tuple[Fault, ...]:
        """What is wrong with the stem's place."""
        lag = self.lag_ms or 0.0
        return tuple(
            fault
            for fault, is_there in (
                (Fault.LATE, lag >= LATE_MS),
                (Fault.EARLY, lag <= -LATE_MS),
                (Fault.SHORTER, not self.same_length and self.is_shorter),
                (Fault.LONGER, not self.same_length and not self.is_shorter),
                (Fault.OTHER_SAMPLE_RATE, not self.has_same_rate),
            )
            if is_there
        )


@dataclass(frozen=True, slots=True)
class StemSet:
    """The stems of one take beside the original."""

    take: int | None
    stems: Mapping[str, Fit]
    """By their ids."""
    residual_dbfs: float
    """The level of what is left of the original without its stems, as a root mean square."""

    @property
    def same_length(self) -> bool:
        """Whether all stems are as long as the original."""
        return all(fit.same_length for fit in self.stems.values())

    @property
    def lag_ms(self) -> float | None:
        """The lag of the stem that is furthest from its place; None if none is known."""
        lags = [fit.lag_ms for fit in self.stems.values() if fit.lag_ms is not None]
        return max(lags, key=abs, default=None)

    @classmethod
    def read(cls, value: Any) -> Self:
        """Read what `asdict` returned. Raises TypeError, KeyError or AttributeError for anything else."""
        fits = {id: Fit(**fit) for id, fit in value["stems"].items()}
        return cls(value["take"], fits, float(value["residual_dbfs"]))


@dataclass(frozen=True, slots=True)
class Measures:
    """What is known of a file's sound. Everything is None for a file that was not measured."""

    sample_rate: int | None = None
    channels: int | None = None
    frames: int | None = None
    peak_dbfs: float | None = None
    loudness_lufs: float | None = None
    silent: bool | None = None
    """As Suno marks it, otherwise as it was measured."""
    same_length: bool | None = None
    lag_ms: float | None = None
    residual_dbfs: float | None = None
    """Of the stem's set."""
    faults: tuple[Fault, ...] = ()

    @property
    def seconds(self) -> float | None:
        """Its length."""
        return self.frames / self.sample_rate if self.frames and self.sample_rate else None


UNMEASURED = Measures()


@dataclass(frozen=True, slots=True)
class SongMeasures:
    """The measures of some files of one song."""

    by_id: Mapping[str, Measures] = field(default_factory=dict)
    """By their clips."""
    sets: Sequence[StemSet] = ()

    def of(self, clip_id: str) -> Measures:
        """The measures of a clip's file."""
        return self.by_id.get(clip_id, UNMEASURED)
