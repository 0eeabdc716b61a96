"""Schemas of a song in time."""

from __future__ import annotations

from marshmallow import fields
from marshmallow.validate import OneOf

from app.web.fields import song_id
from app.web.schemas import Schema
from app.web.words import SESSION_FORMATS

SESSION_FORMAT_MISSING = "format must be wav or mp3."

EXAMPLE_WORDS = [
    {"word": "[Verse]\nI ", "start_s": 12.41, "end_s": 12.6, "success": True, "p_align": 0.98},
    {"word": "follow ", "start_s": 12.66, "end_s": 13.1, "success": True, "p_align": 0.95},
]
EXAMPLE_LYRICS = {
    "lines": [
        {
            "text": "I follow",
            "start_s": 12.41,
            "end_s": 13.1,
            "section": "Verse",
            "words": [
                {"text": "I ", "start_s": 12.41, "end_s": 12.6, "placed": True},
                {"text": "follow", "start_s": 12.66, "end_s": 13.1, "placed": True},
            ],
        }
    ]
}
EXAMPLE_LRC = "[ti:Ocean Wanderer]\n[length:03:03]\n[00:12.41]<00:12.41>I <00:12.66>follow<00:13.10>\n"
EXAMPLE_BEATS = {
    "bpm": 120.0,
    "steady": True,
    "beats_per_bar": 4,
    "beats": [[0.52, 1], [1.02, 2]],
    "sections": [{"at": 12.4, "name": "Verse"}],
}


class LyricsQuery(Schema):
    """The query of `GET /api/get_aligned_lyrics`."""

    song_id = song_id("song_id", description="The id of a song or stem, or the address of its page.")


class BeatsQuery(Schema):
    """The query of `GET /api/beats`."""

    song_id = song_id("audio_id", data_key="audio_id", description="The id of a song or stem, or its page's address.")


class SessionQuery(Schema):
    """Which song's session, and the format of its files."""

    song_id = song_id("audio_id", data_key="audio_id", description="The id of a song, or its page's address.")
    format = fields.String(
        required=True,
        validate=OneOf(SESSION_FORMATS, error=SESSION_FORMAT_MISSING),
        error_messages=dict.fromkeys(("required", "null", "invalid"), SESSION_FORMAT_MISSING),
        metadata={"description": "The format in which the stems were fetched. Not every program reads M4A."},
    )


def _seconds(description: str, *, nullable: bool = False) -> fields.Float:
    return fields.Float(required=True, allow_none=nullable, metadata={"description": description})


class AlignedWordSchema(Schema):
    """A word as Suno aligns it."""

    word = fields.String(
        required=True, metadata={"description": "It may hold line breaks, a following space, or a section's tag."}
    )
    start_s = _seconds("Seconds; null if Suno sends no time.", nullable=True)
    end_s = _seconds("Seconds; null if Suno sends no time.", nullable=True)
    success = fields.Boolean(required=True, metadata={"description": "Whether Suno found the word in the song."})
    p_align = fields.Float(required=True, allow_none=True, metadata={"description": "Suno's certainty."})


class LyricsWord(Schema):
    """A word of a line."""

    text = fields.String(required=True, metadata={"description": "With its following space, if there is one."})
    start_s = _seconds("Seconds.")
    end_s = _seconds("Seconds.")
    placed = fields.Boolean(
        required=True, metadata={"description": "False: Suno could not find it; its time is a guess."}
    )


class LyricsLine(Schema):
    """A line of the lyrics."""

    text = fields.String(required=True, metadata={"description": "The line as one text."})
    start_s = _seconds("Seconds.")
    end_s = _seconds("Seconds.")
    section = fields.String(
        required=True, allow_none=True, metadata={"description": "The section's tag, without brackets."}
    )
    words = fields.List(fields.Nested(LyricsWord), required=True, metadata={"description": "At least one."})


class Lyrics(Schema):
    """The lyrics of a song in time."""

    lines = fields.List(fields.Nested(LyricsLine), required=True, metadata={"description": "In order of time."})


class SongSection(Schema):
    """A place where the song changes."""

    at = _seconds("Seconds.")
    name = fields.String(
        required=True, allow_none=True, metadata={"description": "From the lyrics; null if unknown."}
    )


class SongBeats(Schema):
    """The beats, bars and sections of a song."""

    bpm = fields.Float(required=True, allow_none=True, metadata={"description": "Beats per minute."})
    steady = fields.Boolean(
        required=True,
        allow_none=True,
        metadata={"description": "Whether 90 % of the intervals are within 6 % of the median."},
    )
    beats_per_bar = fields.Integer(
        required=True, allow_none=True, metadata={"description": "Null if Suno does not tell where bars begin."}
    )
    beats = fields.List(
        fields.List(fields.Float(allow_none=True)),
        required=True,
        metadata={"description": "`[seconds, place in the bar]`; the place counts from 1, and is null if unknown."},
    )
    sections = fields.List(fields.Nested(SongSection), required=True, metadata={"description": "In order of time."})
