"""Jobs in the ledger, on each of the three stores: no job is lost, and one process at a time has its claim."""

from __future__ import annotations

import json

import pytest

from app.splits.jobs import CRASH_PAUSE_SECONDS, MAX_CRASHES, JobsReport, NewJob, StoredJob
from app.splits.ledger import Ledger
from app.splits.store import Entry, Store
from tests.splits.conftest import SteppedClock, entry, stems

JOB = NewJob('{"state": "following", "webhook_url": "https://hooks.example.com/"}')


def begin(ledger: Ledger) -> Entry:
    return ledger.begin(entry(ledger), job=JOB)


def in_state(state: str) -> str:
    return json.dumps({"state": state})


def state_of(job: StoredJob | None) -> str:
    assert job
    state: str = json.loads(job.body)["state"]
    return state


def add(held: str | None) -> str | None:
    """Begin a job, or keep the one that is there."""
    return in_state("fetching") if held is None else None


def test_a_job_is_created_with_its_split_and_is_due_after_the_splits_deadline(
    ledger: Ledger, clock: SteppedClock
) -> None:
    one = begin(ledger)
    assert ledger.jobs.get(one.id) == StoredJob(JOB.body)
    assert (ledger.jobs.due(10), ledger.jobs.behind()) == ([], 0.0)
    clock.advance(51)
    assert (ledger.jobs.due(10), ledger.jobs.behind()) == ([one.id], 10.0)


def test_a_job_is_due_as_soon_as_suno_has_answered(ledger: Ledger) -> None:
    one = begin(ledger)
    assert ledger.jobs.due(10) == []
    ledger.finish(one, stems("a", "b"), paid=True, has_job=True)
    assert ledger.jobs.due(10) == [one.id]


def test_a_split_without_a_job_has_none(ledger: Ledger, clock: SteppedClock) -> None:
    one = ledger.begin(entry(ledger))
    clock.advance(100)
    assert (ledger.jobs.get(one.id), ledger.jobs.claim(one.id, 45), ledger.jobs.due(10)) == (None, None, [])


def test_freeing_a_split_removes_its_job(ledger: Ledger, clock: SteppedClock) -> None:
    one = begin(ledger)
    ledger.free(one)
    clock.advance(100)
    assert (ledger.jobs.get(one.id), ledger.jobs.due(10)) == (None, [])


def test_a_step_does_not_bring_back_the_job_of_a_split_that_was_refused_meanwhile(
    ledger: Ledger, clock: SteppedClock
) -> None:
    """The web was slower than the split's own deadline."""
    one = begin(ledger)
    clock.advance(100)
    claimed = ledger.jobs.claim(one.id, 45)
    assert claimed
    ledger.free(one)
    assert ledger.jobs.release(one.id, claimed, in_state("delivering"), 0.0) == ()
    assert (ledger.jobs.get(one.id), ledger.jobs.due(10)) == (None, [])


def test_one_process_claims_a_job_until_it_returns_it_or_the_claim_expires(
    ledger: Ledger, clock: SteppedClock
) -> None:
    one = begin(ledger)
    claimed = ledger.jobs.claim(one.id, 45)
    assert state_of(claimed) == "following"
    assert ledger.jobs.claim(one.id, 45) is None
    ledger.jobs.release(one.id, claimed, in_state("delivering"), 5)
    assert ledger.jobs.due(10) == []
    clock.advance(6)
    assert ledger.jobs.due(10) == [one.id]
    assert state_of(ledger.jobs.claim(one.id, 45)) == "delivering"
    clock.advance(44)
    assert ledger.jobs.claim(one.id, 45) is None
    clock.advance(2)
    assert ledger.jobs.due(10) == [one.id]
    assert state_of(ledger.jobs.claim(one.id, 45)) == "delivering"


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
    ledger.jobs.release(one.id, StoredJob(""), in_state("delivered"), None)
    clock.advance(1000)
    assert (state_of(ledger.jobs.get(one.id)), ledger.jobs.due(10), ledger.jobs.behind()) == ("delivered", [], 0.0)


def test_the_oldest_due_jobs_come_first(ledger: Ledger, clock: SteppedClock) -> None:
    jobs = [begin(ledger) for _ in range(3)]
    for later, one in zip((30, 10, 20), jobs, strict=True):
        ledger.jobs.release(one.id, StoredJob(""), JOB.body, later)
    clock.advance(100)
    assert ledger.jobs.due(2) == [jobs[1].id, jobs[2].id]


def test_the_ledger_knows_when_a_process_of_jobs_was_last_seen(ledger: Ledger, clock: SteppedClock) -> None:
    assert ledger.jobs.consumer_seen() is None
    ledger.jobs.note_consumer()
    clock.advance(7)
    assert ledger.jobs.consumer_seen() == 7


def test_a_job_without_an_entry_is_created_once_and_due_immediately(ledger: Ledger, clock: SteppedClock) -> None:
    assert ledger.jobs.add("file:1", add) == in_state("fetching")
    assert (ledger.jobs.due(10), ledger.jobs.count_open()) == (["file:1"], 1)
    claimed = ledger.jobs.claim("file:1", 45)
    assert ledger.jobs.add("file:1", add) == claimed.body
    assert ledger.jobs.claim("file:1", 45) is None, "it is claimed"
    ledger.jobs.release("file:1", claimed, in_state("kept"), None, outcome="file_kept")
    assert (ledger.jobs.due(10), ledger.jobs.count_open()) == ([], 0)


