"""The current app's parts."""

from __future__ import annotations

import math
from typing import cast

from flask import current_app

from app.parts import Parts
from app.timing import TimeLeft, no_end


def parts() -> Parts:
    """The current app's gateway, ledger and settings."""
    return cast(Parts, current_app.extensions["parts"])


time_left_hook: TimeLeft = no_end
"""app/serving.py puts another in its place."""


def time_left() -> float:
    """Seconds in which this process must have replied; `math.inf` unless it has been asked to stop."""
    return time_left_hook()


def is_stopping() -> bool:
    """Whether this process has been asked to stop."""
    return time_left_hook() < math.inf
