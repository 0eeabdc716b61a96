"""Errors over HTTP: one table, one handler, one shape."""

from __future__ import annotations

import logging
import traceback
from enum import Enum
from typing import Any

from flask import Flask
from flask.typing import ResponseReturnValue
from gunicorn.http.errors import ParseException
from werkzeug.exceptions import HTTPException

from app import metrics
from app.accounts import CallerNotAllowed
from app.audio.links import LinkRefused
from app.audio.store import AudioFull, AudioUnavailable
from app.charge import ChargeIsKnown
from app.splits.budget import OverBudget
from app.splits.refusals import InProgress, KeyReused, SplitNotFound
from app.splits.store import LedgerUnavailable
from app.splits.waiting import TooManyWaiting
from app.suno import errors as suno
from app.timing import Stopping
from app.web import telemetry

log = logging.getLogger(__name__)


class CookieMissing(Exception):
    """Neither the request nor the operator names a Suno account."""


class AudioNotKept(Exception):
    """The file is not kept for this account; the text says how to get it."""


class NoLyrics(Exception):
    """Suno has no words in time for the song."""


class AudioIncomplete(Exception):
    """Some of the files are not kept; the text says which, and how to get them."""


class NotWaiting(Exception):
    """The request does not wait for a person (any more)."""


class WebhookNotAllowed(Exception):
    """The webhook cannot be sent; the text says why, and what would work."""


class OrderTooLarge(Exception):
    """An order has too many songs."""

    def __init__(self, most: int) -> None:
        super().__init__(f"An order has at most {most} songs: send several orders. Nothing was charged.")


class OverLimit(Exception):
    """Not one song of an order fits its limits."""

    def __init__(self) -> None:
        super().__init__(
            "Not one song fits the order's max_credits or max_downloads: raise them. quote: true tells what the "
            "songs would cost. Nothing was charged."
        )


class TooManyOpenOrders(Exception):
    """The caller has too many open orders."""

    def __init__(self, most: int) -> None:
        super().__init__(
            f"This caller may have no more open orders (OPEN_ORDERS={most}): wait until one ends, or cancel one. "
            "Nothing was charged."
        )


class OrderNotFound(Exception):
    """There is no such order of this caller."""

    def __init__(self) -> None:
        super().__init__(
            "This caller and account have no such order. An order is kept for ten days after its last change."
        )


