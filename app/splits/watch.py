"""One poll of Suno for all requests that wait for stems of the same account.

The first waiting request that finds a poll due makes it, for all; there is no extra thread. Polls begin close
together, as stems take a minute, and become rarer for requests that wait longer.
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
"""Maximum ids in one call to Suno."""

SINGLY = 10
"""Maximum ids that a poll requests one by one."""

WIDENS_AFTER = 60.0
"""Seconds of waiting after which polls become rarer, in proportion to the time waited."""

RAREST = 10
"""Maximum pause between two polls, in intervals, unless Suno asks for a longer one."""


class Gateway(Protocol):
    """What a watch needs from Suno."""

    def clips(
        self, account: Account, ids: Sequence[str], *, within: float | None = None, one_by_one: bool = True
    ) -> list[Clip]:
        """The clips with these ids, as far as Suno returns them."""


class Watch:
    """All waiting requests of this process. Threads and greenlets may share it."""

    def __init__(
        self, gateway: Gateway, interval: float, *, note_waiters: Callable[[int], object] = lambda change: None
    ) -> None:
        """`interval`: minimum seconds between two polls of an account. `note_waiters` receives +1 or -1."""
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
        """Return the stems once all are final, or as they are after `patience` seconds or when `stopping`.

        A failure of Suno raises nothing: the stems are paid for, and their ids must reach the caller.
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
        # A request may join a board that is just being removed. It then polls for itself, which does no harm.
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
        """Request all ids of the board, and report the result to every waiter."""
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
    """One waiting request."""

    def __init__(self, stems: Sequence[Clip], began: float, patience: float) -> None:
        self._known = {stem.id: stem for stem in stems}
        self.began = began
        self._ends = began + patience
        self.in_vain = 0
        """Polls in a row that returned none of its stems. After two, its ids are requested one by one."""

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
        """Update its stems from a poll that requested them."""
        if asked.isdisjoint(self.open_ids):
            return
        seen = [clips[id] for id in self.open_ids if id in clips]
        self.in_vain = 0 if seen and self.in_vain < 2 else self.in_vain + 1
        for clip in seen:
            # The split's answer named the parent; a list may not.
            before = self._known[clip.id]
            self._known[clip.id] = replace(clip, stem_from_id=before.stem_from_id or clip.stem_from_id)


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

    def wanted(self) -> tuple[list[str], list[str]]:
        """The ids to request by list, and the ids to request one by one."""
        with self.changed:
            ids: Counter[str] = Counter()
            singly: Counter[str] = Counter()
            for waiter in self.waiters:
                (singly if waiter.in_vain >= 2 else ids).update(waiter.open_ids)
        return list(ids), [id for id in singly if id not in ids][:SINGLY]

    def tell(self, asked: set[str], seen: Iterable[Clip], failure: SunoError | None, interval: float) -> None:
        """Report the result of a poll to every waiter, and set the time of the next poll."""
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
