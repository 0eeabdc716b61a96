"""The rules of waiting for a person, on each of the three stores."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app.splits.budget import Budget, OverBudget
from app.splits.evidence import Others, Reason, Verdict
from app.splits.jobs import NewJob
from app.splits.ledger import Ledger
from app.splits.store import Entry, State, Store
from app.splits.wait import Ended, Wait
from app.splits.waiting import LookTurn, TooManyWaiting
from app.suno.stems import StemTask
from tests.splits.conftest import SteppedClock, entry, listed, stems

HOUR = 3600.0
DAY = 24 * HOUR
PRICE = 10
BUDGET = Budget("caller x", "credits:caller:x", "credits", 15, 1)
JOB = NewJob('{"kind": "split"}')


def wait_of(ledger: Ledger, *known: str, lasts: float = DAY, part: str = "Lead Vocal") -> Wait:
    return Wait(began=ledger.clock.now(), lasts=lasts, listed=known, part=part)


def begin(ledger: Ledger, key: str = "", **fields: object) -> Entry:
    return ledger.begin(entry(ledger, key, **{"price": PRICE} | fields), budgets=[BUDGET], job=JOB)


def waiting(ledger: Ledger, key: str = "", *known: str, part: str = "Lead Vocal", **fields: object) -> Entry:
    """An entry that waits for a person."""
    held = ledger.wait(begin(ledger, key, **fields), wait_of(ledger, *known, part=part), None)
    assert held is not None
    return held


def again(ledger: Ledger, held: Entry) -> Entry:
    started = ledger.restart(held, 41.0, budgets=[BUDGET])
    assert started is not None
    return started


def found(*sets, **fields):
    return listed(*sets, **{"ended": float("inf")} | fields)


def state(ledger: Ledger, one: Entry) -> State:
    now = ledger.get(one.id)
    assert now is not None
    return now.state


def left(ledger: Ledger) -> int:
    return ledger.left(BUDGET).amount


def is_due(ledger: Ledger, one: Entry) -> bool:
    return one.id in ledger.jobs.due(100)


def test_a_request_that_waits_has_given_its_price_back_and_is_due(ledger: Ledger) -> None:
    one = begin(ledger, "k")
    assert left(ledger) == 5
    held = ledger.wait(one, wait_of(ledger, "old"), None)
    assert held is not None
    assert (held.state, held.attempt, left(ledger)) == (State.NEEDS_PERSON, 1, 15)
    assert ledger.get(one.id) == held
    wait = ledger.waits.get(one.id)
    assert wait is not None
    assert (wait.listed, wait.lasts) == (("old",), DAY)
    assert is_due(ledger, one)
    assert ledger.waits.count() == 1


def test_a_caller_has_a_limited_number_of_requests_that_wait(ledger: Ledger) -> None:
    def wait(key: str, caller: str = "n8n") -> Entry | None:
        one = ledger.begin(entry(ledger, key, caller=caller))
        return ledger.wait(one, wait_of(ledger), JOB, most=2)

    first, second = wait("1"), wait("2")
    assert first and second
    with pytest.raises(TooManyWaiting, match="2 requests") as refused:
        wait("3")
    assert (refused.value.may_have_charged, ledger.waits.count()) == (False, 2)
    assert wait("other", caller="cli")
    # One that goes on waiting has its place.
    started = ledger.restart(first, 41.0)
    assert started and ledger.wait(started, wait_of(ledger), None, most=1)
    assert ledger.waits.end(second, Ended.CANCELLED)
    assert wait("4")
    ended = ledger.restart(second._replace(state=State.FAILED), 41.0)
    assert ended
    with pytest.raises(TooManyWaiting):
        ledger.wait(ended, wait_of(ledger), None, most=2)


def test_a_wait_begins_a_job_if_there_is_none(ledger: Ledger) -> None:
    one = ledger.begin(entry(ledger, "k"))
    ledger.wait(one, wait_of(ledger), JOB)
    assert ledger.jobs.get(one.id) is not None
    assert ledger.id_of_request([(one.account, one.caller)], one.request_id) == one.id


def test_a_whole_new_set_is_taken_for_nothing(ledger: Ledger) -> None:
    one = waiting(ledger, "k", "old1", "old2")
    old, new = stems("old1", "old2", at="2026-11-25T09:00:00.000Z"), stems("a", "b")
    finding = ledger.waits.adopt(one, found(old, new))
    assert (finding.verdict, finding.stems) == (Verdict.OURS, new)
    done = ledger.get(one.id)
    assert done is not None
    assert (done.state, [stem.id for stem in done.stems], done.price) == (State.DONE, ["a", "b"], 0)
    assert (left(ledger), ledger.waits.count(), is_due(ledger, one)) == (15, 0, True)
    wait = ledger.waits.get(one.id)
    assert wait is not None
    assert wait.is_adopted
    assert ledger.waits.adopt(one, found()).verdict is Verdict.OURS


@pytest.mark.parametrize(
    ("sets", "known", "why"),
    [
        ([stems("a", "b")], ("a", "b"), None),
        ([stems("a")], (), Reason.LISTED),
        ([stems("a", "b")], ("a",), Reason.LISTED),
        ([], (), None),
    ],
)
def test_less_than_a_whole_new_set_is_not_taken(ledger: Ledger, sets, known, why) -> None:
    one = waiting(ledger, "k", *known)
    finding = ledger.waits.adopt(one, found(*sets))
    assert finding.verdict in (Verdict.NONE, Verdict.PERHAPS)
    assert finding.reason is why
    assert state(ledger, one) is State.NEEDS_PERSON


def test_a_set_that_was_seen_once_is_not_taken(ledger: Ledger) -> None:
    one = waiting(ledger)
    once = replace(found(stems("a", "b")), seen=frozenset())
    assert ledger.waits.adopt(one, once).reason is Reason.UNCONFIRMED
    assert state(ledger, one) is State.NEEDS_PERSON


def test_a_set_that_the_song_does_not_list_is_not_taken(ledger: Ledger) -> None:
    one = waiting(ledger)
    finding = ledger.waits.adopt(one, found(stems("a", "b"), listed=frozenset()))
    assert (finding.verdict, finding.reason) == (Verdict.PERHAPS, Reason.NEWEST)


@pytest.mark.parametrize(
    ("others", "verdict"),
    [
        (Others(has_stem=False, newest=()), Verdict.NONE),
        (Others(has_stem=True, newest=()), Verdict.PERHAPS),
        (Others(has_stem=None, newest=()), Verdict.UNREADABLE),
        (Others(has_stem=False, newest=None), Verdict.UNREADABLE),
        (None, Verdict.UNSEEN),
    ],
)
def test_that_nothing_is_new_takes_all_witnesses(ledger: Ledger, others: Others | None, verdict: Verdict) -> None:
    assert ledger.waits.adopt(waiting(ledger), found(others=others)).verdict is verdict


def test_stems_of_another_request_are_not_taken(ledger: Ledger) -> None:
    song = {"song_id": "s", "account": "a"}
    one = waiting(ledger, **song)
    other = ledger.begin(entry(ledger, **song))
    assert ledger.waits.adopt(one, found(stems("a", "b"))).reason is Reason.RUNNING
    ledger.finish(other, stems("a", "b"), paid=True)
    assert ledger.waits.adopt(one, found(stems("a", "b"))).verdict is Verdict.NONE
    assert state(ledger, one) is State.NEEDS_PERSON


def test_neither_a_request_in_doubt_nor_one_that_waits_takes_what_may_be_the_others(ledger: Ledger) -> None:
    song = {"song_id": "s", "account": "a"}
    lost = ledger.begin(entry(ledger, "lost", **song))
    ledger.doubt(lost)
    one = waiting(ledger, **song)
    assert ledger.waits.adopt(one, found(stems("a", "b"))).reason is Reason.CONTENDED
    assert ledger.settle(lost, listed(stems("a", "b"))).reason is Reason.CONTENDED
    assert ledger.waits.end(one, Ended.CANCELLED)
    assert ledger.settle(lost, listed(stems("a", "b"))).verdict is Verdict.OURS


def test_a_request_in_doubt_takes_what_was_listed_before_another_began_to_wait(ledger: Ledger) -> None:
    song = {"song_id": "s", "account": "a"}
    lost = ledger.begin(entry(ledger, "lost", **song))
    ledger.doubt(lost)
    one = waiting(ledger, "", "a", "b", **song)
    first, second = stems("a", "b"), stems("c", "d", at="2026-11-25T11:00:00.000Z")
    assert ledger.waits.adopt(one, found(first, second)).reason is Reason.CONTENDED
    settled = ledger.settle(lost, listed(first, second))
    assert (settled.verdict, settled.stems) == (Verdict.OURS, first)
    assert ledger.waits.adopt(one, found(first, second)).stems == second


def test_of_all_parts_a_few_are_taken_once_they_are_final(ledger: Ledger) -> None:
    """A list may show only some of a set that a person has just begun."""

    def taken(ids: str, status: str) -> int:
        made = [replace(stem, status=status) for stem in stems(*ids)]
        one = waiting(ledger, task="twelve", part="")
        return len(ledger.waits.adopt(one, found(made, kind=StemTask.TWELVE)).stems)

    assert (taken("abc", "streaming"), taken("abc", "complete"), taken("defghijklmno", "submitted")) == (0, 3, 12)


def test_a_wait_that_is_over_ends_when_it_is_seen(ledger: Ledger, clock: SteppedClock) -> None:
    one = waiting(ledger, "k")
    clock.advance(DAY - 1)
    assert not ledger.waits.end_if_over(one)
    clock.advance(1)
    assert ledger.waits.end_if_over(one)
    assert state(ledger, one) is State.FAILED
    assert not ledger.waits.end_if_over(one)


def test_requests_whose_wait_is_over_or_whose_entry_is_gone_take_no_place(
    ledger: Ledger, clock: SteppedClock
) -> None:
    """No jobs process has ended them."""
    first, second = waiting(ledger, price=0), waiting(ledger, price=0)
    with pytest.raises(TooManyWaiting):
        ledger.wait(begin(ledger, price=0), wait_of(ledger), None, most=2)
    ledger._store.transact(lambda tx: tx.remove(second))
    assert ledger.wait(begin(ledger, price=0), wait_of(ledger), None, most=2)
    with pytest.raises(TooManyWaiting):
        ledger.wait(begin(ledger, price=0), wait_of(ledger), None, most=2)
    clock.advance(DAY)
    assert ledger.wait(begin(ledger, price=0), wait_of(ledger), None, most=1)
    assert state(ledger, first) is State.NEEDS_PERSON


def test_a_request_of_an_earlier_name_of_the_account_is_a_rival(ledger: Ledger) -> None:
    """Suno's token has named no user for a while."""
    lost = ledger.begin(entry(ledger, "lost", song_id="s", account="hash"))
    ledger.doubt(lost)
    one = begin(ledger, song_id="s", account="user")
    assert ledger.wait(one, replace(wait_of(ledger), names=("user", "hash")), None)
    assert ledger.waits.adopt(one, found(stems("a", "b"))).reason is Reason.CONTENDED
    assert ledger.settle(lost, listed(stems("a", "b"))).reason is Reason.CONTENDED


