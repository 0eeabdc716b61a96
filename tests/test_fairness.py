"""One client cannot block a worker."""

from __future__ import annotations

import socket
import threading

from tests.conftest import Client

PIPELINED = 3_000


def test_a_client_that_never_pauses_does_not_block_others(single_worker: Client) -> None:
    host, _, port = single_worker.url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=30) as greedy:
        request = f"GET /nowhere HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode()
        threading.Thread(target=greedy.sendall, args=(request * PIPELINED,), daemon=True).start()
        received = greedy.recv(65536)
        assert single_worker.get("/docs/").status_code == 302
        greedy.setblocking(False)
        while chunk := _receive(greedy):
            received += chunk
    assert 0 < received.count(b"HTTP/1.1 404") < PIPELINED


def _receive(sock: socket.socket) -> bytes:
    try:
        return sock.recv(65536)
    except BlockingIOError:
        return b""
