"""The process that does the jobs: `python -m app.jobs`. SIGTERM lets what is being done end."""

# ruff: noqa: E402 (gevent patches before anything else is loaded)
from gevent import monkey

monkey.patch_all()

import logging
import signal
import sys
import time
import traceback
from types import FrameType
from typing import Any

import gevent
from environs import EnvError
from gevent.pool import Pool
from huey.consumer import Consumer

from app import logs
from app.accounts import AccountNames, Accounts
from app.jobs.follow import Follower
from app.jobs.queue import Queue
from app.settings import Settings, read_settings
from app.splits.ledger import open_ledger
from app.splits.store import LedgerUnavailable
from app.splits.watch import Watch
from app.suno.gateway import SunoGateway

log = logging.getLogger("app.jobs")

AT_ONCE = 1_000
"""Jobs that are followed at once, at most."""

SWEEP_EVERY = 5.0
"""Seconds between two looks for jobs that are due and that nobody has taken up."""


class Jobs:
    """The parts of this process."""

    def __init__(self, settings: Settings) -> None:
        self._stopping = False
        self._pool = Pool(AT_ONCE)
        self._doing: set[str] = set()
        gateway, ledger = SunoGateway(settings.suno), open_ledger(settings.ledger_url)
        accounts = Accounts(settings.accounts)
        self._ledger = ledger
        self._queue = Queue(settings.jobs_url, self.take_up)
        self._follower = Follower(
            gateway=gateway,
            ledger=ledger,
            watch=Watch(gateway, settings.timing.poll_interval),
            accounts=accounts,
            names=AccountNames(gateway, ledger),
            timing=settings.timing,
            secrets=settings.webhook_secrets_by_caller,
            hosts=settings.webhook_hosts,
            put=self._queue.put,
            is_stopping=lambda: self._stopping,
        )
        self._consumer = Consumer(
            self._queue.open(), workers=2, worker_type="greenlet", periodic=False, max_delay=0.5, scheduler_interval=1
        )

    def run(self) -> None:
        """Do jobs until SIGTERM or SIGINT."""
        for sent in (signal.SIGTERM, signal.SIGINT):
            signal.signal(sent, self._stop)
        self._consumer.start()
        # huey has put handlers of its own in place.
        for sent in (signal.SIGTERM, signal.SIGINT):
            signal.signal(sent, self._stop)
        log.info("Ready for jobs.")
        while not self._stopping:
            self._sweep()
            ends = time.monotonic() + SWEEP_EVERY
            while not self._stopping and time.monotonic() < ends:
                gevent.sleep(0.1)
        self._consumer.stop(graceful=True)
        self._pool.join(timeout=30)
        log.info("No more jobs are taken up.")

    def take_up(self, id: str) -> None:
        """Begin a job, unless it is being done."""
        if id not in self._doing and not self._stopping:
            self._doing.add(id)
            self._pool.spawn(self._do, id)

    def _do(self, id: str) -> None:
        try:
            self._follower.run(id)
        except LedgerUnavailable as error:
            log.error("A job cannot go on: %s", error.why)
        except Exception as error:
            # Without its message, which may quote a secret.
            frames = "".join(traceback.format_tb(error.__traceback__))
            log.error("A job has failed: %s\n%s", type(error).__name__, frames.rstrip())
        finally:
            self._doing.discard(id)

    def _sweep(self) -> None:
        """Take up what is due: the ledger knows it, whatever has become of the queue."""
        try:
            self._ledger.note_consumer()
            for id in self._ledger.due_jobs(AT_ONCE):
                self.take_up(id)
        except LedgerUnavailable as error:
            log.error("Jobs cannot be looked for: %s", error.why)

    def _stop(self, sent: int, frame: FrameType | None) -> Any:
        self._stopping = True


def main() -> None:
    """Read the settings, and do jobs."""
    try:
        settings = read_settings()
    except EnvError as error:
        sys.exit(str(error))
    logs.set_up(settings.log_level, settings.log_format)
    # It would say twice of each job that there is one.
    logging.getLogger("huey").setLevel(logging.WARNING)
    Jobs(settings).run()


if __name__ == "__main__":
    main()
