"""A split's job while a person is needed, with a fake Suno and a clock that only the test advances."""

from __future__ import annotations

import json
from typing import Any

import pytest

from app.jobs.job import SplitState
from app.splits.store import Entry, State
from app.splits.wait import Ended, Wait
from app.suno.errors import RateLimited, SessionExpired
from tests.jobs.fakes import AWAY, PRICE, World
from tests.splits.conftest import listed, stems

MINUTE, HOUR, DAY = 60.0, 3600.0, 86_400.0
TWELVE = tuple(f"part{number}" for number in range(12))


@pytest.fixture
def world() -> World:
    return World()


def waiting(world: World, *known: str, lasts: float = DAY, **how: Any) -> Entry:
    """A split that waits for a person."""
    wait = Wait(began=world.clock.now(), lasts=lasts, listed=known, part="")
    held = world.ledger.wait(world.begin(**how), wait, None)
    assert held is not None
    return held


def person_splits(world: World, *ids: str, song: str = "song", status: str = "complete") -> None:
    world.suno.make(*(ids or ("vocals", "drums", "bass")), song=song, status=status)


def state(world: World, entry: Entry) -> State:
    held = world.ledger.get(entry.id)
    assert held is not None
    return held.state


def asked(world: World, what: str) -> int:
    return sum(called == what for _, called in world.suno.calls)


def test_the_person_is_called_once_and_the_stems_are_told_once(world: World) -> None:
    entry = waiting(world)
    world.run(HOUR)
    assert (world.receiver.types, world.job(entry).state) == (["stems.needs_person"], SplitState.NEEDS_PERSON)
    assert world.receiver.last["person"]["url"] == "https://suno.com/song/song"
    assert "Auto Split" in world.receiver.last["person"]["what"]
    person_splits(world)
    world.run(2 * MINUTE)
    assert world.receiver.types == ["stems.needs_person", "stems.completed"]
    assert (world.receiver.last["charged"], len(world.receiver.last["stems"])) == (False, 3)
    world.run(DAY)
    assert len(world.receiver.received) == 2
    assert (state(world, entry), world.left()) == (State.DONE, 1000)


def test_stems_that_are_not_final_are_taken_and_followed(world: World) -> None:
    waiting(world)
    world.run(MINUTE)
    person_splits(world, *TWELVE, status="submitted")
    world.run(2 * MINUTE)
    assert world.receiver.types == ["stems.needs_person"]
    person_splits(world, *TWELVE)
    world.run(MINUTE)
    assert (world.receiver.types[1:], world.receiver.last["charged"]) == (["stems.completed"], False)


def test_stems_that_suno_cannot_make_are_not_said_to_be_charged(world: World) -> None:
    waiting(world)
    person_splits(world, status="error")
    world.run(2 * MINUTE)
    assert (world.receiver.types[-1], world.receiver.last["charged"]) == ("stems.failed", False)


def test_files_of_adopted_stems_are_fetched(world: World) -> None:
    waiting(world, audio=True)
    person_splits(world)
    world.run(5 * MINUTE)
    assert sorted(world.storage.fetched) == ["bass", "drums", "vocals"]
    assert {file["status"] for file in world.receiver.last["files"]} == {"kept"}


def test_one_look_a_minute_serves_all_that_wait(world: World) -> None:
    for _ in range(3):
        waiting(world)
        world.clock.advance(1)
    world.suno.calls.clear()
    world.run(HOUR)
    looks = len({at for at, _ in world.suno.calls})
    assert 55 <= looks <= 61
    assert asked(world, "stems") <= 3 * looks


def test_of_many_songs_a_look_reads_two_lists_in_turn_and_those_that_suno_marks_as_split(world: World) -> None:
    songs = [f"song-{number}" for number in range(20)]
    entries = {}
    for song in songs:
        world.suno.songs.add(song)
        entries[song] = waiting(world, song=song)
    world.run(1.0)
    world.suno.calls.clear()
    world.run(10 * MINUTE)
    assert asked(world, "stems") <= 22
    assert asked(world, "list") <= 11
    person_splits(world, "x", "y", "z", song="song-19")
    world.run(11 * MINUTE)
    assert state(world, entries["song-19"]) is State.DONE
    assert sum(state(world, entry) is State.NEEDS_PERSON for entry in entries.values()) == 19


def test_the_wait_ends_and_nothing_was_charged(world: World) -> None:
    entry = waiting(world, key="k", lasts=6 * HOUR)
    world.run(5 * HOUR)
    assert state(world, entry) is State.NEEDS_PERSON
    world.run(HOUR + MINUTE)
    assert world.receiver.types == ["stems.needs_person", "stems.failed"]
    assert (world.receiver.last["charged"], world.receiver.last["code"]) == (False, "captcha_required")
    world.run(3 * DAY)
    assert len(world.receiver.received) == 2
    assert (state(world, entry), world.left()) == (State.FAILED, 1000)


