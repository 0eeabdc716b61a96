"""A split, from the request to its stems: paid once per key, and never lost once paid."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import ParamSpec, Protocol, TypeVar, assert_never

from app.charge import ChargeIsKnown
from app.splits.admission import Admit, NotBegun, Refusal, admit_unless_being_made
from app.splits.budget import Budget, OverBudget
from app.splits.evidence import Reason, Verdict
from app.splits.inquiry import Inquiry
from app.splits.jobs import NewJob
from app.splits.ledger import Ledger
from app.splits.person import Handover, PersonInquiry, PersonNeeded
from app.splits.refusals import (
    MAY_HAVE_CHARGED,
    InProgress,
    KeyReused,
    being_made,
    in_doubt,
    not_clear,
    whole_seconds,
)
from app.splits.store import Entry, LedgerUnavailable, Owner, State, Transaction
from app.splits.watch import Watch
from app.suno.answer import paid_calls_paused
from app.suno.call import Deadline
from app.suno.clip import Clip
from app.suno.errors import CaptchaRequired, SessionExpired, SunoError
from app.suno.gateway import SunoGateway
from app.suno.session import Account
from app.suno.stems import StemChoice, finished_set
from app.timing import LOST_STEMS_SECONDS, Stopping, TimeLeft, Timing, no_end, now

log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

PAID_WRITE_SECONDS = 10.0
"""Seconds to keep retrying the ledger write after a paid call, `poll_interval` apart."""

ENTRY_SLACK_SECONDS = 1.0
"""Seconds between the deadline of the paid call and the entry's deadline in the ledger."""

FIRST_REQUEST_POLL_SECONDS = 0.1
"""Seconds between two polls of the ledger by a retry that waits for the first request."""


