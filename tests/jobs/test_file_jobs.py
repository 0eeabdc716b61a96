"""The job of one file: its steps, and how many run at once."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gevent
import pytest

from app.accounts import AccountNames, Accounts
from app.audio.fetch import Fetcher, FetchFailed
from app.audio.files import Details, folder_of
from app.audio.folder import FolderStore
from app.audio.shelf import Shelf
from app.audio.store import Store, open_store
from app.callers import DEFAULT, Caller, OperatorAccount
from app.jobs import fetch as jobs
from app.jobs.fetch import FileJobs
from app.jobs.file import begin, id_of, job_id, new_file
from app.jobs.order import Order
from app.splits.budget import Budget, OverBudget
from app.splits.ledger import Ledger
from app.splits.store import LedgerUnavailable, MemoryStore
from app.suno.clip import Clip
from app.suno.errors import NotAllowed, OutcomeUnknown, RateLimited, SunoError
from app.suno.gateway import Unlock
from app.suno.session import Account
from app.timing import Timing
from tests.audio.conftest import wav

SOUND = wav()
CLAIM = 45.0  # as in app/jobs/__main__.py, which monkey-patches on import
TIMING = Timing(deadline=1, wait_timeout=1, poll_interval=2, settle_time=0)


class Gateway:
    """An in-process Suno that records its calls."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.clips = Clip("clip", status="complete", download_unlocked=False)
        self.unlocked: Unlock | SunoError = Unlock(counted=True)
        self.urls: list[str | None] = ["https://storage.example.com/x"]

    def known_user(self, account: Any) -> str:
        return "user"

    def clip(self, account: Any, id: str) -> Clip:
        self.calls.append("clip")
        return self.clips

    def unlock(self, account: Any, id: str) -> Unlock:
        self.calls.append("unlock")
        if isinstance(self.unlocked, SunoError):
            raise self.unlocked
        return self.unlocked

    def download_url(self, account: Any, id: str, format: str) -> str | None:
        self.calls.append("url")
        return self.urls.pop(0) if len(self.urls) > 1 else self.urls[0]


class Harness:
    """File jobs with a fake gateway and a ledger in memory."""

    def __init__(self, folder: Path, at_once: int = 4, store: Store | None = None) -> None:
        self.gateway, self.ledger = Gateway(), Ledger(MemoryStore())
        self.shelf = Shelf(store or open_store(str(folder)), limit=10**9, kept_for=0)
        self.woken: list[str] = []
        gateway: Any = self.gateway
        self.parts: Any = SimpleNamespace(
            settings=SimpleNamespace(timing=TIMING, audio_fetches=at_once),
            gateway=gateway,
            ledger=self.ledger,
            shelf=self.shelf,
            fetcher=Fetcher(loopback_too=False),
            accounts=Accounts({DEFAULT: OperatorAccount(DEFAULT, "cookie")}),
            names=AccountNames(gateway, self.ledger),
            queue=SimpleNamespace(put=self.woken.append),
        )
        self.jobs = FileJobs(self.parts, is_stopping=lambda: False)

    def new_job(self, id: str = "clip", *, account: str = DEFAULT, waiting: str = "") -> dict[str, Any]:
        details = Details(id, id, "Song", None, None, None, None, None)
        new = new_file(account=account, owner="user", budget=None, details=details, format="wav")
        return begin(self.ledger, new, waiting=waiting)

    def order(self, *ids: str, downloads: int | None = None) -> list[str]:
        """Request files by their ids, as one caller. Returns the status of each."""
        order = Order(
            account=Account("cookie", "SUNO_COOKIE", DEFAULT),
            account_names=("user",),
            caller=Caller("n8n", downloads_per_month=downloads),
            format="wav",
            parts=self.parts,
        )
        details = [Details(id, id, "Song", None, None, None, None, None) for id in ids]
        return [file["status"] for file in order.begin(details)]

    def job(self, id: str) -> dict[str, Any]:
        return self.ledger.jobs.get(job_id(folder_of("user"), id, "wav"))

    def step(self, job: dict[str, Any]) -> tuple[dict[str, Any], float | None, str]:
        return self.jobs.step(id_of(job), job)


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
    job, due_in, outcome = harness.step(harness.new_job(waiting="split"))
    assert (job["state"], job["unlocked"], due_in, outcome) == ("fetching", True, 2, "")
    job, due_in, outcome = harness.step(job)
    assert (job["state"], job["bytes"], due_in, outcome) == ("kept", len(SOUND), None, "file_kept")
    assert harness.gateway.calls == ["clip", "unlock", "url", "clip", "url"]
    assert harness.woken == ["split"]
    assert harness.shelf.stat((folder_of("user"),), "clip", "wav")
    assert harness.step(job) == (job, None, ""), "a duplicate in the queue"


def test_a_kept_file_is_not_requested_again(tmp_path: Path, fetched: list[str]) -> None:
    harness = Harness(tmp_path)
    job = harness.step(harness.new_job())[0]
    assert job["state"] == "kept"
    harness.gateway.calls.clear()
    assert harness.step(harness.new_job())[0]["state"] == "kept"
    assert (harness.gateway.calls, len(fetched)) == ([], 1)


