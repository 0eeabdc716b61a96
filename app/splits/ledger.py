"""What has been asked and paid for: nobody is charged twice, and nothing paid for is lost.

Every rule of that is here, once, over a store that knows none. An entry is written before the paid call leaves, so
that it is known after a crash. It is `started` until the call is over, then `done` with the stems, or `in doubt`:
perhaps charged, without an answer.

What a split costs is taken from the budgets of its caller and account, in the transaction that begins it. It stays
taken while it is in doubt, and is given back once it is certain that nothing was charged.

What goes on after the reply, its job, is begun in that transaction too: it is known whatever becomes of the process.

Stems belong to the entry to which Suno's answer named them. An entry in doubt may take stems that are nobody's, but
only while no other request for the same song can still be told that they are its own. Suno's answer outranks that.

No cookie, token or address of audio is in it.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, TypeVar

from app.ids import new_id
from app.splits.budget import Budget, Left, OverBudget, Spending, give_back, left_of, spend, spend_anyway
from app.splits.clock import Moment
from app.splits.store import Entry, State, Store, Transaction
from app.suno.clip import Clip
from app.suno.stems import Made

log = logging.getLogger(__name__)

T = TypeVar("T")

KEPT = 24 * 3600.0
"""Seconds for which a key, and what became of a request, is remembered."""

STEPS = 2 * 24 * 3600.0
"""Seconds by which a wall clock may be set, either way, without a key being forgotten."""

OWNED = KEPT + STEPS
"""Seconds for which it is known who owns a stem: as long as any entry can be in doubt about it."""

COOKIE_KEPT = 30 * KEPT
"""Seconds for which it is known, without a sign-in, which account a cookie is of."""

OUTCOMES, COMING = "(outcomes)", "(coming)"
"""Names under which is written what belongs to all jobs together."""

FOR_GOOD = 3650 * KEPT

JOB_KEPT = 10 * KEPT
"""Seconds for which a job is known: longer than a webhook is tried."""

LEADS = 50
"""Further request ids by which an entry is found, at most: its latest retries."""


Owner = tuple[str, str]
"""An account and a caller, by the names that the ledger has of them."""


class Found(StrEnum):
    """Whether the stems of an entry in doubt are among those that Suno lists."""

    YES = "yes"
    NO = "no"
    PERHAPS = "perhaps"
    """There are some that are nobody's, but they may be those of another request, or of no split of this kind."""


class Turn(StrEnum):
    """Who is to do something that is done once."""

    OURS = "ours"
    UNDER_WAY = "under_way"
    IN_DOUBT = "in_doubt"
    """Somebody began, and no answer came."""
    DONE = "done"


@dataclass(frozen=True, slots=True)
class Once:
    """Something that is to be done once, and whose turn it is."""

    kind: str
    account: str
    name: str
    turn: Turn
    attempt: int
    over_for: float
    """Seconds for which the last attempt has been over; below 0 while it may still arrive."""
    taken: Spending | None = None
    """What the last attempt took from budgets."""


