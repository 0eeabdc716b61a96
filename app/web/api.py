"""flask-smorest with strict JSON bodies and documented errors."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import groupby
from typing import Any, TypeVar

import flask_smorest
import gevent
from flask import Request
from marshmallow import EXCLUDE, Schema
from webargs.flaskparser import FlaskParser, abort
from werkzeug.exceptions import RequestTimeout

from app.web.current import current_request, parts
from app.web.errors import ErrorCode
from app.web.schemas import Error

FREE_READ = (
    ErrorCode.REFUSED_BY_SUNO,
    ErrorCode.SUNO_COOKIE_MISSING,
    ErrorCode.SUNO_SESSION_EXPIRED,
    ErrorCode.CAPTCHA_REQUIRED,
    ErrorCode.NOT_ALLOWED,
    ErrorCode.SONG_NOT_FOUND,
    ErrorCode.RATE_LIMITED,
    ErrorCode.SUNO_FAILED,
    ErrorCode.INTERNAL_ERROR,
    ErrorCode.SUNO_UNREACHABLE,
)
"""Errors that any free call to Suno may return."""

OF_BODY = (ErrorCode.INVALID_REQUEST, ErrorCode.BODY_TOO_LARGE, ErrorCode.NOT_JSON, ErrorCode.REQUEST_TIMEOUT)
"""Errors of requests with a body."""

_SECONDS = {"Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer"}}}
HEADERS = {ErrorCode.RATE_LIMITED: _SECONDS, ErrorCode.IN_PROGRESS: _SECONDS, ErrorCode.OVER_BUDGET: _SECONDS}
"""Response headers of these errors."""

View = TypeVar("View", bound=Callable[..., Any])


class Api(flask_smorest.Api):  # type: ignore[misc]
    """A flask-smorest Api; Error is the default response of every operation."""

    ERROR_SCHEMA = Error


class Parser(FlaskParser):
    """Reads arguments: 400 if they are malformed, 415 if the body is not declared as JSON.

    The 415 also stops pages of other sites: without CORS, a browser does not let them post JSON.
    """

    DEFAULT_VALIDATION_STATUS = 400
    DEFAULT_UNKNOWN_BY_LOCATION = {**FlaskParser.DEFAULT_UNKNOWN_BY_LOCATION, "json": EXCLUDE}  # noqa: RUF012 (webargs declares it so)

    def get_default_request(self) -> Request:
        """Get the request itself."""
        return current_request()

    def load_json(self, req: Request, schema: Schema) -> Any:
        """Read the body. No body counts as {}, so that the schema names the missing fields."""
        # Werkzeug parses the headers at each access.
        mimetype, length = req.mimetype, req.content_length
        if mimetype and mimetype != "application/json":
            abort(415)
        content = _body_of(req, length)
        if length is None:
            # A chunked body is cut at the limit silently: only the next read raises.
            req.stream.read(1)
        elif len(content) < length:
            # The client has gone: do not pay for a reply that nobody receives.
            abort(400, messages={"json": {"body": ["The body is shorter than its Content-Length."]}})
        if content and not mimetype:
            abort(415)
        try:
            body = json.loads(content) if content else {}
        except (ValueError, RecursionError):
            abort(400, messages={"json": {"body": ["The body is not valid JSON."]}})
        if not isinstance(body, dict):
            abort(400, messages={"json": {"body": ["The body must be a JSON object."]}})
        return body


def _body_of(req: Request, length: int | None) -> bytes:
    """Read a body. Raises RequestTimeout after BODY_TIMEOUT."""
    connection = req.environ.get("suno_stems.connection")
    if connection is None or (length is not None and length <= connection.buffered):
        return req.get_data()
    # While READING, a stopping worker may close the connection: nothing has been done for it.
    stage, connection.stage = connection.stage, type(connection.stage).READING
    limit = parts().settings.body_timeout
    with gevent.Timeout(limit, RequestTimeout(f"The body did not come within {limit:g} s.")):
        content = req.get_data()
    connection.stage = stage
    return content


class Blueprint(flask_smorest.Blueprint):  # type: ignore[misc]
    """A flask-smorest Blueprint."""

    ARGUMENTS_PARSER = Parser()

    def arguments(self, schema: type[Schema], **how: Any) -> Callable[[View], View]:
        """Read arguments with one schema instance: from a class, webargs makes one per request."""
        return super().arguments(schema(), **how)  # type: ignore[no-any-return]

    def fails_with(self, *codes: ErrorCode) -> Callable[[View], View]:
        """Document an operation's errors; under /api also API_KEY_REQUIRED."""
        if self.url_prefix == "/api":
            codes = (ErrorCode.API_KEY_REQUIRED, *codes)
        by_status = groupby(sorted(dict.fromkeys(codes), key=lambda code: code.status), key=lambda code: code.status)
        responses = {str(status): _response(list(same_status)) for status, same_status in by_status}
        return self.doc(responses=responses)  # type: ignore[no-any-return]


def _response(codes: list[ErrorCode]) -> dict[str, Any]:
    examples = {
        code.slug: {
            "value": {
                "error": code.meaning.replace("`", ""),
                "code": code.slug,
                "request_id": "5f0c7d9e3a4b4a7f8f7c1b1d3c2e9a10",
            }
        }
        for code in codes
    }
    headers = {code.slug: HEADERS.get(code, {}) for code in codes}
    return {
        "headers": {name: header for named in headers.values() for name, header in named.items()},
        "description": "\n".join(f"- `{code.slug}`: {code.meaning}" for code in codes),
        "content": {"application/json": {"schema": Error, "examples": examples}},
    }
