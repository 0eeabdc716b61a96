"""Check the service under a steady load: `make soak`. Memory and open files must stay flat, charges must equal keys.

Callers send splits with idempotency keys. Some wait up to 90 s for their stems, and the local Suno fails one call in
ten. In the first third the service is reloaded and restarted. After that it runs undisturbed, so that its memory and
open files can be compared. The report is a plot, and the number of charges that the sandbox has recorded.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import signal
import statistics
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

import requests

from tools import stack
from tools.process import free_port

SETTINGS = {
    "SUNO_READ_TIMEOUT": "2",
    "SUNO_DEADLINE": "3",
    "SUNO_POLL_INTERVAL": "1",
    "SUNO_SETTLE_TIME": "2",
    "LOG_LEVEL": "ERROR",
}
SONGS = [
    *("c3d4e5f6-a7b8-9012-cdef-123456789012", "a624123d-5b1e-4c0f-9a57-7b6f0e1d2c3b"),
    *("0b9e5f1c-2d47-4e6a-8c31-95a7d3f4e862", "song-4-stems"),
]
FAULTS = ["reset-before-reading", "reset-after-charge", "truncated", "502-after-charge", "not-json", "hang", "429"]
ACCOUNTS = "sandbox-load-"
KEYS = 80
"""Keys per account. It has credits for 100 splits, and more would give a song unrealistically many pages of stems."""

PACE = 45.0
"""Seconds that stems stay submitted, then queued, then streaming: too long for SUNO_WAIT_TIMEOUT."""

CALLERS = 6
WAITERS = 20
FLAT = 1.1
"""The last third is flat up to this multiple of the second third."""

GRACE = 120.0
"""Seconds for the keys that are in progress at the end."""


@dataclass
class Course:
    """The measurements, each with its time in seconds since the start."""

    began: float = field(default_factory=time.monotonic)
    memory: list[tuple[float, float]] = field(default_factory=list)
    files: list[tuple[float, float]] = field(default_factory=list)
    latency: list[tuple[float, float]] = field(default_factory=list)
    waits: list[tuple[float, float]] = field(default_factory=list)
    charges: list[tuple[float, float]] = field(default_factory=list)
    keys: list[tuple[float, float]] = field(default_factory=list)
    restarts: list[tuple[float, str]] = field(default_factory=list)
    failures: dict[str, int] = field(default_factory=dict)
    done: set[str] = field(default_factory=set)
    told: list[str] = field(default_factory=list)

    @property
    def now(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.began


def soak(seconds: float) -> tuple[Course, set[str], list[dict[str, object]]]:
    """Run the load; return the measurements, the keys sent, and the charges recorded by the sandbox."""
    course = Course()
    over, settled = threading.Event(), threading.Event()
    sent: set[str] = set()
    numbers = itertools.count()
    with ExitStack() as servers, tempfile.TemporaryDirectory() as folder:
        suno = servers.enter_context(stack.suno("--pace", str(PACE)))
        settings = SETTINGS | {"SUNO_COOKIE": f"{ACCOUNTS}0", "LEDGER_URL": f"sqlite:///{folder}/ledger.db"}
        port = free_port()
        running = servers.enter_context(ExitStack())
        service = running.enter_context(stack.service(suno.url, settings, port=port))
        strike(suno.url, 0.1)

        def call(waits: bool) -> None:
            while not over.is_set():
                number = next(numbers)
                key = f"soak-{number}"
                sent.add(key)
                account = f"{ACCOUNTS}{number // KEYS}"
                keep_sending(key, account, {"audio_id": SONGS[number % len(SONGS)], "wait_audio": waits})
                over.wait(0.3)

        def keep_sending(key: str, account: str, body: dict[str, object]) -> None:
            while not settled.is_set():
                began = time.monotonic()
                why = "connection"
                with suppress(requests.RequestException):
                    reply = requests.post(
                        f"http://127.0.0.1:{port}/api/generate_stems",
                        json=body,
                        headers={"Idempotency-Key": key, "X-Suno-Cookie": account},
                        timeout=180,
                        proxies={"http": ""},
                    )
                    if reply.status_code == 200:
                        seen = course.waits if body["wait_audio"] else course.latency
                        seen.append((course.now, time.monotonic() - began))
                        course.done.add(key)
                        course.told.extend(clip["id"] for clip in reply.json())
                        return
                    why = str(reply.json()["code"])
                course.failures[why] = course.failures.get(why, 0) + 1
                settled.wait(0.5)

        def watch() -> None:
            while not over.wait(1.0):
                memory, files = measured(service.process.pid)
                if memory:
                    course.memory.append((course.now, memory))
                    course.files.append((course.now, files))
                course.keys.append((course.now, len(course.done)))
                course.charges.append((course.now, len(charges(suno.url))))

        with ThreadPoolExecutor(CALLERS + WAITERS + 1) as pool:
            callers = [pool.submit(call, number >= CALLERS) for number in range(CALLERS + WAITERS)]
            watcher = pool.submit(watch)
            try:
                for part in range(1, 5):
                    over.wait(seconds / 15 * part - course.now)
                    course.restarts.append((course.now, "HUP" if part % 2 else "TERM"))
                    if part % 2:
                        service.process.send_signal(signal.SIGHUP)
                    else:
                        running.close()
                        service = running.enter_context(stack.service(suno.url, settings, port=port))
                over.wait(seconds - course.now)
            finally:
                over.set()
            watcher.result()
            strike(suno.url, 0.0)
            ends = time.monotonic() + GRACE
            while len(course.done) < len(sent) and time.monotonic() < ends:
                settled.wait(0.1)
            settled.set()
            for caller in callers:
                caller.result()
        return course, sent, charges(suno.url)


def strike(suno: str, rate: float) -> None:
    """Have the local Suno fail this share of the paid calls."""
    faults = {"seed": 1, "rate": rate, "kinds": FAULTS}
    requests.post(f"{suno}/sandbox/faults", json=faults, timeout=10, proxies={"http": ""}).raise_for_status()


def charges(suno: str) -> list[dict[str, object]]:
    """Return the charges that the sandbox has recorded for the load's accounts."""
    books = requests.get(f"{suno}/sandbox/charges", timeout=30, proxies={"http": ""}).json()
    return [charge for charge in books if str(charge["account"]).startswith(ACCOUNTS)]