class OrderPlace(Protocol):
    """The place of a split in an order."""

    def admit(self, tx: Transaction, entry: Entry, *, pays: bool) -> NotBegun | None:
        """Count the split within the transaction that begins it; or return why it may not begin.

        `pays`: False if only existing stems may be taken.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Stems:
    """The result of a split."""

    clips: Sequence[Clip]
    replayed: bool
    """Whether the stems come from an earlier request with the same key."""
    credits: int = 0
    """Credits that Suno charged for this request."""
    has_asked: bool = False
    """Whether this request has asked Suno to split the song."""
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
    fetches_files: bool = False
    """Whether its job fetches the stems' files."""
    price: int = 0
    """Credits that Suno charges for it."""
    budgets: Sequence[Budget] = ()
    """The budgets that the price is taken from."""
    job: NewJob | None = None
    """The work after the reply (app/jobs/)."""
    check_new: Callable[[], None] = lambda: None
    """Raises an error if a new split is not allowed. It does not apply to a replay."""
    handover: Handover | None = None
    """None: a captcha ends the request, with an error."""
    order: OrderPlace | None = None
    """Its place in an order (app/splits/order_table.py), which may refuse to begin it now."""

    gateway: SunoGateway
    watch: Watch
    ledger: Ledger
    timing: Timing
    began: float = field(default_factory=now)
    """When the request began: the caller's wait ends `timing.wait_timeout` later."""
    is_stopping: Callable[[], bool] = lambda: False
    time_left: TimeLeft = no_end

    def pay_once(self) -> Stems | PersonNeeded:
        """Split the song, or return the stems of an earlier request with the same key.

        Raises KeyReused, InProgress, LedgerUnavailable, OverBudget, NotBegun and Stopping (then this request sent no
        paid call), or a SunoError.
        """
        patience = Deadline(self.timing.deadline)
        while True:
            entry = self._new_entry()
            try:
                stored = self._begin(entry, self.budgets)
            except OverBudget as over:
                if not self.reuse_existing:
                    raise
                return self._reuse_only(over)
            except NotBegun as refused:
                if refused.why is Refusal.BEING_MADE:
                    return self._reuse_only(being_made())
                if not (self.reuse_existing and refused.why in (Refusal.OVER_CREDITS, Refusal.SAME_SONG)):
                    raise
                return self._reuse_only(refused)
            if stored.id == entry.id:
                return self._pay(stored)
            if self.order:
                # Another process has begun the song. A second attempt would not be counted for the order.
                raise NotBegun(Refusal.CHANGED)
            if not stored.asks_like(entry):
                raise KeyReused(
                    "This Idempotency-Key was used for another request, with other parameters, in the last 24 hours. "
                    "Use a new key for a new split, or repeat the first request to get its reply."
                )
            if (stems := self._answer_retry(stored, patience)) is not None:
                return stems

    def try_again(self, stored: Entry) -> Stems | PersonNeeded:
        """Go on with a request that waits for a person: take what that has made, or pay once.

        Raises what `pay_once` raises; InProgress also if the request waits no longer.
        """
        result = self._try_again(stored) if stored.state is State.NEEDS_PERSON else None
        if result is None:
            raise InProgress("This request has changed just now. Look at its state.", retry_after=1)
        return result

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
        return self.timing.deadline + ENTRY_SLACK_SECONDS

    def _begin(self, entry: Entry, budgets: Sequence[Budget], *, pays: bool = True) -> Entry:
        if self.idempotency_key or self.budgets or self.job or self.handover:
            admit = self._admit(pays=pays)
            return self.ledger.begin(entry, older=self.owners[1:], budgets=budgets, job=self.job, admit=admit)
        return self._note_if_possible(self.ledger.begin, entry) or entry

    def _admit(self, *, pays: bool) -> Admit | None:
        if self.order:
            return partial(self.order.admit, pays=pays)
        if pays and self.reuse_existing and self.idempotency_key:
            return partial(admit_unless_being_made, self.ledger.clock)
        return None

    def _reuse_only(self, over: OverBudget | NotBegun | InProgress) -> Stems:
        """Return the song's existing stems, as no new ones may be paid for. Raises `over` if there are none."""
        entry = self._new_entry()
        stored = self._begin(entry, (), pays=False)
        if stored.id != entry.id:
            raise over
        try:
            existing = self._existing(stored, Deadline(self.timing.deadline))
        except SunoError:
            self._note_if_possible(self.ledger.free, stored)
            raise
        if not existing:
            self._note_if_possible(self.ledger.free, stored)
            raise over
        return self._answer(stored, existing, has_asked=False)

    def _pay(self, entry: Entry) -> Stems | PersonNeeded:
        """Send the paid call. If Suno's answer is lost, find out the outcome."""
        try:
            self.check_new()
        except Exception:
            self._note_if_possible(self.ledger.free, entry)
            raise
        try:
            if self.reuse_existing and (existing := self._existing(entry, self._deadline_of(entry))):
                return self._answer(entry, existing, has_asked=False)
            clips = self._ask(entry)
        except Exception as error:
            if isinstance(error, ChargeIsKnown) and not error.may_have_charged:
                if isinstance(error, CaptchaRequired) and (waiting := self._hand_over(entry, error)):
                    return PersonNeeded(waiting)
                pause = error.paid_calls_pause if isinstance(error, SunoError) else 0.0
                self._note_if_possible(self.ledger.free, entry, paid_calls_pause=pause)
                raise
            self._note_if_possible(self.ledger.doubt, entry)
            clips = self._inquiry.recover(entry, min(LOST_STEMS_SECONDS, self.time_left()))
            if not clips:
                raise
            if self._is_reply_at_once:
                self._note_if_possible(self.ledger.answer, entry, clips)
        return self._answer(entry, clips, has_asked=True)

    def _hand_over(self, entry: Entry, error: CaptchaRequired) -> Entry | None:
        """Let the request wait for a person, if it may."""
        try:
            return self._note_if_possible(self._person.hand_over, entry, error)
        except SunoError:
            self._note_if_possible(self.ledger.free, entry)
            raise

    def _answer(self, entry: Entry, clips: Sequence[Clip], *, has_asked: bool) -> Stems:
        if self.wait_audio:
            clips = self._wait(clips)
            if self.idempotency_key:
                # Without a key, no retry can get this reply again.
                self._note_if_possible(self.ledger.answer, entry, clips)
        credits, job_id = entry.price if has_asked else 0, self._job_id(entry)
        return Stems(clips=clips, replayed=False, credits=credits, has_asked=has_asked, job_id=job_id)

    def _job_id(self, entry: Entry) -> str:
        """The id of its job; also of one that its first attempt has begun."""
        return entry.id if self.job or entry.attempt > 1 else ""

    @property
    def _is_reply_at_once(self) -> bool:
        """Whether a retry must get the stems as Suno first returned them: then one write records both."""
        return bool(self.idempotency_key) and not self.wait_audio

    def _finish(self, entry: Entry, stems: Sequence[Clip], *, paid: bool) -> Entry:
        return self.ledger.finish(
            entry, stems, paid=paid, has_job=bool(self._job_id(entry)), is_reply=self._is_reply_at_once
        )

    def _deadline_of(self, entry: Entry) -> Deadline:
        # Time spent writing counts: the ledger expires the entry at its own deadline.
        left = entry.lasts - ENTRY_SLACK_SECONDS - self.ledger.clock.since(entry.attempt_began)
        return Deadline(min(left, self.timing.deadline))

    def _existing(self, entry: Entry, deadline: Deadline) -> Sequence[Clip]:
        """The song's existing stems, recorded as the reply; [] unless they are a whole set."""
        stems = self.gateway.stems(self.account, self.song_id, deadline)
        existing = finished_set(stems, self.choice)
        if existing:
            self._note_existing(entry, existing)
        elif entry.attempt == 1 and (recent := self._inquiry.recent(entry, stems)):
            self._note_if_possible(self.ledger.note_listed, entry, recent, stems)
        return existing

    def _ask(self, entry: Entry) -> Sequence[Clip]:
        deadline = self._deadline_of(entry)
        self._check_time(deadline.remaining)
        if pause := self.ledger.paid_pauses.left(entry.account):
            raise paid_calls_paused(pause)
        clips = self.gateway.generate_stems(
            self.account,
            self.song_id,
            self.choice,
            deadline,
            order=entry.id,
            look_first=self.reuse_existing or self.fetches_files,
        )
        return self._note_paid(entry, clips)

    def _check_time(self, seconds: float) -> None:
        """Raise Stopping if a paid call that takes so long might be killed on its way."""
        if seconds > self.time_left():
            raise Stopping

    def _note_paid(self, entry: Entry, clips: Sequence[Clip]) -> Sequence[Clip]:
        """Record the stems that this entry has paid for; with a key, retry the ledger write for PAID_WRITE_SECONDS.

        Another request in doubt could claim stems that are not recorded. Returns the stems of the reply: those of an
        earlier attempt if they were recorded first.
        """
        if self.idempotency_key and (noted := self._insist(entry, clips, paid=True)):
            return noted.stems
        noted = self._note_if_possible(self._finish, entry, clips, paid=True)
        return noted.stems if noted else clips

    def _note_existing(self, entry: Entry, clips: Sequence[Clip]) -> None:
        """Record the stems that are reused. With a job, raise LedgerUnavailable if that is not possible.

        The job would report that no stems were made.
        """
        if (self.idempotency_key or self.job) and self._insist(entry, clips, paid=False):
            return
        if self.job:
            self._finish(entry, clips, paid=False)
        else:
            self._note_if_possible(self._finish, entry, clips, paid=False)

    def _insist(self, entry: Entry, clips: Sequence[Clip], *, paid: bool) -> Entry | None:
        """Retry the ledger write of the stems for PAID_WRITE_SECONDS; None if it was not possible."""
        patience = Deadline(PAID_WRITE_SECONDS)
        while patience.remaining and not self.is_stopping():
            try:
                return self._finish(entry, clips, paid=paid)
            except LedgerUnavailable as error:
                log.warning("Request %s retries the ledger write of its stems: %s", self.request_id, error.why)
                time.sleep(min(self.timing.poll_interval, patience.remaining))
        return None

    def _answer_retry(self, stored: Entry, patience: Deadline) -> Stems | PersonNeeded | None:
        """Reply to a request with a used key; None if the ledger must be read again."""
        match stored.state:
            case State.DONE:
                return self._replay(stored)
            case State.IN_DOUBT:
                return self._settle(stored)
            case State.NEEDS_PERSON | State.FAILED:
                return None if self.ledger.waits.end_if_over(stored) else self._try_again(stored)
            case State.STARTED:
                self._wait_for_first(stored, patience)
                return None
        assert_never(stored.state)

    def _wait_for_first(self, stored: Entry, patience: Deadline) -> None:
        """Wait until the first request has ended. Raises InProgress at the retry's own deadline."""
        now: Entry | None = stored
        while now and now.state is State.STARTED:
            if not patience.remaining or self.is_stopping():
                raise InProgress(
                    "The first request with this Idempotency-Key is still running. Send it again later.",
                    retry_after=whole_seconds(-self.ledger.overdue_seconds(now)),
                )
            time.sleep(FIRST_REQUEST_POLL_SECONDS)
            now = self.ledger.get(stored.id)

    def _replay(self, stored: Entry) -> Stems:
        """Return the first reply; with `wait_audio`, the first reply in which all stems were final."""
        clips: Sequence[Clip] = (self.wait_audio and stored.final_reply) or stored.reply or stored.stems
        if self.wait_audio and not all(clip.is_final for clip in clips):
            clips = self._wait(clips)
        if not stored.reply or (self.wait_audio and not stored.final_reply):
            self._note_if_possible(self.ledger.answer, stored, clips)
        return Stems(clips=clips, replayed=True, job_id=self._job_id(stored))

    def _try_again(self, stored: Entry) -> Stems | PersonNeeded | None:
        """Reply to a retry of an entry that waits for a person, or has waited; None if it has changed.

        First it takes the stems that a person has made. It pays only if all witnesses show that there are none.
        """
        finding, must_wait = self._person.look(stored)
        match finding.verdict:
            case Verdict.OURS:
                found = self.ledger.get(stored.id)
                return self._replay(found) if found else None
            case Verdict.NONE:
                return PersonNeeded(stored) if must_wait else self._pay_again(stored)
            case Verdict.PERHAPS | Verdict.UNREADABLE | Verdict.UNSEEN:
                if finding.reason is Reason.CHANGED:
                    return None
                raise InProgress(not_clear(finding), retry_after=whole_seconds(self.timing.poll_interval))
        assert_never(finding.verdict)

    def _pay_again(self, stored: Entry) -> Stems | PersonNeeded | None:
        """Begin the next attempt, and pay; None if the entry has changed."""
        # Before that: if the next attempt were freed, the first would be forgotten.
        self._check_time(self.timing.deadline)
        try:
            again = self._restart(stored, self.budgets, self._admit(pays=True))
        except NotBegun:
            return self._reuse_again(stored)
        return self._pay(again) if again else None

    def _reuse_again(self, stored: Entry) -> Stems | None:
        """Take the song's existing stems, as another request makes them; None if the entry has changed."""
        try:
            listed = self.gateway.stems(self.account, self.song_id, Deadline(LOST_STEMS_SECONDS))
            existing = finished_set(listed, self.choice)
        except SunoError as error:
            log.warning("Request %s could not look for stems: %s", stored.request_id, error)
            existing = []
        if not existing:
            raise being_made()
        again = self._restart(stored, (), None)
        if again is None:
            return None
        self._note_existing(again, existing)
        return self._answer(again, existing, has_asked=False)

    def _restart(self, stored: Entry, budgets: Sequence[Budget], admit: Admit | None) -> Entry | None:
        new = stored._replace(price=self.price)
        return self.ledger.restart(new, self._paid_call_lasts(), budgets=budgets, job=self.job, admit=admit)

    def _settle(self, stored: Entry) -> Stems | PersonNeeded | None:
        """Reply to a retry of an entry in doubt. Pay again only once it is certain that it made nothing."""
        try:
            finding = self._inquiry.find_out(stored)
        except SessionExpired as error:
            raise SessionExpired(error.sentence, cost=MAY_HAVE_CHARGED) from error
        except SunoError as error:
            # The error's own words are about the cost of this look, not of the first request.
            log.warning("Request %s could not look for its stems: %s", stored.request_id, error)
            raise InProgress(
                "The outcome of the first request with this Idempotency-Key cannot be determined now: Suno cannot be "
                "read. It may have charged. Send it again later: it is not paid for twice.",
                retry_after=self._settled_in(stored),
            ) from error
        match finding.verdict:
            case Verdict.OURS:
                settled = self.ledger.get(stored.id)
                return self._replay(settled) if settled else None
            case Verdict.NONE:
                return self._pay_again(stored)
            case Verdict.PERHAPS | Verdict.UNREADABLE | Verdict.UNSEEN:
                raise InProgress(in_doubt(finding), retry_after=self._settled_in(stored))
        assert_never(finding.verdict)

    def find_out(self, stored: Entry) -> Entry | None:
        """Find out, for free, the outcome of an entry in doubt; None while it is not known.

        Returns the entry: DONE if its stems were found, unchanged if it certainly made none. Raises a SunoError.
        """
        match self._inquiry.find_out(stored).verdict:
            case Verdict.OURS:
                return self.ledger.get(stored.id)
            case Verdict.NONE:
                return stored
            case _:
                return None

    @property
    def _person(self) -> PersonInquiry:
        return PersonInquiry(
            account=self.account,
            choice=self.choice,
            gateway=self.gateway,
            inquiry=self._inquiry,
            ledger=self.ledger,
            names=[account for account, _ in self.owners],
            handover=self.handover,
        )

    @property
    def _inquiry(self) -> Inquiry:
        return Inquiry(
            account=self.account, choice=self.choice, witnesses=self.gateway, ledger=self.ledger, timing=self.timing
        )

    def _settled_in(self, stored: Entry) -> int:
        """Whole seconds until a retry can learn more."""
        return whole_seconds(
            max(self.timing.settle_time - self.ledger.overdue_seconds(stored), self.timing.poll_interval)
        )

    def _wait(self, clips: Sequence[Clip]) -> Sequence[Clip]:
        """Wait for the stems in what is left of the time for the whole request: a proxy in front counts it all."""
        left = max(0.0, self.began + self.timing.wait_timeout - now())
        return self.watch.wait_for(self.account, clips, patience=left, stopping=self.is_stopping)

    def _note_if_possible(self, write: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
        """Write to the ledger. A failure must not stop the request: it is logged, and None returned."""
        try:
            return write(*args, **kwargs)
        except LedgerUnavailable as error:
            log.error("The ledger could not be written for request %s: %s", self.request_id, error.why)
            return None
