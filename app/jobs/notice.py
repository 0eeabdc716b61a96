"""Webhooks beside that of a split's result: `stems.delayed` and `stems.needs_person`. Each is a job of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from app.jobs import event
from app.jobs.deliver import Deliverer
from app.jobs.job import Next, SplitJob, SplitState, new_webhook_id, read_split, write_split
from app.jobs.person import person_of
from app.parts import Parts
from app.splits.jobs import StoredJob
from app.splits.store import State
from app.splits.wait import Wait


class Notices:
    """The notices of all splits."""

    def __init__(self, parts: Parts, deliverer: Deliverer) -> None:
        self._ledger, self._queue, self._deliverer = parts.ledger, parts.queue, deliverer

    def tell_delay(self, id: str, job: SplitJob, body: str) -> None:
        """Begin to deliver `stems.delayed`, once for a split."""
        self._begin(f"delayed:{id}", _notice(id, job, body, None), lambda sent: True)

    def call_person(self, id: str, job: SplitJob, wait: Wait) -> SplitJob:
        """Begin to deliver `stems.needs_person`, once for a wait. Returns the split's job, which notes that."""
        if job.webhook_url:
            body = event.needs_person(job, self._ledger.clock.now().wall, person_of(wait, job.song_id, job.choice))
            self._begin(person_notice_of(id), _notice(id, job, body, wait), lambda sent: sent.called == wait.began)
        return replace(job, called=wait.began)

    def step(self, notice: SplitJob, stored: StoredJob) -> Next[SplitJob]:
        """Deliver a notice, unless it is not true any more."""
        if stored.asked > notice.answered:
            notice = notice.sent_again(stored.asked)
        if notice.state is not SplitState.DELIVERING:
            return Next(notice, None)
        if not self._is_true(notice):
            return Next(replace(notice, state=SplitState.DONE), None)
        return replace(self._deliverer.deliver(notice), outcome=None)

    def _is_true(self, notice: SplitJob) -> bool:
        if notice.called is not None:
            entry, wait = self._ledger.get(notice.notice_of), self._ledger.waits.get(notice.notice_of)
            waits = entry is not None and entry.state is State.NEEDS_PERSON
            return waits and wait is not None and wait.began == notice.called
        split = self._ledger.jobs.get(notice.notice_of)
        return split is not None and not read_split(split.body).state.has_result

    def _begin(self, notice_id: str, notice: SplitJob, is_sent: Callable[[SplitJob], bool]) -> None:
        def add(before: str | None) -> str | None:
            return None if before and is_sent(read_split(before)) else write_split(notice)

        self._ledger.jobs.add(notice_id, add)
        self._queue.put(notice_id)


def person_notice_of(id: str) -> str:
    """The id of the job that tells a receiver that a split needs a person."""
    return f"person:{id}"


def _notice(id: str, job: SplitJob, body: str, wait: Wait | None) -> SplitJob:
    return replace(
        job,
        state=SplitState.DELIVERING,
        notice_of=id,
        webhook_id=new_webhook_id(),
        body=body,
        attempts=(),
        answered=0,
        called=wait.began if wait else None,
    )
