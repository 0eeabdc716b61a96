"""What has been asked and paid for: nobody is charged twice, and nothing paid for is lost.

An entry is written before the paid call leaves, so that it is known after a crash. It is `started` until the call's
deadline, then `done` with the stems, or `in doubt`: perhaps charged, without an answer. Stems belong to the entry
whose answer named them, or which took them while it was in doubt: no other that is in doubt takes the same ones.

No cookie and no token is in it: accounts and callers are hashes.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Protocol

from app.ids import new_id
from app.suno.clip import Clip

KEPT = 24 * 3600
"""Seconds for which an entry is remembered."""

CLAIMS_KEPT = 2 * KEPT
"""Seconds for which it is known whose a stem is: longer than any entry could be in doubt about it."""


class LedgerUnavailable(Exception):
    """The ledger cannot be read or written now."""

    def __init__(self, why: str) -> None:
        self.why = why
        super().__init__(
            f"The ledger of what was paid for cannot be used now: {why}. Nothing was charged; try again."
        )


class State(StrEnum):
    """How far a split is."""

    STARTED = "started"
    DONE = "done"
    IN_DOUBT = "in_doubt"


class Found(StrEnum):
    """Whether the stems of an entry in doubt are among those that Suno lists."""

    YES = "yes"
    NO = "no"
    PERHAPS = "perhaps"
    """There are some that are nobody's, but they may be those of a request that is under way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One split, as it was asked for and as far as it is. Times are seconds since 1970."""

    id: str
    caller: str
    """A hash of the API key, or "" where there are none."""
    account: str
    """A hash of the account's cookie, or the one name of the operator's account."""
    key: str
    """The Idempotency-Key, or "" where the request has none."""
    question: str
    song: str
    task: str
    request_id: str
    began: float
    deadline: float
    """When the paid call is over, one way or the other."""
    attempt: int = 1
    """Counts the paid calls made for it."""
    written_state: State = State.STARTED
    stems: tuple[Clip, ...] = ()
    """What was paid for, as first told by Suno."""
    reply: tuple[Clip, ...] = ()
    """What was answered first; empty while nothing was."""

    @classmethod
    def begin(
        cls,
        *,
        caller: str,
        account: str,
        key: str,
        question: str,
        song: str,
        task: str,
        request_id: str,
        lasts: float,
    ) -> Entry:
        """Make the entry of a split that begins now and whose paid call `lasts` at most so many seconds."""
        now = time.time()
        return cls(
            id=new_id(),
            caller=caller,
            account=account,
            key=key,
            question=question,
            song=song,
            task=task,
            request_id=request_id,
            began=now,
            deadline=now + lasts,
        )

    @property
    def state(self) -> State:
        """How far it is by now: one that was cut off before its end is in doubt."""
        overdue = self.written_state is State.STARTED and time.time() >= self.deadline
        return State.IN_DOUBT if overdue else self.written_state

    def restarted(self, lasts: float) -> Entry:
        """Its next attempt to pay."""
        return replace(self, attempt=self.attempt + 1, deadline=time.time() + lasts, written_state=State.STARTED)


class Ledger(Protocol):
    """Where entries are kept. Every method is atomic and raises LedgerUnavailable.

    A method that changes an entry does so only for the attempt it is given: a process that was asleep past its
    deadline must not undo what another has done since.
    """

    def begin(self, entry: Entry) -> Entry:
        """Write a new entry and return it; or return that of the same caller, account and key, if there is one.

        Either can be found by the new entry's request id from now on.
        """

    def get(self, id: str) -> Entry | None:
        """Read an entry."""

    def of_request(self, caller: str, account: str, request_id: str) -> Entry | None:
        """Read the entry that this caller's latest request of that id, on this account, was about."""

    def finish(self, entry: Entry, stems: Sequence[Clip], *, claim: bool) -> bool:
        """Note what Suno answered; with `claim`, as paid for by this entry.

        False, and nothing noted, where an entry in doubt has taken a stem to `claim` for its own.
        """

    def settle(self, entry: Entry, sets: Sequence[Sequence[Clip]]) -> Found:
        """Finish an entry in doubt with the first set that is nobody's.

        What others own of a set is left to them: it may hold the stems of two splits that Suno made in the same
        millisecond. What remains is a set if it has each title of theirs; else it is what their answer left out.
        While other entries for the same song are started, as many sets may be theirs too: PERHAPS. YES also where the
        entry was finished meanwhile.
        """

    def answer(self, entry: Entry, stems: Sequence[Clip]) -> None:
        """Note what was answered, unless something was before."""

    def doubt(self, entry: Entry) -> None:
        """Note that the paid call may have gone through."""

    def restart(self, entry: Entry, lasts: float) -> Entry | None:
        """Begin the next attempt of an entry in doubt; None where another has begun it or found the stems."""

    def free(self, entry: Entry) -> None:
        """Forget an entry that certainly cost nothing."""

    def check(self) -> None:
        """Write something, to see whether that can be done."""


def open_ledger(url: str) -> Ledger:
    """Make the ledger that LEDGER_URL names. It connects when it is first used: its failure must stop no start."""
    if url.startswith("sqlite:///"):
        from app.splits.sqlite import SqliteLedger

        return SqliteLedger(url.removeprefix("sqlite:///"))
    from app.splits.redis import RedisLedger

    return RedisLedger(url)


def pack(stems: Sequence[Clip]) -> str:
    """Write stems as text: what a reply needs of them."""
    return json.dumps(
        [[stem.id, stem.status, stem.created_at, stem.title, stem.stem_from_id, stem.duration] for stem in stems]
    )


def unpack(text: str | None) -> tuple[Clip, ...]:
    """Read what `pack` has written."""
    return tuple(Clip(*fields) for fields in json.loads(text)) if text else ()


def seconds_until(moment: float) -> int:
    """Whole seconds until then, at least one: for Retry-After."""
    return max(1, math.ceil(moment - time.time()))
