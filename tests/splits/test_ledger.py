"""The rules of "paid once", over each of the three stores."""

from __future__ import annotations

import sqlite3
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import redis

from app.splits.ledger import KEPT, LEADS, STEPS, Found, Ledger, Turn, open_ledger
from app.splits.redis import RedisStore, why_unavailable
from app.splits.sqlite import SqliteStore
from app.splits.store import LedgerUnavailable, MemoryStore, State, Store, Transaction
from app.suno.stems import Made
from tests.splits.conftest import SteppedClock, entry, stems

DAY = 24 * 3600.0


def in_doubt(ledger: Ledger, idempotency_key: str = "", **fields: object):
    """An entry whose paid call ended without an answer."""
    one = ledger.begin(entry(ledger, idempotency_key, **fields))
    ledger.doubt(one)
    return one


def made(*sets, unknown=()) -> Made:
    return Made(tuple(sets), tuple(unknown))


def test_a_new_entry_is_written_and_read(ledger: Ledger) -> None:
    one = entry(ledger, "key")
    assert ledger.begin(one) == one == ledger.get(one.id)
    assert one.state is State.STARTED


def test_the_same_key_of_the_same_caller_and_account_is_the_same_entry(ledger: Ledger) -> None:
    one = ledger.begin(entry(ledger, "key", account="a", caller="c"))
    assert ledger.begin(entry(ledger, "key", account="a", caller="c")).id == one.id
    for other in ({"account": "b", "caller": "c"}, {"account": "a", "caller": "d"}):
        assert ledger.begin(entry(ledger, "key", **other)).id != one.id
    assert ledger.begin(entry(ledger, "another", account="a", caller="c")).id != one.id


def test_an_account_is_found_under_the_names_that_it_had(ledger: Ledger) -> None:
    one = ledger.begin(entry(ledger, "key", account=f"hash-{ledger.clock.now().boot}"))
    again = entry(ledger, "key", account="user")
    assert ledger.begin(again, older=(("other", ""), (one.account, ""))).id == one.id


def test_of_many_at_once_one_begins(ledger_url: str) -> None:
    ledgers = [open_ledger(ledger_url) for _ in range(8)]
    account = entry(ledgers[0]).account
    with ThreadPoolExecutor(8) as pool:
        begun = list(pool.map(lambda one: one.begin(entry(one, "key", account=account)).id, ledgers))
    assert len(set(begun)) == 1


@pytest.mark.parametrize("step", [-2 * DAY, -55 * 60, 150, DAY, 2 * DAY])
def test_no_step_of_the_wall_clock_forgets_a_key_or_ends_a_call(
    ledger: Ledger, clock: SteppedClock, step: float
) -> None:
    one = ledger.begin(entry(ledger, "key"))
    clock.set_wall(step)
    held = ledger.begin(entry(ledger, "key", account=one.account))
    assert (held.id, held.state) == (one.id, State.STARTED)
    clock.pass_by(40)
    assert ledger.get(one.id).state is State.STARTED
    clock.pass_by(2)
    assert ledger.get(one.id).state is State.IN_DOUBT


def test_a_key_is_forgotten_after_a_day_and_its_stems_stay_its_own(ledger: Ledger, clock: SteppedClock) -> None:
    one = ledger.begin(entry(ledger, "key", song_id="s-kept"))
    ledger.finish(one, stems("kept-a", "kept-b"), paid=True)
    clock.pass_by(KEPT - 1)
    assert ledger.begin(entry(ledger, "key", account=one.account)).id == one.id
    clock.pass_by(2)
    new = ledger.begin(entry(ledger, "key", account=one.account, song_id="s-kept"))
    assert new.id != one.id
    assert ledger.of_request([(one.account, "")], one.request_id) is None
    ledger.doubt(new)
    assert ledger.settle(new, made(stems("kept-a", "kept-b"))) is Found.NO


def test_after_a_start_of_the_machine_its_calls_are_over_and_its_keys_known(
    ledger: Ledger, clock: SteppedClock
) -> None:
    one = ledger.begin(entry(ledger, "key"))
    clock.boot, clock.seconds = "the next start", 60.0
    clock.pass_by(100)
    assert ledger.begin(entry(ledger, "key", account=one.account)).state is State.IN_DOUBT
    clock.set_wall(2 * DAY)
    assert ledger.begin(entry(ledger, "key", account=one.account)).id == one.id


