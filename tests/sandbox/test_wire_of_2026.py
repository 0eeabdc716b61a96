"""The local Suno's wire since the summer of 2026, as captured from /v1 and /api then."""

from __future__ import annotations

import base64
import json
import time
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

import pytest
import requests

from sandbox.downloads import address_is_good
from sandbox.message import Request
from sandbox.suno import fingerprint, user_id_of
from tests.sandbox.conftest import OCEAN_WANDERER, ids_of, v2_web_body


def extract_body(name: str = "Lead Vocal", song: str = OCEAN_WANDERER) -> dict[str, object]:
    return v2_web_body(song=song) | {
        "mv": "chirp-v3-5-b",
        "stem_task": "extract",
        "stem_type_group_name": name,
        "stem_name": name,
    }


def claims(jwt: str) -> dict[str, Any]:
    payload = jwt.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))


def test_sign_in_returns_a_usable_token(stranger):
    alice = stranger("sandbox-alice")
    [session] = alice.client().json()["response"]["sessions"]
    alice.token = session["last_active_token"]["jwt"]
    assert alice.credits() == 500
    payload = claims(alice.token)
    assert (payload["aud"], payload["exp"] - payload["iat"]) == ("suno-api", 3600)
    assert payload["suno.com/claims/user_id"] == user_id_of("sandbox-alice")


def test_two_cookies_can_be_one_account(sign_in):
    first, again = sign_in("sandbox-alice"), sign_in("sandbox-alice-again")
    assert claims(first.token)["suno.com/claims/user_id"] == claims(again.token)["suno.com/claims/user_id"]
    first.split()
    assert again.credits() == 490
    assert again.get("/api/session/").json()["user"]["id"] == user_id_of("sandbox-alice")


def test_an_extract_makes_the_part_and_the_rest(alice):
    reply = alice.post("/api/generate/v2-web/", extract_body("Drum Kit"))
    assert [clip["title"] for clip in reply.json()["clips"]] == [
        "Ocean Wanderer (Drum Kit)",
        "Ocean Wanderer (Without Drum Kit)",
    ]
    assert {clip["metadata"]["stem_task"] for clip in reply.json()["clips"]} == {"extract"}
    assert set(reply.json()) == {"id", "clips", "metadata", "status", "created_at", "batch_size"}
    assert alice.credits() == 490


def test_an_extract_can_want_the_group_of_the_part(alice):
    alice.post("/sandbox/settings", {"extract_group": "group"})
    assert alice.post("/api/generate/v2-web/", extract_body("Drum Kit")).status_code == 422
    by_group = extract_body("Drum Kit") | {"stem_type_group_name": "Drums"}
    assert alice.post("/api/generate/v2-web/", by_group).status_code == 200
    alice.post("/sandbox/settings", {"extract_group": "name"})
    assert alice.post("/api/generate/v2-web/", by_group).status_code == 422
    assert len(alice.charges()) == 1


def test_an_unknown_part_is_refused(alice):
    assert alice.post("/api/generate/v2-web/", extract_body("Kazoo")).status_code == 400
    assert alice.charges() == []


@pytest.mark.parametrize("status", ["400", "403", "404", "405", "410", "422"])
def test_each_route_can_be_removed(alice, status):
    alice.post("/sandbox/settings", {"edit_route": status, "v2_web_route": status})
    assert alice.split().status_code == int(status)
    assert alice.post("/api/generate/v2-web/", extract_body()).status_code == int(status)
    assert alice.charges() == []


def test_a_paid_call_with_a_token_past_half_its_life_is_refused(alice):
    alice.post("/sandbox/settings", {"active_token_age": 1900})
    [session] = alice.client().json()["response"]["sessions"]
    alice.token = session["last_active_token"]["jwt"]
    assert (alice.split().status_code, alice.split().json()) == (422, {"detail": "Token validation failed."})
    assert alice.credits() == 500


def test_a_paid_call_can_require_a_fresh_browser_token(alice):
    alice.post("/sandbox/settings", {"browser_token": True})
    fresh = base64.b64encode(json.dumps({"timestamp": int(time.time() * 1000)}).encode()).decode()
    stale = base64.b64encode(b'{"timestamp": 1}').decode()
    for token in ("", "nonsense", json.dumps({"token": stale})):
        assert alice.split(headers={"browser-token": token}).status_code == 422
    assert alice.split(headers={"browser-token": json.dumps({"token": fresh})}).status_code == 200


