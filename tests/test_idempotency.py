"""No split is charged twice, and no paid stems are lost: over real sockets, with both ledgers if it matters."""

from __future__ import annotations

import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests

from tests import stack
from tests.asserts import assert_error
from tests.conftest import NUMBERS, SONG, Client, Suno, until
from tests.splits.conftest import redis_url as redis_url
from tools.process import free_port
from tools.stack import ACCOUNT

FAST = {
    "SUNO_CONNECT_TIMEOUT": "1",
    "SUNO_READ_TIMEOUT": "1.5",
    "SUNO_DEADLINE": "2",
    "SUNO_POLL_INTERVAL": "0.1",
    "SUNO_SETTLE_TIME": "0.5",
    "SUNO_WAIT_TIMEOUT": "10",
}
CERTAINLY_FREE = ["400", "402", "403-plan", "404", "422-schema", "422-captcha", "429", "403-html"]
RECOVERED = [
    *("reset-after-charge", "502-after-charge", "500-after-charge", "truncated", "truncated-chunked", "drip-body"),
    *("drip-headers", "hang", "oversize", "oversize-chunked-endless", "not-json", "clip-without-id"),
    *("another-song", "clip-twice", "path-ids"),
]


@pytest.fixture(scope="module", params=["sqlite", "redis"])
def any_ledger(request: pytest.FixtureRequest, suno: Suno) -> Iterator[Client]:
    """The service with short timeouts, with each kind of ledger."""
    if request.param == "sqlite":
        yield request.getfixturevalue("one_ledger")
        return
    with stack.service(suno.url, FAST | {"LEDGER_URL": request.getfixturevalue("redis_url")}) as server:
        yield Client(server)


@pytest.fixture(scope="module")
def ledger_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ledger") / "ledger.db"


@pytest.fixture(scope="module")
def one_ledger(suno: Suno, ledger_file: Path) -> Iterator[Client]:
    """The service with short timeouts and one kind of ledger, for failures that do not depend on the ledger."""
    with stack.service(suno.url, FAST | {"LEDGER_URL": f"sqlite:///{ledger_file}"}) as server:
        yield Client(server)


@pytest.fixture(scope="module")
def with_a_worker_to_kill(suno: Suno) -> Iterator[Client]:
    settings = FAST | {"WEB_CONCURRENCY": "1", "SUNO_DEADLINE": "3", "SUNO_READ_TIMEOUT": "3"}
    with stack.service(suno.url, settings) as server:
        yield Client(server)


def split(service: Client, account: str, key: str = "k", song: str = SONG, **more: Any) -> requests.Response:
    headers = {"X-Suno-Cookie": account, "Idempotency-Key": key} | more.pop("headers", {})
    return service.post("/api/generate_stems", json={"audio_id": song, **more}, headers=headers)


def ids(response: requests.Response) -> list[str]:
    assert response.status_code == 200, response.text
    return [stem["id"] for stem in response.json()]


def until_answered(ask: Callable[[], requests.Response]) -> requests.Response:
    def answered() -> requests.Response | None:
        response = ask()
        assert response.status_code != 409 or int(response.headers["Retry-After"]) >= 1
        return None if response.status_code in (409, 500, 503) else response

    return until(answered)


def test_the_same_key_gets_the_first_reply_again_and_pays_once(any_ledger: Client, suno: Suno, account: str) -> None:
    first = split(any_ledger, account)
    assert "Idempotent-Replayed" not in first.headers
    suno.forget()

    again = [split(any_ledger, account, key) for key in ("k", '"k"', "k")]

    assert {reply.content for reply in again} == {first.content}
    assert {reply.headers["Idempotent-Replayed"] for reply in again} == {"true"}
    assert suno.log() == []
    assert len(suno.charges(account)) == 1


@pytest.mark.parametrize("song", ["song-bare", "song-4-stems", "song-no-roots"])
def test_replays_of_any_kind_are_the_same_bytes(any_ledger: Client, account: str, song: str) -> None:
    assert split(any_ledger, account, song=song).content == split(any_ledger, account, song=song).content


