"""A song as a session for musicians' programs."""

from __future__ import annotations

from contextlib import ExitStack

from flask import Response

from app.suno.gateway import AudioFormat
from app.web.api import FREE_READ, Blueprint
from app.web.audio import BINARY, opened_stems, order_of, song_name, timeline_of, zip_response
from app.web.current import parts
from app.web.docs import VERSION
from app.web.errors import ErrorCode
from app.web.sending import OCTETS, attach
from app.web.suno_account import account_of_request
from app.web.time_schemas import SessionQuery

blueprint = Blueprint("session", __name__, url_prefix="/api", description="A song in musicians' programs")


@blueprint.route("/session.dawproject", methods=["GET"])
@blueprint.arguments(SessionQuery, location="query", as_kwargs=True)
@blueprint.response(200, BINARY, content_type=OCTETS, description="The file.")
@blueprint.doc(operationId="getDawproject")
@blueprint.fails_with(
    *FREE_READ,
    ErrorCode.INVALID_REQUEST,
    ErrorCode.AUDIO_INCOMPLETE,
    ErrorCode.LEDGER_UNAVAILABLE,
    ErrorCode.AUDIO_UNAVAILABLE,
)
def get_dawproject(song_id: str, format: AudioFormat) -> Response:
    """Download the kept stems of a song as a DAWproject file, for Bitwig, Cubase, Studio One and others.

    Free. It has a track for each stem, from the start of the song, and the song's tempo, bars and sections, where
    Suno knows them. If the song itself is kept too, it is a muted track.
    """
    from app.audio.zip import dawproject_zip

    account = account_of_request()
    order = order_of(account, format)
    stems = order.kept_stems_of(song_id)
    song = stems[0].song_id
    about = timeline_of(account).known(song, stems[0].song_title)
    with ExitStack() as open_files:
        opened = opened_stems(order.folders, song_id, format, stems, open_files)
        if original := parts().shelf.open(order.folders, song, format):
            open_files.callback(original.close)
            opened.append((about.song.details, original))
        content = dawproject_zip(opened, format, parts().shelf, about, version=VERSION)
        response = zip_response(content, content.number - len(opened) + 1, open_files, OCTETS)
        attach(response, f"{song_name(stems[0].song_title)}.dawproject", song)
        return response
