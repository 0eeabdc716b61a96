"""The rules of "paid once", on each of the three stores."""

from __future__ import annotations

import sqlite3
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import redis

from app.splits.evidence import Others, Verdict
from app.splits.ledger import Ledger, open_ledger
from app.splits.once import Turn
from app.splits.owners import CLOCK_STEP_SECONDS, KEY_KEPT_SECONDS
from app.splits.redis import RedisStore, why_unavailable
from app.splits.request_ids import MAX_RETRY_IDS
from app.splits.sqlite import SqliteStore
from app.splits.store import Entry, LedgerUnavailable, State, Store, Transaction, pack, unpack
from tests.splits.conftest import SteppedClock, entry, listed, stems
from tests.splits.memory_store import MemoryStore

DAY = 24 * 3600.0


def in_doubt(ledger: Ledger, idempotency_key: str = "", **fields: object):
    """Create an entry in doubt: its paid call got no reply."""
    one = ledger.begin(entry(ledger, idempotency_key, **fields))
    ledger.doubt(one)
    return one


def settle(ledger: Ledger, one: Entry, *sets, **fields: Any) -> Verdict:
    return ledger.settle(one, listed(*sets, **fields)).verdict


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


def test_an_entry_is_found_by_an_older_name_of_its_account(ledger: Ledger) -> None:
    one = ledger.begin(entry(ledger, "key", account=f"hash-{ledger.clock.now().boot}"))
    again = entry(ledger, "key", account="user")
    assert ledger.begin(again, older=(("other", ""), (one.account, ""))).id == one.id


def test_concurrent_requests_with_one_key_create_one_entry(ledger_url: str) -> None:
    ledgers = [open_ledger(ledger_url) for _ in range(8)]
    account = entry(ledgers[0]).account
    with ThreadPoolExecutor(8) as pool:
        begun = list(pool.map(lambda one: one.begin(entry(one, "key", account=account)).id, ledgers))
    assert len(set(begun)) == 1


@pytest.mark.parametrize("step", [-2 * DAY, -55 * 60, 150, DAY, 2 * DAY])
def test_setting_the_wall_clock_neither_forgets_a_key_nor_ends_a_call(
    ledger: Ledger, clock: SteppedClock, step: float
) -> None:
    one = ledger.begin(entry(ledger, "key"))
    clock.step_wall(step)
    held = ledger.begin(entry(ledger, "key", account=one.account))
    assert (held.id, held.state) == (one.id, State.STARTED)
    clock.advance(40)
    assert ledger.get(one.id).state is State.STARTED
    clock.advance(2)
    assert ledger.get(one.id).state is State.IN_DOUBT


def test_a_key_expires_after_a_day_and_its_stems_stay_owned(ledger: Ledger, clock: SteppedClock) -> None:
    one = ledger.begin(entry(ledger, "key", song_id="s-kept"))
    ledger.finish(one, stems("kept-a", "kept-b"), paid=True)
    clock.advance(KEY_KEPT_SECONDS - 1)
    assert ledger.begin(entry(ledger, "key", account=one.account)).id == one.id
    clock.advance(2)
    new = ledger.begin(entry(ledger, "key", account=one.account, song_id="s-kept"))
    assert new.id != one.id
    assert ledger.of_request([(one.account, "")], one.request_id) is None
    ledger.doubt(new)
    assert settle(ledger, new, stems("kept-a", "kept-b")) is Verdict.NONE


def test_a_key_does_not_end_while_its_second_attempt_runs(ledger: Ledger, clock: SteppedClock) -> None:
    """The second attempt's own time counts: else a third would be paid."""
    one = in_doubt(ledger, "key")
    clock.advance(KEY_KEPT_SECONDS - 20)
    assert ledger.restart(one, 41.0) is not None
    clock.advance(30)
    held = ledger.begin(entry(ledger, "key", account=one.account))
    assert (held.id, held.state) == (one.id, State.STARTED)
    assert ledger.of_request([(one.account, "")], one.request_id) is not None
    clock.advance(KEY_KEPT_SECONDS)
    assert ledger.begin(entry(ledger, "key", account=one.account)).id != one.id


