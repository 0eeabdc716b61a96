"""The list of a caller's and an account's earlier requests, on each of the three stores."""

from __future__ import annotations

import json
from pathlib import Path

from app.splits.history import MAX_SEARCHED_REQUESTS
from app.splits.jobs import NewJob
from app.splits.ledger import Ledger
from app.splits.owners import KEY_KEPT_SECONDS
from app.splits.rows import Rows
from app.splits.sqlite import SqliteStore
from app.splits.store import MIN_HISTORY_IDS, State, Store
from app.splits.wait import Wait
from tests.splits.conftest import SteppedClock, entry, stems

JOB = NewJob(json.dumps({"kind": "split", "state": "following"}))


def ids(ledger: Ledger, *owners: tuple[str, str], limit: int = 20) -> list[str]:
    return [split.id for split in ledger.history.latest(owners, limit)]


def test_requests_with_a_key_or_a_job_are_listed_newest_first(ledger: Ledger) -> None:
    keyed = ledger.begin(entry(ledger, "key", account="a"))
    ledger.begin(entry(ledger, account="a"))
    followed = ledger.begin(entry(ledger, account="a"), job=JOB)
    both = ledger.begin(entry(ledger, "another", account="a"), job=JOB)
    assert ids(ledger, ("a", "")) == [both.id, followed.id, keyed.id]
    assert ids(ledger, ("a", ""), limit=2) == [both.id, followed.id]
    ledger.begin(entry(ledger, "key", account="a"))
    assert ids(ledger, ("a", ""), limit=1) == [both.id], "a retry is no request of its own"
    [latest, *_] = ledger.history.latest([("a", "")], 1)
    assert (latest.entry, latest.job and json.loads(latest.job.body)["state"]) == (both, "following")


def test_nobody_sees_another_callers_or_accounts_requests(ledger: Ledger) -> None:
    """Names of which one is the beginning of another, and names with separators, are different names."""
    owners = [("a", "c"), ("a", "cc"), ("a", ""), ("a", "c:d"), ("a:c", "d"), ("aa", "c"), ('a", "c', ""), ("a", "0")]
    own = {
        owner: ledger.begin(entry(ledger, f"key-{owner}", account=owner[0], caller=owner[1])).id for owner in owners
    }
    for owner in owners:
        assert ids(ledger, owner) == [own[owner]]


def test_requests_under_earlier_names_of_an_account_are_listed_in_order(ledger: Ledger) -> None:
    begun = [ledger.begin(entry(ledger, f"key-{n}", account=("hash", "user")[n % 2])).id for n in range(4)]
    assert ids(ledger, ("user", ""), ("hash", ""), ("user", "")) == begun[::-1]


def test_a_refused_request_is_not_listed(ledger: Ledger) -> None:
    for key, job in (("key", None), ("", JOB)):
        refused = ledger.begin(entry(ledger, key, account="a"), job=job)
        ledger.free(refused)
    assert ids(ledger, ("a", "")) == []


def test_a_request_that_waits_for_a_person_is_listed(ledger: Ledger) -> None:
    one = ledger.begin(entry(ledger, account="a"))
    wait = Wait(began=ledger.clock.now(), lasts=60.0, part="", names=("a",), listed=())
    assert ledger.wait(one, wait, JOB)
    [found] = ledger.history.latest([("a", "")], 20)
    assert found.entry
    assert found.entry.state is State.NEEDS_PERSON


def test_a_request_is_listed_as_long_as_its_state_can_be_read(ledger: Ledger, clock: SteppedClock) -> None:
    keyed = ledger.begin(entry(ledger, "key", account="a"))
    followed = ledger.begin(entry(ledger, "another", account="a"), job=JOB)
    for one in (keyed, followed):
        ledger.finish(one, stems(f"{one.id}-1"), paid=True)
    clock.advance(KEY_KEPT_SECONDS - 1)
    assert ids(ledger, ("a", "")) == [followed.id, keyed.id]
    clock.advance(2)
    [found] = ledger.history.latest([("a", "")], 20)
    assert (found.id, found.entry) == (followed.id, None)
    assert found.job


def test_known_requests_are_found_behind_many_that_are_forgotten(store: Store) -> None:
    ledger = Ledger(store)
    followed = ledger.begin(entry(ledger, account="a"), job=JOB)
    name = json.dumps(["a", ""])

    def add(tx) -> None:
        for n in range(MAX_SEARCHED_REQUESTS - 1):
            tx.put_history(name, f"{'f' * 16}{n:016x}", kept=60)

    store.transact(add)
    assert ids(ledger, ("a", ""), limit=1) == [followed.id]
    assert MAX_SEARCHED_REQUESTS <= MIN_HISTORY_IDS


def test_a_split_with_neither_key_nor_job_writes_nothing_to_the_list(store: Store) -> None:
    ledger = Ledger(store)
    one = ledger.begin(entry(ledger, account="a"))
    ledger.finish(one, stems("a"), paid=True)
    assert store.read(lambda tx: tx.history(json.dumps(["a", ""]), 10)) == []


def test_the_list_is_read_by_an_index(tmp_path: Path) -> None:
    store = SqliteStore(str(tmp_path / "ledger.db"))
    store.check()
    plans: list[str] = []

    def explain(rows: Rows) -> None:
        db = rows._db
        explained = "EXPLAIN QUERY PLAN SELECT name FROM records WHERE kind = 'history' AND name > ? AND name < ? "
        plans.extend(row[3] for row in db.execute(f"{explained} ORDER BY name DESC LIMIT 20", ("a", "ag")))

    store.read(explain)  # type: ignore[arg-type]
    assert plans == ["SEARCH records USING PRIMARY KEY (kind=? AND name>? AND name<?)"]
