"""requests' adapter on a real socket."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from app.suno.wire import Deadline, Wire

REPLY = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


class Host:
    """Answers `splits` requests on each connection, then ends it without a word."""

    def __init__(self, splits: int) -> None:
        self.connections = 0
        self.ended = threading.Semaphore(0)
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
            self.ended.release()

    def stop(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@pytest.fixture
def host() -> Iterator[Host]:
    host = Host(splits=2)
    yield host
    host.stop()


def test_a_kept_connection_that_suno_has_ended_is_not_used_for_a_paid_call(host: Host) -> None:
    wire = Wire(base_url=host.url, connect_timeout=5, read_timeout=5, resend=False)
    for _ in range(3):
        for _ in range(2):
            assert wire.ask("POST", "/", headers={}, body=b"{}", deadline=Deadline(5)).status == 200
        assert host.ended.acquire(timeout=5)
    assert host.connections == 3
