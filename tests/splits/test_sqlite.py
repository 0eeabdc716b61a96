"""The ledger in SQLite: group commits, waits that do not block the worker, upgrades."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from app.accounts import owners as owners_of
from app.callers import Caller, hash_of
from app.splits.jobs import NewJob
from app.splits.ledger import Ledger, open_ledger
from app.splits.ledger_file import IN_USE, describe
from app.splits.sqlite import SqliteStore
from app.splits.store import LedgerUnavailable
from tests.splits.conftest import entry


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


@pytest.fixture
def ledger(path: Path) -> Ledger:
    return open_ledger(f"sqlite:///{path}")


def test_the_folders_of_a_new_file_are_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[Path] = []
    monkeypatch.setattr(os, "fsync", lambda opened: synced.append(Path(f"/proc/self/fd/{opened}").readlink()))
    path = tmp_path / "new" / "instance" / "ledger.db"
    open_ledger(f"sqlite:///{path}").check()
    # A file is lost with the power if the disk does not have its folder's list of files.
    assert {*list(path.parents)[:3]} <= {*synced}


@pytest.mark.parametrize(
    ("written", "why"),
    [
        ("PRAGMA user_version = 99", "newer version"),
        ("PRAGMA user_version = 1", "before 1.0"),
        ("CREATE TABLE splits (id TEXT)", "before 1.0"),
    ],
)
def test_a_file_of_another_version_is_refused(path: Path, ledger: Ledger, written: str, why: str) -> None:
    with sqlite3.connect(path) as other:
        other.execute(written)
    other.close()
    for _ in range(2):
        with pytest.raises(LedgerUnavailable, match=why):
            ledger.check()


def test_a_key_is_still_found_by_a_caller_that_now_has_a_name(ledger: Ledger) -> None:
    one = ledger.begin(entry(ledger, "k1", account="hash", caller="9e24b55356ef", request_id="r1"))
    owners = owners_of(("user", "hash"), Caller("n8n", (hash_of(b"first-key"),)))
    stored = ledger.begin(entry(ledger, "k1", account="user", caller="n8n", request_id="r3"), older=owners)
    found = ledger.of_request(owners, "r1")
    assert found is not None
    assert (stored.id, found.id) == (one.id, one.id)


def test_workers_that_start_together_create_one_file(path: Path) -> None:
    ledgers = [open_ledger(f"sqlite:///{path}") for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda one: one.begin(entry(one)), ledgers))
    assert len(list(path.parent.glob("ledger.db*"))) == 3
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("name", ["ledger.db", "ledger.db-wal"])
@pytest.mark.parametrize("replaced", [False, True])
def test_removing_or_replacing_the_file_in_use_is_detected(
    path: Path, ledger: Ledger, name: str, replaced: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.splits.sqlite.REPLACED_CHECK_SECONDS", 0)
    ledger.begin(entry(ledger, "k"))
    (path.parent / name).unlink()
    if replaced:
        (path.parent / name).touch()
    for _ in range(2):
        with pytest.raises(LedgerUnavailable, match=r"removed or replaced|No such file"):
            ledger.begin(entry(ledger, "k"))


def test_a_file_that_is_moved_back_is_used_again(path: Path, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.splits.sqlite.REPLACED_CHECK_SECONDS", 0)
    one = ledger.begin(entry(ledger, "k"))
    away = path.rename(path.with_name("away.db"))
    for _ in range(2):
        with pytest.raises(LedgerUnavailable):
            ledger.begin(entry(ledger, "k", account=one.account))
    assert not path.exists()
    away.rename(path)
    assert ledger.begin(entry(ledger, "k", account=one.account)).id == one.id


def test_a_wal_that_sqlite_recreates_after_a_failure_does_not_count_as_replaced(path: Path, ledger: Ledger) -> None:
    ledger.begin(entry(ledger, "k"))
    # Keep the old WAL, so that the next one gets another inode number.
    os.link(f"{path}-wal", f"{path}-kept")
    with pytest.raises(LedgerUnavailable):
        ledger.begin(entry(ledger, song_id=None))
    assert not Path(f"{path}-wal").exists()
    ledger.begin(entry(ledger, "l"))
    assert Path(f"{path}-wal").stat().st_ino != Path(f"{path}-kept").stat().st_ino


def test_a_worker_that_starts_later_refuses_another_file(
    path: Path, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger.begin(entry(ledger))
    monkeypatch.setenv(IN_USE, describe(path.stat()))
    open_ledger(f"sqlite:///{path}").check()
    kept = path.rename(path.with_name("kept.db"))
    for is_replaced in (False, True):
        if is_replaced:
            path.touch()
        with pytest.raises(LedgerUnavailable, match="removed or replaced"):
            open_ledger(f"sqlite:///{path}").check()
    kept.rename(path)
    open_ledger(f"sqlite:///{path}").check()


def test_expired_records_are_removed_in_batches(path: Path, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger.check()
    monkeypatch.setattr("app.splits.sqlite.MAX_ROWS_PER_REMOVAL", 3)
    with sqlite3.connect(path) as db:
        db.executemany("INSERT INTO records VALUES ('old', ?, '0', 1.0)", [(str(n),) for n in range(5)])
    later = open_ledger(f"sqlite:///{path}")
    later.check()
    assert db.execute("SELECT count(*) FROM records WHERE kind = 'old'").fetchone() == (2,)
    db.close()


def test_an_entry_stays_while_its_latest_attempt_is_young(path: Path, ledger: Ledger) -> None:
    old, retried = (ledger.begin(entry(ledger)) for _ in range(2))
    with sqlite3.connect(path) as db:
        for one, id in ((old, "0" * 32), (retried, "1".zfill(32))):
            db.execute("UPDATE entries SET id = ? WHERE id = ?", (id, one.id))
        db.execute("UPDATE entries SET attempt_wall = ? WHERE id = ?", (time.time() - 7 * 86_400, "0" * 32))
        db.execute("UPDATE entries SET attempt_wall = ? WHERE id = ?", (time.time(), "1".zfill(32)))
    db.close()
    later = open_ledger(f"sqlite:///{path}")
    later.check()
    assert later.get("0" * 32) is None
    assert later.get("1".zfill(32)) is not None


LOCKED_AT_START = """
from gevent import monkey; monkey.patch_all()
import sqlite3, sys, gevent
from app.splits.ledger import open_ledger
from app.splits.store import LedgerUnavailable
other = sqlite3.connect(sys.argv[1], isolation_level=None)
other.execute("PRAGMA locking_mode = EXCLUSIVE")
other.execute("CREATE TABLE held (id)")
other.execute("BEGIN EXCLUSIVE")
turns = 0

