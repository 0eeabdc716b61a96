"""Clips, stems, credits and downloads, over real sockets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from tests import stack
from tests.asserts import assert_error
from tests.conftest import NUMBERS, SONG, Client, Suno, until
from tests.in_process import InProcess
from tools.stack import ACCOUNT

PEERS_FIELDS = [
    *("id", "title", "image_url", "lyric", "audio_url", "video_url", "created_at", "model_name", "status"),
    *("gpt_description_prompt", "prompt", "type", "tags", "duration", "error_message"),
]


def ask(service: Client, method: str, path: str, cookie: str, **options: Any) -> requests.Response:
    return service.request(method, path, headers={"X-Suno-Cookie": cookie}, **options)


def until_complete(service: Client, cookie: str, ids: list[str]) -> list[dict[str, Any]]:
    def complete() -> list[dict[str, Any]] | None:
        clips = ask(service, "GET", f"/api/get?ids={','.join(ids)}", cookie).json()
        return clips if {clip["status"] for clip in clips} == {"complete"} else None

    return until(complete)


@pytest.fixture(params=["dying", "v2+v3", "v3-only", "v3-only-405", "v2-only", "by-ids", "bare"])
def feed(request: pytest.FixtureRequest, suno: Suno) -> Iterator[str]:
    suno.set(feed=request.param)
    yield request.param
    suno.set(feed="dying")


@pytest.fixture(scope="module")
def of_operator(suno: Suno) -> Iterator[Client]:
    """A service with one worker and settings that do not affect each other, each for one test."""
    settings = {
        "WEB_CONCURRENCY": "1",
        "SUNO_COOKIE": f"sandbox-load-{next(NUMBERS)}",
        "SUNO_STEMS_ROUTE": "v2-web",
        "SUNO_SETTLE_TIME": "600",
    }
    with stack.service(suno.url, settings) as server:
        yield Client(server)


def test_clips_have_every_field_of_the_peer_with_its_type(service: Client, account: str) -> None:
    [song] = ask(service, "GET", f"/api/get?ids={SONG}", account).json()
    ours = ["stem_from_id", "part", "take", "bpm", "key", "download_unlocked", "silent", "has_stems"]
    assert list(song) == [*PEERS_FIELDS, *ours]
    assert (song["part"], song["take"], song["bpm"], song["key"]) == (None, None, 120, "C_major")
    assert song["title"] == "Ocean Wanderer"
    assert song["duration"] == 183.4
    assert song["lyric"].count("\n") == song["prompt"].count("\n") - 1
    assert "\n\n" not in song["lyric"]
    assert song["audio_url"] is None


def test_a_song_says_whether_it_has_been_split(service: Client, account: str) -> None:
    clips = ask(service, "GET", f"/api/get?ids={SONG},song-with-two", account).json()
    assert [(clip["id"], clip["has_stems"]) for clip in clips] == [(SONG, False), ("song-with-two", True)]


def test_clips_come_in_the_requested_order(service: Client, account: str) -> None:
    ids = [stem["id"] for stem in service.split(cookie=account).json()]
    clips = ask(service, "GET", f"/api/get?ids={ids[1]},nobody,{ids[0]}", account).json()
    assert [clip["id"] for clip in clips] == [ids[1], ids[0]]
    assert {clip["stem_from_id"] for clip in clips} == {SONG}


def test_clips_are_read_from_any_list_that_suno_has(
    in_process: Callable[..., InProcess], account: str, feed: str
) -> None:
    service = in_process()
    ids = [stem["id"] for stem in service.split(cookie=account).json()]
    assert [clip["id"] for clip in ask(service, "GET", f"/api/get?ids={','.join(ids)}", account).json()] == ids
    songs = ask(service, "GET", "/api/get", account)
    if feed in ("by-ids", "bare"):
        assert "no longer reports" in assert_error(songs, 500, "suno_failed")["error"]
    elif feed == "v2-only":
        assert songs.status_code == 200
    else:
        assert "song-with-twelve" in [clip["id"] for clip in songs.json()]


def test_clips_missing_from_a_list_are_requested_one_by_one(service: Client, suno: Suno, account: str) -> None:
    suno.forget()
    clips = ask(service, "GET", f"/api/get?ids=song-left-out&ids={SONG},nobody", account).json()
    assert [clip["id"] for clip in clips] == ["song-left-out", SONG]
    assert [e["path"] for e in suno.log("/api/")] == ["/api/feed/v3", "/api/clip/song-left-out", "/api/clip/nobody"]


def test_at_most_ten_clips_are_requested_one_by_one(service: Client, suno: Suno, account: str) -> None:
    suno.forget()
    assert ask(service, "GET", f"/api/get?ids={','.join(f'nobody-{n}' for n in range(50))}", account).json() == []
    assert len(suno.log("/api/clip/")) == 10


def test_without_ids_the_accounts_songs_are_listed_newest_first(service: Client, suno: Suno, account: str) -> None:
    service.split(cookie=account)
    listed: list[dict[str, Any]] = []
    for page in range(50):
        clips = ask(service, "GET", f"/api/get?page={page}", account).json()
        if not clips:
            break
        listed += clips
    assert SONG in [clip["id"] for clip in listed]
    assert {clip["type"] for clip in listed} == {"gen"}
    assert len({clip["id"] for clip in listed}) == len(listed) > 20
    made = [clip["created_at"] for clip in listed if clip["created_at"]]
    assert made == sorted(made, reverse=True)


def test_the_next_page_of_songs_is_one_call(of_operator: Client, suno: Suno, account: str) -> None:
    ask(of_operator, "GET", "/api/get?page=0", account)
    suno.forget()
    assert ask(of_operator, "GET", "/api/get?page=1", account).json()
    assert [entry["path"] for entry in suno.log()] == ["/api/feed/v3"]


def test_songs_are_listed_if_suno_requires_the_accounts_user(service: Client, suno: Suno, account: str) -> None:
    suno.forget()
    suno.set(v3_wants_user=True)
    try:
        assert ask(service, "GET", "/api/get", account).status_code == 200
        assert suno.log("/api/feed/v2") == []
    finally:
        suno.set(v3_wants_user=False)


def test_a_clip_is_returned_as_suno_sends_it(service: Client, account: str) -> None:
    sent = ask(service, "GET", f"/api/clip?id={SONG}", account).json()
    assert (sent["entity_type"], sent["metadata"]["avg_bpm"]) == ("song_schema", 120)
    assert_error(ask(service, "GET", "/api/clip?id=nobody", account), 404, "song_not_found")


def test_a_song_may_be_given_by_the_address_of_its_page(service: Client, suno: Suno, account: str) -> None:
    for page in (f"https://suno.com/song/{SONG}", f"https://www.suno.com/song/{SONG}/?sh=1#top"):
        assert ask(service, "GET", "/api/clip", account, params={"id": page}).json()["id"] == SONG
        assert service.split(page, account).json()[0]["stem_from_id"] == SONG
    assert [charge["song"] for charge in suno.charges(account)] == [SONG, SONG]


SHARED = [
    f" {SONG}\n",
    f"\thttps://suno.com/song/{SONG}?sh=a1B2c3\r\n",
    f"Ocean Wanderer, by me\nhttps://suno.com/song/{SONG}?sh=a1B2c3\n\nShared from Suno",
    f"Listen (https://suno.com/song/{SONG}), it is on suno.com.",
    f"suno.com/song/{SONG}",
    f"https://suno.com/song/{SONG} https://suno.com/song/{SONG}",
]
"""A song's id or link as phones and clipboards give them."""


