"""The pauses that Suno's proxy wants before an account's next paid call, shared by all processes of a service."""

from __future__ import annotations

from typing import Any

from app.splits.clock import Clock, Moment
from app.splits.store import Transaction

PAUSE = "paid_pause"


class PaidPauses:
    """The pauses of all accounts. A process reads them in the transactions that begin attempts."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._seen: dict[str, tuple[Moment, float]] = {}
        """When the pauses that this process has read began, and their seconds."""

    def look(self, tx: Transaction, account: str) -> None:
        """Read the pause of an account, for `left`."""
        if stored := tx.record(PAUSE, account):
            self._seen[account] = _pause(stored)

    def note(self, tx: Transaction, account: str, seconds: float) -> None:
        """Begin a pause, unless a longer one is running."""
        if stored := tx.record(PAUSE, account):
            began, lasts = _pause(stored)
            if lasts - self._clock.since(began) >= seconds:
                return
        tx.put_record(PAUSE, account, [*self._clock.now(), seconds], kept=seconds)

    def left(self, account: str) -> float:
        """Seconds until a paid call of this account may be sent, as of the last `look`; 0 without a pause."""
        if (seen := self._seen.get(account)) is None:
            return 0.0
        began, seconds = seen
        if (left := seconds - self._clock.since(began)) > 0:
            return left
        del self._seen[account]
        return 0.0


def _pause(stored: list[Any]) -> tuple[Moment, float]:
    *moment, seconds = stored
    return Moment(*moment), seconds
