"""What the ledger knows of jobs, over each of the three stores: none is lost, and one process has it at a time."""

from __future__ import annotations

from typing import Any

import pytest

from app.splits.ledger import Ledger
from app.splits.store import Entry
from tests.splits.conftest import SteppedClock, entry

JOB = {"state": "following", "webhook_url": "https://hooks.example.com/"}


def begin(ledger: Ledger) -> Entry:
    return ledger.begin(entry(ledger), job=JOB)


def test_a_job_begins_with_its_split_and_is_due_once_that_is_over(ledger: Ledger, clock: SteppedClock) -> None:
    one = begin(ledger)
    assert ledger.job(one.id) == JOB
    assert (ledger.due_jobs(10), ledger.jobs_behind()) == ([], 0.0)
    clock.pass_by(51)
    assert (ledger.due_jobs(10), ledger.jobs_behind()) == ([one.id], 10.0)


def test_a_split_without_a_job_has_none(ledger: Ledger, clock: SteppedClock) -> None:
    one = ledger.begin(entry(ledger))
    clock.pass_by(100)
    assert (ledger.job(one.id), ledger.claim_job(one.id, 45), ledger.due_jobs(10)) == (None, None, [])


def test_what_cost_nothing_has_no_job_any_more(ledger: Ledger, clock: SteppedClock) -> None:
    one = begin(ledger)
    ledger.free(one)
    clock.pass_by(100)
    assert (ledger.job(one.id), ledger.due_jobs(10)) == (None, [])


def test_one_process_has_a_job_until_it_gives_it_back_or_dies(ledger: Ledger, clock: SteppedClock) -> None:
    one = begin(ledger)
    claimed = ledger.claim_job(one.id, 45)
    assert claimed["state"] == "following"
    assert ledger.claim_job(one.id, 45) is None
    ledger.put_job(one.id, {**claimed, "state": "delivering"}, 5)
    assert ledger.due_jobs(10) == []
    clock.pass_by(6)
    assert ledger.due_jobs(10) == [one.id]
    assert ledger.claim_job(one.id, 45)["state"] == "delivering"
    clock.pass_by(44)
    assert ledger.claim_job(one.id, 45) is None
    clock.pass_by(2)
    assert ledger.due_jobs(10) == [one.id]
    assert ledger.claim_job(one.id, 45)["state"] == "delivering"


@pytest.mark.parametrize("step", [-3600, 3600])
def test_a_clock_that_is_set_neither_ends_a_claim_nor_prolongs_it(
    ledger: Ledger, clock: SteppedClock, step: int
) -> None:
    one = begin(ledger)
    ledger.claim_job(one.id, 45)
    clock.set_wall(step)
    clock.pass_by(44)
    assert ledger.claim_job(one.id, 45) is None
    clock.pass_by(2)
    assert ledger.claim_job(one.id, 45) is not None


def test_the_claim_of_another_machine_ends_in_time(ledger: Ledger, clock: SteppedClock) -> None:
    one = begin(ledger)
    ledger.claim_job(one.id, 45)
    clock.boot, clock.seconds = "another machine", 5.0
    assert ledger.claim_job(one.id, 45) is None
    clock.pass_by(46)
    assert ledger.claim_job(one.id, 45) is not None


def test_a_job_that_is_over_is_known_and_not_due(ledger: Ledger, clock: SteppedClock) -> None:
    one = begin(ledger)
    ledger.put_job(one.id, {**JOB, "state": "delivered"}, None)
    clock.pass_by(1000)
    assert (ledger.job(one.id)["state"], ledger.due_jobs(10), ledger.jobs_behind()) == ("delivered", [], 0.0)


def test_the_oldest_are_taken_up_first(ledger: Ledger, clock: SteppedClock) -> None:
    jobs = [begin(ledger) for _ in range(3)]
    for later, one in zip((30, 10, 20), jobs, strict=True):
        ledger.put_job(one.id, JOB, later)
    clock.pass_by(100)
    assert ledger.due_jobs(2) == [jobs[1].id, jobs[2].id]


def test_whether_somebody_does_jobs_is_known(ledger: Ledger, clock: SteppedClock) -> None:
    assert ledger.consumer_seen() is None
    ledger.note_consumer()
    clock.pass_by(7)
    assert ledger.consumer_seen() == 7


