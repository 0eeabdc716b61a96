"""A small service in front of Suno: it turns songs into their stems."""

from __future__ import annotations

import logging

from flask import Flask
from gevent import monkey

from app import access, docs, errors, health, stems, telemetry
from app.api import Api
from app.settings import Settings, read_settings
from app.suno.gateway import SunoGateway

log = logging.getLogger(__name__)

BODY_LIMIT = 64 * 1024
"""Bytes of a request's body."""


def create_app(settings: Settings | None = None) -> Flask:
    """Make the WSGI application. Raises environs.EnvError, which names each setting that is wrong."""
    settings = settings or read_settings()
    telemetry.set_up_logging(settings.log_level, settings.log_format)

    app = Flask(__name__)
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.config.update(docs.CONFIG, MAX_CONTENT_LENGTH=BODY_LIMIT)
    telemetry.register(app)
    access.register(app, settings)
    app.extensions["house_client"] = settings.suno_client
    app.extensions["suno"] = SunoGateway(
        api_url=settings.suno_api_url,
        auth_url=settings.suno_auth_url,
        connect_timeout=settings.suno_connect_timeout,
        read_timeout=settings.suno_read_timeout,
        deadline=settings.suno_deadline,
        user_agent=settings.suno_user_agent,
        clerk_api_version=settings.suno_clerk_api_version,
        clerk_js_version=settings.suno_clerk_js_version,
        observer=telemetry.note_call,
    )

    api = Api(app)
    api.register_blueprint(stems.blueprint)
    health.register(app, api)
    docs.register(app, api)
    errors.register(app)
    _say_what_is_unsafe(settings)
    return app


def _say_what_is_unsafe(settings: Settings) -> None:
    if settings.suno_client is None:
        log.warning("SUNO_COOKIE is not set: only requests that bring their own Suno cookie are served.")
    if not monkey.is_module_patched("socket"):
        log.warning("SUNO_DEADLINE is not enforced: run this under gunicorn with gunicorn.conf.py (gevent workers).")