class Ledger:
    """The rules. Every method is one transaction and raises LedgerUnavailable.

    A method that changes an entry does so only for the attempt it is given: a process that was asleep past its
    deadline must not undo what another has done since.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self.clock = store.clock

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
        """Make the entry of a split that begins now and whose paid call `lasts` at most so many seconds.

        `price`: credits.
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
        job: dict[str, Any] | None = None,
    ) -> Entry:
        """Write a new entry and return it; or return that of the same caller, account and key, if there is one.

        A new entry's price is taken from the budgets, and its job begins. Raises OverBudget, having written nothing.

        `older` are further names of account and caller, under which an older ledger may have the entry. It is found
        by the new one's request id from now on, unless it was another question.
        """

        def change(tx: Transaction) -> Entry | Left:
            if entry.idempotency_key:
                for account, caller in ((entry.account, entry.caller), *older):
                    held = tx.entry_of_key(account, caller, entry.idempotency_key)
                    if held is None:
                        continue
                    if not self._is_forgotten(held):
                        self._lead(tx, entry, held if held.question == entry.question else None)
                        return held
                    tx.put(held._replace(idempotency_key=""))
            if budgets and (over := spend(tx, self.clock, budgets, entry.price, entry.attempt_began)):
                return over
            new = entry._replace(budgets=tuple(budget.name for budget in budgets)) if budgets else entry
            tx.put(new)
            if job is not None:
                self._put_job(tx, entry.id, job, self.clock.now().wall + entry.lasts)
            return new

        return self._told(_allowed(self._store.transact(change), entry.price))

    def get(self, id: str) -> Entry | None:
        """Read an entry, as far as it is by now: one that was cut off before its end is in doubt."""
        found = self._store.read(lambda tx: tx.entry(id))
        return self._told(found) if found else None

    def of_request(self, owners: Iterable[Owner], request_id: str) -> Entry | None:
        """Read the entry that the latest request of that id was about, by any of these names of its owner."""

        def look(tx: Transaction) -> Entry | None:
            latest: tuple[float, Entry | None] = (math.inf, None)
            for account, caller in owners:
                for entry in tx.entries_of_request(account, caller, request_id):
                    latest = min(latest, (self.clock.since(entry.began), entry), key=lambda found: found[0])
                if lead := tx.record("request", _request_name(account, caller, request_id)):
                    at = self.clock.since(Moment(*lead["at"]))
                    if at < latest[0]:
                        latest = at, tx.entry(lead["entry"])
            return latest[1]

        found = self._store.read(look)
        return self._told(found) if found and not self._is_forgotten(found) else None

    def finish(self, entry: Entry, stems: Sequence[Clip], *, paid: bool, job_is_due: bool = False) -> Entry:
        """Note what Suno answered, and return the entry: its `stems` are what its request is to be told.

        They are those of an earlier attempt where that was told first: a key has one story. With `paid`, the stems
        belong to this entry from now on, whatever was taken for its own by one in doubt. Else its price is given
        back. `job_is_due`: what goes on after the reply can begin.
        """

        def change(tx: Transaction) -> Entry:
            held = tx.entry(entry.id)
            if paid:
                self._withdraw_guesses(tx, entry, stems)
            if held is None:
                # Its beginning could not be written, or was long ago: it is known from now on.
                done = self._again(tx, entry)._replace(state=State.DONE, stems=tuple(stems), paid=paid)
            elif held.attempt == entry.attempt and held.stems and held.state is not State.DONE:
                # An earlier attempt's answer came late, and was told: a key has one story.
                self._own(tx, entry, stems)
                done = held._replace(state=State.DONE)
            elif held.attempt == entry.attempt and held.state is not State.DONE:
                done = held._replace(state=State.DONE, stems=tuple(stems), paid=paid)
                if not paid:
                    done = self._give_back(tx, done)
            else:
                # Late: a newer attempt is under way, or stems were found for this one and told meanwhile.
                if paid:
                    self._own(tx, entry, stems)
                    if held.attempt != entry.attempt:
                        # Its price was given back for the newer one.
                        spend_anyway(tx, self.clock, Spending(held.budgets, held.price, entry.attempt_began))
                done = held if held.stems else held._replace(stems=tuple(stems), paid=paid)
            if done is not held:
                tx.put(done)
            if job_is_due:
                tx.put_due(entry.id, self.clock.now().wall)
            return done

        return self._store.transact(change)

    def settle(self, entry: Entry, made: Made) -> Found:
        """Finish an entry in doubt with the oldest of the sets that are nobody's, if it is certain that it may.

        Each stem counts by itself: what others own of a set is left to them, and what remains is a set if it has
        each title of theirs. YES also where the entry was finished meanwhile.
        """

        def change(tx: Transaction) -> Found:
            held = tx.entry(entry.id)
            if held is None or held.attempt != entry.attempt or held.state is State.DONE:
                return Found.YES if held and held.state is State.DONE else Found.PERHAPS
            others = [other for other in tx.entries_of_song(entry.song_id) if other.id != entry.id]
            owned = self._owned(tx, entry, others, made)
            unclaimed = [left for stems in made.sets if (left := _left_of(stems, owned))]
            unknown = [stem for stem in made.unknown if stem.id not in owned]
            may_be_anothers = any(self._is_under_way(other) for other in others)
            if held.stems:
                # An earlier attempt's answer came late, and was told: a key has one story.
                told = {stem.id for stem in held.stems}
                further = [left for left in unclaimed if not told & {stem.id for stem in left}]
                if further and not may_be_anothers:
                    self._own(tx, entry, further[0])
                tx.put(held._replace(state=State.DONE))
                return Found.YES
            if not unclaimed:
                return Found.PERHAPS if unknown else Found.NO
            if may_be_anothers:
                return Found.PERHAPS
            tx.put(held._replace(state=State.DONE, stems=tuple(unclaimed[0]), paid=True))
            for stem in unclaimed[0]:
                tx.put_record("taken", stem.id, entry.id, kept=OWNED)
            return Found.YES

        return self._store.transact(change)

    def answer(self, entry: Entry, stems: Sequence[Clip]) -> None:
        """Note what was answered, unless something was before; once all stems are final, that too."""

        def change(tx: Transaction) -> None:
            held = tx.entry(entry.id)
            if held is None:
                return
            answered = held._replace(
                reply=held.reply or tuple(stems),
                final_reply=held.final_reply or (tuple(stems) if all(stem.is_final for stem in stems) else ()),
            )
            if answered != held:
                tx.put(answered)

        self._store.transact(change)

    def doubt(self, entry: Entry) -> None:
        """Note that the paid call may have gone through."""

        def change(tx: Transaction) -> None:
            held = tx.entry(entry.id) or self._again(tx, entry)
            if held.attempt == entry.attempt and held.state is State.STARTED:
                tx.put(held._replace(state=State.IN_DOUBT))

        self._store.transact(change)

    def restart(
        self,
        entry: Entry,
        lasts: float,
        *,
        budgets: Sequence[Budget] = (),
        job: dict[str, Any] | None = None,
    ) -> Entry | None:
        """Begin the next attempt of an entry in doubt; None where another has begun it or found the stems.

        The last attempt certainly cost nothing: its price is given back. Raises OverBudget, having written nothing.
        """

        def change(tx: Transaction) -> Entry | Left | None:
            held = tx.entry(entry.id)
            if held is None or held.attempt != entry.attempt or held.state is State.DONE:
                return None
            again = held._replace(
                attempt=held.attempt + 1,
                attempt_began=self.clock.now(),
                lasts=lasts,
                state=State.STARTED,
                price=entry.price,
                budgets=tuple(budget.name for budget in budgets),
            )
            if budgets or held.budgets:
                over = spend(tx, self.clock, budgets, again.price, again.attempt_began, instead=_taken(held))
                if over:
                    return over
            tx.put(again)
            if job is not None:
                # The last one may have told by now that nothing was made.
                self._put_job(tx, entry.id, job, again.attempt_began.wall + lasts)
            return again

        return _allowed(self._store.transact(change), entry.price)

    def free(self, entry: Entry) -> None:
        """Forget an entry that certainly cost nothing."""

        def change(tx: Transaction) -> None:
            held = tx.entry(entry.id)
            if held is None or held.attempt != entry.attempt or held.state is State.DONE:
                return
            tx.remove(self._give_back(tx, held))
            if tx.record("job", entry.id) is not None:
                self._put_job(tx, entry.id, None, None)
            earlier = [
                other
                for other in tx.entries_of_request(entry.account, entry.caller, entry.request_id)
                if other.id != entry.id
            ]
            if earlier or tx.record("request", _request_name(entry.account, entry.caller, entry.request_id)):
                # An earlier split by the same request id is not what became of this one.
                self._lead(tx, entry, None)

        self._store.transact(change)

    def job(self, id: str) -> dict[str, Any] | None:
        """Read the job of an entry."""
        found: dict[str, Any] | None = self._store.read(lambda tx: tx.record("job", id))
        return found

    def claim_job(self, id: str, lasts: float) -> dict[str, Any] | None:
        """Take on a job for so many seconds; None where there is none, or another has it. It is due again then."""

        def change(tx: Transaction) -> dict[str, Any] | None:
            job = tx.record("job", id)
            now = self.clock.now().wall
            if job is None:
                tx.put_due(id, None)
                return None
            if now < job.get("claimed_until", 0.0) <= now + lasts:
                return None
            claimed: dict[str, Any] = {**job, "claim": new_id(), "claimed_until": now + lasts}
            self._put_job(tx, id, claimed, now + lasts)
            return claimed

        return self._store.transact(change)

    def put_job(self, id: str, job: dict[str, Any], due_in: float | None, *, outcome: str = "") -> None:
        """Write a job that was claimed, and give it back; it is due in so many seconds, or never again.

        Nothing is written where it is another's by now: claimed anew, or begun anew by a retry that pays again.
        `outcome` is counted: what the job has come to, in a word.
        """

        def change(tx: Transaction) -> None:
            held = tx.record("job", id)
            if held is not None and held.get("claim") != job.get("claim"):
                return
            free = {name: value for name, value in job.items() if name not in ("claim", "claimed_until")}
            self._put_job(tx, id, free, None if due_in is None else self.clock.now().wall + due_in)
            if outcome:
                counted: dict[str, int] = tx.record("job", OUTCOMES) or {}
                counted[outcome] = counted.get(outcome, 0) + 1
                tx.put_record("job", OUTCOMES, counted, kept=FOR_GOOD)

        self._store.transact(change)

    def hold_job(self, id: str, job: dict[str, Any], lasts: float) -> bool:
        """Keep a job that was claimed for so many seconds more; False where it is another's by now."""

        def change(tx: Transaction) -> bool:
            held = tx.record("job", id)
            if held is None or held.get("claim") != job.get("claim"):
                return False
            until = self.clock.now().wall + lasts
            self._put_job(tx, id, {**held, "claimed_until": until}, until)
            return True

        return self._store.transact(change)

    def add_job(self, id: str, add: Callable[[dict[str, Any] | None], dict[str, Any] | None]) -> dict[str, Any]:
        """Begin a job that goes with no entry, due at once; or leave the one there is. Returns the one that is there.

        `add` is given the job of that id, or None, and returns the one to begin, or None where that may stay.
        """

        def change(tx: Transaction) -> dict[str, Any]:
            held: dict[str, Any] | None = tx.record("job", id)
            new = add(held)
            if new is None:
                return held or {}
            self._put_job(tx, id, new, self.clock.now().wall)
            return new

        return self._store.transact(change)

    def job_outcomes(self) -> dict[str, int]:
        """Read how many jobs have come to what."""
        return self._store.read(lambda tx: tx.record("job", OUTCOMES)) or {}

    def jobs_open(self) -> int:
        """Read how many jobs are not over."""
        return self._store.read(lambda tx: tx.dues())

    def take_room(self, id: str, size: int, lasts: float) -> int:
        """Note that so many bytes are coming, for at most so many seconds; return how many others are (bytes)."""

        def change(tx: Transaction) -> int:
            now = self.clock.now().wall
            coming = self._coming(tx, now)
            others = sum(int(size) for other, (size, _) in coming.items() if other != id)
            tx.put_record("job", COMING, {**coming, id: [size, now + lasts]}, kept=KEPT)
            return others

        return self._store.transact(change)

    def leave_room(self, id: str) -> None:
        """Note that they are coming no more."""

        def change(tx: Transaction) -> None:
            coming = self._coming(tx, self.clock.now().wall)
            coming.pop(id, None)
            tx.put_record("job", COMING, coming or None, kept=KEPT)

        self._store.transact(change)

    @staticmethod
    def _coming(tx: Transaction, now: float) -> dict[str, Any]:
        held: dict[str, Any] = tx.record("job", COMING) or {}
        return {id: [size, until] for id, (size, until) in held.items() if until > now}

    def due_jobs(self, limit: int) -> list[str]:
        """Read the entries whose jobs are due."""
        return self._store.read(lambda tx: tx.due(self.clock.now().wall, limit))

    def jobs_behind(self) -> float:
        """Seconds for which the oldest job has been due; 0 where none is."""
        oldest = self._store.read(lambda tx: tx.next_due())
        return 0.0 if oldest is None else max(0.0, self.clock.now().wall - oldest)

    def note_consumer(self) -> None:
        """Note that a process that does jobs is alive."""
        now = list(self.clock.now())
        self._store.transact(lambda tx: tx.put_record("consumer", "seen", now, kept=KEPT))

    def consumer_seen(self) -> float | None:
        """Seconds since such a process was seen; None where none was lately."""
        seen = self._store.read(lambda tx: tx.record("consumer", "seen"))
        return self.clock.since(Moment(*seen)) if seen else None

    def account_of_cookie(self, cookie_hash: str) -> str | None:
        """Read which account a cookie was of when it last signed in."""
        account: str | None = self._store.read(lambda tx: tx.record("cookie", cookie_hash))
        return account

    def note_cookie(self, cookie_hash: str, account: str) -> None:
        """Note which account a cookie is of."""
        self._store.transact(lambda tx: tx.put_record("cookie", cookie_hash, account, kept=COOKIE_KEPT))

    def begin_once(self, kind: str, account: str, name: str, *, lasts: float, budgets: Sequence[Budget] = ()) -> Once:
        """Take the turn to do something that is to be done once, before it is sent; or learn who has it.

        `lasts`: seconds until the attempt is over, one way or the other. A turn takes 1 from each of the budgets.
        Raises OverBudget, having written nothing.
        """

        def change(tx: Transaction) -> Once | Left:
            held = tx.record("once", _once_name(kind, account, name))
            if held is None:
                return self._take_turn(tx, Once(kind, account, name, Turn.OURS, 1, -lasts), lasts, budgets)
            over_for = self.clock.since(Moment(*held["began"])) - held["lasts"]
            if held["state"] == "done":
                turn = Turn.DONE
            else:
                turn = Turn.UNDER_WAY if held["state"] == "started" and over_for < 0 else Turn.IN_DOUBT
            return Once(kind, account, name, turn, held["attempt"], over_for, _taken_once(held))

        return _allowed(self._store.transact(change), 1)

    def retry_once(self, once: Once, *, lasts: float, budgets: Sequence[Budget] = ()) -> Once | None:
        """Take the turn for another attempt, where the last one certainly did nothing; None where another has.

        Raises OverBudget, having written nothing.
        """

        def change(tx: Transaction) -> Once | Left | None:
            held = tx.record("once", _once_name(once.kind, once.account, once.name))
            if held is None or held["attempt"] != once.attempt or held["state"] == "done":
                return None
            again = replace(once, turn=Turn.OURS, attempt=once.attempt + 1, over_for=-lasts, taken=_taken_once(held))
            return self._take_turn(tx, again, lasts, budgets)

        return _allowed(self._store.transact(change), 1)

    def end_once(self, once: Once, turn: Turn | None, *, counted: bool = True) -> None:
        """Note how an attempt ended: DONE, IN_DOUBT, or None where it certainly did nothing.

        What it took from budgets is given back where it did nothing, or nothing that Suno `counted`.
        """

        def change(tx: Transaction) -> None:
            name = _once_name(once.kind, once.account, once.name)
            held = tx.record("once", name)
            if once.taken and (turn is None or not counted) and held and held["attempt"] == once.attempt:
                give_back(tx, self.clock, once.taken)
            if turn is Turn.DONE:
                done = {**(held or self._begun(0.0)), "attempt": once.attempt, "state": "done"}
                tx.put_record("once", name, done, kept=OWNED)
            elif held is not None and held["attempt"] == once.attempt and held["state"] == "started":
                tx.put_record("once", name, {**held, "state": "in_doubt"} if turn else None, kept=OWNED)

        self._store.transact(change)

    def left(self, budget: Budget) -> Left:
        """Read what is left of a budget."""
        return self._store.read(lambda tx: left_of(tx, self.clock, budget))

    def check(self) -> None:
        """Write something, to see whether that can be done."""
        self._store.check()

    def _told(self, entry: Entry) -> Entry:
        """An entry as far as it is by now."""
        overdue = entry.state is State.STARTED and not self._is_under_way(entry)
        return entry._replace(state=State.IN_DOUBT) if overdue else entry

    def over_for(self, entry: Entry) -> float:
        """Seconds for which the entry's paid call has been over; below 0 while it is not."""
        return self.clock.since(entry.attempt_began) - entry.lasts

    def _is_under_way(self, entry: Entry) -> bool:
        return entry.state is State.STARTED and self.over_for(entry) < 0

    def _is_forgotten(self, entry: Entry) -> bool:
        same_boot = entry.began.boot_id == self.clock.boot_id
        return self.clock.since(entry.began) > (KEPT if same_boot else KEPT + STEPS)

    def _again(self, tx: Transaction, entry: Entry) -> Entry:
        """An entry that is not there (any more), to be written; without its key, if another has begun with that."""
        key = entry.idempotency_key
        taken = key and tx.entry_of_key(entry.account, entry.caller, key)
        return entry._replace(idempotency_key="") if taken else entry

    def _withdraw_guesses(self, tx: Transaction, entry: Entry, stems: Sequence[Clip]) -> None:
        """Put back in doubt whoever took these stems for its own: Suno's answer has named them to this entry."""
        for clip, taker in tx.records("taken", [stem.id for stem in stems]).items():
            if taker == entry.id:
                continue
            wrong = tx.entry(taker)
            if wrong is not None and wrong.state is State.DONE:
                log.error("Request %s was told stems that another had paid for", wrong.request_id)
                tx.put(wrong._replace(state=State.IN_DOUBT, stems=(), reply=(), final_reply=()))
            tx.put_record("taken", clip, None, kept=0)

    def _own(self, tx: Transaction, entry: Entry, stems: Sequence[Clip]) -> None:
        for stem in stems:
            tx.put_record("owned", stem.id, entry.id, kept=OWNED)

    def _owned(self, tx: Transaction, entry: Entry, others: Sequence[Entry], made: Made) -> set[str]:
        """Which of the stems are others'."""
        ids = [stem.id for stems in (*made.sets, made.unknown) for stem in stems]
        owned = {stem.id for other in others if other.paid for stem in other.stems}
        for kind in ("taken", "owned"):
            owned |= {clip for clip, owner in tx.records(kind, ids).items() if owner != entry.id}
        return owned

    def _lead(self, tx: Transaction, entry: Entry, found: Entry | None) -> None:
        """Lead from a new request's id to the entry that was found instead; or to nothing."""
        name = _request_name(entry.account, entry.caller, entry.request_id)
        now = self.clock.now()
        lead = {"entry": found.id if found else "", "at": list(now)}
        tx.put_record("request", name, lead, kept=KEPT)
        leads: list[str] = tx.record("leads", found.id if found else entry.account) or []
        leads = [*(other for other in leads if other != name), name]
        for oldest in leads[:-LEADS]:
            tx.put_record("request", oldest, None, kept=0)
        tx.put_record("leads", found.id if found else entry.account, leads[-LEADS:], kept=KEPT)

    def _begun(self, lasts: float) -> dict[str, Any]:
        now = self.clock.now()
        return {"began": list(now), "lasts": lasts}

    def _take_turn(self, tx: Transaction, once: Once, lasts: float, budgets: Sequence[Budget]) -> Once | Left:
        now, names = self.clock.now(), [budget.name for budget in budgets]
        if (budgets or once.taken) and (over := spend(tx, self.clock, budgets, 1, now, instead=once.taken)):
            return over
        value = {"state": "started", "attempt": once.attempt, "began": list(now), "lasts": lasts, "budgets": names}
        tx.put_record("once", _once_name(once.kind, once.account, once.name), value, kept=OWNED)
        return replace(once, taken=Spending(names, 1, now))

    def _put_job(self, tx: Transaction, id: str, job: dict[str, Any] | None, due: float | None) -> None:
        tx.put_record("job", id, job, kept=JOB_KEPT)
        tx.put_due(id, due)

    def _give_back(self, tx: Transaction, entry: Entry) -> Entry:
        if entry.budgets:
            give_back(tx, self.clock, _taken(entry))
        return entry._replace(budgets=())