@pytest.mark.parametrize("text", SHARED)
def test_a_song_is_found_in_the_text_that_a_phone_shares(
    service: Client, suno: Suno, account: str, text: str
) -> None:
    headers = {"X-Suno-Cookie": account}
    assert service.split(text, account).json()[0]["stem_from_id"] == SONG
    assert [charge["song"] for charge in suno.charges(account)] == [SONG]
    reads = {"stems": "audio_id", "clip": "id", "get_aligned_lyrics": "song_id", "beats": "audio_id", "get": "ids"}
    for path, name in reads.items():
        read = ask(service, "GET", f"/api/{path}", account, params={name: text})
        assert read.status_code == 200
    assert [clip["id"] for clip in read.json()] == [SONG]
    download = service.post("/api/download", json={"id": text, "format": "mp3"}, headers=headers)
    assert download.json()["id"] == SONG
    for body in ({"audio_id": text}, {"ids": [text]}):
        refused = service.post("/api/audio", json=body | {"format": "mp3"}, headers=headers)
        assert "never written down" in refused.json()["error"]
    of_zip = {"audio_id": text, "format": "mp3"}
    for reply in (
        service.get("/api/stems.zip", params=of_zip, headers=headers),
        service.post("/api/stems.zip", json=of_zip, headers=headers),
        service.get("/api/session.dawproject", params=of_zip, headers=headers),
    ):
        assert_error(reply, 409, "audio_incomplete")


