"""Whether a song of an order may begin: asked in the transaction that begins its split."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

from app.splits.store import Entry, Transaction


class Refusal(StrEnum):
    """Why a song of an order may not begin now."""

    CHANGED = "changed"
    """The order was cancelled or paused, or the song has begun."""
    NOT_YET = "not_yet"
    """The account's turn is another order's, or its pause is not over."""
    SAME_SONG = "same_song"
    """Another split of this song and kind has no result yet: it could be paid for twice."""
    OVER_CREDITS = "over_credits"
    OVER_DOWNLOADS = "over_downloads"


class NotBegun(Exception):
    """A song of an order may not begin now. Nothing was written or charged."""

    may_have_charged = False

    def __init__(self, why: Refusal, wait: float = 0.0) -> None:
        super().__init__(why)
        self.why = why
        self.wait = wait
        """Seconds to wait."""


Admit = Callable[[Transaction, Entry], NotBegun | None]
"""Counts a split for its order, in the transaction that begins it; or returns why it may not begin."""
