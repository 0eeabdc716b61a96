"""When something began, and how long ago that was, whatever is done to the wall clock meanwhile."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import NamedTuple

from app.suno.clock import boot_time


class Moment(NamedTuple):
    """A moment by two clocks."""

    boot_id: str
    """Which start of which machine the first clock counts from."""
    boot: float
    """Seconds since then: the same for all processes of the machine, and never set."""
    wall: float
    """Seconds since 1970, by a clock that may be set."""


class Clock:
    """Tells moments, and the time since."""

    def __init__(self, wall: Callable[[], float] = time.time) -> None:
        """`wall`: seconds since 1970; for several machines, a clock that they share."""
        self._wall = wall

    @property
    def boot_id(self) -> str:
        """What tells this start of this machine from every other."""
        return _boot_id()

    def now(self) -> Moment:
        """The present moment."""
        return Moment(self.boot_id, boot_time(), self._wall())

    def since(self, moment: Moment) -> float:
        """Seconds since a moment.

        Of another machine, or of this one before it was started anew, only the wall clock tells; but never less than
        what is certain.
        """
        now = self.now()
        if moment.boot_id == now.boot_id:
            return now.boot - moment.boot
        return max(0.0, now.wall - moment.wall)


@cache
def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        # Not Linux: the machine alone. Its boot clock begins anew at each start, which shows as a time below zero.
        return f"{uuid.getnode():x}"
