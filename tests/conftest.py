"""Real servers on real sockets: a sandbox Suno, and the service under gunicorn in front of it."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
import requests

from app.settings import remembered
from tests import stack
from tools.process import Server

SONG = "c3d4e5f6-a7b8-9012-cdef-123456789012"
NUMBERS = itertools.count(1)
PATIENCE = 30
"""Seconds after which a test gives a request up: far beyond every deadline under test."""


SLOW = (
    "test_torture",
    "/page/",
    "/jobs/",
    "test_mcp",
    "test_commands",
    "/deploy/",
    "/clients/",
    "test_demo",
    "test_serving",
)
"""Files with a few slow tests: they begin first, so that no process has one left when all others are done."""


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    order = [next((i for i, name in enumerate(SLOW) if name in str(item.path)), len(SLOW)) for item in items]
    items[:] = [item for _, item in sorted(zip(order, items, strict=True), key=lambda pair: pair[0])]


def pause() -> None:
    """Leave the processor to the servers, between two looks of a loop that waits for something."""
    time.sleep(0.03)


class Client:
    """A client of one server, whose requests take nothing from the environment."""

    def __init__(self, server: Server, headers: dict[str, str] | None = None) -> None:
        self.server = server
        self.url = server.url
        self.headers = headers or {}

    def request(self, method: str, path: str, **options: Any) -> requests.Response:
        with requests.Session() as session:
            session.trust_env = False
            session.headers.update(self.headers)
            return session.request(method, self.url + path, timeout=PATIENCE, allow_redirects=False, **options)

    def get(self, path: str, **options: Any) -> requests.Response:
        return self.request("GET", path, **options)

    def post(self, path: str, **options: Any) -> requests.Response:
        return self.request("POST", path, **options)

    def split(self, song: str = SONG, cookie: str | None = None, **options: Any) -> requests.Response:
        headers = options.pop("headers", {}) | ({"X-Suno-Cookie": cookie} if cookie else {})
        return self.post("/api/generate_stems", json={"audio_id": song}, headers=headers, **options)


class Suno(Client):
    """The sandbox's control calls."""

    def log(self, path: str = "") -> list[dict[str, Any]]:
        """Return the requests so far whose path starts with `path`."""
        return [entry for entry in self.get("/sandbox/log").json() if entry["path"].startswith(path)]

    def forget(self) -> None:
        """Clear the log."""
        self.request("DELETE", "/sandbox/log")

    def charges(self, account: str, song: str | None = None) -> list[dict[str, Any]]:
        """Return what an account has paid for."""
        paid = [entry for entry in self.get("/sandbox/charges").json() if entry["account"] == account]
        return [entry for entry in paid if song in (None, entry["song"])]

    def set(self, **options: Any) -> None:
        """Change the options of the command line while it runs."""
        self.post("/sandbox/settings", json=options).raise_for_status()


@pytest.fixture(autouse=True)
def settings_unread() -> None:
    """Let no test find the settings that another has read in this process."""
    remembered.settings, remembered.complaint = None, ""


@pytest.fixture(scope="session")
def suno() -> Iterator[Suno]:
    with stack.suno("--pace", "0.2") as server:
        yield Suno(server)


@pytest.fixture(scope="session")
def service(suno: Suno) -> Iterator[Client]:
    """The service with two workers, all of its log, and little patience with Suno."""
    settings = {
        "LOG_LEVEL": "DEBUG",
        "SUNO_CONNECT_TIMEOUT": "1",
        "SUNO_READ_TIMEOUT": "1.5",
        "SUNO_DEADLINE": "4",
        "SUNO_POLL_INTERVAL": "0.1",
    }
    with stack.service(suno.url, settings) as server:
        yield Client(server)


@pytest.fixture(scope="session")
def lone_worker(suno: Suno) -> Iterator[Client]:
    """The service with one worker: what a process does once, it does once."""
    with stack.service(suno.url, {"WEB_CONCURRENCY": "1"}) as server:
        yield Client(server)


@pytest.fixture
def start(suno: Suno) -> Iterator[Callable[..., Client]]:
    """Start further services with other settings, for one test; of one worker, which starts in half the time."""
    with ExitStack() as servers:
        yield lambda url=None, **settings: Client(
            servers.enter_context(stack.service(url or suno.url, {"WEB_CONCURRENCY": "1", **settings}))
        )


@pytest.fixture
def account() -> str:
    """An account that no other test uses."""
    return f"sandbox-load-{next(NUMBERS)}"