def test_what_was_paid_for_is_kept_with_what_was_answered_first(ledger: Ledger) -> None:
    one = ledger.begin(entry(ledger, "key"))
    paid, final = stems("a", "b"), tuple(stem for stem in stems("a", "b"))
    assert ledger.finish(one, paid, paid=True).stems == paid
    ledger.answer(one, paid)
    ledger.answer(one, stems("a"))
    held = ledger.begin(entry(ledger, "key", account=one.account))
    assert (held.state, held.stems, held.reply, held.final_reply) == (State.DONE, paid, final, ())


def test_the_first_reply_of_final_stems_is_kept_besides(ledger: Ledger) -> None:
    one = ledger.begin(entry(ledger, "key"))
    first = ledger.finish(one, stems("a"), paid=True).stems
    final = tuple(type(stem)(stem.id, status="complete", title="Song", duration=183.0) for stem in first)
    for answer in (first, final, stems("b")):
        ledger.answer(one, answer)
    held = ledger.get(one.id)
    assert (held.reply, held.final_reply) == (first, final)
    assert str(held.final_reply[0].duration) == "183.0"


@pytest.mark.parametrize("title", ["Ocean \ud83c", "\x00", "日本", None])
def test_any_title_is_kept(ledger: Ledger, title: str | None) -> None:
    one = ledger.begin(entry(ledger))
    [stem] = stems("a")
    odd = (type(stem)("a", title=title),)
    assert ledger.finish(one, odd, paid=True).stems == odd == ledger.get(one.id).stems


@pytest.mark.parametrize("key", ["'; DROP TABLE entries --", "a:b", "%", '"', "\\", "{}"])
def test_an_odd_key_is_kept_apart(ledger: Ledger, key: str) -> None:
    one = ledger.begin(entry(ledger, key))
    assert ledger.begin(entry(ledger, key, account=one.account)).id == one.id
    assert ledger.begin(entry(ledger, key + "x", account=one.account)).id != one.id


def test_an_entry_that_cost_nothing_frees_its_key_and_leaves_nothing(ledger: Ledger) -> None:
    one = ledger.begin(entry(ledger, "key"))
    ledger.free(one)
    assert ledger.get(one.id) is None
    assert ledger.of_request([(one.account, "")], one.request_id) is None
    assert ledger.begin(entry(ledger, "key", account=one.account)).id != one.id


def test_what_is_paid_for_can_no_longer_be_freed_or_doubted(ledger: Ledger) -> None:
    one = ledger.begin(entry(ledger))
    ledger.finish(one, stems("a"), paid=True)
    ledger.free(one)
    ledger.doubt(one)
    assert ledger.restart(one, 41) is None
    assert ledger.get(one.id).state is State.DONE


def test_what_a_beginning_could_not_write_is_known_once_its_end_is(ledger: Ledger) -> None:
    paid, doubted = entry(ledger), entry(ledger)
    ledger.finish(paid, stems("a"), paid=True)
    ledger.doubt(doubted)
    assert ledger.of_request([(paid.account, "")], paid.request_id).state is State.DONE
    assert ledger.of_request([(doubted.account, "")], doubted.request_id).state is State.IN_DOUBT


# Whose stems are they?


def test_an_entry_in_doubt_takes_the_oldest_set_that_is_nobodys(ledger: Ledger) -> None:
    paid = ledger.begin(entry(ledger, song_id="s1"))
    ledger.finish(paid, stems("1a", "1b"), paid=True)
    one = in_doubt(ledger, song_id="s1")
    assert ledger.settle(one, made(stems("1a", "1b"), stems("2a", "2b"), stems("3a", "3b"))) is Found.YES
    assert [stem.id for stem in ledger.get(one.id).stems] == ["2a", "2b"]


@pytest.mark.parametrize("other", [{"account": "another"}, {"task": "twelve"}, {"caller": "another"}])
def test_while_another_request_for_the_song_may_be_told_its_stems_one_in_doubt_stays_so(
    ledger: Ledger, clock: SteppedClock, other: dict[str, str]
) -> None:
    song = entry(ledger).song_id
    b = ledger.begin(entry(ledger, song_id=song, **other))
    a = in_doubt(ledger, song_id=song)
    assert ledger.settle(a, made(stems("b1", "b2"), stems("a1", "a2"))) is Found.PERHAPS
    ledger.finish(b, stems("b1", "b2"), paid=True)
    assert ledger.settle(a, made(stems("b1", "b2"), stems("a1", "a2"))) is Found.YES
    assert [stem.id for stem in ledger.get(a.id).stems] == ["a1", "a2"]
    assert [stem.id for stem in ledger.get(b.id).stems] == ["b1", "b2"]


