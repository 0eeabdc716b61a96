"""A split's job, with a fake Suno and a clock that only the test advances: what it waits for, and what it tells."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from app.accounts import Accounts
from app.audio.fetch import FetchFailed
from app.callers import DEFAULT_ACCOUNT, OperatorAccount
from app.jobs.job import SplitState
from app.jobs.progress import Progress
from app.splits.jobs import JobsReport
from app.splits.store import LedgerUnavailable, State
from app.suno.errors import RateLimited, SessionExpired, SunoUnreachable
from tests.jobs.fakes import AWAY, CREDITS, PRICE, Suno, World
from tests.splits.conftest import SteppedClock, listed, stems

MINUTE, HOUR, DAY = 60.0, 3600.0, 86_400.0
TEN_MINUTES = 10 * MINUTE


@pytest.fixture
def world() -> World:
    return World()


def test_stems_that_are_complete_are_told_once(world: World) -> None:
    entry = world.split("vocals", "drums")
    world.run(DAY)
    [(id, event)] = world.receiver.received
    data = event["data"]
    assert (event["type"], data["complete"], data["failed"]) == ("stems.completed", True, [])
    assert [(stem["id"], stem["status"], stem["part"]) for stem in data["stems"]] == [
        ("vocals", "complete", "vocals"),
        ("drums", "complete", "drums"),
    ]
    assert (world.job(entry).state, world.job(entry).webhook_id) == (SplitState.DELIVERED, id)


def test_an_hour_in_which_suno_cannot_be_read_is_not_held_against_the_stems(world: World) -> None:
    world.split("vocals", "drums")
    world.suno.away = AWAY
    world.run(5 * HOUR)
    assert world.receiver.types == ["stems.delayed"]
    assert "charged" not in json.dumps(world.receiver.last)
    world.suno.away = None
    world.run(TEN_MINUTES + 1)
    assert world.receiver.types == ["stems.delayed", "stems.completed"]
    assert len({id for id, _ in world.receiver.received}) == 2


def test_time_in_which_no_process_worked_is_not_held_against_the_stems(world: World) -> None:
    world.split("vocals", "drums", status="streaming")
    world.clock.advance(3 * DAY)
    world.step_all()
    world.suno.make("vocals", "drums")
    world.run(TEN_MINUTES + 1)
    assert world.receiver.types == ["stems.completed"]


@pytest.mark.parametrize("cause", ["away", "sign-in", "stems that never finish", "lost reply", "no account"])
def test_a_job_that_gets_nowhere_makes_at_most_20_calls_an_hour_and_ends_after_ten_days(
    world: World, cause: str
) -> None:
    if cause == "lost reply":
        entry = world.lose()
        # They may be those of another request, which is still running: the outcome stays open.
        world.suno.make("vocals", "drums")
        assert world.ledger.restart(world.begin(webhook=False), 20 * DAY)
    else:
        entry = world.split("vocals", "drums", status="streaming")
        world.suno.unlisted = {"vocals", "drums"}
    if cause == "away":
        world.suno.away = AWAY
    if cause == "sign-in":
        world.suno.sign_in = SessionExpired("The cookie is dead.")
    if cause == "no account":
        world.parts.accounts = Accounts({})
    for hour in range(1, 30):
        world.run(HOUR)
        calls = world.suno.calls_between(world.clock.seconds - HOUR, world.clock.seconds)
        assert hour == 1 or calls <= 20, (hour, calls)
    assert world.receiver.types == ["stems.delayed"]
    assert not world.job(entry).state.has_result
    world.run(10 * DAY)
    assert world.job(entry).state is SplitState.DELIVERED
    assert world.receiver.types == ["stems.delayed", "stems.failed"]
    assert world.receiver.last["charged"] is (None if cause == "lost reply" else True)


def test_stems_that_finish_after_days_are_told_as_they_are(world: World) -> None:
    world.split("vocals", "drums", status="queued")
    world.run(5 * DAY)
    world.suno.make("vocals", "drums")
    world.run(TEN_MINUTES + 1)
    assert world.receiver.types == ["stems.delayed", "stems.completed"]


def test_the_files_of_a_song_that_suno_no_longer_shows_end_with_its_reason(world: World) -> None:
    world.split("vocals", "drums", audio=True)
    world.suno.song = None
    world.run(TEN_MINUTES)
    assert world.receiver.types == ["stems.completed"]
    files = world.receiver.last["files"]
    assert [(file["status"], file["filename"], file["error"]) for file in files] == [
        ("failed", "Song - Vocals.wav", "There is no such song."),
        ("failed", "Song - Drums.wav", "There is no such song."),
    ]


def test_a_song_that_cannot_be_read_for_days_costs_no_files(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.split("vocals", "drums", audio=True)
    song, calls = Suno.stems, []

    def unreadable(self: Suno, *about: Any) -> Any:
        calls.append(world.clock.seconds)
        raise AWAY

    monkeypatch.setattr(Suno, "stems", unreadable)
    world.run(5 * DAY)
    assert (world.receiver.types, len(calls) < 5 * 24 * 7) == (["stems.delayed"], True)
    monkeypatch.setattr(Suno, "stems", song)
    world.run(TEN_MINUTES)
    assert [file["status"] for file in world.receiver.last["files"]] == ["kept", "kept"]


def test_one_failed_stem_of_twelve_leaves_eleven_files(world: World) -> None:
    names = [f"part{number}" for number in range(11)]
    entry = world.split(*names, "broken", audio=True)
    world.suno.make("broken", status="error", error_message="This stem could not be separated.")
    world.run(TEN_MINUTES)
    assert world.receiver.types == ["stems.completed"]
    data = world.receiver.last
    assert (data["complete"], [file["id"] for file in data["files"]]) == (False, names)
    assert data["failed"] == [{"id": "broken", "part": "broken", "error": "This stem could not be separated."}]
    assert {file["status"] for file in data["files"]} == {"kept"}
    assert world.job(entry).state is SplitState.DELIVERED


def test_a_split_without_a_usable_stem_has_failed_with_sunos_reason(world: World) -> None:
    world.split("vocals", "drums")
    world.suno.make("vocals", "drums", status="error", error_message="Too quiet.")
    world.run(TEN_MINUTES)
    assert world.receiver.types == ["stems.failed"]
    data = world.receiver.last
    assert (data["charged"], [each["error"] for each in data["failed"]]) == (True, ["Too quiet."] * 2)
    assert "Too quiet." in data["error"]


def test_a_failed_file_does_not_delay_the_others(world: World) -> None:
    world.split("vocals", "drums", audio=True)
    world.storage.broken = {"drums"}
    world.run(MINUTE)
    assert world.receiver.types == ["stems.completed"]
    assert [file["status"] for file in world.receiver.last["files"]] == ["kept", "failed"]


def test_a_reused_set_has_its_files_although_the_sign_in_fails_for_a_moment(world: World) -> None:
    entry = world.begin(audio=True)
    world.suno.make("vocals", "drums")
    world.ledger.finish(entry, list(world.suno.made.values()), paid=False, has_job=True)
    world.suno.sign_in = SunoUnreachable("The sign-in cannot be reached.")
    world.run(MINUTE)
    assert world.receiver.types == []
    world.suno.sign_in = None
    world.run(TEN_MINUTES)
    assert [file["status"] for file in world.receiver.last["files"]] == ["kept", "kept"]


def test_a_failed_stem_that_lists_leave_out_is_found_within_a_minute(world: World) -> None:
    world.split("vocals", "broken")
    world.suno.make("broken", status="error", error_message="Broken.")
    world.suno.unlisted = {"broken"}
    world.run(MINUTE)
    assert world.receiver.types == ["stems.completed"]
    assert world.receiver.last["failed"] == [{"id": "broken", "part": "broken", "error": "Broken."}]


@pytest.mark.parametrize(("days", "within"), [(0, MINUTE), (1, HOUR)])
def test_a_failed_stem_that_lists_leave_out_is_seen_though_another_is_still_made(
    world: World, days: int, within: float
) -> None:
    entry = world.split("vocals", "broken", status="streaming")
    world.run(days * DAY)
    world.suno.make("broken", status="error", error_message="Broken.")
    world.suno.unlisted = {"broken"}
    world.run(within)
    assert [stem.status for stem in world.job(entry).stems] == ["streaming", "error"]


def test_sunos_pause_for_reads_is_honoured_up_to_two_minutes(world: World) -> None:
    world.split("vocals", "drums")
    world.suno.away = RateLimited("Slower.", retry_after=3600)
    world.step_all()
    world.suno.away = None
    world.run(119)
    assert world.receiver.types == []
    assert world.suno.calls_between(1001, 1119) == 0
    world.run(2)
    assert world.receiver.types == ["stems.completed"]


def test_one_429_pauses_the_polls_of_all_jobs_of_its_account(world: World) -> None:
    for number in range(4):
        world.split(f"vocals{number}", f"drums{number}", song=f"song{number}")
    world.suno.away = RateLimited("Slower.", retry_after=3600)
    world.run(2 * MINUTE - 1)
    assert [what for _, what in world.suno.calls] == ["list"]
    world.suno.away = None
    world.run(2 * MINUTE)
    assert world.receiver.types == ["stems.completed"] * 4


def test_stems_that_a_retry_finds_after_the_result_are_told_by_a_new_webhook(world: World) -> None:
    entry = world.lose(audio=True, key="key")
    world.run(TEN_MINUTES)
    assert [(event["type"], event["data"]["charged"]) for _, event in world.receiver.received] == [
        ("stems.failed", False)
    ]
    world.suno.make("vocals", "drums")
    late = world.ledger.get(entry.id)
    assert late
    world.ledger.settle(late, listed(tuple(world.suno.made.values()), began=0.0, ended=math.inf))
    world.run(TEN_MINUTES)
    assert world.receiver.types == ["stems.failed", "stems.completed"]
    assert [file["status"] for file in world.receiver.last["files"]] == ["kept", "kept"]
    assert len({id for id, _ in world.receiver.received}) == 2


def test_a_late_answer_after_the_result_is_told_by_a_new_webhook(world: World) -> None:
    entry = world.lose()
    world.run(TEN_MINUTES)
    world.ledger.finish(entry, world.suno.make("vocals", "drums"), paid=True, has_job=True)
    world.run(TEN_MINUTES)
    assert world.receiver.types == ["stems.failed", "stems.completed"]


def test_stems_that_belong_to_another_request_are_taken_back_by_a_new_webhook(world: World) -> None:
    other = world.begin(webhook=False)
    world.run(2 * MINUTE)
    guess = world.lose()
    world.suno.make("vocals", "drums")
    world.run(MINUTE)
    world.run(TEN_MINUTES)
    assert world.receiver.types == ["stems.completed"]
    world.ledger.finish(other, list(world.suno.made.values()), paid=True)
    world.run(TEN_MINUTES)
    assert world.receiver.types == ["stems.completed", "stems.failed"]
    assert (world.receiver.last["stems"], world.receiver.last["charged"]) == ([], False)
    assert world.job(guess).state is SplitState.DELIVERED


def test_what_certainly_cost_nothing_is_given_back_and_counts_again_if_stems_turn_up(world: World) -> None:
    entry = world.lose(key="key")
    assert world.left() == CREDITS.limit - PRICE
    world.run(TEN_MINUTES)
    assert world.receiver.last["charged"] is False
    assert world.left() == CREDITS.limit
    held = world.ledger.get(entry.id)
    assert held and held.state is State.IN_DOUBT, "the key is still used"
    world.suno.make("vocals", "drums")
    world.ledger.settle(held, listed(tuple(world.suno.made.values()), began=0.0, ended=math.inf))
    assert world.left() == CREDITS.limit - PRICE
    world.run(TEN_MINUTES)
    assert (world.receiver.types[-1], world.left()) == ("stems.completed", CREDITS.limit - PRICE)


@pytest.mark.parametrize("key", ["", "k"])
@pytest.mark.parametrize("late", [60.0, 5 * HOUR])
def test_stems_that_suno_makes_after_the_result_are_told_though_nobody_retries(
    world: World, key: str, late: float
) -> None:
    """Suno's edge had answered 504, and its queue made them later."""
    entry = world.lose(key=key)
    world.run(150)
    assert (world.receiver.types, world.receiver.last["charged"], world.left()) == (["stems.failed"], False, 1000)
    world.run(late)
    world.suno.make("a", "b", "c")
    world.run(2 * HOUR)
    assert world.receiver.types == ["stems.failed", "stems.completed"]
    assert (world.job(entry).state, world.left()) == (SplitState.DELIVERED, 1000 - PRICE)


