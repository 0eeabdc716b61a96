"""A thread that waits for the disk, so that the other requests of a gevent worker go on meanwhile."""

from __future__ import annotations

from collections.abc import Callable

from gevent import monkey
from gevent.threadpool import ThreadPool


class DiskThread:
    """Runs one piece of work at a time; without gevent, in the calling thread.

    Make it after the fork: threads are not inherited. It is not gevent's own pool, as that also resolves names.
    """

    def __init__(self) -> None:
        self._pool = ThreadPool(1) if monkey.is_module_patched("threading") else None

    def run(self, work: Callable[[], object]) -> BaseException | None:
        """Run `work` to its end, and raise what it raises.

        What is thrown into this greenlet meanwhile (a kill, a timeout) does not end the wait, as the work would go on
        without an owner. It is returned: raise it once the outcome of the work is recorded.
        """
        if self._pool is None:
            work()
            return None
        running = self._pool.spawn(_failure_of, work)
        thrown: BaseException | None = None
        while not running.ready():
            try:
                running.wait()
            except BaseException as error:
                thrown = thrown or error
        failure: BaseException | None = running.get()
        if failure is not None:
            raise thrown or failure
        return thrown


def _failure_of(work: Callable[[], object]) -> BaseException | None:
    """Return what `work` raises: gevent prints what is raised in its threads."""
    try:
        work()
    except BaseException as error:
        return error
    return None
