"""Clips as the studio API shows them: songs, and the stems of a split."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime

from sandbox import audio
from sandbox.message import JsonObject
from sandbox.songs import CatalogueSong

# The `audio_url` of a complete clip since September 2026, on every host.
FORBIDDEN = "https://studio-api.prod.suno.com/api/forbidden"

PRICES = {"two": 10, "twelve": 50, "extract": 10}  # credits


@dataclass(slots=True)
class PaidSplit:
    """One paid call and its stems."""

    number: int
    account: str
    song: CatalogueSong
    task: str
    credits: int
    at: float  # seconds since 1970
    stems: list[LocalStem] = field(default_factory=list)
    reply_lost: bool = False
    by_person: bool = False  # on suno.com, by the account's owner

    def as_json(self) -> JsonObject:
        """The entry in /sandbox/charges."""
        return {
            "account": self.account,
            "song": self.song.id,
            "task": self.task,
            "credits": self.credits,
            "clips": [stem.id for stem in self.stems],
            "at": self.at,
            "reply_lost": self.reply_lost,
            "by_person": self.by_person,
        }


@dataclass(slots=True)
class LocalStem:
    """One stem of a song in one account."""

    id: str
    song: CatalogueSong
    task: str
    part: str
    made_at: float  # seconds since 1970
    created_at: str
    group: str = ""  # what an extract of today names instead of its part
    fails: bool = False
    old: bool = False

    def status(self, now: float, pace: float) -> str:
        """The status at `now`: each one but the last lasts `pace` seconds."""
        age = now - self.made_at
        if age < pace:
            return "submitted"
        if age < 2 * pace:
            return "queued"
        if age < 3 * pace:
            return "streaming"
        return "error" if self.fails else "complete"

    def known(self, now: float, pace: float, lag: float = 0.0) -> bool:
        """Whether the read calls return it yet; `lag`: seconds by which a list is late."""
        late = max(lag, 2 * pace if self.song.late else 0.0)
        # Under load, splits are dated some seconds ahead: each has its own moment.
        return not late or now - self.made_at >= late

    def as_json(self, status: str) -> JsonObject:
        """The clip as JSON, in the shape set by its song."""
        song = self.song
        if song.shape == "bare":
            return {"id": self.id}
        failed = status == "error"
        title = f"{song.title} - {self.part}" if self.old else f"{song.title} ({self.part})"
        taken = self.part.removeprefix(audio.WITHOUT) if self.task == "extract" else self.part
        metadata: JsonObject = {
            "type": "stem",
            "stem_from_id": song.id,
            "duration": song.duration if status in ("streaming", "complete") else None,
            "tags": song.tags,
            "prompt": song.lyrics,
            "error_type": "stem_error" if failed else None,
            "error_message": "This stem could not be separated." if failed else None,
        }
        if status == "complete" and self.part in song.silent:
            metadata["is_loudness_under_threshold"] = True
        if not self.old:
            metadata["stem_task"] = self.task
            metadata["stem_type_id"] = 91.0
            if song.shape == "history":
                metadata["stem_name"] = self.part
            elif song.shape == "plain-history":
                metadata["stem"] = self.part
            else:
                # Both stems of an extract have the requested name: only their titles differ.
                of_extract = self.group or taken
                metadata["stem_type_group_name"] = (
                    of_extract if self.task == "extract" else self.part.replace(" ", "_")
                )
        clip: JsonObject = {
            "id": self.id,
            "status": status,
            "created_at": self.created_at,
            "title": title,
            "audio_url": FORBIDDEN if status == "complete" else "",
            "video_url": "",
            "image_url": None,
            "model_name": "chirp-stem",
            **_of_2026(self.id),
            "metadata": metadata,
        }
        if song.shape != "full":
            del metadata["stem_from_id"]
        if song.shape == "history":
            metadata["history"] = [{"id": "an-older-ancestor"}, {"id": f"m_{song.id}"}]
        if song.shape == "plain-history":
            metadata["history"] = ["an-older-ancestor", song.id]
        if song.shape == "roots":
            metadata["type"] = "gen"
            clip["clip_roots"] = {"clips": [{"id": song.id, "title": song.title}]}
        return clip


NEW_FIELDS = (
    *("entity_type", "batch_index", "major_model_version", "media_urls", "is_download_unlocked"),
    "action_config",
)
"""Fields of a clip that did not exist in 2024; NEW_METADATA: those of `metadata`."""
NEW_METADATA = ("min_bpm", "avg_bpm", "max_bpm", "key", "is_loudness_under_threshold")


def _of_2026(clip_id: str) -> JsonObject:
    media = {"content_type": "m4a-opus", "delivery": "progressive", "encoding": "1.0.0"}
    return {
        "entity_type": "song_schema",
        "batch_index": 1,
        "major_model_version": "v6",
        "media_urls": [{"url": f"https://cdn2.suno.ai/{clip_id}.m4a", **media}],
        "is_download_unlocked": False,
    }


def song_as_json(song: CatalogueSong, has_stems: bool, origin: str) -> JsonObject:
    """A song as a locked clip; its cover is at `origin`."""
    get_stems = {"action_type": "get_stems", "visible": True, "disabled": song.unfit == "not-offered"}
    return {
        "id": song.id,
        "status": "streaming" if song.unfit == "unfinished" else "complete",
        "is_trashed": song.unfit == "trashed",
        "action_config": {"actions": [get_stems]},
        "created_at": song.created_at,
        "title": song.title,
        "audio_url": FORBIDDEN,
        "video_url": "",
        "image_url": f"{origin}/cover/{song.id}.png",
        "model_name": "chirp-v4",
        **_of_2026(song.id),
        "metadata": {
            "type": "gen",
            "min_bpm": song.bpm - 20,
            "avg_bpm": song.bpm,
            "max_bpm": song.bpm + 20,
            "key": song.key,
            "duration": song.duration,
            "tags": song.tags,
            "prompt": song.lyrics,
            "gpt_description_prompt": f"a song called {song.title}",
            "has_stem": has_stems,
            "error_type": None,
            "error_message": None,
        },
    }


def make_stems(
    song: CatalogueSong, task: str, now: float, taken: str = "", behind: float = 0.0, group: str = ""
) -> list[LocalStem]:
    """Make the stems of one split, take by take, dated `behind` seconds ago.

    `taken` is the part that an `extract` takes out, `group` what its stems name instead of it, or "".
    """
    parts = (taken, audio.WITHOUT + taken) if task == "extract" else audio.TWO if task == "two" else audio.TWELVE
    takes = song.takes_of_twelve if task == "twelve" else song.takes_of_two
    named = parts[:1] if song.single_object else parts * takes
    created_at = timestamp(now - behind)
    stems = [LocalStem(str(uuid.uuid4()), song, task, part, now, created_at, group) for part in named]
    if song.last_stem_fails:
        stems[-1].fails = True
    return stems


def existing_stems(song: CatalogueSong, account: str) -> list[LocalStem]:
    """Make the stems that a song has from the start: complete, with the same ids at each start."""
    task = "twelve" if song.existing == "twelve" else "two"
    stems = make_stems(song, task, datetime.fromisoformat(song.created_at).timestamp() + 86_400)
    for i, stem in enumerate(stems):
        stem.id = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{account}/{song.id}/{i}"))
        stem.old = song.existing == "old"
    return stems


def timestamp(seconds: float) -> str:
    """Format a time as Suno does."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
