"""The metrics for Prometheus, and the observer of calls to Suno."""

from __future__ import annotations

import os
from contextlib import suppress
from functools import cache

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from app import metrics_files

_UP_TO_SECONDS = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 120)


def _gauge(name: str, meaning: str, *labels: str) -> Gauge:
    """A gauge of which the worker that has set it last is right."""
    return Gauge(name, meaning, labels, multiprocess_mode="livemostrecent")


REQUESTS = Counter(
    "suno_stems_requests_total",
    "Requests answered, by route, method and status; code is the error code, or ok.",
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
    "Calls to Suno; outcome is the HTTP status, html if the answer was a web page, not_sent or no_whole_answer.",
    ["kind", "outcome"],
)
SUNO_SECONDS = Histogram(
    "suno_stems_suno_call_duration_seconds",
    "Time until a call to Suno was answered or given up.",
    ["kind"],
    buckets=_UP_TO_SECONDS,
)
SPLITS_PAID = Counter("suno_stems_splits_paid_total", "Splits that Suno took on: each is charged.")
CREDITS_SPENT = Counter(
    "suno_stems_credits_spent_total",
    "Credits that Suno charged or may have charged; account is the operator's name, or (own) for a request's cookie.",
    ["caller", "account", "task"],
)
BUDGET_LIMIT = _gauge("suno_stems_budget_limit", "Credits that a caller may spend in any 24 hours.", "caller")
BUDGET_LEFT = _gauge("suno_stems_budget_left", "Credits of that budget that are left.", "caller")
JOBS_BEHIND = _gauge("suno_stems_jobs_behind_seconds", "Seconds since the oldest due job became due.")
JOBS_OPEN = _gauge("suno_stems_jobs_open", "Open jobs: splits to follow, files to fetch, webhooks to send.")
JOBS_STALLED = _gauge(
    "suno_stems_jobs_stalled_seconds",
    "Seconds since the last progress of the open job that has made none for longest.",
)
JOBS_UNREAD = _gauge("suno_stems_jobs_suno_unread_seconds", "Seconds for which no job could read Suno.")
SLOTS_FREE = _gauge("suno_stems_fetch_slots_free", "How many more files the jobs processes may fetch at once.")
NO_SLOT = _gauge(
    "suno_stems_fetch_slots_taken_seconds", "Seconds for which no slot for fetching a file has been free."
)
JOBS_ENDED = _gauge("suno_stems_jobs_ended", "Ended jobs by outcome, over the life of the ledger.", "outcome")
NEEDS_PERSON = _gauge("suno_stems_needs_person", "Splits that wait for a person, because Suno wants a captcha.")
AUDIO_BYTES = _gauge("suno_stems_audio_bytes", "Bytes of kept audio, measured every few minutes.")
AUDIO_LIMIT = _gauge("suno_stems_audio_limit_bytes", "Maximum bytes of kept audio: AUDIO_LIMIT.")
AUDIO_FREE = _gauge("suno_stems_audio_free_bytes", "Free bytes on the disk of the kept audio.")
KEYS_REFUSED = Counter("suno_stems_keys_refused_total", "Requests with an API key that the service does not know.")
SIGN_INS = Counter("suno_stems_sign_ins_total", "Successful calls to Suno's sign-in: one or two per token.")
IN_DOUBT = Counter("suno_stems_in_doubt_total", "Requests that ended in doubt: Suno may have charged.")
WAITERS = Gauge(
    "suno_stems_waiters",
    "Requests that are waiting for Suno to complete stems.",
    multiprocess_mode="livesum",
)
DEFAULT_FAILURES = Counter(
    "suno_stems_house_failures_total",
    "Failed requests on the account of SUNO_COOKIE, by error code.",
    ["code"],
)
READY = _gauge(
    "suno_stems_ready",
    "1 if the part worked at its last check, else 0: /readyz checks all, /metrics all but the session.",
    "part",
)
LEDGER_DURABLE = _gauge(
    "suno_stems_ledger_durable",
    "1 if the ledger keeps what was paid when its server stops, 0 if not, or if that is not known.",
)
SETTINGS_STALE = _gauge(
    "suno_stems_settings_stale", "1 if a reload could not read the settings and the old ones are still used, else 0."
)
WORKER_STARTS = Counter("suno_stems_worker_starts_total", "Worker processes started.")

# Cached by labels: there are a few dozen combinations.
requests = cache(REQUESTS.labels)
request_seconds = cache(REQUEST_SECONDS.labels)
_suno_calls = cache(SUNO_CALLS.labels)
_suno_seconds = cache(SUNO_SECONDS.labels)
_credits_spent = cache(CREDITS_SPENT.labels)


def note_call(kind: str, outcome: str, seconds: float) -> None:
    """Count a call to Suno. Never raises: the call may have been paid for, and its answer must be returned."""
    with suppress(OSError, ValueError):
        _note_call(kind, outcome, seconds)


def _note_call(kind: str, outcome: str, seconds: float) -> None:
    _suno_calls(kind, outcome).inc()
    _suno_seconds(kind).observe(seconds)
    if outcome.startswith("2"):
        if kind == "split":
            SPLITS_PAID.inc()
        elif kind in ("sign_in", "token"):
            SIGN_INS.inc()


def note_spent(caller: str, account: str, task: str, credits: int) -> None:
    """Count credits. Never raises: they are spent, and the answer must be returned."""
    with suppress(OSError, ValueError):
        _credits_spent(caller, account or "(own)", task).inc(credits)


def are_off() -> bool:
    """Whether this worker counts only for itself, as there was no room for shared metrics."""
    return metrics_files.OFF in os.environ


def exposition() -> bytes:
    """The metrics of all workers, in the text format of Prometheus."""
    if metrics_files.FOLDER not in os.environ:
        return generate_latest(REGISTRY)
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry)
