"""The app factory."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from flask import Flask
from gevent import monkey

from app import logs, metrics, parts
from app.settings import Settings, current_settings
from app.splits.ledger import Ledger
from app.splits.store import LedgerUnavailable
from app.web import (
    access,
    audio,
    caller,
    clips,
    docs,
    doctor,
    errors,
    health,
    history,
    orders,
    page,
    session,
    song_time,
    stems,
    suno_account,
    telemetry,
)
from app.web import ledger as ledger_commands
from app.web.api import Api

log = logging.getLogger(__name__)

MAX_BODY_BYTES = 64 * 1024
"""The maximum size of a request's body, in bytes."""


class App(Flask):
    """A Flask app without coroutines: Flask would ask of every view and hook, for each request, whether it is one."""

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function itself."""
        return func


def create_app(settings: Settings | None = None) -> Flask:
    """Make the WSGI application. Raises environs.EnvError, which names each wrong setting."""
    settings = settings or current_settings()
    logs.set_up(settings.log_level, settings.log_format)

    app = App(__name__)
    app.url_map.merge_slashes = False
    app.url_map.converters.update(clip=audio.ClipConverter, order=orders.OrderConverter)
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.config.update(docs.CONFIG, MAX_CONTENT_LENGTH=MAX_BODY_BYTES, METRICS_ARE_OFF=metrics.are_off())
    telemetry.register(app)
    access.register(app, settings)
    built = parts.build(settings, observer=telemetry.note_call, note_waiters=metrics.WAITERS.inc)
    app.extensions["parts"] = built

    api = Api(app)
    for module in (stems, history, orders, clips, audio, song_time, session, suno_account):
        api.register_blueprint(module.blueprint)
    health.register(app, api)
    docs.register(app, api, settings.public_url)
    app.register_blueprint(page.blueprint)
    app.register_blueprint(doctor.blueprint)
    app.register_blueprint(caller.blueprint)
    app.register_blueprint(ledger_commands.blueprint)
    errors.register(app)
    _say_what_is_unsafe(settings)
    _check_ledger(built.ledger)
    return app


def _check_ledger(ledger: Ledger) -> None:
    try:
        ledger.check()
        ledger.durability.look()
    except LedgerUnavailable as error:
        log.error("Requests with an Idempotency-Key are refused until the ledger can be used: %s", error.why)


def _say_what_is_unsafe(settings: Settings) -> None:
    if not settings.accounts:
        log.warning("SUNO_COOKIE is not set: only requests with their own Suno cookie are served.")
    if not monkey.is_module_patched("socket"):
        log.warning("SUNO_DEADLINE is not enforced: run this under gunicorn with gunicorn.conf.py (gevent workers).")
