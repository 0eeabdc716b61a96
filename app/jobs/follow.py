"""A split's job: follow the split until its stems are final, have them fetched, and deliver the webhook.

A step may run twice, in two processes or after a crash, without harm.
"""

from __future__ import annotations

import json
import logging
import random
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Any

from app.audio.files import folder_of
from app.audio.song import Song
from app.audio.store import AudioFull, AudioUnavailable
from app.jobs.file import as_told, begin, id_of, new_file
from app.jobs.webhook import Attempt, send
from app.parts import Parts
from app.splits.budget import Budget
from app.splits.split import Split
from app.splits.store import Entry, State
from app.suno.clip import Clip
from app.suno.errors import SunoError
from app.suno.session import Account
from app.suno.stems import StemChoice, StemTask, numbered

log = logging.getLogger(__name__)

WOKEN_WITHIN = 10.0
"""Seconds until a split polls its files again. They also wake it when they end."""

LOOKS_FOR = 15.0
"""Seconds that one step waits for the stems."""

FOLLOWED_FOR = 3600.0
"""Seconds after which a split without final stems is reported as failed."""

DELAYS = (5.0, 300.0, 1800.0, 7200.0, 18_000.0, 36_000.0, 50_400.0, 72_000.0, 86_400.0)
"""Approximate seconds between two attempts. After the last attempt the webhook is given up."""

LONGEST_DELAY = 86_400.0
"""Maximum seconds between two attempts, even if the receiver requests more."""


def new_job(
    *,
    account: str,
    caller: str,
    request_id: str,
    song_id: str,
    choice: StemChoice,
    url: str = "",
    format: str = "",
    budget: Budget | None = None,
    base: str = "",
) -> dict[str, Any]:
    """Make a split's job: JSON for the ledger, without secrets.

    `url`: the webhook's address, or "". `format`: the format of the files to fetch, or "". An unlock counts against
    `budget` (app/jobs/file.py). `base`: the address of this service.
    """
    return {
        "state": "following",
        "webhook_url": url,
        "audio_format": format,
        "budget": asdict(budget) if budget else None,
        "base": base,
        "webhook_id": f"msg_{uuid.uuid4().hex}",
        "account": account,
        "caller": caller,
        "request_id": request_id,
        "song_id": song_id,
        "task": choice.task.value,
        "stem_name": choice.stem_name,
        "began": time.time(),
        "body": None,
        "files": [],
        "attempts": [],
        "next_at": None,
        "not_before": 0.0,
    }


