"""What Suno's replies mean: clips, in our own words."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


class UnreadableReply(Exception):
    """Suno's JSON does not have the form that this version knows; the text says what is missing."""


@dataclass(frozen=True, slots=True)
class Clip:
    """One clip of Suno's: a song or a stem. None is what Suno left out."""

    id: str
    status: str | None
    created_at: str | None
    title: str | None
    stem_from_id: str | None
    duration: float | None
    """Seconds, in the number Suno sent; None until Suno has measured it."""

    @classmethod
    def from_wire(cls, wire: Mapping[str, Any], *, stem_of: str | None = None) -> Clip:
        """Read a clip as Suno sends it; `stem_of` is the parent where Suno does not name one.

        The parent is in `metadata.stem_from_id`, or (some replies of 2026) the first of `clip_roots.clips`.
        """
        metadata = _mapping(wire.get("metadata"))
        return cls(
            id=wire["id"],
            status=_text(wire.get("status")),
            created_at=_text(wire.get("created_at")),
            title=_text(wire.get("title")),
            stem_from_id=_text(metadata.get("stem_from_id")) or _root(wire) or stem_of,
            duration=_seconds(metadata.get("duration")),
        )


def stems_from_wire(reply: Any, *, song_id: str) -> list[Clip]:
    """The stems in Suno's reply to a split, in Suno's order: however many it made.

    Suno answers `{"clips": [...]}`; one client of 2026 reads a single clip instead. A clip without an id
    cannot be followed and is left out, unless nothing would remain: then `UnreadableReply` is raised.
    """
    if not isinstance(reply, dict):
        raise UnreadableReply(f"a {type(reply).__name__} in place of an object with clips")
    clips = reply.get("clips", [reply] if "id" in reply else None)
    if not isinstance(clips, list):
        raise UnreadableReply("an object without clips")
    stems = [Clip.from_wire(clip, stem_of=song_id) for clip in clips if _has_id(clip)]
    if not stems:
        raise UnreadableReply("no clip with an id")
    return stems


def _has_id(clip: Any) -> bool:
    return isinstance(clip, dict) and isinstance(clip.get("id"), str) and clip["id"] != ""


def _root(wire: Mapping[str, Any]) -> str | None:
    roots = _mapping(wire.get("clip_roots")).get("clips")
    return _text(_mapping(roots[0]).get("id")) if isinstance(roots, list) and roots else None


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _seconds(value: Any) -> float | None:
    if isinstance(value, str):
        # The published contract has it as text: should Suno ever send that, it is still a number of seconds.
        try:
            value = float(value)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return value
