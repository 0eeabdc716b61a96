"""A split uses only the parts of requests that it needs."""

from __future__ import annotations

import socket
import threading
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import requests
import responses

from app.suno.call import Deadline
from app.suno.gateway import SunoGateway
from app.suno.wire import Wire
from tests.suno.conftest import ALICE, CLIP, SONG, SPLIT, signed_in

REPLY = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


class Host:
    """Answers `splits` requests on each connection, then closes it without notice."""

    def __init__(self, splits: int) -> None:
        self.connections = 0
        self.closed = threading.Semaphore(0)
        self._splits = splits
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            for _ in range(self._splits):
                request = b""
                while not request.endswith(b"{}"):
                    request += client.recv(65536)
                client.sendall(REPLY)
            client.close()
            self.closed.release()

    def stop(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@pytest.fixture
def host() -> Iterator[Host]:
    host = Host(splits=2)
    yield host
    host.stop()


def test_a_kept_connection_that_suno_has_closed_is_not_used_for_a_paid_call(host: Host) -> None:
    wire = Wire(base_url=host.url, connect_timeout=5, read_timeout=5, resend=False)
    for _ in range(3):
        for _ in range(2):
            assert wire.ask("POST", "/", headers={}, body=b"{}", deadline=Deadline(5)).status == 200
        assert host.closed.acquire(timeout=5)
    assert host.connections == 3


@pytest.fixture
def slow_parts(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Count calls of the slow parts of requests: with its defaults, they cost 1 ms of CPU per request."""
    used: Counter[str] = Counter()

    def count(owner: type, name: str) -> None:
        original = getattr(owner, name)

        def counted(*args: Any, **kwargs: Any) -> Any:
            used[name] += 1
            return original(*args, **kwargs)

        monkeypatch.setattr(owner, name, counted)

    count(requests.Session, "__init__")
    count(requests.Session, "prepare_request")
    count(requests.Session, "merge_environment_settings")
    count(requests.PreparedRequest, "prepare")
    return used


def test_a_split_prepares_no_request_and_reads_no_environment(
    wire: responses.RequestsMock, gateway: SunoGateway, slow_parts: Counter[str]
) -> None:
    signed_in(wire)
    wire.post(SPLIT, json={"clips": [CLIP]})
    for _ in range(3):
        gateway.generate_stems(ALICE, SONG)
    assert slow_parts == {}


def test_requests_still_uses_the_counted_parts(wire: responses.RequestsMock, slow_parts: Counter[str]) -> None:
    wire.post(SPLIT, json={"clips": [CLIP]})
    requests.post(SPLIT, json={}, timeout=5)
    assert slow_parts == {"__init__": 1, "prepare_request": 1, "merge_environment_settings": 1, "prepare": 1}
