"""What the app at work was made with."""

from __future__ import annotations

from typing import Any, cast

from flask import current_app
from werkzeug.local import LocalProxy

from app.settings import Settings
from app.splits.ledger import Ledger
from app.suno.gateway import SunoGateway

gateway = cast(SunoGateway, LocalProxy(lambda: current_app.extensions["suno"]))
ledger = cast(Ledger, LocalProxy(lambda: current_app.extensions["ledger"]))
settings = cast(Settings, LocalProxy(lambda: current_app.extensions["settings"]))


def parts() -> dict[str, Any]:
    """All three by name, not as proxies: to look through those at each step costs 4 % of a split."""
    made = current_app.extensions
    return {"gateway": made["suno"], "ledger": made["ledger"], "settings": made["settings"]}


def is_stopping() -> bool:
    """Whether this process has been asked to stop: gunicorn.conf.py tells the app how to know."""
    stopping: bool = current_app.extensions["is_stopping"]()
    return stopping
