"""Kept audio: fetch it from Suno, serve it as files or as one ZIP."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from flask import Response, request
from webargs.flaskparser import abort
from werkzeug.routing import BaseConverter

from app.audio.files import TYPES, Details, file_name, folder_name, folder_of
from app.audio.measurements import Measurements
from app.audio.store import AudioRemoved, Opened
from app.audio.timeline import Timeline
from app.jobs.file_status import NOT_KEPT, FileStatus, place_of, read_job, status_of, with_measures
from app.jobs.job import FileJob, FileState, SplitJob
from app.jobs.wanted_files import WantedFiles
from app.suno.errors import SongNotFound
from app.suno.gateway import AudioFormat
from app.suno.ids import CLIP_ID_PATTERN, as_sent
from app.suno.session import Account
from app.web.access import caller_of_request
from app.web.api import FREE_READ, OF_BODY, Blueprint
from app.web.current import parts
from app.web.errors import AudioIncomplete, AudioNotKept, ErrorCode
from app.web.examples import EXAMPLE_AUDIO, EXAMPLE_FILE, EXAMPLE_PEAKS, EXAMPLE_SONG, EXAMPLE_ZIP
from app.web.fields import AUDIO_TOKEN, MAX_IDS
from app.web.file_schemas import AudioFile, AudioRequest, PeaksSchema, ZipAddress, ZipQuery, ZipRequest
from app.web.sending import attach, media_type, send, sent
from app.web.suno_account import account_of_request

if TYPE_CHECKING:
    from app.audio.zip import Zip

blueprint = Blueprint("audio", __name__, url_prefix="/api", description="Audio files that this service keeps")

FILE_ID = {"name": "id", "in": "path", "description": "The id of a song or stem.", "schema": {"type": "string"}}
FORMAT = {
    "name": "format",
    "in": "path",
    "description": "The format in which it was fetched.",
    "schema": {"type": "string", "enum": list(TYPES)},
}

BINARY = {"type": "string", "format": "binary"}

OF_KEPT_FILES = (
    ErrorCode.SUNO_COOKIE_MISSING,
    ErrorCode.NOT_ALLOWED,
    ErrorCode.AUDIO_NOT_KEPT,
    ErrorCode.INTERNAL_ERROR,
    ErrorCode.AUDIO_UNAVAILABLE,
)
"""Errors of reads of a kept file."""


@blueprint.route("/audio", methods=["POST"])
@blueprint.arguments(AudioRequest, examples=EXAMPLE_AUDIO, as_kwargs=True)
@blueprint.response(200, AudioFile(many=True), description="Every file is kept or failed.", example=[EXAMPLE_FILE])
@blueprint.alt_response(
    202,
    schema=AudioFile(many=True),
    description="Files are being fetched: send the same request again after `Retry-After` seconds.",
    example=[{**EXAMPLE_FILE, "status": "fetching", "bytes": None, "url": None}],
    headers={"Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer"}}},
    success=True,
)
@blueprint.doc(operationId="fetchAudio")
@blueprint.fails_with(
    *FREE_READ,
    *OF_BODY,
    ErrorCode.OVER_BUDGET,
    ErrorCode.OUTCOME_UNKNOWN,
    ErrorCode.LEDGER_UNAVAILABLE,
    ErrorCode.AUDIO_FULL,
    ErrorCode.AUDIO_UNAVAILABLE,
)
def fetch_audio(
    format: AudioFormat, song_id: str = "", ids: Sequence[str] = ()
) -> tuple[list[FileStatus], int, dict[str, str]]:
    """Fetch audio from Suno and keep it.

    Free of credits. A locked song is unlocked, and **Suno counts that against the plan's monthly downloads**: once
    for a song, its stems and all formats. Files that are already kept need no call to Suno. A file that could not be
    fetched is `failed` in one reply; the next request tries again.
    """
    account = account_of_request()
    require_own(account, "Audio is fetched", instead="use POST /api/download")
    order = order_of(account, format, ledger_needed=True)
    clips = order.stems_of(song_id) if song_id else order.clips(ids)
    files = [addressed(file, order.folders[0]) for file in order.begin(clips)]
    if not any(file.status is FileState.FETCHING for file in files):
        return files, 200, {}
    return files, 202, {"Retry-After": str(math.ceil(parts().settings.timing.poll_interval))}


@blueprint.route("/audio/<clip:id>.<any(mp3, m4a, wav):format>", methods=["GET"], parameters=[FILE_ID, FORMAT])
@blueprint.response(200, BINARY, content_type="audio/*", description="The file.")
@blueprint.alt_response(
    206, schema=BINARY, content_type="audio/*", description="The requested `Range` of the file.", success=True
)
@blueprint.doc(operationId="getAudio", parameters=[AUDIO_TOKEN])
@blueprint.fails_with(*OF_KEPT_FILES)
def get_audio(id: str, format: str) -> Response:
    """Download a kept file.

    Free. Suno is not asked for the file. A URL that this service has signed with a `token` needs no API key and
    no cookie. `Range` and `If-None-Match` are supported.
    """
    allowed = _folders_allowed(f"{id}.{format}")
    details = parts().shelf.details(allowed, id)
    opened = parts().shelf.open(allowed, id, format)
    if opened is None:
        raise _not_kept(id, format)
    name = file_name(details, format) if details else f"{id}.{format}"
    try:
        return sent(opened, TYPES[format], name, id)
    except BaseException as error:
        opened.close()
        if isinstance(error, AudioRemoved):
            raise _not_kept(id, format) from None
        raise


@blueprint.route("/audio/<clip:id>.peaks.json", methods=["GET"], parameters=[FILE_ID])
@blueprint.response(200, PeaksSchema, description="The waveform.", example=EXAMPLE_PEAKS)
@blueprint.doc(operationId="getPeaks", parameters=[AUDIO_TOKEN])
@blueprint.fails_with(*OF_KEPT_FILES)
def get_peaks(id: str) -> Response:
    """Get a clip's waveform, in audiowaveform's JSON format (version 2).

    Free. It is measured once, when the clip's first file is kept.
    """
    peaks = parts().shelf.peaks(_folders_allowed(f"{id}.peaks.json"), id)
    if peaks is not None:
        response = Response(peaks, mimetype="application/json")
        response.add_etag()
        response.headers["Cache-Control"] = "private, no-cache"
        response.make_conditional(request)
        return response
    raise AudioNotKept(
        f'No waveform of this clip is known yet: POST /api/audio with {{"ids": ["{id}"], "format": "mp3"}} '
        "fetches and measures its audio."
    )


@blueprint.route("/stems.zip", methods=["GET"])
@blueprint.arguments(ZipQuery, location="query", as_kwargs=True)
@blueprint.response(200, BINARY, content_type="application/zip", description="The stems, and small files.")
@blueprint.alt_response(
    206, schema=BINARY, content_type="application/zip", description="The requested `Range` of it.", success=True
)
@blueprint.doc(operationId="getStemsZip")
@blueprint.fails_with(
    *FREE_READ,
    ErrorCode.INVALID_REQUEST,
    ErrorCode.AUDIO_INCOMPLETE,
    ErrorCode.LEDGER_UNAVAILABLE,
    ErrorCode.AUDIO_UNAVAILABLE,
)
def get_stems_zip(
    song_id: str, format: AudioFormat, ids: Sequence[str] | None = None, token: str | None = None
) -> Response:
    """Download the kept stems of a song as one ZIP file.

    Free. A folder with a file for each stem, `stems.json` with tempo, beats and each stem's details, and, where
    they are known, `lyrics.lrc`, `tempo.mid` and a REAPER project. `Range` and `If-Range` are supported.
    `POST /api/stems.zip` gives a URL that needs no key.
    """
    with ExitStack() as open_files:
        if token is not None:
            allowed = parts().links.folders_of_zip(token, song_id, format, ids)
            packed = _packed(allowed, format, _noted(allowed, song_id, ids), timeline_of(None, allowed), open_files)
        else:
            account = account_of_request()
            order = order_of(account, format)
            stems = _chosen(order.kept_stems_of(song_id), ids)
            packed = _packed(order.folders, format, stems, timeline_of(account), open_files)
        begin = packed.content.number - len(packed.opened) + 1
        response = zip_response(packed.content, begin, open_files)
        attach(response, packed.name, song_id)
        return response


def opened_stems(
    allowed: Sequence[str], song_id: str, format: str, stems: Sequence[Details], open_files: ExitStack
) -> list[tuple[Details, Opened]]:
    """Open the kept files of stems; `open_files` closes them. Raises AudioIncomplete if one is not kept."""
    shelf = parts().shelf
    opened: list[tuple[Details, Opened]] = []
    missing: list[Details] = []
    for details in stems:
        file = shelf.open(allowed, details.id, format)
        if file is None:
            missing.append(details)
        else:
            open_files.callback(file.close)
            opened.append((details, file))
    if missing:
        names = ", ".join(f"{file_name(each, format)} ({each.id})" for each in missing)
        raise AudioIncomplete(
            f"Of the {len(stems)} stems of this song, {len(missing)} are not kept as {format}: {names}. POST "
            f'/api/audio with {{"audio_id": "{song_id}", "format": "{format}"}} fetches them.'
        )
    return opened


def zip_response(content: Zip, begin: int, open_files: ExitStack, type: str = "application/zip") -> Response:
    """Send a ZIP of opened files, or a part of it, and close them after that. Raises AudioIncomplete.

    `begin`: how many pieces to read before the reply begins: up to the first file of audio. They are small.
    """
    response = Response(mimetype=media_type(type))
    response.set_etag(content.etag)
    try:
        send(response, len(content), content.chunks, begin)
    except AudioRemoved:
        raise AudioIncomplete("A stem was removed just now: send this again to see which.") from None
    response.call_on_close(open_files.pop_all().close)
    return response


@blueprint.route("/stems.zip", methods=["POST"])
@blueprint.arguments(ZipRequest, as_kwargs=True, example={"audio_id": EXAMPLE_SONG, "format": "wav"})
@blueprint.response(200, ZipAddress, description="Where to download it.", example=EXAMPLE_ZIP)
@blueprint.doc(operationId="signStemsZip")
@blueprint.fails_with(
    *FREE_READ, *OF_BODY, ErrorCode.AUDIO_INCOMPLETE, ErrorCode.LEDGER_UNAVAILABLE, ErrorCode.AUDIO_UNAVAILABLE
)
def sign_stems_zip(song_id: str, format: AudioFormat, ids: Sequence[str] | None = None) -> dict[str, str | int]:
    """Get a signed URL of the ZIP of a song's kept stems.

    Free. The URL is of these stems, even if the song is split again. A browser can open it: it downloads to disk,
    shows its progress, and resumes after an interruption.
    """
    account = account_of_request()
    order, links = order_of(account, format), parts().links
    stems = _chosen(order.kept_stems_of(song_id), ids)
    # The URL carries no account: it gives what is kept now.
    timeline = timeline_of(account)
    timeline.known(stems[0].song_id, stems[0].song_title)
    if links.are_signed:
        timeline = timeline_of(None, order.folders)
    with ExitStack() as open_files:
        packed = _packed(order.folders, format, stems, timeline, open_files)
    # The URL of more ids could be too long for a server. All stems need none.
    listed = [stem.id for stem in stems] if len(stems) <= MAX_IDS else ids
    url = links.zip_address(base(), order.folders, song_id, format, listed)
    return {"url": url, "filename": packed.name, "bytes": len(packed.content)}


class ClipConverter(BaseConverter):
    """A clip id in a path; anything else is 404."""

    regex = CLIP_ID_PATTERN

    def to_python(self, value: str) -> str:
        """The id as Suno writes it."""
        return as_sent(value)


def _not_kept(id: str, format: str) -> AudioNotKept:
    return AudioNotKept(
        f"The {format} of this clip is not kept for this account: POST /api/audio with "
        f'{{"ids": ["{id}"], "format": "{format}"}} fetches it.'
    )


def require_own(account: Account, what: str, *, instead: str = "") -> None:
    """Refuse an account that came as a cookie in the request. Raises a 400. `instead`: what works with a cookie."""
    if not account.name:
        sentence = (
            f"{what} for the operator's accounts only: the work continues after this request, and a request's cookie "
            f"is never written down. Leave the cookie out{instead and f', or {instead}'}. Nothing was charged."
        )
        abort(400, messages={"headers": {"Cookie": [sentence]}})


def folders(account: Account) -> tuple[str, ...]:
    """The folders of an account's files. Raises what AccountNames.of raises."""
    return tuple(map(folder_of, parts().names.of(account, ledger_needed=False)))


