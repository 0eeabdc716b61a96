"""Splits with webhooks and files while many things fail at once: `make torture-jobs`.

Paid calls lose their replies, and some stems fail. Suno is away for seconds, and does not prepare files for a while.
Workers, the processes of jobs and Redis get SIGKILL. Storage breaks or is slow, and its addresses expire. Receivers
answer 500, break the connection, hang, or are gone. Then hours pass, on a clock that all processes share: Suno is
away for longer than an hour while it makes stems, and it never prepares the files of one split. (Not with Redis,
which has a clock of its own.)

At the end, records are compared: one charge per key; each receiver got webhooks of its own stems, only after they
were final, the last of them right, and `stems.delayed` before it if Suno was away for an hour; each file is kept,
byte for byte as the local Suno has it, or has failed because Suno never prepared it; each song was unlocked once.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import requests
from standardwebhooks.webhooks import Webhook

from tests import stack
from tests.shared_clock import SharedClock
from tests.torture import ACCOUNT, KINDS, SETTINGS, SONGS, _children, _redis
from tools.process import Server

SECRET = "whsec_" + "A" * 32
SONGS_AND_FAILURES = [*SONGS, "song-stem-fails", "song-stem-vanishes"]
"""Of the last two, one stem fails; Suno's lists then leave out that of the very last."""
BEHAVIOURS = ("accepts", "500 first", "breaks first", "hangs first", "is gone")
CLIENTS = 8
KEEP_KILLING_FOR = 25.0
"""Seconds to continue after all clients have their stems, while files are fetched and webhooks sent."""

AWAY_FOR, NEVER = 8.0, 1e9
"""Maximum seconds for which Suno is away; seconds until a file is ready that never gets ready."""

MAKES_STEMS_FOR, HOURS_PASS_WITHIN = 1200.0, 180.0
"""Seconds of a stem's states while hours pass; real seconds in which they must have passed."""

UNPREPARED = "failed", "The file could not be fetched: Suno has not prepared it."
"""How a file ends that Suno never prepares."""

DRAINED_WITHIN = 240.0
"""Seconds from the last kill until the last webhook must have arrived: one claim and some attempts."""


