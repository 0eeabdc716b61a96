"""One client's socket: read requests from it, send to it, or break it on purpose."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading

from sandbox.message import Refused, Request, detail

MAX_HEAD_BYTES = 64 * 1024
MAX_BODY_BYTES = 1024 * 1024


class Gone(Exception):
    """The client has closed or broken the connection, or the server stops: nothing more can be sent."""


def unreadable(status: int, text: str) -> Refused:
    """Refuse bytes that are not a request, and close: the bytes that follow cannot be parsed either."""
    return Refused(detail(status, text, {"Connection": "close"}))


class ClientConnection:
    """A client's socket with a hand-written parser: http.server's costs more than the whole reply."""

    def __init__(self, sock: socket.socket, stopping: threading.Event) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._sock = sock
        self._stopping = stopping
        self._unread = b""
        self.drip_pause = 1.0

    def read_request(self) -> Request:
        """Wait for the next request. Raises Refused if the bytes are not a request."""
        head = self._read_head()
        line, *fields = head.decode("latin-1").split("\r\n")
        words = line.split(" ")
        if len(words) != 3 or not words[1].startswith("/"):
            raise unreadable(400, "Malformed request line.")
        headers: dict[str, str] = {}
        for text in fields:
            name, _, value = text.partition(":")
            headers[name.lower()] = value.strip()
        if words[2] == "HTTP/1.0":
            headers.setdefault("connection", "close")
        request = Request(words[0], words[1], headers)
        if "transfer-encoding" in headers:
            raise unreadable(411, "Send a Content-Length: chunked requests are not supported.")
        length = headers.get("content-length", "0")
        if not length.isascii() or not length.isdigit():
            raise unreadable(400, "Malformed Content-Length.")
        if int(length) > MAX_BODY_BYTES:
            raise unreadable(413, "Request body too large.")
        if headers.get("expect", "").lower() == "100-continue":
            self.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.body = self._read_body(int(length))
        return request

    def _read_head(self) -> bytes:
        while (end := self._unread.find(b"\r\n\r\n")) < 0:
            if len(self._unread) > MAX_HEAD_BYTES:
                raise unreadable(431, "Request headers too large.")
            self._receive()
        head, self._unread = self._unread[:end], self._unread[end + 4 :]
        return head

    def _read_body(self, length: int) -> bytes:
        while len(self._unread) < length:
            self._receive()
        body, self._unread = self._unread[:length], self._unread[length:]
        return body

    def _receive(self) -> None:
        try:
            data = self._sock.recv(65536)
        except OSError as error:
            raise Gone from error
        if not data:
            raise Gone
        self._unread += data

    def send(self, data: bytes) -> None:
        """Send all bytes. Raises Gone if the client has left."""
        try:
            self._sock.sendall(data)
        except OSError as error:
            raise Gone from error

    def drip(self, data: bytes) -> None:
        """Send one byte at a time, `drip_pause` seconds apart."""
        for i in range(len(data)):
            self.send(data[i : i + 1])
            self.pause(self.drip_pause)

    def pause(self, seconds: float) -> None:
        """Wait. Raises Gone once the server stops."""
        if self._stopping.wait(seconds):
            raise Gone

    def hold(self) -> None:
        """Send nothing until the client gives up."""
        while not self.client_has_left():
            self.pause(0.05)

    def client_has_left(self) -> bool:
        """Whether the client has closed its end; does not block."""
        try:
            return not self._sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError:
            return True

    def reset(self) -> None:
        """Close with a TCP reset: the client sees a broken connection, not an ordinary end."""
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._sock.close()

    def shut(self) -> None:
        """Wake the thread that reads from this connection; that thread closes it."""
        with contextlib.suppress(OSError):  # already gone
            self._sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close without a reset."""
        self._sock.close()
