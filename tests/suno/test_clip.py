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
def test_duration_is_seconds_or_nothing(sent: object, seconds: float | None) -> None:
    assert clip(metadata=METADATA | {"duration": sent}).duration == seconds


@pytest.mark.parametrize("metadata", [None, {}, [], "text", 5])
def test_metadata_may_be_missing(metadata: object) -> None:
    stem = clip(metadata=metadata)
    assert (stem.duration, stem.stem_from_id) == (None, "asked-for")


@pytest.mark.parametrize("field", ["status", "created_at", "title"])
@pytest.mark.parametrize("value", [None, 5, {}, []])
def test_a_field_that_is_no_text_is_nothing(field: str, value: object) -> None:
    assert getattr(clip(**{field: value}), field) is None


def test_a_clip_with_nothing_but_an_id_is_a_clip() -> None:
    assert Clip.from_wire({"id": "x"}) == Clip("x")


@pytest.mark.parametrize(
    ("wire", "parent"),
    [
        ({"metadata": {"stem_from_id": SONG}, "clip_roots": {"clips": [{"id": "root"}]}}, SONG),
        ({"metadata": {}, "clip_roots": {"clips": [{"id": "root"}, {"id": "other"}]}}, "root"),
        ({"metadata": {}, "clip_roots": {"clips": []}}, "asked-for"),
        ({"metadata": {}, "clip_roots": {"clips": [None]}}, "asked-for"),
        ({"metadata": {}, "clip_roots": None}, "asked-for"),
        ({"metadata": {"stem_from_id": 5}}, "asked-for"),
    ],
)
def test_the_parent_is_found_where_suno_puts_it(wire: dict[str, Any], parent: str) -> None:
    assert clip(**wire).stem_from_id == parent