def test_it_ends_in_time_even_if_suno_cannot_be_read_or_the_jobs_process_was_away(world: World) -> None:
    waiting(world, lasts=6 * HOUR)
    world.suno.away = AWAY
    world.run(7 * HOUR)
    assert world.receiver.types == ["stems.needs_person", "stems.failed"]
    waiting(world, lasts=6 * HOUR)
    world.clock.advance(DAY)
    world.run(MINUTE)
    assert world.receiver.types[2:] == ["stems.failed"]


@pytest.mark.parametrize("is_away", [False, True])
def test_before_a_wait_ends_it_looks_a_last_time(world: World, is_away: bool) -> None:
    entry = waiting(world, lasts=1.5 * MINUTE)
    world.run(1.2 * MINUTE)
    person_splits(world)
    if is_away:
        world.clock.advance(HOUR)
    world.run(MINUTE)
    assert state(world, entry) is State.DONE
    assert world.receiver.types == ["stems.needs_person", "stems.completed"]


def test_the_call_of_an_earlier_wait_is_not_sent_again(world: World) -> None:
    entry = waiting(world, key="k", lasts=HOUR)
    world.run(2 * HOUR)
    ended = world.ledger.get(entry.id)
    again = world.ledger.restart(ended, 41.0)
    assert world.ledger.wait(again, Wait(began=world.clock.now(), lasts=DAY, listed=(), part=""), None)
    # A caller asks for it before the split's job has called the person anew.
    notice = f"person:{entry.id}"
    world.ledger.jobs.ask_again(notice)
    world.runner.step(notice)
    assert world.receiver.types == ["stems.needs_person", "stems.failed"]
    world.run(MINUTE)
    assert world.receiver.types == ["stems.needs_person", "stems.failed", "stems.needs_person"]


def test_stems_that_a_person_has_just_begun_are_not_late(world: World) -> None:
    waiting(world)
    world.run(5 * HOUR)
    person_splits(world, *TWELVE, status="streaming")
    world.run(30 * MINUTE)
    assert world.receiver.types == ["stems.needs_person"]
    world.run(2 * HOUR)
    assert world.receiver.types == ["stems.needs_person", "stems.delayed"]
    assert "A person has made the stems" in world.receiver.last["error"]


def test_a_wait_is_no_delay_and_no_standstill(world: World) -> None:
    waiting(world)
    world.run(10 * HOUR)
    assert world.receiver.types == ["stems.needs_person"]
    assert world.runner.report().stalled_for == 0.0


@pytest.mark.parametrize(
    "failure", [AWAY, SessionExpired("The cookie is dead."), RateLimited("Wait.", retry_after=90)]
)
def test_while_suno_cannot_be_read_it_looks_less_often_and_goes_on(world: World, failure: Any) -> None:
    entry = waiting(world)
    world.suno.away = failure
    world.run(5 * HOUR)
    assert world.suno.calls_between(world.clock.seconds - HOUR, world.clock.seconds) <= 20
    world.suno.away = None
    person_splits(world)
    world.run(15 * MINUTE)
    assert state(world, entry) is State.DONE


def test_a_set_that_is_listed_late_is_taken_then(world: World) -> None:
    entry = waiting(world)
    person_splits(world)
    made = dict(world.suno.made)
    world.suno.made.clear()
    world.run(2 * HOUR)
    assert state(world, entry) is State.NEEDS_PERSON
    world.suno.made |= made
    world.run(2 * MINUTE)
    assert state(world, entry) is State.DONE


def test_a_person_is_not_called_for_a_wait_that_has_ended(world: World) -> None:
    entry = waiting(world)
    assert world.ledger.waits.end(entry, Ended.CANCELLED)
    world.run(MINUTE)
    assert world.receiver.types == ["stems.failed"]
    assert (world.receiver.last["code"], world.receiver.last["charged"]) == ("cancelled", False)


def test_a_receiver_that_is_away_does_not_hold_back_the_look(world: World) -> None:
    entry = waiting(world)
    world.receiver.status = 503
    world.run(MINUTE)
    person_splits(world)
    world.run(2 * MINUTE)
    assert state(world, entry) is State.DONE
    world.receiver.status = 200
    world.run(HOUR)
    assert world.receiver.types[-1] == "stems.completed"


