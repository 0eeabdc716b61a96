"""Which stems of a song were listed, and when: an entry that began later cannot own them.

Lists are recorded only where one is read anyway: before `reuse_existing` pays, and for a retry in doubt.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from app.splits.clock import Clock, Moment
from app.splits.store import Entry, Transaction

LISTED_KEPT_SECONDS = 3 * 24 * 3600.0
"""Seconds to remember a list: as long as the owner of a stem."""


def listed_before(tx: Transaction, clock: Clock, entry: Entry) -> set[str]:
    """Read the stems in a list that was recorded before the entry's first paid call."""
    began = clock.since(entry.began)
    lists: list[Any] = tx.record("listed", entry.song_id) or []
    return {id for at, before, ids in lists if before == entry.id or clock.since(Moment(*at)) > began for id in ids}


def note_listed(tx: Transaction, clock: Clock, song_id: str, ids: Sequence[str], *, before: str = "") -> None:
    """Record stems that are listed now. `before`: the entry that has not yet sent its first paid call."""
    lists: list[Any] = tx.record("listed", song_id) or []
    kept = [listed for listed in lists if clock.since(Moment(*listed[0])) < LISTED_KEPT_SECONDS]
    noted = {id for _, its_entry, ids in kept if its_entry in ("", before) for id in ids}
    if new := [id for id in ids if id not in noted]:
        tx.put_record("listed", song_id, [*kept, [list(clock.now()), before, new]], kept=LISTED_KEPT_SECONDS)
