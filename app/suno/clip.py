"""Clips and credits, parsed from Suno's replies."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from app.suno.ids import as_sent, folded, is_id, is_same

FORBIDDEN_PATH = "/api/forbidden"
"""Suno's `audio_url` ends with this since September 2026; nothing can be fetched there."""

FINAL_STATUSES = frozenset({"complete", "error"})

PART_FIELDS = ("stem_type_group_name", "stem_name", "stem")
"""The metadata fields that may name a stem's part, in order of preference."""

STEM_TASK = "gen_stem"
"""A stem's `task`; STEM_BADGE: the `icon_key` of a stem among its `secondary_badges` (seen 2026-10)."""
STEM_BADGE = "stem"

MAX_REASON_LENGTH = 100
"""Maximum characters of Suno's reason that are passed on."""

CLIP_FIELDS = frozenset({"title", "audio_url", "batch_index", "entity_type"})
"""Fields of a clip that a batch of clips does not have."""

_PART_IN_TITLE = re.compile(r"(?: - |\()([^()]+?)\)?\s*$")


class UnreadableReply(Exception):
    """The reply has a form that this version cannot read; the text says what came."""


@dataclass(frozen=True, slots=True)
class Clip:
    """A Suno clip: a song or a stem. Fields that Suno left out are None."""

    id: str
    status: str | None = None
    created_at: str | None = None
    title: str | None = None
    stem_from_id: str | None = None
    duration: float | None = None
    """Seconds, exactly the number that Suno sent; None until Suno has measured it."""
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
    """What made the stem: `two`, `twelve` or `extract`; None on songs and on stems from before 2026."""
    stem_group: str | None = None
    """Suno's name of the part, such as `Backing_Vocals`; only on stems since 2026."""
    has_stems: bool = False
    """Whether Suno marks the song as split."""
    bpm: float | None = None
    """Average beats per minute; only on songs since 2026."""
    key: str | None = None
    """Such as `C_major`; only on songs since 2026."""
    download_unlocked: bool | None = None
    """Whether Suno has counted this song's download; None in replies from before September 2026."""
    is_stem: bool = False
    ancestor: str | None = field(default=None, repr=False, compare=False)
    """The song that a clip without a stem's marks comes from: of a cover, or of a stem in a form without marks."""
    refusal: str = field(default="", repr=False, compare=False)
    """Why Suno would refuse to split it, as the end of a sentence; "" if nothing shows that. Not read on stems."""
    take: int | None = None
    """Number of the take among stems with the same part, from 1; set only if the clips were read together."""
    silent: bool | None = None
    """Whether Suno marks the stem as silent (seen 2026-08): it is a stem all the same. None without the mark."""

    @classmethod
    def from_wire(cls, wire: Mapping[str, Any], *, stem_of: str | None = None) -> Clip:
        """Parse a clip as Suno sends it; `stem_of` is the requested song, if it is known.

        Otherwise a stem's parent is `metadata.stem_from_id`, the last of `metadata.history`, or (type `gen`)
        `clip_roots.clips[].id`. Its part is in one of PART_FIELDS (captures of 2026-06 to 2026-10).

        Raises UnreadableReply if an id is not one, or if `metadata.stem_from_id` is another song than `stem_of`. A
        parent that is missing, or only in the other two fields, is no contradiction.
        """
        metadata = _mapping(wire.get("metadata"))
        stated = _stated_parent(metadata, wire)
        if stem_of is not None and stated and not is_same(stated, stem_of):
            raise UnreadableReply("a stem of another song")
        prompt = _text(metadata.get("prompt"))
        audio_url = _text(wire.get("audio_url"))
        is_stem = stem_of is not None or metadata.get("type") == "stem" or _has_mark(metadata, wire)
        unlocked = wire.get("is_download_unlocked")
        silent = metadata.get("is_loudness_under_threshold")
        return cls(
            id=_id(wire.get("id")),
            status=_text(wire.get("status")),
            created_at=_text(wire.get("created_at")),
            title=_text(wire.get("title")),
            stem_from_id=stem_of or (_parent(metadata, wire) if is_stem else None),
            duration=_number(metadata.get("duration")),
            image_url=_text(wire.get("image_url")),
            lyric="\n".join(line for line in prompt.splitlines() if line.strip()) if prompt else None,
            audio_url=None if audio_url and audio_url.endswith(FORBIDDEN_PATH) else audio_url,
            video_url=_text(wire.get("video_url")),
            model_name=_text(wire.get("model_name")),
            gpt_description_prompt=_text(metadata.get("gpt_description_prompt")),
            prompt=prompt,
            type=_text(metadata.get("type")),
            tags=_text(metadata.get("tags")),
            error_message=_text(metadata.get("error_message")) or _text(metadata.get("error_type")),
            stem_task=_text(metadata.get("stem_task")),
            stem_group=next((part for name in PART_FIELDS if (part := _text(metadata.get(name)))), None),
            has_stems=metadata.get("has_stem") is True,
            bpm=_number(metadata.get("avg_bpm")),
            key=_text(metadata.get("key")),
            download_unlocked=unlocked if isinstance(unlocked, bool) else None,
            is_stem=is_stem,
            ancestor=None if is_stem else _known_ancestor(metadata, wire),
            silent=silent if is_stem and isinstance(silent, bool) else None,
            refusal="" if stem_of else why_not_split(wire),
        )

    @property
    def is_final(self) -> bool:
        """Whether Suno no longer changes it."""
        return self.status in FINAL_STATUSES

    @property
    def part(self) -> str:
        """The stem's part of the song in lower case, such as `vocals`; "" if unknown."""
        found = _PART_IN_TITLE.search(self.title or "")
        titled = found[1].lower() if found else ""
        if self.stem_group and not titled.startswith("without "):
            return self.stem_group.replace("_", " ").lower()
        # Both stems of an `extract` may have the name of the extracted part.
        return titled


