"""Jobs in the test's own process: a fake Suno, a ledger in memory, a clock that only a test advances."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar

import gevent

from app.accounts import AccountNames, Accounts
from app.audio.fetch import FetchFailed
from app.audio.links import Links
from app.audio.shelf import Shelf
from app.audio.which_store import open_store
from app.callers import DEFAULT_ACCOUNT, OperatorAccount
from app.jobs.file_status import read_job
from app.jobs.job import FileJob, SplitJob, new_job, read_split
from app.jobs.runner import CLAIM_SECONDS, Runner
from app.jobs.webhook import SendResult
from app.splits.budget import Budget
from app.splits.ledger import Ledger
from app.splits.store import Entry, LedgerUnavailable
from app.splits.watch import Watch
from app.suno.clip import Clip
from app.suno.errors import SongNotFound, SunoError, SunoUnreachable
from app.suno.gateway import Unlock
from app.suno.session import User
from app.suno.stems import StemTask
from app.timing import Timing
from tests.splits.conftest import SteppedClock
from tests.splits.memory_store import MemoryStore

T = TypeVar("T")

SONG = "song"
SETTLE_TIME = 60.0
PRICE = 50
CREDITS = Budget("caller n8n", "credits:caller:n8n", "credits", 1000, 1)
SIZE = 100
"""Bytes of each file."""

AWAY = SunoUnreachable("Suno cannot be reached. Nothing was charged.")


class Store(MemoryStore):
    """A ledger's store that can be away, or go away before a write of the test's choice."""

    def __init__(self, clock: SteppedClock) -> None:
        super().__init__(clock)
        self.is_away = False
        self.away_until = 0.0
        """Seconds of the clock."""
        self.writes_left: int | None = None

    def transact(self, change: Callable[[Any], T], *, durable: bool = True) -> T:
        self._check()
        if self.writes_left is not None:
            if self.writes_left == 0:
                raise Killed
            self.writes_left -= 1
        return super().transact(change, durable=durable)

    def read(self, look: Callable[[Any], T]) -> T:
        self._check()
        return super().read(look)

    def _check(self) -> None:
        if self.is_away or self.clock.now().boot < self.away_until:
            raise LedgerUnavailable("it is away")


class Killed(BaseException):
    """The process was killed before this write."""


class Suno:
    """An in-process Suno. A test sets what it answers; it records each call."""

    def __init__(self, clock: SteppedClock) -> None:
        self.clock = clock
        self.song: Clip | None = Clip(SONG, "complete", title="Song", download_unlocked=False)
        self.songs: set[str] = set()
        """Further songs."""
        self.made: dict[str, Clip] = {}
        """All stems, as they are."""
        self.unlisted: set[str] = set()
        """Stems that lists leave out."""
        self.away: SunoError | None = None
        self.sign_in: SunoError | None = None
        self.file: str | None = "https://storage.example.com/x"
        """The address of each file; None while it is prepared."""
        self.seconds: float | None = 183.4
        """The length of the stems. The fake files are far smaller than it says."""
        self.unlocked: list[str] = []
        """The song of each unlock."""
        self.calls: list[tuple[float, str]] = []

    def make(self, *ids: str, status: str = "complete", song: str = SONG, **fields: Any) -> list[Clip]:
        """Make stems, or change them. Returns them as Suno's reply to the split lists them."""
        for id in ids:
            song = (self.made[id].stem_from_id or song) if id in self.made else song
            now = datetime.fromtimestamp(self.clock.wall, UTC).isoformat(timespec="milliseconds")
            at = self.made[id].created_at if id in self.made else now.replace("+00:00", "Z")
            title = f"Song ({id.capitalize()})"
            self.made[id] = Clip(
                id, status, at, title, song, self.seconds, stem_task="twelve", is_stem=True, **fields
            )
        return [Clip(id, "submitted", self.made[id].created_at, self.made[id].title, song) for id in ids]

    def calls_between(self, since: float, until: float) -> int:
        return sum(since <= at < until for at, _ in self.calls)

    def _called(self, what: str) -> None:
        self.calls.append((self.clock.seconds, what))
        if self.away:
            raise self.away

    def now(self) -> float:
        return self.clock.wall

    def song_has_stems(self, account: Any, song_id: str, deadline: Any = None) -> bool:
        self._called("song_has_stems")
        return any(stem.stem_from_id == song_id for stem in self.made.values())

    def newest_clips(self, account: Any, until: float, deadline: Any = None) -> list[Clip]:
        self._called("newest_clips")
        return list(self.made.values())

    def known_user(self, account: Any) -> User | None:
        return None if self.sign_in else User("user", "")

    def user_of(self, account: Any) -> User:
        self._called("sign in")
        if self.sign_in:
            raise self.sign_in
        return User("user", "")

    def clips(
        self, account: Any, ids: Sequence[str], *, within: float | None = None, one_by_one: bool = True
    ) -> list[Clip]:
        self._called("list")
        return [self.made[id] for id in ids if id in self.made and id not in self.unlisted]

    def clips_by_themselves(self, account: Any, ids: Sequence[str], *, within: float | None = None) -> list[Clip]:
        for id in ids:
            self._called(f"clip {id}")
        return [self.made[id] for id in ids if id in self.made]

    def clip(self, account: Any, id: str) -> Clip:
        self._called(f"clip {id}")
        if self.song and (id == SONG or id in self.songs):
            return replace(self.song, id=id, download_unlocked=id in self.unlocked)
        if id in self.made:
            return self.made[id]
        raise SongNotFound("There is no such song.")

    def stems(self, account: Any, song_id: str, deadline: Any = None) -> list[Clip]:
        self._called("stems")
        return [stem for stem in self.made.values() if stem.stem_from_id == song_id]

    def unlock(self, account: Any, song_id: str) -> Unlock:
        self._called("unlock")
        self.unlocked.append(song_id)
        return Unlock(counted=True)

    def download_url(self, account: Any, id: str, format: str, *, within: float | None = None) -> str | None:
        self._called(f"url {id}")
        return self.file

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"the fake Suno has no {name}")


