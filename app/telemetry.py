"""What an operator sees: the request id and the log."""

from __future__ import annotations

import logging
import re
import uuid

from flask import Flask, Response, g, request

_SANE = re.compile(r"[A-Za-z0-9._:-]{1,128}")


def register(app: Flask) -> None:
    """Give every request an id, and every response the header with it."""
    app.after_request(_tell_request_id)


def request_id() -> str:
    """The caller's X-Request-ID where it is sane, else one made for this request."""
    if "request_id" not in g:
        given = request.headers.get("X-Request-ID", "")
        g.request_id = given if _SANE.fullmatch(given) else uuid.uuid4().hex
    return str(g.request_id)


def set_up_logging(level: str) -> None:
    """Log to standard error through the standard library."""
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    # It quotes what it cannot read of a reply's headers, cookies included, and the path of each request.
    logging.getLogger("urllib3").setLevel(logging.CRITICAL)


def _tell_request_id(response: Response) -> Response:
    response.headers["X-Request-ID"] = request_id()
    return response
