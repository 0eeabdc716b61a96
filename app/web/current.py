"""The current app's parts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from flask import current_app

from app.accounts import AccountNames
from app.settings import Settings
from app.splits.ledger import Ledger
from app.suno.gateway import SunoGateway


@dataclass(slots=True)
class Parts:
    """What the app is made of, but for what knows Flask."""

    settings: Settings
    gateway: SunoGateway
    ledger: Ledger
    names: AccountNames


def parts() -> Parts:
    """The current app's gateway, ledger and settings."""
    return cast(Parts, current_app.extensions["parts"])


def is_stopping() -> bool:
    """Whether this process has been asked to stop: app/serving.py tells the app how to know."""
    stopping: bool = current_app.extensions["is_stopping"]()
    return stopping
