"""One poll of Suno for all requests that wait for stems of the same account.

The first waiting request that finds a poll due makes it, for all; there is no extra thread. A poll is one call of
Suno's list. Polls begin close together, as stems take a minute, and become rarer for requests that wait longer.
"""

from __future__ import annotations

import random
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import chain, zip_longest
from threading import Condition, Lock

from app.suno.clip import Clip
from app.suno.errors import RateLimited, SunoError
from app.suno.gateway import SunoGateway
from app.suno.session import Account
from app.timing import MAX_RETRY_AFTER_SECONDS

MAX_IDS_PER_POLL = 50
"""Maximum ids of a poll. If more stems are waited for, the next polls take turns."""

MAX_SINGLE_IDS = 10
"""Maximum ids that a poll requests one by one."""

POLLS_BEFORE_SINGLE = 2
"""Polls in a row that must leave out a stem before it is requested by itself."""

WIDEN_AFTER_SECONDS = 60.0
"""Seconds of waiting after which polls become rarer, in proportion to the time waited."""

MAX_PAUSE_INTERVALS = 10
"""Maximum pause between two polls, in intervals, unless Suno asks for a longer one."""


ASKED_LATELY_SECONDS = 60.0
"""Seconds for which a poll also requests the stems that a request without a wait has asked for."""

MAX_WATCHED_ACCOUNTS = 1_000
"""Maximum accounts for which a process remembers what the last polls have shown."""


@dataclass(frozen=True, slots=True)
class PollResult:
    """What a few polls have shown."""

    stems: list[Clip]
    polls: int
    """Polls that ended meanwhile, also failed ones; 0 if none was due."""
    missed: int
    """Polls in a row, with those before, that left out the same open stem."""
    failure: SunoError | None
    """The error of the last poll."""


class Watch:
    """All waiting requests of this process. Threads and greenlets may share it."""

    def __init__(
        self, gateway: SunoGateway, interval: float, *, note_waiters: Callable[[int], object] = lambda change: None
    ) -> None:
        """`interval`: minimum seconds between two polls of an account. `note_waiters` receives +1 or -1."""
        self._gateway = gateway
        self._interval = interval
        self._note_waiters = note_waiters
        self._boards: dict[str, _Board] = {}
        self._glances: OrderedDict[str, _Glances] = OrderedDict()
        self._lock = Lock()

    def wait_for(
        self,
        account: Account,
        stems: Sequence[Clip],
        *,
        patience: float,
        stopping: Callable[[], bool] = lambda: False,
    ) -> list[Clip]:
        """Return the stems once all are final, or as they are after `patience` seconds or when `stopping`.

        A failure of Suno raises nothing: the stems are paid for, and their ids must reach the caller.
        """
        waiter = _Waiter(stems, time.monotonic(), patience)
        self._wait(account, waiter, stopping)
        return waiter.stems

    def follow(
        self,
        account: Account,
        stems: Sequence[Clip],
        *,
        polls: int,
        patience: float,
        missed: int = 0,
        singly: int | None = None,
        stopping: Callable[[], bool] = lambda: False,
    ) -> PollResult:
        """Return what up to `polls` polls show. The last one begins within `patience` seconds, and may take longer.

        Unlike `wait_for`, which has to answer a request in time, it gives each poll the gateway's whole deadline.
        `missed`: as in the Look before. `singly`: maximum stems that a poll reads one by one.
        """
        waiter = _Waiter(stems, time.monotonic(), patience, polls=polls, missed=missed, singly=singly)
        self._wait(account, waiter, stopping)
        return PollResult(waiter.stems, waiter.polls, waiter.missed, waiter.failure)

    def glance(self, account: Account, stems: Sequence[Clip], *, within: float) -> list[Clip]:
        """Return the stems as the last polls have shown them, at once; make a poll if none was made for an interval.

        `within`: maximum seconds for it. Raises a SunoError.
        """
        key, now = account.cookie_hash, time.monotonic()
        with self._lock:
            glances = self._glances_of(key)
            open_ids = [stem.id for stem in stems if not glances.as_seen(stem).is_final]
            glances.ask(open_ids, now)
            is_due = bool(open_ids) and key not in self._boards and now >= glances.next_look
            if is_due:
                glances.next_look = now + self._interval
            wanted = glances.asked_since(now - ASKED_LATELY_SECONDS)
        if is_due:
            glances.note(self._gateway.clips(account, wanted, within=within))
        return [glances.as_seen(stem) for stem in stems]

    def _glances_of(self, key: str) -> _Glances:
        glances = self._glances.setdefault(key, _Glances())
        self._glances.move_to_end(key)
        if len(self._glances) > MAX_WATCHED_ACCOUNTS:
            self._glances.popitem(last=False)
        return glances

    def _wait(self, account: Account, waiter: _Waiter, stopping: Callable[[], bool]) -> None:
        if waiter.is_done:
            return
        with self._joined(account, waiter) as board:
            while not waiter.is_done and waiter.left > 0 and not stopping():
                if board.takes_turn(waiter, self._interval):
                    self._look(account, board, waiter)

    @contextmanager
    def _joined(self, account: Account, waiter: _Waiter) -> Iterator[_Board]:
        key = account.cookie_hash
        with self._lock:
            board = self._boards.setdefault(key, _Board())
            board.join(waiter, self._interval)
        self._note_waiters(1)
        try:
            yield board
        finally:
            self._note_waiters(-1)
            with self._lock:
                if board.leave(waiter):
                    del self._boards[key]

    def _look(self, account: Account, board: _Board, waiter: _Waiter) -> None:
        """Request the ids whose turn it is, and report the result to every waiter."""
        now = time.monotonic()
        with self._lock:
            glances = self._glances_of(account.cookie_hash)
            glances.next_look = now + self._interval
            others = glances.asked_since(now - ASKED_LATELY_SECONDS)
        wanted = list(dict.fromkeys([*board.wanted(), *others]))[:MAX_IDS_PER_POLL]
        seen = _Seen()
        try:
            seen.listed = self._gateway.clips(account, wanted, within=waiter.within, one_by_one=False)
            seen.asked = frozenset(wanted)
            glances.note(seen.listed)
            if singly := board.left_out(seen):
                seen.alone = self._gateway.clips_by_themselves(account, singly, within=waiter.within)
        except SunoError as error:
            seen.failure = error
        finally:
            board.tell(seen, self._interval)


