"""One run of wrk, and its cost."""

from __future__ import annotations

import json
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from bench.servers import Loaded

SCRIPT = Path(__file__).with_name("split.lua")


@dataclass(frozen=True)
class Run:
    """The result of one run of wrk."""

    per_second: float
    p50: float
    """Milliseconds, like `p99`."""
    p99: float
    errors: float
    calls: float
    """To Suno per request, including sign-in."""
    cpu: float
    """Milliseconds per request, of all processes of the server."""
    resident: float
    """MB of all processes of the server, without the main process (unless it is the only one)."""
    stub_busy: float
    """The share of one core that the stub used."""


def load(server: Loaded, stub: Loaded, *, delay: int, connections: int, seconds: float, accounts: int = 0) -> Run:
    """Load `server` with splits over this many connections; each split takes `delay` ms at Suno."""
    stub.get(f"/delay/{delay}")
    calls, cpu, stub_cpu = _calls(stub), server.cpu_ms(), stub.cpu_ms()
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds:.0f}s", "--timeout", "20s", "-s", str(SCRIPT)]
    command += [f"http://127.0.0.1:{server.port}", "--", server.path, server.body, str(accounts)]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    wrk = json.loads(told.splitlines()[-1])
    stub_cpu = stub.cpu_ms() - stub_cpu
    _let_it_end(stub, delay)
    resident = server.resident_mb()
    return Run(
        per_second=wrk["answered"] / wrk["seconds"],
        p50=wrk["p50"],
        p99=wrk["p99"],
        errors=wrk["errors"],
        calls=(_calls(stub) - calls) / wrk["sent"],
        cpu=(server.cpu_ms() - cpu) / wrk["sent"],
        resident=sum(resident[1:] or resident),
        stub_busy=stub_cpu / 1000 / wrk["seconds"],
    )


def _calls(stub: Loaded) -> int:
    count = stub.get("/count")
    return count["splits"] + count["sign_ins"]


def _let_it_end(stub: Loaded, delay: int) -> None:
    """Wait for the requests that wrk cut off at its end: they must not count for the next run."""
    before = -1
    while before != (before := _calls(stub)):
        time.sleep(0.2 + delay / 1000)
