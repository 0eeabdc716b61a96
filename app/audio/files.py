"""A kept file: its clip, its format and its readable name."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from hashlib import sha256
from pathlib import Path
from typing import Any
from zlib import crc32

from app.names import MAX_NAME_BYTES, NAMELESS, clean_name, cut
from app.suno.clip import Clip
from app.suno.stems import numbered

TYPES = {"mp3": "audio/mpeg", "m4a": "audio/mp4", "wav": "audio/wav"}
"""The formats and their media types."""

READ_BYTES = 1024 * 1024
"""Bytes to read at once."""

ORIGINAL = "Original"

MAX_NAME_UNITS_IN_ZIP = 60
"""Maximum UTF-16 units of a title or a part in a ZIP, so that a path in it stays under 180 characters."""

SHORT_ID_LENGTH = 8
"""Characters of an id that are enough to tell two songs apart."""

TEMPO_RANGE_BPM = (1, 999)
"""Tempos in beats a minute that a folder's name may have."""

_MUSICAL_KEY = re.compile(r"([A-G](?:#|b|_sharp|_flat)?)_(major|minor)", re.IGNORECASE)
"""A key as Suno writes it, such as `C_major`."""

_PART_OF_TITLE = re.compile(r"\s*(?: - [^()]+|\([^()]*\))\s*\Z")


@dataclass(frozen=True, slots=True)
class Details:
    """A clip's metadata, stored beside its files."""

    id: str
    song_id: str
    """For a song, its own id."""
    song_title: str | None
    title: str | None
    part: str | None
    """A stem's part, in lower case; None for a song, or if unknown."""
    take: int | None
    created_at: str | None
    duration: float | None
    """Seconds."""
    status: str | None = None
    silent: bool | None = None
    """Whether Suno marks the stem as silent; None if it says nothing."""

    @classmethod
    def read(cls, value: Any) -> Details:
        """Read what `asdict` returned. Raises TypeError or ValueError for anything else."""
        known = {field.name for field in fields(cls)}
        return cls(**{name: each for name, each in dict(value).items() if name in known})

    @property
    def name(self) -> str:
        """The readable name of its file, without extension: `Ocean Wanderer - Vocals (take 2)`."""
        song = self.song_title or NAMELESS
        if self.id == self.song_id:
            return clean_name(song)
        behind = f" - {self._part}{self._take}"
        room = MAX_NAME_BYTES - len(behind.encode())
        return clean_name(f"{cut(song, max(20, room))}{behind}")

    @property
    def track(self) -> str:
        """Its name within its song: `Vocals (take 2)`; `Original` for the song itself."""
        if self.id == self.song_id:
            return ORIGINAL
        return f"{_short_name(self._part)}{self._take}"

    @property
    def _part(self) -> str:
        return " ".join(word if word[:1].isupper() else word.capitalize() for word in (self.part or "stem").split())

    @property
    def _take(self) -> str:
        return f" (take {self.take})" if (self.take or 1) > 1 else ""


def details_of(clip: Clip, song: Clip | None, stems: Sequence[Clip]) -> Details:
    """The details of a clip. `song`: the clip itself, or the stem's song. `stems`: all stems of that song."""
    song_id = song.id if song else (clip.is_stem and clip.stem_from_id) or clip.id
    is_stem = clip.id != song_id
    song_title = (song.title if song else None) or clip.title
    if is_stem and clip.title and not (song and song.title):
        song_title = _PART_OF_TITLE.sub("", clip.title) or clip.title
    return Details(
        id=clip.id,
        song_id=song_id,
        song_title=song_title,
        title=clip.title,
        part=(clip.part or None) if is_stem else None,
        take=(numbered(stems) if stems else numbered([clip])).get(clip.id),
        created_at=clip.created_at,
        duration=clip.duration,
        status=clip.status,
        silent=clip.silent,
    )


def crc32_of(file: Path) -> int:
    """The CRC-32 of a file, as a ZIP needs it."""
    crc = 0
    with file.open("rb") as content:
        while block := content.read(READ_BYTES):
            crc = crc32(block, crc)
    return crc


def folder_of(account: str) -> str:
    """The folder of a Suno account's files. Its name is valid in any store, and does not reveal the account."""
    return sha256(f"audio of {account}".encode()).hexdigest()[:32]


def file_name(details: Details, format: str) -> str:
    """The name under which a file is served."""
    return f"{details.name}.{format}"


def folder_name(title: str | None, song_id: str, *, bpm: float | None = None, key: str | None = None) -> str:
    """The name of a song's folder in a ZIP: `Ocean Wanderer [129 BPM, C major] c3d4e5f6`."""
    lowest, highest = TEMPO_RANGE_BPM
    tempo = f"{bpm:.0f} BPM" if bpm is not None and lowest <= bpm <= highest else ""
    about = ", ".join(filter(None, (tempo, readable_key(key))))
    return " ".join(filter(None, (short_title(title), f"[{about}]" if about else "", song_id[:SHORT_ID_LENGTH])))


def short_title(title: str | None) -> str:
    """The beginning of a title, for names in a ZIP."""
    return _short_name(title or NAMELESS)


def readable_key(key: str | None) -> str | None:
    """A key as people write it, such as `C major`; None if it is unknown."""
    found = _MUSICAL_KEY.fullmatch(key or "")
    return f"{found[1].replace('_', ' ')} {found[2].lower()}" if found else None


def distinct(names: Iterable[tuple[str, str]]) -> Mapping[str, str]:
    """Make file names unique without regard to case: a repeated name gets a number. Returns the names by id."""
    taken: set[str] = set()
    parts = [(id, *name.rpartition(".")) for id, name in names]
    return {id: distinct_name(name, dot + end, taken) for id, name, dot, end in parts}


def distinct_name(name: str, end: str, taken: set[str]) -> str:
    """A name and its end, with a number between them if it is taken. Adds it to `taken`, which has no capitals."""
    candidate, number = name + end, 1
    while candidate.casefold() in taken:
        number += 1
        candidate = f"{name} [{number}]{end}"
    taken.add(candidate.casefold())
    return candidate


def _short_name(text: str) -> str:
    """A valid name from the beginning of a text, in whole characters."""
    composed = " ".join(unicodedata.normalize("NFC", text).split())
    # In UTF-16, as Windows counts, which limits whole paths.
    short = composed.encode("utf-16-le", "ignore")[: 2 * MAX_NAME_UNITS_IN_ZIP].decode("utf-16-le", "ignore")
    return clean_name(short, 3 * MAX_NAME_UNITS_IN_ZIP)
