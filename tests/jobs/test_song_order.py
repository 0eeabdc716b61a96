"""Orders with a fake Suno and a clock that only the test advances: refusals, late stems, lagging lists, two runs."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import pytest

from app.callers import DEFAULT_ACCOUNT, Caller
from app.ids import new_id
from app.jobs.song_order import SongOrders
from app.splits.order import OrderedSong, OrderState, SongOrder
from app.splits.wait import Ended, Wait
from app.suno.answer import captcha_required
from app.suno.clip import Clip, Credits
from app.suno.errors import (
    CaptchaRequired,
    OutcomeUnknown,
    RateLimited,
    SessionExpired,
    SongNotFound,
    SunoError,
    SunoUnreachable,
)
from app.suno.stems import StemTask
from tests.jobs.fakes import World

PACE = 10.0
PRICE = 50
HOUR = 3600.0
SONGS = ("one", "two", "three")


@dataclass
class Account:
    """A Suno account: its balance, and the paid calls that it got."""

    world: World
    balance: int = 1000
    cost: int = PRICE
    paid: list[tuple[str, float]] = field(default_factory=list)
    """The song and the time of each paid call."""
    answer: Callable[[str], list[Clip]] | None = None
    """What answers a paid call instead."""
    before_balance: Callable[[], None] = lambda: None
    """What happens before the balance is read."""
    downloads_limit: int | None = None

    def credits(self, account: Any) -> Credits:
        self.before_balance()
        used = None if self.downloads_limit is None else 0
        return Credits(self.balance, None, None, None, self.downloads_limit, used, None, True)

    def generate_stems(self, account: Any, song_id: str, *about: Any, **more: Any) -> list[Clip]:
        if self.answer:
            return self.answer(song_id)
        self.charge(song_id)
        return self.make(song_id)

    def charge(self, song_id: str) -> None:
        self.paid.append((song_id, self.world.clock.seconds))
        self.balance -= self.cost

    def make(self, song_id: str) -> list[Clip]:
        parts = ("vocals", "drums", "bass")
        return self.world.suno.make(*(f"{song_id}-{part}" for part in parts), song=song_id)


class Orders(World):
    """A world with orders."""

    def __init__(self) -> None:
        super().__init__()
        self.account = Account(self)
        self.suno.songs.update(SONGS)
        self.suno.credits = self.account.credits  # type: ignore[attr-defined]
        self.suno.generate_stems = self.account.generate_stems  # type: ignore[attr-defined]
        self.allow()
        self.start()

    def order(self, *songs: str, max_credits: int = 1000, price: int = PRICE, **more: Any) -> str:
        new = SongOrder(
            id=new_id(),
            account=DEFAULT_ACCOUNT,
            owner="user",
            caller="n8n",
            idempotency_key=new_id(),
            question="?",
            began=self.clock.now(),
            songs=tuple(OrderedSong(song_id=song) for song in songs or SONGS),
            task=StemTask.TWELVE.value,
            stem_name="",
            price=price,
            max_credits=max_credits,
            **more,
        )
        return self.ledger.orders.take(new, most_open=10).order.id

    def now(self, id: str) -> SongOrder:
        order = self.ledger.orders.get(id)
        assert order
        return order

    def songs(self, id: str) -> list[tuple[str, int]]:
        return [(song.state.value, song.credits) for song in self.now(id).songs]

    def allow(self, **limits: Any) -> None:
        """Change the limits of the caller, as a new callers file does."""
        self.parts.settings.callers = (Caller("n8n", **limits),)

    def go_on(self, id: str) -> None:
        """Continue a paused order."""
        self.ledger.orders.change(id, lambda held: replace(held, state=OrderState.RUNNING, error=None), is_due=True)

    @property
    def paid(self) -> list[str]:
        return [song for song, _ in self.account.paid]


@pytest.fixture
def world() -> Orders:
    return Orders()


def test_an_order_splits_its_songs_with_a_pause_between(world: Orders) -> None:
    id = world.order()
    world.run(200)
    assert world.songs(id) == [("done", PRICE)] * 3
    assert world.now(id).state is OrderState.FINISHED


def test_splits_without_a_price_are_paced_and_their_cost_is_read(world: Orders) -> None:
    world.account.cost = 0
    id = world.order("one", "two", price=0)
    world.run(200)
    assert world.now(id).state is OrderState.FINISHED
    times = [at for _, at in world.account.paid]
    assert min(after - before for before, after in pairwise(times)) >= PACE
    world.account.cost = 10
    id = world.order("three", price=0, max_credits=0)
    world.run(200)
    assert world.songs(id) == [("done", 10)]
    assert world.now(id).error and world.now(id).error.code == "price_changed"


def test_a_refusal_that_the_ledger_misses_begins_no_song_twice(world: Orders) -> None:
    def refuse(song: str) -> list[Clip]:
        world.store.away_until = world.clock.seconds + 0.5
        raise RateLimited("Too many.")

    free = world.ledger.free

    def free_in_vain(entry: Any, **pause: float) -> None:
        try:
            free(entry, **pause)
        finally:
            world.clock.advance(1.0)

    world.ledger.free = free_in_vain  # type: ignore[method-assign]
    world.account.answer = refuse
    id = world.order("one", "two")
    world.step_all()
    world.account.answer = None
    world.run(HOUR)
    spent = len(world.paid) * PRICE
    assert world.now(id).credits == spent, (world.songs(id), world.paid)
    assert world.now(id).state is OrderState.FINISHED


def test_late_stems_count_before_the_next_song_begins(world: Orders) -> None:
    def lose(song: str) -> list[Clip]:
        world.account.charge(song)
        raise OutcomeUnknown("No answer.")

    world.account.answer = lose
    id = world.order("one", "two", max_credits=PRICE, audio_format="wav", max_downloads=1)
    world.run(1000)
    # The balance fell: in doubt it counts as spent.
    assert world.songs(id) == [("failed", PRICE), ("waiting", 0)]
    world.account.answer = None
    world.account.make("one")
    world.suno.make(*world.suno.made, status="streaming")
    world.run(HOUR)
    world.go_on(id)
    world.run(HOUR)
    assert (world.paid, world.songs(id)) == (["one"], [("running", PRICE), ("waiting", 0)])
    world.suno.make(*world.suno.made)
    world.run(HOUR)
    assert world.songs(id) == [("done", PRICE), ("waiting", 0)]
    assert world.now(id).downloads == len(world.suno.unlocked) == 1


def test_a_higher_price_of_suno_keeps_the_limit_too(world: Orders) -> None:
    world.account.cost = 80
    id = world.order(max_credits=210)
    for _ in range(3):
        world.run(100)
        world.go_on(id)
    world.run(100)
    assert (world.paid, world.now(id).credits) == (["one", "two"], 160)
    assert world.now(id).error and world.now(id).error.code == "over_limit"


def test_a_song_over_the_limit_waits_as_soon_as_its_order_is_paused(world: Orders) -> None:
    """Shown as running, it would not count for the price of going on."""
    id = world.order("one", "two", max_credits=PRICE)
    while world.now(id).state is OrderState.RUNNING:
        world.step_all()
        world.clock.advance(1)
    assert world.songs(id)[1] == ("waiting", 0)


def test_two_processes_count_a_song_once(world: Orders) -> None:
    other = SongOrders(world.parts, is_stopping=lambda: False)
    id = world.order("one", "two", max_credits=PRICE)

    def other_first() -> None:
        world.account.before_balance = lambda: None
        other.step(id)

    world.account.before_balance = other_first
    world.step_all()
    assert world.paid == ["one"]
    assert world.now(id).credits == PRICE
    world.clock.advance(1)
    other.step(id)
    assert world.paid == ["one"], "the pause is not over"


def test_identical_orders_pay_once_although_lists_lag(world: Orders) -> None:
    listed = world.suno.stems

    def lagging(account: Any, song_id: str, deadline: Any = None) -> list[Clip]:
        since = next((at for song, at in world.account.paid if song == song_id), 0.0)
        return [] if world.clock.seconds < since + 120 else listed(account, song_id)

    world.suno.stems = lagging  # type: ignore[method-assign]
    ids = [world.order("one", "two") for _ in range(2)]
    world.run(1000)
    assert sorted(world.paid) == ["one", "two"]
    assert sum(world.now(id).credits for id in ids) == 2 * PRICE
    assert [world.now(id).state for id in ids] == [OrderState.FINISHED] * 2


@pytest.mark.parametrize("error", [SunoUnreachable("Away."), RuntimeError("A fault of the service.")])
def test_no_song_begins_while_the_cost_of_the_last_is_not_known(world: Orders, error: Exception) -> None:
    def fail_after_the_first() -> None:
        if len(world.paid) == 1 and world.clock.seconds < world.account.paid[0][1] + 120:
            raise error

    world.account.cost = 80
    world.account.before_balance = fail_after_the_first
    id = world.order(max_credits=210)
    with suppress(RuntimeError):
        world.step_all()
    world.clock.advance(200)
    world.run(HOUR)
    assert world.songs(id) == [("done", 80), ("waiting", 0), ("waiting", 0)]
    assert world.now(id).error and world.now(id).error.code == "price_changed"


def test_a_balance_that_suno_refuses_to_tell_fails_no_song(world: Orders) -> None:
    def refuse() -> None:
        raise SongNotFound("Suno knows no such song on this account.")

    world.account.before_balance = refuse
    id = world.order()
    world.run(HOUR)
    assert world.songs(id) == [("waiting", 0)] * 3
    assert world.now(id).error and world.now(id).error.code == "suno_failed"
    assert world.paid == []


def test_no_song_is_paid_for_whose_files_suno_would_not_give(world: Orders) -> None:
    world.account.downloads_limit = 0
    id = world.order(audio_format="wav", max_downloads=3)
    world.run(HOUR)
    assert world.now(id).error and world.now(id).error.code == "out_of_downloads"
    assert (world.paid, world.songs(id)) == ([], [("waiting", 0)] * 3)


def test_the_files_of_stems_that_a_person_has_made_count_too(world: Orders) -> None:
    def want_a_captcha(song: str) -> list[Clip]:
        raise CaptchaRequired("Suno wants a captcha.")

    world.account.answer = want_a_captcha
    id = world.order("one", "two", audio_format="wav", max_downloads=1, waits_for_person=True)
    world.run(60)
    assert world.songs(id) == [("needs_person", 0), ("waiting", 0)]
    world.account.make("one")
    world.account.answer = None
    world.run(HOUR)
    assert world.songs(id) == [("done", 0), ("waiting", 0)]
    assert world.now(id).downloads == len(world.suno.unlocked) == 1
    assert world.now(id).error and world.now(id).error.code == "over_limit"


def test_an_order_pauses_if_its_caller_has_too_many_requests_that_wait(world: Orders) -> None:
    def want_a_captcha(song: str) -> list[Clip]:
        raise CaptchaRequired("Suno wants a captcha.")

    for _ in range(world.parts.settings.waiting_requests):
        wait = Wait(began=world.clock.now(), lasts=HOUR, listed=(), part="")
        assert world.ledger.wait(world.begin(song="three", webhook=False), wait, None)
    world.account.answer = want_a_captcha
    id = world.order("one", waits_for_person=True)
    world.run(60)
    assert world.now(id).error and "3 requests of this caller" in world.now(id).error.error
    assert (world.now(id).state, world.songs(id)) == (OrderState.PAUSED, [("waiting", 0)])


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (SessionExpired("Suno no longer accepts the cookie."), "suno_session_expired"),
        (captcha_required(1), "captcha_required"),
    ],
    ids=["sign-in", "captcha"],
)
def test_an_order_that_pauses_says_how_to_go_on_and_not_that_nothing_was_charged(
    world: Orders, error: SunoError, code: str
) -> None:
    def refuse_the_second(song: str) -> list[Clip]:
        if world.paid:
            raise error
        world.account.charge(song)
        return world.account.make(song)

    world.account.answer = refuse_the_second
    id = world.order()
    world.run(HOUR)
    problem = world.now(id).error
    assert (world.paid, problem and problem.code) == (["one"], code)
    assert problem and "charged" not in problem.error and problem.error.endswith("Then continue the order.")


def test_a_lower_budget_of_the_operator_counts_at_the_next_song(world: Orders) -> None:
    world.allow(credits_per_day=1000)
    id = world.order()
    world.run(PACE / 2)
    assert world.paid == ["one"]
    world.allow(credits_per_day=PRICE + PRICE // 2)
    world.run(HOUR)
    assert (world.paid, world.songs(id)) == (["one"], [("done", PRICE), ("waiting", 0), ("waiting", 0)])
    assert world.now(id).error and world.now(id).error.code == "over_budget"
    assert "charged" not in world.now(id).error.error, "the first song was"
    world.allow(credits_per_day=None)
    world.go_on(id)
    world.run(HOUR)
    assert world.now(id).state is OrderState.FINISHED


@pytest.mark.parametrize("callers", [(), (Caller("another"),), (Caller("n8n", accounts=("other",)),)])
def test_an_order_of_a_caller_that_may_not_use_the_account_any_more_pays_nothing(
    world: Orders, callers: tuple[Caller, ...]
) -> None:
    id = world.order()
    world.parts.settings.callers = callers
    world.run(HOUR)
    assert (world.paid, world.songs(id)) == ([], [("waiting", 0)] * 3)
    assert world.now(id).error and world.now(id).error.code == "not_allowed"


def test_two_songs_never_run_for_one_download(world: Orders) -> None:
    def still_working(song: str) -> list[Clip]:
        world.account.charge(song)
        made = world.account.make(song)
        return world.suno.make(*(stem.id for stem in made), song=song, status="streaming")

    world.account.answer = still_working
    world.allow(downloads_per_month=1)
    ids = [world.order("one", "two", audio_format="wav", max_downloads=2), world.order("three", audio_format="wav")]
    world.run(HOUR / 2)
    assert world.paid == ["one"]
    world.suno.make(*world.suno.made, song="one")
    world.run(HOUR)
    assert (world.paid, world.suno.unlocked) == (["one"], ["one"])
    assert world.songs(ids[0]) == [("done", PRICE), ("waiting", 0)]
    assert [world.now(id).error and world.now(id).error.code for id in ids] == ["over_budget"] * 2


def test_the_accounts_last_download_is_not_counted_on_twice(world: Orders) -> None:
    def still_working(song: str) -> list[Clip]:
        world.account.charge(song)
        made = world.account.make(song)
        return world.suno.make(*(stem.id for stem in made), song=song, status="streaming")

    world.account.answer = still_working
    world.account.downloads_limit = 1
    world.order("one", "two", audio_format="wav", max_downloads=2)
    world.run(HOUR / 2)
    assert world.paid == ["one"]


def test_a_song_that_another_request_holds_up_lets_the_others_go_first(world: Orders) -> None:
    rival = world.lose(song="one", webhook=False)
    id = world.order()
    world.run(200)
    assert world.paid == ["two", "three"]
    world.ledger.finish(rival, world.account.make("one"), paid=True, has_job=True)
    world.run(HOUR)
    assert world.songs(id) == [("done", 0), ("done", PRICE), ("done", PRICE)]
    assert world.paid == ["two", "three"]


def test_a_song_that_is_held_up_takes_the_stems_that_it_has(world: Orders) -> None:
    world.account.make("one")
    world.clock.advance(HOUR)
    world.lose(song="one", webhook=False)
    id = world.order("one")
    world.run(60)
    assert (world.paid, world.songs(id)) == ([], [("done", 0)])


def test_what_another_order_has_paid_meanwhile_is_not_taken_for_a_new_price(world: Orders) -> None:
    first, second = world.order("one", max_credits=60), world.order("two", "three")
    other = SongOrders(world.parts, is_stopping=lambda: False)
    balances = iter((None, RuntimeError("The process is killed after its paid call.")))

    def be_killed() -> None:
        if error := next(balances, None):
            raise error

    world.account.before_balance = be_killed
    with suppress(RuntimeError):
        other.step(first)
    world.account.before_balance = lambda: None
    assert world.paid == ["one"]
    for _ in range(4):
        world.clock.advance(100)
        other.step(second)
    assert world.paid == ["one", "two", "three"]
    world.run(HOUR)
    assert [world.songs(id) for id in (first, second)] == [[("done", PRICE)], [("done", PRICE)] * 2]
    assert [world.now(id).state for id in (first, second)] == [OrderState.FINISHED] * 2


def test_a_song_whose_refusal_was_lost_is_tried_again(world: Orders) -> None:
    def refuse(song: str) -> list[Clip]:
        raise OutcomeUnknown("Suno has refused, and the process was killed before it could say so.")

    world.account.answer = refuse
    id = world.order("one", "two")
    world.run(5)
    world.account.answer = None
    world.run(HOUR)
    assert world.paid == ["two", "one"]
    assert world.songs(id) == [("done", PRICE)] * 2
    assert world.now(id).state is OrderState.FINISHED


def test_stems_that_come_late_are_found_before_a_song_is_paid_again(world: Orders) -> None:
    def lose(song: str) -> list[Clip]:
        # Suno takes the credits late, too.
        raise OutcomeUnknown("No answer.")

    world.account.answer = lose
    id = world.order("one", max_credits=PRICE)
    world.run(5)
    world.account.answer = None
    world.account.charge("one")
    world.account.make("one")
    world.run(HOUR)
    assert (world.paid, world.songs(id)) == (["one"], [("done", PRICE)])


def test_a_song_is_not_tried_again_while_another_request_splits_it(world: Orders) -> None:
    def lose(song: str) -> list[Clip]:
        raise OutcomeUnknown("No answer.")

    world.account.answer = lose
    id = world.order("one")
    world.run(5)
    world.account.answer = None
    rival = world.begin(song="one", webhook=False)
    world.run(600)
    assert world.paid == []
    world.ledger.finish(rival, world.account.make("one"), paid=True, has_job=True)
    world.run(HOUR)
    assert (world.paid, world.songs(id)) == ([], [("done", 0)])


def test_a_cancelled_order_reads_what_its_last_song_has_cost(world: Orders) -> None:
    def lose(song: str) -> list[Clip]:
        world.account.before_balance = be_away
        raise OutcomeUnknown("No answer.")

    def be_away() -> None:
        raise SunoUnreachable("Away.")

    world.account.answer = lose
    id = world.order("one", "two")
    world.step_all()
    world.ledger.orders.change(id, lambda held: replace(held, state=OrderState.CANCELLED), is_due=True)
    world.run(60)
    world.account.before_balance = lambda: None
    world.run(HOUR)
    assert (world.paid, world.songs(id)) == ([], [("waiting", 0)] * 2)


def test_a_song_is_not_tried_again_without_end(world: Orders) -> None:
    calls: list[str] = []

    def lose(song: str) -> list[Clip]:
        calls.append(song)
        raise OutcomeUnknown("No answer.")

    world.account.answer = lose
    id = world.order("one")
    world.run(10 * HOUR)
    assert (calls, world.songs(id)) == (["one"] * 3, [("failed", 0)])


def test_a_song_with_which_the_balance_fell_is_not_paid_again(world: Orders) -> None:
    def lose(song: str) -> list[Clip]:
        world.account.charge(song)
        raise OutcomeUnknown("No answer.")

    world.account.answer = lose
    id = world.order("one")
    world.run(10 * HOUR)
    assert (world.paid, world.songs(id)) == (["one"], [("failed", PRICE)])


def test_a_request_that_has_waited_in_vain_holds_no_order_up(world: Orders) -> None:
    wait = Wait(began=world.clock.now(), lasts=HOUR, listed=(), part="")
    held = world.ledger.wait(world.begin(song="one", webhook=False), wait, None)
    assert held and world.ledger.waits.end(held, Ended.CANCELLED)
    id = world.order("one")
    world.run(120)
    assert world.songs(id) == [("done", PRICE)]
