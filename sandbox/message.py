"""An HTTP request and a reply."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from email.utils import formatdate
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

if TYPE_CHECKING:
    from sandbox.connection import ClientConnection

JsonObject = dict[str, Any]

PHRASES = {status.value: status.phrase for status in HTTPStatus}


@dataclass(slots=True)
class Request:
    """A received request; header names are in lower case."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes = b""
    account: str | None = None  # for the log; set once the cookie or token is recognised

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.target.partition("?")[0]

    @property
    def query(self) -> dict[str, str]:
        """The query parameters; for a repeated one, the last value."""
        return dict(parse_qsl(self.target.partition("?")[2], keep_blank_values=True))

    def all(self, name: str) -> list[str]:
        """All values of a query parameter that may be repeated."""
        return [
            value for key, value in parse_qsl(self.target.partition("?")[2], keep_blank_values=True) if key == name
        ]

    @property
    def origin(self) -> str:
        """The origin that the client uses, so that URLs in replies work for it."""
        return f"http://{self.headers.get('host', '')}"

    def json(self) -> Any:
        """The body as JSON. Raises ValueError if it is not JSON or is not declared as JSON."""
        if self.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            raise ValueError("Content-Type is not application/json")
        return json.loads(self.body)


@dataclass(slots=True)
class Reply:
    """A reply. If `act` is set, it is run on the connection instead of sending the reply."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0.0  # seconds before anything is sent
    act: Callable[[ClientConnection], None] | None = None
    when_lost: Callable[[], None] | None = None  # called if the client has left before the reply

    def encode(self) -> bytes:
        """The whole reply as bytes."""
        return self.head() + self.body

    def head(self, length: int | None = None) -> bytes:
        """The status line and headers; `length` overrides the true Content-Length."""
        lines = [f"HTTP/1.1 {self.status} {PHRASES.get(self.status, 'Unknown')}", f"Date: {formatdate(usegmt=True)}"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        if self.status != 204:
            lines.append(f"Content-Length: {len(self.body) if length is None else length}")
        return "\r\n".join([*lines, "\r\n"]).encode("latin-1")


class Refused(Exception):
    """The request ends here, with `reply`."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.status)
        self.reply = reply


def json_reply(status: int, value: Any, headers: dict[str, str] | None = None) -> Reply:
    """A reply in JSON."""
    body = json.dumps(value).encode()
    return Reply(status, body, {"Content-Type": "application/json", **(headers or {})})


def detail(status: int, value: Any, headers: dict[str, str] | None = None) -> Reply:
    """An error in the studio API's format."""
    return json_reply(status, {"detail": value}, headers)


def html_reply(status: int, text: str, headers: dict[str, str] | None = None) -> Reply:
    """A web page, as a proxy or a bot wall sends in place of Suno's reply."""
    body = f"<!DOCTYPE html><html><head><title>{text}</title></head><body><h1>{text}</h1></body></html>".encode()
    return Reply(status, body, {"Content-Type": "text/html; charset=UTF-8", **(headers or {})})
