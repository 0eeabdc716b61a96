"""A split with `reuse_existing` does not pay for stems that another one makes now, on each of the three stores."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest

from app.splits.admission import SONG_SETTLED_SECONDS, NotBegun, Refusal, admit_unless_being_made
from app.splits.jobs import NewJob
from app.splits.ledger import Ledger, open_ledger
from app.splits.store import Entry
from tests.splits.conftest import SteppedClock, entry, stems

PAIR = json.dumps(["song", "two", False])


def new(ledger: Ledger, key: str = "", **fields: Any) -> Entry:
    return entry(ledger, key, **{"song_id": "song", "account": "user", "question": PAIR} | fields)


def reuse(ledger: Ledger, key: str = "reuses") -> Entry:
    return ledger.begin(new(ledger, key), admit=partial(admit_unless_being_made, ledger.clock))


def waits(ledger: Ledger) -> bool:
    """Whether a split that would reuse stems may not pay now."""
    try:
        ledger.free(reuse(ledger))
    except NotBegun as refused:
        return refused.why is Refusal.BEING_MADE
    return False


def test_it_waits_for_another_split_of_the_account_until_its_stems_must_be_listed(
    ledger: Ledger, clock: SteppedClock
) -> None:
    assert not waits(ledger)
    one = ledger.begin(new(ledger, caller="another"))
    assert waits(ledger)
    ledger.finish(one, stems("a", "b"), paid=True)
    assert waits(ledger)
    clock.advance(SONG_SETTLED_SECONDS - 1)
    assert waits(ledger)
    clock.advance(1)
    assert not waits(ledger)


def test_it_waits_for_nothing_that_pays_for_nothing(ledger: Ledger, clock: SteppedClock) -> None:
    one = ledger.begin(new(ledger))
    ledger.finish(one, stems("a", "b"), paid=False)
    assert not waits(ledger), "reused"
    ledger.free(ledger.begin(new(ledger)))
    assert not waits(ledger), "refused"
    ledger.doubt(ledger.begin(new(ledger)))
    assert not waits(ledger), "in doubt: a new key is how to go on"
    ledger.begin(new(ledger))
    clock.advance(60)
    assert not waits(ledger), "its process is gone"


def test_it_does_not_wait_once_the_job_of_the_other_split_has_its_result(ledger: Ledger) -> None:
    one = ledger.begin(new(ledger, "k"), job=NewJob(json.dumps({"body": None})))
    ledger.finish(one, stems("a", "b"), paid=True)
    assert waits(ledger)
    claimed = ledger.jobs.claim(one.id, lasts=60)
    assert claimed
    ledger.jobs.release(one.id, claimed, json.dumps({"body": "{}"}), due_in=None)
    assert not waits(ledger)


@pytest.mark.parametrize(
    "other",
    [
        {"song_id": "another"},
        {"account": "another"},
        {"task": "twelve"},
        {"question": json.dumps(["song", "two", False, "Drum Kit"])},
        {"question": json.dumps(["song", "two", False, "Drum Kit", "https://hooks.example.com/", "mp3"])},
    ],
)
def test_it_waits_for_no_split_of_another_song_account_kind_or_part(ledger: Ledger, other: dict[str, Any]) -> None:
    ledger.begin(new(ledger, **other))
    assert not waits(ledger)


@pytest.mark.parametrize("rest", [[""], ["https://hooks.example.com/"], ["", "mp3"], ["http://a/", "wav"]])
def test_a_split_with_a_job_is_of_the_same_kind(ledger: Ledger, rest: list[str]) -> None:
    ledger.begin(new(ledger, question=json.dumps(["song", "two", True, *rest])))
    assert waits(ledger)


def test_of_concurrent_requests_with_keys_of_their_own_one_pays(ledger_url: str) -> None:
    ledgers = [open_ledger(ledger_url) for _ in range(8)]
    song = entry(ledgers[0]).song_id

    def ask(numbered: tuple[int, Ledger]) -> bool:
        number, ledger = numbered
        admit = partial(admit_unless_being_made, ledger.clock)
        try:
            return bool(ledger.begin(new(ledger, f"key-{number}", song_id=song), admit=admit))
        except NotBegun:
            return False

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(ask, enumerate(ledgers))) == 1
