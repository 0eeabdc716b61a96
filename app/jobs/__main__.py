"""The jobs process: `python -m app.jobs`.

On SIGTERM it takes no new job and waits up to 30 s for running steps. On SIGHUP it rereads the files of the settings.
"""

# ruff: noqa: E402 (gevent patches before anything else is loaded)
from gevent import monkey

monkey.patch_all()

import logging
import math
import os
import signal
import socket
import sys
import time
import traceback
from types import FrameType

import gevent
from environs import EnvError
from gevent.pool import Pool

from app import logs
from app.audio.store import AudioFull, AudioUnavailable
from app.jobs.listener import Listener
from app.jobs.runner import Runner
from app.parts import build
from app.settings import Settings, remembered, reread_settings
from app.splits.store import LedgerUnavailable

log = logging.getLogger("app.jobs")

MAX_CONCURRENT_JOBS = 1_000
"""Maximum number of concurrent jobs."""

CLEAN_EVERY_SECONDS = 600.0
"""Seconds between cleanups of the kept audio."""

LEDGER_POLL_SECONDS = 5.0
"""Seconds between polls of the ledger for due jobs."""


class Jobs:
    """The jobs process: its parts and its main loop."""

    def __init__(self, settings: Settings) -> None:
        self._stopping = self._must_reread = False
        self._name = f"{socket.gethostname()}-{os.getpid()}"
        self._pool = Pool(MAX_CONCURRENT_JOBS)
        self._doing: set[str] = set()
        self._parts = build(settings)
        self._queue = self._parts.queue
        self._runner = Runner(self._parts, is_stopping=lambda: self._stopping)
        self._listener = Listener(self._queue, self.take_up)

    def run(self) -> None:
        """Run jobs until SIGTERM or SIGINT."""
        for sent in (signal.SIGTERM, signal.SIGINT):
            signal.signal(sent, self._stop)
        signal.signal(signal.SIGHUP, self._ask_to_reread)
        log.info("Ready for jobs.")
        cleaned = -math.inf
        while not self._stopping:
            if self._must_reread:
                self._reread()
            self._listener.start()
            self._sweep()
            if time.monotonic() - cleaned > CLEAN_EVERY_SECONDS:
                cleaned = time.monotonic()
                self._pool.spawn(self._clean)
            ends = time.monotonic() + LEDGER_POLL_SECONDS
            while not self._stopping and not self._must_reread and time.monotonic() < ends:
                gevent.sleep(0.1)
        self._listener.stop()
        self._pool.join(timeout=30)
        log.info("The jobs process has stopped.")

    def take_up(self, id: str) -> None:
        """Start a job, unless this process already runs it or is stopping."""
        if id not in self._doing and not self._stopping:
            self._doing.add(id)
            self._pool.spawn(self._do, id)

    def _do(self, id: str) -> None:
        try:
            self._runner.step(id)
        except LedgerUnavailable as error:
            log.error("A job cannot continue: %s", error.why)
        except Exception as error:
            # The message is left out: it may quote a secret.
            frames = "".join(traceback.format_tb(error.__traceback__))
            log.error("A job has failed: %s\n%s", type(error).__name__, frames.rstrip())
        finally:
            self._doing.discard(id)

    def _clean(self) -> None:
        try:
            self._parts.shelf.clean(self._runner.files.needed_by)
        except (AudioUnavailable, AudioFull, LedgerUnavailable) as error:
            log.error("The kept audio cannot be cleaned up: %s", error)

    def _sweep(self) -> None:
        """Start all due jobs. The ledger has them, even if the queue lost them."""
        try:
            for id in self._runner.sweep(self._name, MAX_CONCURRENT_JOBS):
                self.take_up(id)
        except LedgerUnavailable as error:
            log.error("Due jobs cannot be read: %s", error.why)

    def _reread(self) -> None:
        self._must_reread = False
        self._parts.reread(reread_settings())
        if remembered.complaint:
            log.error("The old settings stay in force: %s", remembered.complaint)
        else:
            log.info("The accounts, callers and secrets are read again.")

    def _ask_to_reread(self, sent: int, frame: FrameType | None) -> None:
        self._must_reread = True

    def _stop(self, sent: int, frame: FrameType | None) -> None:
        self._stopping = True


def main() -> None:
    """Read the settings and run jobs."""
    try:
        settings = reread_settings()
    except EnvError as error:
        sys.exit(str(error))
    logs.set_up(settings.log_level, settings.log_format)
    Jobs(settings).run()


if __name__ == "__main__":
    main()
