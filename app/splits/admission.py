"""Whether a split may begin that must not repeat another: asked in the transaction that begins it."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

from app.charge import ChargeIsKnown
from app.splits.clock import Clock
from app.splits.owners import as_seen_now
from app.splits.store import Entry, State, Transaction
from app.suno.clip import FINAL_STATUSES

SONG_SETTLED_SECONDS = 600.0
"""Seconds after a paid call in which its stems may still be made, or Suno's list may lack them: what wants the same
stems waits for them."""


class Refusal(StrEnum):
    """Why a split may not begin now."""

    CHANGED = "changed"
    """The order was cancelled or paused, or the song has begun."""
    NOT_YET = "not_yet"
    """The account's turn is another order's, or its pause is not over."""
    SAME_SONG = "same_song"
    """Another split of this song and kind has no result yet: it could be paid for twice."""
    BEING_MADE = "being_made"
    """It would reuse stems, and another split has just paid for them, may have, or is paying: they are not listed."""
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
    """Let a split with `reuse_existing` pay, unless another one may make the same stems now, whoever asked for it."""
    for other in tx.entries_of_song(entry.song_id):
        if other.id != entry.id and wants_same(other, entry) and _is_being_made(clock, tx, other):
            return NotBegun(Refusal.BEING_MADE)
    return None


def wants_same(one: Entry, other: Entry) -> bool:
    """Whether two splits of a song pay with one account for the same stems."""
    return one.account == other.account and one.choice.is_like(other.choice)


def _is_being_made(clock: Clock, tx: Transaction, other: Entry) -> bool:
    match as_seen_now(clock, other).state:
        case State.STARTED:
            return True
        case State.IN_DOUBT:
            # It may have paid. A list without its stems proves nothing yet.
            return clock.since(other.attempt_began) < SONG_SETTLED_SECONDS
        case State.DONE:
            return may_be_unlisted(clock, tx, other)
        case _:
            return False


def may_be_unlisted(clock: Clock, tx: Transaction, done: Entry) -> bool:
    """Whether Suno's list may lack the stems of a finished split, or show them incomplete.

    Not if one of them has failed: then they never become a whole set.
    """
    if not done.paid or clock.since(done.attempt_began) >= SONG_SETTLED_SECONDS:
        return False
    return not has_failed(done, _seen(tx, done))


def has_failed(done: Entry, seen: dict[str, str | None]) -> bool:
    """Whether all stems of a finished split are final, and some are not complete. `seen`: statuses by their ids."""
    statuses = {seen.get(stem.id) for stem in done.stems}
    return bool(statuses) and statuses <= FINAL_STATUSES and statuses != {"complete"}


def _seen(tx: Transaction, done: Entry) -> dict[str, str | None]:
    """The statuses of a split's stems, as its final reply or its job has them."""
    if done.final_reply:
        return {stem.id: stem.status for stem in done.final_reply}
    job = tx.record("job", done.id) or {}
    return {stem["id"]: stem["status"] for stem in job.get("stems", ())}
