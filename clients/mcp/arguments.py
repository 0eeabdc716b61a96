"""What a model passes to the tools: songs, parts, and keys made from them."""

from __future__ import annotations

import re
import time
from datetime import date
from hashlib import sha256
from string import capwords
from typing import Annotated, Any, Literal

from mcp.server.mcpserver.exceptions import ToolError
from pydantic import BeforeValidator, Field

KEY_LASTS = 3600.0
"""Seconds that a repeated call keeps its key, even past midnight."""

PARTS = (
    *("Lead Vocal", "Backing Vocals", "Drum Kit", "Bass", "Lead Electric Guitar", "Rhythm Electric Guitar", "Guitar"),
    *("Keyboards", "Percussion", "String Section", "Synth", "Sound Effects", "Brass Section", "Woodwinds"),
)
"""Names of parts as Suno's page spells them (2026)."""

_SONG_LINK = re.compile(
    r"(?:https?://|(?<![A-Za-z0-9_.@/-]))(?:www\.)?suno\.com/song/([A-Za-z0-9_-]{1,128})(?!/?[A-Za-z0-9_-]|//)",
    re.IGNORECASE,
)
_PLAYLIST_LINK = re.compile(
    r"(?:https?://(?:www\.)?suno\.com/playlist/)?([A-Za-z0-9_-]{1,128})/?(?:[?#].*)?", re.IGNORECASE
)
ID = re.compile(r"[A-Za-z0-9_-]{1,128}")
_UUID = re.compile("[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


Kind = Literal["voice and music", "part", "every instrument"]
USUAL_KIND: Kind = "voice and music"
Format = Literal["mp3", "m4a", "wav"]
SongId = Annotated[str, Field(description="The song's id, or the address of its page at suno.com.")]


def left_out(default: Any, *values: Any) -> BeforeValidator:
    """Take null and [null], which some clients send for an argument that is left out, for its default."""
    nothing = (None, [], [None], ["null"], [""], *values)
    return BeforeValidator(lambda value: default if value in nothing else value)


def idempotency_key(question: str, day: date) -> str:
    """The Idempotency-Key of a call on a day, in hexadecimal."""
    return sha256(f"{question} {day.isoformat()}".encode()).hexdigest()


class Keys:
    """The keys of a process's calls: one per question and day."""

    def __init__(self) -> None:
        self._used: dict[str, tuple[str, float]] = {}

    def of(self, question: str) -> str:
        """The Idempotency-Key of a call. A call repeated within KEY_LASTS keeps its key."""
        now = time.monotonic()
        key, asked = self._used.get(question, ("", now))
        if not key or now - asked > KEY_LASTS:
            key = idempotency_key(question, date.today())
        self._used[question] = key, now
        return key


def id_of(song: str) -> str:
    """The id of a song, from an id or a text with one link: the key depends on it. The service refuses the rest."""
    linked = set(map(as_sent, _SONG_LINK.findall(song)))
    return linked.pop() if len(linked) == 1 else as_sent(song.strip())


def playlist_of(text: str) -> str:
    """The id of a playlist, from an id or the address of its page. The service refuses the rest."""
    found = _PLAYLIST_LINK.fullmatch(text.strip())
    return as_sent(found[1]) if found else text.strip()


def as_sent(id: str) -> str:
    """The id as Suno writes it: a UUID in lower case."""
    return id.lower() if _UUID.fullmatch(id) else id


def asked_of(kind: Kind, part: str) -> dict[str, str]:
    """The fields of a request for this kind of split. Raises ToolError."""
    if (kind == "part") != bool(part):
        raise ToolError('kind "part" needs `part`, for instance Drum Kit. The other kinds take no `part`.')
    task = "twelve" if kind == "every instrument" else "two"
    return {"stem_task": task} | ({"stem_name": part} if part else {})


def part_named(part: str) -> str:
    """The name of a part as Suno's page spells it: the same part has the same key, and is paid once."""
    folded = " ".join(part.replace("_", " ").casefold().split())
    return next((name for name in PARTS if name.casefold() == folded), capwords(folded))
