"""Addresses: what is accepted leads to the host that was judged, whichever parser reads it."""

from __future__ import annotations

import socket
import string
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st
from urllib3.util import parse_url

from app.addresses import (
    Address,
    NotAnAddress,
    host_of,
    is_listed,
    is_loopback,
    is_private_host,
    is_public,
    read_address,
)
from app.audio.fetch import Fetcher, FetchFailed
from app.jobs.webhook import NoSuchAddress, check_address, send
from app.outbound import open_session

LISTED = ("n8n", ".internal", "10.0.0.0/8")

PIECES = (
    *("http://", "https://", "HTTP://", "//", "/", "\\", "@", ":", "?", "#", ";", ".", "%5c", "%2f", "%40", "%00"),
    *("[", "]", "[::1]", "::ffff:127.0.0.1", "127.0.0.80", "10.1.2.3", "0x7f.1", "2130706433", "169.254.169.254"),
    *("n8n", ".internal", "internal", "a.example.com", "localhost", "latest", ":80", ":0", " ", "\t", "\n", "\r"),
    *("\x00", "\x7f", "\u3002", "\uff0e", "\u2488", "ß", "K", "%"),
)
ADDRESSES = st.one_of(
    st.builds(
        lambda scheme, pieces: scheme + "".join(pieces),
        st.sampled_from(["http://", "https://", "https:", ""]),
        st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=3)), max_size=8),
    ),
    st.text(alphabet=string.printable, max_size=60).map(lambda rest: f"https://{rest}"),
)


def hosts_reached(address: Address) -> set[str | None]:
    """The hosts that requests prepares, connects to, and any other reader of the address finds."""
    request = requests.Request("POST", address.url).prepare()
    with open_session(lambda host: True) as session:
        adapter = session.get_adapter(address.url)
        pool = adapter.get_connection_with_tls_context(request, True)  # type: ignore[attr-defined]
    return {pool.host.strip("[]"), urlsplit(request.url).hostname, urlsplit(address.url).hostname}


@settings(max_examples=1_000, deadline=None)
@given(ADDRESSES)
def test_an_address_leads_to_the_host_that_was_judged(url: str) -> None:
    with suppress(NotAnAddress):
        address = read_address(url)
        assert hosts_reached(address) == {address.host}
        assert read_address(address.url) == address
        assert "@" not in urlsplit(address.url).netloc and "\\" not in urlsplit(address.url).netloc


def test_the_host_is_not_read_again_for_its_connection() -> None:
    request = requests.PreparedRequest()
    request.url = "https://N8N.:8443/x"
    with open_session(lambda host: host == "n8n") as session:
        adapter = session.get_adapter(request.url)
        pool = adapter.get_connection_with_tls_context(request, True)  # type: ignore[attr-defined]
    assert (pool.host, pool.port) == ("n8n", 8443)


@settings(max_examples=1_000, deadline=None)
@given(ADDRESSES)
def test_an_accepted_webhook_reaches_a_listed_host_or_no_private_one(url: str) -> None:
    with suppress(NoSuchAddress):
        [host] = hosts_reached(check_address(url, LISTED))
        assert host is not None
        is_open = host in ("n8n", "internal") or host.endswith(".internal") or host.startswith("10.")
        assert is_open or not is_private_host(host)
        assert is_open or url.lower().startswith("https:")


@settings(max_examples=500, deadline=None)
@given(
    st.sampled_from(["/x", "/a%2Fb", "/a b", "/%zz", "//x", "/ä", "/a/../b", ""]),
    st.text(max_size=12).filter(lambda query: "\\" not in query),
)
def test_the_path_and_query_are_sent_as_without_this_reading(path: str, query: str) -> None:
    url = f"https://storage.example.com{path}?{query}"
    assert requests.Request("GET", read_address(url).url).prepare().path_url == (
        requests.Request("GET", url).prepare().path_url
    )


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.80\\.internal/latest",
        "http://127.0.0.80%5c.internal/latest",
        "http://127.0.0.80%5C@stems.internal/",
        "http://127.0.0.80\\@stems.internal/",
        "http://stems.internal@127.0.0.80/",
        "http://127.0.0.80#.internal/",
        "http://127.0.0.80?.internal/",
        "http://127.0.0.80;.internal/",
        "http://[::ffff:127.0.0.80].internal/",
        "http://127.0.0.80%00.internal/",
        "http://127.0.0.80%2f.internal/",
        "http://.internal/",
        "http://..internal/",
        "http://" + "a" * 64 + ".internal/",
        "http://10.0.0.1\\.example.com/",
    ],
)
def test_an_address_that_parsers_read_differently_is_no_listed_host(url: str) -> None:
    with pytest.raises(NoSuchAddress):
        check_address(url, LISTED)


@pytest.mark.parametrize(
    ("host", "listed", "expected"),
    [
        ("stems.internal", (".internal",), True),
        ("notinternal", (".internal",), False),
        ("evil-internal", ("internal",), False),
        ("10.0.0.10", (".10",), False),
        ("0x7f.10", (".10",), False),
        ("10.0.0.10", ("10.0.0.10",), True),
        ("10.0.0.10", ("10.0.0.0/8",), True),
        ("::ffff:10.0.0.10", ("10.0.0.0/8",), False),
        ("fd00::1", ("fd00::/8", "n8n"), True),
    ],
)
def test_only_a_host_that_really_ends_so_is_listed(host: str, listed: tuple[str, ...], expected: bool) -> None:
    assert is_listed(host, listed) is expected