def test_the_dying_feed_ignores_ids_and_returns_21_clips(alice):
    lists = [alice.get("/api/feed/v2", **query).json()["clips"] for query in ({"ids": OCEAN_WANDERER}, {"page": 0})]
    assert lists[0] == lists[1]
    assert len(lists[0]) == 21


def test_clips_can_be_requested_by_repeated_ids(alice):
    ids = ids_of(alice.split())
    reply = alice.get("/api/clips/get_songs_by_ids", ids=ids)
    assert [clip["id"] for clip in reply.json()["clips"]] == ids


def test_clips_can_come_as_a_bare_array_only(alice):
    alice.post("/sandbox/settings", {"feed": "bare"})
    ids = ids_of(alice.split())
    assert [clip["id"] for clip in alice.get("/api/feed/", ids=",".join(ids)).json()] == ids
    assert alice.post("/api/feed/v3", {}).status_code == 404
    assert alice.get("/api/clips/get_songs_by_ids", ids=ids).status_code == 404


def test_the_library_is_paged_by_cursor_and_omits_stems(alice):
    alice.split()
    body = {"cursor": None, "limit": 30, "filters": {"stem": {"presence": "False"}}}
    first = alice.post("/api/feed/v3", body).json()
    last = alice.post("/api/feed/v3", body | {"cursor": first["next_cursor"]}).json()
    assert {clip["metadata"]["type"] for clip in first["clips"] + last["clips"]} == {"gen"}
    assert (first["has_more"], last["has_more"], "next_cursor" in last) == (True, False, False)


def test_the_library_can_require_the_accounts_own_user(alice):
    alice.post("/sandbox/settings", {"v3_wants_user": True})
    mine = {"user": {"presence": "True", "userId": user_id_of("sandbox-alice")}}
    assert alice.post("/api/feed/v3", {"filters": {}}).status_code == 422
    assert alice.post("/api/feed/v3", {"filters": mine}).status_code == 200


def test_lists_omit_some_existing_songs(alice):
    assert alice.feed(["song-left-out"]) == []
    assert alice.get("/api/clip/song-left-out").json()["title"] == "Off the Record"


def test_stems_pages_count_from_zero_and_a_page_that_is_not_there_is_refused(alice):
    path = "/api/clip/song-with-two/stems"
    assert len(alice.get(path, page=0).json()["stems"]) == 2
    assert (alice.get(path, page=1).status_code, alice.get(path, page=1).json()) == (
        400,
        {"detail": "Invalid page number"},
    )
    empty = f"/api/clip/{OCEAN_WANDERER}/stems"
    assert (alice.get(f"{empty}/pages").json(), alice.get(empty, page=0).status_code) == ({"pages": 0}, 400)


def test_stems_can_be_listed_by_their_ids_only(alice):
    [one, other] = alice.get("/api/clip/song-stem-ids/stems").json()["stems"]
    assert [clip["title"] for clip in alice.feed([one, other])] == [
        "Bare Bones (Vocals)",
        "Bare Bones (Instrumental)",
    ]


def lists_with_stems(client, stem):
    """Which of the three kinds of lists have the new stem of Ocean Wanderer."""
    pages = client.get(f"/api/clip/{OCEAN_WANDERER}/stems/pages").json()["pages"]
    mark = client.get(f"/api/clip/{OCEAN_WANDERER}").json()["metadata"]["has_stem"]
    listed = ids_of(client.post("/api/feed/v3", {"limit": 100, "filters": {"trashed": "False"}}))
    assert (stem in listed) == (client.feed([stem]) != [])
    assert client.get(f"/api/clip/{stem}").status_code == 200
    return {"stems": pages > 0, "has_stem": mark, "feed": stem in listed}


@pytest.mark.parametrize("late", ["stems", "has_stem", "feed"])
def test_each_list_can_be_late_by_itself(alice, late):
    alice.post("/sandbox/settings", {f"{late}_lag": 60})
    stem = ids_of(alice.split())[0]
    assert lists_with_stems(alice, stem) == {"stems": True, "has_stem": True, "feed": True} | {late: False}


