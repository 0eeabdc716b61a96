"""The job of one file: its steps, and how many run at once."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gevent
import pytest
from urllib3 import HTTPHeaderDict

from app.accounts import AccountNames, Accounts
from app.audio.fetch import Fetcher, FetchFailed
from app.audio.files import Details, folder_of
from app.audio.folder import FolderStore
from app.audio.shelf import Shelf
from app.audio.store import AudioUnavailable, FileStore
from app.audio.which_store import open_store
from app.callers import DEFAULT_ACCOUNT, Caller, OperatorAccount
from app.jobs import fetch as jobs
from app.jobs.fetch import FileJobs
from app.jobs.file_status import begin, id_of, job_id, read_job
from app.jobs.job import FileJob, FileState, Next, Outcome, write_file
from app.jobs.runner import CLAIM_SECONDS
from app.jobs.wanted_files import WantedFiles
from app.splits.budget import Budget, OverBudget
from app.splits.jobs import NewJob
from app.splits.ledger import Ledger
from app.splits.store import LedgerUnavailable
from app.suno.answer import Answer
from app.suno.call import CallKind
from app.suno.clip import Clip
from app.suno.errors import NotAllowed, OutcomeUnknown, RateLimited, SessionExpired, SunoError, SunoUnreachable
from app.suno.gateway import Unlock
from app.suno.session import Account, User
from app.timing import Timing
from tests.audio.conftest import wav
from tests.jobs.fakes import World
from tests.splits.conftest import SteppedClock, entry
from tests.splits.memory_store import MemoryStore

SOUND = wav()
TIMING = Timing(deadline=1, wait_timeout=1, poll_interval=2, settle_time=0)


class Gateway:
    """An in-process Suno that records its calls."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.clips = Clip("clip", status="complete", download_unlocked=False)
        self.unlocked: Unlock | SunoError = Unlock(counted=True)
        self.urls: list[str | None] = ["https://storage.example.com/x"]
        self.failure: SunoError | None = None

    def known_user(self, account: Any) -> User:
        return User("user", "")

    def clip(self, account: Any, id: str) -> Clip:
        self.calls.append("clip")
        return self.clips

    def unlock(self, account: Any, id: str) -> Unlock:
        self.calls.append("unlock")
        if isinstance(self.unlocked, SunoError):
            raise self.unlocked
        return self.unlocked

    def download_url(self, account: Any, id: str, format: str, *, within: float | None = None) -> str | None:
        self.calls.append("url")
        if self.failure:
            raise self.failure
        return self.urls.pop(0) if len(self.urls) > 1 else self.urls[0]


