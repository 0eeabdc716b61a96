"""What callers send and what they get."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import marshmallow
from marshmallow import EXCLUDE, ValidationError, fields, validates_schema
from marshmallow.validate import Length, OneOf, Range, Regexp
from webargs.fields import DelimitedList

from app.splits.store import State
from app.suno.feed import DEEPEST
from app.suno.stems import StemTask
from app.web.errors import ErrorCode

_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")
_SONG_PAGE = re.compile(r"https?://(?:www\.)?suno\.com/song/([A-Za-z0-9_-]{1,128})/?(?:[?#].*)?", re.IGNORECASE)
_SHORT_LINK = re.compile(r"https?://(?:www\.)?suno\.com/s/", re.IGNORECASE)
_ID_ALONE = r"^[A-Za-z0-9_-]{1,128}$"
ID_PATTERN = r"^([A-Za-z0-9_-]{1,128}|https?://(www\.)?suno\.com/song/[A-Za-z0-9_-]{1,128}/?([?#].*)?)$"
MOST_IDS = 50

CLIP_STATUSES = ["submitted", "queued", "streaming", "complete", "error"]
FILE_STATUSES = ["kept", "fetching", "failed"]
FORMATS = ["mp3", "m4a", "wav"]
WEBHOOK_STATES = ["following", "fetching", "delivering", "delivered", "given_up"]
ALIVE = ["ok"]


class Words(NamedTuple):
    """What a text can be, wherever it comes; the spec has it once, under a name of its own."""

    description: str
    values: Sequence[str]


WORDS = {
    "ClipStatus": Words("How far Suno is with a clip: `complete` and `error` are final.", CLIP_STATUSES),
    "StemTask": Words(
        "`two`: voice and music, or the part of `stem_name` and the rest (10 credits, as reported in 2026); "
        "`twelve`: every instrument (50 credits).",
        [task.value for task in StemTask],
    ),
    "AudioFormat": Words("The formats that Suno has.", FORMATS),
    "FileStatus": Words(
        "`kept`: it can be fetched here; `fetching`: it is on its way; `failed`: see `error`.", FILE_STATUSES
    ),
    "SplitProgress": Words(
        "`started`: Suno is being asked; `done`: paid for, with its stems; `in_doubt`: perhaps charged, without an "
        "answer (the same request with the same Idempotency-Key finds out).",
        [state.value for state in State],
    ),
    "WebhookProgress": Words(
        "`following`: the stems are not final; `fetching`: their files are not kept; `delivering`: it is sent until "
        "it is taken; `delivered`; `given_up`.",
        WEBHOOK_STATES,
    ),
    "AliveStatus": Words("Always `ok`.", ALIVE),
    "ErrorCode": Words("The stable name of a failure.", [code.slug for code in ErrorCode]),
}
"""By their names in the spec, which generated clients take over."""

EXAMPLE_SONG = "c3d4e5f6-a7b8-9012-cdef-123456789012"
EXAMPLE_SPLITS = {
    "two": {"summary": "Vocals and instrumental", "value": {"audio_id": EXAMPLE_SONG}},
    "wait": {"summary": "Answer when they are complete", "value": {"audio_id": EXAMPLE_SONG, "wait_audio": True}},
    "twelve": {"summary": "Every instrument", "value": {"audio_id": EXAMPLE_SONG, "stem_task": "twelve"}},
    "webhook": {
        "summary": "Tell a webhook when they are complete",
        "value": {"audio_id": EXAMPLE_SONG, "webhook_url": "https://n8n.example.com/webhook/stems"},
    },
    "audio": {
        "summary": "Fetch and keep the files too",
        "value": {"audio_id": EXAMPLE_SONG, "wait_audio": True, "audio_format": "wav"},
    },
    "reuse": {
        "summary": "Pay only for what is not there yet",
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
    stem | {"part": part, "take": 1} for stem, part in zip(EXAMPLE_STEMS, ("vocals", "instrumental"), strict=True)
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
}
EXAMPLE_FILE = {
    "id": "d4e5f6a7-b8c9-0123-defa-234567890123",
    "format": "wav",
    "status": "kept",
    "url": "https://stems.example.com/api/audio/d4e5f6a7-b8c9-0123-defa-234567890123.wav?token=WyI0…",
    "bytes": 61440044,
    "filename": "Ocean Wanderer - Vocals.wav",
    "error": None,
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
    "description": "Signs the address: it is in those that this service hands out.",
    "schema": {"type": "string"},
}
EXAMPLE_SPLIT_STATE = {"state": "done", "clips": EXAMPLE_STEMS}
EXAMPLE_DOWNLOAD = {
    "id": EXAMPLE_SONG,
    "format": "mp3",
    "download_url": f"https://cdn.example/{EXAMPLE_SONG}.mp3",
    "counted": True,
}


def song_id(name: str, *, data_key: str | None = None, description: str, required: bool = True) -> fields.String:
    """Make a required field for an id, or the address of a song's page; its errors call it `name`.

    Nothing that could be more than one segment of a path is an id: on it depends that a request reaches that song
    alone, and not another of Suno's paid calls.
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
    """An id of a song or stem, or the address of a song's page, from which the id is taken."""

    def __init__(self, name: str, **how: Any) -> None:
        super().__init__(**how)
        self._name = name

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Any:
        text = super()._deserialize(value, attr, data, **kwargs)
        if page := _SONG_PAGE.fullmatch(text):
            return page[1]
        if _SHORT_LINK.match(text):
            raise ValidationError(
                f"{self._name} is a short link: open it in a browser and copy the long address of the song's page."
            )
        if not _ID.fullmatch(text):
            raise ValidationError(
                f"{self._name} must be 1 to 128 of the characters A-Z a-z 0-9 _ and -, or the address of a song's "
                "page: https://suno.com/song/…"
            )
        return text


