"""A song in time: its words, beats and sections."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from flask import Response, request

from app.audio.timeline import Subject
from app.music.lrc import lrc_of
from app.music.subtitles import Subtitles, subtitles_of
from app.music.words import Line
from app.web.api import FREE_READ, Blueprint
from app.web.audio import song_name, timeline_of
from app.web.errors import ErrorCode, NoLyrics
from app.web.sending import attach
from app.web.suno_account import account_of_request
from app.web.time_schemas import (
    EXAMPLE_BEATS,
    EXAMPLE_LRC,
    EXAMPLE_LYRICS,
    EXAMPLE_WORDS,
    AlignedWordSchema,
    BeatsQuery,
    Lyrics,
    LyricsQuery,
    SongBeats,
)

blueprint = Blueprint("song_time", __name__, url_prefix="/api", description="Words, beats and sections of a song")

LYRICS_TYPES = {"lrc": "text/plain", "srt": "text/srt", "vtt": "text/vtt", "ass": "text/x-ssa"}
"""The formats of lyrics and their media types. Only WebVTT's is registered."""

LYRICS_ID = {"name": "id", "in": "path", "description": "The id of a song or stem.", "schema": {"type": "string"}}
LYRICS_FORMAT = {
    "name": "format",
    "in": "path",
    "description": "`lrc`: with word times. `srt`, `vtt`: a cue for each line. `ass`: with karaoke times.",
    "schema": {"type": "string", "enum": list(LYRICS_TYPES)},
}
TEXT_SCHEMA = {"type": "string"}


@blueprint.route("/get_aligned_lyrics", methods=["GET"])
@blueprint.arguments(LyricsQuery, location="query", as_kwargs=True)
@blueprint.response(
    200, AlignedWordSchema(many=True), description="The words; [] for an instrumental.", example=EXAMPLE_WORDS
)
@blueprint.doc(operationId="getAlignedLyrics")
@blueprint.fails_with(*FREE_READ, ErrorCode.INVALID_REQUEST)
def get_aligned_lyrics(song_id: str) -> Response:
    """Get the words of a song in time, as gcui-art/suno-api does.

    Free. The words are as Suno aligns them: not cleaned, and in its order. `GET /api/lyrics/{id}.json` has lines.
    """
    timeline = timeline_of(account_of_request())
    words = timeline.words(timeline.subject(song_id)).words
    return _json(
        [
            {
                "word": word.text,
                "start_s": word.start,
                "end_s": word.end,
                "success": word.placed,
                "p_align": word.certainty,
            }
            for word in words
        ]
    )


@blueprint.route("/lyrics/<clip:id>.json", methods=["GET"], parameters=[LYRICS_ID])
@blueprint.response(200, Lyrics, description="The lines and words.", example=EXAMPLE_LYRICS)
@blueprint.doc(operationId="getLyrics")
@blueprint.fails_with(*FREE_READ, ErrorCode.NO_LYRICS)
def get_lyrics(id: str) -> Response:
    """Get the lyrics of a song in time, as lines and words.

    Free. No word ends before it begins, and none begins before the one ahead of it. A word that Suno could not find
    in the song has `placed: false` and a time between its neighbours.
    """
    _, lines = _lyrics_of(id)
    return _json({"lines": [_line(line) for line in lines]})


@blueprint.route(
    "/lyrics/<clip:id>.<any(lrc, srt, vtt, ass):format>", methods=["GET"], parameters=[LYRICS_ID, LYRICS_FORMAT]
)
@blueprint.response(200, TEXT_SCHEMA, content_type="text/*", description="The file.", example=EXAMPLE_LRC)
@blueprint.doc(operationId="getLyricsFile")
@blueprint.fails_with(*FREE_READ, ErrorCode.NO_LYRICS)
def get_lyrics_file(id: str, format: str) -> Response:
    """Download the lyrics of a song in time, as a file for players and video programs.

    Free. LRC has a time for each word; SRT and WebVTT have a cue for each line; ASS has karaoke times.
    """
    song, lines = _lyrics_of(id)
    response = Response(_written(format, lines, song), mimetype=LYRICS_TYPES[format])
    attach(response, f"{song_name(song.title)}.{format}", song.id)
    return _validated(response)


@blueprint.route("/beats", methods=["GET"])
@blueprint.arguments(BeatsQuery, location="query", as_kwargs=True)
@blueprint.response(200, SongBeats, description="The beats, in order of time.", example=EXAMPLE_BEATS)
@blueprint.doc(operationId="getBeats")
@blueprint.fails_with(*FREE_READ, ErrorCode.INVALID_REQUEST)
def get_beats(song_id: str) -> Response:
    """Get the beats, bars and sections of a song.

    Free. What is not known is null or []. A section's name comes from the lyrics, if their section begins within two
    seconds.
    """
    timeline = timeline_of(account_of_request())
    song = timeline.subject(song_id)
    beats, lines = timeline.beats(song), timeline.lines(song)
    places = beats.places or [None] * len(beats.times)
    return _json(
        {
            "bpm": beats.bpm,
            "steady": beats.is_steady,
            "beats_per_bar": beats.beats_per_bar,
            "beats": list(zip(beats.times, places, strict=True)),
            "sections": [{"at": each.at, "name": each.name} for each in timeline.sections(song, lines)],
        }
    )


def _lyrics_of(id: str) -> tuple[Subject, Sequence[Line]]:
    """The song and its lines. Raises NoLyrics."""
    timeline = timeline_of(account_of_request())
    song = timeline.subject(id)
    if lines := timeline.lines(song):
        return song, lines
    raise NoLyrics("Suno has no words in time for this song: it is an instrumental, or it is not aligned yet.")


def _written(format: str, lines: Sequence[Line], song: Subject) -> str:
    if format == "lrc":
        return lrc_of(lines, title=song.title, length=song.duration)
    return subtitles_of(lines, Subtitles(format), title=song.title)


def _line(line: Line) -> dict[str, object]:
    words = [
        {"text": word.text, "start_s": word.start, "end_s": word.end, "placed": word.placed} for word in line.words
    ]
    return {
        "text": line.text, "start_s": line.start, "end_s": line.end, "section": line.section, "words": words,
    }  # fmt: skip


def _json(value: Any) -> Response:
    return _validated(Response(json.dumps(value, separators=(",", ":")), mimetype="application/json"))


def _validated(response: Response) -> Response:
    """The response with an ETag, and 304 for a client that has it."""
    response.add_etag()
    response.headers["Cache-Control"] = "private, no-cache"
    response.make_conditional(request)
    return response
