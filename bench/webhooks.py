"""Measure the time from a split's last complete stem to its webhook: `python -m bench.webhooks`."""

from __future__ import annotations

import base64
import json
import statistics
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import Queue
from threading import Thread

from bench.waiters import control, split
from tools import stack

PACE = 3.0
"""Seconds that a stem stays submitted, then queued, then streaming."""

POLL_INTERVAL = 3.0
NUMBERS = (1, 500)


class Handler(BaseHTTPRequestHandler):
    """Records the seconds from complete stems to their webhook."""

    def do_POST(self) -> None:
        """Receive a webhook."""
        data = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["data"]
        made = max(datetime.fromisoformat(stem["created_at"]).timestamp() for stem in data["stems"])
        taken.put(time.time() - made - 3 * PACE)
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *about: object) -> None:
        """Print nothing."""


class Receiver(ThreadingHTTPServer):
    """A receiver with a backlog for all webhooks at once."""

    request_queue_size = 1000


taken: Queue[float] = Queue()


@contextmanager
def receiving() -> Iterator[str]:
    """Run a receiver."""
    server = Receiver(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()


def feed_calls(suno: str) -> int:
    """Count the feed calls so far."""
    with urllib.request.urlopen(f"{suno}/sandbox/log", timeout=30) as reply:
        return sum(each["path"].startswith("/api/feed") for each in json.load(reply))


def main() -> int:
    """Measure, and print a table."""
    with tempfile.TemporaryDirectory() as folder, receiving() as url:
        settings = {
            "SUNO_COOKIE": "sandbox-rich",
            "SUNO_POLL_INTERVAL": str(POLL_INTERVAL),
            "LEDGER_URL": f"sqlite:///{folder}/ledger.db",
            "JOBS_URL": f"sqlite:///{folder}/jobs.db",
            "WEBHOOK_SECRET": "whsec_" + base64.b64encode(b"of the bench").decode(),
            "WEBHOOK_HOSTS": "127.0.0.1",
        }
        with (
            stack.suno("--pace", str(PACE)) as suno,
            stack.jobs(suno.url, settings),
            stack.service(suno.url, settings) as service,
        ):
            for number in NUMBERS:
                control(suno.url, "accounts")
                before, began = feed_calls(suno.url), time.monotonic()
                with ThreadPoolExecutor(32) as pool:
                    list(pool.map(lambda _: split(service.url, webhook_url=url), range(number)))
                took = sorted(taken.get(timeout=120) for _ in range(number))
                looks = (feed_calls(suno.url) - before) / (time.monotonic() - began)
                print(
                    f"{number} splits at once: median {statistics.median(took):.2f} s, the last {took[-1]:.2f} s; "
                    f"{looks:.1f} feed calls to Suno a second"
                )
    return 0


if __name__ == "__main__":
    sys.exit(main())