def text(description: str, example: Any, **metadata: Any) -> fields.String:
    """Make a field of an answer that is null where Suno has nothing."""
    return fields.String(
        required=True, allow_none=True, metadata={"description": description, "example": example, **metadata}
    )


def count(description: str, example: int) -> fields.Integer:
    """Make a whole number of an answer that is null where Suno does not tell it."""
    return fields.Integer(required=True, allow_none=True, metadata={"description": description, "example": example})


def audio_format(name: str, description: str, *, required: bool = False) -> fields.String:
    """Make a field for one of the formats that Suno has."""
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
    """A number of seconds, told as text: 183.4 becomes "183.4"."""

    def _serialize(self, value: Any, attr: str | None, obj: Any, **kwargs: Any) -> str | None:
        return None if value is None else str(value)


class Flag(fields.Boolean):
    """True or false and nothing like it: what a caller means by "no" must not be guessed."""

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Any:
        if not isinstance(value, bool):
            raise ValidationError(f"{attr} must be true or false.")
        return value


class Ids(DelimitedList):
    """1 to 50 ids, with commas between or each in a parameter of its own; a wrong one is an error of the whole."""

    is_multiple = True  # webargs then gives every value of the parameter

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Any:
        texts = [value] if isinstance(value, str) else value
        ids = [id.strip() for text in texts for id in text.split(",")]
        if len(ids) > MOST_IDS or not all(_ID.fullmatch(id) for id in ids):
            raise ValidationError(
                f"{attr} must be 1 to {MOST_IDS} ids with commas between, each of 1 to 128 of the characters "
                "A-Z a-z 0-9 _ and -."
            )
        return ids


class IdList(fields.List[Any]):
    """A JSON list of 1 to 50 ids; a wrong one is an error of the whole."""

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Any:
        try:
            return super()._deserialize(value, attr, data, **kwargs)
        except ValidationError as error:
            messages = error.messages
            if isinstance(messages, dict):
                messages = list(dict.fromkeys(text for texts in messages.values() for text in texts))
            raise ValidationError(messages) from error


