from __future__ import annotations

from typing import Any

import pytest

from app.suno.clip import FORBIDDEN_PATH, Clip, UnreadableReply, stems_from_wire
from tests.suno.conftest import CLIP, SONG

METADATA = CLIP["metadata"] | {"stem_from_id": "asked-for"}


def clip(**changes: Any) -> Clip:
    return Clip.from_wire(CLIP | {"metadata": METADATA} | changes, stem_of="asked-for")


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


@pytest.mark.parametrize("stated", ["asked-for", "m_asked-for", "ASKED-FOR", "M_Asked-For", "", None, 5])
@pytest.mark.parametrize("elsewhere", [{}, {"history": [{"id": "another"}]}])
def test_the_parent_is_the_requested_song_unless_suno_states_another(
    stated: object, elsewhere: dict[str, Any]
) -> None:
    metadata = {"type": "stem", "stem_from_id": stated} | elsewhere
    assert clip(metadata=metadata, clip_roots={"clips": [{"id": "another"}]}).stem_from_id == "asked-for"


@pytest.mark.parametrize("stated", ["another", "m_another", "m_", "../asked-for"])
def test_a_stem_that_states_another_song_is_unreadable(stated: str) -> None:
    with pytest.raises(UnreadableReply, match="another song"):
        clip(metadata={"type": "stem", "stem_from_id": stated})


NOT_IDS = ("../../pwned", "..", ".", "a/b", "a\\b", "a.b", "a b", "a\n", "a?b", "a%2fb", "ä", "x" * 129)


@pytest.mark.parametrize("id", NOT_IDS)
def test_an_id_that_could_be_a_path_is_unreadable(id: str) -> None:
    for reply in ({"id": id}, {"id": "a", "metadata": {"stem_from_id": id}}, {"id": "a", "metadata": _history(id)}):
        with pytest.raises(UnreadableReply, match="id that is not one"):
            Clip.from_wire(reply)


def _history(id: str) -> dict[str, Any]:
    return {"type": "stem", "history": [id]}


def test_a_uuid_is_read_in_lower_case_and_any_other_id_as_it_is() -> None:
    stem = Clip.from_wire({"id": SONG.upper(), "metadata": {"stem_from_id": SONG.upper()}})
    assert (stem.id, stem.stem_from_id) == (SONG, SONG)
    assert Clip.from_wire({"id": "Ab_-9" + "x" * 123}).id == "Ab_-9" + "x" * 123


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


def test_every_field_of_a_clip_is_read() -> None:
    fields = ("id", "status", "created_at", "title", "image_url", "audio_url", "video_url", "model_name")
    outside: dict[str, Any] = {name: f"its {name}" for name in fields} | {"id": "its-id"}
    fields_of_metadata = (
        "type",
        "tags",
        "gpt_description_prompt",
        "error_message",
        "stem_from_id",
        "stem_task",
        "key",
    )
    inside: dict[str, Any] = {name: f"its {name}" for name in fields_of_metadata} | {"stem_from_id": "its-song"}
    more = {
        "prompt": "[Verse]\none\n \n\n[Chorus]\ntwo\n",
        "duration": 217.24,
        "has_stem": True,
        "stem_type_group_name": "Backing_Vocals",
        "min_bpm": 68.18,
        "avg_bpm": 130.05,
        "max_bpm": 157.89,
    }
    assert Clip.from_wire(outside | {"is_download_unlocked": False, "metadata": inside | more}) == Clip(
        **outside,
        **inside,
        prompt="[Verse]\none\n \n\n[Chorus]\ntwo\n",
        lyric="[Verse]\none\n[Chorus]\ntwo",
        duration=217.24,
        bpm=130.05,
        has_stems=True,
        stem_group="Backing_Vocals",
        download_unlocked=False,
        is_stem=True,
    )


@pytest.mark.parametrize(
    "mark", ["stem_from_id", "stem_task", "stem_type_id", "stem_type_group_name", "stem_name", "stem"]
)
def test_a_clip_with_a_mark_of_stems_is_a_stem(mark: str) -> None:
    assert Clip.from_wire({"id": "a", "metadata": {"type": "gen", mark: "x"}}).is_stem
    assert not Clip.from_wire({"id": "a", "metadata": {"type": "gen", mark: None}}).is_stem


