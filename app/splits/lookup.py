"""Finds a split by its request id."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from app.splits.ledger import Ledger
from app.splits.refusals import SplitNotFound
from app.splits.store import Entry, Owner


@dataclass(frozen=True, slots=True)
class KnownSplit:
    """A split that the ledger knows."""

    id: str
    entry: Entry | None
    """None after a day: then only its job is there."""


def find_split(ledger: Ledger, owners: Sequence[Owner], request_id: str) -> KnownSplit:
    """Find a split by its request id.

    Raises SplitNotFound, also for the request of another caller or account.
    """
    entry = ledger.of_request(owners, request_id)
    id = entry.id if entry else ledger.id_of_request(owners, request_id)
    if not id or (entry is None and ledger.jobs.get(id) is None):
        raise SplitNotFound(
            "No split of the last 24 hours with this request id is recorded for this account; with webhook_url or "
            "audio_format, of the last ten days. It belongs to another caller or account, it was refused and cost "
            "nothing, or the ledger could not be written then."
        )
    return KnownSplit(id, entry)