def test_a_retry_pays_nothing_if_its_key_has_ended_and_begun_again_meanwhile(
    ledger: Ledger, clock: SteppedClock
) -> None:
    one = in_doubt(ledger, "key")
    clock.advance(KEY_KEPT_SECONDS + 1)
    assert ledger.begin(entry(ledger, "key", account=one.account)).id != one.id
    assert ledger.restart(one, 41.0) is None


def test_after_a_reboot_calls_have_ended_and_keys_are_kept(ledger: Ledger, clock: SteppedClock) -> None:
    one = ledger.begin(entry(ledger, "key"))
    clock.boot, clock.seconds = "the next start", 60.0
    clock.advance(100)
    assert ledger.begin(entry(ledger, "key", account=one.account)).state is State.IN_DOUBT
    clock.step_wall(2 * DAY)
    assert ledger.begin(entry(ledger, "key", account=one.account)).id == one.id


def test_paid_stems_are_kept_with_the_first_reply(ledger: Ledger) -> None:
    one = ledger.begin(entry(ledger, "key"))
    paid, final = stems("a", "b"), tuple(stem for stem in stems("a", "b"))
    assert ledger.finish(one, paid, paid=True).stems == paid
    ledger.answer(one, paid)
    ledger.answer(one, stems("a"))
    held = ledger.begin(entry(ledger, "key", account=one.account))
    assert (held.state, held.stems, held.reply, held.final_reply) == (State.DONE, paid, final, ())


def test_the_first_reply_with_final_stems_is_kept_separately(ledger: Ledger) -> None:
    one = ledger.begin(entry(ledger, "key"))
    first = ledger.finish(one, stems("a"), paid=True).stems
    final = tuple(type(stem)(stem.id, status="complete", title="Song", duration=183.0) for stem in first)
    for answer in (first, final, stems("b")):
        ledger.answer(one, answer)
    held = ledger.get(one.id)
    assert (held.reply, held.final_reply) == (first, final)
    assert str(held.final_reply[0].duration) == "183.0"


def test_stems_are_stored_as_before_and_with_sunos_reason_if_they_failed() -> None:
    old = '[["a", "complete", null, "Song", "song", 183.0]]'
    failed = replace(unpack(old)[0], status="error", error_message="Too short.")
    assert (pack(unpack(old)), unpack(pack([failed]))) == (old, (failed,))


@pytest.mark.parametrize("title", ["Ocean \ud83c", "\x00", "日本", None])
def test_any_title_is_kept(ledger: Ledger, title: str | None) -> None:
    one = ledger.begin(entry(ledger))
    [stem] = stems("a")
    odd = (type(stem)("a", title=title),)
    assert ledger.finish(one, odd, paid=True).stems == odd == ledger.get(one.id).stems


@pytest.mark.parametrize("key", ["'; DROP TABLE entries --", "a:b", "%", '"', "\\", "{}"])
def test_a_key_with_special_characters_is_a_separate_key(ledger: Ledger, key: str) -> None:
    one = ledger.begin(entry(ledger, key))
    assert ledger.begin(entry(ledger, key, account=one.account)).id == one.id
    assert ledger.begin(entry(ledger, key + "x", account=one.account)).id != one.id


def test_freeing_an_entry_frees_its_key_and_leaves_no_record(ledger: Ledger) -> None:
    one = ledger.begin(entry(ledger, "key"))
    ledger.free(one)
    assert ledger.get(one.id) is None
    assert ledger.of_request([(one.account, "")], one.request_id) is None
    assert ledger.begin(entry(ledger, "key", account=one.account)).id != one.id


def test_a_paid_entry_can_no_longer_be_freed_or_put_in_doubt(ledger: Ledger) -> None:
    one = ledger.begin(entry(ledger))
    ledger.finish(one, stems("a"), paid=True)
    ledger.free(one)
    ledger.doubt(one)
    assert ledger.restart(one, 41) is None
    assert ledger.get(one.id).state is State.DONE


def test_an_entry_is_known_if_only_its_end_could_be_written(ledger: Ledger) -> None:
    paid, doubted = entry(ledger), entry(ledger)
    ledger.finish(paid, stems("a"), paid=True)
    ledger.doubt(doubted)
    assert ledger.of_request([(paid.account, "")], paid.request_id).state is State.DONE
    assert ledger.of_request([(doubted.account, "")], doubted.request_id).state is State.IN_DOUBT


# Which stems belong to which entry.


