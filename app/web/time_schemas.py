"""Schemas of a song in time."""

from __future__ import annotations

from marshmallow import fields
from marshmallow.validate import OneOf

from app.web.fields import field, song_id
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

    word = field(fields.String, "It may hold line breaks, a following space, or a section's tag.")
    start_s = _seconds("Seconds; null if Suno sends no time.", nullable=True)
    end_s = _seconds("Seconds; null if Suno sends no time.", nullable=True)
    success = field(fields.Boolean, "Whether Suno found the word in the song.")
    p_align = field(fields.Float, "Suno's certainty.", null=True)


class LyricsWord(Schema):
    """A word of a line."""

    text = field(fields.String, "With its following space, if there is one.")
    start_s = _seconds("Seconds.")
    end_s = _seconds("Seconds.")
    placed = field(fields.Boolean, "False: Suno could not find it; its time is a guess.")


class LyricsLine(Schema):
    """A line of the lyrics."""

    text = field(fields.String, "The line as one text.")
    start_s = _seconds("Seconds.")
    end_s = _seconds("Seconds.")
    section = field(fields.String, "The section's tag, without brackets.", null=True)
    words = field(fields.List, "At least one.", fields.Nested(LyricsWord))


class Lyrics(Schema):
    """The lyrics of a song in time."""

    lines = field(fields.List, "In order of time.", fields.Nested(LyricsLine))


class SongSection(Schema):
    """A place where the song changes."""

    at = _seconds("Seconds.")
    name = field(fields.String, "From the lyrics; null if unknown.", null=True)


class SongBeats(Schema):
    """The beats, bars and sections of a song."""

    bpm = field(fields.Float, "Beats per minute.", null=True)
    steady = field(fields.Boolean, "Whether 90 % of the intervals are within 6 % of the median.", null=True)
    beats_per_bar = field(fields.Integer, "Null if Suno does not tell where bars begin.", null=True)
    beats = field(
        fields.List,
        "`[seconds, place in the bar]`; the place counts from 1, and is null if unknown.",
        fields.List(fields.Float(allow_none=True)),
    )
    sections = field(fields.List, "In order of time.", fields.Nested(SongSection))
