"""The stems of a song: new ones, and those it has."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from flask import request
from webargs.flaskparser import abort

from app import metrics
from app.accounts import NotAllowed
from app.splits.split import Split, find_split
from app.splits.store import Entry
from app.suno.clip import Clip
from app.suno.stems import StemChoice, StemTask, numbered
from app.web import telemetry
from app.web.access import caller_of_request
from app.web.account import account_of_request, owners_of_request
from app.web.api import FREE_READ, Blueprint
from app.web.current import is_stopping, parts
from app.web.errors import ErrorCode
from app.web.schemas import (
    EXAMPLE_LISTED_STEMS,
    EXAMPLE_SPLIT_STATE,
    EXAMPLE_SPLITS,
    EXAMPLE_STEMS,
    ListedStem,
    SplitRequest,
    SplitState,
    StemClip,
    StemsQuery,
)

_KEY = re.compile(r"[!-~]{1,255}")
_QUOTED = re.compile(r'"((?:[^"\\]|\\["\\])*)"')
_ESCAPED = re.compile(r'\\(["\\])')

IDEMPOTENCY_KEY = {
    "in": "header",
    "name": "Idempotency-Key",
    "description": "1 to 255 visible ASCII characters, with or without quotes, new for each split: a request with "
    "the same key and question gets the first one's reply, and is not charged again, for 24 hours. For instance a "
    "UUID.",
    "schema": {
        "type": "string",
        "minLength": 1,
        "maxLength": 512,
        "pattern": r'^([!#-~]{1,255}|"([!#-\[\]-~]|\\["\\]){1,255}")$',
    },
}

blueprint = Blueprint("stems", __name__, url_prefix="/api", description="Songs taken apart")


@blueprint.route("/generate_stems", methods=["POST"])
@blueprint.arguments(SplitRequest, examples=EXAMPLE_SPLITS)
@blueprint.response(
    200,
    StemClip(many=True),
    description="The stems: as many as Suno makes, in its order.",
    example=EXAMPLE_STEMS,
    headers={
        "Idempotent-Replayed": {
            "description": "`true` where an earlier request with the same Idempotency-Key has paid for them.",
            "schema": {"type": "string", "enum": ["true"]},
        }
    },
)
@blueprint.doc(operationId="generateStems", parameters=[IDEMPOTENCY_KEY])
@blueprint.fails_with(
    *FREE_READ,
    ErrorCode.INVALID_REQUEST,
    ErrorCode.OUT_OF_CREDITS,
    ErrorCode.OVER_BUDGET,
    ErrorCode.IN_PROGRESS,
    ErrorCode.BODY_TOO_LARGE,
    ErrorCode.NOT_JSON,
    ErrorCode.REQUEST_TIMEOUT,
    ErrorCode.IDEMPOTENCY_KEY_REUSED,
    ErrorCode.OUTCOME_UNKNOWN,
    ErrorCode.LEDGER_UNAVAILABLE,
)
def generate_stems(wanted: dict[str, Any]) -> tuple[Sequence[Clip], int, dict[str, str]]:
    """Split a song into its stems.

    Charges the Suno account: 10 credits for two stems, 50 for twelve, as reported in 2026. Without an
    `Idempotency-Key` each request is a split of its own; with one, it is paid for once however often it is sent
    within 24 hours.
    The reply comes as soon as Suno has taken the song on, and the stems are complete about a minute later; with
    `wait_audio` it comes when they are.
    """
    idempotency_key, account, caller, of_app = _idempotency_key(), account_of_request(), caller_of_request(), parts()
    task: StemTask = wanted["task"]
    if task not in caller.tasks:
        raise NotAllowed(f"This API key may not ask for stem_task {task.value}. Nothing was charged.")
    owners = owners_of_request(account, ledger_needed=bool(idempotency_key) or caller.credits_per_day is not None)
    split = Split(
        account=account,
        owners=owners,
        request_id=telemetry.request_id(),
        idempotency_key=idempotency_key,
        song_id=wanted["song_id"],
        choice=StemChoice(task, wanted.get("stem_name", "")),
        reuse_existing=wanted["reuse_existing"],
        wait_audio=wanted["wait_audio"],
        price=of_app.settings.prices[task],
        budgets=of_app.accounts.budgets(caller, account, owners[0]),
        gateway=of_app.gateway,
        watch=of_app.watch,
        ledger=of_app.ledger,
        timing=of_app.settings.timing,
        is_stopping=is_stopping,
    )
    try:
        stems = split.pay_once()
    except Exception as error:
        # In doubt counts as spent.
        if getattr(error, "may_have_charged", False):
            metrics.note_spent(caller.name, account.name, task, split.price)
        raise
    if stems.credits:
        metrics.note_spent(caller.name, account.name, task, stems.credits)
    return stems.clips, 200, {"Idempotent-Replayed": "true"} if stems.replayed else {}


@blueprint.route(
    "/requests/<request_id>",
    methods=["GET"],
    parameters=[
        {
            "name": "request_id",
            "in": "path",
            "description": "The X-Request-ID of the split.",
            "schema": {"type": "string"},
            "example": "5f0c7d9e3a4b4a7f8f7c1b1d3c2e9a10",
        }
    ],
)
@blueprint.response(200, SplitState, description="As far as it is.", example=EXAMPLE_SPLIT_STATE)
@blueprint.doc(operationId="getRequest")
@blueprint.fails_with(
    ErrorCode.SUNO_COOKIE_MISSING, ErrorCode.NOT_FOUND, ErrorCode.INTERNAL_ERROR, ErrorCode.LEDGER_UNAVAILABLE
)
def get_request(request_id: str) -> Entry:
    """Tell what became of a split.

    Free. `request_id` is the `X-Request-ID` that the split was sent with or got; of several
    with the same, the latest counts. Only the same account (and API key) is told, for 24 hours.
    """
    return find_split(parts().ledger, owners_of_request(account_of_request(), ledger_needed=True), request_id)


@blueprint.route("/stems", methods=["GET"])
@blueprint.arguments(StemsQuery, location="query")
@blueprint.response(
    200, ListedStem(many=True), description="Its stems, in Suno's order; none: [].", example=EXAMPLE_LISTED_STEMS
)
@blueprint.doc(operationId="listStems")
@blueprint.fails_with(*FREE_READ, ErrorCode.INVALID_REQUEST)
def list_stems(query: dict[str, Any]) -> list[Clip]:
    """List every stem that a song already has.

    Free. Each split of a song adds its own stems to the list.
    """
    stems = parts().gateway.stems(account_of_request(), query["song_id"])
    takes = numbered(stems)
    return [replace(stem, take=takes.get(stem.id)) for stem in stems]


def _idempotency_key() -> str:
    """Read the Idempotency-Key, a structured field's string, with its quotes or without; "" where there is none.

    By hand: a schema for one header would cost each split more than it saves here.
    """
    given = request.headers.get("Idempotency-Key")
    if given is None:
        return ""
    quoted = _QUOTED.fullmatch(given)
    key = _ESCAPED.sub(r"\1", quoted[1]) if quoted else given
    if not _KEY.fullmatch(key) or (not quoted and '"' in key):
        sentence = "Idempotency-Key must be 1 to 255 visible ASCII characters, in quotes or without."
        abort(400, messages={"headers": {"Idempotency-Key": [sentence]}})
    return key
