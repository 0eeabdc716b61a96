"""Schemas of orders."""

from __future__ import annotations

import re
from typing import Any

from marshmallow import ValidationError, fields, validates_schema
from marshmallow.validate import Length, Range

from app.splits.order import OrderState, SongState
from app.splits.quote import Outlook
from app.suno.ids import as_sent
from app.suno.stems import StemTask
from app.web.examples import EXAMPLE_SONG
from app.web.fields import ID_PATTERN, SIGNATURE, Flag, Id, IdList, audio_format, field, limit
from app.web.schemas import Schema
from app.web.split_request import PaidRequest, SplitRequest

MAX_SONGS = 200
"""Maximum songs of an order."""

MAX_CREDITS = 1_000_000

_PLAYLIST_LINK = re.compile(
    r"(?:https?://(?:www\.)?suno\.com/playlist/)?([A-Za-z0-9_-]{1,128})/?(?:[?#].*)?", re.IGNORECASE
)
PLAYLIST_PATTERN = r"^(https?://(www\.)?suno\.com/playlist/)?[A-Za-z0-9_-]{1,128}/?([?#].*)?$"

EXAMPLE_ORDERS = {
    "quote": {
        "summary": "What a playlist would cost",
        "value": {"playlist": "https://suno.com/playlist/1190bf92-10dc-4ce5-968a-7a377f37f984", "quote": True},
    },
    "order": {"summary": "Split songs for at most 20 credits", "value": {"songs": [EXAMPLE_SONG], "max_credits": 20}},
    "files": {
        "summary": "Also fetch and keep the files",
        "value": {"songs": [EXAMPLE_SONG], "audio_format": "wav", "max_credits": 20, "max_downloads": 1},
    },
}
EXAMPLE_QUOTE = {
    "songs": [
        {
            "song_id": EXAMPLE_SONG,
            "title": "Ocean Wanderer",
            "state": "split",
            "credits": 10,
            "downloads": 0,
            "error": None,
        }
    ],
    "credits": 10,
    "downloads": 0,
    "credits_left": 500,
    "downloads_left": 17,
    "does_not_fit": [],
}
EXAMPLE_ORDER = {
    "id": "5f0c7d9e3a4b4a7f8f7c1b1d3c2e9a10",
    "state": "running",
    "created_at": "2026-11-30T09:00:00+00:00",
    "stem_task": "two",
    "stem_name": "",
    "audio_format": None,
    "songs": [
        {
            "song_id": EXAMPLE_SONG,
            "title": "Ocean Wanderer",
            "state": "running",
            "credits": 10,
            "downloads": 0,
            "error": None,
            "request_id": "9a10c7d9e3a4b4a7f8f7c1b1d3c25f0c",
        }
    ],
    "credits": 10,
    "downloads": 0,
    "max_credits": 20,
    "max_downloads": None,
    "credits_left": 490,
    "downloads_left": 17,
    "next_song": None,
    "next_in": None,
    "error": None,
    "zip_url": None,
}


class PlaylistId(fields.String):
    """The id of a playlist or the URL of its page."""

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Any:
        found = _PLAYLIST_LINK.fullmatch(super()._deserialize(value, attr, data, **kwargs).strip())
        if not found:
            raise ValidationError("playlist must be the address of a playlist's page, https://suno.com/playlist/…")
        return as_sent(found[1])


class Whole(fields.Integer):
    """A whole number in JSON, also written as 154.0."""

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Any:
        if isinstance(value, bool | str):
            raise self.make_error("invalid")
        return super()._deserialize(
            int(value) if isinstance(value, float) and value.is_integer() else value, attr, data
        )


class OrderRequest(PaidRequest):
    """Which songs to split, how, and for how much."""

    names_in_replies = frozenset({*EXAMPLE_ORDER, *EXAMPLE_QUOTE} - {"songs"})

    songs = IdList(
        Id("songs", metadata={"pattern": ID_PATTERN}),
        validate=Length(min=1, error="songs must have at least one id."),
        error_messages={"invalid": "songs must be a list of ids or links.", "null": "songs must not be null."},
        metadata={
            "description": f"Ids of songs, or the addresses of their pages: 1 to {MAX_SONGS}.",
            "maxItems": MAX_SONGS,
            "example": [EXAMPLE_SONG],
        },
    )
    playlist = PlaylistId(
        error_messages={"invalid": "playlist must be a string.", "null": "playlist must not be null."},
        metadata={
            "description": f"Instead of `songs`: the address of a playlist of at most {MAX_SONGS} songs.",
            "pattern": PLAYLIST_PATTERN,
        },
    )
    task = SplitRequest().fields["task"]
    stem_name = SplitRequest().fields["stem_name"]
    audio_format = audio_format(
        "audio_format", "Also fetch the stems as files, and keep them. Needs `max_downloads`, unless it is a quote."
    )
    webhook_url = SplitRequest().fields["webhook_url"]
    on_captcha = SplitRequest().fields["on_captcha"]
    max_credits = Whole(
        strict=True,
        validate=Range(min=0, max=MAX_CREDITS, error=f"max_credits must be a whole number up to {MAX_CREDITS}."),
        error_messages={"invalid": "max_credits must be a whole number.", "null": "max_credits must not be null."},
        metadata={"description": "The most credits that the order may spend; in doubt counts as spent."},
    )
    max_downloads = Whole(
        strict=True,
        validate=Range(min=0, max=MAX_SONGS, error=f"max_downloads must be a whole number up to {MAX_SONGS}."),
        error_messages={
            "invalid": "max_downloads must be a whole number.",
            "null": "max_downloads must not be null.",
        },
        metadata={"description": "The most of the month's downloads that the order may use."},
    )
    quote = Flag(load_default=False, metadata={"description": "Only tell what the order would do and cost. Free."})

    @validates_schema
    def _check(self, data: dict[str, Any], **kwargs: Any) -> None:
        if ("songs" in data) == ("playlist" in data):
            raise ValidationError("Give either songs or playlist.", field_name="songs")
        if data.get("stem_name") and data.get("task") is StemTask.TWELVE:
            raise ValidationError(
                'stem_name goes with stem_task "two": "twelve" takes out every part.', field_name="stem_name"
            )
        if data.get("quote"):
            return
        if "max_credits" not in data:
            raise ValidationError(
                "max_credits is missing: the most that the order may spend. quote: true tells what it would cost.",
                field_name="max_credits",
            )
        if "audio_format" in data and "max_downloads" not in data:
            raise ValidationError(
                "max_downloads is missing: the most of the month's downloads that the files may use.",
                field_name="max_downloads",
            )


