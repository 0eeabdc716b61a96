"""The jobs' types: a split's job, a file's job, and what a step returns. Each is stored as JSON in the ledger.

A split's job:

| state      | waits for                | ends when                                | pause until the next look       |
|------------|--------------------------|------------------------------------------|---------------------------------|
| following  | the paid call, its stems | all stems are final, or Suno certainly   | SUNO_POLL_INTERVAL; longer after|
|            |                          | made none                                | 2 minutes, up to 10 minutes     |
| needs_     | a person, who splits the | it is there: `following`; it is          | 1 minute; one look for all of   |
| person     | song at suno.com         | cancelled, or HANDOVER_TIME has passed   | an account's                    |
| fetching   | its files' jobs          | each file is kept or has failed          | 1 minute; no call to Suno       |
| delivering | the webhook's receiver   | the receiver accepts it, or the last of  | 5 s to 24 h                     |
|            |                          | 10 attempts fails                        |                                 |
| delivered, | nothing                  | the split's outcome changes: `following` | never due                       |
| given_up,  |                          | a caller asks to send it again:          |                                 |
| done       |                          | `delivering`                             |                                 |

- After an hour in `following` or `fetching` the receiver gets `stems.delayed`, once. The job continues.
- After ten days (MAX_SPLIT_JOB_SECONDS) the receiver gets what was last seen.
- A job that has reported that nothing was charged looks again, every 2 minutes to 1 hour, until its key ends: Suno
  may have made the stems late. Then it follows them, and tells the new result.
- Stems of a lost answer are searched for at most every 20 minutes: that takes more calls.
- `done`: there is a result, and no webhook.
- A job whose steps fail unexpectedly 250 times in a row (MAX_CRASHES) ends: with what was last seen, a file with
  `failed`, a webhook with `given_up`. The pause between them is 30 s to 1 hour; 5 s at first if the ledger failed.

A file's job:

| state    | waits for                    | ends when                             | pause until the next step        |
|----------|------------------------------|---------------------------------------|----------------------------------|
| fetching | Suno to finish the clip, to  | the file is kept; Suno refuses it;    | SUNO_POLL_INTERVAL; longer later,|
|          | unlock its song, to prepare  | it has waited for an hour             | up to 7 minutes; Suno's          |
|          | the file; a fetch slot; room | or ten days have passed               | Retry-After, up to 2 minutes     |
| kept     | nothing                      | a request for a removed file begins   | never due                        |
| failed   |                              | it again                              |                                  |

An order's job has no state of its own: the order is a record (app/splits/order.py), which the web changes too.

Durations are elapsed time by the ledger's clock. For a file, time in which no process worked, or in which Suno could
not be read, does not count as waiting.
"""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from enum import StrEnum
from typing import Any, Generic, TypeVar

from app.audio.files import Details
from app.splits.budget import Budget
from app.splits.clock import BY_WALL, Moment
from app.splits.jobs import NewJob, StoredJob
from app.suno.clip import Clip
from app.suno.gateway import AudioFormat
from app.suno.stems import StemChoice, StemTask, numbered
from app.timing import DAY

log = logging.getLogger(__name__)

T = TypeVar("T")

ACCOUNT_UNKNOWN = "The jobs process does not have this Suno account now. It reads its accounts again on SIGHUP."


class Unreadable(Exception):
    """Suno cannot be read now for this account."""


class JobKind(StrEnum):
    """What a job does."""

    SPLIT = "split"
    FILE = "file"
    ORDER = "order"


class SplitState(StrEnum):
    """The state of a split's job."""

    FOLLOWING = "following"
    NEEDS_PERSON = "needs_person"
    FETCHING = "fetching"
    DELIVERING = "delivering"
    DELIVERED = "delivered"
    GIVEN_UP = "given_up"
    DONE = "done"

    @property
    def has_result(self) -> bool:
        """Whether the outcome of the split is known, and all of its files are kept or have failed."""
        return self not in (SplitState.FOLLOWING, SplitState.NEEDS_PERSON, SplitState.FETCHING)


class FileState(StrEnum):
    """The state of a file's job, and of a file in replies."""

    FETCHING = "fetching"
    KEPT = "kept"
    FAILED = "failed"


class FileCode(StrEnum):
    """Why a file has failed."""

    SUNO = "suno"
    OVER_BUDGET = "over_budget"
    AUDIO_FULL = "audio_full"
    ACCOUNT = "account"
    SERVICE = "service"


class Outcome(StrEnum):
    """How a job ended, as it is counted."""

    WEBHOOK_DELIVERED = "webhook_delivered"
    WEBHOOK_GIVEN_UP = "webhook_given_up"
    FILE_KEPT = "file_kept"
    FILE_FAILED = "file_failed"


