"""What Suno's replies mean: clips, sets of stems and credits, in our own words."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

FORBIDDEN = "/api/forbidden"
"""The end of what Suno has sent for `audio_url` since September 2026: nothing can be fetched there."""

FINAL = frozenset({"complete", "error"})

_PART_IN_TITLE = re.compile(r"(?: - |\()([^()]+?)\)?\s*$")


class UnreadableReply(Exception):
    """Suno's JSON does not have the form that this version knows; the text says what came."""


class StemTask(StrEnum):
    """Into how many parts a song is split. Suno makes one or two takes of each part."""

    TWO = "two"
    """Vocals and instrumental; 10 credits, as reported in 2026."""
    TWELVE = "twelve"
    """Every instrument; 50 credits, as reported in 2026."""


@dataclass(frozen=True, slots=True)
class Clip:
    """One clip of Suno's: a song or a stem. None is what Suno left out."""

    id: str
    status: str | None = None
    created_at: str | None = None
    title: str | None = None
    stem_from_id: str | None = None
    duration: float | None = None
    """Seconds, in the number Suno sent; None until Suno has measured it."""
    image_url: str | None = field(default=None, repr=False)
    lyric: str | None = field(default=None, repr=False)
    """The prompt without its blank lines."""
    audio_url: str | None = field(default=None, repr=False)
    video_url: str | None = field(default=None, repr=False)
    model_name: str | None = field(default=None, repr=False)
    gpt_description_prompt: str | None = field(default=None, repr=False)
    prompt: str | None = field(default=None, repr=False)
    type: str | None = field(default=None, repr=False)
    tags: str | None = field(default=None, repr=False)
    error_message: str | None = field(default=None, repr=False)
    stem_task: str | None = None
    """What made a stem, as StemTask; None on songs and on stems of before 2026."""
    stem_group: str | None = None
    """The part, `Backing_Vocals`; only on stems of 2026."""
    has_stems: bool = False
    """Whether Suno says of a song that it has been split."""

    @classmethod
    def from_wire(cls, wire: Mapping[str, Any], *, stem_of: str | None = None) -> Clip:
        """Read a clip as Suno sends it; `stem_of` is the parent where Suno does not name one.

        The parent is in `metadata.stem_from_id`, or (some replies of 2026) the first of `clip_roots.clips`.
        """
        metadata = _mapping(wire.get("metadata"))
        prompt = _text(metadata.get("prompt"))
        audio_url = _text(wire.get("audio_url"))
        return cls(
            id=wire["id"],
            status=_text(wire.get("status")),
            created_at=_text(wire.get("created_at")),
            title=_text(wire.get("title")),
            stem_from_id=_text(metadata.get("stem_from_id")) or _root(wire) or stem_of,
            duration=_number(metadata.get("duration")),
            image_url=_text(wire.get("image_url")),
            lyric="\n".join(line for line in prompt.splitlines() if line.strip()) if prompt else None,
            audio_url=None if audio_url and audio_url.endswith(FORBIDDEN) else audio_url,
            video_url=_text(wire.get("video_url")),
            model_name=_text(wire.get("model_name")),
            gpt_description_prompt=_text(metadata.get("gpt_description_prompt")),
            prompt=prompt,
            type=_text(metadata.get("type")),
            tags=_text(metadata.get("tags")),
            error_message=_text(metadata.get("error_message")),
            stem_task=_text(metadata.get("stem_task")),
            stem_group=_text(metadata.get("stem_type_group_name")),
            has_stems=metadata.get("has_stem") is True,
        )

    @property
    def is_final(self) -> bool:
        """Whether Suno will not change it any more."""
        return self.status in FINAL

    @property
    def part(self) -> str:
        """Which part of the song a stem is, in lower case: `vocals`; "" where it cannot be told."""
        if self.stem_group:
            return self.stem_group.replace("_", " ").lower()
        found = _PART_IN_TITLE.search(self.title or "")
        return found[1].lower() if found else ""


