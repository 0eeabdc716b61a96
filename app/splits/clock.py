"""When something began, and how long ago that was, even if the wall clock is set meanwhile."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable
from functools import cache, cached_property
from pathlib import Path
from typing import NamedTuple

from app.suno.clock import boot_time

KERNELS_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")

BOOT_ID = "SUNO_STEMS_BOOT_ID"
"""The environment variable in which systemd shows the id of this boot: ProcSubset=pid hides the kernel's file."""

SHARED_CLOCK_ERROR_SECONDS = 1.0
"""Seconds by which two machines may see the shared wall clock differ."""

MAX_FUTURE_MOMENTS = 10_000
"""Maximum moments of the future to remember."""


BY_WALL = "wall"
"""The boot id of a moment that only the wall clock tells, such as one that version 1.0 has stored."""


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

    @cached_property
    def _first_seen(self) -> dict[Moment, float]:
        """When moments of the future were first seen, in seconds since the boot."""
        return {}

    @property
    def boot_id(self) -> str:
        """Identifies this boot of this machine."""
        return _boot_id()

    def now(self) -> Moment:
        """The current moment."""
        return Moment(self.boot_id, boot_time(), self._wall())

    def since(self, moment: Moment) -> float:
        """Seconds since a moment.

        For a moment of another machine or of an earlier boot, only the wall clock can tell. A moment that lies in the
        future by these clocks counts as now when it is first seen: what waits for it waits its full time, not more.
        """
        now = self.now()
        if moment not in self._first_seen:
            if moment.boot_id == now.boot_id:
                if moment.boot <= now.boot:
                    return now.boot - moment.boot
            elif (passed := now.wall - moment.wall) >= -SHARED_CLOCK_ERROR_SECONDS:
                return max(0.0, passed)
            # It is of an earlier boot with the same id, or the wall clock was set back.
            if len(self._first_seen) >= MAX_FUTURE_MOMENTS:
                self._first_seen.clear()
            self._first_seen[moment] = now.boot
        return max(now.boot - self._first_seen[moment], now.wall - moment.wall)


@cache
def _boot_id() -> str:
    try:
        return KERNELS_BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        pass
    try:
        # systemd writes it without dashes.
        return str(uuid.UUID(os.environ.get(BOOT_ID, "")))
    except ValueError:
        # Identifies only the machine: after a reboot, moments before it may lie in the future.
        return f"{uuid.getnode():x}"
