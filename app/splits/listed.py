"""Which stems of a song were listed, and which entries had begun: an entry that began later cannot own them.

Lists are recorded only where one is read anyway: before `reuse_existing` pays, and for a retry in doubt.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from app.splits.clock import Clock, Moment
from app.splits.store import Entry, Transaction
from app.timing import DAY

LISTED_KEPT_SECONDS = 3 * DAY
"""Seconds to remember a list: as long as the owner of a stem."""


def listed_before(tx: Transaction, clock: Clock, entry: Entry) -> set[str]:
    """Read the stems in a list that was recorded before the entry's first paid call."""
    began = clock.since(entry.began)
    lists: list[Any] = tx.record("listed", entry.song_id) or []
    return {
        id for at, before, ids, *known in lists if _is_earlier(clock, entry, began, at, before, known) for id in ids
    }


def _is_earlier(clock: Clock, entry: Entry, began: float, at: Any, before: str, known: Sequence[list[str]]) -> bool:
    # The clocks alone cannot tell it of two boots: the wall clock may have been set back between them.
    is_known = any(entry.id in ids for ids in known)
    return before == entry.id or (not is_known and clock.since(Moment(*at)) > began)


def note_listed(tx: Transaction, clock: Clock, song_id: str, ids: Sequence[str], *, before: str = "") -> None:
    """Record stems that are listed now, and which entries of the song have begun.

    `before`: the entry that has not yet sent its first paid call.
    """
    lists: list[Any] = tx.record("listed", song_id) or []
    kept = [listed for listed in lists if clock.since(Moment(*listed[0])) < LISTED_KEPT_SECONDS]
    noted = {id for _, its_entry, ids, *_ in kept if its_entry in ("", before) for id in ids}
    if new := [id for id in ids if id not in noted]:
        begun = [entry.id for entry in tx.entries_of_song(song_id)]
        tx.put_record("listed", song_id, [*kept, [list(clock.now()), before, new, begun]], kept=LISTED_KEPT_SECONDS)