def test_holding_a_job_extends_its_claim(ledger: Ledger, clock: SteppedClock) -> None:
    ledger.jobs.add("file:1", add)
    claimed = ledger.jobs.claim("file:1", 45)
    clock.advance(40)
    assert ledger.jobs.hold("file:1", claimed, 15)
    clock.advance(14)
    assert (ledger.jobs.claim("file:1", 45), ledger.jobs.due(10)) == (None, [])
    clock.advance(2)
    assert ledger.jobs.due(10) == ["file:1"]
    assert state_of(ledger.jobs.claim("file:1", 45)) == "fetching"
    assert not ledger.jobs.hold("file:1", claimed, 15), "another process has the claim"
    assert not ledger.jobs.hold("nothing", claimed, 15)
    assert ledger.jobs.get("nothing") is None


@pytest.mark.parametrize("step", [0, -3600, 3600])
def test_a_hold_that_is_longer_than_a_claim_is_respected(ledger: Ledger, clock: SteppedClock, step: int) -> None:
    ledger.jobs.add("file:1", add)
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
    ledger.jobs.release(one.id, late, in_state("given_up"), None, outcome="webhook_given_up")
    assert (ledger.jobs.get(one.id), ledger.jobs.outcomes()) == (claimed, {})
    ledger.jobs.release(one.id, claimed, in_state("delivered"), None)
    assert state_of(ledger.jobs.get(one.id)) == "delivered"


def test_an_old_claim_does_not_overwrite_the_job_of_a_retry_that_pays_again(
    ledger: Ledger, clock: SteppedClock
) -> None:
    one = ledger.begin(entry(ledger, "key"), job=JOB)
    ledger.doubt(one)
    old_claim = ledger.jobs.claim(one.id, 45)
    assert ledger.restart(one, 41.0, job=NewJob(in_state("following anew")))
    ledger.jobs.release(one.id, old_claim, in_state("delivered"), None)
    assert state_of(ledger.jobs.get(one.id)) == "following anew"
    clock.advance(42)
    assert ledger.jobs.due(10) == [one.id]


def test_job_outcomes_are_counted(ledger: Ledger) -> None:
    assert ledger.jobs.outcomes() == {}
    for outcome in ("file_kept", "", "file_kept", "webhook_given_up"):
        ledger.jobs.release("file:1", StoredJob(""), in_state("kept"), None, outcome=outcome)
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


def test_what_changes_during_a_step_makes_the_job_due_again_after_it(ledger: Ledger, clock: SteppedClock) -> None:
    one = ledger.begin(entry(ledger, "key"), job=JOB)
    claimed = ledger.jobs.claim(one.id, 45)
    ledger.jobs.ask_again(one.id)
    ledger.jobs.release(one.id, claimed, in_state("delivered"), None)
    assert (ledger.jobs.due(10), state_of(ledger.jobs.get(one.id))) == ([one.id], "delivered")
    again = ledger.jobs.claim(one.id, 45)
    assert (again.asked, again.body) == (1, in_state("delivered"))
    ledger.jobs.release(one.id, again, in_state("delivered"), None)
    assert ledger.jobs.due(10) == []
    ledger.jobs.ask_again("nothing")
    assert (ledger.jobs.get("nothing"), ledger.jobs.due(10)) == (None, [])


def test_a_job_that_ends_makes_those_due_that_wait_for_it(ledger: Ledger) -> None:
    one = begin(ledger)
    ledger.jobs.add("file:1", add, waiting="nothing")
    claimed = ledger.jobs.claim("file:1", 45)
    ledger.jobs.add("file:1", add, waiting=one.id)
    assert ledger.jobs.release("file:1", claimed, in_state("fetching"), 5) == ()
    assert ledger.jobs.due(10) == []
    claimed = ledger.jobs.claim("file:1", 45)
    assert ledger.jobs.release("file:1", claimed, in_state("kept"), None) == ("nothing", one.id)
    assert ledger.jobs.due(10) == [one.id]


def test_a_job_of_one_0_keeps_those_that_wait_for_it(ledger: Ledger, store: Store) -> None:
    one = begin(ledger)
    stored = {"state": "fetching", "waiting": [one.id]}
    store.transact(lambda tx: tx.put_record("job", "file:1", stored, kept=1000))
    claimed = ledger.jobs.claim("file:1", 45)
    assert (claimed.waiting, claimed.body) == ((one.id,), in_state("fetching"))
    assert ledger.jobs.release("file:1", claimed, in_state("kept"), None) == (one.id,)