def others():
    global turns
    while True:
        turns += 1
        gevent.sleep(0.001)

gevent.spawn(others)
try:
    open_ledger(f"sqlite:///{sys.argv[1]}").check()
except LedgerUnavailable as error:
    print(error.why, turns > 100)
"""


def test_a_locked_file_at_connect_does_not_block_other_greenlets(path: Path) -> None:
    run = subprocess.run([sys.executable, "-c", LOCKED_AT_START, str(path)], capture_output=True, text=True)
    assert run.stdout == "database is locked True\n", run.stderr


WAITING = """
from gevent import monkey; monkey.patch_all()
import sqlite3, sys, gevent
from app.splits.ledger import open_ledger
from tests.splits.conftest import entry as new_entry
path = sys.argv[1]
ledger = open_ledger(f"sqlite:///{path}")
ledger.check()
other = sqlite3.connect(path, isolation_level=None)
other.execute("BEGIN IMMEDIATE")
gevent.spawn(other.execute, "COMMIT")
print(ledger.begin(new_entry(ledger)).state)
"""


def test_other_greenlets_run_while_one_waits_for_the_file(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WAITING, str(tmp_path / "ledger.db")]
    assert subprocess.run(command, capture_output=True, text=True).stdout == "started\n"


def test_a_file_that_stays_locked_makes_the_ledger_unavailable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = open_ledger(f"sqlite:///{tmp_path}/ledger.db")
    ledger.check()
    other = sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    monkeypatch.setattr("app.splits.sqlite.BUSY_SECONDS", 0.01)
    with pytest.raises(LedgerUnavailable, match="locked"):
        ledger.begin(entry(ledger))
    other.execute("COMMIT")
    ledger.begin(entry(ledger))


TOGETHER = """
from gevent import monkey; monkey.patch_all()
import sqlite3, sys, gevent
import app.splits.sqlite
from app.splits.ledger import open_ledger
from app.splits.store import LedgerUnavailable
from tests.splits.conftest import entry as new_entry

statements = []
connect = sqlite3.connect

def traced(*where, **how):
    db = connect(*where, **how)
    db.set_trace_callback(statements.append)
    return db

sqlite3.connect = traced
ledger = open_ledger(f"sqlite:///{sys.argv[1]}")
ledger.check()
statements.clear()

def entry(*about, **fields):
    return new_entry(ledger, *about, **fields)