class Follower:
    """Runs the jobs of splits. One instance per process."""

    def __init__(self, parts: Parts, *, is_stopping: Callable[[], bool]) -> None:
        self._parts, self._is_stopping = parts, is_stopping
        self._gateway, self._ledger, self._watch = parts.gateway, parts.ledger, parts.watch
        self._timing = parts.settings.timing

    def step(self, id: str, job: dict[str, Any]) -> tuple[dict[str, Any], float | None, str]:
        """Do what can be done now. Returns the new job, the seconds until it is due (None: never), and its outcome.

        Raises LedgerUnavailable.
        """
        due_in: float | None
        match job["state"]:
            case "following":
                job, due_in = self._follow(id, job)
            case "fetching":
                job, due_in = self._gather(job)
            case "delivering" if (early := job["not_before"] - time.time()) > 0:
                due_in = early
            case "delivering":
                job, due_in = self._deliver(job)
            case _:
                # The job has ended. The queue may have its id twice.
                return job, None, ""
        return job, due_in, f"webhook_{job['state']}" if job["state"] in ("delivered", "given_up") else ""

    def _follow(self, id: str, job: dict[str, Any]) -> tuple[dict[str, Any], float | None]:
        """Follow the split until its result is known."""
        entry = self._ledger.get(id)
        is_late = time.time() - job["began"] > FOLLOWED_FOR
        if entry is None:
            return self._told(job, "stems.failed", [], None, "The service no longer has a record of this split.")
        if entry.state is State.STARTED:
            return job, max(1.0, -self._ledger.over_for(entry))
        account = self._account_of(job, entry)
        if entry.state is State.IN_DOUBT:
            found = self._find_out(job, account, entry)
            if found is None:
                if is_late:
                    return self._told(
                        job, "stems.failed", [], None, "Suno was asked, but no reply came: it may have charged."
                    )
                return job, max(1.0, self._timing.poll_interval)
            if found.state is not State.DONE:
                return self._told(
                    job, "stems.failed", [], False, "Suno was asked, but made no stems. Nothing was charged."
                )
            entry = found
        stems: Sequence[Clip] = entry.stems
        if account is not None:
            stems = self._watch.wait_for(account, stems, patience=LOOKS_FOR, stopping=self._is_stopping)
        if not all(stem.is_final for stem in stems):
            if is_late:
                return self._told(
                    job, "stems.failed", _listed(stems), True, "The stems were paid for, but are not complete."
                )
            return job, 0.0 if account else max(30.0, self._timing.poll_interval)
        if any(stem.status == "error" for stem in stems):
            return self._told(job, "stems.failed", _listed(stems), True, "Suno could not make all of the stems.")
        if job.get("audio_format") and account is not None:
            return self._have_fetched(id, job, entry, account, stems)
        return self._told(job, "stems.completed", _listed(stems), True, None)

    def _have_fetched(
        self, id: str, job: dict[str, Any], entry: Entry, account: Account, stems: Sequence[Clip]
    ) -> tuple[dict[str, Any], float | None]:
        """Start the jobs of the files. They wake this job when they end."""
        try:
            song = Song.of(self._gateway, account, entry.song_id)
        except SunoError as error:
            log.warning("The job of request %s could not read its song: %s", job["request_id"], error)
            return job, max(1.0, self._timing.poll_interval)
        try:
            song.note(self._parts.shelf, folder_of(entry.account))
        except (AudioFull, AudioUnavailable) as error:
            log.warning("The list of stems of request %s could not be stored: %s", job["request_id"], error)
        files = []
        for stem in stems:
            new = new_file(
                account=job["account"],
                owner=entry.account,
                budget=Budget(**job["budget"]) if job["budget"] else None,
                details=song.details_of(stem),
                format=job["audio_format"],
            )
            begin(self._ledger, new, waiting=id)
            files.append(id_of(new))
            self._parts.queue.put(files[-1])
        return {**job, "state": "fetching", "files": files, "stems": _listed(stems)}, WOKEN_WITHIN

    def _gather(self, job: dict[str, Any]) -> tuple[dict[str, Any], float | None]:
        """Finish when each file is kept or has failed."""
        files = [self._ledger.jobs.get(id) for id in job["files"]]
        if any(file is not None and file["state"] == "fetching" for file in files):
            return job, WOKEN_WITHIN
        told = [as_told(file) for file in files if file is not None]
        return self._told(job, "stems.completed", job["stems"], True, None, told)

    def _account_of(self, job: dict[str, Any], entry: Entry) -> Account | None:
        """The account of the split; None if its name now belongs to another account, or it cannot sign in."""
        account = self._parts.accounts.by_name(job["account"])
        try:
            if account and entry.account in self._parts.names.of(account, ledger_needed=False):
                return account
        except SunoError as error:
            log.warning("The job of request %s could not sign in: %s", job["request_id"], error)
        return None

    def _find_out(self, job: dict[str, Any], account: Account | None, entry: Entry) -> Entry | None:
        if account is None:
            return None
        split = Split(
            account=account,
            owners=((entry.account, entry.caller),),
            request_id=entry.request_id,
            idempotency_key=entry.idempotency_key,
            song_id=entry.song_id,
            choice=StemChoice(StemTask(job["task"]), job["stem_name"]),
            reuse_existing=False,
            wait_audio=False,
            gateway=self._gateway,
            watch=self._watch,
            ledger=self._ledger,
            timing=self._timing,
        )
        try:
            return split.find_out(entry)
        except SunoError as error:
            log.warning("The job of request %s could not ask Suno: %s", job["request_id"], error)
            return None

    def _told(
        self,
        job: dict[str, Any],
        kind: str,
        stems: list[dict[str, Any]],
        charged: bool | None,
        error: str | None,
        files: list[dict[str, Any]] | None = None,
    ) -> tuple[dict[str, Any], float | None]:
        """Fix the result, which does not change after this. If there is a webhook, deliver it now."""
        data = {
            "request_id": job["request_id"],
            "audio_id": job["song_id"],
            "stem_task": job["task"],
            "stems": stems,
        }
        if files is not None:
            data["files"] = files
        if kind == "stems.failed":
            data |= {"charged": charged, "error": error}
        body = json.dumps({"type": kind, "timestamp": datetime.now(UTC).isoformat(), "data": data})
        if not job["webhook_url"]:
            return {**job, "state": "done", "body": body}, None
        return {**job, "state": "delivering", "body": body}, 0.0

    def _deliver(self, job: dict[str, Any]) -> tuple[dict[str, Any], float | None]:
        settings = self._parts.settings
        by_caller = settings.webhook_secrets_by_caller
        secrets = by_caller.get(job["caller"]) or by_caller.get("", ())
        if not secrets:
            attempt = Attempt(None, "WEBHOOK_SECRET is no longer set")
        else:
            attempt = send(
                job["webhook_url"], self._with_addresses(job), job["webhook_id"], secrets, settings.webhook_hosts
            )
        tried = [*job["attempts"], {"at": _now(), "status": attempt.status, "said": attempt.said}]
        job = {**job, "attempts": tried, "next_at": None}
        since_asked = len(tried) - job.get("before", 0)
        if attempt.was_taken:
            return {**job, "state": "delivered"}, None
        if attempt.status == 410 or since_asked > len(DELAYS):
            log.error("The webhook of request %s is given up: %s", job["request_id"], attempt.status or attempt.said)
            return {**job, "state": "given_up"}, None
        delay = DELAYS[since_asked - 1] * random.uniform(0.9, 1.1)  # noqa: S311 (no secret)
        delay = min(LONGEST_DELAY, max(delay, attempt.retry_after or 0.0))
        log.warning("The webhook of request %s failed for now: %s", job["request_id"], attempt.status or attempt.said)
        return {**job, "next_at": _now(delay), "not_before": time.time() + delay}, delay

    def _with_addresses(self, job: dict[str, Any]) -> str:
        """The body with newly signed addresses: delivery may be days after the files were kept."""
        body: str = job["body"]
        if not job.get("files"):
            return body
        told = json.loads(body)
        for file_id, file in zip(job["files"], told["data"]["files"], strict=False):
            folder = file_id.split(":")[1]
            address = self._parts.links.address(job["base"], folder, f"{file['id']}.{file['format']}")
            file["url"] = address if file["status"] == "kept" else None
        return json.dumps(told)


def again(job: dict[str, Any]) -> dict[str, Any]:
    """Reset a job that has a result, so that its webhook is sent again."""
    if job["body"] is None:
        return job
    return {**job, "state": "delivering", "before": len(job["attempts"]), "next_at": None, "not_before": 0.0}


def _listed(stems: Sequence[Clip]) -> list[dict[str, Any]]:
    takes = numbered([replace(stem, is_stem=True) for stem in stems])
    return [
        {
            "id": stem.id,
            "status": stem.status,
            "created_at": stem.created_at,
            "title": stem.title,
            "stem_from_id": stem.stem_from_id,
            "duration": None if stem.duration is None else str(stem.duration),
            "part": stem.part,
            "take": takes.get(stem.id),
        }
        for stem in stems
    ]


def _now(later: float = 0.0) -> str:
    return datetime.fromtimestamp(time.time() + later, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
