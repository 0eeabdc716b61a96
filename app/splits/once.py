"""The turn for an action that must happen only once, such as to unlock a song.

| state | what is known | what happens next |
|---|---|---|
| `started` | the call may reach Suno | other requests wait; after its deadline it is in doubt |
| `in_doubt` | no answer was recorded | the song shows it; or, after the settle time, the next attempt |
| `done` | it has happened | nothing, unless Suno says otherwise: then the next attempt |

A lost attempt stays on record until it is known whether it counted: if a later one finds the action done already, the
lost one has counted, so its spending stays taken.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from app.splits.attempt import Attempt
from app.splits.budget import Budget, Left, Spending, allowed, give_back, spend, spend_anyway
from app.splits.clock import Moment
from app.splits.identity import Identity
from app.splits.store import State, Store, Transaction
from app.timing import DAY

ACTION_KEPT_SECONDS = 3 * DAY
"""Seconds to remember an action."""


class Turn(StrEnum):
    """The state of an action that must happen only once."""

    OURS = "ours"
    """This request must do it now."""
    UNDER_WAY = "under_way"
    IN_DOUBT = "in_doubt"
    """An attempt began, and no answer was recorded."""
    DONE = "done"


_TURNS = {State.STARTED: Turn.UNDER_WAY, State.IN_DOUBT: Turn.IN_DOUBT, State.DONE: Turn.DONE}


@dataclass(frozen=True, slots=True)
class Once:
    """An action that must happen only once, and its state."""

    kind: str
    account: str
    name: str
    turn: Turn
    latest: Attempt
    overdue_seconds: float
    """Seconds since the deadline of the latest attempt, or since it was done; negative while it may reach Suno."""

    @property
    def attempt(self) -> int:
        """The number of the latest attempt."""
        return self.latest.number

    @property
    def record_name(self) -> str:
        """The name of its record."""
        return f"{self.kind}:{self.account}:{self.name}"


@dataclass(frozen=True, slots=True)
class _Action:
    """What the ledger has of an action."""

    latest: Attempt
    lost: tuple[int, ...] = ()
    """Numbers of earlier attempts of which it is not known whether Suno has counted them."""
    is_for_lost: bool = False
    """Whether the spending of the latest attempt stands for that of a lost one."""


class TurnTable:
    """The turns. Every method is one transaction and raises LedgerUnavailable."""

    def __init__(self, store: Store, identity: Identity) -> None:
        self._store, self._identity = store, identity
        self.clock = store.clock

    def begin(self, kind: str, account: str, name: str, *, lasts: float, budgets: Sequence[Budget] = ()) -> Once:
        """Take the turn for an action that must happen only once, before it is sent; or read its state.

        `lasts`: seconds until the attempt has ended, with or without an answer. A turn takes 1 from each budget.
        Raises OverBudget; then nothing is written.
        """
        first = Once(kind, account, name, Turn.OURS, self._attempt(1, lasts, budgets), -lasts)

        def change(tx: Transaction, enter: Callable[[], bool]) -> Once | Left:
            stored = _action(tx.record("once", first.record_name))
            if stored is None:
                return self._take(tx, first, (), budgets) if enter() else first
            latest, overdue_seconds = stored.latest, stored.latest.overdue_seconds(self.clock)
            return replace(
                first, turn=_TURNS[latest.state_now(self.clock)], latest=latest, overdue_seconds=overdue_seconds
            )

        return allowed(self._identity.attempt(change), 1)

    def retry(self, once: Once, *, lasts: float, budgets: Sequence[Budget] = ()) -> Once | None:
        """Take the turn for the next attempt; None if another request has it, or the action is done.

        For an attempt without an answer, after which Suno shows nothing of it. Its spending moves to the next one.
        Raises OverBudget; then nothing is written.
        """

        def change(tx: Transaction, enter: Callable[[], bool]) -> Once | Left | None:
            stored = self._latest(tx, once)
            if stored is None or stored.latest.state is State.DONE or not enter():
                return None
            lost = stored.lost if once.attempt in stored.lost else (*stored.lost, once.attempt)
            return self._take(tx, self._next(once, lasts, budgets), lost, budgets, stored.latest.spending)

        return allowed(self._identity.attempt(change), 1)

    def repeat(self, once: Once, *, lasts: float, budgets: Sequence[Budget] = ()) -> Once | None:
        """Take the turn for an action that was done, and that Suno has undone; None if another request has it.

        Raises OverBudget; then nothing is written.
        """

        def change(tx: Transaction, enter: Callable[[], bool]) -> Once | Left | None:
            stored = _action(tx.record("once", once.record_name))
            if (
                stored is None
                or stored.latest.number != once.attempt
                or stored.latest.state is not State.DONE
                or not enter()
            ):
                return None
            return self._take(tx, self._next(once, lasts, budgets), (), budgets)

        return allowed(self._identity.attempt(change), 1)

    def end(self, once: Once, turn: Turn | None, *, counted: bool = True) -> None:
        """Record how an attempt ended: DONE, IN_DOUBT, or None if it certainly did nothing.

        Its spending is given back if it did nothing, or if Suno has not `counted` it and no lost one has counted.
        """

        def change(tx: Transaction) -> None:
            stored = _action(tx.record("once", once.record_name))
            ended: _Action | None
            if stored is None:
                # Forgotten, or removed and given back.
                ended = _Action(self._done(once.latest)) if turn is Turn.DONE else None
            elif stored.latest.number == once.attempt:
                ended = self._ended(tx, stored, turn, counted)
            else:
                ended = self._ended_late(tx, stored, once.latest, turn, counted)
            tx.put_record("once", once.record_name, _record(ended) if ended else None, kept=ACTION_KEPT_SECONDS)

        self._store.transact(change)

    def _ended(self, tx: Transaction, stored: _Action, turn: Turn | None, counted: bool) -> _Action | None:
        latest = stored.latest
        is_done = turn is Turn.DONE or latest.state is State.DONE
        if turn is Turn.IN_DOUBT:
            return stored if is_done else replace(stored, latest=replace(latest, state=State.IN_DOUBT))
        if turn is Turn.DONE and (counted or stored.lost):
            return replace(stored, latest=self._done(latest), lost=(), is_for_lost=not counted)
        if stored.lost and not is_done:
            # Nothing of this attempt is left to wait for, but a lost one may have counted.
            return replace(stored, latest=replace(latest, state=State.IN_DOUBT, lasts=0.0))
        give_back(tx, self.clock, latest.spending)
        free = replace(latest, spending=replace(latest.spending, names=()))
        return replace(stored, latest=self._done(free)) if is_done else None

    def _ended_late(
        self, tx: Transaction, stored: _Action, attempt: Attempt, turn: Turn | None, counted: bool
    ) -> _Action:
        """An answer came after the next attempt had begun, to which the spending had moved."""
        if turn is Turn.IN_DOUBT:
            return stored
        if turn is Turn.DONE and counted and not stored.is_for_lost:
            spend_anyway(tx, self.clock, attempt.spending)
        latest = self._done(stored.latest) if turn is Turn.DONE else stored.latest
        return replace(
            stored, latest=latest, lost=tuple(n for n in stored.lost if n != attempt.number), is_for_lost=False
        )

    def _done(self, attempt: Attempt) -> Attempt:
        if attempt.state is State.DONE:
            return attempt
        return replace(attempt, state=State.DONE, lasts=self.clock.since(attempt.began))

    @staticmethod
    def _latest(tx: Transaction, once: Once) -> _Action | None:
        """The action, unless another attempt has begun since."""
        stored = _action(tx.record("once", once.record_name))
        return stored if stored and stored.latest.number == once.attempt else None

    def _next(self, once: Once, lasts: float, budgets: Sequence[Budget]) -> Once:
        latest = self._attempt(once.attempt + 1, lasts, budgets)
        return replace(once, turn=Turn.OURS, latest=latest, overdue_seconds=-lasts)

    def _attempt(self, number: int, lasts: float, budgets: Sequence[Budget]) -> Attempt:
        now = self.clock.now()
        return Attempt(number, now, lasts, State.STARTED, Spending([budget.name for budget in budgets], 1, now))

    def _take(
        self,
        tx: Transaction,
        once: Once,
        lost: tuple[int, ...],
        budgets: Sequence[Budget],
        instead: Spending | None = None,
    ) -> Once | Left:
        if (budgets or instead) and (over := spend(tx, self.clock, budgets, 1, once.latest.began, instead=instead)):
            return over
        tx.put_record("once", once.record_name, _record(_Action(once.latest, lost)), kept=ACTION_KEPT_SECONDS)
        return once


def _record(action: _Action) -> Any:
    latest = action.latest
    return {
        "state": latest.state,
        "attempt": latest.number,
        "began": list(latest.began),
        "lasts": latest.lasts,
        "budgets": list(latest.spending.names),
        "lost": list(action.lost),
        "is_for_lost": action.is_for_lost,
    }


def _action(record: Any) -> _Action | None:
    """Read a record, also one of an older version."""
    if record is None:
        return None
    began = Moment(*record["began"])
    spending = Spending(record.get("budgets", ()), 1, began)
    latest = Attempt(record["attempt"], began, record["lasts"], State(record["state"]), spending)
    return _Action(latest, tuple(record.get("lost", ())), record.get("is_for_lost", False))
