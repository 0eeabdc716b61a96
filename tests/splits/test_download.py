"""Downloads with a fake Suno and a ledger in memory: after an unlock no error says that nothing was charged."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from app.splits.budget import Budget
from app.splits.download import AudioDownload, DownloadAddress
from app.splits.ledger import Ledger
from app.splits.once import Turn
from app.splits.store import LedgerUnavailable, Transaction
from app.suno.clip import Clip
from app.suno.errors import NotAllowed, OutcomeUnknown, SunoError, SunoUnreachable
from app.suno.gateway import UnknownFormat, Unlock
from app.suno.session import Account
from app.timing import Stopping, Timing
from tests.splits.conftest import SteppedClock
from tests.splits.memory_store import MemoryStore

UNREACHABLE = SunoUnreachable("Suno could not be reached. Nothing was charged.")
LOST = OutcomeUnknown("Suno was asked to unlock the song, and no answer came.")


class Store(MemoryStore):
    """A store that can be unavailable."""

    def __init__(self) -> None:
        super().__init__(SteppedClock())

    is_unavailable = False

    def transact(self, change: Callable[[Transaction], Any], *, durable: bool = True) -> Any:
        if self.is_unavailable:
            raise LedgerUnavailable("the disk is full")
        return super().transact(change, durable=durable)


class Suno:
    """A fake of the calls that a download makes."""

    def __init__(self) -> None:
        self.store = Store()
        self.clips: list[Clip | SunoError] = [Clip("song", download_unlocked=False)]
        self.unlocked: Unlock | SunoError = Unlock(counted=True)
        self.failure: SunoError | None = None
        """Raised when the address is requested; None: only the older calls know the format."""
        self.prepares = False
        """Whether it never ends to prepare the file."""
        self.asked: list[float | None] = []
        """For each request for the address, its maximum seconds."""
        self.sent = 0
        """Unlocks that were sent."""

    def clip(self, account: Account, id: str) -> Clip:
        return answered(self.clips.pop(0))

    def unlock(self, account: Account, id: str) -> Unlock:
        self.sent += 1
        return answered(self.unlocked)

    def download_url(self, account: Account, id: str, format: str, *, within: float | None = None) -> str | None:
        self.asked.append(within)
        if self.prepares:
            return None
        raise self.failure or UnknownFormat

    def wav_file(self, account: Account, id: str, *, within: float | None = None) -> None:
        self.store.is_unavailable = True


def answered(answer: Any) -> Any:
    if isinstance(answer, Exception):
        raise answer
    return answer


@pytest.fixture
def suno() -> Suno:
    return Suno()


def address(suno: Suno, **more: Any) -> DownloadAddress:
    return download(suno, **more).address()


def download(suno: Suno, budgets: tuple[Budget, ...] = (), **more: Any) -> AudioDownload:
    gateway: Any = suno
    return AudioDownload(
        account=Account("cookie", "SUNO_COOKIE"),
        account_name="user",
        budgets=budgets,
        clip_id="song",
        format="wav",
        gateway=gateway,
        ledger=Ledger(suno.store),
        timing=Timing(deadline=40.0, wait_timeout=100.0, poll_interval=3.0, settle_time=60.0),
        **{"wait": True, **more},
    )


@pytest.mark.parametrize("failure", [UNREACHABLE, None])
def test_after_a_counted_unlock_the_reply_says_that_it_was_counted(suno: Suno, failure: SunoError | None) -> None:
    suno.failure = failure
    assert address(suno) == DownloadAddress(None, counted=True)


def test_a_refusal_after_a_counted_unlock_says_that_it_was_counted(suno: Suno) -> None:
    suno.failure = NotAllowed("Not in the plan.")
    with pytest.raises(NotAllowed, match=r"Not in the plan\. .* Suno has counted one download"):
        address(suno)


@pytest.mark.parametrize("failure", [UNREACHABLE, NotAllowed("Not in the plan."), None])
def test_a_request_that_was_not_counted_gets_the_error(suno: Suno, failure: SunoError | None) -> None:
    suno.clips, suno.failure = [Clip("song", download_unlocked=True)], failure
    with pytest.raises(type(failure) if failure else LedgerUnavailable):
        address(suno)


def test_a_lost_unlock_that_cannot_be_checked_may_have_been_counted(suno: Suno) -> None:
    suno.clips, suno.unlocked = [Clip("song", download_unlocked=False), UNREACHABLE], LOST
    with pytest.raises(OutcomeUnknown) as raised:
        address(suno)
    assert raised.value is LOST
    assert Ledger(suno.store).turns.begin("unlock", "user", "song", lasts=40).turn is Turn.IN_DOUBT


def test_a_stopping_process_begins_no_unlock_that_might_be_killed(suno: Suno) -> None:
    suno.unlocked = AssertionError("it was sent")  # type: ignore[assignment]
    with pytest.raises(Stopping):
        address(suno, time_left=lambda: 39.9)
    assert Ledger(suno.store).turns.begin("unlock", "user", "song", lasts=1, budgets=()).turn is Turn.OURS


def test_a_stopping_process_needs_no_time_for_a_song_that_is_unlocked(suno: Suno) -> None:
    suno.clips, suno.failure = [Clip("song", download_unlocked=True)], UNREACHABLE
    with pytest.raises(SunoUnreachable):
        address(suno, time_left=lambda: 0.0)


LOCKED, UNLOCKED = Clip("song", download_unlocked=False), Clip("song", download_unlocked=True)


def unlocked_and(suno: Suno, *now: Clip, passed: float) -> bool | None:
    """Unlock the song; later, when Suno lists it like this, unlock it again. Returns what the second one counted."""
    one = download(suno)
    assert one.unlock(LOCKED) is True
    one.ledger.clock.advance(passed)  # type: ignore[attr-defined]
    suno.clips = list(now[1:])
    return one.unlock(now[0])


def test_a_song_that_suno_says_is_locked_is_unlocked_again(suno: Suno, caplog: pytest.LogCaptureFixture) -> None:
    assert unlocked_and(suno, LOCKED, LOCKED, passed=61) is True
    assert suno.sent == 2
    assert "it is unlocked again" in caplog.text


def test_a_second_unlock_is_counted_only_if_suno_counts_it(suno: Suno) -> None:
    one = download(suno)
    assert one.unlock(LOCKED) is True
    one.ledger.clock.advance(61)  # type: ignore[attr-defined]
    suno.clips, suno.unlocked = [LOCKED], Unlock(counted=False)
    assert one.unlock(LOCKED) is False
    assert suno.sent == 2


@pytest.mark.parametrize(
    ("clips", "passed"),
    [
        ([LOCKED], 60),
        ([LOCKED, UNLOCKED], 61),
        ([Clip("song")], 1000),
        ([LOCKED, Clip("song")], 1000),
    ],
)
def test_the_ledger_is_believed_if_suno_may_be_late_or_does_not_say(
    suno: Suno, clips: list[Clip], passed: float
) -> None:
    assert unlocked_and(suno, *clips, passed=passed) is False
    assert suno.sent == 1


def test_a_lost_unlock_of_a_clip_that_does_not_say_whether_it_is_locked_counts(suno: Suno) -> None:
    budget = Budget("caller n8n", "downloads:caller:n8n", "downloads", 2, 30)
    one = download(suno, budgets=(budget,))
    silent = Clip("song")
    suno.clips, suno.unlocked = [silent] * 2, LOST
    with pytest.raises(OutcomeUnknown):
        one.unlock(silent)
    one.ledger.clock.advance(1000)  # type: ignore[attr-defined]
    suno.unlocked = Unlock(counted=False)
    assert one.unlock(silent) is False
    assert (suno.sent, one.ledger.left(budget).amount) == (2, 1)


def test_the_whole_wait_for_an_address_ends_in_time(suno: Suno, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0

    def pass_time(seconds: float) -> None:
        nonlocal now
        now += seconds

    monkeypatch.setattr("time.monotonic", lambda: now)
    monkeypatch.setattr("time.sleep", pass_time)
    suno.clips, suno.prepares = [Clip("song", download_unlocked=True)], True
    assert address(suno) == DownloadAddress(None, counted=False)
    assert suno.asked[0] == 100
    assert 98 < now <= 100, "the next request could not be answered in time"
    assert len(suno.asked) > 30
    assert all(within and 1 <= within <= 100 for within in suno.asked)


def test_a_request_that_does_not_wait_has_suno_s_whole_deadline(suno: Suno) -> None:
    suno.clips, suno.prepares = [Clip("song", download_unlocked=True)], True
    assert address(suno, wait=False) == DownloadAddress(None, counted=False)
    assert suno.asked == [None]
