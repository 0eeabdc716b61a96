"""Requests to hosts that others name: through a proxy that resolves names, and to names with several addresses."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from app.audio.fetch import Fetcher, FetchFailed
from app.jobs.webhook import SendResult, send
from app.outbound import NotPublic, open_session
from tests.jobs.conftest import SECRET
from tests.outbound import PUBLIC_NAME, Host, Proxy, answers, certificate_for

DEAD, ALIVE, PRIVATE = "203.0.114.1", "203.0.114.2", "10.0.0.1"
HELLO = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
ADDRESS = f"https://{PUBLIC_NAME}/x"

real_getaddrinfo, real_connection = socket.getaddrinfo, socket.create_connection


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return certificate_for(PUBLIC_NAME, tmp_path_factory.mktemp("tls"))


@pytest.fixture
def target(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    """What the public name leads to."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    for name in ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with Host(answers(HELLO), certificate) as host:
        yield host


@pytest.fixture
def proxy(target: Host, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    with Proxy(target.port) as one:
        monkeypatch.setenv("HTTPS_PROXY", one.url)
        yield one


@pytest.fixture
def resolve(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Make the system's resolver know only these names, with their addresses; return the list of names asked for."""
    asked: list[str] = []

    def make(**addresses: list[str]) -> list[str]:
        known = {name.replace("_", "."): found for name, found in addresses.items()}

        def getaddrinfo(host: str, port: int, *how: Any, **more: Any) -> Any:
            if host.replace(".", "").isdigit():
                return real_getaddrinfo(host, port, *how, **more)
            asked.append(host)
            if host not in known:
                raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, port)) for ip in known[host]]

        monkeypatch.setattr("socket.getaddrinfo", getaddrinfo)
        return asked

    return make


@pytest.fixture
def network(target: Host, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A network in which ALIVE is the target, and other addresses are dead. Returns the addresses tried."""
    tried: list[str] = []

    def connect(address: tuple[str, int], *how: Any, **more: Any) -> socket.socket:
        tried.append(address[0])
        if address[0] == ALIVE:
            return real_connection(("127.0.0.1", target.port))
        raise TimeoutError if len(tried) % 2 else ConnectionRefusedError

    monkeypatch.setattr("urllib3.util.connection.create_connection", connect)
    return tried


@pytest.mark.parametrize("known", [{}, {"hooks_example_com": [DEAD]}, {"hooks_example_com": [PRIVATE, DEAD]}])
def test_a_proxy_gets_the_name_and_resolves_it(
    proxy: Proxy, resolve: Callable[..., list[str]], known: dict[str, list[str]]
) -> None:
    resolve(**known)
    assert Fetcher(loopback_too=False).small(ADDRESS, 5) == b"hello"
    assert send(ADDRESS, "{}", "msg_1", [SECRET], []) == SendResult(200, "hello")
    assert proxy.asked == [f"{PUBLIC_NAME}:443"] * 2


def test_a_name_that_only_the_proxy_knows_is_looked_up_once(proxy: Proxy, resolve: Callable[..., list[str]]) -> None:
    asked = resolve()
    fetcher = Fetcher(loopback_too=False)
    assert [fetcher.small(ADDRESS, 5) for _ in range(3)] == [b"hello"] * 3
    assert asked == [PUBLIC_NAME]


@pytest.mark.parametrize("host", ["10.0.0.1", "[fd00::1]", "127.1", "localhost", "n8n", "db.internal", "nas.lan"])
def test_a_private_host_is_refused_through_a_proxy_too(proxy: Proxy, host: str) -> None:
    with open_session(lambda host: False) as session, pytest.raises(NotPublic):
        session.get(f"https://{host}/")
    with pytest.raises(FetchFailed, match="public"):
        Fetcher(loopback_too=False).small(f"https://{host}/", 5)
    assert send(f"https://{host}/", "{}", "msg_1", [SECRET], []).status is None
    assert proxy.asked == []


def test_a_name_with_a_private_address_here_is_refused_through_a_proxy_too(
    proxy: Proxy, resolve: Callable[..., list[str]]
) -> None:
    resolve(hooks_example_com=[PRIVATE, "127.0.0.1"])
    assert send(ADDRESS, "{}", "msg_1", [SECRET], []) == SendResult(None, "its host has no public address")
    assert proxy.asked == []


def test_a_name_of_no_proxy_is_resolved_here(
    proxy: Proxy, resolve: Callable[..., list[str]], network: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", ".example.com")
    resolve(hooks_example_com=[ALIVE])
    assert Fetcher(loopback_too=False).small(ADDRESS, 5) == b"hello"
    assert (network, proxy.asked) == ([ALIVE], [])


@pytest.mark.parametrize(
    ("found", "tried"),
    [
        ([DEAD, ALIVE], [DEAD, ALIVE]),
        ([DEAD, DEAD, "203.0.114.3", ALIVE, "203.0.114.4"], [DEAD, "203.0.114.3", ALIVE]),
        ([PRIVATE, ALIVE], [ALIVE]),
        ([DEAD, "169.254.169.254", ALIVE], [DEAD, ALIVE]),
    ],
)
def test_the_next_public_address_is_tried(
    target: Host, resolve: Callable[..., list[str]], network: list[str], found: list[str], tried: list[str]
) -> None:
    resolve(hooks_example_com=found)
    assert Fetcher(loopback_too=False).small(ADDRESS, 5) == b"hello"
    assert send(ADDRESS, "{}", "msg_1", [SECRET], []) == SendResult(200, "hello")
    assert network == tried * 2


@pytest.mark.parametrize(
    ("found", "error"), [([DEAD], requests.ConnectTimeout), (["203.0.114.3", DEAD], requests.ConnectionError)]
)
def test_a_host_without_a_live_address_is_a_connection_error(
    target: Host, resolve: Callable[..., list[str]], network: list[str], found: list[str], error: type[Exception]
) -> None:
    resolve(hooks_example_com=found)
    with open_session(lambda host: False) as session, pytest.raises(error):
        session.get(ADDRESS)
    with pytest.raises(FetchFailed) as failed:
        Fetcher(loopback_too=False).small(ADDRESS, 5)
    assert failed.value.for_now


def test_a_listed_host_with_two_addresses_is_reached(resolve: Callable[..., list[str]]) -> None:
    resolve(n8n=["127.0.0.2", "127.0.0.1"])
    with Host(answers(HELLO)) as host:
        assert send(f"http://n8n:{host.port}/", "{}", "msg_1", [SECRET], ["n8n"]).status == 200


def test_the_certificate_is_checked_against_the_name(
    target: Host, resolve: Callable[..., list[str]], network: list[str]
) -> None:
    resolve(other_example_com=[ALIVE])
    with open_session(lambda host: False) as session, pytest.raises(requests.exceptions.SSLError):
        session.get("https://other.example.com/")
