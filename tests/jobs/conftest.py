"""The service with a jobs process, and webhook receivers, on real sockets."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests
from standardwebhooks.webhooks import Webhook

from tests import stack
from tests.conftest import SONG, Client, Suno
from tools.process import Server

SECRET = "whsec_" + "A" * 32
LINK_SECRET = "l" * 32
HERE = "127.0.0.1/32"
PUBLIC_URL = "https://stems.example.com"


class Receiver:
    """Answers each webhook with the next status of its script. The last status repeats."""

    def __init__(self, *script: int) -> None:
        self.script = list(script) or [200]
        self.headers: dict[str, str] = {}
        self.reply = b"thanks\nand more"
        self.received: list[tuple[dict[str, str], str]] = []
        self.arrived = threading.Condition()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                with receiver.arrived:
                    status = receiver.script.pop(0) if len(receiver.script) > 1 else receiver.script[0]
                    receiver.received.append(({name.lower(): value for name, value in self.headers.items()}, body))
                    receiver.arrived.notify_all()
                self.send_response(status)
                for name, value in receiver.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(receiver.reply)))
                self.end_headers()
                self.wfile.write(receiver.reply)

            def log_message(self, *about: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/hook"

    def wait(self, number: int) -> list[tuple[dict[str, str], str]]:
        """Wait until this number of webhooks has arrived. Only the test's timeout limits it."""
        with self.arrived:
            self.arrived.wait_for(lambda: len(self.received) >= number)
            return list(self.received)

    def verified(self, number: int = 1) -> list[dict[str, Any]]:
        """Return the content of the webhooks, each verified as a receiver should do."""
        return [Webhook(SECRET).verify(body, headers) for headers, body in self.wait(number)]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def receiver() -> Iterator[Callable[..., Receiver]]:
    made: list[Receiver] = []

    def make(*script: int) -> Receiver:
        made.append(Receiver(*script))
        return made[-1]

    yield make
    for one in made:
        one.close()


class Service:
    """The service as its callers use it."""

    def __init__(self, client: Client) -> None:
        self.client = client

    def split(self, url: str, song: str = SONG, headers: dict[str, str] | None = None, **more: Any):
        body = {"audio_id": song, "webhook_url": url, **more}
        return self.client.post("/api/generate_stems", json=body, headers=headers or {})

    def state_of(self, reply: requests.Response) -> dict[str, Any]:
        state: dict[str, Any] = self.client.get(f"/api/requests/{reply.headers['X-Request-ID']}").json()
        return state

    def webhook_of(self, reply: requests.Response) -> dict[str, Any]:
        webhook: dict[str, Any] = self.state_of(reply)["webhook"]
        return webhook


class Deployed(Service):
    """A service for which a test can also start jobs processes. They end with the test."""

    def __init__(self, servers: ExitStack, suno: Suno, settings: dict[str, str], client: Client) -> None:
        self._servers, self._suno, self.settings = servers, suno, settings
        super().__init__(client)

    @classmethod
    def start(cls, servers: ExitStack, suno: Suno, settings: dict[str, str], **headers: str) -> Deployed:
        """Start the service. `headers` are sent with each request."""
        return cls(servers, suno, settings, Client(servers.enter_context(stack.service(suno.url, settings)), headers))

    def start_jobs(self) -> Server:
        return self._servers.enter_context(stack.jobs(self._suno.url, self.settings))


@dataclass(frozen=True)
class Shared:
    """A service for many tests, each with an account of its own, and its jobs process if it has one."""

    folder: Path
    """Where all of their data is."""
    settings: dict[str, str]
    service: Server
    jobs: Server | None = None

    def client(self, account: str) -> Client:
        return Client(self.service, as_account(account))

    def logged(self) -> str:
        """Everything that they have logged so far."""
        return self.service.logged() + (self.jobs.logged() if self.jobs else "")