@pytest.mark.parametrize(
    "host",
    [
        *("64:ff9b::7f00:1", "64:ff9b::808:808", "64:ff9b:1::1", "2002:7f00:1::", "2002:808:808::1"),
        *("224.0.0.1", "239.1.2.3", "ff02::1", "ff0e::1", "fec0::1", "::127.0.0.1", "::8.8.8.8", "::", "::1"),
        *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:224.0.0.1", "fe80::1", "fd00::1", "2001::1", "2001:20::1"),
        *("2001:db8::1", "3fff::1", "5f00::1", "4000::1", "100::1", "0.0.0.0", "255.255.255.255", "240.0.0.1"),
        *("127.0.0.1", "10.0.0.1", "172.16.0.1", "192.168.0.1", "169.254.169.254", "100.64.0.1", "192.0.0.9"),
        *("192.88.99.1", "192.0.2.1", "198.18.0.1", "2130706433", "127.1", "0x7f.1", "127.0x1", "0x7f000001", "1.0x"),
        *("localhost", "a.localhost", "n8n", "printer.local", "db.internal", "nas.home.arpa", "nas.lan", "x.corp"),
    ],
)
def test_a_private_host_is_refused_before_sending(host: str) -> None:
    assert is_private_host(host)
    with pytest.raises(NoSuchAddress, match="public"):
        check_address(f"https://{f'[{host}]' if ':' in host else host}/", ())


@pytest.mark.parametrize(
    "host", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "a.example.com", "1e100.net", "x.0xy"]
)
def test_a_public_host_is_accepted(host: str) -> None:
    assert not is_private_host(host)
    check_address(f"https://{f'[{host}]' if ':' in host else host}/", ())


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("http://LOCALHOST:3000/x", "localhost"),
        ("https://n8n./x", "n8n"),
        ("https://[2606:4700::1111]:8443", "2606:4700::1111"),
        ("http://127.0.0.1\\@example.com", ""),
        ("", ""),
    ],
)
def test_the_host_of_an_address_is_read(url: str, host: str) -> None:
    assert host_of(url) == host


def test_only_this_machine_is_loopback() -> None:
    assert all(map(is_loopback, ("localhost", "127.0.0.80", "::1")))
    assert not any(map(is_loopback, ("", "127.0.0.1.example.com", "localhost.example.com", "10.0.0.1", "127.1")))


def _resolved(host: str, port: int, *about: Any, **how: Any) -> list[Any]:
    """Resolve as the system does, but every name to this machine: as the name server of an attacker may."""
    with suppress(OSError):
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (socket.inet_ntoa(socket.inet_aton(host)), port))]
    with suppress(OSError):
        socket.inet_pton(socket.AF_INET6, host)
        return [(socket.AF_INET6, socket.SOCK_STREAM, 6, "", (host, port, 0, 0))]
    return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]


@contextmanager
def connections() -> Iterator[list[str]]:
    """Note each connection that urllib3 would make."""
    hosts: list[str] = []

    def refuse(address: tuple[str, int], *how: Any, **more: Any) -> None:
        hosts.append(address[0])
        raise ConnectionRefusedError

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("socket.getaddrinfo", _resolved)
        patched.setattr("urllib3.util.connection.create_connection", refuse)
        for name in ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            patched.delenv(name, raising=False)
        yield hosts


@settings(max_examples=500, deadline=None)
@given(ADDRESSES, st.booleans())
def test_a_storages_address_leads_to_a_public_address_or_a_local_suno(url: str, loopback_too: bool) -> None:
    with connections() as hosts, pytest.raises(FetchFailed):
        Fetcher(loopback_too=loopback_too).small(url, 1)
    for host in hosts:
        if loopback_too and is_loopback(host):
            assert parse_url(url).host.removesuffix(".").strip("[]") == host
        else:
            assert is_public(ip_address(host))


@settings(max_examples=500, deadline=None)
@given(ADDRESSES)
def test_a_webhooks_address_leads_to_a_public_address_or_a_listed_host(url: str) -> None:
    with connections() as hosts:
        assert send(url, "{}", "msg_1", ["whsec_" + "A" * 32], LISTED).status is None
    for host in hosts:
        is_open = host in ("n8n", "internal") or host.endswith(".internal") or host.startswith("10.")
        assert is_open or is_public(ip_address(host))


def test_a_private_address_is_not_hidden_by_any_spelling() -> None:
    spelled = ("https://127.1/", "https://0x7f.1/", "https://2130706433/", "https://017700000001/", "https://0/")
    for url in (*spelled, "https://127.0.0.1.nip.example/", "https://[::ffff:7f00:1]/", "https://1\u30021\u30021/"):
        with connections() as hosts, pytest.raises(FetchFailed):
            Fetcher(loopback_too=False).small(url, 1)
        assert hosts == []
