"""The contract of POST /api/generate_stems, statement by statement, over real sockets."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

import pytest

from app.web import near_misses
from tests.asserts import assert_error
from tests.conftest import NUMBERS, SONG, Client, Suno, until

FIELDS = ["id", "status", "created_at", "title", "stem_from_id", "duration"]


def test_a_song_becomes_a_vocal_and_an_instrumental_stem(service: Client, account: str) -> None:
    response = service.split(cookie=account)

    assert response.status_code == 200
    assert response.headers["Content-Type"] == "application/json"
    vocals, instrumental = response.json()
    assert vocals["title"] == "Ocean Wanderer (Vocals)"
    assert instrumental["title"] == "Ocean Wanderer (Instrumental)"
    assert vocals["id"] != instrumental["id"]


def test_a_stem_has_exactly_the_fields_and_types_of_the_contract(service: Client, account: str) -> None:
    for stem in service.split(cookie=account).json():
        assert list(stem) == FIELDS
        assert stem["status"] in {"submitted", "queued", "streaming", "complete", "error"}
        assert datetime.fromisoformat(stem["created_at"]).tzinfo is not None
        assert stem["stem_from_id"] == SONG
        assert stem["duration"] is None


def test_fields_that_suno_omits_are_null_except_the_requested_song(service: Client, account: str) -> None:
    for stem in service.split("song-bare", account).json():
        assert list(stem) == FIELDS
        assert stem["id"]
        assert stem["stem_from_id"] == "song-bare"
        assert {stem[name] for name in ("status", "created_at", "title", "duration")} == {None}


@pytest.mark.parametrize("song", ["song-roots", "song-no-roots"])
def test_the_parent_is_found_wherever_suno_puts_it(service: Client, account: str, song: str) -> None:
    assert {stem["stem_from_id"] for stem in service.split(song, account).json()} == {song}


@pytest.mark.parametrize(("song", "count"), [("song-4-stems", 4), ("song-one-object", 1)])
def test_all_clips_that_suno_makes_are_returned(
    service: Client, suno: Suno, account: str, song: str, count: int
) -> None:
    stems = service.split(song, account).json()
    assert len(stems) == count
    assert [stem["id"] for stem in stems] == suno.charges(account)[0]["clips"]


def test_in_steady_state_a_split_is_one_call_and_one_charge(single_worker: Client, suno: Suno, account: str) -> None:
    single_worker.split(cookie=account)
    suno.forget()

    single_worker.split(cookie=account)

    assert [entry["path"] for entry in suno.log()] == [f"/api/edit/stems/{SONG}/"]
    assert len(suno.charges(account)) == 2


@pytest.mark.parametrize(
    ("field", "meant"),
    [
        ("audio_formt", "audio_format"),
        ("reuse_exisiting", "reuse_existing"),
        ("wait", "wait_audio"),
        ("format", "audio_format"),
        ("webhook", "webhook_url"),
        ("waitAudio", "wait_audio"),
        ("Audio-Format", "audio_format"),
        ("stem_tasks", "stem_task"),
        ("webhook_uri", "webhook_url"),
    ],
)
def test_a_misspelt_field_is_refused_before_anything_is_paid(
    service: Client, suno: Suno, account: str, field: str, meant: str
) -> None:
    body = {"audio_id": SONG, field: True}
    reply = service.post("/api/generate_stems", json=body, headers={"X-Suno-Cookie": account})
    error = assert_error(reply, 400, "invalid_request")
    assert f"did you mean {meant}?" in error["error"]
    assert list(error["details"]) == [field]
    assert suno.charges(account) == []


def test_a_misspelt_required_field_is_named(service: Client, account: str) -> None:
    reply = service.post("/api/generate_stems", json={"audioid": SONG}, headers={"X-Suno-Cookie": account})
    assert "did you mean audio_id?" in assert_error(reply, 400, "invalid_request")["error"]


def test_fields_of_our_own_replies_are_ignored(service: Client, suno: Suno, account: str) -> None:
    headers = {"X-Suno-Cookie": account}
    clip = service.get(f"/api/get?ids={SONG}", headers=headers).json()[0]
    stem = service.split(cookie=account).json()[0]
    body = clip | stem | {"audio_id": SONG, "audio": [], "filename": "", "download_url": None}
    assert "audio_url" in body
    assert service.post("/api/generate_stems", json=body, headers=headers).status_code == 200
    assert len(suno.charges(account)) == 2


def test_unknown_fields_are_ignored(service: Client, account: str) -> None:
    response = service.post(
        "/api/generate_stems", json={"audio_id": SONG, "colour": "blue"}, headers={"X-Suno-Cookie": account}
    )
    assert response.status_code == 200


def test_a_charset_in_the_content_type_is_accepted(service: Client, account: str) -> None:
    response = service.post(
        "/api/generate_stems",
        data=f'{{"audio_id": "{SONG}"}}',
        headers={"X-Suno-Cookie": account, "Content-Type": "application/json; charset=utf-8"},
    )
    assert response.status_code == 200


def test_suno_cookie_pays_if_a_request_names_no_account(service: Client, suno: Suno) -> None:
    before = len(suno.charges("sandbox-alice"))
    assert service.split("song-4-stems").status_code == 200
    assert len(suno.charges("sandbox-alice")) == before + 1


@pytest.mark.parametrize("cookie", ["__client_uat=1", "theme=dark", "x__client=sandbox-dead"])
def test_a_cookie_without_client_is_ignored(service: Client, suno: Suno, cookie: str) -> None:
    before = len(suno.charges("sandbox-alice"))
    assert service.split(headers={"Cookie": cookie}).status_code == 200
    assert len(suno.charges("sandbox-alice")) == before + 1


@pytest.mark.parametrize(
    "headers",
    [
        {"Cookie": "__client={}"},
        {"Cookie": "theme=dark; __client={}; __client_uat=1"},
        {"X-Suno-Cookie": "{}"},
        {"X-Suno-Cookie": "a=1; __client={}"},
        {"Cookie": "__client={}", "X-Suno-Cookie": "sandbox-dead"},
        {"Cookie": "theme=dark", "X-Suno-Cookie": "{}"},
    ],
)
def test_a_request_may_use_another_account(
    service: Client, suno: Suno, account: str, headers: dict[str, str]
) -> None:
    before = len(suno.charges("sandbox-alice"))

    response = service.split(headers={name: value.format(account) for name, value in headers.items()})

    assert response.status_code == 200
    assert len(suno.charges(account)) == 1
    assert len(suno.charges("sandbox-alice")) == before


def test_concurrent_requests_of_different_accounts_never_mix(service: Client, suno: Suno) -> None:
    accounts = [f"sandbox-load-{next(NUMBERS)}" for _ in range(12)] * 8

    with ThreadPoolExecutor(32) as pool:
        replies = list(pool.map(lambda account: service.split(cookie=account).json(), accounts))

    for account in set(accounts):
        returned = [
            [stem["id"] for stem in stems] for of, stems in zip(accounts, replies, strict=True) if of == account
        ]
        assert sorted(returned) == sorted(charge["clips"] for charge in suno.charges(account))
        assert len(returned) == 8


def test_32_first_requests_sign_in_once(single_worker: Client, suno: Suno, account: str) -> None:
    suno.forget()

    with ThreadPoolExecutor(32) as pool:
        statuses = list(pool.map(lambda _: single_worker.split(cookie=account).status_code, range(32)))

    assert statuses == [200] * 32
    paths = [entry["path"] for entry in suno.log()]
    assert sum(path.startswith("/v1/client?") for path in paths) == 1
    assert len(paths) == 33


@pytest.mark.parametrize("cookie", ["sandbox-revoked", "sandbox-jwt-expired"])
def test_a_token_refused_before_it_expires_is_renewed_transparently(service: Client, suno: Suno, cookie: str) -> None:
    assert service.split(cookie=cookie).status_code == 200
    assert len(suno.charges(cookie)) == 1


@pytest.mark.parametrize("cookie", ["sandbox-session-gone", "sandbox-no-last-session", "sandbox-rotating"])
def test_unusual_sessions_and_cookies_of_sign_in_work(single_worker: Client, suno: Suno, cookie: str) -> None:
    for _ in range(3):
        assert single_worker.split(cookie=cookie).status_code == 200
        suno.post("/sandbox/revoke", json={"account": cookie})


def test_short_lived_tokens_are_renewed_when_they_expire(single_worker: Client, suno: Suno) -> None:
    account = "sandbox-rich"  # a fast machine makes more splits in this time than other accounts can pay for
    suno.forget()
    suno.set(token_lifetime=0.5)
    try:
        statuses = []

        def tokens_were_renewed() -> bool:
            statuses.append(single_worker.split(cookie=account).status_code)
            return sum("/tokens" in entry["path"] for entry in suno.log("/v1/")) >= 3

        until(tokens_were_renewed)
    finally:
        suno.set(token_lifetime=60)

    assert set(statuses) == {200}
    assert sum(entry["path"].startswith("/v1/client?") for entry in suno.log()) == 1
    assert {entry["status"] for entry in suno.log()} == {200}


@pytest.mark.parametrize("song", ["fault-redirect-slash-307", "fault-redirect-slash-308", "fault-401-once"])
def test_a_redirect_or_a_renewed_token_leads_to_one_charge(
    service: Client, suno: Suno, account: str, song: str
) -> None:
    assert service.split(song, account).status_code == 200
    assert len(suno.charges(account)) == 1


def test_a_body_of_thousands_of_unknown_fields_is_not_compared_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[str] = []
    monkeypatch.setattr(near_misses, "get_close_matches", lambda name, *how: compared.append(name) or [])
    unknown = [f"field{number}" for number in range(5_000)]
    assert near_misses.near_misses(["x" * 60_000, *unknown], {"audio_id"}, ()) == {}
    assert compared == unknown[: near_misses.MAX_COMPARED_NAMES - 1]
