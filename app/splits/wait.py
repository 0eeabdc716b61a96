"""What the ledger keeps of a wait for a person, beside the entry: since when, how long, and what was listed then."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum

from app.splits.clock import Moment
from app.splits.store import Transaction
from app.timing import DAY, MAX_PERSON_WAIT_SECONDS

WAIT_KEPT_SECONDS = MAX_PERSON_WAIT_SECONDS + 3 * DAY
"""Seconds to remember a wait: as long as its key, which ends a day after it, even if the clock is set by two days."""


class Ended(StrEnum):
    """How a wait ended without stems, as the `code` that callers get."""

    TOO_LATE = "captcha_required"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """A wait for a person."""

    began: Moment
    """When the caller got the 202."""
    lasts: float
    """Seconds until it ends."""
    listed: tuple[str, ...]
    """Every stem that the song listed when the wait began: those are not new."""
    part: str
    """The part that is extracted; "" for all parts."""
    names: tuple[str, ...] = ()
    """The ledger's names of the account: other requests may have begun under an earlier one."""
    attempt: int = 1
    """The latest attempt of the entry that was refused because of a captcha: it and those before made nothing."""
    ended: Ended | None = None
    is_adopted: bool = False
    """Whether it ended with stems that a person has made."""


def read_wait(tx: Transaction, entry_id: str) -> Wait | None:
    """Within a transaction: read the latest wait of an entry; None if it never waited."""
    record = tx.record("wait", entry_id)
    if record is None:
        return None
    ended = Ended(record["ended"]) if record["ended"] else None
    lists = {name: tuple(record[name]) for name in ("listed", "names")}
    return Wait(**{**record, **lists, "began": Moment(*record["began"]), "ended": ended})


def write_wait(tx: Transaction, entry_id: str, wait: Wait) -> None:
    """Within a transaction: write it."""
    tx.put_record("wait", entry_id, asdict(wait), kept=WAIT_KEPT_SECONDS)
