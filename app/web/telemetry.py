"""Observability of requests: ids, log lines, metrics."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass
from http import HTTPMethod

from flask import Flask, Response, has_request_context

from app import metrics
from app.callers import DEFAULT_ACCOUNT
from app.ids import new_id
from app.settings import remembered
from app.suno.session import Account
from app.web.access import caller_of_request
from app.web.current import current_request, of_request

log = logging.getLogger(__name__)

_SANE = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_METHODS = frozenset(HTTPMethod)
_QUIET = frozenset({"/healthz", "/readyz", "/metrics"})
"""Routes that are polled every few seconds: logged at DEBUG, unless they fail."""


@dataclass(slots=True)
class Record:
    """What is recorded of a request so far."""

    request_id: str
    started: float
    suno_seconds: float = 0.0
    suno_calls: int = 0
    account: str | None = None
    of_default: bool = False
    code: str | None = None


def register(app: Flask) -> None:
    """Observe every request of the app. Call this first, so that its hooks run first and last."""
    app.before_request(_begin)
    app.after_request(_end)
    # Start at 0, or Prometheus misses the first increase.
    for outcome in ("200", "500", "html", "not_sent", "no_whole_answer"):
        metrics.SUNO_CALLS.labels("split", outcome)
    metrics.WORKER_STARTS.inc()
    metrics.SETTINGS_STALE.set(bool(remembered.complaint))


def expect_codes(codes: Iterable[str]) -> None:
    """Start a series at 0 for each error code."""
    for code in codes:
        metrics.DEFAULT_FAILURES.labels(code)


def request_id() -> str:
    """The caller's X-Request-ID if it is valid, otherwise a new id."""
    return _record().request_id


def note_account(account: Account) -> None:
    """Record the request's Suno account."""
    record = _record()
    record.account = account.name or account.cookie_hash[:12]
    record.of_default = account.name == DEFAULT_ACCOUNT


def note_code(code: str) -> None:
    """Record the request's error code."""
    _record().code = code


def note_call(kind: str, outcome: str, seconds: float) -> None:
    """Count a call to Suno, also for the current request if there is one. The observer of app/suno/."""
    metrics.note_call(kind, outcome, seconds)
    if has_request_context():
        record = _record()
        record.suno_seconds += seconds
        record.suno_calls += 1


def _begin() -> None:
    # Not from `request.headers`: Werkzeug raises an error for each header that is missing.
    given = current_request().environ.get("HTTP_X_REQUEST_ID", "")
    of_request().record = Record(given if _SANE.fullmatch(given) else new_id(), time.perf_counter())


def _record() -> Record:
    record: Record = of_request().record
    return record


def _end(response: Response) -> Response:
    record = _record()
    response.headers.add("X-Request-ID", record.request_id)
    seconds = time.perf_counter() - record.started
    # Not the path: clients can make up any number of paths, with any content.
    request = current_request()
    rule, method = request.url_rule, request.method
    route = rule.rule if rule else "(none)"
    method = method if method in _METHODS else "(other)"
    status = response.status_code
    metrics.requests(route, method, str(status), record.code or "ok").inc()
    metrics.request_seconds(route).observe(seconds)
    if record.of_default and record.code:
        metrics.DEFAULT_FAILURES.labels(record.code).inc()
    level = logging.WARNING if status >= 500 else logging.DEBUG if route in _QUIET else logging.INFO
    if log.isEnabledFor(level):
        fields = {
            "request_id": record.request_id,
            "method": method,
            "route": route,
            "status": status,
            "code": record.code,
            "duration": round(seconds, 4),
            "suno_duration": round(record.suno_seconds, 4),
            "suno_calls": record.suno_calls,
            "account": record.account,
            "caller": caller_of_request().name or None,
        }
        log.log(level, "%s %s %d", method, route, status, extra=fields)
    return response