def test_who_was_cut_off_keeps_nobody_in_doubt(ledger: Ledger, clock: SteppedClock) -> None:
    song = entry(ledger).song_id
    ledger.begin(entry(ledger, song_id=song))
    one = in_doubt(ledger, song_id=song)
    clock.pass_by(42)
    assert ledger.settle(one, made(stems("x1", "x2"))) is Found.YES


def test_sunos_answer_outranks_a_guess(ledger: Ledger, clock: SteppedClock) -> None:
    song = entry(ledger).song_id
    asleep = ledger.begin(entry(ledger, song_id=song))
    clock.pass_by(60)
    guesser = in_doubt(ledger, "key", song_id=song)
    assert ledger.settle(guesser, made(stems("p", "q"))) is Found.YES
    assert [stem.id for stem in ledger.finish(asleep, stems("p", "q"), paid=True).stems] == ["p", "q"]
    assert ledger.get(guesser.id).state is State.IN_DOUBT
    assert ledger.settle(guesser, made(stems("p", "q"))) is Found.NO


def test_what_was_found_and_told_stays_the_story_of_its_entry(ledger: Ledger, clock: SteppedClock) -> None:
    asleep = ledger.begin(entry(ledger, "key"))
    clock.pass_by(60)
    assert ledger.settle(asleep, made(stems("found"))) is Found.YES
    assert [stem.id for stem in ledger.finish(asleep, stems("answered"), paid=True).stems] == ["found"]
    other = in_doubt(ledger, song_id=asleep.song_id)
    assert ledger.settle(other, made(stems("found"), stems("answered"))) is Found.NO


def test_of_a_set_of_several_splits_one_in_doubt_takes_what_is_nobodys(ledger: Ledger) -> None:
    song = entry(ledger).song_id
    first, second = stems("f1", "f2"), stems("g1", "g2")
    paid = ledger.begin(entry(ledger, song_id=song))
    ledger.finish(paid, first, paid=True)
    one = in_doubt(ledger, song_id=song)
    assert ledger.settle(one, made((*first, *second))) is Found.YES
    assert ledger.get(one.id).stems == second


def test_what_an_answer_left_out_is_nobody_elses_set(ledger: Ledger) -> None:
    song = entry(ledger).song_id
    paid = ledger.begin(entry(ledger, song_id=song))
    ledger.finish(paid, stems("h1"), paid=True)
    one = in_doubt(ledger, song_id=song)
    assert ledger.settle(one, made(stems("h1", "h2"))) is Found.NO


def test_stems_that_were_only_found_are_still_those_of_who_paid(ledger: Ledger) -> None:
    song = entry(ledger).song_id
    reused = ledger.begin(entry(ledger, song_id=song))
    ledger.finish(reused, stems("r1", "r2"), paid=False)
    one = in_doubt(ledger, song_id=song)
    assert ledger.settle(one, made(stems("r1", "r2"))) is Found.YES


def test_stems_that_do_not_say_what_they_are_leave_it_open(ledger: Ledger) -> None:
    song = entry(ledger).song_id
    one = in_doubt(ledger, song_id=song)
    assert ledger.settle(one, made(unknown=stems("u"))) is Found.PERHAPS
    owner = ledger.begin(entry(ledger, song_id=song))
    ledger.finish(owner, stems("u"), paid=True)
    assert ledger.settle(one, made(unknown=stems("u"))) is Found.NO


def test_of_many_in_doubt_each_takes_a_set_of_its_own(ledger_url: str) -> None:
    ledgers = [open_ledger(ledger_url) for _ in range(6)]
    song = entry(ledgers[0]).song_id
    sets = [stems(f"{song}-{n}a", f"{song}-{n}b") for n in range(6)]
    entries = [in_doubt(one, song_id=song) for one in ledgers]
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda one, e: one.settle(e, made(*sets)), ledgers, entries))
    assert found == [Found.YES] * 6
    taken = [ledgers[0].get(e.id).stems for e in entries]
    assert sorted(taken, key=str) == sorted(sets, key=str)


# Attempts.