def begun(one):
    try:
        return ledger.begin(one) == one
    except LedgerUnavailable:
        return "unavailable"

def at_once(*entries):
    return [one.get() for one in [gevent.spawn(begun, one) for one in entries]]

"""


def together(path: Path, code: str) -> str:
    run = subprocess.run([sys.executable, "-c", TOGETHER + code, str(path)], capture_output=True, text=True)
    return run.stdout + run.stderr


def test_concurrent_writes_share_one_transaction(tmp_path: Path) -> None:
    code = """
print(at_once(*[entry(str(n), account="a") for n in range(20)]) == [True] * 20, statements.count("COMMIT"))
print(at_once(*[entry(key, account="a") for key in ("0", "0", "new")]), statements.count("COMMIT"))
"""
    assert together(tmp_path / "ledger.db", code) == "True 1\n[False, False, True] 2\n"


def test_a_failed_change_does_not_affect_others_in_its_group_commit(tmp_path: Path) -> None:
    code = """
wrong, others = entry(song_id=None), [entry(), entry(), entry()]
print(at_once(others[0], wrong, *others[1:]))
print([ledger.get(other.id) == other for other in others])
"""
    outcome = "[True, 'unavailable', True, True]\n[True, True, True]\n"
    assert together(tmp_path / "ledger.db", code) == outcome


LOCKED = """
other = connect(sys.argv[1], isolation_level=None)
other.execute("BEGIN IMMEDIATE")
"""


def test_writes_that_time_out_on_a_locked_file_are_not_written_later(tmp_path: Path) -> None:
    code = f"""{LOCKED}
app.splits.sqlite.BUSY_SECONDS = 0.01
entries = [entry() for _ in range(20)]
print(set(at_once(*entries)))
other.execute("COMMIT")
print(at_once(entry()), {{ledger.get(one.id) for one in entries}}, set(at_once(*entries)))
"""
    assert together(tmp_path / "ledger.db", code) == "{'unavailable'}\n[True] {None} {True}\n"


def test_each_write_waits_for_a_locked_file_until_its_own_timeout(tmp_path: Path) -> None:
    code = f"""{LOCKED}
app.splits.sqlite.BUSY_SECONDS = 0.01
hasty = [gevent.spawn(begun, entry()) for _ in range(2)]
gevent.sleep(0)
app.splits.sqlite.BUSY_SECONDS = 60
patient = gevent.spawn(begun, entry())
print([one.get(timeout=20) for one in hasty], patient.ready())
other.execute("COMMIT")
print(patient.get())
"""
    assert together(tmp_path / "ledger.db", code) == "['unavailable', 'unavailable'] False\nTrue\n"


def test_killing_a_greenlet_that_waits_for_a_locked_file_affects_no_other(tmp_path: Path) -> None:
    code = f"""{LOCKED}
greenlets = [gevent.spawn(begun, entry()) for _ in range(3)]
gevent.sleep(0.01)
greenlets[0].kill()
other.execute("COMMIT")
print(type(greenlets[0].get()).__name__, greenlets[1].get(), greenlets[2].get())
"""
    assert together(tmp_path / "ledger.db", code) == "GreenletExit True True\n"


def test_the_write_of_a_greenlet_killed_before_the_commit_is_still_committed(tmp_path: Path) -> None:
    code = """
one = entry()
greenlet = gevent.spawn(begun, one)
gevent.get_hub().loop.run_callback(greenlet.throw, gevent.GreenletExit)
print(type(greenlet.get()).__name__, ledger.get(one.id) == one)
"""
    assert together(tmp_path / "ledger.db", code) == "GreenletExit True\n"


SLOW = """
from gevent import monkey
released = monkey.get_original("threading", "Event")()

class Slow(sqlite3.Connection):
    def execute(self, statement, *values):
        if statement == "COMMIT" and not released.wait(20):
            raise SystemExit("it blocks the worker")
        return super().execute(statement, *values)

released.set()
sqlite3.connect = lambda *where, **how: connect(*where, **how, factory=Slow)
ledger = open_ledger(f"sqlite:///{sys.argv[1]}")
ledger.check()
released.clear()
"""
"""Instead of a slow disk: a COMMIT that waits for another greenlet."""


def test_a_slow_disk_does_not_block_other_greenlets(tmp_path: Path) -> None:
    code = f"""{SLOW}
