"""The service on a unix socket that is removed, or that another process takes."""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.conftest import SONG, Client, Suno, until
from tests.test_stopping import Gate
from tests.test_stopping import gate as gate
from tools.process import Server

Start = Callable[..., Client]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "gunicorn.sock"


def ask(path: Path, account: str = "", song: str = SONG) -> str:
    """Request /healthz, or a split on this account. Returns the whole reply; "" if nothing listens."""
    body = f'{{"audio_id": "{song}"}}' if account else ""
    head = "POST /api/generate_stems" if account else "GET /healthz"
    request = (
        f"{head} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nX-Suno-Cookie: {account or 'none'}\r\n\r\n{body}"
    )
    reply = b""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(30)
        try:
            connection.connect(str(path))
        except (FileNotFoundError, ConnectionRefusedError):
            return ""
        connection.sendall(request.encode())
        while data := connection.recv(65_536):
            reply += data
    return reply.decode()


def is_served(path: Path) -> bool:
    return ask(path).startswith("HTTP/1.1 200")


def split_in_flight(pool: ThreadPoolExecutor, gate: Gate, path: Path, account: str) -> Future[str]:
    """A split that waits at the gate."""
    reply = pool.submit(ask, path, account)
    assert gate.waiting.wait(30)
    return reply


def listening(path: Path) -> socket.socket:
    taker = socket.socket(socket.AF_UNIX)
    taker.bind(str(path))
    taker.listen()
    return taker


def ended(server: Server) -> int:
    return server.process.wait(timeout=30)


def test_a_socket_that_is_removed_is_made_again(start: Start, path: Path) -> None:
    service = start(HOST=f"unix:{path}", WEB_CONCURRENCY="2")
    mode = path.stat().st_mode
    for _ in range(2):
        path.unlink()
        until(lambda: is_served(path))
        assert path.stat().st_mode == mode
    assert service.server.logged().count("It is made again") == 2

    service.server.process.terminate()
    assert ended(service.server) == 0
    assert not path.exists()


def test_a_split_in_flight_outlives_its_socket(
    start: Start, suno: Suno, gate: Gate, path: Path, account: str
) -> None:
    service = start(gate.url, HOST=f"unix:{path}")
    with ThreadPoolExecutor(1) as pool:
        reply = split_in_flight(pool, gate, path, account)
        path.unlink()
        until(path.exists)
        gate.opened.set()
        assert reply.result().startswith("HTTP/1.1 200")
    until(lambda: is_served(path))
    assert len(suno.charges(account)) == 1
    assert service.server.process.poll() is None


def test_a_socket_that_cannot_be_made_now_is_made_later_and_said_once(start: Start, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    path = folder / "gunicorn.sock"
    service = start(HOST=f"unix:{path}")
    path.unlink()
    folder.rmdir()
    until(lambda: "cannot be made again" in service.server.logged())
    folder.mkdir()
    until(lambda: is_served(path))
    assert service.server.logged().count("cannot be made again") == 1


def test_a_missing_socket_does_not_break_the_graceful_end(
    start: Start, suno: Suno, gate: Gate, tmp_path: Path, account: str
) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    path = folder / "gunicorn.sock"
    service = start(gate.url, HOST=f"unix:{path}")
    with ThreadPoolExecutor(1) as pool:
        reply = split_in_flight(pool, gate, path, account)
        path.unlink()
        folder.rmdir()
        service.server.process.send_signal(signal.SIGTERM)
        until(lambda: "Handling signal: term" in service.server.logged())
        gate.opened.set()
        assert reply.result().startswith("HTTP/1.1 200")
    assert ended(service.server) == 0
    assert len(suno.charges(account)) == 1


def test_a_second_service_on_the_socket_takes_over_and_the_first_finishes_and_leaves_it(
    start: Start, suno: Suno, gate: Gate, path: Path, account: str
) -> None:
    first = start(gate.url, HOST=f"unix:{path}")
    with ThreadPoolExecutor(1) as pool:
        reply = split_in_flight(pool, gate, path, account)
        second = start(HOST=f"unix:{path}")
        until(lambda: "Another process has taken the socket" in first.server.logged())
        gate.opened.set()
        assert reply.result().startswith("HTTP/1.1 200")
    assert ended(first.server) == 0
    assert is_served(path)
    assert ask(path, account).startswith("HTTP/1.1 200")
    assert len(suno.charges(account)) == 2

    second.server.process.terminate()
    assert ended(second.server) == 0
    assert not path.exists()


def test_a_socket_of_another_program_is_left_alone_at_the_end(start: Start, path: Path) -> None:
    service = start(HOST=f"unix:{path}")
    taken = path.with_name("taken")
    with listening(taken):
        taken.replace(path)
        assert ended(service.server) == 0
        assert path.is_socket()
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(path))


def test_a_reload_keeps_the_socket_and_its_watch(start: Start, path: Path) -> None:
    service = start(HOST=f"unix:{path}")
    before = path.stat().st_ino
    service.server.process.send_signal(signal.SIGHUP)
    until(lambda: service.server.logged().count("Booting worker") == 2)
    assert path.stat().st_ino == before
    path.unlink()
    until(lambda: is_served(path))
