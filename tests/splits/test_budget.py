"""Budgets, on each of the three stores: concurrent requests never spend more than the budget."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from app.splits.admission import NotBegun, Refusal
from app.splits.budget import Budget, OverBudget, in_words
from app.splits.ledger import Ledger
from app.splits.once import Once, Turn
from app.splits.store import Entry, Store, Transaction
from tests.splits.conftest import SteppedClock, entry, stems

DAY = 24 * 3600
CREDITS = Budget("caller n8n", "credits:caller:n8n", "credits", 50, 1)
SHARED = Budget("account studio", "credits:account:user", "credits", 30, 1)
DOWNLOADS = Budget("caller n8n", "downloads:caller:n8n", "downloads", 2, 30)


def begin(
    ledger: Ledger, idempotency_key: str = "", budgets: tuple[Budget, ...] = (CREDITS,), price: int = 10
) -> Entry:
    return ledger.begin(entry(ledger, idempotency_key, price=price, account="user"), budgets=budgets)


def left(ledger: Ledger, budget: Budget = CREDITS) -> int:
    return ledger.left(budget).amount


def test_concurrent_requests_spend_exactly_the_budget(ledger: Ledger) -> None:
    def ask(_: int) -> bool:
        try:
            begin(ledger)
        except OverBudget:
            return False
        return True

    with ThreadPoolExecutor(16) as pool:
        assert sum(pool.map(ask, range(64))) == 5
    assert left(ledger) == 0


def test_a_split_that_its_order_refuses_takes_and_gives_back_nothing(ledger: Ledger) -> None:
    begin(ledger, price=30)
    for _ in range(4):
        refused = entry(ledger, price=10, account="user")
        with pytest.raises(NotBegun):
            ledger.begin(refused, budgets=(CREDITS,), admit=lambda tx, entry: NotBegun(Refusal.CHANGED))
        assert left(ledger) == 20


def test_a_transaction_reads_what_it_has_written(store: Store, ledger: Ledger) -> None:
    one = entry(ledger, "key", account="user")

    def change(tx: Transaction) -> None:
        tx.put_record("kind", "name", [1], kept=60)
        assert tx.record("kind", "name") == [1]
        assert tx.records("kind", ["name", "other"]) == {"name": [1]}
        tx.put_record("kind", "name", None, kept=60)
        assert tx.record("kind", "name") is None
        tx.put(one)
        assert tx.entry(one.id) == tx.entry_of_key(one.account, one.caller, "key") == one
        assert tx.entries_of_song(one.song_id) == [one]
        assert tx.entries_of_request(one.account, one.caller, one.request_id) == [one]
        tx.remove(one)
        assert tx.entry(one.id) is None
        assert tx.entries_of_song(one.song_id) == []

    store.transact(change)


def test_a_refusal_names_the_budget_and_when_enough_is_free_again(ledger: Ledger, clock: SteppedClock) -> None:
    for _ in range(4):
        begin(ledger)
        clock.advance(3600)
    with pytest.raises(OverBudget) as refused:
        begin(ledger, price=20)
    assert 20 * 3600 <= refused.value.retry_after <= 20 * 3600 + 1800
    assert str(refused.value).startswith(
        "The budget of caller n8n is 50 credits in any 24 hours. Of that, 10 are left, and this counts as 20. "
        "Nothing was charged. Enough is free again in 20 h"
    )
    clock.advance(refused.value.retry_after)
    begin(ledger, price=20)


def test_a_price_above_the_whole_budget_gets_no_retry_after(ledger: Ledger) -> None:
    with pytest.raises(OverBudget, match="The whole budget is less than that") as refused:
        begin(ledger, price=60)
    assert refused.value.retry_after is None


def test_no_budget_is_charged_if_one_of_them_has_too_little(ledger: Ledger) -> None:
    for _ in range(3):
        begin(ledger, budgets=(CREDITS, SHARED))
    with pytest.raises(OverBudget, match="account studio"):
        begin(ledger, budgets=(CREDITS, SHARED))
    assert (left(ledger), left(ledger, SHARED)) == (20, 0)


def test_a_replay_costs_nothing(ledger: Ledger) -> None:
    first = begin(ledger, "k", price=50)
    assert begin(ledger, "k", price=50).id == first.id
    with pytest.raises(OverBudget):
        begin(ledger, "l")


def test_credits_are_returned_once_if_a_split_certainly_cost_nothing(ledger: Ledger) -> None:
    refused, reused, kept = begin(ledger), begin(ledger), begin(ledger)
    ledger.free(refused)
    ledger.free(refused)
    ledger.finish(reused, stems("a", "b"), paid=False)
    ledger.finish(reused, stems("a", "b"), paid=False)
    assert left(ledger) == 40
    ledger.finish(kept, stems("c", "d"), paid=True)
    assert left(ledger) == 40


def test_an_entry_in_doubt_counts_as_spent(ledger: Ledger, clock: SteppedClock) -> None:
    doubted, died = begin(ledger), begin(ledger)
    ledger.doubt(doubted)
    clock.advance(3600)
    assert ledger.get(died.id).state == "in_doubt"
    assert left(ledger) == 30


def test_a_retry_counts_once_and_the_late_first_attempt_counts_too(ledger: Ledger, clock: SteppedClock) -> None:
    first = begin(ledger, "k")
    ledger.doubt(first)
    clock.advance(3600)
    again = ledger.restart(first, 41.0, budgets=[CREDITS])
    assert (again.attempt, left(ledger)) == (2, 40)
    ledger.finish(first, stems("a", "b"), paid=True)
    assert left(ledger) == 30
    ledger.finish(again, stems("c", "d"), paid=True)
    assert left(ledger) == 30


def test_a_refused_second_attempt_is_returned_and_counts_again_if_stems_turn_up(ledger: Ledger) -> None:
    first = begin(ledger, "k")
    ledger.doubt(first)
    again = ledger.restart(first, 41.0, budgets=[CREDITS])
    ledger.free(again)
    ledger.free(again)
    assert left(ledger) == 50
    ledger.finish(first, stems("a", "b"), paid=True)
    assert left(ledger) == 40


def test_a_retry_over_budget_does_not_start_and_the_first_attempt_stays_counted(ledger: Ledger) -> None:
    first = begin(ledger, "k")
    ledger.doubt(first)
    for _ in range(4):
        begin(ledger)
    with pytest.raises(OverBudget):
        ledger.restart(first._replace(price=20), 41.0, budgets=[CREDITS])
    assert (left(ledger), ledger.get(first.id).attempt) == (0, 1)


@pytest.mark.parametrize("step", [2 * DAY, -2 * DAY])
def test_setting_the_wall_clock_changes_no_budget(ledger: Ledger, clock: SteppedClock, step: int) -> None:
    begin(ledger, price=50)
    clock.step_wall(step)
    assert left(ledger) == 0
    clock.advance(DAY + 1800)
    assert left(ledger) == 50


def test_a_reboot_forgets_no_spending(ledger: Ledger, clock: SteppedClock) -> None:
    begin(ledger, price=20)
    clock.boot = "the next start"
    clock.seconds = 5.0
    begin(ledger)
    assert left(ledger) == 20


@pytest.mark.parametrize("step", [-2 * DAY, -DAY, DAY, 2 * DAY, 300 * DAY])
def test_spending_before_and_after_the_clock_was_set_counts_after_a_reboot(
    ledger: Ledger, clock: SteppedClock, step: int
) -> None:
    begin(ledger)
    clock.step_wall(step)
    begin(ledger)
    clock.advance(30)
    clock.boot, clock.seconds = "the next start", 5.0
    assert left(ledger) == 30
    clock.advance(DAY - 2000)
    assert left(ledger) == 30
    clock.advance(4000 + DAY / 24)
    assert left(ledger) == 50


def reboot(clock: SteppedClock) -> None:
    """The machine restarts, and the id of the boot cannot be read: it is the same."""
    clock.seconds = 5.0


def test_what_was_spent_before_a_reboot_with_the_same_id_counts_for_its_full_period(
    ledger: Ledger, clock: SteppedClock
) -> None:
    clock.seconds = 25 * DAY
    begin(ledger, price=30)
    reboot(clock)
    begin(ledger, price=20)
    with pytest.raises(OverBudget) as refused:
        begin(ledger, price=1)
    assert DAY - 1800 <= refused.value.retry_after <= DAY + 1800
    clock.advance(DAY - 1800)
    assert left(ledger) == 0
    clock.advance(3600)
    assert left(ledger) == 50


def test_spending_of_two_boots_with_the_same_id_ends_each_at_its_time(ledger: Ledger, clock: SteppedClock) -> None:
    for uptime, price in ((25 * DAY, 10), (20 * DAY, 20), (5.0, 20)):
        clock.seconds = uptime
        begin(ledger, price=price)
        clock.advance(DAY // 4)
    amounts = []
    for _ in range(4):
        amounts.append(left(ledger))
        clock.advance(DAY // 4 + 600)
    assert amounts == [0, 0, 10, 50]


def test_what_was_spent_when_all_clocks_were_ahead_counts_for_its_full_period(
    ledger: Ledger, clock: SteppedClock
) -> None:
    clock.seconds = 25 * DAY
    begin(ledger, price=50)
    reboot(clock)
    clock.step_wall(-10 * DAY)
    assert left(ledger) == 0
    clock.advance(DAY - 1800)
    assert left(ledger) == 0
    clock.advance(3600)
    assert left(ledger) == 50


def test_a_price_is_given_back_after_a_reboot_with_the_same_id(ledger: Ledger, clock: SteppedClock) -> None:
    clock.seconds = 25 * DAY
    one = begin(ledger, price=30)
    reboot(clock)
    begin(ledger, price=10)
    ledger.free(one)
    assert left(ledger) == 40


def test_the_amount_left_says_when_more_is_free(ledger: Ledger, clock: SteppedClock) -> None:
    assert ledger.left(CREDITS).more_in is None
    begin(ledger)
    clock.advance(1800)
    begin(ledger)
    assert DAY - 1800 <= ledger.left(CREDITS).more_in <= DAY - 1800 + 1800
    clock.advance(ledger.left(CREDITS).more_in)
    assert left(ledger) == 40


def test_a_lowered_limit_applies_immediately(ledger: Ledger) -> None:
    begin(ledger, price=50)
    lower = replace(CREDITS, limit=20)
    assert left(ledger, lower) == 0
    with pytest.raises(OverBudget):
        begin(ledger, budgets=(lower,))


def test_a_download_counts_once_per_song_for_a_month(ledger: Ledger, clock: SteppedClock) -> None:
    def unlock(song: str):
        return ledger.turns.begin("unlock", "user", song, lasts=40, budgets=[DOWNLOADS])

    ledger.turns.end(unlock("a"), Turn.DONE)
    assert unlock("a").turn is Turn.DONE
    ledger.turns.end(unlock("b"), None)
    ledger.turns.end(unlock("c"), Turn.DONE, counted=False)
    assert left(ledger, DOWNLOADS) == 1
    doubted = unlock("d")
    ledger.turns.end(doubted, Turn.IN_DOUBT)
    with pytest.raises(OverBudget, match="2 downloads in any 30 days"):
        unlock("e")
    clock.advance(3600)
    again = ledger.turns.retry(unlock("d"), lasts=40, budgets=[DOWNLOADS])
    assert (again.turn, left(ledger, DOWNLOADS)) == (Turn.OURS, 0)
    clock.advance(31 * DAY)
    assert left(ledger, DOWNLOADS) == 2


def unlock(ledger: Ledger, song: str = "a") -> Once:
    return ledger.turns.begin("unlock", "user", song, lasts=40, budgets=[DOWNLOADS])


def lost_and_again(ledger: Ledger, clock: SteppedClock) -> tuple[Once, Once]:
    """An unlock without an answer, and the next attempt."""
    lost = unlock(ledger)
    clock.advance(200)
    again = ledger.turns.retry(unlock(ledger), lasts=40, budgets=[DOWNLOADS])
    assert again is not None
    return lost, again


def test_a_lost_unlock_has_counted_if_the_next_finds_the_song_unlocked(ledger: Ledger, clock: SteppedClock) -> None:
    _, again = lost_and_again(ledger, clock)
    ledger.turns.end(again, Turn.DONE, counted=False)
    assert left(ledger, DOWNLOADS) == 1


def test_a_lost_unlock_may_have_counted_while_the_next_is_refused(ledger: Ledger, clock: SteppedClock) -> None:
    _, again = lost_and_again(ledger, clock)
    ledger.turns.end(again, None)
    assert (unlock(ledger).turn, left(ledger, DOWNLOADS)) == (Turn.IN_DOUBT, 1)
    third = ledger.turns.retry(unlock(ledger), lasts=40, budgets=[DOWNLOADS])
    ledger.turns.end(third, Turn.DONE, counted=False)
    assert left(ledger, DOWNLOADS) == 1


@pytest.mark.parametrize("is_last", [False, True])
@pytest.mark.parametrize(("late", "next_one"), [(True, False), (False, True), (False, False), (None, True)])
def test_each_unlock_that_counted_is_in_the_budget_once(
    ledger: Ledger, clock: SteppedClock, late: bool | None, next_one: bool, is_last: bool
) -> None:
    """The answer of the first attempt comes late: before or after that of the next."""
    lost, again = lost_and_again(ledger, clock)
    answers = [
        lambda: ledger.turns.end(lost, None if late is None else Turn.DONE, counted=bool(late)),
        lambda: ledger.turns.end(again, Turn.DONE, counted=next_one),
    ]
    for answer in reversed(answers) if is_last else answers:
        answer()
    # If the next attempt ends first, the lost one is taken for the one that has counted.
    counted = bool(late) + next_one or (1 if is_last else 0)
    assert (unlock(ledger).turn, left(ledger, DOWNLOADS)) == (Turn.DONE, 2 - counted)


def test_an_unlock_that_ends_twice_is_given_back_once(ledger: Ledger) -> None:
    ledger.turns.end(unlock(ledger, "other"), Turn.DONE)
    one = unlock(ledger)
    for _ in range(2):
        ledger.turns.end(one, None)
    assert left(ledger, DOWNLOADS) == 1


def test_a_song_that_suno_has_locked_again_is_unlocked_and_counted_again(ledger: Ledger, clock: SteppedClock) -> None:
    ledger.turns.end(unlock(ledger), Turn.DONE)
    done = unlock(ledger)
    again = ledger.turns.repeat(done, lasts=40, budgets=[DOWNLOADS])
    assert (again.attempt, ledger.turns.repeat(done, lasts=40, budgets=[DOWNLOADS])) == (2, None)
    ledger.turns.end(again, Turn.DONE)
    assert left(ledger, DOWNLOADS) == 0
    clock.advance(100)
    with pytest.raises(OverBudget):
        ledger.turns.repeat(unlock(ledger), lasts=40, budgets=[DOWNLOADS])
    assert unlock(ledger).turn is Turn.DONE


def test_an_unlock_that_suno_did_not_need_is_not_counted_though_an_earlier_one_was(ledger: Ledger) -> None:
    ledger.turns.end(unlock(ledger), Turn.DONE)
    again = ledger.turns.repeat(unlock(ledger), lasts=40, budgets=[DOWNLOADS])
    ledger.turns.end(again, Turn.DONE, counted=False)
    assert left(ledger, DOWNLOADS) == 1


def test_an_unlock_of_an_older_version_is_read(ledger: Ledger, store: Store, clock: SteppedClock) -> None:
    record = {"state": "started", "attempt": 2, "began": list(clock.now()), "lasts": 40.0, "budgets": []}
    store.transact(lambda tx: tx.put_record("once", "unlock:user:a", record, kept=DAY))
    clock.advance(50)
    assert (unlock(ledger).turn, unlock(ledger).attempt, unlock(ledger).overdue_seconds) == (Turn.IN_DOUBT, 2, 10)


def test_times_are_formatted_in_days_hours_and_minutes() -> None:
    assert [in_words(seconds) for seconds in (1, 61, 3600, 86_400 * 2 + 3601)] == [
        *("1 min", "2 min", "1 h 0 min", "2 d 1 h")
    ]


def test_a_price_that_was_given_back_counts_again_with_a_late_answer(ledger: Ledger) -> None:
    late = begin(ledger, "k")
    ledger.doubt(late)
    assert ledger.give_back(late)
    assert left(ledger) == 50
    assert ledger.finish(late, stems("a", "b"), paid=True).budgets == (CREDITS.name,)
    assert left(ledger) == 40


def test_a_price_given_back_after_its_period_leaves_a_budget_that_works(ledger: Ledger, clock: SteppedClock) -> None:
    one = begin(ledger, price=30)
    clock.advance(3 * DAY)
    ledger.free(one)
    assert left(ledger) == 50
    begin(ledger, price=50)
    assert left(ledger) == 0
