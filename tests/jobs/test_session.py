"""A song as a session: the files of musicians' programs, over real sockets."""

from __future__ import annotations

import io
import zipfile
from xml.etree import ElementTree as ET

import mido
import pytest
import rpp

from sandbox.clicks import RHYTHMS
from tests.asserts import assert_error
from tests.conftest import SONG, Suno
from tests.jobs.audio import (
    audio_settings as settings,  # noqa: F401 (a fixture)
)
from tests.jobs.audio import fetch, split, wait_for_files
from tests.jobs.conftest import Service
from tests.music.test_files import bar_times, dawproject_bars, reaper_bars

PATH = f"/api/session.dawproject?audio_id={SONG}&format=wav"


def tracks_of(project: ET.Element) -> list[tuple[str | None, str | None]]:
    """Name and mute of each track, without the master."""
    listed = project.findall("Structure/Track")
    return [
        (each.get("name"), mute.get("value")) for each in listed if (mute := each.find("Channel/Mute")) is not None
    ]


def test_a_dawproject_has_the_kept_stems_on_the_song_s_bars(deployed: Service, suno: Suno) -> None:
    split(deployed)
    files = wait_for_files(deployed, audio_id=SONG)
    reply = deployed.client.get(PATH)

    assert reply.headers["Content-Disposition"] == 'attachment; filename="Ocean Wanderer.dawproject"'
    assert int(reply.headers["Content-Length"]) == len(reply.content)
    zipped = zipfile.ZipFile(io.BytesIO(reply.content))
    assert zipped.testzip() is None
    assert zipped.namelist() == ["project.xml", "metadata.xml", "audio/Vocals.wav", "audio/Instrumental.wav"]
    kept = {file["filename"].removeprefix("Ocean Wanderer - "): fetch(deployed, file).content for file in files}
    assert {name: zipped.read(f"audio/{name}") for name in kept} == kept
    project = ET.fromstring(zipped.read("project.xml"))
    assert tracks_of(project) == [("Vocals", "false"), ("Instrumental", "false")]
    paths = [file.get("path") for file in project.iter("File")]
    assert set(paths) <= set(zipped.namelist())
    assert [each.get("name") for each in project.iter("Marker")] == ["Verse", "Chorus"]
    assert [float(each.get("value", 0)) for each in project.iter("RealPoint")] == [120.0]
    suno.forget()
    assert deployed.client.get(PATH).content == reply.content
    assert suno.log() == []


def test_the_original_is_a_muted_track_if_it_is_kept(deployed: Service) -> None:
    split(deployed)
    wait_for_files(deployed, ids=[SONG])
    zipped = zipfile.ZipFile(io.BytesIO(deployed.client.get(PATH).content))

    assert "audio/Original.wav" in zipped.namelist()
    assert tracks_of(ET.fromstring(zipped.read("project.xml"))) == [
        ("Vocals", "false"),
        ("Instrumental", "false"),
        ("Original", "true"),
    ]


def test_a_session_needs_every_stem_in_a_format_that_programs_read(deployed: Service) -> None:
    split(deployed)
    missing = assert_error(deployed.client.get(PATH.replace("wav", "mp3")), 409, "audio_incomplete")
    assert "2 are not kept as mp3" in missing["error"]
    refused = assert_error(deployed.client.get(PATH.replace("wav", "m4a")), 400, "invalid_request")
    assert "wav or mp3" in refused["error"]
    unknown = deployed.client.get("/api/session.dawproject?audio_id=nobody&format=wav")
    assert_error(unknown, 404, "song_not_found")


def test_every_bar_line_of_eight_minutes_is_at_suno_s_beat_in_the_files_as_they_are_sent(
    deployed: Service, suno: Suno
) -> None:
    """The song's time is read while it is eight minutes long; its files are shorter, to be fetched quickly."""
    song, minutes = "song-changing-tempo", 8
    suno.set(audio_length=60 * minutes)
    beats = deployed.client.get(f"/api/beats?audio_id={song}").json()["beats"]
    suno.set(audio_length=4)
    split(deployed, audio_id=song)
    wait_for_files(deployed, audio_id=song)
    stems = zipfile.ZipFile(io.BytesIO(deployed.client.get(f"/api/stems.zip?audio_id={song}&format=wav").content))
    sent = {name.rpartition(".")[2]: stems.read(name) for name in stems.namelist()}
    dawproject = deployed.client.get(f"/api/session.dawproject?audio_id={song}&format=wav").content
    project = ET.fromstring(zipfile.ZipFile(io.BytesIO(dawproject)).read("project.xml"))

    bars = RHYTHMS["changing"].bars(60 * minutes)
    assert [at for at, place in beats if place == 1] == pytest.approx(bars, abs=0.0001)
    assert bars[-1] > 475
    found = {
        "mid": bar_times(mido.MidiFile(file=io.BytesIO(sent["mid"]))),
        "rpp": reaper_bars(rpp.loads(sent["rpp"].decode())),
        "dawproject": dawproject_bars(project),
    }
    one_tick = 60 / 140 / 960
    for name, within in (("mid", one_tick), ("rpp", 0.001), ("dawproject", 0.001)):
        assert found[name][1 : len(bars) + 1] == pytest.approx(bars, abs=within), name