def test_of_many_that_would_pay_again_one_does(ledger_url: str) -> None:
    ledgers = [open_ledger(ledger_url) for _ in range(6)]
    one = in_doubt(ledgers[0], "key")
    with ThreadPoolExecutor(6) as pool:
        again = list(pool.map(lambda ledger: ledger.restart(one, 41), ledgers))
    assert [attempt.attempt for attempt in again if attempt] == [2]


def test_an_attempt_that_was_asleep_undoes_nothing(ledger: Ledger) -> None:
    one = in_doubt(ledger, "key")
    again = ledger.restart(one, 41)
    ledger.free(one)
    ledger.doubt(one)
    assert ledger.restart(one, 41) is None
    assert ledger.get(one.id) == again


def test_a_late_answer_leaves_the_newer_attempt_under_way(ledger: Ledger) -> None:
    song = entry(ledger).song_id
    first = in_doubt(ledger, "key", song_id=song)
    second = ledger.restart(first, 41)
    ledger.finish(first, stems("1a", "1b"), paid=True)
    third = in_doubt(ledger, song_id=song)
    assert ledger.settle(third, made(stems("1a", "1b"), stems("2a", "2b"))) is Found.PERHAPS
    told = ledger.finish(second, stems("2a", "2b"), paid=True)
    assert ledger.settle(third, made(stems("1a", "1b"), stems("2a", "2b"))) is Found.NO
    assert told.stems == ledger.get(first.id).stems


def test_a_key_that_was_told_stems_keeps_them_whatever_becomes_of_a_later_attempt(ledger: Ledger) -> None:
    first = in_doubt(ledger, "key")
    second = ledger.restart(first, 41)
    told = ledger.finish(first, stems("1a", "1b"), paid=True).stems
    ledger.doubt(second)
    assert ledger.settle(second, made(stems("1a", "1b"), stems("2a", "2b"))) is Found.YES
    assert ledger.get(first.id).stems == told
    other = in_doubt(ledger, song_id=first.song_id)
    assert ledger.settle(other, made(stems("1a", "1b"), stems("2a", "2b"))) is Found.NO


def test_a_key_has_one_story(ledger: Ledger) -> None:
    first = in_doubt(ledger, "key")
    second = ledger.restart(first, 41)
    late = ledger.finish(first, stems("1a"), paid=True).stems
    ledger.answer(first, late)
    assert ledger.finish(second, stems("2a"), paid=True).stems == late


@pytest.mark.parametrize("end", ["answered", "lost"])
def test_an_attempt_that_was_asleep_while_its_key_was_freed_does_not_take_it_back(ledger: Ledger, end: str) -> None:
    first = in_doubt(ledger, "key")
    second = ledger.restart(first, 41)
    ledger.free(second)
    new = ledger.begin(entry(ledger, "key", account=first.account))
    if end == "answered":
        ledger.finish(first, stems("late"), paid=True)
    else:
        ledger.doubt(first)
    assert ledger.begin(entry(ledger, "key", account=first.account)).id == new.id
    assert ledger.get(first.id) is not None


# Request ids.


def test_a_request_id_finds_the_latest_entry_of_that_caller_and_account(ledger: Ledger, clock: SteppedClock) -> None:
    about = {"request_id": "r", "account": entry(ledger).account}
    ledger.begin(entry(ledger, **about))
    clock.pass_by(1)
    latest = ledger.begin(entry(ledger, **about))
    assert ledger.of_request([(latest.account, "")], "r").id == latest.id
    assert ledger.of_request([(latest.account, "another")], "r") is None
    assert ledger.of_request([("another", "")], "r") is None


def test_a_retry_is_found_by_its_own_request_id(ledger: Ledger) -> None:
    one = ledger.begin(entry(ledger, "key"))
    ledger.begin(entry(ledger, "key", account=one.account, request_id="retry"))
    assert ledger.of_request([(one.account, "")], "retry").id == one.id


def test_only_the_latest_retries_are_kept(ledger: Ledger, clock: SteppedClock) -> None:
    one = ledger.begin(entry(ledger, "key"))
    for n in range(LEADS + 5):
        ledger.begin(entry(ledger, "key", account=one.account, request_id=f"retry-{n}"))
    found = [ledger.of_request([(one.account, "")], f"retry-{n}") is not None for n in range(LEADS + 5)]
    assert found == [False] * 5 + [True] * LEADS


def test_another_question_by_the_same_key_leads_to_no_split(ledger: Ledger, clock: SteppedClock) -> None:
    one = ledger.begin(entry(ledger, "key", request_id="r"))
    clock.pass_by(1)
    held = ledger.begin(entry(ledger, "key", account=one.account, request_id="r", question="another"))
    assert held.question == "?"
    assert ledger.of_request([(one.account, "")], "r") is None


