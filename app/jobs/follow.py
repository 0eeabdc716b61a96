"""One job: follow a split until its stems are final, then tell its webhook, again and again until it is taken.

Every step may be done twice, by two processes or after a crash, and does no harm then.
"""

from __future__ import annotations

import json
import logging
import random
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from app.accounts import AccountNames, Accounts
from app.jobs.webhook import Attempt, send
from app.splits.ledger import Ledger
from app.splits.split import Split
from app.splits.store import Entry, State
from app.splits.watch import Watch
from app.suno.clip import Clip
from app.suno.errors import SunoError
from app.suno.gateway import SunoGateway
from app.suno.session import Account
from app.suno.stems import StemChoice, StemTask, numbered
from app.timing import Timing

log = logging.getLogger(__name__)

CLAIM = 45.0
"""Seconds for which a process has a job to itself. Whoever dies with one is followed after that."""

LOOKS_FOR = 15.0
"""Seconds for which a job waits for its stems before it is put back."""

FOLLOWED_FOR = 3600.0
"""Seconds after which a split that is still not final is told as failed."""

DELAYS = (5.0, 300.0, 1800.0, 7200.0, 18_000.0, 36_000.0, 50_400.0, 72_000.0, 86_400.0)
"""Seconds between two attempts, about; after the last one the webhook is given up."""

LONGEST_DELAY = 86_400.0
"""Seconds, whatever the receiver asks for."""


def new_job(
    *, account: str, caller: str, request_id: str, song_id: str, choice: StemChoice, url: str
) -> dict[str, Any]:
    """A job as the ledger keeps it, which is JSON. No secret is in it."""
    return {
        "state": "following",
        "webhook_url": url,
        "webhook_id": f"msg_{uuid.uuid4().hex}",
        "account": account,
        "caller": caller,
        "request_id": request_id,
        "song_id": song_id,
        "task": choice.task.value,
        "stem_name": choice.stem_name,
        "began": time.time(),
        "body": None,
        "attempts": [],
        "next_at": None,
        "not_before": 0.0,
    }


class Follower:
    """Does jobs. One for a process."""

    def __init__(
        self,
        *,
        gateway: SunoGateway,
        ledger: Ledger,
        watch: Watch,
        accounts: Accounts,
        names: AccountNames,
        timing: Timing,
        secrets: Mapping[str, Sequence[str]],
        hosts: Sequence[str],
        put: Callable[[str, float], None],
        is_stopping: Callable[[], bool],
    ) -> None:
        """`secrets`: what signs for a caller, by name; "" for all others. `put` lets a job be looked at later."""
        self._gateway, self._ledger, self._watch, self._timing = gateway, ledger, watch, timing
        self._accounts, self._names = accounts, names
        self._secrets, self._hosts = secrets, hosts
        self._put, self._is_stopping = put, is_stopping

    def run(self, id: str) -> None:
        """Do what can be done now for the job of an entry. Raises LedgerUnavailable."""
        job = self._ledger.claim_job(id, CLAIM)
        if job is None:
            return
        due_in: float | None = 30.0
        try:
            match job["state"]:
                case "following":
                    job, due_in = self._follow(id, job)
                case "delivering" if (early := job["not_before"] - time.time()) > 0:
                    due_in = early
                case "delivering":
                    job, due_in = self._deliver(job)
                case _:
                    # The queue may have it twice.
                    due_in = None
        finally:
            self._ledger.put_job(id, job, due_in)
        if due_in is not None and not self._is_stopping():
            self._put(id, due_in)

    def _follow(self, id: str, job: dict[str, Any]) -> tuple[dict[str, Any], float | None]:
        """Learn what there is to tell."""
        entry = self._ledger.get(id)
        is_late = time.time() - job["began"] > FOLLOWED_FOR
        if entry is None:
            return self._told(job, "stems.failed", (), None, "Nothing is known of this split any more.")
        if entry.state is State.STARTED:
            return job, max(1.0, -self._ledger.over_for(entry))
        account = self._account_of(job, entry)
        if entry.state is State.IN_DOUBT:
            found = self._find_out(job, account, entry)
            if found is None:
                if is_late:
                    return self._told(
                        job, "stems.failed", (), None, "Suno was asked, and no answer came: it may have charged."
                    )
                return job, max(1.0, self._timing.poll_interval)
            if found.state is not State.DONE:
                return self._told(
                    job, "stems.failed", (), False, "Suno was asked, and made no stems. Nothing was charged."
                )
            entry = found
        stems: Sequence[Clip] = entry.stems
        if account is not None:
            stems = self._watch.wait_for(account, stems, patience=LOOKS_FOR, stopping=self._is_stopping)
        if not all(stem.is_final for stem in stems):
            if is_late:
                return self._told(job, "stems.failed", stems, True, "The stems were paid for, and are not complete.")
            return job, 0.0 if account else max(30.0, self._timing.poll_interval)
        if any(stem.status == "error" for stem in stems):
            return self._told(job, "stems.failed", stems, True, "Suno could not make all of the stems.")
        return self._told(job, "stems.completed", stems, True, None)

    def _account_of(self, job: dict[str, Any], entry: Entry) -> Account | None:
        """The account that was asked; None where its name leads to another by now, or it cannot sign in."""
        account = self._accounts.by_name(job["account"])
        try:
            if account and entry.account in self._names.of(account, ledger_needed=False):
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
        self, job: dict[str, Any], kind: str, stems: Sequence[Clip], charged: bool | None, error: str | None
    ) -> tuple[dict[str, Any], float | None]:
        """What is to be told, from now on the same whatever comes; it is delivered at once."""
        data = {
            "request_id": job["request_id"],
            "audio_id": job["song_id"],
            "stem_task": job["task"],
            "stems": _listed(stems),
        }
        if kind == "stems.failed":
            data |= {"charged": charged, "error": error}
        body = json.dumps({"type": kind, "timestamp": datetime.now(UTC).isoformat(), "data": data})
        return {**job, "state": "delivering", "body": body}, 0.0

    def _deliver(self, job: dict[str, Any]) -> tuple[dict[str, Any], float | None]:
        secrets = self._secrets.get(job["caller"]) or self._secrets.get("", ())
        if not secrets:
            attempt = Attempt(None, "WEBHOOK_SECRET is not set any more")
        else:
            attempt = send(job["webhook_url"], job["body"], job["webhook_id"], secrets, self._hosts)
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
        log.warning("The webhook of request %s was not taken: %s", job["request_id"], attempt.status or attempt.said)
        return {**job, "next_at": _now(delay), "not_before": time.time() + delay}, delay


def again(job: dict[str, Any]) -> dict[str, Any]:
    """A job whose webhook is to be sent again, whatever became of it before."""
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
