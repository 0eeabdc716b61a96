"""The small files beside the stems in a song's ZIP: what is known of them, the words, the tempo, a REAPER project."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from app.audio.facts import SongMeasures
from app.audio.files import Details, short_title
from app.audio.timeline import SongInTime
from app.music.beats import Beats, tempo_map_of
from app.music.dawproject import metadata_xml_of, project_xml_of
from app.music.lrc import lrc_of
from app.music.midi import midi_of
from app.music.reaper import reaper_of
from app.music.session import Session, Track

USUAL_RATE, USUAL_CHANNELS = 48_000, 2
"""Of Suno's files, for one that was not measured."""

OF_SET = ("take", "same_length", "lag_ms", "residual_dbfs")
"""What `stems.json` says of a set that was compared with the original."""


def companions_of(
    about: SongInTime, stems: Sequence[Details], files: Mapping[str, str], measured: SongMeasures
) -> Iterator[tuple[str, bytes]]:
    """Names and contents of the small files. `files`: the stems' file names by their ids.

    What is known makes the same bytes each time: a download can be resumed.
    """
    yield "stems.json", _json(described(about, stems, files, measured))
    title = about.song.title
    if about.lines:
        yield "lyrics.lrc", _text(lrc_of(about.lines, title=title, length=about.song.duration))
    session = session_of(about, stems, files, measured)
    if session.tempo_map:
        yield "tempo.mid", midi_of(session.tempo_map, about.sections, about.lines, title=title)
    yield f"{short_title(title)}.rpp", _text(reaper_of(session))


def dawproject_of(
    about: SongInTime, clips: Sequence[Details], files: Mapping[str, str], measured: SongMeasures, *, version: str
) -> Iterator[tuple[str, bytes]]:
    """Names and contents of the small files of a DAWproject file. `version`: of this service."""
    session = session_of(about, clips, files, measured)
    yield "project.xml", project_xml_of(session, version=version)
    yield "metadata.xml", metadata_xml_of(session)


def session_of(
    about: SongInTime, clips: Sequence[Details], files: Mapping[str, str], measured: SongMeasures
) -> Session:
    """The song as a session. `files`: the clips' paths by their ids. The song itself is a muted track."""
    tracks = [_track(each, files[each.id], about, measured) for each in clips]
    return Session(
        short_title(about.song.title), tracks, tempo_map_of(about.beats), about.sections, bpm=about.bpm
    )  # fmt: skip


def described(
    about: SongInTime, stems: Sequence[Details], files: Mapping[str, str], measured: SongMeasures
) -> dict[str, object]:
    """What `stems.json` says: of the song, of each stem, and of each set that was compared with the original."""
    song = about.song
    return {
        "song_id": song.id,
        "title": song.title,
        "duration": song.duration,
        "key": song.key,
        **beats_as_json(about),
        "sets": [{name: getattr(each, name) for name in OF_SET} for each in measured.sets],
        "stems": [{**asdict(stem), **asdict(measured.of(stem.id)), "file": files[stem.id]} for stem in stems],
    }


def _track(clip: Details, file: str, about: SongInTime, measured: SongMeasures) -> Track:
    found = measured.of(clip.id)
    # At least as long as the beats if nobody has measured it.
    seconds = clip.duration or about.song.duration or max(about.beats.times, default=0.0)
    return Track(
        clip.track,
        file,
        found.seconds or seconds,
        sample_rate=found.sample_rate or USUAL_RATE,
        channels=found.channels or USUAL_CHANNELS,
        is_muted=clip.id == clip.song_id,
    )


def beats_as_json(about: SongInTime) -> dict[str, object]:
    """Tempo, beats and sections, as in `GET /api/beats`. What is not known is null or []."""
    beats: Beats = about.beats
    return {
        "bpm": about.bpm,
        "steady": beats.is_steady,
        "beats_per_bar": beats.beats_per_bar,
        "beats": list(zip(beats.times, beats.places or [None] * len(beats.times), strict=True)),
        "sections": [{"at": section.at, "name": section.name} for section in about.sections],
    }


def _json(value: Any) -> bytes:
    return json.dumps(value, indent=2, ensure_ascii=False).encode(errors="replace")


def _text(text: str) -> bytes:
    return text.encode(errors="replace")
