"""A clock of the test's own for all processes that it starts: the service, its jobs process and the local Suno.

No code of the service knows it. Sleeps and network timeouts stay as they are; only the time that is read runs ahead.
"""

from __future__ import annotations

import mmap
import os
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.splits.which_store import open_store

FOLDER = Path(__file__).with_name("clock")


class SharedClock:
    """Lets time pass for all processes with this environment at once, as if the machine had slept."""

    def __init__(self, file: Path) -> None:
        file.write_bytes(struct.pack("d", 0.0))
        # Without a timeout: gunicorn would take its workers for dead when time passes.
        self.environment = {"PYTHONPATH": str(FOLDER), "TEST_CLOCK": str(file), "GUNICORN_CMD_ARGS": "--timeout 0"}
        self._seconds = 0.0
        with file.open("r+b") as opened:
            self._memory = mmap.mmap(opened.fileno(), 8)

    def advance(self, seconds: float) -> None:
        """Let this much time pass."""
        self._seconds += seconds
        struct.pack_into("d", self._memory, 0, self._seconds)

    def pass_to_next_job(self, ledger_url: str) -> None:
        """Let time pass until the next job in this ledger is due."""
        due = open_store(ledger_url).read(lambda tx: tx.next_due())
        if due is not None and (left := due - self.now()) > 0:
            self.advance(left)

    def now(self) -> float:
        """Seconds since 1970, as these processes see them."""
        return time.time() + self._seconds

    @contextmanager
    def in_environment(self) -> Iterator[None]:
        """For the processes that are started meanwhile."""
        before = {name: os.environ.get(name) for name in self.environment}
        os.environ.update(self.environment)
        try:
            yield
        finally:
            for name, value in before.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value