@dataclass(frozen=True, slots=True)
class Credits:
    """What an account has left. None is what Suno does not tell."""

    credits_left: int
    period: str | None
    monthly_limit: int | None
    monthly_usage: int | None
    downloads_limit: int | None
    downloads_used: int | None
    can_split: bool | None

    @classmethod
    def from_wire(cls, reply: Any) -> Credits:
        """Read Suno's billing reply. Raises UnreadableReply where it has no credits."""
        billing = _mapping(reply)
        left = _whole(billing.get("total_credits_left"))
        if left is None:
            raise UnreadableReply("a reply without total_credits_left")
        downloads = _mapping(billing.get("download_usage"))
        features = billing.get("accessible_features")
        return cls(
            credits_left=left,
            period=_text(billing.get("period")),
            monthly_limit=_whole(billing.get("monthly_limit")),
            monthly_usage=_whole(billing.get("monthly_usage")),
            downloads_limit=_whole(downloads.get("current_period_downloads_limit")),
            downloads_used=_whole(downloads.get("current_period_downloads_used")),
            can_split=any(_mapping(feature).get("name") == "get_stems" for feature in features)
            if isinstance(features, list)
            else None,
        )


def clips_from_wire(reply: Any, *names: str, stem_of: str | None = None) -> list[Clip]:
    """The clips in a reply, in Suno's order, from the list that has one of these names.

    A clip without an id cannot be asked for again and is left out. Raises UnreadableReply without a list.
    """
    if not isinstance(reply, dict):
        raise UnreadableReply(f"a {type(reply).__name__} in place of an object")
    clips = next((reply[name] for name in names if isinstance(reply.get(name), list)), None)
    if clips is None:
        raise UnreadableReply(f"an object without {' or '.join(names)}")
    return [Clip.from_wire(clip, stem_of=stem_of) for clip in clips if _has_id(clip)]


def stems_from_wire(reply: Any, *, song_id: str) -> list[Clip]:
    """The stems in Suno's reply to a split: however many it made. Raises UnreadableReply where there are none.

    Suno answers `{"clips": [...]}`; one client of 2026 reads a single clip instead.
    """
    if _has_id(reply) and "clips" not in reply:
        return [Clip.from_wire(reply, stem_of=song_id)]
    stems = clips_from_wire(reply, "clips", stem_of=song_id)
    if not stems:
        raise UnreadableReply("no clip with an id")
    return stems


def finished_set(stems: Sequence[Clip], task: StemTask) -> list[Clip]:
    """The complete stems that such a split has made of a song, if they are a whole set; else none.

    A set is whole when each part that any such split began has a complete stem. Stems of before 2026 do not say
    what made them: a vocal and an instrumental are a `two`.
    """
    made = [stem for stem in stems if stem.stem_task == task]
    if not made and task is StemTask.TWO:
        made = [stem for stem in stems if stem.stem_task is None and stem.part in ("vocals", "instrumental")]
    complete = [stem for stem in made if stem.status == "complete"]
    parts = {(stem.part, stem.title) for stem in complete}
    return complete if len(parts) > 1 and parts == {(stem.part, stem.title) for stem in made} else []


def sets_made(stems: Sequence[Clip], task: StemTask, *, since: float, until: float) -> list[list[Clip]]:
    """The sets of stems that splits of this kind made in a time (seconds since 1970), oldest first.

    Suno does not say which stems are of one split. Those of one are made at once: with the same `created_at` where
    each such group has more than one part, else with less than a second between one and the next.
    """
    times = {stem.id: _moment(stem.created_at) for stem in stems if stem.stem_task in (task, None)}
    made = [(time, stem) for stem in stems if (time := times.get(stem.id)) is not None and since <= time <= until]
    made.sort(key=lambda pair: pair[0])
    exact = _grouped(made, 0.0)
    return exact if all(len({stem.title for stem in stems}) > 1 for stems in exact) else _grouped(made, 1.0)


def _grouped(made: Sequence[tuple[float, Clip]], gap: float) -> list[list[Clip]]:
    groups: list[list[Clip]] = []
    before = -math.inf
    for time, stem in made:
        if time - before > gap:
            groups.append([])
        groups[-1].append(stem)
        before = time
    return groups


def _moment(iso: str | None) -> float | None:
    try:
        moment = datetime.fromisoformat(iso or "")
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _has_id(clip: Any) -> bool:
    return isinstance(clip, dict) and isinstance(clip.get("id"), str) and clip["id"] != ""


def _root(wire: Mapping[str, Any]) -> str | None:
    roots = _mapping(wire.get("clip_roots")).get("clips")
    return _text(_mapping(roots[0]).get("id")) if isinstance(roots, list) and roots else None


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _whole(value: Any) -> int | None:
    number = _number(value)
    return None if number is None else int(number)


def _number(value: Any) -> float | None:
    if isinstance(value, str):
        # The published contract has it as text: should Suno ever send that, it is still a number.
        try:
            value = float(value)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return value if math.isfinite(value) else None
    except OverflowError:
        return None