class Receivers:
    """One webhook receiver per key, at its own path; the number of the key selects its behaviour."""

    def __init__(self) -> None:
        self.received: dict[str, list[tuple[dict[str, str], str]]] = {}
        self.done: set[str] = set()
        """Keys with a webhook of paid stems that was accepted, or refused for good."""
        self.lock = threading.Lock()
        receivers = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                key = self.path.removeprefix("/")
                with receivers.lock:
                    received = receivers.received.setdefault(key, [])
                    received.append(({name.lower(): value for name, value in self.headers.items()}, body))
                    is_first = len(received) == 1
                behaviour = BEHAVIOURS[int(key) % len(BEHAVIOURS)]
                is_paid = json.loads(body)["data"].get("charged") is not False
                if behaviour == "is gone":
                    self.send_error(410)
                    receivers.done.update([key] * is_paid)
                elif is_first and behaviour == "500 first":
                    self.send_error(500)
                elif is_first and behaviour == "breaks first":
                    self.connection.close()
                else:
                    if is_first and behaviour == "hangs first":
                        time.sleep(16)
                    with suppress(OSError):
                        self.send_response(204)
                        self.end_headers()
                        receivers.done.update([key] * (is_paid and not (is_first and behaviour == "hangs first")))

            def log_message(self, *about: Any) -> None:
                pass

            def log_error(self, *about: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.handle_error = lambda *about: None  # type: ignore[method-assign]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def types(self, key: str) -> list[str]:
        """The types of the webhooks of a key."""
        with self.lock:
            return [json.loads(body)["type"] for _, body in self.received.get(key, [])]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@dataclass
class Outcome:
    """The result of a run."""

    keys: int
    replies: dict[str, list[str]] = field(default_factory=dict)
    charges: list[dict[str, Any]] = field(default_factory=list)
    kills: dict[str, int] = field(default_factory=dict)
    complaints: list[str] = field(default_factory=list)
    delayed: list[str] = field(default_factory=list)
    """The keys whose stems were not complete after an hour."""
    unprepared: list[str] = field(default_factory=list)
    """The keys whose files Suno never prepared."""
    webhooks: int = 0
    files: int = 0
    unlock_calls: int = 0
    songs: int = 0

    def __str__(self) -> str:
        lost = sum(charge["reply_lost"] for charge in self.charges)
        kills = ", ".join(f"{count} x {what}" for what, count in self.kills.items())
        return (
            f"{self.keys} keys, {len(self.charges)} charges, {lost} with a lost reply, {self.webhooks} webhooks, "
            f"{len(self.delayed)} delayed for an hour, "
            f"{self.files} files, {len(self.unprepared)} splits whose files were never prepared, "
            f"{self.songs} songs unlocked by {self.unlock_calls} calls; killed: {kills}"
        )


def torture(
    *, seed: int, keys: int, redis: bool, keep_killing_for: float = KEEP_KILLING_FOR, hours: bool = True
) -> Outcome:
    """Send `keys` keys until each has its stems, wait for all webhooks, and compare the records.

    `hours`: whether hours pass then.
    """
    chance = random.Random(seed)
    outcome = Outcome(keys)
    with ExitStack() as servers:
        folder = servers.enter_context(tempfile.TemporaryDirectory())
        clock = SharedClock(Path(folder) / "clock")
        servers.enter_context(clock.in_environment())
        suno = servers.enter_context(stack.suno("--pace", "0.1", "--set", "drip=0.05"))
        receivers = Receivers()
        servers.callback(receivers.close)
        settings = {
            **SETTINGS,
            **clock.environment,
            "LOG_LEVEL": "INFO",
            "SUNO_COOKIE": ACCOUNT,
            "LEDGER_URL": f"sqlite:///{folder}/ledger.db",
            "JOBS_URL": f"sqlite:///{folder}/jobs.db",
            "AUDIO_URL": f"file://{folder}/audio",
            "LINK_SECRET": "l" * 32,
            "WEBHOOK_SECRET": SECRET,
            "WEBHOOK_HOSTS": "127.0.0.1",
        }
        if redis:
            redis_process = servers.enter_context(_redis())
            settings |= {"LEDGER_URL": redis_process.url, "JOBS_URL": redis_process.url}
        service = servers.enter_context(stack.service(suno.url, settings))
        jobs = [ExitStack(), ExitStack()]
        running = [one.enter_context(stack.jobs(suno.url, settings)) for one in jobs]
        for one in jobs:
            servers.callback(one.close)
        _set(suno.url, "faults", {"seed": seed, "rate": 0.3, "kinds": KINDS})
        finished = threading.Event()

        def client(number: int, format: str = "") -> None:
            body = {
                "audio_id": SONGS_AND_FAILURES[number % len(SONGS_AND_FAILURES)],
                "webhook_url": f"{receivers.url}/{number}",
                "audio_format": format or chance.choice(["wav", "mp3"]),
            }
            ends = time.monotonic() + 120
            while time.monotonic() < ends:
                with suppress(requests.RequestException):
                    reply = requests.post(
                        f"{service.url}/api/generate_stems",
                        json=body,
                        headers={"Idempotency-Key": f"key-{number}"},
                        timeout=chance.choice([0.3, 1.0, 10.0]),
                    )
                    if reply.status_code == 200:
                        outcome.replies[str(number)] = [stem["id"] for stem in reply.json()]
                        return
                finished.wait(chance.uniform(0.0, 0.2))

        def chaos() -> None:
            firsts = ["jobs"]
            while not finished.wait(chance.uniform(0.5, 2.0)):
                storage = chance.choice(["ordinary", "breaks", "slow"])
                with suppress(requests.RequestException):
                    _set(
                        suno.url,
                        "settings",
                        {
                            "storage": storage,
                            "address_lifetime": chance.choice([0.05, 1.0, 3600.0]),
                            "preparation": chance.choice([0.0, 0.0, NEVER]),
                        },
                    )
                # Kill a process of jobs first, however short the run is.
                match (
                    firsts.pop()
                    if firsts
                    else chance.choice(["worker", "jobs", "jobs", "suno", "redis" if redis else "worker"])
                ):
                    case "worker":
                        if children := _children(service.process.pid):
                            _kill(chance.choice(children), outcome, "a worker")
                    case "jobs":
                        which = chance.randrange(len(jobs))
                        _kill(running[which].process.pid, outcome, "a process of jobs")
                        jobs[which].close()
                        running[which] = jobs[which].enter_context(stack.jobs(suno.url, settings))
                    case "suno":
                        # It answers nothing, and forgets nothing.
                        suno.process.send_signal(signal.SIGSTOP)
                        finished.wait(chance.uniform(1.0, AWAY_FOR))
                        suno.process.send_signal(signal.SIGCONT)
                        outcome.kills["Suno (away)"] = outcome.kills.get("Suno (away)", 0) + 1
                    case "redis":
                        redis_process.kill_and_restart()
                        outcome.kills["Redis"] = outcome.kills.get("Redis", 0) + 1

        chaos_thread = threading.Thread(target=chaos)
        chaos_thread.start()
        try:
            with ThreadPoolExecutor(CLIENTS) as pool:
                list(pool.map(client, range(keys)))
            finished.wait(keep_killing_for)
        finally:
            finished.set()
            chaos_thread.join()
        _set(suno.url, "settings", {"storage": "ordinary", "address_lifetime": 3600.0, "preparation": 0.0})
        _set(suno.url, "faults", {"seed": seed, "rate": 0.0, "kinds": KINDS})
        _drain(receivers, keys)
        if hours and not redis:
            passing = Hours(clock, settings["LEDGER_URL"], suno, receivers, outcome)
            # Receivers that accept at once: what is compared is what the jobs tell.
            numbers = [number * len(BEHAVIOURS) for number in range(keys, keys + 3)]
            passing.be_away(lambda: [client(number) for number in numbers[:2]], numbers[:2])
            passing.prepare_nothing(lambda: client(numbers[2], "m4a"), numbers[2])
        _compare(outcome, suno.url, service.url, receivers)
    return outcome


@dataclass(frozen=True)
class Hours:
    """What takes hours, on the clock that the processes share."""

    clock: SharedClock
    ledger: str
    suno: Server
    receivers: Receivers
    outcome: Outcome

    def be_away(self, split: Callable[[], object], numbers: Sequence[int]) -> None:
        """Let Suno be away for longer than an hour while it makes stems."""
        _set(self.suno.url, "settings", {"pace": MAKES_STEMS_FOR})
        split()
        self.suno.process.send_signal(signal.SIGSTOP)
        self._pass_until([f"{number}" for number in numbers], "stems.delayed")
        self.suno.process.send_signal(signal.SIGCONT)
        _set(self.suno.url, "settings", {"pace": 0.1})
        self._pass_until([f"{number}" for number in numbers], "stems.completed")
        self.outcome.delayed += [f"{number}" for number in numbers]
        self.outcome.keys += len(numbers)

    def prepare_nothing(self, split: Callable[[], object], number: int) -> None:
        """Let Suno never prepare the files of a split."""
        _set(self.suno.url, "settings", {"preparation": NEVER})
        split()
        self._pass_until([f"{number}"], "stems.completed")
        _set(self.suno.url, "settings", {"preparation": 0.0})
        self.outcome.unprepared.append(f"{number}")
        self.outcome.keys += 1

    def _pass_until(self, keys: Sequence[str], event: str) -> None:
        """Let time pass, from one job that is due to the next, until these keys have got a webhook of this type."""
        ends = time.monotonic() + HOURS_PASS_WITHIN
        while not all(event in self.receivers.types(key) for key in keys):
            if time.monotonic() > ends:
                self.outcome.complaints.append(f"keys {', '.join(keys)} got no {event}")
                return
            self.clock.pass_to_next_job(self.ledger)
            time.sleep(0.1)


def _drain(receivers: Receivers, keys: int) -> None:
    """Wait until every receiver has accepted its webhook or refused it for good."""
    ends = time.monotonic() + DRAINED_WITHIN
    while time.monotonic() < ends and len(receivers.done) < keys:
        time.sleep(0.5)


def _compare(outcome: Outcome, suno_url: str, service_url: str, receivers: Receivers) -> None:
    complain = outcome.complaints.append
    outcome.charges = [each for each in _get(suno_url, "charges") if each["account"] == ACCOUNT]
    if len(outcome.replies) != outcome.keys:
        complain(f"{outcome.keys - len(outcome.replies)} keys got no stems")
    if len(outcome.charges) != outcome.keys:
        complain(f"{len(outcome.charges)} charges for {outcome.keys} keys")
    owned = [clip for clips in outcome.replies.values() for clip in clips]
    if len(set(owned)) != len(owned):
        complain("stems are in two replies")
    songs = set()
    for key, clips in outcome.replies.items():
        received = receivers.received.get(key, [])
        outcome.webhooks += len(received)
        # A retry may pay again after a webhook that said that the split made nothing and was not charged.
        received = [each for each in received if json.loads(each[1])["data"].get("charged") is not False]
        if not received:
            complain(f"key {key} ({BEHAVIOURS[int(key) % len(BEHAVIOURS)]}) got no webhook")
            continue
        # A webhook with another id corrects those before.
        last_id = received[-1][0]["webhook-id"]
        corrected = [each for each in received if each[0]["webhook-id"] == last_id]
        failing = body_of(corrected[-1])["audio_id"] in SONGS_AND_FAILURES[-2:]
        for headers, body in corrected:
            webhook = Webhook(SECRET).verify(body, headers)
            data = webhook["data"]
            songs.add(data["audio_id"])
            states = [stem["status"] for stem in data["stems"]]
            if (
                webhook["type"] != "stems.completed"
                or states.count("error") != failing
                or len(set(states)) > 1 + failing
            ):
                complain(f"key {key} got {webhook['type']} with {states}: {data.get('error')}")
            if [stem["id"] for stem in data["stems"]] != clips:
                complain(f"key {key} got a webhook with other stems than its reply")
        data = body_of(corrected[-1])
        files, usable = data.get("files", []), [stem["id"] for stem in data["stems"] if stem["status"] == "complete"]
        if [file["id"] for file in files] != usable:
            complain(f"key {key} got {len(files)} files for {len(usable)} stems")
        if key in outcome.delayed and "stems.delayed" not in receivers.types(key):
            complain(f"key {key} was not told of the delay")
        for file in files:
            outcome.files += 1
            if key in outcome.unprepared:
                if (file["status"], file["error"]) != UNPREPARED:
                    complain(f"a file of key {key} was never prepared, and has {file['status']}: {file['error']}")
            elif file["status"] != "kept":
                complain(f"a file of key {key} has {file['status']}: {file['error']}")
            elif _digest(requests.get(file["url"], timeout=30).content) != _at_suno(service_url, file):
                complain(f"a file of key {key} differs from Suno's")
    unlocked = _get(suno_url, "unlocks").get(ACCOUNT, [])
    outcome.songs = len(unlocked)
    outcome.unlock_calls = sum(each["path"].startswith("/api/download/authorize") for each in _get(suno_url, "log"))
    if sorted(unlocked) != sorted(songs):
        complain(f"unlocked: {unlocked}, for {sorted(songs)}")
    if outcome.unlock_calls != len(songs):
        complain(f"{outcome.unlock_calls} calls to unlock {len(songs)} songs")


def body_of(received: tuple[dict[str, str], str]) -> dict[str, Any]:
    """The content of a webhook whose signature is valid."""
    data: dict[str, Any] = Webhook(SECRET).verify(received[1], received[0])["data"]
    return data


def _at_suno(service_url: str, file: dict[str, Any]) -> str:
    wanted = {"id": file["id"], "format": file["format"], "wait": True}
    found = requests.post(f"{service_url}/api/download", json=wanted, timeout=30).json()
    return _digest(requests.get(found["download_url"], timeout=30).content)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _kill(pid: int, outcome: Outcome, what: str) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
        outcome.kills[what] = outcome.kills.get(what, 0) + 1


def _set(suno_url: str, what: str, value: dict[str, Any]) -> None:
    requests.post(f"{suno_url}/sandbox/{what}", json=value, timeout=5).raise_for_status()


def _get(suno_url: str, what: str) -> Any:
    return requests.get(f"{suno_url}/sandbox/{what}", timeout=10).json()


def main() -> int:
    """Run one seed after another with each ledger, until the time is over or something is wrong."""
    parser = argparse.ArgumentParser(prog="make torture-jobs", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keys", type=int, default=40)
    given = parser.parse_args()
    ends = time.monotonic() + given.seconds
    seed = given.seed
    while time.monotonic() < ends:
        for redis in (False, True):
            outcome = torture(seed=seed, keys=given.keys, redis=redis)
            print(f"seed {seed}, {'Redis ' if redis else 'SQLite'}: {outcome}", flush=True)
            if outcome.complaints:
                print(f"WRONG: {'; '.join(outcome.complaints)}", file=sys.stderr)
                return 1
        seed += 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
