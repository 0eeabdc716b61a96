"""Stopping the service lets a request in flight finish: it may have been paid."""

from __future__ import annotations

import contextlib
import signal
import socket
import socketserver
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

from tests.asserts import assert_error
from tests.conftest import Client, Suno, until
from tests.test_serving import worker_of

Start = Callable[..., Client]


def test_sigterm_lets_requests_in_flight_finish(start: Start, suno: Suno, account: str) -> None:
    service = start()
    service.split(cookie=account)
    suno.forget()

    with ThreadPoolExecutor(8) as pool:
        replies = [pool.submit(service.split, "fault-slow-2s", account) for _ in range(8)]
        until(lambda: len(suno.log("/api/edit/stems/")) == 8)
        assert not any(reply.done() for reply in replies)
        service.server.process.send_signal(signal.SIGTERM)
        statuses = [reply.result().status_code for reply in replies]

    assert statuses == [200] * 8
    assert service.server.process.wait(timeout=30) == 0
    assert len(suno.charges(account)) == 9


class Gate(socketserver.ThreadingTCPServer):
    """A way to Suno that is closed at first: each call waits until `opened` is set."""

    daemon_threads = True

    def __init__(self, suno: Suno) -> None:
        self.waiting, self.opened = threading.Event(), threading.Event()
        self.suno = urlsplit(suno.url)
        super().__init__(("127.0.0.1", 0), Way)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Way(socketserver.BaseRequestHandler):
    server: Gate

    def handle(self) -> None:
        self.server.waiting.set()
        assert self.server.opened.wait(30)
        with socket.create_connection((self.server.suno.hostname or "", self.server.suno.port or 0)) as there:
            back = threading.Thread(target=pipe, args=(there, self.request), daemon=True)
            back.start()
            pipe(self.request, there)
            back.join()


def pipe(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65_536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


@pytest.fixture
def gate(suno: Suno) -> Iterator[Gate]:
    with Gate(suno) as gate:
        threading.Thread(target=gate.serve_forever, args=(0.05,), daemon=True).start()
        try:
            yield gate
        finally:
            gate.opened.set()
            gate.shutdown()


@pytest.fixture
def stop_before_it_pays(gate: Gate, account: str) -> Iterator[Callable[..., requests.Response]]:
    """Stop a service while a split with a key signs in. Returns its reply."""

    def reply(service: Client, sent: signal.Signals) -> requests.Response:
        old = worker_of(service)
        split = pool.submit(service.split, cookie=account, headers=KEY)
        assert gate.waiting.wait(30)
        service.server.process.send_signal(sent)
        until(lambda: not listens(old, service))
        gate.opened.set()
        return split.result()

    with ThreadPoolExecutor(1) as pool:
        yield reply


KEY = {"Idempotency-Key": "k"}


def listens(pid: int, service: Client) -> bool:
    """Whether a process still has the service's listening socket open."""
    port = urlsplit(service.url).port or 0
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()]
    inodes = {row[9] for row in rows if row[1] == f"0100007F:{port:04X}" and row[3] == "0A"}
    links = [file.readlink() for file in Path(f"/proc/{pid}/fd").iterdir() if file.is_symlink()]
    return any(str(link) == f"socket:[{inode}]" for link in links for inode in inodes)


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGHUP])
def test_after_a_stop_no_paid_call_begins_that_might_be_killed_and_the_same_key_works_elsewhere(
    start: Start,
    suno: Suno,
    gate: Gate,
    stop_before_it_pays: Callable[..., requests.Response],
    account: str,
    tmp_path: Path,
    sent: signal.Signals,
) -> None:
    ledger = {"LEDGER_URL": f"sqlite:///{tmp_path}/ledger.db"}
    service = start(gate.url, GUNICORN_CMD_ARGS="--graceful-timeout=30", **ledger)
    refused = stop_before_it_pays(service, sent)

    assert "nothing was charged" in assert_error(refused, 503, "stopping")["error"]
    assert refused.headers["Retry-After"] == "1"
    assert suno.charges(account) == []
    if sent == signal.SIGTERM:
        assert service.server.process.wait(timeout=30) == 0
        service = start(**ledger)
    reply = service.split(cookie=account, headers=KEY)
    assert (reply.status_code, "Idempotent-Replayed" in reply.headers) == (200, False)
    assert len(suno.charges(account)) == 1


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGHUP])
def test_a_paid_call_that_has_time_begins_after_a_stop_or_a_reload(
    start: Start,
    suno: Suno,
    gate: Gate,
    stop_before_it_pays: Callable[..., requests.Response],
    account: str,
    sent: signal.Signals,
) -> None:
    assert stop_before_it_pays(start(gate.url), sent).status_code == 200
    assert len(suno.charges(account)) == 1