def test_an_entry_in_doubt_takes_the_oldest_unowned_set(ledger: Ledger) -> None:
    paid = ledger.begin(entry(ledger, song_id="s1"))
    ledger.finish(paid, stems("1a", "1b"), paid=True)
    one = in_doubt(ledger, song_id="s1")
    assert settle(ledger, one, stems("1a", "1b"), stems("2a", "2b"), stems("3a", "3b")) is Verdict.OURS
    assert [stem.id for stem in ledger.get(one.id).stems] == ["2a", "2b"]


@pytest.mark.parametrize("other", [{"account": "another"}, {"task": "twelve"}, {"caller": "another"}])
def test_an_entry_stays_in_doubt_while_another_request_for_the_song_is_running(
    ledger: Ledger, clock: SteppedClock, other: dict[str, str]
) -> None:
    song = entry(ledger).song_id
    b = ledger.begin(entry(ledger, song_id=song, **other))
    a = in_doubt(ledger, song_id=song)
    assert settle(ledger, a, stems("b1", "b2"), stems("a1", "a2")) is Verdict.PERHAPS
    ledger.finish(b, stems("b1", "b2"), paid=True)
    assert settle(ledger, a, stems("b1", "b2"), stems("a1", "a2")) is Verdict.OURS
    assert [stem.id for stem in ledger.get(a.id).stems] == ["a1", "a2"]
    assert [stem.id for stem in ledger.get(b.id).stems] == ["b1", "b2"]


def test_a_request_past_its_deadline_keeps_no_other_entry_in_doubt(ledger: Ledger, clock: SteppedClock) -> None:
    song = entry(ledger).song_id
    ledger.begin(entry(ledger, song_id=song))
    one = in_doubt(ledger, song_id=song)
    clock.advance(42)
    assert settle(ledger, one, stems("x1", "x2")) is Verdict.OURS


def test_sunos_reply_overrides_a_guess(ledger: Ledger, clock: SteppedClock) -> None:
    song = entry(ledger).song_id
    late = ledger.begin(entry(ledger, song_id=song))
    clock.advance(60)
    guesser = in_doubt(ledger, "key", song_id=song)
    assert settle(ledger, guesser, stems("p", "q")) is Verdict.OURS
    assert [stem.id for stem in ledger.finish(late, stems("p", "q"), paid=True).stems] == ["p", "q"]
    assert ledger.get(guesser.id).state is State.IN_DOUBT
    assert settle(ledger, guesser, stems("p", "q")) is Verdict.NONE


def test_stems_of_another_kind_whose_owner_was_overtaken_explain_the_songs_mark(ledger: Ledger) -> None:
    """Their owner has other stems by now: only its record says that they are its own."""
    other = ledger.begin(entry(ledger, task="twelve", song_id="one song"))
    ledger.doubt(other)
    second = ledger.restart(other, 41)
    assert second is not None
    ledger.finish(second, stems("c", "d", stem_task="twelve"), paid=True)
    late = stems("a", "b", stem_task="twelve")
    ledger.finish(other, late, paid=True)
    lost = ledger.begin(entry(ledger, "key", song_id="one song"))
    ledger.doubt(lost)
    marked = listed(listed=frozenset({"a", "b"}), recent=("a", "b"), others=Others(has_stem=True, newest=()))
    assert ledger.settle(lost, marked).verdict is Verdict.NONE


def test_an_entry_keeps_the_stems_that_it_found_if_sunos_reply_comes_late(
    ledger: Ledger, clock: SteppedClock
) -> None:
    late = ledger.begin(entry(ledger, "key"))
    clock.advance(60)
    assert settle(ledger, late, stems("found")) is Verdict.OURS
    assert [stem.id for stem in ledger.finish(late, stems("answered"), paid=True).stems] == ["found"]
    other = in_doubt(ledger, song_id=late.song_id)
    assert settle(ledger, other, stems("found"), stems("answered")) is Verdict.NONE


def test_an_entry_in_doubt_takes_the_unowned_stems_of_a_mixed_set(ledger: Ledger) -> None:
    song = entry(ledger).song_id
    first, second = stems("f1", "f2"), stems("g1", "g2")
    paid = ledger.begin(entry(ledger, song_id=song))
    ledger.finish(paid, first, paid=True)
    one = in_doubt(ledger, song_id=song)
    assert settle(ledger, one, (*first, *second)) is Verdict.OURS
    assert ledger.get(one.id).stems == second


