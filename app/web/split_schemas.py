"""Schemas of a split's state."""

from __future__ import annotations

from marshmallow import fields

from app.web.clip_schemas import StemClip
from app.web.examples import EXAMPLE_SONG
from app.web.fields import text
from app.web.file_schemas import AudioFile
from app.web.schemas import Schema
from app.web.words import SPLIT_STATES, WEBHOOK_STATES


class WebhookAttempt(Schema):
    """One attempt to send a webhook."""

    at = fields.String(required=True, metadata={"description": "The time, in UTC.", "format": "date-time"})
    status = fields.Integer(
        required=True,
        allow_none=True,
        metadata={"description": "The receiver's HTTP status; null if there was no response.", "example": 200},
    )
    said = fields.String(
        required=True,
        metadata={
            "description": "The response's first line, or why there was no response. Empty for a receiver in "
            "`WEBHOOK_HOSTS`.",
            "example": "ok",
        },
    )


class WebhookState(Schema):
    """The state of a split's webhook."""

    state = fields.String(
        required=True,
        metadata={
            "description": "The webhook's state.",
            "enum": WEBHOOK_STATES,
            "example": "delivered",
        },
    )
    attempts = fields.List(fields.Nested(WebhookAttempt), required=True, metadata={"description": "Attempts so far."})
    next_at = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "When it is sent next; null if immediately, or not again.", "format": "date-time"},
    )


class FailedStem(Schema):
    """A stem that Suno could not make."""

    id = fields.String(required=True, metadata={"description": "The stem's id."})
    part = fields.String(
        required=True, metadata={"description": "Its part in lower case, or empty.", "example": "drums"}
    )
    error = text("Suno's reason.", "This stem could not be separated.")


class SplitFailure(Schema):
    """Why a split has no usable stem."""

    code = fields.String(
        required=True,
        metadata={
            "description": "`suno_failed` or `outcome_unknown`; after a wait for a person also `captcha_required` "
            "(nobody came in time) or `cancelled`.",
            "example": "suno_failed",
        },
    )
    error = fields.String(required=True, metadata={"description": "The reason, as a sentence."})
    charged = fields.Boolean(
        required=True, allow_none=True, metadata={"description": "Whether Suno charged; null if that is not known."}
    )


class PersonNeededSchema(Schema):
    """What a person has to do, because Suno wants a captcha."""

    url = fields.String(
        required=True,
        metadata={
            "description": "The page of the song.",
            "format": "uri",
            "example": f"https://suno.com/song/{EXAMPLE_SONG}",
        },
    )
    what = fields.String(required=True, metadata={"description": "What to choose there, in one sentence."})
    until = fields.String(
        required=True, metadata={"description": "When the wait ends, as ISO 8601 in UTC.", "format": "date-time"}
    )


class SplitStateSchema(Schema):
    """The state of a split."""

    state = fields.String(
        required=True,
        metadata={
            "description": "The split's state. `failed` only with a `webhook_url` or `audio_format`, or after "
            "`needs_person`.",
            "enum": SPLIT_STATES,
            "example": "done",
        },
    )
    clips = fields.List(
        fields.Nested(StemClip),
        required=True,
        metadata={
            "description": "The stems that were paid for, as Suno shows them now, or as they were last seen. Empty "
            "while they are not known."
        },
    )
    ready = fields.Boolean(
        required=True,
        metadata={"description": "Whether all stems are final, and all files are kept or have failed."},
    )
    complete = fields.Boolean(metadata={"description": "Whether all stems are complete; once all are final."})
    failed = fields.List(
        fields.Nested(FailedStem), metadata={"description": "The stems that Suno could not make; once all are final."}
    )
    delayed = fields.Boolean(
        metadata={"description": "Whether there was no result after an hour; with a `webhook_url` or `audio_format`."}
    )
    error = fields.Nested(SplitFailure, metadata={"description": "Only if the state is `failed`."})
    person = fields.Nested(PersonNeededSchema, metadata={"description": "Only if the state is `needs_person`."})
    charged = fields.Boolean(
        metadata={"description": "`false` if a person made the stems at suno.com: this service paid nothing."}
    )
    webhook = fields.Nested(WebhookState, metadata={"description": "Only if the split has a `webhook_url`."})
    audio = fields.List(
        fields.Nested(AudioFile),
        metadata={"description": "Only if the split has an `audio_format`; empty until the stems are complete."},
    )