@pytest.mark.parametrize(
    ("link", "words"),
    [
        ("https://suno.com/s/abc", "copy the long address"),
        ("My song: https://suno.com/s/abc\n", "copy the long address"),
        (f"https://suno.com/song/{SONG} https://suno.com/song/song-other", "links to 2 songs"),
        ("two words", "1 to 128"),
        (f"https://suno.com/song/{'a' * 129}", "1 to 128"),
        (f"https://evil.example/song/{SONG}", "1 to 128"),
        (f"https://suno.com.evil.example/song/{SONG}", "1 to 128"),
        (f"https://suno.com@evil.example/song/{SONG}", "1 to 128"),
        ("https://suno.com/song/../api", "1 to 128"),
        (f"https://suno.com/song/{SONG}/edit", "1 to 128"),
    ],
)
def test_no_other_address_is_accepted(service: Client, suno: Suno, account: str, link: str, words: str) -> None:
    suno.forget()
    assert words in assert_error(service.split(link, account), 400, "invalid_request")["error"]
    assert suno.log() == []


def test_reads_cost_nothing(service: Client, suno: Suno, account: str) -> None:
    for path in ("/api/get", f"/api/get?ids={SONG}", "/api/get_limit", f"/api/stems?audio_id={SONG}"):
        assert ask(service, "GET", path, account).status_code == 200
    assert suno.charges(account) == []


def test_credits_have_the_fields_of_the_peer_and_more(service: Client, account: str) -> None:
    before = ask(service, "GET", "/api/get_limit", account).json()
    service.split(cookie=account)
    after = ask(service, "GET", "/api/get_limit", account).json()
    assert list(before) == [
        *("credits_left", "period", "monthly_limit", "monthly_usage"),
        *("downloads_limit", "downloads_used", "downloads_extra", "can_split", "captcha"),
    ]
    assert (before["credits_left"], after["credits_left"]) == (1000, 990)
    assert before["can_split"] is True


def test_the_limits_say_whether_suno_wants_a_captcha_now(service: Client, suno: Suno) -> None:
    def captcha() -> object:
        return ask(service, "GET", "/api/get_limit", "sandbox-captcha-returns").json()["captcha"]

    assert captcha() is True
    suno.post("/sandbox/person", json={"account": "sandbox-captcha-returns", "action": "solve"})
    assert captcha() is False


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
def test_every_stem_of_a_song_is_listed(service: Client, account: str, song: str, count: int) -> None:
    stems = ask(service, "GET", f"/api/stems?audio_id={song}", account).json()
    assert len({stem["id"] for stem in stems}) == len(stems) == count
    assert {stem["stem_from_id"] for stem in stems} <= {song}
    fields = ["id", "status", "created_at", "title", "stem_from_id", "duration", "part", "take", "silent"]
    assert all(list(stem) == fields for stem in stems)


def test_two_takes_of_a_part_are_numbered(service: Client, account: str) -> None:
    stems = ask(service, "GET", "/api/stems?audio_id=song-with-twelve", account).json()
    assert sorted(stem["take"] for stem in stems if stem["part"] == "backing vocals") == [1, 2]