def test_stems_missing_from_sunos_reply_go_to_no_other_entry(ledger: Ledger) -> None:
    song = entry(ledger).song_id
    paid = ledger.begin(entry(ledger, song_id=song))
    ledger.finish(paid, stems("h1"), paid=True)
    one = in_doubt(ledger, song_id=song)
    assert settle(ledger, one, stems("h1", "h2")) is Verdict.PERHAPS


def test_reused_stems_can_still_be_taken_by_an_entry_in_doubt(ledger: Ledger) -> None:
    song = entry(ledger).song_id
    reused = ledger.begin(entry(ledger, song_id=song))
    ledger.finish(reused, stems("r1", "r2"), paid=False)
    one = in_doubt(ledger, song_id=song)
    assert settle(ledger, one, stems("r1", "r2")) is Verdict.OURS


def test_an_entry_stays_in_doubt_while_unlabelled_stems_are_unowned(ledger: Ledger) -> None:
    song = entry(ledger).song_id
    one = in_doubt(ledger, song_id=song)
    assert settle(ledger, one, unknown=stems("u")) is Verdict.PERHAPS
    owner = ledger.begin(entry(ledger, song_id=song))
    ledger.finish(owner, stems("u"), paid=True)
    assert settle(ledger, one, unknown=stems("u")) is Verdict.NONE


def test_concurrent_entries_in_doubt_take_different_sets(ledger_url: str) -> None:
    ledgers = [open_ledger(ledger_url) for _ in range(6)]
    song = entry(ledgers[0]).song_id
    sets = [stems(f"{song}-{n}a", f"{song}-{n}b") for n in range(6)]
    entries = [in_doubt(one, song_id=song) for one in ledgers]
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda one, e: settle(one, e, *sets), ledgers, entries))
    assert found == [Verdict.OURS] * 6
    taken = [ledgers[0].get(e.id).stems for e in entries]
    assert sorted(taken, key=str) == sorted(sets, key=str)


# Attempts.


def test_only_one_of_many_concurrent_retries_pays_again(ledger_url: str) -> None:
    ledgers = [open_ledger(ledger_url) for _ in range(6)]
    one = in_doubt(ledgers[0], "key")
    with ThreadPoolExecutor(6) as pool:
        again = list(pool.map(lambda ledger: ledger.restart(one, 41), ledgers))
    assert [attempt.attempt for attempt in again if attempt] == [2]


def test_an_old_attempt_cannot_change_a_newer_one(ledger: Ledger) -> None:
    one = in_doubt(ledger, "key")
    again = ledger.restart(one, 41)
    ledger.free(one)
    ledger.doubt(one)
    assert ledger.restart(one, 41) is None
    assert ledger.get(one.id) == again


def test_a_late_reply_leaves_the_newer_attempt_running(ledger: Ledger) -> None:
    song = entry(ledger).song_id
    first = in_doubt(ledger, "key", song_id=song)
    second = ledger.restart(first, 41)
    ledger.finish(first, stems("1a", "1b"), paid=True)
    third = in_doubt(ledger, song_id=song)
    assert settle(ledger, third, stems("1a", "1b"), stems("2a", "2b")) is Verdict.PERHAPS
    finished = ledger.finish(second, stems("2a", "2b"), paid=True)
    assert settle(ledger, third, stems("1a", "1b"), stems("2a", "2b")) is Verdict.NONE
    assert finished.stems == ledger.get(first.id).stems


def test_a_key_keeps_its_stems_if_a_later_attempt_is_in_doubt(ledger: Ledger) -> None:
    first = in_doubt(ledger, "key")
    second = ledger.restart(first, 41)
    returned = ledger.finish(first, stems("1a", "1b"), paid=True).stems
    ledger.doubt(second)
    assert settle(ledger, second, stems("1a", "1b"), stems("2a", "2b")) is Verdict.OURS
    assert ledger.get(first.id).stems == returned
    other = in_doubt(ledger, song_id=first.song_id)
    assert settle(ledger, other, stems("1a", "1b"), stems("2a", "2b")) is Verdict.NONE