def test_a_split_that_made_nothing_is_searched_for_until_its_key_ends(world: World) -> None:
    world.lose()
    world.run(HOUR)
    for _ in range(23):
        since = world.clock.seconds
        world.run(HOUR)
        assert world.suno.calls_between(since, world.clock.seconds) <= 6
    calls = len(world.suno.calls)
    world.run(2 * HOUR)
    calls = len(world.suno.calls)
    world.run(5 * DAY)
    assert len(world.suno.calls) == calls
    assert world.receiver.types == ["stems.failed"]


def test_a_second_attempt_counts_once_after_the_first_was_given_back(world: World) -> None:
    entry = world.lose(key="key")
    world.run(TEN_MINUTES)
    held = world.ledger.get(entry.id)
    assert held
    again = world.ledger.restart(held, 41.0, budgets=(CREDITS,))
    assert again and world.left() == CREDITS.limit - PRICE
    world.ledger.finish(again, stems("a"), paid=True)
    assert world.left() == CREDITS.limit - PRICE
    # The first attempt's answer comes after all: it was charged too.
    world.ledger.finish(entry, stems("b"), paid=True)
    assert world.left() == CREDITS.limit - 2 * PRICE


def test_kept_files_are_told_as_they_are_when_the_webhook_is_sent(world: World) -> None:
    world.split("vocals", "drums", audio=True)
    world.receiver.status = 500
    world.run(4)
    assert [file["status"] for file in world.receiver.last["files"]] == ["kept", "kept"]
    for file in world.folder.glob("*/vocals.wav"):
        file.unlink()
    world.receiver.status = 200
    world.run(MINUTE)
    vocals, drums = world.receiver.last["files"]
    assert (vocals["status"], vocals["url"], "no longer kept" in vocals["error"]) == ("failed", None, True)
    assert (drums["status"], drums["url"]) == ("kept", "https://stems.example.com/api/audio/drums.wav")