@dataclass(frozen=True, slots=True)
class Next(Generic[T]):
    """What a step returns."""

    job: T
    due_in: float | None
    """Seconds until the next step; None: the job has ended."""
    outcome: Outcome | None = None
    is_suno_read: bool | None = None
    """Whether Suno could be read; None if the step did not have to."""


@dataclass(frozen=True, slots=True)
class Stem:
    """A stem as a webhook lists it."""

    id: str
    status: str | None
    created_at: str | None
    title: str | None
    stem_from_id: str | None
    duration: str | None
    """Seconds."""
    part: str
    take: int | None
    error: str | None = None
    """Suno's reason, if it could not make the stem."""

    @property
    def is_final(self) -> bool:
        """Whether Suno no longer changes it."""
        return self.clip.is_final

    @property
    def clip(self) -> Clip:
        """The stem as a clip."""
        duration = None if self.duration is None else float(self.duration)
        return Clip(
            self.id,
            self.status,
            self.created_at,
            self.title,
            self.stem_from_id,
            duration,
            error_message=self.error,
            is_stem=True,
        )


@dataclass(frozen=True, slots=True)
class Delivery:
    """One attempt to deliver a webhook."""

    at: str
    """ISO 8601 in UTC."""
    status: int | None
    """The receiver's status; None if it did not answer."""
    said: str


