"""List earlier splits."""

from __future__ import annotations

from datetime import UTC, datetime

from app.audio.store import AudioUnavailable
from app.jobs.file_status import place_of
from app.jobs.job import SplitJob, known_split
from app.splits.history import EarlierSplit
from app.splits.store import Entry
from app.suno.stems import StemChoice
from app.web.api import Blueprint
from app.web.current import parts
from app.web.errors import ErrorCode
from app.web.history_schemas import EXAMPLE_LISTED_REQUEST, ListedRequest, RequestsQuery
from app.web.split_state import outcome_of
from app.web.suno_account import account_of_request, owners_of_request

blueprint = Blueprint("history", __name__, url_prefix="/api", description="Earlier splits")


@blueprint.route("/requests", methods=["GET"])
@blueprint.arguments(RequestsQuery, location="query", as_kwargs=True)
@blueprint.response(
    200, ListedRequest(many=True), description="The splits, newest first.", example=[EXAMPLE_LISTED_REQUEST]
)
@blueprint.doc(operationId="listRequests")
@blueprint.fails_with(
    ErrorCode.INVALID_REQUEST,
    ErrorCode.SUNO_COOKIE_MISSING,
    ErrorCode.NOT_ALLOWED,
    ErrorCode.INTERNAL_ERROR,
    ErrorCode.LEDGER_UNAVAILABLE,
)
def list_requests(limit: int) -> list[dict[str, object]]:
    """List this caller's and account's latest splits.

    Free. Stems are as they were last seen: Suno is not asked. Splits with an `Idempotency-Key` are listed for 24
    hours; those with `webhook_url` or `audio_format`, or that need a person, for ten days. Others are not listed.
    """
    owners = owners_of_request(account_of_request(), ledger_needed=True)
    latest = parts().ledger.history.latest(owners, limit)
    return [shown for split in latest if (shown := _shown(split))]


def _shown(split: EarlierSplit) -> dict[str, object] | None:
    """None if nothing is known but a job that cannot be read."""
    job = known_split(split.id, split.job)
    about = _of_job(job) if job else _of_entry(split.entry) if split.entry else None
    return about and about | outcome_of(split.id, split.entry, job)


def _of_job(job: SplitJob) -> dict[str, object]:
    shown = _about(job.request_id, job.song_id, job.choice, job.began.wall)
    return shown | ({"audio_format": job.audio_format, "kept": _is_kept(job)} if job.audio_format else {})


def _of_entry(entry: Entry) -> dict[str, object]:
    return _about(entry.request_id, entry.song_id, entry.choice, entry.began.wall)


def _about(request_id: str, song_id: str, choice: StemChoice, began: float) -> dict[str, object]:
    return {
        "request_id": request_id,
        "audio_id": song_id,
        "stem_task": choice.task,
        "stem_name": choice.stem_name or None,
        "created_at": datetime.fromtimestamp(began, UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
    }


def _is_kept(job: SplitJob) -> bool | None:
    """Whether the files are kept now, as the first one shows; None if the shelf cannot be read."""
    if not (job.files and job.state.has_result):
        return False
    folder, name = place_of(job.files[0])
    clip_id, _, format = name.rpartition(".")
    try:
        return parts().shelf.stat((folder,), clip_id, format) is not None
    except AudioUnavailable:
        return None
