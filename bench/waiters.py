"""Measure whether many callers that wait for their stems slow down an ordinary split: `python -m bench.waiters`.

All callers, the service with its two workers and the local Suno share one machine, so every poll for a waiter's stems
costs it twice. Rounds with and without waiters alternate, so that other load on the machine affects both.
"""

from __future__ import annotations

import argparse
import http.client
import json
import statistics
import sys
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from urllib.parse import urlsplit

from tools import stack

SONG = "c3d4e5f6-a7b8-9012-cdef-123456789012"
ACCOUNT = "sandbox-rich"
PACE = 60.0
"""Seconds that a stem stays submitted, then queued, then streaming."""

POLL_INTERVAL = 3.0
GAP = 0.02
"""Seconds between two ordinary requests, so that a round lasts for several polls of every waiter."""


def split(url: str, **more: object) -> float:
    """Request a split over a new connection; return the seconds it took."""
    address = urlsplit(url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=200)
    body = json.dumps({"audio_id": SONG, **more})
    began = time.perf_counter()
    connection.request("POST", "/api/generate_stems", body, {"Content-Type": "application/json"})
    response = connection.getresponse()
    answer = response.read()
    took = time.perf_counter() - began
    connection.close()
    if response.status != 200:
        sys.exit(f"A split failed: {response.status} {answer.decode()}")
    return took


def control(suno: str, path: str, body: dict[str, object] | None = None) -> object:
    """Inspect the local Suno, or steer it; return the JSON of its reply."""
    request = urllib.request.Request(f"{suno}/sandbox/{path}")
    if body is not None:
        request.data = json.dumps(body).encode()
        request.add_header("Content-Type", "application/json")
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=30) as response:
        return json.load(response)


def charges(suno: str) -> int:
    """The number of paid splits."""
    accounts = control(suno, "accounts")
    assert isinstance(accounts, dict)
    return int(accounts[ACCOUNT]["charges"])


@contextmanager
def waiting(number: int, service: str, suno: str) -> Iterator[None]:
    """Keep this many callers waiting inside the block; then let all get their stems."""
    with ThreadPoolExecutor(max(number, 1)) as pool:
        paid = charges(suno)
        callers = [pool.submit(split, service, wait_audio=True) for _ in range(number)]
        while charges(suno) < paid + number:
            time.sleep(0.1)
        time.sleep(POLL_INTERVAL)
        yield
        if early := sum(caller.done() for caller in callers):
            sys.exit(f"{early} callers did not wait.")
        control(suno, "settings", {"pace": 0})
        for caller in callers:
            caller.result()
        control(suno, "settings", {"pace": PACE})


def one_round(number: int, requests: int, service: str, suno: str) -> list[float]:
    """Time `requests` ordinary splits, one after another, while `number` callers wait. Returns seconds."""
    with waiting(number, service, suno):
        times = []
        for _ in range(requests):
            times.append(split(service))
            time.sleep(GAP)
        return times


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--waiters", type=int, default=200)
    parser.add_argument("--requests", type=int, default=300, help="ordinary splits per round (%(default)s)")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()

    settings = {"SUNO_COOKIE": ACCOUNT, "SUNO_POLL_INTERVAL": f"{POLL_INTERVAL:g}", "LOG_LEVEL": "WARNING"}
    medians: dict[int, list[float]] = {0: [], given.waiters: []}
    print("round  waiters  median ms  p99 ms")
    with stack.suno("--pace", str(PACE)) as suno, stack.service(suno.url, settings) as service:
        one_round(0, 50, service.url, suno.url)
        for number in range(1, given.rounds + 1):
            for waiters, found in medians.items():
                times = [1000 * took for took in one_round(waiters, given.requests, service.url, suno.url)]
                found.append(statistics.median(times))
                p99 = statistics.quantiles(times, n=100)[98]
                print(f"{number:5}  {waiters:7}  {found[-1]:9.1f}  {p99:6.1f}", flush=True)
    for waiters, found in medians.items():
        print(f"median of the medians with {waiters} waiters: {statistics.median(found):.1f} ms")
    return 0


if __name__ == "__main__":
    sys.exit(main())
