"""The ledger in a SQLite file, shared by the workers of one machine.

Each transaction is a few statements without a wait between them: under gevent no other greenlet runs inside one. WAL
with synchronous=NORMAL survives the end of a process at any moment; a power failure may cost the last entries.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Lock

from app.ledger import CLAIMS_KEPT, KEPT, Entry, Found, LedgerUnavailable, State, pack, unpack
from app.suno.clip import Clip

BUSY_TIMEOUT = 2.0
"""Seconds to wait for another process's transaction."""

GLANCE = 0.0005
"""Seconds between two attempts to begin one."""

SWEEP_EVERY = 3600.0
"""Seconds between two removals of what is too old: they read all there is, which costs less than an index by age."""

SCHEMA = """
CREATE TABLE IF NOT EXISTS entries (
    id TEXT PRIMARY KEY, caller TEXT NOT NULL, account TEXT NOT NULL, key TEXT, question TEXT NOT NULL,
    song TEXT NOT NULL, task TEXT NOT NULL, request_id TEXT NOT NULL, began REAL NOT NULL, deadline REAL NOT NULL,
    attempt INTEGER NOT NULL, state TEXT NOT NULL, stems TEXT, reply TEXT,
    UNIQUE (account, caller, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS entries_of_song ON entries (account, song) WHERE state = 'started';
CREATE TABLE IF NOT EXISTS requests (
    account TEXT NOT NULL, caller TEXT NOT NULL, request_id TEXT NOT NULL, entry TEXT NOT NULL, at REAL NOT NULL,
    PRIMARY KEY (account, caller, request_id)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS claims (
    clip TEXT PRIMARY KEY, entry TEXT NOT NULL, at REAL NOT NULL
) STRICT, WITHOUT ROWID;
"""

COLUMNS = "id, caller, account, key, question, song, task, request_id, began, deadline, attempt, state, stems, reply"


