"""Files that anyone may read: kept in memory, compressed once, and not sent again while they are unchanged."""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import dataclass

from flask import Response, request

MIN_COMPRESSED_BYTES = 1_000
"""Bytes under which a file is not worth compressing."""

TEXT_TYPES = ("application/json", "application/yaml", "application/javascript", "image/svg+xml")
"""Media types that are text, besides text/…."""


@dataclass(frozen=True, slots=True)
class Form:
    """The bytes of a file as they are sent."""

    content: bytes
    etag: str
    """Strong: the compressed form has its own."""

    @classmethod
    def of(cls, content: bytes) -> Form:
        """Make it, with its ETag."""
        return cls(content, hashlib.sha256(content).hexdigest()[:32])


@dataclass(frozen=True, slots=True)
class Document:
    """The bytes of a file that anyone may read. Made once in a process, because anyone may ask for it often."""

    mimetype: str
    cache_control: str
    plain: Form
    compressed: Form | None
    """With gzip, if that is worth it."""

    @classmethod
    def of(cls, content: bytes, mimetype: str, cache_control: str) -> Document:
        """Make it. Text is compressed now: the same bytes in all processes."""
        is_text = mimetype.startswith("text/") or mimetype in TEXT_TYPES
        small = gzip.compress(content, 6, mtime=0) if is_text and len(content) >= MIN_COMPRESSED_BYTES else None
        return cls(mimetype, cache_control, Form.of(content), Form.of(small) if small else None)

    def reply(self) -> Response:
        """Answer the current request: compressed if it allows that, and 304 if its If-None-Match has the ETag."""
        form = self.plain
        if self.compressed and request.accept_encodings["gzip"] > 0:
            form = self.compressed
        response = Response(form.content, mimetype=self.mimetype)
        response.set_etag(form.etag)
        response.headers["Cache-Control"] = self.cache_control
        if self.compressed:
            response.vary.add("Accept-Encoding")
        if form is self.compressed:
            response.headers["Content-Encoding"] = "gzip"
        is_plain = form is self.plain
        response.make_conditional(request, accept_ranges=is_plain, complete_length=len(form.content))
        return response
