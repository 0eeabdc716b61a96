"""Whether a split may begin that must not repeat another: asked in the transaction that begins it."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

from app.charge import ChargeIsKnown
from app.splits.clock import Clock
from app.splits.owners import as_seen_now
from app.splits.store import Entry, State, Transaction

SONG_SETTLED_SECONDS = 600.0
"""Seconds after a paid split in which its stems may still be made: what wants the same stems waits for them."""


class Refusal(StrEnum):
    """Why a split may not begin now."""

    CHANGED = "changed"
    """The order was cancelled or paused, or the song has begun."""
    NOT_YET = "not_yet"
    """The account's turn is another order's, or its pause is not over."""
    SAME_SONG = "same_song"
    """Another split of this song and kind has no result yet: it could be paid for twice."""
    BEING_MADE = "being_made"
    """It would reuse stems, and another split has just paid for them, or is paying: Suno does not list them yet."""
    OVER_CREDITS = "over_credits"
    OVER_DOWNLOADS = "over_downloads"


class NotBegun(ChargeIsKnown):
    """A split may not begin now. Nothing was written or charged."""

    def __init__(self, why: Refusal, wait: float = 0.0) -> None:
        super().__init__(why)
        self.why = why
        self.wait = wait
        """Seconds to wait."""


Admit = Callable[[Transaction, Entry], NotBegun | None]
"""Counts a split for its order, in the transaction that begins it; or returns why it may not begin."""


def admit_unless_being_made(clock: Clock, tx: Transaction, entry: Entry) -> NotBegun | None:
    """Let a split with `reuse_existing` pay, unless another one makes the same stems now, whoever asked for it."""
    for other in tx.entries_of_song(entry.song_id):
        is_same = (other.account, other.task) == (entry.account, entry.task) and other.part == entry.part
        if is_same and other.id != entry.id and _is_being_made(clock, tx, other):
            return NotBegun(Refusal.BEING_MADE)
    return None


def _is_being_made(clock: Clock, tx: Transaction, other: Entry) -> bool:
    match as_seen_now(clock, other).state:
        case State.STARTED:
            return True
        case State.DONE:
            return may_be_unlisted(clock, tx, other)
        case _:
            # It may have paid for nothing.
            return False


def may_be_unlisted(clock: Clock, tx: Transaction, done: Entry) -> bool:
    """Whether Suno may not list the complete stems of a finished split yet."""
    if not done.paid or clock.since(done.attempt_began) >= SONG_SETTLED_SECONDS:
        return False
    job = tx.record("job", done.id)
    return job is None or job.get("body") is None
