"""The series that Prometheus reads, and the observer of calls to Suno."""

from __future__ import annotations

import os
from contextlib import suppress
from functools import cache

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

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
CREDITS_SPENT = Counter(
    "suno_stems_credits_spent_total",
    "Credits that Suno charged, or perhaps did; account is the operator's name, or (own) where a request brought it.",
    ["caller", "account", "task"],
)
BUDGET_LIMIT = Gauge(
    "suno_stems_budget_limit",
    "Credits that a caller may spend in any 24 hours.",
    ["caller"],
    multiprocess_mode="livemostrecent",
)
BUDGET_LEFT = Gauge(
    "suno_stems_budget_left",
    "Credits of it that are left.",
    ["caller"],
    multiprocess_mode="livemostrecent",
)
JOBS_BEHIND = Gauge(
    "suno_stems_jobs_behind_seconds",
    "For how long the oldest job has been due.",
    multiprocess_mode="livemostrecent",
)
JOBS_OPEN = Gauge(
    "suno_stems_jobs_open",
    "Jobs that are not over: splits that are followed, files to fetch, webhooks to send.",
    multiprocess_mode="livemostrecent",
)
JOBS_ENDED = Gauge(
    "suno_stems_jobs_ended",
    "What jobs have come to, over the life of the ledger.",
    ["outcome"],
    multiprocess_mode="livemostrecent",
)
AUDIO_BYTES = Gauge(
    "suno_stems_audio_bytes",
    "Bytes of audio that are kept, looked at every few minutes.",
    multiprocess_mode="livemostrecent",
)
AUDIO_LIMIT = Gauge(
    "suno_stems_audio_limit_bytes",
    "Bytes of audio that are kept at most: AUDIO_LIMIT.",
    multiprocess_mode="livemostrecent",
)
AUDIO_FREE = Gauge(
    "suno_stems_audio_free_bytes",
    "Bytes that are free on the disk that audio is kept on.",
    multiprocess_mode="livemostrecent",
)
SIGN_INS = Counter("suno_stems_sign_ins_total", "Calls to Suno's sign-in that it answered: one or two for a token.")
IN_DOUBT = Counter("suno_stems_in_doubt_total", "Requests that ended without knowing whether Suno has charged.")
WAITERS = Gauge(
    "suno_stems_waiters",
    "Requests that wait for Suno to complete stems.",
    multiprocess_mode="livesum",
)
DEFAULT_FAILURES = Counter(
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
SETTINGS_STALE = Gauge(
    "suno_stems_settings_stale",
    "1 where a reload could not read the settings, so that older ones are in force; else 0.",
    multiprocess_mode="livemostrecent",
)
WORKER_STARTS = Counter("suno_stems_worker_starts_total", "Worker processes started.")

# A series is found once for its labels, of which there are a few dozen.
requests = cache(REQUESTS.labels)
request_seconds = cache(REQUEST_SECONDS.labels)
_suno_calls = cache(SUNO_CALLS.labels)
_suno_seconds = cache(SUNO_SECONDS.labels)
_credits_spent = cache(CREDITS_SPENT.labels)


def note_call(kind: str, outcome: str, seconds: float) -> None:
    """Count a call to Suno. Never raises: the call may have been paid for, and its answer is on its way."""
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
    """Count credits. Never raises: they are spent, and the answer is on its way."""
    with suppress(OSError, ValueError):
        _credits_spent(caller, account or "(own)", task).inc(credits)


def are_off() -> bool:
    """Whether this worker counts for itself alone, as there was no room to count in together."""
    return "SUNO_STEMS_METRICS_OFF" in os.environ


def exposition() -> bytes:
    """The metrics of all workers, in Prometheus' text format."""
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return generate_latest(REGISTRY)
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry)