def test_a_split_that_cost_nothing_is_not_taken_for_an_earlier_one_by_its_request_id(
    ledger: Ledger, clock: SteppedClock
) -> None:
    earlier = ledger.begin(entry(ledger, request_id="r"))
    ledger.finish(earlier, stems("a"), paid=True)
    clock.pass_by(1)
    later = ledger.begin(entry(ledger, request_id="r", account=earlier.account))
    clock.pass_by(1)
    ledger.free(later)
    assert ledger.of_request([(earlier.account, "")], "r") is None


# What is done once.


def test_what_is_to_be_done_once_is_one_requests_turn(ledger: Ledger, clock: SteppedClock) -> None:
    account = entry(ledger).account
    ours = ledger.begin_once("unlock", account, "song", lasts=40)
    assert ours.turn is Turn.OURS
    assert ledger.begin_once("unlock", account, "song", lasts=40).turn is Turn.UNDER_WAY
    assert ledger.begin_once("unlock", account, "another", lasts=40).turn is Turn.OURS
    ledger.end_once(ours, Turn.DONE)
    clock.pass_by(3600)
    assert ledger.begin_once("unlock", account, "song", lasts=40).turn is Turn.DONE


def test_a_turn_that_certainly_did_nothing_is_the_next_ones(ledger: Ledger) -> None:
    account = entry(ledger).account
    ledger.end_once(ledger.begin_once("unlock", account, "song", lasts=40), None)
    assert ledger.begin_once("unlock", account, "song", lasts=40).turn is Turn.OURS


def test_a_turn_without_an_end_is_in_doubt_and_taken_again_by_one(ledger: Ledger, clock: SteppedClock) -> None:
    account = entry(ledger).account
    ledger.begin_once("unlock", account, "song", lasts=40)
    clock.pass_by(50)
    doubt = ledger.begin_once("unlock", account, "song", lasts=40)
    assert (doubt.turn, doubt.over_for) == (Turn.IN_DOUBT, 10)
    again = ledger.retry_once(doubt, lasts=40)
    assert (again.turn, again.attempt) == (Turn.OURS, 2)
    assert ledger.retry_once(doubt, lasts=40) is None
    ledger.end_once(doubt, None)
    assert ledger.begin_once("unlock", account, "song", lasts=40).turn is Turn.UNDER_WAY


def test_a_cookies_account_is_known_without_a_sign_in(ledger: Ledger) -> None:
    cookie = entry(ledger).account
    assert ledger.account_of_cookie(cookie) is None
    ledger.note_cookie(cookie, "user")
    assert ledger.account_of_cookie(cookie) == "user"


def test_a_turn_says_how_long_it_has_been_over(ledger: Ledger, clock: SteppedClock) -> None:
    account = entry(ledger).account
    assert ledger.begin_once("unlock", account, "song", lasts=40).over_for == -40
    clock.pass_by(10)
    assert ledger.begin_once("unlock", account, "song", lasts=40).over_for == -30
    clock.pass_by(40)
    doubted = ledger.begin_once("unlock", account, "song", lasts=40)
    for attempt in (2, 3):
        doubted = ledger.retry_once(doubted, lasts=40)
        assert (doubted.attempt, doubted.over_for) == (attempt, -40)
        ledger.end_once(doubted, Turn.IN_DOUBT)
        assert ledger.begin_once("unlock", account, "song", lasts=40).turn is Turn.IN_DOUBT
    ledger.end_once(doubted, Turn.DONE)
    assert ledger.retry_once(doubted, lasts=40) is None
    assert ledger.begin_once("unlock", account, "song", lasts=40).turn is Turn.DONE


def test_what_was_done_by_a_turn_that_is_forgotten_is_known(ledger: Ledger) -> None:
    account = entry(ledger).account
    once = ledger.begin_once("unlock", account, "song", lasts=40)
    ledger.end_once(once, None)
    ledger.end_once(once, Turn.DONE)
    assert ledger.begin_once("unlock", account, "song", lasts=40).turn is Turn.DONE


def test_another_attempt_has_its_own_time(ledger: Ledger, clock: SteppedClock) -> None:
    one = in_doubt(ledger, "k")
    clock.pass_by(100)
    again = ledger.restart(one, 20.0)
    assert (ledger.over_for(again), again.began) == (-20.0, one.began)


