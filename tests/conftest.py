"""Real servers on real sockets: a sandbox Suno, and the service under gunicorn in front of it."""

from __future__ import annotations

import gc
import itertools
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypeVar

import hypothesis
import pytest
import requests

from app.settings import remembered
from tests import stack
from tools.process import Server
from tools.stack import ACCOUNT

# A machine with other work is no fault of the code.
hypothesis.settings.register_profile("tests", deadline=None)
hypothesis.settings.load_profile("tests")

SONG = "c3d4e5f6-a7b8-9012-cdef-123456789012"
NUMBERS = itertools.count(1)
PATIENCE = 30
"""Timeout of a test's request, in seconds: far longer than every deadline under test."""
POLLED_FOR = 60
"""Seconds that a test waits for something: far longer than it takes."""

T = TypeVar("T")


SLOW = (
    *("test_torture", "/page/", "/jobs/", "test_idempotency", "/clients/", "test_rules_machine", "/deploy/"),
    *("test_swagger_ui", "test_fetch", "test_waiting", "test_demo", "test_mcp", "test_serving", "test_commands"),
    *("test_callers", "test_clips", "test_doctor", "test_telemetry", "/splits/"),
)
"""Files with slow tests: they start first, so that no process still has one when the others are done."""


LONG = (
    *("test_each_key_is_paid_once_and_gets_its_own_stems[sqlite]", "test_each_key_gets_a_webhook_of_final"),
    *("test_each_set_of_a_person_belongs_to_one_request", "test_another_process_continues_after_a_kill"),
    *("test_twelve_stems_of_eight_minutes_take_less", "tells_the_truth_and_play_starts_anew[suspended]"),
    *("tells_the_truth_and_play_starts_anew[interrupted]", "works_without_its_queue_and_says_so_once[damaged]"),
    *("works_without_its_queue_and_says_so_once[no folder]", "test_make_sandbox_works_on_a_mac"),
    *("test_a_failed_stem_that_lists_leave_out_is_found_with_a_long", "[playlist.sh]", "[playlist.mjs]"),
    *("test_the_client_is_well_typed", "test_each_key_is_paid_once_and_has_one_result_while_two_versions"),
    *("test_the_last_process_leaves_the_ledger_in_one_file", "test_a_slow_receiver_is_ended_in_time"),
    *("test_stems_that_still_arrive_are_waited_for_however", "test_n8n_knows_every_node", "/test_opendaw.py"),
    *("test_a_rolling_restart_fails_no_request", "test_a_reload_under_load_fails_no_request"),
    *("decoded[44100-stereo-320]", "decoded[44100-stereo-64]", "decoded[44100-mono-32]", "decoded[22050-mono-8]"),
    *("at_the_account]", "at_a_choice]", "at_an_error]"),
)
"""Tests that take long, by a part of their ids: only `make test-all` runs them."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="run the tests that take long too")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--long"):
        long = [item for item in items if any(name in item.nodeid for name in LONG)]
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if item not in long]
    order = [next((i for i, name in enumerate(SLOW) if name in str(item.path)), len(SLOW)) for item in items]
    items[:] = [item for _, item in sorted(zip(order, items, strict=True), key=lambda pair: pair[0])]


def pytest_collection() -> None:
    """Collect no garbage while tests are loaded: there are many new objects, and hardly any garbage."""
    gc.disable()


def pytest_collection_finish() -> None:
    """Exclude all that is loaded from garbage collection, which would visit it again and again."""
    gc.freeze()
    gc.enable()


def until(find: Callable[[], T | None]) -> T:
    """Poll until `find` returns something other than None, False and [], and return it. Fails after POLLED_FOR."""
    ends = time.monotonic() + POLLED_FOR
    while (found := find()) in (None, False, []):
        assert time.monotonic() < ends, f"it did not happen within {POLLED_FOR} s"
        # Leaves the processor to the servers.
        time.sleep(0.1)
    return found


class Client:
    """A client of one server; it ignores proxies and credentials of the environment."""

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
        """Return the logged requests with a path that starts with `path`."""
        return [entry for entry in self.get("/sandbox/log").json() if entry["path"].startswith(path)]

    def forget(self) -> None:
        """Clear the log."""
        self.request("DELETE", "/sandbox/log")

    def charges(self, account: str, song: str | None = None) -> list[dict[str, Any]]:
        """Return the charges of an account, for one song or for all."""
        paid = [entry for entry in self.get("/sandbox/charges").json() if entry["account"] == account]
        return [entry for entry in paid if song in (None, entry["song"])]

    def set(self, **options: Any) -> None:
        """Change command-line options of the running sandbox."""
        self.post("/sandbox/settings", json=options).raise_for_status()


@pytest.fixture(autouse=True)
def forget_settings() -> None:
    """Forget the settings that another test has read in this process."""
    remembered.settings, remembered.complaint = None, ""


@pytest.fixture(scope="session")
def suno() -> Iterator[Suno]:
    with stack.suno("--pace", "0.2") as server:
        yield Suno(server)


@pytest.fixture(scope="session")
def service(suno: Suno) -> Iterator[Client]:
    """The service with two workers, debug logs, and short timeouts for Suno."""
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
def single_worker(suno: Suno) -> Iterator[Client]:
    """The service with one worker, for tests that count what each process does once."""
    with stack.service(suno.url, {"WEB_CONCURRENCY": "1"}) as server:
        yield Client(server)


@pytest.fixture
def start(suno: Suno) -> Iterator[Callable[..., Client]]:
    """Start more services with other settings for one test; by default with one worker, which starts faster."""
    with ExitStack() as servers:
        yield lambda url=None, **settings: Client(
            servers.enter_context(stack.service(url or suno.url, {"WEB_CONCURRENCY": "1", **settings}))
        )


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch, suno: Suno, tmp_path: Path) -> Callable[..., Client]:
    """Make the app with other settings in the test's own process; returns a client (tests/in_process.py)."""
    from app.web.factory import create_app
    from tests.in_process import InProcess

    def make(url: str | None = None, **settings: str) -> InProcess:
        for name in [name for name in os.environ if name.startswith("SUNO_")]:
            monkeypatch.delenv(name)
        at_suno = {"SUNO_API_URL": url or suno.url, "SUNO_AUTH_URL": url or suno.url, "SUNO_COOKIE": ACCOUNT}
        own = {"LEDGER_URL": f"sqlite:///{tmp_path}/ledger.db", "AUDIO_URL": f"{tmp_path}/audio"}
        for name, value in {**at_suno, **own, **settings}.items():
            monkeypatch.setenv(name, value)
        return InProcess(create_app())

    return make


@pytest.fixture
def account() -> str:
    """An account that no other test uses."""
    return f"sandbox-load-{next(NUMBERS)}"
