"""wait_audio, over real sockets: the split is paid, so the caller always gets its ids."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from tests import stack
from tests.conftest import SONG, Client, Suno, until

FEED = "/api/feed/v3"


@pytest.fixture(scope="module")
def waiting(suno: Suno) -> Iterator[Client]:
    settings = {"SUNO_POLL_INTERVAL": "0.2", "SUNO_WAIT_TIMEOUT": "20", "WEB_CONCURRENCY": "1"}
    with stack.service(suno.url, settings) as server:
        yield Client(server)


@pytest.fixture(scope="module")
def hasty(suno: Suno) -> Iterator[Client]:
    """A service that waits for half a second."""
    settings = {"SUNO_POLL_INTERVAL": "0.2", "SUNO_WAIT_TIMEOUT": "0.5", "WEB_CONCURRENCY": "1"}
    with stack.service(suno.url, settings) as server:
        yield Client(server)


def split_and_wait(service: Client, account: str, song: str = SONG, **more: Any) -> requests.Response:
    return service.post(
        "/api/generate_stems",
        json={"audio_id": song, "wait_audio": True, **more},
        headers={"X-Suno-Cookie": account},
    )


def test_the_reply_comes_when_every_stem_is_complete(waiting: Client, suno: Suno, account: str) -> None:
    response = split_and_wait(waiting, account)
    assert response.status_code == 200
    assert [stem["status"] for stem in response.json()] == ["complete"] * 2
    assert [stem["duration"] for stem in response.json()] == ["183.4"] * 2
    assert [stem["id"] for stem in response.json()] == suno.charges(account)[0]["clips"]


def test_a_stem_that_fails_is_final_too(waiting: Client, account: str) -> None:
    assert [stem["status"] for stem in split_and_wait(waiting, account, "song-stem-fails").json()] == [
        "complete",
        "error",
    ]


def test_all_stems_are_polled_in_one_call(waiting: Client, suno: Suno, account: str) -> None:
    suno.forget()
    stems = split_and_wait(waiting, account, stem_task="twelve").json()
    assert len(stems) == 24
    paths = [entry["path"] for entry in suno.log() if not entry["path"].startswith("/v1/")]
    assert set(paths[3:]) == {FEED}


@pytest.mark.parametrize("song", ["song-late-ids", "song-feed-fails", "song-feed-429", "song-roots"])
def test_stems_that_the_feed_does_not_show_yet_are_waited_for(
    waiting: Client, suno: Suno, account: str, song: str
) -> None:
    stems = split_and_wait(waiting, account, song).json()
    assert [stem["id"] for stem in stems] == suno.charges(account)[0]["clips"]
    assert {stem["status"] for stem in stems} == {"complete"}
    assert {stem["stem_from_id"] for stem in stems} == {song}


def test_a_429_delays_polls_by_its_retry_after(waiting: Client, suno: Suno, account: str) -> None:
    suno.forget()
    split_and_wait(waiting, account, "song-feed-429")
    first, second = suno.log(FEED)[:2]
    assert first["status"] == 429
    assert second["at"] - first["at"] >= 1.0


def test_a_token_that_expires_during_the_wait_is_renewed(waiting: Client, suno: Suno, account: str) -> None:
    suno.set(token_lifetime=0.3, pace=0.5)
    suno.forget()
    try:
        stems = split_and_wait(waiting, account).json()
    finally:
        suno.set(token_lifetime=60, pace=0.2)
    assert {stem["status"] for stem in stems} == {"complete"}
    assert sum("/tokens" in entry["path"] for entry in suno.log()) > 1


@pytest.mark.parametrize("song", [SONG, "song-bare"])
def test_the_ids_come_with_their_current_statuses_after_the_wait_timeout(
    hasty: Client, suno: Suno, account: str, song: str
) -> None:
    suno.set(pace=30)
    try:
        response = split_and_wait(hasty, account, song)
    finally:
        suno.set(pace=0.2)
    assert response.status_code == 200
    assert [stem["id"] for stem in response.json()] == suno.charges(account)[0]["clips"]
    assert {stem["status"] for stem in response.json()} <= {"submitted", "queued", None}


def test_stems_that_are_already_complete_are_not_polled(waiting: Client, suno: Suno, account: str) -> None:
    suno.forget()
    stems = split_and_wait(waiting, account, "song-with-two", reuse_existing=True).json()
    assert {stem["status"] for stem in stems} == {"complete"}
    assert suno.log(FEED) == []


def test_a_stopping_worker_answers_its_waiters_with_the_current_statuses(
    start: Callable[..., Client], suno: Suno, account: str
) -> None:
    service = start(SUNO_POLL_INTERVAL="0.5")
    suno.set(pace=300)
    suno.forget()
    try:
        with ThreadPoolExecutor(8) as pool:
            replies = [pool.submit(split_and_wait, service, account) for _ in range(8)]
            until(lambda: len(suno.log("/api/edit/stems/")) == 8)
            assert not any(reply.done() for reply in replies)
            service.server.process.send_signal(signal.SIGTERM)
            stems = [stem for reply in replies for stem in reply.result().json()]
    finally:
        suno.set(pace=0.2)

    assert {stem["id"] for stem in stems} == {clip for charge in suno.charges(account) for clip in charge["clips"]}
    assert len(stems) == 16
    assert service.server.process.wait(timeout=30) == 0


def test_a_hundred_waiters_of_one_account_share_polls(waiting: Client, suno: Suno) -> None:
    suno.forget()
    with ThreadPoolExecutor(100) as pool:
        replies = list(pool.map(lambda _: split_and_wait(waiting, "sandbox-rich"), range(100)))
    assert {stem["status"] for reply in replies for stem in reply.json()} == {"complete"}
    assert len(suno.log(FEED)) < 50
