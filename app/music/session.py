"""A song as musicians' programs open it: its stems as tracks, its tempo map, its sections."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from app.music.beats import Section, TempoMap

COLOURS = {
    "voice": "#e4572e",
    "drums": "#f2a541",
    "bass": "#a4457d",
    "guitar": "#5b8e7d",
    "keys": "#3f88c5",
    "strings and winds": "#7768ae",
    "rest": "#7a7f87",
}
"""The colour of each family of parts, as `#rrggbb`."""

_FAMILIES = {
    "voice": ("vocal", "voice"),
    "drums": ("drum", "percussion"),
    "bass": ("bass",),
    "guitar": ("guitar",),
    "keys": ("key", "synth", "piano"),
    "strings and winds": ("string", "brass", "woodwind"),
}


@dataclass(frozen=True, slots=True)
class Track:
    """A kept file as a track. All tracks begin with the song."""

    name: str
    """As a person reads it: `Vocals`, `Drums (take 2)`."""
    file: str
    """Its path, relative to the session's folder, with `/`."""
    seconds: float
    sample_rate: int = 48_000
    """Hertz."""
    channels: int = 2
    is_muted: bool = False
    """True for the original: the stems already make it."""

    @property
    def colour(self) -> str:
        """The colour of its part's family."""
        return COLOURS[family_of(self.name)]


@dataclass(frozen=True, slots=True)
class Session:
    """What a session file holds."""

    title: str
    tracks: Sequence[Track]
    tempo_map: TempoMap | None = None
    """None if the beats are not known."""
    sections: Sequence[Section] = ()
    bpm: float | None = None
    """The song's tempo, for programs that want one though no beats are known."""


def family_of(part: str) -> str:
    """The family of a part by its name; a part without another has the others' parts in it: `rest`."""
    name = part.lower()
    if name.startswith("without "):
        return "rest"
    return next((family for family, marks in _FAMILIES.items() if any(mark in name for mark in marks)), "rest")


def section_name(section: Section, number: int) -> str:
    """The text of a section's marker; `number` counts from 1."""
    return section.name or f"Section {number}"
