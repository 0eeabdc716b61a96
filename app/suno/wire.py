"""One whole exchange with one of Suno's hosts: sent once, read within a deadline and a size."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import urljoin, urlsplit

import gevent
import requests
from requests.adapters import HTTPAdapter
from requests.structures import CaseInsensitiveDict
from urllib3 import HTTPHeaderDict, Retry
from urllib3.exceptions import HTTPError, MaxRetryError, NewConnectionError, ProxyError, SSLError

REPLY_LIMIT = 5_000_000
"""Bytes: a reply that is longer is not Suno's (24 clips are about 60 kB)."""

CONNECTIONS = 1_000
"""Kept-alive connections to one host: as many as a gunicorn worker has requests."""

Observer = Callable[[str, str, float], None]
"""Is told of each exchange: its kind, its outcome (the status of the answer, or a word), and its seconds."""


STATUSES = frozenset(HTTPStatus)


class WireError(Exception):
    """No answer; the text says why, in a few words that end a sentence and name no secret."""

    outcome: str
    """For the observer."""


class NotSent(WireError):
    """No connection: certainly nothing was asked."""

    outcome = "not_sent"


class NoWholeAnswer(WireError):
    """Sent, perhaps done, and not answered to the end."""

    outcome = "no_whole_answer"


class Deadline:
    """The moment at which a request to this service stops waiting for Suno."""

    def __init__(self, seconds: float) -> None:
        self._ends = time.monotonic() + seconds

    @property
    def remaining(self) -> float:
        """Seconds left; 0 when it has passed."""
        return max(0.0, self._ends - time.monotonic())


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer, whatever its status."""

    status: int
    headers: HTTPHeaderDict
    body: bytes

    @property
    def is_html(self) -> bool:
        """Whether a proxy or bot wall in front of Suno answered: Suno itself sends JSON."""
        return "html" in self.headers.get("Content-Type", "").lower()

    @property
    def outcome(self) -> str:
        """For the observer: the status, but where a web page came in place of Suno's answer."""
        return "html" if self.is_html else str(self.status) if self.status in STATUSES else "(other)"

    def json(self) -> Any:
        """The body as JSON. Raises ValueError where it is none."""
        try:
            return json.loads(self.body)
        except RecursionError as error:
            raise ValueError("nested too deeply") from error


class Wire:
    """A pool of connections, and the way an exchange goes over it.

    Proxies and CA bundles of the environment count, and are read here once: requests would look them up at
    each call. There is no cookie jar, so that one account's cookies never ride on another's request.
    """

    def __init__(
        self,
        *,
        base_url: str,
        connect_timeout: float,
        read_timeout: float,
        resend: bool,
        observer: Observer | None = None,
    ) -> None:
        """`resend`: whether a request that may have arrived may be sent again (never for one that costs)."""
        self._observer = observer
        self._base_url = base_url.rstrip("/")
        self._origin = _origin(self._base_url)
        self._timeout = (connect_timeout, read_timeout)
        environment = requests.Session().merge_environment_settings(self._base_url, {}, True, None, None)
        self._proxies = dict(environment["proxies"])
        self._verify = environment["verify"] or True
        # read=False, not 0: an exhausted count would turn a read timeout into a failure to connect.
        retries = Retry(
            connect=2,
            read=1 if resend else False,
            redirect=False,
            status=False,
            other=False,
            allowed_methods=None,
            # A 429 or 503 is an answer: it is told to the caller, not repeated.
            respect_retry_after_header=False,
            backoff_factor=0.1,
        )
        self._adapter = HTTPAdapter(pool_connections=2, pool_maxsize=CONNECTIONS, max_retries=retries)

    def ask(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str],
        deadline: Deadline,
        body: bytes | None = None,
        kind: str = "other",
    ) -> Answer:
        """Send one request and read its whole answer. Raises NotSent or NoWholeAnswer. `kind` is for the observer.

        A 307 or 308 is followed within the same origin (Suno's hosts differ over a trailing slash); any other
        redirect is an answer like any other: following it could carry the token away or repeat the request.
        """
        url = self._base_url + path
        for _ in range(2):
            answer = self._observed(kind, method, url, headers, body, deadline)
            if answer.status not in (307, 308):
                return answer
            target = urljoin(url, answer.headers.get("Location", ""))
            if _origin(target) != self._origin or target == url:
                return answer
            url = target
        return answer

    def _observed(
        self, kind: str, method: str, url: str, headers: Mapping[str, str], body: bytes | None, deadline: Deadline
    ) -> Answer:
        if self._observer is None:
            return self._exchange(method, url, headers, body, deadline)
        started = time.monotonic()
        outcome = "abandoned"
        try:
            answer = self._exchange(method, url, headers, body, deadline)
            outcome = answer.outcome
        except WireError as error:
            outcome = error.outcome
            raise
        finally:
            self._observer(kind, outcome, time.monotonic() - started)
        return answer

    def _exchange(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, deadline: Deadline
    ) -> Answer:
        if not deadline.remaining:
            raise NotSent("the time for this request was over")
        request = requests.PreparedRequest()
        request.method = method
        request.url = url
        request.headers = CaseInsensitiveDict(headers)
        request.body = body
        if body is not None:
            request.headers["Content-Length"] = str(len(body))
        # The timeouts of requests bound the silence between two bytes; only this bounds the exchange.
        timeout = gevent.Timeout.start_new(deadline.remaining)
        try:
            response = self._adapter.send(
                request, stream=True, timeout=self._timeout, verify=self._verify, proxies=self._proxies
            )
            with closing(response):
                return Answer(response.status_code, response.raw.headers, _read(response))
        except gevent.Timeout as expired:
            if expired is not timeout:
                raise
            raise NoWholeAnswer("it did not answer in time") from None
        except (requests.RequestException, HTTPError, OSError) as error:
            raise _translate(error) from error
        finally:
            timeout.close()


def _read(response: requests.Response) -> bytes:
    # read1, not iter_content: that waits for a whole chunk however slowly its bytes drip.
    body = bytearray()
    while chunk := response.raw.read1(65_536, decode_content=True):
        body += chunk
        if len(body) > REPLY_LIMIT:
            raise NoWholeAnswer(f"its answer is longer than {REPLY_LIMIT // 1_000_000} MB")
    return bytes(body)


def _translate(error: Exception) -> WireError:
    cause = error.args[0] if isinstance(error, requests.RequestException) and error.args else error
    reason = cause.reason if isinstance(cause, MaxRetryError) else cause
    if isinstance(error, requests.ConnectTimeout):
        return NotSent("it could not be connected to in time")
    if isinstance(reason, ProxyError):
        return NotSent("the proxy could not be used")
    if isinstance(reason, NewConnectionError):
        return NotSent("it could not be connected to")
    if isinstance(reason, SSLError) and "CERTIFICATE_VERIFY_FAILED" in str(reason):
        return NotSent("its TLS certificate is not trusted")
    if isinstance(error, requests.ReadTimeout):
        return NoWholeAnswer("it did not answer in time")
    return NoWholeAnswer("the connection broke before its answer was whole")


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError:
        port = -1
    return parts.scheme, parts.hostname, port or {"http": 80, "https": 443}.get(parts.scheme)