@pytest.mark.parametrize("other", [{"account": "b"}, {"task": "twelve"}, {"song_id": "t"}])
def test_a_request_in_doubt_for_something_else_does_not_matter(ledger: Ledger, other: dict[str, str]) -> None:
    song = {"song_id": "s", "account": "a"}
    ledger.doubt(ledger.begin(entry(ledger, **song | other)))
    assert ledger.waits.adopt(waiting(ledger, **song), found(stems("a", "b"))).verdict is Verdict.OURS


def test_the_older_request_takes_the_first_set(ledger: Ledger, clock: SteppedClock) -> None:
    song = {"song_id": "s", "account": "a"}
    older = waiting(ledger, "1", **song)
    clock.advance(1)
    younger, bass = waiting(ledger, "2", **song), waiting(ledger, "3", part="Bass", **song)
    first, second = stems("a", "b"), stems("c", "d", at="2026-11-25T11:00:00.000Z")
    assert ledger.waits.adopt(younger, found(first)).reason is Reason.CONTENDED
    assert ledger.waits.adopt(older, found(first)).verdict is Verdict.OURS
    assert ledger.waits.adopt(younger, found(first)).verdict is Verdict.NONE
    assert ledger.waits.adopt(younger, found(first, second)).stems == second
    assert ledger.waits.adopt(bass, found(stems("e", "f"))).verdict is Verdict.OURS


