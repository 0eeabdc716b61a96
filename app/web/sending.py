"""Files in replies: whole or a range of them, in turn with other requests, and named."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from urllib.parse import quote

from flask import Response, request

from app.audio.files import SHORT_ID_LENGTH
from app.audio.store import Opened
from app.web.current import parts

MAX_UNLIMITED_DOWNLOADS, SHARED_BYTES_PER_SECOND = 4, 300_000_000
"""With more downloads at once, a process sends at most so many bytes a second in total."""


OCTETS = "application/octet-stream"


@dataclass(slots=True)
class Sending:
    """Downloads that this process is sending now."""

    number: int = 0


sending = Sending()


def media_type(type: str) -> str:
    """The media type of a file's reply: OCTETS if the request accepts only that, as some generated clients do."""
    return OCTETS if request.headers.get("Accept") == OCTETS else type


def sent(opened: Opened, type: str, name: str, id: str) -> Response:
    """A file, or its requested range; nginx sends it if AUDIO_ACCEL is set."""
    stored = opened.stored
    response = Response(mimetype=media_type(type))
    response.call_on_close(opened.close)
    attach(response, name, id)
    accel = parts().settings.audio_accel
    if accel and opened.path is not None:
        # nginx handles Range and If-None-Match itself, and sends the same ETag.
        response.headers["Cache-Control"] = "private, no-cache"
        response.headers["Accept-Ranges"] = "bytes"
        response.headers["X-Accel-Redirect"] = f"{accel}{stored.name}"
        return response
    response.set_etag(stored.etag)
    response.last_modified = int(stored.kept)  # type: ignore[assignment]
    send(response, stored.size, opened.chunks)
    return response


def send(response: Response, size: int, chunks: Callable[[int, int], Iterable[bytes]], begin: int = 1) -> None:
    """Let a response send `size` bytes, or the requested range of them, and read the first `begin` chunks now."""
    response.headers["Cache-Control"] = "private, no-cache"
    response.headers["Accept-Ranges"] = "bytes"
    response.content_length = size
    # Several ranges and other units are ignored, as RFC 9110 allows; werkzeug would answer 416.
    wanted = request.headers.get("Range", "")
    is_one = wanted.lower().startswith("bytes=") and "," not in wanted
    response.make_conditional(request, accept_ranges=is_one, complete_length=size)
    first, length = 0, size
    if response.status_code == 206:
        first = response.content_range.start or 0
        length = (response.content_range.stop or 0) - first
    if response.status_code in (200, 206) and request.method != "HEAD":
        response.response = _in_turn(_begun(chunks(first, length), begin))


def _begun(chunks: Iterable[bytes], number: int) -> Iterator[bytes]:
    """Read the first chunks now: an error can become a reply only before the reply begins."""
    rest = iter(chunks)
    return chain(list(islice(rest, number)), rest)


def _in_turn(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield to other requests after each chunk, and limit the speed: fast clients would starve them."""
    sending.number += 1
    try:
        for chunk in chunks:
            yield chunk
            is_limited = sending.number > MAX_UNLIMITED_DOWNLOADS
            time.sleep(sending.number * len(chunk) / SHARED_BYTES_PER_SECOND if is_limited else 0)
    finally:
        sending.number -= 1


def attach(response: Response, name: str, id: str) -> None:
    """Name the file: in Unicode, and in ASCII for programs that know no other.

    `id`: of its clip. Its beginning is in the ASCII name: two titles in another script would look the same.
    """
    plain = name.encode("ascii", "replace").decode().replace("?", "_")
    names = {"filename": plain}
    if plain != name:
        stem, dot, end = plain.rpartition(".")
        names = {"filename": f"{stem} {id[:SHORT_ID_LENGTH]}{dot}{end}", "filename*": f"UTF-8''{quote(name)}"}
    response.headers.set("Content-Disposition", "attachment", **names)
