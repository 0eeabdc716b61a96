"""What the ledger knows of jobs, over each of the three stores: none is lost, and one process has it at a time."""

from __future__ import annotations

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


def test_a_clock_that_is_set_back_holds_no_job_for_long(ledger: Ledger, clock: SteppedClock) -> None:
    one = begin(ledger)
    ledger.claim_job(one.id, 45)
    clock.set_wall(-3600)
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