class Schema(marshmallow.Schema):
    """Ignores what it does not know, and says so in the spec."""

    class Meta:
        unknown = EXCLUDE


class SplitRequest(Schema):
    """Which song to split, and how."""

    song_id = song_id(
        "audio_id", data_key="audio_id", description="The id of a song in the Suno account that is charged."
    )
    wait_audio = Flag(
        load_default=False,
        metadata={
            "description": "Answer when every stem is `complete` or `error`, or after SUNO_WAIT_TIMEOUT (100 s) with "
            "the statuses as they are then.",
        },
    )
    task = fields.Enum(
        StemTask,
        by_value=True,
        data_key="stem_task",
        load_default=StemTask.TWO,
        error_messages={"unknown": 'stem_task must be "two" or "twelve".', "null": "stem_task must not be null."},
        metadata={
            "description": "Into what the song is taken apart.",
            "default": "two",
        },
    )
    stem_name = fields.String(
        validate=Regexp(r"^[ -~]{1,64}\Z", error="stem_name must be 1 to 64 printable ASCII characters."),
        error_messages={"null": "stem_name must not be null.", "invalid": "stem_name must be a string."},
        metadata={
            "description": "With `two`: the part to take out, as Suno's page names it (`Lead Vocal`, `Drum Kit`, "
            "`Bass`, …); the other stem is the rest. Suno judges which names there are.",
            "pattern": "^[ -~]{1,64}$",
        },
    )
    reuse_existing = Flag(
        load_default=False,
        metadata={
            "description": "Answer with the song's finished stems of this kind, for free, where it has a whole set; "
            "else split it.",
        },
    )

    webhook_url = fields.String(
        validate=Length(min=1, error="webhook_url must not be empty."),
        error_messages={"null": "webhook_url must not be null.", "invalid": "webhook_url must be a string."},
        metadata={
            "description": "Where to send a webhook (Standard Webhooks) once the stems are final: `stems.completed` "
            "or `stems.failed`. https, to a public host or one that the operator lists. Only with the operator's "
            "accounts.",
            "format": "uri",
            "example": "https://n8n.example.com/webhook/stems",
        },
    )

    audio_format = audio_format(
        "audio_format",
        "Fetch the stems as files too, and keep them: unlocks the song, which **counts as one of the month's "
        "downloads**. With `wait_audio` the reply comes when they are kept. Only with the operator's accounts.",
    )

    @validates_schema
    def _check_stem_name(self, data: dict[str, Any], **kwargs: Any) -> None:
        if data.get("stem_name") and data.get("task") is StemTask.TWELVE:
            raise ValidationError(
                'stem_name goes with stem_task "two": "twelve" takes out every part.', field_name="stem_name"
            )


class StemsQuery(Schema):
    """Of which song to list the stems."""

    song_id = song_id("audio_id", data_key="audio_id", description="The id of a song in the Suno account.")


class ClipsQuery(Schema):
    """Which clips to look at."""

    ids = Ids(
        fields.String(metadata={"pattern": _ID_ALONE}),
        metadata={
            "description": "1 to 50 ids of songs or stems, with commas between. Left out: the account's own songs.",
            "minItems": 1,
            "maxItems": MOST_IDS,
        },
    )
    page = fields.Integer(
        load_default=0,
        validate=Range(min=0, max=DEEPEST - 1, error=f"page must be a whole number from 0 to {DEEPEST - 1}."),
        error_messages={"invalid": f"page must be a whole number from 0 to {DEEPEST - 1}."},
        metadata={"description": "Which page of the account's songs, from 0. With `ids` it means nothing."},
    )


class ClipQuery(Schema):
    """Which clip to look at."""

    id = song_id("id", description="The id of a song or stem.")


