"""The earlier requests of a caller and an account, newest first: those with a key, and those with a job.

Each is noted in the transaction that begins it, in a list of its owner: to find them needs no scan. A split with
neither a key nor a job is not noted.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import NamedTuple

from app.splits.jobs import JOB_KEPT_SECONDS, StoredJob, stored_job
from app.splits.owners import as_seen_now, is_forgotten
from app.splits.store import Entry, Owner, Store, Transaction

HISTORY_KEPT_SECONDS = 3 * JOB_KEPT_SECONDS
"""Seconds to keep an id in the list: longer than its job can be open, and is kept after that."""

MAX_SEARCHED_REQUESTS = 1_000
"""How many of an owner's latest requests are searched for those that are still known."""

MIN_ENTRIES_PER_READ = 20
"""The least number that is read at once."""


class EarlierSplit(NamedTuple):
    """A split that the ledger still knows: its entry, its job, or both."""

    id: str
    entry: Entry | None
    """None after a day: then only its job is there."""
    job: StoredJob | None


def note_in_history(tx: Transaction, entry: Entry) -> None:
    """Within a transaction: let an entry be found in its owner's list."""
    tx.put_history(_name(entry.account, entry.caller), entry.id, kept=HISTORY_KEPT_SECONDS)


def leave_history(tx: Transaction, entry: Entry) -> None:
    """Within a transaction: take an entry out of that list."""
    tx.remove_history(_name(entry.account, entry.caller), entry.id)


class History:
    """The lists of all owners. Raises LedgerUnavailable."""

    def __init__(self, store: Store) -> None:
        self._store, self._clock = store, store.clock

    def latest(self, owners: Iterable[Owner], limit: int) -> list[EarlierSplit]:
        """Read the latest splits of an account and a caller under any of their names, newest first."""

        def look(tx: Transaction) -> list[EarlierSplit]:
            names = {_name(*owner) for owner in owners}
            # Ids begin with the time.
            every = {id for name in names for id in tx.history(name, MAX_SEARCHED_REQUESTS)}
            ids = sorted(every, reverse=True)[:MAX_SEARCHED_REQUESTS]
            found: list[EarlierSplit] = []
            step = max(limit, MIN_ENTRIES_PER_READ)
            for at in range(0, len(ids), step):
                found += self._known(tx, ids[at : at + step])
                if len(found) >= limit:
                    break
            return found[:limit]

        return self._store.read(look)

    def _known(self, tx: Transaction, ids: list[str]) -> Iterable[EarlierSplit]:
        entries, jobs = tx.entries(ids), tx.records("job", ids)
        for id in ids:
            entry, job = entries.get(id), jobs.get(id)
            if entry and is_forgotten(self._clock, entry):
                entry = None
            if entry or job:
                yield EarlierSplit(
                    id, as_seen_now(self._clock, entry) if entry else None, stored_job(job) if job else None
                )


def _name(account: str, caller: str) -> str:
    """The name of an owner's list. No name is the beginning of another."""
    return json.dumps([account, caller])
