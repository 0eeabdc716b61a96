"""Clips and songs, read from any list that Suno still has."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from responses import RequestsMock

from app.splits.quote import Outlook, quote
from app.splits.watch import Watch
from app.suno import errors, feed
from app.suno.clip import Clip
from app.suno.gateway import SunoGateway
from app.suno.session import Account
from app.suno.stems import StemChoice
from tests.suno.conftest import ALICE, API, BOB, CLIP, calls, jwt, signed_in

V2, V3, BY_IDS = f"{API}/api/feed/v2", f"{API}/api/feed/v3", f"{API}/api/clips/get_songs_by_ids"
BARE = f"{API}/api/feed/"
GONE = {"detail": "Not Found"}
SONG = {"status": "complete", "title": "Song", "metadata": {"type": "gen"}}


@pytest.fixture(autouse=True)
def sign_in(wire: RequestsMock) -> None:
    signed_in(wire, jwt(**{"suno.com/claims/user_id": "the-user"}))


def reply_with(*ids: str, **more: Any) -> dict[str, Any]:
    return {"clips": [CLIP | {"id": id} for id in ids], "has_more": False} | more


def ids(clips: list[Any]) -> list[str]:
    return [clip.id for clip in clips]


def bodies(wire: RequestsMock) -> list[Any]:
    return [json.loads(call.request.body) for call in wire.calls if call.request.url == V3]


def test_one_call_returns_clips_in_the_requested_order(gateway: SunoGateway, wire: RequestsMock) -> None:
    wire.post(V3, json=reply_with("c", "a"))
    assert ids(gateway.clips(ALICE, ["a", "c", "a"])) == ["a", "c"]
    assert bodies(wire) == [
        {"cursor": None, "limit": 2, "filters": {"ids": {"presence": "True", "clipIds": ["a", "c"]}}}
    ]


@pytest.mark.parametrize("status", [400, 404, 405, 410, 422])
@pytest.mark.parametrize(
    "reply",
    [
        reply_with("a", "b"),
        {"songs": reply_with("a", "b")["clips"]},
        {"data": reply_with("a", "b")["clips"]},
        reply_with("a", "b")["clips"],
    ],
)
def test_clips_are_requested_by_repeated_ids_if_v3_is_gone(
    gateway: SunoGateway, wire: RequestsMock, status: int, reply: Any
) -> None:
    wire.post(V3, status=status, json=GONE)
    wire.get(BY_IDS, json=reply)
    for _ in range(2):
        assert ids(gateway.clips(ALICE, ["a", "b"])) == ["a", "b"]
    assert wire.calls[-1].request.url == f"{BY_IDS}?ids=a&ids=b"
    assert calls(wire, V3) == (1 if status in (404, 405, 410) else 2), "a 400 or 422 is about this request only"


@pytest.mark.parametrize("status", [404, 405, 410])
def test_a_list_that_is_gone_may_say_so_with_a_web_page(
    gateway: SunoGateway, wire: RequestsMock, status: int
) -> None:
    page = {"status": status, "body": "<html>", "content_type": "text/html"}
    wire.post(V3, **page)
    wire.get(BY_IDS, **page)
    wire.get(BARE, json=reply_with("a")["clips"])
    wire.get(V2, json={"clips": [SONG | {"id": "a"}]})
    for _ in range(2):
        assert ids(gateway.clips(ALICE, ["a"])) == ["a"]
        assert ids(gateway.songs(ALICE)) == ["a"]
    assert (calls(wire, V3), calls(wire, BY_IDS)) == (2, 1), "by ids, and of the library"


@pytest.mark.parametrize("status", [400, 403, 422, 429, 503])
def test_any_other_web_page_says_nothing_about_a_list(gateway: SunoGateway, wire: RequestsMock, status: int) -> None:
    wire.post(V3, status=status, body="<html>", content_type="text/html")
    with pytest.raises(errors.SunoError):
        gateway.clips(ALICE, ["a"])
    assert calls(wire, BY_IDS) == 0


def test_a_playlist_ends_with_a_page_that_has_no_new_song(gateway: SunoGateway, wire: RequestsMock) -> None:
    playlist = f"{API}/api/playlist/p/"
    wire.get(playlist, json={"playlist_clips": [{"clip": SONG | {"id": f"s{i}"}} for i in range(50)]})
    assert len(gateway.playlist(ALICE, "p", 200)) == 50
    assert calls(wire, playlist) == 2


def test_no_song_of_a_quote_counts_as_unknown_because_a_list_leaves_it_out(
    gateway: SunoGateway, wire: RequestsMock
) -> None:
    wire.post(V3, json={"clips": []})
    songs = [f"song-{n}" for n in range(12)]
    for id in songs[:-1]:
        wire.get(f"{API}/api/clip/{id}", json=SONG | {"id": id})
    wire.get(f"{API}/api/clip/{songs[-1]}", status=404, json=GONE)
    quoted = quote(gateway, ALICE, songs, StemChoice(), price=10, with_files=False)
    assert [song.outlook for song in quoted] == [Outlook.SPLIT] * 11 + [Outlook.NOT_FOUND]


def test_the_third_list_of_ids_is_a_bare_array(gateway: SunoGateway, wire: RequestsMock) -> None:
    wire.post(V3, status=404, json=GONE)
    wire.get(BY_IDS, status=405, json=GONE)
    wire.get(BARE, json=reply_with("b", "a")["clips"])
    assert ids(gateway.clips(ALICE, ["a", "b"])) == ["a", "b"]
    assert wire.calls[-1].request.url == f"{BARE}?ids=a,b"


def test_uuids_are_sent_in_lower_case_and_found_in_any(gateway: SunoGateway, wire: RequestsMock) -> None:
    one, other = "5f3587e2-0d5c-4a0e-9d8e-3f6f0b1f7a11", "a624123d-9a4f-4b3f-8f0e-1d7f2a1c9b10"
    wire.post(V3, json=reply_with(one.upper()))
    wire.get(f"{API}/api/clip/{other}", json=CLIP | {"id": other.upper()})
    assert ids(gateway.clips(ALICE, [one.upper(), other.upper(), one])) == [one, other]
    assert bodies(wire)[0]["filters"]["ids"]["clipIds"] == [one, other]


def test_v2_is_the_last_list_and_may_ignore_the_ids(gateway: SunoGateway, wire: RequestsMock) -> None:
    wire.post(V3, status=404, json=GONE)
    wire.get(BY_IDS, status=404, json=GONE)
    wire.get(BARE, status=404, json=GONE)
    wire.get(V2, json=reply_with("x", "a"))
    wire.get(f"{API}/api/clip/b", json=CLIP | {"id": "b"})
    assert ids(gateway.clips(ALICE, ["a", "b"])) == ["a", "b"]
    assert f"{V2}?ids=a,b" in [call.request.url for call in wire.calls]


def test_a_list_that_was_gone_is_tried_again_after_an_hour(
    gateway: SunoGateway, wire: RequestsMock, monkeypatch: pytest.MonkeyPatch
) -> None:
    wire.post(V3, status=404, json=GONE)
    wire.post(V3, json=reply_with("a"))
    wire.get(BY_IDS, json=reply_with("a"))
    gateway.clips(ALICE, ["a"])
    later = time.monotonic() + 3601
    monkeypatch.setattr("app.suno.feed.time.monotonic", lambda: later)
    gateway.clips(ALICE, ["a"])
    assert (calls(wire, V3), calls(wire, BY_IDS)) == (2, 1)


def test_ten_clips_can_be_requested_one_by_one_if_every_list_is_gone(
    gateway: SunoGateway, wire: RequestsMock
) -> None:
    wire.post(V3, status=404, json=GONE)
    wire.get(BY_IDS, status=404, json=GONE)
    wire.get(BARE, status=404, json=GONE)
    wire.get(V2, status=404, json=GONE)
    ten = [f"a{n}" for n in range(10)]
    for id in ten:
        wire.get(f"{API}/api/clip/{id}", json=CLIP | {"id": id})
    assert ids(gateway.clips(ALICE, ten)) == ten
    with pytest.raises(errors.SunoFailed, match="in any known list"):
        gateway.clips(ALICE, [*ten, "a10"])
    assert [calls(wire, url) for url in (V3, BY_IDS, BARE, V2)] == [2, 2, 2, 2], "each list is tried again at once"
    wire.replace("POST", V3, json=reply_with(*ten))
    assert ids(gateway.clips(ALICE, ten)) == ten


def test_a_clip_that_suno_does_not_know_hides_no_other(gateway: SunoGateway, wire: RequestsMock) -> None:
    wire.post(V3, json=reply_with())
    wire.get(f"{API}/api/clip/a", status=404, json=GONE)
    wire.get(f"{API}/api/clip/b", json=CLIP | {"id": "b"})
    assert ids(gateway.clips(ALICE, ["a", "b"])) == ["b"]


def test_two_requests_may_find_at_the_same_time_that_every_list_is_gone(
    gateway: SunoGateway, wire: RequestsMock
) -> None:
    def gone_for_another_too(request: Any) -> tuple[int, dict[str, str], str]:
        if calls(wire, BY_IDS) == 0:
            wire.replace("GET", BY_IDS, status=404, json=GONE)
            assert ids(gateway.clips(ALICE, ["a"])) == ["a"]
        return 404, {}, "{}"

    wire.post(V3, status=404, json=GONE)
    wire.add_callback("GET", BY_IDS, gone_for_another_too)
    wire.get(BARE, status=404, json=GONE)
    wire.get(V2, status=404, json=GONE)
    wire.get(f"{API}/api/clip/a", json=CLIP | {"id": "a"})
    assert ids(gateway.clips(ALICE, ["a"])) == ["a"]


def test_a_wait_requests_clips_one_by_one_once_they_are_missing_twice(
    gateway: SunoGateway, wire: RequestsMock
) -> None:
    wire.post(V3, json=reply_with())
    for id in ("a", "b"):
        wire.get(f"{API}/api/clip/{id}", json=CLIP | {"id": id, "status": "complete"})
    stems = Watch(gateway, 0.0).wait_for(ALICE, [Clip("a"), Clip("b")], patience=30)
    assert {stem.status for stem in stems} == {"complete"}
    requested = [call.request.url.removeprefix(API) for call in wire.calls[2:]]
    assert requested == ["/api/feed/v3"] * 3 + ["/api/clip/a", "/api/clip/b"]


def test_a_stem_keeps_its_parent_during_a_wait_if_the_list_does_not_name_it(
    gateway: SunoGateway, wire: RequestsMock
) -> None:
    nameless = {"id": "a", "status": "complete", "metadata": {"type": "stem"}}
    wire.post(V3, json={"clips": [nameless]})
    (stem,) = Watch(gateway, 0.0).wait_for(ALICE, [Clip("a", stem_from_id="its-song")], patience=30)
    assert (stem.status, stem.stem_from_id) == ("complete", "its-song")


def test_a_wait_that_sees_some_of_its_clips_requests_the_others_one_by_one(
    gateway: SunoGateway, wire: RequestsMock
) -> None:
    for _ in range(3):
        wire.post(V3, json=reply_with("a"))
    wire.post(V3, json={"clips": [CLIP | {"id": "a", "status": "complete"}]})
    wire.get(f"{API}/api/clip/b", json=CLIP | {"id": "b", "status": "complete"})
    stems = Watch(gateway, 0.0).wait_for(ALICE, [Clip("a"), Clip("b")], patience=30)
    assert {stem.status for stem in stems} == {"complete"}
    requested = [call.request.url.removeprefix(API) for call in wire.calls[2:]]
    assert requested == [*["/api/feed/v3"] * 3, "/api/clip/b", "/api/feed/v3"]


def test_a_failing_list_does_not_count_as_gone(gateway: SunoGateway, wire: RequestsMock) -> None:
    wire.post(V3, status=500, json=GONE)
    with pytest.raises(errors.SunoFailed):
        gateway.clips(ALICE, ["a"])
    assert calls(wire, BY_IDS) == 0


def test_songs_are_paged_by_remembered_cursors(gateway: SunoGateway, wire: RequestsMock) -> None:
    for cursor in ("c1", "c2", "c3"):
        wire.post(V3, json={"clips": [SONG | {"id": f"before-{cursor}"}], "has_more": True, "next_cursor": cursor})
    wire.post(V3, json={"clips": [SONG | {"id": "last"}], "has_more": False})
    assert ids(gateway.songs(ALICE, 2)) == ["before-c3"]
    assert ids(gateway.songs(ALICE, 3)) == ["last"]
    assert gateway.songs(ALICE, 4) == []
    requested = bodies(wire)
    assert [body["cursor"] for body in requested] == [None, "c1", "c2", "c3"]
    assert requested[0] == {
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


@pytest.mark.parametrize("cursor", [None, "", 5])
def test_a_page_without_a_valid_cursor_is_the_last(gateway: SunoGateway, wire: RequestsMock, cursor: object) -> None:
    wire.post(V3, json={"clips": [SONG | {"id": "only"}], "next_cursor": cursor})
    assert ids(gateway.songs(ALICE)) == ["only"]
    assert gateway.songs(ALICE, 1) == []
    assert calls(wire, V3) == 1


def test_cursors_that_were_moved_by_a_new_song_are_not_used_again(gateway: SunoGateway, wire: RequestsMock) -> None:
    for number, cursor in enumerate(["c1", "c2", "new1", "new2"]):
        wire.post(V3, json={"clips": [SONG | {"id": f"song-{number}"}], "next_cursor": cursor})
    pages = [ids(gateway.songs(ALICE, page)) for page in (0, 1, 0, 1)]
    assert pages == [["song-0"], ["song-1"], ["song-2"], ["song-3"]]
    assert [body["cursor"] for body in bodies(wire)] == [None, "c1", None, "new1"]


def test_the_cursors_of_the_least_recently_used_account_are_forgotten_first(
    gateway: SunoGateway, wire: RequestsMock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "MAX_CURSOR_ACCOUNTS", 2)
    wire.post(V3, json={"clips": [SONG | {"id": "song"}], "next_cursor": "c"})
    carol = Account("carol-client", "the header X-Suno-Cookie")
    for account, page in ((ALICE, 0), (BOB, 0), (carol, 0), (carol, 1), (BOB, 1), (ALICE, 1)):
        gateway.songs(account, page)
    assert [body["cursor"] for body in bodies(wire)] == [None, None, None, "c", "c", None, "c"]


def test_more_than_a_thousand_songs_can_be_read(gateway: SunoGateway, wire: RequestsMock) -> None:
    def page_after(request: Any) -> tuple[int, dict[str, str], str]:
        number = int(json.loads(request.body)["cursor"] or 0)
        further = {"has_more": True, "next_cursor": str(number + 1)} if number < 59 else {"has_more": False}
        return 200, {}, json.dumps({"clips": [SONG | {"id": f"song-{number}"}]} | further)

    wire.add_callback("POST", V3, page_after)
    assert ids(gateway.songs(ALICE, 59)) == ["song-59"]
    assert gateway.songs(ALICE, 60) == []
    assert calls(wire, V3) == 60


def test_a_walk_to_a_far_page_goes_on_where_the_last_one_ended(gateway: SunoGateway, wire: RequestsMock) -> None:
    for cursor in ("c1", "c2"):
        wire.post(V3, json={"clips": [SONG | {"id": cursor}], "next_cursor": cursor})
    wire.post(V3, status=500, json=GONE)
    wire.post(V3, json={"clips": [SONG | {"id": "third"}]})
    with pytest.raises(errors.SunoFailed):
        gateway.songs(ALICE, 2)
    assert ids(gateway.songs(ALICE, 2)) == ["third"]
    assert [body["cursor"] for body in bodies(wire)] == [None, "c1", "c2", "c2"]


def test_a_page_that_has_only_stems_is_not_the_end(gateway: SunoGateway, wire: RequestsMock) -> None:
    stem = CLIP | {"id": "stem"}
    wire.post(V3, json={"clips": [stem], "next_cursor": "c1"})
    wire.post(V3, json={"clips": [], "next_cursor": "c2"})
    wire.post(V3, json={"clips": [SONG | {"id": "one"}, stem], "next_cursor": "c3"})
    wire.post(V3, json={"clips": [stem]})
    assert [ids(gateway.songs(ALICE, page)) for page in (0, 1, 2)] == [["one"], [], []]
    assert [body["cursor"] for body in bodies(wire)] == [None, "c1", "c2", "c3"]


def test_cursors_that_repeat_end_the_list(gateway: SunoGateway, wire: RequestsMock) -> None:
    wire.post(V3, json={"clips": [SONG | {"id": "one"}], "next_cursor": "c1"})
    assert [ids(gateway.songs(ALICE, page)) for page in (0, 1, 2)] == [["one"], ["one"], []]
    wire.replace("POST", V3, json={"clips": [], "next_cursor": "c1"})
    assert gateway.songs(BOB, 0) == []


def test_v2_skips_pages_that_have_only_stems(gateway: SunoGateway, wire: RequestsMock) -> None:
    wire.post(V3, status=404, json=GONE)
    stems = [CLIP | {"id": "stem"}]
    pages = {"0": stems, "1": [SONG | {"id": "one"}], "2": [SONG | {"id": "two"}]}
    wire.add_callback(
        "GET",
        V2,
        lambda request: (200, {}, json.dumps({"clips": pages.get(request.params["page"], [])})),  # type: ignore[attr-defined]
    )
    assert [ids(gateway.songs(ALICE, page)) for page in (0, 1, 2, 3)] == [["one"], ["two"], [], []]


def test_a_v2_that_answers_every_page_alike_has_one_page(gateway: SunoGateway, wire: RequestsMock) -> None:
    wire.post(V3, status=404, json=GONE)
    wire.get(V2, json={"clips": [SONG | {"id": "one"}, SONG | {"id": "two"}]})
    assert [ids(gateway.songs(ALICE, page)) for page in (0, 1)] == [["one", "two"], []]


def test_a_v2_that_answers_every_page_with_the_same_stems_does_not_show_that_there_are_no_songs(
    gateway: SunoGateway, wire: RequestsMock
) -> None:
    wire.post(V3, status=404, json=GONE)
    wire.get(V2, json={"clips": [CLIP | {"id": "stem"}]})
    with pytest.raises(errors.SunoFailed, match="an account's songs"):
        gateway.songs(ALICE)


def test_a_library_that_cannot_be_read_is_a_clear_failure(gateway: SunoGateway, wire: RequestsMock) -> None:
    wire.post(V3, json=[])
    with pytest.raises(errors.SunoFailed, match="wire format may have changed"):
        gateway.songs(ALICE)


def test_v2_lists_songs_by_page_and_omits_stems(gateway: SunoGateway, wire: RequestsMock) -> None:
    wire.post(V3, status=404, json=GONE)
    for page in range(4):
        wire.get(f"{V2}?page={page}", json={"clips": [SONG | {"id": f"song-{page}"}, CLIP | {"id": "stem"}]})
    assert ids(gateway.songs(ALICE, 3)) == ["song-3"]
    assert wire.calls[-1].request.url == f"{V2}?page=3"


def test_a_concurrent_read_of_the_first_page_does_not_mix_up_cursors(
    gateway: SunoGateway, wire: RequestsMock
) -> None:
    def page_after(request: Any) -> tuple[int, dict[str, str], str]:
        number = int((json.loads(request.body)["cursor"] or "0").removeprefix("c"))
        if number == 3 and len(wire.calls) < 12:
            assert ids(gateway.songs(ALICE, 0)) == ["song-0"]
        reply = {"clips": [SONG | {"id": f"song-{number}"}], "has_more": True, "next_cursor": f"c{number + 1}"}
        return 200, {}, json.dumps(reply)

    wire.add_callback("POST", V3, page_after)
    pages = [ids(gateway.songs(ALICE, page)) for page in (3, 4, 2, 6)]
    assert pages == [["song-3"], ["song-4"], ["song-2"], ["song-6"]]
    before = calls(wire, V3)
    gateway.songs(ALICE, 0)
    gateway.songs(ALICE, 7)
    assert calls(wire, V3) == before + 2
