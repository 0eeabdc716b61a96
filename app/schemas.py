"""What callers send and what they get."""

from __future__ import annotations

import re
from typing import Any

from marshmallow import EXCLUDE, Schema, ValidationError, fields

from app.errors import ErrorCode

_SONG_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")

STATUSES = ["submitted", "queued", "streaming", "complete", "error"]

EXAMPLE_SONG = "c3d4e5f6-a7b8-9012-cdef-123456789012"
EXAMPLE_STEMS = [
    {
        "id": id,
        "status": "complete",
        "created_at": "2024-01-15T12:00:00.000Z",
        "title": f"Ocean Wanderer ({part})",
        "stem_from_id": EXAMPLE_SONG,
        "duration": "183.4",
    }
    for id, part in [
        ("d4e5f6a7-b8c9-0123-defa-234567890123", "Vocals"),
        ("e5f6a7b8-c9d0-1234-efab-345678901234", "Instrumental"),
    ]
]


def is_song_id(value: str) -> None:
    """Refuse what could not be one segment of a path: on it depends that a song id reaches that song alone."""
    if not _SONG_ID.fullmatch(value):
        raise ValidationError("audio_id must be 1 to 128 of the characters A-Z a-z 0-9 _ and -.")


class Seconds(fields.String):
    """A number of seconds, told as text: 183.4 becomes "183.4"."""

    def _serialize(self, value: Any, attr: str | None, obj: Any, **kwargs: Any) -> str | None:
        return None if value is None else str(value)


class SplitRequest(Schema):
    """Which song to split."""

    class Meta:
        unknown = EXCLUDE

    audio_id = fields.String(
        required=True,
        validate=is_song_id,
        error_messages={
            "required": "audio_id is missing: give the id of a song of your Suno account.",
            "null": "audio_id is null: give the id of a song of your Suno account.",
            "invalid": "audio_id must be a string.",
        },
        metadata={
            "description": "The id of a song in the Suno account that is charged.",
            "pattern": "^[A-Za-z0-9_-]{1,128}$",
            "example": EXAMPLE_SONG,
        },
    )


class StemClip(Schema):
    """One stem of a song. Any field but `id` is null where Suno has left it out."""

    class Meta:
        unknown = EXCLUDE

    id = fields.String(
        required=True,
        metadata={"description": "The stem's own clip id.", "example": EXAMPLE_STEMS[0]["id"]},
    )
    status = fields.String(
        required=True,
        allow_none=True,
        metadata={
            "description": "How far Suno is; `complete` and `error` are final. A new stem takes about a minute.",
            "enum": [*STATUSES, None],
            "example": EXAMPLE_STEMS[0]["status"],
        },
    )
    created_at = fields.String(
        required=True,
        allow_none=True,
        metadata={
            "description": "When Suno made the clip, as ISO 8601 in UTC.",
            "format": "date-time",
            "example": EXAMPLE_STEMS[0]["created_at"],
        },
    )
    title = fields.String(
        required=True,
        allow_none=True,
        metadata={
            "description": "The song's title with the part's name.",
            "example": EXAMPLE_STEMS[0]["title"],
        },
    )
    stem_from_id = fields.String(
        required=True,
        allow_none=True,
        metadata={
            "description": "The song that the stem is a part of.",
            "example": EXAMPLE_SONG,
        },
    )
    duration = Seconds(
        required=True,
        allow_none=True,
        metadata={
            "description": "Length in seconds, as a decimal number in a string; null until Suno has measured it.",
            "example": EXAMPLE_STEMS[0]["duration"],
        },
    )


class Error(Schema):
    """The shape of every failure."""

    class Meta:
        unknown = EXCLUDE

    error = fields.String(required=True, metadata={"description": "A sentence that says what to do."})
    code = fields.String(
        required=True,
        metadata={
            "description": "The failure's stable name, for programs.",
            "enum": [code.slug for code in ErrorCode],
        },
    )
    request_id = fields.String(
        required=True, metadata={"description": "The X-Request-ID of the request: the log has it too."}
    )
    details = fields.Dict(
        keys=fields.String(),
        values=fields.List(fields.String()),
        metadata={"description": "What is wrong with each field, where the request was malformed."},
    )


class Alive(Schema):
    """That the process answers."""

    class Meta:
        unknown = EXCLUDE

    status = fields.String(required=True, metadata={"description": "Always `ok`.", "enum": ["ok"]})


_CHECKS = {
    "description": "By part: `ok`, `not_configured` where there is nothing to look at, else the code of its error."
}


class Ready(Alive):
    """That a split could be served now."""

    checks = fields.Dict(keys=fields.String(), values=fields.String(), required=True, metadata=_CHECKS)


class NotReady(Error):
    """That a split could not be served now, and why."""

    checks = fields.Dict(keys=fields.String(), values=fields.String(), required=True, metadata=_CHECKS)
