"""Access control: API keys, trusted hosts, and web pages of other sites."""

from __future__ import annotations

import hmac
import logging
import stat
from collections.abc import Iterable
from functools import lru_cache
from itertools import product
from pathlib import Path
from urllib.parse import urlsplit

from flask import Flask, Response, current_app, g, request
from werkzeug.datastructures import WWWAuthenticate
from werkzeug.exceptions import BadRequest, Unauthorized

from app import metrics
from app.accounts import CallerNotAllowed
from app.addresses import is_loopback
from app.callers import EVERYONE, MIN_KEY_LENGTH, Caller, hash_of
from app.settings import Settings
from app.web.current import current_request, of_request, this_app

log = logging.getLogger(__name__)

FORWARDED = ("Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-IP", "Via")
"""Headers that proxies add."""

LONGEST_LISTS = {
    "HTTP_ACCEPT_ENCODING": 1_000,
    "HTTP_RANGE": 200,
    "HTTP_ACCESS_CONTROL_REQUEST_HEADERS": 1_000,
    "HTTP_IF_NONE_MATCH": 1_000,
    "HTTP_IF_MATCH": 1_000,
}
"""Characters of the headers whose items are read one by one. A longer one is ignored: reading thousands is slow."""

SIGNED = ("audio.get_audio", "audio.get_peaks", "audio.get_stems_zip", "orders.get_order_zip")
"""Views that accept a signed URL instead of an API key."""


class ApiKeyRequired(Unauthorized):
    """The request has none of the operator's API keys."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence, www_authenticate=WWWAuthenticate("bearer", {"realm": "Suno Stems"}))


def register(app: Flask, settings: Settings) -> None:
    """Guard every path of the app, including unknown ones."""
    app.extensions["callers"] = settings.callers
    app.extensions["metrics_key_hashes"] = settings.metrics_key_hashes
    app.before_request(_ignore_long_lists)
    app.after_request(_protect_reply)
    if settings.trusted_hosts or is_loopback(settings.host):
        app.extensions["trusted_hosts"] = settings.trusted_hosts
        app.before_request(_check_host)
    if settings.callers:
        app.before_request(_check_key)
    else:
        own = (settings.public_url, *settings.cors_origins)
        app.extensions["trusted_origins"] = {_origin_of(address) for address in own if address}
        app.before_request(_check_origin)
    if settings.cors_origins:
        _open_to_web_pages(app, settings.cors_origins)
    _say_what_is_open(settings)


def caller_of_request() -> Caller:
    """The caller that the request's API key belongs to; EVERYONE if no key was checked."""
    caller: Caller = of_request().get("caller", EVERYONE)
    return caller


def require_key(sentence: str) -> None:
    """Check the request's API key and note its caller. Raises ApiKeyRequired."""
    sent = _keys_sent()
    found = None
    # Compare every known key with every one that was sent, so that the time taken reveals nothing.
    for caller in current_app.extensions["callers"]:
        if _has_one_of(sent, caller.key_hashes):
            found = caller
    if found is None:
        raise _refused(sent, sentence)
    g.caller = found


def require_metrics_key() -> None:
    """Require a key of METRICS_KEY; if there is none, a request from this machine without a proxy.

    Raises ApiKeyRequired, NotAllowed.
    """
    if known := current_app.extensions["metrics_key_hashes"]:
        sent = _keys_sent()
        if not _has_one_of(sent, known):
            raise _refused(
                sent,
                "The metrics have a key of their own, METRICS_KEY: send it as Authorization: Bearer <key> or "
                "X-API-Key: <key>. An API key does not open them.",
            )
        return
    # Two in three proxies add one of FORWARDED; the others mostly keep the Host header.
    local = is_loopback(request.remote_addr or "") and is_loopback(_hostname())
    if not local or any(name in request.headers for name in FORWARDED):
        raise CallerNotAllowed(
            "Without METRICS_KEY, only requests from the service's own machine, without a proxy, may read the "
            "metrics. Its operator can set METRICS_KEY."
        )


def _keys_sent() -> list[str]:
    """The SHA-256 of each key in the request's headers."""
    headers = request.headers
    scheme, _, bearer = headers.get("Authorization", "").partition(" ")
    sent = [headers.get("X-API-Key", ""), bearer.strip() if scheme.lower() == "bearer" else ""]
    # WSGI decodes headers as latin-1: this gives the bytes that were sent.
    return [hash_of(key.encode("latin-1")) for key in sent if key]


def _has_one_of(sent: Iterable[str], known: Iterable[str]) -> bool:
    # Not any(), which would stop at the first.
    return sum(hmac.compare_digest(*pair) for pair in product(known, sent)) > 0


def _refused(sent: list[str], sentence: str) -> ApiKeyRequired:
    if sent:
        metrics.KEYS_REFUSED.inc()
    return ApiKeyRequired(sentence)


def _check_key() -> None:
    if _is_signed():
        return
    request = current_request()
    # Browsers send a CORS preflight without a key; OPTIONS reaches no view.
    if request.path.startswith("/api/") and request.method != "OPTIONS":
        require_key(
            "This service requires an API key: send the one its operator gave you, as Authorization: Bearer <key> "
            "or X-API-Key: <key>."
        )


def _is_signed() -> bool:
    """Whether the address has a token. app/web/audio.py checks its signature."""
    request = current_request()
    return request.endpoint in SIGNED and "token" in request.args


