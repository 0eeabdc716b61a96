"""One look at Suno for all who wait: how far the stems of an account are.

Whoever is first to find a look due makes it, for all; there is no thread of its own. Looks begin close together, as
stems take a minute, and grow rarer for those that wait longer.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from threading import Condition
from typing import Protocol

from app.suno.clip import Clip
from app.suno.errors import RateLimited, SunoError
from app.suno.session import Account

BATCH = 50
"""Ids in one question to Suno, at most."""

SINGLY = 10
"""Ids that are asked for one by one in a look, at most."""

WIDENS_AFTER = 60.0
"""Seconds of waiting after which looks grow rarer, in proportion to the time waited."""

RAREST = 10
"""How many times the floor lies between two looks, at most."""


class Gateway(Protocol):
    """What a watch needs of Suno."""

    def clips(
        self, account: Account, ids: Sequence[str], *, within: float | None = None, one_by_one: bool = True
    ) -> list[Clip]:
        """The clips with these ids, as far as Suno tells them."""


class Watch:
    """All who wait in this process. Safe to share between threads and greenlets."""

    def __init__(
        self, gateway: Gateway, interval: float, *, note_waiters: Callable[[int], object] = lambda change: None
    ) -> None:
        """`interval`: seconds between two looks for an account, at least. `note_waiters` is told of each change."""
        self._gateway = gateway
        self._interval = interval
        self._note_waiters = note_waiters
        self._boards: dict[str, _Board] = {}

    def wait_for(
        self,
        account: Account,
        stems: Sequence[Clip],
        *,
        patience: float,
        stopping: Callable[[], bool] = lambda: False,
    ) -> list[Clip]:
        """The stems once all are final, or as they are when `patience` is over or the process is `stopping`.

        Never raises for a failure of Suno's: the stems are paid for, and their ids have to reach the caller.
        `patience` is in seconds.
        """
        waiter = _Waiter(stems, time.monotonic(), patience)
        if waiter.is_done:
            return waiter.stems
        with self._joined(account, waiter) as board:
            while not waiter.is_done and waiter.left > 0 and not stopping():
                if board.takes_turn(waiter, self._interval):
                    self._look(account, board, waiter)
        return waiter.stems

    @contextmanager
    def _joined(self, account: Account, waiter: _Waiter) -> Iterator[_Board]:
        key = account.cookie_hash
        # Who joins one that is just given up looks for itself, which does no harm.
        board = self._boards.setdefault(key, _Board())
        board.join(waiter, self._interval)
        self._note_waiters(1)
        try:
            yield board
        finally:
            self._note_waiters(-1)
            if board.leave(waiter) and self._boards.get(key) is board:
                del self._boards[key]

    def _look(self, account: Account, board: _Board, waiter: _Waiter) -> None:
        """Ask for all ids of the board; tell everyone what was seen."""
        wanted, singly = board.wanted()
        asked: set[str] = set()
        seen: list[Clip] = []
        failure: SunoError | None = None
        try:
            for one_by_one, ids in ((False, wanted), (True, singly)):
                for batch in _batches(ids):
                    within = max(1.0, waiter.left)
                    seen += self._gateway.clips(account, batch, within=within, one_by_one=one_by_one)
                    asked.update(batch)
        except SunoError as error:
            failure = error
        finally:
            board.tell(asked, seen, failure, self._interval)


class _Waiter:
    """One request that waits."""

    def __init__(self, stems: Sequence[Clip], began: float, patience: float) -> None:
        self._known = {stem.id: stem for stem in stems}
        self.began = began
        self._ends = began + patience
        self.in_vain = 0
        """Looks in a row that told none of its stems: then a list may be one that leaves out more."""

    @property
    def stems(self) -> list[Clip]:
        return list(self._known.values())

    @property
    def open_ids(self) -> list[str]:
        return [stem.id for stem in self._known.values() if not stem.is_final]

    @property
    def is_done(self) -> bool:
        return not self.open_ids

    @property
    def left(self) -> float:
        return self._ends - time.monotonic()

    def see(self, asked: set[str], clips: dict[str, Clip]) -> None:
        """Take over what a look has told of its stems, if it asked for them."""
        if asked.isdisjoint(self.open_ids):
            return
        seen = [clips[id] for id in self.open_ids if id in clips]
        self.in_vain = 0 if seen and self.in_vain < 2 else self.in_vain + 1
        for clip in seen:
            # The parent is known from the split, where the list does not name it.
            before = self._known[clip.id]
            self._known[clip.id] = replace(clip, stem_from_id=before.stem_from_id or clip.stem_from_id)


class _Board:
    """What those who wait on one account have in common."""

    def __init__(self) -> None:
        self.changed = Condition()
        self.waiters: dict[_Waiter, None] = {}
        self.next_look = 0.0
        self.not_before = 0.0
        """Suno wants no look before that, or it fails."""
        self.is_looking = False
        self.failures = 0

    def join(self, waiter: _Waiter, interval: float) -> None:
        """Take part in the next look, which comes no later than an interval from now."""
        with self.changed:
            soon = waiter.began + interval
            self.next_look = max(self.not_before, min(self.next_look, soon) if self.waiters else soon)
            self.waiters[waiter] = None

    def leave(self, waiter: _Waiter) -> bool:
        """Take its ids out; whether nobody is left."""
        with self.changed:
            self.waiters.pop(waiter, None)
            return not self.waiters

    def takes_turn(self, waiter: _Waiter, interval: float) -> bool:
        """Wait for the next look; whether it is this waiter's turn to make it. False after an interval at most."""
        with self.changed:
            now = time.monotonic()
            if not self.is_looking and now >= self.next_look:
                self.is_looking = True
                return True
            until = interval if self.is_looking else self.next_look - now
            self.changed.wait(max(0.0, min(until, interval, waiter.left)))
            return False

    def wanted(self) -> tuple[list[str], list[str]]:
        """The ids to ask for: those that lists tell, and those that have to be asked for one by one."""
        with self.changed:
            ids: Counter[str] = Counter()
            singly: Counter[str] = Counter()
            for waiter in self.waiters:
                (singly if waiter.in_vain >= 2 else ids).update(waiter.open_ids)
        return list(ids), [id for id in singly if id not in ids][:SINGLY]

    def tell(self, asked: set[str], seen: Iterable[Clip], failure: SunoError | None, interval: float) -> None:
        """Tell everyone what a look has seen, and set the time of the next."""
        clips = {clip.id: clip for clip in seen}
        with self.changed:
            now = time.monotonic()
            self.is_looking = False
            self.failures = self.failures + 1 if failure else 0
            for waiter in self.waiters:
                waiter.see(asked, clips)
            youngest = max((waiter.began for waiter in self.waiters), default=now)
            pause = interval * min(RAREST, max(1.0, (now - youngest) / WIDENS_AFTER))
            if failure:
                told = failure.retry_after if isinstance(failure, RateLimited) else None
                pause = max(pause, told or interval * min(RAREST, 2**self.failures))
                self.not_before = now + pause
            self.next_look = now + pause * random.uniform(1.0, 1.1)  # noqa: S311 (no secret)
            self.changed.notify_all()


def _batches(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(ids), BATCH):
        yield ids[start : start + BATCH]
