"""A transaction of the ledger as rows of a SQLite file."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from sqlite3 import Connection
from typing import Any

from app.splits.clock import Moment
from app.splits.store import Added, Entry, Records, State, pack, unpack
from app.timing import DAY, FOR_GOOD

COLUMNS = (
    "id, caller, account, idempotency_key, question, song_id, task, request_id, boot_id, began, began_wall, "
    "attempt_boot_id, attempt_began, attempt_wall, lasts, attempt, state, stems, paid, reply, final_reply, "
    "price, budgets"
)
CHANGING = COLUMNS.split(", ")[COLUMNS.split(", ").index("attempt_boot_id") :]
PUT = (
    f"INSERT INTO entries ({COLUMNS}) VALUES ({', '.join('?' * len(COLUMNS.split(', ')))}) "
    "ON CONFLICT (id) DO UPDATE SET idempotency_key = excluded.idempotency_key, "
    + ", ".join(f"{column} = excluded.{column}" for column in CHANGING)
)
UPDATE = f"UPDATE entries SET {', '.join(f'{column} = ?' for column in CHANGING)} WHERE id = ?"
"""For a stored entry with the same key: no secondary index is read or written."""


class Rows:
    """A transaction on the file."""

    def __init__(self, db: Connection) -> None:
        self._db = db
        self._keys: dict[str, str] = {}
        """The keys of entries that are known to be stored, by entry id."""

    def entry(self, id: str) -> Entry | None:
        return self._one("id = ?", id)

    def entries(self, ids: Sequence[str]) -> dict[str, Entry]:
        return {entry.id: entry for entry in self._all(f"id IN ({', '.join('?' * len(ids))})", *ids)}

    def entry_of_key(self, account: str, caller: str, idempotency_key: str) -> Entry | None:
        return self._one("account = ? AND caller = ? AND idempotency_key = ?", account, caller, idempotency_key)

    def entries_of_request(self, account: str, caller: str, request_id: str) -> list[Entry]:
        return self._all("request_id = ? AND account = ? AND caller = ?", request_id, account, caller)

    def entries_of_song(self, song_id: str) -> list[Entry]:
        return self._all("song_id = ?", song_id)

    def put(self, entry: Entry) -> None:
        if self._keys.get(entry.id) == entry.idempotency_key:
            self._db.execute(UPDATE, (*_changing(entry), entry.id))
        else:
            self._db.execute(PUT, _row(entry))
            self._keys[entry.id] = entry.idempotency_key

    def remove(self, entry: Entry) -> None:
        self._db.execute("DELETE FROM entries WHERE id = ?", (entry.id,))
        self._keys.pop(entry.id, None)

    def record(self, kind: str, name: str) -> Any:
        found = self._db.execute("SELECT value FROM records WHERE kind = ? AND name = ?", (kind, name)).fetchone()
        return json.loads(found[0]) if found else None

    def records(self, kind: str, names: Sequence[str]) -> Records:
        marks = ", ".join("?" * len(names))
        found = self._db.execute(
            f"SELECT name, value FROM records WHERE kind = ? AND name IN ({marks})", (kind, *names)
        )
        return {name: json.loads(value) for name, value in found}

    def put_record(self, kind: str, name: str, value: Any, *, kept: float) -> None:
        if value is None:
            self._db.execute("DELETE FROM records WHERE kind = ? AND name = ?", (kind, name))
            return
        ends = time.time() + kept + 2 * DAY
        self._db.execute("INSERT OR REPLACE INTO records VALUES (?, ?, ?, ?)", (kind, name, json.dumps(value), ends))

    def put_history(self, name: str, id: str, *, kept: float) -> None:
        self.put_record("history", name + id, 0, kept=kept)

    def remove_history(self, name: str, id: str) -> None:
        self.put_record("history", name + id, None, kept=0)

    def history(self, name: str, limit: int) -> list[str]:
        found = self._db.execute(
            "SELECT name FROM records WHERE kind = 'history' AND name > ? AND name < ? ORDER BY name DESC LIMIT ?",
            (name, f"{name}g", limit),  # behind all hex digits
        )
        return [stored.removeprefix(name) for (stored,) in found]

    def number(self, name: str) -> int:
        return int(self.record("number", name) or 0)

    def add_one(self, name: str) -> Added:
        added = Added(self.number(name) + 1)
        self.put_record("number", name, added.number, kept=FOR_GOOD)
        return added

    def put_due(self, name: str, at: float | None) -> None:
        if at is None:
            self._db.execute("DELETE FROM due WHERE name = ?", (name,))
        else:
            self._db.execute("INSERT OR REPLACE INTO due VALUES (?, ?)", (name, at))

    def due(self, at: float, limit: int) -> list[str]:
        found = self._db.execute("SELECT name FROM due WHERE at <= ? ORDER BY at LIMIT ?", (at, limit))
        return [name for (name,) in found]

    def next_due(self) -> float | None:
        [(at,)] = self._db.execute("SELECT min(at) FROM due")
        return None if at is None else float(at)

    def dues(self) -> int:
        [(number,)] = self._db.execute("SELECT count(*) FROM due")
        return int(number)

    def _one(self, where: str, *values: object) -> Entry | None:
        return next(iter(self._all(where, *values)), None)

    def _all(self, where: str, *values: object) -> list[Entry]:
        found = [_entry(row) for row in self._db.execute(f"SELECT {COLUMNS} FROM entries WHERE {where}", values)]
        for entry in found:
            self._keys[entry.id] = entry.idempotency_key
        return found


def _row(entry: Entry) -> tuple[object, ...]:
    return (
        *(entry.id, entry.caller, entry.account, entry.idempotency_key or None, entry.question, entry.song_id),
        *(entry.task, entry.request_id, *entry.began, *_changing(entry)),
    )


def _changing(entry: Entry) -> tuple[object, ...]:
    """The values of the columns in CHANGING."""
    return (
        *(*entry.attempt_began, entry.lasts, entry.attempt, entry.state, pack(entry.stems) if entry.stems else None),
        *(entry.paid, pack(entry.reply) if entry.reply else None),
        pack(entry.final_reply) if entry.final_reply else None,
        *(entry.price, json.dumps(entry.budgets) if entry.budgets else None),
    )


def _entry(row: Sequence[Any]) -> Entry:
    (lasts, attempt, state, stems, paid, reply, final_reply, price, budgets) = row[14:]
    began, attempt_began = Moment(*row[8:11]), Moment(row[11] or "", *row[12:14])
    rest = (lasts, attempt, State(state), unpack(stems), bool(paid), unpack(reply), unpack(final_reply))
    spent = price, tuple(json.loads(budgets)) if budgets else ()
    return Entry._make((*row[:3], row[3] or "", *row[4:8], began, attempt_began, *rest, *spent))