def test_without_a_key_two_requests_are_two_splits(any_ledger: Client, suno: Suno, account: str) -> None:
    replies = [any_ledger.split(cookie=account) for _ in range(2)]
    assert set(ids(replies[0])).isdisjoint(ids(replies[1]))
    assert len(suno.charges(account)) == 2


@pytest.mark.parametrize("more", [{"song": "song-4-stems"}, {"stem_task": "twelve"}, {"reuse_existing": True}])
def test_a_different_request_with_the_same_key_is_422(
    any_ledger: Client, suno: Suno, account: str, more: dict[str, Any]
) -> None:
    split(any_ledger, account)
    assert_error(split(any_ledger, account, **more), 422, "idempotency_key_reused")
    assert len(suno.charges(account)) == 1


def test_the_same_key_on_another_account_is_another_key(any_ledger: Client, suno: Suno, account: str) -> None:
    other = f"sandbox-load-{next(NUMBERS)}"
    assert set(ids(split(any_ledger, account))).isdisjoint(ids(split(any_ledger, other)))
    assert len(suno.charges(account)) == len(suno.charges(other)) == 1


def test_the_operators_account_is_the_same_by_setting_and_by_header(any_ledger: Client, suno: Suno) -> None:
    before = len(suno.charges(ACCOUNT))
    one = any_ledger.post("/api/generate_stems", json={"audio_id": SONG}, headers={"Idempotency-Key": "house"})
    assert split(any_ledger, ACCOUNT, "house").content == one.content
    assert len(suno.charges(ACCOUNT)) == before + 1


@pytest.mark.parametrize("key", ["", "x" * 256, "a b", "ä", '"', 'a"b', '"a', '""'])
def test_an_invalid_key_is_400_and_is_not_sent_to_suno(
    any_ledger: Client, suno: Suno, account: str, key: str
) -> None:
    suno.forget()
    body = assert_error(split(any_ledger, account, key.encode("latin-1")), 400, "invalid_request")  # type: ignore[arg-type]
    assert list(body["details"]) == ["Idempotency-Key"]
    assert suno.log() == []


@pytest.mark.parametrize(
    "key", ["x" * 255, "8e03978e-40d5-43dd-bc93-6894a57f9324", "!#$%&'()*+,-./:;<=>?@[]^_`{|}~", "\\"]
)
def test_a_key_may_be_any_visible_ascii(any_ledger: Client, account: str, key: str) -> None:
    assert split(any_ledger, account, key).content == split(any_ledger, account, key).content


def test_quotes_in_a_quoted_key_are_escaped(any_ledger: Client, account: str) -> None:
    assert ids(split(any_ledger, account, r'"a\"b\\c"')) == ids(split(any_ledger, account, r'"a\"b\\c"'))
    assert_error(split(any_ledger, account, r'"a\b"'), 400, "invalid_request")


def test_concurrent_retries_pay_once_and_all_get_the_same_reply(any_ledger: Client, suno: Suno, account: str) -> None:
    suno.set(delay=0.3)
    try:
        with ThreadPoolExecutor(16) as pool:
            replies = list(pool.map(lambda _: split(any_ledger, account), range(16)))
    finally:
        suno.set(delay=0)
    assert len({reply.content for reply in replies}) == 1
    assert sum("Idempotent-Replayed" in reply.headers for reply in replies) == 15
    assert len(suno.charges(account)) == 1


def test_a_retry_waits_for_the_first_only_up_to_its_own_deadline(
    start: Callable[..., Client], one_ledger: Client, ledger_file: Path, suno: Suno, account: str
) -> None:
    ledger = f"sqlite:///{ledger_file}"
    patient = start(**FAST | {"SUNO_DEADLINE": "20", "SUNO_READ_TIMEOUT": "20", "LEDGER_URL": ledger})
    suno.forget()
    suno.set(delay=4)
    try:
        with ThreadPoolExecutor(1) as pool:
            first = pool.submit(split, patient, account)
            until(lambda: suno.log("/api/edit/"))
            assert not first.done()
            retry = split(one_ledger, account)
            assert_error(retry, 409, "in_progress")
            assert int(retry.headers["Retry-After"]) >= 1
            assert split(one_ledger, account, song="song-bare").status_code == 422
            assert first.result().status_code == 200
    finally:
        suno.set(delay=0)
    assert split(one_ledger, account).content == first.result().content
    assert len(suno.charges(account)) == 1


