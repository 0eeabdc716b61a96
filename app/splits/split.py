"""A split, from the request to its stems: paid once per key, and never lost once paid."""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ParamSpec, Protocol, TypeVar

from app.splits.budget import Budget, OverBudget
from app.splits.jobs import NewJob
from app.splits.ledger import Found, Ledger, Owner
from app.splits.store import Entry, LedgerUnavailable, State
from app.splits.watch import Watch
from app.suno.clip import Clip
from app.suno.errors import SessionExpired, SunoError
from app.suno.session import Account
from app.suno.stems import StemChoice, finished_set, stems_made
from app.suno.wire import Deadline
from app.timing import LOOK_FOR, Stopping, TimeLeft, Timing, no_end

log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

LOOKS = 4
"""How often to look for lost stems before reporting `outcome_unknown`, `poll_interval` apart."""

INSIST = 10.0
"""Seconds to keep retrying the ledger write after a paid call, `poll_interval` apart."""

CLOCKS_DIFFER = 10.0
"""Seconds by which the dates of Suno's clips and the `Date` of its answers may differ, either way."""

SLACK = 1.0
"""Seconds between the deadline of the paid call and the entry's deadline in the ledger."""

GLANCE = 0.1
"""Seconds between two polls of the ledger by a retry that waits for the first request."""


class KeyReused(Exception):
    """The Idempotency-Key was used for a request with other parameters."""


class InProgress(Exception):
    """The first request with this Idempotency-Key has not ended, or its outcome is not known yet."""

    def __init__(self, sentence: str, *, retry_after: int) -> None:
        super().__init__(sentence)
        self.retry_after = retry_after


class SplitNotFound(Exception):
    """The ledger has no such request of this caller."""


