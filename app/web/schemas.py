"""Schemas of requests and replies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import marshmallow
from marshmallow import EXCLUDE, ValidationError, fields, pre_load, validates_schema
from marshmallow.validate import Length, OneOf, Range, Regexp
from webargs.fields import DelimitedList

from app.splits.store import State
from app.suno.ids import as_sent, has_short_link, ids_in_links, is_id
from app.suno.stems import StemTask
from app.web.errors import ErrorCode
from app.web.measure_schemas import EXAMPLE_MEASURES, MeasuredFile
from app.web.near_misses import near_misses

_ID_ALONE = r"^[A-Za-z0-9_-]{1,128}$"
ID_PATTERN = (
    r"^\s*[A-Za-z0-9_-]{1,128}\s*$|https?://(www\.)?suno\.com/song/[A-Za-z0-9_-]{1,128}(?!/?[A-Za-z0-9_-]|//)"
)
MOST_IDS = 50
LAST_PAGE = 99_999
"""Far beyond any account's songs."""

CLIP_STATUSES = ["submitted", "queued", "streaming", "complete", "error"]
FILE_STATUSES = ["kept", "fetching", "failed"]
FORMATS = ["mp3", "m4a", "wav"]
LYRICS_FORMATS = ["lrc", "srt", "vtt", "ass"]
SESSION_FORMATS = ["wav", "mp3"]
SPLIT_STATES = [state.value for state in State]
WEBHOOK_STATES = ["following", "needs_person", "fetching", "delivering", "delivered", "given_up"]
ON_CAPTCHA = ["fail", "wait"]
ALIVE = ["ok"]


class Words(NamedTuple):
    """An enum that the spec has once, as a named schema."""

    description: str
    values: Sequence[str]


WORDS = {
    "ClipStatus": Words("Suno's status of a clip: `complete` and `error` are final.", CLIP_STATUSES),
    "StemTask": Words(
        "`two`: voice and music, or the part in `stem_name` and the rest; `twelve`: every instrument. Suno decides "
        "what each costs.",
        [task.value for task in StemTask],
    ),
    "AudioFormat": Words("Audio formats that Suno offers.", FORMATS),
    "SessionFormat": Words("Audio formats that all musicians' programs read.", SESSION_FORMATS),
    "LyricsFormat": Words("Formats of a lyrics file.", LYRICS_FORMATS),
    "FileStatus": Words(
        "`kept`: ready for download; `fetching`: being fetched from Suno; `failed`: see `error`.", FILE_STATUSES
    ),
    "SplitProgress": Words(
        "`started`: the paid call is running; `done`: paid for, with its stems; `in_doubt`: may have been charged, "
        "no reply (the same request with the same Idempotency-Key finds out); `needs_person`: Suno wants a captcha, "
        "and nothing was charged (see `person`); `failed`: no usable stem, see `error`.",
        SPLIT_STATES,
    ),
    "WebhookProgress": Words(
        "`following`: waits until the stems are final; `needs_person`: waits for a person; "
        "`fetching`: waits until their files are kept; `delivering`: "
        "sent, and retried on failure; `delivered`; `given_up`: no more attempts.",
        WEBHOOK_STATES,
    ),
    "OnCaptcha": Words(
        "What to do if Suno wants a captcha: `fail`, or `wait` until a person splits the song at suno.com.",
        ON_CAPTCHA,
    ),
    "AliveStatus": Words("Always `ok`.", ALIVE),
    "ErrorCode": Words("The stable name of an error.", [code.slug for code in ErrorCode]),
}
"""By schema name in the spec; generated clients use these names."""

