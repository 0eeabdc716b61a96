"""Whether the ledger is the one that was in use, and has forgotten nothing.

A ledger has a random id from its first use, and counts the attempts that begin. A service remembers both
(app/splits/known.py). A ledger without that id, or with a lower count, has forgotten what was paid since: it was
emptied, replaced, or restored from an older copy. Then no attempt begins until somebody accepts it, or the whole
service restarts. The first ledger that a service sees may be empty.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import NamedTuple, TypeVar

from app.splits.durability import DurabilityCheck
from app.splits.known import Known, Seen
from app.splits.store import Added, LedgerUnavailable, Store, Transaction
from app.timing import FOR_GOOD

T = TypeVar("T")

LEDGER, ID, MISSED, ATTEMPTS_NUMBER = "ledger", "id", "missed", "attempts"

MAX_EARLIER_IDS = 50
"""Maximum ids of earlier ledgers to remember."""


class Stamp(NamedTuple):
    """A ledger as a transaction saw it."""

    id: str
    attempts: Added
    refusal: str
    """Why no attempt may begin; "" if one may."""


class Identity:
    """The ledger's id and count, compared with what this service knows."""

    def __init__(self, store: Store, durability: DurabilityCheck, known: Known | None = None) -> None:
        self._store, self._durability = store, durability
        self._known = known or Known()

    def attempt(self, change: Callable[[Transaction, Callable[[], bool]], T]) -> T:
        """Run a transaction that may begin an attempt, durably. Raises LedgerUnavailable if none may begin.

        `change` receives a function: it calls that after it has read what it needs, and before it writes. If the
        function returns False, it must write nothing; its result is then ignored.
        """
        self._durability.require()
        stamp: Stamp | None = None

        def checked(tx: Transaction) -> T:
            nonlocal stamp
            stamp = None
            # Before the ledger is read: other processes count meanwhile.
            known = self._known.now()

            def enter() -> bool:
                nonlocal stamp
                stamp = self._stamp(tx, known)
                if not stamp.refusal:
                    stamp = stamp._replace(attempts=tx.add_one(ATTEMPTS_NUMBER))
                return not stamp.refusal

            return change(tx, enter)

        result = self._store.transact(checked)
        if stamp is not None:
            self._note(stamp)
        return result

    def check(self) -> None:
        """Raise LedgerUnavailable if no attempt may begin."""
        known = self._known.now()
        self._note(self._store.transact(lambda tx: self._stamp(tx, known), durable=False))

    def accept(self) -> int:
        """Let the ledger be used as it is. Returns how many other ledgers it is used instead of.

        It gets a new id: a copy from before cannot be mistaken for it.
        """

        def change(tx: Transaction) -> int:
            stored = tx.record(LEDGER, ID) or {}
            missed: list[str] = tx.record(LEDGER, MISSED) or []
            earlier = [*stored.get("instead_of", ()), *([stored["id"]] if stored else ()), *missed]
            new = {"id": uuid.uuid4().hex, "instead_of": earlier[-MAX_EARLIER_IDS:]}
            tx.put_record(LEDGER, ID, new, kept=FOR_GOOD)
            tx.put_record(LEDGER, MISSED, None, kept=0)
            return len(missed)

        return self._store.transact(change)

    def _stamp(self, tx: Transaction, known: Seen | None) -> Stamp:
        stored = tx.record(LEDGER, ID)
        attempts = tx.number(ATTEMPTS_NUMBER)
        if stored is None and known is None:
            stored = {"id": uuid.uuid4().hex, "instead_of": []}
            tx.put_record(LEDGER, ID, stored, kept=FOR_GOOD)
        if stored is not None and known is not None and known.id in stored["instead_of"]:
            known = None
        if stored is None:
            what = "it is empty"
        elif known is None or (stored["id"] == known.id and attempts >= known.attempts):
            return Stamp(stored["id"], Added(attempts), "")
        elif stored["id"] != known.id:
            what = "it is another one"
        else:
            what = f"it is older: {known.attempts - attempts} paid calls are missing"
        self._note_missed(tx, known)
        return Stamp(
            "",
            Added(attempts),
            f"it was removed or replaced while in use ({what}), so paid splits may be forgotten. Put the newest one "
            "back; or go on without what it has forgotten: run flask ledger accept, or restart the whole service",
        )

    def _note(self, stamp: Stamp) -> None:
        if stamp.refusal:
            raise LedgerUnavailable(stamp.refusal)
        self._known.note(stamp.id, stamp.attempts.number)

    @staticmethod
    def _note_missed(tx: Transaction, known: Seen | None) -> None:
        """Record which ledger is missed, for `accept`."""
        missed: list[str] = tx.record(LEDGER, MISSED) or []
        if known is not None and known.id not in missed:
            tx.put_record(LEDGER, MISSED, [*missed, known.id][-MAX_EARLIER_IDS:], kept=FOR_GOOD)
