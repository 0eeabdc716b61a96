"""The contract of POST /api/generate_stems, statement by statement, over real sockets."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

import pytest

from tests.conftest import SONG, Client, Suno, pause

FIELDS = ["id", "status", "created_at", "title", "stem_from_id", "duration"]


def test_a_song_becomes_a_vocal_and_an_instrumental_stem(service: Client, account: str) -> None:
    response = service.split(cookie=account)

    assert response.status_code == 200
    assert response.headers["Content-Type"] == "application/json"
    vocals, instrumental = response.json()
    assert vocals["title"] == "Ocean Wanderer (Vocals)"
    assert instrumental["title"] == "Ocean Wanderer (Instrumental)"
    assert vocals["id"] != instrumental["id"]


def test_a_stem_has_exactly_the_contracts_fields_in_its_types(service: Client, account: str) -> None:
    for stem in service.split(cookie=account).json():
        assert list(stem) == FIELDS
        assert stem["status"] in {"submitted", "queued", "streaming", "complete", "error"}
        assert datetime.fromisoformat(stem["created_at"]).tzinfo is not None
        assert stem["stem_from_id"] == SONG
        assert stem["duration"] is None


def test_what_suno_leaves_out_is_null_but_the_song_asked_for(service: Client, account: str) -> None:
    for stem in service.split("song-bare", account).json():
        assert list(stem) == FIELDS
        assert stem["id"]
        assert stem["stem_from_id"] == "song-bare"
        assert {stem[name] for name in ("status", "created_at", "title", "duration")} == {None}


@pytest.mark.parametrize("song", ["song-roots", "song-no-roots"])
def test_the_parent_is_told_wherever_suno_puts_it(service: Client, account: str, song: str) -> None:
    assert {stem["stem_from_id"] for stem in service.split(song, account).json()} == {song}


@pytest.mark.parametrize(("song", "count"), [("song-4-stems", 4), ("song-one-object", 1)])
def test_as_many_clips_as_suno_makes(service: Client, suno: Suno, account: str, song: str, count: int) -> None:
    stems = service.split(song, account).json()
    assert len(stems) == count
    assert [stem["id"] for stem in stems] == suno.charges(account)[0]["clips"]


def test_in_steady_state_a_split_is_one_call_and_one_charge(lone_worker: Client, suno: Suno, account: str) -> None:
    lone_worker.split(cookie=account)
    suno.forget()

    lone_worker.split(cookie=account)

    assert [entry["path"] for entry in suno.log()] == [f"/api/edit/stems/{SONG}/"]
    assert len(suno.charges(account)) == 2


def test_unknown_fields_are_ignored(service: Client, account: str) -> None:
    response = service.post(
        "/api/generate_stems", json={"audio_id": SONG, "colour": "blue"}, headers={"X-Suno-Cookie": account}
    )
    assert response.status_code == 200


def test_a_charset_in_the_content_type_is_fine(service: Client, account: str) -> None:
    response = service.post(
        "/api/generate_stems",
        data=f'{{"audio_id": "{SONG}"}}',
        headers={"X-Suno-Cookie": account, "Content-Type": "application/json; charset=utf-8"},
    )
    assert response.status_code == 200


def test_suno_cookie_pays_where_a_request_names_no_account(service: Client, suno: Suno) -> None:
    before = len(suno.charges("sandbox-alice"))
    assert service.split("song-4-stems").status_code == 200
    assert len(suno.charges("sandbox-alice")) == before + 1


@pytest.mark.parametrize("cookie", ["__client_uat=1", "theme=dark", "x__client=sandbox-dead", "__client"])
def test_a_cookie_without_client_is_no_account(service: Client, suno: Suno, cookie: str) -> None:
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
def test_a_request_may_bring_another_account_for_itself(
    service: Client, suno: Suno, account: str, headers: dict[str, str]
) -> None:
    before = len(suno.charges("sandbox-alice"))

    response = service.split(headers={name: value.format(account) for name, value in headers.items()})

    assert response.status_code == 200
    assert len(suno.charges(account)) == 1
    assert len(suno.charges("sandbox-alice")) == before


def test_requests_of_different_accounts_side_by_side_never_mix(service: Client, suno: Suno) -> None:
    accounts = [f"sandbox-load-{900 + n % 12}" for n in range(96)]

    with ThreadPoolExecutor(32) as pool:
        replies = list(pool.map(lambda account: service.split(cookie=account).json(), accounts))

    for account in set(accounts):
        told = {
            stem["id"] for name, stems in zip(accounts, replies, strict=True) if name == account for stem in stems
        }
        assert told == {clip for charge in suno.charges(account) for clip in charge["clips"]}
        assert len(told) == 16


def test_32_first_requests_sign_in_once(lone_worker: Client, suno: Suno, account: str) -> None:
    suno.forget()

    with ThreadPoolExecutor(32) as pool:
        statuses = list(pool.map(lambda _: lone_worker.split(cookie=account).status_code, range(32)))

    assert statuses == [200] * 32
    paths = [entry["path"] for entry in suno.log()]
    assert sum(path.startswith("/v1/client?") for path in paths) == 1
    assert len(paths) == 33


@pytest.mark.parametrize("cookie", ["sandbox-revoked", "sandbox-jwt-expired"])
def test_a_token_refused_before_its_time_is_renewed_unseen(service: Client, suno: Suno, cookie: str) -> None:
    assert service.split(cookie=cookie).status_code == 200
    assert len(suno.charges(cookie)) == 1


@pytest.mark.parametrize("cookie", ["sandbox-session-gone", "sandbox-no-last-session", "sandbox-rotating"])
def test_sign_ins_peculiarities_are_met(lone_worker: Client, suno: Suno, cookie: str) -> None:
    for _ in range(3):
        assert lone_worker.split(cookie=cookie).status_code == 200
        suno.post("/sandbox/revoke", json={"account": cookie})


def test_tokens_that_live_a_second_are_renewed_as_they_end(lone_worker: Client, suno: Suno) -> None:
    account = "sandbox-rich"  # a fast machine splits more often in this time than others can pay for
    suno.forget()
    suno.set(token_lifetime=0.5)
    try:
        statuses = []
        while sum("/tokens" in entry["path"] for entry in suno.log("/v1/")) < 3:
            pause()
            statuses.append(lone_worker.split(cookie=account).status_code)
    finally:
        suno.set(token_lifetime=60)

    assert set(statuses) == {200}
    assert sum(entry["path"].startswith("/v1/client?") for entry in suno.log()) == 1
    assert {entry["status"] for entry in suno.log()} == {200}


@pytest.mark.parametrize("song", ["fault-redirect-slash-307", "fault-redirect-slash-308", "fault-401-once"])
def test_what_suno_merely_wants_asked_otherwise_is_asked_so(
    service: Client, suno: Suno, account: str, song: str
) -> None:
    assert service.split(song, account).status_code == 200
    assert len(suno.charges(account)) == 1
