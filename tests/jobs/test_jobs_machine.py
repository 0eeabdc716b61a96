"""Jobs under random failures of Suno, storage, ledger, receivers, processes and clocks.

Always: slots come back, a kept file is not fetched again, a song is unlocked once. In the end: each order has ended
within its bound, its last word agrees with Suno, and a job that gets nowhere makes few calls.
"""

from __future__ import annotations

import json
import math
import os
import shutil
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from app.audio.fetch import FetchFailed
from app.jobs.job import SplitState
from app.splits.store import Entry, LedgerUnavailable, State
from app.suno.clip import Clip
from app.suno.errors import RateLimited, SessionExpired, SunoFailed
from tests.audio.conftest import wav
from tests.jobs.fakes import AWAY, Killed, World

HOUR, DAY = 3600.0, 86_400.0
AT_ONCE = 2
SOUND = wav()
MOST_CALLS = 20
"""Calls to Suno in an hour of a job that gets nowhere."""


@dataclass
class Order:
    """A split, and what the test knows of it."""

    entry: Entry
    song: str
    audio: bool
    stems: list[Clip] = field(default_factory=list)
    """What Suno's reply listed; [] if it made nothing."""
    is_answered: bool = True
    is_late: bool = False
    """Whether its days were over while something was broken."""


class Chaos(World):
    """A world whose jobs process may be killed, and whose ledger may be away."""

    def step_all(self) -> int:
        steps = 0
        try:
            self.ledger.jobs.note_consumer()
            for id in self.ledger.jobs.due(1000):
                steps += 1
                # The process logs what a step raises, and goes on.
                with suppress(LedgerUnavailable, OSError):
                    self.runner.step(id)
        except LedgerUnavailable:
            self.clock.advance(5)
        except Killed:
            self.store.writes_left = None
            self.start()
        return steps

    def run(self, seconds: float) -> None:
        if self.store.is_away:
            self.step_all()
            self.clock.advance(seconds)
        else:
            super().run(seconds)


