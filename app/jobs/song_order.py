"""An order's job: begin its songs one by one, and follow them. app/splits/order_table.py has the rules.

A step may run twice, in two processes or after a crash, without harm: what it begins is written in the transaction
that begins it.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from app.ids import new_id
from app.jobs.job import SplitJob, new_job
from app.jobs.order_event import job_of_event
from app.jobs.reasons import reason
from app.jobs.song_state import followed_song
from app.jobs.song_terms import NotYet, Paused, Terms, downloads_of, terms_of
from app.parts import Parts
from app.splits.admission import NotBegun, Refusal
from app.splits.budget import OverBudget
from app.splits.order import OrderedSong, OrderState, Problem, SongOrder, SongState, key_of_song
from app.splits.order_table import OrderTable
from app.splits.person import Handover, PersonNeeded
from app.splits.refusals import InProgress, KeyReused
from app.splits.split import Split, Stems
from app.splits.store import Entry, Transaction
from app.splits.wait import Ended
from app.suno.errors import (
    CaptchaRequired,
    NotAllowed,
    OutOfCredits,
    RateLimited,
    RefusedBySuno,
    SessionExpired,
    SongNotFound,
    SunoError,
)
from app.suno.gateway import AudioFormat
from app.suno.session import Account
from app.suno.stems import StemChoice, StemTask
from app.timing import Stopping

log = logging.getLogger(__name__)

ORDER_LOOK_SECONDS = 10.0
"""Seconds between two looks at songs that run."""

SONG_RETRY_SECONDS = 30.0
"""Seconds until a song begins again that Suno could not take: longer if Suno says so."""

MAX_BLOCKED_SECONDS = 900.0
"""Seconds for which a song waits for another split of it. Then it fails, and the order goes on."""

CONTINUE = "Then continue the order."

SONG_REFUSALS = (SongNotFound, NotAllowed, RefusedBySuno)
"""Suno's refusals of one song. As an answer about the account's balance they say nothing about a song."""


@dataclass(frozen=True, slots=True)
class Step:
    """The result of a step."""

    due_in: float | None
    """Seconds until the next one; None: nothing is left to do."""
    is_suno_read: bool | None = None


class SongOrders:
    """Runs the jobs of orders. One instance per process."""

    def __init__(self, parts: Parts, *, is_stopping: Callable[[], bool]) -> None:
        self._parts, self._is_stopping = parts, is_stopping
        self._ledger, self._orders = parts.ledger, parts.ledger.orders
        self._pace = parts.settings.order_pace

    def step(self, id: str) -> Step:
        """Do what can be done now. Raises LedgerUnavailable."""
        order = self._orders.get(id)
        if order is None:
            return Step(None)
        order = self._followed(order)
        if order.state is not OrderState.RUNNING:
            self._orders.leave_line(order)
            # What its last song has cost counts all the same.
            return self._read_cost(order) or Step(ORDER_LOOK_SECONDS if _is_any_running(order) else None)
        if step := self._read_cost(order):
            return step
        waiting = order.song_of_person
        song = waiting if waiting and waiting.is_asked else order.next_song
        if song is not None and (waiting is None or song is waiting):
            return self._begin(order, song)
        if not order.has_ended:
            return Step(ORDER_LOOK_SECONDS)
        self._change(order, _finished, tells=True)
        return Step(None)

    def give_up(self, id: str) -> None:
        """Pause an order whose steps always fail."""
        problem = Problem("internal_error", "This order cannot be worked on: the service's log says why.")
        if order := self._orders.get(id):
            self._change(order, partial(_paused, problem=problem), tells=True)

    def _change(
        self, order: SongOrder, change: Callable[[SongOrder], SongOrder], *, tells: bool = False
    ) -> SongOrder:
        event = partial(job_of_event, now=self._ledger.clock.now().wall) if tells else _no_event
        return self._orders.change(order.id, change, event=event) or order

    # What runs.

    def _followed(self, order: SongOrder) -> SongOrder:
        """The order with the present state of its songs. One that has failed may get its stems late."""
        for song in order.songs:
            if song.split and song.state in (SongState.RUNNING, SongState.NEEDS_PERSON, SongState.FAILED):
                now = followed_song(self._ledger, order, song)
                if now != song:
                    order = self._change(order, partial(_with, before=song, after=now))
                    if now.error and now.error.code == Ended.TOO_LATE and song.state is SongState.NEEDS_PERSON:
                        order = self._change(order, partial(_paused, problem=now.error), tells=True)
        return order

    # What begins.

    def _begin(self, order: SongOrder, song: OrderedSong) -> Step:
        """Begin the next song, or pause the order, or wait."""
        try:
            terms = terms_of(self._parts, order)
            if wait := self._orders.wait_for_turn(order, self._pace):
                return Step(wait)
            try:
                left = self._parts.gateway.credits(terms.account)
            except SunoError as error:
                return self._without_balance(order, error)
            downloads = downloads_of(self._parts, order, song, terms, left)
        except Paused as error:
            return self._pause(order, error.problem)
        except NotYet:
            return Step(ORDER_LOOK_SECONDS)
        except SunoError as error:
            return self._refused(order, song, error)
        is_again = song.is_repeated
        try:
            if not is_again and self._is_unlisted(order, song, terms.account):
                return self._blocked(order, song)
        except SunoError as error:
            return self._refused(order, song, error)
        place = None if is_again else _Place(self._orders, order.id, downloads, left.credits_left, self._pace)
        split = self._split_of(order, song, terms, place)
        if is_again:
            lasts = self._parts.settings.timing.deadline
            refused_again = self._orders.begin_again(
                order.id, song.song_id, downloads=downloads, balance=left.credits_left, pace=self._pace, lasts=lasts
            )
            if refused_again is not None:
                return self._not_begun(order, song, refused_again)
        stems: Stems | None = None
        refused: SunoError | None = None
        has_asked: bool | None = True
        try:
            answer = split.pay_once()
            if isinstance(answer, PersonNeeded):
                return Step(0.0, is_suno_read=True)
            stems = answer
            has_asked = stems.has_asked
        except NotBegun as error:
            # The account's turn may belong to another process that works on this order.
            has_asked = None
            return self._not_begun(order, song, error)
        except OverBudget as error:
            return self._pause(order, Problem("over_budget", reason(error)))
        except Stopping:
            return Step(1.0)
        except (InProgress, KeyReused) as error:
            # A song that is tried again may have been paid for. Otherwise the ledger has forgotten a change.
            log.warning("The order %s cannot begin %s: %s", order.id, song.song_id, error)
            return Step(SONG_RETRY_SECONDS)
        except SunoError as error:
            refused = None if error.may_have_charged else error
        finally:
            if has_asked is not None:
                self._pass_turn(order, has_asked=has_asked)
        if refused is not None:
            return self._refused(order, song, refused)
        return self._begun(order, song, stems)

    def _pass_turn(self, order: SongOrder, *, has_asked: bool) -> None:
        if next_order := self._orders.end_turn(order, has_asked=has_asked):
            self._parts.queue.put(next_order, self._pace if has_asked else 0.0)

    def _is_unlisted(self, order: SongOrder, song: OrderedSong, account: Account) -> bool:
        """Whether another split has just paid for such stems, and Suno does not list them yet. Raises a SunoError."""
        made = self._orders.made_lately(order, song.song_id)
        return bool(made) and not made <= {stem.id for stem in self._parts.gateway.stems(account, song.song_id)}

    def _split_of(self, order: SongOrder, song: OrderedSong, terms: Terms, place: _Place | None) -> Split:
        request_id = new_id()
        choice = StemChoice(StemTask(order.task), order.stem_name)
        new = SplitJob(
            account=order.account,
            owner=order.owner,
            caller=order.caller,
            request_id=request_id,
            song_id=song.song_id,
            task=choice.task,
            stem_name=choice.stem_name,
            began=self._ledger.clock.now(),
            webhook_url=order.webhook_url,
            audio_format=_format(order),
            budget=terms.downloads,
            base=order.base,
        )
        job = new_job(new)
        job = replace(job, body=json.dumps(json.loads(job.body) | {"waiting": [order.id]}))
        lasts, most = self._parts.settings.handover_time, self._parts.settings.waiting_requests
        handover = Handover(lasts=lasts, job=job, most=most) if order.waits_for_person else None
        return Split(
            account=terms.account,
            owners=((order.owner, order.caller),),
            request_id=request_id,
            idempotency_key=key_of_song(order.id, song.song_id),
            song_id=song.song_id,
            choice=choice,
            reuse_existing=True,
            wait_audio=False,
            price=order.price,
            budgets=terms.budgets,
            job=job,
            handover=handover,
            order=place,
            gateway=self._parts.gateway,
            watch=self._parts.watch,
            ledger=self._ledger,
            timing=self._parts.settings.timing,
            is_stopping=self._is_stopping,
            time_left=lambda: 0.0 if self._is_stopping() else float("inf"),
        )

    def _begun(self, order: SongOrder, song: OrderedSong, stems: Stems | None) -> Step:
        """Read what the song cost, and go on with the next one."""
        if stems is not None and stems.job_id:
            self._parts.queue.put(stems.job_id)
        if stems is not None and not stems.has_asked and not song.repeats:
            self._change(order, partial(_costing, song_id=song.song_id, credits=0))
            return Step(0.0, is_suno_read=True)
        return self._read_cost(self._orders.get(order.id) or order) or Step(self._pace, is_suno_read=True)

    def _read_cost(self, order: SongOrder) -> Step | None:
        """Read what the last song cost, if that is not known; None if another song may begin."""
        song = order.unread_song
        account = self._parts.accounts.by_name(order.account)
        if song is None or song.balance_before is None or account is None:
            return None
        try:
            fell = song.balance_before - self._parts.gateway.credits(account).credits_left
        except SunoError as error:
            return self._without_balance(order, error)
        own = fell - self._orders.counted_since(order, song)
        is_dearer = own > order.price
        cost = own if is_dearer else song.credits
        self._change(order, partial(_costing, song_id=song.song_id, credits=cost, fell=max(0, fell)))
        if not is_dearer:
            return None
        return self._pause(
            order,
            Problem(
                "price_changed",
                f"The account lost {own} credits with this song, and {order.price} were expected. Suno has another "
                "price now, or something else used the account. Check the price, then continue the order.",
            ),
            due_in=ORDER_LOOK_SECONDS,
        )

    def _without_balance(self, order: SongOrder, error: SunoError) -> Step:
        """The account's balance cannot be read: no song begins, as its cost could not be read either."""
        if not isinstance(error, SONG_REFUSALS):
            return self._stopped(order, error)
        sentence = (
            "Suno does not tell the account's balance, so what a song costs could not be checked. No further song "
            "was begun. Look at the account at suno.com, then continue the order."
        )
        return self._pause(order, Problem("suno_failed", sentence))

    # What stops an order.

    def _refused(self, order: SongOrder, song: OrderedSong, error: SunoError) -> Step:
        """Suno has certainly not charged: the song fails, or the order pauses, or tries again."""
        # If the ledger has missed the refusal, the song runs until its own job finds out that nothing was charged.
        order = self._followed(self._orders.get(order.id) or order)
        match error:
            case SongNotFound():
                return self._failed(order, song, Problem("song_not_found", str(error)))
            case RefusedBySuno():
                return self._failed(order, song, Problem("refused_by_suno", str(error)))
            case NotAllowed():
                return self._failed(order, song, Problem("not_allowed", str(error)))
            case _:
                return self._stopped(order, error)

    def _stopped(self, order: SongOrder, error: SunoError) -> Step:
        """An error that is not about one song: the order pauses, or tries again."""
        match error:
            case OutOfCredits():
                return self._pause(order, Problem("out_of_credits", str(error)))
            case CaptchaRequired():
                return self._pause(order, Problem("captcha_required", f"{reason(error)} {CONTINUE}"))
            case SessionExpired():
                return self._pause(order, Problem("suno_session_expired", f"{reason(error)} {CONTINUE}"))
            case _:
                log.warning("The order %s goes on later: %s", order.id, error)
                return Step(
                    max(SONG_RETRY_SECONDS, error.retry_after or 0.0), is_suno_read=isinstance(error, RateLimited)
                )

    def _not_begun(self, order: SongOrder, song: OrderedSong, refused: NotBegun) -> Step:
        """The ledger did not let the song begin."""
        match refused.why:
            case Refusal.CHANGED:
                return Step(SONG_RETRY_SECONDS)
            case Refusal.NOT_YET:
                return Step(max(1.0, refused.wait))
            case Refusal.SAME_SONG | Refusal.BEING_MADE:
                return self._blocked(order, song)
            case Refusal.OVER_CREDITS:
                left, price = order.max_credits - order.credits, max(order.price, order.dearest)
                return self._pause(
                    order,
                    Problem(
                        "over_limit",
                        f"The next song counts as {price} credits, and {left} of the order's max_credits are left. "
                        "Continue the order with a higher max_credits, or cancel it.",
                    ),
                )
            case Refusal.OVER_DOWNLOADS:
                return self._pause(
                    order,
                    Problem(
                        "over_limit",
                        "The next song takes a download, and none of the order's max_downloads is left. Continue the "
                        "order with a higher max_downloads, or cancel it.",
                    ),
                )

    def _blocked(self, order: SongOrder, song: OrderedSong) -> Step:
        """Another split of the song has no result: wait for it, but not for ever."""
        # It has begun for a moment, to look for stems that it has.
        order = self._followed(self._orders.get(order.id) or order)
        song = _song(order, song.song_id)
        now = self._ledger.clock.now()
        since = song.blocked or now
        if self._ledger.clock.since(since) < MAX_BLOCKED_SECONDS:
            if song.blocked is None:
                self._change(order, partial(_with, before=song, after=replace(song, blocked=now)))
            return Step(ORDER_LOOK_SECONDS)
        return self._failed(
            order,
            song,
            Problem(
                "in_progress",
                "Another request for stems of this song has no result yet: it could be paid for twice. Nothing was "
                "charged for it here. Look at that request, then order the song again.",
            ),
        )

    def _failed(self, order: SongOrder, song: OrderedSong, problem: Problem) -> Step:
        self._change(order, partial(_failing, song_id=song.song_id, problem=problem))
        return Step(0.0, is_suno_read=True)

    def _pause(self, order: SongOrder, problem: Problem, *, due_in: float | None = None) -> Step:
        """Begin no further song until a caller continues the order."""
        log.warning("The order %s is paused (%s): %s", order.id, problem.code, problem.error)
        # A song may have begun for a moment, to look for stems that it has: it waits again.
        order = self._followed(self._orders.get(order.id) or order)
        paused = self._change(order, partial(_paused, problem=problem), tells=True)
        return Step(ORDER_LOOK_SECONDS if _is_any_running(paused) else due_in)