def test_a_job_waits_until_its_clip_is_complete(tmp_path: Path) -> None:
    harness = Harness(tmp_path)
    harness.gateway.clips = Clip("clip", status="streaming")
    job, due_in, _ = harness.step(harness.new_job())
    assert (job["state"], due_in, harness.gateway.calls) == ("fetching", 2, ["clip"])
    harness.gateway.clips = Clip("clip", status="error")
    assert harness.step(job)[0]["error"] == "Suno could not make this clip."


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
    job, due, outcome = harness.step(harness.new_job(waiting="split"))
    assert (job["state"], due, outcome) == (state, due_in, "file_failed" if state == "failed" else "")
    assert harness.woken == (["split"] if state == "failed" else [])


def test_retries_back_off_and_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    harness = Harness(tmp_path)

    def fetch(*about: Any, **more: Any) -> int:
        raise FetchFailed("it broke off")

    monkeypatch.setattr(Fetcher, "fetch", fetch)
    job, delays = harness.new_job(), []
    for _ in range(7):
        job, due_in, _ = harness.step(job)
        delays.append(due_in)
    assert delays == [2, 4, 8, 16, 32, 60, 60]
    job = job | {"began": time.time() - jobs.TRIED_FOR - 1}
    job, due_in, outcome = harness.step(job)
    assert (job["state"], due_in, outcome, "it broke off" in job["error"]) == ("failed", None, "file_failed", True)
    assert harness.gateway.calls.count("unlock") == 1


def test_a_file_that_stays_cut_short_fails_after_a_few_tries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    harness = Harness(tmp_path)

    def fetch(*about: Any, **more: Any) -> int:
        raise FetchFailed("it is cut short", most_tries=3)

    monkeypatch.setattr(Fetcher, "fetch", fetch)
    job, states = harness.new_job(), []
    for _ in range(3):
        job, _, _ = harness.step(job)
        states.append(job["state"])
    assert states == ["fetching", "fetching", "failed"]


def test_a_removed_account_fetches_nothing(tmp_path: Path, fetched: list[str]) -> None:
    harness = Harness(tmp_path)
    assert "no longer" in harness.step(harness.new_job("a", account="studio"))[0]["error"]
    assert (fetched, harness.gateway.calls) == ([], [])


def test_an_unlock_uses_the_callers_budget(tmp_path: Path, fetched: list[str]) -> None:
    harness, budget = Harness(tmp_path), Budget("caller n8n", "downloads:caller:n8n", "downloads", 1, 30)
    # As every version since 1.0.0 has stored it.
    stored = {"whose": "caller n8n", "name": budget.name, "unit": "downloads", "limit": 1, "days": 30}
    jobs = [harness.new_job(id) | {"budget": stored} for id in ("one", "two")]
    assert [harness.step(job)[0]["code"] for job in jobs] == [None, "over_budget"]
    assert (harness.ledger.left(budget).amount, harness.gateway.calls.count("unlock")) == (0, 1)


def test_a_failure_is_reported_once_and_then_retried(tmp_path: Path) -> None:
    harness = Harness(tmp_path)
    harness.gateway.unlocked = NotAllowed("No.")
    job = harness.new_job()
    harness.ledger.jobs.release(id_of(job), harness.step(job)[0], None)
    new = new_file(account=DEFAULT, owner="user", budget=None, details=Details.read(job["details"]), format="wav")
    assert [begin(harness.ledger, new, tell=True)["state"] for _ in range(3)] == ["failed", "fetching", "fetching"]


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
    assert [each.value[0]["state"] for each in every] == ["kept"] * 6
    assert max(most) == 2


def test_a_job_cannot_be_claimed_while_its_file_is_stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    size, taken = 100_000_000, []

    class SlowStore(FolderStore):
        def put(self, name: str, file: Path) -> None:
            taken.append(harness.ledger.jobs.claim(id_of(job), CLAIM))
            super().put(name, file)

    def fetch(self: Fetcher, address: Callable[[], str], file: Path, **more: Any) -> int:
        file.write_bytes(SOUND)
        return size

    monkeypatch.setattr(Fetcher, "fetch", fetch)
    harness = Harness(tmp_path, store=SlowStore(tmp_path))
    job = harness.ledger.jobs.claim(id_of(harness.new_job()), CLAIM)
    assert (harness.step(job)[0]["state"], any(taken)) == ("kept", False)


def test_an_error_after_a_counted_download_is_raised_by_the_next_request(tmp_path: Path, fetched: list[str]) -> None:
    harness = Harness(tmp_path)
    assert harness.order("one", "two", "three", downloads=1) == ["fetching"] * 3
    assert harness.gateway.calls == ["clip", "unlock", "clip"], "after a failure no other song is tried"
    jobs = {id: harness.step(harness.job(id))[0] for id in ("one", "two", "three")}
    assert [job["code"] for job in jobs.values()] == [None, "over_budget", "over_budget"]
    for job in jobs.values():
        harness.ledger.jobs.release(id_of(job), job, None)
    with pytest.raises(OverBudget, match="Nothing was charged"):
        harness.order("one", "two", downloads=1)
    assert harness.gateway.calls.count("unlock") == 1


def test_an_error_before_any_counted_download_is_raised(tmp_path: Path) -> None:
    harness = Harness(tmp_path)
    harness.gateway.unlocked = NotAllowed("No.")
    with pytest.raises(NotAllowed):
        harness.order("one", "two")
    assert (harness.job("one"), harness.job("two"), harness.woken) == (None, None, [])


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
