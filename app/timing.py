"""How long what is waited for."""

from __future__ import annotations

from dataclasses import dataclass

LOOK_FOR = 20.0
"""Seconds for which a request that lost Suno's answer looks for its stems."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """How long a split waits for what, in seconds."""

    deadline: float
    """For all that a request asks of Suno."""
    wait_timeout: float
    """For its stems to be complete, where the caller wants to wait."""
    poll_interval: float
    settle_time: float
    """After a paid call without an answer, until it is certain that stems not listed were not made."""