def test_a_late_first_answer_lets_no_third_attempt_begin(ledger: Ledger) -> None:
    """A retry may have read that the second made nothing just before the answer came."""
    first = in_doubt(ledger, "key")
    second = ledger.restart(first, 41)
    ledger.doubt(second)
    ledger.finish(first, stems("1a", "1b"), paid=True)
    assert ledger.restart(second, 41) is None
    assert not ledger.give_back(second)


def test_a_key_keeps_the_stems_of_its_first_reply(ledger: Ledger) -> None:
    first = in_doubt(ledger, "key")
    second = ledger.restart(first, 41)
    late = ledger.finish(first, stems("1a"), paid=True).stems
    ledger.answer(first, late)
    assert ledger.finish(second, stems("2a"), paid=True).stems == late


@pytest.mark.parametrize("end", ["answered", "lost"])
def test_a_late_attempt_does_not_take_back_a_freed_key(ledger: Ledger, end: str) -> None:
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
    clock.advance(1)
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
    for n in range(MAX_RETRY_IDS + 5):
        ledger.begin(entry(ledger, "key", account=one.account, request_id=f"retry-{n}"))
    found = [ledger.of_request([(one.account, "")], f"retry-{n}") is not None for n in range(MAX_RETRY_IDS + 5)]
    assert found == [False] * 5 + [True] * MAX_RETRY_IDS


def test_a_different_request_with_the_same_key_is_not_found_by_its_request_id(
    ledger: Ledger, clock: SteppedClock
) -> None:
    one = ledger.begin(entry(ledger, "key", request_id="r"))
    clock.advance(1)
    held = ledger.begin(entry(ledger, "key", account=one.account, request_id="r", question="another"))
    assert held.question == one.question
    assert ledger.of_request([(one.account, "")], "r") is None


def test_the_request_id_of_a_freed_split_does_not_find_an_earlier_one(ledger: Ledger, clock: SteppedClock) -> None:
    earlier = ledger.begin(entry(ledger, request_id="r"))
    ledger.finish(earlier, stems("a"), paid=True)
    clock.advance(1)
    later = ledger.begin(entry(ledger, request_id="r", account=earlier.account))
    clock.advance(1)
    ledger.free(later)
    assert ledger.of_request([(earlier.account, "")], "r") is None


# Actions that are done once.


def test_an_action_that_is_done_once_is_given_to_one_request(ledger: Ledger, clock: SteppedClock) -> None:
    account = entry(ledger).account
    ours = ledger.turns.begin("unlock", account, "song", lasts=40)
    assert ours.turn is Turn.OURS
    assert ledger.turns.begin("unlock", account, "song", lasts=40).turn is Turn.UNDER_WAY
    assert ledger.turns.begin("unlock", account, "another", lasts=40).turn is Turn.OURS
    ledger.turns.end(ours, Turn.DONE)
    clock.advance(3600)
    assert ledger.turns.begin("unlock", account, "song", lasts=40).turn is Turn.DONE


def test_a_turn_that_certainly_did_nothing_goes_to_the_next_request(ledger: Ledger) -> None:
    account = entry(ledger).account
    ledger.turns.end(ledger.turns.begin("unlock", account, "song", lasts=40), None)
    assert ledger.turns.begin("unlock", account, "song", lasts=40).turn is Turn.OURS


def test_an_unfinished_turn_is_in_doubt_and_one_request_retries_it(ledger: Ledger, clock: SteppedClock) -> None:
    account = entry(ledger).account
    ledger.turns.begin("unlock", account, "song", lasts=40)
    clock.advance(50)
    doubt = ledger.turns.begin("unlock", account, "song", lasts=40)
    assert (doubt.turn, doubt.overdue_seconds) == (Turn.IN_DOUBT, 10)
    again = ledger.turns.retry(doubt, lasts=40)
    assert (again.turn, again.attempt) == (Turn.OURS, 2)
    assert ledger.turns.retry(doubt, lasts=40) is None
    ledger.turns.end(doubt, None)
    assert ledger.turns.begin("unlock", account, "song", lasts=40).turn is Turn.UNDER_WAY


def test_the_account_of_a_cookie_is_known_without_a_sign_in(ledger: Ledger) -> None:
    cookie = entry(ledger).account
    assert ledger.names.of(cookie) == ()
    assert ledger.names.note(cookie, suno="user", clerk="") == (("user",), False)
    assert ledger.names.of(cookie) == ("user",)