class Machine(RuleBasedStateMachine):
    """Random orders, failures and repairs."""

    def __init__(self) -> None:
        super().__init__()
        self.world = Chaos(at_once=AT_ONCE)
        self.world.storage.content = SOUND
        self.world.ledger.jobs.note_consumer()
        self.orders: list[Order] = []
        self.made = 0

    def teardown(self) -> None:
        try:
            self.look_at_calls()
            self.heal()
            self.judge()
        finally:
            shutil.rmtree(self.world.folder, ignore_errors=True)

    # What callers do.

    @rule(
        stems=st.integers(1, 3),
        audio=st.booleans(),
        reply=st.sampled_from(["comes", "comes", "is lost", "is lost, nothing made"]),
        same_song=st.booleans(),
    )
    @precondition(lambda self: len(self.orders) < 4 and not self.world.store.is_away)
    def order(self, stems: int, audio: bool, reply: str, same_song: bool) -> None:
        song = self.orders[-1].song if same_song and self.orders else f"song-{len(self.orders)}"
        self.world.suno.songs.add(song)
        self.world.store.writes_left = None
        order = Order(self.world.begin(audio=audio, song=song, key=f"key-{len(self.orders)}"), song, audio)
        if reply != "is lost, nothing made":
            ids = [f"stem{self.made + number}" for number in range(stems)]
            self.made += stems
            order.stems = self.world.suno.make(*ids, status="submitted", song=song)
        if reply == "comes":
            self.world.ledger.finish(order.entry, order.stems, paid=True, has_job=True)
        else:
            order.is_answered = False
            self.world.ledger.doubt(order.entry)
        self.orders.append(order)

    @rule(which=st.integers(0, 3))
    @precondition(lambda self: not self.world.store.is_away)
    def the_lost_answer_comes_late(self, which: int) -> None:
        for order in self.orders[which : which + 1]:
            if order.stems and not order.is_answered:
                order.is_answered = True
                self.world.store.writes_left = None
                self.world.ledger.finish(order.entry, order.stems, paid=True, has_job=True)

    @rule(which=st.integers(0, 3))
    @precondition(lambda self: not self.world.store.is_away)
    def a_caller_asks_for_the_webhook_again(self, which: int) -> None:
        self.world.store.writes_left = None
        for order in self.orders[which : which + 1]:
            self.world.ledger.jobs.ask_again(order.entry.id)

    # What Suno does.

    @rule(number=st.integers(0, 8), status=st.sampled_from(["queued", "streaming", "complete", "complete", "error"]))
    def a_stem_changes(self, number: int, status: str) -> None:
        stem = self.world.suno.made.get(f"stem{number}")
        if stem is not None and not stem.is_final:
            self.world.suno.make(stem.id, status=status, error_message="Broken." if status == "error" else None)

    @rule(number=st.integers(0, 8))
    def a_stem_is_not_listed(self, number: int) -> None:
        self.world.suno.unlisted ^= {f"stem{number}"}

    @rule(
        error=st.sampled_from(
            [None, None, AWAY, RateLimited("Slower.", retry_after=3600), SunoFailed("500."), SunoFailed("html")]
        )
    )
    def suno_goes_or_comes(self, error: Any) -> None:
        self.world.suno.away = error

    @rule(error=st.sampled_from([None, None, SessionExpired("The cookie is dead."), AWAY]))
    def the_sign_in_breaks_or_works(self, error: Any) -> None:
        self.world.suno.sign_in = error

    @rule(is_prepared=st.booleans())
    def files_are_prepared_or_not(self, is_prepared: bool) -> None:
        self.world.suno.file = "https://storage.example.com/x" if is_prepared else None

    @rule(
        failure=st.sampled_from(
            [None, None, FetchFailed("it broke off"), FetchFailed("cut", most_tries=3), OSError("disk")]
        )
    )
    def storage_breaks_or_works(self, failure: Exception | None) -> None:
        self.world.storage.failure = failure

    # What happens to the service.

    @rule(status=st.sampled_from([200, 200, 500, 410]))
    def the_receiver_answers(self, status: int) -> None:
        self.world.receiver.status = status

    @rule(is_away=st.booleans())
    def the_ledger_goes_or_comes(self, is_away: bool) -> None:
        self.world.store.is_away = is_away
        self.sweep()

    @rule(writes=st.integers(0, 6))
    def the_process_is_killed_before_a_write(self, writes: int) -> None:
        self.world.store.writes_left = writes

    @rule(seconds=st.sampled_from([-DAY, -HOUR, HOUR, DAY]))
    def the_clock_is_set(self, seconds: float) -> None:
        self.world.clock.step_wall(seconds)
        self.sweep()

    def sweep(self) -> None:
        """As the jobs process does every five seconds: between two of them the clock is set once."""
        self.world.run(5.0)

    @rule(seconds=st.sampled_from([1.0, 10.0, 60.0, 600.0, HOUR, 6 * HOUR, DAY, 3 * DAY]))
    def time_passes(self, seconds: float) -> None:
        self.world.run(seconds)

    @rule(seconds=st.sampled_from([HOUR, DAY]))
    def no_process_works(self, seconds: float) -> None:
        self.world.clock.advance(seconds)

    # What must hold.

    @invariant()
    def slots_come_back(self) -> None:
        assert self.world.runner.files.free_slots == AT_ONCE

    @invariant()
    def a_song_is_unlocked_once(self) -> None:
        assert len(self.world.suno.unlocked) == len(set(self.world.suno.unlocked))

    def look_at_calls(self) -> None:
        """With everything as it is now, no job makes too many calls once it has got nowhere for a while."""
        self.world.store.is_away, self.world.store.writes_left = False, None
        self.world.run(3 * HOUR)
        until = self.world.clock.seconds
        # Also those that search for late stems, after they have told that nothing was charged.
        due = self.world.store.read(lambda tx: tx.due(math.inf, 1000))
        open_jobs = sum(order.entry.id in due for order in self.orders)
        files = len([id for id in self.world.ledger.jobs.due(1000) if id.startswith("file:")]) + self.open_files()
        calls = self.world.suno.calls_between(until - HOUR, until)
        assert calls <= MOST_CALLS * (open_jobs + files), (calls, open_jobs, files)

    def open_files(self) -> int:
        files = {id for order in self.orders for id in self.world.job(order.entry).files}
        return sum(self.world.file(id).state == "fetching" for id in files)

    def heal(self) -> None:
        """Everything works again, and Suno finishes all stems."""
        world = self.world
        for order in self.orders:
            order.is_late = world.clock.since(order.entry.began) > 9 * DAY
        world.suno.away = world.suno.sign_in = world.storage.failure = None
        world.suno.file, world.receiver.status = "https://storage.example.com/x", 200
        world.suno.make(*[stem.id for stem in world.suno.made.values() if not stem.is_final])
        world.run(4 * HOUR)
        for order in self.orders:
            if not order.is_late:
                assert world.job(order.entry).state.has_result or self.is_undecided(order), world.job(order.entry)
        world.run(14 * DAY)

    def is_undecided(self, order: Order) -> bool:
        """Whether the order's answer was lost, and its song has stems that may be those of another lost answer."""
        entry = self.world.ledger.get(order.entry.id)
        return entry is not None and entry.state is State.IN_DOUBT

    def judge(self) -> None:
        for order in self.orders:
            job, entry = self.world.job(order.entry), self.world.ledger.get(order.entry.id)
            assert job.state in (SplitState.DELIVERED, SplitState.GIVEN_UP), job
            assert entry and job.body
            told = json.loads(job.body)
            data = told["data"]
            if order.is_late:
                continue
            if entry.state is not State.DONE:
                assert (told["type"], data["stems"]) == ("stems.failed", []), told
                assert data["charged"] is not True
                continue
            assert {stem["id"] for stem in data["stems"]} == {stem.id for stem in entry.stems}
            truth = {stem.id: self.world.suno.made[stem.id].status for stem in entry.stems}
            assert {stem["id"]: stem["status"] for stem in data["stems"]} == truth
            complete = {id for id, status in truth.items() if status == "complete"}
            assert told["type"] == ("stems.completed" if complete else "stems.failed")
            assert {each["id"] for each in data["failed"]} == set(truth) - complete
            if complete and order.audio:
                assert {file["id"] for file in data["files"]} == complete
                for file in data["files"]:
                    assert file["status"] in ("kept", "failed")
                    assert (file["status"] == "failed") or any(self.world.folder.glob(f"*/{file['id']}.wav"))
        assert self.world.store.read(lambda tx: tx.next_due()) is None, "nothing is due for ever"


def test_jobs_end_with_the_truth_whatever_fails() -> None:
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=int(os.environ.get("JOBS_EXAMPLES", "15")),
            stateful_step_count=30,
            deadline=None,
            phases=[Phase.generate, *([Phase.shrink] if "JOBS_EXAMPLES" in os.environ else [])],
            suppress_health_check=list(HealthCheck),
            print_blob=True,
            database=None,
            # The suite tries the same examples each time; more of them are others.
            derandomize="JOBS_EXAMPLES" not in os.environ,
        ),
    )