EXAMPLE_SONG = "c3d4e5f6-a7b8-9012-cdef-123456789012"
EXAMPLE_SPLITS = {
    "two": {"summary": "Vocals and instrumental", "value": {"audio_id": EXAMPLE_SONG}},
    "wait": {"summary": "Wait until the stems are complete", "value": {"audio_id": EXAMPLE_SONG, "wait_audio": True}},
    "twelve": {"summary": "Every instrument", "value": {"audio_id": EXAMPLE_SONG, "stem_task": "twelve"}},
    "webhook": {
        "summary": "Send a webhook when the stems are complete",
        "value": {"audio_id": EXAMPLE_SONG, "webhook_url": "https://n8n.example.com/webhook/stems"},
    },
    "audio": {
        "summary": "Also fetch and keep the files",
        "value": {"audio_id": EXAMPLE_SONG, "wait_audio": True, "audio_format": "wav"},
    },
    "person": {
        "summary": "Wait for a person if Suno wants a captcha",
        "value": {"audio_id": EXAMPLE_SONG, "on_captcha": "wait"},
    },
    "reuse": {
        "summary": "Reuse finished stems, or pay for new ones",
        "value": {"audio_id": EXAMPLE_SONG, "reuse_existing": True},
    },
}
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
EXAMPLE_LISTED_STEMS = [
    stem | {"part": part, "take": 1, "silent": False}
    for stem, part in zip(EXAMPLE_STEMS, ("vocals", "instrumental"), strict=True)
]
EXAMPLE_RAW_CLIP = {
    "id": EXAMPLE_SONG,
    "entity_type": "song_schema",
    "status": "complete",
    "title": "Ocean Wanderer",
    "created_at": "2024-01-15T11:00:00.000Z",
    "is_download_unlocked": False,
    "metadata": {"type": "gen", "duration": 183.4, "avg_bpm": 120.0, "key": "C_major", "has_stem": True},
}
EXAMPLE_CLIP = {
    "id": "d4e5f6a7-b8c9-0123-defa-234567890123",
    "title": "Ocean Wanderer (Vocals)",
    "image_url": None,
    "lyric": None,
    "audio_url": None,
    "video_url": None,
    "created_at": "2024-01-15T12:00:00.000Z",
    "model_name": "chirp-stem",
    "status": "complete",
    "gpt_description_prompt": None,
    "prompt": None,
    "type": "stem",
    "tags": None,
    "duration": 183.4,
    "error_message": None,
    "stem_from_id": EXAMPLE_SONG,
    "part": "vocals",
    "take": 1,
    "bpm": None,
    "key": None,
    "download_unlocked": False,
    "silent": False,
    "has_stems": False,
}
EXAMPLE_CREDITS = {
    "credits_left": 500,
    "period": "month",
    "monthly_limit": 2500,
    "monthly_usage": 2000,
    "downloads_limit": 20,
    "downloads_used": 3,
    "downloads_extra": 0,
    "can_split": True,
    "captcha": False,
}
EXAMPLE_FILE = {
    "id": "d4e5f6a7-b8c9-0123-defa-234567890123",
    "format": "wav",
    "status": "kept",
    "url": "https://stems.example.com/api/audio/d4e5f6a7-b8c9-0123-defa-234567890123.wav?token=WyI0…",
    "bytes": 61440044,
    "filename": "Ocean Wanderer - Vocals.wav",
    "error": None,
    "silent": False,
    **EXAMPLE_MEASURES,
}
EXAMPLE_PEAKS = {
    "version": 2,
    "channels": 1,
    "sample_rate": 48000,
    "samples_per_pixel": 8803,
    "bits": 16,
    "length": 1000,
    "data": [-12034, 11877, -9002, 9140],
}
AUDIO_TOKEN = {
    "name": "token",
    "in": "query",
    "description": "The signature in a URL that this service has signed.",
    "schema": {"type": "string"},
}
EXAMPLE_SPLIT_STATE = {"state": "done", "clips": EXAMPLE_STEMS, "ready": False, "delayed": False}
EXAMPLE_WAITING = {
    "state": "needs_person",
    "clips": [],
    "ready": False,
    "delayed": False,
    "person": {
        "url": f"https://suno.com/song/{EXAMPLE_SONG}",
        "what": "Open the song at suno.com as the owner of the account, and choose Split from Mix and Lead Vocal: "
        "Suno asks for its captcha there. This request then takes those stems.",
        "until": "2026-12-01T09:00:00Z",
    },
}
EXAMPLE_CANCELLED = {
    "state": "failed",
    "clips": [],
    "ready": True,
    "delayed": False,
    "error": {
        "code": "cancelled",
        "error": "The request was cancelled while it waited for a person. Nothing was charged.",
        "charged": False,
    },
}
EXAMPLE_DOWNLOAD = {
    "id": EXAMPLE_SONG,
    "format": "mp3",
    "download_url": f"https://cdn.example/{EXAMPLE_SONG}.mp3",
    "counted": True,
}


