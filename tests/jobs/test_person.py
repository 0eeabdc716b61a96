"""A split that needs a person, over real sockets: Suno wants a captcha, and the account's owner acts at suno.com."""

from __future__ import annotations

import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import redis
import requests

from app.splits.store import LedgerUnavailable, Transaction
from tests.asserts import assert_error
from tests.conftest import SONG, Client, Suno, until
from tests.in_process import InProcess
from tests.jobs.conftest import Deployed, Receiver, Service
from tests.splits.conftest import redis_url as redis_url

DRUMS = {"stem_name": "Drum Kit"}
KEY = {"Idempotency-Key": "k"}


class Owner:
    """The owner of the Suno account, at suno.com."""

    def __init__(self, suno: Suno, account: str) -> None:
        self._suno, self._account = suno, account

    def _act(self, **what: Any) -> Any:
        reply = self._suno.post("/sandbox/person", json={"account": self._account, **what})
        reply.raise_for_status()
        return reply.json()

    def wants_captcha(self) -> None:
        self._act(action="want")

    def solves(self) -> None:
        self._act(action="solve")

    def splits(self, song: str = SONG, **kind: str) -> list[str]:
        ids: list[str] = self._act(action="split", song=song, **(kind or DRUMS))["clips"]
        return ids

    @property
    def paid_by_service(self) -> list[Any]:
        return [charge for charge in self._suno.charges(self._account) if not charge["by_person"]]


@pytest.fixture
def owner(suno: Suno, account: str) -> Owner:
    owner = Owner(suno, account)
    owner.wants_captcha()
    return owner


def ask(client: Client, headers: dict[str, str] | None = None, **more: Any) -> requests.Response:
    body = {"audio_id": SONG, "on_captcha": "wait", **DRUMS, **more}
    return client.post("/api/generate_stems", json=body, headers=headers or {})


def state_of(client: Client, reply: requests.Response) -> Any:
    return client.get(f"/api/requests/{reply.headers['X-Request-ID']}").json()


def again(client: Client, reply: requests.Response) -> requests.Response:
    return client.post(f"/api/requests/{reply.headers['X-Request-ID']}/again")


def cancel(client: Client, reply: requests.Response) -> requests.Response:
    return client.request("DELETE", f"/api/requests/{reply.headers['X-Request-ID']}")


@pytest.fixture
def client(without_jobs: Deployed) -> Client:
    """A client of a service without a jobs process."""
    return without_jobs.client


def test_a_captcha_fails_the_request_by_default(client: Client, owner: Owner) -> None:
    assert_error(ask(client, on_captcha="fail"), 403, "captcha_required")
    assert_error(client.post("/api/generate_stems", json={"audio_id": SONG, **DRUMS}), 403, "captcha_required")
    assert owner.paid_by_service == []


def test_a_request_that_waits_says_what_a_person_has_to_do(client: Client, owner: Owner) -> None:
    reply = ask(client)
    assert (reply.status_code, reply.headers["Retry-After"]) == (202, "60")
    assert client.get(reply.headers["Location"]).json() == reply.json() == state_of(client, reply)
    told = reply.json()
    assert (told["state"], told["clips"], told["ready"]) == ("needs_person", [], False)
    [listed] = client.get("/api/requests?limit=1").json()
    assert (listed["request_id"], listed["person"]) == (reply.headers["X-Request-ID"], told["person"])
    assert (listed["state"], listed["stem_name"]) == ("needs_person", "Drum Kit")
    person = told["person"]
    assert person["url"] == f"https://suno.com/song/{SONG}"
    assert "Split from Mix and Drum Kit" in person["what"]
    assert person["until"].endswith("Z")
    assert "error" not in told
    assert owner.paid_by_service == []


