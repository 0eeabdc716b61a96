"""The HTTP client of the service."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import requests
from mcp.server.mcpserver.exceptions import ToolError
from urllib3.exceptions import HTTPError

from clients.mcp.settings import Settings, host_of
from clients.mcp.texts import shortened

JsonObject = dict[str, Any]
"""What the service answers."""

PATIENCE = 50.0
"""Maximum seconds that a tool waits: many clients time out after 60."""

CONNECTS_WITHIN = 5.0

LONGEST_ERROR = 1_000
"""Maximum characters of an error message of the service. It may contain words of Suno."""

MAY_BE_CHARGED = frozenset({408, 409})
"""Statuses of refusals after which an earlier or concurrent request with the same key may be paid."""


class Refused(ToolError):
    """The service answered with an error."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(shortened(message, LONGEST_ERROR))
        self.is_free = 400 <= status < 500 and status not in MAY_BE_CHARGED
        """Whether this request certainly cost nothing."""


class NoAnswer(ToolError):
    """No complete reply came, or one that is not from the service: a proxy may have given up waiting for it."""


class Service:
    """HTTP client of the service. Each request has its own session, so no cookie is kept."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        # No proxy for this machine itself.
        self._trust_env = host_of(settings.url) not in ("127.0.0.1", "localhost", "[::1]")

    def ask(
        self,
        method: str,
        path: str,
        *,
        within: float = PATIENCE,
        params: Mapping[str, str | int] | None = None,
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> requests.Response:
        """Send a request, and read the reply. Raises ToolError with the service's error message, and NoAnswer."""
        with self._session() as session:
            try:
                reply = session.request(
                    method,
                    self._settings.url + path,
                    params=params,
                    json=body,
                    headers=headers,
                    auth=self._signed,
                    timeout=(CONNECTS_WITHIN, max(1.0, within)),
                    allow_redirects=False,
                )
            except (requests.RequestException, HTTPError, ValueError) as error:
                raise self._no_answer(error) from None
        self._checked(reply)
        try:
            reply.json()
        except ValueError:
            raise NoAnswer(f"{self._settings.url} answers, but is not this service: check SUNO_STEMS_URL.") from None
        return reply

    def save(self, path: str, to: Path) -> int:
        """Download a path to a new file, and return its length in bytes. Raises what `ask` raises, and OSError."""
        with self._session() as session:
            try:
                with session.get(
                    self._settings.url + path,
                    auth=self._signed,
                    timeout=(CONNECTS_WITHIN, PATIENCE),
                    allow_redirects=False,
                    stream=True,
                ) as reply:
                    self._checked(reply)
                    length = 0
                    with to.open("xb") as file:
                        for chunk in reply.iter_content(1 << 16):
                            length += file.write(chunk)
                    return length
            except (requests.RequestException, HTTPError, ValueError) as error:
                raise self._no_answer(error) from None

    def _session(self) -> requests.Session:
        session = requests.Session()
        session.trust_env = self._trust_env
        return session

    def _signed(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        # As `auth`, so that requests does not send a password from .netrc instead.
        if self._settings.api_key:
            request.headers["X-API-Key"] = self._settings.api_key
        return request

    def _no_answer(self, error: Exception) -> NoAnswer:
        if isinstance(error, requests.Timeout):
            return NoAnswer(f"The service at {self._settings.url} did not answer in time.")
        return NoAnswer(
            f"The service at {self._settings.url} cannot be reached, or the connection broke: is it running? "
            "Check SUNO_STEMS_URL."
        )

    def _checked(self, reply: requests.Response) -> requests.Response:
        if 200 <= reply.status_code < 300:
            return reply
        try:
            told = reply.json()
        except ValueError:
            told = None
        except requests.RequestException as error:
            raise self._no_answer(error) from None
        if isinstance(told, dict) and isinstance(told.get("error"), str) and "code" in told:
            raise Refused(told["error"], reply.status_code)
        raise NoAnswer(f"{self._settings.url} answered {reply.status_code}. The reply is not from this service.")
