"""The current request, and the current app's parts.

Each access through one of Flask's proxies costs ten times as much as one to the object itself.
"""

from __future__ import annotations

import math
from typing import cast

from flask import Flask, Request, current_app, g, request
from flask.ctx import _AppCtxGlobals

from app.parts import Parts
from app.timing import TimeLeft, no_end


def current_request() -> Request:
    """The request itself, for what each request does."""
    return cast(Request, request._get_current_object())  # type: ignore[attr-defined]


def of_request() -> _AppCtxGlobals:
    """What is noted of the current request: Flask's `g` itself."""
    return cast(_AppCtxGlobals, g._get_current_object())


def this_app() -> Flask:
    """The app itself."""
    return cast(Flask, current_app._get_current_object())  # type: ignore[attr-defined]


def parts() -> Parts:
    """The current app's gateway, ledger and settings."""
    return cast(Parts, this_app().extensions["parts"])


time_left_hook: TimeLeft = no_end
"""app/serving.py puts another in its place."""


def time_left() -> float:
    """Seconds in which this process must have replied; `math.inf` unless it has been asked to stop."""
    return time_left_hook()


def is_stopping() -> bool:
    """Whether this process has been asked to stop."""
    return time_left_hook() < math.inf