class DownloadRequest(Schema):
    """Which audio to fetch."""

    id = song_id("id", description="The id of a complete song or stem.")
    format = audio_format("format", "WAV takes longer, and not every plan has it.", required=True)
    wait = Flag(
        load_default=False,
        metadata={"description": "Answer when the file is ready, or after SUNO_WAIT_TIMEOUT (100 s) with 202."},
    )


EXAMPLE_AUDIO = {
    "song": {"summary": "All stems of a song", "value": {"audio_id": EXAMPLE_SONG, "format": "mp3"}},
    "clips": {"summary": "Some clips", "value": {"ids": [EXAMPLE_SONG], "format": "wav"}},
}


class AudioRequest(Schema):
    """Which files to have fetched: those of some clips, or of all stems of a song."""

    ids = IdList(
        Id("ids", metadata={"pattern": ID_PATTERN}),
        validate=Length(min=1, max=MOST_IDS, error=f"ids must be 1 to {MOST_IDS} ids."),
        error_messages={"null": "ids must not be null.", "invalid": "ids must be a list of ids."},
        metadata={"description": "Ids of complete songs or stems: these, or `audio_id`.", "example": [EXAMPLE_SONG]},
    )
    song_id = song_id(
        "audio_id",
        data_key="audio_id",
        description="The id of a song: all of its stems, instead of `ids`.",
        required=False,
    )
    format = audio_format("format", "WAV takes longer, and not every plan has it.", required=True)

    @validates_schema
    def _check_one(self, data: dict[str, Any], **kwargs: Any) -> None:
        if ("ids" in data) == ("song_id" in data):
            raise ValidationError("Give either ids, of songs or stems, or audio_id, of a song.", field_name="ids")


class ZipQuery(Schema):
    """Of which song the stems, and in which format."""

    song_id = song_id("audio_id", data_key="audio_id", description="The id of a song.")
    format = audio_format("format", "As they were fetched.", required=True)
    ids = Ids(
        fields.String(metadata={"pattern": _ID_ALONE}),
        metadata={
            "description": "1 to 50 of its stems, with commas between. Left out: all.",
            "minItems": 1,
            "maxItems": MOST_IDS,
        },
    )


class Part(fields.String):
    """The part of a stem; null where it cannot be told, and on songs."""

    def _serialize(self, value: Any, attr: str | None, obj: Any, **kwargs: Any) -> str | None:
        return obj.part if obj.is_stem and obj.part else None


PART = Part(
    required=True,
    allow_none=True,
    metadata={
        "description": "Of a stem, the part in Suno's own name, in lower case; null where Suno does not tell.",
        "example": "vocals",
    },
)
TAKE = fields.Integer(
    required=True,
    allow_none=True,
    metadata={
        "description": "Of a stem, which take of its part it is, among those in this reply: 1 is the oldest.",
        "example": 1,
    },
)


class StemClip(Schema):
    """One stem of a song. Any field but `id` is null where Suno has left it out."""

    id = fields.String(
        required=True, metadata={"description": "The stem's own clip id.", "example": EXAMPLE_STEMS[0]["id"]}
    )
    status = text(
        "How far Suno is; `complete` and `error` are final. A new stem takes about a minute.",
        "complete",
        enum=[*CLIP_STATUSES, None],
    )
    created_at = text("When Suno made the clip, as ISO 8601 in UTC.", EXAMPLE_CLIP["created_at"], format="date-time")
    title = text("The song's title with the part's name.", EXAMPLE_CLIP["title"])
    stem_from_id = text("The song that the stem is a part of.", EXAMPLE_SONG)
    duration = Seconds(
        required=True,
        allow_none=True,
        metadata={
            "description": "Length in seconds, as a decimal number in a string; null until Suno has measured it.",
            "example": "183.4",
        },
    )


class ListedStem(StemClip):
    """One stem that a song has."""

    part = PART
    take = TAKE


