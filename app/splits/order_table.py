"""Orders: many songs, one price limit. Each song of an order is a split of its own, by all rules of the ledger.

An order is one record. It changes in transactions, as several processes use it: the web takes, cancels and continues
it, and the jobs process works on it (app/jobs/song_order.py).

- A song begins in the same transaction as its split's entry: there the order's limits are checked, and its price is
  counted. So an order never spends more than its limits, and begins no song twice. In doubt counts as spent.
- One account sends one paid call of all orders at a time, with a pause after it. The orders that wait for it stand in
  a line.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace

from app.splits.admission import SONG_SETTLED_SECONDS, NotBegun, Refusal, may_be_unlisted, wants_same
from app.splits.attempt import latest_of
from app.splits.clock import Clock, Moment
from app.splits.jobs import JOB_KEPT_SECONDS, JobTable
from app.splits.order import OrderedSong, OrderState, SongOrder, SongState, read_order
from app.splits.store import Entry, State, Store, Transaction
from app.suno.stems import StemChoice, StemTask
from app.timing import DAY

ORDER_KEPT_SECONDS = JOB_KEPT_SECONDS
"""Seconds to remember an order and its key after its last change."""

MAX_LISTED_ORDERS = 100
"""How many orders of a caller are listed; open ones are never left out."""

LINE_KEPT_SECONDS = DAY
"""Seconds to remember which orders wait for an account."""


class TooManyOrders(Exception):
    """The caller has as many open orders as it may have."""


@dataclass(frozen=True, slots=True)
class Taken:
    """The result of sending an order."""

    order: SongOrder
    is_replay: bool
    """Whether an earlier request with the same key has made it."""


class OrderTable:
    """The orders. Every method is one transaction, unless it receives one, and raises LedgerUnavailable."""

    def __init__(self, store: Store, jobs: JobTable) -> None:
        self._store, self._jobs = store, jobs
        self._clock: Clock = store.clock

    def of_key(self, owner: str, caller: str, key: str) -> SongOrder | None:
        """Read the order that this caller made with an Idempotency-Key."""

        def look(tx: Transaction) -> SongOrder | None:
            id = tx.record("order_key", _key_name(owner, caller, key))
            return _read(tx, id) if id else None

        return self._store.read(look)

    def take(self, order: SongOrder, *, most_open: int) -> Taken:
        """Write a new order, due at once; or return the one that its key has made. Raises TooManyOrders."""

        def change(tx: Transaction) -> Taken | None:
            earlier = tx.record("order_key", _key_name(order.owner, order.caller, order.idempotency_key))
            if earlier and (stored := _read(tx, earlier)):
                return Taken(stored, is_replay=True)
            if sum(is_open for _, _, is_open in _listed(tx, order.caller)) >= most_open:
                return None
            self._write(tx, order)
            self._jobs.begin(tx, order.id, json.dumps({"kind": "order"}), 0.0)
            return Taken(order, is_replay=False)

        taken = self._store.transact(change)
        if taken is None:
            raise TooManyOrders
        return taken

    def get(self, id: str) -> SongOrder | None:
        """Read an order."""
        return self._store.read(lambda tx: _read(tx, id))

    def latest(self, owners: Sequence[tuple[str, str]], limit: int) -> list[SongOrder]:
        """Read the latest orders of these accounts and callers, newest first."""

        def look(tx: Transaction) -> list[SongOrder]:
            callers = dict.fromkeys(caller for _, caller in owners)
            ids = [id for caller in callers for id, owner, _ in _listed(tx, caller) if (owner, caller) in owners]
            return [order for id in ids[:limit] if (order := _read(tx, id))]

        return self._store.read(look)

    def change(
        self,
        id: str,
        change: Callable[[SongOrder], SongOrder],
        *,
        is_due: bool = False,
        event: Callable[[SongOrder], str | None] = lambda order: None,
    ) -> SongOrder | None:
        """Change an order. Returns it as it is then; None if there is none.

        `is_due`: its job runs now. `event`: the body of the job that tells of the change, if there is one.
        """

        def changed(tx: Transaction) -> SongOrder | None:
            order = _read(tx, id)
            if order is None:
                return None
            new = change(order)
            if new != order:
                if (body := event(new)) is not None:
                    new = replace(new, events=new.events + 1)
                    self._jobs.begin(tx, event_id(new), body, 0.0)
                self._write(tx, new)
            if is_due:
                self._jobs.wake(tx, id)
            return new

        return self._store.transact(changed)

    def begin_song(
        self, tx: Transaction, id: str, entry: Entry, *, downloads: int, balance: int, pace: float, pays: bool
    ) -> NotBegun | None:
        """Within the transaction that begins the split of an order's next song: count it, or refuse it.

        `pays`: a paid call follows; otherwise existing stems are taken. `pace`: seconds after another order's call.
        `balance`: the account's credits now.
        """
        order = _read(tx, id)
        song = order.next_song if order else None
        if order is None or song is None or order.state is not OrderState.RUNNING or song.song_id != entry.song_id:
            return NotBegun(Refusal.CHANGED)
        if song.is_repeated:
            return NotBegun(Refusal.CHANGED)
        if pays and self._has_rival(tx, entry):
            return NotBegun(Refusal.SAME_SONG)
        begun = replace(song, split=entry.id, request_id=entry.request_id, balance_before=balance if pays else None)
        price = entry.price if pays else 0
        lasts = entry.lasts if pays else None
        return self._count(tx, order, begun, price, downloads=downloads, pace=pace, lasts=lasts)

    def begin_again(
        self, id: str, song_id: str, *, downloads: int, balance: int, pace: float, lasts: float
    ) -> NotBegun | None:
        """Count a song that begins again, as `is_repeated` says; or refuse it.

        `lasts`: maximum seconds of the paid call.
        """

        def change(tx: Transaction) -> NotBegun | None:
            order = _read(tx, id)
            song = (order.song_of_person or order.next_song) if order else None
            if order is None or song is None or order.state is not OrderState.RUNNING or song.song_id != song_id:
                return NotBegun(Refusal.CHANGED)
            if not song.is_repeated:
                return NotBegun(Refusal.CHANGED)
            entry = tx.entry(song.split)
            if song.state is SongState.WAITING and (entry is None or self._has_rival(tx, entry)):
                return NotBegun(Refusal.SAME_SONG)
            again = replace(song, balance_before=balance)
            return self._count(tx, order, again, order.price, downloads=downloads, pace=pace, lasts=lasts)

        return self._store.transact(change)

    def _count(
        self,
        tx: Transaction,
        order: SongOrder,
        song: OrderedSong,
        credits: int,
        *,
        downloads: int,
        pace: float,
        lasts: float | None,
    ) -> NotBegun | None:
        """Let a song run, if the order's limits and its account's turn allow it. `lasts`: None if nothing is paid."""
        if lasts is not None and (wait := self._wait_for_turn(tx, order, pace)):
            return NotBegun(Refusal.NOT_YET, wait)
        may_cost = max(credits, order.dearest) if lasts is not None else credits
        if order.credits + may_cost > order.max_credits:
            return NotBegun(Refusal.OVER_CREDITS)
        of_others = order.downloads - song.downloads
        if order.max_downloads is not None and of_others + downloads > order.max_downloads:
            return NotBegun(Refusal.OVER_DOWNLOADS)
        turn = _turn(tx, order.owner)
        line = tuple(waiting for waiting in turn.line if waiting != order.id)
        turn = replace(turn, line=line, counted=turn.counted + credits)
        begun = replace(
            song,
            state=SongState.RUNNING,
            credits=credits,
            downloads=downloads,
            is_asked=False,
            counted_before=turn.counted,
        )
        self._write(tx, order.with_song(begun))
        if lasts is not None:
            _put_turn(
                tx, order.owner, replace(turn, holder=order.id, began=self._clock.now(), lasts=lasts, is_over=False)
            )
        return None

    def made_lately(self, order: SongOrder, song_id: str) -> frozenset[str]:
        """Read which stems splits of this song, kind and part have paid for lately: Suno may not list them yet."""
        entries = self._store.read(lambda tx: tx.entries_of_song(song_id))
        choice = StemChoice(StemTask(order.task), order.stem_name)
        return frozenset(
            stem.id
            for entry in entries
            if (entry.account, entry.state) == (order.owner, State.DONE)
            and entry.choice.is_like(choice)
            and entry.paid
            and self._clock.since(entry.attempt_began) < SONG_SETTLED_SECONDS
            for stem in entry.stems
        )

    def downloads_underway(self, order: SongOrder, song: OrderedSong) -> int:
        """Read how many downloads the caller's open orders may still use for songs that run, without this song."""

        def look(tx: Transaction) -> int:
            ids = [id for id, owner, is_open in _listed(tx, order.caller) if is_open and owner == order.owner]
            return sum(
                each.downloads
                for id in ids
                if (other := _read(tx, id))
                for each in other.songs
                if each.state in (SongState.RUNNING, SongState.NEEDS_PERSON)
                and (id, each.song_id) != (order.id, song.song_id)
            )

        return self._store.read(look)

    def counted_since(self, order: SongOrder, song: OrderedSong) -> int:
        """Read what other songs of any order have counted on the account since this song's paid call began."""
        counted = self._store.read(lambda tx: _turn(tx, order.owner).counted)
        return max(0, counted - song.counted_before)

    def end_turn(self, order: SongOrder, *, has_asked: bool) -> str:
        """Record that the order's paid call has ended. Returns the order that is next in line, or "".

        `has_asked`: Suno may have been asked to split; otherwise no pause follows.
        """

        def change(tx: Transaction) -> str:
            turn = _turn(tx, order.owner)
            if turn.holder == order.id:
                ended = replace(turn, began=self._clock.now(), lasts=0.0, is_over=True)
                unasked = _Turn(line=turn.line, counted=turn.counted - order.price)
                _put_turn(tx, order.owner, ended if has_asked else unasked)
            return turn.line[0] if turn.line else ""

        return self._store.transact(change, durable=False)

    def wait_for_turn(self, order: SongOrder, pace: float) -> float:
        """Seconds until the order may send a paid call; 0.0 if it may now. One that has to wait joins the line."""

        def change(tx: Transaction) -> float:
            wait = self._wait_for_turn(tx, order, pace)
            turn = _turn(tx, order.owner)
            if not wait:
                return 0.0
            if order.id not in turn.line:
                turn = replace(turn, line=(*turn.line, order.id))
                _put_turn(tx, order.owner, turn)
            return wait + turn.line.index(order.id) * pace

        return self._store.transact(change, durable=False)

    def leave_line(self, order: SongOrder) -> None:
        """Let an order that is paused or over no longer wait for its account."""

        def change(tx: Transaction) -> None:
            turn = _turn(tx, order.owner)
            if order.id in turn.line:
                line = tuple(waiting for waiting in turn.line if waiting != order.id)
                _put_turn(tx, order.owner, replace(turn, line=line))

        self._store.transact(change, durable=False)

    def time_to_turn(self, order: SongOrder, pace: float) -> float:
        """Read in how many seconds the order may send a paid call, if those before it need only the pause."""

        def look(tx: Transaction) -> float:
            line = _turn(tx, order.owner).line
            ahead = line.index(order.id) if order.id in line else len(line)
            return self._wait_for_turn(tx, order, pace) + ahead * pace

        return self._store.read(look)

    def _wait_for_turn(self, tx: Transaction, order: SongOrder, pace: float) -> float:
        turn = _turn(tx, order.owner)
        if turn.began is None:
            return 0.0
        return max(0.0, turn.lasts + pace - self._clock.since(turn.began))

    def _has_rival(self, tx: Transaction, entry: Entry) -> bool:
        """Whether another split of this song, kind and part has no result yet, whoever asked for it."""
        return any(
            self._is_unsettled(tx, other)
            for other in tx.entries_of_song(entry.song_id)
            if other.id != entry.id and wants_same(other, entry)
        )

    def _is_unsettled(self, tx: Transaction, other: Entry) -> bool:
        passed = self._clock.since(other.attempt_began)
        match latest_of(other).state_now(self._clock):
            case State.DONE:
                return may_be_unlisted(self._clock, tx, other)
            case State.FAILED:
                return False
            case _:
                return passed < DAY

    def _write(self, tx: Transaction, order: SongOrder) -> None:
        tx.put_record("order", order.id, asdict(order), kept=ORDER_KEPT_SECONDS)
        tx.put_record(
            "order_key",
            _key_name(order.owner, order.caller, order.idempotency_key),
            order.id,
            kept=ORDER_KEPT_SECONDS,
        )
        mine, listed = (order.id, order.owner, order.state.is_open), _listed(tx, order.caller)
        if order.id in (id for id, _, _ in listed):
            listed = [mine if each[0] == order.id else each for each in listed]
        else:
            listed = [mine, *listed]
        kept = [each for i, each in enumerate(listed) if i < MAX_LISTED_ORDERS or each[2]]
        tx.put_record("orders", order.caller, kept, kept=ORDER_KEPT_SECONDS)