@pytest.mark.parametrize("fault", CERTAINLY_FREE)
def test_a_failure_that_cost_nothing_frees_the_key(any_ledger: Client, account: str, fault: str) -> None:
    assert split(any_ledger, account, song=f"fault-{fault}").status_code >= 400
    assert ids(split(any_ledger, account))


def test_a_failed_sign_in_frees_the_key(any_ledger: Client, suno: Suno) -> None:
    assert_error(split(any_ledger, "sandbox-clerk-reset"), 503, "suno_unreachable")
    body = assert_error(split(any_ledger, "sandbox-clerk-reset", song="song-bare"), 503, "suno_unreachable")
    assert "othing was charged" in body["error"]


@pytest.mark.parametrize("fault", RECOVERED)
def test_the_stems_of_a_lost_reply_are_found_for_free(
    one_ledger: Client, suno: Suno, account: str, fault: str
) -> None:
    reply = split(one_ledger, account, song=f"fault-{fault}")
    [charge] = suno.charges(account)
    assert ids(reply) == charge["clips"]
    assert {stem["stem_from_id"] for stem in reply.json()} == {f"fault-{fault}"}
    assert split(one_ledger, account, song=f"fault-{fault}").content == reply.content
    assert len(suno.charges(account)) == 1


@pytest.mark.parametrize("fault", ["reset-after-charge", "502-after-charge"])
def test_the_stems_of_a_lost_reply_are_found_without_a_key_too(
    one_ledger: Client, suno: Suno, account: str, fault: str
) -> None:
    assert ids(one_ledger.split(f"fault-{fault}", account)) == suno.charges(account)[0]["clips"]


def test_twelve_stems_of_a_lost_reply_are_found_too(any_ledger: Client, suno: Suno, account: str) -> None:
    reply = split(any_ledger, account, song="fault-reset-after-charge", stem_task="twelve")
    assert sorted(ids(reply)) == sorted(suno.charges(account)[0]["clips"])
    assert len(ids(reply)) == 24


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        ("reset-before-reading", 503, "outcome_unknown"),
        ("500", 500, "suno_failed"),
        ("502-html", 500, "suno_failed"),
        ("wrong-shape", 503, "outcome_unknown"),
        ("200-html", 500, "suno_failed"),
    ],
)
def test_a_split_that_made_no_stems_stays_in_doubt_until_that_is_certain(
    one_ledger: Client, suno: Suno, account: str, fault: str, status: int, code: str
) -> None:
    request_id = {"X-Request-ID": f"doubt-{account}"}
    body = assert_error(split(one_ledger, account, song=f"fault-{fault}", headers=request_id), status, code)
    assert "/api/stems" in body["error"]
    found = one_ledger.get(f"/api/requests/doubt-{account}", headers={"X-Suno-Cookie": account}).json()
    assert found == {"state": "in_doubt", "clips": [], "ready": False}

    retry = split(one_ledger, account, song=f"fault-{fault}")
    assert_error(retry, 409, "in_progress")
    assert 1 <= int(retry.headers["Retry-After"]) <= 4
    suno.forget()

    def ended() -> list[requests.Response]:
        retry = split(one_ledger, account, song=f"fault-{fault}")
        assert retry.status_code != 409 or suno.log("/api/edit/") == []
        return [] if retry.status_code == 409 else [retry]

    [retry] = until(ended)
    assert_error(retry, status, code)
    assert len(suno.log("/api/edit/")) == 1
    assert suno.charges(account) == []


def test_a_request_in_doubt_is_not_paid_again_while_suno_cannot_be_read(
    any_ledger: Client, suno: Suno, account: str
) -> None:
    split(any_ledger, account, song="fault-reset-before-reading")
    suno.post("/sandbox/revoke", json={"account": account})
    suno.set(token_lifetime=0)
    suno.forget()
    try:
        for _ in range(20):
            response = split(any_ledger, account, song="fault-reset-before-reading")
            assert response.status_code in (401, 409), response.text
    finally:
        suno.set(token_lifetime=60)
    assert suno.log("/api/edit/") == []


