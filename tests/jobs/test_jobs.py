"""From a split to its webhook, over real sockets: the service, a jobs process, and receivers."""

from __future__ import annotations

import signal
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
import redis

from app.jobs.queue import Queue
from tests.asserts import assert_error
from tests.conftest import SONG, Suno
from tests.jobs.conftest import SECRET, Deployed, Receiver, Service, until
from tests.splits.conftest import redis_url as redis_url


@pytest.mark.parametrize("kind", ["sqlite", "redis"])
def test_a_webhook_is_sent_when_the_stems_are_final(
    deploy: Callable[..., Deployed],
    receiver: Callable[..., Receiver],
    request: pytest.FixtureRequest,
    suno: Suno,
    account: str,
    kind: str,
) -> None:
    more = {}
    if kind == "redis":
        url = request.getfixturevalue("redis_url")
        redis.Redis.from_url(url).flushdb()
        more = {"LEDGER_URL": url, "JOBS_URL": url}
    deployed, there = deploy(**more), receiver()
    deployed.start_jobs()
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


def test_a_killed_process_loses_no_job(deploy: Callable[..., Deployed], receiver: Callable[..., Receiver]) -> None:
    deployed, there = deploy(), receiver(500, 200)
    first = deployed.start_jobs()
    reply = deployed.split(there.url)
    until(lambda: deployed.webhook_of(reply)["next_at"] is not None)
    first.process.send_signal(signal.SIGKILL)
    first.process.wait()
    deployed.start_jobs()
    received = there.wait(2)
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


def test_a_failed_stem_is_reported_as_charged(deployed: Service, receiver: Callable[..., Receiver]) -> None:
    there = receiver()
    deployed.split(there.url, "song-stem-fails")
    [webhook] = there.verified()
    assert (webhook["type"], webhook["data"]["charged"]) == ("stems.failed", True)
    assert [stem["status"] for stem in webhook["data"]["stems"]] == ["complete", "error"]


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
    deploy: Callable[..., Deployed], receiver: Callable[..., Receiver], suno: Suno, account: str
) -> None:
    deployed, there, another = deploy(), receiver(), receiver()
    key = {"Idempotency-Key": "k"}
    first = deployed.split(there.url, headers=key)
    assert deployed.split(there.url, headers=key).content == first.content
    assert_error(deployed.split(another.url, headers=key), 422, "idempotency_key_reused")
    deployed.start_jobs()
    there.wait(1)
    until(lambda: deployed.webhook_of(first)["state"] == "delivered")
    assert (len(there.received), another.received, len(suno.charges(account))) == (1, [], 1)


def test_duplicates_in_the_queue_are_delivered_once(
    deploy: Callable[..., Deployed], receiver: Callable[..., Receiver], settings: dict[str, str]
) -> None:
    deployed, there = deploy(), receiver(200, 503, 200)
    jobs = deployed.start_jobs()
    first = deployed.split(there.url)
    until(lambda: deployed.webhook_of(first)["state"] == "delivered")
    second = deployed.split(there.url)
    until(lambda: deployed.webhook_of(second)["next_at"] is not None)
    next_at = deployed.webhook_of(second)["next_at"]
    known = sqlite3.connect(settings["LEDGER_URL"].removeprefix("sqlite:///"))
    queue = Queue(settings["JOBS_URL"])
    for (id,) in known.execute("SELECT id FROM entries").fetchall() * 3:
        queue.put(id)
    known.close()
    until(lambda: deployed.webhook_of(second)["state"] == "delivered")
    assert deployed.webhook_of(second)["attempts"][1]["at"] >= next_at
    jobs.process.terminate()
    assert jobs.process.wait() == 0
    assert [webhook["data"]["request_id"] for webhook in there.verified(3)] == [
        first.headers["X-Request-ID"],
        *[second.headers["X-Request-ID"]] * 2,
    ]
    assert len(there.received) == 3


def test_an_unusable_queue_loses_no_reply_and_no_webhook(
    deploy: Callable[..., Deployed], receiver: Callable[..., Receiver], suno: Suno, account: str, tmp_path: Path
) -> None:
    deployed, there = deploy(JOBS_URL="sqlite:////proc/nowhere/jobs.db"), receiver()
    reply = deployed.split(there.url)
    assert [stem["id"] for stem in reply.json()] == suno.charges(account)[0]["clips"]
    deployed.settings["JOBS_URL"] = f"sqlite:///{tmp_path}/another.db"
    deployed.start_jobs()
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
    deploy: Callable[..., Deployed], suno: Suno, account: str
) -> None:
    deployed = deploy()
    own = deployed.split("https://hooks.example.com/", headers={"X-Suno-Cookie": "sandbox-load-99999"})
    assert "never written down" in assert_error(own, 400, "webhook_not_allowed")["error"]
    for url in ("http://hooks.example.com/", "https://10.0.0.1/", "https://localhost/", "https://u:p@example.com/"):
        assert_error(deployed.split(url), 400, "webhook_not_allowed")
    assert_error(deployed.split(None), 400, "invalid_request")  # type: ignore[arg-type]
    unsigned = deploy(WEBHOOK_SECRET="")
    assert (
        "webhook-secret"
        in assert_error(unsigned.split("https://a.example.com/"), 400, "webhook_not_allowed")["error"]
    )
    assert "jobs" not in unsigned.client.get("/readyz").json()["checks"]
    assert suno.charges(account) == []


def test_no_secret_is_in_the_ledger_the_queue_or_the_log(
    deploy: Callable[..., Deployed], receiver: Callable[..., Receiver], tmp_path: Path, account: str
) -> None:
    deployed, there = deploy(), receiver()
    jobs = deployed.start_jobs()
    deployed.split(there.url)
    there.wait(1)
    kept = b"".join(file.read_bytes() for file in tmp_path.glob("*.db*"))
    for secret in (SECRET, f"__client={account}"):
        assert secret.encode() not in kept
        assert secret not in jobs.logged() + deployed.client.server.logged()
