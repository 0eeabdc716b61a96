"""The ledger in a SQLite file, shared by the workers of one machine.

What several requests have to write at the same time is one transaction, of statements without a wait between them:
under gevent no other greenlet runs inside one. WAL with synchronous=NORMAL survives the end of a process at any
moment; a power failure may cost the last entries.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from sqlite3 import Connection
from threading import Lock
from typing import Any, Concatenate, ParamSpec, TypeVar

from app.splits.ledger import CLAIMS_KEPT, KEPT, Entry, Found, LedgerUnavailable, State, pack, unpack
from app.suno.clip import Clip

BUSY_TIMEOUT = 2.0
"""Seconds to wait for another process's transaction."""

GLANCE = 0.0005
"""Seconds between two attempts to begin one."""

SWEEP_EVERY = 3600.0
"""Seconds between two removals of what is too old: they read all there is, which costs less than an index by age."""

CHECKPOINT_PAGES = 8_000
"""Of 4 kB in the write-ahead log before they go to the file, while the worker waits for the disk: at the default of
1,000 that is every 250 splits."""

SCHEMA = """
CREATE TABLE IF NOT EXISTS splits (
    id TEXT PRIMARY KEY, caller TEXT NOT NULL, account TEXT NOT NULL, key TEXT, question TEXT NOT NULL,
    song TEXT NOT NULL, task TEXT NOT NULL, request_id TEXT NOT NULL, began REAL NOT NULL, deadline REAL NOT NULL,
    attempt INTEGER NOT NULL, state TEXT NOT NULL, stems TEXT, reply TEXT, paid INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX IF NOT EXISTS splits_of_key ON splits (account, caller, key) WHERE key IS NOT NULL;
CREATE INDEX IF NOT EXISTS splits_of_request ON splits (request_id);
CREATE INDEX IF NOT EXISTS splits_of_song ON splits (song);
CREATE TABLE IF NOT EXISTS retries (
    account TEXT NOT NULL, caller TEXT NOT NULL, request_id TEXT NOT NULL, split TEXT NOT NULL, at REAL NOT NULL,
    PRIMARY KEY (account, caller, request_id)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS claims (
    clip TEXT PRIMARY KEY, split TEXT NOT NULL, at REAL NOT NULL
) STRICT, WITHOUT ROWID;
"""
"""A split without a key and without trouble writes to `splits` alone, whose ids begin with the time: at its end.

`retries` are the further requests of a key. `claims` are the stems that a split got by other ways than by its own
answer; the others are known by `paid`.
"""

READ = "BEGIN"
"""A transaction that keeps nobody from writing."""

WRITE = "BEGIN IMMEDIATE"

COLUMNS = "id, caller, account, key, question, song, task, request_id, began, deadline, attempt, state, stems, reply"

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(slots=True, eq=False)
class _Change:
    """What one request has to write."""

    make: Callable[[Connection], Any]
    until: float
    """The moment at which it is given up, where the file stays locked."""
    is_over: bool = False
    result: Any = None


