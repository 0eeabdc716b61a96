"""Plain splits beside many open orders: `python -m bench.orders`.

Two services take the same splits in turn. One of them has the orders, which wait for an account in one line.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import requests

from app.callers import hash_of
from tools import stack
from tools.process import Server

SONG = "c3d4e5f6-a7b8-9012-cdef-123456789012"
SONGS_PER_ORDER = 20
CALLERS = 50
SETTLES_SECONDS = 45.0
"""Until each order has joined the line."""


def key_of(caller: int) -> str:
    """The API key of a caller."""
    return f"key-of-caller-{caller:04}"


def callers() -> str:
    """The callers file: CALLERS with orders on one account, and one with plain splits on another."""
    tables = "".join(f'[accounts.{name}]\ncookie = "sandbox-{name}"\n' for name in ("load-1", "rich"))
    for number in range(CALLERS):
        hash = hash_of(key_of(number).encode())
        tables += f'[callers.c{number}]\napi_key_sha256 = "{hash}"\naccounts = ["load-1"]\n'
    return tables + f'[callers.plain]\napi_key_sha256 = "{hash_of(b"p" * 32)}"\naccounts = ["rich"]\n'


def send_order(url: str, number: int) -> None:
    """Send an order of songs that others do not order at the same time."""
    songs = [f"song-library-{1 + (number * 7 + song) % 1000}" for song in range(SONGS_PER_ORDER)]
    headers = {"X-API-Key": key_of(number % CALLERS), "Idempotency-Key": f"order-{number}"}
    body = {"songs": songs, "max_credits": 10 * SONGS_PER_ORDER}
    requests.post(f"{url}/api/orders", json=body, headers=headers, timeout=60).raise_for_status()


def split(session: requests.Session, url: str, key: str) -> float:
    """Split a song. Returns the seconds that it took."""
    began = time.perf_counter()
    headers = {"X-API-Key": "p" * 32, "Idempotency-Key": key}
    session.post(f"{url}/api/generate_stems", json={"audio_id": SONG}, headers=headers, timeout=60).raise_for_status()
    return time.perf_counter() - began


def measure(orders: int, splits: int) -> tuple[list[float], list[float]]:
    """The seconds of each split without open orders, and with them."""
    with ExitStack() as servers:
        folder = Path(servers.enter_context(tempfile.TemporaryDirectory()))
        (folder / "callers.toml").write_text(callers())
        suno = servers.enter_context(stack.suno("--pace", "1"))

        def start(name: str) -> Server:
            settings = {
                "SUNO_COOKIE": "",
                "CALLERS_FILE": str(folder / "callers.toml"),
                "LEDGER_URL": f"sqlite:///{folder}/{name}.db",
                "JOBS_URL": f"sqlite:///{folder}/{name}-jobs.db",
                "OPEN_ORDERS": str(orders),
            }
            servers.enter_context(stack.jobs(suno.url, settings))
            return servers.enter_context(stack.service(suno.url, settings))

        services = [start("without"), start("with")]
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda number: send_order(services[1].url, number), range(orders)))
        time.sleep(SETTLES_SECONDS)
        took: tuple[list[float], list[float]] = ([], [])
        sessions = [requests.Session(), requests.Session()]
        for number in range(splits):
            # The order of both changes: neither is always the first.
            for which in (0, 1) if number % 2 else (1, 0):
                took[which].append(split(sessions[which], services[which].url, f"{which}-{number}"))
        return took


def main() -> None:
    """Measure, and print the medians."""
    parser = argparse.ArgumentParser(prog="python -m bench.orders", description=__doc__)
    parser.add_argument("--orders", type=int, default=1000)
    parser.add_argument("--splits", type=int, default=400)
    given = parser.parse_args()
    without, beside = measure(given.orders, given.splits)
    medians = [statistics.median(took) * 1000 for took in (without, beside)]
    of_pairs = statistics.median(after - before for before, after in zip(without, beside, strict=True)) * 1000
    print(
        f"{given.orders} open orders: median of {given.splits} splits {medians[0]:.2f} ms without them, "
        f"{medians[1]:.2f} ms beside them; median difference of the pairs {of_pairs:+.2f} ms"
    )


if __name__ == "__main__":
    main()
