"""Splitting a song into its stems."""

from __future__ import annotations

from typing import Any

from app.account import account_of_request, gateway
from app.api import Blueprint
from app.errors import ErrorCode
from app.schemas import EXAMPLE_STEMS, SplitRequest, StemClip
from app.suno.clip import Clip

blueprint = Blueprint("stems", __name__, url_prefix="/api", description="Songs taken apart")


@blueprint.route("/generate_stems", methods=["POST"])
@blueprint.arguments(SplitRequest)
@blueprint.response(
    200,
    StemClip(many=True),
    description="The new stems: as many as Suno makes, in its order.",
    example=EXAMPLE_STEMS,
)
@blueprint.doc(operationId="generateStems")
@blueprint.fails_with(
    ErrorCode.INVALID_REQUEST,
    ErrorCode.REFUSED_BY_SUNO,
    ErrorCode.SUNO_COOKIE_MISSING,
    ErrorCode.SUNO_SESSION_EXPIRED,
    ErrorCode.OUT_OF_CREDITS,
    ErrorCode.CAPTCHA_REQUIRED,
    ErrorCode.NOT_ALLOWED,
    ErrorCode.SONG_NOT_FOUND,
    ErrorCode.BODY_TOO_LARGE,
    ErrorCode.NOT_JSON,
    ErrorCode.RATE_LIMITED,
    ErrorCode.SUNO_FAILED,
    ErrorCode.INTERNAL_ERROR,
    ErrorCode.SUNO_UNREACHABLE,
    ErrorCode.OUTCOME_UNKNOWN,
)
def generate_stems(split: dict[str, Any]) -> list[Clip]:
    """Split a song into vocals and instrumental.

    Charges the Suno account (10 credits, as reported in 2026), each time it is called. The reply comes as soon as
    Suno has taken the song on; its stems are complete about a minute later.
    """
    return gateway.generate_stems(account_of_request(), split["audio_id"])
