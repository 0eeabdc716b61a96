"""From a split to its webhook, over real sockets: the service, a jobs process, and receivers."""

from __future__ import annotations

import signal
import sqlite3
from collections.abc import Callable
from contextlib import closing

import pytest
import redis

from app.jobs.queue import Queue
from tests.asserts import assert_error
from tests.conftest import SONG, Suno, until
from tests.jobs.conftest import SECRET, Deployed, Receiver, Service, Shared
from tests.splits.conftest import redis_url as redis_url


@pytest.fixture
def deployed_with_redis(deploy: Callable[..., Deployed], redis_url: str) -> Service:
    """A service and a jobs process whose ledger and queue are in Redis."""
    redis.Redis.from_url(redis_url).flushdb()
    deployed = deploy(LEDGER_URL=redis_url, JOBS_URL=redis_url)
    deployed.start_jobs()
    return deployed


@pytest.mark.parametrize("kind", ["deployed", "deployed_with_redis"])
def test_a_webhook_is_sent_when_the_stems_are_final(
    receiver: Callable[..., Receiver], request: pytest.FixtureRequest, suno: Suno, account: str, kind: str
) -> None:
    deployed, there = request.getfixturevalue(kind), receiver()
    reply = deployed.split(there.url)
    assert [stem["status"] for stem in reply.json()] == ["submitted"] * 2
    [webhook] = there.verified()
    assert webhook["type"] == "stems.completed"
    data = webhook["data"]
    assert (data["request_id"], data["audio_id"], data["stem_task"]) == (reply.headers["X-Request-ID"], SONG, "two")
    assert [stem["id"] for stem in data["stems"]] == suno.charges(account)[0]["clips"]
    assert {(stem["status"], stem["duration"], stem["take"]) for stem in data["stems"]} == {("complete", "183.4", 1)}
    assert {stem["part"] for stem in data["stems"]} == {"vocals", "instrumental"}
    until(lambda: deployed.webhook_of(reply)["state"] == "delivered")
    assert [attempt["status"] for attempt in deployed.webhook_of(reply)["attempts"]] == [200]
    assert deployed.client.get("/readyz").json()["checks"]["jobs"] == "ok"


def test_jobs_are_done_later_if_no_jobs_process_was_running(
    deploy: Callable[..., Deployed], receiver: Callable[..., Receiver]
) -> None:
    deployed, there = deploy(), receiver()
    reply = deployed.split(there.url)
    assert deployed.client.get("/readyz").json()["checks"]["jobs"].startswith("no process runs them")
    assert deployed.webhook_of(reply) == {"state": "following", "attempts": [], "next_at": None}
    deployed.start_jobs()
    assert there.verified()[0]["type"] == "stems.completed"


def test_a_killed_process_loses_no_job(without_jobs: Deployed, receiver: Callable[..., Receiver]) -> None:
    there = receiver(500, 200)
    first = without_jobs.start_jobs()
    reply = without_jobs.split(there.url)
    until(lambda: without_jobs.webhook_of(reply)["next_at"] is not None)
    first.process.send_signal(signal.SIGKILL)
    first.process.wait()
    without_jobs.start_jobs()
    received = there.wait(2)
    until(lambda: without_jobs.webhook_of(reply)["state"] == "delivered")
    assert len({headers["webhook-id"] for headers, _ in received}) == 1
    assert len({body for _, body in received}) == 1


def test_the_stems_of_a_lost_reply_are_found_and_sent(
    deployed: Service, receiver: Callable[..., Receiver], suno: Suno, account: str
) -> None:
    there = receiver()
    deployed.split(there.url, "fault-hang")
    [webhook] = there.verified()
    assert webhook["type"] == "stems.completed"
    assert [stem["id"] for stem in webhook["data"]["stems"]] == suno.charges(account)[0]["clips"]


def test_a_split_without_stems_is_reported_as_failed_and_uncharged(
    deployed: Service, receiver: Callable[..., Receiver], suno: Suno, account: str
) -> None:
    there = receiver()
    assert_error(deployed.split(there.url, "fault-reset-before-reading"), 503, "outcome_unknown")
    [webhook] = there.verified()
    assert (webhook["type"], webhook["data"]["charged"], webhook["data"]["stems"]) == ("stems.failed", False, [])
    assert suno.charges(account) == []


def test_a_failed_stem_does_not_take_the_others_with_it(deployed: Service, receiver: Callable[..., Receiver]) -> None:
    there = receiver()
    deployed.split(there.url, "song-stem-fails")
    [webhook] = there.verified()
    data = webhook["data"]
    assert (webhook["type"], data["complete"]) == ("stems.completed", False)
    assert [stem["status"] for stem in data["stems"]] == ["complete", "error"]
    [failed] = data["failed"]
    assert (failed["id"], failed["part"]) == (data["stems"][1]["id"], data["stems"][1]["part"])
    assert failed["error"]