def test_a_paid_attempt_after_the_wait_is_told_as_paid(world: World) -> None:
    entry = waiting(world)
    world.run(HOUR)
    again = world.ledger.restart(entry, 41.0)
    assert again is not None
    world.run(10.0)
    world.ledger.finish(again, world.suno.make("vocals", "drums"), paid=True, has_job=True)
    world.run(MINUTE)
    assert world.receiver.types == ["stems.needs_person", "stems.completed"]
    assert "charged" not in world.receiver.last


def test_a_lost_attempt_after_the_wait_is_searched_for_and_counts_as_paid(world: World) -> None:
    entry = waiting(world)
    world.run(HOUR)
    again = world.ledger.restart(entry, 41.0)
    assert again is not None
    world.ledger.doubt(again)
    person_splits(world)
    world.run(10 * MINUTE)
    assert world.receiver.types == ["stems.needs_person", "stems.completed"]
    assert "charged" not in world.receiver.last


def test_a_key_that_begins_again_after_the_end_is_told_anew(world: World) -> None:
    entry = waiting(world, key="k", lasts=HOUR)
    world.run(2 * HOUR)
    ended = world.ledger.get(entry.id)
    assert ended is not None
    again = world.ledger.restart(ended, 41.0)
    assert again is not None
    world.ledger.finish(again, world.suno.make("vocals", "drums"), paid=True, has_job=True)
    world.run(MINUTE)
    assert world.receiver.types == ["stems.needs_person", "stems.failed", "stems.completed"]
    assert len({id for id, _ in world.receiver.received}) == 3


def test_stems_that_are_taken_away_again_are_followed_by_the_truth(world: World) -> None:
    """Another request's lost answer comes late: the stems were its own."""
    entry = waiting(world, lasts=6 * HOUR)
    world.run(MINUTE)
    person_splits(world)
    world.run(2 * MINUTE)
    assert world.receiver.types == ["stems.needs_person", "stems.completed"]
    other = world.ledger.new_entry(
        caller="",
        account="user",
        idempotency_key="",
        question='["song", "twelve", false]',
        song_id="song",
        task="twelve",
        request_id="other",
        lasts=41.0,
    )
    world.ledger.finish(other, list(world.suno.made.values()), paid=True)
    world.run(MINUTE)
    assert state(world, entry) is State.NEEDS_PERSON
    world.run(6 * HOUR)
    assert world.receiver.types == ["stems.needs_person", "stems.completed", "stems.failed"]
    assert world.receiver.last["charged"] is False


def test_a_step_may_run_twice(world: World) -> None:
    entry = waiting(world)
    stored = world.ledger.jobs.get(entry.id)
    assert stored is not None
    world.runner.step(entry.id)
    world.ledger.jobs.add(entry.id, lambda _: stored.body)
    world.run(MINUTE)
    assert world.receiver.types == ["stems.needs_person"]


def test_a_wait_whose_record_is_lost_ends(world: World) -> None:
    entry = waiting(world)
    world.store.transact(lambda tx: tx.put_record("wait", entry.id, None, kept=0))
    world.run(MINUTE)
    assert (state(world, entry), world.receiver.types) == (State.FAILED, ["stems.failed"])
    assert "captcha" in json.dumps(world.receiver.last)


def test_a_job_of_the_last_release_can_wait(world: World) -> None:
    entry = world.begin()
    body = json.loads(world.ledger.jobs.get(entry.id).body)
    for name in ("called", "is_adopted"):
        del body[name]
    world.ledger.jobs.add(entry.id, lambda _: json.dumps(body))
    held = world.ledger.wait(entry, Wait(began=world.clock.now(), lasts=DAY, listed=(), part=""), None)
    assert held is not None
    world.run(MINUTE)
    person_splits(world)
    world.run(2 * MINUTE)
    assert world.receiver.types == ["stems.needs_person", "stems.completed"]


def test_a_rival_in_doubt_is_settled_before_the_set_is_taken(world: World) -> None:
    lost = world.lose(webhook=False)
    world.run(5 * MINUTE)
    entry = waiting(world)
    person_splits(world)
    world.run(HOUR)
    assert state(world, entry) is State.NEEDS_PERSON
    assert state(world, lost) is State.IN_DOUBT
    own = stems("own1", "own2", "own3")
    world.ledger.finish(lost, own, paid=True)
    world.run(2 * MINUTE)
    assert state(world, entry) is State.DONE
    assert world.left() == 1000 - PRICE


def test_evidence_is_of_no_use_after_the_end(world: World) -> None:
    entry = waiting(world)
    world.ledger.waits.end(entry, Ended.TOO_LATE)
    assert world.ledger.settle(entry, listed(stems("a", "b"))).stems == ()