class ErrorCode(Enum):
    """Every `code` of an error, with its HTTP status, its meaning, and what to do."""

    def __init__(self, status: int, meaning: str) -> None:
        self.slug = self.name.lower()
        self.status = status
        self.meaning = meaning

    INVALID_REQUEST = 400, "The request is malformed. `details` names each wrong field."
    WEBHOOK_NOT_ALLOWED = 400, "This webhook cannot be sent. `error` says why, and what would work."
    ORDER_TOO_LARGE = 400, "The order has more than 200 songs. Send several orders."
    REFUSED_BY_SUNO = 400, "Suno rejected the request. `error` has Suno's message."
    API_KEY_REQUIRED = (
        401,
        "The operator has set API keys. Send one as `Authorization: Bearer <key>` or `X-API-Key: <key>`. For "
        "`/metrics`, send the operator's `METRICS_KEY`.",
    )
    SUNO_COOKIE_MISSING = 401, "There is no Suno account. Send `X-Suno-Cookie` or set `SUNO_COOKIE`."
    SUNO_SESSION_EXPIRED = (
        401,
        "Suno rejected the cookie that `error` names. `error` also says how to copy a new one.",
    )
    OUT_OF_CREDITS = 402, "The Suno account is out of credits. Buy credits, or wait for the next month."
    OVER_BUDGET = (
        402,
        "The request exceeds the operator's budget for the API key or the account. The paid call was not sent. Wait "
        "for `Retry-After` seconds, if the reply has it.",
    )
    OVER_LIMIT = (
        402,
        "Not one song of the order fits its own `max_credits` or `max_downloads`. Raise them. Nothing was charged.",
    )
    CAPTCHA_REQUIRED = (
        403,
        "Suno wants a captcha. Split the song at suno.com, and get its stems with `reuse_existing: true`; or make "
        'one song there, and try again. With `on_captcha: "wait"` the request waits for that. Nothing was charged.',
    )
    NOT_ALLOWED = (
        403,
        "Not in the account's plan, not the account's song, not allowed for this API key or web page, or a file's "
        "URL that was changed or has expired. `error` says which.",
    )
    SONG_NOT_FOUND = 404, "Suno knows no such song on this account."
    NOT_FOUND = 404, "There is no such path (see `/docs`), or this caller and account have no such request."
    AUDIO_NOT_KEPT = 404, "The file is not kept for this account. `POST /api/audio` fetches it."
    NO_LYRICS = 404, "Suno has no words in time for this song, for example because it is an instrumental."
    METHOD_NOT_ALLOWED = 405, "The path does not support this method. See `Allow`."
    REQUEST_TIMEOUT = 408, "The body was not complete within `BODY_TIMEOUT`. Send it again."
    IN_PROGRESS = (
        409,
        "A request with this `Idempotency-Key` is still running, or is in doubt. Send it again after `Retry-After` "
        "seconds. If `error` names stems, a new key with `reuse_existing: true` gets them for free. With "
        "`reuse_existing` also: another request makes such stems now, or may have made them in the last 10 minutes.",
    )
    AUDIO_INCOMPLETE = (
        409,
        "Some of the stems are not kept in this format. `error` names them. `POST /api/audio` fetches them.",
    )
    NOT_WAITING = (
        409,
        "The request does not wait for a person (any more), so it can be neither tried again nor cancelled. "
        "`GET /api/requests/{request_id}` has its state.",
    )
    BODY_TOO_LARGE = 413, "The body is longer than 64 KiB."
    NOT_JSON = 415, "Send the body as `Content-Type: application/json`."
    IDEMPOTENCY_KEY_REUSED = (
        422,
        "This `Idempotency-Key` was used for another request. Use a new key for each split.",
    )
    RATE_LIMITED = (
        429,
        "Too many requests to Suno, too many running jobs, or too many of the caller's own orders or requests that "
        "wait for a person: `error` says which. Wait for `Retry-After` seconds, if the reply has it.",
    )
    SUNO_FAILED = (
        500,
        "Suno replied with a 5xx, or with something that is not its JSON. `error` says whether it may have charged.",
    )
    INTERNAL_ERROR = 500, "A bug in this service. Its log says where, under the `request_id`."
    SUNO_UNREACHABLE = 503, "Suno could not be reached. Nothing was charged: try again."
    OUTCOME_UNKNOWN = (
        503,
        "The paid call was sent to Suno, and no complete reply came. Suno may have charged. Look for the song's "
        "stems (`GET /api/stems`, free) before you try again.",
    )
    STOPPING = (
        503,
        "The service is stopping or restarting, and has no time left for a paid call. This request sent none. Send "
        "it again, with the same `Idempotency-Key` if it has one.",
    )
    LEDGER_UNAVAILABLE = (
        503,
        "The ledger cannot be used now, and the request needs it. This request sent no split to Suno. If Suno has "
        "counted downloads, `error` names their songs. Try again.",
    )
    AUDIO_UNAVAILABLE = (
        503,
        "The kept audio cannot be read or written now. This request sent no split to Suno: try again.",
    )
    NOT_READY = 503, "Only from `/readyz`: `checks` names what fails. Splits would fail too."
    AUDIO_FULL = (
        507,
        "There is no room for another file. This request sent no split to Suno. The operator has to free space, or "
        "raise `AUDIO_LIMIT`.",
    )


LOOK_FIRST = (
    "Suno may have charged for it: before you ask again, look for its stems with GET /api/stems?audio_id=…, "
    "which is free."
)

ASK_AGAIN = (
    "It may have been counted against the plan's downloads. Send this again in a minute: the service checks the "
    "song before it asks Suno again."
)

OF_EXCEPTION: dict[type[Exception], ErrorCode] = {
    CookieMissing: ErrorCode.SUNO_COOKIE_MISSING,
    InProgress: ErrorCode.IN_PROGRESS,
    CallerNotAllowed: ErrorCode.NOT_ALLOWED,
    LinkRefused: ErrorCode.NOT_ALLOWED,
    AudioNotKept: ErrorCode.AUDIO_NOT_KEPT,
    NoLyrics: ErrorCode.NO_LYRICS,
    AudioIncomplete: ErrorCode.AUDIO_INCOMPLETE,
    AudioFull: ErrorCode.AUDIO_FULL,
    AudioUnavailable: ErrorCode.AUDIO_UNAVAILABLE,
    WebhookNotAllowed: ErrorCode.WEBHOOK_NOT_ALLOWED,
    NotWaiting: ErrorCode.NOT_WAITING,
    OverBudget: ErrorCode.OVER_BUDGET,
    KeyReused: ErrorCode.IDEMPOTENCY_KEY_REUSED,
    LedgerUnavailable: ErrorCode.LEDGER_UNAVAILABLE,
    SplitNotFound: ErrorCode.NOT_FOUND,
    OrderNotFound: ErrorCode.NOT_FOUND,
    OrderTooLarge: ErrorCode.ORDER_TOO_LARGE,
    OverLimit: ErrorCode.OVER_LIMIT,
    TooManyOpenOrders: ErrorCode.RATE_LIMITED,
    TooManyWaiting: ErrorCode.RATE_LIMITED,
    Stopping: ErrorCode.STOPPING,
    suno.SessionExpired: ErrorCode.SUNO_SESSION_EXPIRED,
    suno.OutOfCredits: ErrorCode.OUT_OF_CREDITS,
    suno.CaptchaRequired: ErrorCode.CAPTCHA_REQUIRED,
    suno.NotAllowed: ErrorCode.NOT_ALLOWED,
    suno.SongNotFound: ErrorCode.SONG_NOT_FOUND,
    suno.RateLimited: ErrorCode.RATE_LIMITED,
    suno.RefusedBySuno: ErrorCode.REFUSED_BY_SUNO,
    suno.SunoFailed: ErrorCode.SUNO_FAILED,
    suno.SunoUnreachable: ErrorCode.SUNO_UNREACHABLE,
    suno.OutcomeUnknown: ErrorCode.OUTCOME_UNKNOWN,
}

