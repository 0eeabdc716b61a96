"""requests' adapter, with a check that no request is sent into a closed connection."""

from __future__ import annotations

from select import POLLIN
from typing import Any

from gevent.monkey import get_original
from requests.adapters import HTTPAdapter

poll = get_original("select", "poll")


class CheckedAdapter(HTTPAdapter):
    """Check a kept-alive connection before it is used."""

    def get_connection_with_tls_context(self, *request: Any, **how: Any) -> Any:
        """The connection pool. Its connections are of a subclass of what TLS or a proxy has chosen."""
        pool: Any = super().get_connection_with_tls_context(*request, **how)
        if not issubclass(pool.ConnectionCls, _Checked):
            pool.ConnectionCls = type("Connection", (_Checked, pool.ConnectionCls), {})
        return pool


class _Checked:
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
