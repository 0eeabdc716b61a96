"""The base of all schemas, and those of errors and health."""

from __future__ import annotations

import marshmallow
from marshmallow import EXCLUDE, fields

from app.web.errors import ErrorCode
from app.web.fields import field
from app.web.words import ALIVE


class Schema(marshmallow.Schema):
    """Ignores unknown fields, and says so in the spec."""

    class Meta:
        unknown = EXCLUDE


class Error(Schema):
    """The shape of every error."""

    error = field(fields.String, "A sentence that says what to do.")
    code = field(fields.String, "The error's stable name, for programs.", enum=[code.slug for code in ErrorCode])
    request_id = field(fields.String, "The X-Request-ID of the request; it is also in the log.")
    details = fields.Dict(
        keys=fields.String(),
        values=fields.List(fields.String()),
        metadata={"description": "What is wrong with each field, if the request was malformed."},
    )


class Alive(Schema):
    """The process answers."""

    class Meta:
        unknown = EXCLUDE

    status = field(fields.String, "Always `ok`.", enum=ALIVE)


_CHECKS = {
    "description": "By part:\n"
    "- `session`: `ok`, `not_configured` without the account `default` (SUNO_COOKIE), otherwise the error's `code`.\n"
    "- `ledger`: `ok`; `not durable` or `not known to be durable`, if Redis may forget it; otherwise the error's "
    "`code`.\n"
    "- `jobs`, only with webhooks or open jobs: `ok`; `<seconds> s behind`; `no process runs them: run python -m "
    "app.jobs`; `unknown` if the ledger is unavailable.\n"
    "- `audio`, only with `AUDIO_URL` or kept files: `ok`; `unknown` before the first check has ended; otherwise the "
    "error's `code`.\n"
    "- `metrics`, only if they are off: `off`.\n"
    "- `settings`, only after a reload with wrong settings: `stale: <what is wrong>`.\n\n"
    "Only `session` and `ledger` decide whether the reply is 200 or 503."
}


class Ready(Alive):
    """A split could be served now."""

    checks = fields.Dict(keys=fields.String(), values=fields.String(), required=True, metadata=_CHECKS)


class NotReady(Error):
    """A split could not be served now, and why."""

    checks = fields.Dict(keys=fields.String(), values=fields.String(), required=True, metadata=_CHECKS)