def test_all_lists_can_be_late_at_once(alice):
    alice.post("/sandbox/settings", {"index-lag": 60, "feed_lag": 0})
    stem = ids_of(alice.split())[0]
    assert lists_with_stems(alice, stem) == {"stems": False, "has_stem": False, "feed": True}
    alice.post("/sandbox/settings", {"index_lag": 0})
    assert set(lists_with_stems(alice, stem).values()) == {True}


def test_the_dates_of_stems_can_be_behind(alice):
    alice.post("/sandbox/settings", {"dated_behind": 3600})
    [made] = {clip["created_at"] for clip in alice.split().json()["clips"]}
    assert 3590 < time.time() - datetime.fromisoformat(made).timestamp() < 3660


def test_tokens_can_lose_sunos_user_id(alice):
    alice.post("/sandbox/settings", {"user_claim": False})
    payload = claims(alice.new_token(alice.session()).json()["jwt"])
    assert "suno.com/claims/user_id" not in payload and payload["sub"].startswith("user_")


def test_a_split_that_was_answered_504_is_made_later(alice, eventually):
    alice.post("/sandbox/settings", {"queue": 0.2})
    assert alice.split("fault-504-queued").status_code == 504
    assert alice.charges() == []
    eventually(lambda: len(alice.charges()) == 1)
    assert alice.charges()[0]["reply_lost"] is True


def test_a_song_has_the_fields_of_the_captured_one(alice):
    song = alice.get(f"/api/clip/{OCEAN_WANDERER}").json()
    assert {"entity_type", "batch_index", "media_urls", "major_model_version"} <= set(song)
    assert song["is_download_unlocked"] is False
    assert {"min_bpm", "avg_bpm", "max_bpm", "key"} <= set(song["metadata"])


def test_the_parent_can_be_only_in_the_history(alice):
    clip = alice.split("song-history").json()["clips"][0]["metadata"]
    assert clip["history"][-1] == {"id": "m_song-history"}
    assert (clip["stem_name"], "stem_from_id" in clip, "stem_type_group_name" in clip) == ("Vocals", False, False)


def test_the_parent_can_be_a_plain_id_in_the_history(alice):
    clip = alice.split("song-plain-history").json()["clips"][0]["metadata"]
    assert clip["history"][-1] == "song-plain-history"
    assert (clip["stem"], "stem_from_id" in clip, "stem_name" in clip) == ("Vocals", False, False)


def test_a_token_contains_the_accounts_email_address(alice):
    # A client must not log it.
    payload = claims(alice.token)
    assert payload["suno.com/claims/email"] == "sandbox-alice@mail.example"
    assert (payload["sub"].startswith("user_"), payload["plan"]) == (True, "pro")


@pytest.mark.parametrize("missing", ["token", "token_provider", "stem_name"])
def test_a_body_without_a_required_field_is_422(alice, missing):
    body = {key: value for key, value in extract_body().items() if key != missing}
    assert alice.post("/api/generate/v2-web/", body).status_code == 422
    assert alice.charges() == []


@pytest.mark.usefixtures("wire_of_2024")
def test_the_2024_wire_has_none_of_this(stranger):
    alice = stranger("sandbox-alice").sign_in()
    assert "last_active_token" not in stranger("sandbox-alice").client().json()["response"]["sessions"][0]
    assert "is_download_unlocked" not in alice.get(f"/api/clip/{OCEAN_WANDERER}").json()
    assert alice.post("/api/download/authorize", {}).status_code == 404
    assert alice.get("/api/clips/get_songs_by_ids", ids="a").status_code == 404
    assert alice.get("/api/session/").status_code == 404
    assert alice.post("/api/generate/v2-web/", extract_body()).status_code == 422


def authorize(client, clip_id):
    return client.post("/api/download/authorize", {"item_id": clip_id, "item_type": "clip"})


def test_unlocking_a_song_counts_once(alice):
    first, again = (authorize(alice, OCEAN_WANDERER).json() for _ in range(2))
    assert first == {"ok": True, "already_unlocked": False, "credit_deducted": True}
    assert again == {"ok": True, "already_unlocked": True, "credit_deducted": False}
    assert alice.get("/sandbox/unlocks").json() == {"sandbox-alice": [OCEAN_WANDERER]}
    assert alice.get(f"/api/clip/{OCEAN_WANDERER}").json()["is_download_unlocked"] is True


