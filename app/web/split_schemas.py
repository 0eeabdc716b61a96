"""Schemas of a split's state."""

from __future__ import annotations

from marshmallow import fields

from app.web.clip_schemas import StemClip
from app.web.examples import EXAMPLE_SONG
from app.web.fields import field, text
from app.web.file_schemas import AudioFile
from app.web.schemas import Schema
from app.web.words import SPLIT_STATES, WEBHOOK_STATES


class WebhookAttempt(Schema):
    """One attempt to send a webhook."""

    at = field(fields.String, "The time, in UTC.", format="date-time")
    status = field(
        fields.Integer, "The receiver's HTTP status; null if there was no response.", null=True, example=200
    )
    said = field(
        fields.String,
        "The response's first line, or why there was no response. Empty for a receiver in `WEBHOOK_HOSTS`.",
        example="ok",
    )


class WebhookState(Schema):
    """The state of a split's webhook."""

    state = field(fields.String, "The webhook's state.", enum=WEBHOOK_STATES, example="delivered")
    attempts = field(fields.List, "Attempts so far.", fields.Nested(WebhookAttempt))
    next_at = field(
        fields.String, "When it is sent next; null if immediately, or not again.", null=True, format="date-time"
    )


class FailedStem(Schema):
    """A stem that Suno could not make."""

    id = field(fields.String, "The stem's id.")
    part = field(fields.String, "Its part in lower case, or empty.", example="drums")
    error = text("Suno's reason.", "This stem could not be separated.")


class SplitFailure(Schema):
    """Why a split has no usable stem."""

    code = field(
        fields.String,
        "`suno_failed` or `outcome_unknown`; after a wait for a person also `captcha_required` "
        "(nobody came in time) or `cancelled`.",
        example="suno_failed",
    )
    error = field(fields.String, "The reason, as a sentence.")
    charged = field(fields.Boolean, "Whether Suno charged; null if that is not known.", null=True)


class PersonNeededSchema(Schema):
    """What a person has to do, because Suno wants a captcha."""

    url = field(fields.String, "The page of the song.", format="uri", example=f"https://suno.com/song/{EXAMPLE_SONG}")
    what = field(fields.String, "What to choose there, in one sentence.")
    until = field(fields.String, "When the wait ends, as ISO 8601 in UTC.", format="date-time")


class SplitStateSchema(Schema):
    """The state of a split."""

    state = field(
        fields.String,
        "The split's state. `failed` only with a `webhook_url` or `audio_format`, or after `needs_person`.",
        enum=SPLIT_STATES,
        example="done",
    )
    clips = field(
        fields.List,
        "The stems that were paid for, as Suno shows them now, or as they were last seen. Empty "
        "while they are not known.",
        fields.Nested(StemClip),
    )
    ready = field(fields.Boolean, "Whether all stems are final, and all files are kept or have failed.")
    complete = field(fields.Boolean, "Whether all stems are complete; once all are final.", required=False)
    failed = field(
        fields.List,
        "The stems that Suno could not make; once all are final.",
        fields.Nested(FailedStem),
        required=False,
    )
    delayed = field(
        fields.Boolean,
        "Whether there was no result after an hour; with a `webhook_url` or `audio_format`.",
        required=False,
    )
    error = field(fields.Nested, "Only if the state is `failed`.", SplitFailure, required=False)
    person = field(fields.Nested, "Only if the state is `needs_person`.", PersonNeededSchema, required=False)
    charged = field(
        fields.Boolean, "`false` if a person made the stems at suno.com: this service paid nothing.", required=False
    )
    webhook = field(fields.Nested, "Only if the split has a `webhook_url`.", WebhookState, required=False)
    audio = field(
        fields.List,
        "Only if the split has an `audio_format`; empty until the stems are complete.",
        fields.Nested(AudioFile),
        required=False,
    )
