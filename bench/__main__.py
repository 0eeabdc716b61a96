"""`make bench`: the cost of the service, compared with the same load without it. README.md explains the figures."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import time
from pathlib import Path
from statistics import median

from bench import report, servers
from bench.load import Run, load
from bench.report import Cell, Results

FOLDER = Path(__file__).with_name("results")
DELAYS = (0, 100)
CONNECTIONS = (1, 32, 128, 512)
STARTS = 5
ACCOUNTS = 1_000
"""As many as a worker caches."""
SOAK = (10_000, 100_000)


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one second per run: a rough result")
    parser.add_argument("--seconds", type=int, default=3, help="seconds per run (%(default)s)")
    parser.add_argument("--repetitions", type=int, default=5, help="repetitions per run, interleaved (%(default)s)")
    parser.add_argument("--soak", action="store_true", help="also memory after 100,000 requests (takes minutes)")
    given = parser.parse_args()
    if given.quick:
        given.seconds, given.repetitions = 1, 3
    return given


def measure(seconds: int, repetitions: int) -> dict[Cell, list[Run]]:
    """Run every cell of the table. Repetitions are interleaved, so that a busy minute does not spoil one cell."""
    runs: dict[Cell, list[Run]] = {}
    with servers.stub() as stub, servers.nginx(stub) as nginx, servers.service(stub) as service:
        for server in (nginx, service):
            load(server, stub, delay=100, connections=max(CONNECTIONS), seconds=2)  # opens the connections
        for repetition in range(repetitions):
            for delay in DELAYS:
                for connections in CONNECTIONS:
                    for server in (stub, nginx, service):
                        say(f"{repetition + 1} of {repetitions}: {server.name}, {delay} ms, {connections}")
                        cell = Cell(server.name, delay, connections)
                        run = load(server, stub, delay=delay, connections=connections, seconds=seconds)
                        runs.setdefault(cell, []).append(run)
    return runs


def measure_start() -> float:
    """Seconds from starting gunicorn to its first good reply."""
    times = []
    with servers.stub() as stub:
        for number in range(STARTS):
            say(f"start {number + 1} of {STARTS}")
            began = time.monotonic()
            with servers.service(stub):
                times.append(time.monotonic() - began)
    return median(times)


def measure_accounts(seconds: int, repetitions: int) -> dict[int, float]:
    """CPU ms per request with one account and with many, all signed in."""
    costs: dict[int, list[float]] = {1: [], ACCOUNTS: []}
    with servers.stub() as stub, servers.service(stub) as service:
        for _ in range(30):
            say(f"{ACCOUNTS} accounts sign in")
            before = stub.get("/count")["sign_ins"]
            load(service, stub, delay=0, connections=32, seconds=2, accounts=ACCOUNTS)
            if stub.get("/count")["sign_ins"] == before:
                break
        for repetition in range(repetitions):
            for accounts, found in costs.items():
                say(f"{repetition + 1} of {repetitions}: {accounts} accounts")
                found.append(load(service, stub, delay=0, connections=32, seconds=seconds, accounts=accounts).cpu)
    return {accounts: median(found) for accounts, found in costs.items()}


def measure_memory() -> dict[int, float]:
    """Memory of the workers in MB, by the number of requests."""
    resident: dict[int, float] = {}
    with servers.stub() as stub, servers.service(stub) as service:
        for goal in SOAK:
            while (done := stub.get("/count")["splits"]) < goal:
                say(f"{done} of {SOAK[-1]} requests")
                resident[goal] = load(service, stub, delay=0, connections=32, seconds=5).resident
    return resident


def say(line: str) -> None:
    """Show the progress if stderr is a terminal."""
    if sys.stderr.isatty():
        print(f"\r\033[K{line}", end="", file=sys.stderr, flush=True)


def main() -> int:
    """Measure, print, compare with the last run, and store."""
    given = parse()
    for program, package in (("wrk", "wrk"), ("nginx", "nginx-light")):
        if not shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin"):
            print(f"{program} is needed: sudo apt install {package}", file=sys.stderr)
            return 1
    busy = os.getloadavg()[0]
    results = Results(
        runs=measure(given.seconds, given.repetitions),
        start=measure_start(),
        accounts=measure_accounts(given.seconds, given.repetitions),
        memory=measure_memory() if given.soak else {},
        busy=busy,
    )
    say("")
    table = report.markdown(results)
    print(table)
    FOLDER.mkdir(exist_ok=True)
    figures = FOLDER / ("quick.json" if given.quick else "last.json")
    if before := report.read(figures):
        print(report.comparison(before, results))
    stored = store(results, table, figures)
    print(f"Stored in {FOLDER}: {', '.join(file.name for file in stored)}")
    return 0


def store(results: Results, table: str, figures: Path) -> list[Path]:
    """Store the figures, and next to them the table and the plot. Return the files that were stored."""
    report.write(results, figures)
    stored = [figures, figures.with_name("table.md")]
    stored[1].write_text(table, encoding="utf-8")
    try:
        from bench import plot
    except ImportError as error:
        print(f"The plot needs {error.name}: .venv/bin/pip install -r tools/requirements/bench.txt", file=sys.stderr)
        return stored
    picture = figures.with_name("latency.png")
    plot.draw(results, picture)
    return [*stored, picture]


if __name__ == "__main__":
    sys.exit(main())
