"""The spec and Swagger UI, served from local files: no other host is contacted."""

from __future__ import annotations

import json
import mimetypes
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import click
import flask_swagger_ui
import yaml
from flask import Blueprint, Flask, Response, abort, current_app, redirect, render_template
from flask.typing import ResponseReturnValue

from app.web.api import Api
from app.web.document import Document
from app.web.sending import OCTETS
from app.web.words import WORDS

JsonObject = dict[str, Any]
"""A part of an OpenAPI document."""

ROOT = Path(__file__).parents[2]

VERSION: str = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]

DESCRIPTION = """\
Splits songs of a Suno account into stems: the voice, the music, or every instrument.

**Suno account.** The cookie `__client` identifies a Suno account and signs in as its owner. A request can send it in
the header `X-Suno-Cookie` (Swagger UI: *Authorize*) or in `Cookie`. Or it can name one of the operator's accounts in
`X-Suno-Account`. Otherwise the operator's first account is used and charged.

**API keys.** If the operator has set API keys, every call under `/api/` also needs one, as
`Authorization: Bearer <key>` or as `X-API-Key: <key>`. Without one, the reply is `401` with `api_key_required`. An
API key and a cookie can be combined: *Authorize* takes both. The operator can limit the credits and downloads of each
key. Over the limit, the reply is `402` with `over_budget`, and says when enough is free again. `GET /api/get_limit`
shows what is left.

**Errors** all have one shape: `error`, a sentence that says what to do; `code`, a stable name for programs;
`request_id`.
"""

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

SWAGGER_UI = Path(flask_swagger_ui.__file__).parent / "dist"

COMMITTED_SPEC = ROOT / "openapi.yaml"

SPEC_CACHED, ASSETS_CACHED = "public, max-age=300", "public, max-age=3600"
"""For how long a client may use the spec, and a file of Swagger UI, without asking again."""

SECURITY_SCHEMES = {
    "Your-Suno-cookie": {
        "type": "apiKey",
        "in": "header",
        "name": "X-Suno-Cookie",
        "description": "Your own Suno account instead of the operator's: the value of the cookie `__client` of a "
        "browser signed in to suno.com, or its whole Cookie header. For web pages and Swagger UI, which cannot set "
        "`Cookie`.",
    },
    "Your-Suno-cookie-itself": {
        "type": "apiKey",
        "in": "cookie",
        "name": "__client",
        "description": "The same in the request's own `Cookie` header, for programs: Swagger UI cannot set it. "
        "It takes precedence over `X-Suno-Cookie`.",
    },
    "Suno-account": {
        "type": "apiKey",
        "in": "header",
        "name": "X-Suno-Account",
        "description": "The name of one of the operator's Suno accounts, if there are several.",
    },
    "API-key": {
        "type": "http",
        "scheme": "bearer",
        "description": "An API key of this service, if its operator has set any.",
    },
    "API-key-in-its-own-header": {
        "type": "apiKey",
        "in": "header",
        "name": "X-API-Key",
        "description": "The same in a separate header, for clients that need `Authorization` for something else.",
    },
}

THIS_SERVER = "/"
"""The address of the service in the spec, if PUBLIC_URL is not set."""


def _servers(url: str) -> list[dict[str, str]]:
    return [{"url": url, "description": "this server"}]


CONFIG = {
    "API_TITLE": "Suno Stems",
    "API_VERSION": VERSION,
    "OPENAPI_VERSION": "3.1.0",
    "API_SPEC_OPTIONS": {
        "info": {"description": DESCRIPTION, "license": {"name": "MIT", "identifier": "MIT"}},
        "servers": _servers(THIS_SERVER),
        "security": [{}, *({name: []} for name in SECURITY_SCHEMES)],
    },
}

MEDIA_TYPES_OF_FILES = {
    "audio/*": ("audio/mpeg", "audio/mp4", "audio/wav", OCTETS),
    "image/*": ("image/jpeg", "image/png", "image/webp", OCTETS),
    "application/zip": ("application/zip", OCTETS),
}
"""The media types of files, by how views declare them. Some generators know OCTETS only: `Accept` can ask for it."""

ORDER = ["openapi", "info", "servers", "tags", "security", "paths", "components"]
"""The order of the spec's parts: some programs detect the format by the first line."""


