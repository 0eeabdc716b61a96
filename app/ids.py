"""Ids that begin with the time."""

from __future__ import annotations

import secrets
import time


def new_id() -> str:
    """32 hex digits, half of them random. A later id is greater, so that an index grows at its end."""
    return f"{time.time_ns():016x}{secrets.token_hex(8)}"