@dataclass(frozen=True, slots=True)
class Credits:
    """The credits and downloads of an account. Values that Suno does not send are None."""

    credits_left: int
    period: str | None
    monthly_limit: int | None
    monthly_usage: int | None
    downloads_limit: int | None
    downloads_used: int | None
    downloads_extra: int | None
    """Remaining downloads that were bought separately."""
    can_split: bool | None

    @property
    def downloads_left(self) -> int | None:
        """The downloads that the plan and what was bought have left; None if Suno does not tell."""
        if self.downloads_limit is None or self.downloads_used is None:
            return None
        return max(0, self.downloads_limit - self.downloads_used) + (self.downloads_extra or 0)

    @classmethod
    def from_wire(cls, reply: Any) -> Credits:
        """Parse Suno's billing reply. Raises UnreadableReply if it has no credits."""
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
            downloads_extra=_whole(downloads.get("additional_download_remaining")),
            can_split=any("get_stems" in (feature, _mapping(feature).get("name")) for feature in features)
            if isinstance(features, list)
            else None,
        )


def clips_from_wire(reply: Any, *names: str, stem_of: str | None = None) -> list[Clip]:
    """The clips in a reply, in Suno's order, from the first of these fields that is a list.

    Clips without an id are left out: they cannot be requested again. Raises UnreadableReply without a list, and what
    Clip.from_wire raises.
    """
    return [Clip.from_wire(clip, stem_of=stem_of) for clip in _listed(reply, names) if _has_id(clip)]


def all_clips_from_wire(reply: Any) -> list[Clip]:
    """The clips in a list that must show each stem.

    Raises UnreadableReply if a clip has no id, or nothing that tells a song from a stem.
    """
    listed = _listed(reply, ("clips",))
    if not all(_has_id(clip) for clip in listed):
        raise UnreadableReply("a clip without an id")
    clips = [Clip.from_wire(clip) for clip in listed]
    if not all(
        clip.is_stem or isinstance(sent.get("metadata"), dict) for clip, sent in zip(clips, listed, strict=True)
    ):
        raise UnreadableReply("a clip that may be a song or a stem")
    return clips


def playlist_from_wire(reply: Any) -> list[Clip]:
    """A page of a playlist. Raises UnreadableReply if one of its songs has no id: it would be missing."""
    listed = [_mapping(item).get("clip") for item in _listed(reply, ("playlist_clips",))]
    if not all(map(_has_id, listed)):
        raise UnreadableReply("a song of a playlist without an id")
    return [Clip.from_wire(_mapping(clip)) for clip in listed]


def listed_stems_from_wire(reply: Any, *, song_id: str) -> list[Clip]:
    """A page of Suno's list of a song's stems. A stem that comes as a bare id is `bare_stem` of it.

    Raises UnreadableReply if the page is empty, or if one of its stems has no id: it would hide a stem, and a retry
    of a split in doubt could pay again.
    """
    listed = [{"id": stem} if isinstance(stem, str) else stem for stem in _listed(reply, ("stems", "clips"))]
    if not listed:
        raise UnreadableReply("an empty page of stems")
    if not all(_has_id(stem) for stem in listed):
        raise UnreadableReply("a stem without an id")
    return [Clip.from_wire(stem, stem_of=song_id) for stem in listed]


def bare_stem(id: str, song_id: str) -> Clip:
    """A stem of a song if only its id is known."""
    return Clip(id, stem_from_id=song_id, is_stem=True)


