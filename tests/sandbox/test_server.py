from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys

import pytest
import requests

from sandbox.__main__ import epilog
from sandbox.accounts import ACCOUNTS
from sandbox.faults import FAULTS
from sandbox.server import Sandbox
from sandbox.songs import SONGS
from sandbox.suno import Options
from tests.sandbox.conftest import OCEAN_WANDERER, Client


def raw(sandbox, data: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", sandbox.port), timeout=3) as sock:
        sock.sendall(data)
        received = b""
        while more := sock.recv(65536):
            received += more
        return received


def test_the_help_lists_every_account_song_and_fault():
    text = epilog()
    for name in (*ACCOUNTS, *SONGS, "playlist-of-<n>", *(f"fault-{fault}" for fault in FAULTS)):
        assert f"  {name} " in text
    assert "not simulated:" in text


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_program_prints_its_address_and_exits_cleanly_on_a_signal(number):
    command = [sys.executable, "-m", "sandbox", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        first = process.stdout.readline()
        url = first.removeprefix("Sandbox Suno listening on ").strip()
        assert requests.get(f"{url}/sandbox/accounts", timeout=5).json()["sandbox-alice"]["credits"] == 500
        os.kill(process.pid, number)
        rest = process.stdout.read()
    assert process.returncode == 0
    assert f"SUNO_API_URL={url} SUNO_AUTH_URL={url} SUNO_COOKIE=sandbox-alice" in rest


def test_a_port_in_use_is_reported_in_a_sentence(sandbox):
    command = [sys.executable, "-m", "sandbox", "--port", str(sandbox.port)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=5)
    assert done.returncode == 1
    assert done.stderr.startswith(f"Cannot listen on 127.0.0.1:{sandbox.port}: ")


def test_the_log_distinguishes_calls_without_secrets(alice, sandbox):
    alice.split(headers={"device-id": "d-1", "Authorization": f"Bearer {alice.token}"})
    sign_in, token, paid = alice.log()
    assert (sign_in["path"].partition("?")[0], sign_in["account"]) == ("/v1/client", "sandbox-alice")
    assert sign_in["cookie_sha256"] == token["cookie_sha256"]
    assert (paid["method"], paid["path"], paid["status"]) == ("POST", f"/api/edit/stems/{OCEAN_WANDERER}/", 200)
    assert (paid["account"], paid["headers"]["device-id"]) == ("sandbox-alice", "d-1")
    assert "authorization" in paid["headers"]["names"]
    assert alice.token not in str(alice.log())
    assert alice.call("DELETE", "/sandbox/log").json() == {"cleared": 3}
    assert alice.log() == []


def test_the_log_is_bounded():
    with Sandbox(Options(log_size=3)) as small:
        client = Client(small.url, "sandbox-alice")
        for _ in range(5):
            client.client()
        assert [entry["n"] for entry in client.log()] == [3, 4, 5]


def test_charges_show_what_was_paid(alice):
    ids = [clip["id"] for clip in alice.split().json()["clips"]]
    (charge,) = alice.charges()
    assert charge.pop("at") > 0
    assert charge == {
        "account": "sandbox-alice",
        "song": OCEAN_WANDERER,
        "task": "two",
        "credits": 10,
        "clips": ids,
        "reply_lost": False,
        "by_person": False,
    }
    assert alice.get("/sandbox/accounts").json()["sandbox-alice"] == {
        "credits": 490,
        "credits_at_start": 500,
        "charges": 1,
        "downloads_used": 0,
        "downloads_limit": 20,
    }


def test_a_reset_restores_everything_but_keeps_tokens(alice):
    alice.split()
    alice.post("/sandbox/settings", {"pace": 9})
    alice.post("/sandbox/reset")
    assert alice.charges() == []
    assert alice.credits() == 500
    assert alice.post("/sandbox/settings", {}).json()["pace"] == 0.03


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("settings", {"pace": -1}, 400),
        ("settings", {"pace": "fast"}, 400),
        ("settings", {"feed": "v4"}, 400),
        ("settings", {"unknown": 1}, 400),
        ("settings", [], 400),
        ("faults", {"seed": 1, "rate": 2, "kinds": ["500"]}, 400),
        ("faults", {"seed": 1, "rate": 0.5, "kinds": ["nonsense"]}, 400),
        ("faults", {"seed": 1, "rate": 0.5, "kinds": []}, 400),
        ("faults", {"seed": 1, "rate": 0.5, "kinds": ["500"], "limit": -1}, 400),
        ("revoke", {"account": "nobody"}, 404),
    ],
)
def test_an_invalid_control_call_is_refused_with_a_reason(alice, path, body, status):
    reply = alice.post(f"/sandbox/{path}", body)
    assert reply.status_code == status
    assert reply.json()["detail"]


def test_a_connection_serves_many_requests_and_is_counted_once(sandbox):
    with requests.Session() as session:
        for _ in range(5):
            session.get(f"{sandbox.url}/sandbox/accounts", timeout=5)
        assert session.get(f"{sandbox.url}/sandbox/sockets", timeout=5).json() == {"accepted": 1}


def test_requests_sent_in_pieces_or_together_are_all_answered(sandbox):
    one = b"GET /sandbox/sockets HTTP/1.1\r\nHost: x\r\n\r\n"
    last = b"GET /sandbox/sockets HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    assert raw(sandbox, one + one + last).count(b'{"accepted": 1}') == 3
    assert raw(sandbox, b"GET /sandbox/sockets HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 200 OK\r\n")


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET http://x/ HTTP/1.1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: 9999999\r\n\r\n", 413),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 411),
        (b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 12_000, 431),
    ],
)
def test_an_invalid_request_is_refused_and_the_connection_closed(sandbox, data, status):
    assert raw(sandbox, data).startswith(b"HTTP/1.1 %d " % status)


def test_expect_100_continue_is_supported(sandbox):
    head = b"POST /sandbox/reset HTTP/1.1\r\nExpect: 100-continue\r\nConnection: close\r\nContent-Length: 2\r\n\r\n"
    assert raw(sandbox, head + b"{}").startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n")


def test_stopping_closes_open_connections():
    with Sandbox() as running:
        waiting = socket.create_connection(("127.0.0.1", running.port), timeout=3)
        waiting.sendall(b"GET /sandbox/sockets HTTP/1.1\r\n\r\n")
        assert waiting.recv(1000)
    assert waiting.recv(100) == b""
    waiting.close()
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", running.port), timeout=3)
