"""What the processes of a service know of their ledger, in memory that they share.

gunicorn's main process creates the memory and loads this module before gevent has patched anything. All workers
inherit it, also those that start later.
"""

from __future__ import annotations

import mmap
from struct import Struct
from typing import NamedTuple

SLOTS = 2_048
"""More than twice the maximum of workers: at a reload, old and new ones run side by side."""

_SLOT = Struct("QQ32s")


class Seen(NamedTuple):
    """A ledger that was in use."""

    turn: int
    """How many ledgers were in use before it, and itself."""
    attempts: int
    """The most attempts that it was seen to have counted."""
    id: str


class Known:
    """The ledger in use. Each process writes only its own slot, so that none undoes what another has seen."""

    def __init__(self, slots: int = 1) -> None:
        self._memory = mmap.mmap(-1, slots * _SLOT.size)
        self._slots = slots
        self._used = 1
        self._own = 0

    def take(self, slot: int) -> None:
        """Choose the slot of the next process; only the main process does this."""
        self._own = min(slot, self._slots - 1)
        self._used = max(self._used, self._own + 1)

    def now(self) -> Seen | None:
        """Read what any process has seen; None if no ledger was in use yet."""
        # Slots of later processes are in use too: they are numbered from 0, without gaps.
        latest: Seen | None = None
        for slot in range(self._slots):
            turn, attempts, id = _SLOT.unpack_from(self._memory, slot * _SLOT.size)
            if not turn and slot >= self._used:
                break
            if turn and (latest is None or (turn, attempts) > latest[:2]):
                latest = Seen(turn, attempts, id.decode())
        return latest

    def note(self, id: str, attempts: int) -> None:
        """Record that this ledger is in use, and has counted so many attempts."""
        latest = self.now()
        if latest is None or latest.id != id:
            turn = latest.turn + 1 if latest else 1
        elif latest.attempts >= attempts:
            return
        else:
            turn = latest.turn
        _SLOT.pack_into(self._memory, self._own * _SLOT.size, turn, attempts, id.encode())


_shared: list[Known] = []


def share() -> Known:
    """Create the memory that workers inherit, unless it is there."""
    if not _shared:
        _shared.append(Known(SLOTS))
    return _shared[0]


def inherited() -> Known | None:
    """The memory that gunicorn's main process has created; None in any other process."""
    return _shared[0] if _shared else None
