"""A file's job by itself: which steps it takes, and how many of them go on at once."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
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
CLAIM = 45.0  # as in app/jobs/__main__.py, which patches what it is imported into
TIMING = Timing(deadline=1, wait_timeout=1, poll_interval=2, settle_time=0)


class Gateway:
    """A Suno in this process, which notes what it is asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.clips = Clip("clip", status="complete", download_unlocked=False)
        self.unlocked: Unlock | SunoError = Unlock(counted=True)
        self.urls: list[str | None] = ["https://storage.example.com/x"]

    def known_user(self, account: Any) -> str:
        return "user"

    def clip(self, account: Any, id: str) -> Clip:
        self.asked.append("clip")
        return self.clips

    def unlock(self, account: Any, id: str) -> Unlock:
        self.asked.append("unlock")
        if isinstance(self.unlocked, SunoError):
            raise self.unlocked
        return self.unlocked

    def download_url(self, account: Any, id: str, format: str) -> str | None:
        self.asked.append("url")
        return self.urls.pop(0) if len(self.urls) > 1 else self.urls[0]


class Made:
    """The jobs of files, over a gateway and a ledger in memory."""

    def __init__(self, folder: Path, at_once: int = 4, store: Store | None = None) -> None:
        self.gateway, self.ledger = Gateway(), Ledger(MemoryStore())
        self.shelf = Shelf(store or open_store(str(folder)), limit=10**9, kept_for=0)
        self.woken: list[str] = []
        gateway: Any = self.gateway
        self.jobs = FileJobs(
            gateway=gateway,
            ledger=self.ledger,
            shelf=self.shelf,
            accounts=Accounts({DEFAULT: OperatorAccount(DEFAULT, "cookie")}),
            names=AccountNames(gateway, self.ledger),
            timing=TIMING,
            at_once=at_once,
            loopback_too=False,
            wake=self.woken.append,
            is_stopping=lambda: False,
        )

    def begun(self, id: str = "clip", *, account: str = DEFAULT, waiting: str = "") -> dict[str, Any]:
        details = Details(id, id, "Song", None, None, None, None, None)
        new = new_file(account=account, owner="user", budget=None, details=details, format="wav")
        return begin(self.ledger, new, waiting=waiting)

    def order(self, *ids: str, downloads: int | None = None) -> list[str]:
        """Request files by their ids, as one caller. Returns the status of each."""
        gateway: Any = self.gateway
        order = Order(
            account=Account("cookie", "SUNO_COOKIE", DEFAULT),
            account_names=("user",),
            caller=Caller("n8n", downloads_per_month=downloads),
            format="wav",
            gateway=gateway,
            ledger=self.ledger,
            shelf=self.shelf,
            timing=TIMING,
            wake=self.woken.append,
        )
        details = [Details(id, id, "Song", None, None, None, None, None) for id in ids]
        return [told["status"] for told in order.begin(details)]

    def job(self, id: str) -> dict[str, Any]:
        return self.ledger.job(job_id(folder_of("user"), id, "wav"))

    def step(self, job: dict[str, Any]) -> tuple[dict[str, Any], float | None, str]:
        return self.jobs.step(id_of(job), job)


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Each address from which a file was fetched; all of them have one."""
    addresses: list[str] = []

    def fetch(self: Fetcher, address: Callable[[], str], file: Path, *, note_total: Any, note_progress: Any) -> int:
        addresses.append(address())
        note_total(len(SOUND))
        file.write_bytes(SOUND)
        return len(SOUND)

    monkeypatch.setattr(Fetcher, "fetch", fetch)
    return addresses


def test_a_file_is_unlocked_fetched_and_kept_and_wakes_who_waits(tmp_path: Path, fetched: list[str]) -> None:
    made = Made(tmp_path)
    made.gateway.urls = [None, "https://storage.example.com/x"]
    job, due_in, outcome = made.step(made.begun(waiting="split"))
    assert (job["state"], job["unlocked"], due_in, outcome) == ("fetching", True, 2, "")
    job, due_in, outcome = made.step(job)
    assert (job["state"], job["bytes"], due_in, outcome) == ("kept", len(SOUND), None, "file_kept")
    assert made.gateway.asked == ["clip", "unlock", "url", "clip", "url"]
    assert made.woken == ["split"]
    assert made.shelf.stat((folder_of("user"),), "clip", "wav")
    assert made.step(job) == (job, None, ""), "what the queue has twice"


def test_what_is_kept_is_asked_of_nobody(tmp_path: Path, fetched: list[str]) -> None:
    made = Made(tmp_path)
    job = made.step(made.begun())[0]
    assert job["state"] == "kept"
    made.gateway.asked.clear()
    assert made.step(made.begun())[0]["state"] == "kept"
    assert (made.gateway.asked, len(fetched)) == ([], 1)


def test_a_clip_that_is_not_complete_is_waited_for(tmp_path: Path) -> None:
    made = Made(tmp_path)
    made.gateway.clips = Clip("clip", status="streaming")
    job, due_in, _ = made.step(made.begun())
    assert (job["state"], due_in, made.gateway.asked) == ("fetching", 2, ["clip"])
    made.gateway.clips = Clip("clip", status="error")
    assert made.step(job)[0]["error"] == "Suno could not make this clip."


@pytest.mark.parametrize(
    ("error", "state", "due_in"),
    [
        (NotAllowed("No."), "failed", None),
        (RateLimited("Later.", retry_after=30), "fetching", 30),
        (RateLimited("Much later.", retry_after=600), "fetching", 600),
        (OutcomeUnknown("Lost."), "fetching", 2),
    ],
)
def test_what_suno_refuses_for_good_fails_and_all_else_is_tried_again(
    tmp_path: Path, error: SunoError, state: str, due_in: float | None
) -> None:
    made = Made(tmp_path)
    made.gateway.unlocked = error
    job, due, outcome = made.step(made.begun(waiting="split"))
    assert (job["state"], due, outcome) == (state, due_in, "file_failed" if state == "failed" else "")
    assert made.woken == (["split"] if state == "failed" else [])


def test_tries_grow_rarer_and_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = Made(tmp_path)

    def fetch(*about: Any, **more: Any) -> int:
        raise FetchFailed("it broke off")

    monkeypatch.setattr(Fetcher, "fetch", fetch)
    job, delays = made.begun(), []
    for _ in range(7):
        job, due_in, _ = made.step(job)
        delays.append(due_in)
    assert delays == [2, 4, 8, 16, 32, 60, 60]
    job = job | {"began": time.time() - jobs.TRIED_FOR - 1}
    job, due_in, outcome = made.step(job)
    assert (job["state"], due_in, outcome, "it broke off" in job["error"]) == ("failed", None, "file_failed", True)
    assert made.gateway.asked.count("unlock") == 1


def test_an_account_that_is_gone_fetches_nothing(tmp_path: Path, fetched: list[str]) -> None:
    made = Made(tmp_path)
    assert "no longer" in made.step(made.begun("a", account="studio"))[0]["error"]
    assert (fetched, made.gateway.asked) == ([], [])


def test_an_unlocking_is_taken_from_the_callers_budget(tmp_path: Path, fetched: list[str]) -> None:
    made, budget = Made(tmp_path), Budget("caller n8n", "downloads:caller:n8n", "downloads", 1, 30)
    jobs = [made.begun(id) | {"budget": asdict(budget)} for id in ("one", "two")]
    assert [made.step(job)[0]["code"] for job in jobs] == [None, "over_budget"]
    assert (made.ledger.left(budget).amount, made.gateway.asked.count("unlock")) == (0, 1)


def test_a_failure_is_told_once_and_then_tried_again(tmp_path: Path) -> None:
    made = Made(tmp_path)
    made.gateway.unlocked = NotAllowed("No.")
    job = made.begun()
    made.ledger.put_job(id_of(job), made.step(job)[0], None)
    new = new_file(account=DEFAULT, owner="user", budget=None, details=Details.read(job["details"]), format="wav")
    assert [begin(made.ledger, new, tell=True)["state"] for _ in range(3)] == ["failed", "fetching", "fetching"]


def test_no_more_files_are_fetched_at_once_than_allowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made, running, most = Made(tmp_path, at_once=2), [], []

    def fetch(self: Fetcher, address: Callable[[], str], file: Path, *, note_total: Any, note_progress: Any) -> int:
        running.append(file)
        most.append(len(running))
        gevent.sleep(0.01)
        file.write_bytes(SOUND)
        running.remove(file)
        return len(SOUND)

    monkeypatch.setattr(Fetcher, "fetch", fetch)
    every = [gevent.spawn(made.step, made.begun(f"clip-{number}")) for number in range(6)]
    gevent.joinall(every, raise_error=True)
    assert [each.value[0]["state"] for each in every] == ["kept"] * 6
    assert max(most) == 2


def test_a_file_that_is_being_stored_is_left_to_its_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    size, taken = 100_000_000, []

    class SlowStore(FolderStore):
        def put(self, name: str, file: Path) -> None:
            taken.append(made.ledger.claim_job(id_of(job), CLAIM))
            super().put(name, file)

    def fetch(self: Fetcher, address: Callable[[], str], file: Path, **more: Any) -> int:
        file.write_bytes(SOUND)
        return size

    monkeypatch.setattr(Fetcher, "fetch", fetch)
    made = Made(tmp_path, store=SlowStore(tmp_path))
    job = made.ledger.claim_job(id_of(made.begun()), CLAIM)
    assert (made.step(job)[0]["state"], any(taken)) == ("kept", False)


def test_an_error_after_a_counted_download_comes_with_the_next_request(tmp_path: Path, fetched: list[str]) -> None:
    made = Made(tmp_path)
    assert made.order("one", "two", "three", downloads=1) == ["fetching"] * 3
    assert made.gateway.asked == ["clip", "unlock", "clip"], "after a failure no other song is tried"
    jobs = {id: made.step(made.job(id))[0] for id in ("one", "two", "three")}
    assert [job["code"] for job in jobs.values()] == [None, "over_budget", "over_budget"]
    for job in jobs.values():
        made.ledger.put_job(id_of(job), job, None)
    with pytest.raises(OverBudget, match="Nothing was charged"):
        made.order("one", "two", downloads=1)
    assert made.gateway.asked.count("unlock") == 1


def test_an_error_before_any_counted_download_is_raised(tmp_path: Path) -> None:
    made = Made(tmp_path)
    made.gateway.unlocked = NotAllowed("No.")
    with pytest.raises(NotAllowed):
        made.order("one", "two")
    assert (made.job("one"), made.job("two"), made.woken) == (None, None, [])


def test_a_ledger_that_fails_after_a_counted_download_names_the_song(tmp_path: Path) -> None:
    made = Made(tmp_path)

    class Broken(MemoryStore):
        def transact(self, change: Callable[[Any], Any]) -> Any:
            if "unlock" in made.gateway.asked:
                raise LedgerUnavailable("the disk is full")
            return super().transact(change)

    made.ledger = Ledger(Broken())
    with pytest.raises(LedgerUnavailable) as raised:
        made.order("one", "two")
    assert str(raised.value).endswith(
        "the disk is full. Suno has counted a download for each of these songs: one. Send this again: they are not "
        "counted again."
    )
