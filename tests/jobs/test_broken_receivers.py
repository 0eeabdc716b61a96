"""A webhook to a receiver whose connection fails in every way that a socket can: an attempt, never an exception."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from app.jobs.webhook import MAX_FIRST_LINE_LENGTH, MAX_RECEIVER_REPLY_BYTES, SendResult, send
from tests.conftest import until
from tests.jobs.conftest import HERE, SECRET, Service
from tests.outbound import PUBLIC_NAME, Host, Proxy, Script, answers, certificate_for, read_request

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
LENGTH = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"
GZIP = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 8\r\n\r\n"


def endless(head: bytes, block: bytes) -> Script:
    def script(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(head)
        while True:
            connection.sendall(block)

    return script


def dripped(head: bytes, drop: bytes) -> Script:
    """Send a drop every 50 ms, for ever: no silence is long enough for a socket's timeout."""

    def script(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(head)
        while True:
            connection.sendall(drop)
            time.sleep(0.05)

    return script


BROKEN_BODIES = {
    "chunked and cut": answers(CHUNKED, b"5\r\nhel"),
    "chunked without an end": answers(CHUNKED, b"5\r\nhello\r\n"),
    "chunked and reset": answers(CHUNKED, b"5\r\nhel", reset=True),
    "an invalid chunk": answers(CHUNKED, b"zz\r\nhello\r\n"),
    "a negative chunk": answers(CHUNKED, b"-5\r\nhello\r\n"),
    "a huge chunk": answers(CHUNKED, b"f" * 40 + b"\r\nhello\r\n"),
    "no chunk": answers(CHUNKED),
    "endless chunks": endless(CHUNKED, b"5\r\nhello\r\n"),
    "an endless body": endless(b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 9_000),
    "shorter than its length": answers(LENGTH, b"hello"),
    "shorter than its length and reset": answers(LENGTH, b"hello", reset=True),
    "reset at once": answers(LENGTH, reset=True),
    "bad gzip": answers(GZIP, b"no gzip!"),
    "an unknown encoding": answers(GZIP.replace(b"gzip", b"none"), b"no gzip!"),
    "a large first line": answers(b"HTTP/1.1 200 OK\r\n\r\n", b"x" * MAX_RECEIVER_REPLY_BYTES * 3),
}

BROKEN_HEADS = {
    "closed at once": lambda connection: None,
    "closed after the request": answers(),
    "reset after the request": answers(reset=True),
    "half a status line": answers(b"HTTP/1.1 20"),
    "half a status line and reset": answers(b"HTTP/1.1 20", reset=True),
    "a garbage status line": answers(b"\x00\xff garbage\r\n\r\n"),
    "a garbage status": answers(b"HTTP/1.1 two hundred\r\n\r\n"),
    "a status of one digit": answers(b"HTTP/1.1 2 OK\r\n\r\n"),
    "a huge status line": answers(b"HTTP/1.1 200 " + b"x" * 70_000 + b"\r\n\r\n"),
    "a huge header": answers(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000 + b"\r\n\r\n"),
    "too many headers": answers(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n"),
    "two lengths": answers(b"HTTP/1.1 200 OK\r\nContent-Length: 1, 2\r\n\r\nok"),
    "another protocol": answers(b"SSH-2.0-OpenSSH_9.2p1\r\n"),
    "only an interim answer": answers(b"HTTP/1.1 100 Continue\r\n\r\n"),
}


def sent(url: str) -> SendResult:
    return send(url, "{}", "msg_1", [SECRET], [HERE])


@pytest.mark.parametrize("how", BROKEN_BODIES)
def test_a_2xx_is_delivered_whatever_its_body_does(how: str) -> None:
    with Host(BROKEN_BODIES[how]) as host:
        assert sent(f"http://127.0.0.1:{host.port}/").was_taken
    assert host.connections == 1


@pytest.mark.parametrize("how", BROKEN_HEADS)
def test_a_broken_answer_is_an_attempt_without_a_status(how: str) -> None:
    with Host(BROKEN_HEADS[how]) as host:
        attempt = sent(f"http://127.0.0.1:{host.port}/")
    assert attempt.status is None and attempt.said and not attempt.was_taken
    assert host.connections == 1


@pytest.mark.parametrize(
    "head", [b"HTTP/1.1 503 Busy\r\nRetry-After: 9\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhe"]
)
def test_a_failure_keeps_its_status_whatever_its_body_does(head: bytes) -> None:
    with Host(answers(head, reset=True)) as host:
        assert sent(f"http://127.0.0.1:{host.port}/") == SendResult(503, "", 9)


def test_an_endless_redirect_is_not_read() -> None:
    with Host(endless(b"HTTP/1.1 302 Found\r\nLocation: /x\r\n\r\n", b"x" * 9_000)) as host:
        assert sent(f"http://127.0.0.1:{host.port}/").status == 302


def test_a_receiver_that_is_not_there_is_an_attempt_without_a_status() -> None:
    for url in ("http://127.0.0.1:1/", "http://no-such-host.internal/"):
        attempt = send(url, "{}", "msg_1", [SECRET], [HERE, ".internal"])
        assert (attempt.status, attempt.said) == (None, "ConnectionError")


def test_a_failure_of_tls_is_an_attempt_without_a_status(certificate: Path) -> None:
    for host in (Host(answers(LENGTH), certificate), Host(lambda connection: connection.sendall(LENGTH))):
        with host:
            attempt = sent(f"https://127.0.0.1:{host.port}/")
            assert (attempt.status, attempt.said) == (None, "SSLError")


SLOW = {
    "silent": (lambda connection: time.sleep(9), None),
    "dripped headers": (dripped(b"HTTP/1.1 200 OK\r\nX: ", b"y"), None),
    "dripped status line": (dripped(b"HTTP/1.1 200 ", b"y"), None),
    "dripped interim answers": (dripped(b"", b"HTTP/1.1 100 Continue\r\n\r\n"), None),
    "a dripped body": (dripped(b"HTTP/1.1 200 OK\r\n\r\n", b"y"), 200),
    "dripped chunks": (dripped(CHUNKED, b"1\r\ny\r\n"), 200),
    "a dripped chunk length": (dripped(CHUNKED, b"0"), 200),
    "a silent body": (dripped(LENGTH, b""), 200),
}

PATCHED = """
from gevent import monkey
monkey.patch_all()
import gevent, json, sys
from app.jobs import webhook
webhook.TIME = 1.0
how = ("{}", "msg_1", [sys.argv[1]], [sys.argv[2]])
sent = [gevent.spawn(webhook.send, url, *how) for url in sys.argv[3:]]
gevent.joinall(sent, raise_error=True)
print(json.dumps([one.value.status for one in sent]))
"""


def test_a_slow_receiver_is_ended_in_time_and_a_2xx_counts() -> None:
    """In a process that gevent has patched, as the jobs process: only that bounds a whole exchange."""
    hosts = [Host(script) for script, _ in SLOW.values()]
    urls = [f"http://127.0.0.1:{host.port}/" for host in hosts]
    done = subprocess.run(
        [sys.executable, "-c", PATCHED, SECRET, HERE, *urls], capture_output=True, text=True, check=True
    )
    assert dict(zip(SLOW, json.loads(done.stdout), strict=True)) == {how: status for how, (_, status) in SLOW.items()}


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return certificate_for(PUBLIC_NAME, tmp_path_factory.mktemp("tls"))


@contextmanager
def public(script: Script, certificate: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """Make the script the public receiver at PUBLIC_NAME: only a proxy can reach one from here."""
    with Host(script, certificate) as host, Proxy(host.port) as proxy, suppress(OSError):
        for name, value in {"HTTPS_PROXY": proxy.url, "NO_PROXY": "", "REQUESTS_CA_BUNDLE": str(certificate)}.items():
            monkeypatch.delenv(name.lower(), raising=False)
            monkeypatch.setenv(name, value)
        yield proxy


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"thanks\nand more", "thanks"),
        (
            b"\x1b[31mhello\x00" + b"x" * 10 * MAX_RECEIVER_REPLY_BYTES,
            ("[31mhello" + "x" * MAX_FIRST_LINE_LENGTH)[:MAX_FIRST_LINE_LENGTH],
        ),
        (b"", ""),
        (b"\xff\xfe", "\ufffd\ufffd"),
    ],
)
def test_a_public_receivers_first_line_is_cleaned_and_kept(
    certificate: Path, monkeypatch: pytest.MonkeyPatch, body: bytes, said: str
) -> None:
    with public(answers(b"HTTP/1.1 200 OK\r\n\r\n", body), certificate, monkeypatch):
        assert send(f"https://{PUBLIC_NAME}/", "{}", "msg_1", [SECRET], [HERE]) == SendResult(200, said)


