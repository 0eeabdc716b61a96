"""The queue by which requests wake the process that does the jobs: huey, in a file or in Redis.

huey takes a task off its queue before it runs it, and a killed process loses it. So nothing depends on the queue: the
ledger has every job and when it is due, and what is due is taken up again (app/jobs/__main__.py).
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
    """A queue of the ids of entries whose jobs are to be looked at."""

    def __init__(self, url: str, run: Callable[[str], None] | None = None) -> None:
        """`run` is what the process that takes them off does with each. The queue is opened when it is first used."""
        self._url = url
        self._run = run

    @cached_property
    def huey(self) -> Huey:
        """The queue itself."""
        return _open(self._url)

    @cached_property
    def _task(self) -> Any:
        def follow(entry_id: str) -> None:
            if self._run is not None:
                self._run(entry_id)

        return self.huey.task(name="follow")(follow)

    def open(self) -> Huey:
        """Open it, for the process that takes off what is put. Raises what the store raises."""
        self._task  # noqa: B018 (huey has to know the task)
        return self.huey

    def put(self, id: str, delay: float = 0.0) -> None:
        """Let a job be looked at in so many seconds. A failure is left to whoever takes up what is due."""
        try:
            if delay > 0:
                self._task.schedule(args=(id,), delay=delay)
            else:
                self._task(id)
        except Exception as error:
            # Each store has errors of its own, and what is asked for may be paid for: none may stop its answer.
            log.warning("The queue of jobs cannot be used: %s", type(error).__name__)


def _open(url: str) -> Huey:
    if url.startswith("sqlite:///"):
        path = Path(url.removeprefix("sqlite:///"))
        path.parent.mkdir(parents=True, exist_ok=True)
        return SqliteHuey(NAME, filename=str(path), results=False, timeout=1)
    return RedisHuey(NAME, url=url, results=False)
