from __future__ import annotations

from typing import Any

import pytest

from app.suno.clip import Clip
from tests.suno.conftest import CLIP, SONG

METADATA = CLIP["metadata"]


def clip(**changes: Any) -> Clip:
    return Clip.from_wire(CLIP | changes, stem_of="asked-for")


@pytest.mark.parametrize(
    ("sent", "seconds"),
    [
        (183.4, 183.4),
        (180, 180),
        ("183.4", 183.4),
        (None, None),
        ("", None),
        ("long", None),
        (True, None),
        (float("nan"), None),
        (float("inf"), None),
        (10**400, None),
        ("9" * 400, None),
        ([1], None),
    ],
)
def test_duration_is_seconds_or_none(sent: object, seconds: float | None) -> None:
    assert clip(metadata=METADATA | {"duration": sent}).duration == seconds


@pytest.mark.parametrize("metadata", [None, {}, [], "text", 5])
def test_metadata_may_be_missing_or_invalid(metadata: object) -> None:
    stem = clip(metadata=metadata)
    assert (stem.duration, stem.stem_from_id) == (None, "asked-for")


@pytest.mark.parametrize("field", ["status", "created_at", "title"])
@pytest.mark.parametrize("value", [None, 5, {}, []])
def test_a_field_that_is_not_text_is_none(field: str, value: object) -> None:
    assert getattr(clip(**{field: value}), field) is None


def test_a_clip_needs_only_an_id() -> None:
    assert Clip.from_wire({"id": "x"}) == Clip("x")


@pytest.mark.parametrize(
    ("wire", "parent"),
    [
        ({"metadata": {"type": "stem", "stem_from_id": SONG}, "clip_roots": {"clips": [{"id": "root"}]}}, SONG),
        ({"metadata": {"type": "stem", "history": [{"id": "older"}, {"id": f"m_{SONG}"}]}}, SONG),
        ({"metadata": {"type": "stem", "history": ["older", SONG]}}, SONG),
        ({"metadata": {"type": "gen", "stem_type_id": 91.0, "history": [{"id": SONG}]}}, SONG),
        (
            {
                "metadata": {"type": "gen", "stem_task": "two"},
                "clip_roots": {"clips": [{"id": SONG}, {"id": "other"}]},
            },
            SONG,
        ),
        ({"metadata": {"type": "stem"}, "clip_roots": {"clips": []}}, None),
        ({"metadata": {"type": "stem", "history": [None]}, "clip_roots": {"clips": [None]}}, None),
        ({"metadata": {"type": "stem", "stem_from_id": 5}, "clip_roots": None}, None),
        ({"metadata": {"type": "gen", "history": [{"id": "the song it was extended from"}]}}, None),
    ],
)
def test_the_parent_is_found_wherever_suno_puts_it(wire: dict[str, Any], parent: str | None) -> None:
    assert Clip.from_wire(CLIP | wire).stem_from_id == parent


def test_the_parent_is_always_the_requested_song() -> None:
    assert clip(metadata={"type": "stem", "stem_from_id": "another"}).stem_from_id == "asked-for"


@pytest.mark.parametrize(
    ("title", "metadata", "part"),
    [
        ("Song - Vocals", {}, "vocals"),
        ("Song (Vocals)", {}, "vocals"),
        ("Song", {"stem_type_group_name": "Backing_Vocals"}, "backing vocals"),
        ("Song", {"stem_name": "Drum Kit"}, "drum kit"),
        ("Song", {"stem": "Bass"}, "bass"),
        ("Song (Lead Vocal)", {"stem_type_group_name": "Lead Vocal"}, "lead vocal"),
        ("Song (Without Lead Vocal)", {"stem_type_group_name": "Lead Vocal"}, "without lead vocal"),
        ("Song", {}, ""),
        (None, {}, ""),
    ],
)
def test_the_part_is_found_wherever_suno_puts_it(title: str | None, metadata: dict[str, Any], part: str) -> None:
    assert clip(title=title, metadata={"type": "stem"} | metadata).part == part


def test_tempo_key_and_unlock_state_of_a_song_are_read() -> None:
    song = Clip.from_wire(
        {
            "id": SONG,
            "is_download_unlocked": False,
            "metadata": {"type": "gen", "min_bpm": 68.18, "avg_bpm": 130.05, "max_bpm": 157.89, "key": "C_major"},
        }
    )
    assert (song.bpm, song.key, song.download_unlocked, song.is_stem) == (130.05, "C_major", False, False)
