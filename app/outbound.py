"""Requests to hosts that others name: only to public addresses, directly or through the proxy of the environment."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from ipaddress import ip_address
from typing import Any

import gevent
import requests
from requests.adapters import HTTPAdapter
from requests.utils import select_proxy
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError
from urllib3.util import connection as sockets

from app.addresses import is_private_host, is_public, read_address

LOOKUP_SECONDS = 1.0
"""Seconds for a name's local look-up where a proxy makes the connection."""

UNRESOLVED_SECONDS = 600.0
"""Seconds for which a name that cannot be resolved here is not looked up again: only the proxy knows it."""


class NotPublic(ValueError):
    """The host has no public address: nothing was sent."""


def open_session(opens: Callable[[str], bool]) -> requests.Session:
    """Make a session that follows no redirect, and connects to public addresses and to hosts that `opens` allows.

    Through a proxy, the proxy resolves the names: hosts with a private name or address are still refused, and names
    that resolve to private addresses here. Its requests raise NotPublic and app.addresses.NotAnAddress too.
    """
    session = _PublicSession()
    session.mount("https://", _Adapter(opens))
    session.mount("http://", _Adapter(opens))
    return session


def as_nobody(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Send no credentials: otherwise requests would send those of ~/.netrc for the host."""
    return request


class _PublicSession(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> None:
        """Never. Otherwise requests reads the whole body of a redirect, even if it does not follow it."""


class _Adapter(HTTPAdapter):
    def __init__(self, opens: Callable[[str], bool]) -> None:
        super().__init__()
        self._opens = opens
        self._unresolved: dict[str, float] = {}

    def build_connection_pool_key_attributes(self, request: Any, *how: Any, **more: Any) -> Any:
        """Connect to the host that is judged: requests reads the address with another parser."""
        _, pool_kwargs = super().build_connection_pool_key_attributes(request, *how, **more)
        address = read_address(request.url)
        return {"scheme": address.scheme, "host": address.host, "port": address.port}, pool_kwargs

    def get_connection_with_tls_context(
        self, request: Any, verify: Any, proxies: Any = None, cert: Any = None
    ) -> Any:
        """Judge the host, at the latest when its connection is made."""
        host = read_address(request.url).host
        pool: Any = super().get_connection_with_tls_context(request, verify, proxies, cert)
        if self._opens(host):
            return pool
        if is_private_host(host):
            raise NotPublic(host)
        if select_proxy(request.url, proxies):
            self._check_here(host)
        elif not issubclass(pool.ConnectionCls, _PublicConnection):
            pool.ConnectionCls = type("Connection", (_PublicConnection, pool.ConnectionCls), {})
        return pool

    def _check_here(self, host: str) -> None:
        """Refuse a name that resolves to private addresses only here. Many networks resolve no public name."""
        if time.monotonic() < self._unresolved.get(host, 0.0):
            return
        try:
            with gevent.Timeout(LOOKUP_SECONDS, TimeoutError):
                _public_addresses(host, 443)
        except (OSError, UnicodeError):
            self._unresolved[host] = time.monotonic() + UNRESOLVED_SECONDS


class _PublicConnection:
    """A connection that resolves its host once, and tries each of its public addresses in turn."""

    host: str
    port: int
    timeout: Any
    source_address: Any
    socket_options: Any

    def _new_conn(self) -> socket.socket:
        this: Any = self
        try:
            found = _public_addresses(self.host, self.port)
        except socket.gaierror as error:
            raise NameResolutionError(self.host, this, error) from error
        failed: OSError = OSError("no address")
        for ip in found:
            try:
                return sockets.create_connection(
                    (ip, self.port), self.timeout, self.source_address, self.socket_options
                )
            except OSError as error:
                failed = error
        if isinstance(failed, TimeoutError):
            raise ConnectTimeoutError(this, f"{self.host} timed out") from failed
        raise NewConnectionError(this, str(failed)) from failed


def _public_addresses(host: str, port: int) -> list[str]:
    """Resolve a host. Raises NotPublic, and socket.gaierror if it is not known."""
    found = socket.getaddrinfo(host, port, family=sockets.allowed_gai_family(), type=socket.SOCK_STREAM)
    public = [str(where[0]) for *_, where in found if is_public(ip_address(where[0]))]
    if not public:
        raise NotPublic(host)
    return list(dict.fromkeys(public))