def song_id(name: str, *, data_key: str | None = None, description: str, required: bool = True) -> fields.String:
    """Make a field for a clip's id or the URL of a song's page; its errors call it `name`.

    An id is always a single path segment. Otherwise a request could reach another of Suno's paid calls.
    """
    return Id(
        name,
        data_key=data_key,
        required=required,
        error_messages={
            "required": f"{name} is missing: give the id of a song or stem of your Suno account.",
            "null": f"{name} is null: give the id of a song or stem of your Suno account.",
            "invalid": f"{name} must be a string.",
        },
        metadata={"description": description, "pattern": ID_PATTERN, "example": EXAMPLE_SONG},
    )


class Id(fields.String):
    """The id of a song or stem, or a text with the URL of a song's page, which contains the id."""

    def __init__(self, name: str, **how: Any) -> None:
        super().__init__(**how)
        self._name = name

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Any:
        text = super()._deserialize(value, attr, data, **kwargs)
        return id_in(text, self._name)


def id_in(text: str, name: str) -> str:
    """The id that a text is, or that a link to a song's page in it has. Raises ValidationError, which says `name`."""
    linked = ids_in_links(text)
    if len(linked) > 1:
        raise ValidationError(f"{name} has links to {len(linked)} songs: send one.")
    if linked:
        return linked[0]
    if has_short_link(text):
        raise ValidationError(
            f"{name} is a short link: open it in a browser and copy the long address of the song's page."
        )
    if not is_id(id := text.strip()):
        raise ValidationError(
            f"{name} must be 1 to 128 of the characters A-Z a-z 0-9 _ and -, or the address of a song's "
            "page: https://suno.com/song/…"
        )
    return as_sent(id)


def text(description: str, example: Any, **metadata: Any) -> fields.String:
    """Make a text field of a reply; null if Suno has no value."""
    return fields.String(
        required=True, allow_none=True, metadata={"description": description, "example": example, **metadata}
    )


def count(description: str, example: int) -> fields.Integer:
    """Make an integer field of a reply; null if Suno does not report it."""
    return fields.Integer(required=True, allow_none=True, metadata={"description": description, "example": example})


def audio_format(name: str, description: str, *, required: bool = False) -> fields.String:
    """Make a field for an audio format."""
    return fields.String(
        required=required,
        validate=OneOf(FORMATS, error=f"{name} must be mp3, m4a or wav."),
        error_messages={
            "required": f"{name} is missing: mp3, m4a or wav.",
            "null": f"{name} must be mp3, m4a or wav.",
            "invalid": f"{name} must be mp3, m4a or wav.",
        },
        metadata={"description": description, "example": "mp3"},
    )


class Seconds(fields.String):
    """Seconds as a string: 183.4 becomes "183.4"."""

    def _serialize(self, value: Any, attr: str | None, obj: Any, **kwargs: Any) -> str | None:
        return None if value is None else str(value)


class Flag(fields.Boolean):
    """Strictly true or false: what a caller means by "no" must not be guessed."""

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Any:
        if not isinstance(value, bool):
            raise ValidationError(f"{attr} must be true or false.")
        return value


