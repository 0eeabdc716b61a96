"""Runs a job's step: claim it, do the step, write the job and release it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple, TypeVar

import gevent

from app.jobs.fetch import FileJobs
from app.jobs.follow import Follower
from app.jobs.job import (
    FileJob,
    FileState,
    JobKind,
    Next,
    Outcome,
    SplitJob,
    SplitState,
    kind_of,
    read_file,
    read_split,
    write_file,
    write_split,
)
from app.jobs.progress import Progress
from app.jobs.song_order import SongOrders
from app.jobs.webhook import Send, send
from app.parts import Parts
from app.splits.clock import Moment
from app.splits.jobs import CRASH_PAUSE_SECONDS, MAX_CRASHES, JobsReport, StoredJob
from app.splits.store import LedgerUnavailable

log = logging.getLogger(__name__)

T = TypeVar("T")

CLAIM_SECONDS = 45.0
"""Seconds that a claim on a job lasts. If its process dies, another one takes the job after that."""

MAX_RENEWALS = 240
"""How often a claim is renewed, every third of CLAIM_SECONDS: a step that hangs for an hour loses it."""

WRITE_RETRY_SECONDS, WRITE_PAUSE_SECONDS = 20.0, 1.0
"""Seconds to retry the write of what a step returned, if the ledger is away; and seconds between two tries.

