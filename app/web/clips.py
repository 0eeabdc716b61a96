"""Clips, songs and stems alike: looked at, and fetched."""

from __future__ import annotations

import math
from typing import Any

from app.suno.clip import Clip
from app.web.account import account_of_request
from app.web.api import FREE_READ, Blueprint
from app.web.current import gateway, settings
from app.web.errors import ErrorCode
from app.web.schemas import EXAMPLE_CLIP, EXAMPLE_DOWNLOAD, ClipsQuery, Download, DownloadRequest, FullClip

blueprint = Blueprint("clips", __name__, url_prefix="/api", description="Songs and stems, looked at and fetched")


@blueprint.route("/get", methods=["GET"])
@blueprint.arguments(ClipsQuery, location="query")
@blueprint.response(
    200,
    FullClip(many=True),
    description="The clips in the order asked; ids that Suno does not know are left out.",
    example=[EXAMPLE_CLIP],
)
@blueprint.doc(operationId="getClips")
@blueprint.fails_with(*FREE_READ, ErrorCode.INVALID_REQUEST)
def get_clips(query: dict[str, Any]) -> list[Clip]:
    """Look at clips by their ids, or at the account's own songs.

    Free. Without `ids` it lists the account's clips, newest first, by `page`: this is how to find the id of a song.
    Stems that were just ordered may be missing for some seconds.
    """
    account = account_of_request()
    return gateway.clips(account, query["ids"]) if "ids" in query else gateway.songs(account, query["page"])


@blueprint.route("/download", methods=["POST"])
@blueprint.arguments(DownloadRequest)
@blueprint.response(200, Download, description="The audio is ready.", example=EXAMPLE_DOWNLOAD)
@blueprint.alt_response(
    202,
    schema=Download,
    description="Suno prepares it: send the same request again after `Retry-After` seconds.",
    example={**EXAMPLE_DOWNLOAD, "download_url": None},
    headers={"Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer"}}},
    success=True,
)
@blueprint.doc(operationId="download")
@blueprint.fails_with(*FREE_READ, ErrorCode.INVALID_REQUEST, ErrorCode.BODY_TOO_LARGE, ErrorCode.NOT_JSON)
def download(wanted: dict[str, Any]) -> tuple[dict[str, Any], int, dict[str, str]]:
    """Get the address of a clip's audio.

    Free of credits, but **counted by Suno against the plan's monthly downloads** (a song's stems share one), so
    nothing else in this service ever starts one. MP3 and M4A are ready after one or two questions, WAV takes longer
    and is not in every plan.
    """
    url = gateway.download_url(account_of_request(), wanted["id"], wanted["format"])
    waiting = {} if url else {"Retry-After": str(math.ceil(settings.suno_poll_interval))}
    return {**wanted, "download_url": url}, 200 if url else 202, waiting