class Ids(DelimitedList):
    """1 to 50 ids, comma-separated or in repeated parameters; one wrong id fails the whole field."""

    is_multiple = True  # webargs then gives every value of the parameter

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Any:
        texts = [value] if isinstance(value, str) else value
        ids = [id for text in texts for id in _ids_in(text)]
        if len(ids) > MOST_IDS or not all(map(is_id, ids)):
            raise ValidationError(
                f"{attr} must be 1 to {MOST_IDS} comma-separated ids, each of 1 to 128 of the characters "
                "A-Z a-z 0-9 _ and -."
            )
        return [as_sent(id) for id in ids]


def _ids_in(text: str) -> list[str]:
    """The comma-separated ids or links of a text; if it is another text with links, their ids."""
    ids = [id for each in text.split(",") for id in (ids_in_links(each) or [each.strip()])]
    return ids if all(map(is_id, ids)) else ids_in_links(text) or ids


class IdList(fields.List[Any]):
    """A JSON list of 1 to 50 ids; one wrong id fails the whole field."""

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Any:
        try:
            return super()._deserialize(value, attr, data, **kwargs)
        except ValidationError as error:
            messages = error.messages
            if isinstance(messages, dict):
                messages = list(dict.fromkeys(text for texts in messages.values() for text in texts))
            raise ValidationError(messages) from error


class Schema(marshmallow.Schema):
    """Ignores unknown fields, and says so in the spec."""

    class Meta:
        unknown = EXCLUDE