@pytest.mark.parametrize(
    ("method", "path", "options", "field"),
    [
        ("GET", "/api/get?ids=", {}, "ids"),
        ("GET", "/api/get?ids=a,,b", {}, "ids"),
        ("GET", "/api/get?ids=../a", {}, "ids"),
        ("GET", "/api/get?ids=" + ",".join("a" * 51), {}, "ids"),
        ("GET", "/api/get?page=-1", {}, "page"),
        ("GET", "/api/get?page=one", {}, "page"),
        ("GET", "/api/get?page=100000", {}, "page"),
        ("GET", "/api/clip", {}, "id"),
        ("POST", "/api/generate_stems", {"json": {"audio_id": "a", "stem_name": ""}}, "stem_name"),
        ("POST", "/api/generate_stems", {"json": {"audio_id": "a", "stem_name": "x" * 65}}, "stem_name"),
        ("POST", "/api/generate_stems", {"json": {"audio_id": "a", "stem_name": "tab\t"}}, "stem_name"),
        ("POST", "/api/generate_stems", {"json": {"audio_id": "a", "stem_name": 5}}, "stem_name"),
        (
            "POST",
            "/api/generate_stems",
            {"json": {"audio_id": "a", "stem_name": "Bass", "stem_task": "twelve"}},
            "stem_name",
        ),
        ("POST", "/api/download", {"json": {"id": "a", "format": "mp3", "wait": 1}}, "wait"),
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
def test_invalid_input_is_400_with_the_field_and_is_not_sent_to_suno(
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
def test_failed_reads_have_the_same_shape(service: Client, path: str, cookie: str, status: int, code: str) -> None:
    assert_error(ask(service, "GET", path, cookie), status, code)


def test_fifty_ids_are_accepted(service: Client, account: str) -> None:
    assert ask(service, "GET", "/api/get?ids=" + ",".join(f"x{n}" for n in range(50)), account).json() == []


def test_twelve_stems_cost_fifty_credits_and_have_two_takes(service: Client, suno: Suno, account: str) -> None:
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
def test_a_refused_split_into_twelve_costs_nothing(
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


def test_two_uses_v2_web_if_the_setting_says_so(of_operator: Client, suno: Suno, account: str) -> None:
    suno.forget()
    assert len(of_operator.split(cookie=account).json()) == 2
    requested = [entry["path"] for entry in suno.log("/api/")]
    assert requested == [f"/api/clip/{SONG}", "/api/c/check", "/api/generate/v2-web/"]


@pytest.mark.parametrize("song", ["song-with-two", "song-with-old-stems"])
def test_existing_stems_are_reused_for_free(service: Client, suno: Suno, account: str, song: str) -> None:
    response = service.post(
        "/api/generate_stems",
        json={"audio_id": song, "reuse_existing": True},
        headers={"X-Suno-Cookie": account},
    )
    listed = ask(service, "GET", f"/api/stems?audio_id={song}", account).json()
    assert [stem["id"] for stem in response.json()] == [stem["id"] for stem in listed]
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
def test_only_a_set_of_the_requested_kind_is_reused(
    service: Client, suno: Suno, account: str, song: str, task: str, charged: int
) -> None:
    response = service.post(
        "/api/generate_stems",
        json={"audio_id": song, "reuse_existing": True, "stem_task": task, "wait_audio": False},
        headers={"X-Suno-Cookie": account},
    )
    assert response.status_code == 200
    assert len(suno.charges(account)) == charged


@pytest.mark.parametrize(
    ("song", "why"),
    [
        ("song-trashed", "it is in the trash of its account"),
        ("song-unfinished", "it is not complete (its status is streaming)"),
        ("song-not-offered", "Suno offers no stems for it"),
    ],
)
@pytest.mark.parametrize(
    "more", [{"reuse_existing": True}, {"stem_task": "twelve"}, {"reuse_existing": True, "stem_task": "twelve"}, {}]
)
def test_a_song_that_suno_would_refuse_is_refused_with_the_reason(
    service: Client, suno: Suno, account: str, song: str, why: str, more: dict[str, Any]
) -> None:
    suno.forget()
    response = ask(service, "POST", "/api/generate_stems", account, json={"audio_id": song} | more)
    assert_error(response, 400, "refused_by_suno")
    assert response.json()["error"] == f"This song cannot be split: {why}. Nothing was charged."
    sent = [entry["path"] for entry in suno.log("/api/") if entry["method"] == "POST"]
    assert sent == ([] if more else [f"/api/edit/stems/{song}/"]), "a plain pair keeps its one call"
    assert suno.charges(account) == []


def test_stems_that_suno_marks_as_silent_are_listed_as_such(service: Client, account: str) -> None:
    split = ask(
        service,
        "POST",
        "/api/generate_stems",
        account,
        json={"audio_id": "song-silent-part", "stem_task": "twelve", "wait_audio": True},
    ).json()
    listed = ask(service, "GET", "/api/stems?audio_id=song-silent-part", account).json()
    assert {stem["id"] for stem in listed} == {stem["id"] for stem in split} and len(listed) == 24
    assert {stem["part"] for stem in listed if stem["silent"]} == {"vocals", "keyboard"}
    assert {stem["silent"] for stem in listed} == {True, None}
    by_id = {stem["id"]: stem["silent"] for stem in listed}
    clips = until_complete(service, account, list(by_id))
    assert {clip["id"]: clip["silent"] for clip in clips} == by_id


@pytest.mark.parametrize("format", ["mp3", "m4a", "wav"])
def test_a_download_is_polled_until_it_is_ready(service: Client, suno: Suno, account: str, format: str) -> None:
    [vocals, _] = service.split(cookie=account).json()
    until_complete(service, account, [vocals["id"]])
    suno.forget()

    wanted = {"id": vocals["id"], "format": format}
    response = ask(service, "POST", "/api/download", account, json=wanted)
    assert (response.status_code, response.json()) == (202, {**wanted, "download_url": None, "counted": True})
    assert int(response.headers["Retry-After"]) == 1
    response = ask(service, "POST", "/api/download", account, json=wanted | {"wait": True})

    assert response.status_code == 200
    assert list(response.json()) == ["id", "format", "download_url", "counted"]
    assert response.json()["counted"] is False
    beginning = requests.get(response.json()["download_url"], timeout=10).content[:8]
    assert {"mp3": b"ID3", "m4a": b"ftyp", "wav": b"RIFF"}[format] in beginning
    assert suno.get("/sandbox/unlocks").json()[account] == [SONG]


@pytest.fixture
def old_wav(suno: Suno) -> Iterator[None]:
    suno.set(wav_by_download=False)
    yield
    suno.set(wav_by_download=True)


@pytest.mark.usefixtures("old_wav")
def test_a_wav_that_only_the_older_calls_know_is_converted_once(service: Client, suno: Suno, account: str) -> None:
    [vocals, _] = service.split(cookie=account).json()
    until_complete(service, account, [vocals["id"]])
    wanted = {"id": vocals["id"], "format": "wav", "wait": True}
    with ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(lambda _: ask(service, "POST", "/api/download", account, json=wanted), range(8)))
    assert {reply.status_code for reply in replies} == {200}
    assert len(suno.log(f"/api/gen/{vocals['id']}/convert_wav/")) == 1


def test_concurrent_downloads_unlock_a_song_once(service: Client, suno: Suno, account: str) -> None:
    with ThreadPoolExecutor(16) as pool:
        replies = list(
            pool.map(
                lambda kind: ask(
                    service, "POST", "/api/download", account, json={"id": SONG, "format": kind, "wait": True}
                ),
                ["mp3", "m4a", "wav", "mp3"] * 4,
            )
        )
    assert [reply.status_code for reply in replies] == [200] * 16
    assert [reply.json()["counted"] for reply in replies].count(True) == 1
    assert suno.get("/sandbox/unlocks").json()[account] == [SONG]


def test_a_song_that_suno_has_locked_again_is_unlocked_again(start: Callable[..., Client]) -> None:
    with stack.suno() as suno_server:
        suno = Suno(suno_server)
        service = start(suno_server.url, SUNO_SETTLE_TIME="0.01")
        wanted = {"id": SONG, "format": "mp3", "wait": True}
        assert ask(service, "POST", "/api/download", ACCOUNT, json=wanted).json()["counted"] is True
        suno.post("/sandbox/reset")
        reply = until(
            lambda: (
                (found := ask(service, "POST", "/api/download", ACCOUNT, json=wanted)).status_code == 200 and found
            )
        )
        assert reply.json()["counted"] is True  # type: ignore[union-attr]
        assert suno.get("/sandbox/unlocks").json()[ACCOUNT] == [SONG]
        assert "it is unlocked again" in service.server.logged()


def test_an_unlock_with_a_lost_reply_is_detected(service: Client, suno: Suno, account: str) -> None:
    wanted = {"id": "song-unlock-lost", "format": "mp3", "wait": True}
    assert ask(service, "POST", "/api/download", account, json=wanted).json()["counted"] is True
    assert suno.get("/sandbox/unlocks").json()[account] == ["song-unlock-lost"]
    assert len(suno.log("/api/download/authorize")) >= 1


def test_an_unlock_that_may_still_arrive_is_not_resent(of_operator: Client, suno: Suno, account: str) -> None:
    suno.forget()
    for _ in range(3):
        reply = ask(of_operator, "POST", "/api/download", account, json={"id": "song-unlock-reset", "format": "mp3"})
        assert "unlock" in assert_error(reply, 503, "outcome_unknown")["error"] or "download" in reply.text
    assert len(suno.log("/api/download/authorize")) == 1


@pytest.mark.parametrize(
    ("song", "status", "code"), [("song-unlock-busy", 429, "rate_limited"), ("nobody", 404, "song_not_found")]
)
def test_a_refused_unlock_has_its_own_error(service: Client, account: str, song: str, status: int, code: str) -> None:
    reply = ask(service, "POST", "/api/download", account, json={"id": song, "format": "mp3"})
    assert_error(reply, status, code)


def test_a_plan_without_wav_is_reported_in_sunos_words(service: Client) -> None:
    [vocals, _] = service.split(cookie="sandbox-free").json()
    until_complete(service, "sandbox-free", [vocals["id"]])
    response = ask(service, "POST", "/api/download", "sandbox-free", json={"id": vocals["id"], "format": "wav"})
    assert "Suno says" in assert_error(response, 403, "not_allowed")["error"]


def test_only_a_download_request_starts_a_download(service: Client, suno: Suno, account: str) -> None:
    suno.forget()
    ids = [stem["id"] for stem in service.split(cookie=account).json()]
    until_complete(service, account, ids)
    for path in ("/api/get", "/api/get_limit", f"/api/stems?audio_id={SONG}", f"/api/get?ids={','.join(ids)}"):
        ask(service, "GET", path, account)
    for more in ({"reuse_existing": True}, {"wait_audio": True}, {"stem_task": "twelve"}):
        service.post("/api/generate_stems", json={"audio_id": SONG, **more}, headers={"X-Suno-Cookie": account})

    requested = [entry["path"] for entry in suno.log()]
    assert len(requested) > 10
    assert not [path for path in requested if "download" in path or "wav" in path or "/audio" in path]


def test_a_cover_is_served(service: Client, account: str) -> None:
    cover = ask(service, "GET", f"/api/cover/{SONG}", account)
    assert (cover.status_code, cover.headers["Content-Type"]) == (200, "image/png")
    assert cover.content.startswith(b"\x89PNG")
    assert cover.headers["Cache-Control"] == "private, max-age=86400"
    stem = service.split(cookie=account).json()[0]["id"]
    assert ask(service, "GET", f"/api/cover/{stem}", account).status_code == 204
    assert_error(ask(service, "GET", "/api/cover/nobody", account), 404, "song_not_found")


def test_the_limits_name_their_account(of_operator: Client) -> None:
    assert of_operator.get("/api/get_limit").headers["X-Suno-Account"] == "default"
    assert "X-Suno-Account" not in ask(of_operator, "GET", "/api/get_limit", "sandbox-bob").headers


def test_a_uuid_in_upper_case_is_the_same_song(service: Client, suno: Suno, account: str) -> None:
    key = {"Idempotency-Key": f"upper-{account}"}
    first = service.split(SONG, account, headers=key)
    assert first.status_code == 200
    assert service.split(SONG.upper(), account, headers=key).json() == first.json()
    wanted = {"audio_id": SONG.upper(), "stem_task": "twelve"}
    twelve = ask(service, "POST", "/api/generate_stems", account, json=wanted)
    assert {stem["stem_from_id"] for stem in twelve.json()} == {SONG}
    assert [charge["song"] for charge in suno.charges(account)] == [SONG, SONG]
    stem = first.json()[0]["id"]
    assert [clip["id"] for clip in ask(service, "GET", f"/api/get?ids={stem.upper()}", account).json()] == [stem]