def _committed(
    make: Callable[Concatenate[SqliteLedger, Connection, P], T],
) -> Callable[Concatenate[SqliteLedger, P], T]:
    """Make a method of what it writes: it returns, or raises, once that is committed."""

    def write(self: SqliteLedger, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._write(lambda db: make(self, db, *args, **kwargs))

    return write


class SqliteLedger:
    """See Ledger for what its methods promise."""

    def __init__(self, path: str) -> None:
        self._path = Path(path)
        self._connection: Connection | None = None
        self._lock = Lock()
        self._waiting: list[_Change] = []
        self._swept = 0.0

    @_committed
    def begin(self, db: Connection, entry: Entry) -> Entry:
        self._sweep(db, entry.began)
        if entry.key:
            same_key = "account = ? AND caller = ? AND key = ?"
            key = entry.account, entry.caller, entry.key
            if found := self._read(db, f"{same_key} AND began > ?", *key, entry.began - KEPT):
                self._lead(db, entry, found)
                return found
            db.execute(f"UPDATE splits SET key = NULL WHERE {same_key}", key)
        db.execute(
            f"INSERT INTO splits ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, NULL, NULL)",
            (
                *(entry.id, entry.caller, entry.account, entry.key or None, entry.question, entry.song),
                *(entry.task, entry.request_id, entry.began, entry.deadline, entry.attempt, State.STARTED),
            ),
        )
        return entry

    def get(self, id: str) -> Entry | None:
        with self._lock, self._transaction(READ) as db:
            return self._read(db, "id = ?", id)

    def of_request(self, caller: str, account: str, request_id: str) -> Entry | None:
        of_caller = "account = ? AND caller = ? AND request_id = ?"
        latest = (
            f"SELECT id, began AS at FROM splits WHERE {of_caller} AND began > ? "
            f"UNION ALL SELECT split, at FROM retries WHERE {of_caller} AND at > ? ORDER BY at DESC LIMIT 1"
        )
        values = account, caller, request_id, time.time() - KEPT
        with self._lock, self._transaction(READ) as db:
            return self._read(db, f"id = (SELECT id FROM ({latest}))", *values, *values)

    @_committed
    def finish(self, db: Connection, entry: Entry, stems: Sequence[Clip], *, claim: bool) -> bool:
        if claim and self._claimed(db, entry, stems):
            return False
        if not self._finish(db, entry, stems, paid=claim) and claim:
            self._claim(db, entry, stems)
        return True

    @_committed
    def settle(self, db: Connection, entry: Entry, sets: Sequence[Sequence[Clip]]) -> Found:
        held = db.execute("SELECT attempt, state FROM splits WHERE id = ?", (entry.id,)).fetchone()
        if held != (entry.attempt, State.IN_DOUBT) and held != (entry.attempt, State.STARTED):
            return Found.YES if held and held[1] == State.DONE else Found.PERHAPS
        owned = self._owned_by_others(db, entry, sets)
        unclaimed = [rest for stems in sets if (rest := _left_of(stems, owned))]
        [(others,)] = db.execute(
            "SELECT count(*) FROM splits "
            "WHERE song = ? AND account = ? AND task = ? AND state = 'started' AND deadline > ? AND id != ?",
            (entry.song, entry.account, entry.task, time.time(), entry.id),
        )
        if len(unclaimed) <= others:
            return Found.PERHAPS if unclaimed else Found.NO
        self._finish(db, entry, unclaimed[0], paid=True)
        self._claim(db, entry, unclaimed[0])
        return Found.YES

    @_committed
    def answer(self, db: Connection, entry: Entry, stems: Sequence[Clip]) -> None:
        db.execute("UPDATE splits SET reply = ? WHERE id = ? AND reply IS NULL", (pack(stems), entry.id))

    @_committed
    def doubt(self, db: Connection, entry: Entry) -> None:
        db.execute(
            "UPDATE splits SET state = 'in_doubt' WHERE id = ? AND attempt = ? AND state = 'started'",
            (entry.id, entry.attempt),
        )

    @_committed
    def restart(self, db: Connection, entry: Entry, lasts: float) -> Entry | None:
        again = entry.restarted(lasts)
        changed = db.execute(
            "UPDATE splits SET attempt = ?, deadline = ?, state = 'started' "
            "WHERE id = ? AND attempt = ? AND state != 'done'",
            (again.attempt, again.deadline, entry.id, entry.attempt),
        )
        return again if changed.rowcount else None

    @_committed
    def free(self, db: Connection, entry: Entry) -> None:
        deleted = db.execute(
            "DELETE FROM splits WHERE id = ? AND attempt = ? AND state != 'done'", (entry.id, entry.attempt)
        )
        if deleted.rowcount:
            # Lest an earlier split by the same request id be taken for it.
            self._lead(db, entry, entry)

    @_committed
    def check(self, db: Connection) -> None:
        db.execute("INSERT OR REPLACE INTO claims VALUES ('', '', ?)", (time.time(),))

    def _finish(self, db: Connection, entry: Entry, stems: Sequence[Clip], *, paid: bool) -> bool:
        changed = db.execute(
            "UPDATE splits SET state = 'done', stems = ?, paid = ? WHERE id = ? AND attempt = ? AND state != 'done'",
            (pack(stems), paid, entry.id, entry.attempt),
        )
        return changed.rowcount > 0

    def _claim(self, db: Connection, entry: Entry, stems: Sequence[Clip]) -> None:
        claims = [(stem.id, entry.id, time.time()) for stem in stems]
        db.executemany("INSERT OR REPLACE INTO claims VALUES (?, ?, ?)", claims)

    def _owned_by_others(self, db: Connection, entry: Entry, sets: Sequence[Sequence[Clip]]) -> set[str]:
        ids = [stem.id for stems in sets for stem in stems]
        marks = ", ".join("?" * len(ids))
        taken = db.execute(f"SELECT clip FROM claims WHERE clip IN ({marks}) AND split != ?", (*ids, entry.id))
        owned = {clip for [clip] in taken}
        # Who was over a minute before this entry began has not paid for what Suno made since.
        answered = db.execute(
            "SELECT stems FROM splits WHERE song = ? AND id != ? AND paid AND deadline > ?",
            (entry.song, entry.id, entry.began - 60),
        )
        return owned.union(stem.id for [stems] in answered for stem in unpack(stems))

    def _lead(self, db: Connection, entry: Entry, found: Entry) -> None:
        """Lead from a new entry's request id to the entry that was found instead."""
        db.execute(
            "INSERT OR REPLACE INTO retries VALUES (?, ?, ?, ?, ?)",
            (entry.account, entry.caller, entry.request_id, found.id, entry.began),
        )

    def _claimed(self, db: Connection, entry: Entry, stems: Sequence[Clip]) -> bool:
        marks = ", ".join("?" * len(stems))
        claim = f"SELECT 1 FROM claims WHERE clip IN ({marks}) AND split != ? LIMIT 1"
        return db.execute(claim, (*(stem.id for stem in stems), entry.id)).fetchone() is not None

    def _read(self, db: Connection, where: str, *values: object) -> Entry | None:
        row = _execute(db, f"SELECT {COLUMNS} FROM splits WHERE {where}", *values).fetchone()
        if row is None:
            return None
        *plain, attempt, state, stems, reply = row
        names = COLUMNS.split(", ")
        entry = Entry(**dict(zip(names, plain, strict=False)), attempt=attempt)
        return replace(
            entry, key=entry.key or "", written_state=State(state), stems=unpack(stems), reply=unpack(reply)
        )

    def _sweep(self, db: Connection, now: float) -> None:
        if now - self._swept > SWEEP_EVERY:
            self._swept = now
            db.execute("DELETE FROM splits WHERE began < ?", (now - CLAIMS_KEPT,))
            db.execute("DELETE FROM retries WHERE at < ?", (now - KEPT,))
            db.execute("DELETE FROM claims WHERE at < ?", (now - CLAIMS_KEPT,))

    def _write(self, make: Callable[[Connection], T]) -> T:
        mine = _Change(make, time.monotonic() + BUSY_TIMEOUT)
        self._waiting.append(mine)
        try:
            # Others that are ready add theirs; who goes on first commits for all (15 % of a split, with 32 at once).
            time.sleep(0)
        finally:
            # Also where this greenlet is killed: what it has to write may be paid for.
            with self._lock:
                if not mine.is_over:
                    self._commit(mine)
        result: T = mine.result
        return result

    def _commit(self, mine: _Change) -> None:
        """Commit all changes that wait; where that fails, mine alone: the others have turns of their own."""
        try:
            try:
                self._make(self._waiting, mine.until)
            except Exception:
                if len(self._waiting) == 1:
                    raise
                self._make([mine], mine.until)
        finally:
            if not mine.is_over:
                self._waiting.remove(mine)

    def _make(self, waiting: list[_Change], until: float) -> None:
        with self._transaction(WRITE, until) as db:
            # With those that have come while the file was locked.
            changes = waiting.copy()
            for change in changes:
                change.result = change.make(db)
        for change in changes:
            change.is_over = True
            self._waiting.remove(change)

    @contextmanager
    def _transaction(self, begin: str, until: float | None = None) -> Iterator[Connection]:
        """Begin a transaction and commit it; what has failed is undone. Hold the lock for this."""
        try:
            if self._connection is None:
                self._connection = self._connect()
            _execute(self._connection, begin, until=until)
            yield self._connection
            self._connection.execute("COMMIT")
        except BaseException as error:
            if self._connection is not None:
                self._connection.close()
                self._connection = None
            if not isinstance(error, sqlite3.Error | OSError):
                raise
            why = error.strerror if isinstance(error, OSError) else None
            raise LedgerUnavailable(why or str(error)) from error

    def _connect(self) -> Connection:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.touch(mode=0o600)
        db = sqlite3.connect(self._path, timeout=BUSY_TIMEOUT, isolation_level=None, check_same_thread=False)
        ends = time.monotonic() + BUSY_TIMEOUT
        while True:
            try:
                # SQLite does not wait where two processes change the journal's mode at once.
                db.execute("PRAGMA journal_mode = WAL")
                break
            except sqlite3.OperationalError:
                if time.monotonic() > ends:
                    raise
                time.sleep(0.01)
        db.execute("PRAGMA synchronous = NORMAL")
        db.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
        db.executescript(SCHEMA)
        db.execute("PRAGMA busy_timeout = 0")
        return db


def _left_of(stems: Sequence[Clip], owned: set[str]) -> list[Clip]:
    """What is nobody's, if it is a split's: with each title of what is owned, else it is the rest of that."""
    left = [stem for stem in stems if stem.id not in owned]
    return left if {stem.title for stem in stems if stem.id in owned} <= {stem.title for stem in left} else []


def _execute(db: Connection, statement: str, *values: object, until: float | None = None) -> sqlite3.Cursor:
    """Execute the first statement of a transaction, as soon as no other process is in one.

    SQLite's own way to wait stops the worker with all its requests, for as long as another process holds the file.
    """
    ends = until or time.monotonic() + BUSY_TIMEOUT
    while True:
        try:
            return db.execute(statement, values)
        except sqlite3.OperationalError as error:
            if not error.sqlite_errorname.startswith("SQLITE_BUSY") or time.monotonic() > ends:
                raise
        time.sleep(GLANCE)
