"""Schemas of clips and their downloads."""

from __future__ import annotations

from marshmallow import fields
from marshmallow.validate import Range

from app.web.examples import EXAMPLE_CLIP, EXAMPLE_DOWNLOAD, EXAMPLE_SONG, EXAMPLE_STEMS
from app.web.fields import (
    ID_ALONE,
    LAST_PAGE,
    MAX_IDS,
    PART,
    SILENT,
    TAKE,
    Flag,
    Ids,
    Seconds,
    audio_format,
    field,
    song_id,
    text,
)
from app.web.schemas import Schema
from app.web.words import CLIP_STATUSES, FORMATS


class StemsQuery(Schema):
    """The song to list the stems of."""

    song_id = song_id("audio_id", data_key="audio_id", description="The id of a song in the Suno account.")


class ClipsQuery(Schema):
    """Which clips to get."""

    ids = Ids(
        fields.String(metadata={"pattern": ID_ALONE}),
        metadata={
            "description": "1 to 50 comma-separated ids of songs or stems. If left out: the account's own songs.",
            "minItems": 1,
            "maxItems": MAX_IDS,
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


class StemClip(Schema):
    """One stem of a song. Any field except `id` is null if Suno leaves it out."""

    id = field(fields.String, "The stem's own clip id.", example=EXAMPLE_STEMS[0]["id"])
    status = text(
        "Suno's status; `complete` and `error` are final. A new stem takes about a minute.",
        "complete",
        enum=[*CLIP_STATUSES, None],
    )
    created_at = text("When Suno made the clip, as ISO 8601 in UTC.", EXAMPLE_CLIP["created_at"], format="date-time")
    title = text("The song's title with the part's name.", EXAMPLE_CLIP["title"])
    stem_from_id = text("The id of the song that the stem is a part of.", EXAMPLE_SONG)
    duration = field(
        Seconds,
        "Length in seconds, as a decimal number in a string; null until Suno has measured it.",
        null=True,
        example="183.4",
    )


class ListedStem(StemClip):
    """One stem in the list of a song."""

    part = PART
    take = TAKE
    silent = SILENT


class FullClip(Schema):
    """A song or a stem in full. Any field except `id` is null if Suno has no value."""

    id = field(fields.String, "The clip's id.", example=EXAMPLE_CLIP["id"])
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
    duration = field(
        fields.Float,
        "Length in seconds, as a number; null until Suno has measured it.",
        null=True,
        example=EXAMPLE_CLIP["duration"],
    )
    error_message = text("Why Suno could not make it.", None)
    stem_from_id = text("Stems only: the id of the song.", EXAMPLE_SONG)
    part = PART
    take = TAKE
    bpm = field(fields.Float, "Songs only: beats per minute, on average.", null=True, example=120.0)
    key = text("Songs only: the musical key.", "C_major")
    download_unlocked = field(
        fields.Boolean, "Whether Suno has already counted the song's download.", null=True, example=False
    )
    silent = SILENT
    has_stems = field(
        fields.Boolean,
        "Songs only: whether Suno marks it as split. The mark may come some time after a split.",
        example=False,
    )


class Download(Schema):
    """The URL of a clip's audio."""

    id = field(fields.String, "The clip's id.", example=EXAMPLE_DOWNLOAD["id"])
    format = field(fields.String, "The requested format.", enum=FORMATS, example="mp3")
    download_url = text(
        "Where to download it for an hour, without an account; null if there is none yet.",
        EXAMPLE_DOWNLOAD["download_url"],
    )
    counted = field(
        fields.Boolean, "Whether Suno counted this request against the plan's downloads: once per song.", example=True
    )