def test_a_file_that_is_never_fetched_does_not_hold_back_the_split_for_ever(world: World) -> None:
    world.split("vocals", "drums", audio=True)
    world.storage.failure = FetchFailed("it broke off")
    world.run(3 * HOUR)
    assert world.receiver.types == ["stems.delayed", "stems.completed"]
    assert [file["status"] for file in world.receiver.last["files"]] == ["failed", "failed"]


def test_sending_again_during_a_delivery_keeps_what_that_one_writes(world: World) -> None:
    entry = world.split("vocals", "drums")

    def ask() -> None:
        world.receiver.during = lambda: None
        world.ledger.jobs.ask_again(entry.id)

    world.receiver.during = ask
    world.run(MINUTE)
    assert world.receiver.types == ["stems.completed", "stems.completed"]
    assert len({id for id, _ in world.receiver.received}) == 1
    job = world.job(entry)
    assert (job.state, [attempt.status for attempt in job.attempts]) == (SplitState.DELIVERED, [200, 200])


def test_a_webhook_can_be_sent_again_as_long_as_its_job_is_kept(world: World) -> None:
    entry = world.split("vocals", "drums")
    world.run(9 * DAY)
    world.ledger.jobs.ask_again(entry.id)
    world.run(MINUTE)
    assert world.receiver.types == ["stems.completed"] * 2


