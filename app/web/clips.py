"""Clips (songs and stems): details, covers and download addresses."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from flask import Response, jsonify

from app.accounts import budget_of
from app.splits.download import AudioDownload
from app.suno.clip import Clip
from app.suno.raw import without_addresses
from app.suno.stems import numbered
from app.web import clip_schemas
from app.web.access import caller_of_request
from app.web.api import FREE_READ, OF_BODY, Blueprint
from app.web.clip_schemas import ClipQuery, ClipsQuery, DownloadRequest, FullClip
from app.web.current import is_stopping, parts, time_left
from app.web.errors import ErrorCode
from app.web.examples import EXAMPLE_CLIP, EXAMPLE_DOWNLOAD, EXAMPLE_RAW_CLIP
from app.web.sending import media_type
from app.web.suno_account import account_of_request

SONG_ID = {"name": "id", "in": "path", "description": "The id of a song.", "schema": {"type": "string"}}
IMAGE = {"type": "string", "format": "binary"}

blueprint = Blueprint("clips", __name__, url_prefix="/api", description="Details, covers and downloads of clips")


@blueprint.route("/get", methods=["GET"])
@blueprint.arguments(ClipsQuery, location="query", as_kwargs=True)
@blueprint.response(
    200,
    FullClip(many=True),
    description="The clips in the requested order; ids that Suno does not know are left out.",
    example=[EXAMPLE_CLIP],
)
@blueprint.doc(operationId="getClips")
@blueprint.fails_with(*FREE_READ, ErrorCode.INVALID_REQUEST)
def get_clips(page: int = 0, ids: Sequence[str] = ()) -> list[Clip]:
    """Get clips by their ids, or list the account's own songs.

    Free. Without `ids` it lists the account's songs, newest first, by `page`: use this to find a song's id. Stems of
    a new split may be missing for some seconds.
    """
    account, gateway = account_of_request(), parts().gateway
    if not ids:
        songs = gateway.songs(account, page)
        parts().covers.note(songs)
        return songs
    clips = gateway.clips(account, ids)
    parts().covers.note(clips)
    takes = numbered(clips)
    return [replace(clip, take=takes.get(clip.id)) for clip in clips]


@blueprint.route("/cover/<clip:id>", methods=["GET"], parameters=[SONG_ID])
@blueprint.response(200, IMAGE, content_type="image/*", description="The cover.")
@blueprint.alt_response(204, description="The song has no cover, or it cannot be fetched now.", success=True)
@blueprint.doc(operationId="getCover")
@blueprint.fails_with(*FREE_READ)
def get_cover(id: str) -> Response:
    """Get the cover of a song.

    Free. For web pages that may load images only from their own host.
    """
    account, of_app = account_of_request(), parts()
    cover = of_app.covers.of(id, lambda: of_app.gateway.clip(account, id))
    if cover is None:
        return Response(status=204)
    return Response(
        cover.content, mimetype=media_type(cover.type), headers={"Cache-Control": "private, max-age=86400"}
    )


@blueprint.route("/clip", methods=["GET"])
@blueprint.arguments(ClipQuery, location="query", as_kwargs=True)
@blueprint.response(200, {"type": "object"}, description="The clip as Suno sends it.", example=EXAMPLE_RAW_CLIP)
@blueprint.doc(operationId="getClip")
@blueprint.fails_with(*FREE_READ, ErrorCode.INVALID_REQUEST)
def get_clip(id: str) -> Response:
    """Get one clip as Suno sends it.

    Free. The fields are Suno's own, and may change. Everything that could sign in or download is left out: signed
    addresses are null.
    """
    sent = parts().gateway.clip_as_sent(account_of_request(), id)
    return jsonify(without_addresses(sent))


@blueprint.route("/download", methods=["POST"])
@blueprint.arguments(DownloadRequest)
@blueprint.response(200, clip_schemas.Download, description="The audio is ready.", example=EXAMPLE_DOWNLOAD)
@blueprint.alt_response(
    202,
    schema=clip_schemas.Download,
    description="There is no address yet: send the same request again after `Retry-After` seconds.",
    example={**EXAMPLE_DOWNLOAD, "download_url": None, "counted": False},
    headers={"Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer"}}},
    success=True,
)
@blueprint.doc(operationId="download")
@blueprint.fails_with(
    *FREE_READ,
    *OF_BODY,
    ErrorCode.OVER_BUDGET,
    ErrorCode.OUTCOME_UNKNOWN,
    ErrorCode.STOPPING,
    ErrorCode.LEDGER_UNAVAILABLE,
)
def download(wanted: dict[str, Any]) -> tuple[dict[str, object], int, dict[str, str]]:
    """Get the address of a clip's audio.

    Free of credits. The first download of a song unlocks it, and **Suno counts that against the plan's monthly
    downloads**: once for a song, its stems and all formats. `counted` says whether this request did. With `wait` the
    reply comes when the file is ready.
    """
    account, of_app = account_of_request(), parts()
    timing = of_app.settings.timing
    budget = budget_of(caller_of_request(), "downloads")
    address = AudioDownload(
        account=account,
        account_name=of_app.names.of(account, ledger_needed=True)[0],
        budgets=(budget,) if budget else (),
        clip_id=wanted["id"],
        format=wanted["format"],
        wait=wanted["wait"],
        gateway=of_app.gateway,
        ledger=of_app.ledger,
        timing=timing,
        is_stopping=is_stopping,
        time_left=time_left,
    ).address()
    waiting = {} if address.url else {"Retry-After": str(math.ceil(timing.poll_interval))}
    answer = {"id": wanted["id"], "format": wanted["format"], "download_url": address.url, "counted": address.counted}
    return answer, 200 if address.url else 202, waiting
