"""Schemas of kept files."""

from __future__ import annotations

from typing import Any

from marshmallow import ValidationError, fields, validates_schema
from marshmallow.validate import Length

from app.web.examples import EXAMPLE_FILE, EXAMPLE_SONG, EXAMPLE_ZIP
from app.web.fields import (
    ID_ALONE,
    ID_PATTERN,
    MAX_IDS,
    SIGNATURE,
    SILENT,
    Id,
    IdList,
    Ids,
    audio_format,
    count,
    field,
    song_id,
    text,
)
from app.web.measure_schemas import MeasuredFile
from app.web.schemas import Schema
from app.web.words import FILE_STATUSES, FORMATS


class AudioRequest(Schema):
    """Which files to fetch: of some clips, or of all stems of a song."""

    ids = IdList(
        Id("ids", metadata={"pattern": ID_PATTERN}),
        validate=Length(min=1, max=MAX_IDS, error=f"ids must be 1 to {MAX_IDS} ids."),
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
        fields.String(metadata={"pattern": ID_ALONE}),
        metadata={
            "description": "1 to 50 comma-separated ids of its stems. If left out: all.",
            "minItems": 1,
            "maxItems": MAX_IDS,
        },
    )
    token = field(fields.String, SIGNATURE, required=False)


class ZipRequest(Schema):
    """Which stems to pack, and the format."""

    song_id = song_id("audio_id", data_key="audio_id", description="The id of a song.")
    format = audio_format("format", "The format in which they were fetched.", required=True)
    ids = IdList(
        Id("ids", metadata={"pattern": ID_PATTERN}),
        validate=Length(min=1, max=MAX_IDS, error=f"ids must be 1 to {MAX_IDS} ids."),
        error_messages={"null": "ids must not be null.", "invalid": "ids must be a list of ids."},
        metadata={"description": "Ids of its stems. If left out: all.", "example": [EXAMPLE_FILE["id"]]},
    )


class ZipAddress(Schema):
    """Where to download a ZIP."""

    url = field(
        fields.String,
        "Its URL. If the operator has set LINK_SECRET, it works for a day without API key and cookie.",
        format="uri",
        example=EXAMPLE_ZIP["url"],
    )
    filename = field(fields.String, "A readable name for it.", example=EXAMPLE_ZIP["filename"])
    bytes = field(fields.Integer, "Its size in bytes.", example=EXAMPLE_ZIP["bytes"])


class ClipFile(Schema):
    """A file of a clip and its status."""

    id = field(fields.String, "The clip's id.", example=EXAMPLE_FILE["id"])
    format = field(fields.String, "The requested format.", enum=FORMATS, example="wav")
    status = field(fields.String, "The file's status.", enum=FILE_STATUSES, example="kept")
    url = text(
        "Where to download it, once it is kept. If the operator has set LINK_SECRET, the URL works for a day "
        "without API key and cookie.",
        EXAMPLE_FILE["url"],
    )
    bytes = count("Its size in bytes, once it is kept.", 61_440_044)
    filename = field(fields.String, "A readable name for the file.", example=EXAMPLE_FILE["filename"])
    error = text("Why it was not fetched; null if it is kept. With `fetching`: why it is tried again.", None)
    silent = SILENT


class AudioFile(MeasuredFile, ClipFile):
    """A file, its status and its measures."""


class PeaksSchema(Schema):
    """A waveform in audiowaveform's JSON format, version 2, which players can read."""

    version = field(fields.Integer, "The version of the format: 2.", example=2)
    channels = field(fields.Integer, "1: all channels are mixed.", example=1)
    sample_rate = field(fields.Integer, "Samples per second.", example=48_000)
    samples_per_pixel = field(fields.Integer, "Samples per pair.", example=8_803)
    bits = field(fields.Integer, "Bits per number.", example=16)
    length = field(fields.Integer, "The number of pairs.", example=1_000)
    data = field(fields.List, "The lowest and the highest sample of each pair, alternating.", fields.Integer())