@dataclass(slots=True)
class _Glances:
    """What the polls of one account have shown, for requests that do not wait."""

    next_look: float = 0.0
    _asked: dict[str, float] = field(default_factory=dict)
    """When each stem was asked for, the latest last."""
    _shown: dict[str, Clip] = field(default_factory=dict)

    def ask(self, ids: Sequence[str], now: float) -> None:
        """Remember the latest ids."""
        for id in ids:
            self._asked.pop(id, None)
            self._asked[id] = now
        for id in list(self._asked)[:-MAX_IDS_PER_POLL]:
            del self._asked[id]
            self._shown.pop(id.casefold(), None)

    def asked_since(self, moment: float) -> list[str]:
        """The ids that were asked for since then."""
        return [id for id, asked in self._asked.items() if asked >= moment]

    def note(self, clips: Sequence[Clip]) -> None:
        """Remember what a poll has shown."""
        asked = {id.casefold() for id in self._asked}
        self._shown |= {key: clip for clip in clips if (key := clip.id.casefold()) in asked}

    def as_seen(self, stem: Clip) -> Clip:
        """A stem as it was last shown; itself if it was not."""
        clip = self._shown.get(stem.id.casefold())
        # The split's answer named the parent; a list may not.
        return replace(clip, id=stem.id, stem_from_id=stem.stem_from_id or clip.stem_from_id) if clip else stem


@dataclass(slots=True)
class _Seen:
    """What one poll has shown."""

    asked: frozenset[str] = frozenset()
    """The ids that the list was asked for."""
    listed: Sequence[Clip] = ()
    alone: Sequence[Clip] = ()
    """Clips that were requested by themselves."""
    failure: SunoError | None = None

    def has_left_out(self, id: str) -> bool:
        """Whether the list was asked for a clip, and did not tell it."""
        return id in self.asked and all(clip.id.casefold() != id.casefold() for clip in self.listed)