def test_a_locked_song_and_its_stems_are_refused_with_200(alice):
    for clip in (OCEAN_WANDERER, alice.get("/api/clip/song-with-two/stems").json()["stems"][0]["id"]):
        reply = alice.get(f"/api/download/clip/{clip}", format="mp3")
        assert (reply.status_code, reply.json()["ok"], reply.json()["reason"]) == (200, False, "not_authorized")


def test_a_stem_cannot_be_unlocked_itself(alice):
    stem = alice.get("/api/clip/song-with-two/stems").json()["stems"][0]["id"]
    assert authorize(alice, stem).json()["reason"] == "no_permission"


@pytest.fixture
def address(alice, eventually):
    """Return a function that unlocks a song and returns the address of its file."""

    def ready(song: str, format: str = "wav") -> str:
        authorize(alice, song)
        return eventually(lambda: alice.get(f"/api/download/clip/{song}", format=format).json().get("download_url"))

    return ready


def test_a_file_supports_ranges_and_refuses_head(address):
    url = address(OCEAN_WANDERER)
    whole = requests.get(url, timeout=5)
    part = requests.get(url, headers={"Range": "bytes=100-"}, timeout=5)
    assert (part.status_code, part.content) == (206, whole.content[100:])
    assert part.headers["Content-Range"] == f"bytes 100-{len(whole.content) - 1}/{len(whole.content)}"
    assert requests.head(url, timeout=5).status_code == 403
    assert "Access-Control-Allow-Origin" not in whole.headers
    assert whole.headers["Content-Type"] == "audio/wav"


def test_storage_refuses_a_token_and_the_address_of_another_file(address):
    url = address(OCEAN_WANDERER)
    assert requests.get(url, headers={"Authorization": "Bearer x"}, timeout=5).status_code == 403
    assert requests.get(url.replace(".wav", ".mp3"), timeout=5).status_code == 403


@pytest.mark.parametrize("expires", ["", "soon", "nan", "99999999999"])
def test_an_address_needs_a_valid_expiry_and_its_signature(sandbox, expires):
    path = "/audio/song.wav"
    address = urlencode({"Expires": expires, "Signature": sandbox.suno.sign(f"{path} {expires}")})
    assert address_is_good(sandbox.suno, Request("GET", f"{path}?{address}", {})) is (expires == "99999999999")
    assert not address_is_good(sandbox.suno, Request("GET", f"{path}?{address}x", {}))


def test_a_storage_request_with_a_token_is_logged(alice, address):
    url = address(OCEAN_WANDERER)
    requests.get(url, headers={"Authorization": f"Bearer {alice.token}"}, timeout=5)
    entry = alice.log()[-1]
    assert entry["path"].startswith("/audio/")
    assert (entry["status"], entry["token_sha256"]) == (403, fingerprint(alice.token))


def test_an_address_expires(alice, address):
    alice.post("/sandbox/settings", {"address_lifetime": 0})
    assert requests.get(address(OCEAN_WANDERER), timeout=5).status_code == 403


def test_an_unlock_can_be_counted_although_its_reply_is_lost(alice):
    with pytest.raises(requests.ConnectionError):
        authorize(alice, "song-unlock-lost")
    assert alice.get("/sandbox/unlocks").json() == {"sandbox-alice": ["song-unlock-lost"]}
    with pytest.raises(requests.ConnectionError):
        authorize(alice, "song-unlock-reset")
    assert authorize(alice, "song-unlock-busy").json()["reason"] == "rate_limited"
    assert alice.get("/sandbox/unlocks").json() == {"sandbox-alice": ["song-unlock-lost"]}


def test_an_unlock_can_be_counted_although_its_reply_is_late(alice):
    with pytest.raises(requests.ReadTimeout):
        alice.post("/api/download/authorize", {"item_id": "song-unlock-slow", "item_type": "clip"}, timeout=0.2)
    assert alice.get("/sandbox/unlocks").json() == {"sandbox-alice": ["song-unlock-slow"]}
    assert authorize(alice, "song-unlock-slow").json()["already_unlocked"] is True


def test_a_plan_limits_the_number_of_unlocks(sign_in):
    free = sign_in("sandbox-free")
    assert [authorize(free, song).json()["ok"] for song in ("song-roots", "song-bare", "song-history")] == [
        True,
        True,
        False,
    ]


def test_two_songs_have_one_title_of_80_characters(alice):
    one, other = alice.feed(["song-twin-1", "song-twin-2"])
    assert one["title"] == other["title"] and len(one["title"]) == 80