class PaidRequest(Schema):
    """A request that may be paid for. A field that is nearly one of its own is refused, others are ignored."""

    names_in_replies: ClassVar[frozenset[str]] = frozenset()
    """Names in replies that only calls of this kind have: they are ignored too."""

    @pre_load
    def _refuse_near_misses(self, data: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        names = {field.data_key or name for name, field in self.load_fields.items()}
        if not data.keys() <= names and (wrong := near_misses(data, names, NAMES_IN_REPLIES | self.names_in_replies)):
            raise ValidationError(wrong)
        return data


class SplitRequest(PaidRequest):
    """Which song to split, and how."""

    song_id = song_id(
        "audio_id", data_key="audio_id", description="The id of a song in the Suno account that is charged."
    )
    wait_audio = Flag(
        load_default=False,
        metadata={
            "description": "Reply when every stem is `complete` or `error`, or after SUNO_WAIT_TIMEOUT (90 s) with "
            "the current statuses.",
        },
    )
    task = fields.Enum(
        StemTask,
        by_value=True,
        data_key="stem_task",
        load_default=StemTask.TWO,
        error_messages={"unknown": 'stem_task must be "two" or "twelve".', "null": "stem_task must not be null."},
        metadata={
            "description": "What to split the song into.",
            "default": "two",
        },
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
            "otherwise split it.",
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

    @validates_schema
    def _check_stem_name(self, data: dict[str, Any], **kwargs: Any) -> None:
        if data.get("stem_name") and data.get("task") is StemTask.TWELVE:
            raise ValidationError(
                'stem_name goes with stem_task "two": "twelve" takes out every part.', field_name="stem_name"
            )


class StemsQuery(Schema):
    """The song to list the stems of."""

    song_id = song_id("audio_id", data_key="audio_id", description="The id of a song in the Suno account.")


class ClipsQuery(Schema):
    """Which clips to get."""

    ids = Ids(
        fields.String(metadata={"pattern": _ID_ALONE}),
        metadata={
            "description": "1 to 50 comma-separated ids of songs or stems. If left out: the account's own songs.",
            "minItems": 1,
            "maxItems": MOST_IDS,
        },
    )
    page = fields.Integer(
        load_default=0,
        validate=Range(min=0, max=LAST_PAGE, error=f"page must be a whole number from 0 to {LAST_PAGE}."),
        error_messages={"invalid": f"page must be a whole number from 0 to {LAST_PAGE}."},
        metadata={
            "description": "Which page of the account's songs, from 0; an empty reply is the end. Ignored with `ids`."
        },
    )


class ClipQuery(Schema):
    """Which clip to get."""

    id = song_id("id", description="The id of a song or stem.")


class DownloadRequest(Schema):
    """Which audio to fetch."""

    id = song_id("id", description="The id of a complete song or stem.")
    format = audio_format("format", "WAV takes longer, and not every plan has it.", required=True)
    wait = Flag(
        load_default=False,
        metadata={"description": "Reply when the file is ready, or after SUNO_WAIT_TIMEOUT (90 s) with 202."},
    )


EXAMPLE_AUDIO = {
    "song": {"summary": "All stems of a song", "value": {"audio_id": EXAMPLE_SONG, "format": "mp3"}},
    "clips": {"summary": "Some clips", "value": {"ids": [EXAMPLE_SONG], "format": "wav"}},
}


class AudioRequest(Schema):
    """Which files to fetch: of some clips, or of all stems of a song."""

    ids = IdList(
        Id("ids", metadata={"pattern": ID_PATTERN}),
        validate=Length(min=1, max=MOST_IDS, error=f"ids must be 1 to {MOST_IDS} ids."),
        error_messages={"null": "ids must not be null.", "invalid": "ids must be a list of ids."},
        metadata={"description": "Ids of complete songs or stems; or send `audio_id`.", "example": [EXAMPLE_SONG]},
    )
    song_id = song_id(
        "audio_id",
        data_key="audio_id",
        description="The id of a song, for all of its stems; or send `ids`.",
        required=False,
    )
    format = audio_format("format", "WAV takes longer, and not every plan has it.", required=True)

    @validates_schema
    def _check_one(self, data: dict[str, Any], **kwargs: Any) -> None:
        if ("ids" in data) == ("song_id" in data):
            raise ValidationError("Give either ids, of songs or stems, or audio_id, of a song.", field_name="ids")


class ZipQuery(Schema):
    """Which stems to download, and the format."""

    song_id = song_id("audio_id", data_key="audio_id", description="The id of a song.")
    format = audio_format("format", "The format in which they were fetched.", required=True)
    ids = Ids(
        fields.String(metadata={"pattern": _ID_ALONE}),
        metadata={
            "description": "1 to 50 comma-separated ids of its stems. If left out: all.",
            "minItems": 1,
            "maxItems": MOST_IDS,
        },
    )
    token = fields.String(metadata={"description": AUDIO_TOKEN["description"]})


EXAMPLE_ZIP = {
    "url": f"https://stems.example.com/api/stems.zip?audio_id={EXAMPLE_SONG}&format=wav&ids=…&token=WyI0…",
    "filename": "Ocean Wanderer - Stems.zip",
    "bytes": 122881234,
}


class ZipRequest(Schema):
    """Which stems to pack, and the format."""

    song_id = song_id("audio_id", data_key="audio_id", description="The id of a song.")
    format = audio_format("format", "The format in which they were fetched.", required=True)
    ids = IdList(
        Id("ids", metadata={"pattern": ID_PATTERN}),
        validate=Length(min=1, max=MOST_IDS, error=f"ids must be 1 to {MOST_IDS} ids."),
        error_messages={"null": "ids must not be null.", "invalid": "ids must be a list of ids."},
        metadata={"description": "Ids of its stems. If left out: all.", "example": [EXAMPLE_FILE["id"]]},
    )


class ZipAddress(Schema):
    """Where to download a ZIP."""

    url = fields.String(
        required=True,
        metadata={
            "description": "Its URL. If the operator has set LINK_SECRET, it works for a day without API key and "
            "cookie.",
            "format": "uri",
            "example": EXAMPLE_ZIP["url"],
        },
    )
    filename = fields.String(
        required=True, metadata={"description": "A readable name for it.", "example": EXAMPLE_ZIP["filename"]}
    )
    bytes = fields.Integer(
        required=True, metadata={"description": "Its size in bytes.", "example": EXAMPLE_ZIP["bytes"]}
    )


class Part(fields.String):
    """The part of a stem; null if it is unknown, and for songs."""

    def _serialize(self, value: Any, attr: str | None, obj: Any, **kwargs: Any) -> str | None:
        return obj.part if obj.is_stem and obj.part else None


PART = Part(
    required=True,
    allow_none=True,
    metadata={
        "description": "Stems only: the part, by Suno's own name in lower case; null if Suno does not report it.",
        "example": "vocals",
    },
)
TAKE = fields.Integer(
    required=True,
    allow_none=True,
    metadata={
        "description": "Stems only: the number of its split, among those of the song in this reply; 1 is the oldest. "
        "Stems with the same take belong together.",
        "example": 1,
    },
)


SILENT = fields.Boolean(
    required=True,
    allow_none=True,
    metadata={
        "description": "Stems only: whether Suno marks it as silent; null if Suno does not say.",
        "example": False,
    },
)


class StemClip(Schema):
    """One stem of a song. Any field except `id` is null if Suno leaves it out."""

    id = fields.String(
        required=True, metadata={"description": "The stem's own clip id.", "example": EXAMPLE_STEMS[0]["id"]}
    )
    status = text(
        "Suno's status; `complete` and `error` are final. A new stem takes about a minute.",
        "complete",
        enum=[*CLIP_STATUSES, None],
    )
    created_at = text("When Suno made the clip, as ISO 8601 in UTC.", EXAMPLE_CLIP["created_at"], format="date-time")
    title = text("The song's title with the part's name.", EXAMPLE_CLIP["title"])
    stem_from_id = text("The id of the song that the stem is a part of.", EXAMPLE_SONG)
    duration = Seconds(
        required=True,
        allow_none=True,
        metadata={
            "description": "Length in seconds, as a decimal number in a string; null until Suno has measured it.",
            "example": "183.4",
        },
    )


class ListedStem(StemClip):
    """One stem in the list of a song."""

    part = PART
    take = TAKE
    silent = SILENT


class ClipFile(Schema):
    """A file of a clip and its status."""

    id = fields.String(required=True, metadata={"description": "The clip's id.", "example": EXAMPLE_FILE["id"]})
    format = fields.String(
        required=True, metadata={"description": "The requested format.", "enum": FORMATS, "example": "wav"}
    )
    status = fields.String(
        required=True,
        metadata={
            "description": "The file's status.",
            "enum": FILE_STATUSES,
            "example": "kept",
        },
    )
    url = text(
        "Where to download it, once it is kept. If the operator has set LINK_SECRET, the URL works for a day "
        "without API key and cookie.",
        EXAMPLE_FILE["url"],
    )
    bytes = count("Its size in bytes, once it is kept.", 61_440_044)
    filename = fields.String(
        required=True,
        metadata={"description": "A readable name for the file.", "example": EXAMPLE_FILE["filename"]},
    )
    error = text("Why it was not fetched; null if it is kept. With `fetching`: why it is tried again.", None)
    silent = SILENT


class AudioFile(MeasuredFile, ClipFile):
    """A file, its status and its measures."""


class Peaks(Schema):
    """A waveform in audiowaveform's JSON format, version 2, which players can read."""

    version = fields.Integer(required=True, metadata={"description": "The version of the format: 2.", "example": 2})
    channels = fields.Integer(required=True, metadata={"description": "1: all channels are mixed.", "example": 1})
    sample_rate = fields.Integer(required=True, metadata={"description": "Samples per second.", "example": 48_000})
    samples_per_pixel = fields.Integer(required=True, metadata={"description": "Samples per pair.", "example": 8_803})
    bits = fields.Integer(required=True, metadata={"description": "Bits per number.", "example": 16})
    length = fields.Integer(required=True, metadata={"description": "The number of pairs.", "example": 1_000})
    data = fields.List(
        fields.Integer(),
        required=True,
        metadata={"description": "The lowest and the highest sample of each pair, alternating."},
    )


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


class PersonNeeded(Schema):
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


class SplitState(Schema):
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
    person = fields.Nested(PersonNeeded, metadata={"description": "Only if the state is `needs_person`."})
    charged = fields.Boolean(
        metadata={"description": "`false` if a person made the stems at suno.com: this service paid nothing."}
    )
    webhook = fields.Nested(WebhookState, metadata={"description": "Only if the split has a `webhook_url`."})
    audio = fields.List(
        fields.Nested(AudioFile),
        metadata={"description": "Only if the split has an `audio_format`; empty until the stems are complete."},
    )


class FullClip(Schema):
    """A song or a stem in full. Any field except `id` is null if Suno has no value."""

    id = fields.String(required=True, metadata={"description": "The clip's id.", "example": EXAMPLE_CLIP["id"]})
    title = text("The title.", EXAMPLE_CLIP["title"])
    image_url = text("The cover's URL.", None)
    lyric = text("The lyrics, without blank lines.", None)
    audio_url = text("The URL that streams the audio; mostly null since September 2026: see /api/download.", None)
    video_url = text("The video's URL.", None)
    created_at = text("When Suno made the clip, as ISO 8601 in UTC.", EXAMPLE_CLIP["created_at"], format="date-time")
    model_name = text("Suno's model.", EXAMPLE_CLIP["model_name"])
    status = text("Suno's status; `complete` and `error` are final.", "complete", enum=[*CLIP_STATUSES, None])
    gpt_description_prompt = text("The description from which Suno made the song.", None)
    prompt = text("The lyrics as they were entered.", None)
    type = text("How Suno made it: `gen`, `stem`, ….", EXAMPLE_CLIP["type"])
    tags = text("The style.", None)
    duration = fields.Float(
        required=True,
        allow_none=True,
        metadata={
            "description": "Length in seconds, as a number; null until Suno has measured it.",
            "example": EXAMPLE_CLIP["duration"],
        },
    )
    error_message = text("Why Suno could not make it.", None)
    stem_from_id = text("Stems only: the id of the song.", EXAMPLE_SONG)
    part = PART
    take = TAKE
    bpm = fields.Float(
        required=True,
        allow_none=True,
        metadata={"description": "Songs only: beats per minute, on average.", "example": 120.0},
    )
    key = text("Songs only: the musical key.", "C_major")
    download_unlocked = fields.Boolean(
        required=True,
        allow_none=True,
        metadata={"description": "Whether Suno has already counted the song's download.", "example": False},
    )
    silent = SILENT
    has_stems = fields.Boolean(
        required=True,
        metadata={
            "description": "Songs only: whether Suno marks it as split. The mark may come some time after a split.",
            "example": False,
        },
    )


class BudgetLeft(Schema):
    """What a caller may still spend. A limit that the operator has not set is left out."""

    credits_per_day = fields.Integer(metadata={"description": "Allowed credits in any 24 hours.", "example": 100})
    credits_left = fields.Integer(metadata={"description": "Credits left of these.", "example": 60})
    more_credits_in = fields.Integer(
        allow_none=True,
        metadata={"description": "Seconds until more are free; null if none were spent.", "example": 5400},
    )
    downloads_per_month = fields.Integer(metadata={"description": "Allowed downloads in any 30 days.", "example": 5})
    downloads_left = fields.Integer(metadata={"description": "Downloads left of these.", "example": 5})
    more_downloads_in = fields.Integer(
        allow_none=True,
        metadata={"description": "Seconds until more are free; null if none were used.", "example": None},
    )


class CreditsLeft(Schema):
    """What a Suno account has left. A field is null if Suno does not report it."""

    credits_left = fields.Integer(
        required=True,
        metadata={"description": "Credits that can be spent now.", "example": EXAMPLE_CREDITS["credits_left"]},
    )
    period = text("The plan's period.", EXAMPLE_CREDITS["period"])
    monthly_limit = count("Credits per month in the plan.", 2500)
    monthly_usage = count("Credits spent of these.", 2000)
    downloads_limit = count("Downloads per period in the plan.", 20)
    downloads_used = count("Downloads used of these; a song's stems share one.", 3)
    downloads_extra = count("Extra downloads that were bought and are left.", 0)
    can_split = fields.Boolean(
        required=True,
        allow_none=True,
        metadata={"description": "Whether the plan includes stems.", "example": True},
    )
    captcha = fields.Boolean(
        required=True,
        allow_none=True,
        metadata={
            "description": "Whether Suno's newer split call wants a captcha now; null if Suno does not say.",
            "example": False,
        },
    )
    budget = fields.Nested(
        BudgetLeft, metadata={"description": "What the operator allows this API key; only if it has a limit."}
    )


class Download(Schema):
    """The URL of a clip's audio."""

    id = fields.String(required=True, metadata={"description": "The clip's id.", "example": EXAMPLE_DOWNLOAD["id"]})
    format = fields.String(
        required=True, metadata={"description": "The requested format.", "enum": FORMATS, "example": "mp3"}
    )
    download_url = text(
        "Where to download it for an hour, without an account; null if there is none yet.",
        EXAMPLE_DOWNLOAD["download_url"],
    )
    counted = fields.Boolean(
        required=True,
        metadata={
            "description": "Whether Suno counted this request against the plan's downloads: once per song.",
            "example": True,
        },
    )


class Error(Schema):
    """The shape of every error."""

    error = fields.String(required=True, metadata={"description": "A sentence that says what to do."})
    code = fields.String(
        required=True,
        metadata={
            "description": "The error's stable name, for programs.",
            "enum": [code.slug for code in ErrorCode],
        },
    )
    request_id = fields.String(
        required=True, metadata={"description": "The X-Request-ID of the request; it is also in the log."}
    )
    details = fields.Dict(
        keys=fields.String(),
        values=fields.List(fields.String()),
        metadata={"description": "What is wrong with each field, if the request was malformed."},
    )


class Alive(Schema):
    """The process answers."""

    class Meta:
        unknown = EXCLUDE

    status = fields.String(required=True, metadata={"description": "Always `ok`.", "enum": ALIVE})


_CHECKS = {
    "description": "By part:\n"
    "- `session`: `ok`, `not_configured` without the account `default` (SUNO_COOKIE), otherwise the error's `code`.\n"
    "- `ledger`: `ok`; `not durable` or `not known to be durable`, if Redis may forget it; otherwise the error's "
    "`code`.\n"
    "- `jobs`, only with webhooks or open jobs: `ok`; `<seconds> s behind`; `no process runs them: run python -m "
    "app.jobs`; `unknown` if the ledger is unavailable.\n"
    "- `audio`, only with `AUDIO_URL` or kept files: `ok`; `unknown` before the first check has ended; otherwise the "
    "error's `code`.\n"
    "- `metrics`, only if they are off: `off`.\n"
    "- `settings`, only after a reload with wrong settings: `stale: <what is wrong>`.\n\n"
    "Only `session` and `ledger` decide whether the reply is 200 or 503."
}


class Ready(Alive):
    """A split could be served now."""

    checks = fields.Dict(keys=fields.String(), values=fields.String(), required=True, metadata=_CHECKS)


class NotReady(Error):
    """A split could not be served now, and why."""

    checks = fields.Dict(keys=fields.String(), values=fields.String(), required=True, metadata=_CHECKS)


NAMES_IN_REPLIES = frozenset(
    name
    for schema in (ListedStem, FullClip, AudioFile, SplitState, CreditsLeft, Download, ZipAddress, Error)
    for name in schema().dump_fields
)
