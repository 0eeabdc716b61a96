"""The current app's parts."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from flask import current_app

from app.parts import Parts


def parts() -> Parts:
    """The current app's gateway, ledger and settings."""
    return cast(Parts, current_app.extensions["parts"])


is_stopping_hook: Callable[[], bool] = lambda: False  # noqa: E731 (app/serving.py puts another in its place)


def is_stopping() -> bool:
    """Whether this process has been asked to stop."""
    return is_stopping_hook()