def test_a_set_that_another_request_has_claimed_is_not_taken(any_ledger: Client, suno: Suno, account: str) -> None:
    song = "fault-reset-after-charge"
    first, second = split(any_ledger, account, "1", song), split(any_ledger, account, "2", song)
    assert set(ids(first)).isdisjoint(ids(second))
    assert len(suno.charges(account)) == 2


def test_stems_older_than_the_request_are_not_taken(any_ledger: Client, suno: Suno, account: str) -> None:
    suno.post("/sandbox/faults", json={"seed": 1, "rate": 1, "kinds": ["reset-before-reading"]}).raise_for_status()
    try:
        assert_error(split(any_ledger, account, song="song-with-two"), 503, "outcome_unknown")
    finally:
        suno.request("DELETE", "/sandbox/faults")


def test_a_retry_resumes_the_wait_for_the_same_stems(any_ledger: Client, suno: Suno, account: str) -> None:
    first = split(any_ledger, account)
    waited = split(any_ledger, account, wait_audio=True)
    assert ids(waited) == ids(first)
    assert {stem["status"] for stem in waited.json()} == {"complete"}
    assert waited.headers["Idempotent-Replayed"] == "true"
    assert split(any_ledger, account).content == first.content
    assert len(suno.charges(account)) == 1


def test_a_waited_reply_is_the_first_reply(any_ledger: Client, account: str) -> None:
    first = split(any_ledger, account, wait_audio=True)
    assert {stem["status"] for stem in first.json()} == {"complete"}
    assert split(any_ledger, account).content == split(any_ledger, account, wait_audio=True).content == first.content


def test_reused_stems_are_replayed_too(any_ledger: Client, suno: Suno, account: str) -> None:
    first = split(any_ledger, account, song="song-with-two", reuse_existing=True)
    suno.forget()
    assert split(any_ledger, account, song="song-with-two", reuse_existing=True).content == first.content
    assert suno.log() == []


@pytest.mark.parametrize("wait_audio", [False, True])
def test_a_worker_killed_during_a_split_loses_nothing(
    with_a_worker_to_kill: Client, suno: Suno, account: str, wait_audio: bool
) -> None:
    service = with_a_worker_to_kill
    suno.set(pace=30 if wait_audio else 0.2)
    suno.forget()
    song = SONG if wait_audio else "fault-hang"
    try:
        with ThreadPoolExecutor(1) as pool:
            first = pool.submit(split, service, account, song=song, wait_audio=wait_audio)
            until(lambda: suno.log("/api/feed/" if wait_audio else "/api/edit/"))
            assert not first.done()
            kill_workers(service)
            with pytest.raises(requests.ConnectionError):
                first.result()
    finally:
        suno.set(pace=0.2)

    reply = until_answered(lambda: split(service, account, song=song, wait_audio=wait_audio))

    assert ids(reply) == suno.charges(account)[0]["clips"]
    assert reply.headers["Idempotent-Replayed"] == "true"
    assert len(suno.charges(account)) == 1


def test_a_split_can_be_looked_up_by_its_request_id(any_ledger: Client, account: str) -> None:
    mine = {"X-Suno-Cookie": account}
    sent = split(any_ledger, account, headers={"X-Request-ID": f"mine-{account}"})
    found = any_ledger.get(f"/api/requests/mine-{account}", headers=mine)
    assert found.json()["state"] == "done"
    assert [stem["id"] for stem in found.json()["clips"]] == ids(sent)

    unkeyed = any_ledger.split("song-4-stems", account)
    found = any_ledger.get(f"/api/requests/{unkeyed.headers['X-Request-ID']}", headers=mine)
    assert found.json()["state"] == "done"
    assert [stem["id"] for stem in found.json()["clips"]] == ids(unkeyed)

    replayed = split(any_ledger, account)
    found = any_ledger.get(f"/api/requests/{replayed.headers['X-Request-ID']}", headers=mine)
    assert [stem["id"] for stem in found.json()["clips"]] == ids(sent)


