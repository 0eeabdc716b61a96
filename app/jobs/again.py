"""When a split's job that has sent its result begins again, and how."""

from __future__ import annotations

from dataclasses import replace
from typing import assert_never

from app.jobs import event
from app.jobs.job import SplitJob, SplitState, new_webhook_id
from app.splits.store import Entry, State


def is_outdated(job: SplitJob, entry: Entry | None) -> bool:
    """Whether the result is not that of the entry: stems were found later, or given to the request that paid."""
    if entry is None or job.body is None:
        return False
    if event.wait_ended_in(job.body):
        return entry.state is not State.FAILED
    reported = set(event.ids_in(job.body))
    match entry.state:
        case State.DONE:
            return reported != {stem.id for stem in entry.stems}
        case State.IN_DOUBT:
            return bool(reported)
        case State.STARTED:
            return False
        case State.NEEDS_PERSON | State.FAILED:
            return True
    assert_never(entry.state)


def followed_again(job: SplitJob) -> SplitJob:
    """The job from the start, with a new webhook: its content is another."""
    return replace(
        job,
        state=SplitState.FOLLOWING,
        webhook_id=new_webhook_id(),
        stems=(),
        body=None,
        files=(),
        attempts=(),
        next_at=None,
        tried=None,
        before=0,
        idle=0,
        failures=0,
        missed=0,
    )
