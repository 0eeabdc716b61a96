"""One look for all who wait: how often Suno is asked, for what, and what each learns of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Condition, Event

import pytest

from app.splits.watch import BATCH, Watch
from app.suno.clip import Clip
from app.suno.errors import RateLimited, SunoUnreachable
from app.suno.session import Account

ALICE, BOB = Account("alice", "SUNO_COOKIE"), Account("bob", "SUNO_COOKIE")
STEMS = [Clip("a", "submitted", stem_from_id="song"), Clip("b", "submitted", stem_from_id="song")]
Answer = Callable[[Sequence[str]], list[Clip]]


def complete(ids: Sequence[str]) -> list[Clip]:
    return [Clip(id, "complete") for id in ids]


def submitted(ids: Sequence[str]) -> list[Clip]:
    return [Clip(id, "submitted") for id in ids]


@dataclass
class Time:
    """Time that passes only while somebody waits."""

    seconds: float = 1000.0


@dataclass
class Suno:
    """Answers each look as the script says, the last for ever."""

    time: Time
    script: list[Answer | Exception] = field(default_factory=list)
    looks: list[float] = field(default_factory=list)
    asked: list[tuple[list[str], bool]] = field(default_factory=list)

    def clips(
        self, account: Account, ids: Sequence[str], *, within: float | None = None, one_by_one: bool = True
    ) -> list[Clip]:
        self.looks.append(self.time.seconds - 1000.0)
        self.asked.append((list(ids), one_by_one))
        answer = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        if isinstance(answer, Exception):
            raise answer
        return answer(ids)


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    now = Time()

    class Waited(Condition):
        def wait(self, timeout: float | None = None) -> bool:
            now.seconds += max(timeout or 0.0, 0.001)
            return False

    monkeypatch.setattr("app.splits.watch.time.monotonic", lambda: now.seconds)
    monkeypatch.setattr("app.splits.watch.Condition", Waited)
    monkeypatch.setattr("app.splits.watch.random.uniform", lambda least, most: least)
    return now


@pytest.fixture
def suno(time: Time) -> Suno:
    return Suno(time)


def test_looks_begin_an_interval_apart_and_widen(suno: Suno) -> None:
    suno.script = [submitted]
    stems = Watch(suno, 3.0).wait_for(ALICE, STEMS, patience=400)
    assert [stem.status for stem in stems] == ["submitted"] * 2
    gaps = [round(later - earlier) for earlier, later in zip(suno.looks, suno.looks[1:], strict=False)]
    assert suno.looks[0] == pytest.approx(3.0)
    assert set(gaps[:18]) == {3}
    assert gaps == sorted(gaps)
    assert 15 <= gaps[-1] <= 30


def test_what_is_final_is_known_at_the_next_look_and_keeps_its_parent(suno: Suno) -> None:
    suno.script = [submitted, lambda ids: complete(["a"]), complete]
    stems = Watch(suno, 3.0).wait_for(ALICE, STEMS, patience=100)
    assert [(stem.status, stem.stem_from_id) for stem in stems] == [("complete", "song")] * 2
    assert [ids for ids, _ in suno.asked] == [["a", "b"], ["a", "b"], ["b"]]


def test_final_stems_are_not_asked_for(suno: Suno) -> None:
    assert Watch(suno, 3.0).wait_for(ALICE, complete("ab"), patience=100) == complete("ab")
    assert suno.asked == []


def test_a_limit_and_failures_slow_the_account_and_no_other(suno: Suno) -> None:
    suno.script = [RateLimited("Slowly.", retry_after=40), *[SunoUnreachable("Down.")] * 3, complete]
    watch = Watch(suno, 3.0)
    watch.wait_for(ALICE, STEMS, patience=200)
    gaps = [round(later - earlier) for earlier, later in zip(suno.looks, suno.looks[1:], strict=False)]
    assert gaps == [40, 12, 24, 30]
    began = suno.looks[-1]
    watch.wait_for(BOB, STEMS, patience=200)
    assert suno.looks[-1] - began == pytest.approx(3.0)


def test_stems_that_no_list_tells_twice_are_asked_for_singly(suno: Suno) -> None:
    suno.script = [lambda ids: [], lambda ids: [], complete]
    Watch(suno, 3.0).wait_for(ALICE, STEMS, patience=100)
    assert [one_by_one for _, one_by_one in suno.asked] == [False, False, True]


def test_one_that_stops_waits_no_longer(suno: Suno) -> None:
    suno.script = [submitted]
    stems = Watch(suno, 3.0).wait_for(ALICE, STEMS, patience=100, stopping=lambda: len(suno.looks) == 2)
    assert (len(suno.looks), [stem.id for stem in stems]) == (2, ["a", "b"])


def test_many_share_their_looks_and_each_gets_its_own() -> None:
    number, there, waiting = 60, Event(), [0]

    def note(change: int) -> None:
        waiting[0] += change
        if waiting[0] == number:
            there.set()

    suno = Suno(Time(), [lambda ids: complete(ids) if there.is_set() else submitted(ids)])
    watch = Watch(suno, 0.01, note_waiters=note)

    def wait(n: int) -> list[str]:
        stems = [Clip(f"{n}a", "submitted"), Clip(f"{n}b", "submitted")]
        return [f"{stem.id} {stem.status}" for stem in watch.wait_for(ALICE, stems, patience=30)]

    with ThreadPoolExecutor(number) as pool:
        told = list(pool.map(wait, range(number)))
    assert told == [[f"{n}a complete", f"{n}b complete"] for n in range(number)]
    assert all(len(ids) <= BATCH for ids, _ in suno.asked)
    # Since all were there: 120 ids, 50 in a question. One look may have begun before.
    assert len([ids for ids, _ in suno.asked if len(ids) == BATCH]) >= 2
    answered = [id for ids, _ in suno.asked[-6:] for id in ids]
    assert len(answered) <= 2 * 2 * number
    assert waiting == [0]


def test_who_leaves_takes_its_stems_out() -> None:
    left = Event()
    suno = Suno(Time(), [lambda ids: complete(ids) if left.is_set() else submitted(ids)])
    watch = Watch(suno, 0.01)
    with ThreadPoolExecutor(2) as pool:
        one = pool.submit(watch.wait_for, ALICE, STEMS, patience=30)
        watch.wait_for(ALICE, [Clip("c", "submitted")], patience=0.05)
        before = len(suno.asked)
        while len(suno.asked) < before + 3:
            assert not one.done()
        left.set()
        one.result()
    assert "c" in {id for ids, _ in suno.asked[:before] for id in ids}
    # One look may have been under way.
    assert "c" not in {id for ids, _ in suno.asked[before + 1 :] for id in ids}
