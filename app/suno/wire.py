"""One exchange with a Suno host: send the request, read the answer within a deadline and a size limit."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from urllib.parse import urljoin

import gevent
import requests
from urllib3 import Retry
from urllib3.exceptions import HTTPError, MaxRetryError, NewConnectionError, ProxyError

from app.addresses import NotAnAddress, read_address
from app.suno.adapter import CheckedAdapter
from app.suno.answer import Answer
from app.suno.call import Deadline

MAX_SUNO_REPLY_BYTES = 5_000_000
"""Bytes. A longer reply is not Suno's (24 clips are about 60 kB)."""

MAX_KEPT_CONNECTIONS = 1_000
"""Kept-alive connections to one host: one for each request that a gunicorn worker can have."""

Observer = Callable[[str, str, float], None]
"""Called after each exchange with its kind, its outcome (the status of the answer, or a word) and its seconds."""


class WireError(Exception):
    """No answer; the text says why, as the end of a sentence and without secrets."""

    outcome: str
    """For the observer."""


class NotSent(WireError):
    """No connection: the request was certainly not sent."""

    outcome = "not_sent"


class NoWholeAnswer(WireError):
    """The request was sent and may have been executed, but no complete answer came."""

    outcome = "no_whole_answer"


class _Body(io.BytesIO):
    """The body of a request, which records whether any of it was taken for sending.

    urllib3 reads it after the connection, the proxy tunnel, TLS and the request head. A failure before that means
    that Suno got no complete request. Exception types do not show this: behind a proxy, urllib3 reports a connection
    that breaks after the request as a failure to reach the proxy. So head and body stay two writes: if one of
    both failed, nothing would show whether Suno got the request.
    """

    taken = False

    def read(self, size: int | None = -1, /) -> bytes:
        self.taken = True
        return super().read(size)


class Wire:
    """A connection pool for one host.

    Proxies and CA bundles are read from the environment once; requests would do it for each call. There is no cookie
    jar, so that one account's cookies are never sent with another's request.
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
        """`resend`: whether a request that may have arrived may be sent again (never one that may cost)."""
        self._observer = observer
        self._base_url = base_url.rstrip("/")
        self._origin = _origin(self._base_url)
        self._timeout = (connect_timeout, read_timeout)
        environment = requests.Session().merge_environment_settings(self._base_url, {}, True, None, None)
        self._proxies = dict(environment["proxies"])
        self._verify = environment["verify"] or True
        # read=False, not 0: an exhausted count would turn a read timeout into a connection error.
        retries = Retry(
            connect=2,
            read=1 if resend else False,
            redirect=False,
            status=False,
            other=False,
            allowed_methods=None,
            # A 429 or 503 is an answer: it is returned to the caller, not retried.
            respect_retry_after_header=False,
            backoff_factor=0.1,
        )
        self._adapter = CheckedAdapter(pool_connections=2, pool_maxsize=MAX_KEPT_CONNECTIONS, max_retries=retries)

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
        """Send one request and read its complete answer. Raises NotSent or NoWholeAnswer. `kind` is for the observer.

        Follows a 307 or 308 within the same origin (Suno's hosts differ over a trailing slash). Returns any other
        redirect as an answer: following it could leak the token or repeat the request.
        """
        url = self._base_url + path
        for _ in range(2):
            answer = self._observed(kind, method, url, headers, body, deadline)
            if answer.status not in (307, 308):
                return answer
            try:
                target = urljoin(url, answer.headers.get("Location", ""))
            except ValueError:
                return answer
            origin = _origin(target)
            if origin is None or origin != self._origin or target == url:
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
            raise NotSent("the deadline of this request had passed")
        request = requests.PreparedRequest()
        request.method = method
        request.url = url
        sent = None if body is None else _Body(body)
        request.body = sent  # type: ignore[assignment]  # requests takes files; its types do not say so
        length = {} if body is None else {"Content-Length": str(len(body))}
        # A plain dict: case-insensitive lookup is not needed, and takes time.
        request.headers = {**headers, **length}  # type: ignore[assignment]
        # requests' timeouts limit the silence between two bytes; only this limits the whole exchange.
        timeout = gevent.Timeout.start_new(deadline.remaining)
        try:
            response = self._adapter.send(
                request, stream=True, timeout=self._timeout, verify=self._verify, proxies=self._proxies
            )
            with closing(response):
                if response.status_code < 200:
                    # http.client skips only a 100: the next request would read this request's final answer.
                    raise NoWholeAnswer(f"only an interim answer came ({response.status_code})")
                return Answer(response.status_code, response.raw.headers, _read(response))
        except gevent.Timeout as expired:
            if expired is not timeout:
                raise
            if sent is not None and not sent.taken:
                raise NotSent("no connection could be made in time") from None
            raise NoWholeAnswer("it did not answer in time") from None
        except (requests.RequestException, HTTPError, OSError) as error:
            if _never_connected(error) if sent is None else not sent.taken:
                raise NotSent(_why_not_sent(error)) from error
            raise NoWholeAnswer(_why_no_answer(error)) from error
        finally:
            timeout.close()


def _read(response: requests.Response) -> bytes:
    # read1, not iter_content, which waits for a whole chunk even if its bytes arrive slowly.
    body = bytearray()
    while chunk := response.raw.read1(65_536, decode_content=True):
        body += chunk
        if len(body) > MAX_SUNO_REPLY_BYTES:
            raise NoWholeAnswer(f"its answer is longer than {MAX_SUNO_REPLY_BYTES // 1_000_000} MB")
    return bytes(body)


def _never_connected(error: Exception) -> bool:
    """Whether a request without a body was certainly not sent."""
    cause = error.args[0] if isinstance(error, requests.RequestException) and error.args else error
    return isinstance(error, requests.ConnectTimeout) or (
        isinstance(cause, MaxRetryError) and isinstance(cause.reason, NewConnectionError)
    )


def _why_not_sent(error: Exception) -> str:
    cause = error.args[0] if isinstance(error, requests.RequestException) and error.args else error
    reason = cause.reason if isinstance(cause, MaxRetryError) else cause
    if isinstance(error, requests.ConnectTimeout):
        return "no connection could be made in time"
    if isinstance(reason, ProxyError):
        return "the proxy could not be used"
    if "CERTIFICATE_VERIFY_FAILED" in str(reason):
        return "its TLS certificate is not trusted"
    return "no connection could be made"


def _why_no_answer(error: Exception) -> str:
    if isinstance(error, requests.Timeout) or "timed out" in str(error).lower():
        return "it did not answer in time"
    return "the connection broke before its answer was complete"


def _origin(url: str) -> tuple[str, str, int] | None:
    """None if the address cannot be read, or different parsers could read different hosts in it."""
    try:
        address = read_address(url)
    except NotAnAddress:
        return None
    return address.scheme, address.host, address.port