class SqliteLedger:
    """See Ledger for what its methods promise."""

    def __init__(self, path: str) -> None:
        self._path = Path(path)
        self._connection: sqlite3.Connection | None = None
        self._lock = Lock()
        self._swept = 0.0

    def begin(self, entry: Entry) -> Entry:
        with self._transaction() as db:
            self._sweep(db, entry.began)
            found = None
            if entry.key:
                where = "account = ? AND caller = ? AND key = ? AND began > ?"
                found = self._read(db, where, entry.account, entry.caller, entry.key, entry.began - KEPT)
            if found is None:
                db.execute(
                    f"INSERT OR REPLACE INTO entries ({COLUMNS}) "
                    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, NULL, NULL)",
                    (
                        *(entry.id, entry.caller, entry.account, entry.key or None, entry.question, entry.song),
                        *(entry.task, entry.request_id, entry.began, entry.deadline, entry.attempt, State.STARTED),
                    ),
                )
            db.execute(
                "INSERT OR REPLACE INTO requests VALUES (?, ?, ?, ?, ?)",
                (entry.account, entry.caller, entry.request_id, (found or entry).id, entry.began),
            )
            return found or entry

    def get(self, id: str) -> Entry | None:
        with self._reading() as db:
            return self._read(db, "id = ?", id)

    def of_request(self, caller: str, account: str, request_id: str) -> Entry | None:
        with self._reading() as db:
            where = "id = (SELECT entry FROM requests WHERE account = ? AND caller = ? AND request_id = ?)"
            return self._read(db, where, account, caller, request_id)

    def finish(self, entry: Entry, stems: Sequence[Clip], *, claim: bool) -> bool:
        with self._transaction() as db:
            if claim and self._claimed(db, entry, stems):
                return False
            self._finish(db, entry, stems, claim)
            return True

    def settle(self, entry: Entry, sets: Sequence[Sequence[Clip]]) -> Found:
        with self._transaction() as db:
            held = db.execute("SELECT attempt, state FROM entries WHERE id = ?", (entry.id,)).fetchone()
            if held != (entry.attempt, State.IN_DOUBT) and held != (entry.attempt, State.STARTED):
                return Found.YES if held and held[1] == State.DONE else Found.PERHAPS
            unclaimed = [stems for stems in sets if not self._claimed(db, entry, stems)]
            [(others,)] = db.execute(
                "SELECT count(*) FROM entries "
                "WHERE account = ? AND song = ? AND task = ? AND state = 'started' AND deadline > ? AND id != ?",
                (entry.account, entry.song, entry.task, time.time(), entry.id),
            )
            if len(unclaimed) <= others:
                return Found.PERHAPS if unclaimed else Found.NO
            self._finish(db, entry, unclaimed[0], True)
            return Found.YES

    def answer(self, entry: Entry, stems: Sequence[Clip]) -> None:
        with self._transaction() as db:
            db.execute("UPDATE entries SET reply = ? WHERE id = ? AND reply IS NULL", (pack(stems), entry.id))

    def doubt(self, entry: Entry) -> None:
        with self._transaction() as db:
            db.execute(
                "UPDATE entries SET state = 'in_doubt' WHERE id = ? AND attempt = ? AND state = 'started'",
                (entry.id, entry.attempt),
            )

    def restart(self, entry: Entry, lasts: float) -> Entry | None:
        again = entry.restarted(lasts)
        with self._transaction() as db:
            changed = db.execute(
                "UPDATE entries SET attempt = ?, deadline = ?, state = 'started' "
                "WHERE id = ? AND attempt = ? AND state != 'done'",
                (again.attempt, again.deadline, entry.id, entry.attempt),
            )
            return again if changed.rowcount else None

    def free(self, entry: Entry) -> None:
        with self._transaction() as db:
            db.execute(
                "DELETE FROM entries WHERE id = ? AND attempt = ? AND state != 'done'", (entry.id, entry.attempt)
            )

    def check(self) -> None:
        with self._transaction() as db:
            db.execute("INSERT OR REPLACE INTO claims VALUES ('', '', ?)", (time.time(),))

    def _finish(self, db: sqlite3.Connection, entry: Entry, stems: Sequence[Clip], claim: bool) -> None:
        db.execute(
            "UPDATE entries SET state = 'done', stems = ? WHERE id = ? AND attempt = ? AND state != 'done'",
            (pack(stems), entry.id, entry.attempt),
        )
        if claim:
            claims = [(stem.id, entry.id, time.time()) for stem in stems]
            db.executemany("INSERT OR REPLACE INTO claims VALUES (?, ?, ?)", claims)

    def _claimed(self, db: sqlite3.Connection, entry: Entry, stems: Sequence[Clip]) -> bool:
        marks = ", ".join("?" * len(stems))
        claim = f"SELECT 1 FROM claims WHERE clip IN ({marks}) AND entry != ? LIMIT 1"
        return db.execute(claim, (*(stem.id for stem in stems), entry.id)).fetchone() is not None

    def _read(self, db: sqlite3.Connection, where: str, *values: object) -> Entry | None:
        row = _execute(db, f"SELECT {COLUMNS} FROM entries WHERE {where}", *values).fetchone()
        if row is None:
            return None
        *plain, attempt, state, stems, reply = row
        names = COLUMNS.split(", ")
        entry = Entry(**dict(zip(names, plain, strict=False)), attempt=attempt)
        return replace(
            entry, key=entry.key or "", written_state=State(state), stems=unpack(stems), reply=unpack(reply)
        )

    def _sweep(self, db: sqlite3.Connection, now: float) -> None:
        if now - self._swept > SWEEP_EVERY:
            self._swept = now
            db.execute("DELETE FROM entries WHERE began < ?", (now - KEPT,))
            db.execute("DELETE FROM requests WHERE at < ?", (now - KEPT,))
            db.execute("DELETE FROM claims WHERE at < ?", (now - CLAIMS_KEPT,))

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._reading() as db:
            _execute(db, "BEGIN IMMEDIATE")
            yield db
            db.execute("COMMIT")

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                if self._connection is None:
                    self._connection = self._connect()
                yield self._connection
            except (sqlite3.Error, OSError) as error:
                if self._connection is not None:
                    self._connection.close()
                    self._connection = None
                why = error.strerror if isinstance(error, OSError) else None
                raise LedgerUnavailable(why or str(error)) from error

    def _connect(self) -> sqlite3.Connection:
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
        db.executescript(SCHEMA)
        db.execute("PRAGMA busy_timeout = 0")
        return db


def _execute(db: sqlite3.Connection, statement: str, *values: object) -> sqlite3.Cursor:
    """Execute the first statement of a transaction, as soon as no other process is in one.

    SQLite's own way to wait stops the worker with all its requests, for as long as another process holds the file.
    """
    ends = time.monotonic() + BUSY_TIMEOUT
    while True:
        try:
            return db.execute(statement, values)
        except sqlite3.OperationalError as error:
            if not error.sqlite_errorname.startswith("SQLITE_BUSY") or time.monotonic() > ends:
                raise
        time.sleep(GLANCE)
