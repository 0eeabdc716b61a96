"""The queue that wakes the jobs process: huey, in a SQLite file or in Redis.

huey removes a task from its queue before it runs it, so a killed process loses it. No job depends on the queue: the
ledger records every job and when it is due, and the jobs process polls for due jobs (app/jobs/__main__.py).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

from huey import Huey, RedisHuey, SqliteHuey

log = logging.getLogger(__name__)

NAME = "suno-stems"


class Queue:
    """A queue of the ids of jobs."""

    def __init__(self, url: str) -> None:
        """The queue is opened on first use."""
        self._url = url
        self._run: Callable[[str], None] | None = None

    @cached_property
    def huey(self) -> Huey:
        """The huey instance."""
        return _open(self._url)

    @cached_property
    def _task(self) -> Any:
        def follow(entry_id: str) -> None:
            if self._run is not None:
                self._run(entry_id)

        return self.huey.task(name="follow")(follow)

    def open(self, run: Callable[[str], None]) -> Huey:
        """Open the queue for the jobs process, which runs each id. Raises the errors of the queue's store."""
        self._run = run
        self._task  # noqa: B018 (huey has to know the task)
        return self.huey

    def put(self, id: str, delay: float = 0.0) -> None:
        """Queue a job in `delay` seconds. A failure is only logged: the jobs process also polls the ledger."""
        try:
            if delay > 0:
                self._task.schedule(args=(id,), delay=delay)
            else:
                self._task(id)
        except Exception as error:
            # Each store has its own errors. None may stop the reply, because the request may be paid for.
            log.warning("The queue of jobs cannot be used: %s", type(error).__name__)


def _open(url: str) -> Huey:
    if url.startswith("sqlite:///"):
        path = Path(url.removeprefix("sqlite:///"))
        path.parent.mkdir(parents=True, exist_ok=True)
        return SqliteHuey(NAME, filename=str(path), results=False, timeout=1)
    return RedisHuey(NAME, url=url, results=False)
