"""Health, readiness and metrics."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import Any, cast

from flask import Flask, Response, current_app, jsonify, make_response
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4

from app import metrics
from app.accounts import budget_of
from app.audio.store import AudioUnavailable
from app.jobs.job import Outcome
from app.setting_rows import DEFAULT_AUDIO_URL
from app.settings import remembered
from app.splits.jobs import JobsReport
from app.splits.store import LedgerUnavailable
from app.web.access import require_metrics_key
from app.web.api import Api, Blueprint
from app.web.current import parts
from app.web.errors import ErrorCode, body, code_of
from app.web.schemas import Alive, NotReady, Ready

log = logging.getLogger(__name__)

JOBS_SEEN_SECONDS = 30.0
"""Seconds without a sign from the jobs process, or of delay, until `/readyz` reports it."""

SUNO_UNREAD_SECONDS, NO_FREE_SLOT_SECONDS, STALLED_SECONDS = 300.0, 1800.0, 3600.0
"""Seconds until `/readyz` reports that jobs cannot read Suno, find no fetch slot, or make no progress."""

NO_REPORT = JobsReport(slots=0, free_slots=0, no_slot_for=0.0, stalled_for=0.0, unread_for=0.0)
"""While no jobs process runs: `suno_stems_jobs_behind_seconds` shows that."""

CHECK_CACHED_SECONDS = 5.0
"""Seconds to cache the result of a check."""

EXAMPLE_METRICS = """\
# HELP suno_stems_splits_paid_total Splits that Suno took on: each is charged.
# TYPE suno_stems_splits_paid_total counter
suno_stems_splits_paid_total 3.0
"""

blueprint = Blueprint("health", __name__, description="For operators: no Suno account is charged")


class Check:
    """A readiness check of one part, cached for CHECK_CACHED_SECONDS."""

    def __init__(self, part: str, look: Callable[[], str]) -> None:
        """`look` returns the status of a working part, and raises what would fail a request."""
        self._part = part
        self._look = look
        self._lock = Lock()
        self._found = ("", False)
        self._until = 0.0

    def find(self) -> tuple[str, bool]:
        """The part's status, and whether it works."""
        with self._lock:
            if time.monotonic() >= self._until:
                self._found = self._look_now()
                self._until = time.monotonic() + CHECK_CACHED_SECONDS
            return self._found

    def _look_now(self) -> tuple[str, bool]:
        try:
            found, works = self._look(), True
        except Exception as error:
            code = code_of(error)
            found, works = code.slug, False
            # The text of an unknown error may contain a secret.
            why = type(error).__name__ if code is ErrorCode.INTERNAL_ERROR else str(error)
            log.warning("Not ready, %s: %s", self._part, why)
        metrics.READY.labels(self._part).set(works)
        return found, works


def register(app: Flask, api: Api) -> None:
    """Add the blueprint."""
    app.extensions["checks"] = {"session": Check("session", _session), "ledger": Check("ledger", _ledger)}
    api.register_blueprint(blueprint)


@blueprint.route("/healthz")
@blueprint.response(200, Alive, example={"status": "ok"})
@blueprint.doc(operationId="healthz", security=[])
def healthz() -> dict[str, str]:
    """Check that the process answers.

    Nothing else is checked: restart a process that fails this.
    """
    return {"status": "ok"}


@blueprint.route("/readyz")
@blueprint.response(200, Ready, example={"status": "ok", "checks": {"session": "ok", "ledger": "ok"}})
@blueprint.alt_response(
    503,
    schema=NotReady,
    description=f"- `{ErrorCode.NOT_READY.slug}`: {ErrorCode.NOT_READY.meaning}",
    example={
        "error": "Not ready: session (suno_session_expired). The log says more.",
        "code": "not_ready",
        "request_id": "5f0c7d9e3a4b4a7f8f7c1b1d3c2e9a10",
        "checks": {"session": "suno_session_expired", "ledger": "ok"},
    },
)
@blueprint.doc(operationId="readyz", security=[])
def readyz() -> Response:
    """Check whether a split could be served now.

    Checks that the cookie of SUNO_COOKIE still signs in, and that the ledger can be written. Free. Results are cached
    for a few seconds.
    """
    return _readiness()


@blueprint.route("/metrics")
@blueprint.response(
    200,
    {"type": "string"},
    content_type="text/plain",
    description="In Prometheus' text format.",
    example=EXAMPLE_METRICS,
)
@blueprint.fails_with(ErrorCode.API_KEY_REQUIRED, ErrorCode.NOT_ALLOWED)
@blueprint.doc(operationId="metrics")
def tell_metrics() -> Response:
    """Get the metrics of all workers.

    They need the operator's `METRICS_KEY`; an API key does not open them. If it is not set, only requests from the
    service's own machine, without a proxy, may read them.
    """
    require_metrics_key()
    _look_at_budgets()
    with suppress(LedgerUnavailable):
        _look_at_jobs()
    with suppress(AudioUnavailable):
        _look_at_audio()
    _look_at_readiness()
    with suppress(LedgerUnavailable):
        # As the readiness check has just seen it.
        metrics.LEDGER_DURABLE.set(parts().ledger.durability.is_durable())
    return Response(metrics.exposition(), content_type=CONTENT_TYPE_PLAIN_0_0_4)


