"""The job of one file: unlock its song once, fetch the file from Suno's storage, check it and keep it.

app/jobs/job.py has its states. A step may run twice, in two processes or after a crash. No song is unlocked twice.
"""

from __future__ import annotations

import logging
import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import gevent
from gevent.lock import BoundedSemaphore

from app.audio.container import CutShort, WrongFormat, check_audio
from app.audio.fetch import FetchFailed
from app.audio.files import crc32_of, folder_of
from app.audio.sizes import least_bytes, most_bytes
from app.audio.store import AudioFull, AudioUnavailable
from app.jobs.file_status import job_id
from app.jobs.job import ACCOUNT_UNKNOWN, FileCode, FileJob, FileState, Next, Outcome, known_split, read_file
from app.jobs.reasons import reason
from app.parts import Parts
from app.splits.budget import OverBudget
from app.splits.download import AudioDownload
from app.splits.jobs import JOB_KEPT_SECONDS, StoredJob
from app.splits.store import LedgerUnavailable
from app.suno.clip import Clip
from app.suno.errors import NotAllowed, OutOfCredits, RateLimited, RefusedBySuno, SongNotFound, SunoError
from app.suno.session import Account
from app.timing import MAX_RETRY_AFTER_SECONDS

if TYPE_CHECKING:
    from app.audio.facts import StemSet
    from app.audio.measure import Measured

log = logging.getLogger(__name__)

HOLD_SECONDS = 15.0
"""Seconds that a process holds a running job before it must renew the hold."""

MAX_TRY_SECONDS = 3600.0
"""Seconds of waiting after which a file counts as failed. Time in which Suno cannot be read does not count."""

MAX_FILE_JOB_SECONDS = JOB_KEPT_SECONDS
"""Seconds after which a file counts as failed in any case."""

SMALL_FILES_SECONDS = 105.0
"""Maximum seconds to store the small files beside a file: seven operations of 15 s on a bucket."""

MIN_STORE_BYTES_PER_SECOND = 1_000_000
"""Assumed minimum write speed of a store, in bytes per second."""

MAX_STEP_PAUSE_SECONDS = 400.0
"""Maximum seconds between two steps, unless Suno requests more before an unlock. A step takes two calls."""


class Stopped(Exception):
    """The process is stopping, or another one has taken over the job."""


class _NotYet(Exception):
    """The file cannot be had now. `code`: why it has failed, if that lasts too long."""

    def __init__(self, why: str, code: FileCode = FileCode.SUNO) -> None:
        super().__init__(why)
        self.code = code


class _Unreadable(Exception):
    """Suno cannot be read now, or wants a pause of `at_least` seconds."""

    def __init__(self, why: str, at_least: float = 0.0) -> None:
        super().__init__(why)
        self.at_least = at_least


MAX_DOUBLINGS = 16
"""How often the pause between two tries doubles, below its maximum: enough for the shortest SUNO_POLL_INTERVAL."""


@dataclass(slots=True)
class _Running:
    """A job whose step is running, and its claim."""

    id: str
    job: FileJob
    """As far as the step has come."""
    claim: StoredJob

    @property
    def folder(self) -> str:
        return folder_of(self.job.owner)