def test_what_was_found_for_one_in_doubt_counts_as_paid_by_it(ledger: Ledger) -> None:
    one = in_doubt(ledger)
    assert ledger.settle(one, made(stems("a", "b"))) is Found.YES
    assert ledger.get(one.id).paid is True


def test_a_freed_split_is_not_told_as_the_one_that_its_request_id_led_to(ledger: Ledger) -> None:
    one = ledger.begin(entry(ledger, "k"))
    owner = {"account": one.account, "request_id": "r2"}
    ledger.begin(entry(ledger, "k", **owner))
    assert ledger.of_request([(one.account, "")], "r2").id == one.id
    free = ledger.begin(entry(ledger, **owner))
    ledger.free(free)
    assert ledger.of_request([(one.account, "")], "r2") is None


# How long it is known.


def test_who_owns_a_stem_is_known_for_longer_than_one_can_be_in_doubt(
    store: Store, ledger: Ledger, request: pytest.FixtureRequest
) -> None:
    """Whichever way the wall clock is set meanwhile, by up to two days."""
    if isinstance(store, MemoryStore):
        return
    assert ledger.settle(in_doubt(ledger), made(stems("a", "b"))) is Found.YES
    if isinstance(store, SqliteStore):
        with sqlite3.connect(request.getfixturevalue("tmp_path") / "ledger.db") as file:
            [(left,)] = file.execute(
                "SELECT ends - ? FROM records WHERE kind = 'taken' AND name = 'a'", (time.time(),)
            )
        file.close()
    else:
        left = redis.Redis.from_url(request.getfixturevalue("redis_url")).ttl("suno-stems:taken:a")
    assert left > KEPT + STEPS + STEPS - 60


def test_an_entry_is_replaced_only_if_nobody_has_changed_it(store: Store, ledger: Ledger) -> None:
    began = ledger.begin(entry(ledger, "key"))
    done = began._replace(state=State.DONE, stems=stems("a"), reply=stems("a"))
    another = began._replace(state=State.IN_DOUBT)
    unknown = entry(ledger)
    assert store.transact(lambda tx: (tx.replace(unknown, unknown), tx.entry(unknown.id))) == (False, None)
    assert store.transact(lambda tx: tx.replace(began, done))
    assert not store.transact(lambda tx: tx.replace(began, another))
    assert ledger.get(began.id) == done
    store.transact(lambda tx: tx.put(done._replace(idempotency_key="")))
    assert not store.transact(lambda tx: tx.replace(done, another))


def test_what_another_writes_between_reading_and_writing_is_read_again(redis_url: str) -> None:
    ours, theirs = (RedisStore(redis_url) for _ in range(2))
    song, seen = uuid.uuid4().hex, []

    def change(tx: Transaction) -> None:
        seen.append(len(tx.entries_of_song(song)))
        if len(seen) == 1:
            Ledger(theirs).begin(entry(Ledger(theirs), song_id=song))
        tx.put(entry(Ledger(ours), song_id=song))

    ours.transact(change)
    assert seen == [0, 1]


# When it is away.


@pytest.mark.parametrize("url", ["sqlite:////proc/nowhere/ledger.db", "redis://:secret@127.0.0.1:1/0"])
def test_a_ledger_that_is_not_there_says_so_at_once_and_without_its_address(url: str) -> None:
    with pytest.raises(LedgerUnavailable, match=r"No such file|Redis, ConnectionError") as raised:
        open_ledger(url).check()
    assert "secret" not in str(raised.value)


def test_redis_says_by_a_word_why_it_refuses() -> None:
    assert why_unavailable(redis.AuthenticationError("Authentication required.")).startswith("Redis, Authentication")
    assert why_unavailable(redis.ResponseError("DENIED Redis is running in protected mode")).endswith("DENIED")
    assert why_unavailable(redis.ResponseError("WRONGPASS invalid")) == "Redis, ResponseError WRONGPASS"
    assert "secret" not in why_unavailable(redis.ConnectionError("Error 111 connecting to secret@host"))


def test_what_was_written_survives_the_end_of_the_process(ledger_url: str, tmp_path: Path) -> None:
    ledger = open_ledger(ledger_url)
    one = ledger.begin(entry(ledger, "key"))
    ledger.finish(one, stems("a", "b"), paid=True)
    again = open_ledger(ledger_url).get(one.id)
    assert again.stems == stems("a", "b")