def measured(pid: int) -> tuple[float, int]:
    """Memory in MiB and open files of a process and its two children; zeros while it does not have two."""
    with suppress(OSError):
        pids = [pid, *Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
        if len(pids) == 3:
            pages = sum(int(Path(f"/proc/{one}/statm").read_text().split()[1]) for one in pids)
            files = sum(len(list(Path(f"/proc/{one}/fd").iterdir())) for one in pids)
            return pages * os.sysconf("SC_PAGE_SIZE") / 2**20, files
    return 0.0, 0


def flat(what: str, seen: list[tuple[float, float]], seconds: float) -> bool:
    """Print and return whether the last third is flat, compared with the second."""
    second = statistics.median(value for at, value in seen if seconds / 3 <= at < seconds * 2 / 3)
    last = statistics.median(value for at, value in seen if at >= seconds * 2 / 3)
    is_flat = last <= second * FLAT
    print(f"{what}: {second:.1f} in the second third, {last:.1f} in the last: {'flat' if is_flat else 'GROWS'}")
    return is_flat


def pyplot() -> ModuleType:
    """matplotlib, drawing to files. Exits with one line if it is not installed."""
    try:
        import matplotlib as mpl

        mpl.use("Agg")
        from matplotlib import pyplot as plt
    except ImportError as error:
        sys.exit(f"The plot needs {error.name}: .venv/bin/pip install -r tools/requirements/bench.txt")
    return plt


def draw(course: Course, file: Path) -> None:
    """Plot all measurements over time."""
    plt = pyplot()
    figure, axes = plt.subplots(4, 1, figsize=(10, 12), sharex=True, layout="constrained")
    axes[0].plot(*zip(*course.memory, strict=True))
    top = 1.1 * max(value for _, value in course.memory)
    axes[0].set(ylabel="memory, MiB", title="The main process and two workers under a steady load", ylim=(0, top))
    axes[1].plot(*zip(*course.files, strict=True))
    axes[1].set(ylabel="open files", ylim=(0, None))
    axes[2].scatter(*zip(*course.latency, strict=True), s=4, label="splits")
    if course.waits:
        axes[2].scatter(*zip(*course.waits, strict=True), s=8, label="with wait_audio")
    axes[2].set(ylabel="latency, s", yscale="log")
    axes[2].legend()
    axes[3].plot(*zip(*course.charges, strict=True), label="charges")
    axes[3].plot(*zip(*course.keys, strict=True), label="keys with their stems")
    axes[3].set(ylabel="number", xlabel="seconds", ylim=(0, None))
    axes[3].legend()
    for axis in axes:
        for at, how in course.restarts:
            axis.axvline(at, color="gray", linestyle=":" if how == "HUP" else "--", linewidth=0.8)
    figure.savefig(file, dpi=100)


def main() -> int:
    """Run the load, plot it, and return 0 if all checks pass."""
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--plot", type=Path, default=Path("demo/soak.png"))
    given = parser.parse_args()
    pyplot()  # before the load, which takes minutes
    course, sent, books = soak(given.seconds)
    given.plot.parent.mkdir(parents=True, exist_ok=True)
    draw(course, given.plot)
    print(f"{len(sent)} keys, {len(course.done)} with their stems, {len(books)} charges, {len(course.waits)} waits")
    if course.waits:
        print(f"the longest wait: {max(took for _, took in course.waits):.0f} s")
    print(f"failed attempts: {json.dumps(course.failures)}")
    paid = len(sent) == len(course.done) == len(books) and len(set(course.told)) == len(course.told)
    print(f"charges == keys, no stem returned twice: {'yes' if paid else 'NO'}")
    is_flat = [flat("memory, MiB", course.memory, given.seconds), flat("open files", course.files, given.seconds)]
    print(f"plot: {given.plot}")
    return 0 if paid and all(is_flat) else 1


if __name__ == "__main__":
    sys.exit(main())