OF_STATUS: dict[int, tuple[ErrorCode, str]] = {
    401: (ErrorCode.API_KEY_REQUIRED, ""),  # app/web/access.py says why
    404: (ErrorCode.NOT_FOUND, "There is nothing at this path; /docs lists what there is."),
    405: (
        ErrorCode.METHOD_NOT_ALLOWED,
        "This path does not support that method; the header Allow names those that it supports.",
    ),
    408: (ErrorCode.REQUEST_TIMEOUT, ""),
    413: (ErrorCode.BODY_TOO_LARGE, "The body is longer than 64 KiB."),
    415: (ErrorCode.NOT_JSON, "Send the body as JSON, with Content-Type: application/json."),
    500: (ErrorCode.INTERNAL_ERROR, "Something went wrong in this service; its log has more under this request id."),
}


def register(app: Flask) -> None:
    """Answer every error of the app in one shape, including unknown paths and crashes."""
    telemetry.expect_codes(code.slug for code in ErrorCode)
    app.register_error_handler(Exception, handle)
    # flask-smorest has registered its own handler for these.
    app.register_error_handler(HTTPException, handle)


def handle(error: Exception) -> ResponseReturnValue:
    """Make the response to an error."""
    if isinstance(error, HTTPException):
        return _handle_http(error)
    if isinstance(error, ParseException):
        return body(ErrorCode.INVALID_REQUEST, "The body's chunks are malformed."), 400
    code = code_of(error)
    if code is ErrorCode.INTERNAL_ERROR:
        _log_crash(error)
        return body(*OF_STATUS[500]), 500
    sentence = str(error)
    if isinstance(error, ChargeIsKnown) and error.may_have_charged:
        metrics.IN_DOUBT.inc()
        is_download = isinstance(error, suno.SunoError) and error.is_download
        sentence = f"{sentence} {ASK_AGAIN if is_download else LOOK_FIRST}"
    retry_after = getattr(error, "retry_after", None)
    return body(code, sentence), code.status, {"Retry-After": str(retry_after)} if retry_after is not None else {}


def code_of(error: Exception) -> ErrorCode:
    """The code of an exception; INTERNAL_ERROR if the table does not have it."""
    return OF_EXCEPTION.get(type(error), ErrorCode.INTERNAL_ERROR)


def body(code: ErrorCode, sentence: str, details: dict[str, object] | None = None) -> dict[str, Any]:
    """The JSON body of an error."""
    telemetry.note_code(code.slug)
    shape: dict[str, object] = {"error": sentence, "code": code.slug, "request_id": telemetry.request_id()}
    return shape | {"details": details} if details else shape


def _handle_http(error: HTTPException) -> ResponseReturnValue:
    status = error.code or 500
    headers = [(name, value) for name, value in error.get_headers() if name != "Content-Type"]
    # webargs puts marshmallow's messages here, by location: {"json": {field: [...]}}.
    messages = getattr(error, "data", {}).get("messages", {})
    details = {field: texts for place in messages.values() for field, texts in place.items()}
    if details:
        sentence = " ".join(
            text if field in text else f"{field}: {text}" for field, texts in details.items() for text in texts
        )
        return body(ErrorCode.INVALID_REQUEST, sentence, details), status, headers
    code, sentence = OF_STATUS.get(status, (ErrorCode.INVALID_REQUEST, ""))
    return body(code, sentence or error.description or error.name), status, headers


def _log_crash(error: Exception) -> None:
    # Log the type and the traceback, not the message: it may quote the request.
    frames = "".join(traceback.format_tb(error.__traceback__))
    log.error("%s in request %s\n%s", type(error).__name__, telemetry.request_id(), frames.rstrip())
