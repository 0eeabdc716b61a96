"""The schema of a split, and of every request that may be paid for."""

from __future__ import annotations

from functools import cached_property
from typing import Any, ClassVar

from marshmallow import ValidationError, fields, pre_load
from marshmallow.validate import Length, OneOf, Regexp

from app.suno.stems import StemTask
from app.web.account_schemas import CreditsLeft
from app.web.clip_schemas import Download, FullClip, ListedStem
from app.web.fields import Flag, audio_format, song_id
from app.web.file_schemas import AudioFile, ZipAddress
from app.web.near_misses import near_misses
from app.web.schemas import Error, Schema
from app.web.split_schemas import SplitStateSchema
from app.web.words import ON_CAPTCHA


class PaidRequest(Schema):
    """A request that may be paid for. A field that is nearly one of its own is refused, others are ignored."""

    names_in_replies: ClassVar[frozenset[str]] = frozenset()
    """Names in replies that only calls of this kind have: they are ignored too."""

    @cached_property
    def _names(self) -> set[str]:
        return {field.data_key or name for name, field in self.load_fields.items()}

    @pre_load
    def _refuse_near_misses(self, data: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        names = self._names
        if not data.keys() <= names and (wrong := near_misses(data, names, NAMES_IN_REPLIES | self.names_in_replies)):
            raise ValidationError(wrong)
        self._check_together(data)
        return data

    def _check_together(self, data: dict[str, Any]) -> None:
        """Refuse fields that do not go together. Here, as a schema's validator costs each request more."""


class SplitRequest(PaidRequest):
    """Which song to split, and how."""

    song_id = song_id(
        "audio_id", data_key="audio_id", description="The id of a song in the Suno account that is charged."
    )
    wait_audio = Flag(
        load_default=False,
        metadata={
            "description": "Reply when every stem is `complete` or `error`, or after SUNO_WAIT_TIMEOUT (90 s) with "
            "the current statuses."
        },
    )
    task = fields.Enum(
        StemTask,
        by_value=True,
        data_key="stem_task",
        load_default=StemTask.TWO,
        error_messages={"unknown": 'stem_task must be "two" or "twelve".', "null": "stem_task must not be null."},
        metadata={"description": "What to split the song into.", "default": "two"},
    )
    stem_name = fields.String(
        validate=Regexp(r"^[ -~]{1,64}\Z", error="stem_name must be 1 to 64 printable ASCII characters."),
        error_messages={"null": "stem_name must not be null.", "invalid": "stem_name must be a string."},
        metadata={
            "description": "With `two`: the part to split off, as Suno's page names it (`Lead Vocal`, `Drum Kit`, "
            "`Bass`, …); the other stem is the rest. Suno decides which names are valid.",
            "pattern": "^[ -~]{1,64}$",
        },
    )
    reuse_existing = Flag(
        load_default=False,
        metadata={
            "description": "Reply with the song's finished stems of this kind, for free, if it has a complete set; "
            "otherwise split it. With an `Idempotency-Key`, 409 while another request makes such stems, or may have "
            "made them in the last 10 minutes."
        },
    )

    webhook_url = fields.String(
        validate=Length(min=1, error="webhook_url must not be empty."),
        error_messages={"null": "webhook_url must not be null.", "invalid": "webhook_url must be a string."},
        metadata={
            "description": "Where to send a webhook (Standard Webhooks) once the stems are final: `stems.completed` "
            "or `stems.failed`. It must be https, to a public host or one that the operator lists. Only with the "
            "operator's accounts.",
            "format": "uri",
            "example": "https://n8n.example.com/webhook/stems",
        },
    )

    audio_format = audio_format(
        "audio_format",
        "Also fetch the stems as files, and keep them. This unlocks the song, which **counts as one of the month's "
        "downloads**. With `wait_audio` the reply comes when they are kept. Only with the operator's accounts.",
    )

    on_captcha = fields.String(
        load_default="fail",
        validate=OneOf(ON_CAPTCHA, error='on_captcha must be "fail" or "wait".'),
        error_messages={"null": "on_captcha must not be null.", "invalid": "on_captcha must be a string."},
        metadata={
            "description": "What to do if Suno wants a captcha: `fail` with `captcha_required`, or `wait` until a "
            "person splits the song at suno.com (202). Only with the operator's accounts.",
            "enum": ON_CAPTCHA,
        },
    )

    def _check_together(self, data: dict[str, Any]) -> None:
        if data.get("stem_name") and data.get("stem_task") == StemTask.TWELVE:
            raise ValidationError(
                'stem_name goes with stem_task "two": "twelve" takes out every part.', field_name="stem_name"
            )


NAMES_IN_REPLIES = frozenset(
    name
    for schema in (ListedStem, FullClip, AudioFile, SplitStateSchema, CreditsLeft, Download, ZipAddress, Error)
    for name in schema().dump_fields
)
