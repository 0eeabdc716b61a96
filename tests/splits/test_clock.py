"""How long ago something began: after reboots, and with clocks that were set."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from app.splits import clock as clocks
from app.splits.clock import BOOT_ID, Clock, Moment
from app.splits.evidence import Verdict
from app.splits.ledger import Ledger
from app.splits.once import Turn
from app.splits.sqlite import SqliteStore
from app.splits.store import State, Store
from tests.splits.conftest import SteppedClock, entry, listed, stems

SETTLE = 60.0
DAY = 24 * 3600.0
HERE = "5a0f9c1e-1f0b-4d7c-9a51-0c9d2b7e4f60"


@pytest.fixture
def hidden(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The kernel's id of this boot cannot be read."""
    monkeypatch.setattr(clocks, "KERNELS_BOOT_ID", Path("/proc/nowhere"))
    clocks._boot_id.cache_clear()
    yield
    clocks._boot_id.cache_clear()


def test_the_boot_id_is_the_same_in_both_places(hidden: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(BOOT_ID, HERE.replace("-", ""))
    assert Clock().boot_id == HERE


@pytest.mark.parametrize("value", ["", "%b", "not an id"])
def test_without_a_boot_id_the_machine_is_identified(
    hidden: None, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv(BOOT_ID, value)
    assert "-" not in Clock().boot_id


@pytest.mark.parametrize("wall", [0, 120, -3600])
@pytest.mark.parametrize("boot", ["this start", "another"])
def test_a_moment_of_the_future_counts_as_now_and_then_time_passes(wall: int, boot: str) -> None:
    clock = SteppedClock(seconds=30 * 24 * 3600.0)
    moment = clock.now()
    clock.boot, clock.seconds = boot, 5.0
    clock.step_wall(wall)
    for passed in (0, 1, 4_000, 31 * 24 * 3600):
        clock.seconds, clock.wall = 5.0 + passed, 1_800_000_000.0 + wall + passed
        assert clock.since(moment) == passed + max(0, wall)


def test_two_machines_may_see_the_shared_clock_differ_a_little() -> None:
    clock = SteppedClock()
    moment = Moment("another", 1.0, clock.wall + 0.5)
    assert clock.since(moment) == 0
    clock.advance(2)
    assert clock.since(moment) == 1.5


def test_on_one_machine_a_moment_before_the_boot_is_at_least_as_old_as_the_boot(tmp_path: Path) -> None:
    clock = SqliteStore(str(tmp_path / "ledger.db")).clock
    now = clock.now()
    for moment in (Moment("another", 1.0, now.wall), Moment(now.boot_id, now.boot + 1e6, now.wall + 1e6)):
        assert clock.since(moment) >= now.boot


def test_a_retry_after_a_reboot_with_the_same_id_waits_its_settle_time(ledger: Ledger, clock: SteppedClock) -> None:
    clock.seconds = 25 * 24 * 3600.0
    one = ledger.begin(entry(ledger, "key"))
    clock.seconds = 5.0
    assert ledger.begin(entry(ledger, "key", account=one.account)).state is State.STARTED
    assert ledger.overdue_seconds(one) == -one.lasts
    clock.advance(one.lasts + SETTLE)
    assert ledger.overdue_seconds(one) == SETTLE
    assert ledger.settle(one, listed()).verdict is Verdict.NONE
    assert ledger.restart(one, 41.0) is not None


def test_a_key_is_forgotten_a_day_after_a_reboot_with_the_same_id(ledger: Ledger, clock: SteppedClock) -> None:
    clock.seconds = 25 * 24 * 3600.0
    one = ledger.begin(entry(ledger, "key"))
    clock.seconds = 5.0
    clock.advance(24 * 3600 - 1)
    assert ledger.begin(entry(ledger, "key", account=one.account)).id == one.id
    clock.advance(2)
    assert ledger.begin(entry(ledger, "key", account=one.account)).id != one.id


def test_an_unlock_and_a_claim_end_after_a_reboot_with_the_same_id(ledger: Ledger, clock: SteppedClock) -> None:
    clock.seconds = 25 * 24 * 3600.0
    ledger.turns.begin("unlock", "user", "song", lasts=41.0)
    ledger.jobs.add("file:1", lambda held: '{"state": "fetching"}')
    assert ledger.jobs.claim("file:1", 45)
    clock.seconds = 5.0
    assert ledger.turns.begin("unlock", "user", "song", lasts=41.0).turn is Turn.UNDER_WAY
    assert ledger.jobs.claim("file:1", 45) is None
    clock.advance(46)
    once = ledger.turns.begin("unlock", "user", "song", lasts=41.0)
    assert (once.turn, once.overdue_seconds) == (Turn.IN_DOUBT, 5.0)
    assert ledger.jobs.claim("file:1", 45)


@pytest.mark.parametrize("step", [-2 * DAY, -DAY, 0.0, DAY])
@pytest.mark.parametrize("reboots", [(False, True), (True, False), (True, True)])
def test_a_list_that_was_recorded_after_an_attempt_began_never_explains_its_stems(
    store: Store, clock: SteppedClock, step: float, reboots: tuple[bool, bool]
) -> None:
    one = Ledger(store).begin(entry(Ledger(store), "key"))
    made = listed(stems("a", "b"))
    clock.step_wall(step)
    for number, must_reboot in enumerate(reboots):
        clock.advance(120)
        if must_reboot:
            clock.boot, clock.seconds = f"start {number}", 5.0
            clock._first_seen.clear()
        # The first look alone takes nothing, but records what is listed.
        verdict = Ledger(store).settle(one, replace(made, seen=made.shown if number else frozenset())).verdict
        assert verdict is (Verdict.OURS if number else Verdict.PERHAPS)