def _look_at_budgets() -> None:
    """Update the gauges of budgets: what is left grows with time."""
    for caller in parts().settings.callers:
        if budget := budget_of(caller, "credits"):
            with suppress(LedgerUnavailable):
                metrics.BUDGET_LEFT.labels(caller.name).set(parts().ledger.left(budget).amount)
                metrics.BUDGET_LIMIT.labels(caller.name).set(budget.limit)


def _look_at_jobs() -> None:
    ledger = parts().ledger
    metrics.JOBS_BEHIND.set(ledger.jobs.behind())
    metrics.JOBS_OPEN.set(ledger.jobs.count_open())
    metrics.NEEDS_PERSON.set(ledger.waits.count())
    report = ledger.jobs.report() or NO_REPORT
    metrics.JOBS_STALLED.set(report.stalled_for)
    metrics.JOBS_UNREAD.set(report.unread_for)
    metrics.SLOTS_FREE.set(report.free_slots)
    metrics.NO_SLOT.set(report.no_slot_for)
    for outcome, number in (dict.fromkeys(map(str, Outcome), 0) | ledger.jobs.outcomes()).items():
        metrics.JOBS_ENDED.labels(outcome).set(number)


def _look_at_audio() -> None:
    shelf = parts().shelf
    if (size := parts().survey.size()) is not None:
        metrics.AUDIO_BYTES.set(size)
    metrics.AUDIO_LIMIT.set(shelf.limit)
    if (free := shelf.free()) is not None:
        metrics.AUDIO_FREE.set(free)


def _look_at_readiness() -> None:
    """Check what needs no call to Suno: nobody may ask `/readyz`, and an alert needs the truth."""
    _checks()["ledger"].find()
    _audio()


def _checks() -> dict[str, Check]:
    return cast(dict[str, Check], current_app.extensions["checks"])


def _readiness() -> Response:
    found = {part: check.find() for part, check in _checks().items()}
    reply: dict[str, Any] = {"checks": {part: tells for part, (tells, _) in found.items()}}
    if current_app.config["METRICS_ARE_OFF"]:
        reply["checks"]["metrics"] = "off"
    if (jobs := _jobs()) is not None:
        reply["checks"]["jobs"] = jobs
    if (audio := _audio()) is not None:
        reply["checks"]["audio"] = audio
    if remembered.complaint:
        reply["checks"]["settings"] = f"stale: {remembered.complaint}"
    failing = [f"{part} ({tells})" for part, (tells, works) in found.items() if not works]
    if failing:
        sentence = f"Not ready: {', '.join(failing)}. The log says more."
        return make_response(jsonify(body(ErrorCode.NOT_READY, sentence) | reply), ErrorCode.NOT_READY.status)
    return jsonify({"status": "ok"} | reply)


def _jobs() -> str | None:
    """The status of the jobs process; None if there are no webhooks and no open jobs.

    It never fails readiness: jobs are kept until a process runs them.
    """
    ledger, expected = parts().ledger, any(parts().settings.webhook_secrets_by_caller.values())
    try:
        if not expected and not ledger.jobs.count_open():
            return None
        seen, behind, report = ledger.jobs.consumer_seen(), ledger.jobs.behind(), ledger.jobs.report()
    except LedgerUnavailable:
        return "unknown" if expected else None
    if seen is None or seen > JOBS_SEEN_SECONDS:
        return "no process runs them: run python -m app.jobs"
    if behind > JOBS_SEEN_SECONDS:
        return f"{behind:.0f} s behind"
    return _what_stands(report) if report else "ok"


def _what_stands(report: JobsReport) -> str:
    if report.unread_for > SUNO_UNREAD_SECONDS:
        return f"Suno could not be read for {report.unread_for:.0f} s"
    if report.no_slot_for > NO_FREE_SLOT_SECONDS:
        return f"no fetch slot was free for {report.no_slot_for:.0f} s"
    if report.stalled_for > STALLED_SECONDS:
        return f"a job has made no progress for {report.stalled_for:.0f} s"
    return "ok"


def _audio() -> str | None:
    """The state of the store of kept audio; None if AUDIO_URL was not changed, and nothing was ever kept there.

    It never fails readiness: a split without files needs no store.
    """
    url = parts().settings.audio_url
    if url == DEFAULT_AUDIO_URL and not Path(url).exists():
        return None
    state = parts().survey.state()
    if state != "unknown":
        metrics.READY.labels("audio").set(state == "ok")
    return state


def _session() -> str:
    account = parts().accounts.default
    if account is None:
        return "not_configured"
    parts().gateway.sign_in(account)
    return "ok"


def _ledger() -> str:
    ledger = parts().ledger
    ledger.check()
    found = ledger.durability.look()
    if found.is_durable:
        return "ok"
    return "not durable" if found.is_known else "not known to be durable"
