"""A split's job: follow the split until its stems are final, and have them fetched. app/jobs/job.py has its states.

A step may run twice, in two processes or after a crash, without harm.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace

from app.audio.files import folder_of
from app.audio.measurements import Measurements
from app.audio.song import Song
from app.audio.store import AudioFull, AudioUnavailable
from app.jobs import event
from app.jobs.again import followed_again, is_outdated
from app.jobs.deliver import Deliverer
from app.jobs.file_status import FileStatus, begin, id_of, place_of, read_job, status_of, with_measures
from app.jobs.job import (
    ACCOUNT_UNKNOWN,
    FileJob,
    FileState,
    Next,
    Outcome,
    SplitJob,
    SplitState,
    Unreadable,
    listed,
    read_split,
)
from app.jobs.lookout import Lookout
from app.jobs.notice import Notices
from app.jobs.pauses import Pauses
from app.jobs.person import WAIT_ENDED_WITHOUT_STEMS
from app.jobs.reasons import reason
from app.jobs.webhook import Send, send
from app.parts import Parts
from app.splits.jobs import JOB_KEPT_SECONDS, StoredJob
from app.splits.split import Split
from app.splits.store import Entry, State
from app.splits.wait import Ended
from app.suno.clip import Clip
from app.suno.errors import NotAllowed, RefusedBySuno, SongNotFound, SunoError
from app.suno.gateway import AudioFormat
from app.suno.session import Account
from app.timing import DAY, MAX_RETRY_AFTER_SECONDS

log = logging.getLogger(__name__)

MAX_SPLIT_JOB_SECONDS = JOB_KEPT_SECONDS
"""Seconds after which a split gets its result as it was last seen."""

DELAYED_AFTER_SECONDS = 3600.0
"""Seconds after which a split without a result is reported as delayed."""

LOOKS_BEFORE_DELAYED = 3
"""Looks in a row without news that this takes: a process that was away looks first."""

QUICK_POLL_SECONDS = 120.0
"""Seconds after the last news during which a split is polled by SUNO_POLL_INTERVAL. Stems take about a minute."""

MAX_LOOK_PAUSE_SECONDS, MAX_SEARCH_PAUSE_SECONDS = 600.0, 1200.0
"""Maximum seconds between two looks at known stems; between two searches for those of a lost answer: more calls."""

MIN_LATE_SEARCH_PAUSE_SECONDS, MAX_LATE_SEARCH_PAUSE_SECONDS = 120.0, 3600.0
"""Seconds between two searches after "nothing was charged", until the key ends."""

POLLS_PER_STEP, POLL_PATIENCE_SECONDS = 4, 60.0
"""Polls of a quick step, and the maximum seconds until the last of them begins: it may be another job's."""

MAX_SINGLE_READS = 2
"""Clips that a slow look reads one by one, if Suno's list leaves them out."""

GATHER_EVERY_SECONDS = 60.0
"""Seconds between two looks at the files' jobs in the ledger. Each of them also wakes the split when it ends."""

TEN_DAYS = "Suno did not complete them in ten days."

ALWAYS_FAILS = (
    "this service failed each time that it looked for them. They may be complete: GET /api/stems lists them. The "
    "service's log has the reason."
)

SONG_GONE_ERRORS = (SongNotFound, NotAllowed, RefusedBySuno)
"""Suno's errors for a song that it no longer shows."""