It is less than what is left of the claim. Without the write, the step runs again after the claim: a webhook is sent
twice.
"""

LEDGER_PAUSE_SECONDS = 5.0
"""Seconds until a step that the ledger has failed runs again. The pause doubles."""


class _Written(NamedTuple):
    """What a step returned, as it is stored."""

    body: str
    due_in: float | None
    outcome: Outcome | None
    is_suno_read: bool | None
    progressed: Moment | None
    """When a job that waits for Suno last made progress; None for others."""


class Runner:
    """Runs the steps of all jobs of a process."""

    def __init__(
        self,
        parts: Parts,
        *,
        is_stopping: Callable[[], bool],
        send: Send = send,
        sleep: Callable[[float], object] = gevent.sleep,
    ) -> None:
        """`sleep`: waits for so many seconds, and lets other greenlets run."""
        self._jobs, self._queue = parts.ledger.jobs, parts.queue
        self._identity, self._complaint = parts.ledger.identity, ""
        self._clock, self._sleep = parts.ledger.clock, sleep
        self._is_stopping = is_stopping
        self.files = FileJobs(parts, is_stopping=is_stopping)
        self._follower = Follower(parts, is_stopping=is_stopping, send=send)
        self._orders = SongOrders(parts, is_stopping=is_stopping)
        self._progress = Progress(parts.ledger.clock, self.files.free_slots)

    def sweep(self, process: str, limit: int) -> list[str]:
        """Note that this process works, and read which jobs are due, oldest first. Raises LedgerUnavailable.

        `process`: its name.
        """
        self._note_ledger()
        self._jobs.note_consumer()
        self._jobs.note_report(process, self.report())
        return self._jobs.due(limit)

    def _note_ledger(self) -> None:
        """Note which ledger is in use, and say once if it has forgotten something: then no attempt begins.

        A process that has begun none since its start would take an older copy for the ledger that was in use.
        """
        complaint = ""
        try:
            self._identity.check()
        except LedgerUnavailable as error:
            complaint = error.why
            if complaint != self._complaint:
                log.error("Nothing is paid for now: %s", complaint)
        self._complaint = complaint

    def report(self) -> JobsReport:
        """What the jobs of this process get done."""
        return self._progress.report(self.files.free_slots)

    def step(self, id: str) -> None:
        """Run one step of a job, unless another process has claimed it.

        Raises LedgerUnavailable, and any other error of a step. The job is put back before; if the ledger is away for
        longer than WRITE_RETRY_SECONDS, its claim expires.
        """
        claimed = self._jobs.claim(id, CLAIM_SECONDS)
        if claimed is None:
            return
        if claimed.crashes >= MAX_CRASHES:
            self._end(id, claimed)
            return
        try:
            with self._claim_renewed(id, claimed):
                next = self._next(id, claimed)
        except Exception as error:
            self._put_back(id, claimed, error)
            raise
        self._progress.note_step(id, next.progressed, next.is_suno_read)
        self._release(id, claimed, next)

    def _next(self, id: str, claimed: StoredJob) -> _Written:
        match kind_of(claimed.body):
            case JobKind.SPLIT:
                return _split(self._follower.step(id, claimed))
            case JobKind.FILE:
                return _file(self.files.step(id, claimed))
            case JobKind.ORDER:
                order = self._orders.step(id)
                return _Written(claimed.body, order.due_in, None, order.is_suno_read, None)

    def _release(self, id: str, claimed: StoredJob, next: _Written) -> None:
        woken = self._written(
            lambda: self._jobs.release(id, claimed, next.body, next.due_in, outcome=next.outcome or "")
        )
        if next.due_in is not None and not self._is_stopping():
            self._queue.put(id, next.due_in)
        for waiting in woken:
            self._queue.put(waiting)

    def _put_back(self, id: str, claimed: StoredJob, error: Exception) -> None:
        """Have a step that has failed run again later."""
        pause = LEDGER_PAUSE_SECONDS if isinstance(error, LedgerUnavailable) else CRASH_PAUSE_SECONDS
        self._written(lambda: self._jobs.put_back(id, claimed, first_pause=pause))

    def _end(self, id: str, claimed: StoredJob) -> None:
        """End a job whose steps always fail, also those that take the process with them."""
        if last := self._last_word(id, claimed):
            self._release(id, claimed, last)
        else:
            self._jobs.put_back(id, claimed)

    def _last_word(self, id: str, claimed: StoredJob) -> _Written | None:
        """What ends a job whose steps always fail; None if it cannot be read, such as one of a newer version."""
        try:
            match kind_of(claimed.body):
                case JobKind.SPLIT:
                    last = _split(self._follower.give_up(read_split(claimed.body)))
                case JobKind.FILE:
                    last = _file(self.files.give_up(read_file(claimed.body)))
                case JobKind.ORDER:
                    self._orders.give_up(id)
                    last = _Written(claimed.body, None, None, None, None)
        except Exception:
            log.exception("The job %s has failed %d times in a row, and is left alone", id, MAX_CRASHES)
            return None
        log.error("The job %s has failed %d times in a row, and ends", id, MAX_CRASHES)
        return last

    def _written(self, write: Callable[[], T]) -> T:
        """Write to the ledger, also if it is away for a moment. Raises LedgerUnavailable."""
        began = self._clock.now()
        while True:
            try:
                return write()
            except LedgerUnavailable:
                if self._clock.since(began) > WRITE_RETRY_SECONDS:
                    raise
            self._sleep(WRITE_PAUSE_SECONDS)

    @contextmanager
    def _claim_renewed(self, id: str, claimed: StoredJob) -> Iterator[None]:
        """Renew the claim while a step runs: Suno may be slow."""
        keeper = gevent.spawn(self._keep, id, claimed)
        try:
            yield
        finally:
            keeper.kill(block=False)

    def _keep(self, id: str, claimed: StoredJob) -> None:
        for _ in range(MAX_RENEWALS):
            self._sleep(CLAIM_SECONDS / 3)
            with suppress(LedgerUnavailable):
                if not self._jobs.hold(id, claimed, CLAIM_SECONDS):
                    return


def _split(next: Next[SplitJob]) -> _Written:
    waits = next.job.state is SplitState.FOLLOWING
    progressed = next.job.progressed or next.job.began if waits else None
    return _Written(write_split(next.job), next.due_in, next.outcome, next.is_suno_read, progressed)


def _file(next: Next[FileJob]) -> _Written:
    began = next.job.began if next.job.state is FileState.FETCHING else None
    return _Written(write_file(next.job), next.due_in, next.outcome, next.is_suno_read, began)
