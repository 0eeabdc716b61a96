"""The ledger's entries in a SQLite file, shared by the workers of one machine.

Changes of several requests at the same time are one transaction (a group commit). There is no wait between its
statements: under gevent no other greenlet runs inside a transaction. Only a COMMIT that waits for the disk runs in a
thread (app/splits/disk.py).

The ledger survives a killed process at any moment. A durable change also survives a power failure: with WAL and
synchronous=FULL, its COMMIT returns when the disk has it. The others use synchronous=NORMAL.
"""

from __future__ import annotations

import atexit
import os
import sqlite3
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from sqlite3 import Connection
from threading import Lock
from typing import Any, TypeVar
from weakref import WeakSet

from app.splits import ledger_file
from app.splits.clock import BY_WALL, Clock, Moment
from app.splits.disk import DiskThread
from app.splits.rows import Rows
from app.splits.store import Durability, LedgerUnavailable, Transaction
from app.timing import DAY

BUSY_SECONDS = 2.0
"""Seconds to wait for another process's transaction."""

LOCK_POLL_SECONDS = 0.0005
"""Seconds between two attempts to begin a transaction."""

REPLACED_CHECK_SECONDS = 0.05
"""Seconds between two checks that the open file has not been replaced."""

REMOVE_OLD_EVERY_SECONDS = 3600.0
"""Seconds between two removals of rows that are too old."""

MAX_ROWS_PER_REMOVAL = 500
"""Maximum rows of a table in one removal, so that no request waits for it; the rest follows a second later."""

CHANGES_PER_CHECKPOINT = 1_200
"""Changes of this process between two checkpoints, in the disk's thread: a change writes about three pages of 4 kB to
the write-ahead log. SQLite's own checkpoint would run inside any COMMIT."""

ENTRIES_KEPT_SECONDS = 6 * DAY
"""Seconds by the wall clock to keep an entry: two days of waiting for a person, two days of the rules, and two by
which the clock may be set."""

TABLES_VERSION = 2
"""The version of the tables, since 1.0.0."""

SCHEMA = f"""
CREATE TABLE IF NOT EXISTS entries (
    id TEXT PRIMARY KEY, caller TEXT NOT NULL, account TEXT NOT NULL, idempotency_key TEXT, question TEXT NOT NULL,
    song_id TEXT NOT NULL, task TEXT NOT NULL, request_id TEXT NOT NULL, boot_id TEXT NOT NULL, began REAL NOT NULL,
    began_wall REAL NOT NULL, attempt_boot_id TEXT, attempt_began REAL NOT NULL, attempt_wall REAL NOT NULL,
    lasts REAL NOT NULL, attempt INTEGER NOT NULL, state TEXT NOT NULL, stems TEXT, paid INTEGER NOT NULL, reply TEXT,
    final_reply TEXT, price INTEGER NOT NULL DEFAULT 0, budgets TEXT
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX IF NOT EXISTS entry_of_key ON entries (account, caller, idempotency_key)
    WHERE idempotency_key IS NOT NULL;
CREATE INDEX IF NOT EXISTS entries_of_request ON entries (request_id);
CREATE INDEX IF NOT EXISTS entries_of_song ON entries (song_id);
CREATE TABLE IF NOT EXISTS records (
    kind TEXT NOT NULL, name TEXT NOT NULL, value TEXT NOT NULL, ends REAL NOT NULL, PRIMARY KEY (kind, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS records_by_end ON records (ends);
CREATE TABLE IF NOT EXISTS due (name TEXT PRIMARY KEY, at REAL NOT NULL) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS due_by_time ON due (at);
PRAGMA user_version = {TABLES_VERSION};
"""
"""A split without a key and without errors writes only to the end of `entries`, as ids begin with the time."""

BEGIN_READ = "BEGIN"
"""A transaction that blocks no writer."""

BEGIN_WRITE = "BEGIN IMMEDIATE"

T = TypeVar("T")


@dataclass(slots=True, eq=False)
class _Change:
    """What one request must write."""

    make: Callable[[Transaction], Any]
    until: float
    """When to give up if the file stays locked: seconds of `time.monotonic`."""
    is_durable: bool
    is_over: bool = False
    result: Any = None


class _MachineClock(Clock):
    """The clock of one machine: a moment before its last boot is at least as old as that boot."""

    def since(self, moment: Moment) -> float:
        now = self.now()
        if moment.boot_id == BY_WALL:
            return super().since(moment)
        is_before_boot = moment.boot_id != now.boot_id or moment.boot > now.boot
        return max(super().since(moment), now.boot if is_before_boot else 0.0)