@dataclass(frozen=True, slots=True)
class _Turn:
    """Which order's paid call an account makes, or made last."""

    holder: str = ""
    began: Moment | None = None
    """When the call began; if it is over, when it ended."""
    lasts: float = 0.0
    """Maximum seconds of the call."""
    is_over: bool = True
    line: tuple[str, ...] = ()
    """The orders that wait, first come first served."""
    counted: int = 0
    """Credits that all orders have counted for their paid calls."""


def event_id(order: SongOrder) -> str:
    """The id of the job that delivers the order's latest webhook."""
    return f"{order.id}.event.{order.events}"


def _turn(tx: Transaction, owner: str) -> _Turn:
    stored = tx.record("order_turn", owner)
    if stored is None:
        return _Turn()
    began = Moment(*stored["began"]) if stored["began"] else None
    return _Turn(
        stored["holder"], began, stored["lasts"], stored["is_over"], tuple(stored["line"]), stored.get("counted", 0)
    )


def _put_turn(tx: Transaction, owner: str, turn: _Turn) -> None:
    tx.put_record("order_turn", owner, asdict(turn), kept=LINE_KEPT_SECONDS)


def _listed(tx: Transaction, caller: str) -> list[tuple[str, str, bool]]:
    return [(id, owner, is_open) for id, owner, is_open in tx.record("orders", caller) or []]


def _key_name(owner: str, caller: str, key: str) -> str:
    return f"{owner}:{caller}:{key}"


def _read(tx: Transaction, id: str) -> SongOrder | None:
    stored = tx.record("order", id)
    return None if stored is None else read_order(stored)
