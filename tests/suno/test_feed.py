"""Looking at clips and songs by whichever list Suno still has."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from responses import RequestsMock

from app.splits.watch import Watch
from app.suno import errors
from app.suno.clip import Clip
from app.suno.gateway import SunoGateway
from tests.suno.conftest import ALICE, API, CLIP, calls, jwt, signed_in

V2, V3, BY_IDS = f"{API}/api/feed/v2", f"{API}/api/feed/v3", f"{API}/api/clips/get_songs_by_ids"
GONE = {"detail": "Not Found"}
SONG = {"status": "complete", "title": "Song", "metadata": {"type": "gen"}}


@pytest.fixture(autouse=True)
def sign_in(wire: RequestsMock) -> None:
    signed_in(wire, jwt(**{"suno.com/claims/user_id": "the-user"}))


def named(*ids: str, **more: Any) -> dict[str, Any]:
    return {"clips": [CLIP | {"id": id} for id in ids], "has_more": False} | more


def ids(clips: list[Any]) -> list[str]:
    return [clip.id for clip in clips]


def bodies(wire: RequestsMock) -> list[Any]:
    return [json.loads(call.request.body) for call in wire.calls if call.request.url == V3]


def test_clips_come_in_the_order_asked_by_one_call(gateway: SunoGateway, wire: RequestsMock) -> None:
    wire.post(V3, json=named("c", "a"))
    assert ids(gateway.clips(ALICE, ["a", "c", "a"])) == ["a", "c"]
    assert bodies(wire) == [
        {"cursor": None, "limit": 3, "filters": {"ids": {"presence": "True", "clipIds": ["a", "c", "a"]}}}
    ]


@pytest.mark.parametrize("status", [400, 404, 405, 410, 422])
@pytest.mark.parametrize("reply", [named("a", "b"), {"songs": named("a", "b")["clips"]}, named("a", "b")["clips"]])
def test_where_v3_is_gone_clips_are_asked_for_by_repeated_ids(
    gateway: SunoGateway, wire: RequestsMock, status: int, reply: Any
) -> None:
    wire.post(V3, status=status, json=GONE)
    wire.get(BY_IDS, json=reply)
    for _ in range(2):
        assert ids(gateway.clips(ALICE, ["a", "b"])) == ["a", "b"]
    assert wire.calls[-1].request.url == f"{BY_IDS}?ids=a&ids=b"
    assert calls(wire, V3) == 1


def test_v2_is_the_last_list_and_need_not_heed_the_ids(gateway: SunoGateway, wire: RequestsMock) -> None:
    wire.post(V3, status=404, json=GONE)
    wire.get(BY_IDS, status=404, json=GONE)
    wire.get(V2, json=named("x", "a"))
    wire.get(f"{API}/api/clip/b", json=CLIP | {"id": "b"})
    assert ids(gateway.clips(ALICE, ["a", "b"])) == ["a", "b"]


def test_what_was_gone_is_tried_again_within_the_hour(
    gateway: SunoGateway, wire: RequestsMock, monkeypatch: pytest.MonkeyPatch
) -> None:
    wire.post(V3, status=404, json=GONE)
    wire.post(V3, json=named("a"))
    wire.get(BY_IDS, json=named("a"))
    gateway.clips(ALICE, ["a"])
    later = time.monotonic() + 3601
    monkeypatch.setattr("app.suno.feed.time.monotonic", lambda: later)
    gateway.clips(ALICE, ["a"])
    assert (calls(wire, V3), calls(wire, BY_IDS)) == (2, 1)


def test_where_every_list_is_gone_ten_clips_can_be_asked_for_singly(gateway: SunoGateway, wire: RequestsMock) -> None:
    wire.post(V3, status=404, json=GONE)
    wire.get(BY_IDS, status=404, json=GONE)
    wire.get(V2, status=404, json=GONE)
    wire.get(f"{API}/api/clip/a", json=CLIP | {"id": "a"})
    assert ids(gateway.clips(ALICE, ["a"])) == ["a"]
    with pytest.raises(errors.SunoFailed, match="in any known list"):
        gateway.clips(ALICE, [f"a{n}" for n in range(11)])


def test_a_wait_asks_for_clips_singly_only_where_all_are_missing_twice(
    gateway: SunoGateway, wire: RequestsMock
) -> None:
    wire.post(V3, json=named())
    for id in ("a", "b"):
        wire.get(f"{API}/api/clip/{id}", json=CLIP | {"id": id, "status": "complete"})
    stems = Watch(gateway, 0.0).wait_for(ALICE, [Clip("a"), Clip("b")], patience=30)
    assert {stem.status for stem in stems} == {"complete"}
    asked = [call.request.url.removeprefix(API) for call in wire.calls[2:]]
    assert asked == ["/api/feed/v3"] * 3 + ["/api/clip/a", "/api/clip/b"]


def test_while_waiting_a_stem_keeps_its_parent_which_the_list_need_not_name(
    gateway: SunoGateway, wire: RequestsMock
) -> None:
    nameless = {"id": "a", "status": "complete", "metadata": {"type": "stem"}}
    wire.post(V3, json={"clips": [nameless]})
    (stem,) = Watch(gateway, 0.0).wait_for(ALICE, [Clip("a", stem_from_id="its-song")], patience=30)
    assert (stem.status, stem.stem_from_id) == ("complete", "its-song")


def test_a_wait_that_sees_some_of_its_clips_asks_for_none_singly(gateway: SunoGateway, wire: RequestsMock) -> None:
    for _ in range(4):
        wire.post(V3, json=named("a"))
    wire.post(V3, json={"clips": [CLIP | {"id": id, "status": "complete"} for id in ("a", "b")]})
    Watch(gateway, 0.0).wait_for(ALICE, [Clip("a"), Clip("b")], patience=30)
    assert calls(wire, V3) == len(wire.calls) - 2 == 5


def test_a_failing_list_is_a_failure_and_not_gone(gateway: SunoGateway, wire: RequestsMock) -> None:
    wire.post(V3, status=500, json=GONE)
    with pytest.raises(errors.SunoFailed):
        gateway.clips(ALICE, ["a"])
    assert calls(wire, BY_IDS) == 0


def test_songs_go_by_cursors_that_are_remembered(gateway: SunoGateway, wire: RequestsMock) -> None:
    for cursor in ("c1", "c2", "c3"):
        wire.post(V3, json={"clips": [SONG | {"id": f"before-{cursor}"}], "has_more": True, "next_cursor": cursor})
    wire.post(V3, json={"clips": [SONG | {"id": "last"}], "has_more": False})
    assert ids(gateway.songs(ALICE, 2)) == ["before-c3"]
    assert ids(gateway.songs(ALICE, 3)) == ["last"]
    assert gateway.songs(ALICE, 4) == []
    asked = bodies(wire)
    assert [body["cursor"] for body in asked] == [None, "c1", "c2", "c3"]
    assert asked[0] == {
        "cursor": None,
        "limit": 20,
        "filters": {
            "disliked": "False",
            "trashed": "False",
            "stem": {"presence": "False"},
            "stemComplement": "False",
            "fromStudioProject": {"presence": "False"},
            "user": {"presence": "True", "userId": "the-user"},
        },
    }


def test_songs_by_v2_go_by_page_and_leave_stems_out(gateway: SunoGateway, wire: RequestsMock) -> None:
    wire.post(V3, status=404, json=GONE)
    wire.get(V2, json={"clips": [SONG | {"id": "song"}, CLIP | {"id": "stem"}]})
    assert ids(gateway.songs(ALICE, 3)) == ["song"]
    assert wire.calls[-1].request.url == f"{V2}?page=3"


def test_who_reads_the_first_page_meanwhile_confuses_nobody(gateway: SunoGateway, wire: RequestsMock) -> None:
    def page_after(request: Any) -> tuple[int, dict[str, str], str]:
        number = int((json.loads(request.body)["cursor"] or "0").removeprefix("c"))
        if number == 3 and len(wire.calls) < 12:
            assert ids(gateway.songs(ALICE, 0)) == ["song-0"]
        reply = {"clips": [SONG | {"id": f"song-{number}"}], "has_more": True, "next_cursor": f"c{number + 1}"}
        return 200, {}, json.dumps(reply)

    wire.add_callback("POST", V3, page_after)
    told = [ids(gateway.songs(ALICE, page)) for page in (3, 4, 2, 6)]
    assert told == [["song-3"], ["song-4"], ["song-2"], ["song-6"]]
    before = calls(wire, V3)
    gateway.songs(ALICE, 0)
    gateway.songs(ALICE, 7)
    assert calls(wire, V3) == before + 2
