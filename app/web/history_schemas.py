"""Schemas of the list of earlier splits."""

from __future__ import annotations

from marshmallow import fields

from app.suno.stems import StemTask
from app.web.examples import EXAMPLE_SONG, EXAMPLE_SPLIT_STATE
from app.web.fields import field, limit
from app.web.schemas import Schema
from app.web.split_schemas import SplitStateSchema
from app.web.words import FORMATS

EXAMPLE_LISTED_REQUEST = {
    "request_id": "5f0c7d9e3a4b4a7f8f7c1b1d3c2e9a10",
    "audio_id": EXAMPLE_SONG,
    "stem_task": "two",
    "stem_name": None,
    "created_at": "2026-11-30T09:00:00Z",
    "audio_format": "mp3",
    "kept": False,
    **EXAMPLE_SPLIT_STATE,
}


class RequestsQuery(Schema):
    """How many splits to list."""

    limit = limit("How many of the latest splits to list.")


class ListedRequest(SplitStateSchema):
    """An earlier split, and its state. `GET /api/requests/{request_id}` has its webhook and its files."""

    class Meta:
        exclude = ("webhook", "audio")

    request_id = field(fields.String, "Its X-Request-ID.", example=EXAMPLE_LISTED_REQUEST["request_id"])
    audio_id = field(fields.String, "The id of the song.", example=EXAMPLE_SONG)
    stem_task = fields.Enum(
        StemTask, by_value=True, required=True, metadata={"description": "What the song was split into."}
    )
    stem_name = field(
        fields.String, "The part that was split off; null if none was named.", null=True, example="Drum Kit"
    )
    created_at = field(
        fields.String,
        "When it began, as ISO 8601 in UTC.",
        format="date-time",
        example=EXAMPLE_LISTED_REQUEST["created_at"],
    )
    audio_format = field(
        fields.String, "The format of its files, if it asked for them.", required=False, enum=FORMATS, example="mp3"
    )
    kept = field(
        fields.Boolean,
        "Only with `audio_format`: whether its files are kept now, as the first one shows; null "
        "if that cannot be read.",
        null=True,
        required=False,
        example=True,
    )