@pytest.mark.parametrize("how", [how for how in BROKEN_BODIES if "reset" not in how])
def test_a_public_2xx_is_delivered_whatever_its_body_does(
    certificate: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    with public(BROKEN_BODIES[how], certificate, monkeypatch):
        assert send(f"https://{PUBLIC_NAME}/", "{}", "msg_1", [SECRET], []).was_taken


def test_what_came_before_a_broken_connection_is_kept(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with public(answers(CHUNKED, b"5\r\nhello\r\n"), certificate, monkeypatch):
        assert send(f"https://{PUBLIC_NAME}/", "{}", "msg_1", [SECRET], []) == SendResult(200, "hello")


@pytest.mark.parametrize("how", ["chunked and cut", "an invalid chunk", "reset at once"])
def test_a_receiver_that_accepts_and_breaks_off_gets_the_webhook_once(deployed: Service, how: str) -> None:
    with Host(BROKEN_BODIES[how]) as host:
        reply = deployed.split(f"http://127.0.0.1:{host.port}/")
        until(lambda: deployed.webhook_of(reply)["state"] == "delivered")
        [attempt] = deployed.webhook_of(reply)["attempts"]
    assert (attempt["status"], attempt["said"], host.connections) == (200, "", 1)


@pytest.mark.parametrize("how", ["closed after the request", "a garbage status line", "reset after the request"])
def test_a_receiver_that_breaks_off_is_tried_again_later(deployed: Service, how: str) -> None:
    with Host(BROKEN_HEADS[how]) as host:
        reply = deployed.split(f"http://127.0.0.1:{host.port}/")
        until(lambda: deployed.webhook_of(reply)["next_at"] is not None)
        [attempt] = deployed.webhook_of(reply)["attempts"]
    assert (attempt["status"], attempt["said"], host.connections) == (None, "ConnectionError", 1)
