"""What one does after a split, over real sockets: look, list, count, fetch."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from tests.asserts import assert_error
from tests.conftest import SONG, Client, Suno

PEERS_FIELDS = [
    *("id", "title", "image_url", "lyric", "audio_url", "video_url", "created_at", "model_name", "status"),
    *("gpt_description_prompt", "prompt", "type", "tags", "duration", "error_message"),
]


def ask(service: Client, method: str, path: str, cookie: str, **options: Any) -> requests.Response:
    return service.request(method, path, headers={"X-Suno-Cookie": cookie}, **options)


def until_complete(service: Client, cookie: str, ids: list[str]) -> list[dict[str, Any]]:
    while True:
        clips = ask(service, "GET", f"/api/get?ids={','.join(ids)}", cookie).json()
        if {clip["status"] for clip in clips} == {"complete"}:
            return clips  # type: ignore[no-any-return]


@pytest.fixture(params=["v2+v3", "v3-only", "v3-only-405"])
def feed(request: pytest.FixtureRequest, suno: Suno) -> Iterator[str]:
    suno.set(feed=request.param)
    yield request.param
    suno.set(feed="v2+v3")


def test_clips_have_every_key_of_the_peers_in_its_types(service: Client, account: str) -> None:
    [song] = ask(service, "GET", f"/api/get?ids={SONG}", account).json()
    assert list(song) == [*PEERS_FIELDS, "stem_from_id"]
    assert song["title"] == "Ocean Wanderer"
    assert song["duration"] == 183.4
    assert song["lyric"].count("\n") == song["prompt"].count("\n") - 1
    assert "\n\n" not in song["lyric"]
    assert song["audio_url"] is None


def test_stems_are_looked_at_in_the_order_asked(service: Client, account: str) -> None:
    ids = [stem["id"] for stem in service.split(cookie=account).json()]
    clips = ask(service, "GET", f"/api/get?ids={ids[1]},nobody,{ids[0]}", account).json()
    assert [clip["id"] for clip in clips] == [ids[1], ids[0]]
    assert {clip["stem_from_id"] for clip in clips} == {SONG}


def test_both_forms_of_the_feed_will_do(start: Any, account: str, feed: str) -> None:
    service = start(WEB_CONCURRENCY="1")
    ids = [stem["id"] for stem in service.split(cookie=account).json()]
    assert [clip["id"] for clip in ask(service, "GET", f"/api/get?ids={','.join(ids)}", account).json()] == ids
    assert ids[0] in [clip["id"] for clip in ask(service, "GET", "/api/get", account).json()]
    further = ask(service, "GET", "/api/get?page=1", account)
    if feed == "v2+v3":
        assert further.status_code == 200
    else:
        assert "first page" in assert_error(further, 400, "refused_by_suno")["error"]


def test_without_ids_the_accounts_own_songs_are_listed_newest_first(service: Client, account: str) -> None:
    listed: list[dict[str, Any]] = []
    for page in itertools.count():
        clips = ask(service, "GET", f"/api/get?page={page}", account).json()
        if not clips:
            break
        listed += clips
    assert SONG in [clip["id"] for clip in listed]
    assert len({clip["id"] for clip in listed}) == len(listed) > 20
    made = [clip["created_at"] for clip in listed if clip["created_at"]]
    assert made == sorted(made, reverse=True)


def test_a_cookie_pays_nothing_to_look(service: Client, suno: Suno, account: str) -> None:
    for path in ("/api/get", f"/api/get?ids={SONG}", "/api/get_limit", f"/api/stems?audio_id={SONG}"):
        assert ask(service, "GET", path, account).status_code == 200
    assert suno.charges(account) == []


def test_credits_are_told_as_the_peer_does_and_more(service: Client, account: str) -> None:
    before = ask(service, "GET", "/api/get_limit", account).json()
    service.split(cookie=account)
    after = ask(service, "GET", "/api/get_limit", account).json()
    assert list(before) == [
        *("credits_left", "period", "monthly_limit", "monthly_usage"),
        *("downloads_limit", "downloads_used", "can_split"),
    ]
    assert (before["credits_left"], after["credits_left"]) == (1000, 990)
    assert before["can_split"] is True


def test_an_old_billing_reply_leaves_nulls(service: Client) -> None:
    credits = ask(service, "GET", "/api/get_limit", "sandbox-old-billing").json()
    assert credits["credits_left"] == 500
    assert {credits[name] for name in ("downloads_limit", "downloads_used", "can_split")} == {None}


@pytest.mark.parametrize(
    ("song", "count"),
    [
        ("song-with-two", 2),
        ("song-with-twelve", 24),
        ("song-with-old-stems", 2),
        ("song-stems-as-clips", 2),
        ("song-pages-400", 0),
        ("song-pages-404", 0),
        ("nobody", 0),
        (SONG, 0),
    ],
)
def test_every_stem_a_song_has_is_listed_for_free(service: Client, account: str, song: str, count: int) -> None:
    stems = ask(service, "GET", f"/api/stems?audio_id={song}", account).json()
    assert len({stem["id"] for stem in stems}) == len(stems) == count
    assert {stem["stem_from_id"] for stem in stems} <= {song}
    assert all(list(stem) == ["id", "status", "created_at", "title", "stem_from_id", "duration"] for stem in stems)


@pytest.mark.parametrize(
    ("method", "path", "options", "field"),
    [
        ("GET", "/api/get?ids=", {}, "ids"),
        ("GET", "/api/get?ids=a,,b", {}, "ids"),
        ("GET", "/api/get?ids=../a", {}, "ids"),
        ("GET", "/api/get?ids=" + ",".join("a" * 51), {}, "ids"),
        ("GET", "/api/get?page=-1", {}, "page"),
        ("GET", "/api/get?page=one", {}, "page"),
        ("GET", "/api/stems", {}, "audio_id"),
        ("GET", "/api/stems?audio_id=", {}, "audio_id"),
        ("GET", "/api/stems?audio_id=a/b", {}, "audio_id"),
        ("POST", "/api/generate_stems", {"json": {"audio_id": "a", "stem_task": "three"}}, "stem_task"),
        ("POST", "/api/generate_stems", {"json": {"audio_id": "a", "stem_task": None}}, "stem_task"),
        ("POST", "/api/generate_stems", {"json": {"audio_id": "a", "stem_task": ["two"]}}, "stem_task"),
        ("POST", "/api/generate_stems", {"json": {"audio_id": "a", "wait_audio": "yes"}}, "wait_audio"),
        ("POST", "/api/generate_stems", {"json": {"audio_id": "a", "wait_audio": 1}}, "wait_audio"),
        ("POST", "/api/generate_stems", {"json": {"audio_id": "a", "wait_audio": None}}, "wait_audio"),
        ("POST", "/api/generate_stems", {"json": {"audio_id": "a", "reuse_existing": "true"}}, "reuse_existing"),
        ("POST", "/api/download", {"json": {"format": "mp3"}}, "id"),
        ("POST", "/api/download", {"json": {"id": "../a", "format": "mp3"}}, "id"),
        ("POST", "/api/download", {"json": {"id": "a"}}, "format"),
        ("POST", "/api/download", {"json": {"id": "a", "format": "flac"}}, "format"),
        ("POST", "/api/download", {"json": {"id": "a", "format": 3}}, "format"),
    ],
)
def test_bad_input_is_400_by_field_and_reaches_nobody(
    service: Client, suno: Suno, method: str, path: str, options: dict[str, Any], field: str
) -> None:
    suno.forget()
    body = assert_error(service.request(method, path, **options), 400, "invalid_request")
    assert list(body["details"]) == [field]
    assert all(isinstance(text, str) for text in body["details"][field])
    assert field in body["error"]
    assert suno.log() == []


@pytest.mark.parametrize("path", ["/api/get", "/api/get_limit", f"/api/stems?audio_id={SONG}"])
@pytest.mark.parametrize(
    ("cookie", "status", "code"),
    [
        ("sandbox-dead", 401, "suno_session_expired"),
        ("sandbox-always-401", 401, "suno_session_expired"),
        ("sandbox-clerk-429", 429, "rate_limited"),
        ("sandbox-clerk-html", 500, "suno_failed"),
        ("sandbox-clerk-reset", 503, "suno_unreachable"),
    ],
)
def test_reading_fails_in_the_same_shape(service: Client, path: str, cookie: str, status: int, code: str) -> None:
    assert_error(ask(service, "GET", path, cookie), status, code)


def test_fifty_ids_are_taken(service: Client, account: str) -> None:
    assert ask(service, "GET", "/api/get?ids=" + ",".join(f"x{n}" for n in range(50)), account).json() == []


def test_twelve_stems_cost_fifty_and_two_takes_stay_apart(service: Client, suno: Suno, account: str) -> None:
    stems = service.post(
        "/api/generate_stems",
        json={"audio_id": SONG, "stem_task": "twelve"},
        headers={"X-Suno-Cookie": account},
    ).json()
    [charge] = suno.charges(account)
    assert (charge["task"], charge["credits"]) == ("twelve", 50)
    assert [stem["id"] for stem in stems] == charge["clips"]
    assert len(stems) == 24
    assert len({stem["title"] for stem in stems}) == 12


@pytest.mark.parametrize(
    ("cookie", "song", "status", "code"),
    [
        ("sandbox-needs-captcha", SONG, 403, "captcha_required"),
        ("sandbox-bob", "song-captcha", 403, "captcha_required"),
        ("sandbox-bob", "nobody", 404, "song_not_found"),
    ],
)
def test_what_stops_twelve_costs_nothing(
    service: Client, suno: Suno, cookie: str, song: str, status: int, code: str
) -> None:
    before = len(suno.charges(cookie))
    response = service.post(
        "/api/generate_stems",
        json={"audio_id": song, "stem_task": "twelve"},
        headers={"X-Suno-Cookie": cookie},
    )
    body = assert_error(response, status, code)
    assert code != "captcha_required" or "open suno.com" in body["error"].lower()
    assert len(suno.charges(cookie)) == before


def test_two_by_the_edit_route_needs_no_captcha(service: Client) -> None:
    assert service.split(cookie="sandbox-needs-captcha").status_code == 200


def test_two_by_v2_web_where_the_setting_says_so(start: Any, suno: Suno, account: str) -> None:
    service = start(SUNO_STEMS_ROUTE="v2-web", WEB_CONCURRENCY="1")
    suno.forget()
    assert len(service.split(cookie=account).json()) == 2
    asked = [entry["path"] for entry in suno.log("/api/")]
    assert asked == [f"/api/clip/{SONG}", "/api/c/check", "/api/generate/v2-web/"]


@pytest.mark.parametrize("song", ["song-with-two", "song-with-old-stems"])
def test_stems_that_are_there_are_reused_for_free(service: Client, suno: Suno, account: str, song: str) -> None:
    response = service.post(
        "/api/generate_stems",
        json={"audio_id": song, "reuse_existing": True},
        headers={"X-Suno-Cookie": account},
    )
    assert response.json() == ask(service, "GET", f"/api/stems?audio_id={song}", account).json()
    assert suno.charges(account) == []


@pytest.mark.parametrize(
    ("song", "task", "charged"),
    [
        ("song-with-twelve", "twelve", 0),
        ("song-with-twelve", "two", 1),
        ("song-with-two", "twelve", 1),
        (SONG, "two", 1),
    ],
)
def test_only_a_set_of_the_kind_asked_for_is_reused(
    service: Client, suno: Suno, account: str, song: str, task: str, charged: int
) -> None:
    response = service.post(
        "/api/generate_stems",
        json={"audio_id": song, "reuse_existing": True, "stem_task": task, "wait_audio": False},
        headers={"X-Suno-Cookie": account},
    )
    assert response.status_code == 200
    assert len(suno.charges(account)) == charged


@pytest.mark.parametrize("format", ["mp3", "m4a", "wav"])
def test_audio_is_fetched_by_asking_until_it_is_ready(service: Client, suno: Suno, account: str, format: str) -> None:
    [vocals, _] = service.split(cookie=account).json()
    until_complete(service, account, [vocals["id"]])
    suno.forget()

    wanted = {"id": vocals["id"], "format": format}
    response = ask(service, "POST", "/api/download", account, json=wanted)
    assert (response.status_code, response.json()) == (202, {**wanted, "download_url": None})
    assert int(response.headers["Retry-After"]) == 1
    while response.status_code == 202:
        response = ask(service, "POST", "/api/download", account, json=wanted)

    assert response.status_code == 200
    assert list(response.json()) == ["id", "format", "download_url"]
    assert requests.get(response.json()["download_url"], timeout=10).content[:4] == b"RIFF"
    assert len(suno.log(f"/api/gen/{vocals['id']}/convert_wav/")) in ((1, 2) if format == "wav" else (0,))


def test_a_plan_without_wav_is_told_in_sunos_words(service: Client) -> None:
    [vocals, _] = service.split(cookie="sandbox-free").json()
    until_complete(service, "sandbox-free", [vocals["id"]])
    response = ask(service, "POST", "/api/download", "sandbox-free", json={"id": vocals["id"], "format": "wav"})
    assert "Suno says" in assert_error(response, 403, "not_allowed")["error"]


def test_nothing_but_a_download_starts_a_download(service: Client, suno: Suno, account: str) -> None:
    suno.forget()
    ids = [stem["id"] for stem in service.split(cookie=account).json()]
    until_complete(service, account, ids)
    for path in ("/api/get", "/api/get_limit", f"/api/stems?audio_id={SONG}", f"/api/get?ids={','.join(ids)}"):
        ask(service, "GET", path, account)
    for more in ({"reuse_existing": True}, {"wait_audio": True}, {"stem_task": "twelve"}):
        service.post("/api/generate_stems", json={"audio_id": SONG, **more}, headers={"X-Suno-Cookie": account})

    asked = [entry["path"] for entry in suno.log()]
    assert len(asked) > 10
    assert not [path for path in asked if "download" in path or "wav" in path or "/audio" in path]
