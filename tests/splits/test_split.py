"""A split from the request to its stems, with a fake Suno and a ledger in memory: no sockets, Flask or waiting."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from threading import get_ident
from typing import Any

import pytest

from app.splits.budget import Budget
from app.splits.jobs import NewJob
from app.splits.ledger import Ledger
from app.splits.lookup import find_split
from app.splits.person import Handover, PersonNeeded
from app.splits.refusals import InProgress, KeyReused, SplitNotFound
from app.splits.split import Split, Stems
from app.splits.store import LedgerUnavailable, State, Transaction
from app.splits.waiting import TooManyWaiting
from app.suno.call import Deadline
from app.suno.clip import Clip
from app.suno.errors import (
    CaptchaRequired,
    OutcomeUnknown,
    OutOfCredits,
    RateLimited,
    RefusedBySuno,
    SessionExpired,
    SunoFailed,
    SunoUnreachable,
)
from app.suno.session import Account
from app.suno.stems import StemChoice, StemTask
from app.timing import DAY, Stopping, Timing
from tests.splits.conftest import SteppedClock
from tests.splits.memory_store import MemoryStore

ALICE = Account("alice-cookie", "SUNO_COOKIE")
TIMING = Timing(deadline=40.0, wait_timeout=100.0, poll_interval=3.0, settle_time=60.0)
NOON = 1_795_608_000.0  # 2026-11-25T12:00:00Z, by Suno's clock
LOST = OutcomeUnknown("Suno was asked to split the song, but it did not answer in time.")


@dataclass
class Suno:
    """A fake of the calls that a split makes: each paid call that its script accepts makes a pair of stems."""

    clock: SteppedClock
    script: list[Exception | Callable[[], None] | None] = field(default_factory=list)
    """The outcome of each paid call in turn: a reply (None), an exception, or a function to run before the reply."""
    makes_stems_if_reply_is_lost: bool = True
    clips_are_dated: float = 0.0
    """Seconds by which the clock of its clips is ahead of the one in its answers."""
    made_at: dict[str, float] = field(default_factory=dict)
    paid: int = 0
    polls: int = 0
    waits: int = 0
    listed: list[Clip] = field(default_factory=list)
    lags: dict[str, float] = field(default_factory=dict)
    """Seconds until each list shows new clips: `stems`, `has_stem`, `newest_clips`."""
    failures: dict[str, Exception | None] = field(default_factory=dict)
    """What reading each list raises; None: `has_stem` is missing."""
    asked: list[str] = field(default_factory=list)
    orders: list[str] = field(default_factory=list)
    looked_first: list[bool] = field(default_factory=list)
    poll_failures: list[Exception] = field(default_factory=list)
    captcha: SunoFailed | bool = False
    """Whether Suno says that it wants a captcha, or why it does not say."""
    deadlines: list[float] = field(default_factory=list)
    patience: list[float] = field(default_factory=list)
    """Seconds that each request waits for its stems."""

    def generate_stems(
        self,
        account: Account,
        song_id: str,
        choice: StemChoice | None = None,
        deadline: Deadline | None = None,
        *,
        order: str = "",
        look_first: bool = False,
    ) -> list[Clip]:
        assert (account, song_id) == (ALICE, "song")
        self.orders.append(order)
        self.looked_first.append(look_first)
        self.deadlines.append(deadline.remaining if deadline else 0.0)
        outcome = self.script.pop(0) if self.script else None
        if isinstance(outcome, Exception):
            if getattr(outcome, "may_have_charged", False) and self.makes_stems_if_reply_is_lost:
                self.make(choice or StemChoice())
            raise outcome
        stems = self.make(choice or StemChoice())
        if outcome is not None:
            outcome()
        return stems

    def make(self, choice: StemChoice) -> list[Clip]:
        self.paid += 1
        made = datetime.fromtimestamp(NOON + self.clock.seconds - 1_000 + self.clips_are_dated, UTC).isoformat()
        stems = [
            Clip(
                f"{part}{self.paid}", "submitted", made, f"Song ({part})", "song", stem_task=choice.task, is_stem=True
            )
            for part in ("Vocals", "Instrumental")
        ]
        self.listed += stems
        self.made_at |= {stem.id: self.clock.seconds for stem in stems}
        return stems

    def stems(self, account: Account, song_id: str, deadline: Deadline | None = None) -> list[Clip]:
        assert (account, song_id) == (ALICE, "song")
        assert deadline
        self.polls += 1
        if self.poll_failures:
            raise self.poll_failures.pop(0)
        return self.shown("stems")

    def must_solve_captcha(self, account: Account, choice: StemChoice, deadline: Deadline | None = None) -> bool:
        if isinstance(self.captcha, SunoFailed):
            raise self.captcha
        return self.captcha

    def song_has_stems(self, account: Account, song_id: str, deadline: Deadline | None = None) -> bool | None:
        assert (account, song_id) == (ALICE, "song")
        assert deadline
        shown = self.shown("has_stem")
        return None if "has_stem" in self.failures else bool(shown)

    def newest_clips(self, account: Account, until: float, deadline: Deadline | None = None) -> list[Clip]:
        assert account == ALICE
        assert deadline
        assert (self.now() or 0.0) - until >= 26 * 3600
        return self.shown("newest_clips")

    def shown(self, witness: str) -> list[Clip]:
        self.asked.append(witness)
        if failure := self.failures.get(witness):
            raise failure
        behind = self.lags.get(witness, 0.0)
        return [clip for clip in self.listed if self.clock.seconds - self.made_at.get(clip.id, 0.0) >= behind]

    def now(self) -> float | None:
        return NOON + self.clock.seconds - 1_000

    def wait_for(self, account: Account, stems: Sequence[Clip], **how: Any) -> list[Clip]:
        assert account == ALICE
        assert how.keys() == {"patience", "stopping"}
        self.patience.append(how["patience"])
        self.waits += 1
        return [replace(stem, status="complete", duration=183.4) for stem in stems]


class BrokenStore(MemoryStore):
    """A store that is unavailable for some of its transactions, counted from 1."""

    def __init__(self, clock: SteppedClock) -> None:
        super().__init__(clock)
        self.transactions = 0
        self.unavailable_at: set[int] = set()

    def transact(self, change: Callable[[Transaction], Any], *, durable: bool = True) -> Any:
        self.transactions += 1
        if self.transactions in self.unavailable_at:
            raise LedgerUnavailable("unavailable")
        return super().transact(change, durable=durable)


@pytest.fixture(autouse=True)
def no_time_is_spent(monkeypatch: pytest.MonkeyPatch, clock: SteppedClock) -> None:
    """Make sleep advance the fake clock instead of waiting; not in threads that other tests have left behind."""
    test, really_sleep, really_now = get_ident(), time.sleep, time.monotonic

    def sleep(seconds: float) -> None:
        clock.advance(seconds) if get_ident() == test else really_sleep(seconds)

    monkeypatch.setattr("time.sleep", sleep)
    monkeypatch.setattr("time.monotonic", lambda: clock.seconds if get_ident() == test else really_now())


@pytest.fixture
def store(clock: SteppedClock) -> BrokenStore:
    return BrokenStore(clock)


@pytest.fixture
def ledger(store: BrokenStore) -> Ledger:
    return Ledger(store)


@pytest.fixture
def suno(clock: SteppedClock) -> Suno:
    return Suno(clock)


Ask = Callable[..., Stems]


@pytest.fixture
def ask(suno: Suno, ledger: Ledger) -> Ask:
    def ask(idempotency_key: str = "", **fields: Any) -> Any:
        usual: dict[str, Any] = {
            "account": ALICE,
            "owners": (("user", ""),),
            "request_id": "r",
            "idempotency_key": idempotency_key,
            "song_id": "song",
            "choice": StemChoice(),
            "reuse_existing": False,
            "wait_audio": False,
            "gateway": suno,
            "watch": suno,
            "ledger": ledger,
            "timing": TIMING,
        }
        return Split(**usual | fields).pay_once()

    return ask


def ids(stems: Stems) -> list[str]:
    return [clip.id for clip in stems.clips]


def test_a_split_is_one_paid_call(ask: Ask, suno: Suno, ledger: Ledger) -> None:
    stems = ask()
    assert (ids(stems), stems.replayed, suno.paid, suno.polls) == (["Vocals1", "Instrumental1"], False, 1, 0)
    assert find_split(ledger, [("user", "")], "r").entry.state is State.DONE


def test_the_ledger_records_the_request_and_whether_it_was_paid(ask: Ask, suno: Suno, ledger: Ledger) -> None:
    ask("k", choice=StemChoice(StemTask.TWELVE))
    paid = find_split(ledger, [("user", "")], "r").entry
    assert (paid.song_id, paid.task, paid.idempotency_key, paid.paid) == ("song", StemTask.TWELVE, "k", True)
    for n, stem in enumerate(suno.listed):
        suno.listed[n] = replace(stem, status="complete")
    ask(request_id="r2", choice=StemChoice(StemTask.TWELVE), reuse_existing=True)
    assert (find_split(ledger, [("user", "")], "r2").entry.paid, suno.paid) == (False, 1)


def test_an_unexpected_failure_leaves_the_entry_in_doubt(ask: Ask, suno: Suno, ledger: Ledger) -> None:
    suno.script = [RuntimeError("a bug")]
    with pytest.raises(RuntimeError):
        ask("k")
    assert find_split(ledger, [("user", "")], "r").entry.state is State.IN_DOUBT


def test_a_key_is_found_by_an_older_name_of_its_owner(ask: Ask, suno: Suno) -> None:
    first = ask("k", owners=[("hash", "")])
    assert ask("k", owners=[("user", "n8n"), ("user", ""), ("hash", "")]).clips == first.clips
    assert suno.paid == 1


def test_a_key_of_an_older_ledger_has_the_song_in_any_case(ask: Ask, suno: Suno) -> None:
    first = ask("k", song_id="song")
    assert ask("k", song_id="SONG").clips == first.clips
    with pytest.raises(KeyReused):
        ask("k", song_id="SONG", choice=StemChoice(stem_name="Bass"))
    assert suno.paid == 1


def test_another_part_with_the_same_key_is_refused(ask: Ask) -> None:
    ask("k", choice=StemChoice(stem_name="Drum Kit"))
    with pytest.raises(KeyReused):
        ask("k", choice=StemChoice(stem_name="Bass"))


def test_without_a_key_two_requests_are_two_splits(ask: Ask, suno: Suno) -> None:
    assert ids(ask()) != ids(ask())
    assert suno.paid == 2


def test_a_key_is_paid_once(ask: Ask, suno: Suno) -> None:
    first, again = ask("k"), ask("k")
    assert (ids(again), again.replayed, suno.paid) == (ids(first), True, 1)


@pytest.mark.parametrize(
    "other",
    [
        {"song_id": "another"},
        {"choice": StemChoice(StemTask.TWELVE)},
        {"choice": StemChoice(stem_name="Bass")},
        {"reuse_existing": True},
    ],
)
def test_a_different_request_with_the_same_key_is_refused(ask: Ask, suno: Suno, other: dict[str, Any]) -> None:
    ask("k")
    with pytest.raises(KeyReused):
        ask("k", **other)
    assert suno.paid == 1


@pytest.mark.parametrize(
    ("fields", "looks_first"), [({}, False), ({"reuse_existing": True}, True), ({"fetches_files": True}, True)]
)
def test_the_song_is_read_before_it_is_paid_for_unless_the_split_is_one_call(
    ask: Ask, suno: Suno, fields: dict[str, Any], looks_first: bool
) -> None:
    ask(**fields)
    assert suno.looked_first == [looks_first]


@pytest.mark.parametrize(
    "refusal",
    [OutOfCredits("no"), RefusedBySuno("no"), SunoUnreachable("no"), SunoFailed("no"), SessionExpired("no")],
)
def test_a_failure_that_cost_nothing_frees_the_key(ask: Ask, suno: Suno, ledger: Ledger, refusal: Exception) -> None:
    suno.script = [refusal]
    with pytest.raises(type(refusal)):
        ask("k")
    with pytest.raises(SplitNotFound):
        find_split(ledger, [("user", "")], "r")
    assert not ask("k").replayed
    assert suno.polls == 0


@pytest.mark.parametrize("failure", [LOST, SunoFailed("502", may_have_charged=True), RuntimeError("a bug")])
def test_the_stems_of_a_lost_reply_are_found(ask: Ask, suno: Suno, failure: Exception) -> None:
    suno.script = [failure]
    suno.makes_stems_if_reply_is_lost = True
    if isinstance(failure, RuntimeError):
        failure.may_have_charged = True  # type: ignore[attr-defined]
    assert ids(ask("k")) == ["Vocals1", "Instrumental1"]
    assert (suno.paid, suno.polls) == (1, 2)


def test_the_outcome_of_a_lost_reply_is_unknown_if_no_stems_are_found(ask: Ask, suno: Suno, ledger: Ledger) -> None:
    suno.script, suno.makes_stems_if_reply_is_lost = [LOST], False
    with pytest.raises(OutcomeUnknown):
        ask("k")
    assert (suno.paid, suno.polls) == (0, 4)
    assert find_split(ledger, [("user", "")], "r").entry.state is State.IN_DOUBT


def test_a_failed_poll_is_repeated(ask: Ask, suno: Suno) -> None:
    suno.script, suno.poll_failures = [LOST], [SunoUnreachable("away"), SunoFailed("502")]
    assert ids(ask()) == ["Vocals1", "Instrumental1"]
    assert suno.polls == 4


@pytest.mark.parametrize("ahead", [-9.0, TIMING.deadline + TIMING.settle_time + 12.0, 5 * 3600.0])
def test_the_stems_of_a_lost_reply_are_found_although_sunos_clocks_differ(ask: Ask, suno: Suno, ahead: float) -> None:
    suno.script, suno.clips_are_dated = [LOST], ahead
    assert ids(ask()) == ["Vocals1", "Instrumental1"]


@pytest.mark.parametrize("ahead", [-11.0, -15.0, -5 * 3600.0])
def test_stems_with_an_earlier_date_are_neither_taken_nor_paid_again(
    ask: Ask, suno: Suno, clock: SteppedClock, ahead: float
) -> None:
    suno.script, suno.clips_are_dated = [LOST], ahead
    with pytest.raises(OutcomeUnknown):
        ask("k")
    clock.advance(1_000)
    with pytest.raises(InProgress, match=r"Vocals1, Instrumental1.*reuse_existing: true") as raised:
        ask("k")
    assert raised.value.retry_after >= 1
    assert suno.paid == 1


def test_stems_older_than_the_request_are_not_taken(ask: Ask, suno: Suno) -> None:
    suno.listed = [Clip("old", "complete", "2026-11-25T11:59:00Z", "Song (Vocals)", stem_task="two")]
    suno.script, suno.makes_stems_if_reply_is_lost = [LOST], False
    with pytest.raises(OutcomeUnknown):
        ask("k")


@pytest.fixture
def doubted(ask: Ask, suno: Suno) -> None:
    """Leave a request with the key `k` in doubt: it got no reply, and Suno lists no stems yet."""
    suno.script, suno.makes_stems_if_reply_is_lost = [LOST], False
    with pytest.raises(OutcomeUnknown):
        ask("k")
    suno.polls = 0


@pytest.mark.usefixtures("doubted")
def test_a_retry_finds_stems_that_appeared_meanwhile(ask: Ask, suno: Suno) -> None:
    suno.make(StemChoice())
    again = ask("k")
    assert (ids(again), again.replayed, suno.paid) == (["Vocals1", "Instrumental1"], True, 1)
    assert ask("k").clips == again.clips


@pytest.mark.usefixtures("doubted")
def test_a_retry_that_finds_no_stems_pays_only_after_the_settle_time(
    ask: Ask, suno: Suno, clock: SteppedClock
) -> None:
    with pytest.raises(InProgress) as raised:
        ask("k")
    assert suno.polls == 1
    assert 60 <= raised.value.retry_after <= 101
    clock.advance(raised.value.retry_after)
    stems = ask("k")
    assert (ids(stems), stems.replayed, suno.paid) == (["Vocals1", "Instrumental1"], False, 1)


@pytest.mark.parametrize("step", [150.0, 86_400.0, -3_300.0])
@pytest.mark.usefixtures("doubted")
def test_setting_the_wall_clock_neither_pays_again_nor_hides_the_stems(
    ask: Ask, suno: Suno, clock: SteppedClock, step: float
) -> None:
    clock.step_wall(step)
    with pytest.raises(InProgress):
        ask("k")
    suno.make(StemChoice())
    assert ids(ask("k")) == ["Vocals1", "Instrumental1"]
    assert suno.paid == 1


@pytest.mark.usefixtures("doubted")
def test_nothing_is_paid_while_suno_cannot_be_read(ask: Ask, suno: Suno, clock: SteppedClock) -> None:
    clock.advance(1_000)
    suno.poll_failures = [SunoFailed("502. Nothing was charged.")]
    with pytest.raises(InProgress, match="cannot be determined now") as raised:
        ask("k")
    assert "Nothing was charged" not in str(raised.value), "that is true of the look only"
    suno.poll_failures = [SessionExpired("The cookie is dead.")]
    with pytest.raises(SessionExpired, match="The cookie is dead") as expired:
        ask("k")
    assert "Nothing was charged" not in str(expired.value)
    assert "may have charged" in str(expired.value)
    assert suno.paid == 0


# Proof that nothing was made.


@pytest.mark.usefixtures("doubted")
def test_all_three_witnesses_are_read_before_a_second_attempt_is_paid(
    ask: Ask, suno: Suno, clock: SteppedClock
) -> None:
    clock.advance(1_000)
    suno.asked.clear()
    ask("k")
    assert (suno.asked, suno.paid) == (["stems", "has_stem", "newest_clips"], 1)


@pytest.mark.parametrize("behind", [("stems",), ("stems", "has_stem"), ("stems", "newest_clips")])
def test_an_empty_list_is_no_proof_while_another_witness_contradicts(
    ask: Ask, suno: Suno, clock: SteppedClock, behind: tuple[str, ...]
) -> None:
    suno.script, suno.lags = [LOST], dict.fromkeys(behind, 3_600.0)
    with pytest.raises(OutcomeUnknown):
        ask("k")
    for _ in range(3):
        clock.advance(600)
        with pytest.raises(InProgress) as raised:
            ask("k")
        assert raised.value.retry_after >= 1
    clock.advance(3_600)
    assert ids(ask("k")) == ["Vocals1", "Instrumental1"]
    assert suno.paid == 1


@pytest.mark.parametrize(
    "failures",
    [{"has_stem": None}, {"has_stem": SunoFailed("502")}, {"newest_clips": SunoFailed("502")}],
    ids=["no has_stem", "no song", "no newest clips"],
)
@pytest.mark.usefixtures("doubted")
def test_nothing_is_paid_while_a_witness_cannot_be_read(
    ask: Ask, suno: Suno, clock: SteppedClock, failures: dict[str, Exception | None]
) -> None:
    clock.advance(1_000)
    suno.failures = failures
    with pytest.raises(InProgress) as raised:
        ask("k")
    assert raised.value.retry_after >= 1
    assert suno.paid == 0
    suno.failures = {}
    assert ids(ask("k")) == ["Vocals1", "Instrumental1"]


@pytest.mark.usefixtures("doubted")
def test_stems_made_long_after_the_paid_call_are_this_keys(ask: Ask, suno: Suno, clock: SteppedClock) -> None:
    clock.advance(2_000)
    suno.make(StemChoice())
    assert ids(ask("k")) == ["Vocals1", "Instrumental1"]
    assert suno.paid == 1


@pytest.mark.usefixtures("doubted")
@pytest.mark.parametrize("refusal", [OutOfCredits("Out of credits."), SunoUnreachable("Nothing was sent.")])
def test_a_refused_second_attempt_does_not_forget_the_first(
    ask: Ask, suno: Suno, clock: SteppedClock, refusal: Exception
) -> None:
    """Suno's queue may make the first attempt's stems after that."""
    clock.advance(1_000)
    suno.script = [refusal]
    with pytest.raises(type(refusal)):
        ask("k")
    suno.make(StemChoice())
    assert ids(ask("k")) == ["Vocals1", "Instrumental1"]
    assert suno.paid == 1


@pytest.mark.usefixtures("doubted")
def test_after_a_refused_second_attempt_the_third_is_paid_once_nothing_was_made(
    ask: Ask, suno: Suno, clock: SteppedClock
) -> None:
    clock.advance(1_000)
    suno.script = [OutOfCredits("Out of credits.")]
    with pytest.raises(OutOfCredits):
        ask("k")
    with pytest.raises(InProgress) as raised:
        ask("k")
    assert 1 <= raised.value.retry_after <= TIMING.settle_time
    clock.advance(raised.value.retry_after)
    assert ids(ask("k")) == ["Vocals1", "Instrumental1"]


@pytest.mark.usefixtures("doubted")
def test_stems_that_were_listed_before_a_key_began_are_not_its_own(ask: Ask, suno: Suno, clock: SteppedClock) -> None:
    """The list that a retry of another key reads is recorded."""
    suno.clips_are_dated = -60.0
    suno.make(StemChoice())
    clock.advance(1_000)
    with pytest.raises(InProgress, match="Vocals1"):
        ask("k")
    clock.advance(1)
    suno.script, suno.clips_are_dated = [LOST], 0.0
    with pytest.raises(OutcomeUnknown):
        ask("new")
    clock.advance(1_000)
    assert ids(ask("new")) == ["Vocals2", "Instrumental2"]


def test_a_list_that_reuse_existing_has_read_before_it_paid_explains_stems(
    ask: Ask, suno: Suno, clock: SteppedClock
) -> None:
    suno.make(StemChoice())
    clock.advance(60)
    suno.script, suno.makes_stems_if_reply_is_lost = [LOST], False
    with pytest.raises(OutcomeUnknown):
        ask("k", reuse_existing=True)
    clock.advance(1_000)
    assert ids(ask("k", reuse_existing=True)) == ["Vocals2", "Instrumental2"]
    assert suno.paid == 2


def test_a_new_key_takes_named_stems_for_free(ask: Ask, suno: Suno, clock: SteppedClock) -> None:
    suno.script, suno.clips_are_dated = [LOST], -15.0
    with pytest.raises(OutcomeUnknown):
        ask("k")
    clock.advance(1_000)
    suno.listed = [replace(stem, status="complete") for stem in suno.listed]
    with pytest.raises(InProgress, match="new Idempotency-Key with reuse_existing: true"):
        ask("k")
    assert ids(ask("new", reuse_existing=True)) == ["Vocals1", "Instrumental1"]
    assert suno.paid == 1


@pytest.mark.usefixtures("doubted")
def test_all_attempts_of_a_split_have_the_same_order(ask: Ask, suno: Suno, clock: SteppedClock) -> None:
    clock.advance(1_000)
    ask("k")
    ask("another")
    [first, second, other] = suno.orders
    assert first == second != other


@pytest.mark.parametrize(("key", "wait_audio", "written"), [("", False, 2), ("k", False, 2), ("k", True, 3)])
def test_a_reply_that_does_not_wait_is_written_with_its_stems(
    ask: Ask, store: BrokenStore, key: str, wait_audio: bool, written: int
) -> None:
    first = ask(key, wait_audio=wait_audio)
    assert store.transactions == written
    if key:
        assert [stem.status for stem in ask(key).clips] == [stem.status for stem in first.clips]
        assert store.transactions == written + 1


def test_a_split_reads_no_list(ask: Ask, suno: Suno, store: BrokenStore) -> None:
    ask()
    ask("k")
    assert suno.asked == []


@pytest.mark.usefixtures("doubted")
def test_stems_without_a_date_keep_the_entry_in_doubt(ask: Ask, suno: Suno, clock: SteppedClock) -> None:
    clock.advance(1_000)
    suno.listed = [Clip("x", title="Song (Vocals)")]
    with pytest.raises(InProgress):
        ask("k")
    assert suno.paid == 0


@pytest.mark.usefixtures("doubted")
def test_the_entry_stays_in_doubt_while_another_request_for_the_song_is_running(
    ask: Ask, suno: Suno, clock: SteppedClock
) -> None:
    seen: list[Any] = []

    def retry() -> None:
        with pytest.raises(InProgress):
            ask("k")
        seen.append(True)

    suno.script = [retry]
    first = ask()
    assert seen
    assert ids(first) == ["Vocals1", "Instrumental1"]


def test_a_retry_waits_for_the_first_request(ask: Ask, suno: Suno, clock: SteppedClock, ledger: Ledger) -> None:
    def retry() -> None:
        with pytest.raises(InProgress, match="still running") as raised:
            ask("k")
        assert raised.value.retry_after >= 1

    suno.script = [retry]
    before = clock.seconds
    ask("k")
    assert clock.seconds - before >= 40


def test_a_retry_stops_waiting_if_the_process_is_stopping(ask: Ask, suno: Suno, clock: SteppedClock) -> None:
    def retry() -> None:
        with pytest.raises(InProgress):
            ask("k", is_stopping=lambda: True)

    suno.script = [retry]
    before = clock.seconds
    ask("k")
    assert clock.seconds == before


def test_the_paid_call_gets_the_time_until_the_entrys_deadline(ask: Ask, suno: Suno) -> None:
    ask()
    assert suno.deadlines == [pytest.approx(40.0)]


# Stopping.


def test_no_paid_call_begins_that_the_stop_might_kill_and_the_same_key_pays_elsewhere(
    ask: Ask, suno: Suno, ledger: Ledger
) -> None:
    with pytest.raises(Stopping, match="sent no paid call"):
        ask("k", time_left=lambda: 39.9)
    assert (suno.deadlines, suno.paid) == ([], 0)
    with pytest.raises(SplitNotFound):
        find_split(ledger, [("user", "")], "r")

    assert not ask("k").replayed
    assert suno.paid == 1


def test_a_stopping_process_sends_a_paid_call_that_ends_in_time(ask: Ask, suno: Suno) -> None:
    ask("k", time_left=lambda: 40.0)
    assert suno.paid == 1


def test_a_stopping_process_begins_no_second_attempt_and_forgets_no_first_one(
    ask: Ask, suno: Suno, clock: SteppedClock, ledger: Ledger
) -> None:
    suno.script, suno.makes_stems_if_reply_is_lost = [LOST], False
    with pytest.raises(OutcomeUnknown):
        ask("k")
    clock.advance(100)
    with pytest.raises(Stopping):
        ask("k", time_left=lambda: 30.0)
    assert find_split(ledger, [("user", "")], "r").entry.state is State.IN_DOUBT
    assert suno.paid == 0

    ask("k")
    assert suno.paid == 1


def test_a_stopping_process_says_that_an_answer_is_lost_before_it_is_killed(
    ask: Ask, suno: Suno, clock: SteppedClock
) -> None:
    suno.script, suno.makes_stems_if_reply_is_lost = [LOST], False
    times_left = [40.0, 4.0]
    before = clock.seconds
    with pytest.raises(OutcomeUnknown):
        ask("k", time_left=lambda: times_left.pop(0))
    assert clock.seconds - before == 4


# Waiting.


@pytest.mark.parametrize(("paid_call", "patience"), [(0.0, 100.0), (35.0, 65.0), (130.0, 0.0)])
def test_the_wait_for_stems_ends_with_the_time_of_the_whole_request(
    ask: Ask, suno: Suno, clock: SteppedClock, paid_call: float, patience: float
) -> None:
    suno.script = [lambda: clock.advance(paid_call)]
    ask("k", wait_audio=True)
    assert suno.patience == [patience]


def test_the_look_for_lost_stems_shortens_the_wait(ask: Ask, suno: Suno, clock: SteppedClock) -> None:
    suno.script, began = [LOST], clock.seconds
    ask("k", wait_audio=True)
    assert clock.seconds > began
    assert suno.patience == [TIMING.wait_timeout - (clock.seconds - began)]


def test_a_retry_waits_as_long_as_its_own_request(ask: Ask, suno: Suno, clock: SteppedClock) -> None:
    ask("k")
    clock.advance(70)
    ask("k", wait_audio=True)
    assert suno.patience == [TIMING.wait_timeout]


def test_with_wait_audio_the_reply_and_each_replay_have_final_stems(ask: Ask, suno: Suno) -> None:
    first = ask("k", wait_audio=True)
    assert {clip.status for clip in first.clips} == {"complete"}
    assert ask("k", wait_audio=True).clips == ask("k").clips == tuple(first.clips)
    assert (suno.waits, suno.paid) == (1, 1)


def test_a_reply_does_not_change_if_a_retry_waits(ask: Ask, suno: Suno) -> None:
    first = ask("k")
    waited = ask("k", wait_audio=True)
    assert ids(waited) == ids(first)
    assert {clip.status for clip in waited.clips} == {"complete"}
    assert ask("k").clips == tuple(first.clips)
    assert ask("k", wait_audio=True).clips == tuple(waited.clips)
    assert suno.waits == 1


def test_finished_stems_are_reused_for_free(ask: Ask, suno: Suno) -> None:
    suno.listed = [
        Clip(part, "complete", "2024-01-01T00:00:00Z", f"Song ({part})", stem_task="two")
        for part in ("Vocals", "Music")
    ]
    first = ask("k", reuse_existing=True)
    assert (ids(first), suno.paid) == (["Vocals", "Music"], 0)
    assert ids(ask("k", reuse_existing=True)) == ids(first)


# Stems that another request makes now are reused, once they are complete.


def completed(suno: Suno) -> list[Clip]:
    return [replace(stem, status="complete") for stem in suno.listed]


@pytest.mark.parametrize("first", ["", "k1"])
@pytest.mark.parametrize("lists_lag", [True, False])
def test_a_new_key_with_reuse_existing_waits_for_the_stems_that_another_request_has_just_paid_for(
    ask: Ask, suno: Suno, clock: SteppedClock, first: str, lists_lag: bool
) -> None:
    made = ask(first, owners=[("user", "another caller")])
    suno.lags = {"stems": 40.0} if lists_lag else {}
    for _ in range(2):
        with pytest.raises(InProgress, match="reuse_existing then returns them for free") as raised:
            ask("k2", reuse_existing=True)
        assert (raised.value.retry_after, suno.paid) == (15, 1)
        clock.advance(20)
    suno.listed = completed(suno)
    assert (ids(ask("k2", reuse_existing=True)), suno.paid) == (ids(made), 1)


def test_a_new_key_with_reuse_existing_waits_while_another_request_pays(ask: Ask, suno: Suno) -> None:
    def another_asks() -> None:
        with pytest.raises(InProgress, match="has just split this song"):
            ask("k2", reuse_existing=True)

    suno.script = [another_asks]
    ask("k1", reuse_existing=True)
    assert suno.paid == 1


def test_a_new_key_with_reuse_existing_waits_while_another_request_is_in_doubt(
    ask: Ask, suno: Suno, clock: SteppedClock
) -> None:
    suno.script, suno.lags = [LOST], {"stems": 300.0}
    with pytest.raises(OutcomeUnknown):
        ask("k1")
    for _ in range(2):
        with pytest.raises(InProgress, match="or may have"):
            ask("k2", reuse_existing=True)
        clock.advance(100)
    clock.advance(100)
    suno.listed = completed(suno)
    assert (ids(ask("k2", reuse_existing=True)), suno.paid) == (["Vocals1", "Instrumental1"], 1)


@pytest.mark.parametrize("first_waits", [False, True])
def test_a_key_with_reuse_existing_that_may_pay_again_waits_for_what_another_request_has_just_paid_for(
    ask: Ask, suno: Suno, clock: SteppedClock, first_waits: bool
) -> None:
    suno.makes_stems_if_reply_is_lost = False
    if first_waits:
        suno.script = [CaptchaRequired("Suno wants a captcha.")]
        handover = Handover(lasts=DAY, job=JOB, most=9)
        assert isinstance(ask("k", reuse_existing=True, handover=handover), PersonNeeded)
    else:
        suno.script = [LOST]
        with pytest.raises(OutcomeUnknown):
            ask("k", reuse_existing=True)
    clock.advance(1_000)
    made = ask("another")
    for _ in range(2):
        with pytest.raises(InProgress, match="reuse_existing then returns them for free"):
            ask("k", reuse_existing=True)
        clock.advance(100)
    suno.listed = completed(suno)
    assert (ids(ask("k", reuse_existing=True)), suno.paid) == (ids(made), 1)


def test_a_new_key_with_reuse_existing_pays_again_once_a_stem_is_listed_as_failed(ask: Ask, suno: Suno) -> None:
    ask("k1")
    voice, music = suno.listed
    suno.listed = [replace(voice, status="complete"), replace(music, status="error")]
    with pytest.raises(InProgress):
        ask("k2", reuse_existing=True)
    ask("k2", reuse_existing=True)
    assert suno.paid == 2


@pytest.mark.parametrize(
    "other",
    [
        {"choice": StemChoice(StemTask.TWELVE)},
        {"choice": StemChoice(stem_name="Drum Kit")},
        {"owners": [("another user", "")]},
    ],
)
@pytest.mark.parametrize(
    "job", [None, NewJob("{}", ("https://hooks.example.com/", "mp3")), NewJob("{}", ("", "mp3"))]
)
def test_reuse_existing_waits_for_no_other_kind_part_or_account(
    ask: Ask, suno: Suno, other: dict[str, Any], job: NewJob | None
) -> None:
    ask("k1", job=job, **other)
    ask("k2", reuse_existing=True)
    assert suno.paid == 2
    with pytest.raises(InProgress):
        ask("k3", job=job, reuse_existing=True)


def test_reuse_existing_pays_if_the_other_split_ended_without_stems_or_long_ago(
    ask: Ask, suno: Suno, clock: SteppedClock
) -> None:
    suno.script = [OutOfCredits("The Suno account is out of credits.")]
    with pytest.raises(OutOfCredits):
        ask("k1")
    ask("k2", reuse_existing=True)
    clock.advance(600)
    ask("k3", reuse_existing=True)
    assert suno.paid == 2


def test_a_key_that_waits_for_other_stems_takes_nothing_from_a_budget(ask: Ask, suno: Suno, ledger: Ledger) -> None:
    budget = Budget("caller x", "credits:caller:x", "credits", 50, 1)
    for key in ("k1", "k2"):
        with suppress(InProgress):
            ask(key, reuse_existing=True, budgets=[budget], price=10)
    assert (ledger.left(budget).amount, suno.paid) == (40, 1)
    assert find_split(ledger, [("user", "")], "r").id, "of the first"


# A pause that Cloudflare in front of Suno wants.


def paused(seconds: float) -> RateLimited:
    error = RateLimited("Nothing was charged.", retry_after=120)
    error.paid_calls_pause = seconds
    return error


@pytest.mark.parametrize("key", ["", "key"])
def test_the_pause_that_one_process_has_met_holds_back_the_paid_calls_of_another(
    ask: Ask, suno: Suno, store: BrokenStore, clock: SteppedClock, key: str
) -> None:
    other = Ledger(store)
    ask("done")
    suno.script = [paused(120)]
    with pytest.raises(RateLimited):
        ask(key)
    for left in (120, 70):
        with pytest.raises(RateLimited, match="Nothing was charged") as raised:
            ask(key, ledger=other)
        assert (raised.value.retry_after, raised.value.may_have_charged, len(suno.orders)) == (left, False, 2)
        clock.advance(50)
    assert ask("done", ledger=other).replayed, "what is paid for does not wait"
    clock.advance(20)
    assert (len(ids(ask(key, ledger=other))), suno.paid) == (2, 2)


def test_stems_that_exist_are_reused_during_a_pause(ask: Ask, suno: Suno, store: BrokenStore) -> None:
    suno.script, suno.listed = [paused(120)], REUSABLE
    with pytest.raises(RateLimited):
        ask()
    assert ids(ask(reuse_existing=True, ledger=Ledger(store))) == ["Vocals", "Music"]


def test_a_pause_that_the_ledger_cannot_record_is_met_by_each_process(
    ask: Ask, suno: Suno, store: BrokenStore
) -> None:
    suno.script, store.unavailable_at = [paused(120), paused(120)], {2}
    for ledger in (Ledger(store), Ledger(store)):
        with pytest.raises(RateLimited):
            ask(ledger=ledger)
    assert len(suno.orders) == 2
    with pytest.raises(RateLimited):
        ask(ledger=Ledger(store))
    assert len(suno.orders) == 2


# An unavailable ledger.


REUSABLE = [
    Clip(part, "complete", "2024-01-01T00:00:00Z", f"Song ({part})", stem_task="two") for part in ("Vocals", "Music")
]
JOB = NewJob("{}", ("https://hooks.example.com/",))


def test_reused_stems_of_a_split_with_a_job_are_recorded_when_the_ledger_is_back(
    ask: Ask, store: BrokenStore, suno: Suno, ledger: Ledger
) -> None:
    suno.listed, store.unavailable_at = REUSABLE, {2, 3}
    assert ids(ask(job=JOB, reuse_existing=True)) == ["Vocals", "Music"]
    entry = find_split(ledger, [("user", "")], "r").entry
    assert entry and (entry.state, entry.paid, suno.paid) == (State.DONE, False, 0)
    assert ledger.jobs.due(10) == [entry.id]


def test_reused_stems_that_cannot_be_recorded_are_not_told_if_the_job_would_tell_otherwise(
    ask: Ask, store: BrokenStore, suno: Suno, ledger: Ledger
) -> None:
    suno.listed, store.unavailable_at = REUSABLE, set(range(2, 500))
    with pytest.raises(LedgerUnavailable, match="Nothing was charged"):
        ask(job=JOB, reuse_existing=True)
    assert suno.paid == 0
    store.unavailable_at = set(range(store.transactions + 2, store.transactions + 500))
    assert ids(ask(reuse_existing=True)) == ["Vocals", "Music"], "without a job, nobody tells otherwise"


def test_a_request_with_a_key_sends_nothing_without_the_ledger(ask: Ask, suno: Suno, store: BrokenStore) -> None:
    store.unavailable_at = {1}
    with pytest.raises(LedgerUnavailable):
        ask("k")
    assert suno.paid == 0


def test_a_request_without_a_key_continues_and_is_recorded_when_the_ledger_is_back(
    ask: Ask, suno: Suno, store: BrokenStore, ledger: Ledger
) -> None:
    store.unavailable_at = {1}
    assert ids(ask()) == ["Vocals1", "Instrumental1"]
    assert find_split(ledger, [("user", "")], "r").entry.state is State.DONE


def test_paid_stems_are_recorded_when_the_ledger_is_back(
    ask: Ask, store: BrokenStore, suno: Suno, ledger: Ledger
) -> None:
    store.unavailable_at = {2, 3}
    first = ask("k")
    assert find_split(ledger, [("user", "")], "r").entry.state is State.DONE
    assert ids(ask("k")) == ids(first)
    assert suno.paid == 1


def test_the_reply_is_sent_if_the_ledger_stays_unavailable_and_a_retry_finds_the_stems(
    ask: Ask, store: BrokenStore, suno: Suno, clock: SteppedClock
) -> None:
    store.unavailable_at = set(range(2, 20))
    first = ask("k")
    store.unavailable_at = set()
    clock.advance(60)
    again = ask("k")
    assert (ids(again), again.replayed, suno.paid) == (ids(first), True, 1)


def test_an_entry_is_in_doubt_after_its_deadline_if_the_doubt_could_not_be_written(
    ask: Ask, store: BrokenStore, suno: Suno, clock: SteppedClock
) -> None:
    suno.script, suno.makes_stems_if_reply_is_lost = [LOST], False
    store.unavailable_at = {2}
    with pytest.raises(OutcomeUnknown):
        ask("k")
    clock.advance(60)
    with pytest.raises(InProgress):
        ask("k")
    assert suno.paid == 0


def test_an_entry_that_cannot_be_settled_is_not_paid_again(
    ask: Ask, store: BrokenStore, suno: Suno, clock: SteppedClock
) -> None:
    suno.script, suno.makes_stems_if_reply_is_lost = [LOST], False
    with pytest.raises(OutcomeUnknown):
        ask("k")
    clock.advance(1_000)
    store.unavailable_at = {store.transactions + 2}
    with pytest.raises(LedgerUnavailable):
        ask("k")
    assert suno.paid == 0


# Imports.


@pytest.mark.parametrize("module", ["app.splits.split", "app.splits.download", "app.accounts", "app.ids"])
def test_the_domain_imports_neither_flask_nor_gunicorn(module: str) -> None:
    code = f"import sys, {module}; print(*sorted({{name.partition('.')[0] for name in sys.modules}}))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"flask", "flask_smorest", "werkzeug", "gunicorn", "prometheus_client"} & set(loaded)


CAPTCHA = CaptchaRequired("Suno wants a captcha. Nothing was charged.")
HANDOVER = Handover(lasts=86_400.0, job=NewJob('{"kind": "split"}'), most=100)


def person_splits(suno: Suno) -> list[str]:
    paid = suno.paid
    made = suno.make(StemChoice())
    suno.paid = paid
    return [stem.id for stem in made]


def test_a_captcha_at_the_sign_in_begins_no_wait(ask: Ask, suno: Suno, ledger: Ledger) -> None:
    at_sign_in = CaptchaRequired("Suno's sign-in wants a captcha.", at_sign_in=True)
    suno.script = [at_sign_in]
    with pytest.raises(CaptchaRequired):
        ask("k", handover=HANDOVER)
    with pytest.raises(SplitNotFound):
        find_split(ledger, [("user", "")], "r")


def test_no_wait_begins_without_the_list_of_what_is_not_new(ask: Ask, suno: Suno, ledger: Ledger) -> None:
    suno.script, suno.poll_failures = [CAPTCHA], [SunoFailed("Suno failed.")]
    with pytest.raises(SunoUnreachable):
        ask("k", handover=HANDOVER)
    with pytest.raises(SplitNotFound):
        find_split(ledger, [("user", "")], "r")
    assert ids(ask("k", handover=HANDOVER)) == ["Vocals1", "Instrumental1"]


def test_the_key_of_a_wait_that_is_over_begins_again_though_no_jobs_process_has_ended_it(
    ask: Ask, suno: Suno, ledger: Ledger, clock: SteppedClock
) -> None:
    suno.script = [CAPTCHA, CAPTCHA]
    assert isinstance(ask("k", handover=HANDOVER), PersonNeeded)
    clock.advance(HANDOVER.lasts)
    waits = ask("k", handover=HANDOVER)
    assert isinstance(waits, PersonNeeded)
    wait = ledger.waits.get(waits.entry.id)
    assert wait and ledger.clock.since(wait.began) < 1
    assert suno.paid == 0


def test_a_request_that_may_not_wait_has_charged_nothing_and_leaves_its_key(
    ask: Ask, suno: Suno, ledger: Ledger
) -> None:
    suno.script = [CAPTCHA, CAPTCHA]
    one_waits = replace(HANDOVER, most=1)
    assert isinstance(ask("k", handover=one_waits), PersonNeeded)
    with pytest.raises(TooManyWaiting):
        ask("other", handover=one_waits)
    assert ids(ask("other", handover=one_waits)) == ["Vocals1", "Instrumental1"]


@pytest.mark.parametrize("failed", ["stems", "has_stem", "newest_clips"])
def test_nothing_is_paid_if_a_witness_cannot_be_read(ask: Ask, suno: Suno, failed: str) -> None:
    suno.script = [CAPTCHA]
    assert isinstance(ask("k", handover=HANDOVER), PersonNeeded)
    suno.failures[failed] = SunoFailed("Suno failed.")
    with pytest.raises(InProgress):
        ask("k")
    assert suno.paid == 0
    del suno.failures[failed]
    assert len(ask("k").clips) == 2
    assert suno.paid == 1


def test_nothing_is_paid_if_suno_does_not_say_whether_it_wants_a_captcha(ask: Ask, suno: Suno) -> None:
    suno.script = [CAPTCHA]
    ask("k", handover=HANDOVER)
    suno.captcha = SunoFailed("Suno failed.")
    with pytest.raises(InProgress):
        ask("k")
    assert suno.paid == 0


def test_stems_that_only_the_newest_clips_show_contradict(ask: Ask, suno: Suno, clock: SteppedClock) -> None:
    suno.script = [CAPTCHA]
    ask("k", handover=HANDOVER)
    suno.lags["stems"] = 600.0
    made = person_splits(suno)
    with pytest.raises(InProgress, match=made[0]):
        ask("k")
    assert suno.paid == 0
    clock.advance(601)
    assert ids(ask("k")) == made
    assert suno.paid == 0


@pytest.mark.parametrize("dated", [0.0, -5 * 3600.0, 5 * 3600.0])
def test_new_stems_are_taken_even_if_their_dates_are_some_hours_wrong(ask: Ask, suno: Suno, dated: float) -> None:
    suno.script = [CAPTCHA]
    ask("k", handover=HANDOVER)
    suno.clips_are_dated = dated
    made = person_splits(suno)
    assert ids(ask("k")) == made
    assert suno.paid == 0


def test_stems_that_are_dated_more_than_26_hours_before_the_wait_are_not_new(ask: Ask, suno: Suno) -> None:
    suno.script = [CAPTCHA]
    ask("k", handover=HANDOVER)
    suno.clips_are_dated = -27 * 3600.0
    person_splits(suno)
    ask("k")
    assert suno.paid == 1


def test_every_attempt_of_a_request_that_waited_is_the_same_order_for_suno(ask: Ask, suno: Suno) -> None:
    suno.script = [CAPTCHA, CAPTCHA]
    ask("k", handover=HANDOVER)
    assert isinstance(ask("k"), PersonNeeded)
    ask("k")
    assert len(suno.orders) == 3
    assert len(set(suno.orders)) == 1


@pytest.mark.parametrize("refusal", [OutOfCredits("The account is out of credits."), SunoUnreachable("Away.")])
def test_another_refusal_leaves_it_waiting(ask: Ask, suno: Suno, ledger: Ledger, refusal: Exception) -> None:
    suno.script = [CAPTCHA, refusal]
    ask("k", handover=HANDOVER)
    with pytest.raises(type(refusal)):
        ask("k")
    assert find_split(ledger, [("user", "")], "r").entry.state is State.NEEDS_PERSON
    made = person_splits(suno)
    assert ids(ask("k")) == made


def test_a_ledger_that_fails_at_the_wait_is_an_error_and_begins_none(
    ask: Ask, suno: Suno, store: BrokenStore
) -> None:
    suno.script, store.unavailable_at = [CAPTCHA], {2}
    with pytest.raises(CaptchaRequired):
        ask("k", handover=HANDOVER)
    assert suno.paid == 0
