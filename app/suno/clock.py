"""Suno's time, from the `Date` of its answers and not from this machine's wall clock."""

from __future__ import annotations

import time
from email.utils import parsedate_to_datetime

BOOT = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""Continues while the machine sleeps, is the same for all its processes, and is never set."""


def boot_time() -> float:
    """Seconds since this machine booted."""
    return time.clock_gettime(BOOT)


class SunoClock:
    """Suno's clock, estimated from its answers."""

    def __init__(self) -> None:
        self._last = ""
        self._offset: float | None = None

    def note(self, date: str) -> float | None:
        """Set the clock from the `Date` of a new answer. Return the time, or None if it cannot be read."""
        if date != self._last:
            moment = moment_of(date)
            if moment is None:
                return None
            self._last = date
            # The header has whole seconds: on average half a second more has passed.
            self._offset = moment + 0.5 - boot_time()
        return self.now()

    def now(self) -> float | None:
        """Seconds since 1970 by Suno's clock, accurate to about a second; None before its first answer."""
        return None if self._offset is None else self._offset + boot_time()


def moment_of(date: str) -> float | None:
    """An HTTP date in seconds since 1970; None if it cannot be read."""
    try:
        return parsedate_to_datetime(date).timestamp()
    except (ValueError, OverflowError):
        return None