def addressed(file: FileStatus, folder: str) -> FileStatus:
    """A file as in replies, with its URL if it is kept."""
    if file.status is not FileState.KEPT:
        return file
    return replace(file, url=parts().links.address(base(), folder, f"{file.id}.{file.format}"))


def base() -> str:
    """The service's base URL, for callers."""
    return parts().settings.public_url or request.root_url


def files_of(job: SplitJob) -> list[FileStatus]:
    """The files of a split's job, with their current status and their measures."""
    files = [(file, place_of(id)[0]) for id in job.files if (file := read_job(parts().ledger, id))]
    measurements = Measurements(parts().shelf, list(dict.fromkeys(folder for _, folder in files)))
    return [_as_seen_now(file, folder, measurements) for file, folder in files]


def _as_seen_now(job: FileJob, folder: str, measurements: Measurements) -> FileStatus:
    file = status_of(job)
    if file.status is FileState.KEPT and parts().shelf.stat((folder,), file.id, file.format) is None:
        file = replace(file, status=FileState.FAILED, error=NOT_KEPT)
    return addressed(with_measures(file, job.details, measurements), folder)


def order_of(account: Account, format: AudioFormat, *, ledger_needed: bool = False) -> WantedFiles:
    """A request for an account's files in a format."""
    of_app = parts()
    return WantedFiles(
        account=account,
        account_names=of_app.names.of(account, ledger_needed=ledger_needed),
        caller=caller_of_request(),
        format=format,
        parts=of_app,
    )


