"""The hourly look whether the ledger keeps its data, with a fake clock and a store that changes its mind."""

from __future__ import annotations

import pytest

from app.splits.ledger import Ledger
from app.splits.store import Durability, LedgerUnavailable
from tests.splits.conftest import SteppedClock, entry
from tests.splits.memory_store import MemoryStore

HOUR = 3600.0
DURABLE, FORGETFUL = Durability(True), Durability(False, "appendonly is off")


class Changing(MemoryStore):
    """A store with settings that can change."""

    settings = DURABLE
    looks = 0

    def durability(self) -> Durability:
        self.looks += 1
        return self.settings


@pytest.fixture
def changing(clock: SteppedClock, monkeypatch: pytest.MonkeyPatch) -> Changing:
    monkeypatch.setattr("app.splits.durability.time.monotonic", lambda: clock.seconds)
    return Changing(clock)


def test_it_is_looked_at_once_an_hour(changing: Changing, clock: SteppedClock) -> None:
    ledger = Ledger(changing)
    for _ in range(3):
        ledger.begin(entry(ledger, "key"))
        clock.advance(HOUR - 1)
        ledger.begin(entry(ledger, "key"))
        clock.advance(1)
    assert changing.looks == 3


def test_with_require_keys_follow_a_ledger_that_is_durable_no_longer_and_then_again(
    changing: Changing, clock: SteppedClock
) -> None:
    ledger = Ledger(changing, must_be_durable=True)
    ledger.begin(entry(ledger, "first"))
    changing.settings = FORGETFUL
    clock.advance(HOUR)
    for _ in range(2):
        with pytest.raises(LedgerUnavailable, match="LEDGER_DURABLE is require, and appendonly is off"):
            ledger.begin(entry(ledger, "second"))
    ledger.begin(entry(ledger))
    changing.settings = DURABLE
    ledger.begin(entry(ledger, "second"))


def test_each_hour_in_which_it_may_forget_has_one_log_line(
    changing: Changing, clock: SteppedClock, caplog: pytest.LogCaptureFixture
) -> None:
    check, seen = Ledger(changing).durability, []

    def lines_of_two_hours() -> int:
        before = len(caplog.messages)
        for _ in range(8):
            clock.advance(HOUR / 4)
            seen.append(check.is_durable())
        return len(caplog.messages) - before

    assert lines_of_two_hours() == 0
    changing.settings = FORGETFUL
    assert lines_of_two_hours() == 2
    changing.settings = Durability(False, "maxmemory-policy is allkeys-lru")
    assert lines_of_two_hours() == 2
    changing.settings = DURABLE
    assert lines_of_two_hours() == 0
    changing.settings = FORGETFUL
    check.look()
    assert caplog.messages[-1] == "The ledger may forget paid splits: appendonly is off."
    assert (seen[7], seen[15], seen[23], seen[31]) == (True, False, False, True)