def test_a_job_of_no_entry_is_begun_once_and_due_at_once(ledger: Ledger, clock: SteppedClock) -> None:
    def add(held: dict[str, Any] | None) -> dict[str, Any] | None:
        return {"state": "fetching"} if held is None else None

    assert ledger.add_job("file:1", add) == {"state": "fetching"}
    assert (ledger.due_jobs(10), ledger.jobs_open()) == (["file:1"], 1)
    claimed = ledger.claim_job("file:1", 45)
    assert ledger.add_job("file:1", add) == claimed
    assert ledger.claim_job("file:1", 45) is None, "it is being done"
    ledger.put_job("file:1", {**claimed, "state": "kept"}, None, outcome="file_kept")
    assert (ledger.due_jobs(10), ledger.jobs_open()) == ([], 0)


def test_a_job_that_goes_on_is_held(ledger: Ledger, clock: SteppedClock) -> None:
    ledger.add_job("file:1", lambda held: {"state": "fetching"})
    claimed = ledger.claim_job("file:1", 45)
    clock.pass_by(40)
    assert ledger.hold_job("file:1", claimed, 15)
    clock.pass_by(14)
    assert (ledger.claim_job("file:1", 45), ledger.due_jobs(10)) == (None, [])
    clock.pass_by(2)
    assert ledger.due_jobs(10) == ["file:1"]
    assert ledger.claim_job("file:1", 45)["state"] == "fetching"
    assert not ledger.hold_job("file:1", claimed, 15), "another has it"
    assert not ledger.hold_job("nothing", claimed, 15)
    assert ledger.job("nothing") is None


@pytest.mark.parametrize("step", [0, -3600, 3600])
def test_a_hold_that_is_longer_than_a_claim_is_respected(ledger: Ledger, clock: SteppedClock, step: int) -> None:
    ledger.add_job("file:1", lambda held: {"state": "fetching"})
    claimed = ledger.claim_job("file:1", 45)
    assert ledger.hold_job("file:1", claimed, 300)
    clock.set_wall(step)
    assert ledger.claim_job("file:1", 45) is None
    clock.pass_by(299)
    assert ledger.claim_job("file:1", 45) is None
    clock.pass_by(2)
    assert ledger.claim_job("file:1", 45) is not None


def test_who_was_late_overwrites_no_job_of_another(ledger: Ledger, clock: SteppedClock) -> None:
    one = begin(ledger)
    late = ledger.claim_job(one.id, 45)
    clock.pass_by(46)
    claimed = ledger.claim_job(one.id, 45)
    ledger.put_job(one.id, {**late, "state": "given_up"}, None, outcome="webhook_given_up")
    assert (ledger.job(one.id), ledger.job_outcomes()) == (claimed, {})
    ledger.put_job(one.id, {**claimed, "state": "delivered"}, None)
    assert ledger.job(one.id)["state"] == "delivered"


def test_a_retry_that_pays_again_keeps_its_job_from_who_still_tells_of_the_first(
    ledger: Ledger, clock: SteppedClock
) -> None:
    one = ledger.begin(entry(ledger, "key"), job=JOB)
    ledger.doubt(one)
    telling = ledger.claim_job(one.id, 45)
    assert ledger.restart(one, 41.0, job={**JOB, "state": "following anew"})
    ledger.put_job(one.id, {**telling, "state": "delivered"}, None)
    assert ledger.job(one.id)["state"] == "following anew"
    clock.pass_by(42)
    assert ledger.due_jobs(10) == [one.id]


def test_what_jobs_come_to_is_counted(ledger: Ledger) -> None:
    assert ledger.job_outcomes() == {}
    for outcome in ("file_kept", "", "file_kept", "webhook_given_up"):
        ledger.put_job("file:1", {"state": "kept"}, None, outcome=outcome)
    assert ledger.job_outcomes() == {"file_kept": 2, "webhook_given_up": 1}


def test_what_comes_is_counted_until_it_is_there_or_its_process_is_dead(ledger: Ledger, clock: SteppedClock) -> None:
    assert ledger.take_room("one", 100, lasts=30) == 0
    assert ledger.take_room("two", 20, lasts=60) == 100
    assert ledger.take_room("one", 100, lasts=30) == 20, "its own is not counted against it"
    clock.pass_by(31)
    assert ledger.take_room("three", 1, lasts=60) == 20
    ledger.leave_room("two")
    ledger.leave_room("two")
    assert ledger.take_room("four", 1, lasts=60) == 1
