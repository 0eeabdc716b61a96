"""When something began, and how long ago that was, even if the wall clock is set meanwhile."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import NamedTuple

from app.suno.clock import boot_time


class Moment(NamedTuple):
    """A moment, on two clocks."""

    boot_id: str
    """Which boot of which machine the first clock counts from."""
    boot: float
    """Seconds since that boot: the same for all processes of the machine, and never set."""
    wall: float
    """Seconds since 1970, by a clock that can be set."""


class Clock:
    """Returns the current moment, and the time since a moment."""

    def __init__(self, wall: Callable[[], float] = time.time) -> None:
        """`wall`: seconds since 1970; with several machines, a clock that they share."""
        self._wall = wall

    @property
    def boot_id(self) -> str:
        """Identifies this boot of this machine."""
        return _boot_id()

    def now(self) -> Moment:
        """The current moment."""
        return Moment(self.boot_id, boot_time(), self._wall())

    def since(self, moment: Moment) -> float:
        """Seconds since a moment.

        For a moment of another machine or of an earlier boot, only the wall clock can tell; the result is then never
        negative.
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
        # Not Linux: identifies only the machine. Its boot clock restarts at each boot: a time since is then negative.
        return f"{uuid.getnode():x}"
