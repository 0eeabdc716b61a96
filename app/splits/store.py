"""What the rules need of a place to keep entries in; the three places know no rule.

`MemoryStore` is the plainest, for tests; `sqlite.py` and `redis.py` have the others.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from enum import StrEnum
from threading import Lock
from typing import Any, NamedTuple, Protocol, TypeVar

from app.splits.clock import Clock, Moment
from app.suno.clip import Clip

T = TypeVar("T")


class State(StrEnum):
    """How far a split is."""

    STARTED = "started"
    DONE = "done"
    IN_DOUBT = "in_doubt"


class LedgerUnavailable(Exception):
    """The ledger cannot be read or written now. A caller learns of it only where nothing that costs was sent."""

    def __init__(self, why: str) -> None:
        self.why = why
        super().__init__(
            f"The ledger of what was paid for cannot be used now: {why}. Nothing was charged by this request."
        )


class Entry(NamedTuple):
    """One split, as it was asked for and as far as it is."""

    id: str
    caller: str
    """The caller's name, or "" where there are no API keys."""
    account: str
    """Suno's own user, or a hash of the cookie where its token names nobody."""
    idempotency_key: str
    """"" where the request has none."""
    question: str
    """What was asked for: the same key may not be used for another."""
    song_id: str
    task: str
    request_id: str
    began: Moment
    attempt_began: Moment
    lasts: float
    """Seconds from the attempt's beginning until its paid call is over, one way or the other."""
    attempt: int = 1
    """Counts the paid calls made for it."""
    state: State = State.STARTED
    stems: tuple[Clip, ...] = ()
    """What was paid for, as first told by Suno."""
    paid: bool = True
    """Whether `stems` were paid for by this entry; those that were reused are another's."""
    reply: tuple[Clip, ...] = ()
    """What was answered first; empty while nothing was."""
    final_reply: tuple[Clip, ...] = ()
    """What was answered first once all stems were final; empty until then."""
    price: int = 0
    """Credits for each attempt."""
    budgets: tuple[str, ...] = ()
    """From which the latest attempt's price was taken."""


class Transaction(Protocol):
    """What is read and written together. All of it is committed, or none."""

    def entry(self, id: str) -> Entry | None:
        """Read an entry."""

    def entry_of_key(self, account: str, caller: str, idempotency_key: str) -> Entry | None:
        """Read the entry that holds this key."""

    def entries_of_request(self, account: str, caller: str, request_id: str) -> list[Entry]:
        """Read the entries that were begun with this request id."""

    def entries_of_song(self, song_id: str) -> list[Entry]:
        """Read every entry for a song, whatever its account, caller and task."""

    def put(self, entry: Entry) -> None:
        """Write an entry, new or changed. Its key then leads to it."""

    def remove(self, entry: Entry) -> None:
        """Forget an entry."""

    def record(self, kind: str, name: str) -> Any:
        """Read what was put under this name, as JSON has it; None where nothing is."""

    def records(self, kind: str, names: Sequence[str]) -> dict[str, Any]:
        """Read several; those that are not there are left out."""

    def put_record(self, kind: str, name: str, value: Any, *, kept: float) -> None:
        """Write something for at least so many seconds; None forgets it."""

    def put_due(self, name: str, at: float | None) -> None:
        """Note that something is due at a time (seconds since 1970); None forgets it."""

    def due(self, at: float, limit: int) -> list[str]:
        """Read what is due by then, the oldest first."""

    def next_due(self) -> float | None:
        """Read when the oldest is due."""

    def dues(self) -> int:
        """Read how many are due, now or later."""


class Store(Protocol):
    """A place for entries and records. Every method raises LedgerUnavailable."""

    clock: Clock

    def transact(self, change: Callable[[Transaction], T]) -> T:
        """Run `change` as one transaction, and return what it returned once that is committed.

        It may be run more than once: only what it does with the transaction may have an effect.
        """

    def read(self, look: Callable[[Transaction], T]) -> T:
        """Run `look`, which writes nothing."""

    def check(self) -> None:
        """Write something, to see whether that can be done."""


def pack(stems: Iterable[Clip]) -> str:
    """Write stems as text, in ASCII: what a reply needs of them. Any title can be kept so, half a character too."""
    return json.dumps(
        [[stem.id, stem.status, stem.created_at, stem.title, stem.stem_from_id, stem.duration] for stem in stems]
    )


def unpack(text: str | None) -> tuple[Clip, ...]:
    """Read what `pack` has written."""
    return tuple(Clip(*fields) for fields in json.loads(text)) if text else ()


@dataclass
class MemoryStore:
    """A store in this process, gone with it."""

    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        self._entries: dict[str, Entry] = {}
        self._records: dict[tuple[str, str], Any] = {}
        self._due: dict[str, float] = {}
        self._lock = Lock()

    def transact(self, change: Callable[[Transaction], T]) -> T:
        with self._lock:
            transaction = _InMemory(dict(self._entries), dict(self._records), dict(self._due))
            result = change(transaction)
            self._entries, self._records, self._due = transaction.entries, transaction.kept, transaction.due_at
            return result

    def read(self, look: Callable[[Transaction], T]) -> T:
        with self._lock:
            return look(_InMemory(dict(self._entries), dict(self._records), dict(self._due)))

    def check(self) -> None:
        """Do nothing: it always works."""


@dataclass
class _InMemory:
    entries: dict[str, Entry]
    kept: dict[tuple[str, str], Any]
    due_at: dict[str, float]

    def entry(self, id: str) -> Entry | None:
        return self.entries.get(id)

    def entry_of_key(self, account: str, caller: str, idempotency_key: str) -> Entry | None:
        wanted = (account, caller, idempotency_key)
        return next((e for e in self.entries.values() if (e.account, e.caller, e.idempotency_key) == wanted), None)

    def entries_of_request(self, account: str, caller: str, request_id: str) -> list[Entry]:
        wanted = (account, caller, request_id)
        return [e for e in self.entries.values() if (e.account, e.caller, e.request_id) == wanted]

    def entries_of_song(self, song_id: str) -> list[Entry]:
        return [entry for entry in self.entries.values() if entry.song_id == song_id]

    def put(self, entry: Entry) -> None:
        self.entries[entry.id] = entry

    def remove(self, entry: Entry) -> None:
        self.entries.pop(entry.id, None)

    def record(self, kind: str, name: str) -> Any:
        return deepcopy(self.kept.get((kind, name)))

    def records(self, kind: str, names: Sequence[str]) -> dict[str, Any]:
        return {name: value for name in names if (value := self.record(kind, name)) is not None}

    def put_record(self, kind: str, name: str, value: Any, *, kept: float) -> None:
        if value is None:
            self.kept.pop((kind, name), None)
        else:
            self.kept[kind, name] = json.loads(json.dumps(value))

    def put_due(self, name: str, at: float | None) -> None:
        if at is None:
            self.due_at.pop(name, None)
        else:
            self.due_at[name] = at

    def due(self, at: float, limit: int) -> list[str]:
        return sorted((name for name, when in self.due_at.items() if when <= at), key=self.due_at.__getitem__)[:limit]

    def next_due(self) -> float | None:
        return min(self.due_at.values(), default=None)

    def dues(self) -> int:
        return len(self.due_at)