def _folders_allowed(file: str) -> Sequence[str]:
    """The folders from which the request may read a file. Raises LinkRefused."""
    if "token" in request.args:
        return (parts().links.folder_of(request.args["token"], file),)
    return folders(account_of_request())


def _chosen(stems: Sequence[Details], ids: Sequence[str] | None) -> Sequence[Details]:
    """The stems with these ids, or all. Raises SongNotFound if an id is not one of the song's stems."""
    if ids is None:
        return stems
    if unknown := [id for id in ids if id not in {stem.id for stem in stems}]:
        raise SongNotFound(f"This song has no such stems: {', '.join(unknown)}.")
    return [stem for stem in stems if stem.id in ids]


def _noted(folders: Sequence[str], song_id: str, ids: Sequence[str] | None) -> Sequence[Details]:
    """The stems of a song as the shelf knows them: nobody is there whose account could ask Suno."""
    shelf = parts().shelf
    noted = {stem.id: stem for stem in shelf.stems(folders, song_id) or ()}
    if ids is None:
        if not noted:
            raise SongNotFound("The list of this song's stems is not kept any more: POST /api/stems.zip reads it.")
        return list(noted.values())
    return [
        noted.get(id) or shelf.details(folders, id) or Details(id, song_id, None, None, None, None, None, None)
        for id in ids
    ]