def test_a_step_that_fails_unexpectedly_is_repeated_ever_more_rarely_and_then_no_more(
    ledger: Ledger, clock: SteppedClock
) -> None:
    one, began, pauses = begin(ledger), clock.seconds, []
    clock.advance(42)
    while ledger.jobs.due(10):
        claimed = ledger.jobs.claim(one.id, 45)
        ledger.jobs.put_back(one.id, claimed)
        due = ledger.jobs._store.read(lambda tx: tx.next_due())
        if due is not None:
            pauses.append(due - clock.wall)
            clock.advance(due - clock.wall)
    assert (pauses[:3], max(pauses), len(pauses)) == ([30, 60, 120], 3600, MAX_CRASHES)
    assert CRASH_PAUSE_SECONDS == 30 and 9 < (clock.seconds - began) / 86_400 < 12
    claimed = ledger.jobs.claim(one.id, 45)
    assert claimed.body == JOB.body, "nothing of it is lost"
    ledger.jobs.release(one.id, claimed, JOB.body, None)
    assert ledger.jobs.get(one.id).crashes == 0


def test_a_step_that_ends_with_its_process_counts_as_failed(ledger: Ledger, clock: SteppedClock) -> None:
    one = begin(ledger)
    for crashes in range(3):
        clock.advance(46)
        assert ledger.jobs.claim(one.id, 45).crashes == crashes
    claimed = ledger.jobs.get(one.id)
    ledger.jobs.release(one.id, claimed, JOB.body, 0.0)
    assert ledger.jobs.claim(one.id, 45).crashes == 0


def test_a_request_with_a_job_is_known_as_long_as_the_job(ledger: Ledger, clock: SteppedClock) -> None:
    owners = [("account", "")]
    one = ledger.begin(entry(ledger, "key", account="account", request_id="first"), job=JOB)
    ledger.begin(entry(ledger, "key", account="account", request_id="retry"), job=JOB)
    plain = ledger.begin(entry(ledger, account="account", request_id="plain"))
    assert ledger.of_request(owners, "first") == ledger.of_request(owners, "retry") == one
    clock.advance(3 * 86_400.0)
    assert (ledger.of_request(owners, "first"), ledger.of_request(owners, "retry")) == (None, None)
    assert (ledger.id_of_request(owners, "first"), ledger.id_of_request(owners, "retry")) == (one.id, one.id)
    assert ledger.jobs.get(one.id) == StoredJob(JOB.body)
    assert ledger.jobs.get(ledger.id_of_request(owners, "plain")) is None, plain
    assert ledger.id_of_request([("another", "")], "first") == ""


def test_a_refused_split_with_a_job_is_not_known(ledger: Ledger) -> None:
    one = ledger.begin(entry(ledger, account="account", request_id="first"), job=JOB)
    ledger.free(one)
    assert (ledger.of_request([("account", "")], "first"), ledger.id_of_request([("account", "")], "first")) == (
        None,
        "",
    )


def test_jobs_are_due_at_once_after_the_wall_clock_was_set_back(ledger: Ledger, clock: SteppedClock) -> None:
    ledger.jobs.note_consumer()
    one = begin(ledger)
    clock.step_wall(-86_400)
    clock.advance(51)
    assert ledger.jobs.due(10) == []
    ledger.jobs.note_consumer()
    assert ledger.jobs.due(10) == [one.id]


def test_the_reports_of_all_jobs_processes_count_for_a_minute(ledger: Ledger, clock: SteppedClock) -> None:
    assert ledger.jobs.report() is None
    ledger.jobs.note_report("one", JobsReport(4, 0, 50.0, 7.0, 0.0))
    clock.advance(30)
    ledger.jobs.note_report("two", JobsReport(4, 3, 0.0, 5.0, 90.0))
    assert ledger.jobs.report() == JobsReport(8, 3, 0.0, 7.0, 90.0)
    clock.advance(40)
    assert ledger.jobs.report() == JobsReport(4, 3, 0.0, 5.0, 90.0)


def test_a_clock_that_was_set_back_while_no_jobs_process_ran_delays_no_job(
    ledger: Ledger, clock: SteppedClock
) -> None:
    one = begin(ledger)
    clock.step_wall(-86_400.0)
    ledger.jobs.note_consumer()
    assert ledger.jobs.due(10) == [one.id]


@pytest.mark.parametrize("write", ["begin", "claim", "release", "put back", "wake", "finish"])
def test_a_clock_set_forward_and_back_between_two_sweeps_delays_no_job(
    ledger: Ledger, clock: SteppedClock, write: str
) -> None:
    ledger.jobs.note_consumer()
    one = None if write == "begin" else begin(ledger)
    claimed = ledger.jobs.claim(one.id, 1) if write in ("release", "put back") else None
    clock.step_wall(86_400.0)
    match write:
        case "begin":
            one = begin(ledger)
        case "claim":
            ledger.jobs.claim(one.id, 45)
        case "release":
            ledger.jobs.release(one.id, claimed, JOB.body, 45)
        case "put back":
            ledger.jobs.put_back(one.id, claimed)
        case "wake":
            ledger.jobs.ask_again(one.id)
        case "finish":
            ledger.finish(one, stems("a"), paid=True, has_job=True)
    clock.step_wall(-86_400.0)
    ledger.jobs.note_consumer()
    clock.advance(46)
    assert ledger.jobs.due(10) == [one.id]
