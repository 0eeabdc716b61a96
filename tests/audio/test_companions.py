"""The small files of a ZIP, and the names in it."""

from __future__ import annotations

import io
import json
import unicodedata

import mido
import rpp
from hypothesis import given
from hypothesis import strategies as st

from app.audio.companions import companions_of
from app.audio.facts import SongMeasures
from app.audio.files import Details, distinct, folder_name, short_title
from app.audio.timeline import SongInTime, Subject
from app.music.beats import Section
from app.music.words import lines_of
from tests.music.test_beats import even
from tests.music.test_words import lyrics

ID = "c3d4e5f6-a7b8-9012-cdef-123456789012"
SONG = Subject(ID, "Ocean Wanderer", 60.5, is_complete=True, bpm=130.05, key="C_major")
NOTHING = SongMeasures()
LINES = lines_of(lyrics(("[Verse]\nOver ", 1.0, 1.4), ("water", 1.5, 2.2)))
WHOLE = SongInTime(SONG, LINES, even(120, bpm=129), (Section(1.0, "Verse"), Section(50.0, None)))


def stem(id: str = "stem", part: str | None = "vocals", take: int = 1, seconds: float | None = 60.5) -> Details:
    return Details(id, ID, "Ocean Wanderer", None, part, take, None, seconds)


def small_files(about: SongInTime, *stems: Details, measured: SongMeasures = NOTHING) -> dict[str, bytes]:
    return dict(companions_of(about, stems, {each.id: f"{each.track}.wav" for each in stems}, measured))


def test_a_song_in_time_has_words_tempo_and_a_project() -> None:
    files = small_files(WHOLE, stem(), stem("other", "drums", 2))

    assert list(files) == ["stems.json", "lyrics.lrc", "tempo.mid", "Ocean Wanderer.rpp"]
    assert b"<00:01.50>water" in files["lyrics.lrc"]
    markers = [each.text for each in mido.MidiFile(file=io.BytesIO(files["tempo.mid"])) if each.type == "marker"]
    assert markers == ["Verse", "Section 2"]
    project = rpp.loads(files["Ocean Wanderer.rpp"].decode())
    sources = [track.find("ITEM").find("SOURCE").find("FILE")[1] for track in project.findall("TRACK")]
    assert sources == ["Vocals.wav", "Drums (take 2).wav"]


def test_stems_json_has_the_song_s_tempo_and_each_stem() -> None:
    about = json.loads(small_files(WHOLE, stem())["stems.json"])

    assert {name: about[name] for name in ("song_id", "title", "bpm", "key", "steady", "beats_per_bar")} == {
        "song_id": ID,
        "title": "Ocean Wanderer",
        "bpm": 129.0,
        "key": "C_major",
        "steady": True,
        "beats_per_bar": 4,
    }
    assert about["beats"][0] == [0.5, 1]
    assert about["sections"] == [{"at": 1.0, "name": "Verse"}, {"at": 50.0, "name": None}]
    assert [(each["id"], each["file"]) for each in about["stems"]] == [("stem", "Vocals.wav")]


def test_what_is_not_known_is_left_out() -> None:
    files = small_files(SongInTime(Subject(ID, None, None, is_complete=False)), stem(seconds=None))

    assert list(files) == ["stems.json", "Untitled.rpp"]
    assert json.loads(files["stems.json"])["beats"] == []


def test_the_tempo_map_is_whole_even_if_the_files_are_shorter() -> None:
    whole, short = (small_files(WHOLE, stem(seconds=seconds)) for seconds in (60.5, 3.0))

    assert short["tempo.mid"] == whole["tempo.mid"]
    points, markers = (
        [rpp.loads(files["Ocean Wanderer.rpp"].decode()) for files in (whole, short)] for _ in range(2)
    )
    assert len({len(project.find("TEMPOENVEX").findall("PT")) for project in points}) == 1
    assert [len(project.findall("MARKER")) for project in markers] == [2, 2]


def test_the_same_song_makes_the_same_bytes() -> None:
    assert small_files(WHOLE, stem()) == small_files(WHOLE, stem())


def test_a_folder_has_tempo_key_and_the_beginning_of_the_id() -> None:
    assert folder_name("Ocean Wanderer", ID, bpm=129.4, key="C_major") == "Ocean Wanderer [129 BPM, C major] c3d4e5f6"
    assert folder_name("Ocean Wanderer", ID, key="F#_minor") == "Ocean Wanderer [F# minor] c3d4e5f6"
    assert folder_name("Ocean Wanderer", ID, bpm=1e9, key="../x") == "Ocean Wanderer c3d4e5f6"
    assert folder_name(None, ID, bpm=88.2) == "Untitled [88 BPM] c3d4e5f6"
    assert folder_name("x" * 80, ID) == "x" * 60 + " c3d4e5f6"


def test_a_file_in_a_zip_has_its_part_and_take_alone() -> None:
    assert stem(part="lead vocal").track == "Lead Vocal"
    assert stem(part="drums", take=2).track == "Drums (take 2)"
    assert stem(part=None).track == "Stem"
    assert stem(ID).track == "Original"


@given(st.text(max_size=200), st.text(max_size=120), st.integers(1, 999), st.floats(), st.text(max_size=30))
def test_every_path_is_short_and_valid_on_all_systems(title: str, part: str, take: int, bpm: float, key: str) -> None:
    folder = folder_name(title, ID, bpm=bpm, key=key)
    track = stem(part=part, take=take).track
    names = distinct([("a", f"{track}.wav"), ("b", f"{track}.wav")])
    for name in (*names.values(), f"{short_title(title)}.rpp", "stems.json"):
        path = f"{folder}/{name}"
        assert len(path.encode("utf-16-le")) // 2 < 180
        for piece in (folder, name):
            assert len(piece.encode()) <= 255
            assert not set(piece) & set('/\\:*?"<>|') and piece.strip(" .") == piece
            assert not any(unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") for c in piece)
    assert folder.endswith(" c3d4e5f6")
    if take > 1:
        assert track.endswith(f" (take {take})")
