"""The queue by which requests wake the process that does the jobs: huey, in a file or in Redis.

huey takes a task off its queue before it runs it, and a killed process loses it. So nothing depends on the queue: the
ledger has every job and when it is due, and what is due is taken up again (app/jobs/__main__.py).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from huey import Huey, RedisHuey, SqliteHuey
from huey.exceptions import HueyException

NAME = "suno-stems"


class Queue:
    """A queue of the ids of entries whose jobs are to be looked at."""

    def __init__(self, url: str, run: Callable[[str], None] | None = None) -> None:
        """`run` is what the process that takes them off does with each."""
        self.huey = _open(url)

        def follow(entry_id: str) -> None:
            if run is not None:
                run(entry_id)

        self._task = self.huey.task(name="follow")(follow)

    def put(self, id: str, delay: float = 0.0) -> None:
        """Let a job be looked at in so many seconds. A failure is left to whoever takes up what is due."""
        try:
            if delay > 0:
                self._task.schedule(args=(id,), delay=delay)
            else:
                self._task(id)
        except (HueyException, OSError, ValueError, RuntimeError):
            return


def _open(url: str) -> Huey:
    if url.startswith("sqlite:///"):
        path = Path(url.removeprefix("sqlite:///"))
        path.parent.mkdir(parents=True, exist_ok=True)
        return SqliteHuey(NAME, filename=str(path), results=False, timeout=5)
    return RedisHuey(NAME, url=url, results=False)