def test_a_cookie_keeps_its_names_if_its_token_loses_one(ledger: Ledger) -> None:
    """A change is reported once."""
    cookie, user, login = (entry(ledger).account for _ in range(3))
    ledger.names.note(cookie, suno=user, clerk=login)
    assert ledger.names.note(cookie, suno="", clerk=login) == ((user, login), True)
    assert ledger.names.note(cookie, suno="", clerk=login) == ((user, login), False)
    assert ledger.names.note(cookie, suno="", clerk="") == ((user, login), False)
    assert ledger.names.note(cookie, suno=user, clerk=login) == ((user, login), False)


def test_another_cookie_of_a_user_has_the_same_name_even_if_its_token_has_lost_it(ledger: Ledger) -> None:
    cookie, other, user, login = (entry(ledger).account for _ in range(4))
    ledger.names.note(cookie, suno=user, clerk=login)
    assert ledger.names.note(other, suno="", clerk=login)[0] == (user, login)


def test_sunos_own_id_becomes_the_name_of_a_cookie_that_had_another(ledger: Ledger) -> None:
    cookie, user, login = (entry(ledger).account for _ in range(3))
    assert ledger.names.note(cookie, suno="", clerk="") == ((cookie,), False)
    assert ledger.names.note(cookie, suno="", clerk=login) == ((login,), True)
    assert ledger.names.note(cookie, suno=user, clerk=login) == ((user, login), True)


def test_the_account_that_an_older_version_recorded_is_still_the_cookies(store: Store, ledger: Ledger) -> None:
    cookie, user, login = (entry(ledger).account for _ in range(3))
    store.transact(lambda tx: tx.put_record("cookie", cookie, user, kept=DAY))
    assert ledger.names.note(cookie, suno="", clerk=login) == ((user, login), True)


def test_a_turn_reports_the_seconds_since_its_deadline(ledger: Ledger, clock: SteppedClock) -> None:
    account = entry(ledger).account
    assert ledger.turns.begin("unlock", account, "song", lasts=40).overdue_seconds == -40
    clock.advance(10)
    assert ledger.turns.begin("unlock", account, "song", lasts=40).overdue_seconds == -30
    clock.advance(40)
    doubted = ledger.turns.begin("unlock", account, "song", lasts=40)
    for attempt in (2, 3):
        doubted = ledger.turns.retry(doubted, lasts=40)
        assert (doubted.attempt, doubted.overdue_seconds) == (attempt, -40)
        ledger.turns.end(doubted, Turn.IN_DOUBT)
        assert ledger.turns.begin("unlock", account, "song", lasts=40).turn is Turn.IN_DOUBT
    ledger.turns.end(doubted, Turn.DONE)
    assert ledger.turns.retry(doubted, lasts=40) is None
    assert ledger.turns.begin("unlock", account, "song", lasts=40).turn is Turn.DONE


def test_a_turn_that_was_given_back_can_still_be_recorded_as_done(ledger: Ledger) -> None:
    account = entry(ledger).account
    once = ledger.turns.begin("unlock", account, "song", lasts=40)
    ledger.turns.end(once, None)
    ledger.turns.end(once, Turn.DONE)
    assert ledger.turns.begin("unlock", account, "song", lasts=40).turn is Turn.DONE


def test_a_retry_has_its_own_deadline(ledger: Ledger, clock: SteppedClock) -> None:
    one = in_doubt(ledger, "k")
    clock.advance(100)
    again = ledger.restart(one, 20.0)
    assert (ledger.overdue_seconds(again), again.began) == (-20.0, one.began)


def test_an_entry_in_doubt_that_takes_stems_counts_as_paid(ledger: Ledger) -> None:
    one = in_doubt(ledger)
    assert settle(ledger, one, stems("a", "b")) is Verdict.OURS
    assert ledger.get(one.id).paid is True


def test_the_request_id_of_a_freed_split_does_not_find_an_earlier_retry(ledger: Ledger) -> None:
    one = ledger.begin(entry(ledger, "k"))
    owner = {"account": one.account, "request_id": "r2"}
    ledger.begin(entry(ledger, "k", **owner))
    assert ledger.of_request([(one.account, "")], "r2").id == one.id
    free = ledger.begin(entry(ledger, **owner))
    ledger.free(free)
    assert ledger.of_request([(one.account, "")], "r2") is None


# Retention.