@dataclass
class Storage:
    """Sends files, or fails."""

    failure: Exception | None = None
    broken: set[str] = field(default_factory=set)
    """Clips of which it sends something else."""
    content: bytes = b"x" * SIZE
    fetched: list[str] = field(default_factory=list)
    is_kept: Callable[[str], bool] = lambda clip_id: False

    def fetch(
        self,
        address: Callable[[], str],
        file: Path,
        *,
        format: str,
        most: int,
        note_total: Callable[[int], None],
        note_progress: Any,
    ) -> int:
        address()
        assert not self.is_kept(file.name.partition(".")[0]), "it is kept, and fetched again"
        if self.failure:
            raise self.failure
        if file.name.partition(".")[0] in self.broken:
            raise FetchFailed("it is a web page", for_now=False)
        note_total(len(self.content))
        file.write_bytes(self.content)
        note_progress()
        self.fetched.append(file.name.partition(".")[0])
        return len(self.content)


@dataclass
class Receiver:
    """Receives webhooks. `status`: its answer."""

    status: int = 200
    retry_after: int | None = None
    received: list[tuple[str, Any]] = field(default_factory=list)
    during: Callable[[], None] = lambda: None
    """What happens while a webhook is delivered."""

    def send(self, url: str, body: str, webhook_id: str, secrets: Any, hosts: Any) -> SendResult:
        self.received.append((webhook_id, json.loads(body)))
        self.during()
        return SendResult(self.status, "", self.retry_after)

    @property
    def types(self) -> list[str]:
        return [event["type"] for _, event in self.received]

    @property
    def last(self) -> Any:
        return self.received[-1][1]["data"]