def test_a_request_for_another_part_does_not_wait_for_the_older_one(ledger: Ledger, clock: SteppedClock) -> None:
    song = {"song_id": "s", "account": "a"}
    waiting(ledger, "1", part="Bass", **song)
    clock.advance(1)
    younger = waiting(ledger, "2", **song)
    assert ledger.waits.adopt(younger, found(stems("a", "b"))).verdict is Verdict.OURS


def test_what_the_person_has_split_into_another_kind_explains_the_mark(ledger: Ledger) -> None:
    marked = Others(has_stem=True, newest=())
    one, other_kind = waiting(ledger), stems("a", "b")
    assert ledger.waits.adopt(one, found(others=marked, listed=frozenset("ab"))).reason is Reason.MARKED
    explained = found(others=marked, listed=frozenset("ab"), of_other_kind=frozenset(s.id for s in other_kind))
    assert ledger.waits.adopt(one, explained).verdict is Verdict.NONE


def test_a_request_that_has_its_outcome_begins_no_wait(ledger: Ledger) -> None:
    done, lost, removed = begin(ledger, "1"), begin(ledger, "2", price=0), begin(ledger, "3", price=0)
    ledger.finish(done, stems("a", "b"), paid=True)
    ledger.doubt(lost)
    ledger.free(removed)
    for one in (done, lost, removed):
        assert ledger.wait(one, wait_of(ledger), JOB) is None
    assert (state(ledger, done), state(ledger, lost)) == (State.DONE, State.IN_DOUBT)
    assert ledger.get(removed.id) is None