@dataclass(frozen=True, slots=True)
class _Place:
    """The place of a split in its order."""

    orders: OrderTable
    order_id: str
    downloads: int
    balance: int
    pace: float

    def admit(self, tx: Transaction, entry: Entry, *, pays: bool) -> NotBegun | None:
        return self.orders.begin_song(
            tx, self.order_id, entry, downloads=self.downloads, balance=self.balance, pace=self.pace, pays=pays
        )


def _is_any_running(order: SongOrder) -> bool:
    return any(song.state is SongState.RUNNING for song in order.songs)


def _format(order: SongOrder) -> AudioFormat | None:
    return order.audio_format  # type: ignore[return-value]


def _song(order: SongOrder, song_id: str) -> OrderedSong:
    return next(song for song in order.songs if song.song_id == song_id)


def _with(order: SongOrder, *, before: OrderedSong, after: OrderedSong) -> SongOrder:
    """The order with a song's new state, unless another process has changed the song."""
    return order.with_song(after) if before in order.songs else order


def _costing(order: SongOrder, *, song_id: str, credits: int, fell: int = 0) -> SongOrder:
    return order.with_song(replace(_song(order, song_id), credits=credits, balance_before=None, fell=fell))


def _failing(order: SongOrder, *, song_id: str, problem: Problem) -> SongOrder:
    return order.with_song(replace(_song(order, song_id), state=SongState.FAILED, error=problem))


def _paused(order: SongOrder, *, problem: Problem) -> SongOrder:
    if order.state is not OrderState.RUNNING:
        return order
    return replace(order, state=OrderState.PAUSED, error=problem)


def _finished(order: SongOrder) -> SongOrder:
    return replace(order, state=OrderState.FINISHED) if order.state is OrderState.RUNNING else order


def _no_event(order: SongOrder) -> None:
    return None