class Harness:
    """File jobs with a fake gateway, a ledger in memory, and a clock that a test advances."""

    def __init__(
        self,
        folder: Path,
        at_once: int = 4,
        store: FileStore | None = None,
        ledger: Ledger | None = None,
        limit: int = 10**9,
    ) -> None:
        self.gateway, self.ledger = Gateway(), ledger or Ledger(MemoryStore(SteppedClock()))
        self.clock: Any = self.ledger.clock
        self.shelf = Shelf(store or open_store(str(folder)), limit=limit, kept_for=0)
        self.queued: list[str] = []
        gateway: Any = self.gateway
        self.parts: Any = SimpleNamespace(
            settings=SimpleNamespace(timing=TIMING, audio_fetches=at_once),
            gateway=gateway,
            ledger=self.ledger,
            shelf=self.shelf,
            fetcher=Fetcher(loopback_too=False),
            accounts=Accounts({DEFAULT_ACCOUNT: OperatorAccount(DEFAULT_ACCOUNT, "cookie")}),
            names=AccountNames(gateway, self.ledger),
            queue=SimpleNamespace(put=self.queued.append),
        )
        self.jobs = FileJobs(self.parts, is_stopping=lambda: False)  # type: ignore[arg-type]

    def new_job(
        self, id: str = "clip", *, account: str = DEFAULT_ACCOUNT, waiting: str = "", budget: Budget | None = None
    ) -> str:
        """Begin a file's job. Returns its id."""
        new = FileJob(
            state=FileState.FETCHING,
            account=account,
            owner="user",
            details=Details(id, id, "Song", None, None, None, None, None),
            format="wav",
            began=self.ledger.clock.now(),
            budget=budget,
        )
        begin(self.ledger, new, waiting=waiting)
        return id_of(new)

    def order(self, *ids: str, downloads: int | None = None) -> list[str]:
        """Request files by their ids, as one caller. Returns the status of each."""
        order = WantedFiles(
            account=Account("cookie", "SUNO_COOKIE", DEFAULT_ACCOUNT),
            account_names=("user",),
            caller=Caller("n8n", downloads_per_month=downloads),
            format="wav",
            parts=self.parts,
        )
        details = [Details(id, id, "Song", None, None, None, None, None) for id in ids]
        return [file.status for file in order.begin(details)]

    def job(self, id: str) -> FileJob | None:
        return read_job(self.ledger, job_id(folder_of("user"), id, "wav"))

    def step(self, id: str) -> Next[FileJob]:
        """Do one step, as the jobs process does it."""
        claimed = self.ledger.jobs.claim(id, CLAIM_SECONDS)
        assert claimed
        done = self.jobs.step(id, claimed)
        self.ledger.jobs.release(id, claimed, write_file(done.job), done.due_in, outcome=done.outcome or "")
        return done

    def run(self, id: str, most: int = 1000) -> tuple[Next[FileJob], int]:
        """Do step after step when each is due, until the job has ended. Returns the last one, and their number."""
        for number in range(1, most + 1):
            done = self.step(id)
            if done.due_in is None:
                return done, number
            self.clock.advance(done.due_in)
        raise AssertionError(f"it has not ended after {most} steps")


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses of all fetches. Every fetch succeeds."""
    addresses: list[str] = []

    def fetch(self: Fetcher, address: Callable[[], str], file: Path, *, note_total: Any, **more: Any) -> int:
        addresses.append(address())
        note_total(len(SOUND))
        file.write_bytes(SOUND)
        return len(SOUND)

    monkeypatch.setattr(Fetcher, "fetch", fetch)
    return addresses


def test_a_file_is_unlocked_fetched_and_kept_then_wakes_its_split(tmp_path: Path, fetched: list[str]) -> None:
    harness = Harness(tmp_path)
    harness.gateway.urls = [None, "https://storage.example.com/x"]
    split = harness.ledger.begin(entry(harness.ledger), job=NewJob("{}"))
    id = harness.new_job(waiting=split.id)
    first = harness.step(id)
    assert (first.job.state, first.job.unlocked, first.due_in, first.outcome) == ("fetching", True, 2, None)
    assert harness.ledger.jobs.due(10) == []
    second = harness.step(id)
    assert (second.job.state, second.job.bytes, second.due_in) == ("kept", len(SOUND), None)
    assert second.outcome is Outcome.FILE_KEPT
    assert harness.gateway.calls == ["clip", "unlock", "url", "clip", "url"]
    assert harness.ledger.jobs.due(10) == [split.id]
    assert harness.shelf.stat((folder_of("user"),), "clip", "wav")
    assert harness.step(id) == Next(second.job, None), "a duplicate in the queue"


def test_a_kept_file_is_not_requested_again(tmp_path: Path, fetched: list[str]) -> None:
    harness = Harness(tmp_path)
    assert harness.step(harness.new_job()).job.state == "kept"
    harness.gateway.calls.clear()
    assert harness.step(harness.new_job()).job.state == "kept"
    assert (harness.gateway.calls, len(fetched)) == ([], 1)


def test_a_job_waits_until_its_clip_is_complete(tmp_path: Path) -> None:
    harness = Harness(tmp_path)
    harness.gateway.clips = Clip("clip", status="streaming")
    first = harness.step(id := harness.new_job())
    assert (first.job.state, first.due_in, harness.gateway.calls) == ("fetching", 2, ["clip"])
    harness.gateway.clips = Clip("clip", status="error")
    assert harness.step(id).job.error == "Suno could not make this clip."


@pytest.mark.parametrize(
    ("error", "state", "due_in"),
    [
        (NotAllowed("No."), "failed", None),
        (RateLimited("Later.", retry_after=30), "fetching", 30),
        (RateLimited("Much later.", retry_after=600), "fetching", 600),
        (OutcomeUnknown("Lost."), "fetching", 2),
    ],
)
def test_permanent_refusals_fail_and_other_errors_are_retried(
    tmp_path: Path, error: SunoError, state: str, due_in: float | None
) -> None:
    harness = Harness(tmp_path)
    harness.gateway.unlocked = error
    done = harness.step(harness.new_job())
    assert (done.job.state, done.due_in) == (state, due_in)
    assert done.outcome == (Outcome.FILE_FAILED if state == "failed" else None)


def test_retries_back_off_and_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    harness = Harness(tmp_path)

    def fetch(*about: Any, **more: Any) -> int:
        raise FetchFailed("it broke off")

    monkeypatch.setattr(Fetcher, "fetch", fetch)
    id, delays = harness.new_job(), []
    for _ in range(10):
        delays.append(harness.step(id).due_in)
        harness.clock.advance(delays[-1] or 0)
    assert delays == [2, 4, 8, 16, 32, 64, 128, 256, 400, 400]
    done, _ = harness.run(id)
    assert (done.job.state, done.outcome, "it broke off" in (done.job.error or "")) == ("failed", "file_failed", True)
    assert (
        jobs.MAX_TRY_SECONDS < harness.clock.seconds - 1000 < jobs.MAX_TRY_SECONDS + 2 * jobs.MAX_STEP_PAUSE_SECONDS
    )
    assert harness.gateway.calls.count("unlock") == 1


def test_a_file_that_stays_cut_short_fails_after_a_few_tries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    harness = Harness(tmp_path)

    def fetch(*about: Any, **more: Any) -> int:
        raise FetchFailed("it is cut short", most_tries=3)

    monkeypatch.setattr(Fetcher, "fetch", fetch)
    id = harness.new_job()
    states = [harness.step(id).job.state for _ in range(3)]
    assert states == ["fetching", "fetching", "failed"]


def test_a_removed_account_fetches_nothing(tmp_path: Path, fetched: list[str]) -> None:
    harness = Harness(tmp_path)
    done, _ = harness.run(harness.new_job("a", account="studio"))
    assert (done.job.code, "on SIGHUP" in (done.job.error or "")) == ("account", True)
    assert (fetched, harness.gateway.calls) == ([], [])


def test_a_job_waits_for_an_account_that_the_process_does_not_know_yet(tmp_path: Path, fetched: list[str]) -> None:
    harness = Harness(tmp_path)
    first = harness.step(id := harness.new_job("a", account="studio"))
    assert (first.job.state, first.due_in) == ("fetching", 2)
    harness.parts.accounts = Accounts({"studio": OperatorAccount("studio", "cookie")})
    assert harness.step(id).job.state == "kept"


def test_an_unlock_uses_the_callers_budget(tmp_path: Path, fetched: list[str]) -> None:
    harness, budget = Harness(tmp_path), Budget("caller n8n", "downloads:caller:n8n", "downloads", 1, 30)
    ids = [harness.new_job(id, budget=budget) for id in ("one", "two")]
    assert [harness.step(id).job.code for id in ids] == [None, "over_budget"]
    assert (harness.ledger.left(budget).amount, harness.gateway.calls.count("unlock")) == (0, 1)


def test_a_failure_is_reported_once_and_then_retried(tmp_path: Path) -> None:
    harness = Harness(tmp_path)
    harness.gateway.unlocked = NotAllowed("No.")
    failed = harness.step(harness.new_job()).job
    new = replace(failed, state=FileState.FETCHING)
    assert [begin(harness.ledger, new, tell=True).state for _ in range(3)] == ["failed", "fetching", "fetching"]


def test_concurrent_fetches_are_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    harness, running, most = Harness(tmp_path, at_once=2), [], []

    def fetch(self: Fetcher, address: Callable[[], str], file: Path, **more: Any) -> int:
        running.append(file)
        most.append(len(running))
        gevent.sleep(0.01)
        file.write_bytes(SOUND)
        running.remove(file)
        return len(SOUND)

    monkeypatch.setattr(Fetcher, "fetch", fetch)
    every = [gevent.spawn(harness.step, harness.new_job(f"clip-{number}")) for number in range(6)]
    gevent.joinall(every, raise_error=True)
    assert [each.value.job.state for each in every] == ["kept"] * 6
    assert max(most) == 2


def test_a_job_cannot_be_claimed_while_its_file_is_stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[Any] = []
    monkeypatch.setattr(jobs, "MIN_STORE_BYTES_PER_SECOND", len(SOUND) / 100)

    class SlowStore(FolderStore):
        def put(self, name: str, file: Path) -> None:
            harness.clock.advance(30)
            taken.append(harness.ledger.jobs.claim(id, CLAIM_SECONDS))
            super().put(name, file)

    def fetch(self: Fetcher, address: Callable[[], str], file: Path, **more: Any) -> int:
        file.write_bytes(SOUND)
        return len(SOUND)

    monkeypatch.setattr(Fetcher, "fetch", fetch)
    harness = Harness(tmp_path, store=SlowStore(tmp_path))
    id = harness.new_job()
    # The file, its details, CRC, waveform, facts and trace.
    assert (harness.step(id).job.state, taken) == ("kept", [None] * 6)


def test_nothing_is_unlocked_for_a_file_that_is_certainly_too_large(tmp_path: Path, fetched: list[str]) -> None:
    world = World(tmp_path, limit=10_000_000)
    world.split("a", audio=True)
    world.run(60)
    [file] = world.receiver.last["files"]
    assert (file["status"], "AUDIO_LIMIT allows 10,000,000" in file["error"]) == ("failed", True)
    assert (world.suno.unlocked, fetched) == ([], [])


class BrokenStore(FolderStore):
    """A store that cannot be written while `why` is set. `check` does not notice if `passes_check`."""

    why = "it is full of sand"
    passes_check = True

    def check(self) -> None:
        if self.why and not self.passes_check:
            raise AudioUnavailable(self.why)

    def put(self, name: str, file: Path) -> None:
        if self.why and name.endswith(".wav"):
            raise AudioUnavailable(self.why)
        super().put(name, file)


def test_a_file_that_cannot_be_stored_waits_and_is_not_fetched_again(tmp_path: Path, fetched: list[str]) -> None:
    store = BrokenStore(tmp_path)
    harness = Harness(tmp_path, store=store)
    id = harness.new_job()
    for _ in range(3):
        tried = harness.step(id)
        assert tried.due_in
        assert "being tried again: The kept audio cannot be used now: it is full of sand" in str(tried.job.error)
    calls = list(harness.gateway.calls)
    store.why = ""
    job = harness.step(id).job
    assert (job.state, job.bytes, job.error) == ("kept", len(SOUND), None)
    assert (len(fetched), harness.gateway.calls, list(store.spool.iterdir())) == (1, calls, [])


def test_a_file_is_on_the_disk_before_it_counts_as_fetched(
    tmp_path: Path, fetched: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    monkeypatch.setattr("os.fsync", lambda file: synced.append(os.fstat(file).st_ino))
    harness = Harness(tmp_path, store=BrokenStore(tmp_path))
    harness.step(harness.new_job())
    file = harness.shelf.fetched_file(folder_of("user"), "clip", "wav")
    assert (file.stat().st_ino in synced, len(fetched)) == (True, 1)


def test_a_broken_file_in_the_spool_is_fetched_again(tmp_path: Path, fetched: list[str]) -> None:
    harness = Harness(tmp_path)
    harness.shelf.fetched_file(folder_of("user"), "clip", "wav").write_bytes(SOUND[:-100])
    assert harness.step(harness.new_job()).job.state == "kept"
    opened = harness.shelf.open((folder_of("user"),), "clip", "wav")
    assert opened and (b"".join(opened.chunks(0, opened.stored.size)), len(fetched)) == (SOUND, 1)
    opened.close()


def test_nothing_is_unlocked_or_fetched_for_a_store_that_cannot_be_written(
    tmp_path: Path, fetched: list[str]
) -> None:
    store = BrokenStore(tmp_path)
    store.passes_check = False
    harness = Harness(tmp_path, store=store)
    tried = harness.step(harness.new_job())
    assert (tried.job.state, tried.due_in, "sand" in str(tried.job.error)) == ("fetching", 2, True)
    assert "charged" not in str(tried.job.error), "the split was"
    assert (harness.gateway.calls, fetched) == (["clip"], [])


@pytest.mark.parametrize(
    "answer",
    [
        Answer(500, HTTPHeaderDict(), b"{}"),
        Answer(429, HTTPHeaderDict(), b"{}"),
        Answer(422, HTTPHeaderDict(), b'{"detail": "Unknown format."}'),
        Answer(502, HTTPHeaderDict({"Content-Type": "text/html"}), b""),
        SunoUnreachable("Suno was asked, but it did not answer in time. Nothing was charged; try again later."),
        SessionExpired("Suno no longer accepts the cookie given by SUNO_COOKIE."),
    ],
    ids=lambda answer: str(getattr(answer, "status", None) or type(answer).__name__),
)
def test_a_file_that_failed_after_its_unlock_does_not_say_that_nothing_was_charged(
    tmp_path: Path, answer: Answer | SunoError
) -> None:
    harness = Harness(tmp_path)
    error = answer.failure(CallKind.CLIP) if isinstance(answer, Answer) else answer
    harness.gateway.failure = error
    job = harness.step(harness.new_job()).job
    assert harness.gateway.calls == ["clip", "unlock", "url"]
    assert job.error and "charged" not in job.error
    assert error.said in job.error


def test_a_file_over_its_budget_does_not_say_that_nothing_was_charged(tmp_path: Path) -> None:
    harness = Harness(tmp_path)
    job = harness.step(harness.new_job(budget=Budget("caller n8n", "downloads:n8n", "downloads", 0, 30))).job
    assert "this counts as 1. The whole budget is less than that" in str(job.error)


def test_an_error_after_a_counted_download_is_raised_by_the_next_request(tmp_path: Path, fetched: list[str]) -> None:
    harness = Harness(tmp_path)
    assert harness.order("one", "two", "three", downloads=1) == ["fetching"] * 3
    assert harness.gateway.calls == ["clip", "unlock", "clip"], "after a failure no other song is tried"
    ids = [job_id(folder_of("user"), id, "wav") for id in ("one", "two", "three")]
    assert [harness.step(id).job.code for id in ids] == [None, "over_budget", "over_budget"]
    with pytest.raises(OverBudget, match="Nothing was charged"):
        harness.order("one", "two", downloads=1)
    assert harness.gateway.calls.count("unlock") == 1


def test_an_error_before_any_counted_download_is_raised(tmp_path: Path) -> None:
    harness = Harness(tmp_path)
    harness.gateway.unlocked = NotAllowed("No.")
    with pytest.raises(NotAllowed):
        harness.order("one", "two")
    assert (harness.job("one"), harness.job("two"), harness.queued) == (None, None, [])


def test_a_ledger_failure_after_a_counted_download_names_the_song(tmp_path: Path) -> None:
    harness = Harness(tmp_path)

    class Broken(MemoryStore):
        def transact(self, change: Callable[[Any], Any], *, durable: bool = True) -> Any:
            if "unlock" in harness.gateway.calls:
                raise LedgerUnavailable("the disk is full")
            return super().transact(change, durable=durable)

    harness.parts.ledger = Ledger(Broken())
    with pytest.raises(LedgerUnavailable) as raised:
        harness.order("one", "two")
    assert str(raised.value).endswith(
        "the disk is full. Suno has counted a download for each of these songs: one. Send this again: they are not "
        "counted again."
    )


class Away(MemoryStore):
    """A ledger that a test can take away."""

    is_away = False

    def transact(self, change: Callable[[Any], Any], *, durable: bool = True) -> Any:
        if self.is_away:
            raise LedgerUnavailable("it is away")
        return super().transact(change, durable=durable)


def test_fetch_slots_come_back_whatever_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Away(SteppedClock())
    harness = Harness(tmp_path, at_once=2, ledger=Ledger(store))

    def fetch(
        self: Fetcher, address: Callable[[], str], file: Path, *, note_total: Any, note_progress: Any, **more: Any
    ) -> int:
        store.is_away = True
        note_total(len(SOUND))
        raise AssertionError("not reached")

    monkeypatch.setattr(Fetcher, "fetch", fetch)
    for number in range(5):
        store.is_away = False
        with pytest.raises(LedgerUnavailable):
            harness.step(harness.new_job(f"clip-{number}"))
    assert harness.jobs.free_slots == 2


def test_a_ledger_that_is_away_before_the_fetch_costs_no_slot(tmp_path: Path, fetched: list[str]) -> None:
    store = Away(SteppedClock())
    harness = Harness(tmp_path, at_once=1, ledger=Ledger(store))

    def url(*about: Any, **how: Any) -> str:
        store.is_away = len(fetched) == 0
        return "https://storage.example.com/x"

    harness.parts.gateway.download_url = url
    with pytest.raises(LedgerUnavailable):
        harness.step(id := harness.new_job())
    assert harness.jobs.free_slots == 1
    store.is_away = False
    fetched.append("")
    harness.clock.advance(CLAIM_SECONDS)
    assert harness.step(id).job.state == "kept"


def test_a_spool_that_is_away_costs_no_slot(tmp_path: Path, fetched: list[str]) -> None:
    harness = Harness(tmp_path, at_once=1)
    (tmp_path / ".fetching").write_text("no folder")
    first = harness.step(id := harness.new_job())
    assert (first.job.state, first.due_in, harness.jobs.free_slots) == ("fetching", 2, 1)
    (tmp_path / ".fetching").unlink()
    assert harness.step(id).job.state == "kept"


@pytest.mark.parametrize("cause", ["clip", "file", "unlock"])
def test_a_file_that_suno_never_finishes_ends_after_an_hour(tmp_path: Path, cause: str) -> None:
    harness = Harness(tmp_path)
    if cause == "clip":
        harness.gateway.clips = Clip("clip", status="streaming")
    elif cause == "file":
        harness.gateway.urls = [None]
    else:
        # Another request unlocks the song, again and again.
        harness.ledger.turns.begin("unlock", "user", "clip", lasts=10**6)
    done, steps = harness.run(harness.new_job())
    assert (done.job.state, done.job.code) == ("failed", "suno")
    assert (
        jobs.MAX_TRY_SECONDS < harness.clock.seconds - 1000 < jobs.MAX_TRY_SECONDS + 2 * jobs.MAX_STEP_PAUSE_SECONDS
    )
    assert steps < 60


def test_time_in_which_no_process_works_is_not_held_against_a_file(tmp_path: Path, fetched: list[str]) -> None:
    harness = Harness(tmp_path)
    harness.gateway.urls = [None, "https://storage.example.com/x"]
    assert harness.step(id := harness.new_job()).job.state == "fetching"
    harness.clock.advance(5 * 3600)
    assert harness.step(id).job.state == "kept"


def test_a_clock_set_forward_fails_no_file(tmp_path: Path, fetched: list[str]) -> None:
    harness = Harness(tmp_path)
    harness.gateway.urls = [None, None, "https://storage.example.com/x"]
    harness.step(id := harness.new_job())
    harness.clock.step_wall(2 * 3600)
    assert harness.step(id).job.state == "fetching"
    assert harness.step(id).job.state == "kept"


def test_suno_that_cannot_be_read_for_days_fails_no_file(tmp_path: Path, fetched: list[str]) -> None:
    harness = Harness(tmp_path)
    harness.gateway.unlocked = SunoUnreachable("Suno cannot be reached.")
    id, steps = harness.new_job(), 0
    while harness.clock.seconds < 1000 + 5 * 86_400:
        done = harness.step(id)
        assert done.job.state == "fetching"
        harness.clock.advance(done.due_in or 0)
        steps += 1
    assert steps <= 5 * 24 * 10
    harness.gateway.unlocked = Unlock(counted=True)
    assert harness.step(id).job.state == "kept"


def test_sunos_pause_for_a_free_call_is_honoured_up_to_two_minutes(tmp_path: Path) -> None:
    harness = Harness(tmp_path)
    harness.gateway.urls = []
    assert harness.gateway.clips.download_unlocked is False

    def limited(*about: Any, **how: Any) -> str:
        raise RateLimited("Later.", retry_after=3600)

    harness.parts.gateway.download_url = limited
    assert harness.step(harness.new_job()).due_in == 120


def test_a_lack_of_room_that_may_pass_is_waited_for(tmp_path: Path, fetched: list[str]) -> None:
    harness = Harness(tmp_path, limit=len(SOUND) + 10)
    assert harness.step(harness.new_job("one")).job.state == "kept"
    with (tmp_path / folder_of("user") / "one.wav").open() as being_sent:
        fcntl.flock(being_sent, fcntl.LOCK_SH)
        waiting = harness.step(two := harness.new_job("two"))
        assert (waiting.job.state, waiting.due_in) == ("fetching", 2)
    assert harness.step(two).job.state == "kept"
    assert harness.shelf.stat((folder_of("user"),), "one", "wav") is None


def test_a_lack_of_room_that_does_not_pass_fails_after_an_hour(tmp_path: Path, fetched: list[str]) -> None:
    harness = Harness(tmp_path, limit=len(SOUND) + 10)
    assert harness.step(harness.new_job("one")).job.state == "kept"
    with (tmp_path / folder_of("user") / "one.wav").open() as being_sent:
        fcntl.flock(being_sent, fcntl.LOCK_SH)
        done, _ = harness.run(harness.new_job("two"))
    assert (done.job.state, done.job.code) == ("failed", "audio_full")


def test_a_file_of_an_unfinished_split_is_not_removed(tmp_path: Path, fetched: list[str]) -> None:
    world = World(tmp_path, limit=250)
    world.suno.seconds = None
    world.split("a", "b", audio=True)
    world.step_all()
    world.step_all()
    world.step_all()
    other = world.split("c", audio=True)
    world.run(60)
    [first, second] = [event["data"]["files"] for _, event in world.receiver.received]
    assert [file["status"] for file in first] == ["kept", "kept"]
    assert [file["status"] for file in second] == ["kept"]
    assert world.job(other).state == "delivered"


def test_a_split_larger_than_the_limit_keeps_what_fits_and_tells_the_truth(tmp_path: Path) -> None:
    world = World(tmp_path, limit=450)
    world.suno.seconds = None
    world.split(*[f"part{number}" for number in range(12)], audio=True)
    world.run(600)
    files = world.receiver.last["files"]
    there = {file.name for file in tmp_path.glob("*/*.wav")}
    assert [f"{file['id']}.wav" in there for file in files] == [file["status"] == "kept" for file in files]
    assert sorted(file["status"] for file in files) == ["failed"] * 8 + ["kept"] * 4
    assert {file["error"] for file in files if file["error"]} == {
        "The files of this split alone are more than AUDIO_LIMIT allows."
    }