def test_stems_that_suno_names_for_another_request_are_taken_away_again(ledger: Ledger) -> None:
    """A split without a key, of a process whose ledger was away, is answered late."""
    song = {"song_id": "s", "account": "a"}
    one = waiting(ledger, "k", **song)
    assert ledger.waits.adopt(one, found(stems("a", "b"))).verdict is Verdict.OURS
    ledger.finish(entry(ledger, **song), stems("a", "b"), paid=True)
    held = ledger.get(one.id)
    assert held is not None
    assert (held.state, held.stems, ledger.waits.count()) == (State.NEEDS_PERSON, (), 1)
    wait = ledger.waits.get(one.id)
    assert wait is not None
    assert not wait.is_adopted
    assert ledger.waits.adopt(one, found(stems("c", "d"))).verdict is Verdict.OURS


def test_trying_again_pays_once_and_takes_nothing_more(ledger: Ledger) -> None:
    one = waiting(ledger, "k", "old")
    started = again(ledger, one)
    assert (started.state, started.attempt, left(ledger)) == (State.STARTED, 2, 5)
    assert ledger.restart(one, 41.0) is None
    assert ledger.waits.adopt(one, found(stems("a", "b"))).reason is Reason.CHANGED
    assert not ledger.waits.end(one, Ended.CANCELLED)
    assert ledger.waits.count() == 0
    ledger.doubt(started)
    assert ledger.waits.adopt(started, found(stems("a", "b"))).reason is Reason.CHANGED
    assert ledger.settle(started, listed(stems("a", "b"))).verdict is Verdict.OURS
    assert left(ledger) == 5
    wait = ledger.waits.get(one.id)
    assert wait is not None
    assert not wait.is_adopted