def test_eleven_good_stems_of_twelve_are_kept_and_listed(
    deployed: Service, receiver: Callable[..., Receiver]
) -> None:
    there = receiver()
    reply = deployed.split(there.url, "song-stem-fails", stem_task="twelve", audio_format="mp3")
    [webhook] = there.verified()
    data, state = webhook["data"], deployed.state_of(reply)
    number = len(data["stems"])
    assert (webhook["type"], data["complete"], len(data["failed"])) == ("stems.completed", False, 1)
    assert [file["status"] for file in data["files"]] == ["kept"] * (number - 1)
    assert (state["state"], state["ready"], state["complete"], state["delayed"]) == ("done", True, False, False)
    assert state["failed"] == data["failed"] and state["failed"][0]["error"]
    assert len(state["clips"]) == number and len(state["audio"]) == number - 1


def test_a_failed_stem_that_the_list_leaves_out_is_found(
    deployed: Service, receiver: Callable[..., Receiver]
) -> None:
    there = receiver()
    deployed.split(there.url, "song-stem-vanishes")
    [webhook] = there.verified()
    assert [stem["status"] for stem in webhook["data"]["stems"]] == ["complete", "error"]


def test_a_request_is_known_as_long_as_its_job(without_jobs: Deployed, receiver: Callable[..., Receiver]) -> None:
    there = receiver()
    jobs = without_jobs.start_jobs()
    reply = without_jobs.split(there.url)
    until(lambda: without_jobs.webhook_of(reply)["state"] == "delivered")
    before = without_jobs.state_of(reply)
    ledger = sqlite3.connect(without_jobs.settings["LEDGER_URL"].removeprefix("sqlite:///"))
    with ledger:
        # As days later: an entry is removed before its job.
        ledger.execute("DELETE FROM entries WHERE request_id = ?", [reply.headers["X-Request-ID"]])
    ledger.close()
    assert without_jobs.state_of(reply) == before
    [listed] = without_jobs.client.get("/api/requests").json()
    assert listed["request_id"] == reply.headers["X-Request-ID"]
    assert {name: listed[name] for name in before if name in listed} | {"webhook": before["webhook"]} == before
    other = without_jobs.client.get("/api/requests", headers={"X-Suno-Account": "load-598"})
    assert other.json() == []
    again = without_jobs.client.post(f"/api/requests/{reply.headers['X-Request-ID']}/webhook")
    assert again.status_code == 202
    assert [webhook["type"] for webhook in there.verified(2)] == ["stems.completed"] * 2
    another = without_jobs.client.get(
        f"/api/requests/{reply.headers['X-Request-ID']}", headers={"X-Suno-Account": "load-598"}
    )
    assert_error(another, 404, "not_found")
    jobs.process.terminate()


def test_a_job_that_cannot_be_read_hides_neither_its_stems_nor_other_splits(
    without_jobs: Deployed, receiver: Callable[..., Receiver]
) -> None:
    url = receiver().url
    other, reply = without_jobs.split(url), without_jobs.split(url)
    with closing(sqlite3.connect(without_jobs.settings["LEDGER_URL"].removeprefix("sqlite:///"))) as ledger, ledger:
        # As written by a newer release, before this one was put back.
        changed = ledger.execute(
            "UPDATE records SET value = json_set(value, '$.state', 'of a newer release') "
            "WHERE kind = 'job' AND json_extract(value, '$.request_id') = ?",
            [reply.headers["X-Request-ID"]],
        )
        assert changed.rowcount == 1
    state = without_jobs.state_of(reply)
    assert (state["state"], state["clips"]) == ("done", reply.json())
    listed = without_jobs.client.get("/api/requests")
    assert listed.status_code == 200
    assert {each["request_id"] for each in listed.json()} == {sent.headers["X-Request-ID"] for sent in (other, reply)}


def test_a_split_without_stems_says_why(deployed: Service, receiver: Callable[..., Receiver]) -> None:
    there = receiver()
    lost = deployed.split(there.url, "fault-reset-before-reading")
    there.wait(1)
    state = deployed.state_of(lost)
    assert (state["state"], state["ready"], state["error"]["charged"]) == ("failed", True, False)


def test_a_refused_split_has_no_webhook(deployed: Service, receiver: Callable[..., Receiver]) -> None:
    there = receiver()
    refused = deployed.split(there.url, "fault-404")
    assert_error(refused, 404, "song_not_found")
    assert_error(deployed.client.get(f"/api/requests/{refused.headers['X-Request-ID']}"), 404, "not_found")
    deployed.split(there.url)
    assert [webhook["data"]["audio_id"] for webhook in there.verified()] == [SONG]


def test_a_webhook_answered_410_is_not_retried_until_requested(
    deployed: Service, receiver: Callable[..., Receiver]
) -> None:
    there = receiver(410, 200)
    reply = deployed.split(there.url)
    until(lambda: deployed.webhook_of(reply)["state"] == "given_up")
    again = deployed.client.post(f"/api/requests/{reply.headers['X-Request-ID']}/webhook")
    assert (again.status_code, again.json()["state"]) == (202, "delivering")
    received = there.wait(2)
    assert len({headers["webhook-id"] for headers, _ in received}) == 1
    until(lambda: deployed.webhook_of(reply)["state"] == "delivered")


