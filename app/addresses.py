"""Addresses of other hosts, read once and by the parser that also connects: the judged host is the one reached."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from urllib3.exceptions import LocationParseError
from urllib3.util import Url, parse_url

DEFAULT_PORTS = {"http": 80, "https": 443}

_HOST_NAME = re.compile(r"(?=.{1,253}\Z)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*\.?")
_BRACKETED = re.compile(r"\[[0-9a-f:.]+\]")

_ENDS_IN_A_NUMBER = re.compile(r"(.*\.)?([0-9]+|0x[0-9a-f]*)")
"""An address of IPv4 in any form that a resolver accepts: 127.0.0.1, 2130706433, 127.1, 0x7f.1, 127.0x1."""

PRIVATE_SUFFIXES = (
    *("localhost", "local", "internal", "home.arpa"),
    *("corp", "home", "intranet", "lan", "private"),
)
"""Top-level names that no public host has (RFC 6761, RFC 6762 with its appendix G, RFC 8375, ICANN's `internal`)."""

GLOBAL_UNICAST = ip_network("2000::/3")
"""Public IPv6 addresses. Outside are NAT64 (64:ff9b::/96), site-local fec0::/10, ::a.b.c.d and multicast."""

NOT_PUBLIC = tuple(
    map(ip_network, ("192.0.0.0/24", "192.88.99.0/24", "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"))
)
"""Networks that Python, or older versions of it, call global: they may lead to private IPv4 addresses, or nowhere."""


class NotAnAddress(ValueError):
    """The address cannot be used. The message is the end of a sentence that begins with its name."""


@dataclass(frozen=True, slots=True)
class Address:
    """An address of http or https without a user."""

    scheme: str
    host: str
    """In lower case, without a dot at the end; IPv6 without brackets."""
    port: int
    url: str
    """The same address in the form that every parser reads in the same way."""


def read_address(url: str) -> Address:
    """Read an address. Raises NotAnAddress."""
    try:
        parts = parse_url(url)
    except LocationParseError:
        raise NotAnAddress("is not an address") from None
    if "\\" in url:
        # Browsers take it for a slash, and other parsers for a letter of the host.
        raise NotAnAddress("must not contain a backslash")
    if parts.scheme not in DEFAULT_PORTS or not parts.host or parts.port == 0:
        raise NotAnAddress("must begin with https:// and name a host")
    if parts.auth is not None:
        raise NotAnAddress("must not contain a user or password")
    if not (_HOST_NAME.fullmatch(parts.host) or _BRACKETED.fullmatch(parts.host)):
        raise NotAnAddress("must name a host of letters, digits, dots, hyphens and underscores")
    host = parts.host.removesuffix(".")
    url = Url(parts.scheme, None, host, parts.port, parts.path or "/", parts.query).url
    return Address(parts.scheme, host.strip("[]"), parts.port or DEFAULT_PORTS[parts.scheme], url)


def host_of(url: str) -> str:
    """The host of an address; "" if it cannot be used."""
    try:
        return read_address(url).host
    except NotAnAddress:
        return ""


@lru_cache(maxsize=64)
def is_loopback(host: str) -> bool:
    """Whether a host is this machine itself; IPv6 with or without brackets."""
    ip = _ip_of(host.strip("[]"))
    return host == "localhost" or host.endswith(".localhost") if ip is None else ip.is_loopback


def is_listed(host: str, listed: Sequence[str]) -> bool:
    """Whether a host is one of these names, ends in one of these `.suffixes`, or is an address in these networks."""
    ip, is_name = _ip_of(host), not _ENDS_IN_A_NUMBER.fullmatch(host)
    for entry in listed:
        if "/" in entry:
            if ip is not None and ip in ip_network(entry):
                return True
        elif host == entry.lstrip(".") or (entry[0] == "." and is_name and host.endswith(entry)):
            return True
    return False


def is_private_host(host: str) -> bool:
    """Whether a host is certainly not public: a local name, or an address that is not public, in any form."""
    ip = _ip_of(host)
    if ip is not None:
        return not is_public(ip)
    if "." not in host or _ENDS_IN_A_NUMBER.fullmatch(host):
        return True
    return host.endswith(tuple(f".{suffix}" for suffix in PRIVATE_SUFFIXES))


def is_public(ip: IPv4Address | IPv6Address) -> bool:
    """Whether an address is a public one of a single host."""
    if isinstance(ip, IPv6Address):
        if ip.ipv4_mapped is not None:
            return is_public(ip.ipv4_mapped)
        if ip not in GLOBAL_UNICAST:
            return False
    return ip.is_global and not ip.is_multicast and not any(ip in network for network in NOT_PUBLIC)


def _ip_of(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None
