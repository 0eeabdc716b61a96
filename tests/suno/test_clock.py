"""Suno's own time, read from its replies."""

from __future__ import annotations

import pytest
from responses import RequestsMock

from app.suno.clock import SunoClock
from app.suno.gateway import SunoGateway
from tests.suno.conftest import ALICE, API, signed_in

NOON = "Wed, 25 Nov 2026 12:00:00 GMT"
NOON_SECONDS = 1_795_608_000


class Boot:
    now = 1000.0


@pytest.fixture
def boot(monkeypatch: pytest.MonkeyPatch) -> Boot:
    """A fake boot clock that advances on demand."""
    boot = Boot()
    monkeypatch.setattr("app.suno.clock.time.clock_gettime", lambda _: boot.now)
    return boot


def test_the_time_is_read_from_a_reply_and_advances_with_the_boot_clock(boot: Boot) -> None:
    clock = SunoClock()
    assert clock.now() is None
    clock.note(NOON)
    boot.now += 60
    assert clock.now() == pytest.approx(NOON_SECONDS + 60, abs=1)


def test_setting_this_machines_clock_changes_nothing(boot: Boot, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SunoClock()
    clock.note(NOON)
    before = clock.now()
    monkeypatch.setattr("app.suno.clock.time.time", lambda: 0.0)
    assert clock.now() == before


def test_a_reply_of_the_same_second_does_not_set_the_clock_back(boot: Boot) -> None:
    clock = SunoClock()
    assert clock.note(NOON) == NOON_SECONDS + 0.5
    boot.now += 0.75
    assert clock.note(NOON) == NOON_SECONDS + 1.25


@pytest.mark.parametrize("date", ["", "soon", "Wed, 99 Nov 2026 12:00:00 GMT"])
def test_an_invalid_date_is_ignored(boot: Boot, date: str) -> None:
    clock = SunoClock()
    assert clock.note(date) is None
    clock.note(NOON)
    clock.note(date)
    assert clock.now() == pytest.approx(NOON_SECONDS, abs=1)


def test_each_reply_of_the_studio_sets_the_clock(gateway: SunoGateway, wire: RequestsMock) -> None:
    signed_in(wire)
    wire.get(f"{API}/api/billing/info/", json={"total_credits_left": 1}, headers={"Date": NOON})
    assert gateway.now() is None
    gateway.credits(ALICE)
    assert gateway.now() == pytest.approx(NOON_SECONDS, abs=30)
