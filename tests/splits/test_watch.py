"""Shared polls: how often Suno is polled, for which stems, and what each waiter gets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Condition, Event

import pytest

from app.splits.watch import MAX_IDS_PER_POLL, Watch
from app.suno.clip import Clip
from app.suno.errors import RateLimited, SunoUnreachable
from app.suno.gateway import SunoGateway
from app.suno.session import Account

ALICE, BOB = Account("alice", "SUNO_COOKIE"), Account("bob", "SUNO_COOKIE")
STEMS = [Clip("a", "submitted", stem_from_id="song"), Clip("b", "submitted", stem_from_id="song")]
Answer = Callable[[Sequence[str]], list[Clip]]


def complete(ids: Sequence[str]) -> list[Clip]:
    return [Clip(id, "complete") for id in ids]


def streaming(ids: Sequence[str]) -> list[Clip]:
    return [Clip(id, "streaming") for id in ids]


def submitted(ids: Sequence[str]) -> list[Clip]:
    return [Clip(id, "submitted") for id in ids]


@dataclass
class Time:
    """A clock that advances only during waits."""

    seconds: float = 1000.0


@dataclass
class Suno(SunoGateway):
    """Answers each poll with the next step of the script; the last step repeats."""

    time: Time
    script: list[Answer | Exception] = field(default_factory=list)
    polls: list[float] = field(default_factory=list)
    requested: list[list[str]] = field(default_factory=list)
    alone: list[list[str]] = field(default_factory=list)
    """The ids that were requested by themselves, for each poll that did so."""
    within: list[float | None] = field(default_factory=list)
    by_glances: int = 0
    """Polls of requests that do not wait."""

    def clips(
        self, account: Account, ids: Sequence[str], *, within: float | None = None, one_by_one: bool = True
    ) -> list[Clip]:
        self.polls.append(self.time.seconds - 1000.0)
        self.by_glances += one_by_one
        self.requested.append(list(ids))
        self.within.append(within)
        answer = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        if isinstance(answer, Exception):
            raise answer
        return answer(ids)

    def clips_by_themselves(self, account: Account, ids: Sequence[str], *, within: float | None = None) -> list[Clip]:
        self.alone.append(list(ids))
        return complete(ids)


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    now = Time()

    class FakeCondition(Condition):
        def wait(self, timeout: float | None = None) -> bool:
            now.seconds += max(timeout or 0.0, 0.001)
            return False

    monkeypatch.setattr("app.splits.watch.time.monotonic", lambda: now.seconds)
    monkeypatch.setattr("app.splits.watch.Condition", FakeCondition)
    monkeypatch.setattr("app.splits.watch.random.uniform", lambda least, most: least)
    return now


@pytest.fixture
def suno(time: Time) -> Suno:
    return Suno(time)


def test_polls_start_an_interval_apart_and_slow_down(suno: Suno) -> None:
    suno.script = [submitted]
    stems = Watch(suno, 3.0).wait_for(ALICE, STEMS, patience=400)
    assert [stem.status for stem in stems] == ["submitted"] * 2
    gaps = [round(later - earlier) for earlier, later in zip(suno.polls, suno.polls[1:], strict=False)]
    assert suno.polls[0] == pytest.approx(3.0)
    assert set(gaps[:18]) == {3}
    assert gaps == sorted(gaps)
    assert 15 <= gaps[-1] <= 30


def test_a_final_stem_is_seen_at_the_next_poll_and_keeps_its_parent(suno: Suno) -> None:
    suno.script = [submitted, lambda ids: complete(["a"]), complete]
    stems = Watch(suno, 3.0).wait_for(ALICE, STEMS, patience=100)
    assert [(stem.status, stem.stem_from_id) for stem in stems] == [("complete", "song")] * 2
    assert suno.requested == [["a", "b"], ["a", "b"], ["b"]]


def test_final_stems_are_not_polled(suno: Suno) -> None:
    assert Watch(suno, 3.0).wait_for(ALICE, complete("ab"), patience=100) == complete("ab")
    assert suno.requested == []


def test_a_rate_limit_and_failures_slow_only_their_account(suno: Suno) -> None:
    suno.script = [RateLimited("Slowly.", retry_after=40), *[SunoUnreachable("Down.")] * 3, complete]
    watch = Watch(suno, 3.0)
    watch.wait_for(ALICE, STEMS, patience=200)
    gaps = [round(later - earlier) for earlier, later in zip(suno.polls, suno.polls[1:], strict=False)]
    assert gaps == [40, 12, 24, 30]
    began = suno.polls[-1]
    watch.wait_for(BOB, STEMS, patience=200)
    assert suno.polls[-1] - began == pytest.approx(3.0)


def test_a_long_pause_of_suno_is_honoured_for_two_minutes_and_then_probed(suno: Suno) -> None:
    suno.script = [RateLimited("Slowly.", retry_after=3600), complete]
    assert Watch(suno, 3.0).wait_for(ALICE, STEMS, patience=1000) == [
        Clip(stem.id, "complete", stem_from_id="song") for stem in STEMS
    ]
    assert round(suno.polls[1] - suno.polls[0]) == 120


def test_a_look_ends_with_its_polls_and_tells_what_they_showed(suno: Suno) -> None:
    watch = Watch(suno, 3.0)
    suno.script = [lambda ids: []]
    look = watch.follow(ALICE, STEMS, polls=2, patience=100)
    assert (look.polls, look.missed, look.failure, look.stems) == (2, 2, None, STEMS)
    assert suno.alone == []
    look = watch.follow(ALICE, STEMS, polls=1, patience=100, missed=look.missed, singly=1)
    assert (suno.alone, look.missed) == ([["a"]], 3), "one of them, by itself"
    watch.follow(ALICE, STEMS, polls=1, patience=100, missed=look.missed, singly=1)
    assert suno.alone == [["a"], ["b"]], "the next one"
    suno.script = [SunoUnreachable("Down."), complete]
    look = watch.follow(ALICE, STEMS, polls=4, patience=100)
    assert (look.polls, isinstance(look.failure, SunoUnreachable), look.stems) == (1, True, STEMS)


def test_a_look_gives_each_poll_the_whole_deadline(suno: Suno) -> None:
    suno.script = [complete]
    Watch(suno, 3.0).follow(ALICE, STEMS, polls=1, patience=4)
    Watch(suno, 3.0).wait_for(ALICE, STEMS, patience=4)
    assert suno.within == [None, pytest.approx(1.0, abs=0.5)]


def test_stems_that_two_polls_leave_out_are_requested_by_themselves(suno: Suno) -> None:
    suno.script = [lambda ids: []]
    stems = Watch(suno, 3.0).wait_for(ALICE, STEMS, patience=100)
    assert (suno.requested, suno.alone) == ([["a", "b"]] * 3, [["a", "b"]])
    assert {stem.status for stem in stems} == {"complete"}


@pytest.mark.parametrize("interval", [0.01, 3.0, 10.0])
def test_a_stem_that_is_left_out_is_requested_by_itself_though_the_others_are_listed(
    suno: Suno, interval: float
) -> None:
    suno.script = [*[lambda ids: submitted(["a"])] * 4, complete]
    Watch(suno, interval).wait_for(ALICE, STEMS, patience=100)
    assert (suno.requested, suno.alone) == ([["a", "b"]] * 3 + [["a"]] * 2, [["b"]])


def test_a_stem_that_is_listed_in_between_is_not_requested_by_itself(suno: Suno) -> None:
    suno.script = [*[lambda ids: submitted(["a"]), submitted] * 4, complete]
    Watch(suno, 3.0).wait_for(ALICE, STEMS, patience=100)
    assert suno.alone == []


def test_a_look_that_goes_on_later_remembers_what_was_left_out(suno: Suno) -> None:
    watch, missed = Watch(suno, 3.0), 0
    suno.script = [lambda ids: submitted(["a"])]
    for _ in range(3):
        missed = watch.follow(ALICE, STEMS, polls=1, patience=100, missed=missed).missed
    assert suno.alone == [["b"]]


def test_an_id_of_an_older_job_is_found_in_any_case(suno: Suno) -> None:
    suno.script = [lambda ids: complete(["a", "b"])]
    stems = Watch(suno, 3.0).wait_for(ALICE, [Clip("A", "submitted"), Clip("B", "submitted")], patience=100)
    assert ([(stem.id, stem.status) for stem in stems], suno.alone) == ([("A", "complete"), ("B", "complete")], [])


def test_a_poll_is_one_list_and_stems_take_turns(suno: Suno) -> None:
    number = 2 * MAX_IDS_PER_POLL + 20
    suno.script = [submitted]
    Watch(suno, 3.0).wait_for(ALICE, [Clip(str(n), "submitted") for n in range(number)], patience=15.5)
    gaps = [later - earlier for earlier, later in zip(suno.polls, suno.polls[1:], strict=False)]
    assert min(gaps) >= 3.0
    asked = [id for ids in suno.requested for id in ids]
    assert len(asked) == 5 * MAX_IDS_PER_POLL
    assert [asked[:number], asked[number : 2 * number]] == [[str(n) for n in range(number)]] * 2


def test_polls_are_an_interval_apart_whoever_comes_and_goes(suno: Suno) -> None:
    suno.script = [submitted]
    watch = Watch(suno, 3.0)
    for _ in range(5):
        watch.follow(ALICE, STEMS, polls=1, patience=100)
        watch.wait_for(ALICE, STEMS, patience=3.5)
    gaps = [later - earlier for earlier, later in zip(suno.polls, suno.polls[1:], strict=False)]
    assert len(gaps) == 9 and min(gaps) >= 3.0 - 1e-9


def test_requests_that_do_not_wait_make_one_poll_in_an_interval(suno: Suno, time: Time) -> None:
    watch, other = Watch(suno, 3.0), [Clip("c", "submitted", stem_from_id="song")]
    suno.script = [submitted, complete]
    assert watch.glance(ALICE, STEMS, within=5) == STEMS
    assert watch.glance(ALICE, other, within=5) == other
    time.seconds += 2.9
    assert watch.glance(ALICE, STEMS, within=5) == STEMS
    assert (suno.requested, suno.within) == ([["a", "b"]], [5])
    time.seconds += 0.2
    assert {stem.status for stem in watch.glance(ALICE, STEMS, within=5)} == {"complete"}
    assert suno.requested[1:] == [["c", "a", "b"]]
    assert watch.glance(ALICE, other, within=5) == [Clip("c", "complete", stem_from_id="song")]
    watch.glance(BOB, STEMS, within=5)
    assert (len(suno.polls), suno.by_glances) == (3, 3)


def test_what_was_seen_is_not_forgotten_by_the_next_poll(suno: Suno, time: Time) -> None:
    watch = Watch(suno, 3.0)
    suno.script = [streaming, lambda ids: [], SunoUnreachable("Down."), complete]
    for _ in range(2):
        assert {stem.status for stem in watch.glance(ALICE, STEMS, within=5)} == {"streaming"}
        time.seconds += 3.1
    with pytest.raises(SunoUnreachable):
        watch.glance(ALICE, STEMS, within=5)
    assert {stem.status for stem in watch.glance(ALICE, STEMS, within=5)} == {"streaming"}
    time.seconds += 3.1
    for _ in range(2):
        assert {stem.status for stem in watch.glance(ALICE, STEMS, within=5)} == {"complete"}
        time.seconds += 3.1
    assert len(suno.polls) == 4, "final stems are not looked at again"


def test_requests_that_do_not_wait_share_the_polls_of_those_that_do(suno: Suno) -> None:
    watch, other = Watch(suno, 3.0), [Clip("c", "submitted")]

    def while_waiting(ids: Sequence[str]) -> list[Clip]:
        assert watch.glance(ALICE, other, within=5)[0].status == "submitted"
        return submitted(ids)

    suno.script = [while_waiting, complete]
    watch.wait_for(ALICE, STEMS, patience=100)
    assert (suno.requested, suno.by_glances) == ([["a", "b"], ["a", "b", "c"]], 0)
    assert watch.glance(ALICE, other, within=5)[0].status == "complete"
    assert len(suno.polls) == 2, "the last poll is younger than an interval"


def test_a_stopping_process_stops_waiting(suno: Suno) -> None:
    suno.script = [submitted]
    stems = Watch(suno, 3.0).wait_for(ALICE, STEMS, patience=100, stopping=lambda: len(suno.polls) == 2)
    assert (len(suno.polls), [stem.id for stem in stems]) == (2, ["a", "b"])


def test_many_waiters_share_polls_and_each_gets_its_own_stems() -> None:
    number, all_arrived, waiting = 60, Event(), [0]

    def note(change: int) -> None:
        waiting[0] += change
        if waiting[0] == number:
            all_arrived.set()

    suno = Suno(Time(), [lambda ids: complete(ids) if all_arrived.is_set() else submitted(ids)])
    watch = Watch(suno, 0.01, note_waiters=note)

    def wait(n: int) -> list[str]:
        stems = [Clip(f"{n}a", "submitted"), Clip(f"{n}b", "submitted")]
        return [f"{stem.id} {stem.status}" for stem in watch.wait_for(ALICE, stems, patience=30)]

    with ThreadPoolExecutor(number) as pool:
        results = list(pool.map(wait, range(number)))
    assert results == [[f"{n}a complete", f"{n}b complete"] for n in range(number)]
    assert all(len(ids) <= MAX_IDS_PER_POLL for ids in suno.requested)
    # After all have arrived: 120 ids, 50 per request. One poll may have started before.
    assert len([ids for ids in suno.requested if len(ids) == MAX_IDS_PER_POLL]) >= 2
    assert waiting == [0]


def test_the_stems_of_a_waiter_that_leaves_are_no_longer_polled() -> None:
    left = Event()
    suno = Suno(Time(), [lambda ids: complete(ids) if left.is_set() else submitted(ids)])
    watch = Watch(suno, 0.01)
    with ThreadPoolExecutor(2) as pool:
        one = pool.submit(watch.wait_for, ALICE, STEMS, patience=30)
        watch.wait_for(ALICE, [Clip("c", "submitted")], patience=0.05)
        before = len(suno.requested)
        while len(suno.requested) < before + 3:
            assert not one.done()
        left.set()
        one.result()
    assert "c" in {id for ids in suno.requested[:before] for id in ids}
    # One poll may have been running.
    assert "c" not in {id for ids in suno.requested[before + 1 :] for id in ids}