def new_webhook_id() -> str:
    """A new id for a webhook. Repeats of one webhook have the same id."""
    return f"msg_{uuid.uuid4().hex}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitJob:
    """The job of a split, without secrets: follow it, have its files fetched, deliver its webhook."""

    state: SplitState = SplitState.FOLLOWING
    account: str
    """The operator's name for the Suno account."""
    caller: str
    request_id: str
    song_id: str
    task: StemTask
    stem_name: str
    began: Moment
    webhook_id: str = field(default_factory=new_webhook_id)
    owner: str = ""
    """The ledger's name for the Suno account; "" in jobs of 1.0."""
    webhook_url: str = ""
    audio_format: AudioFormat | None = None
    budget: Budget | None = None
    """The budget that an unlock is taken from. It is stored, so that the jobs process needs no callers."""
    base: str = ""
    """The address of this service."""
    stems: tuple[Stem, ...] = ()
    """The stems as they were last seen."""
    body: str | None = None
    """The webhook's content, without addresses of files; None until there is a result."""
    files: tuple[str, ...] = ()
    """Ids of the files' jobs."""
    attempts: tuple[Delivery, ...] = ()
    next_at: str | None = None
    """When the next attempt is, for people."""
    tried: Moment | None = None
    """When the latest attempt failed."""
    pause: float = 0.0
    """Seconds from that until the next attempt."""
    before: int = 0
    """How many attempts were made before a caller asked to send it again."""
    answered: int = 0
    """How often that was done."""
    idle: int = 0
    """Looks in a row that showed nothing new."""
    failures: int = 0
    """Looks in a row in which Suno could not be read."""
    missed: int = 0
    """Polls in a row in which Suno's list has left out the same open stem."""
    progressed: Moment | None = None
    """When something last changed."""
    delayed: bool = False
    """Whether `stems.delayed` was sent."""
    notice_of: str = ""
    """For a job that only delivers `stems.delayed` or `stems.needs_person`: the id of the split's job."""
    called: Moment | None = None
    """Since when it waits for a person, if `stems.needs_person` was sent for this wait."""
    is_adopted: bool = False
    """Whether a person has made its stems: this service has paid nothing."""

    @property
    def choice(self) -> StemChoice:
        """The kind of split."""
        return StemChoice(self.task, self.stem_name)

    def sent_again(self, asked: int) -> SplitJob:
        """The job when a caller has asked to send its webhook again."""
        before = len(self.attempts)
        return replace(self, state=SplitState.DELIVERING, answered=asked, before=before, next_at=None, tried=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class FileJob:
    """The job of a file. A file has one, no matter who requests it or how often."""

    state: FileState
    account: str
    """The operator's name for the Suno account."""
    owner: str
    """The ledger's name for it."""
    details: Details
    format: AudioFormat
    began: Moment
    budget: Budget | None = None
    """The budget that an unlock is taken from."""
    tries: int = 0
    """Steps in a row that did not get the file."""
    unlocked: bool = False
    """Whether its song is known to be unlocked."""
    bytes: int | None = None
    code: FileCode | None = None
    error: str | None = None
    told: bool = False
    """Whether a request has reported that it failed."""
    looked: Moment | None = None
    """When the latest step ended, if it could read Suno."""
    pause: float = 0.0
    """Seconds that were planned from then until the next step."""
    waited: float = 0.0
    """Seconds that it has waited while a process worked and Suno could be read."""

    @property
    def name(self) -> str:
        """The file's name in the store's folder of its account."""
        return f"{self.details.id}.{self.format}"


def new_job(job: SplitJob) -> NewJob:
    """A split's job as it begins with the split."""
    url, format = job.webhook_url, job.audio_format
    return NewJob(write_split(job), (url, format) if format else (url,))


def kind_of(body: str) -> JobKind:
    """What a stored job does. Raises ValueError for a kind of a newer version."""
    return JobKind(json.loads(body).get("kind", "split"))


def read_split(body: str) -> SplitJob:
    """Read a split's job as it is stored, also by 1.0."""
    stored = json.loads(body)
    tried, pause = _next_attempt(stored)
    read = {
        "state": SplitState(stored["state"]),
        "task": StemTask(stored["task"]),
        "audio_format": stored.get("audio_format") or None,
        "began": _began(stored),
        "tried": tried,
        "pause": pause,
        "progressed": _moment(stored.get("progressed")),
        "called": _moment(stored.get("called")),
        "budget": _budget(stored),
        "stems": tuple(Stem(**each) for each in stored.get("stems", ())),
        "files": tuple(stored["files"]),
        "attempts": tuple(Delivery(**each) for each in stored["attempts"]),
    }
    return SplitJob(**_known_fields(SplitJob, stored) | read)


def known_split(id: str, stored: StoredJob | None) -> SplitJob | None:
    """A split's job, if there is one that this release can read: a newer one may have written it.

    Without it, the ledger's entry still has the stems.
    """
    if stored is None:
        return None
    try:
        return read_split(stored.body)
    except (KeyError, TypeError, ValueError) as error:
        log.error("The job %s cannot be read (%s): a newer release may have written it.", id, type(error).__name__)
        return None


def write_split(job: SplitJob) -> str:
    """Write a split's job for the ledger. 1.0 can read it: its times are also there by the wall clock."""
    not_before = job.tried.wall + job.pause if job.tried else 0.0
    return json.dumps(asdict(job) | {"began": job.began.wall, "began_at": job.began, "not_before": not_before})


def read_file(body: str) -> FileJob:
    """Read a file's job as it is stored, also by 1.0."""
    stored = json.loads(body)
    read = {
        "state": FileState(stored["state"]),
        "began": _began(stored),
        "details": Details.read(stored["details"]),
        "budget": _budget(stored),
        "code": FileCode(stored["code"]) if stored["code"] else None,
        "looked": _moment(stored.get("looked")),
    }
    return FileJob(**_known_fields(FileJob, stored) | read)


def write_file(job: FileJob) -> str:
    """Write a file's job for the ledger. 1.0 can read it."""
    # 1.0 keeps the ids of waiting jobs in the job; here they are the table's (app/splits/jobs.py).
    stored = asdict(job) | {"kind": JobKind.FILE, "began": job.began.wall, "began_at": job.began, "waiting": []}
    return json.dumps(stored)


def _known_fields(of: type[Any], stored: Any) -> Any:
    """What is stored, without what a newer version has added."""
    names = {field.name for field in fields(of)}
    return {name: value for name, value in stored.items() if name in names}


def _budget(stored: Any) -> Budget | None:
    return Budget(**stored["budget"]) if stored["budget"] else None


def _began(stored: Any) -> Moment:
    # 1.0 stored wall clock time only.
    return _moment(stored.get("began_at")) or _of_wall(stored["began"])


def _moment(stored: Any) -> Moment | None:
    return Moment(*stored) if stored else None


def _of_wall(seconds: float) -> Moment:
    return Moment(BY_WALL, 0.0, seconds)


def _next_attempt(stored: Any) -> tuple[Moment | None, float]:
    """When the latest attempt failed, and the pause after it. 1.0 stores when the next one is, by the wall clock."""
    tried, pause, not_before = _moment(stored.get("tried")), stored.get("pause", 0.0), stored["not_before"]
    if not_before and (tried is None or abs(tried.wall + pause - not_before) > 1.0):
        return _of_wall(not_before - DAY), DAY
    return tried, pause


def listed(stems: Sequence[Clip]) -> tuple[Stem, ...]:
    """The stems as a webhook lists them, with their parts and takes."""
    takes = numbered([replace(stem, is_stem=True) for stem in stems])
    return tuple(
        Stem(
            id=stem.id,
            status=stem.status,
            created_at=stem.created_at,
            title=stem.title,
            stem_from_id=stem.stem_from_id,
            duration=None if stem.duration is None else str(stem.duration),
            part=stem.part,
            take=takes.get(stem.id),
            error=stem.error_message if stem.status == "error" else None,
        )
        for stem in stems
    )