class Gateway(Protocol):
    """What a split needs from Suno."""

    def generate_stems(
        self, account: Account, song_id: str, choice: StemChoice | None = None, deadline: Deadline | None = None
    ) -> list[Clip]:
        """Split a song. The account is charged."""

    def stems(self, account: Account, song_id: str, deadline: Deadline | None = None) -> list[Clip]:
        """List every stem of a song."""

    def now(self) -> float | None:
        """Seconds since 1970 by Suno's clock."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stems:
    """The result of a split."""

    clips: Sequence[Clip]
    replayed: bool
    """Whether the stems come from an earlier request with the same key."""
    credits: int = 0
    """Credits that Suno charged for this request."""
    job_id: str = ""
    """The ledger's id of its job; "" if it has none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """A request for the stems of a song."""

    account: Account
    owners: Sequence[Owner]
    """The ledger's names for account and caller, then those of older ledgers."""
    request_id: str
    idempotency_key: str
    """"" if there is none: then each request is a new split."""
    song_id: str
    choice: StemChoice
    reuse_existing: bool
    wait_audio: bool
    price: int = 0
    """Credits that Suno charges for it."""
    budgets: Sequence[Budget] = ()
    """The budgets that the price is taken from."""
    job: NewJob | None = None
    """The work after the reply (app/jobs/)."""
    check_new: Callable[[], None] = lambda: None
    """Raises an error if a new split is not allowed. It does not apply to a replay."""

    gateway: Gateway
    watch: Watch
    ledger: Ledger
    timing: Timing
    is_stopping: Callable[[], bool] = lambda: False
    time_left: TimeLeft = no_end

    def pay_once(self) -> Stems:
        """Split the song, or return the stems of an earlier request with the same key.

        Raises KeyReused, InProgress, LedgerUnavailable, OverBudget and Stopping (then this request sent no paid
        call), or a SunoError.
        """
        patience = Deadline(self.timing.deadline)
        while True:
            entry = self._new_entry()
            try:
                held = self._begin(entry, self.budgets)
            except OverBudget as over:
                if not self.reuse_existing:
                    raise
                return self._reuse_only(over)
            if held.id == entry.id:
                return self._pay(held)
            if held.question != entry.question:
                raise KeyReused(
                    "This Idempotency-Key was used for another request, with other parameters, in the last 24 hours. "
                    "Use a new key for a new split, or repeat the first request to get its reply."
                )
            if (stems := self._answer_retry(held, patience)) is not None:
                return stems

    def _new_entry(self) -> Entry:
        question: list[object] = [self.song_id, self.choice.task, self.reuse_existing]
        if self.choice.stem_name:
            question.append(self.choice.stem_name)
        if self.job:
            question += self.job.question
        account, caller = self.owners[0]
        return self.ledger.new_entry(
            caller=caller,
            account=account,
            idempotency_key=self.idempotency_key,
            question=json.dumps(question),
            song_id=self.song_id,
            task=self.choice.task,
            request_id=self.request_id,
            lasts=self._paid_call_lasts(),
            price=self.price,
        )

    def _paid_call_lasts(self) -> float:
        return self.timing.deadline + SLACK

    def _begin(self, entry: Entry, budgets: Sequence[Budget]) -> Entry:
        if self.idempotency_key or self.budgets or self.job:
            return self.ledger.begin(entry, older=self.owners[1:], budgets=budgets, job=self.job)
        return self._note_if_possible(self.ledger.begin, entry) or entry

    def _reuse_only(self, over: OverBudget) -> Stems:
        """Return the song's existing stems, as a budget allows no new ones. Raises OverBudget if there are none."""
        entry = self._new_entry()
        held = self._begin(entry, ())
        if held.id != entry.id:
            raise over
        try:
            existing = self._existing(held, Deadline(self.timing.deadline))
        except SunoError:
            self._note_if_possible(self.ledger.free, held)
            raise
        if not existing:
            self._note_if_possible(self.ledger.free, held)
            raise over
        return self._answer(held, existing, credits=0)

    def _pay(self, entry: Entry) -> Stems:
        """Send the paid call. If Suno's answer is lost, find out the outcome."""
        try:
            self.check_new()
        except Exception:
            self._note_if_possible(self.ledger.free, entry)
            raise
        credits = entry.price
        try:
            if self.reuse_existing and (existing := self._existing(entry, self._deadline_of(entry))):
                return self._answer(entry, existing, credits=0)
            clips = self._ask(entry)
        except Exception as error:
            if not getattr(error, "may_have_charged", True):
                self._note_if_possible(self.ledger.free, entry)
                raise
            self._note_if_possible(self.ledger.doubt, entry)
            clips = self._recover(entry)
            if not clips:
                raise
        return self._answer(entry, clips, credits=credits)

    def _answer(self, entry: Entry, clips: Sequence[Clip], *, credits: int) -> Stems:
        if self.wait_audio:
            clips = self._wait(clips)
        if self.idempotency_key:
            # Without a key, no retry can get this reply again.
            self._note_if_possible(self.ledger.answer, entry, clips)
        return Stems(clips=clips, replayed=False, credits=credits, job_id=entry.id if self.job else "")

    def _deadline_of(self, entry: Entry) -> Deadline:
        # Time spent writing counts: the ledger expires the entry at its own deadline.
        left = entry.lasts - SLACK - self.ledger.clock.since(entry.attempt_began)
        return Deadline(min(left, self.timing.deadline))

    def _existing(self, entry: Entry, deadline: Deadline) -> Sequence[Clip]:
        """The song's existing stems, recorded as the reply; [] unless they are a whole set."""
        existing = finished_set(self.gateway.stems(self.account, self.song_id, deadline), self.choice)
        if existing:
            self._note_if_possible(self.ledger.finish, entry, existing, paid=False, job_is_due=self.job is not None)
        return existing

    def _ask(self, entry: Entry) -> Sequence[Clip]:
        deadline = self._deadline_of(entry)
        self._check_time(deadline.remaining)
        clips = self.gateway.generate_stems(self.account, self.song_id, self.choice, deadline)
        return self._note_paid(entry, clips)

    def _check_time(self, seconds: float) -> None:
        """Raise Stopping if a paid call that takes so long might be killed on its way."""
        if seconds > self.time_left():
            raise Stopping

    def _note_paid(self, entry: Entry, clips: Sequence[Clip]) -> Sequence[Clip]:
        """Record the stems that this entry has paid for; with a key, retry the ledger write for INSIST seconds.

        Another request in doubt could claim stems that are not recorded. Returns the stems of the reply: those of an
        earlier attempt if they were recorded first.
        """
        patience = Deadline(INSIST if self.idempotency_key else 0)
        while patience.remaining and not self.is_stopping():
            try:
                return self.ledger.finish(entry, clips, paid=True, job_is_due=self.job is not None).stems
            except LedgerUnavailable as error:
                log.warning("Request %s retries the ledger write of what it paid for: %s", self.request_id, error.why)
                time.sleep(min(self.timing.poll_interval, patience.remaining))
        noted = self._note_if_possible(self.ledger.finish, entry, clips, paid=True, job_is_due=self.job is not None)
        return noted.stems if noted else clips

    def _recover(self, entry: Entry) -> Sequence[Clip]:
        """Poll for the stems of a lost answer; empty if they are not found in time.

        An empty or failed poll does not end it: new stems appear late, and Suno may recover.
        """
        deadline = Deadline(min(LOOK_FOR, self.time_left()))
        seen: list[list[str]] = []
        for look in range(LOOKS):
            if look:
                time.sleep(min(self.timing.poll_interval, deadline.remaining))
            try:
                outcome, seen = self._look(entry, deadline, seen)
                if outcome is Found.YES:
                    settled = self.ledger.get(entry.id)
                    return settled.stems if settled else ()
            except (SunoError, LedgerUnavailable) as error:
                log.warning("Request %s could not look for its stems: %s", self.request_id, error)
        return ()

    def _look(self, entry: Entry, deadline: Deadline, seen: list[list[str]]) -> tuple[Found, list[list[str]]]:
        """Poll once for the stems of an entry in doubt. The ledger settles only what two polls in a row list alike.

        `seen`: the list of the previous poll. Returns the outcome, and the list of this poll.
        """
        stems = self.gateway.stems(self.account, self.song_id, deadline)
        since, until = self._when_made(entry)
        made = stems_made(stems, self.choice, since=since, until=until)
        if not made.sets and not made.unknown:
            return Found.NO, []
        return (self.ledger.settle(entry, made) if made.ids == seen else Found.PERHAPS), made.ids

    def _when_made(self, entry: Entry) -> tuple[float, float]:
        """The time in which Suno can have made the entry's stems: seconds since 1970 by Suno's clock."""
        now = self.gateway.now()
        clock = self.ledger.clock
        if now is None:
            first, last = entry.began.wall, entry.attempt_began.wall
        else:
            first, last = now - clock.since(entry.began), now - clock.since(entry.attempt_began)
        return first - CLOCKS_DIFFER, last + entry.lasts + self.timing.settle_time + CLOCKS_DIFFER

    def _answer_retry(self, held: Entry, patience: Deadline) -> Stems | None:
        """Reply to a request with a used key; None if the ledger must be read again."""
        match held.state:
            case State.DONE:
                return self._replay(held)
            case State.IN_DOUBT:
                return self._settle(held)
            case State.STARTED:
                self._wait_for_first(held, patience)
                return None

    def _wait_for_first(self, held: Entry, patience: Deadline) -> None:
        """Wait until the first request has ended. Raises InProgress at the retry's own deadline."""
        now: Entry | None = held
        while now and now.state is State.STARTED:
            if not patience.remaining or self.is_stopping():
                raise InProgress(
                    "The first request with this Idempotency-Key is still running. Send it again later.",
                    retry_after=_whole_seconds(-self.ledger.over_for(now)),
                )
            time.sleep(GLANCE)
            now = self.ledger.get(held.id)

    def _replay(self, held: Entry) -> Stems:
        """Return the first reply; with `wait_audio`, the first reply in which all stems were final."""
        clips: Sequence[Clip] = (self.wait_audio and held.final_reply) or held.reply or held.stems
        if self.wait_audio and not all(clip.is_final for clip in clips):
            clips = self._wait(clips)
        if not held.reply or (self.wait_audio and not held.final_reply):
            self._note_if_possible(self.ledger.answer, held, clips)
        return Stems(clips=clips, replayed=True, job_id=held.id if self.job else "")

    def _settle(self, held: Entry) -> Stems | None:
        """Poll for the stems of an entry in doubt. Pay again only once it is certain that it made none."""
        deadline = Deadline(LOOK_FOR)
        try:
            outcome, seen = self._look(held, deadline, [])
            if outcome is Found.PERHAPS:
                time.sleep(min(self.timing.poll_interval, deadline.remaining))
                outcome, _ = self._look(held, deadline, seen)
        except SessionExpired:
            raise
        except SunoError as error:
            raise InProgress(
                f"The outcome of the first request with this Idempotency-Key cannot be determined now. {error}",
                retry_after=self._settled_in(held),
            ) from error
        if outcome is Found.YES:
            settled = self.ledger.get(held.id)
            return self._replay(settled) if settled else None
        if outcome is Found.NO and self.ledger.over_for(held) >= self.timing.settle_time:
            # Here the entry stays in doubt: if its second attempt were freed, the first would be forgotten.
            self._check_time(self.timing.deadline)
            again = self.ledger.restart(
                held._replace(price=self.price), self._paid_call_lasts(), budgets=self.budgets, job=self.job
            )
            return self._pay(again) if again else None
        raise InProgress(
            "The first request with this Idempotency-Key got no complete answer from Suno, which may have charged. "
            "Its stems cannot be found yet. Send it again later: it is not paid for twice.",
            retry_after=self._settled_in(held),
        )

    def find_out(self, held: Entry) -> Entry | None:
        """Find out, for free, the outcome of an entry in doubt; None while it is not known.

        Returns the entry: DONE if its stems were found, unchanged if it certainly made none. Raises a SunoError.
        """
        deadline = Deadline(LOOK_FOR)
        outcome, seen = self._look(held, deadline, [])
        if outcome is Found.PERHAPS:
            time.sleep(min(self.timing.poll_interval, deadline.remaining))
            outcome, _ = self._look(held, deadline, seen)
        if outcome is Found.YES:
            return self.ledger.get(held.id)
        return held if outcome is Found.NO and self.ledger.over_for(held) >= self.timing.settle_time else None

    def _settled_in(self, held: Entry) -> int:
        """Whole seconds until a retry can learn more."""
        return _whole_seconds(max(self.timing.settle_time - self.ledger.over_for(held), self.timing.poll_interval))

    def _wait(self, clips: Sequence[Clip]) -> Sequence[Clip]:
        return self.watch.wait_for(self.account, clips, patience=self.timing.wait_timeout, stopping=self.is_stopping)

    def _note_if_possible(self, write: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
        """Write to the ledger. A failure must not stop the request: it is logged, and None returned."""
        try:
            return write(*args, **kwargs)
        except LedgerUnavailable as error:
            log.error("The ledger could not be written for request %s: %s", self.request_id, error.why)
            return None


@dataclass(frozen=True, slots=True)
class KnownSplit:
    """A split that the ledger knows."""

    id: str
    entry: Entry | None
    """None after a day: then only its job is there."""


def find_split(ledger: Ledger, owners: Sequence[Owner], request_id: str) -> KnownSplit:
    """Find a split by its request id.

    Raises SplitNotFound, also for the request of another caller or account.
    """
    entry = ledger.of_request(owners, request_id)
    id = entry.id if entry else ledger.id_of_request(owners, request_id)
    if not id or (entry is None and ledger.jobs.get(id) is None):
        raise SplitNotFound(
            "No split of the last 24 hours with this request id is recorded for this account; with webhook_url or "
            "audio_format, of the last ten days. It belongs to another caller or account, it was refused and cost "
            "nothing, or the ledger could not be written then."
        )
    return KnownSplit(id, entry)


def _whole_seconds(seconds: float) -> int:
    """Seconds for Retry-After: at least 1."""
    return max(1, math.ceil(seconds))