def test_the_splits_of_an_account_are_listed_newest_first(any_ledger: Client, suno: Suno, account: str) -> None:
    mine = {"X-Suno-Cookie": account}
    sent = split(any_ledger, account, headers={"X-Request-ID": f"mine-{account}"})
    split(any_ledger, account)
    any_ledger.split("song-4-stems", account)
    split(any_ledger, account, song="fault-402", key="refused")
    drums = split(any_ledger, account, song="song-4-stems", key="drums", stem_name="Drum Kit")
    suno.forget()
    newest, oldest = any_ledger.get("/api/requests", headers=mine).json()
    assert suno.log("/api/") == []
    [alone] = any_ledger.get("/api/requests?limit=1", headers=mine).json()
    assert alone == newest
    assert newest["request_id"] == drums.headers["X-Request-ID"]
    assert (newest["audio_id"], newest["stem_name"]) == ("song-4-stems", "Drum Kit")
    assert datetime.now(UTC) - datetime.fromisoformat(oldest.pop("created_at")) < timedelta(minutes=5)
    assert oldest == {
        "state": "done",
        "clips": sent.json(),
        "ready": False,
        "request_id": f"mine-{account}",
        "audio_id": SONG,
        "stem_task": "two",
        "stem_name": None,
    }


@pytest.mark.parametrize("limit", ["0", "101", "-1", "many", "1.5", ""])
def test_a_list_of_splits_has_bounds(any_ledger: Client, account: str, limit: str) -> None:
    refused = any_ledger.get(f"/api/requests?limit={limit}", headers={"X-Suno-Cookie": account})
    assert_error(refused, 400, "invalid_request")
    assert refused.json()["details"]["limit"] == ["limit must be a whole number from 1 to 100."]


def test_the_stems_of_a_split_are_shown_as_they_are_now(any_ledger: Client, suno: Suno, account: str) -> None:
    mine = {"X-Suno-Cookie": account}
    sent = split(any_ledger, account)
    assert {stem["status"] for stem in sent.json()} == {"submitted"}

    def ready() -> dict[str, Any] | None:
        state = any_ledger.get(f"/api/requests/{sent.headers['X-Request-ID']}", headers=mine).json()
        assert {stem["stem_from_id"] for stem in state["clips"]} == {SONG}
        return state if state["ready"] else None

    state = until(ready)
    assert ({stem["status"] for stem in state["clips"]}, state["complete"]) == ({"complete"}, True)
    assert [stem["duration"] for stem in state["clips"]] == ["183.4"] * 2
    suno.forget()
    assert any_ledger.get(f"/api/requests/{sent.headers['X-Request-ID']}", headers=mine).json() == state
    assert suno.log("/api/") == []
    assert split(any_ledger, account).content == sent.content, "a replay stays the first reply"


def test_the_stems_of_a_split_are_shown_as_they_were_while_suno_shows_none(
    any_ledger: Client, suno: Suno, account: str
) -> None:
    mine = {"X-Suno-Cookie": account}
    sent = split(any_ledger, account)
    suno.set(index_lag=3_600)
    try:
        lagging = any_ledger.get(f"/api/requests/{sent.headers['X-Request-ID']}", headers=mine)
        suno.set(delay=60)
        failing = any_ledger.get(f"/api/requests/{sent.headers['X-Request-ID']}", headers=mine)
    finally:
        suno.set(index_lag=0, delay=0)
    for shown in (lagging, failing):
        assert shown.json() == {"state": "done", "clips": sent.json(), "ready": False}


def test_a_stem_that_suno_leaves_out_of_its_lists_is_shown_as_failed(any_ledger: Client, account: str) -> None:
    mine = {"X-Suno-Cookie": account}
    sent = split(any_ledger, account, song="song-stem-fails")

    def ready() -> dict[str, Any] | None:
        state = any_ledger.get(f"/api/requests/{sent.headers['X-Request-ID']}", headers=mine).json()
        return state if state["ready"] else None

    state = until(ready)
    assert (state["complete"], len(state["failed"])) == (False, 1)
    assert state["failed"][0]["error"] == "This stem could not be separated."
    assert ready() == state, "Suno's reason is recorded too"


