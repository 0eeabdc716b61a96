"""The store that the ledger's rules need. The stores in `sqlite.py` and `redis.py` know no rule."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple, Protocol, TypeVar

from app.charge import ChargeIsKnown
from app.splits.clock import Clock, Moment
from app.suno.clip import Clip
from app.suno.stems import StemChoice, StemTask

T = TypeVar("T")

Owner = tuple[str, str]
"""The ledger's names for an account and a caller."""


class State(StrEnum):
    """The state of a split; app/splits/ledger.py explains each."""

    STARTED = "started"
    DONE = "done"
    IN_DOUBT = "in_doubt"
    NEEDS_PERSON = "needs_person"
    FAILED = "failed"

    @property
    def has_paid_nothing(self) -> bool:
        """Whether no paid call has left: it waits, or has waited, for a person (app/splits/waiting.py)."""
        return self in (State.NEEDS_PERSON, State.FAILED)


class LedgerUnavailable(ChargeIsKnown):
    """The ledger cannot be read or written now. A caller sees this only if the request has sent no split.

    `counted`: the songs for which Suno has counted a download for this request.
    """

    def __init__(self, why: str, counted: Sequence[str] = ()) -> None:
        self.why = why
        cost = (
            f"Suno has counted a download for each of these songs: {', '.join(counted)}. Send this again: they are "
            "not counted again."
            if counted
            else "Nothing was charged by this request."
        )
        super().__init__(f"The ledger of paid splits cannot be used now: {why}. {cost}")


class Durability(NamedTuple):
    """Whether a store keeps what was committed, if its server or its machine stops."""

    is_durable: bool
    why: str = ""
    """What is wrong with its settings, or why they are not known."""
    is_known: bool = True


class Entry(NamedTuple):
    """One split: what was requested, and what is known of its outcome."""

    id: str
    caller: str
    """The caller's name, or "" if there are no API keys."""
    account: str
    """Suno's own user, or a hash of the cookie if Suno's token names no user."""
    idempotency_key: str
    """"" if the request has none."""
    question: str
    """The request's parameters, as JSON. A retry with the same key must have the same ones."""
    song_id: str
    task: str
    request_id: str
    began: Moment
    attempt_began: Moment
    lasts: float
    """Seconds from the start of the attempt until its paid call has ended, with or without an answer."""
    attempt: int = 1
    """The number of the latest paid call, from 1."""
    state: State = State.STARTED
    stems: tuple[Clip, ...] = ()
    """The stems, as Suno first returned them."""
    paid: bool = True
    """Whether this entry paid for `stems`; False if they were reused."""
    reply: tuple[Clip, ...] = ()
    """The first reply; empty until there is one."""
    final_reply: tuple[Clip, ...] = ()
    """The first reply in which all stems were final; empty until there is one."""
    price: int = 0
    """Credits for each attempt."""
    budgets: tuple[str, ...] = ()
    """Names of the budgets that the latest attempt's price was taken from."""

    def answered(self, stems: Sequence[Clip]) -> Entry:
        """The entry with its first reply, and with the first reply in which all stems are final."""
        reply = tuple(stems)
        is_final = all(stem.is_final for stem in reply)
        return self._replace(reply=self.reply or reply, final_reply=self.final_reply or (reply if is_final else ()))

    @property
    def choice(self) -> StemChoice:
        """The kind of split that was requested."""
        # The question is [song, task, reuse_existing, part if named, address of the webhook if there is a job, …].
        first = next(iter(json.loads(self.question)[3:]), "")
        return StemChoice(StemTask(self.task), first if isinstance(first, str) and "://" not in first else "")

    def asks_like(self, other: Entry) -> bool:
        """Whether both have the same parameters; releases until 1.0.2 kept a song's UUID in upper case too."""
        if self.question == other.question or self.song_id.casefold() != other.song_id.casefold():
            return self.question == other.question
        (_, *own), (_, *others) = json.loads(self.question), json.loads(other.question)
        return bool(own == others)


@dataclass(slots=True)
class Added:
    """A number to which a transaction adds 1."""

    number: int
    """The sum; until the commit, if others add to it too, only the least that it can be."""