def settings_in(folder: Path) -> dict[str, str]:
    """Return settings for the service and its jobs process, with all data in this folder."""
    return {
        "WEBHOOK_SECRET": SECRET,
        "WEBHOOK_HOSTS": HERE,
        "LEDGER_URL": f"sqlite:///{folder}/ledger.db",
        "JOBS_URL": f"sqlite:///{folder}/jobs.db",
        "SUNO_POLL_INTERVAL": "0.2",
        "SUNO_DEADLINE": "2",
        "SUNO_READ_TIMEOUT": "1",
        "SUNO_SETTLE_TIME": "0.5",
        "WEB_CONCURRENCY": "1",
        "AUDIO_URL": f"file://{folder}/audio",
        "LINK_SECRET": LINK_SECRET,
        "ORDER_PACE": "0.1",
    }


ACCOUNTS = [
    "sandbox-free",
    "sandbox-needs-captcha",
    "sandbox-poor",
    *(f"sandbox-load-{number}" for number in range(1, 600)),
]


def name_of(account: str) -> str:
    """The operator's name for an account. It does not contain the cookie, which tests look for in logs and data."""
    return account.removeprefix("sandbox-")


def as_account(account: str) -> dict[str, str]:
    return {"X-Suno-Account": name_of(account)}


def settings_for_all(folder: Path) -> dict[str, str]:
    """Write a callers file with an account for each test; return settings for a service that the tests share."""
    callers = folder / "callers.toml"
    callers.write_text("".join(f'[accounts.{name_of(account)}]\ncookie = "{account}"\n' for account in ACCOUNTS))
    return settings_in(folder) | {"CALLERS_FILE": str(callers), "SUNO_COOKIE": "", "SUNO_WAIT_TIMEOUT": "20"}


@contextmanager
def deployment(suno: Suno, folder: Path, **more: str) -> Iterator[Shared]:
    """Run a service and a jobs process that many tests share."""
    settings = settings_for_all(folder) | more
    with stack.service(suno.url, settings) as service, stack.jobs(suno.url, settings) as jobs:
        yield Shared(folder, settings, service, jobs)


@pytest.fixture(scope="session")
def shared(suno: Suno, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shared]:
    """One service and one jobs process for all tests."""
    with deployment(suno, tmp_path_factory.mktemp("shared"), PUBLIC_URL=PUBLIC_URL) as running:
        yield running


@pytest.fixture
def deployed(shared: Shared, account: str) -> Service:
    """The shared service, with an account that no other test uses."""
    return Service(shared.client(account))


@pytest.fixture
def beside(suno: Suno, shared: Shared, account: str) -> Iterator[Callable[..., Deployed]]:
    """Start services with other settings beside the shared one, on its data: its jobs process does their jobs too."""
    with ExitStack() as servers:
        yield lambda **more: Deployed.start(servers, suno, shared.settings | more, **as_account(account))


@pytest.fixture(scope="session")
def shared_without_jobs(suno: Suno, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shared]:
    """One service without a jobs process, on data of its own, for all tests that start and end jobs processes."""
    folder = tmp_path_factory.mktemp("shared_without_jobs")
    settings = settings_for_all(folder)
    with stack.service(suno.url, settings) as service:
        yield Shared(folder, settings, service)


@pytest.fixture
def without_jobs(suno: Suno, shared_without_jobs: Shared, account: str) -> Iterator[Deployed]:
    """That service, with an account that no other test uses, while no jobs process runs."""
    with ExitStack() as servers:
        yield Deployed(servers, suno, shared_without_jobs.settings, shared_without_jobs.client(account))


@pytest.fixture
def settings(tmp_path: Path, account: str) -> dict[str, str]:
    return settings_in(tmp_path) | {"SUNO_COOKIE": account}


@pytest.fixture
def deploy(suno: Suno, settings: dict[str, str]) -> Iterator[Callable[..., Deployed]]:
    with ExitStack() as servers:
        yield lambda **more: Deployed.start(servers, suno, settings | more)