class World:
    """A service's ledger, Suno, storage, receiver and jobs process."""

    def __init__(self, folder: Path | None = None, *, limit: int = 10**9, at_once: int = 4) -> None:
        self.clock = SteppedClock()
        self.store = Store(self.clock)
        self.ledger = Ledger(self.store)
        self.suno, self.storage, self.receiver = Suno(self.clock), Storage(), Receiver()
        gateway: Any = self.suno
        self.folder = folder or Path(tempfile.mkdtemp())
        self.renews = False
        self.parts: Any = SimpleNamespace(
            settings=SimpleNamespace(
                timing=Timing(deadline=40, wait_timeout=1, poll_interval=0.01, settle_time=SETTLE_TIME),
                audio_fetches=at_once,
                order_pace=10.0,
                handover_time=86_400.0,
                waiting_requests=3,
                webhook_secrets_by_caller={"": ("whsec_" + "A" * 32,)},
                webhook_hosts=(),
            ),
            gateway=gateway,
            ledger=self.ledger,
            shelf=Shelf(open_store(str(self.folder)), limit=limit, kept_for=0),
            fetcher=self.storage,
            accounts=Accounts({DEFAULT_ACCOUNT: OperatorAccount(DEFAULT_ACCOUNT, "cookie")}),
            names=AccountNames(gateway, self.ledger),
            # Polls without pauses: the clock stands still meanwhile.
            watch=Watch(gateway, 0.0),
            links=Links((), lifetime=1),
            queue=SimpleNamespace(put=lambda *about: None),
        )
        self.storage.is_kept = lambda clip_id: any(self.folder.glob(f"*/{clip_id}.wav"))
        self.start()

    def start(self) -> None:
        """Start the jobs process (again)."""
        self.runner = Runner(self.parts, is_stopping=lambda: False, send=self.receiver.send, sleep=self.let_pass)

    def let_pass(self, seconds: float) -> None:
        """Wait as the service does: time passes, and other greenlets run.

        Only if `renews` is set, a claim is renewed: otherwise a step would take as long as the test's threads.
        """
        if seconds == CLAIM_SECONDS / 3 and not self.renews:
            gevent.sleep(seconds)
        else:
            self.clock.advance(seconds)
            gevent.sleep(0)

    def begin(self, *, webhook: bool = True, audio: bool = False, key: str = "", song: str = SONG) -> Entry:
        """Begin a split, as the web does before its paid call."""
        entry = self.ledger.new_entry(
            caller="n8n",
            account="user",
            idempotency_key=key,
            question=json.dumps([song, "twelve", False]),
            song_id=song,
            task="twelve",
            request_id=f"request-{self.clock.seconds}",
            lasts=41.0,
            price=PRICE,
        )
        job = SplitJob(
            account=DEFAULT_ACCOUNT,
            owner="user",
            caller="n8n",
            request_id=entry.request_id,
            song_id=song,
            task=StemTask.TWELVE,
            stem_name="",
            began=self.clock.now(),
            webhook_url="https://hooks.example.com/" if webhook else "",
            audio_format="wav" if audio else None,
            base="https://stems.example.com/",
        )
        return self.ledger.begin(entry, budgets=(CREDITS,), job=new_job(job))

    def split(self, *ids: str, status: str = "complete", **how: Any) -> Entry:
        """Begin a split, and record the stems of Suno's reply."""
        entry = self.begin(**how)
        return self.ledger.finish(entry, self.suno.make(*ids, status=status), paid=True, has_job=True)

    def lose(self, **how: Any) -> Entry:
        """Begin a split whose reply is lost."""
        entry = self.begin(**how)
        self.ledger.doubt(entry)
        return entry

    def step_all(self) -> int:
        """Run the jobs that are due now, once each. Returns how many."""
        self.ledger.jobs.note_consumer()
        due = self.ledger.jobs.due(1000)
        for id in due:
            self.runner.step(id)
        return len(due)

    def settle(self) -> None:
        """Run all that is due now, and what that makes due now."""
        for _ in range(100):
            if not self.step_all():
                return
        raise AssertionError("jobs are due again and again")

    def run(self, seconds: float) -> None:
        """Let time pass, and run each job when it is due."""
        ends = self.clock.seconds + seconds
        for _ in range(100_000):
            self.settle_once()
            next_due = self.store.read(lambda tx: tx.next_due())
            wait = ends - self.clock.seconds if next_due is None else max(0.0, next_due - self.clock.wall)
            if self.clock.seconds + wait >= ends:
                self.clock.advance(ends - self.clock.seconds)
                return
            self.clock.advance(max(wait, 0.5 if next_due is not None else wait))
        raise AssertionError("jobs are due again and again")

    def settle_once(self) -> None:
        # A quick look has no pause of its own: in the service, its polls take that time.
        self.step_all()

    def job(self, entry: Entry) -> SplitJob:
        stored = self.ledger.jobs.get(entry.id)
        assert stored
        return read_split(stored.body)

    def file(self, id: str) -> FileJob:
        job = read_job(self.ledger, id)
        assert job
        return job

    def left(self) -> int:
        """Credits left of the caller's budget."""
        return self.ledger.left(CREDITS).amount
