from __future__ import annotations

import unicodedata
from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.audio.files import Details, details_of, distinct, file_name, folder_of
from app.audio.song import Song
from app.suno.clip import Clip


def details(**fields: object) -> Details:
    known = {
        "id": "stem",
        "song_id": "song",
        "song_title": "Ocean Wanderer",
        "title": "Ocean Wanderer (Vocals)",
        "part": "vocals",
        "take": 1,
        "created_at": None,
        "duration": None,
    }
    return Details(**known | fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({}, "Ocean Wanderer - Vocals.wav"),
        ({"take": 2}, "Ocean Wanderer - Vocals (take 2).wav"),
        ({"take": None}, "Ocean Wanderer - Vocals.wav"),
        ({"part": "without lead vocal"}, "Ocean Wanderer - Without Lead Vocal.wav"),
        ({"part": None}, "Ocean Wanderer - Stem.wav"),
        ({"id": "song", "part": None}, "Ocean Wanderer.wav"),
        ({"song_title": None}, "Untitled - Vocals.wav"),
        ({"song_title": "海の歌"}, "海の歌 - Vocals.wav"),
        ({"song_title": "أغنية"}, "أغنية - Vocals.wav"),
        ({"song_title": "AC/DC: \\ <live>?"}, "AC_DC_ _ _live__ - Vocals.wav"),
        ({"song_title": "a\r\nSet-Cookie: x\t\x00b"}, "a Set-Cookie_ x b - Vocals.wav"),
        ({"song_title": "..", "id": "song"}, "Untitled.wav"),
        ({"song_title": "CON", "id": "song"}, "CON_.wav"),
        ({"song_title": "exe\u202egpj", "id": "song"}, "exegpj.wav"),
        ({"song_title": "half \ud83d", "id": "song"}, "half.wav"),
        ({"song_title": "e\u0301te\u0301", "id": "song"}, "été.wav"),
    ],
)
def test_a_file_has_a_readable_name(fields: dict[str, object], name: str) -> None:
    assert file_name(details(**fields), "wav") == name


@given(st.text(max_size=300), st.text(max_size=80), st.one_of(st.none(), st.integers(1, 99)))
def test_every_title_makes_a_valid_file_name(title: str, part: str, take: int | None) -> None:
    name = file_name(details(song_title=title, part=part, take=take), "wav")
    assert len(name.encode()) <= 255
    assert not set(name) & set('/\\:*?"<>|') and name.strip(" .") == name
    assert not any(unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") for c in name)


def test_a_long_title_leaves_part_and_take_readable() -> None:
    name = file_name(details(song_title="é" * 500, take=12), "wav")
    assert name.startswith("é" * 20) and name.endswith(" - Vocals (take 12).wav")


def test_file_names_are_distinct() -> None:
    names = distinct([("1", "A - Vocals.wav"), ("2", "a - vocals.wav"), ("3", "A - Vocals.wav"), ("4", "B.wav")])
    assert names == {"1": "A - Vocals.wav", "2": "a - vocals [2].wav", "3": "A - Vocals [3].wav", "4": "B.wav"}


def test_details_have_the_song_and_the_take() -> None:
    song = Clip("song", title="Ocean Wanderer", status="complete", download_unlocked=True)
    stems = [
        Clip(f"v{n}", title="Ocean Wanderer (Vocals)", created_at=f"2026-11-2{n}", is_stem=True, stem_from_id="song")
        for n in (2, 1)
    ]
    both = Song(song, stems)
    assert [(each.id, each.part, each.take, each.song_title) for each in both.usable] == [
        ("v2", "vocals", 2, "Ocean Wanderer"),
        ("v1", "vocals", 1, "Ocean Wanderer"),
    ]
    newest = Clip("v3", title="Ocean Wanderer (Vocals)", created_at="2026-11-23")
    assert both.details_of(newest).take == 3
    assert both.details_of(song).name == "Ocean Wanderer"
    alone = details_of(Clip("v", title="Ocean (Wanderer) (Vocals)", is_stem=True, stem_from_id="song"), None, ())
    assert (alone.song_id, alone.song_title) == ("song", "Ocean (Wanderer)")


def test_details_ignore_fields_of_a_later_version() -> None:
    one = details()
    assert Details.read(asdict(one) | {"of the future": 1}) == one


def test_a_folders_name_does_not_reveal_its_account() -> None:
    assert folder_of("user_1") != folder_of("user_2") and "user" not in folder_of("user_1")
    assert folder_of("../../etc").isalnum()
