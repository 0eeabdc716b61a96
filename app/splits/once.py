"""The turn for an action that must happen only once, such as to unlock a song."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from app.splits.budget import DAY, Budget, Left, Spending, allowed, give_back, spend
from app.splits.clock import Moment
from app.splits.identity import Identity
from app.splits.store import Store, Transaction

KEPT = 3 * DAY
"""Seconds to remember an action."""


class Turn(StrEnum):
    """The state of an action that must happen only once."""

    OURS = "ours"
    """This request must do it now."""
    UNDER_WAY = "under_way"
    IN_DOUBT = "in_doubt"
    """An attempt began, and no answer was recorded."""
    DONE = "done"


@dataclass(frozen=True, slots=True)
class Once:
    """An action that must happen only once, and its state."""

    kind: str
    account: str
    name: str
    turn: Turn
    attempt: int
    over_for: float
    """Seconds since the last attempt's deadline; negative while the attempt may still reach Suno."""
    taken: Spending | None = None
    """What the last attempt took from budgets."""


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

        def change(tx: Transaction, enter: Callable[[], bool]) -> Once | Left:
            held = tx.record("once", _record_name(kind, account, name))
            if held is None:
                if not enter():
                    return Once(kind, account, name, Turn.UNDER_WAY, 1, -lasts)
                return self._take_turn(tx, Once(kind, account, name, Turn.OURS, 1, -lasts), lasts, budgets)
            over_for = self.clock.since(Moment(*held["began"])) - held["lasts"]
            if held["state"] == "done":
                turn = Turn.DONE
            else:
                turn = Turn.UNDER_WAY if held["state"] == "started" and over_for < 0 else Turn.IN_DOUBT
            return Once(kind, account, name, turn, held["attempt"], over_for, _taken(held))

        return allowed(self._identity.attempt(change), 1)

    def retry(self, once: Once, *, lasts: float, budgets: Sequence[Budget] = ()) -> Once | None:
        """Take the turn for the next attempt; None if another request has it, or the action is done.

        Only for a last attempt that certainly did nothing: its spending is given back. Raises OverBudget; then
        nothing is written.
        """

        def change(tx: Transaction, enter: Callable[[], bool]) -> Once | Left | None:
            held = tx.record("once", _record_name(once.kind, once.account, once.name))
            if held is None or held["attempt"] != once.attempt or held["state"] == "done" or not enter():
                return None
            again = replace(once, turn=Turn.OURS, attempt=once.attempt + 1, over_for=-lasts, taken=_taken(held))
            return self._take_turn(tx, again, lasts, budgets)

        return allowed(self._identity.attempt(change), 1)

    def end(self, once: Once, turn: Turn | None, *, counted: bool = True) -> None:
        """Record how an attempt ended: DONE, IN_DOUBT, or None if it certainly did nothing.

        Its spending is given back if it did nothing, or if Suno has not `counted` it.
        """

        def change(tx: Transaction) -> None:
            name = _record_name(once.kind, once.account, once.name)
            held = tx.record("once", name)
            if once.taken and (turn is None or not counted) and held and held["attempt"] == once.attempt:
                give_back(tx, self.clock, once.taken)
            if turn is Turn.DONE:
                done = {**(held or self._begun(0.0)), "attempt": once.attempt, "state": "done"}
                tx.put_record("once", name, done, kept=KEPT)
            elif held is not None and held["attempt"] == once.attempt and held["state"] == "started":
                tx.put_record("once", name, {**held, "state": "in_doubt"} if turn else None, kept=KEPT)

        self._store.transact(change)

    def _begun(self, lasts: float) -> dict[str, Any]:
        now = self.clock.now()
        return {"began": list(now), "lasts": lasts}

    def _take_turn(self, tx: Transaction, once: Once, lasts: float, budgets: Sequence[Budget]) -> Once | Left:
        now, names = self.clock.now(), [budget.name for budget in budgets]
        if (budgets or once.taken) and (over := spend(tx, self.clock, budgets, 1, now, instead=once.taken)):
            return over
        value = {"state": "started", "attempt": once.attempt, "began": list(now), "lasts": lasts, "budgets": names}
        tx.put_record("once", _record_name(once.kind, once.account, once.name), value, kept=KEPT)
        return replace(once, taken=Spending(names, 1, now))


def _taken(held: dict[str, Any]) -> Spending:
    return Spending(held.get("budgets", ()), 1, Moment(*held["began"]))


def _record_name(kind: str, account: str, name: str) -> str:
    return f"{kind}:{account}:{name}"
