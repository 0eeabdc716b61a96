"""Jobs in the ledger, on each of the three stores: no job is lost, and one process at a time has its claim."""

from __future__ import annotations

from typing import Any

import pytest

from app.splits.ledger import Ledger
from app.splits.store import Entry
from tests.splits.conftest import SteppedClock, entry

JOB = {"state": "following", "webhook_url": "https://hooks.example.com/"}


def begin(ledger: Ledger) -> Entry:
    return ledger.begin(entry(ledger), job=JOB)


def test_a_job_is_created_with_its_split_and_is_due_after_the_splits_deadline(
    ledger: Ledger, clock: SteppedClock
) -> None:
    one = begin(ledger)
    assert ledger.jobs.get(one.id) == JOB
    assert (ledger.jobs.due(10), ledger.jobs.behind()) == ([], 0.0)
    clock.advance(51)
    assert (ledger.jobs.due(10), ledger.jobs.behind()) == ([one.id], 10.0)


def test_a_split_without_a_job_has_none(ledger: Ledger, clock: SteppedClock) -> None:
    one = ledger.begin(entry(ledger))
    clock.advance(100)
    assert (ledger.jobs.get(one.id), ledger.jobs.claim(one.id, 45), ledger.jobs.due(10)) == (None, None, [])


def test_freeing_a_split_removes_its_job(ledger: Ledger, clock: SteppedClock) -> None:
    one = begin(ledger)
    ledger.free(one)
    clock.advance(100)
    assert (ledger.jobs.get(one.id), ledger.jobs.due(10)) == (None, [])


def test_one_process_claims_a_job_until_it_returns_it_or_the_claim_expires(
    ledger: Ledger, clock: SteppedClock
) -> None:
    one = begin(ledger)
    claimed = ledger.jobs.claim(one.id, 45)
    assert claimed["state"] == "following"
    assert ledger.jobs.claim(one.id, 45) is None
    ledger.jobs.release(one.id, {**claimed, "state": "delivering"}, 5)
    assert ledger.jobs.due(10) == []
    clock.advance(6)
    assert ledger.jobs.due(10) == [one.id]
    assert ledger.jobs.claim(one.id, 45)["state"] == "delivering"
    clock.advance(44)
    assert ledger.jobs.claim(one.id, 45) is None
    clock.advance(2)
    assert ledger.jobs.due(10) == [one.id]
    assert ledger.jobs.claim(one.id, 45)["state"] == "delivering"


@pytest.mark.parametrize("step", [-3600, 3600])
def test_setting_the_wall_clock_neither_ends_nor_extends_a_claim(
    ledger: Ledger, clock: SteppedClock, step: int
) -> None:
    one = begin(ledger)
    ledger.jobs.claim(one.id, 45)
    clock.step_wall(step)
    clock.advance(44)
    assert ledger.jobs.claim(one.id, 45) is None
    clock.advance(2)
    assert ledger.jobs.claim(one.id, 45) is not None


def test_a_claim_of_another_machine_expires(ledger: Ledger, clock: SteppedClock) -> None:
    one = begin(ledger)
    ledger.jobs.claim(one.id, 45)
    clock.boot, clock.seconds = "another machine", 5.0
    assert ledger.jobs.claim(one.id, 45) is None
    clock.advance(46)
    assert ledger.jobs.claim(one.id, 45) is not None


def test_a_finished_job_is_kept_and_not_due(ledger: Ledger, clock: SteppedClock) -> None:
    one = begin(ledger)
    ledger.jobs.release(one.id, {**JOB, "state": "delivered"}, None)
    clock.advance(1000)
    assert (ledger.jobs.get(one.id)["state"], ledger.jobs.due(10), ledger.jobs.behind()) == ("delivered", [], 0.0)


def test_the_oldest_due_jobs_come_first(ledger: Ledger, clock: SteppedClock) -> None:
    jobs = [begin(ledger) for _ in range(3)]
    for later, one in zip((30, 10, 20), jobs, strict=True):
        ledger.jobs.release(one.id, JOB, later)
    clock.advance(100)
    assert ledger.jobs.due(2) == [jobs[1].id, jobs[2].id]


def test_the_ledger_knows_when_a_process_of_jobs_was_last_seen(ledger: Ledger, clock: SteppedClock) -> None:
    assert ledger.jobs.consumer_seen() is None
    ledger.jobs.note_consumer()
    clock.advance(7)
    assert ledger.jobs.consumer_seen() == 7


