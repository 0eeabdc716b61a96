"""The ledger: every rule of "paid once". No split is paid for twice, and no paid stems are lost.

Each rule is here once. The store underneath (app/splits/store.py) knows no rule.

- Entry: one split. It is written before the paid call is sent, so that it survives a crash. It is `started` during
  the call, then `done` with its stems, or `in doubt`: Suno may have charged, but no answer was recorded. A `started`
  entry past its deadline is in doubt. If a split fails and certainly cost nothing, its entry is removed, and its key
  is free again.
- Attempt: one paid call of an entry. The next attempt may begin only if the last one certainly cost nothing.
- Budget: the transaction that begins an attempt takes its price from the budgets of its caller and account. The price
  stays taken while the entry is in doubt. It is given back once it is certain that nothing was charged.
- Job: the work after the reply (app/jobs/). It begins in the same transaction, so that it survives a crash. Their
  table is in app/splits/jobs.py.
- Wait: Suno wants a captcha, and no paid call of the entry has left. Its rules are in app/splits/waiting.py.
- Owner of stems: the entry for which Suno's answer named them. An entry in doubt may claim unowned stems if the
  evidence shows that they are its own (app/splits/evidence.py). Suno's answer overrides a claim: the entry that
  claimed them is in doubt again.
- Listed: which stems were listed, and when. An entry that begins later cannot own them.

The ledger has no cookie, no token and no address of audio.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from app.ids import new_id
from app.splits.admission import Admit, NotBegun, has_failed
from app.splits.attempt import latest_of
from app.splits.budget import Budget, Left, Spending, allowed, give_back, left_of, spend, spend_anyway
from app.splits.durability import DurabilityCheck
from app.splits.evidence import Evidence, Finding, Reason, Verdict, judge
from app.splits.history import History, leave_history, note_in_history
from app.splits.identity import Identity
from app.splits.jobs import JobTable, NewJob
from app.splits.known import Known, inherited
from app.splits.listed import note_listed
from app.splits.names import NameTable
from app.splits.once import TurnTable
from app.splits.owners import OWNER_KEPT_SECONDS, as_seen_now, is_forgotten, known_stems, own, take, withdraw_guesses
from app.splits.paid_pauses import PaidPauses
from app.splits.request_ids import forget_request, latest_of_request, lead_to, lead_to_job
from app.splits.store import Entry, Owner, State, Store, Transaction
from app.splits.wait import Wait
from app.splits.waiting import WaitTable
from app.splits.which_store import open_store
from app.suno.clip import Clip

if TYPE_CHECKING:
    from app.splits.order_table import OrderTable


class Ledger:
    """The rules. Every method is one transaction and raises LedgerUnavailable.

    A method changes an entry only for the attempt that it is given: a process that slept past its deadline must not
    undo what another process did since.
    """

    def __init__(self, store: Store, *, known: Known | None = None, must_be_durable: bool = False) -> None:
        self._store = store
        self.clock = store.clock
        self.durability = DurabilityCheck(store, is_required=must_be_durable)
        self.identity = Identity(store, self.durability, known)
        self.jobs = JobTable(store)
        self.waits = WaitTable(store, self.jobs)
        self.turns = TurnTable(store, self.identity)
        self.names = NameTable(store)
        self.history = History(store)
        self.paid_pauses = PaidPauses(store.clock)

    @cached_property
    def orders(self) -> OrderTable:
        """The orders of many songs."""
        from app.splits.order_table import OrderTable

        return OrderTable(self._store, self.jobs)

    def new_entry(
        self,
        *,
        caller: str,
        account: str,
        idempotency_key: str,
        question: str,
        song_id: str,
        task: str,
        request_id: str,
        lasts: float,
        price: int = 0,
    ) -> Entry:
        """Make the entry of a split that begins now; write nothing.

        `lasts`: maximum seconds of the paid call. `price`: credits.
        """
        now = self.clock.now()
        return Entry(
            id=new_id(),
            caller=caller,
            account=account,
            idempotency_key=idempotency_key,
            question=question,
            song_id=song_id,
            task=task,
            request_id=request_id,
            began=now,
            attempt_began=now,
            lasts=lasts,
            price=price,
        )

    def begin(
        self,
        entry: Entry,
        *,
        older: Sequence[Owner] = (),
        budgets: Sequence[Budget] = (),
        job: NewJob | None = None,
        admit: Admit | None = None,
    ) -> Entry:
        """Write a new entry and return it; or return the existing entry of this account, caller and key.

        A new entry takes its price from the budgets, and begins its job. `admit` counts it for its order. Raises
        OverBudget, and what `admit` returns; then nothing is written.

        `older`: other names of account and caller, which an older ledger may have used. From now on the new request
        id finds the existing entry, unless its `question` differs.
        """

        def change(tx: Transaction, enter: Callable[[], bool]) -> Entry | Left | NotBegun:
            earlier: list[Entry] = []
            if entry.idempotency_key:
                owners = ((entry.account, entry.caller), *older)
                found = [tx.entry_of_key(*owner, entry.idempotency_key) for owner in owners]
                earlier = [stored for stored in found if stored is not None]
            if not enter():
                return entry
            for stored in earlier:
                if not self._is_forgotten(stored):
                    lead_to(tx, self.clock, entry, stored if stored.asks_like(entry) else None)
                    return stored
                tx.put(stored._replace(idempotency_key=""))
            if budgets and (over := spend(tx, self.clock, budgets, entry.price, entry.attempt_began)):
                return over
            new = entry._replace(budgets=tuple(budget.name for budget in budgets)) if budgets else entry
            if admit is not None and (refused := admit(tx, new)):
                self._give_back(tx, new)
                return refused
            self.paid_pauses.look(tx, entry.account)
            tx.put(new)
            if job is not None:
                self.jobs.begin(tx, entry.id, job.body, entry.lasts)
                lead_to_job(tx, entry)
            if entry.idempotency_key or job is not None:
                note_in_history(tx, entry)
            return new

        if entry.idempotency_key or budgets or job is not None:
            outcome = self.identity.attempt(change)
        else:
            outcome = self._store.transact(lambda tx: change(tx, lambda: True), durable=False)
        if isinstance(outcome, NotBegun):
            raise outcome
        stored = allowed(outcome, entry.price)
        return stored if stored.id == entry.id else self._seen_now(stored)

    def get(self, id: str) -> Entry | None:
        """Read an entry. A `started` one past its deadline is returned as in doubt."""
        found = self._store.read(lambda tx: tx.entry(id))
        return self._seen_now(found) if found else None

    def made_of(self, accounts: Collection[str], song_id: str) -> frozenset[str] | None:
        """Read which stems of a song these accounts' splits have made; None if one of them may still make some."""
        entries = self._store.read(lambda tx: tx.entries_of_song(song_id))
        ours = [self._seen_now(entry) for entry in entries if entry.account in accounts]
        if any(entry.state is not State.DONE for entry in ours):
            return None
        return frozenset(stem.id for entry in ours for stem in entry.stems)

    def of_request(self, owners: Iterable[Owner], request_id: str) -> Entry | None:
        """Read the entry of the latest request with this id, under any of these names of its owner."""
        _, found = self._store.read(lambda tx: latest_of_request(tx, self.clock, owners, request_id))
        return self._seen_now(found) if found and not self._is_forgotten(found) else None

    def id_of_request(self, owners: Iterable[Owner], request_id: str) -> str:
        """Read the id of that entry, or "". If it has a job, it is known as long as the job is kept."""
        id, _ = self._store.read(lambda tx: latest_of_request(tx, self.clock, owners, request_id))
        return id

    def finish(
        self, entry: Entry, stems: Sequence[Clip], *, paid: bool, has_job: bool = False, is_reply: bool = False
    ) -> Entry:
        """Record Suno's answer, and return the entry. Its `stems` are the reply. `has_job`: its job is due now.

        If an earlier attempt's stems were already recorded, they stay the reply: a key always leads to the same
        stems. If `paid`, this entry owns `stems` from now on, even if an entry in doubt has claimed them. Otherwise
        the price is given back. `is_reply`: also record the reply, as `answer`.
        """

        def change(tx: Transaction) -> Entry:
            for wrong in withdraw_guesses(tx, entry, stems) if paid else ():
                self.waits.return_to(tx, wrong)
                self.jobs.wake(tx, wrong.id)
            stored = tx.entry(entry.id)
            done = self._done(tx, entry, stored, stems, paid=paid)
            if is_reply:
                done = done.answered(done.stems)
            if done != stored:
                tx.put(done)
            if has_job or stored != entry:
                self.jobs.wake(tx, entry.id)
            return done

        return self._store.transact(change, durable=bool(entry.idempotency_key or entry.budgets or has_job))

    def _done(
        self, tx: Transaction, entry: Entry, stored: Entry | None, stems: Sequence[Clip], *, paid: bool
    ) -> Entry:
        if stored is None:
            # It could not be written when it began, or is no longer stored: write it now.
            return self._again(tx, entry)._replace(state=State.DONE, stems=tuple(stems), paid=paid)
        if stored.attempt == entry.attempt and stored.state is not State.DONE:
            if stored.stems:
                # An earlier attempt's late answer is the reply already: a key always leads to the same stems.
                own(tx, entry, stems)
                return self._count_again(tx, stored)._replace(state=State.DONE)
            done = stored._replace(state=State.DONE, stems=tuple(stems), paid=paid)
            if not paid:
                return self._give_back(tx, done)
            # Its price was not given back if nothing has changed since it began.
            return done if stored == entry else self._count_again(tx, done)
        # This answer is late: a newer attempt has begun, or stems were found and recorded meanwhile.
        if paid:
            own(tx, entry, stems)
            if stored.attempt != entry.attempt:
                # Its price was given back when the newer attempt began: count it again.
                spend_anyway(tx, self.clock, Spending(stored.budgets, stored.price, entry.attempt_began))
                stored = self._count_again(tx, stored)
        return stored if stored.stems else stored._replace(stems=tuple(stems), paid=paid)

    def settle(self, entry: Entry, found: Evidence) -> Finding:
        """Judge the evidence for an entry in doubt; if it proves stems to be this entry's, finish it with them.

        Returns OURS also if the entry was finished meanwhile. Records which stems were listed: an entry that begins
        later cannot own them.
        """

        def change(tx: Transaction) -> Finding:
            stored = tx.entry(entry.id)
            if stored is not None and stored.state is State.DONE:
                return Finding(Verdict.OURS, stored.stems)
            if stored is None or stored.attempt != entry.attempt or stored.state.has_paid_nothing:
                return Finding(Verdict.PERHAPS, reason=Reason.CHANGED)
            known = known_stems(tx, self.clock, stored, found)
            note_listed(tx, self.clock, stored.song_id, [id for id in found.recent if id not in known.owned])
            finding = judge(found, known)
            if stored.stems:
                # An earlier attempt's late answer is the reply already: a key always leads to the same stems.
                own(tx, entry, finding.stems)
                tx.put(self._count_again(tx, stored)._replace(state=State.DONE))
                self.jobs.wake(tx, entry.id)
                return Finding(Verdict.OURS, stored.stems)
            if finding.verdict is Verdict.OURS:
                tx.put(self._count_again(tx, stored)._replace(state=State.DONE, stems=finding.stems, paid=True))
                take(tx, stored, finding.stems)
                # It may have reported by now that no stems were made.
                self.jobs.wake(tx, entry.id)
            return finding

        return self._store.transact(change)

    def note_listed(self, entry: Entry, ids: Sequence[str], stems: Sequence[Clip] = ()) -> None:
        """Record the stems that were listed before the first paid call of an entry: it cannot own them.

        `stems`: the whole list. If it shows that stems of another split have failed, nobody waits for these any more.
        """

        def change(tx: Transaction) -> None:
            note_listed(tx, self.clock, entry.song_id, ids, before=entry.id)
            seen = {stem.id: stem for stem in stems}
            statuses = {id: stem.status for id, stem in seen.items()}
            for other in tx.entries_of_song(entry.song_id):
                if other.account == entry.account and not other.final_reply and has_failed(other, statuses):
                    tx.put(other._replace(final_reply=tuple(seen[stem.id] for stem in other.stems)))

        self._store.transact(change)

    def keep(self, entry: Entry) -> None:
        """Keep an entry longer: its job still looks for its stems."""
        self._store.transact(lambda tx: tx.put(stored) if (stored := tx.entry(entry.id)) else None, durable=False)

    def give_back(self, entry: Entry) -> bool:
        """Give back the price of an entry in doubt: it is certain that its attempt made nothing.

        The entry stays. If stems turn up after all, the price counts again. Returns False if the entry has changed:
        then that is not certain.
        """

        def change(tx: Transaction) -> bool:
            stored = tx.entry(entry.id)
            if stored is None or stored.attempt != entry.attempt or stored.state is State.DONE or stored.stems:
                return False
            if stored.state.has_paid_nothing:
                return False
            if stored.budgets:
                tx.put(self._give_back_for_now(tx, stored))
            return True

        return self._store.transact(change)

    def answer(self, entry: Entry, stems: Sequence[Clip]) -> None:
        """Record the first reply, and the first reply in which all stems are final; later replies change nothing."""

        def change(tx: Transaction) -> None:
            stored = tx.entry(entry.id)
            if stored is None:
                return
            answered = stored.answered(stems)
            if answered != stored:
                tx.put(answered)

        # Without it, a retry gets the stems of the entry.
        self._store.transact(change, durable=False)

    def wait(self, entry: Entry, wait: Wait, job: NewJob | None, *, most: int | None = None) -> Entry | None:
        """Let an entry wait for a person, as Suno wants a captcha. Returns it; None if that is not possible.

        `job`: begins, if the entry has none yet. One that already waited goes on as before. Raises TooManyWaiting.
        """

        def lead(tx: Transaction) -> None:
            lead_to_job(tx, entry)
            note_in_history(tx, entry)

        return self.waits.begin(entry, wait, job, lead, most)

    def doubt(self, entry: Entry) -> None:
        """Mark the entry in doubt: Suno may have charged for the paid call."""

        def change(tx: Transaction) -> None:
            stored = tx.entry(entry.id) or self._again(tx, entry)
            if stored.attempt == entry.attempt and stored.state is State.STARTED:
                tx.put(stored._replace(state=State.IN_DOUBT))

        self._store.transact(change)

    def restart(
        self,
        entry: Entry,
        lasts: float,
        *,
        budgets: Sequence[Budget] = (),
        job: NewJob | None = None,
        admit: Admit | None = None,
    ) -> Entry | None:
        """Begin the next attempt of an entry; None if another request has begun it or found the stems.

        Only for a last attempt that certainly cost nothing: its price is given back. Raises OverBudget, and what
        `admit` returns; then nothing is written. An entry that waits for a person, or has waited, keeps its job.
        """

        def change(tx: Transaction, enter: Callable[[], bool]) -> Entry | Left | NotBegun | None:
            stored = tx.entry(entry.id)
            if stored is None or stored.attempt != entry.attempt or stored.state is State.DONE or stored.stems:
                return None
            has_waited = stored.state.has_paid_nothing
            if has_waited and stored.state is not entry.state:
                return None
            if not enter():
                return None
            if stored.idempotency_key != entry.idempotency_key:
                # The key has ended, and a new entry has begun with it.
                return None
            if admit is not None and (refused := admit(tx, stored)):
                return refused
            again = stored._replace(
                attempt=stored.attempt + 1,
                attempt_began=self.clock.now(),
                lasts=lasts,
                state=State.STARTED,
                price=entry.price,
                budgets=tuple(budget.name for budget in budgets),
            )
            if budgets or stored.budgets:
                before = latest_of(stored).spending
                over = spend(tx, self.clock, budgets, again.price, again.attempt_began, instead=before)
                if over:
                    return over
            self.paid_pauses.look(tx, stored.account)
            tx.put(again)
            tx.put_record("given_back", again.id, None, kept=0)
            if has_waited:
                self.waits.leave(tx, again)
                self.jobs.wake(tx, again.id)
            elif job is not None:
                # The last attempt's job may have reported by now that no stems were made.
                self.jobs.begin(tx, entry.id, job.body, lasts)
            return again

        outcome = self.identity.attempt(change)
        if isinstance(outcome, NotBegun):
            raise outcome
        return allowed(outcome, entry.price)

    def free(self, entry: Entry, *, paid_calls_pause: float = 0.0) -> None:
        """Remove an entry that certainly cost nothing, and its job; give its price back.

        `paid_calls_pause`: seconds until the next paid call of its account, in all processes.

        If this was not its first attempt, it stays in doubt: stems of an earlier attempt may still turn up. But if
        each attempt so far made nothing because of a captcha, it waits for a person as before.
        """

        def change(tx: Transaction) -> None:
            if paid_calls_pause:
                self.paid_pauses.note(tx, entry.account, paid_calls_pause)
            stored = tx.entry(entry.id)
            if stored is None or stored.attempt != entry.attempt or stored.state is State.DONE:
                return
            if stored.stems:
                # An earlier attempt's late answer is the reply.
                tx.put(self._give_back(tx, stored)._replace(state=State.DONE))
                return
            if self.waits.go_back(tx, stored):
                return
            if stored.attempt > 1:
                # Its call is over: the settle time counts from now on.
                over = stored._replace(state=State.IN_DOUBT, lasts=self.clock.since(stored.attempt_began))
                tx.put(self._give_back_for_now(tx, over))
                return
            tx.remove(self._give_back(tx, stored))
            if stored.idempotency_key or tx.record("job", stored.id):
                leave_history(tx, stored)
            self.jobs.remove(tx, entry.id)
            forget_request(tx, self.clock, entry)

        self._store.transact(change)

    def left(self, budget: Budget) -> Left:
        """Read what is left of a budget."""
        return self._store.read(lambda tx: left_of(tx, self.clock, budget))

    def check(self) -> None:
        """Check that the ledger can be written, and has forgotten nothing."""
        self._store.check()
        self.identity.check()

    def _seen_now(self, entry: Entry) -> Entry:
        return as_seen_now(self.clock, entry)

    def overdue_seconds(self, entry: Entry) -> float:
        """Seconds since the deadline of the entry's paid call; negative before it."""
        return latest_of(entry).overdue_seconds(self.clock)

    def _is_forgotten(self, entry: Entry) -> bool:
        return is_forgotten(self.clock, entry)

    def _again(self, tx: Transaction, entry: Entry) -> Entry:
        """The entry to write if it is not stored (any more); without its key if another entry has that now."""
        key = entry.idempotency_key
        taken = key and tx.entry_of_key(entry.account, entry.caller, key)
        return entry._replace(idempotency_key="") if taken else entry

    def _give_back(self, tx: Transaction, entry: Entry) -> Entry:
        if entry.budgets:
            give_back(tx, self.clock, latest_of(entry).spending)
        return entry._replace(budgets=())

    def _give_back_for_now(self, tx: Transaction, entry: Entry) -> Entry:
        """Give a price back that counts again if stems turn up."""
        if entry.budgets:
            tx.put_record("given_back", entry.id, list(entry.budgets), kept=OWNER_KEPT_SECONDS)
        return self._give_back(tx, entry)

    def _count_again(self, tx: Transaction, entry: Entry) -> Entry:
        """Count the price of an entry again, if it was given back."""
        names = tx.record("given_back", entry.id)
        if not names:
            return entry
        tx.put_record("given_back", entry.id, None, kept=0)
        again = entry._replace(budgets=tuple(names))
        spend_anyway(tx, self.clock, latest_of(again).spending)
        return again


def open_ledger(url: str, *, must_be_durable: bool = False) -> Ledger:
    """Make the ledger at LEDGER_URL. It connects on first use: a ledger that is down must not prevent a start."""
    return Ledger(open_store(url), known=inherited(), must_be_durable=must_be_durable)