def test_the_owner_of_a_stem_is_kept_longer_than_an_entry_can_be_in_doubt(
    store: Store, ledger: Ledger, request: pytest.FixtureRequest
) -> None:
    """Also if the wall clock is set by up to two days meanwhile."""
    if isinstance(store, MemoryStore):
        return
    assert settle(ledger, in_doubt(ledger), stems("a", "b")) is Verdict.OURS
    if isinstance(store, SqliteStore):
        with sqlite3.connect(request.getfixturevalue("tmp_path") / "ledger.db") as file:
            [(left,)] = file.execute(
                "SELECT ends - ? FROM records WHERE kind = 'taken' AND name = 'a'", (time.time(),)
            )
        file.close()
    else:
        left = redis.Redis.from_url(request.getfixturevalue("redis_url")).ttl("suno-stems:taken:a")
    assert left > KEY_KEPT_SECONDS + CLOCK_STEP_SECONDS + CLOCK_STEP_SECONDS - 60


@pytest.mark.parametrize(("key", "trips"), [("", 5), ("a key of its own", 6)])
def test_a_split_is_five_round_trips_to_redis_and_six_with_a_key(
    redis_url: str, monkeypatch: pytest.MonkeyPatch, key: str, trips: int
) -> None:
    ledger = Ledger(RedisStore(redis_url))
    # It connects, loads the script, and looks whether Redis is durable.
    ledger.finish(ledger.begin(entry(ledger, "another key")), stems("a"), paid=True)
    sent: list[Any] = []
    send = redis.connection.AbstractConnection.send_packed_command

    def note(connection: Any, command: Any, *args: Any, **options: Any) -> None:
        sent.append(command)
        send(connection, command, *args, **options)

    monkeypatch.setattr(redis.connection.AbstractConnection, "send_packed_command", note)
    made = stems(uuid.uuid4().hex, uuid.uuid4().hex)
    done = ledger.finish(ledger.begin(entry(ledger, key)), made, paid=True, is_reply=bool(key))
    assert (len(sent), done.reply) == (trips, made if key else ())


def test_a_commit_to_redis_sets_the_shared_clock(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    store = RedisStore(redis_url)
    with monkeypatch.context() as wrong:
        wrong.setattr("app.splits.redis.time", SimpleNamespace(time=lambda: 0.0))
        Ledger(store).begin(entry(Ledger(store)))
        assert store.clock.now().wall == pytest.approx(time.time(), abs=60)


def test_a_redis_transaction_is_repeated_if_another_client_writes_in_between(redis_url: str) -> None:
    ours, theirs = (RedisStore(redis_url) for _ in range(2))
    song, seen = uuid.uuid4().hex, []

    def change(tx: Transaction) -> None:
        seen.append(len(tx.entries_of_song(song)))
        if len(seen) == 1:
            Ledger(theirs).begin(entry(Ledger(theirs), song_id=song))
        tx.put(entry(Ledger(ours), song_id=song))

    ours.transact(change)
    assert seen == [0, 1]


# An unavailable ledger.


@pytest.mark.parametrize("url", ["sqlite:////proc/nowhere/ledger.db", "redis://:secret@127.0.0.1:1/0"])
def test_an_unavailable_ledger_fails_with_the_reason_and_without_its_password(url: str) -> None:
    with pytest.raises(LedgerUnavailable, match=r"No such file|Redis, ConnectionError") as raised:
        open_ledger(url).check()
    assert "secret" not in str(raised.value)


def test_a_redis_refusal_is_reported_by_its_error_code() -> None:
    assert why_unavailable(redis.AuthenticationError("Authentication required.")).startswith("Redis, Authentication")
    assert why_unavailable(redis.ResponseError("DENIED Redis is running in protected mode")).endswith("DENIED")
    assert why_unavailable(redis.ResponseError("WRONGPASS invalid")) == "Redis, ResponseError WRONGPASS"
    assert "secret" not in why_unavailable(redis.ConnectionError("Error 111 connecting to secret@host"))


def test_entries_are_kept_after_the_ledger_is_reopened(ledger_url: str, tmp_path: Path) -> None:
    ledger = open_ledger(ledger_url)
    one = ledger.begin(entry(ledger, "key"))
    ledger.finish(one, stems("a", "b"), paid=True)
    again = open_ledger(ledger_url).get(one.id)
    assert again.stems == stems("a", "b")
