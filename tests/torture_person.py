"""Requests that wait for a person, while the person, the callers and SIGKILL act at random: `make torture-person`.

A run is one Suno account with two songs. Suno wants a captcha. Up to three requests for stems are sent, each with a
webhook and most with a key. Then, in an order that the seed chooses: the person solves a captcha, splits a song once,
twice, or into another kind, or does nothing, and Suno wants a captcha again; the caller sends a key again, or two at
once, tries a request again, cancels it, asks for its webhook again, and gives up waiting for a reply. Suno's lists
are late. Workers and jobs processes get SIGKILL at any moment. Many runs go side by side in one service.

When each request has its end, records are compared (`Run.compare`): each set of stems belongs to one request; paid
calls + adopted sets = finished requests; no request is both; each receiver was told once how it ended, and what it
cost, as the local Suno has it; and nothing was paid for except while a request was sent or tried again.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import requests

from tests import stack
from tests.person_run import Run, Sums
from tests.torture import _children, _redis
from tools.process import NotStartedError

SECRET = "whsec_" + "A" * 32
SETTINGS = {
    "SUNO_COOKIE": "",
    "SUNO_STEMS_ROUTE": "v2-web",
    "SUNO_CONNECT_TIMEOUT": "5",
    "SUNO_READ_TIMEOUT": "8",
    "SUNO_DEADLINE": "10",
    "SUNO_POLL_INTERVAL": "0.3",
    "SUNO_SETTLE_TIME": "3",
    "WAITING_REQUESTS": "1000",
    "WEBHOOK_SECRET": SECRET,
    "WEBHOOK_HOSTS": "127.0.0.1",
    "WEB_CONCURRENCY": "3",
    "LOG_LEVEL": "INFO",
}
QUICK = {"SUNO_READ_TIMEOUT": "2", "SUNO_DEADLINE": "3", "SUNO_SETTLE_TIME": "1.5", "WEB_CONCURRENCY": "2"}
"""Settings for few runs: what is in doubt is settled sooner."""
LAG = 4.0
"""Seconds by which a list may be late: less than a paid call and the settle time last."""
MOST_SONGS = 1_050
"""Songs of the local Suno's library."""


