"""How long what is waited for."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from app.charge import ChargeIsKnown

DAY = 24 * 3600.0
"""Seconds."""

FOR_GOOD = 3650 * DAY
"""Seconds to keep what is never removed."""

LOST_STEMS_SECONDS = 20.0
"""Seconds for which a request that lost Suno's answer looks for its stems."""

MAX_RETRY_AFTER_SECONDS = 120.0
"""Maximum seconds of Suno's Retry-After that a free call waits: one probe shows whether Suno is well again."""

MAX_PERSON_WAIT_SECONDS = 2 * DAY
"""Maximum seconds for which a request waits for a person (HANDOVER_TIME)."""

TimeLeft = Callable[[], float]
"""Seconds until this process is stopped: `math.inf` unless it has been asked to stop."""


class Stopping(ChargeIsKnown):
    """The process is stopping, and a paid call might not end before it is killed. None was sent."""

    retry_after = 1

    def __init__(self) -> None:
        super().__init__(
            "The service is stopping, and has no time left for this. This request sent no paid call, and nothing was "
            "charged for it. Send it again, with the same Idempotency-Key if it has one."
        )


def now() -> float:
    """Seconds of a clock of this process that nobody can set."""
    return time.monotonic()


def no_end() -> float:
    """The time left of a process that is not stopping."""
    return math.inf


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """How long a split waits for what, in seconds."""

    deadline: float
    """For all that a request asks of Suno."""
    wait_timeout: float
    """From the begin of a request until its reply, if the caller wants to wait for the stems or the file."""
    poll_interval: float
    settle_time: float
    """After a paid call without an answer, until it is certain that stems not listed were not made."""