class _Dumper(yaml.SafeDumper):
    """Writes multi-line strings as blocks, and no YAML aliases."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


_Dumper.add_representer(
    str,
    lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None),
)

blueprint = Blueprint("docs", __name__, cli_group=None)


@dataclass(frozen=True, slots=True)
class Spec:
    """The spec as in openapi.yaml, and its JSON, which names the service's address."""

    content: JsonObject
    server: str
    """The service's address, if known."""
    as_json: Document

    @classmethod
    def of(cls, content: JsonObject, public_url: str) -> Spec:
        """Write its JSON now: the first reader would stop a worker's other requests while it is written."""
        server = public_url or THIS_SERVER
        text = json.dumps(content | {"servers": _servers(server)}, ensure_ascii=False)
        return cls(content, server, Document.of(text.encode(), "application/json", SPEC_CACHED))


def register(app: Flask, api: Api, public_url: str) -> None:
    """Serve the spec of `api`, with the service's address if it is known. Call this after the last blueprint."""
    for name, scheme in SECURITY_SCHEMES.items():
        api.spec.components.security_scheme(name, scheme)
    # flask-smorest defines it even if nothing is paginated.
    del api.spec.components.schemas["PaginationMetadata"]
    spec = _with_names(api.spec.to_dict())
    _type_files(spec)
    for name, words in WORDS.items():
        spec["components"]["schemas"][name] = {
            "type": "string",
            "description": words.description,
            "enum": list(words.values),
        }
    app.extensions["spec"] = Spec.of({key: spec[key] for key in ORDER}, public_url.rstrip("/"))
    app.register_blueprint(blueprint)


def _with_names(part: Any) -> Any:
    """Replace inline enums by references to WORDS: generators invent a name for each inline enum."""
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


def _type_files(spec: JsonObject) -> None:
    """Name the media types of files in replies."""
    for path in spec["paths"].values():
        for method in path.keys() & {"get", "post"}:
            for response in path[method]["responses"].values():
                for declared in response.get("content", {}).keys() & MEDIA_TYPES_OF_FILES.keys():
                    schema = response["content"].pop(declared)
                    response["content"] |= dict.fromkeys(MEDIA_TYPES_OF_FILES[declared], schema)


def spec_as_yaml(spec: JsonObject) -> str:
    """The spec as it is in openapi.yaml."""
    text: str = yaml.dump(spec, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)
    return text


def secure(response: Response) -> Response:
    """Restrict a page of this process to this process's own files."""
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
    """Redirect to Swagger UI."""
    # Relative, as all addresses of the pages: a proxy may serve them under a path of its own.
    return redirect("../docs")


@blueprint.get("/docs/<path:file>")
def asset(file: str) -> Response:
    """Serve a file of Swagger UI."""
    return _asset(file).reply()


@blueprint.get("/openapi.json")
def openapi_json() -> Response:
    """Serve the spec as JSON."""
    return _spec().as_json.reply()


@blueprint.get("/openapi.yaml")
def openapi_yaml() -> Response:
    """Serve the spec as YAML."""
    return _committed_spec(_spec().server).reply()


@blueprint.cli.command("spec")
def print_spec() -> None:
    """Print the spec as it is in openapi.yaml."""
    click.echo(spec_as_yaml(_spec().content), nl=False)


def _spec() -> Spec:
    spec: Spec = current_app.extensions["spec"]
    return spec


@cache
def _committed_spec(server: str) -> Document:
    """openapi.yaml, which a test compares with the spec: to write it takes a hundred times as long as to read it."""
    text = COMMITTED_SPEC.read_text(encoding="utf-8")
    if server != THIS_SERVER:
        quoted = server.replace("'", "''")
        text = text.replace(f"servers:\n- url: {THIS_SERVER}\n", f"servers:\n- url: '{quoted}'\n", 1)
    return Document.of(text.encode(), "application/yaml", SPEC_CACHED)


@cache
def _asset(name: str) -> Document:
    """A file of Swagger UI. Raises NotFound, which is not cached."""
    # One spelling of each name: other paths to a file would be cached as other files, without end.
    path = next((path for path in SWAGGER_UI.iterdir() if path.name == name), None)
    if path is None:
        abort(404)
    return Document.of(path.read_bytes(), mimetypes.guess_type(name)[0] or "application/octet-stream", ASSETS_CACHED)