@pytest.mark.parametrize("step", [HOUR, -HOUR, 5 * DAY])
def test_setting_the_clock_ends_nothing(world: World, step: float) -> None:
    world.split("vocals", "drums", audio=True, status="streaming")
    world.run(MINUTE)
    world.clock.step_wall(step)
    world.run(MINUTE)
    assert world.receiver.types == []
    world.suno.make("vocals", "drums")
    world.run(2 * HOUR)
    assert world.receiver.types == ["stems.completed"]


def test_a_clock_set_forward_retries_no_webhook_early(world: World) -> None:
    world.split("vocals", "drums")
    world.receiver.status = 500
    world.run(MINUTE)
    assert len(world.receiver.received) == 2
    world.clock.step_wall(DAY)
    world.run(MINUTE)
    assert len(world.receiver.received) == 2


def test_the_delay_is_not_told_after_the_result(world: World) -> None:
    world.split("vocals", "drums")
    world.suno.away = AWAY
    world.receiver.status = 500
    world.run(HOUR + TEN_MINUTES)
    assert set(world.receiver.types) == {"stems.delayed"}
    world.suno.away = None
    world.run(TEN_MINUTES)
    assert "stems.completed" in world.receiver.types
    world.receiver.received.clear()
    world.receiver.status = 200
    world.run(5 * DAY)
    assert world.receiver.types == ["stems.completed"]


