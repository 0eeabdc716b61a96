"""Clients with keys while many things fail at once: `make torture`.

The sandbox drops connections, loses replies after it has charged, and answers 502. Workers get SIGKILL, and Redis is
killed and restarted. Each client repeats its key until it has its stems. Then the sandbox's own records are compared:
one charge per key, no stem in two replies, and every stem was paid.
"""

from __future__ import annotations

import argparse
import os
import random
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
CLIENTS = 8
ACCOUNT = "sandbox-rich"
"""It has credits for any number of keys."""


@dataclass
class Outcome:
    """The result of a run."""

    keys: int
    replies: dict[str, list[str]]
    charges: list[dict[str, Any]]
    attempts: int = 0
    kills: dict[str, int] = field(default_factory=dict)

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
        return found

    def __str__(self) -> str:
        lost = sum(charge["reply_lost"] for charge in self.charges)
        kills = ", ".join(f"{count} x {what}" for what, count in self.kills.items())
        return (
            f"{self.keys} keys, {self.attempts} requests, {len(self.charges)} charges, {lost} with a lost reply; "
            f"killed: {kills or 'nothing'}"
        )


def torture(*, seed: int, keys: int, redis: bool = False, ledger: bool = True, patience: float = 120) -> Outcome:
    """Send `keys` keys until each has its stems; without `ledger`, send the same requests without keys."""
    chance = random.Random(seed)
    with ExitStack() as servers:
        suno = servers.enter_context(stack.suno("--pace", "0.1"))
        settings = {**SETTINGS, "SUNO_COOKIE": ACCOUNT}
        killed: dict[str, int] = {"a worker": 0}
        if redis:
            redis_process = servers.enter_context(_redis())
            settings["LEDGER_URL"] = redis_process.url
        if not ledger:
            settings["LEDGER_URL"] = "sqlite:////proc/nowhere/ledger.db"
        service = servers.enter_context(stack.service(suno.url, settings))
        requests.post(
            f"{suno.url}/sandbox/faults", json={"seed": seed, "rate": 0.4, "kinds": KINDS}, timeout=5
        ).raise_for_status()
        finished = threading.Event()
        outcome = Outcome(keys, {}, [], kills=killed)

        def client(number: int) -> None:
            song = SONGS[number % len(SONGS)]
            ends = time.monotonic() + patience
            while time.monotonic() < ends:
                outcome.attempts += 1
                with suppress(requests.RequestException):
                    reply = requests.post(
                        f"{service.url}/api/generate_stems",
                        json={"audio_id": song},
                        headers={"Idempotency-Key": f"key-{number}"} if ledger else {},
                        timeout=chance.choice([0.3, 1.0, 10.0]),
                    )
                    if reply.status_code == 200:
                        outcome.replies[f"key-{number}"] = [stem["id"] for stem in reply.json()]
                        return
                finished.wait(chance.uniform(0.0, 0.2))

        def chaos() -> None:
            while not finished.wait(chance.uniform(0.5, 2.0)):
                if redis and chance.random() < 0.4:
                    redis_process.kill_and_restart()
                    killed["Redis"] = killed.get("Redis", 0) + 1
                elif children := _children(service.process.pid):
                    with suppress(ProcessLookupError):
                        os.kill(chance.choice(children), signal.SIGKILL)
                        killed["a worker"] += 1

        chaos_thread = threading.Thread(target=chaos)
        chaos_thread.start()
        try:
            with ThreadPoolExecutor(CLIENTS) as pool:
                list(pool.map(client, range(keys)))
        finally:
            finished.set()
            chaos_thread.join()
        outcome.charges = [
            charge
            for charge in requests.get(f"{suno.url}/sandbox/charges", timeout=5).json()
            if charge["account"] == ACCOUNT
        ]
        return outcome


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