def test_a_job_without_an_entry_is_created_once_and_due_immediately(ledger: Ledger, clock: SteppedClock) -> None:
    def add(held: dict[str, Any] | None) -> dict[str, Any] | None:
        return {"state": "fetching"} if held is None else None

    assert ledger.jobs.add("file:1", add) == {"state": "fetching"}
    assert (ledger.jobs.due(10), ledger.jobs.count_open()) == (["file:1"], 1)
    claimed = ledger.jobs.claim("file:1", 45)
    assert ledger.jobs.add("file:1", add) == claimed
    assert ledger.jobs.claim("file:1", 45) is None, "it is claimed"
    ledger.jobs.release("file:1", {**claimed, "state": "kept"}, None, outcome="file_kept")
    assert (ledger.jobs.due(10), ledger.jobs.count_open()) == ([], 0)


def test_holding_a_job_extends_its_claim(ledger: Ledger, clock: SteppedClock) -> None:
    ledger.jobs.add("file:1", lambda held: {"state": "fetching"})
    claimed = ledger.jobs.claim("file:1", 45)
    clock.advance(40)
    assert ledger.jobs.hold("file:1", claimed, 15)
    clock.advance(14)
    assert (ledger.jobs.claim("file:1", 45), ledger.jobs.due(10)) == (None, [])
    clock.advance(2)
    assert ledger.jobs.due(10) == ["file:1"]
    assert ledger.jobs.claim("file:1", 45)["state"] == "fetching"
    assert not ledger.jobs.hold("file:1", claimed, 15), "another process has the claim"
    assert not ledger.jobs.hold("nothing", claimed, 15)
    assert ledger.jobs.get("nothing") is None


@pytest.mark.parametrize("step", [0, -3600, 3600])
def test_a_hold_that_is_longer_than_a_claim_is_respected(ledger: Ledger, clock: SteppedClock, step: int) -> None:
    ledger.jobs.add("file:1", lambda held: {"state": "fetching"})
    claimed = ledger.jobs.claim("file:1", 45)
    assert ledger.jobs.hold("file:1", claimed, 300)
    clock.step_wall(step)
    assert ledger.jobs.claim("file:1", 45) is None
    clock.advance(299)
    assert ledger.jobs.claim("file:1", 45) is None
    clock.advance(2)
    assert ledger.jobs.claim("file:1", 45) is not None


def test_a_process_with_an_expired_claim_does_not_overwrite_the_job(ledger: Ledger, clock: SteppedClock) -> None:
    one = begin(ledger)
    late = ledger.jobs.claim(one.id, 45)
    clock.advance(46)
    claimed = ledger.jobs.claim(one.id, 45)
    ledger.jobs.release(one.id, {**late, "state": "given_up"}, None, outcome="webhook_given_up")
    assert (ledger.jobs.get(one.id), ledger.jobs.outcomes()) == (claimed, {})
    ledger.jobs.release(one.id, {**claimed, "state": "delivered"}, None)
    assert ledger.jobs.get(one.id)["state"] == "delivered"


def test_an_old_claim_does_not_overwrite_the_job_of_a_retry_that_pays_again(
    ledger: Ledger, clock: SteppedClock
) -> None:
    one = ledger.begin(entry(ledger, "key"), job=JOB)
    ledger.doubt(one)
    old_claim = ledger.jobs.claim(one.id, 45)
    assert ledger.restart(one, 41.0, job={**JOB, "state": "following anew"})
    ledger.jobs.release(one.id, {**old_claim, "state": "delivered"}, None)
    assert ledger.jobs.get(one.id)["state"] == "following anew"
    clock.advance(42)
    assert ledger.jobs.due(10) == [one.id]


def test_job_outcomes_are_counted(ledger: Ledger) -> None:
    assert ledger.jobs.outcomes() == {}
    for outcome in ("file_kept", "", "file_kept", "webhook_given_up"):
        ledger.jobs.release("file:1", {"state": "kept"}, None, outcome=outcome)
    assert ledger.jobs.outcomes() == {"file_kept": 2, "webhook_given_up": 1}


def test_reserved_room_counts_until_it_is_released_or_expires(ledger: Ledger, clock: SteppedClock) -> None:
    assert ledger.jobs.take_room("one", 100, lasts=30) == 0
    assert ledger.jobs.take_room("two", 20, lasts=60) == 100
    assert ledger.jobs.take_room("one", 100, lasts=30) == 20, "its own reservation does not count"
    clock.advance(31)
    assert ledger.jobs.take_room("three", 1, lasts=60) == 20
    ledger.jobs.leave_room("two")
    ledger.jobs.leave_room("two")
    assert ledger.jobs.take_room("four", 1, lasts=60) == 1