class Receivers:
    """One receiver of webhooks, with a path for each request; it accepts each webhook."""

    def __init__(self) -> None:
        self.received: dict[str, list[tuple[str, dict[str, Any]]]] = {}
        self._lock = threading.Lock()
        receivers = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with receivers._lock:
                    at_path = receivers.received.setdefault(self.path, [])
                    at_path.append((self.headers["webhook-id"], body))
                with suppress(OSError):
                    self.send_response(204)
                    self.end_headers()

            def log_message(self, *about: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.handle_error = lambda *about: None  # type: ignore[method-assign]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def of(self, path: str) -> list[tuple[str, dict[str, Any]]]:
        """The webhooks at a path, each with its id."""
        with self._lock:
            return list(self.received.get(path, []))

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class Place:
    """A local Suno, the service in front of it with its jobs processes, and the receivers."""

    def __init__(self, servers: ExitStack, runs: int, *, redis: bool, handover_time: float, processes: int) -> None:
        folder = servers.enter_context(tempfile.TemporaryDirectory())
        callers = Path(folder) / "callers.toml"
        callers.write_text("".join(f'[accounts.load-{n}]\ncookie = "sandbox-load-{n}"\n' for n in range(1, runs + 1)))
        self._suno = servers.enter_context(stack.suno("--pace", "0.2", "--set", "delay=0.3"))
        self.receivers = Receivers()
        servers.callback(self.receivers.close)
        self._settings = {
            **SETTINGS,
            "CALLERS_FILE": str(callers),
            **({} if processes > 1 else QUICK),
            "HANDOVER_TIME": str(handover_time),
            "LEDGER_URL": f"sqlite:///{folder}/ledger.db",
            "JOBS_URL": f"sqlite:///{folder}/jobs.db",
            "AUDIO_URL": f"file://{folder}/audio",
        }
        if redis:
            url = servers.enter_context(_redis()).url
            self._settings |= {"LEDGER_URL": url, "JOBS_URL": url}
        self._service = servers.enter_context(stack.service(self._suno.url, self._settings))
        self.url = self._service.url
        self._jobs = [ExitStack() for _ in range(processes)]
        self._pids = [self._start_jobs(one) for one in self._jobs]
        for one in self._jobs:
            servers.callback(one.close)
        self.kills: Counter[str] = Counter()

    def _start_jobs(self, place: ExitStack) -> int:
        return place.enter_context(stack.jobs(self._suno.url, self._settings)).process.pid

    def suno(self, what: str, value: Mapping[str, Any]) -> Any:
        """Change the local Suno."""
        with requests.Session() as session:
            session.trust_env = False
            reply = session.post(f"{self._suno.url}/sandbox/{what}", json=value, timeout=60)
        reply.raise_for_status()
        return reply.json()

    def charges(self) -> list[dict[str, Any]]:
        charges: list[dict[str, Any]] = requests.get(f"{self._suno.url}/sandbox/charges", timeout=60).json()
        return charges

    def kill_workers(self, chance: random.Random, finished: threading.Event) -> None:
        """Kill workers, and let Suno's lists be late."""
        while not finished.wait(chance.uniform(1.0, 4.0)):
            late = {name: chance.choice([0.0, 0.0, LAG]) for name in ("stems_lag", "has_stem_lag", "feed_lag")}
            self.suno("settings", late)
            if workers := _children(self._service.process.pid):
                self._kill(chance.choice(workers), "workers")
            # On a busy machine a worker takes long to start.
            with suppress(requests.RequestException):
                requests.get(f"{self.url}/healthz", timeout=30)
        self.suno("settings", {"stems_lag": 0, "has_stem_lag": 0, "feed_lag": 0})

    def kill_jobs(self, chance: random.Random, finished: threading.Event) -> None:
        """Kill jobs processes: another one takes a job of theirs after 45 s."""
        while not finished.wait(chance.uniform(5.0, 15.0)):
            which = chance.randrange(len(self._jobs))
            self._kill(self._pids[which], "jobs processes")
            self._jobs[which].close()
            # On a busy machine it may not start: the other one goes on.
            with suppress(NotStartedError):
                self._pids[which] = self._start_jobs(self._jobs[which])

    def _kill(self, pid: int, what: str) -> None:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            self.kills[what] += 1


@dataclass
class Outcome:
    """The result of runs side by side."""

    sums: Sums
    kills: Mapping[str, int]
    runs: Sequence[Run]
    charges: Sequence[dict[str, Any]]
    """Of the local Suno."""
    seconds: float

    @property
    def wrong(self) -> list[Run]:
        """The runs in which something is wrong."""
        return [run for run in self.runs if run.complaints]

    def __str__(self) -> str:
        kills = ", ".join(f"{count} {what}" for what, count in self.kills.items())
        return f"{self.sums}; killed: {kills}; {self.seconds:.0f} s"


def torture(
    *, seed: int, runs: int, redis: bool, handover_time: float = 100.0, patient: bool = True, kill_for: float = 60.0
) -> Outcome:
    """Run the seeds `seed`, `seed` + 1 … side by side, and compare the records of each.

    `patient`: two jobs processes run, are killed, and look by themselves; it takes minutes. `kill_for`: seconds in
    which processes are killed.
    """
    began = time.monotonic()
    with ExitStack() as servers:
        place = Place(servers, runs, redis=redis, handover_time=handover_time, processes=2 if patient else 1)
        finished = threading.Event()
        all_runs = [Run(seed + number, number + 1, place) for number in range(runs)]

        def act(one: Run) -> None:
            time.sleep(one.chance.uniform(0.0, 0.8 * kill_for))
            try:
                one.act(patient=patient)
            except Exception as error:
                one.complain(f"the run itself failed: {error!r}")

        kinds = [place.kill_workers, *([place.kill_jobs] if patient else [])]
        chaos = [threading.Thread(target=kill, args=(random.Random(seed), finished)) for kill in kinds]
        for thread in chaos:
            thread.start()
        with ThreadPoolExecutor(runs) as pool:
            acting = [pool.submit(act, one) for one in all_runs]
            finished.wait(kill_for)
            finished.set()
            for thread in chaos:
                thread.join()
            for done in acting:
                done.result()
            for done in [pool.submit(one.look_again) for one in all_runs]:
                done.result()
        sums, charges = Sums(), place.charges()
        for one in all_runs:
            one.compare(charges, sums)
        return Outcome(sums, place.kills, all_runs, charges, time.monotonic() - began)


def main() -> int:
    """Run all seeds, half of them with each ledger. Returns 1 after a violation, with the history of that run."""
    parser = argparse.ArgumentParser(prog="make torture-person", description=__doc__)
    parser.add_argument("--runs", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--at-once", type=int, default=125, help=f"runs of a ledger at once, at most {MOST_SONGS // 2}"
    )
    given = parser.parse_args()
    began, last, wrong = time.monotonic(), given.seed + given.runs, 0

    def run_ledger(redis: bool) -> None:
        nonlocal wrong
        half = given.seed + given.runs // 2
        first, end = (half, last) if redis else (given.seed, half)
        for seed in range(first, end, given.at_once):
            runs = min(given.at_once, end - seed)
            outcome = torture(seed=seed, runs=runs, redis=redis)
            print(f"seeds {seed} to {seed + runs - 1}, {'Redis ' if redis else 'SQLite'}: {outcome}", flush=True)
            for run in outcome.wrong:
                print(f"{run}\nWRONG, seed {run.seed}: {'; '.join(run.complaints)}", file=sys.stderr)
            wrong += len(outcome.wrong)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(run_ledger, [False, True]))
    print(f"{given.runs} runs in {time.monotonic() - began:.0f} s: {wrong} wrong.")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
