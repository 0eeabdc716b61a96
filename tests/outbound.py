"""Hosts for the service's own requests: they answer as a script says, on real sockets, by TLS or behind a proxy."""

from __future__ import annotations

import re
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Self

Script = Callable[[socket.socket], None]

PUBLIC_NAME = "hooks.example.com"


class Host:
    """A host that runs its script on each connection."""

    def __init__(self, script: Script, certificate: Path | None = None) -> None:
        self._script, self._tls = script, None
        if certificate:
            self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._tls.load_cert_chain(certificate)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=16)
        self.port = self._listener.getsockname()[1]
        self.connections = 0
        threading.Thread(target=self._serve, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._listener.close()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self.connections += 1
                threading.Thread(target=self._run, args=(connection,), daemon=True).start()

    def _run(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            if self._tls:
                with self._tls.wrap_socket(connection, server_side=True) as secure:
                    self._script(secure)
            else:
                self._script(connection)


class Proxy(Host):
    """A proxy for TLS. It connects every name to one port of this machine, and notes the names."""

    def __init__(self, leads_to: int) -> None:
        self.asked: list[str] = []
        self._leads_to = leads_to
        super().__init__(self._tunnel)
        self.url = f"http://127.0.0.1:{self.port}"

    def _tunnel(self, client: socket.socket) -> None:
        self.asked.append(read_until(client, b"\r\n\r\n").split()[1].decode())
        with socket.create_connection(("127.0.0.1", self._leads_to)) as target:
            client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            threading.Thread(target=_copy, args=(client, target), daemon=True).start()
            _copy(target, client)


def _copy(source: socket.socket, to: socket.socket) -> None:
    with suppress(OSError):
        while part := source.recv(65_536):
            to.sendall(part)
    with suppress(OSError):
        to.shutdown(socket.SHUT_WR)


def read_until(connection: socket.socket, end: bytes) -> bytes:
    """Read until these bytes have come, or the connection ends."""
    received = b""
    while end not in received and (part := connection.recv(65_536)):
        received += part
    return received


def read_request(connection: socket.socket) -> bytes:
    """Read a whole request. It has a Content-Length if it has a body."""
    received = read_until(connection, b"\r\n\r\n")
    head, _, body = received.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)\ncontent-length: (\d+)", head)
    left = int(length[1]) - len(body) if length else 0
    while left > 0 and (part := connection.recv(65_536)):
        left -= len(part)
        received += part
    return received


def answers(*parts: bytes, reset: bool = False) -> Script:
    """Read the request, send these parts, and close."""

    def script(connection: socket.socket) -> None:
        read_request(connection)
        for part in parts:
            connection.sendall(part)
        if reset:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")

    return script


def certificate_for(name: str, folder: Path) -> Path:
    """A self-signed certificate with its key."""
    file = folder / "both.pem"
    command = f"openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN={name} -addext subjectAltName=DNS:{name}"
    both = [*command.split(), "-keyout", str(folder / "key"), "-out", str(folder / "certificate")]
    subprocess.run(both, check=True, capture_output=True)
    file.write_text((folder / "key").read_text() + (folder / "certificate").read_text())
    return file
