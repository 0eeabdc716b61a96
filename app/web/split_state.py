"""What callers see of a split: its state, its stems, its webhook, and what a person has to do."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from app.audio.store import AudioUnavailable
from app.splits.store import Entry, LedgerUnavailable, State
from app.suno.clip import Clip
from app.suno.errors import SunoError
from app.suno.session import Account
from app.web import audio
from app.web.current import parts
from app.web.errors import ErrorCode
from app.web.health import JOBS_SEEN_SECONDS

log = logging.getLogger(__name__)

NO_JOBS_PROCESS = (
    "But the part of this service that looks for them is off now: until its operator starts it, try the request "
    "again yourself after the split."
)

READ_STEMS_SECONDS = 5.0
"""Maximum seconds for Suno to show the stems of a split whose state was asked for."""

if TYPE_CHECKING:
    from app.jobs.job import SplitJob


def state_of(id: str, entry: Entry | None) -> dict[str, object]:
    """The state of a split. `entry`: None after a day: then only its job is there."""
    job = job_of(id)
    shown = outcome_of(id, entry, job)
    if job and job.webhook_url:
        shown["webhook"] = webhook_of(job)
    if job and job.audio_format:
        shown["audio"] = audio.files_of(job)
    return shown


def state_with(id: str, clips: Sequence[Clip]) -> dict[str, object]:
    """The state of a split that has just got these stems: they are the reply even if no record can be read now."""
    try:
        return state_of(id, parts().ledger.get(id))
    except (LedgerUnavailable, AudioUnavailable) as error:
        log.error("The state of the split %s cannot be read: %s", id, error.why)
        return {"state": State.DONE, "clips": clips, "ready": False}


def refreshed(account: Account, id: str, entry: Entry | None) -> Entry | None:
    """The entry with its stems as Suno shows them now, for free; as they were where Suno does not show them.

    A job follows its stems itself.
    """
    if entry is None or entry.state is not State.DONE or entry.final_reply or _are_final(entry.stems) or job_of(id):
        return entry
    try:
        stems = tuple(parts().watch.glance(account, entry.stems, within=READ_STEMS_SECONDS))
    except SunoError:
        return entry
    if not _are_final(stems):
        return entry._replace(stems=stems)
    if entry.reply:
        # Suno is not asked again. Before the first reply, that one is recorded, not this.
        with suppress(LedgerUnavailable):
            parts().ledger.answer(entry, stems)
    return entry._replace(final_reply=stems)


def job_of(id: str) -> SplitJob | None:
    """The job of a split; None if it has none that can be read."""
    from app.jobs.job import known_split

    return known_split(id, parts().ledger.jobs.get(id))


def webhook_of(job: SplitJob) -> dict[str, object]:
    """The state of a split's webhook."""
    return {"state": job.state, "attempts": job.attempts, "next_at": job.next_at}


def outcome_of(id: str, entry: Entry | None, job: SplitJob | None) -> dict[str, object]:
    """The state of a split and its stems. With a job they are as it has last seen them."""
    if entry and entry.state.has_paid_nothing:
        return _waiting(id, entry, job)
    if job is None:
        clips: Sequence[Clip] = (entry.final_reply or entry.stems) if entry else ()
        shown = {"state": entry.state if entry else State.IN_DOUBT, "ready": _are_final(clips)}
        return shown | {"clips": clips} | _completeness(clips)
    is_current = entry is None or not _is_of_earlier_wait(job)
    clips = [stem.clip for stem in job.stems] if (job.stems and is_current) or entry is None else entry.stems
    state = entry.state if entry else State.DONE if clips else State.IN_DOUBT
    shown = {"state": state, "clips": clips, "ready": job.state.has_result and is_current, "delayed": job.delayed}
    if job.is_adopted or (entry and entry.price == 0 and _is_adopted(id)):
        shown["charged"] = False
    return shown | _completeness(clips) | (_failure(job) if is_current else {})


def _waiting(id: str, entry: Entry, job: SplitJob | None) -> dict[str, object]:
    """The state of a split that waits for a person, or has waited in vain."""
    from app.jobs.person import WAIT_ENDED_WITHOUT_STEMS, person_of
    from app.splits.wait import Ended

    wait = parts().ledger.waits.get(id)
    shown: dict[str, object] = {"state": entry.state, "clips": (), "ready": entry.state is State.FAILED}
    if job:
        shown["delayed"] = job.delayed
    if entry.state is State.NEEDS_PERSON:
        person = person_of(wait, entry.song_id, job.choice) if wait and job else None
        seen = parts().ledger.jobs.consumer_seen()
        if person and (seen is None or seen > JOBS_SEEN_SECONDS):
            person = replace(person, what=f"{person.what} {NO_JOBS_PROCESS}")
        return shown | ({"person": person} if person else {})
    how = (wait.ended if wait else None) or Ended.TOO_LATE
    return shown | {"error": {"code": how, "error": WAIT_ENDED_WITHOUT_STEMS[how], "charged": False}}


def _is_of_earlier_wait(job: SplitJob) -> bool:
    """Whether the job has only reported the end of a wait, after which its key has begun again."""
    from app.jobs.event import wait_ended_in

    return job.body is not None and bool(wait_ended_in(job.body))


def _is_adopted(id: str) -> bool:
    wait = parts().ledger.waits.get(id)
    return wait is not None and wait.is_adopted


def _are_final(clips: Sequence[Clip]) -> bool:
    return bool(clips) and all(clip.is_final for clip in clips)


def _completeness(clips: Sequence[Clip]) -> dict[str, object]:
    """Whether all stems are complete, and which are not, once all are final."""
    if not _are_final(clips):
        return {}
    failed = [clip for clip in clips if clip.status == "error"]
    return {
        "complete": not failed,
        "failed": [{"id": clip.id, "part": clip.part, "error": clip.error_message} for clip in failed],
    }


def _failure(job: SplitJob) -> dict[str, object]:
    """Why a split has no usable stem, as its webhook tells it."""
    from app.jobs.event import charged_in, error_in, wait_ended_in

    error = error_in(job.body) if job.body and job.state.has_result else None
    if job.body is None or error is None:
        return {}
    charged = charged_in(job.body)
    code = ErrorCode.OUTCOME_UNKNOWN if charged is None else ErrorCode.SUNO_FAILED
    return {
        "state": "failed",
        "error": {"code": wait_ended_in(job.body) or code.slug, "error": error, "charged": charged},
    }
