"""The current app's parts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from flask import current_app

from app.accounts import AccountNames, Accounts
from app.settings import Settings
from app.splits.ledger import Ledger
from app.splits.watch import Watch
from app.suno.gateway import SunoGateway


@dataclass(slots=True)
class Parts:
    """What the app is made of, but for what knows Flask."""

    settings: Settings
    gateway: SunoGateway
    ledger: Ledger
    names: AccountNames
    accounts: Accounts
    watch: Watch


def parts() -> Parts:
    """The current app's gateway, ledger and settings."""
    return cast(Parts, current_app.extensions["parts"])


is_stopping_hook: Callable[[], bool] = lambda: False  # noqa: E731 (app/serving.py puts another in its place)


def is_stopping() -> bool:
    """Whether this process has been asked to stop."""
    return is_stopping_hook()
