"""The kept stems of an order as one ZIP file."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING

from flask import Response
from webargs.flaskparser import abort

from app.audio.files import folder_of
from app.jobs.job import known_split
from app.splits.order import SongOrder, SongState
from app.web.audio import base, timeline_of, zip_response
from app.web.current import parts
from app.web.errors import AudioIncomplete, OrderNotFound
from app.web.sending import attach

if TYPE_CHECKING:
    from app.audio.order_zip import SongOfZip


def zip_url(order: SongOrder) -> str | None:
    """The URL of an order's ZIP, once a song with files is done."""
    if order.audio_format is None or not any(song.state is SongState.DONE for song in order.songs):
        return None
    return parts().links.order_zip_address(base(), folder_of(order.owner), order.id)


def signed_order(order_id: str, token: str) -> SongOrder:
    """The order of a signed URL. Raises LinkRefused and OrderNotFound."""
    folder = parts().links.folder_of_order(token, order_id)
    order = parts().ledger.orders.get(order_id)
    if order is None or folder_of(order.owner) != folder:
        raise OrderNotFound
    return order


def zip_of(order: SongOrder, format: str | None) -> Response:
    """Send the stems that are kept. `format`: None for the order's own. Raises AudioIncomplete if there are none."""
    chosen = format or order.audio_format
    if chosen is None:
        sentence = "This order fetches no files: name the format in which you have fetched them yourself."
        abort(400, messages={"query": {"format": [sentence]}})
    with ExitStack() as open_files:
        return _sent(order, chosen, open_files)


def _sent(order: SongOrder, format: str, open_files: ExitStack) -> Response:
    from app.audio.order_zip import order_zip

    # Everything that an order fetches is in this folder.
    folders = (folder_of(order.owner),)
    packed = order_zip(_songs(order), folders, format, parts().shelf, timeline_of(None, folders))
    if packed is None:
        raise AudioIncomplete(
            f"No stem of this order is kept as {format} now. GET /api/orders/{order.id} shows how far the order is. "
            f'POST /api/audio with {{"audio_id": "<song>", "format": "{format}"}} fetches the stems of a song.'
        )
    open_files.callback(packed.small.close)
    response = zip_response(packed.content, packed.begin, open_files)
    attach(response, f"Order {order.id[:8]} - Stems.zip", order.id)
    return response


def _songs(order: SongOrder) -> Sequence[SongOfZip]:
    from app.audio.order_zip import SongOfZip

    begun = [song for song in order.songs if song.split]
    return [SongOfZip(song.song_id, song.title, _stems_of(song.split)) for song in begun]


def _stems_of(split: str) -> Sequence[str] | None:
    """The stems of a split; None if it is not remembered any more."""
    job, entry = known_split(split, parts().ledger.jobs.get(split)), parts().ledger.get(split)
    if job is not None and job.stems:
        return [stem.id for stem in job.stems]
    return [stem.id for stem in entry.stems] if entry is not None and entry.stems else None