def test_a_split_without_a_webhook_is_delayed_too(world: World) -> None:
    entry = world.split("vocals", "drums", webhook=False, audio=True)
    world.suno.away = AWAY
    world.run(2 * HOUR)
    assert (world.job(entry).delayed, world.receiver.received) == (True, [])


def test_a_ledger_that_is_away_delays_a_job_and_loses_nothing(world: World) -> None:
    entry = world.split("vocals", "drums", audio=True)
    world.store.is_away = True
    with pytest.raises(LedgerUnavailable):
        world.runner.step(entry.id)
    world.store.is_away = False
    world.run(TEN_MINUTES)
    assert world.receiver.types == ["stems.completed"]


def test_the_job_keeps_the_stems_when_the_entry_is_removed(world: World) -> None:
    entry = world.split("vocals", "drums", status="streaming")
    world.run(HOUR)
    world.store.transact(lambda tx: tx.remove(entry))
    world.suno.make("vocals", "drums")
    world.run(HOUR)
    assert world.receiver.types[-1] == "stems.completed"


def test_an_unexpected_error_is_repeated_ever_more_rarely(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = world.split("vocals", "drums")
    steps = []

    def broken(self: Suno, *about: Any, **more: Any) -> Any:
        steps.append(world.clock.seconds)
        raise TypeError("changed")

    monkeypatch.setattr(Suno, "clips", broken)
    for _ in range(2000):
        if world.clock.seconds > 1000 + DAY:
            break
        try:
            world.run(HOUR)
        except TypeError:
            world.clock.advance(1)
    assert len(steps) < 35
    monkeypatch.undo()
    world.run(2 * HOUR)
    assert (world.receiver.types, world.job(entry).state) == (["stems.completed"], SplitState.DELIVERED)


def test_a_jobs_account_is_that_of_the_operator(world: World) -> None:
    world.split("vocals", "drums")
    world.parts.accounts = Accounts({})
    world.run(TEN_MINUTES)
    assert (world.receiver.received, world.suno.calls) == ([], [])
    world.parts.accounts = Accounts({DEFAULT_ACCOUNT: OperatorAccount(DEFAULT_ACCOUNT, "cookie")})
    world.run(TEN_MINUTES)
    assert world.receiver.types == ["stems.completed"]


def test_a_report_tells_what_stands_still(world: World) -> None:
    assert world.runner.report() == JobsReport(4, 4, 0.0, 0.0, 0.0)
    world.split("vocals", "drums", status="streaming")
    world.run(2 * HOUR)
    report = world.runner.report()
    assert (report.stalled_for >= 2 * HOUR - 1, report.unread_for) == (True, 0.0)
    world.suno.away = AWAY
    world.run(2 * HOUR)
    assert HOUR < world.runner.report().unread_for <= 2 * HOUR
    world.suno.away = None
    world.run(TEN_MINUTES)
    assert world.runner.report().unread_for == 0.0
    world.suno.make("vocals", "drums")
    world.run(TEN_MINUTES)
    assert world.runner.report() == JobsReport(4, 4, 0.0, 0.0, 0.0)


def test_a_report_tells_for_how_long_no_fetch_slot_was_free() -> None:
    clock = SteppedClock()
    progress = Progress(clock, slots=2)
    for free, passed, expected in ((0, 60, 0.0), (0, 60, 60.0), (1, 60, 0.0), (0, 60, 0.0)):
        assert progress.report(free).no_slot_for == expected
        clock.advance(passed)