class FileJobs:
    """Runs the jobs of files. One instance per process."""

    def __init__(self, parts: Parts, *, is_stopping: Callable[[], bool]) -> None:
        self._parts, self._is_stopping = parts, is_stopping
        self._gateway, self._ledger, self._shelf = parts.gateway, parts.ledger, parts.shelf
        self._timing = parts.settings.timing
        self._slots = BoundedSemaphore(parts.settings.audio_fetches)

    @property
    def free_slots(self) -> int:
        """How many more fetches may run now."""
        slots: int = self._slots.counter
        return slots

    def step(self, id: str, stored: StoredJob) -> Next[FileJob]:
        """Do what can be done now. Raises LedgerUnavailable."""
        job = read_file(stored.body)
        if job.state is not FileState.FETCHING:
            return Next(job, None)
        running = _Running(id, self._counted(job), stored)
        try:
            kept = self._go_on(running)
        except Exception as error:
            return self._stopped_by(error, running.job)
        return Next(replace(running.job, state=FileState.KEPT, bytes=kept, error=None), None, Outcome.FILE_KEPT)

    def give_up(self, job: FileJob) -> Next[FileJob]:
        """End a job whose steps always fail."""
        why = "This service failed each time that it fetched the file. Its log has the reason."
        return self._failed(job, FileCode.SERVICE, why) if job.state is FileState.FETCHING else Next(job, None)

    def _stopped_by(self, error: Exception, job: FileJob) -> Next[FileJob]:
        """What an error in a step means for the file. Raises what says nothing about it."""
        match error:
            case Stopped():
                return Next(job, 0.0)
            case OverBudget():
                return self._failed(job, FileCode.OVER_BUDGET, reason(error))
            case AudioFull() if not error.is_passing:
                return self._failed(job, FileCode.AUDIO_FULL, str(error))
            case AudioFull():
                return self._later(job, _NotYet(str(error), FileCode.AUDIO_FULL))
            case NotAllowed() | SongNotFound() | RefusedBySuno() | OutOfCredits():
                return self._failed(job, FileCode.SUNO, reason(error))
            case FetchFailed() if not error.for_now or (error.most_tries or math.inf) <= job.tries + 1:
                return self._failed(job, FileCode.SUNO, f"The file could not be fetched: {error}")
            case FetchFailed() | AudioUnavailable():
                return self._again(job, str(error), FileCode.SUNO)
            case _NotYet():
                return self._later(job, error)
            case _Unreadable():
                return self._unread(job, str(error), error.at_least)
            case SunoError():
                log.warning("Suno cannot be read for clip %s: %s", job.details.id, error)
                return self._unread(job, reason(error), min(MAX_RETRY_AFTER_SECONDS, error.retry_after or 0.0))
            case _:
                raise error

    def _later(self, job: FileJob, not_yet: _NotYet) -> Next[FileJob]:
        """Wait for Suno, or for room: the longer it takes, the longer until the next look."""
        return self._retry(job, not_yet.code, str(not_yet), job.waited / 4)

    def _again(self, job: FileJob, why: str, code: FileCode) -> Next[FileJob]:
        """Retry what has failed."""
        return self._retry(replace(job, tries=job.tries + 1), code, why, self._back_off(job))

    def _retry(self, job: FileJob, code: FileCode, why: str, pause: float) -> Next[FileJob]:
        if job.waited > MAX_TRY_SECONDS or self._is_over(job):
            return self._failed(job, code, f"The file could not be fetched: {why}")
        due_in = min(MAX_STEP_PAUSE_SECONDS, max(self._timing.poll_interval, pause))
        looked = self._ledger.clock.now()
        job = replace(job, looked=looked, pause=due_in, error=_tried_again(why))
        return Next(job, due_in, is_suno_read=True)

    def _unread(self, job: FileJob, why: str, at_least: float) -> Next[FileJob]:
        """Suno cannot be read: that says nothing about the file."""
        if self._is_over(job):
            return self._failed(job, FileCode.SUNO, f"The file could not be fetched: {why}")
        log.warning("The %s of clip %s will be retried: %s", job.format, job.details.id, why)
        due_in = max(at_least, min(MAX_STEP_PAUSE_SECONDS, self._back_off(job)))
        job = replace(job, tries=job.tries + 1, looked=None, error=_tried_again(why))
        return Next(job, due_in, is_suno_read=False)

    def _failed(self, job: FileJob, code: FileCode, error: str) -> Next[FileJob]:
        log.error("The %s of clip %s was not fetched: %s", job.format, job.details.id, error)
        return Next(replace(job, state=FileState.FAILED, code=code, error=error), None, Outcome.FILE_FAILED)

    def _back_off(self, job: FileJob) -> float:
        delay: float = self._timing.poll_interval * 2 ** min(job.tries, MAX_DOUBLINGS)
        return delay

    def _is_over(self, job: FileJob) -> bool:
        return self._ledger.clock.since(job.began) > MAX_FILE_JOB_SECONDS

    def _counted(self, job: FileJob) -> FileJob:
        """The job with the time since its last step, if a process worked and Suno could be read."""
        if job.looked is None:
            return job
        passed = max(0.0, min(self._ledger.clock.since(job.looked), job.pause))
        return replace(job, waited=job.waited + passed, looked=None)

    def _go_on(self, running: _Running) -> int:
        """Go on until the file is kept. Returns its bytes."""
        job = running.job
        if kept := self._shelf.stat((running.folder,), job.details.id, job.format):
            return kept.size
        if fetched := self._fetched_before(running):
            with self._slot(running):
                return self._keep(running, fetched)
        account = self._account_of(job)
        clip = self._gateway.clip(account, job.details.id)
        if not clip.is_final:
            raise _NotYet("Suno has not finished this clip.")
        if clip.status == "error":
            raise RefusedBySuno("Suno could not make this clip.")
        download = self._download(job, account)
        if not job.unlocked:
            # An unlock is counted: not for a file that could not be kept.
            self._shelf.check([least_bytes(job.format, job.details.duration)])
            self._unlock(job, download, clip)
            running.job = replace(job, unlocked=True)
        url = download.url()
        if url is None:
            raise _NotYet("Suno has not prepared it.")
        self._shelf.check()
        with self._slot(running):
            return self._keep(running, self._fetch(running, download, url))

    def _account_of(self, job: FileJob) -> Account:
        account = self._parts.accounts.by_name(job.account)
        if account is None or job.owner not in self._parts.names.of(account, ledger_needed=False):
            raise _NotYet(ACCOUNT_UNKNOWN, FileCode.ACCOUNT)
        return account

    def _unlock(self, job: FileJob, download: AudioDownload, clip: Clip) -> None:
        if job.details.id != job.details.song_id:
            # Suno unlocks songs, not stems, and not every reply names a stem's song.
            clip = replace(clip, is_stem=True, stem_from_id=job.details.song_id)
        try:
            if download.unlock(clip) is None:
                raise _NotYet("Another request is unlocking its song.")
        except RateLimited as error:
            # An unlock is counted: Suno's pause is honoured in full.
            raise _Unreadable(reason(error), error.retry_after or 0.0) from error

    def _download(self, job: FileJob, account: Account) -> AudioDownload:
        return AudioDownload(
            account=account,
            account_name=job.owner,
            budgets=(job.budget,) if job.budget else (),
            clip_id=job.details.id,
            format=job.format,
            gateway=self._gateway,
            ledger=self._ledger,
            timing=self._timing,
            is_stopping=self._is_stopping,
        )

    @contextmanager
    def _slot(self, running: _Running) -> Iterator[None]:
        """Wait for a fetch slot, and give it back whatever happens."""
        while not self._slots.acquire(timeout=HOLD_SECONDS / 3):
            self._hold(running)
        try:
            yield
        finally:
            self._slots.release()

    def _fetched_before(self, running: _Running) -> Path | None:
        """A file that was fetched by an earlier try, and could not be stored."""
        job = running.job
        file = self._shelf.fetched_file(running.folder, job.details.id, job.format)
        try:
            check_audio(file, job.format)
        except (OSError, WrongFormat, CutShort):
            return None
        return file

    def _fetch(self, running: _Running, download: AudioDownload, url: str) -> Path:
        """Fetch a file into the spool."""
        details, format = running.job.details, running.job.format
        self._hold(running)
        file = self._shelf.spool_file(running.job.name)
        addresses = [url]
        expected = 0

        def note_total(total: int) -> None:
            nonlocal expected
            expected = total
            others = self._ledger.jobs.take_room(running.id, total, lasts=HOLD_SECONDS * 2)
            self._shelf.make_room(file, total, others, self.needed_by, running.claim.waiting)

        def go_on() -> None:
            # Nobody else can take over the job while the ledger is away.
            with suppress(LedgerUnavailable):
                self._hold(running)
                self._ledger.jobs.take_room(running.id, expected, lasts=HOLD_SECONDS * 2)

        try:
            self._parts.fetcher.fetch(
                lambda: addresses.pop() if addresses else _still_there(download),
                file,
                format=format,
                most=most_bytes(format, details.duration),
                note_total=note_total,
                note_progress=_every(HOLD_SECONDS / 3, go_on),
            )
            # Its space was allocated: after a power failure, a file with this name could end in zeros.
            gevent.get_hub().threadpool.apply(_sync, (file,))
            return file.replace(self._shelf.fetched_file(running.folder, details.id, format))
        finally:
            with suppress(OSError):
                file.unlink(missing_ok=True)
            self._leave_room(running)

    def _keep(self, running: _Running, file: Path) -> int:
        """Move a fetched file to the store. If that fails for now, the file waits for the next try in the spool."""
        size = file.stat().st_size
        # Writing to a bucket can be slow, and nothing renews the hold meanwhile.
        lasts = SMALL_FILES_SECONDS + size / MIN_STORE_BYTES_PER_SECOND
        self._hold(running, lasts)
        self._ledger.jobs.take_room(running.id, size, lasts=lasts)
        try:
            self._shelf.keep(
                running.folder,
                running.job.details,
                running.job.format,
                file,
                measure=_measured,
                add_up=_added_up,
                compare=lambda: self._compare(running),
            )
        except AudioFull:
            file.unlink(missing_ok=True)
            raise
        finally:
            self._leave_room(running)
        return size

    def _compare(self, running: _Running) -> None:
        """Compare the song's stems with the original, if this was the last file for that. It may fail."""
        from app.audio.compare import compare_kept

        def in_a_thread(work: Callable[[], StemSet]) -> StemSet:
            found: StemSet = gevent.get_hub().threadpool.apply(work)
            return found

        details, format = running.job.details, running.job.format
        try:
            compare_kept(self._shelf, running.folder, details, format, run=in_a_thread)
        except (AudioFull, AudioUnavailable, ValueError, MemoryError) as error:
            log.warning("The stems of song %s were not compared: %s", running.job.details.song_id, error)

    def _leave_room(self, running: _Running) -> None:
        with suppress(LedgerUnavailable):
            # It also expires.
            self._ledger.jobs.leave_room(running.id)

    def needed_by(self, name: str) -> frozenset[str]:
        """The ids of the unfinished splits that wait for a kept file. `name`: as the shelf's store has it."""
        folder, _, file = name.partition("/")
        clip_id, _, format = file.rpartition(".")
        stored = self._ledger.jobs.get(job_id(folder, clip_id, format))
        return frozenset(id for id in (stored.waiting if stored else ()) if self._is_unfinished(id))

    def _is_unfinished(self, split_id: str) -> bool:
        job = known_split(split_id, self._ledger.jobs.get(split_id))
        return job is not None and not job.state.has_result

    def _hold(self, running: _Running, lasts: float = HOLD_SECONDS) -> None:
        if self._is_stopping() or not self._ledger.jobs.hold(running.id, running.claim, lasts):
            raise Stopped


def _tried_again(why: str) -> str:
    return f"It is being tried again: {why}"


def _measured(file: Path, format: str) -> Measured:
    # Imported here: it is slow to load.
    from app.audio.measure import measure

    # In a thread: decoding would block all other greenlets.
    found: Measured = gevent.get_hub().threadpool.apply(measure, (file, format))
    return found


def _sync(file: Path) -> None:
    with file.open("rb") as content:
        os.fsync(content.fileno())


def _added_up(file: Path) -> int:
    crc: int = gevent.get_hub().threadpool.apply(crc32_of, (file,))
    return crc


def _still_there(download: AudioDownload) -> str:
    """Request the file's address again. Suno had the file ready, so a missing address is a failure."""
    url = download.url()
    if url is None:
        raise FetchFailed("Suno is preparing it again")
    return url


def _every(seconds: float, call: Callable[[], None]) -> Callable[[], None]:
    last = time.monotonic()

    def maybe() -> None:
        nonlocal last
        if time.monotonic() - last >= seconds:
            last = time.monotonic()
            call()

    return maybe