def test_a_split_is_visible_only_to_its_own_account(any_ledger: Client, account: str) -> None:
    split(any_ledger, account, headers={"X-Request-ID": f"mine-{account}"})
    for headers in ({}, {"X-Suno-Cookie": f"sandbox-load-{next(NUMBERS)}"}):
        assert_error(any_ledger.get(f"/api/requests/mine-{account}", headers=headers), 404, "not_found")
    assert_error(any_ledger.get("/api/requests/nobody", headers={"X-Suno-Cookie": account}), 404, "not_found")
    other = {"X-Suno-Cookie": f"sandbox-load-{next(NUMBERS)}"}
    assert any_ledger.get("/api/requests", headers=other).json() == []


def test_a_split_that_cost_nothing_is_not_found_afterwards(any_ledger: Client, account: str) -> None:
    split(any_ledger, account, song="fault-402", headers={"X-Request-ID": f"free-{account}"})
    response = any_ledger.get(f"/api/requests/free-{account}", headers={"X-Suno-Cookie": account})
    assert "cost nothing" in assert_error(response, 404, "not_found")["error"]


@pytest.mark.parametrize("url", ["sqlite:////proc/nowhere/ledger.db", "redis://127.0.0.1:{port}/0"])
def test_without_a_ledger_a_request_with_a_key_sends_nothing_and_one_without_continues(
    start: Callable[..., Client], suno: Suno, account: str, url: str
) -> None:
    service = start(LEDGER_URL=url.format(port=free_port()))
    suno.forget()
    body = assert_error(split(service, account), 503, "ledger_unavailable")
    assert "Nothing was charged" in body["error"]
    assert suno.log() == []
    for path in ("/api/requests/x", "/api/requests"):
        assert_error(service.get(path, headers={"X-Suno-Cookie": account}), 503, "ledger_unavailable")

    assert service.split(cookie=account).status_code == 200

    assert "The ledger could not be written for request" in service.server.logged()
    assert len(suno.charges(account)) == 1


def test_a_split_that_waited_for_the_ledger_past_its_deadline_is_not_sent(
    start: Callable[..., Client], suno: Suno, account: str, tmp_path: Path
) -> None:
    service = start(**FAST | {"SUNO_DEADLINE": "0.1"}, LEDGER_URL=f"sqlite:///{tmp_path}/ledger.db")
    assert service.split(cookie=account).status_code == 200
    other = sqlite3.connect(tmp_path / "ledger.db", isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    suno.forget()
    with ThreadPoolExecutor(1) as pool:
        overdue = time.time() + 1.3
        first = pool.submit(split, service, account)
        while time.time() < overdue:
            assert not first.done()
        other.execute("COMMIT")
    assert_error(first.result(), 503, "suno_unreachable")
    assert suno.log("/api/edit/") == []


def test_a_paid_split_is_recorded_when_the_ledger_is_back(
    one_ledger: Client, ledger_file: Path, suno: Suno, account: str
) -> None:
    suno.forget()
    suno.set(delay=1)
    retries = one_ledger.server.logged().count("retries the ledger write")
    try:
        with (
            closing(sqlite3.connect(ledger_file, isolation_level=None, check_same_thread=False)) as other,
            ThreadPoolExecutor(1) as pool,
        ):
            first = pool.submit(split, one_ledger, account, headers={"X-Request-ID": f"insists-{account}"})
            until(lambda: suno.log("/api/edit/"))
            assert not first.done()
            other.execute("BEGIN IMMEDIATE")
            until(lambda: one_ledger.server.logged().count("retries the ledger write") > retries)
            assert not first.done()
            other.execute("COMMIT")
            paid = ids(first.result())
    finally:
        suno.set(delay=0)
    known = one_ledger.get(f"/api/requests/insists-{account}", headers={"X-Suno-Cookie": account}).json()
    assert (known["state"], [stem["id"] for stem in known["clips"]]) == ("done", paid)


def kill_workers(service: Client) -> None:
    children = f"/proc/{service.server.process.pid}/task/{service.server.process.pid}/children"
    with open(children) as file:  # noqa: PTH123
        for pid in file.read().split():
            __import__("os").kill(int(pid), signal.SIGKILL)