def test_an_audio_url_where_nothing_can_be_fetched_is_left_out() -> None:
    assert clip(audio_url=f"https://studio-api.prod.suno.com{FORBIDDEN_PATH}").audio_url is None


@pytest.mark.parametrize("value", [None, "yes", 1])
def test_it_is_unknown_whether_a_song_is_unlocked_unless_suno_says_so(value: object) -> None:
    assert clip(is_download_unlocked=value).download_unlocked is None


@pytest.mark.parametrize(("mark", "silent"), [(True, True), (False, False), (None, None), ("yes", None), (1, None)])
def test_a_stem_is_silent_only_if_suno_marks_it(mark: object, silent: bool | None) -> None:
    metadata = {"is_loudness_under_threshold": mark}
    assert clip(metadata=METADATA | metadata).silent is silent
    assert Clip.from_wire({"id": "song", "metadata": {"type": "gen"} | metadata}).silent is None


@pytest.mark.parametrize(
    ("metadata", "why"),
    [
        ({"error_type": "moderation", "error_message": "Not allowed"}, "Not allowed"),
        ({"error_type": "moderation", "error_message": None}, "moderation"),
        ({"error_type": "moderation", "error_message": ""}, "moderation"),
        ({"error_type": None}, None),
    ],
)
def test_a_failed_clip_has_sunos_message_or_else_its_type_of_error(metadata: dict[str, Any], why: str | None) -> None:
    assert Clip.from_wire({"id": "a", "status": "error", "metadata": metadata}).error_message == why


@pytest.mark.parametrize(
    "reply",
    [
        {"clips": [{"id": "a"}]},
        {"id": "a"},
        {"id": "the batch", "clips": [{"id": "a"}]},
        {"clips": [{"title": "without an id"}, None, {"id": "a"}]},
    ],
)
def test_the_stems_of_a_split_belong_to_its_song_even_if_suno_does_not_say_so(reply: dict[str, Any]) -> None:
    assert stems_from_wire(reply, song_id=SONG) == [Clip("a", stem_from_id=SONG, is_stem=True)]


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        ({"id": "the batch", "status": "submitted", "metadata": {}}, "without clips"),
        ({"clips": ["a", {"id": "b"}]}, "ids in place of clips"),
    ],
)
def test_a_reply_to_a_split_that_would_lose_stems_is_unreadable(reply: dict[str, Any], why: str) -> None:
    with pytest.raises(UnreadableReply, match=why):
        stems_from_wire(reply, song_id=SONG, in_batch=True)
    assert stems_from_wire({"id": "a", "title": "Song"}, song_id=SONG, in_batch=True)[0].id == "a"


def test_a_split_without_an_id_in_its_reply_is_unreadable() -> None:
    with pytest.raises(UnreadableReply, match="no clip with an id"):
        stems_from_wire({"clips": [{"title": "Song"}]}, song_id=SONG)


@pytest.mark.parametrize("id", ["", 5, ["a"], "../a"])
def test_a_split_is_unreadable_if_one_of_its_ids_is_not_one(id: object) -> None:
    with pytest.raises(UnreadableReply, match="an id that is not one"):
        stems_from_wire({"clips": [{"id": "a"}, {"id": id}]}, song_id=SONG)


@pytest.mark.parametrize(
    ("clips", "why"),
    [
        ([{"id": "a"}, {"id": "b", "metadata": {"stem_from_id": "another"}}], "another song"),
        ([{"id": "a"}, {"id": "b", "stem_from_id": "another"}], "another song"),
        ([{"id": "a"}, {"id": "b"}, {"id": "A"}], "same clip twice"),
        ([{"id": "a"}, {"id": "../b"}], "id that is not one"),
        ([{"id": "a"}, {"id": SONG.upper()}], "song itself"),
    ],
)
def test_a_reply_to_a_split_with_clips_that_cannot_be_its_stems_is_unreadable(
    clips: list[dict[str, Any]], why: str
) -> None:
    for reply in ({"clips": clips}, {"clips": clips[::-1]}):
        with pytest.raises(UnreadableReply, match=why):
            stems_from_wire(reply, song_id=SONG)
