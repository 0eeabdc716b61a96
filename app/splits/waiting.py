"""Requests that wait for a person: Suno wants a captcha, so it has made nothing, and nothing was paid.

 started ── captcha ──▶ needs_person ──▶ done      a person has split the song at suno.com: its stems are taken
                          │  ▲   │
           asked again    │  │   └─────▶ failed    cancelled, or nobody came in time
       (attempt + 1)      ▼  │             │
                        started ◀──────────┘       the same key again
                          │
                          └──▶ done, in_doubt      its paid call has left: from then on nothing is adopted

- A wait begins only if no paid call of the entry has left: each attempt so far was refused because of a captcha.
- Its price is given back. All stems that the song lists are stored: they are not new.
- The request takes a whole set of new stems that no request owns or could own (`judge_new` in
  app/splits/evidence.py). It owns them, and has paid nothing.
- Only a new request begins the next attempt, after it has looked for new stems.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from app.splits.attempt import latest_of
from app.splits.budget import give_back
from app.splits.clock import Moment
from app.splits.evidence import Evidence, Finding, Reason, Verdict, judge_new
from app.splits.jobs import JobTable, NewJob
from app.splits.owners import known_stems, take
from app.splits.store import Entry, State, Store, Transaction
from app.splits.wait import Ended, Wait, read_wait, write_wait
from app.suno.errors import CaptchaRequired
from app.timing import DAY, FOR_GOOD

WAITING_ENTRIES = "(all)"
"""The name of the record that lists all requests that wait."""


@dataclass(frozen=True, slots=True)
class LookTurn:
    """A turn to look for what persons have made, for all requests of an account that wait."""

    waiting: tuple[tuple[Entry, Wait], ...]
    """The one that waits longest first."""
    number: int
    """How many looks there were before."""


class TooManyWaiting(CaptchaRequired):
    """Suno wants a captcha, and the caller has as many requests that wait for a person as it may have."""

    def __init__(self, most: int) -> None:
        self.without_cost = (
            f"Suno wants a captcha, and {most} requests of this caller wait for a person already: no more may wait. "
            "Split their songs at suno.com, or cancel one."
        )
        super().__init__(f"{self.without_cost} Nothing was charged.")


class WaitTable:
    """The waits. Every method raises LedgerUnavailable. Each is one transaction, unless it receives a transaction."""

    def __init__(self, store: Store, jobs: JobTable) -> None:
        self._store, self._jobs = store, jobs
        self._clock = store.clock

    def get(self, id: str) -> Wait | None:
        """Read the latest wait of an entry; None if it never waited."""
        return self._store.read(lambda tx: read_wait(tx, id))

    def begin(
        self, entry: Entry, wait: Wait, job: NewJob | None, lead: Callable[[Transaction], None], most: int | None
    ) -> Entry | None:
        """Let an entry wait, as its attempt was refused because of a captcha. Returns the entry.

        If it goes on waiting, its time and the list of what is not new stay the same. None if it has changed, or if a
        paid call of it may have left. `job`: begins, unless it has one. `lead`: lets the request id find the job.
        `most`: how many requests of a caller may wait; None: any number. Raises TooManyWaiting; then nothing is
        written.
        """

        def change(tx: Transaction) -> Entry | TooManyWaiting | None:
            stored, before = tx.entry(entry.id), read_wait(tx, entry.id)
            if stored is None or stored.attempt != entry.attempt or stored.state is not State.STARTED or stored.stems:
                return None
            if stored.attempt > 1 and (before is None or before.attempt != stored.attempt - 1):
                return None
            goes_on = before is not None and before.ended is None
            if not goes_on and most is not None and not self._has_place(tx, stored.caller, most):
                return TooManyWaiting(most)
            now = replace(before if before and goes_on else wait, attempt=stored.attempt)
            write_wait(tx, entry.id, now)
            waiting = self._put_waiting(tx, stored, now)
            if tx.record("job", entry.id) is None and job is not None:
                self._jobs.begin(tx, entry.id, job.body, 0.0)
                lead(tx)
            else:
                self._jobs.wake(tx, entry.id)
            return waiting

        waiting = self._store.transact(change)
        if isinstance(waiting, TooManyWaiting):
            raise waiting
        return waiting

    def go_back(self, tx: Transaction, stored: Entry) -> bool:
        """Within a transaction: let an entry wait as before, if its attempt certainly made nothing.

        False if it never waited, or a paid call of it may have left.
        """
        before = read_wait(tx, stored.id)
        if before is None or before.attempt != stored.attempt - 1:
            return False
        now = replace(before, attempt=stored.attempt)
        write_wait(tx, stored.id, now)
        if now.ended is None:
            self._put_waiting(tx, stored, now)
        else:
            tx.put(
                self._given_back(tx, stored)._replace(state=State.FAILED, attempt_began=now.began, lasts=now.lasts)
            )
        self._jobs.wake(tx, stored.id)
        return True

    def leave(self, tx: Transaction, stored: Entry) -> None:
        """Within a transaction: note that an entry waits no longer. The caller writes the entry."""
        self._forget(tx, stored.id)

    def return_to(self, tx: Transaction, stored: Entry) -> None:
        """Within a transaction: let an entry wait again, as the stems that it took are another's."""
        if wait := read_wait(tx, stored.id):
            write_wait(tx, stored.id, replace(wait, is_adopted=False))
            self._put_waiting(tx, stored, wait)

    def adopt(self, entry: Entry, found: Evidence) -> Finding:
        """Judge what is new; if there is a whole set that the entry may take, finish it with that. It paid nothing.

        Returns OURS also if the entry has its stems by now.
        """

        def change(tx: Transaction) -> Finding:
            stored, wait = tx.entry(entry.id), read_wait(tx, entry.id)
            if stored is not None and stored.state is State.DONE:
                return Finding(Verdict.OURS, stored.stems)
            if stored is None or wait is None or stored.attempt != entry.attempt or not stored.state.has_paid_nothing:
                return Finding(Verdict.PERHAPS, reason=Reason.CHANGED)
            finding = judge_new(found, known_stems(tx, self._clock, stored, found))
            if finding.verdict is Verdict.OURS:
                now = self._clock.now()
                # `paid`: it owns them.
                done = stored._replace(state=State.DONE, stems=finding.stems, paid=True, price=0)
                tx.put(done._replace(attempt_began=now, lasts=0.0))
                take(tx, stored, finding.stems)
                write_wait(tx, stored.id, replace(wait, is_adopted=True, ended=None))
                self.leave(tx, stored)
                self._jobs.wake(tx, stored.id)
            return finding

        return self._store.transact(change)

    def end(self, entry: Entry, how: Ended) -> bool:
        """End a wait without stems. Its key can begin again. False if the entry waits no longer."""

        def change(tx: Transaction) -> bool:
            stored, wait = tx.entry(entry.id), read_wait(tx, entry.id)
            if stored is None or stored.state is not State.NEEDS_PERSON:
                return False
            if wait is not None:
                write_wait(tx, stored.id, replace(wait, ended=how))
            # Its key lasts for another day from now.
            tx.put(stored._replace(state=State.FAILED, lasts=self._clock.since(stored.attempt_began)))
            self.leave(tx, stored)
            self._jobs.wake(tx, stored.id)
            return True

        return self._store.transact(change)

    def end_if_over(self, entry: Entry) -> bool:
        """End a wait whose time is over: no jobs process has done so. False if it goes on, or has changed."""
        is_over = entry.state is State.NEEDS_PERSON and latest_of(entry).overdue_seconds(self._clock) >= 0
        return is_over and self.end(entry, Ended.TOO_LATE)

    def take_look(self, account: str, every: float) -> LookTurn | float:
        """Take the turn to look, for all requests of an account; or the seconds until the next turn.

        `account`: the ledger's name. `every`: minimum seconds between two looks.
        """

        def change(tx: Transaction) -> LookTurn | float:
            last = tx.record("waiting", f"look {account}")
            passed = self._clock.since(Moment(*last["at"])) if last else every
            if 0.0 <= passed < every:
                return every - passed
            number: int = last["number"] + 1 if last else 0
            tx.put_record("waiting", f"look {account}", {"at": list(self._clock.now()), "number": number}, kept=DAY)
            ids = [id for id, (name, _) in self._waiting(tx).items() if name == account]
            stored = [entry for id in ids if (entry := tx.entry(id)) and entry.state is State.NEEDS_PERSON]
            for lost in set(ids) - {entry.id for entry in stored}:
                self._forget(tx, lost)
            stored.sort(key=lambda entry: (-self._clock.since(entry.attempt_began), entry.id))
            return LookTurn(tuple((entry, wait) for entry in stored if (wait := read_wait(tx, entry.id))), number)

        return self._store.transact(change, durable=False)

    def count(self) -> int:
        """Read how many requests wait."""
        return len(self._store.read(self._waiting))

    def _put_waiting(self, tx: Transaction, stored: Entry, wait: Wait) -> Entry:
        waiting = self._given_back(tx, stored)._replace(
            state=State.NEEDS_PERSON, attempt_began=wait.began, lasts=wait.lasts
        )
        tx.put(waiting)
        listed = self._waiting(tx) | {stored.id: [stored.account, stored.caller]}
        tx.put_record("waiting", WAITING_ENTRIES, listed, kept=FOR_GOOD)
        return waiting

    def _given_back(self, tx: Transaction, stored: Entry) -> Entry:
        if stored.budgets:
            give_back(tx, self._clock, latest_of(stored).spending)
        tx.put_record("given_back", stored.id, None, kept=0)
        return stored._replace(budgets=())

    @staticmethod
    def _waiting(tx: Transaction) -> dict[str, list[str]]:
        """The ids of the entries that wait, with the ledger's names for their account and caller."""
        waiting: dict[str, list[str]] = tx.record("waiting", WAITING_ENTRIES) or {}
        return waiting

    def _has_place(self, tx: Transaction, caller: str, most: int) -> bool:
        """Whether fewer than `most` requests of a caller wait."""
        ids = [id for id, (_, its_caller) in self._waiting(tx).items() if its_caller == caller]
        if len(ids) < most:
            return True
        # Without a jobs process, nobody has noted that some wait no longer.
        entries = [entry for id in ids if (entry := tx.entry(id)) and entry.state is State.NEEDS_PERSON]
        return sum(latest_of(entry).overdue_seconds(self._clock) < 0 for entry in entries) < most

    def _forget(self, tx: Transaction, id: str) -> None:
        waiting = self._waiting(tx)
        if waiting.pop(id, None) is not None:
            tx.put_record("waiting", WAITING_ENTRIES, waiting or None, kept=FOR_GOOD)
