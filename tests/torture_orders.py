"""Orders of many songs while processes are killed and limits end in the middle: `make torture-orders`.

Two identical orders run at once, with two processes of jobs and two workers. Paid calls lose their replies. Workers,
the processes of jobs and the whole service get SIGKILL. The first order's own limit, the caller's budget and the
account's credits end in the middle: each time the order pauses, gets more, and is continued.

At every look, what Suno has charged is at most what the orders say they have spent, and each order has spent at most
its limit, and all of them at most the caller's budget. At the end there is one charge for each song; the songs have
the stems that single requests would have made on another account; and another order of the same songs costs nothing.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import requests

from app.callers import hash_of
from tests import stack
from tests.torture import KINDS, SETTINGS, _children, _redis
from tests.torture_jobs import Outcome as Killed
from tests.torture_jobs import _get, _kill, _set
from tools.process import Server

ACCOUNT, SINGLE = "sandbox-load-1", "sandbox-load-2"
"""The accounts of the orders, and of the single requests that they are compared with."""

CREDITS = 1000
"""What the accounts of the local Suno have at first."""

PRICE, PACE = 10, 0.1
FAULTS = 0.1
"""The share of paid calls that fail, or lose their reply."""

ENDS_WITHIN = 1500.0
"""Seconds."""

CLIENTS = 6

KILLS_EVERY, LOOKS_EVERY = 8.0, 0.5
"""Seconds."""

SHOWS_EVERY = 20
"""Looks between two lines that show how far the orders are."""


@dataclass
class Outcome:
    """The result of a run."""

    songs: int
    charges: list[dict[str, Any]] = field(default_factory=list)
    kills: Counter[str] = field(default_factory=Counter)
    pauses: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    """Songs that failed in the two orders, by their errors."""
    looks: int = 0
    seconds: float = 0.0
    complaints: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        lost = sum(charge["reply_lost"] for charge in self.charges)
        return (
            f"{self.songs} songs in two orders, {len(self.charges)} charges, {lost} with a lost reply, in "
            f"{self.seconds:.0f} s; {self.looks} looks; pauses: {_listed(self.pauses)}; songs that failed: "
            f"{_listed(self.failed)}; killed: {_listed(self.kills)}"
        )


@dataclass
class Machine:
    """The service and its processes of jobs, which are killed and started again."""

    suno: Server
    settings: dict[str, str]
    kills: Counter[str]
    web: ExitStack = field(default_factory=ExitStack)
    jobs: list[ExitStack] = field(default_factory=lambda: [ExitStack(), ExitStack()])
    url: str = ""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def start(self) -> None:
        """Start everything."""
        self._start_web()
        self._running = [self._start_jobs(one) for one in self.jobs]

    def _start_web(self) -> None:
        self._server = self.web.enter_context(stack.service(self.suno.url, self.settings))
        self.url = self._server.url

    def _start_jobs(self, one: ExitStack) -> Server:
        return one.enter_context(stack.jobs(self.suno.url, self.settings))

    def kill(self, what: str, chance: random.Random) -> None:
        """Kill something, and start it again."""
        with self.lock:
            match what:
                case "a worker":
                    with suppress(OSError):
                        if children := _children(self._server.process.pid):
                            _kill(chance.choice(children), Killed(0), what)
                case "a process of jobs":
                    self._kill_jobs(chance.randrange(2))
                case "the service":
                    self._kill_web()
            self.kills[what] += 1

    def kill_all(self) -> None:
        """Kill everything, and start it again: settings are read anew."""
        with self.lock:
            self._kill_web()
            self._kill_jobs(0)
            self._kill_jobs(1)
            self.kills["everything"] += 1

    def _kill_jobs(self, which: int) -> None:
        self._running[which].kill()
        self.jobs[which].close()
        self._running[which] = self._start_jobs(self.jobs[which])

    def _kill_web(self) -> None:
        self._server.kill()
        self.web.close()
        self._start_web()

    def close(self) -> None:
        """End everything."""
        for one in (self.web, *self.jobs):
            one.close()


class Caller:
    """The caller of the orders: its budget, and requests that are repeated until they are answered."""

    def __init__(self, folder: Path, budget: int) -> None:
        self.file, self.key = folder / "callers.toml", "k" * 32
        self.headers = {"X-API-Key": self.key}
        self.write(budget)

    def write(self, budget: int) -> None:
        """Give the caller this budget, once the service is started again."""
        self.budget = budget
        accounts = "".join(f'[accounts.{name}]\ncookie = "{name}"\n' for name in (ACCOUNT, SINGLE))
        self.file.write_text(
            f"{accounts}[callers.shop]\n"
            f'api_key_sha256 = "{hash_of(self.key.encode())}"\naccounts = ["{ACCOUNT}"]\ncredits_per_day = {budget}\n'
            f'[callers.other]\napi_key_sha256 = "{hash_of(b"o" * 32)}"\naccounts = ["{SINGLE}"]\n'
        )


def torture(*, seed: int, songs: int, redis: bool) -> Outcome:
    """Run two identical orders of `songs` songs to their end, and compare the records."""
    chance, outcome = random.Random(seed), Outcome(songs)
    began = time.monotonic()
    with ExitStack() as servers:
        folder = Path(servers.enter_context(tempfile.TemporaryDirectory()))
        suno = servers.enter_context(stack.suno("--pace", "0.1"))
        caller = Caller(folder, budget=songs * PRICE // 3)
        settings = {
            **SETTINGS,
            "LOG_LEVEL": "INFO",
            "SUNO_COOKIE": "",
            "CALLERS_FILE": str(caller.file),
            "LEDGER_URL": f"sqlite:///{folder}/ledger.db",
            "JOBS_URL": f"sqlite:///{folder}/jobs.db",
            "ORDER_PACE": str(PACE),
            "WEB_CONCURRENCY": "2",
        }
        if redis:
            redis_process = servers.enter_context(_redis())
            settings |= {"LEDGER_URL": redis_process.url, "JOBS_URL": redis_process.url}
        # Credits end after two thirds.
        _set(suno.url, "credits", {"account": ACCOUNT, "credits": songs * PRICE * 2 // 3 // PRICE * PRICE})
        machine = Machine(suno, settings, outcome.kills)
        servers.callback(machine.close)
        machine.start()
        _set(suno.url, "faults", {"seed": seed, "rate": FAULTS, "kinds": KINDS})
        orders = Orders(machine, caller, suno, outcome, [f"song-library-{number}" for number in range(1, songs + 1)])
        ids = orders.begin()
        finished = threading.Event()

        def chaos() -> None:
            while not finished.wait(chance.uniform(0.5, 1.5) * KILLS_EVERY):
                what = chance.choice(["a worker", "a process of jobs", "a process of jobs", "the service", "Redis"])
                if what == "Redis" and redis:
                    redis_process.kill_and_restart()
                    outcome.kills[what] += 1
                elif what != "Redis":
                    machine.kill(what, chance)

        killer = threading.Thread(target=chaos)
        killer.start()
        try:
            states = orders.followed(ids)
        finally:
            finished.set()
            killer.join()
        _set(suno.url, "faults", {"seed": seed, "rate": 0.0, "kinds": KINDS})
        orders.compare(states)
        outcome.seconds = time.monotonic() - began
    return outcome


@dataclass
class Orders:
    """The orders, looked at and cared for as their caller does."""

    machine: Machine
    caller: Caller
    suno: Server
    outcome: Outcome
    songs: list[str]
    limits: dict[str, int] = field(default_factory=dict)
    """The limit of each order, as it was last raised."""

    def begin(self) -> list[str]:
        """Send both orders, several times each. Returns their ids."""
        whole = len(self.songs) * PRICE
        wanted = {"first": whole // 5, "second": whole}
        ids = []
        for key, limit in wanted.items():
            found = {self._order(key, limit)["id"] for _ in range(3)}
            if len(found) > 1:
                self.outcome.complaints.append(f"the key {key} has {len(found)} orders")
            ids.append(found.pop())
            self.limits[ids[-1]] = limit
        return ids

    def followed(self, ids: list[str]) -> list[dict[str, Any]]:
        """Look at the orders and care for them until they are finished, or time is up. Returns them."""
        ends = time.monotonic() + ENDS_WITHIN
        states: list[dict[str, Any]] = []
        while time.monotonic() < ends:
            time.sleep(LOOKS_EVERY)
            states = self.look(ids)
            if states and all(state["state"] == "finished" for state in states):
                break
            self.care(states)
        return states

    def look(self, ids: list[str]) -> list[dict[str, Any]]:
        """Look at the orders, and complain about what must never be."""
        # What is charged first: what is spent is counted before each call.
        charged = sum(charge["credits"] for charge in self._charges())
        states = [state for id in ids if (state := self._ask("GET", f"/api/orders/{id}"))]
        if len(states) < len(ids):
            return []
        self.outcome.looks += 1
        if self.outcome.looks % SHOWS_EVERY == 0:
            done = [sum(song["state"] == "done" for song in state["songs"]) for state in states]
            print(f"{[state['state'] for state in states]}: {done} done, {charged} charged", file=sys.stderr)
        spent = sum(state["credits"] for state in states)
        if charged > spent:
            self._complain(f"{charged} credits are charged, and the orders say {spent}")
        if charged > self.caller.budget:
            self._complain(f"{charged} credits are charged, and the budget is {self.caller.budget}")
        for state in states:
            if state["credits"] > self.limits[state["id"]]:
                self._complain(f"an order has spent {state['credits']} of {self.limits[state['id']]}")
        return states

    def care(self, states: list[dict[str, Any]]) -> None:
        """Continue what is paused, with more of what was missing."""
        for state in states:
            if state["state"] != "paused":
                continue
            code = state["error"]["code"]
            self.outcome.pauses[code] += 1
            body: dict[str, int] = {}
            match code:
                case "over_limit":
                    # Something else may have been charged in doubt.
                    self.limits[state["id"]] += len(self.songs) * PRICE // 2
                    body = {"max_credits": self.limits[state["id"]]}
                case "over_budget" if self.caller.budget < (enough := len(self.songs) * PRICE * 2):
                    self.caller.write(enough)
                    self.machine.kill_all()
                case "out_of_credits":
                    _set(self.suno.url, "credits", {"account": ACCOUNT, "credits": len(self.songs) * PRICE})
                case "over_budget" | "price_changed" | "suno_failed":
                    pass
                case _:
                    self._complain(f"an order is paused: {state['error']}")
            self._ask("POST", f"/api/orders/{state['id']}/again", body)

    def compare(self, states: list[dict[str, Any]]) -> None:
        """Compare the end with what single requests make, and order everything once more."""
        outcome = self.outcome
        for state in states:
            for song in state["songs"]:
                if song["state"] == "failed":
                    outcome.failed[song["error"]["code"]] += 1
                elif song["state"] != "done":
                    self._complain(f"a song of a finished order is {song['state']}")
        if not states or any(state["state"] != "finished" for state in states):
            self._complain(f"not finished: {[(state['state'], state['error']) for state in states]}")
        outcome.charges = self._charges()
        charged = Counter(charge["song"] for charge in outcome.charges)
        if twice := [song for song, number in charged.items() if number > 1]:
            self._complain(f"charged twice: {twice}")
        if missing := [song for song in self.songs if song not in charged]:
            self._complain(f"not split: {missing}")
        if (spent := sum(state["credits"] for state in states)) < len(outcome.charges) * PRICE:
            self._complain(f"the orders say {spent} for {len(outcome.charges)} charges")
        times = sorted(charge["at"] for charge in outcome.charges)
        if gaps := [after - before for before, after in pairwise(times) if after - before < PACE * 0.9]:
            self._complain(f"{len(gaps)} paid calls without a pause, the shortest {min(gaps):.3f} s")
        self._compare_with_single_requests()
        self._order_once_more()

    def _compare_with_single_requests(self) -> None:
        _set(self.suno.url, "credits", {"account": SINGLE, "credits": len(self.songs) * PRICE})
        other = {"X-API-Key": "o" * 32}

        def stems_of(song: str) -> tuple[list[str], list[str]]:
            single = {"audio_id": song, "wait_audio": True}
            self._ask("POST", "/api/generate_stems", single, {**other, "Idempotency-Key": song})
            by_order, by_request = (
                self._ask("GET", f"/api/stems?audio_id={song}", None, headers)
                for headers in (self.caller.headers, other)
            )
            return _parts(by_order), _parts(by_request)

        with ThreadPoolExecutor(CLIENTS) as pool:
            found = dict(zip(self.songs, pool.map(stems_of, self.songs), strict=True))
        if wrong := {song: each for song, each in found.items() if each[0] != each[1] or not each[0]}:
            self._complain(f"other stems than by single requests: {wrong}")

    def _order_once_more(self) -> None:
        before = len(self._charges())
        id = self._order("third", 0 if not self.outcome.complaints else len(self.songs) * PRICE)["id"]
        ends = time.monotonic() + ENDS_WITHIN
        state: dict[str, Any] = {"state": "running"}
        while state["state"] == "running" and time.monotonic() < ends:
            time.sleep(0.5)
            state = self._ask("GET", f"/api/orders/{id}") or state
        if (state["state"], state.get("credits")) != ("finished", 0) or len(self._charges()) != before:
            self._complain(f"a second run is {state['state']} for {state.get('credits')} credits: {state['error']}")
        if not all(song["state"] == "done" for song in state["songs"]):
            self._complain("a second run has not all songs")

    def _order(self, key: str, limit: int) -> dict[str, Any]:
        headers = {**self.caller.headers, "Idempotency-Key": key}
        taken: dict[str, Any] = self._ask("POST", "/api/orders", {"songs": self.songs, "max_credits": limit}, headers)
        return taken

    def _charges(self) -> list[dict[str, Any]]:
        return [each for each in _get(self.suno.url, "charges") if each["account"] == ACCOUNT]

    def _ask(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Any:
        """Send a request until it is answered; None if it is not within a minute."""
        ends = time.monotonic() + 60
        while time.monotonic() < ends:
            with suppress(requests.RequestException):
                reply = requests.request(
                    method, self.machine.url + path, json=body, headers=headers or self.caller.headers, timeout=20
                )
                if reply.ok:
                    return reply.json()
            time.sleep(0.3)
        return None

    def _complain(self, sentence: str) -> None:
        if sentence not in self.outcome.complaints:
            self.outcome.complaints.append(sentence)


def _parts(stems: list[dict[str, Any]]) -> list[str]:
    return sorted(f"{stem['part']} {stem['status']}" for stem in stems)


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{count} x {what}" for what, count in counts.items()) or "none"


def main() -> int:
    """Run one seed with each ledger, until one is wrong."""
    parser = argparse.ArgumentParser(prog="make torture-orders", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--songs", type=int, default=200)
    parser.add_argument("--ledger", choices=["sqlite", "redis", "both"], default="both")
    given = parser.parse_args()
    for redis in {"sqlite": (False,), "redis": (True,), "both": (False, True)}[given.ledger]:
        outcome = torture(seed=given.seed, songs=given.songs, redis=redis)
        print(f"seed {given.seed}, {'Redis ' if redis else 'SQLite'}: {outcome}", flush=True)
        if outcome.complaints:
            print(f"WRONG: {'; '.join(outcome.complaints)}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
