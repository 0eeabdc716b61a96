"""Runs a job's step: claim it, do the step, write the job and release it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple

import gevent

from app.jobs.fetch import FileJobs
from app.jobs.follow import Follower
from app.jobs.job import FileState, Kind, Outcome, SplitState, kind_of, write_file, write_split
from app.jobs.progress import Progress
from app.jobs.webhook import Send, send
from app.parts import Parts
from app.splits.clock import Moment
from app.splits.jobs import JobsReport, StoredJob
from app.splits.store import LedgerUnavailable

CLAIM = 45.0
"""Seconds that a claim on a job lasts. If its process dies, another one takes the job after that."""

MOST_RENEWALS = 240
"""How often a claim is renewed, every third of CLAIM: a step that hangs for an hour loses it."""


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

    def __init__(self, parts: Parts, *, is_stopping: Callable[[], bool], send: Send = send) -> None:
        self._jobs, self._queue = parts.ledger.jobs, parts.queue
        self._is_stopping = is_stopping
        self.files = FileJobs(parts, is_stopping=is_stopping)
        self._follower = Follower(parts, is_stopping=is_stopping, send=send)
        self._progress = Progress(parts.ledger.clock, self.files.free_slots)

    def report(self) -> JobsReport:
        """What the jobs of this process get done."""
        return self._progress.report(self.files.free_slots)

    def step(self, id: str) -> None:
        """Run one step of a job, unless another process has claimed it.

        Raises LedgerUnavailable: its claim then expires. Any other error of a step is raised after it is put back.
        """
        claimed = self._jobs.claim(id, CLAIM)
        if claimed is None:
            return
        try:
            with self._held(id, claimed):
                next = self._next(id, claimed)
        except LedgerUnavailable:
            raise
        except Exception:
            self._jobs.put_back(id, claimed)
            raise
        self._progress.note_step(id, next.progressed, next.is_suno_read)
        woken = self._jobs.release(id, claimed, next.body, next.due_in, outcome=next.outcome or "")
        if next.due_in is not None and not self._is_stopping():
            self._queue.put(id, next.due_in)
        for waiting in woken:
            self._queue.put(waiting)

    def _next(self, id: str, claimed: StoredJob) -> _Written:
        match kind_of(claimed.body):
            case Kind.SPLIT:
                split = self._follower.step(id, claimed)
                waits = split.job.state is SplitState.FOLLOWING
                progressed = split.job.progressed or split.job.began if waits else None
                return _Written(write_split(split.job), split.due_in, split.outcome, split.is_suno_read, progressed)
            case Kind.FILE:
                file = self.files.step(id, claimed)
                began = file.job.began if file.job.state is FileState.FETCHING else None
                return _Written(write_file(file.job), file.due_in, file.outcome, file.is_suno_read, began)

    @contextmanager
    def _held(self, id: str, claimed: StoredJob) -> Iterator[None]:
        """Renew the claim while a step runs: Suno may be slow."""
        keeper = gevent.spawn(self._keep, id, claimed)
        try:
            yield
        finally:
            keeper.kill(block=False)

    def _keep(self, id: str, claimed: StoredJob) -> None:
        for _ in range(MOST_RENEWALS):
            gevent.sleep(CLAIM / 3)
            with suppress(LedgerUnavailable):
                if not self._jobs.hold(id, claimed, CLAIM):
                    return
