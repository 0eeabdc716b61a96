"""A copy of the ledger's file, made while the service runs."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from app.splits.ledger_file import sync_folder


class NoBackup(Exception):
    """No copy was made. The text says why."""


def back_up(ledger: Path, copy: Path) -> int:
    """Copy the ledger to a new file, whole and synced to the disk. Returns its number of splits. Raises NoBackup."""
    if copy.exists():
        raise NoBackup(f"{copy} exists: name a new file.")
    part = copy.with_name(f"{copy.name}.part")
    try:
        part.unlink(missing_ok=True)
        # Created here, as SQLite would let others read it.
        os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        splits = _copy(ledger, part)
        with part.open("rb") as written:
            os.fsync(written.fileno())
        part.rename(copy)
        sync_folder(copy.parent)
    except (sqlite3.Error, OSError) as error:
        part.unlink(missing_ok=True)
        raise NoBackup(f"{ledger} could not be copied: {error}.") from error
    return splits


def _copy(ledger: Path, part: Path) -> int:
    source = f"file:{quote(str(ledger))}?mode=rw"
    with closing(sqlite3.connect(source, uri=True)) as db, closing(sqlite3.connect(part)) as copied:
        db.backup(copied)
        # Without WAL, the copy is one file.
        copied.execute("PRAGMA journal_mode = DELETE")
        [(complaint,)] = copied.execute("PRAGMA integrity_check(1)")
        if complaint != "ok":
            raise sqlite3.DatabaseError(complaint)
        [(splits,)] = copied.execute("SELECT count(*) FROM entries")
        return int(splits)
