"""Takes the ids of jobs from the queue as soon as they are put there."""

from __future__ import annotations

import logging
from collections.abc import Callable

from huey.consumer import Consumer

from app.jobs.queue import Queue


class Listener:
    """huey's consumer, as soon as the queue can be used. Without it, the sweep finds the jobs that are due."""

    def __init__(self, queue: Queue, run: Callable[[str], None]) -> None:
        """`run` gets each id."""
        self._queue, self._run = queue, run
        self._consumer: Consumer | None = None
        # The queue itself logs that it cannot be used, once and without a traceback.
        logging.getLogger("huey").setLevel(logging.CRITICAL)

    def start(self) -> None:
        """Start unless it runs, or the queue cannot be used now."""
        if self._consumer is None and (huey := self._queue.open(self._run)):
            self._consumer = _Consumer(
                huey, workers=2, worker_type="greenlet", periodic=False, max_delay=0.5, scheduler_interval=1
            )
            self._consumer.start()

    def stop(self) -> None:
        """Take no further id."""
        if self._consumer:
            self._consumer.stop(graceful=True)


class _Consumer(Consumer):  # type: ignore[misc]
    def _set_signal_handlers(self) -> None:
        """Leave the process's signals alone: huey's handlers would stop it without waiting for running steps."""
