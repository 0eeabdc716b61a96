"""requests' adapter, for one origin that is asked thousands of times."""

from __future__ import annotations

from typing import Any

from requests.adapters import HTTPAdapter


class OriginAdapter(HTTPAdapter):
    """Sends to one origin, with the proxy and certificates of its first request."""

    _pool: Any = None

    def get_connection_with_tls_context(self, *request: Any, **how: Any) -> Any:
        """Find the pool of connections, once: HTTPAdapter does so at each request, for 5 % of its CPU."""
        if self._pool is None:
            self._pool = super().get_connection_with_tls_context(*request, **how)
        return self._pool
