"""The service with the process that does jobs, and receivers of webhooks, on real sockets."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests
from standardwebhooks.webhooks import Webhook

from tests.conftest import SONG, Client, Suno, pause
from tools import stack
from tools.process import Server

SECRET = "whsec_" + "A" * 32
HERE = "127.0.0.1/32"


class Receiver:
    """Takes webhooks, and answers each as its script says, the last for ever."""

    def __init__(self, *script: int) -> None:
        self.script = list(script) or [200]
        self.headers: dict[str, str] = {}
        self.said = b"thanks\nand more"
        self.received: list[tuple[dict[str, str], str]] = []
        self.came = threading.Condition()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                with receiver.came:
                    status = receiver.script.pop(0) if len(receiver.script) > 1 else receiver.script[0]
                    receiver.received.append(({name.lower(): value for name, value in self.headers.items()}, body))
                    receiver.came.notify_all()
                self.send_response(status)
                for name, value in receiver.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(receiver.said)))
                self.end_headers()
                self.wfile.write(receiver.said)

            def log_message(self, *about: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/hook"

    def wait(self, number: int) -> list[tuple[dict[str, str], str]]:
        """Wait until so many webhooks have come; the test's own time-out ends it."""
        with self.came:
            self.came.wait_for(lambda: len(self.received) >= number)
            return list(self.received)

    def verified(self, number: int = 1) -> list[dict[str, Any]]:
        """The content of the webhooks, each verified as a receiver should."""
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


class Deployed:
    """The service, and as many processes that do jobs as a test starts."""

    def __init__(self, servers: ExitStack, suno: Suno, settings: dict[str, str]) -> None:
        self._servers, self._suno, self.settings = servers, suno, settings
        self.client = Client(servers.enter_context(stack.service(suno.url, settings)))

    def start_jobs(self) -> Server:
        return self._servers.enter_context(stack.jobs(self._suno.url, self.settings))

    def split(self, url: str, song: str = SONG, headers: dict[str, str] | None = None, **more: Any):
        body = {"audio_id": song, "webhook_url": url, **more}
        return self.client.post("/api/generate_stems", json=body, headers=headers or {})

    def told(self, reply: requests.Response) -> dict[str, Any]:
        return self.client.get(f"/api/requests/{reply.headers['X-Request-ID']}").json()["webhook"]


@pytest.fixture
def settings(tmp_path: Path, account: str) -> dict[str, str]:
    return {
        "SUNO_COOKIE": account,
        "WEBHOOK_SECRET": SECRET,
        "WEBHOOK_HOSTS": HERE,
        "LEDGER_URL": f"sqlite:///{tmp_path}/ledger.db",
        "JOBS_URL": f"sqlite:///{tmp_path}/jobs.db",
        "SUNO_POLL_INTERVAL": "0.2",
        "SUNO_DEADLINE": "2",
        "SUNO_READ_TIMEOUT": "1",
        "SUNO_SETTLE_TIME": "0.5",
        "WEB_CONCURRENCY": "1",
        "AUDIO_URL": f"file://{tmp_path}/audio",
    }


@pytest.fixture
def deploy(suno: Suno, settings: dict[str, str]) -> Iterator[Callable[..., Deployed]]:
    with ExitStack() as servers:
        yield lambda **more: Deployed(servers, suno, settings | more)


def until(holds: Callable[[], bool]) -> None:
    """Ask until it holds; the test's own time-out ends it."""
    while not holds():
        pause()