def stems_from_wire(reply: Any, *, song_id: str, in_batch: bool = False) -> list[Clip]:
    """The stems in Suno's reply to a split, any number of them.

    Suno answers `{"clips": [...]}`; one client of 2026 reads a single clip instead. Raises UnreadableReply if there
    are none, or if they cannot be this split's: they would be recorded as paid for.
    `in_batch`: the call answers with a batch, which has an id too: a single clip is one with a field of CLIP_FIELDS.
    """
    one_clip = _has_id(reply) and "clips" not in reply and not (in_batch and CLIP_FIELDS.isdisjoint(reply))
    listed = _listed({"clips": [reply]} if one_clip else reply, ("clips",))
    if any(isinstance(clip, str) for clip in listed):
        raise UnreadableReply("ids in place of clips")
    # An id that is not one makes the reply unreadable: its stem was paid for, and would be lost.
    named = [clip for clip in listed if isinstance(clip, dict) and clip.get("id") is not None]
    stems = [Clip.from_wire(clip, stem_of=song_id) for clip in named]
    if not stems:
        raise UnreadableReply("no clip with an id")
    ids = {folded(stem.id) for stem in stems}
    if folded(song_id) in ids:
        raise UnreadableReply("the song itself in place of its stems")
    if len(ids) < len(stems):
        raise UnreadableReply("the same clip twice")
    return stems


def _id(value: Any) -> str:
    if not is_id(value):
        raise UnreadableReply("a clip with an id that is not one")
    return as_sent(value)


def _listed(reply: Any, names: Sequence[str]) -> list[Any]:
    if not isinstance(reply, dict):
        raise UnreadableReply(f"a {type(reply).__name__} in place of an object")
    listed: list[Any] | None = next((reply[name] for name in names if isinstance(reply.get(name), list)), None)
    if listed is None:
        raise UnreadableReply(f"an object without {' or '.join(names)}")
    return listed


def _has_id(clip: Any) -> bool:
    return isinstance(clip, dict) and isinstance(clip.get("id"), str) and clip["id"] != ""


def _has_mark(metadata: Mapping[str, Any], wire: Mapping[str, Any]) -> bool:
    """Whether the clip has anything that only stems have."""
    marks = ("stem_from_id", "stem_task", "stem_type_id", *PART_FIELDS)
    if wire.get("stem_from_id") is not None or any(metadata.get(mark) is not None for mark in marks):
        return True
    return any(
        place.get("task") == STEM_TASK or STEM_BADGE in _badges(place.get("secondary_badges"))
        for place in (metadata, wire)
    )


def _badges(badges: Any) -> list[Any]:
    return [_mapping(badge).get("icon_key") for badge in badges] if isinstance(badges, list) else []


def why_not_split(wire: Mapping[str, Any]) -> str:
    """What shows that Suno would refuse to split this song, as the end of a sentence; "" if nothing does.

    From the page's bundles, and clients of 2026-10.
    """
    status = _text(wire.get("status"))
    if wire.get("is_trashed") is True:
        return "it is in the trash of its account"
    if status is not None and status != "complete":
        return f"it is not complete (its status is {status[:20]})"
    if reason := _text(wire.get("download_disabled_reason")):
        shown = " ".join("".join(c if c.isprintable() else " " for c in reason).split())[:MAX_REASON_LENGTH]
        return f"Suno has disabled its download ({shown})"
    actions = _mapping(wire.get("action_config")).get("actions")
    for action in map(_mapping, actions if isinstance(actions, list) else ()):
        off = action.get("disabled") is True or action.get("visible") is False
        if action.get("action_type") == "get_stems" and off:
            return "Suno offers no stems for it"
    return ""


def _parent(metadata: Mapping[str, Any], wire: Mapping[str, Any]) -> str | None:
    """The song that a stem comes from, with its id as in all other calls: in `history` it may begin with `m_`.

    Raises UnreadableReply if it is not an id.
    """
    parent = _stated_parent(metadata, wire) or _ancestor(metadata, wire)
    return _id(parent.removeprefix("m_")) if parent else None


def _stated_parent(metadata: Mapping[str, Any], wire: Mapping[str, Any]) -> str | None:
    """`stem_from_id`: seen in `metadata`; a list may have it beside `task` (2026-10)."""
    return _text(metadata.get("stem_from_id")) or _text(wire.get("stem_from_id"))


def _known_ancestor(metadata: Mapping[str, Any], wire: Mapping[str, Any]) -> str | None:
    """The nearest ancestor; None if it is missing, or not an id: nothing depends on it but doubt."""
    ancestor = (_ancestor(metadata, wire) or "").removeprefix("m_")
    return as_sent(ancestor) if is_id(ancestor) else None


def _ancestor(metadata: Mapping[str, Any], wire: Mapping[str, Any]) -> str | None:
    """The nearest ancestor that a stem lists, for stems without `stem_from_id`."""
    for ancestors, nearest in ((metadata.get("history"), -1), (_mapping(wire.get("clip_roots")).get("clips"), 0)):
        if isinstance(ancestors, list) and ancestors:
            found = ancestors[nearest]
            if id := _text(_mapping(found).get("id")) or _text(found):
                return id
    return None


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _whole(value: Any) -> int | None:
    number = _number(value)
    return None if number is None else int(number)


def _number(value: Any) -> float | None:
    if isinstance(value, str):
        # The published contract has the duration as text: accept that too.
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
