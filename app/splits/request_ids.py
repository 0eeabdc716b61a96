"""Which entry a request id finds, within a transaction of the ledger."""

from __future__ import annotations

import math
from collections.abc import Iterable

from app.splits.clock import Clock, Moment
from app.splits.jobs import JOB_KEPT_SECONDS
from app.splits.owners import KEY_KEPT_SECONDS
from app.splits.store import Entry, Owner, Transaction

MAX_RETRY_IDS = 50
"""How many more request ids can find an entry: those of its latest retries."""


def latest_of_request(
    tx: Transaction, clock: Clock, owners: Iterable[Owner], request_id: str
) -> tuple[str, Entry | None]:
    """The id of the latest entry that the request id finds, or "", and the entry if it is still stored."""
    latest: tuple[float, str, Entry | None] = (math.inf, "", None)
    for account, caller in owners:
        for entry in tx.entries_of_request(account, caller, request_id):
            latest = min(latest, (clock.since(entry.began), entry.id, entry), key=lambda found: found[0])
        if lead := tx.record("request", _name(account, caller, request_id)):
            at = clock.since(Moment(*lead["at"]))
            if at < latest[0]:
                latest = at, lead["entry"], tx.entry(lead["entry"])
    return latest[1:]


def lead_to(tx: Transaction, clock: Clock, entry: Entry, found: Entry | None) -> None:
    """Let the request id of `entry` find an existing entry; or nothing (None)."""
    name = name_of_request(entry)
    has_job = found is not None and tx.record("job", found.id) is not None
    target = {"entry": found.id if found else "", "at": list(clock.now())}
    tx.put_record("request", name, target, kept=JOB_KEPT_SECONDS if has_job else KEY_KEPT_SECONDS)
    names: list[str] = tx.record("leads", found.id if found else entry.account) or []
    names = [*(other for other in names if other != name), name]
    for oldest in names[:-MAX_RETRY_IDS]:
        tx.put_record("request", oldest, None, kept=0)
    tx.put_record("leads", found.id if found else entry.account, names[-MAX_RETRY_IDS:], kept=KEY_KEPT_SECONDS)


def lead_to_job(tx: Transaction, entry: Entry) -> None:
    """Let the request id find the entry as long as its job is kept: longer than the entry."""
    tx.put_record(
        "request", name_of_request(entry), {"entry": entry.id, "at": list(entry.began)}, kept=JOB_KEPT_SECONDS
    )


def forget_request(tx: Transaction, clock: Clock, entry: Entry) -> None:
    """Let the request id of a removed entry find nothing.

    Otherwise it would find an earlier split, which has another outcome.
    """
    all_of_id = tx.entries_of_request(entry.account, entry.caller, entry.request_id)
    if any(other.id != entry.id for other in all_of_id) or tx.record("request", name_of_request(entry)):
        lead_to(tx, clock, entry, None)


def name_of_request(entry: Entry) -> str:
    """The name of the record that links the entry's request id to an entry."""
    return _name(entry.account, entry.caller, entry.request_id)


def _name(account: str, caller: str, request_id: str) -> str:
    return f"{account}:{caller}:{request_id}"
