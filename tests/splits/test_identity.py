"""A ledger that was emptied, replaced or restored from an older copy begins no attempt: with each of the stores."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
import redis

from app.splits.identity import ATTEMPTS_NUMBER
from app.splits.known import Known
from app.splits.ledger import Ledger
from app.splits.once import Turn
from app.splits.redis import RedisStore
from app.splits.sqlite import SqliteStore
from app.splits.store import LedgerUnavailable, Store
from tests.splits.conftest import entry
from tests.splits.memory_store import MemoryStore

Restore = Callable[[], None]


@pytest.fixture
def copy(store: Store, tmp_path: Path, request: pytest.FixtureRequest) -> Callable[[], Restore]:
    """Copy the store. The result puts the copy back, while the ledger is in use."""

    def in_memory() -> Restore:
        assert isinstance(store, MemoryStore)
        entries, records = dict(store._entries), dict(store._records)

        def restore() -> None:
            store._entries, store._records = dict(entries), dict(records)

        return restore

    def in_a_file() -> Restore:
        copied = sqlite3.connect(":memory:")
        with closing(sqlite3.connect(tmp_path / "ledger.db")) as db:
            db.backup(copied)

        def restore() -> None:
            with closing(sqlite3.connect(tmp_path / "ledger.db")) as db:
                copied.backup(db)

        return restore

    def in_redis() -> Restore:
        client = redis.Redis.from_url(request.getfixturevalue("redis_url"))
        values = {key: client.dump(key) for key in client.scan_iter()}

        def restore() -> None:
            client.flushdb()
            for key, value in values.items():
                client.restore(key, 0, value)

        return restore

    return {MemoryStore: in_memory, SqliteStore: in_a_file, RedisStore: in_redis}[type(store)]


@pytest.fixture
def empty(store: Store, tmp_path: Path, request: pytest.FixtureRequest) -> Callable[[], None]:
    """Remove all that the store has."""

    def act() -> None:
        if isinstance(store, MemoryStore):
            store._entries, store._records = {}, {}
        elif isinstance(store, RedisStore):
            redis.Redis.from_url(request.getfixturevalue("redis_url")).flushdb()
        else:
            with closing(sqlite3.connect(tmp_path / "ledger.db")) as db:
                db.executescript("DELETE FROM entries; DELETE FROM records")

    return act


def begin(ledger: Ledger, key: str) -> str:
    return ledger.begin(entry(ledger, key, account="a")).id


def assert_refused(ledger: Ledger, why: str) -> None:
    for act in (lambda: begin(ledger, "new"), ledger.check):
        with pytest.raises(LedgerUnavailable, match=why):
            act()
    # Without a key, a split goes on.
    ledger.begin(entry(ledger))


def test_an_empty_ledger_at_the_first_start_is_normal(ledger: Ledger) -> None:
    ledger.check()
    begin(ledger, "k")


def test_an_emptied_ledger_is_refused_until_it_is_accepted(ledger: Ledger, empty: Callable[[], None]) -> None:
    begin(ledger, "k")
    empty()
    assert_refused(ledger, "empty")
    assert ledger.identity.accept() == 1
    begin(ledger, "new")
    empty()
    assert_refused(ledger, "empty")


def test_an_older_copy_is_refused_until_the_newest_is_back(ledger: Ledger, copy: Callable[[], Restore]) -> None:
    begin(ledger, "k")
    older = copy()
    ids = [begin(ledger, key) for key in ("l", "m")]
    newest = copy()
    older()
    assert_refused(ledger, "older: 2 paid calls are missing")
    newest()
    assert [begin(ledger, key) for key in ("l", "m")] == ids


def test_an_older_copy_can_be_accepted_and_no_other_takes_its_place(
    ledger: Ledger, copy: Callable[[], Restore]
) -> None:
    begin(ledger, "k")
    older = copy()
    begin(ledger, "l")
    older()
    assert_refused(ledger, "older")
    assert ledger.identity.accept() == 1
    begin(ledger, "l")
    accepted = copy()
    begin(ledger, "m")
    older()
    assert_refused(ledger, "another one")
    accepted()
    assert_refused(ledger, "older")


def test_another_ledger_is_refused(ledger: Ledger, store: Store, empty: Callable[[], None]) -> None:
    begin(ledger, "k")
    empty()
    begin(Ledger(store), "k")
    assert_refused(ledger, "another one")
    assert ledger.identity.accept() == 1
    begin(ledger, "new")


def test_what_is_accepted_twice_is_accepted(ledger: Ledger, store: Store, empty: Callable[[], None]) -> None:
    begin(ledger, "k")
    empty()
    assert_refused(ledger, "empty")
    assert [ledger.identity.accept() for _ in range(3)] == [1, 0, 0]
    begin(ledger, "new")


def test_a_restarted_service_uses_the_ledger_as_it_is(
    ledger: Ledger, store: Store, copy: Callable[[], Restore]
) -> None:
    begin(ledger, "k")
    older = copy()
    begin(ledger, "l")
    older()
    restarted = Ledger(store)
    restarted.check()
    begin(restarted, "l")


def test_a_worker_that_starts_later_knows_what_the_others_have_seen(
    store: Store, copy: Callable[[], Restore], empty: Callable[[], None]
) -> None:
    known = Known(4)
    first = Ledger(store, known=known)
    begin(first, "k")
    older = copy()
    begin(first, "l")
    older()
    known.take(1)
    assert_refused(Ledger(store, known=known), "older: 1 paid calls")
    empty()
    assert_refused(Ledger(store, known=known), "empty")


def test_no_second_attempt_and_no_unlock_begins_on_a_forgetful_ledger(
    ledger: Ledger, copy: Callable[[], Restore]
) -> None:
    one = ledger.begin(entry(ledger, "k"))
    ledger.doubt(one)
    older = copy()
    begin(ledger, "l")
    older()
    with pytest.raises(LedgerUnavailable, match="older"):
        ledger.restart(one, 41.0)
    with pytest.raises(LedgerUnavailable, match="older"):
        ledger.turns.begin("unlock", "a", "song", lasts=41.0)
    assert ledger.get(one.id).attempt == 1
    ledger.identity.accept()
    assert ledger.turns.begin("unlock", "a", "song", lasts=41.0).turn is Turn.OURS


def test_each_attempt_is_counted_once(ledger: Ledger, store: Store) -> None:
    one = ledger.begin(entry(ledger, "k"))
    ledger.begin(entry(ledger))
    ledger.doubt(one)
    ledger.restart(one, 41.0)
    ledger.turns.begin("unlock", "a", "song", lasts=41.0)
    assert store.read(lambda tx: tx.number(ATTEMPTS_NUMBER)) == 3


def test_processes_that_count_at_once_are_not_refused(store: Store) -> None:
    known = Known(2)
    ledgers = [Ledger(store, known=known) for _ in range(2)]
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda n: begin(ledgers[n % 2], f"k{n}"), range(64)))
    assert store.read(lambda tx: tx.number(ATTEMPTS_NUMBER)) == known.now().attempts == 64


def test_a_slot_does_not_undo_what_another_has_seen() -> None:
    known = Known(4)
    known.note("a" * 32, 5)
    known.take(1)
    assert known.now() == (1, 5, "a" * 32)
    known.note("a" * 32, 4)
    known.note("b" * 32, 2)
    assert known.now() == (2, 2, "b" * 32)
    known.take(0)
    known.note("b" * 32, 3)
    assert known.now() == (2, 3, "b" * 32)
