"""The stems of a song: new ones, and those it has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from app.account import account_of_request
from app.api import FREE_READ, Blueprint
from app.current import gateway
from app.errors import ErrorCode
from app.schemas import EXAMPLE_STEMS, SplitRequest, StemClip, StemsQuery
from app.split import split_song
from app.suno.clip import Clip

blueprint = Blueprint("stems", __name__, url_prefix="/api", description="Songs taken apart")


@blueprint.route("/generate_stems", methods=["POST"])
@blueprint.arguments(SplitRequest)
@blueprint.response(
    200,
    StemClip(many=True),
    description="The stems: as many as Suno makes, in its order.",
    example=EXAMPLE_STEMS,
)
@blueprint.doc(operationId="generateStems")
@blueprint.fails_with(
    *FREE_READ,
    ErrorCode.INVALID_REQUEST,
    ErrorCode.OUT_OF_CREDITS,
    ErrorCode.BODY_TOO_LARGE,
    ErrorCode.NOT_JSON,
    ErrorCode.OUTCOME_UNKNOWN,
)
def generate_stems(split: dict[str, Any]) -> Sequence[Clip]:
    """Split a song into its stems.

    Charges the Suno account each time it is called: 10 credits for two stems, 50 for twelve, as reported in 2026.
    The reply comes as soon as Suno has taken the song on, and the stems are complete about a minute later; with
    `wait_audio` it comes when they are.
    """
    return split_song(account_of_request(), **split)


@blueprint.route("/stems", methods=["GET"])
@blueprint.arguments(StemsQuery, location="query")
@blueprint.response(
    200, StemClip(many=True), description="Its stems, in Suno's order; none: [].", example=EXAMPLE_STEMS
)
@blueprint.doc(operationId="listStems")
@blueprint.fails_with(*FREE_READ, ErrorCode.INVALID_REQUEST)
def list_stems(query: dict[str, Any]) -> list[Clip]:
    """List every stem that a song already has.

    Free. Each split of a song adds its own stems to the list.
    """
    return gateway.stems(account_of_request(), query["song_id"])
