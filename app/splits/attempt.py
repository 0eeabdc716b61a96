"""One attempt at what must happen only once: a paid call of a split, or an unlock."""

from __future__ import annotations

from dataclasses import dataclass

from app.splits.budget import Spending
from app.splits.clock import Clock, Moment
from app.splits.store import Entry, State


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt: when it began, how long it may take, how it ended, and what it took from budgets."""

    number: int
    """From 1."""
    began: Moment
    lasts: float
    """Seconds until its call has ended, with or without an answer."""
    state: State
    spending: Spending
    """Given back once it is certain that nothing was charged."""

    def overdue_seconds(self, clock: Clock) -> float:
        """Seconds since its deadline; negative while its call may still reach Suno."""
        return clock.since(self.began) - self.lasts

    def state_now(self, clock: Clock) -> State:
        """Its state; in doubt if it is `started` and past its deadline."""
        return State.IN_DOUBT if self.state is State.STARTED and self.overdue_seconds(clock) >= 0 else self.state


def latest_of(entry: Entry) -> Attempt:
    """The latest attempt of an entry."""
    spending = Spending(entry.budgets, entry.price, entry.attempt_began)
    return Attempt(entry.attempt, entry.attempt_began, entry.lasts, entry.state, spending)