def test_a_replay_does_not_deliver_again_or_change_the_webhook_url(
    without_jobs: Deployed, receiver: Callable[..., Receiver], suno: Suno, account: str
) -> None:
    there, another = receiver(), receiver()
    key = {"Idempotency-Key": "k"}
    first = without_jobs.split(there.url, headers=key)
    assert without_jobs.split(there.url, headers=key).content == first.content
    assert_error(without_jobs.split(another.url, headers=key), 422, "idempotency_key_reused")
    without_jobs.start_jobs()
    there.wait(1)
    until(lambda: without_jobs.webhook_of(first)["state"] == "delivered")
    assert (len(there.received), another.received, len(suno.charges(account))) == (1, [], 1)


def test_duplicates_in_the_queue_are_delivered_once(
    without_jobs: Deployed, receiver: Callable[..., Receiver]
) -> None:
    there = receiver(200, 503, 200)
    jobs = without_jobs.start_jobs()
    first = without_jobs.split(there.url)
    until(lambda: without_jobs.webhook_of(first)["state"] == "delivered")
    second = without_jobs.split(there.url)
    until(lambda: without_jobs.webhook_of(second)["next_at"] is not None)
    next_at = without_jobs.webhook_of(second)["next_at"]
    known = sqlite3.connect(without_jobs.settings["LEDGER_URL"].removeprefix("sqlite:///"))
    queue = Queue(without_jobs.settings["JOBS_URL"])
    requests = [reply.headers["X-Request-ID"] for reply in (first, second)]
    own = known.execute("SELECT id FROM entries WHERE request_id IN (?, ?)", requests).fetchall()
    assert len(own) == 2
    for (id,) in own * 3:
        queue.put(id)
    known.close()
    until(lambda: without_jobs.webhook_of(second)["state"] == "delivered")
    assert without_jobs.webhook_of(second)["attempts"][1]["at"] >= next_at
    jobs.process.terminate()
    assert jobs.process.wait() == 0
    received = [webhook["data"]["request_id"] for webhook in there.verified(3)]
    assert received == [requests[0], requests[1], requests[1]]
    assert len(there.received) == 3


def test_an_unusable_queue_loses_no_reply_and_no_webhook(
    beside: Callable[..., Deployed], receiver: Callable[..., Receiver], suno: Suno, account: str
) -> None:
    deployed, there = beside(JOBS_URL="sqlite:////proc/nowhere/jobs.db"), receiver()
    reply = deployed.split(there.url)
    assert [stem["id"] for stem in reply.json()] == suno.charges(account)[0]["clips"]
    assert there.verified()[0]["type"] == "stems.completed"


def test_a_retry_that_pays_again_sends_another_webhook(
    deployed: Service, receiver: Callable[..., Receiver], suno: Suno, account: str
) -> None:
    there = receiver()
    key, song = {"Idempotency-Key": "k"}, "fault-reset-before-reading"
    assert_error(deployed.split(there.url, song, headers=key), 503, "outcome_unknown")
    assert there.verified()[0]["type"] == "stems.failed"
    assert_error(deployed.split(there.url, song, headers=key), 503, "outcome_unknown")
    received = there.wait(2)
    assert len({headers["webhook-id"] for headers, _ in received}) == 2


def test_webhooks_without_a_secret_with_a_cookie_or_to_a_private_host_are_refused(
    deployed: Service, deploy: Callable[..., Deployed], suno: Suno, account: str
) -> None:
    own = deployed.split("https://hooks.example.com/", headers={"X-Suno-Cookie": "sandbox-load-99999"})
    assert "never written down" in assert_error(own, 400, "webhook_not_allowed")["error"]
    for url in ("http://hooks.example.com/", "https://10.0.0.1/", "https://localhost/", "https://u:p@example.com/"):
        assert_error(deployed.split(url), 400, "webhook_not_allowed")
    assert_error(deployed.split(None), 400, "invalid_request")
    unsigned = deploy(WEBHOOK_SECRET="")
    assert (
        "webhook-secret"
        in assert_error(unsigned.split("https://a.example.com/"), 400, "webhook_not_allowed")["error"]
    )
    assert "jobs" not in unsigned.client.get("/readyz").json()["checks"]
    assert suno.charges(account) == []


def test_no_secret_is_in_the_ledger_the_queue_or_the_log(
    deployed: Service, shared: Shared, receiver: Callable[..., Receiver], account: str
) -> None:
    there = receiver()
    deployed.split(there.url)
    there.wait(1)
    kept = b"".join(file.read_bytes() for file in shared.folder.glob("*.db*"))
    for secret in (SECRET, f"__client={account}"):
        assert secret.encode() not in kept
        assert secret not in shared.logged()