def _check_origin() -> None:
    """Refuse requests from pages of other sites if no API keys are set. Raises NotAllowed.

    Browsers send the site or the origin of a request, programs do not. A POST may spend credits (CSRF). A read under
    /api/ calls Suno, and plays private music: <audio> and <img> need no CORS.
    """
    request = current_request()
    reads = request.method in ("GET", "HEAD")
    if request.method == "OPTIONS" or (reads and not request.path.startswith("/api/")):
        return
    # Not from `request.headers`: Werkzeug raises an error for each header that is missing.
    sent = request.environ.get
    site, origin = sent("HTTP_SEC_FETCH_SITE"), sent("HTTP_ORIGIN")
    if site in ("same-origin", "none") or (site is None and origin is None):
        return
    if reads and (_is_signed() or _is_a_persons_navigation()):
        return
    trusted = current_app.extensions["trusted_origins"]
    if origin in trusted or "*" in trusted or (site is None and _is_of_this_host(origin or "")):
        return
    raise CallerNotAllowed(
        "This came from a page of another site, and this service requires no API key. Its operator can allow the "
        "site in CORS_ORIGINS, or in PUBLIC_URL if it is the service's own page. Nothing was charged."
    )


def _is_a_persons_navigation() -> bool:
    """Whether a person has opened the address in a tab, for example by a link: a page cannot do that unseen."""
    headers = request.headers
    mode, dest, user = (headers.get(f"Sec-Fetch-{name}") for name in ("Mode", "Dest", "User"))
    return (mode, dest, user) == ("navigate", "document", "?1")


def _protect_reply(response: Response) -> Response:
    """Let neither caches nor pages of other sites keep or embed what is under /api/."""
    if current_request().path.startswith("/api/"):
        headers = response.headers
        headers.add("X-Content-Type-Options", "nosniff")
        headers.add("Cross-Origin-Resource-Policy", "cross-origin" if _is_signed() else "same-origin")
        # What has an ETag has its own Cache-Control.
        if response.content_type == "application/json" and all(name != "Cache-Control" for name, _ in headers):
            headers.add("Cache-Control", "private, no-store")
    return response


def _origin_of(address: str) -> str:
    """The origin of an address, without its path; "*" is every origin."""
    return "/".join(address.split("/")[:3])


def _is_of_this_host(origin: str) -> bool:
    try:
        parts = urlsplit(origin)
        # A proxy may pass on the name without the port.
        return parts.netloc == request.host or (":" not in request.host and parts.hostname == request.host)
    except ValueError:
        return False


def _check_host() -> None:
    """Refuse an unknown Host: a web page can point its own name here (DNS rebinding). Raises BadRequest."""
    host = _hostname()
    trusted = this_app().extensions["trusted_hosts"]
    if trusted:
        if any(host == name.lstrip(".") or (name[0] == "." and host.endswith(name)) for name in trusted):
            return
    elif is_loopback(host):
        return
    raise BadRequest(
        "This service does not accept the name in the request's Host header. Its operator can allow the name "
        "in TRUSTED_HOSTS."
    )


def _hostname() -> str:
    """The request's host in lower case, without the port; "" if malformed."""
    return _name_in(current_request().host)


@lru_cache(maxsize=64)
def _name_in(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _ignore_long_lists() -> None:
    environ = current_request().environ
    for name, longest in LONGEST_LISTS.items():
        if name in environ and len(environ[name]) > longest:
            del environ[name]


def _open_to_web_pages(app: Flask, origins: tuple[str, ...]) -> None:
    # Imported here: it is slow to load, and few need it.
    from flask_cors import CORS

    CORS(
        app,
        resources=r"/api/.*",
        origins=list(origins),
        methods=["GET", "POST", "DELETE"],
        allow_headers=[
            "Authorization",
            "Content-Type",
            "Idempotency-Key",
            "If-None-Match",
            "If-Range",
            "Range",
            "X-API-Key",
            "X-Request-ID",
            "X-Suno-Account",
            "X-Suno-Cookie",
        ],
        expose_headers=[
            *("Content-Disposition", "Content-Range", "ETag"),
            *("Idempotent-Replayed", "Location", "Retry-After", "X-Request-ID", "X-Suno-Account"),
        ],
        max_age=600,
    )


def _say_what_is_open(settings: Settings) -> None:
    for file in settings.secret_files:
        if _is_open_to_others(file):
            log.warning("%s can be read by others on this machine: chmod o-r it.", file)
    if settings.short_api_keys:
        log.warning(
            "API_KEYS has %d keys with fewer than %d characters: they can be guessed, and 2.0 will refuse them. Make "
            "new ones: openssl rand -hex 24.",
            settings.short_api_keys,
            MIN_KEY_LENGTH,
        )
    if not settings.callers and not is_loopback(settings.host):
        log.warning(
            "API_KEYS is not set while HOST is %s: anyone who can reach the port can spend the account's credits.",
            settings.host or "every address",
        )
    if not settings.callers and settings.cors_origins:
        log.warning("API_KEYS is not set while CORS_ORIGINS is: those web pages can spend the account's credits.")
    if not settings.trusted_hosts and not is_loopback(settings.host):
        log.warning("TRUSTED_HOSTS is not set while HOST is not loopback: any name in Host is accepted.")


def _is_open_to_others(file: Path) -> bool:
    try:
        return bool(file.stat().st_mode & stat.S_IROTH)
    except OSError:
        return False