class AudioFile(Schema):
    """A file, as far as it is."""

    id = fields.String(required=True, metadata={"description": "The clip's id.", "example": EXAMPLE_FILE["id"]})
    format = fields.String(
        required=True, metadata={"description": "As asked for.", "enum": FORMATS, "example": "wav"}
    )
    status = fields.String(
        required=True,
        metadata={
            "description": "How far it is.",
            "enum": FILE_STATUSES,
            "example": "kept",
        },
    )
    url = text(
        "Where to fetch it, once it is kept: for a day without API key and cookie, where the operator has set "
        "LINK_SECRET.",
        EXAMPLE_FILE["url"],
    )
    bytes = count("Its length, once it is kept.", 61_440_044)
    filename = fields.String(
        required=True,
        metadata={"description": "What a person would call it.", "example": EXAMPLE_FILE["filename"]},
    )
    error = text("Why it could not be fetched; null unless it has failed.", None)


class Peaks(Schema):
    """A waveform in the form of audiowaveform's JSON, version 2, which players know."""

    version = fields.Integer(required=True, metadata={"description": "Of the form: 2.", "example": 2})
    channels = fields.Integer(required=True, metadata={"description": "All mixed into one.", "example": 1})
    sample_rate = fields.Integer(required=True, metadata={"description": "Samples a second.", "example": 48_000})
    samples_per_pixel = fields.Integer(
        required=True, metadata={"description": "Samples that a pair stands for.", "example": 8_803}
    )
    bits = fields.Integer(required=True, metadata={"description": "Of each number.", "example": 16})
    length = fields.Integer(required=True, metadata={"description": "Pairs.", "example": 1_000})
    data = fields.List(
        fields.Integer(),
        required=True,
        metadata={"description": "The lowest and the highest sample of each, in turn."},
    )


class WebhookAttempt(Schema):
    """One time that a webhook was sent."""

    at = fields.String(required=True, metadata={"description": "When, in UTC.", "format": "date-time"})
    status = fields.Integer(
        required=True,
        allow_none=True,
        metadata={"description": "The receiver's HTTP status; null where none came.", "example": 200},
    )
    said = fields.String(
        required=True, metadata={"description": "Its first line, or why none came.", "example": "ok"}
    )


class WebhookState(Schema):
    """How far a split's webhook is."""

    state = fields.String(
        required=True,
        metadata={
            "description": "How far it is.",
            "enum": WEBHOOK_STATES,
            "example": "delivered",
        },
    )
    attempts = fields.List(fields.Nested(WebhookAttempt), required=True, metadata={"description": "So far."})
    next_at = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "When it is sent again; null where it is not, or at once.", "format": "date-time"},
    )


class SplitState(Schema):
    """What became of a split."""

    state = fields.Enum(
        State,
        by_value=True,
        required=True,
        metadata={
            "description": "How far it is.",
            "example": "done",
        },
    )
    clips = fields.List(
        fields.Nested(StemClip),
        required=True,
        metadata={"description": "What was paid for, as Suno first told it; empty unless it is `done`."},
    )
    webhook = fields.Nested(WebhookState, metadata={"description": "Only where one was asked for."})
    audio = fields.List(
        fields.Nested(AudioFile),
        metadata={"description": "Only where files were asked for; empty until the stems are complete."},
    )


