from __future__ import annotations

import re
import threading
from typing import Any

import pytest

from tests.sandbox.conftest import OCEAN_WANDERER, ids_of, v2_web_body

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
FREE_CALLS = [
    ("GET", "/api/feed/v2"),
    ("POST", "/api/feed/v3"),
    ("GET", f"/api/clip/{OCEAN_WANDERER}"),
    ("GET", f"/api/clip/{OCEAN_WANDERER}/stems/pages"),
    ("GET", f"/api/clip/{OCEAN_WANDERER}/stems"),
    ("GET", "/api/billing/info/"),
    ("POST", "/api/c/check"),
    ("GET", f"/api/download/clip/{OCEAN_WANDERER}"),
    ("POST", f"/api/gen/{OCEAN_WANDERER}/convert_wav/"),
    ("GET", f"/api/gen/{OCEAN_WANDERER}/wav_file/"),
]


@pytest.mark.parametrize("slash", ["", "/"])
def test_a_split_gives_vocals_and_instrumental_for_ten_credits(alice, slash):
    reply = alice.post(f"/api/edit/stems/{OCEAN_WANDERER}{slash}")
    first, second = reply.json()["clips"]
    assert (first["title"], second["title"]) == ("Ocean Wanderer (Vocals)", "Ocean Wanderer (Instrumental)")
    assert first["status"] == "submitted"
    assert first["metadata"]["duration"] is None
    assert first["metadata"]["stem_from_id"] == OCEAN_WANDERER
    assert UUID.fullmatch(first["id"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", first["created_at"])
    assert alice.credits() == 490


def test_a_repeated_split_is_charged_again_and_makes_new_stems(alice):
    assert not set(ids_of(alice.split())) & set(ids_of(alice.split()))
    assert alice.credits() == 480
    assert [charge["credits"] for charge in alice.charges()] == [10, 10]


def test_stems_pass_through_every_status_and_get_a_duration(alice, eventually):
    ids = ids_of(alice.split())
    seen: list[str] = []

    def complete():
        clips = alice.feed(ids)
        if clips[0]["status"] not in seen:
            seen.append(clips[0]["status"])
        return clips if clips[0]["status"] == "complete" else None

    clips = eventually(complete)
    order = ["submitted", "queued", "streaming", "complete"]
    assert seen == [status for status in order if status in seen]
    assert len(seen) > 1
    assert [clip["metadata"]["duration"] for clip in clips] == [183.4, 183.4]
    assert clips[0]["audio_url"] == "https://studio-api.prod.suno.com/api/forbidden"


def test_twelve_gives_two_takes_of_each_part_for_fifty_credits(alice):
    reply = alice.post("/api/generate/v2-web/", v2_web_body())
    titles = [clip["title"] for clip in reply.json()["clips"]]
    groups = [clip["metadata"]["stem_type_group_name"] for clip in reply.json()["clips"]]
    assert len(titles) == reply.json()["batch_size"] == 24
    assert titles[:12] == titles[12:]
    assert len(set(titles)) == 12
    assert groups[1] == "Backing_Vocals"
    assert alice.credits() == 450


@pytest.mark.parametrize("key", [*v2_web_body(), *(f"metadata.{key}" for key in v2_web_body()["metadata"])])
def test_v2_web_names_each_key_that_is_missing_or_wrong(alice, key):
    missing, wrong = v2_web_body(), v2_web_body()
    *above, last = key.split(".")
    del (missing["metadata"] if above else missing)[last]
    (wrong["metadata"] if above else wrong)[last] = 3.5
    for body in (missing, wrong):
        reply = alice.post("/api/generate/v2-web/", body)
        assert reply.status_code == 422
        assert reply.json()["detail"][0]["loc"] == ["body", *key.split(".")]
    assert alice.charges() == []


def test_v2_web_is_refused_if_a_captcha_is_required(alice, sign_in):
    needs_captcha = sign_in("sandbox-needs-captcha")
    check = {"ctype": "generation"}
    assert alice.post("/api/c/check", check).json() == {"required": False, "captcha_version": 1}
    assert needs_captcha.post("/api/c/check", check).json() == {"required": True, "captcha_version": 1}
    for reply in (
        needs_captcha.post("/api/generate/v2-web/", v2_web_body()),
        alice.post("/api/generate/v2-web/", v2_web_body(song="song-captcha")),
    ):
        assert (reply.status_code, reply.json()) == (422, {"detail": "Token validation failed."})
    assert needs_captcha.split().status_code == 200


def test_without_credits_nothing_is_made(sign_in):
    poor = sign_in("sandbox-poor")
    assert poor.split().status_code == 402
    assert isinstance(poor.split().json()["detail"], str)
    assert poor.charges() == []


def test_credits_run_out_exactly(sign_in):
    bob = sign_in("sandbox-bob")
    threads = [threading.Thread(target=bob.split) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert bob.credits() == 0
    assert len(bob.charges()) == 12


def test_a_plan_without_stems_is_403(sign_in):
    assert sign_in("sandbox-no-stems").split().status_code == 403


def test_an_unknown_song_is_404(alice):
    for reply in (alice.split("nothing"), alice.get("/api/clip/nothing"), alice.split("fault-nothing")):
        assert (reply.status_code, reply.json()) == (404, {"detail": "Clip not found."})


def test_the_body_of_a_split_must_be_a_json_object(alice):
    path = f"/api/edit/stems/{OCEAN_WANDERER}/"
    assert alice.call("POST", path).status_code == 422
    assert alice.post(path, []).status_code == 422
    assert alice.charges() == []


@pytest.mark.parametrize(("method", "path"), FREE_CALLS)
def test_no_call_works_without_a_token(stranger, method, path):
    reply = stranger("sandbox-alice").call(method, path, json={})
    assert (reply.status_code, reply.json()) == (401, {"detail": "Unauthorized"})


@pytest.mark.parametrize(
    ("song", "count"), [("song-4-stems", 4), ("song-bare", 2), ("song-roots", 2), ("song-no-roots", 2)]
)
def test_the_song_determines_the_number_of_clips(alice, song, count):
    assert len(alice.split(song).json()["clips"]) == count


def test_some_songs_have_replies_of_other_shapes(alice):
    assert "clips" not in (one := alice.split("song-one-object").json())
    assert one["title"] == "Lone Swimmer (Vocals)"
    assert all(list(clip) == ["id"] for clip in alice.split("song-bare").json()["clips"])
    rooted = alice.split("song-roots").json()["clips"][0]
    assert "stem_from_id" not in rooted["metadata"]
    assert rooted["clip_roots"]["clips"][0]["id"] == "song-roots"
    rootless = alice.split("song-no-roots").json()["clips"][0]
    assert "stem_from_id" not in rootless["metadata"]
    assert "clip_roots" not in rootless
    body = v2_web_body(song="song-one-take")
    assert len(alice.post("/api/generate/v2-web/", body).json()["clips"]) == 12


def test_a_stem_can_end_in_error(alice, eventually):
    ids = ids_of(alice.split("song-stem-fails"))
    eventually(lambda: alice.feed(ids)[0]["status"] == "complete")
    assert alice.feed(ids)[1]["status"] == "error"
    assert alice.feed(ids)[1]["metadata"]["error_message"]


def test_new_ids_can_appear_late_in_every_read_call(alice, eventually):
    alice.post("/sandbox/settings", {"pace": 60})
    ids = ids_of(alice.split("song-late-ids"))
    assert alice.feed(ids) == []
    assert alice.get(f"/api/clip/{ids[0]}").status_code == 404
    assert alice.get("/api/clip/song-late-ids/stems/pages").json() == {"pages": 0}
    alice.post("/sandbox/settings", {"pace": 0.01})
    eventually(lambda: len(alice.feed(ids)) == 2)


def test_the_feed_can_fail_after_each_split(alice):
    alice.post("/sandbox/settings", {"feed": "v2+v3"})
    for _ in range(2):
        query = {"ids": ",".join(ids_of(alice.split("song-feed-fails")))}
        assert [alice.get("/api/feed/v2", **query).status_code for _ in range(3)] == [500, 500, 200]
    query = {"ids": ",".join(ids_of(alice.split("song-feed-429")))}
    replies = [alice.get("/api/feed/v2", **query) for _ in range(2)]
    assert [reply.status_code for reply in replies] == [429, 200]
    assert replies[0].headers["Retry-After"] == "1"


def test_both_feeds_return_the_same_clips(alice):
    alice.post("/sandbox/settings", {"feed": "v2+v3"})
    alice.post("/sandbox/settings", {"pace": 60})
    ids = [*ids_of(alice.split()), OCEAN_WANDERER, "unknown"]
    body = {"filters": {"ids": {"presence": "True", "clipIds": ids}}, "limit": 20}
    v3 = alice.post("/api/feed/v3", body).json()
    assert v3["clips"] == alice.get("/api/feed/v2", ids=",".join(ids)).json()["clips"]
    assert [clip["id"] for clip in v3["clips"]] == ids[:3]
    assert (v3["has_more"], "next_cursor" in v3) == (False, False)


def test_both_feeds_list_the_whole_account_newest_first(alice):
    alice.post("/sandbox/settings", {"feed": "v2+v3"})
    by_page, page = [], 0
    while page < 20 and (clips := alice.get("/api/feed/v2", page=page).json()["clips"]):
        by_page += clips
        page += 1
    by_cursor: list[dict[str, Any]] = []
    reply = {"has_more": True, "next_cursor": None}
    while len(by_cursor) < 1_000 and reply["has_more"]:
        reply = alice.post("/api/feed/v3", {"limit": 15, "cursor": reply.get("next_cursor")}).json()
        by_cursor += reply["clips"]
    assert page > 1
    assert by_cursor == by_page
    dates = [clip["created_at"] for clip in by_page]
    assert dates == sorted(dates, reverse=True)
    assert OCEAN_WANDERER in [clip["id"] for clip in by_page]


@pytest.mark.parametrize(
    ("forms", "v2", "v3"),
    [("v2+v3", 200, 200), ("v3-only", 404, 200), ("v3-only-405", 405, 200), ("v2-only", 200, 404)],
)
def test_either_feed_can_be_removed(alice, forms, v2, v3):
    alice.post("/sandbox/settings", {"feed": forms})
    assert alice.get("/api/feed/v2", ids="x").status_code == v2
    assert alice.post("/api/feed/v3", {}).status_code == v3


def test_feed_v3_requires_the_filter_format_of_suno_com(alice):
    refused: tuple[dict[str, Any], ...] = ({"clipIds": []}, {"presence": True, "clipIds": []}, {"presence": "True"})
    for ids in refused:
        assert alice.post("/api/feed/v3", {"filters": {"ids": ids}}).status_code == 422


def test_existing_stems_can_be_read(alice):
    assert alice.get("/api/clip/song-with-twelve/stems/pages").json() == {"pages": 2}
    pages = [alice.get("/api/clip/song-with-twelve/stems", page=n).json()["stems"] for n in range(2)]
    assert [len(page) for page in pages] == [20, 4]
    assert pages[0][0]["status"] == "complete"
    two = alice.get("/api/clip/song-with-two/stems").json()["stems"]
    assert [clip["metadata"]["stem_task"] for clip in two] == ["two", "two"]
    old = alice.get("/api/clip/song-with-old-stems/stems").json()["stems"]
    assert [clip["title"] for clip in old] == ["First Snow - Vocals", "First Snow - Instrumental"]
    assert "stem_task" not in old[0]["metadata"]
    assert alice.get("/api/clip/song-with-two").json()["metadata"]["has_stem"] is True


def test_songs_without_stems_answer_in_three_ways(alice):
    assert alice.get(f"/api/clip/{OCEAN_WANDERER}/stems/pages").json() == {"pages": 0}
    assert alice.get("/api/clip/song-pages-400/stems/pages").status_code == 400
    assert alice.get("/api/clip/song-pages-404/stems/pages").status_code == 404
    alice.split("song-pages-404")
    assert alice.get("/api/clip/song-pages-404/stems/pages").json() == {"pages": 1}
    assert len(alice.get("/api/clip/song-stems-as-clips/stems").json()["clips"]) == 2


def test_the_newest_split_of_a_song_comes_first(alice):
    first, second = ids_of(alice.split()), ids_of(alice.split())
    stems = alice.get(f"/api/clip/{OCEAN_WANDERER}/stems").json()["stems"]
    assert [clip["id"] for clip in stems] == second + first


def test_accounts_do_not_see_each_others_stems(alice, sign_in):
    ids, bob = ids_of(alice.split()), sign_in("sandbox-bob")
    assert bob.feed(ids) == []
    assert bob.get(f"/api/clip/{OCEAN_WANDERER}/stems/pages").json() == {"pages": 0}
    assert bob.credits() == 120


def test_billing_returns_plan_features_and_downloads(alice, sign_in):
    info = alice.get("/api/billing/info/").json()
    assert (info["total_credits_left"], info["monthly_usage"]) == (500, 0)
    assert {"name": "get_stems"} in info["accessible_features"]
    assert info["download_usage"]["current_period_downloads_limit"] == 20
    assert "plan" not in sign_in("sandbox-old-billing").get("/api/billing/info/").json()


def test_a_path_with_the_wrong_slash_redirects_to_the_right_one(alice):
    reply = alice.get("/api/billing/info")
    assert (reply.status_code, reply.headers["Location"]) == (307, "/api/billing/info/")
    assert alice.get("/api/feed/v2/", ids="a").headers["Location"] == "/api/feed/v2?ids=a"


def test_other_paths_and_methods_are_404_and_405(alice):
    assert alice.get("/api/nothing").status_code == 404
    reply = alice.get(f"/api/edit/stems/{OCEAN_WANDERER}/")
    assert (reply.status_code, reply.headers["Allow"]) == (405, "POST")


def test_a_load_account_is_created_on_first_use(sign_in):
    assert sign_in("sandbox-load-12").credits() == 1000


def test_the_rich_account_forgets_its_oldest_stems(sandbox, sign_in):
    rich = sandbox.suno.account("sandbox-rich")
    song = sandbox.suno.song(OCEAN_WANDERER)
    with sandbox.suno.lock:
        splits = [sandbox.suno.split(rich, song, "two") for _ in range(5_010)]
    client = sign_in("sandbox-rich")
    assert len(client.charges()) == 5_000
    assert client.get("/sandbox/accounts").json()["sandbox-rich"]["charges"] == 5_010
    assert client.feed([splits[0].stems[0].id, splits[-1].stems[0].id])[0]["id"] == splits[-1].stems[0].id


def test_a_busy_suno_refuses_reads_or_answers_them_late(sandbox, alice):
    sandbox.suno.options.read_pause = 3600
    reply = alice.get(f"/api/clip/{OCEAN_WANDERER}")
    assert (reply.status_code, reply.headers["Retry-After"]) == (429, "3600")
    assert alice.post("/api/feed/v3").status_code == 429
    assert alice.split().status_code == 200
    sandbox.suno.options.read_pause, sandbox.suno.options.read_delay = 0, 0.2
    assert alice.get(f"/api/clip/{OCEAN_WANDERER}").elapsed.total_seconds() >= 0.2
