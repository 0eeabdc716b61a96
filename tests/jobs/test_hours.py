"""A Suno that is slow, busy or away for hours, over real sockets. All processes share a clock of the test's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from app.splits.which_store import open_store
from tests import stack
from tests.conftest import SONG, Suno, until
from tests.jobs.conftest import Deployed, Receiver, settings_in
from tests.shared_clock import SharedClock
from tools.stack import ACCOUNT

MINUTE, HOUR = 60.0, 3600.0
FOR_EVER = 1e9


@dataclass(frozen=True)
class Hours:
    """A service and its jobs process, the local Suno, and their clock."""

    clock: SharedClock
    suno: Suno
    deployed: Deployed

    def next_due(self) -> float | None:
        """When the next job is due, in seconds since 1970; None if none is open."""
        return open_store(self.deployed.settings["LEDGER_URL"]).read(lambda tx: tx.next_due())

    def pass_until(self, is_so: Callable[[], Any]) -> None:
        """Let time pass until the next job is due, again and again."""

        def step() -> Any:
            self.clock.pass_to_next_job(self.deployed.settings["LEDGER_URL"])
            return is_so()

        until(step)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Hours]]:
    with ExitStack() as servers:

        def make(**settings: str) -> Hours:
            clock = SharedClock(tmp_path / "clock")
            servers.enter_context(clock.in_environment())
            suno = Suno(servers.enter_context(stack.suno("--pace", "0.2")))
            deployed = Deployed.start(
                servers, suno, settings_in(tmp_path) | {"SUNO_COOKIE": ACCOUNT} | clock.environment | settings
            )
            deployed.start_jobs()
            return Hours(clock, suno, deployed)

        yield make


def test_a_suno_whose_lists_take_nearly_their_whole_timeout_gives_a_webhook(
    start: Callable[..., Hours], receiver: Callable[..., Receiver]
) -> None:
    there, hours = receiver(), start(SUNO_READ_TIMEOUT="3", SUNO_DEADLINE="4")
    hours.suno.set(read_delay=1.5)
    hours.deployed.split(there.url)
    [webhook] = there.verified()
    assert (webhook["type"], webhook["data"]["complete"]) == ("stems.completed", True)


def test_one_429_with_an_hours_pause_silences_an_account_for_two_minutes(
    start: Callable[..., Hours], receiver: Callable[..., Receiver]
) -> None:
    receivers, hours = [receiver() for _ in range(4)], start()
    hours.suno.set(read_pause=HOUR)
    hours.suno.forget()
    for there in receivers:
        hours.deployed.split(there.url)
    until(lambda: hours.suno.log("/api/feed/"))
    hours.suno.set(read_pause=0)
    hours.clock.advance(2 * MINUTE + 1)
    assert [there.verified()[0]["type"] for there in receivers] == ["stems.completed"] * 4
    statuses = [entry["status"] for entry in hours.suno.log("/api/feed/")]
    assert (statuses.count(429) <= len(receivers), statuses[0], statuses[-1]) == (True, 429, 200)


def test_a_failed_stem_that_lists_leave_out_is_found_with_a_long_interval(
    start: Callable[..., Hours], receiver: Callable[..., Receiver]
) -> None:
    there, hours = receiver(), start(SUNO_POLL_INTERVAL="4")
    hours.deployed.split(there.url, "song-stem-vanishes", audio_format="mp3")
    [webhook] = there.verified()
    data = webhook["data"]
    assert (webhook["type"], data["complete"]) == ("stems.completed", False)
    assert [stem["status"] for stem in data["stems"]] == ["complete", "error"]
    assert [file["status"] for file in data["files"]] == ["kept"]


def test_an_hour_in_which_suno_refuses_each_read_is_told_and_then_the_stems(
    start: Callable[..., Hours], receiver: Callable[..., Receiver]
) -> None:
    there, hours = receiver(), start()
    hours.suno.set(read_pause=HOUR)
    reply = hours.deployed.split(there.url, audio_format="mp3")
    hours.pass_until(lambda: there.received)
    assert there.verified()[0]["type"] == "stems.delayed"
    state = hours.deployed.state_of(reply)
    assert (state["state"], state["delayed"], state["ready"]) == ("done", True, False)
    hours.suno.set(read_pause=0)
    hours.pass_until(lambda: len(there.received) > 1)
    webhook = there.verified(2)[-1]
    assert (webhook["type"], webhook["data"]["complete"]) == ("stems.completed", True)
    assert [file["status"] for file in webhook["data"]["files"]] == ["kept", "kept"]


def test_a_file_that_suno_never_prepares_ends_after_an_hour(start: Callable[..., Hours]) -> None:
    hours = start(SUNO_POLL_INTERVAL="60")
    hours.suno.set(preparation=FOR_EVER)
    wanted = {"ids": [SONG], "format": "mp3"}

    def fetch() -> Any:
        [file] = hours.deployed.client.post("/api/audio", json=wanted).json()
        return file if file["status"] == "failed" else None

    began = hours.clock.now()
    assert fetch() is None
    hours.pass_until(lambda: hours.next_due() is None)
    assert hours.clock.now() - began > HOUR
    file = fetch()
    assert (file["status"], file["error"]) == ("failed", "The file could not be fetched: Suno has not prepared it.")
