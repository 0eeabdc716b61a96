"""How a job's step is run: its claim is held, its result is written, and what fails again and again has an end."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import Any

import gevent
import pytest

from app.audio.shelf import Shelf
from app.jobs.file_status import id_of
from app.jobs.job import FileCode, FileState, SplitState
from app.jobs.runner import CLAIM_SECONDS, MAX_RENEWALS
from app.splits.jobs import MAX_CRASHES
from app.splits.ledger import Ledger
from app.splits.store import LedgerUnavailable
from tests.jobs.fakes import Killed, Receiver, Suno, World
from tests.splits.conftest import entry

MINUTE, HOUR, DAY = 60.0, 3600.0, 86_400.0


@pytest.fixture
def world() -> World:
    return World()


def go_away(world: World, seconds: float) -> None:
    world.store.away_until = world.clock.seconds + seconds


def test_a_ledger_that_is_locked_after_a_delivery_does_not_repeat_it(world: World) -> None:
    entry = world.split("vocals", "drums")
    world.receiver.during = lambda: go_away(world, 10.0)
    world.run(HOUR)
    assert (world.receiver.types, world.job(entry).state) == (["stems.completed"], SplitState.DELIVERED)


def test_a_step_that_the_ledger_fails_runs_again_in_seconds(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.split("vocals", "drums", audio=True)
    song = Suno.stems

    def slow(self: Suno, *about: Any) -> Any:
        go_away(world, 2.0)
        monkeypatch.setattr(Suno, "stems", song)
        return song(self, *about)

    monkeypatch.setattr(Suno, "stems", slow)
    began = world.clock.seconds
    with pytest.raises(LedgerUnavailable):
        world.run(MINUTE)
    world.run(began + 20.0 - world.clock.seconds)
    assert world.receiver.types == ["stems.completed"]


def test_a_process_that_has_paid_for_nothing_yet_notices_an_older_copy_of_the_ledger(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    store = world.store
    older = deepcopy((store._entries, store._records, store._due))
    Ledger(store).begin(entry(world.ledger, "paid by another process"))
    world.runner.sweep("jobs", 10)
    store._entries, store._records, store._due = older
    for _ in range(2):
        world.runner.sweep("jobs", 10)
    assert caplog.text.count("Nothing is paid for now: it was removed or replaced while in use") == 1
    with pytest.raises(LedgerUnavailable, match="flask ledger accept"):
        world.ledger.begin(entry(world.ledger, "paid by another process"))


def test_a_ledger_that_stays_away_leaves_the_job_to_the_end_of_its_claim(world: World) -> None:
    entry = world.split("vocals", "drums")
    world.receiver.during = lambda: go_away(world, 2 * MINUTE)
    with pytest.raises(LedgerUnavailable):
        world.run(HOUR)
    world.clock.advance(2 * MINUTE)
    world.receiver.during = lambda: None
    world.run(HOUR)
    assert (world.receiver.types, world.job(entry).state) == (["stems.completed"] * 2, SplitState.DELIVERED)
    assert len({id for id, _ in world.receiver.received}) == 1, "a receiver can drop the repeat"


def test_a_claim_lasts_as_long_as_its_step(world: World) -> None:
    world.renews = True
    entry = world.split("vocals", "drums")
    others: list[object] = []

    def slowly() -> None:
        for _ in range(20):
            gevent.sleep(0)
            others.append(world.ledger.jobs.claim(entry.id, CLAIM_SECONDS))

    world.receiver.during = slowly
    began = world.clock.seconds
    world.run(HOUR)
    assert world.clock.seconds - began > 3 * CLAIM_SECONDS
    assert others == [None] * 20
    assert (world.receiver.types, world.job(entry).state) == (["stems.completed"], SplitState.DELIVERED)


def test_a_claim_is_kept_although_the_ledger_is_away_when_it_is_renewed(world: World) -> None:
    world.renews = True
    entry = world.split("vocals", "drums")
    others: list[object] = []

    def slowly() -> None:
        go_away(world, CLAIM_SECONDS / 3 + 1)
        for _ in range(6):
            gevent.sleep(0)
        others.append(world.ledger.jobs.claim(entry.id, CLAIM_SECONDS))

    world.receiver.during = slowly
    world.run(HOUR)
    assert (others, len(world.receiver.received)) == ([None], 1)


def test_a_step_that_hangs_loses_its_claim_after_an_hour(world: World) -> None:
    world.renews = True
    entry = world.split("vocals", "drums")
    others: list[object] = []

    def hang() -> None:
        began = world.clock.seconds
        for _ in range(MAX_RENEWALS + 5):
            gevent.sleep(0)
        others.append(world.clock.seconds - began)
        world.clock.advance(CLAIM_SECONDS)
        others.append(world.ledger.jobs.claim(entry.id, CLAIM_SECONDS))

    world.receiver.during = hang
    world.step_all()
    world.step_all()
    lasted, other = others
    assert lasted == MAX_RENEWALS * CLAIM_SECONDS / 3 and other is not None
    stored = world.ledger.jobs.get(entry.id)
    assert stored and stored.claim == other.claim, "the step that lost its claim wrote nothing"  # type: ignore[attr-defined]


def test_a_claim_is_not_renewed_after_a_kill(world: World) -> None:
    world.renews = True
    entry = world.split("vocals", "drums")

    def die() -> None:
        gevent.sleep(0)
        raise Killed

    world.receiver.during = die
    with pytest.raises(Killed):
        world.run(HOUR)
    gevent.sleep(0)
    world.clock.advance(CLAIM_SECONDS)
    assert world.ledger.jobs.due(10) == [entry.id]


def broken(*about: Any, **more: Any) -> Any:
    raise TypeError("changed")


def run_for(world: World, seconds: float) -> None:
    """As the process does: what a step raises is logged."""
    ends = world.clock.seconds + seconds
    while world.clock.seconds < ends:
        try:
            world.run(ends - world.clock.seconds)
        except TypeError:
            world.clock.advance(1)


@pytest.mark.parametrize(
    ("stems", "event"),
    [
        ({"a": "streaming", "b": "streaming"}, "stems.failed"),
        ({"a": "complete", "b": "streaming"}, "stems.completed"),
    ],
)
def test_a_job_that_always_fails_ends_with_what_was_last_seen(
    world: World, monkeypatch: pytest.MonkeyPatch, stems: dict[str, str], event: str
) -> None:
    entry = world.split(*stems, status="streaming")
    world.run(MINUTE)
    for id, status in stems.items():
        world.suno.make(id, status=status)
    world.run(MINUTE)
    monkeypatch.setattr(Suno, "clips", broken)
    run_for(world, 15 * DAY)
    assert world.receiver.types == [event]
    assert (world.job(entry).state, world.left()) == (SplitState.DELIVERED, world.left())
    last = world.receiver.last
    if event == "stems.failed":
        assert last["charged"] is True
        assert last["error"] == (
            "The stems were paid for, but this service failed each time that it looked for them. They may be "
            "complete: GET /api/stems lists them. The service's log has the reason."
        )
    else:
        assert (last["complete"], [each["id"] for each in last["failed"]]) == (False, ["b"])


def test_a_search_that_always_fails_ends_without_a_word_on_the_cost(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = world.lose()
    monkeypatch.setattr(Suno, "stems", broken)
    run_for(world, 15 * DAY)
    assert (world.receiver.types, world.job(entry).state) == (["stems.failed"], SplitState.DELIVERED)
    assert world.receiver.last["charged"] is None
    assert "may have charged" in world.receiver.last["error"]


def test_a_delivery_that_always_fails_is_given_up(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = world.split("vocals", "drums")
    monkeypatch.setattr(Receiver, "send", broken)
    world.start()
    run_for(world, 15 * DAY)
    assert world.job(entry).state is SplitState.GIVEN_UP
    assert world.ledger.jobs.outcomes() == {"webhook_given_up": 1}
    assert world.ledger.jobs.count_open() == 0


def test_a_file_that_always_fails_ends_and_wakes_its_split(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = world.split("vocals", audio=True)
    monkeypatch.setattr(Shelf, "keep", broken)
    run_for(world, MINUTE)
    [id] = world.job(entry).files
    stored = world.ledger.jobs.get(id)
    assert stored and stored.crashes == 2
    record = json.loads(stored.body) | {"waiting": [entry.id], "crashes": MAX_CRASHES - 1}
    world.store.transact(lambda tx: tx.put_record("job", id, record, kept=DAY))
    run_for(world, HOUR)
    assert not world.job(entry).state.has_result
    run_for(world, HOUR)
    file = world.file(id)
    assert (id, file.state, file.code) == (id_of(file), FileState.FAILED, FileCode.SERVICE)
    assert world.receiver.types == ["stems.delayed", "stems.completed"]
    [listed] = world.receiver.last["files"]
    assert listed["status"] == "failed"
    assert listed["error"] == "This service failed each time that it fetched the file. Its log has the reason."


def test_a_step_that_always_kills_the_process_ends_too(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = world.split("vocals", audio=True)

    def kill(*about: Any, **more: Any) -> Any:
        raise Killed

    monkeypatch.setattr(Shelf, "keep", kill)
    kills = 0
    while world.ledger.jobs.count_open():
        try:
            world.run(HOUR)
        except Killed:
            kills += 1
            world.start()
    assert kills == MAX_CRASHES
    [listed] = world.receiver.last["files"]
    assert (listed["status"], world.job(entry).state) == ("failed", SplitState.DELIVERED)
    assert listed["error"] == "This service failed each time that it fetched the file. Its log has the reason."
    assert world.clock.seconds < 1000 + DAY


def test_a_job_that_cannot_be_read_is_left_alone_and_kept(world: World) -> None:
    entry = world.split("vocals")
    record = {"kind": "orders", "what": "of a newer version"}
    world.store.transact(lambda tx: tx.put_record("job", entry.id, record, kept=30 * DAY))
    ends = world.clock.seconds + 15 * DAY
    while world.clock.seconds < ends:
        try:
            world.run(ends - world.clock.seconds)
        except ValueError:
            world.clock.advance(1)
    stored = world.ledger.jobs.get(entry.id)
    assert stored and json.loads(stored.body) == record
    assert world.ledger.jobs.count_open() == 0