class SqliteStore:
    """A Store in a SQLite file."""

    def __init__(self, path: str, clock: Clock | None = None) -> None:
        self.clock: Clock = clock or _MachineClock()
        self._path = Path(path)
        self._connection: Connection | None = None
        self._disk: DiskThread | None = None
        self._is_full = True
        """Whether the connection has synchronous=FULL."""
        self._since_checkpoint = 0
        self._file: tuple[int, int] | None = None
        """The file of the database: device and inode."""
        self._log: tuple[int, int] | None = None
        """The file of its write-ahead log. SQLite deletes it with the last connection; the next creates another."""
        self._process = os.getpid()
        self._lock = Lock()
        self._waiting: list[_Change] = []
        self._sweeps_at = 0.0
        self._looks_at = 0.0
        self._is_lost = False
        """Whether its log was removed or replaced while in use."""

    def transact(self, change: Callable[[Transaction], T], *, durable: bool = True) -> T:
        mine = _Change(change, time.monotonic() + BUSY_SECONDS, durable)
        self._waiting.append(mine)
        try:
            # Other requests that are ready add their changes; the first to continue commits for all.
            time.sleep(0)
        finally:
            # Even if this greenlet is killed: its change may record a paid call.
            with self._lock:
                if not mine.is_over:
                    self._commit(mine)
        result: T = mine.result
        return result

    def read(self, look: Callable[[Transaction], T]) -> T:
        with self._lock:
            return self._transaction(BEGIN_READ, lambda db: look(Rows(db)), lambda db: db.execute("COMMIT"))

    def close(self) -> None:
        """Close the file. The last process that does so moves all of it into one file."""
        with self._lock:
            if self._connection is not None and self._process == os.getpid():
                self._connection.close()
                self._connection = self._log = None

    def durability(self) -> Durability:
        return Durability(True)

    def check(self) -> None:
        self.transact(lambda tx: tx.put_record("check", "", 0, kept=60))

    def _commit(self, mine: _Change) -> None:
        """Commit all waiting changes; if that fails, only mine: each other request then commits its own."""
        try:
            try:
                self._make(self._waiting, mine.until)
            except Exception:
                if mine.is_over or len(self._waiting) == 1:
                    raise
                self._make([mine], mine.until)
        finally:
            if not mine.is_over:
                self._waiting.remove(mine)

    def _make(self, waiting: list[_Change], until: float) -> None:
        is_durable = any(change.is_durable for change in waiting)
        thrown: BaseException | None = None

        def make_all(db: Connection) -> list[_Change]:
            self._sweep(db)
            # Includes the changes that came while the file was locked, unless they need the disk and this one does
            # not wait for it: the level cannot change inside a transaction.
            changes = [change for change in waiting if is_durable or not change.is_durable]
            for change in changes:
                change.result = change.make(Rows(db))
            return changes

        def commit(db: Connection) -> None:
            nonlocal thrown
            thrown = self._commit_to_disk(db, is_durable)

        changes = self._transaction(BEGIN_WRITE, make_all, commit, until, is_durable)
        for change in changes:
            change.is_over = True
            self._waiting.remove(change)
        self._since_checkpoint += len(changes)
        if thrown is not None:
            raise thrown

    def _commit_to_disk(self, db: Connection, is_durable: bool) -> BaseException | None:
        """Commit, and wait for the disk if need be. Returns what was thrown into this greenlet meanwhile.

        The caller holds the lock, so nothing else uses or closes the connection while the thread does.
        """
        is_checkpoint = self._since_checkpoint >= CHANGES_PER_CHECKPOINT
        if self._disk is None or not (is_durable or is_checkpoint):
            db.execute("COMMIT")
            return None

        def work() -> None:
            db.execute("COMMIT")
            if is_checkpoint:
                self._since_checkpoint = 0
                # The log keeps what could not be copied.
                with suppress(sqlite3.Error):
                    db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

        return self._disk.run(work)

    def _sweep(self, db: Connection) -> None:
        now = time.monotonic()
        if now < self._sweeps_at:
            return
        wall = time.time()
        # Ids begin with their time of creation, in nanoseconds.
        oldest = f"{max(0, int((wall - ENTRIES_KEPT_SECONDS) * 1e9)):016x}"
        swept = db.execute(
            "DELETE FROM entries WHERE id IN "
            "(SELECT id FROM entries WHERE id < ? AND attempt_wall < ? "
            # An open job may still have to find the stems of its entry.
            "AND NOT EXISTS (SELECT 1 FROM due WHERE name = entries.id) ORDER BY id LIMIT ?)",
            (oldest, wall - ENTRIES_KEPT_SECONDS, MAX_ROWS_PER_REMOVAL),
        ).rowcount
        swept += db.execute(
            "DELETE FROM records WHERE (kind, name) IN "
            "(SELECT kind, name FROM records WHERE ends < ? ORDER BY ends LIMIT ?)",
            (wall, MAX_ROWS_PER_REMOVAL),
        ).rowcount
        self._sweeps_at = now + (1.0 if swept >= MAX_ROWS_PER_REMOVAL else REMOVE_OLD_EVERY_SECONDS)

    def _transaction(
        self,
        begin: str,
        work: Callable[[Connection], T],
        commit: Callable[[Connection], object],
        until: float | None = None,
        is_durable: bool | None = None,
    ) -> T:
        """Run `work` in a transaction, and commit it; a failed one is rolled back. The caller must hold the lock."""
        try:
            if self._connection is None:
                self._connection = self._connect(until or time.monotonic() + BUSY_SECONDS)
                self._looks_at = 0.0
            self._look_at_file()
            if is_durable is not None and is_durable != self._is_full:
                _set_level(self._connection, is_full=is_durable)
                self._is_full = is_durable
            _execute(self._connection, begin, until=until)
            result = work(self._connection)
            commit(self._connection)
            return result
        except BaseException as error:
            if self._connection is not None:
                self._connection.close()
                self._connection = None
                self._log = None
            if not isinstance(error, sqlite3.Error | OSError):
                raise
            why = error.strerror if isinstance(error, OSError) else None
            raise LedgerUnavailable(why or str(error)) from error

    def _look_at_file(self) -> None:
        """Raise LedgerUnavailable if the file was replaced: only the old file has its entries."""
        now = time.monotonic()
        if self._log is not None and now < self._looks_at:
            return
        self._looks_at = now + REPLACED_CHECK_SECONDS
        file = _identity_or_none(self._path)
        self._file = self._file or file
        if file is None or file != self._file:
            raise self._replaced()
        its_log = _identity_or_none(Path(f"{self._path}-wal"))
        self._log = self._log or its_log
        # Permanently: other processes may still write to the removed one.
        self._is_lost = self._is_lost or its_log is None or its_log != self._log
        if self._is_lost:
            raise self._replaced()

    def _replaced(self) -> LedgerUnavailable:
        return LedgerUnavailable(
            f"{self._path.name} was removed or replaced while in use, so paid splits may be forgotten: "
            "move the file back, or restart the whole service to use the current file"
        )

    def _connect(self, until: float) -> Connection:
        expected = os.environ.get(ledger_file.IN_USE) or (self._file and "{}:{}".format(*self._file))
        if expected is not None and (not self._path.exists() or expected != ledger_file.describe(self._path.stat())):
            # Only the old file has its entries, and no empty one must take its place.
            raise self._replaced()
        ledger_file.create(self._path)
        # Not SQLite's own timeout: it would block the worker with all its requests.
        db = sqlite3.connect(self._path, timeout=0, isolation_level=None, check_same_thread=False)
        try:
            _execute(db, "PRAGMA journal_mode = WAL", until=until)
            _execute(db, "PRAGMA wal_autocheckpoint = 0", until=until)
            _set_level(db, is_full=True)
            [(version,)] = _execute(db, "PRAGMA user_version", until=until)
            if version != TABLES_VERSION:
                self._create_tables(db, until)
            # The first transaction creates the write-ahead log.
            _execute(db, BEGIN_READ, until=until)
            _execute(db, "SELECT count(*) FROM records WHERE kind = ''", until=until)
            db.execute("COMMIT")
            ledger_file.sync_folder(self._path.parent)
        except BaseException:
            db.close()
            raise
        self._disk, self._is_full, self._process = self._disk or DiskThread(), True, os.getpid()
        _opened.add(self)
        return db

    def _create_tables(self, db: Connection, until: float) -> None:
        """Create the tables of a new file. Raises LedgerUnavailable for a file with other tables."""
        _execute(db, BEGIN_WRITE, until=until)
        [(version,)] = db.execute("PRAGMA user_version")
        if version != TABLES_VERSION:
            if version > TABLES_VERSION:
                raise LedgerUnavailable(f"{self._path.name} was written by a newer version of this service")
            if version or db.execute("SELECT 1 FROM sqlite_master").fetchone():
                raise LedgerUnavailable(f"{self._path.name} was written before 1.0: start 1.0.2 with it once")
            for statement in SCHEMA.split(";"):
                db.execute(statement)
        db.execute("COMMIT")


_opened: WeakSet[SqliteStore] = WeakSet()


@atexit.register
def _close_all() -> None:
    for store in _opened:
        store.close()


def _identity_or_none(path: Path) -> tuple[int, int] | None:
    try:
        return _identity(path)
    except FileNotFoundError:
        return None


def _identity(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_dev, found.st_ino


def _set_level(db: Connection, *, is_full: bool) -> None:
    """Set whether COMMIT waits for the disk.

    SQLite sets it when it compiles the statement, so it must not come from the connection's cache of statements.
    """
    db.executescript(f"PRAGMA synchronous = {'FULL' if is_full else 'NORMAL'}")


def _execute(db: Connection, statement: str, *, until: float | None = None) -> sqlite3.Cursor:
    """Execute a statement as soon as no other process has locked the file.

    SQLite's own wait would block the worker with all its requests while another process holds the lock.
    """
    ends = until or time.monotonic() + BUSY_SECONDS
    while True:
        try:
            return db.execute(statement)
        except sqlite3.OperationalError as error:
            if not error.sqlite_errorname.startswith("SQLITE_BUSY") or time.monotonic() > ends:
                raise
        time.sleep(LOCK_POLL_SECONDS)
