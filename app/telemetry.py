"""What an operator sees: the request id, the log's line for each request, the metrics."""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from http import HTTPMethod

from flask import Flask, Response, g, has_request_context, request
from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from app import logs
from app.access import caller_of_request
from app.ids import new_id
from app.suno.session import Account

log = logging.getLogger(__name__)

_SANE = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_METHODS = frozenset(HTTPMethod)
_QUIET = frozenset({"/healthz", "/readyz", "/metrics"})
"""Routes asked every few seconds: their lines are for DEBUG, unless they fail."""

_UP_TO_SECONDS = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 120)

REQUESTS = Counter(
    "suno_stems_requests_total",
    "Requests answered, by route, method and status; code is the error's, or ok.",
    ["route", "method", "status", "code"],
)
REQUEST_SECONDS = Histogram(
    "suno_stems_request_duration_seconds",
    "Time until a request was answered.",
    ["route"],
    buckets=_UP_TO_SECONDS,
)
SUNO_CALLS = Counter(
    "suno_stems_suno_calls_total",
    "Calls to Suno; outcome is the answer's status, html where it was a web page, not_sent or no_whole_answer.",
    ["kind", "outcome"],
)
SUNO_SECONDS = Histogram(
    "suno_stems_suno_call_duration_seconds",
    "Time until a call to Suno was answered or given up.",
    ["kind"],
    buckets=_UP_TO_SECONDS,
)
SPLITS_PAID = Counter("suno_stems_splits_paid_total", "Splits that Suno took on: each is charged.")
SIGN_INS = Counter("suno_stems_sign_ins_total", "Tokens that Suno's sign-in gave.")
IN_DOUBT = Counter("suno_stems_in_doubt_total", "Requests that ended without knowing whether Suno has charged.")
WAITERS = Gauge(
    "suno_stems_waiters",
    "Requests that wait for Suno to complete stems.",
    multiprocess_mode="livesum",
)
HOUSE_FAILURES = Counter(
    "suno_stems_house_failures_total",
    "Requests on the account of SUNO_COOKIE that failed, by the error's code.",
    ["code"],
)
READY = Gauge(
    "suno_stems_ready",
    "Whether /readyz last found the part working: 1 or 0.",
    ["part"],
    multiprocess_mode="livemostrecent",
)
WORKER_STARTS = Counter("suno_stems_worker_starts_total", "Worker processes started.")

# A series found once for its labels, of which there are a few dozen: to find them each time costs 3 % of a split.
_requests = cache(REQUESTS.labels)
_request_seconds = cache(REQUEST_SECONDS.labels)
_suno_calls = cache(SUNO_CALLS.labels)
_suno_seconds = cache(SUNO_SECONDS.labels)


@dataclass(slots=True)
class Record:
    """What is known of a request so far."""

    request_id: str
    started: float
    suno_seconds: float = 0.0
    suno_calls: int = 0
    account: str | None = None
    of_house: bool = False
    code: str | None = None


def register(app: Flask) -> None:
    """Observe every request of the app. Call this first, so that nothing is done before or after it."""
    app.before_request(_begin)
    app.after_request(_end)
    # Series that begin at their first event hide it: Prometheus sees no increase from nothing to one.
    for outcome in ("200", "500", "html", "not_sent", "no_whole_answer"):
        SUNO_CALLS.labels("split", outcome)
    WORKER_STARTS.inc()


def set_up_logging(level: str, form: str | None) -> None:
    """Log to standard error through the standard library."""
    handler = logging.StreamHandler()
    handler.setFormatter(logs.formatter(form))
    logging.basicConfig(level=level, handlers=[handler])
    # It quotes what it cannot read of a reply's headers, cookies included, and the path of each request.
    logging.getLogger("urllib3").setLevel(logging.CRITICAL)


def expect_codes(codes: Iterable[str]) -> None:
    """Tell metrics which codes there are."""
    for code in codes:
        HOUSE_FAILURES.labels(code)


def request_id() -> str:
    """The caller's X-Request-ID where it is sane, else one made for this request."""
    return _record().request_id


def note_account(account: Account) -> None:
    """Remember which Suno account the request speaks for."""
    record = _record()
    record.account = account.key[:12]
    record.of_house = account.is_house


def note_code(code: str) -> None:
    """Remember with which error the request ends."""
    _record().code = code


def note_call(kind: str, outcome: str, seconds: float) -> None:
    """Count a call to Suno, for its request where it has one. This is the observer of app/suno/."""
    _suno_calls(kind, outcome).inc()
    _suno_seconds(kind).observe(seconds)
    if outcome.startswith("2"):
        if kind == "split":
            SPLITS_PAID.inc()
        elif kind == "token":
            SIGN_INS.inc()
    if has_request_context():
        record = _record()
        record.suno_seconds += seconds
        record.suno_calls += 1


def exposition() -> bytes:
    """The metrics of all workers, in Prometheus' text format."""
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return generate_latest(REGISTRY)
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry)


def _begin() -> None:
    given = request.headers.get("X-Request-ID", "")
    g.record = Record(given if _SANE.fullmatch(given) else new_id(), time.perf_counter())


def _record() -> Record:
    record: Record = g.record
    return record


def _end(response: Response) -> Response:
    record = _record()
    response.headers["X-Request-ID"] = record.request_id
    seconds = time.perf_counter() - record.started
    # Not the path: anyone can make up as many of those as they like, with anything in them.
    route = request.url_rule.rule if request.url_rule else "(none)"
    method = request.method if request.method in _METHODS else "(other)"
    status = response.status_code
    _requests(route, method, str(status), record.code or "ok").inc()
    _request_seconds(route).observe(seconds)
    if record.of_house and record.code:
        HOUSE_FAILURES.labels(record.code).inc()
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
            "caller": caller_of_request() or None,
        }
        log.log(level, "%s %s %d", method, route, status, extra=fields)
    return response
