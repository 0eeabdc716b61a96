"""Two instances, as on two machines: behind one nginx, and sharing only one Redis."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
import requests

from tests.conftest import SONG, Client, Suno, until
from tests.deploy.conftest import OFTEN, SHORT, Proxy, Tls, nginx_at, workers
from tests.splits.conftest import REDIS, redis_server
from tools import stack
from tools.process import free_port

SLOW = "fault-slow-2s"
RICH = "sandbox-rich"
PATIENCE = SHORT | {"SUNO_READ_TIMEOUT": "10", "SUNO_DEADLINE": "6", "SUNO_SETTLE_TIME": "1"}


class Instance:
    """The service of one machine. It can be killed, stopped, and started again on the same port."""

    def __init__(self, suno_url: str, redis_url: str) -> None:
        self._suno_url = suno_url
        self._settings = PATIENCE | {"LEDGER_URL": redis_url, "TRUSTED_HOSTS": "localhost,127.0.0.1"}
        self.servers = ExitStack()
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        self.start()

    def start(self) -> None:
        self.server = self.servers.enter_context(stack.service(self._suno_url, self._settings, port=self.port))
        self.client = Client(self.server)

    def stop(self) -> None:
        """Let running requests finish, as systemd and the container engine do."""
        self.servers.close()
        assert self.server.process.returncode == 0

    def kill(self) -> None:
        """End every process at once, as a power failure does."""
        pids = [self.server.process.pid, *workers(self.server.process.pid)]
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        self.servers.close()


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if not REDIS:
        pytest.skip("redis-server is not installed: more than one machine is not tested")
    port = free_port()
    with redis_server(tmp_path_factory.mktemp("redis"), port):
        yield f"redis://127.0.0.1:{port}/0"


@pytest.fixture(scope="module")
def pair(
    suno: Suno, redis_url: str, tls: Tls, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Instance, Instance, Proxy]]:
    with ExitStack() as running:
        instances = [Instance(suno.url, redis_url) for _ in range(2)]
        for instance in instances:
            running.callback(instance.servers.close)
        nginx = running.enter_context(
            nginx_at(tmp_path_factory.mktemp("pair"), tls, *(instance.address for instance in instances), burst=OFTEN)
        )
        yield instances[0], instances[1], nginx


def until_done(nginx: Proxy, song: str, account: str, key: str) -> requests.Response:
    """Retry a key until it returns its stems, as a client should do."""

    def done() -> requests.Response | None:
        try:
            reply = nginx.split(song, account, headers={"Idempotency-Key": key})
        except requests.exceptions.ChunkedEncodingError:
            # The instance was killed between the head and the body of its reply.
            return None
        if reply.status_code == 200:
            return reply
        assert reply.status_code in (409, 503), reply.text
        assert reply.json()["code"] in ("in_progress", "outcome_unknown"), reply.text
        return None

    return until(done)


def test_a_key_is_replayed_by_the_other_instance(
    pair: tuple[Instance, Instance, Proxy], suno: Suno, account: str
) -> None:
    one, other, nginx = pair
    headers = {"Idempotency-Key": account}
    first = one.client.split(cookie=account, headers=headers)
    replies = [other.client.split(cookie=account, headers=headers)]
    replies += [nginx.split(cookie=account, headers=headers) for _ in range(6)]
    assert {reply.content for reply in replies} == {first.content}
    assert {reply.headers["Idempotent-Replayed"] for reply in replies} == {"true"}
    assert len(suno.charges(account)) == 1
    known = other.client.get(f"/api/requests/{first.headers['X-Request-ID']}", headers={"X-Suno-Cookie": account})
    assert known.json()["state"] == "done"


def test_a_key_sent_to_both_at_once_is_paid_once(
    pair: tuple[Instance, Instance, Proxy], suno: Suno, account: str
) -> None:
    one, other, _ = pair
    headers = {"Idempotency-Key": account}
    with ThreadPoolExecutor(8) as pool:
        replies = list(
            pool.map(lambda machine: machine.client.split(SLOW, account, headers=headers), [one, other] * 4)
        )
    assert {reply.status_code for reply in replies} == {200}
    assert len({reply.content for reply in replies}) == 1
    assert len(suno.charges(account)) == 1


def test_a_killed_instance_loses_nothing(pair: tuple[Instance, Instance, Proxy], suno: Suno, account: str) -> None:
    one, _, nginx = pair
    songs = [SONG, SLOW, SLOW, "song-4-stems"] * 4
    suno.forget()
    with ThreadPoolExecutor(len(songs)) as pool:
        replies = [
            pool.submit(until_done, nginx, song, account, f"{account}-{number}") for number, song in enumerate(songs)
        ]

        def all_are_running() -> bool:
            assert not any(reply.done() and reply.exception() for reply in replies)
            return sum(SLOW in entry["path"] for entry in suno.log("/api/edit/stems/")) >= 8

        until(all_are_running)
        one.kill()
        try:
            received = [clip["id"] for reply in replies for clip in reply.result().json()]
        finally:
            one.start()
    charges = suno.charges(account)
    assert len(charges) == len(songs)
    assert sorted(received) == sorted(clip for charge in charges for clip in charge["clips"])


def test_a_rolling_restart_fails_no_request_and_charges_none_twice(
    pair: tuple[Instance, Instance, Proxy], suno: Suno
) -> None:
    one, other, nginx = pair
    before = len(suno.charges(RICH))
    with load(lambda song, key: nginx.split(song, RICH, headers={"Idempotency-Key": key})) as sent:
        for leaving, staying in ((one, other), (other, one)):
            wait_for_replies(sent, len(sent) + 8)
            nginx.balance([f"{leaving.address} down", staying.address])
            nginx.reload()
            leaving.stop()
            wait_for_replies(sent, len(sent) + 8)
            leaving.start()
            nginx.balance([one.address, other.address])
            nginx.reload()
    replies = [reply.result() for reply in sent]
    assert {reply.status_code for reply in replies} == {200}
    assert len(suno.charges(RICH)) - before == len(replies)
    assert len({clip["id"] for reply in replies for clip in reply.json()}) == sum(
        len(reply.json()) for reply in replies
    )


@contextmanager
def load(split: Callable[[str, str], Any], callers: int = 4) -> Iterator[list[Future[Any]]]:
    """Split in parallel until the block ends; every second caller uses a song that takes Suno 2 s."""
    over = threading.Event()
    sent: list[Future[Any]] = []

    def call(number: int) -> None:
        turn = 0
        while not over.is_set():
            reply: Future[Any] = Future()
            try:
                reply.set_result(split(SLOW if number % 2 else SONG, f"load-{number}-{turn}"))
            except requests.RequestException as error:
                reply.set_exception(error)
            sent.append(reply)
            turn += 1
            over.wait(0.05)

    with ThreadPoolExecutor(callers) as pool:
        done = [pool.submit(call, number) for number in range(callers)]
        try:
            yield sent
        finally:
            over.set()
    for caller in done:
        caller.result()


def wait_for_replies(sent: list[Future[Any]], number: int) -> None:
    """Wait until the load has this number of replies."""
    until(lambda: len(sent) >= number)