one = gevent.spawn(begun, entry("k"))
gevent.sleep(0.01)
others = [gevent.spawn(begun, entry(str(n))) for n in range(3)]
gevent.sleep(0.01)
print(one.ready(), [other.ready() for other in others])
released.set()
print(one.get(), [other.get() for other in others])
"""
    outcome = "False [False, False, False]\nTrue [True, True, True]\n"
    assert together(tmp_path / "ledger.db", code) == outcome


@pytest.mark.parametrize("thrown", ["GreenletExit", "Timeout"])
def test_a_greenlet_that_is_killed_while_the_disk_writes_waits_for_it(tmp_path: Path, thrown: str) -> None:
    code = f"""{SLOW}
def outcome(one):
    try:
        return begun(one)
    except BaseException as error:
        return type(error).__name__

one, other = entry("k"), entry("l")
killed = gevent.spawn(outcome, one)
gevent.sleep(0.01)
waiting = gevent.spawn(outcome, other)
gevent.sleep(0.01)
for _ in range(2):
    gevent.get_hub().loop.run_callback(killed.throw, gevent.{thrown})
    gevent.sleep(0.01)
print(killed.ready(), waiting.ready())
released.set()
print(killed.get(), waiting.get(), ledger.get(one.id) == one, ledger.get(other.id) == other)
"""
    assert together(tmp_path / "ledger.db", code) == f"False False\n{thrown} True True True\n"


def test_what_the_disk_could_not_write_is_not_recorded(tmp_path: Path) -> None:
    code = """
class Failing(sqlite3.Connection):
    def execute(self, statement, *values):
        if statement == "COMMIT" and fails:
            raise sqlite3.OperationalError("disk I/O error")
        return super().execute(statement, *values)

fails = False
sqlite3.connect = lambda *where, **how: connect(*where, **how, factory=Failing)
ledger = open_ledger(f"sqlite:///{sys.argv[1]}")
ledger.check()
fails = True
ones = [entry("k"), entry("l")]
print(at_once(*ones))
fails = False
print([ledger.get(one.id) for one in ones], at_once(*ones))
"""
    assert together(tmp_path / "ledger.db", code) == "['unavailable', 'unavailable']\n[None, None] [True, True]\n"


def test_only_splits_with_a_key_wait_for_the_disk(tmp_path: Path) -> None:
    code = """
for key in ("", "", "k", "l", ""):
    print([line for line in (begun(entry(key)), *statements) if "synchronous" in str(line)])
    statements.clear()
"""
    normal, full = "['PRAGMA synchronous = NORMAL']", "['PRAGMA synchronous = FULL']"
    assert together(tmp_path / "ledger.db", code).splitlines() == ["[]", "[]", full, "[]", normal]


def test_a_split_with_a_key_does_not_join_a_commit_that_does_not_wait_for_the_disk(tmp_path: Path) -> None:
    code = f"""{LOCKED}
without = gevent.spawn(begun, entry())
gevent.sleep(0.01)
with_a_key = gevent.spawn(begun, entry("k"))
gevent.sleep(0.01)
statements.clear()
other.execute("COMMIT")
print(without.get(), with_a_key.get())
print(*[line for line in statements if "synchronous" in line or line == "COMMIT"], sep=", ")
"""
    outcome = "True True\nCOMMIT, PRAGMA synchronous = FULL, COMMIT\n"
    assert together(tmp_path / "ledger.db", code) == outcome


def test_a_checkpoint_keeps_the_log_short(path: Path, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.splits.sqlite.CHANGES_PER_CHECKPOINT", 10)
    sizes = set()
    for _ in range(40):
        ledger.begin(entry(ledger))
        sizes.add(Path(f"{path}-wal").stat().st_size)
    assert max(sizes) < 400_000
    assert path.stat().st_size > 4096


def test_an_old_entry_is_removed_unless_its_job_still_looks_for_its_stems(tmp_path: Path) -> None:
    store = SqliteStore(str(tmp_path / "ledger.db"))
    ledger = Ledger(store)
    days_ago = time.time() - 7 * 86_400

    def begin(name: str, job: NewJob | None) -> str:
        new = entry(ledger)
        moment = new.began._replace(wall=days_ago)
        old = new._replace(id=f"{int(days_ago * 1e9):016x}{name:0>16}", began=moment, attempt_began=moment)
        return ledger.begin(old, job=job).id

    plain, followed = begin("a", None), begin("b", NewJob("{}"))
    store._sweeps_at = 0.0
    ledger.begin(entry(ledger))
    assert ledger.get(plain) is None
    assert ledger.get(followed) is not None
    claimed = ledger.jobs.claim(followed, 45)
    assert claimed
    ledger.jobs.release(followed, claimed, "{}", None)
    store._sweeps_at = 0.0
    ledger.begin(entry(ledger))
    assert ledger.get(followed) is None
