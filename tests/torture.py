"""Clients with keys while many things fail at once: `make torture`.

The sandbox drops connections, loses replies after it has charged, and answers 502. Its lists lag, each by itself.
Workers get SIGKILL. With a ledger in SQLite the whole service loses its power: only what was synced is left. Redis is
killed and restarted. Each client repeats its key until it has its stems. Then the sandbox's own records are compared:
one charge per key, no stem in two replies, every stem was paid, and each key still leads to the same stems.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

from tests import stack
from tests.power import Disk, is_recorded, recorder
from tests.splits.conftest import redis_server
from tools.process import free_port

SETTINGS = {
    "SUNO_CONNECT_TIMEOUT": "1",
    "SUNO_READ_TIMEOUT": "0.7",
    "SUNO_DEADLINE": "0.8",
    "SUNO_POLL_INTERVAL": "0.1",
    "SUNO_SETTLE_TIME": "0.5",
    "LOG_LEVEL": "CRITICAL",
}
KINDS = [
    *("reset-before-reading", "reset-after-charge", "truncated", "truncated-chunked", "502-after-charge"),
    *("500-after-charge", "not-json", "hang", "502-html"),
]
SONGS = [
    *("c3d4e5f6-a7b8-9012-cdef-123456789012", "a624123d-5b1e-4c0f-9a57-7b6f0e1d2c3b"),
    *("0b9e5f1c-2d47-4e6a-8c31-95a7d3f4e862", "song-4-stems"),
]
MORE_SONGS = [*SONGS, "song-right-to-left", "song-twin-1", "song-twin-2", "song-instrumental", "song-weights"]
"""With several songs fewer keys wait for each other: whether one is paid again depends on the witnesses alone."""
CLIENTS = 8
ACCOUNT = "sandbox-rich"
"""It has credits for any number of keys."""

LAG = 4.0
"""Seconds: a key may be paid again about 2.3 s after its call, if no list shows its stems by then."""

LAGS = [
    [],
    ["stems_lag"],
    ["feed_lag"],
    ["has_stem_lag"],
    ["stems_lag", "has_stem_lag"],
    ["feed_lag", "has_stem_lag"],
]
"""The lists that lag, by turns. Never both lists of clips: the mark of a song that was split before shows nothing."""


@dataclass
class Outcome:
    """The result of a run."""

    keys: int
    replies: dict[str, list[str]]
    charges: list[dict[str, Any]]
    lagging: list[str]
    attempts: int = 0
    kills: dict[str, int] = field(default_factory=dict)
    changed: list[str] = field(default_factory=list)
    """The keys that got other stems, or none, when they were sent once more."""

    def complaints(self) -> list[str]:
        """What is wrong; empty if nothing is."""
        returned = [clip for clips in self.replies.values() for clip in clips]
        paid = {clip for charge in self.charges for clip in charge["clips"]}
        found = []
        if len(self.replies) != self.keys:
            found.append(f"{self.keys - len(self.replies)} of {self.keys} keys got no stems")
        if len(self.charges) != self.keys:
            found.append(f"{len(self.charges)} charges for {self.keys} keys")
        if len(set(returned)) != len(returned):
            found.append(f"{len(returned) - len(set(returned))} stems are in two replies")
        if set(returned) - paid:
            found.append(f"{len(set(returned) - paid)} stems were never made")
        if self.changed:
            found.append(f"{len(self.changed)} keys lead to other stems than before")
        return found

    def __str__(self) -> str:
        lost = sum(charge["reply_lost"] for charge in self.charges)
        kills = ", ".join(f"{count} x {what}" for what, count in self.kills.items())
        return (
            f"{self.keys} keys, {self.attempts} requests, {len(self.charges)} charges, {lost} with a lost reply; "
            f"killed: {kills or 'nothing'}; late: {', '.join(self.lagging) or 'nothing'}"
        )


def torture(*, seed: int, keys: int, redis: bool = False, ledger: bool = True, patience: float = 120) -> Outcome:
    """Send `keys` keys until each has its stems; without `ledger`, send the same requests without keys."""
    chance = random.Random(seed)
    with ExitStack() as servers:
        lagging = LAGS[seed % len(LAGS)]
        suno = servers.enter_context(
            stack.suno("--pace", "0.1", *(option for name in lagging for option in ("--set", f"{name}={LAG}")))
        )
        settings = {**SETTINGS, "SUNO_COOKIE": ACCOUNT}
        killed: dict[str, int] = {"a worker": 0}
        if redis:
            redis_process = servers.enter_context(_redis())
            settings["LEDGER_URL"] = redis_process.url
        if not ledger:
            settings["LEDGER_URL"] = "sqlite:////proc/nowhere/ledger.db"
        machine = servers.enter_context(_machine(suno.url, settings))
        _set_faults(suno.url, seed, 0.4)
        finished = threading.Event()
        outcome = Outcome(keys, {}, [], lagging, kills=killed)

        def ask(number: int, timeout: float = 10.0) -> list[str]:
            """The stems of a key; [] if it has none yet."""
            with suppress(requests.RequestException):
                reply = requests.post(
                    f"{machine.url}/api/generate_stems",
                    json={"audio_id": MORE_SONGS[number % len(MORE_SONGS)]},
                    headers={"Idempotency-Key": f"key-{number}"} if ledger else {},
                    timeout=timeout,
                )
                if reply.status_code == 200:
                    return [stem["id"] for stem in reply.json()]
            return []

        def client(number: int) -> None:
            ends = time.monotonic() + patience
            while time.monotonic() < ends:
                outcome.attempts += 1
                if stems := ask(number, chance.choice([0.3, 1.0, 10.0])):
                    outcome.replies[f"key-{number}"] = stems
                    return
                finished.wait(chance.uniform(0.0, 0.2))

        def chaos() -> None:
            while not finished.wait(chance.uniform(0.5, 2.0)):
                if redis and chance.random() < 0.4:
                    redis_process.kill_and_restart()
                    killed["Redis"] = killed.get("Redis", 0) + 1
                elif machine.is_recorded and chance.random() < 0.4:
                    machine.lose_power()
                    killed["the power"] = killed.get("the power", 0) + 1
                elif machine.kill_a_worker(chance):
                    killed["a worker"] += 1

        with ThreadPoolExecutor(1 + CLIENTS) as pool:
            causing_chaos = pool.submit(chaos)
            try:
                list(pool.map(client, range(keys)))
            finally:
                finished.set()
            causing_chaos.result()
        _set_faults(suno.url, seed, 0.0)
        if machine.is_recorded:
            machine.lose_power()
            killed["the power"] = killed.get("the power", 0) + 1
        if ledger:
            outcome.changed = [f"key-{n}" for n in range(keys) if ask(n) != outcome.replies.get(f"key-{n}", [])]
        outcome.charges = [
            charge
            for charge in requests.get(f"{suno.url}/sandbox/charges", timeout=5).json()
            if charge["account"] == ACCOUNT
        ]
        return outcome


def _set_faults(suno_url: str, seed: int, rate: float) -> None:
    faults = {"seed": seed, "rate": rate, "kinds": KINDS}
    requests.post(f"{suno_url}/sandbox/faults", json=faults, timeout=5).raise_for_status()


class _Machine:
    """The service on a machine that can lose its power."""

    def __init__(self, suno_url: str, settings: dict[str, str], folder: Path) -> None:
        self._suno_url, self._folder = suno_url, folder
        self.is_recorded = "LEDGER_URL" not in settings and shutil.which("strace") is not None
        """Whether it can lose its power: the ledger is a file, and strace records its system calls."""
        self._port = free_port()
        self._ledger, self._trace = folder / "instance", folder / "trace"
        self._settings = {"LEDGER_URL": f"sqlite:///{self._ledger}/ledger.db", **settings}
        self._disk = Disk(self._ledger)
        self._servers = ExitStack()
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        prefix = recorder(self._trace) if self.is_recorded else ()
        service = stack.service(self._suno_url, self._settings, port=self._port, prefix=prefix)
        self._server = self._servers.enter_context(service)

    def stop(self) -> None:
        self._servers.close()

    def kill_a_worker(self, chance: random.Random) -> bool:
        """Kill one of the workers, if there is one now."""
        _, *workers = self._server.pids()
        with suppress(ProcessLookupError, IndexError):
            os.kill(chance.choice(workers), signal.SIGKILL)
            return True
        return False

    def lose_power(self) -> None:
        """Kill everything at once, leave only what was synced, and start again."""
        pids = self._server.pids()
        self._server.kill()
        self.stop()
        while not is_recorded(self._trace, pids):
            time.sleep(0.02)
        self._disk.replay(self._trace)
        self._disk.lose_power()
        shutil.rmtree(self._ledger)
        self._disk.restore(self._ledger)
        self.start()


@contextmanager
def _machine(suno_url: str, settings: dict[str, str]) -> Iterator[_Machine]:
    with tempfile.TemporaryDirectory() as folder:
        machine = _Machine(suno_url, settings, Path(folder))
        try:
            yield machine
        finally:
            machine.stop()


class _Redis:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port = free_port()
        self.url = f"redis://127.0.0.1:{self._port}/0"
        self._servers = ExitStack()
        self.start()

    def start(self) -> None:
        self._servers.enter_context(redis_server(self._folder, self._port))

    def stop(self) -> None:
        self._servers.close()

    def kill_and_restart(self) -> None:
        self.stop()
        self.start()


@contextmanager
def _redis() -> Iterator[_Redis]:
    with tempfile.TemporaryDirectory() as folder:
        redis_process = _Redis(Path(folder))
        try:
            yield redis_process
        finally:
            redis_process.stop()


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def main() -> int:
    """Run one seed after another with each ledger, until the time is over or something is wrong."""
    parser = argparse.ArgumentParser(prog="make torture", description=__doc__)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keys", type=int, default=60)
    given = parser.parse_args()
    ends = time.monotonic() + given.seconds
    seed = given.seed
    while time.monotonic() < ends:
        for redis in (False, True):
            outcome = torture(seed=seed, keys=given.keys, redis=redis)
            print(f"seed {seed}, {'Redis ' if redis else 'SQLite'}: {outcome}", flush=True)
            if complaints := outcome.complaints():
                print(f"WRONG: {'; '.join(complaints)}", file=sys.stderr)
                return 1
        seed += 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