class FullClip(Schema):
    """A song or a stem, with all that Suno tells of it. Any field but `id` is null where Suno has nothing."""

    id = fields.String(required=True, metadata={"description": "The clip's id.", "example": EXAMPLE_CLIP["id"]})
    title = text("The title.", EXAMPLE_CLIP["title"])
    image_url = text("The cover's address.", None)
    lyric = text("The lyrics, without blank lines.", None)
    audio_url = text("Where the audio streams from; mostly null since September 2026: see /api/download.", None)
    video_url = text("The video's address.", None)
    created_at = text("When Suno made the clip, as ISO 8601 in UTC.", EXAMPLE_CLIP["created_at"], format="date-time")
    model_name = text("Suno's model.", EXAMPLE_CLIP["model_name"])
    status = text("How far Suno is; `complete` and `error` are final.", "complete", enum=[*CLIP_STATUSES, None])
    gpt_description_prompt = text("What the song was described as.", None)
    prompt = text("The lyrics as they were given.", None)
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
    stem_from_id = text("Of a stem, the song that it is a part of.", EXAMPLE_SONG)
    part = PART
    take = TAKE
    bpm = fields.Float(
        required=True,
        allow_none=True,
        metadata={"description": "Of a song, beats a minute on average.", "example": 120.0},
    )
    key = text("Of a song, its key.", "C_major")
    download_unlocked = fields.Boolean(
        required=True,
        allow_none=True,
        metadata={"description": "Whether Suno has counted the song's download already.", "example": False},
    )


class BudgetLeft(Schema):
    """What a caller may still spend. A limit that the operator has not set is left out."""

    credits_per_day = fields.Integer(metadata={"description": "Credits in any 24 hours.", "example": 100})
    credits_left = fields.Integer(metadata={"description": "Credits of them that are left.", "example": 60})
    more_credits_in = fields.Integer(
        allow_none=True,
        metadata={"description": "Seconds until there are more; null where none were spent.", "example": 5400},
    )
    downloads_per_month = fields.Integer(metadata={"description": "Downloads in any 30 days.", "example": 5})
    downloads_left = fields.Integer(metadata={"description": "Downloads of them that are left.", "example": 5})
    more_downloads_in = fields.Integer(
        allow_none=True,
        metadata={"description": "Seconds until there are more; null where none were used.", "example": None},
    )


class CreditsLeft(Schema):
    """What a Suno account has left. Null is what Suno does not tell."""

    credits_left = fields.Integer(
        required=True,
        metadata={"description": "Credits that can be spent now.", "example": EXAMPLE_CREDITS["credits_left"]},
    )
    period = text("The plan's period.", EXAMPLE_CREDITS["period"])
    monthly_limit = count("Credits a month in the plan.", 2500)
    monthly_usage = count("Credits of them spent.", 2000)
    downloads_limit = count("Downloads a period in the plan.", 20)
    downloads_used = count("Downloads of them used; a song's stems share one.", 3)
    downloads_extra = count("Downloads bought by the piece that are left.", 0)
    can_split = fields.Boolean(
        required=True,
        allow_none=True,
        metadata={"description": "Whether the plan includes stems.", "example": True},
    )
    budget = fields.Nested(
        BudgetLeft, metadata={"description": "What the operator allows this API key; only where that has a limit."}
    )


class Download(Schema):
    """Where a clip's audio is."""

    id = fields.String(required=True, metadata={"description": "The clip's id.", "example": EXAMPLE_DOWNLOAD["id"]})
    format = fields.String(
        required=True, metadata={"description": "As asked for.", "enum": FORMATS, "example": "mp3"}
    )
    download_url = text(
        "Where to fetch it, without any account, for an hour; null while Suno prepares it.",
        EXAMPLE_DOWNLOAD["download_url"],
    )
    counted = fields.Boolean(
        required=True,
        metadata={
            "description": "Whether Suno counted this request against the plan's downloads: once for a song.",
            "example": True,
        },
    )


class Error(Schema):
    """The shape of every failure."""

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

    status = fields.String(required=True, metadata={"description": "Always `ok`.", "enum": ALIVE})


_CHECKS = {
    "description": "By part: `ok`, `not_configured` where there is nothing to look at, else the code of its error."
}


class Ready(Alive):
    """That a split could be served now."""

    checks = fields.Dict(keys=fields.String(), values=fields.String(), required=True, metadata=_CHECKS)


class NotReady(Error):
    """That a split could not be served now, and why."""

    checks = fields.Dict(keys=fields.String(), values=fields.String(), required=True, metadata=_CHECKS)
