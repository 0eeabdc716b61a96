"""Deliver a split's webhook: the attempts, the pauses between them, and fresh addresses of files."""

from __future__ import annotations

import json
import logging
import random
from dataclasses import replace
from datetime import UTC, datetime

from app.audio.store import AudioUnavailable
from app.jobs.file_status import NOT_KEPT, place_of
from app.jobs.job import Delivery, FileState, Next, Outcome, SplitJob, SplitState
from app.jobs.webhook import Send, SendResult
from app.parts import Parts

log = logging.getLogger(__name__)

RETRY_DELAYS_SECONDS = (5.0, 300.0, 1800.0, 7200.0, 18_000.0, 36_000.0, 50_400.0, 72_000.0, 86_400.0)
"""Approximate seconds between two attempts. After the last attempt the webhook is given up."""

MAX_RETRY_DELAY_SECONDS = 86_400.0
"""Maximum seconds between two attempts, even if the receiver requests more."""


class Deliverer:
    """Delivers webhooks. One instance per process."""

    def __init__(self, parts: Parts, send: Send) -> None:
        self._parts, self._clock, self._send = parts, parts.ledger.clock, send

    def deliver(self, job: SplitJob) -> Next[SplitJob]:
        """Make the next attempt, if its time has come."""
        if job.tried and (early := job.pause - self._clock.since(job.tried)) > 0:
            return Next(job, early)
        attempt = self._attempt(job)
        job = replace(job, attempts=(*job.attempts, self._noted(attempt)), next_at=None, tried=None)
        if attempt.was_taken:
            return Next(replace(job, state=SplitState.DELIVERED), None, Outcome.WEBHOOK_DELIVERED)
        since_asked = len(job.attempts) - job.before
        if attempt.status == 410 or since_asked > len(RETRY_DELAYS_SECONDS):
            log.error("The webhook of request %s is given up: %s", job.request_id, attempt.status or attempt.said)
            return Next(replace(job, state=SplitState.GIVEN_UP), None, Outcome.WEBHOOK_GIVEN_UP)
        delay = RETRY_DELAYS_SECONDS[since_asked - 1] * random.uniform(0.9, 1.1)  # noqa: S311 (no secret)
        delay = min(MAX_RETRY_DELAY_SECONDS, max(delay, attempt.retry_after or 0.0))
        log.warning("The webhook of request %s failed for now: %s", job.request_id, attempt.status or attempt.said)
        now = self._clock.now()
        return Next(replace(job, next_at=as_text(now.wall + delay), tried=now, pause=delay), delay)

    def _attempt(self, job: SplitJob) -> SendResult:
        settings = self._parts.settings
        secrets = settings.webhook_secrets_by_caller.get(job.caller) or settings.webhook_secrets_by_caller.get("", ())
        if not secrets:
            return SendResult(None, "WEBHOOK_SECRET is no longer set")
        return self._send(job.webhook_url, self._with_addresses(job), job.webhook_id, secrets, settings.webhook_hosts)

    def _noted(self, attempt: SendResult) -> Delivery:
        return Delivery(as_text(self._clock.now().wall), attempt.status, attempt.said)

    def _with_addresses(self, job: SplitJob) -> str:
        """The body with newly signed addresses: delivery may be days after the files were kept."""
        body = job.body or ""
        event = json.loads(body)
        if not job.files or "files" not in event["data"]:
            return body
        folders = {name: folder for folder, name in map(place_of, job.files)}
        for file in event["data"]["files"]:
            name, file["url"] = f"{file['id']}.{file['format']}", None
            if file["status"] != FileState.KEPT or name not in folders:
                continue
            if self._is_kept(folders[name], file["id"], file["format"]):
                file["url"] = self._parts.links.address(job.base, folders[name], name)
            else:
                file.update(status=FileState.FAILED, error=NOT_KEPT)
        return json.dumps(event)

    def _is_kept(self, folder: str, clip_id: str, format: str) -> bool:
        try:
            return self._parts.shelf.stat((folder,), clip_id, format) is not None
        except AudioUnavailable as error:
            # It was kept when the result was fixed. A store that is away says nothing else.
            log.warning("The shelf cannot be read for a webhook: %s", error.why)
            return True


def as_text(wall: float) -> str:
    """A time for people, from seconds since 1970."""
    return datetime.fromtimestamp(wall, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