def test_what_was_listed_at_the_wait_is_not_of_a_later_paid_call(ledger: Ledger) -> None:
    started = again(ledger, waiting(ledger, "k", "a", "b"))
    ledger.doubt(started)
    assert ledger.settle(started, listed(stems("a", "b"))).verdict is Verdict.NONE


def test_a_refused_attempt_waits_as_before(ledger: Ledger, clock: SteppedClock) -> None:
    one = waiting(ledger, "k", "old")
    for refuse in (
        lambda started: ledger.wait(started, wait_of(ledger, "other", lasts=1.0), None),
        ledger.free,
        ledger.free,
    ):
        clock.advance(HOUR)
        held = ledger.get(one.id)
        assert held is not None
        refuse(again(ledger, held))
        now, wait = ledger.get(one.id), ledger.waits.get(one.id)
        assert now is not None
        assert wait is not None
        assert (now.state, now.attempt_began, now.lasts) == (State.NEEDS_PERSON, one.attempt_began, one.lasts)
        assert (wait.listed, wait.attempt, left(ledger)) == (("old",), now.attempt, 15)


def test_an_attempt_over_budget_leaves_it_waiting(ledger: Ledger) -> None:
    one = waiting(ledger, "k")
    begin(ledger)
    with pytest.raises(OverBudget):
        ledger.restart(one, 41.0, budgets=[BUDGET])
    assert ledger.get(one.id) == one


def test_after_a_lost_reply_no_wait_begins(ledger: Ledger, clock: SteppedClock) -> None:
    """A paid call of it may have left: what is found counts as paid."""
    one = begin(ledger, "k")
    ledger.doubt(one)
    clock.advance(101)
    second = again(ledger, one)
    assert ledger.wait(second, wait_of(ledger), JOB) is None
    ledger.free(second)
    assert state(ledger, one) is State.IN_DOUBT


def test_a_lost_attempt_after_a_wait_ends_the_waiting(ledger: Ledger) -> None:
    second = again(ledger, waiting(ledger, "k"))
    ledger.doubt(second)
    third = again(ledger, second)
    assert ledger.wait(third, wait_of(ledger), JOB) is None
    ledger.free(third)
    assert state(ledger, third) is State.IN_DOUBT


def test_a_process_that_slept_begins_no_wait(ledger: Ledger, clock: SteppedClock) -> None:
    one = begin(ledger, "k")
    clock.advance(200)
    started = again(ledger, one)
    assert ledger.wait(one, wait_of(ledger), JOB) is None
    assert ledger.get(one.id) == started


def test_a_retry_that_saw_a_doubt_does_not_pay_for_one_that_waits(ledger: Ledger, clock: SteppedClock) -> None:
    """Suno's refusal came after the deadline of the call: a retry had begun to look for its stems."""
    one = begin(ledger, "k")
    clock.advance(50)
    seen = ledger.get(one.id)
    assert seen is not None
    assert seen.state is State.IN_DOUBT
    assert ledger.wait(one, wait_of(ledger), None) is not None
    assert ledger.settle(seen, listed(stems("a", "b"))).reason is Reason.CHANGED
    assert not ledger.give_back(seen)
    assert ledger.restart(seen, 41.0) is None
    assert state(ledger, one) is State.NEEDS_PERSON


@pytest.mark.parametrize("how", list(Ended))
def test_a_wait_that_has_ended_can_begin_again_with_its_key(ledger: Ledger, how: Ended) -> None:
    one = waiting(ledger, "k", "old")
    assert ledger.waits.end(one, how)
    assert not ledger.waits.end(one, how)
    held = ledger.begin(entry(ledger, "k", account=one.account))
    assert (held.id, held.state, ledger.waits.count()) == (one.id, State.FAILED, 0)
    wait = ledger.waits.get(one.id)
    assert wait is not None
    assert wait.ended is how
    started = again(ledger, held)
    ledger.free(started)
    assert state(ledger, one) is State.FAILED
    anew = again(ledger, started._replace(state=State.FAILED, attempt=started.attempt))
    held = ledger.wait(anew, wait_of(ledger, "newer"), None)
    assert held is not None
    wait = ledger.waits.get(one.id)
    assert wait is not None
    assert (wait.ended, wait.listed, held.state) == (None, ("newer",), State.NEEDS_PERSON)


