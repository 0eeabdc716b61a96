"""Split songs, list stems, and look up splits."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from flask import Response, jsonify

from app import metrics
from app.accounts import CallerNotAllowed, budget_of
from app.callers import Caller
from app.charge import ChargeIsKnown
from app.splits.jobs import NewJob
from app.splits.lookup import KnownSplit, find_split
from app.splits.order import order_of_key
from app.splits.person import Handover, PersonNeeded
from app.splits.refusals import InProgress, SplitNotFound
from app.splits.split import Split, Stems
from app.splits.store import Entry, LedgerUnavailable, Owner, State
from app.splits.wait import Ended
from app.suno.clip import Clip
from app.suno.session import Account
from app.suno.stems import StemChoice, StemTask, numbered
from app.web import audio, telemetry
from app.web.access import caller_of_request
from app.web.api import FREE_READ, OF_BODY, Blueprint
from app.web.clip_schemas import ListedStem, StemClip, StemsQuery
from app.web.current import is_stopping, parts, time_left
from app.web.errors import ErrorCode, NotWaiting
from app.web.examples import (
    EXAMPLE_CANCELLED,
    EXAMPLE_LISTED_STEMS,
    EXAMPLE_SPLIT_STATE,
    EXAMPLE_SPLITS,
    EXAMPLE_STEMS,
    EXAMPLE_WAITING,
)
from app.web.idempotency import IDEMPOTENCY_KEY, idempotency_key
from app.web.split_checks import check_job, check_new
from app.web.split_request import SplitRequest
from app.web.split_schemas import SplitStateSchema, WebhookState
from app.web.split_state import job_of, refreshed, state_of, state_with, webhook_of
from app.web.suno_account import account_of_request, owners_of_request

_SPLIT_STATE = SplitStateSchema()

FILE_POLL_SECONDS = 0.5
"""Seconds between polls of the ledger while a request waits for files."""

REQUEST_ID = {
    "name": "request_id",
    "in": "path",
    "description": "The X-Request-ID of the split.",
    "schema": {"type": "string"},
    "example": "5f0c7d9e3a4b4a7f8f7c1b1d3c2e9a10",
}

PERSON_NEEDED = {
    "schema": SplitStateSchema,
    "description": "Suno wants a captcha: the request waits for a person.",
    "example": EXAMPLE_WAITING,
    "headers": {
        "Location": {"description": "The state of the request.", "schema": {"type": "string"}},
        "Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer"}},
    },
    "success": True,
}
"""The reply while a request waits for a person."""

blueprint = Blueprint("stems", __name__, url_prefix="/api", description="Splitting songs into stems")


@blueprint.route("/generate_stems", methods=["POST"])
@blueprint.arguments(SplitRequest, examples=EXAMPLE_SPLITS)
@blueprint.response(
    200,
    StemClip(many=True),
    description="The stems: as many as Suno makes, in its order.",
    example=EXAMPLE_STEMS,
    headers={
        "Idempotent-Replayed": {
            "description": "`true` if an earlier request with the same Idempotency-Key has paid for them, or a "
            "person has made them for it at suno.com.",
            "schema": {"type": "string", "enum": ["true"]},
        }
    },
)
@blueprint.alt_response(202, **PERSON_NEEDED)
@blueprint.doc(operationId="generateStems", parameters=[IDEMPOTENCY_KEY])
@blueprint.fails_with(
    *FREE_READ,
    *OF_BODY,
    ErrorCode.WEBHOOK_NOT_ALLOWED,
    ErrorCode.OUT_OF_CREDITS,
    ErrorCode.OVER_BUDGET,
    ErrorCode.IN_PROGRESS,
    ErrorCode.IDEMPOTENCY_KEY_REUSED,
    ErrorCode.OUTCOME_UNKNOWN,
    ErrorCode.STOPPING,
    ErrorCode.LEDGER_UNAVAILABLE,
    ErrorCode.AUDIO_UNAVAILABLE,
    ErrorCode.AUDIO_FULL,
)
def generate_stems(wanted: dict[str, Any]) -> tuple[Sequence[Clip], int, dict[str, str]] | Response:
    """Split a song into its stems.

    Charges the Suno account. With an `Idempotency-Key` it is paid once, however often it is sent within 24 hours. The
    reply comes once Suno has accepted the song; with `wait_audio`, when the stems are complete. With `on_captcha:
    "wait"` it is 202 if Suno wants a captcha.
    """
    key, account, caller, of_app = idempotency_key(), account_of_request(), caller_of_request(), parts()
    task: StemTask = wanted["task"]
    if task not in caller.tasks:
        raise CallerNotAllowed(f"This API key may not use stem_task {task.value}. Nothing was charged.")
    choice = StemChoice(task, wanted.get("stem_name", ""))
    began = time.monotonic()
    has_job, waits = "webhook_url" in wanted or "audio_format" in wanted, wanted["on_captcha"] == "wait"
    if has_job or waits:
        check_job(wanted, account, caller)
    owners = owners_of_request(account, ledger_needed=bool(key) or caller.credits_per_day is not None)
    split = Split(
        account=account,
        owners=owners,
        request_id=telemetry.request_id(),
        idempotency_key=key,
        song_id=wanted["song_id"],
        choice=choice,
        reuse_existing=wanted["reuse_existing"],
        wait_audio=wanted["wait_audio"],
        fetches_files="audio_format" in wanted,
        job=_job(wanted, account, owners[0], caller, choice) if has_job else None,
        handover=_handover(wanted, account, owners[0], caller, choice) if waits else None,
        check_new=lambda: check_new(wanted["song_id"], wanted.get("audio_format"), task, account, caller),
        price=of_app.settings.prices[task],
        budgets=of_app.accounts.budgets(caller, account, owners[0]),
        gateway=of_app.gateway,
        watch=of_app.watch,
        ledger=of_app.ledger,
        timing=of_app.settings.timing,
        began=began,
        is_stopping=is_stopping,
        time_left=time_left,
    )
    stems = _counted(split, caller, split.pay_once)
    if isinstance(stems, PersonNeeded):
        return _person_needed(stems.entry)
    if stems.job_id:
        of_app.queue.put(stems.job_id)
        if "audio_format" in wanted and wanted["wait_audio"]:
            _wait_for_files(stems.job_id, began + of_app.settings.timing.wait_timeout)
    return stems.clips, 200, {"Idempotent-Replayed": "true"} if stems.replayed else {}


@blueprint.route("/requests/<request_id>", methods=["GET"], parameters=[REQUEST_ID])
@blueprint.response(200, SplitStateSchema, description="The split's current state.", example=EXAMPLE_SPLIT_STATE)
@blueprint.doc(operationId="getRequest")
@blueprint.fails_with(
    ErrorCode.SUNO_COOKIE_MISSING, ErrorCode.NOT_FOUND, ErrorCode.INTERNAL_ERROR, ErrorCode.LEDGER_UNAVAILABLE
)
def get_request(request_id: str) -> dict[str, object]:
    """Get the state of a split.

    Free. `request_id` is the `X-Request-ID` that the split was sent with or got. If several splits have it, the
    latest is returned. Works for 24 hours, with the same account (and API key); with `webhook_url` or `audio_format`
    for ten days.
    """
    found = _found(request_id)
    return state_of(found.id, refreshed(account_of_request(), found.id, found.entry))


@blueprint.route("/requests/<request_id>/again", methods=["POST"], parameters=[REQUEST_ID])
@blueprint.response(200, SplitStateSchema, description="It has its stems.", example=EXAMPLE_SPLIT_STATE)
@blueprint.alt_response(202, **PERSON_NEEDED)
@blueprint.doc(operationId="tryAgain")
@blueprint.fails_with(
    *FREE_READ,
    ErrorCode.OUT_OF_CREDITS,
    ErrorCode.OVER_BUDGET,
    ErrorCode.IN_PROGRESS,
    ErrorCode.NOT_WAITING,
    ErrorCode.OUTCOME_UNKNOWN,
    ErrorCode.STOPPING,
    ErrorCode.LEDGER_UNAVAILABLE,
    ErrorCode.AUDIO_UNAVAILABLE,
    ErrorCode.AUDIO_FULL,
)
def try_again(request_id: str) -> dict[str, object] | Response:
    """Go on with a split that needs a person: take the stems that the person has made, or split the song.

    **This can charge the Suno account**, once, like the split itself: if the person has solved a captcha at suno.com,
    but has not split the song. 202 while Suno still wants a captcha.
    """
    found, account, caller, of_app = _found(request_id), account_of_request(), caller_of_request(), parts()
    entry = _waiting(found)
    if entry.state is State.DONE:
        return state_of(found.id, entry)
    if order := order_of_key(entry.idempotency_key):
        # Here it would be paid for before the order's limits are checked.
        raise NotWaiting(
            f"This request is a song of the order {order}. POST /api/orders/{order}/again tries it again, within the "
            "order's limits. Nothing was charged."
        )
    job = job_of(entry.id)
    if job and job.task not in caller.tasks:
        raise CallerNotAllowed(f"This API key may not use stem_task {job.task.value}. Nothing was charged.")
    if job is None:
        raise NotWaiting("The service no longer has a record of what this request waits for. Send it again.")
    owners = owners_of_request(account, ledger_needed=True)
    split = Split(
        account=account,
        owners=owners,
        request_id=entry.request_id,
        idempotency_key=entry.idempotency_key,
        song_id=entry.song_id,
        choice=job.choice,
        reuse_existing=False,
        wait_audio=False,
        fetches_files=job.audio_format is not None,
        check_new=lambda: check_new(entry.song_id, job.audio_format, job.task, account, caller),
        price=of_app.settings.prices[job.task],
        budgets=of_app.accounts.budgets(caller, account, owners[0]),
        gateway=of_app.gateway,
        watch=of_app.watch,
        ledger=of_app.ledger,
        timing=of_app.settings.timing,
        is_stopping=is_stopping,
        time_left=time_left,
    )
    stems = _counted(split, caller, lambda: split.try_again(entry))
    if isinstance(stems, PersonNeeded):
        return _person_needed(stems.entry, request_id)
    of_app.queue.put(entry.id)
    return state_with(entry.id, stems.clips)


@blueprint.route("/requests/<request_id>", methods=["DELETE"], parameters=[REQUEST_ID])
@blueprint.response(
    200, SplitStateSchema, description="It is cancelled. Nothing was charged.", example=EXAMPLE_CANCELLED
)
@blueprint.doc(operationId="cancelRequest")
@blueprint.fails_with(
    ErrorCode.SUNO_COOKIE_MISSING,
    ErrorCode.NOT_FOUND,
    ErrorCode.NOT_WAITING,
    ErrorCode.INTERNAL_ERROR,
    ErrorCode.LEDGER_UNAVAILABLE,
)
def cancel(request_id: str) -> dict[str, object]:
    """Cancel a split that needs a person.

    Free. It then fails with the code `cancelled`.
    """
    found = _found(request_id)
    if found.entry is None or (
        found.entry.state is not State.FAILED and not parts().ledger.waits.end(found.entry, Ended.CANCELLED)
    ):
        raise NotWaiting("This request does not wait for a person (any more), so it cannot be cancelled.")
    parts().queue.put(found.id)
    return state_of(found.id, parts().ledger.get(found.id))


@blueprint.route("/requests/<request_id>/webhook", methods=["POST"], parameters=[REQUEST_ID])
@blueprint.response(
    202,
    WebhookState,
    description="The webhook is being sent.",
    example={"state": "delivering", "attempts": [], "next_at": None},
)
@blueprint.doc(operationId="sendWebhookAgain")
@blueprint.fails_with(
    ErrorCode.SUNO_COOKIE_MISSING,
    ErrorCode.NOT_ALLOWED,
    ErrorCode.NOT_FOUND,
    ErrorCode.INTERNAL_ERROR,
    ErrorCode.LEDGER_UNAVAILABLE,
)
def send_webhook_again(request_id: str) -> dict[str, object]:
    """Send the webhook of a split again, whether or not it was delivered.

    Free. Its `webhook-id` and its content stay the same, so that a receiver can recognize it. Works for ten days.
    """
    from app.jobs.job import SplitState
    from app.jobs.notice import person_notice_of

    found = _found(request_id)
    job = job_of(found.id)
    if job is None or not job.webhook_url:
        raise SplitNotFound(
            "This split has no webhook: it was sent without webhook_url, or a newer release has recorded it."
        )
    asked = found.id
    if found.entry is not None and found.entry.state is State.NEEDS_PERSON:
        # Its job may not have noticed yet.
        job, asked = replace(job, state=SplitState.NEEDS_PERSON), person_notice_of(found.id)
    parts().ledger.jobs.ask_again(asked)
    parts().queue.put(asked)
    return webhook_of(replace(job, state=SplitState.DELIVERING, next_at=None) if job.state.has_result else job)


@blueprint.route("/stems", methods=["GET"])
@blueprint.arguments(StemsQuery, location="query", as_kwargs=True)
@blueprint.response(
    200, ListedStem(many=True), description="Its stems, in Suno's order; [] if none.", example=EXAMPLE_LISTED_STEMS
)
@blueprint.doc(operationId="listStems")
@blueprint.fails_with(*FREE_READ, ErrorCode.INVALID_REQUEST)
def list_stems(song_id: str) -> list[Clip]:
    """List every stem that a song already has.

    Free. Each split of a song adds its own stems to the list.
    """
    stems = parts().gateway.stems(account_of_request(), song_id)
    takes = numbered(stems)
    return [replace(stem, take=takes.get(stem.id)) for stem in stems]


def _job(wanted: dict[str, Any], account: Account, owner: Owner, caller: Caller, choice: StemChoice) -> NewJob:
    """The job that continues after the reply."""
    from app.jobs.job import SplitJob, new_job

    job = SplitJob(
        account=account.name,
        owner=owner[0],
        caller=caller.name,
        request_id=telemetry.request_id(),
        song_id=wanted["song_id"],
        task=choice.task,
        stem_name=choice.stem_name,
        began=parts().ledger.clock.now(),
        webhook_url=wanted.get("webhook_url", ""),
        audio_format=wanted.get("audio_format"),
        budget=budget_of(caller, "downloads"),
        base=audio.base(),
    )
    return new_job(job)


def _handover(wanted: dict[str, Any], account: Account, owner: Owner, caller: Caller, choice: StemChoice) -> Handover:
    job = _job(wanted, account, owner, caller, choice)
    settings = parts().settings
    return Handover(lasts=settings.handover_time, job=job, most=settings.waiting_requests)


def _waiting(found: KnownSplit) -> Entry:
    """The entry of a request that waits for a person, or has its stems by now. Raises NotWaiting for others."""
    entry = found.entry
    if entry is None or entry.state is State.FAILED:
        raise NotWaiting("This request has ended. Send the split again: it looks for new stems before it pays.")
    if entry.state is State.STARTED:
        raise InProgress("This request has been tried again just now, and runs.", retry_after=1)
    has_waited = entry.state is State.NEEDS_PERSON or parts().ledger.waits.get(entry.id) is not None
    if entry.state is State.IN_DOUBT or not has_waited:
        raise NotWaiting("This request does not wait for a person (any more). Look at its state.")
    return entry


def _person_needed(entry: Entry, request_id: str = "") -> Response:
    """202: the state of a request that waits for a person."""
    from app.jobs.person import PERSON_LOOK_SECONDS

    parts().queue.put(entry.id)
    reply: Response = jsonify(_SPLIT_STATE.dump(state_of(entry.id, entry)))
    reply.status_code = 202
    path = urlsplit(audio.base()).path.rstrip("/")
    reply.headers["Location"] = f"{path}/api/requests/{request_id or telemetry.request_id()}"
    reply.headers["Retry-After"] = str(math.ceil(PERSON_LOOK_SECONDS))
    return reply


def _counted(split: Split, caller: Caller, pay: Callable[[], Stems | PersonNeeded]) -> Stems | PersonNeeded:
    """Pay, and count what was spent: in doubt counts as spent."""
    spent = 0
    try:
        stems = pay()
        spent = stems.credits if isinstance(stems, Stems) else 0
    except ChargeIsKnown as error:
        spent = split.price if error.may_have_charged else 0
        raise
    finally:
        if spent:
            metrics.note_spent(caller.name, split.account.name, split.choice.task, spent)
    return stems


def _wait_for_files(job_id: str, ends: float) -> None:
    """Wait until a split's files are kept or have failed, or the ledger cannot be read."""
    with suppress(LedgerUnavailable):
        while time.monotonic() < ends and not is_stopping():
            job = job_of(job_id)
            if job is None or job.state.has_result:
                return
            time.sleep(min(FILE_POLL_SECONDS, max(0.0, ends - time.monotonic())))


def _found(request_id: str) -> KnownSplit:
    owners = owners_of_request(account_of_request(), ledger_needed=True)
    found = find_split(parts().ledger, owners, request_id)
    if found.entry and parts().ledger.waits.end_if_over(found.entry):
        parts().queue.put(found.id)
        return find_split(parts().ledger, owners, request_id)
    return found
