"""requests' adapter, for one origin that is asked thousands of times; bench/README.md has what each part saves."""

from __future__ import annotations

from select import POLLIN
from typing import Any

from gevent.monkey import get_original
from requests import PreparedRequest, Response
from requests.adapters import HTTPAdapter

poll = get_original("select", "poll")


class OriginAdapter(HTTPAdapter):
    """Sends to one origin, with the proxy and certificates of its first request."""

    _pool: Any = None

    def get_connection_with_tls_context(self, *request: Any, **how: Any) -> Any:
        """Find the pool of connections, once; HTTPAdapter does so at each request."""
        if self._pool is None:
            pool: Any = super().get_connection_with_tls_context(*request, **how)
            # Of its own class, which TLS and some proxies choose. Two threads may both be here at first.
            chosen = pool.ConnectionCls
            if not issubclass(chosen, _Looked):
                pool.ConnectionCls = type("Connection", (_Looked, chosen), {})
            self._pool = pool
        return self._pool

    def build_response(self, req: PreparedRequest, resp: Any) -> Response:
        """The response as it came."""
        return _Response(req, resp)


class _Response(Response):
    """A response without a cookie jar and a second set of headers, which nobody reads."""

    def __init__(self, request: PreparedRequest, raw: Any) -> None:
        self.request, self.raw = request, raw
        self.status_code, self.headers = raw.status, raw.headers
        self._content_consumed = False


class _Looked:
    """A kept connection that is looked at before it is used, lest a paid call goes into one that has ended.

    urllib3 does so by a poll() that gevent replaces by one turn of its loop, in which the connection may still end;
    the system's own answers at once.
    """

    sock: Any

    @property
    def is_connected(self) -> bool:
        """Whether it is open and has nothing to read: an end, or what nobody asked for."""
        if self.sock is None:
            return False
        look = poll()
        look.register(self.sock, POLLIN)
        return not look.poll(0)