MIN_HISTORY_IDS = 1_000
"""How many ids each list keeps at least."""

Records = dict[str, Any]
"""JSON values by their names. The rules that write a value also read it."""


class Transaction(Protocol):
    """Reads and writes that belong together. All of them are committed, or none."""

    def entry(self, id: str) -> Entry | None:
        """Read an entry."""

    def entries(self, ids: Sequence[str]) -> dict[str, Entry]:
        """Read several entries by their ids, without those that are not stored."""

    def entry_of_key(self, account: str, caller: str, idempotency_key: str) -> Entry | None:
        """Read the entry that holds this key."""

    def entries_of_request(self, account: str, caller: str, request_id: str) -> list[Entry]:
        """Read the entries that began with this request id."""

    def entries_of_song(self, song_id: str) -> list[Entry]:
        """Read every entry for a song, whatever its account, caller and task."""

    def put(self, entry: Entry) -> None:
        """Write an entry, new or changed. Its key then finds it."""

    def remove(self, entry: Entry) -> None:
        """Delete an entry."""

    def record(self, kind: str, name: str) -> Any:
        """Read the JSON value under this name; None if there is none."""

    def records(self, kind: str, names: Sequence[str]) -> Records:
        """Read several values, without the names that have none."""

    def put_record(self, kind: str, name: str, value: Any, *, kept: float) -> None:
        """Write a JSON value, and keep it for at least `kept` seconds; None deletes it."""

    def put_history(self, name: str, id: str, *, kept: float) -> None:
        """Add an id to the list with this name, and keep it there for at least `kept` seconds. Reads nothing.

        Ids sort by time (app/ids.py). A list may lose its oldest ids beyond MIN_HISTORY_IDS.
        """

    def remove_history(self, name: str, id: str) -> None:
        """Take an id out of that list."""

    def history(self, name: str, limit: int) -> list[str]:
        """Read the latest ids of a list, newest first."""

    def number(self, name: str) -> int:
        """Read a number that only grows; 0 if there is none. Other transactions may add to it meanwhile."""

    def add_one(self, name: str) -> Added:
        """Add 1 to such a number. After the commit, the result has the number."""

    def put_due(self, name: str, at: float | None) -> None:
        """Record when a name is due (seconds since 1970); None deletes it."""

    def due(self, at: float, limit: int) -> list[str]:
        """Read the names that are due by then, oldest first."""

    def next_due(self) -> float | None:
        """Read when the oldest is due; None if there is none."""

    def dues(self) -> int:
        """Read how many names are due, now or later."""


class Store(Protocol):
    """A place for entries and records. Every method raises LedgerUnavailable."""

    clock: Clock

    def transact(self, change: Callable[[Transaction], T], *, durable: bool = True) -> T:
        """Run `change` as one transaction; return its result after the commit.

        It may run more than once: it must have no effect outside the transaction. `durable`: it must survive a power
        failure, as a paid call or a recorded payment depends on it. Otherwise a power failure may undo it.
        """

    def read(self, look: Callable[[Transaction], T]) -> T:
        """Run `look`, which must not write."""

    def check(self) -> None:
        """Check that the store can be written."""

    def durability(self) -> Durability:
        """Look whether the store keeps what was committed."""


def pack(stems: Iterable[Clip]) -> str:
    """The fields of stems that replies need, as JSON. ASCII can hold any title, even with a lone surrogate.

    Suno's reason for a stem that failed is a seventh field, only where it is there: others are as in 1.0.
    """
    return json.dumps(
        [
            [stem.id, stem.status, stem.created_at, stem.title, stem.stem_from_id, stem.duration]
            + ([stem.error_message] if stem.error_message else [])
            for stem in stems
        ]
    )


def unpack(text: str | None) -> tuple[Clip, ...]:
    """Read what `pack` wrote."""
    return tuple(map(_stem, json.loads(text))) if text else ()


def _stem(stored: list[Any]) -> Clip:
    id, status, created_at, title, stem_from_id, duration, *error = stored
    return Clip(id, status, created_at, title, stem_from_id, duration, error_message=next(iter(error), None))
