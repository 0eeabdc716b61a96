"""The account's newest clips: a list that can show that there are no others."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from responses import RequestsMock

from app.suno import errors
from app.suno.clip import Clip
from app.suno.gateway import SunoGateway
from tests.suno.conftest import ALICE, API, jwt, signed_in

V3 = f"{API}/api/feed/v3"
UNTIL = 1_790_000_000.0


@pytest.fixture(autouse=True)
def sign_in(wire: RequestsMock) -> None:
    signed_in(wire, jwt(**{"suno.com/claims/user_id": "the-user"}))


def made(id: str, seconds: float, **more: Any) -> dict[str, Any]:
    """A clip that was made this many seconds after UNTIL."""
    moment = datetime.fromtimestamp(UNTIL + seconds, UTC).isoformat()
    return {"id": id, "created_at": moment, "metadata": {"type": "gen"}} | more


def answer(wire: RequestsMock, *pages: dict[str, Any]) -> None:
    for page in pages:
        wire.post(V3, json=page)


def newest(gateway: SunoGateway) -> list[Clip]:
    return gateway.newest_clips(ALICE, UNTIL)


OLD = made("old", -1)


def test_pages_are_read_until_a_clip_is_older(gateway: SunoGateway, wire: RequestsMock) -> None:
    answer(
        wire,
        {"clips": [made("a", 9), made("b", 8)], "has_more": True, "next_cursor": "c1"},
        {"clips": [], "has_more": True, "next_cursor": "c2"},
        {"clips": [made("b", 8), made("c", 0), OLD, made("never-read", -2)], "has_more": True, "next_cursor": "c3"},
    )
    assert [clip.id for clip in newest(gateway)] == ["a", "b", "c"]
    bodies = [json.loads(call.request.body) for call in wire.calls if call.request.url == V3]
    assert [body["cursor"] for body in bodies] == [None, "c1", "c2"]
    assert bodies[0] == {
        "cursor": None,
        "limit": 100,
        "filters": {"trashed": "False", "user": {"presence": "True", "userId": "the-user"}},
    }


@pytest.mark.parametrize(
    "pages",
    [
        [{"clips": []}],
        [{"clips": [], "has_more": False}],
        [{"clips": [made("a", 9)], "has_more": False}],
        [{"clips": [made("a", 9)], "has_more": True}],
        [{"clips": [made("a", 9)], "has_more": True, "next_cursor": 5}],
        [{"clips": [made("a", 9)], "has_more": True, "next_cursor": "c1"}],
        [
            {"clips": [made("a", 9)], "next_cursor": "c1"},
            {"clips": [made("b", 8)], "next_cursor": "c2"},
            {"clips": []},
        ],
    ],
)
def test_a_list_that_does_not_go_back_far_enough_is_unreadable(
    gateway: SunoGateway, wire: RequestsMock, pages: list[dict[str, Any]]
) -> None:
    answer(wire, *pages)
    with pytest.raises(errors.SunoFailed, match="far enough"):
        newest(gateway)
    assert sum(call.request.url == V3 for call in wire.calls) <= 3


@pytest.mark.parametrize(
    "clips",
    [
        [made("a", 9, created_at=None), OLD],
        [made("a", 9, created_at="yesterday"), OLD],
        [{"id": "a"}, OLD],
        [made("a", 9), made("b", 70), OLD],
        [made("a", 9), made("b", 50), made("c", 100), OLD],
        [{"created_at": OLD["created_at"]}, OLD],
        [None, OLD],
        [made("../a", 9), OLD],
        [made("a", 9, metadata=None), OLD],
        [made("a", 9, metadata=[]), OLD],
        None,
    ],
)
def test_a_list_without_dates_ids_or_order_is_unreadable(
    gateway: SunoGateway, wire: RequestsMock, clips: Any
) -> None:
    answer(wire, {"clips": clips, "has_more": False})
    with pytest.raises(errors.SunoFailed, match="wire format may have changed"):
        newest(gateway)


def test_clips_of_one_moment_may_be_in_any_order(gateway: SunoGateway, wire: RequestsMock) -> None:
    answer(wire, {"clips": [made("a", 9.0), made("b", 9.5), OLD]})
    assert [clip.id for clip in newest(gateway)] == ["a", "b"]


@pytest.mark.parametrize("status", [400, 404, 405, 410, 422, 429, 500])
def test_no_other_list_replaces_it(gateway: SunoGateway, wire: RequestsMock, status: int) -> None:
    wire.post(V3, status=status, json={"detail": "Not Found"})
    with pytest.raises((errors.SunoFailed, errors.RateLimited)):
        newest(gateway)
    assert wire.calls[-1].request.url == V3


@pytest.mark.parametrize(
    "mark",
    [
        {"task": "gen_stem"},
        {"metadata": {"task": "gen_stem"}},
        {"metadata": {"stem_from_id": "its-song"}},
        {"stem_from_id": "its-song"},
        {"stem_from_id": "its-song", "metadata": None},
        {"secondary_badges": [None, {"icon_key": "new"}, {"icon_key": "stem"}]},
        {"metadata": {"secondary_badges": [{"icon_key": "stem"}]}},
    ],
)
def test_stems_are_recognised_by_each_of_their_marks(
    gateway: SunoGateway, wire: RequestsMock, mark: dict[str, Any]
) -> None:
    song = made("song", 8, task="cover", secondary_badges=[{"icon_key": "new"}, "stem"])
    answer(wire, {"clips": [made("stem", 9, **mark), song, OLD]})
    assert [clip.is_stem for clip in newest(gateway)] == [True, False]


def test_a_clip_without_the_marks_of_a_stem_tells_what_it_comes_from(
    gateway: SunoGateway, wire: RequestsMock
) -> None:
    roots = {"clip_roots": {"clips": [{"id": "its-song"}]}}
    history = {"metadata": {"type": "gen", "history": [{"id": "older"}, {"id": "m_its-song"}]}}
    odd = {"clip_roots": {"clips": [{"id": "../a"}]}}
    clips = [made("roots", 9, **roots), made("history", 8, **history), made("odd", 7, **odd), made("song", 6), OLD]
    answer(wire, {"clips": clips})
    found = newest(gateway)
    assert [clip.ancestor for clip in found] == ["its-song", "its-song", None, None]
    assert not any(clip.is_stem for clip in found)


def test_a_stem_has_its_parent_and_kind_as_far_as_suno_states_them(gateway: SunoGateway, wire: RequestsMock) -> None:
    full = {"stem_from_id": "its-song", "stem_task": "extract", "stem_name": "Bass"}
    clips = [made("full", 9, metadata=full), made("bare", 8, task="gen_stem"), OLD]
    answer(wire, {"clips": clips})
    one, other = newest(gateway)
    assert (one.stem_from_id, one.stem_task, one.part) == ("its-song", "extract", "bass")
    assert (other.stem_from_id, other.stem_task, other.part) == (None, None, "")
