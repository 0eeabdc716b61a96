"""The table of results, and the comparison with the last one."""

from __future__ import annotations

import json
import os
import platform
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from statistics import median

from bench.load import Run

LEAST_NOISE = 0.05
"""Smaller differences count as equal, however well the repetitions agree."""

WORDS = {"per_second": "requests per second", "p50": "median latency", "p99": "p99", "cpu": "CPU per request"}


@dataclass(frozen=True, order=True)
class Cell:
    """The server under load, the delay at Suno (ms) and the number of connections."""

    server: str
    delay: int
    connections: int


@dataclass(frozen=True)
class Results:
    """The results of one `make bench`."""

    runs: dict[Cell, list[Run]]
    start: float
    accounts: dict[int, float]
    memory: dict[int, float]
    busy: float
    """The machine's load average before the start."""

    def middle(self, cell: Cell, name: str) -> float:
        """The median of a figure over the repetitions."""
        return float(median(getattr(run, name) for run in self.runs[cell]))

    def noise(self, cell: Cell, name: str) -> float:
        """The spread of the repetitions: half the interquartile range, as a fraction of the median."""
        found = sorted(getattr(run, name) for run in self.runs[cell])
        quarter = len(found) // 4
        return float(found[-1 - quarter] - found[quarter]) / 2 / (self.middle(cell, name) or 1)


def markdown(results: Results) -> str:
    """All results as Markdown."""
    lines = [
        "| Suno takes | connections | by | req/s | p50 ms | p99 ms | errors | calls per request | CPU ms per request "
        "| resident MB | stub busy |",
        "|---:|---:|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for cell in sorted(results.runs, key=lambda cell: (cell.delay, cell.connections)):
        figures = Run(**{field.name: results.middle(cell, field.name) for field in fields(Run)})
        lines.append(
            f"| {cell.delay} ms | {cell.connections} | {cell.server} | {figures.per_second:,.0f} | {figures.p50:.2f} "
            f"| {figures.p99:.1f} | {figures.errors:.0f} | {figures.calls:.2f} | {figures.cpu:.2f} "
            f"| {figures.resident:.0f} | {figures.stub_busy:.0%} |"
        )
    repetitions = min(map(len, results.runs.values()))
    lines += [
        "",
        f"Medians of {repetitions} interleaved repetitions on {_machine()}; load before: {results.busy:.1f}.",
        "",
        f"- {_added(results)}",
        f"- Start to first good reply: {results.start:.2f} s.",
        f"- CPU per request over 1 to 512 connections, without delay at Suno: {_growth(results)} ms.",
        "- CPU per request by accounts: "
        + ", ".join(f"{cost:.2f} ms with {accounts:,}" for accounts, cost in results.accounts.items())
        + ".",
    ]
    if results.memory:
        first, *_, last = results.memory.values()
        told = ", ".join(f"{mb:.1f} MB after {requests:,} requests" for requests, mb in results.memory.items())
        lines.append(f"- Workers' memory: {told} ({last / first - 1:+.1%}).")
    return "\n".join(lines) + "\n"


def comparison(before: Results, now: Results) -> str:
    """List what got slower by more than noise and by more than the machine itself.

    The machine's own change is measured by the same load straight to the stub. A figure counts as slower only if it
    is slower both as measured and corrected for that change.
    """
    lines = []
    for cell in sorted(set(now.runs) & set(before.runs)):
        if cell.server != "service":
            continue
        straight = Cell("straight", cell.delay, cell.connections)
        for name, words in WORDS.items():
            worse = _worse(before, now, cell, name)
            machine = _worse(before, now, straight, name)
            noise = max(
                LEAST_NOISE, *(results.noise(at, name) for results in (before, now) for at in (cell, straight))
            )
            if min(worse, worse / machine) > 1 + noise:
                lines.append(
                    f"- {words} at {cell.delay} ms over {cell.connections}: {before.middle(cell, name):,.2f}, now "
                    f"{now.middle(cell, name):,.2f} (noise {noise:.0%})"
                )
    if now.start > before.start * 1.15:
        lines.append(f"- start to first good reply: {before.start:.2f} s, now {now.start:.2f} s")
    if not lines:
        return "Nothing got slower by more than noise since the last run on this machine.\n"
    return "\n".join(["Slower by more than noise since the last run on this machine:", *lines, ""])


def write(results: Results, file: Path) -> None:
    """Store the results for the next comparison."""
    runs = [{**asdict(cell), "runs": [asdict(run) for run in runs]} for cell, runs in results.runs.items()]
    kept = {
        "machine": _machine(),
        "runs": runs,
        "start": results.start,
        "accounts": results.accounts,
        "memory": results.memory,
        "busy": results.busy,
    }
    file.write_text(json.dumps(kept, indent=1), encoding="utf-8")


def read(file: Path) -> Results | None:
    """The results of the last run, or None if there was none on this machine."""
    if not file.exists():
        return None
    kept = json.loads(file.read_text(encoding="utf-8"))
    if kept.pop("machine") != _machine():
        return None
    runs = {
        Cell(row["server"], row["delay"], row["connections"]): [Run(**run) for run in row["runs"]]
        for row in kept.pop("runs")
    }
    return Results(runs=runs, **kept)


def _worse(before: Results, now: Results, cell: Cell, name: str) -> float:
    ratio = (now.middle(cell, name) or 1e-9) / (before.middle(cell, name) or 1e-9)
    return 1 / ratio if name == "per_second" else ratio


def _added(results: Results) -> str:
    told = []
    for delay in sorted({cell.delay for cell in results.runs}):
        service, straight = (results.middle(Cell(name, delay, 1), "p50") for name in ("service", "straight"))
        told.append(f"{service:.2f} ms, compared with {straight:.2f} ms without it ({service / straight:.3f} times)")
    return f"Median over one connection: {'; '.join(told)}."


def _growth(results: Results) -> str:
    cells = sorted(cell for cell in results.runs if cell.server == "service" and cell.delay == 0)
    return ", ".join(f"{results.middle(cell, 'cpu'):.2f}" for cell in cells)


def _machine() -> str:
    return f"{os.cpu_count()} cores, {platform.machine()}, {platform.system()}, Python {platform.python_version()}"
