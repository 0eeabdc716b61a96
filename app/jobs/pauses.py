"""Suno's Retry-After for reads, for all jobs of an account: after it, one of them looks first."""

from __future__ import annotations

from app.splits.clock import Clock, Moment


class Pauses:
    """The pauses that Suno has asked for. One instance per process."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._of_account: dict[str, tuple[Moment, float]] = {}

    def note(self, account: str, seconds: float) -> None:
        """Note that Suno has asked for a pause; 0: it has not."""
        if seconds > 0:
            self._of_account[account] = self._clock.now(), seconds

    def left(self, account: str) -> float:
        """Seconds of an account's pause that are left; 0 if there is none."""
        began, seconds = self._of_account.get(account, (self._clock.now(), 0.0))
        return max(0.0, seconds - self._clock.since(began))