@dataclass(frozen=True, slots=True)
class Packed:
    """The ZIP of a song."""

    content: Zip
    opened: Sequence[tuple[Details, Opened]]
    name: str


def _packed(
    allowed: Sequence[str], format: str, stems: Sequence[Details], timeline: Timeline, open_files: ExitStack
) -> Packed:
    """Pack the kept stems of a song; `open_files` closes their files. Raises AudioIncomplete if one is not kept."""
    from app.audio.zip import stems_zip

    song_id, title = stems[0].song_id, stems[0].song_title
    opened = opened_stems(allowed, song_id, format, stems, open_files)
    about = timeline.known(song_id, title)
    folder = folder_name(title, song_id, bpm=about.bpm, key=about.song.key)
    content = stems_zip(folder, opened, format, parts().shelf, about)
    return Packed(content, opened, f"{song_name(title)} - Stems.zip")


def song_name(title: str | None) -> str:
    """The readable name of a file of the song itself, without extension."""
    return Details("", "", title, None, None, None, None, None).name


def timeline_of(account: Account | None, kept_in: Sequence[str] | None = None) -> Timeline:
    """Reads an account's songs in time. Without an account: what is kept of them in these folders."""
    of_app = parts()
    if kept_in is None:
        # Nothing of an account that came as a cookie in the request is kept.
        kept_in = folders(account) if account and account.name else ()
    return Timeline(account, kept_in, of_app.gateway, lambda: of_app.shelf, of_app.settings.timing.poll_interval)