class _Waiter:
    """One waiting request."""

    def __init__(
        self,
        stems: Sequence[Clip],
        began: float,
        patience: float,
        *,
        polls: int | None = None,
        missed: int = 0,
        singly: int | None = None,
    ) -> None:
        """`polls`: how many it waits for; None: it has to answer in time, however many that takes."""
        self._known = {stem.id: stem for stem in stems}
        self.began = began
        self._ends = began + patience
        self._wanted_polls, self._singly = polls, singly
        self.polls = 0
        self.failure: SunoError | None = None
        self._left_out = dict.fromkeys(self._known, missed)
        """Polls in a row that have left out each stem."""

    @property
    def stems(self) -> list[Clip]:
        return list(self._known.values())

    @property
    def open_ids(self) -> list[str]:
        return [stem.id for stem in self._known.values() if not stem.is_final]

    @property
    def missed(self) -> int:
        """The most polls in a row that have left out one of its open stems."""
        return max((self._left_out[id] for id in self.open_ids), default=0)

    def to_ask_alone(self, seen: _Seen) -> list[str]:
        """The stems that this poll and the two before have left out; the next ones at each poll, if limited."""
        ids = [id for id in self.open_ids if self._left_out[id] >= POLLS_BEFORE_SINGLE and seen.has_left_out(id)]
        limit = MAX_SINGLE_IDS if self._singly is None else self._singly
        first = self.missed * limit % max(1, len(ids))
        return (ids[first:] + ids[:first])[:limit]

    @property
    def is_done(self) -> bool:
        # Whoever does not have to answer in time can come back after Suno's pause.
        return not self.open_ids or (
            self._wanted_polls is not None and (self.polls >= self._wanted_polls or bool(self.failure))
        )

    @property
    def left(self) -> float:
        return self._ends - time.monotonic()

    @property
    def within(self) -> float | None:
        """Maximum seconds for its polls; None: as long as the gateway allows."""
        return max(1.0, self.left) if self._wanted_polls is None else None

    def see(self, seen: _Seen) -> None:
        """Update its stems from a poll that requested them."""
        asked = seen.asked.intersection(self.open_ids)
        if seen.failure or asked:
            self.polls, self.failure = self.polls + 1, seen.failure
        for id in asked:
            self._left_out[id] = self._left_out[id] + 1 if seen.has_left_out(id) else 0
        shown = {clip.id.casefold(): clip for clip in (*seen.listed, *seen.alone)}
        for id in asked:
            if clip := shown.get(id.casefold()):
                # The split's answer named the parent; a list may not. An id of an older job may be in another case.
                self._known[id] = replace(clip, id=id, stem_from_id=self._known[id].stem_from_id or clip.stem_from_id)


class _Board:
    """What the waiters of one account share."""

    def __init__(self) -> None:
        self.changed = Condition()
        self.waiters: dict[_Waiter, None] = {}
        self.next_look = 0.0
        self.not_before = 0.0
        """No poll before this time: Suno has failed, or has asked for a pause."""
        self.is_looking = False
        self.failures = 0
        self.turns: dict[str, None] = {}
        """The ids that polls have requested, the latest last."""

    def join(self, waiter: _Waiter, interval: float) -> None:
        """Take part in the next poll: an interval from now at the latest, unless Suno needs a pause."""
        with self.changed:
            soon = waiter.began + interval
            self.next_look = max(self.not_before, min(self.next_look, soon) if self.waiters else soon)
            self.waiters[waiter] = None

    def leave(self, waiter: _Waiter) -> bool:
        """Remove a waiter and its ids. Returns whether none is left."""
        with self.changed:
            self.waiters.pop(waiter, None)
            return not self.waiters

    def takes_turn(self, waiter: _Waiter, interval: float) -> bool:
        """Wait for the next poll. True: this waiter must make it. False after an interval at most."""
        with self.changed:
            now = time.monotonic()
            if not self.is_looking and now >= self.next_look:
                self.is_looking = True
                return True
            until = interval if self.is_looking else self.next_look - now
            self.changed.wait(max(0.0, min(until, interval, waiter.left)))
            return False

    def wanted(self) -> list[str]:
        """The ids to request: those that were requested longest ago, if there are too many for one call."""
        with self.changed:
            ids = dict.fromkeys(chain.from_iterable(waiter.open_ids for waiter in self.waiters))
            requested = [id for id in self.turns if id in ids]
            wanted = [*(id for id in ids if id not in self.turns), *requested][:MAX_IDS_PER_POLL]
            self.turns = dict.fromkeys([*(id for id in requested if id not in wanted), *wanted])
        return wanted

    def left_out(self, seen: _Seen) -> list[str]:
        """The ids to request by themselves, in turn for each waiter."""
        with self.changed:
            ids = chain.from_iterable(zip_longest(*(waiter.to_ask_alone(seen) for waiter in self.waiters)))
            return [id for id in dict.fromkeys(ids) if id is not None][:MAX_SINGLE_IDS]

    def tell(self, seen: _Seen, interval: float) -> None:
        """Report the result of a poll to every waiter, and set the time of the next poll."""
        failure = seen.failure
        with self.changed:
            now = time.monotonic()
            self.is_looking = False
            self.failures = self.failures + 1 if failure else 0
            for waiter in self.waiters:
                waiter.see(seen)
            youngest = max((waiter.began for waiter in self.waiters), default=now)
            pause = interval * min(MAX_PAUSE_INTERVALS, max(1.0, (now - youngest) / WIDEN_AFTER_SECONDS))
            if failure:
                asked = failure.retry_after if isinstance(failure, RateLimited) else None
                pause = max(
                    pause,
                    min(MAX_RETRY_AFTER_SECONDS, asked or interval * min(MAX_PAUSE_INTERVALS, 2**self.failures)),
                )
                self.not_before = now + pause
            self.next_look = now + pause * random.uniform(1.0, 1.1)  # noqa: S311 (no secret)
            self.changed.notify_all()