class Caps(PaidRequest):
    """Higher limits for an order."""

    max_credits = OrderRequest().fields["max_credits"]
    max_downloads = OrderRequest().fields["max_downloads"]


class OrderProblem(Schema):
    """Why a song failed, or why an order is paused."""

    code = field(fields.String, "A stable name.", example="over_limit")
    error = field(fields.String, "A sentence, with what to do next.")


class OrderSong(Schema):
    """A song of an order or of a quote."""

    song_id = field(fields.String, "Its id.", example=EXAMPLE_SONG)
    title = field(fields.String, "Its title; null if unknown.", null=True)
    state = field(
        fields.String,
        "In a quote what would happen: `split`, `has_stems` (taken for free), `not_found`, "
        "`refused`. In an order: `waiting`, `running`, `needs_person`, `done` (its stems are final, and each "
        "file is kept or has failed), `failed`.",
        enum=[*(outlook.value for outlook in Outlook), *(state.value for state in SongState)],
        example="running",
    )
    credits = field(
        fields.Integer,
        "In a quote what it counts as, by the operator's setting; in an order what was spent. In doubt "
        "counts as spent.",
        example=10,
    )
    downloads = field(fields.Integer, "The same in downloads.", example=10)
    error = field(fields.Nested, "Why it failed, or cannot be split.", OrderProblem, null=True)
    request_id = field(
        fields.String,
        "The request id of its split, for `GET /api/requests/{request_id}`; once it began.",
        required=False,
    )


class OrderReply(Schema):
    """An order, or a quote."""

    id = field(fields.String, "The order's id; not in a quote.", required=False)
    state = field(
        fields.String,
        "The order's state; not in a quote. `paused`: `error` says why, and "
        "`POST /api/orders/{id}/again` continues it.",
        required=False,
        enum=[state.value for state in OrderState],
        example="running",
    )
    created_at = field(
        fields.String,
        "When it was ordered, as ISO 8601 in UTC; not in a quote.",
        required=False,
        format="date-time",
        example=EXAMPLE_ORDER["created_at"],
    )
    stem_task = field(fields.String, "As it was ordered; not in a quote.", required=False, example="two")
    stem_name = field(fields.String, 'As it was ordered, or "" for the lead vocal; not in a quote.', required=False)
    audio_format = field(
        fields.String,
        "The format of its files; null if none were ordered. Not in a quote.",
        null=True,
        required=False,
        example="mp3",
    )
    songs = field(fields.List, "In the order given.", fields.Nested(OrderSong))
    credits = field(fields.Integer, "The sum of the songs' credits.", example=10)
    downloads = field(fields.Integer, "The sum of their downloads.", example=10)
    max_credits = field(fields.Integer, "The order's limit; not in a quote.", required=False)
    max_downloads = field(
        fields.Integer, "The order's limit; null if there is none. Not in a quote.", null=True, required=False
    )
    credits_left = field(
        fields.Integer,
        "What may still be spent: the least of the account's balance and the budgets, and for an order of its own "
        "limit; null if none of them is known.",
        null=True,
        example=10,
    )
    downloads_left = field(fields.Integer, "The same in downloads; null if there is no limit.", null=True, example=10)
    does_not_fit = field(
        fields.List,
        "Only in a quote: the ids of the songs for which not enough is left.",
        fields.String(),
        required=False,
    )
    next_song = field(
        fields.String, "The id of the song that begins next; not in a quote.", null=True, required=False
    )
    next_in = field(
        fields.Float,
        "In about how many seconds it begins; null while the order does not run.",
        null=True,
        required=False,
    )
    error = field(fields.Nested, "Why the order is paused.", OrderProblem, null=True, required=False)
    zip_url = field(
        fields.String,
        "The URL of a ZIP with all kept stems, once a song with files is done; not in a quote. If "
        "the operator has set LINK_SECRET, it works for a day without API key and cookie.",
        null=True,
        required=False,
        format="uri",
    )


class OrderZipQuery(Schema):
    """The format of the files, and the signature of a URL."""

    format = audio_format("format", "The format in which they were fetched. If left out: the order's `audio_format`.")
    token = field(fields.String, SIGNATURE, required=False)


class OrdersQuery(Schema):
    """How many orders to list."""

    limit = limit("How many of the latest orders to list.")
