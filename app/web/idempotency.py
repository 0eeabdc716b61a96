"""The header Idempotency-Key."""

from __future__ import annotations

import re

from webargs.flaskparser import abort

from app.web.current import current_request

_IDEMPOTENCY_KEY = re.compile(r"[!-~]{1,255}")
_QUOTED = re.compile(r'"((?:[^"\\]|\\["\\])*)"')
_ESCAPED = re.compile(r'\\(["\\])')

IDEMPOTENCY_KEY = {
    "in": "header",
    "name": "Idempotency-Key",
    "description": "1 to 255 visible ASCII characters, with or without quotes, for example a UUID. Use a new key for "
    "each split. For 24 hours, the same request with the same key gets the first one's reply, and is not charged "
    "again.",
    "schema": {
        "type": "string",
        "minLength": 1,
        "maxLength": 512,
        "pattern": r'^([!#-~]{1,255}|"([!#-\[\]-~]|\\["\\]){1,255}")$',
    },
}


def idempotency_key() -> str:
    """Read the Idempotency-Key, a structured field's string with optional quotes; "" if there is none.

    By hand: a schema for one header would slow down each split.
    """
    # Not from `request.headers`: Werkzeug raises an error for each header that is missing.
    given: str | None = current_request().environ.get("HTTP_IDEMPOTENCY_KEY")
    if given is None:
        return ""
    quoted = _QUOTED.fullmatch(given)
    key = _ESCAPED.sub(r"\1", quoted[1]) if quoted else given
    if not _IDEMPOTENCY_KEY.fullmatch(key) or (not quoted and '"' in key):
        sentence = "Idempotency-Key must be 1 to 255 visible ASCII characters, in quotes or without."
        abort(400, messages={"headers": {"Idempotency-Key": [sentence]}})
    return key
