"""A faster requests adapter for a single origin; bench/README.md has what each part saves."""

from __future__ import annotations

from select import POLLIN
from typing import Any

from gevent.monkey import get_original
from requests import PreparedRequest, Response
from requests.adapters import HTTPAdapter

poll = get_original("select", "poll")


class OriginAdapter(HTTPAdapter):
    """Send to one origin, with the proxy and certificates of the first request."""

    _pool: Any = None

    def get_connection_with_tls_context(self, *request: Any, **how: Any) -> Any:
        """Look up the connection pool once; HTTPAdapter does it for each request."""
        if self._pool is None:
            pool: Any = super().get_connection_with_tls_context(*request, **how)
            # Subclass the connection class that TLS or a proxy has chosen. Two threads may get here at first.
            chosen = pool.ConnectionCls
            if not issubclass(chosen, _Looked):
                pool.ConnectionCls = type("Connection", (_Looked, chosen), {})
            self._pool = pool
        return self._pool

    def request_url(self, request: PreparedRequest, proxies: Any) -> str:
        """The target of the request line. Only a proxy needs more than the path."""
        return super().request_url(request, proxies) if proxies else request.path_url

    def build_response(self, req: PreparedRequest, resp: Any) -> Response:
        """Wrap urllib3's response."""
        return _Response(req, resp)


class _Response(Response):
    """A response without a cookie jar and a copy of the headers: nothing here reads them."""

    def __init__(self, request: PreparedRequest, raw: Any) -> None:
        self.request, self.raw = request, raw
        self.status_code, self.headers = raw.status, raw.headers
        self._content_consumed = False


class _Looked:
    """A kept-alive connection that is checked before use, so that no paid call is sent into a closed one.

    urllib3 checks with a poll() that gevent replaces with one turn of its event loop. The connection may close during
    that turn. The system's own poll() returns at once.
    """

    sock: Any

    @property
    def is_connected(self) -> bool:
        """Whether it is open with nothing to read; readable means closed, or data that was not requested."""
        if self.sock is None:
            return False
        look = poll()
        look.register(self.sock, POLLIN)
        return not look.poll(0)
