"""The simplest store for the ledger: in the memory of this process."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, TypeVar

from app.splits.clock import Clock
from app.splits.store import MIN_HISTORY_IDS, Added, Durability, Entry, Records, Transaction

T = TypeVar("T")


@dataclass
class MemoryStore:
    """A store in the memory of this process."""

    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        self._entries: dict[str, Entry] = {}
        self._records: dict[tuple[str, str], Any] = {}
        self._due: dict[str, float] = {}
        self._lock = Lock()

    def transact(self, change: Callable[[Transaction], T], *, durable: bool = True) -> T:
        with self._lock:
            transaction = _InMemory(dict(self._entries), dict(self._records), dict(self._due))
            result = change(transaction)
            self._entries, self._records, self._due = transaction.entries_by_id, transaction.kept, transaction.due_at
            return result

    def read(self, look: Callable[[Transaction], T]) -> T:
        with self._lock:
            return look(_InMemory(dict(self._entries), dict(self._records), dict(self._due)))

    def check(self) -> None:
        """Do nothing: it always works."""

    def durability(self) -> Durability:
        return Durability(True)


@dataclass
class _InMemory:
    entries_by_id: dict[str, Entry]
    kept: dict[tuple[str, str], Any]
    due_at: dict[str, float]

    def entry(self, id: str) -> Entry | None:
        return self.entries_by_id.get(id)

    def entries(self, ids: Sequence[str]) -> dict[str, Entry]:
        return {id: entry for id in ids if (entry := self.entries_by_id.get(id))}

    def entry_of_key(self, account: str, caller: str, idempotency_key: str) -> Entry | None:
        wanted = (account, caller, idempotency_key)
        every = self.entries_by_id.values()
        return next((e for e in every if (e.account, e.caller, e.idempotency_key) == wanted), None)

    def entries_of_request(self, account: str, caller: str, request_id: str) -> list[Entry]:
        wanted = (account, caller, request_id)
        return [e for e in self.entries_by_id.values() if (e.account, e.caller, e.request_id) == wanted]

    def entries_of_song(self, song_id: str) -> list[Entry]:
        return [entry for entry in self.entries_by_id.values() if entry.song_id == song_id]

    def put(self, entry: Entry) -> None:
        self.entries_by_id[entry.id] = entry

    def remove(self, entry: Entry) -> None:
        self.entries_by_id.pop(entry.id, None)

    def record(self, kind: str, name: str) -> Any:
        return deepcopy(self.kept.get((kind, name)))

    def records(self, kind: str, names: Sequence[str]) -> Records:
        return {name: value for name in names if (value := self.record(kind, name)) is not None}

    def put_record(self, kind: str, name: str, value: Any, *, kept: float) -> None:
        if value is None:
            self.kept.pop((kind, name), None)
        else:
            self.kept[kind, name] = json.loads(json.dumps(value))

    def put_history(self, name: str, id: str, *, kept: float) -> None:
        self.kept["history", name] = sorted({*self.history(name, MIN_HISTORY_IDS), id})

    def remove_history(self, name: str, id: str) -> None:
        self.kept["history", name] = sorted({*self.history(name, MIN_HISTORY_IDS)} - {id})

    def history(self, name: str, limit: int) -> list[str]:
        ids: list[str] = self.kept.get(("history", name), [])
        return ids[: -limit - 1 : -1]

    def number(self, name: str) -> int:
        return int(self.kept.get(("number", name), 0))

    def add_one(self, name: str) -> Added:
        added = Added(self.number(name) + 1)
        self.kept["number", name] = added.number
        return added

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
