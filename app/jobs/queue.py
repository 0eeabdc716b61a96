"""The queue that wakes the jobs process: huey, in a SQLite file or in Redis.

huey removes a task from its queue before it runs it, so a killed process loses it. No job depends on the queue: the
ledger records every job and when it is due, and the jobs process polls for due jobs (app/jobs/__main__.py). Without
the queue, jobs only start later.
"""

from __future__ import annotations

import json
import logging
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from huey import Huey
from huey.registry import Message
from huey.serializer import Serializer
from huey.storage import RedisStorage, SqliteStorage

log = logging.getLogger(__name__)

QUEUE_NAME = "suno-stems"

REDIS_CONNECT_SECONDS = 2.0
"""Seconds to connect to Redis."""

REDIS_ANSWER_SECONDS = 3.0
"""Seconds to wait for Redis's answer; longer than the second for which huey waits for a task."""

RECOVERED_AFTER_SECONDS = 10.0
"""Seconds without a failure after which a queue that failed counts as usable."""


class Queue:
    """A queue of the ids of jobs."""

    def __init__(self, url: str) -> None:
        """The queue is opened on first use."""
        self._url = url
        self._run: Callable[[str], None] | None = None
        self._health = Health()

    @cached_property
    def _huey(self) -> Huey:
        return _open(self._url, self._health)

    @cached_property
    def _task(self) -> Any:
        def follow(id: str) -> None:
            if id and self._run:
                self._run(id)

        return self._huey.task(name="follow")(follow)

    def open(self, run: Callable[[str], None]) -> Huey | None:
        """Open the queue for the jobs process, which runs each id. None if it cannot be used: it may be later."""
        self._run = run
        # Each store has its own errors, and none of them may stop the jobs.
        with suppress(Exception), self._health.noted():
            self._task  # noqa: B018 (huey has to know the task)
            return self._huey
        return None

    def put(self, id: str, delay: float = 0.0) -> None:
        """Queue a job in `delay` seconds. A failure is only logged: the jobs process also polls the ledger."""
        # None of the store's errors may stop the reply, because the request may be paid for.
        with suppress(Exception), self._health.noted():
            if delay > 0:
                self._task.schedule(args=(id,), delay=delay)
            else:
                self._task(id)


class Health:
    """Logs once that the queue cannot be used, and once that it can be used again."""

    def __init__(self) -> None:
        self._failed_at: float | None = None

    @contextmanager
    def noted(self) -> Iterator[None]:
        """Note whether a use of the queue succeeds. Its errors are raised."""
        try:
            yield
        except Exception as error:
            if self._failed_at is None:
                log.warning(
                    "The queue (JOBS_URL) cannot be used: %s. No job is lost, but jobs start up to 5 s later. "
                    "A damaged file can be deleted while the service is stopped.",
                    _why(error),
                )
            self._failed_at = time.monotonic()
            raise
        if self._failed_at is not None and time.monotonic() - self._failed_at > RECOVERED_AFTER_SECONDS:
            self._failed_at = None
            log.warning("The queue (JOBS_URL) can be used again.")


def _why(error: Exception) -> str:
    name = type(error).__name__
    # Redis's errors may quote its address.
    return f"{name}: {error}" if isinstance(error, OSError | sqlite3.Error) else name


class JsonSerializer(Serializer):  # type: ignore[misc]
    """Stores a task as JSON. huey's own stores pickles: who can write a pickle can run code."""

    def __init__(self) -> None:
        super().__init__()
        self._has_warned = False

    def _serialize(self, data: Message) -> bytes:
        [job] = data.args
        eta = None if data.eta is None else data.eta.isoformat()
        return json.dumps({"job": job, "eta": eta, "task": data.id}).encode()

    def _deserialize(self, data: bytes) -> Message:
        """Read a task. One that is no such JSON becomes a task without a job, such as a pickle of version 1.0."""
        try:
            stored = json.loads(data)
            eta = None if stored["eta"] is None else datetime.fromisoformat(stored["eta"]).replace(tzinfo=None)
            return _message(str(stored["job"]), eta, str(stored["task"]))
        except (ValueError, TypeError, LookupError, RecursionError):
            if not self._has_warned:
                self._has_warned = True
                log.warning(
                    "The queue has tasks of an older version, or of something else that writes to JOBS_URL. They are "
                    "ignored. No job is lost: the ledger has them all."
                )
            return _message("", None, None)


def _message(job: str, eta: datetime | None, task: str | None) -> Message:
    return Message(task, f"{__name__}.follow", eta, args=(job,))


class NotedHuey(Huey):  # type: ignore[misc]
    """A huey whose consumer reports when the queue cannot be read."""

    def __init__(self, health: Health, **options: Any) -> None:
        super().__init__(QUEUE_NAME, results=False, serializer=JsonSerializer(), **options)
        self._health = health

    def dequeue(self) -> Any:
        """Take a task, or None."""
        with self._health.noted():
            return super().dequeue()

    def read_schedule(self, timestamp: datetime | None = None) -> Any:
        """Take the tasks that are due."""
        with self._health.noted():
            return super().read_schedule(timestamp)


def _open(url: str, health: Health) -> Huey:
    if url.startswith("sqlite:///"):
        path = Path(url.removeprefix("sqlite:///"))
        path.parent.mkdir(parents=True, exist_ok=True)
        _keep_private(path)
        return NotedHuey(health, storage_class=SqliteStorage, filename=str(path), timeout=1)
    from redis import ConnectionPool

    # No retries: they would delay a paid request's reply by seconds.
    pool = ConnectionPool.from_url(
        url, socket_timeout=REDIS_ANSWER_SECONDS, socket_connect_timeout=REDIS_CONNECT_SECONDS, retry=None
    )
    return NotedHuey(health, storage_class=RedisStorage, connection_pool=pool)


def _keep_private(path: Path) -> None:
    """Make the file readable for its owner only. SQLite gives a new file beside it the same mode."""
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600))
    for file in (path, Path(f"{path}-wal"), Path(f"{path}-shm")):
        # A file of another user cannot be changed, and may be usable all the same.
        with suppress(OSError):
            file.chmod(0o600)
