"""Clips as the studio API shows them: songs, and the stems of a split."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime

from sandbox import audio
from sandbox.message import JsonObject
from sandbox.songs import Song

# What a complete clip shows as its address since September 2026, whatever host one asks.
FORBIDDEN = "https://studio-api.prod.suno.com/api/forbidden"

PARTS = {"two": audio.TWO, "twelve": audio.TWELVE}
PRICES = {"two": 10, "twelve": 50}  # credits


@dataclass(slots=True)
class Split:
    """One paid call and what it made."""

    number: int
    account: str
    song: Song
    task: str
    credits: int
    at: float  # seconds since 1970
    stems: list[Stem] = field(default_factory=list)
    reply_lost: bool = False

    def as_json(self) -> JsonObject:
        """What /sandbox/charges tells."""
        return {
            "account": self.account,
            "song": self.song.id,
            "task": self.task,
            "credits": self.credits,
            "clips": [stem.id for stem in self.stems],
            "at": self.at,
            "reply_lost": self.reply_lost,
        }


@dataclass(slots=True)
class Stem:
    """One stem of a song, as an account has it."""

    id: str
    song: Song
    task: str
    part: str
    made_at: float  # seconds since 1970
    created_at: str
    fails: bool = False
    old: bool = False

    def status(self, now: float, pace: float) -> str:
        """Each status but the last takes `pace` seconds."""
        age = now - self.made_at
        if age < pace:
            return "submitted"
        if age < 2 * pace:
            return "queued"
        if age < 3 * pace:
            return "streaming"
        return "error" if self.fails else "complete"

    def known(self, now: float, pace: float) -> bool:
        """Whether the reading calls know it yet."""
        return not self.song.late or now - self.made_at >= 2 * pace

    def as_json(self, status: str) -> JsonObject:
        """Show the clip, in the shape that its song prescribes."""
        song = self.song
        if song.shape == "bare":
            return {"id": self.id}
        failed = status == "error"
        title = f"{song.title} - {self.part}" if self.old else f"{song.title} ({self.part})"
        metadata: JsonObject = {
            "type": "stem",
            "stem_from_id": song.id,
            "duration": song.duration if status in ("streaming", "complete") else None,
            "tags": song.tags,
            "prompt": song.lyrics,
            "error_type": "stem_error" if failed else None,
            "error_message": "This stem could not be separated." if failed else None,
        }
        if not self.old:
            metadata["stem_task"] = self.task
            metadata["stem_type_id"] = 91.0
            metadata["stem_type_group_name"] = self.part.replace(" ", "_")
        clip: JsonObject = {
            "id": self.id,
            "status": status,
            "created_at": self.created_at,
            "title": title,
            "audio_url": FORBIDDEN if status == "complete" else "",
            "video_url": "",
            "image_url": None,
            "model_name": "chirp-stem",
            "metadata": metadata,
        }
        if song.shape != "full":
            del metadata["stem_from_id"]
        if song.shape == "roots":
            clip["clip_roots"] = {"clips": [{"id": song.id, "title": song.title}]}
        return clip


def song_as_json(song: Song, has_stems: bool) -> JsonObject:
    """A whole song."""
    return {
        "id": song.id,
        "status": "complete",
        "created_at": song.created_at,
        "title": song.title,
        "audio_url": FORBIDDEN,
        "video_url": "",
        "image_url": f"https://cdn2.suno.ai/image_{song.id}.jpeg",
        "model_name": "chirp-v4",
        "metadata": {
            "type": "gen",
            "duration": song.duration,
            "tags": song.tags,
            "prompt": song.lyrics,
            "gpt_description_prompt": f"a song called {song.title}",
            "has_stem": has_stems,
            "error_type": None,
            "error_message": None,
        },
    }


def make_stems(song: Song, task: str, now: float) -> list[Stem]:
    """The clips of one split: each take complete before the next."""
    parts = PARTS[task]
    takes = song.takes_of_two if task == "two" else song.takes_of_twelve
    named = parts[:1] if song.single_object else parts * takes
    created_at = timestamp(now)
    stems = [Stem(str(uuid.uuid4()), song, task, part, now, created_at) for part in named]
    if song.last_stem_fails:
        stems[-1].fails = True
    return stems


def existing_stems(song: Song, account: str) -> list[Stem]:
    """What a song had before the sandbox started: finished, with the same ids at each start."""
    task = "twelve" if song.existing == "twelve" else "two"
    stems = make_stems(song, task, datetime.fromisoformat(song.created_at).timestamp() + 86_400)
    for i, stem in enumerate(stems):
        stem.id = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{account}/{song.id}/{i}"))
        stem.old = song.existing == "old"
    return stems


def timestamp(seconds: float) -> str:
    """As Suno writes times."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