def test_stems_that_were_paid_for_are_the_reply_although_the_ledger_cannot_be_read_then(
    in_process: Callable[..., InProcess], owner: Owner, account: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = in_process(SUNO_COOKIE=account)
    store = client.app.extensions["parts"].ledger._store
    read = store.read

    def read_until_paid(look: Callable[[Transaction], Any]) -> Any:
        if owner.paid_by_service:
            raise LedgerUnavailable("it is away")
        return read(look)

    monkeypatch.setattr(store, "read", read_until_paid)
    reply = ask(client)
    assert reply.status_code == 202
    owner.solves()
    paid = again(client, reply)
    [charge] = owner.paid_by_service
    assert paid.status_code == 200, paid.text
    assert (paid.json()["state"], [clip["id"] for clip in paid.json()["clips"]]) == ("done", charge["clips"])


def test_the_metrics_and_the_log_tell_the_operator(deploy: Callable[..., Deployed], owner: Owner) -> None:
    client = deploy().client
    assert "suno_stems_needs_person 0.0" in client.get("/metrics").text
    reply = ask(client)
    assert "suno_stems_needs_person 1.0" in client.get("/metrics").text
    [line] = [line for line in client.server.logged().splitlines() if "Suno wants a captcha" in line]
    assert all(name in line for name in ("account default", reply.headers["X-Request-ID"], SONG))
    cancel(client, reply)
    assert "suno_stems_needs_person 0.0" in client.get("/metrics").text


def test_a_wait_says_so_if_no_jobs_process_runs(deploy: Callable[..., Deployed], owner: Owner) -> None:
    what = ask(deploy().client).json()["person"]["what"]
    assert "again yourself after the split" in what
    # A listener reads it on the page.
    assert "python" not in what


def test_a_wait_ends_in_time_without_a_jobs_process_too(
    in_process: Callable[..., Client], owner: Owner, account: str
) -> None:
    client = in_process(SUNO_COOKIE=account, HANDOVER_TIME="1")
    reply = ask(client, KEY)
    told = until(lambda: (told := state_of(client, reply))["state"] == "failed" and told)
    assert (told["error"]["code"], told["error"]["charged"]) == ("captcha_required", False)
    assert_error(again(client, reply), 409, "not_waiting")
    made = owner.splits()
    assert [clip["id"] for clip in ask(client, KEY).json()] == made


def test_a_caller_has_a_limited_number_of_requests_that_wait(
    in_process: Callable[..., Client], owner: Owner, account: str
) -> None:
    client = in_process(SUNO_COOKIE=account, WAITING_REQUESTS="1")
    first = ask(client, KEY)
    assert ask(client, KEY).status_code == 202
    error = assert_error(ask(client, {"Idempotency-Key": "other"}), 429, "rate_limited")
    assert "1 requests of this caller wait for a person" in error["error"]
    cancel(client, first)
    assert ask(client, {"Idempotency-Key": "other"}).status_code == 202


def test_without_a_captcha_it_is_a_plain_split(client: Client, owner: Owner) -> None:
    owner.solves()
    reply = ask(client)
    assert (reply.status_code, len(reply.json()), len(owner.paid_by_service)) == (200, 2, 1)
    assert_error(again(client, reply), 409, "not_waiting")
    assert_error(cancel(client, reply), 409, "not_waiting")


def test_the_older_call_needs_no_captcha(client: Client, owner: Owner) -> None:
    reply = client.post("/api/generate_stems", json={"audio_id": SONG, "on_captcha": "wait"})
    assert (reply.status_code, len(owner.paid_by_service)) == (200, 1)


def test_a_plain_pair_waits_if_only_the_newer_call_is_left(beside: Callable[..., Deployed], owner: Owner) -> None:
    client = beside(SUNO_STEMS_ROUTE="v2-web").client
    reply = client.post("/api/generate_stems", json={"audio_id": SONG, "on_captcha": "wait"})
    assert (reply.status_code, "Split from Mix and Lead Vocal" in reply.json()["person"]["what"]) == (202, True)
    made = owner.splits(stem_name="Lead Vocal")
    done = again(client, reply)
    assert (done.status_code, [clip["id"] for clip in done.json()["clips"]]) == (200, made)
    assert owner.paid_by_service == []


def test_a_refusal_that_did_nothing_begins_a_wait_too(client: Client, account: str, suno: Suno) -> None:
    """Suno's check says no, and its split call wants a captcha all the same."""
    reply = ask(client, audio_id="song-captcha")
    assert (reply.status_code, again(client, reply).status_code) == (202, 202)
    assert again(client, reply).json() == reply.json()
    assert suno.charges(account) == []


def test_a_cookie_of_the_request_cannot_wait(client: Client, owner: Owner) -> None:
    reply = client.post(
        "/api/generate_stems",
        json={"audio_id": SONG, "on_captcha": "wait", **DRUMS},
        headers={"X-Suno-Cookie": "sandbox-alice"},
    )
    error = assert_error(reply, 400, "invalid_request")
    assert "operator's accounts only" in error["error"]
    assert "/api/download" not in error["error"], "that splits nothing"


@pytest.mark.parametrize("wrong", ["maybe", None, 1, ""])
def test_other_values_of_on_captcha_are_refused(client: Client, wrong: Any) -> None:
    assert_error(ask(client, on_captcha=wrong), 400, "invalid_request")


def test_the_stems_that_a_person_makes_are_taken_when_it_is_tried_again(client: Client, owner: Owner) -> None:
    reply = ask(client)
    made = owner.splits()
    done = again(client, reply)
    assert done.status_code == 200
    assert [clip["id"] for clip in done.json()["clips"]] == made
    assert (done.json()["state"], done.json()["charged"]) == ("done", False)
    assert owner.paid_by_service == []
    assert again(client, reply).json()["clips"] == done.json()["clips"]
    assert_error(cancel(client, reply), 409, "not_waiting")


def test_the_same_key_takes_them_too_and_is_not_paid_for(client: Client, owner: Owner) -> None:
    ask(client, KEY)
    made = owner.splits()
    for on_captcha in ("wait", "fail"):
        reply = ask(client, KEY, on_captcha=on_captcha)
        assert (reply.status_code, reply.headers["Idempotent-Replayed"]) == (200, "true")
        assert [clip["id"] for clip in reply.json()] == made
    assert owner.paid_by_service == []


@pytest.mark.parametrize("kind", [{"stem_name": "Bass"}, {"stem_task": "twelve"}, {"stem_task": "two"}])
def test_stems_of_another_kind_are_not_taken(client: Client, owner: Owner, kind: dict[str, str]) -> None:
    reply = ask(client, KEY)
    other = owner.splits(**kind)
    done = ask(client, KEY)
    assert done.status_code == 200
    assert not {clip["id"] for clip in done.json()} & set(other)
    assert len(owner.paid_by_service) == 1
    assert "charged" not in state_of(client, reply)


def test_all_parts_are_taken_as_one_set(client: Client, owner: Owner) -> None:
    body = {"audio_id": SONG, "stem_task": "twelve", "on_captcha": "wait"}
    reply = client.post("/api/generate_stems", json=body)
    assert "Auto Split" in reply.json()["person"]["what"]
    made = owner.splits(stem_task="twelve")
    assert [clip["id"] for clip in again(client, reply).json()["clips"]] == made


def test_stems_from_before_the_request_are_not_taken(client: Client, owner: Owner) -> None:
    before = owner.splits()
    owner.wants_captcha()
    reply = ask(client)
    assert reply.status_code == 202
    assert again(client, reply).status_code == 202
    made = owner.splits()
    assert [clip["id"] for clip in again(client, reply).json()["clips"]] == made != before


def test_after_a_solved_captcha_it_pays_once(client: Client, owner: Owner) -> None:
    reply = ask(client, KEY)
    owner.solves()
    assert state_of(client, reply)["state"] == "needs_person"
    assert owner.paid_by_service == []
    done = again(client, reply)
    assert (done.status_code, done.json()["state"]) == (200, "done")
    [charge] = owner.paid_by_service
    assert [clip["id"] for clip in done.json()["clips"]] == charge["clips"]
    assert "charged" not in done.json()
    retry = ask(client, KEY)
    assert [clip["id"] for clip in retry.json()] == charge["clips"]
    assert len(owner.paid_by_service) == 1
    assert_error(cancel(client, reply), 409, "not_waiting")


def test_while_a_captcha_is_wanted_each_try_gets_the_same_202(client: Client, owner: Owner) -> None:
    first = ask(client, KEY)
    for reply in (ask(client, KEY), ask(client, KEY, on_captcha="fail"), again(client, first)):
        assert (reply.status_code, reply.json()) == (202, first.json())
        assert client.get(reply.headers["Location"]).json() == first.json()
    assert owner.paid_by_service == []


def test_the_key_of_a_wait_refuses_another_request(client: Client, owner: Owner) -> None:
    ask(client, KEY)
    assert_error(ask(client, KEY, stem_name="Bass"), 422, "idempotency_key_reused")


def test_once_its_paid_call_has_left_it_cannot_be_cancelled_and_takes_nothing(client: Client, owner: Owner) -> None:
    song = "fault-reset-before-reading"
    reply = ask(client, KEY, audio_id=song)
    owner.solves()
    assert_error(again(client, reply), 503, "outcome_unknown")
    assert state_of(client, reply)["state"] == "in_doubt"
    assert_error(cancel(client, reply), 409, "not_waiting")
    assert_error(again(client, reply), 409, "not_waiting")


def test_a_cancelled_request_has_charged_nothing(client: Client, owner: Owner) -> None:
    reply = ask(client, KEY)
    for done in (cancel(client, reply), cancel(client, reply)):
        assert done.status_code == 200
        assert done.json()["state"] == "failed"
        assert (done.json()["error"]["code"], done.json()["error"]["charged"]) == ("cancelled", False)
        assert done.json() == state_of(client, reply)
    assert_error(again(client, reply), 409, "not_waiting")
    assert owner.paid_by_service == []


def test_the_key_of_a_cancelled_request_looks_before_it_pays(client: Client, owner: Owner) -> None:
    cancel(client, ask(client, KEY))
    made = owner.splits()
    done = ask(client, KEY)
    assert [clip["id"] for clip in done.json()] == made
    assert owner.paid_by_service == []


@pytest.mark.parametrize("on_captcha", ["wait", "fail"])
def test_the_key_of_a_cancelled_request_pays_if_there_is_nothing(
    client: Client, owner: Owner, on_captcha: str
) -> None:
    cancel(client, ask(client, KEY))
    owner.solves()
    reply = ask(client, KEY, on_captcha=on_captcha)
    assert (reply.status_code, len(owner.paid_by_service)) == (200, 1)
    assert state_of(client, reply)["state"] == "done"


def test_the_key_of_a_cancelled_request_can_wait_anew(client: Client, owner: Owner) -> None:
    first = ask(client, KEY)
    cancel(client, first)
    assert_error(ask(client, KEY, on_captcha="fail"), 403, "captcha_required")
    assert state_of(client, first)["error"]["code"] == "cancelled"
    reply = ask(client, KEY)
    assert (reply.status_code, reply.json()["state"]) == (202, "needs_person")
    assert state_of(client, first)["state"] == "needs_person"


def test_another_callers_request_is_not_found(client: Client, owner: Owner) -> None:
    reply = ask(client)
    stranger = Client(client.server, {"X-Suno-Account": "free"})
    assert_error(again(stranger, reply), 404, "not_found")
    assert_error(cancel(stranger, reply), 404, "not_found")


def test_the_older_of_two_requests_takes_the_first_set(client: Client, owner: Owner) -> None:
    older, younger = ask(client), ask(client)
    first = owner.splits()
    error = assert_error(again(client, younger), 409, "in_progress")
    assert first[0] in error["error"]
    assert [clip["id"] for clip in again(client, older).json()["clips"]] == first
    second = owner.splits()
    assert [clip["id"] for clip in again(client, younger).json()["clips"]] == second
    assert owner.paid_by_service == []


def test_a_set_that_a_request_in_doubt_could_own_is_not_taken(client: Client, owner: Owner) -> None:
    song = "fault-reset-before-reading"
    owner.solves()
    assert_error(ask(client, {"Idempotency-Key": "lost"}, audio_id=song), 503, "outcome_unknown")
    owner.wants_captcha()
    waiting = ask(client, audio_id=song)
    made = owner.splits(song)
    error = assert_error(again(client, waiting), 409, "in_progress")
    assert made[0] in error["error"]
    error = assert_error(ask(client, {"Idempotency-Key": "lost"}, audio_id=song), 409, "in_progress")
    assert made[0] in error["error"]
    assert cancel(client, waiting).status_code == 200


def test_a_jobs_process_takes_the_stems_and_tells_it_once(
    without_jobs: Deployed, owner: Owner, receiver: Callable[..., Receiver]
) -> None:
    there, client = receiver(), without_jobs.client
    reply = ask(client, webhook_url=there.url, audio_format="mp3")
    made = owner.splits()
    without_jobs.start_jobs()
    needed, completed = there.verified(2)
    assert (needed["type"], completed["type"]) == ("stems.needs_person", "stems.completed")
    assert needed["data"]["person"] | {"what": ""} == reply.json()["person"] | {"what": ""}
    assert (completed["data"]["charged"], completed["data"]["complete"]) == (False, True)
    assert [stem["id"] for stem in completed["data"]["stems"]] == made
    assert [file["status"] for file in completed["data"]["files"]] == ["kept", "kept"]
    state = until(lambda: (told := state_of(client, reply))["ready"] and told)
    assert (state["state"], state["charged"], "person" in state) == ("done", False, False)
    assert owner.paid_by_service == []


@pytest.mark.parametrize("paid", [False, True])
def test_it_is_the_same_with_a_ledger_in_redis(
    deploy: Callable[..., Deployed], owner: Owner, redis_url: str, paid: bool
) -> None:
    redis.Redis.from_url(redis_url).flushdb()
    deployed = deploy(LEDGER_URL=redis_url, JOBS_URL=redis_url)
    client = deployed.client
    reply = ask(client, KEY)
    assert ask(client, KEY).json() == reply.json()
    if paid:
        owner.solves()
        assert again(client, reply).status_code == 200
    made = owner.paid_by_service[0]["clips"] if paid else owner.splits()
    deployed.start_jobs()
    state = until(lambda: (told := state_of(client, reply))["ready"] and told)
    assert ([clip["id"] for clip in state["clips"]], state.get("charged")) == (made, None if paid else False)
    assert len(owner.paid_by_service) == paid


def test_a_killed_jobs_process_adopts_and_tells_once(
    without_jobs: Deployed, owner: Owner, receiver: Callable[..., Receiver]
) -> None:
    there, client = receiver(), without_jobs.client
    reply = ask(client, webhook_url=there.url)
    first = without_jobs.start_jobs()
    there.wait(1)
    first.process.send_signal(signal.SIGKILL)
    first.process.wait()
    made = owner.splits()
    assert again(client, reply).status_code == 200
    without_jobs.start_jobs()
    completed = there.verified(2)[1]
    assert (completed["type"], completed["data"]["charged"]) == ("stems.completed", False)
    assert [stem["id"] for stem in completed["data"]["stems"]] == made


def test_two_tries_at_once_pay_once(client: Client, owner: Owner) -> None:
    reply = ask(client, KEY)
    owner.solves()
    with ThreadPoolExecutor(8) as pool:
        statuses = list(
            pool.map(lambda number: (again if number % 2 else retry)(client, reply).status_code, range(8))
        )
    assert set(statuses) <= {200, 409}
    assert 200 in statuses
    assert len(owner.paid_by_service) == 1


def retry(client: Client, reply: requests.Response) -> requests.Response:
    return ask(client, KEY)


def test_a_caller_tries_again_only_what_it_may_split(
    deploy: Callable[..., Deployed], owner: Owner, account: str, tmp_path: Path
) -> None:
    file, key = tmp_path / "callers.toml", "k" * 20
    caller = f'[accounts.own]\ncookie = "{account}"\n[callers.c]\napi_key = "{key}"\naccounts = ["own"]\n'
    file.write_text(caller)
    deployed = deploy(CALLERS_FILE=str(file), SUNO_COOKIE="")
    client = Client(deployed.client.server, {"X-API-Key": key})
    reply = ask(client)
    owner.solves()
    file.write_text(f'{caller}tasks = ["twelve"]\n')
    later = Client(deploy(CALLERS_FILE=str(file), SUNO_COOKIE="").client.server, {"X-API-Key": key})
    assert_error(again(later, reply), 403, "not_allowed")
    assert owner.paid_by_service == []
    assert cancel(later, reply).status_code == 200


def test_a_person_is_called_once_and_again_if_asked(
    deployed: Service, owner: Owner, receiver: Callable[..., Receiver]
) -> None:
    there, client = receiver(), deployed.client
    reply = ask(client, webhook_url=there.url)
    [(headers, _)] = there.wait(1)
    asked = client.post(f"/api/requests/{reply.headers['X-Request-ID']}/webhook")
    assert (asked.status_code, asked.json()["state"]) == (202, "needs_person")
    first, second = there.verified(2)
    assert first == second
    assert {sent["webhook-id"] for sent, _ in there.received} == {headers["webhook-id"]}
    assert cancel(client, reply).status_code == 200
    assert there.verified(3)[2]["type"] == "stems.failed"


def test_a_cancelled_request_tells_it_once(
    deployed: Service, owner: Owner, receiver: Callable[..., Receiver]
) -> None:
    there = receiver()
    reply = ask(deployed.client, webhook_url=there.url)
    there.wait(1)
    cancel(deployed.client, reply)
    data = there.verified(2)[1]["data"]
    assert (data["charged"], data["code"], data["stems"]) == (False, "cancelled", [])


def test_a_paid_split_after_a_wait_tells_it_like_any_other(
    deployed: Service, owner: Owner, receiver: Callable[..., Receiver]
) -> None:
    there = receiver()
    reply = ask(deployed.client, webhook_url=there.url)
    there.wait(1)
    owner.solves()
    assert again(deployed.client, reply).status_code == 200
    data = there.verified(2)[1]["data"]
    assert "charged" not in data
    assert [stem["id"] for stem in data["stems"]] == owner.paid_by_service[0]["clips"]


def test_nobody_came_in_time(
    beside: Callable[..., Deployed], owner: Owner, receiver: Callable[..., Receiver]
) -> None:
    there, client = receiver(), beside(HANDOVER_TIME="2").client
    reply = ask(client, KEY, webhook_url=there.url)
    data = there.verified(2)[1]["data"]
    assert (data["charged"], data["code"]) == (False, "captcha_required")
    state = state_of(client, reply)
    assert (state["state"], state["ready"]) == ("failed", True)
    assert (state["error"]["code"], state["error"]["charged"]) == ("captcha_required", False)
    made = owner.splits()
    assert [clip["id"] for clip in ask(client, KEY, webhook_url=there.url).json()] == made
    assert there.verified(3)[2]["data"]["charged"] is False
    assert owner.paid_by_service == []