def open_ledger(url: str) -> Ledger:
    """Make the ledger that LEDGER_URL names. It connects when it is first used: its failure must stop no start."""
    if url.startswith("sqlite:///"):
        from app.splits.sqlite import SqliteStore

        return Ledger(SqliteStore(url.removeprefix("sqlite:///")))
    from app.splits.redis import RedisStore

    return Ledger(RedisStore(url))


def _taken(entry: Entry) -> Spending:
    return Spending(entry.budgets, entry.price, entry.attempt_began)


def _taken_once(held: dict[str, Any]) -> Spending:
    return Spending(held.get("budgets", ()), 1, Moment(*held["began"]))


def _allowed(outcome: T | Left, price: int) -> T:
    """The outcome of a transaction, which must not raise itself: others are committed with it."""
    if isinstance(outcome, Left):
        raise OverBudget(outcome, price)
    return outcome


def _request_name(account: str, caller: str, request_id: str) -> str:
    return f"{account}:{caller}:{request_id}"


def _once_name(kind: str, account: str, name: str) -> str:
    return f"{kind}:{account}:{name}"


def _left_of(stems: Sequence[Clip], owned: set[str]) -> list[Clip]:
    """The stems of a set that are nobody's; none where they lack a title that is owned: then they are its rest."""
    left = [stem for stem in stems if stem.id not in owned]
    return left if {stem.title for stem in stems if stem.id in owned} <= {stem.title for stem in left} else []
