"""The pause before an account's next paid call, on each of the three stores; each ledger is another process."""

from __future__ import annotations

import pytest

from app.splits.ledger import Ledger
from app.splits.store import Store
from tests.splits.conftest import SteppedClock, entry

DAY = 24 * 3600.0


def meet(ledger: Ledger, seconds: float) -> None:
    """Meet Cloudflare's limit with a paid call of the account `a`."""
    ledger.free(ledger.begin(entry(ledger, account="a")), paid_calls_pause=seconds)


def left(ledger: Ledger, account: str = "a", key: str = "") -> float:
    """The pause as a new attempt finds it."""
    ledger.begin(entry(ledger, key, account=account))
    return ledger.paid_pauses.left(account)


@pytest.mark.parametrize("key", ["", "key"])
def test_each_process_waits_for_the_pause_that_one_has_met(store: Store, clock: SteppedClock, key: str) -> None:
    one, other = Ledger(store), Ledger(store)
    assert left(other) == 0
    meet(one, 120)
    assert left(other, key=key) == 120
    assert left(other, "b") == 0, "another account does not wait"
    clock.advance(50)
    assert other.paid_pauses.left("a") == 70
    assert left(Ledger(store)) == 70, "after a restart"
    clock.advance(70)
    assert (other.paid_pauses.left("a"), left(Ledger(store))) == (0, 0)


def test_a_next_attempt_waits_too(store: Store) -> None:
    one, other = Ledger(store), Ledger(store)
    doubtful = one.begin(entry(one, "key", account="a"))
    one.doubt(doubtful)
    meet(other, 120)
    assert one.restart(doubtful, 41.0)
    assert one.paid_pauses.left("a") == 120


@pytest.mark.parametrize(("second", "lasts"), [(30, 110), (300, 300)])
def test_the_longer_of_two_pauses_counts(ledger: Ledger, clock: SteppedClock, second: float, lasts: float) -> None:
    meet(ledger, 120)
    clock.advance(10)
    meet(ledger, second)
    assert left(ledger) == lasts


@pytest.mark.parametrize("step", [-DAY, DAY])
def test_setting_the_wall_clock_does_not_change_a_pause(ledger: Ledger, clock: SteppedClock, step: float) -> None:
    meet(ledger, 120)
    clock.step_wall(step)
    clock.advance(20)
    assert left(ledger) == 100


@pytest.mark.parametrize("boot", ["this start", "another"])
def test_a_pause_that_begins_in_the_future_lasts_its_own_length(store: Store, clock: SteppedClock, boot: str) -> None:
    clock.seconds = 30 * DAY
    meet(Ledger(store), 120)
    clock.boot, clock.seconds = boot, 5.0
    clock.step_wall(-2 * DAY)
    ledger = Ledger(store)
    assert left(ledger) == 120
    clock.advance(119)
    assert left(ledger) == 1
    clock.advance(1)
    assert left(ledger) == 0