class Follower:
    """Runs the jobs of splits. One instance per process."""

    def __init__(self, parts: Parts, *, is_stopping: Callable[[], bool], send: Send = send) -> None:
        self._parts, self._is_stopping = parts, is_stopping
        self._gateway, self._ledger, self._watch = parts.gateway, parts.ledger, parts.watch
        self._timing = parts.settings.timing
        self._pauses = Pauses(parts.ledger.clock)
        self._deliverer = Deliverer(parts, send)
        self._notices = Notices(parts, self._deliverer)
        self._lookout = Lookout(parts, self._notices, self._account_of)

    def step(self, id: str, stored: StoredJob) -> Next[SplitJob]:
        """Do what can be done now. Raises LedgerUnavailable."""
        job = read_split(stored.body)
        if job.notice_of:
            return self._notices.step(job, stored)
        done = self._step(id, job, stored)
        return done if done.due_in is not None else replace(done, due_in=self._searched_in(id, done.job))

    def give_up(self, job: SplitJob) -> Next[SplitJob]:
        """End a job whose steps always fail: with what was last seen, or without a delivered webhook."""
        if job.state is SplitState.DELIVERING:
            outcome = None if job.notice_of else Outcome.WEBHOOK_GIVEN_UP
            return Next(replace(job, state=SplitState.GIVEN_UP), None, outcome)
        if job.state.has_result:
            return Next(job, None)
        if job.state is SplitState.NEEDS_PERSON:
            return self._failed(job, None, f"Suno wanted a captcha. If a person has made stems since, {ALWAYS_FAILS}")
        return self._last_seen(job, ALWAYS_FAILS)

    def _step(self, id: str, job: SplitJob, stored: StoredJob) -> Next[SplitJob]:
        entry = self._ledger.get(id)
        if not job.state.has_result:
            job = replace(job, answered=stored.asked)
        elif is_outdated(job, entry):
            job = followed_again(job)
        elif stored.asked > job.answered:
            job = job.sent_again(stored.asked)
        if job.state in (SplitState.FOLLOWING, SplitState.NEEDS_PERSON):
            waits = entry is not None and entry.state is State.NEEDS_PERSON
            job = replace(job, state=SplitState.NEEDS_PERSON if waits else SplitState.FOLLOWING)
        match job.state:
            case SplitState.NEEDS_PERSON if entry is not None:
                return self._lookout.step(id, job, entry)
            case SplitState.FOLLOWING:
                return self._follow(id, job, entry)
            case SplitState.FETCHING:
                return self._gather(id, job)
            case SplitState.DELIVERING:
                return self._deliverer.deliver(job)
            case _:
                return self._search_again(job, entry) if self._searched_in(id, job) else Next(job, None)

    def _follow(self, id: str, job: SplitJob, entry: Entry | None) -> Next[SplitJob]:
        """Follow the split until its result is known."""
        if entry is None and not job.stems:
            return self._failed(job, None, "The service no longer has a record of this split: Suno may have charged.")
        if entry is not None and entry.state is State.STARTED:
            return Next(job, max(1.0, -self._ledger.overdue_seconds(entry)))
        if entry is not None and entry.state is State.FAILED:
            return self._end_wait(id, job)
        if entry is not None:
            job = self._with_stems(replace(job, owner=job.owner or entry.account), entry)
        try:
            is_in_doubt = entry is not None and entry.state is State.IN_DOUBT
            done = self._search(id, job, entry) if entry and is_in_doubt else self._look(id, job)
            return done if done.is_suno_read is False else replace(done, is_suno_read=True)
        except (SunoError, Unreadable) as error:
            return self._unread(id, job, error)

    def _end_wait(self, id: str, job: SplitJob) -> Next[SplitJob]:
        wait = self._ledger.waits.get(id)
        how = (wait.ended if wait else None) or Ended.TOO_LATE
        return self._ended(
            job, event.failed(job, (), self._now(), charged=False, error=WAIT_ENDED_WITHOUT_STEMS[how], code=how)
        )

    def _search(self, id: str, job: SplitJob, entry: Entry) -> Next[SplitJob]:
        """Look for the stems of a lost answer."""
        if self._ledger.clock.since(entry.attempt_began) > DAY:
            self._ledger.keep(entry)
        found = self._split_of(job, entry).find_out(entry)
        if found is None:
            settled_in = self._timing.settle_time - self._ledger.overdue_seconds(entry)
            pause = self._pause(job, MAX_SEARCH_PAUSE_SECONDS)
            return self._wait(
                id,
                _idle(job),
                min(pause, max(settled_in, 1.0)) if settled_in > 0 else pause,
                "Suno was asked to split the song, and its answer was lost. No stems can be found yet.",
            )
        if found.state is State.DONE:
            return Next(self._with_stems(job, found), 0.0)
        if not self._ledger.give_back(found):
            return Next(job, 0.0)
        return self._failed(job, False, "Suno was asked, but made no stems. Nothing was charged.")

    def _searched_in(self, id: str, job: SplitJob) -> float | None:
        """Seconds until stems are searched for that Suno may make after "nothing was charged"; None if never.

        Suno's queue was seen to make them minutes after an error. Until its key ends, they are this entry's.
        """
        if job.body is None or event.charged_in(job.body) is not False:
            return None
        entry = self._ledger.get(id)
        if entry is None or entry.state is not State.IN_DOUBT:
            return None
        if self._ledger.clock.since(entry.attempt_began) > DAY:
            return None
        overdue = self._ledger.overdue_seconds(entry)
        return min(MAX_LATE_SEARCH_PAUSE_SECONDS, max(MIN_LATE_SEARCH_PAUSE_SECONDS, overdue))

    def _search_again(self, job: SplitJob, entry: Entry | None) -> Next[SplitJob]:
        """Look once more for stems of a split that has reported that none were made."""
        try:
            found = self._split_of(job, entry).find_out(entry) if entry else None
        except (SunoError, Unreadable) as error:
            log.warning("The job of request %s cannot look for late stems: %s", job.request_id, error)
            found = None
        is_found = found is not None and found.state is State.DONE
        return Next(followed_again(job), 0.0) if is_found else Next(job, None)

    def _look(self, id: str, job: SplitJob) -> Next[SplitJob]:
        """Look at the stems, unless all of them are final."""
        if all(stem.is_final for stem in job.stems):
            return self._finish(id, job)
        if (left := self._pauses.left(job.account)) > 0:
            return self._wait(id, job, left, "Suno has asked for a pause.")
        quick = self._idle_for(job) < QUICK_POLL_SECONDS
        look = self._watch.follow(
            self._account_of(job),
            [stem.clip for stem in job.stems],
            polls=POLLS_PER_STEP if quick else 1,
            patience=POLL_PATIENCE_SECONDS,
            missed=job.missed,
            singly=None if quick else MAX_SINGLE_READS,
            stopping=self._is_stopping,
        )
        seen = self._seen(job, look.stems)
        if all(stem.is_final for stem in seen.stems):
            return self._finish(id, seen)
        if look.failure is not None:
            return self._unread(id, seen, look.failure)
        if not look.polls:
            # Another job's poll has failed, and Suno gets a pause.
            return self._wait(id, seen, self._pause(seen, MAX_LOOK_PAUSE_SECONDS), "Suno has asked for a pause.")
        seen = replace(seen if seen.stems != job.stems else _idle(seen), failures=0, missed=look.missed)
        quick = self._idle_for(seen) < QUICK_POLL_SECONDS
        due_in = 0.0 if quick else self._pause(seen, MAX_LOOK_PAUSE_SECONDS)
        return self._wait(id, seen, due_in, f"{_whose(seen)}. Suno has not completed them yet.")

    def _finish(self, id: str, job: SplitJob) -> Next[SplitJob]:
        """All stems are final: tell it, or have the complete ones fetched first."""
        if not any(stem.status == "complete" for stem in job.stems):
            reason = next((stem.error for stem in job.stems if stem.error), None)
            said = f' Suno says: "{reason}"' if reason else ""
            return self._failed(job, not job.is_adopted, f"Suno could not make any of the stems.{said}")
        if job.audio_format is not None:
            return self._have_fetched(id, job, job.audio_format)
        return self._ended(job, event.completed(job, job.stems, self._now()))

    def _have_fetched(self, id: str, job: SplitJob, format: AudioFormat) -> Next[SplitJob]:
        """Start the jobs of the files of all complete stems. They wake this job when they end."""
        song = self._song_of(job)
        try:
            song.note(self._parts.shelf, folder_of(job.owner))
        except (AudioFull, AudioUnavailable) as error:
            log.warning("The list of stems of request %s could not be stored: %s", job.request_id, error)
        files = []
        for stem in job.stems:
            if stem.status != "complete":
                continue
            new = FileJob(
                state=FileState.FETCHING,
                account=job.account,
                owner=job.owner,
                details=song.details_of(stem.clip),
                format=format,
                began=self._ledger.clock.now(),
                budget=job.budget,
            )
            begin(self._ledger, new, waiting=id)
            files.append(id_of(new))
            self._parts.queue.put(files[-1])
        return Next(
            self._progressed(replace(job, state=SplitState.FETCHING, files=tuple(files))), GATHER_EVERY_SECONDS
        )

    def _song_of(self, job: SplitJob) -> Song:
        """The song and its stems, for the names of files. Raises Unreadable and SunoError."""
        try:
            return Song.of(self._gateway, self._account_of(job), job.song_id)
        except SONG_GONE_ERRORS as error:
            # Its stems were paid for, and can be fetched without it.
            log.warning("The song of request %s cannot be read: %s", job.request_id, error)
            return Song(Clip(job.song_id), [stem.clip for stem in job.stems])

    def _gather(self, id: str, job: SplitJob) -> Next[SplitJob]:
        """Finish when each file is kept or has failed."""
        files = self._files_of(job)
        if any(file.status is FileState.FETCHING for file in files) and not self._is_over(job):
            return self._wait(
                id, _idle(job), GATHER_EVERY_SECONDS, "The stems are complete. Their files are being fetched."
            )
        ended = [
            replace(file, status=FileState.FAILED, error="It could not be fetched in ten days.")
            if file.status is FileState.FETCHING
            else file
            for file in self._measured_files_of(job)
        ]
        return self._ended(job, event.completed(job, job.stems, self._now(), ended))

    def _files_of(self, job: SplitJob) -> list[FileStatus]:
        return [status_of(file) if (file := read_job(self._ledger, id)) else _unknown_file(id) for id in job.files]

    def _measured_files_of(self, job: SplitJob) -> list[FileStatus]:
        """The files with their measures, if these can be read: a webhook does not wait for the store."""
        files = self._files_of(job)
        measurements = Measurements(self._parts.shelf, (folder_of(job.owner),))
        jobs = {file.details.id: file for id in job.files if (file := read_job(self._ledger, id))}
        try:
            return [
                with_measures(file, jobs[file.id].details, measurements) if file.id in jobs else file
                for file in files
            ]  # fmt: skip
        except AudioUnavailable as error:
            log.warning("The measures of request %s cannot be read: %s", job.request_id, error)
            return files

    def _account_of(self, job: SplitJob) -> Account:
        """The account of the split. Raises Unreadable, also if its name belongs to another account now."""
        account = self._parts.accounts.by_name(job.account)
        if account is None or job.owner not in self._parts.names.of(account, ledger_needed=False):
            raise Unreadable(ACCOUNT_UNKNOWN)
        return account

    def _split_of(self, job: SplitJob, entry: Entry) -> Split:
        return Split(
            account=self._account_of(job),
            owners=((entry.account, entry.caller),),
            request_id=entry.request_id,
            idempotency_key=entry.idempotency_key,
            song_id=entry.song_id,
            choice=job.choice,
            reuse_existing=False,
            wait_audio=False,
            gateway=self._gateway,
            watch=self._watch,
            ledger=self._ledger,
            timing=self._timing,
        )

    def _with_stems(self, job: SplitJob, entry: Entry) -> SplitJob:
        """The job with the entry's stems. It keeps them: the entry is removed before the job."""
        if [stem.id for stem in job.stems] == [stem.id for stem in entry.stems]:
            return job
        # Only stems that a person has made cost nothing.
        wait = self._ledger.waits.get(entry.id) if entry.price == 0 else None
        is_adopted = wait is not None and wait.is_adopted
        return self._progressed(replace(job, stems=listed(entry.stems), is_adopted=is_adopted))

    def _seen(self, job: SplitJob, clips: Sequence[Clip]) -> SplitJob:
        """The job with its stems as Suno shows them now."""
        known = {stem.clip: stem for stem in job.stems}
        # What a poll did not show keeps its part, which only Suno's full answer has.
        stems = tuple(
            known.get(clip) or replace(new, part=new.part or _known_part(job, new.id))
            for clip, new in zip(clips, listed(clips), strict=True)
        )
        return job if stems == job.stems else self._progressed(replace(job, stems=stems))

    def _progressed(self, job: SplitJob) -> SplitJob:
        return replace(job, progressed=self._ledger.clock.now(), idle=0, failures=0)

    def _idle_for(self, job: SplitJob) -> float:
        """Seconds since the last news."""
        return self._ledger.clock.since(job.progressed or job.began)

    def _pause(self, job: SplitJob, slowest: float) -> float:
        """Seconds until the next look: a quarter of the time without news."""
        return min(slowest, max(1.0, self._timing.poll_interval, self._idle_for(job) / 4))

    def _unread(self, id: str, job: SplitJob, error: Exception) -> Next[SplitJob]:
        """Suno cannot be read now. That says nothing about the stems."""
        log.warning("The job of request %s cannot read Suno: %s", job.request_id, error)
        wanted = min(MAX_RETRY_AFTER_SECONDS, getattr(error, "retry_after", None) or 0.0)
        self._pauses.note(job.account, wanted)
        due_in = max(wanted, self._pause(job, MAX_LOOK_PAUSE_SECONDS))
        job = replace(_idle(job), failures=job.failures + 1)
        return replace(self._wait(id, job, due_in, reason(error)), is_suno_read=False)

    def _wait(self, id: str, job: SplitJob, due_in: float, why: str) -> Next[SplitJob]:
        """Go on later; or end with what was last seen, if the job's days are over."""
        if self._is_over(job):
            return self._last_seen(job)
        # The time in which it waited for a person is no delay.
        began = job.progressed if job.called and job.progressed else job.began
        is_late = self._ledger.clock.since(began) > DELAYED_AFTER_SECONDS and job.idle >= LOOKS_BEFORE_DELAYED
        if is_late and not job.delayed:
            self._tell_delay(id, job, why)
            job = replace(job, delayed=True)
        return Next(job, due_in)

    def _is_over(self, job: SplitJob) -> bool:
        return self._ledger.clock.since(job.began) > MAX_SPLIT_JOB_SECONDS

    def _tell_delay(self, id: str, job: SplitJob, why: str) -> None:
        """Begin a job of its own for `stems.delayed`: this one goes on meanwhile."""
        log.warning("Request %s has no result after an hour: %s", job.request_id, why)
        if not job.webhook_url:
            return
        body = event.delayed(job, self._now(), error=why, files=self._files_of(job) if job.files else None)
        self._notices.tell_delay(id, job, body)

    def _last_seen(self, job: SplitJob, why: str = TEN_DAYS) -> Next[SplitJob]:
        """End with what was last seen. `why`: what happened to the stems that were paid for."""
        if any(stem.status == "complete" for stem in job.stems):
            files = self._measured_files_of(job) if job.files else None
            return self._ended(job, event.completed(job, job.stems, self._now(), files))
        if job.stems:
            return self._failed(job, not job.is_adopted, f"{_whose(job)}, but {why}")
        return self._failed(job, None, "Suno was asked, but no reply came: it may have charged.")

    def _failed(self, job: SplitJob, charged: bool | None, error: str) -> Next[SplitJob]:
        return self._ended(job, event.failed(job, job.stems, self._now(), charged=charged, error=error))

    def _ended(self, job: SplitJob, body: str) -> Next[SplitJob]:
        """Fix the result. If there is a webhook, deliver it now."""
        if not job.webhook_url:
            return Next(replace(job, state=SplitState.DONE, body=body), None)
        return Next(replace(job, state=SplitState.DELIVERING, body=body), 0.0)

    def _now(self) -> float:
        return self._ledger.clock.now().wall


def _whose(job: SplitJob) -> str:
    return "A person has made the stems at suno.com" if job.is_adopted else "The stems were paid for"


def _known_part(job: SplitJob, id: str) -> str:
    """The part of a stem as it was last seen."""
    return next((stem.part for stem in job.stems if stem.id == id), "")


def _idle(job: SplitJob) -> SplitJob:
    return replace(job, idle=job.idle + 1)


def _unknown_file(id: str) -> FileStatus:
    """A file whose job is no longer stored."""
    _, name = place_of(id)
    clip_id, _, format = name.rpartition(".")
    error = "The service no longer has a record of this file: POST /api/audio fetches it."
    return FileStatus(clip_id, format, FileState.FAILED, None, name, error)