def test_a_key_whose_wait_has_ended_lets_those_that_wait_go_first(ledger: Ledger) -> None:
    song = {"song_id": "s", "account": "a"}
    one = waiting(ledger, "1", **song)
    ledger.waits.end(one, Ended.TOO_LATE)
    other = waiting(ledger, "2", **song)
    assert ledger.waits.adopt(one, found(stems("a", "b"))).reason is Reason.CONTENDED
    assert ledger.waits.adopt(other, found(stems("a", "b"))).verdict is Verdict.OURS
    assert ledger.waits.adopt(one, found(stems("c", "d"))).verdict is Verdict.OURS


def test_a_key_does_not_end_while_its_request_waits_and_a_day_after_it_does(
    ledger: Ledger, clock: SteppedClock
) -> None:
    one = begin(ledger, "k")
    assert ledger.wait(one, wait_of(ledger, lasts=2 * DAY), None)
    clock.advance(2 * DAY + 23 * HOUR)
    assert ledger.begin(entry(ledger, "k", account=one.account)).id == one.id
    clock.advance(2 * HOUR)
    assert ledger.begin(entry(ledger, "k", account=one.account)).id != one.id


def test_a_cancelled_requests_key_ends_a_day_later(ledger: Ledger, clock: SteppedClock) -> None:
    one = waiting(ledger, "k")
    clock.advance(HOUR)
    ledger.waits.end(one, Ended.CANCELLED)
    clock.advance(23 * HOUR)
    assert ledger.begin(entry(ledger, "k", account=one.account)).id == one.id
    clock.advance(2 * HOUR)
    assert ledger.begin(entry(ledger, "k", account=one.account)).id != one.id


def test_one_look_serves_all_requests_of_an_account(ledger: Ledger, clock: SteppedClock) -> None:
    first = waiting(ledger, "1", account="a")
    clock.advance(1)
    second, _ = waiting(ledger, "2", account="a"), waiting(ledger, "3", account="b")
    look = ledger.waits.take_look("a", 60.0)
    assert isinstance(look, LookTurn)
    assert [held.id for held, _ in look.waiting] == [first.id, second.id]
    clock.advance(20)
    assert ledger.waits.take_look("a", 60.0) == 40.0
    assert isinstance(ledger.waits.take_look("b", 60.0), LookTurn)
    clock.advance(40)
    later = ledger.waits.take_look("a", 60.0)
    assert isinstance(later, LookTurn)
    assert later.number == 1


def test_a_wait_that_nobody_has_ended_holds_back_nobody(ledger: Ledger, clock: SteppedClock) -> None:
    """No jobs process runs."""
    song = {"song_id": "s", "account": "a"}
    waiting(ledger, "1", **song)
    clock.advance(DAY)
    one = waiting(ledger, "2", **song)
    assert ledger.waits.adopt(one, found(stems("a", "b"))).verdict is Verdict.OURS


def test_a_request_that_the_ledger_has_lost_does_not_count(ledger: Ledger, store: Store) -> None:
    lost, one = waiting(ledger, "1", account="a"), waiting(ledger, "2", account="a")
    store.transact(lambda tx: tx.remove(lost))
    look = ledger.waits.take_look("a", 60.0)
    assert isinstance(look, LookTurn)
    assert ([held.id for held, _ in look.waiting], ledger.waits.count()) == ([one.id], 1)


def test_an_older_release_cannot_read_the_new_states_and_so_does_not_pay_for_them() -> None:
    """Its enum has three states: it raises ValueError when it reads the entry, before it calls Suno."""
    assert {State.NEEDS_PERSON, State.FAILED} & {"started", "done", "in_doubt"} == set()
