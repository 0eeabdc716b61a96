"""The spec and Swagger UI, served by this process from local files: no other host is asked for anything."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import flask_swagger_ui
import yaml
from flask import (
    Blueprint,
    Flask,
    Response,
    current_app,
    jsonify,
    redirect,
    render_template,
    send_from_directory,
    url_for,
)
from flask.typing import ResponseReturnValue

from app.web.api import Api
from app.web.schemas import WORDS

VERSION = "1.0.0"

DESCRIPTION = """\
Takes songs of a Suno account apart into stems: the voice, the music, or every instrument.

**Whose account.** The cookie `__client` names a Suno account and signs in as its owner. A request may bring one, in
the header `X-Suno-Cookie` (Swagger UI: *Authorize*) or in `Cookie`; or name one of the operator's accounts in
`X-Suno-Account`. Else the operator's first account is used and charged.

**Who may ask.** Where the operator has set API keys, every call under `/api/` needs one besides, as
`Authorization: Bearer <key>` or as `X-API-Key: <key>`; `401` with `api_key_required` says so. An API key and a cookie
go together: *Authorize* takes both. The operator may set how many credits and downloads each key may spend: then
`402` with `over_budget` says when how much is free again, and `GET /api/get_limit` what is left.

**Failures** all have one shape: `error`, a sentence that says what to do; `code`, stable, for programs; `request_id`.
"""

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

SWAGGER_UI = Path(flask_swagger_ui.__file__).parent / "dist"

SECURITY_SCHEMES = {
    "Your-Suno-cookie": {
        "type": "apiKey",
        "in": "header",
        "name": "X-Suno-Cookie",
        "description": "Another Suno account than the operator's: the value of the cookie `__client` of a browser "
        "signed in to suno.com, or its whole Cookie header. For web pages and Swagger UI, which cannot set `Cookie`.",
    },
    "Your-Suno-cookie-itself": {
        "type": "apiKey",
        "in": "cookie",
        "name": "__client",
        "description": "The same in the request's own `Cookie` header, for programs: Swagger UI cannot set it. "
        "It goes before `X-Suno-Cookie`.",
    },
    "Suno-account": {
        "type": "apiKey",
        "in": "header",
        "name": "X-Suno-Account",
        "description": "One of the operator's Suno accounts, by its name, where the operator has several.",
    },
    "API-key": {
        "type": "http",
        "scheme": "bearer",
        "description": "An API key of this service, where its operator has set any.",
    },
    "API-key-in-its-own-header": {
        "type": "apiKey",
        "in": "header",
        "name": "X-API-Key",
        "description": "The same in a header of its own, for clients that need `Authorization` for something else.",
    },
}

CONFIG = {
    "API_TITLE": "Suno Stems",
    "API_VERSION": VERSION,
    "OPENAPI_VERSION": "3.1.0",
    "API_SPEC_OPTIONS": {
        "info": {"description": DESCRIPTION, "license": {"name": "MIT", "identifier": "MIT"}},
        "servers": [{"url": "/", "description": "this server"}],
        "security": [{}, *({name: []} for name in SECURITY_SCHEMES)],
    },
}

ORDER = ["openapi", "info", "servers", "tags", "security", "paths", "components"]
"""Of the spec's parts: some programs look at the first line to see what it is."""


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as such, and nothing as a reference to what was written before."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


_Dumper.add_representer(
    str,
    lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None),
)

blueprint = Blueprint("docs", __name__, cli_group=None)


def register(app: Flask, api: Api) -> None:
    """Serve the finished spec of `api`; call this after the last blueprint."""
    for name, scheme in SECURITY_SCHEMES.items():
        api.spec.components.security_scheme(name, scheme)
    # flask-smorest defines it whether or not anything is paginated.
    del api.spec.components.schemas["PaginationMetadata"]
    spec = _with_names(api.spec.to_dict())
    for name, words in WORDS.items():
        spec["components"]["schemas"][name] = {
            "type": "string",
            "description": words.description,
            "enum": list(words.values),
        }
    app.extensions["spec"] = {key: spec[key] for key in ORDER}
    app.register_blueprint(blueprint)


def _with_names(part: Any) -> Any:
    """A part of the spec with references to WORDS: of enums in place, generators make up a name each time."""
    if isinstance(part, list):
        return [_with_names(each) for each in part]
    if not isinstance(part, dict):
        return part
    values = [value for value in part.get("enum", ()) if value is not None]
    for name, words in WORDS.items():
        if values == list(words.values):
            rest = {key: value for key, value in part.items() if key not in ("type", "enum")}
            named = {"$ref": f"#/components/schemas/{name}"}
            return rest | ({"anyOf": [named, {"type": "null"}]} if None in part["enum"] else named)
    return {key: _with_names(value) for key, value in part.items()}


def spec_as_yaml(spec: dict[str, Any]) -> str:
    """The spec as the file openapi.yaml has it."""
    text: str = yaml.dump(spec, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)
    return text


def secure(response: Response) -> Response:
    """Allow a page of this process nothing but this process's own files."""
    response.headers["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
    response.headers["Cross-Origin-Opener-Policy"] = "same-origin"
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response


blueprint.after_request(secure)


@blueprint.get("/docs")
def page() -> str:
    """Show Swagger UI."""
    return render_template("docs.html")


@blueprint.get("/docs/")
def page_with_slash() -> ResponseReturnValue:
    """Lead to Swagger UI."""
    return redirect(url_for("docs.page"))


@blueprint.get("/docs/<path:file>")
def asset(file: str) -> Response:
    """Serve a file of Swagger UI."""
    return send_from_directory(SWAGGER_UI, file, max_age=3600)


@blueprint.get("/openapi.json")
def openapi_json() -> Response:
    """Tell the spec as JSON."""
    return jsonify(_spec())


@blueprint.get("/openapi.yaml")
def openapi_yaml() -> Response:
    """Tell the spec as YAML."""
    return Response(spec_as_yaml(_spec()), mimetype="application/yaml")


@blueprint.cli.command("spec")
def print_spec() -> None:
    """Print the spec as openapi.yaml has it."""
    click.echo(spec_as_yaml(_spec()), nl=False)


def _spec() -> dict[str, Any]:
    spec: dict[str, Any] = current_app.extensions["spec"]
    return spec
