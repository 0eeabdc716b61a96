"""The job of one file: unlock its song once, fetch the file from Suno's storage, check it and keep it.

A step may run twice, in two processes or after a crash. No song is unlocked twice.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import gevent
from gevent.lock import BoundedSemaphore

from app.audio.fetch import FetchFailed
from app.audio.files import Details, folder_of
from app.audio.peaks import peaks_of
from app.audio.store import AudioFull, AudioUnavailable
from app.parts import Parts
from app.splits.budget import Budget, OverBudget
from app.splits.download import Download
from app.suno.errors import (
    CaptchaRequired,
    NotAllowed,
    OutOfCredits,
    RefusedBySuno,
    SongNotFound,
    SunoError,
)
from app.suno.session import Account

log = logging.getLogger(__name__)

HELD = 15.0
"""Seconds that a process holds a running job before it must renew the hold."""

TRIED_FOR = 3600.0
"""Seconds of retries after which a file counts as failed."""

SLOWEST_STORE = 1_000_000
"""Assumed minimum write speed of a store, in bytes per second."""

SLOWEST = 60.0
"""Maximum seconds between two attempts, unless Suno requests more."""

FINAL = (NotAllowed, SongNotFound, RefusedBySuno, OutOfCredits, CaptchaRequired)
"""Suno's errors that a retry would not change."""


class Stopped(Exception):
    """The process is stopping, or another one has taken over the job."""


class FileJobs:
    """Runs the jobs of files. One instance per process."""

    def __init__(self, parts: Parts, *, is_stopping: Callable[[], bool]) -> None:
        self._parts, self._is_stopping = parts, is_stopping
        self._gateway, self._ledger, self._shelf = parts.gateway, parts.ledger, parts.shelf
        self._timing = parts.settings.timing
        self._slots = BoundedSemaphore(parts.settings.audio_fetches)

    def step(self, id: str, job: dict[str, Any]) -> tuple[dict[str, Any], float | None, str]:
        """Do what can be done now. Returns the new job, the seconds until it is due (None: never), and its outcome.

        Raises LedgerUnavailable.
        """
        if job["state"] != "fetching":
            return job, None, ""
        try:
            job, due_in = self._go_on(id, job)
        except Stopped:
            return job, 0.0, ""
        except OverBudget as error:
            job, due_in = _failed(job, "over_budget", str(error)), None
        except AudioFull as error:
            job, due_in = _failed(job, "audio_full", str(error)), None
        except FINAL as error:
            job, due_in = _failed(job, "suno", str(error)), None
        except (SunoError, FetchFailed, AudioUnavailable) as error:
            job, due_in = self._again(job, error)
        if due_in is not None:
            return job, due_in, ""
        for waiting in job["waiting"]:
            self._parts.queue.put(waiting)
        if job["state"] == "failed":
            log.error("The %s of clip %s was not fetched: %s", job["format"], job["details"]["id"], job["error"])
        return job, None, f"file_{job['state']}"

    def _again(self, job: dict[str, Any], error: Exception) -> tuple[dict[str, Any], float | None]:
        final = isinstance(error, FetchFailed) and (
            not error.for_now or (error.most_tries is not None and job["tries"] + 1 >= error.most_tries)
        )
        if final or time.time() - job["began"] > TRIED_FOR:
            return _failed(job, "suno", f"The file could not be fetched: {error}"), None
        log.warning("The %s of clip %s will be retried: %s", job["format"], job["details"]["id"], error)
        told = getattr(error, "retry_after", None) or 0.0
        delay = max(told, min(SLOWEST, self._timing.poll_interval * 2 ** min(job["tries"], 6)))
        return {**job, "tries": job["tries"] + 1}, delay

    def _go_on(self, id: str, job: dict[str, Any]) -> tuple[dict[str, Any], float | None]:
        details, format, folder = Details.read(job["details"]), job["format"], folder_of(job["owner"])
        if kept := self._shelf.stat((folder,), details.id, format):
            return {**job, "state": "kept", "bytes": kept.size}, None
        account = self._parts.accounts.by_name(job["account"])
        if account is None or job["owner"] not in self._parts.names.of(account, ledger_needed=False):
            return _failed(job, "account", "The operator no longer has this Suno account."), None
        clip = self._gateway.clip(account, details.id)
        if not clip.is_final:
            return job, self._timing.poll_interval
        if clip.status == "error":
            return _failed(job, "suno", "Suno could not make this clip."), None
        download = self._download(job, account)
        if not job["unlocked"]:
            if details.id != details.song_id:
                # Suno unlocks songs, not stems, and not every reply names a stem's song.
                clip = replace(clip, is_stem=True, stem_from_id=details.song_id)
            if download.unlock(clip) is None:
                return job, 1.0
            job = {**job, "unlocked": True}
        url = download.url()
        if url is None:
            return job, self._timing.poll_interval
        size = self._fetch(id, job, download, url)
        return {**job, "state": "kept", "bytes": size}, None

    def _download(self, job: dict[str, Any], account: Account) -> Download:
        budget = job["budget"]
        return Download(
            account=account,
            account_name=job["owner"],
            budgets=(Budget(**budget),) if budget else (),
            clip_id=job["details"]["id"],
            format=job["format"],
            gateway=self._gateway,
            ledger=self._ledger,
            timing=self._timing,
            is_stopping=self._is_stopping,
        )

    def _fetch(self, id: str, job: dict[str, Any], download: Download, url: str) -> int:
        details, format, folder = Details.read(job["details"]), job["format"], folder_of(job["owner"])
        while not self._slots.acquire(timeout=HELD / 3):
            self._hold(id, job)
        self._hold(id, job)
        file = self._shelf.spool_file(f"{details.id}.{format}")
        addresses = [url]
        expected = 0

        def note_total(total: int) -> None:
            nonlocal expected
            expected = total
            self._shelf.make_room(file, total, self._ledger.jobs.take_room(id, total, lasts=HELD * 2))

        def go_on() -> None:
            self._hold(id, job)
            self._ledger.jobs.take_room(id, expected, lasts=HELD * 2)

        try:
            size = self._parts.fetcher.fetch(
                lambda: addresses.pop() if addresses else _still_there(download),
                file,
                format=format,
                note_total=note_total,
                note_progress=_every(HELD / 3, go_on),
            )
            # Writing to a bucket can be slow, and nothing renews the hold meanwhile.
            self._hold(id, job, HELD + size / SLOWEST_STORE)
            self._shelf.keep(folder, details, format, file, measure=_measured)
        finally:
            self._slots.release()
            with suppress(OSError):
                file.unlink(missing_ok=True)
            self._ledger.jobs.leave_room(id)
        return size

    def _hold(self, id: str, job: dict[str, Any], lasts: float = HELD) -> None:
        if self._is_stopping() or not self._ledger.jobs.hold(id, job, lasts):
            raise Stopped


def _measured(file: Path, format: str) -> dict[str, Any]:
    # In a thread: decoding would block all other greenlets.
    found: dict[str, Any] = gevent.get_hub().threadpool.apply(peaks_of, (file, format))
    return found


def _still_there(download: Download) -> str:
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


def _failed(job: dict[str, Any], code: str, error: str) -> dict[str, Any]:
    return {**job, "state": "failed", "code": code, "error": error}
