"""The table of jobs: which work after the reply (app/jobs/) is due, who has claimed it, and how it ended.

A job of a split begins, and becomes due again, in the same transaction as its entry changes (app/splits/ledger.py).
The table does not know what a job does. It only keeps its own fields beside those of the job.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from app.ids import new_id
from app.splits.clock import Moment
from app.splits.store import Store, Transaction
from app.timing import DAY, FOR_GOOD

OUTCOMES_RECORD, COMING_RECORD = "(outcomes)", "(coming)"
"""Names of the two records that all jobs share: counted outcomes, and bytes reserved for downloads."""

JOB_KEPT_SECONDS = 10 * DAY
"""Seconds to remember a job after its last change: longer than its webhook is retried."""

REPORT_VALID_SECONDS = 60.0
"""Seconds for which the report of a jobs process counts."""

CRASH_PAUSE_SECONDS, MAX_CRASH_PAUSE_SECONDS = 30.0, 3600.0
"""Seconds until a step that failed unexpectedly runs again. The pause doubles, up to the longest."""

MAX_CRASHES = 250
"""A job whose steps have failed unexpectedly so many times in a row ends: that takes about ten days, or some hours if
each of them takes the process with it."""


@dataclass(frozen=True, slots=True)
class NewJob:
    """A job that begins with a split."""

    body: str
    """A JSON object. Only app/jobs reads it."""
    question: tuple[str, ...] = ()
    """What of it is part of the request: a retry with the same key must have the same."""


@dataclass(frozen=True, slots=True)
class StoredJob:
    """A job as the table has it, and its claim if the table gave one."""

    body: str
    """A JSON object. Only app/jobs reads it."""
    claim: str = ""
    """The id of the claim; "" if no process works on the job."""
    waiting: tuple[str, ...] = ()
    """Ids of the jobs that become due when this one ends."""
    woken: int = 0
    """How often something that it depends on has changed."""
    asked: int = 0
    """How often a caller has asked to have it done again."""
    crashes: int = 0
    """Steps in a row that failed unexpectedly, or did not end before their claim."""


CLOCK_SET_BACK_SECONDS = 60.0
"""Seconds by which the wall clock is behind after it was set, and not just adjusted."""

MAX_DUE_JOBS = 100_000
"""Maximum jobs that become due at once when the clock was set back."""


@dataclass(frozen=True, slots=True)
class JobsReport:
    """What the jobs processes get done. All times are in seconds."""

    slots: int
    """How many fetches may run at once."""
    free_slots: int
    no_slot_for: float
    """How long no slot has been free."""
    stalled_for: float
    """How long ago the open job with the oldest progress made any."""
    unread_for: float
    """How long no job could read Suno."""


_TABLE_FIELDS = ("claim", "claimed_at", "claimed_for", "waiting", "woken", "asked", "crashes")
"""The table's own fields. A record is one flat object, as in 1.0.0: a job's fields, then these."""


class JobTable:
    """The jobs. Every method raises LedgerUnavailable. Each is one transaction, unless it receives a transaction."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.clock = store.clock

    def begin(self, tx: Transaction, id: str, body: str, due_in: float) -> None:
        """Within a transaction: begin a job, instead of one with the same id. It is due in `due_in` seconds."""
        self._put(tx, id, json.loads(body), due_in)

    def remove(self, tx: Transaction, id: str) -> None:
        """Within a transaction: remove a job, if there is one."""
        if tx.record("job", id) is not None:
            tx.put_record("job", id, None, kept=JOB_KEPT_SECONDS)
            tx.put_due(id, None)

    def wake(self, tx: Transaction, id: str) -> None:
        """Within a transaction: make a job due now, if there is one. What it depends on has changed.

        A step that runs meanwhile may have read the old state: its job is then due again after it.
        """
        self._wake(tx, id)

    def get(self, id: str) -> StoredJob | None:
        """Read a job."""
        record = self._store.read(lambda tx: tx.record("job", id))
        return None if record is None else stored_job(record)

    def claim(self, id: str, lasts: float) -> StoredJob | None:
        """Claim a job for `lasts` seconds, then it is due again. None if it is missing or another process has it."""

        def change(tx: Transaction) -> StoredJob | None:
            record = tx.record("job", id)
            if record is None:
                tx.put_due(id, None)
                return None
            if self._claim_left(record) > 0:
                return None
            # A claim that was not released: its process was killed, perhaps by this step.
            crashes = record.get("crashes", 0) + ("claim" in record)
            return stored_job(self._claim(tx, id, {**record, "claim": new_id(), "crashes": crashes}, lasts))

        return self._store.transact(change)

    def release(
        self, id: str, claimed: StoredJob, body: str, due_in: float | None, *, outcome: str = ""
    ) -> tuple[str, ...]:
        """Write a claimed job and release it. It is due again in `due_in` seconds, or never (None).

        A job that ends makes those due that wait for it. Returns their ids. Writes nothing if the job was claimed
        again, or begun again by a retry that pays again. `outcome`: how the job ended, in a word, to be counted.
        """

        def change(tx: Transaction) -> tuple[str, ...]:
            record = tx.record("job", id)
            if record is not None and record.get("claim", "") != claimed.claim:
                return ()
            if record is None and claimed.claim:
                # Its split was refused while the step ran: there is nothing to tell.
                return ()
            stored = stored_job(record or {})
            due = due_in if stored.woken == claimed.woken else 0.0
            kept = {"waiting": list(stored.waiting), "woken": stored.woken, "asked": stored.asked}
            self._put(tx, id, json.loads(body) | {name: value for name, value in kept.items() if value}, due)
            if outcome:
                counted: dict[str, int] = tx.record("job", OUTCOMES_RECORD) or {}
                counted[outcome] = counted.get(outcome, 0) + 1
                tx.put_record("job", OUTCOMES_RECORD, counted, kept=FOR_GOOD)
            if due is not None:
                return ()
            for waiting in stored.waiting:
                self.wake(tx, waiting)
            return stored.waiting

        return self._store.transact(change)

    def put_back(self, id: str, claimed: StoredJob, *, first_pause: float = CRASH_PAUSE_SECONDS) -> None:
        """Release a claimed job whose step failed unexpectedly; write nothing of it.

        `first_pause`: seconds until it runs again. The pause doubles with each failure in a row.
        """

        def change(tx: Transaction) -> None:
            record = tx.record("job", id)
            if record is None or record.get("claim", "") != claimed.claim:
                return
            crashes = claimed.crashes + 1
            pause = min(MAX_CRASH_PAUSE_SECONDS, first_pause * 2 ** min(claimed.crashes, 20))
            free = {name: value for name, value in record.items() if not name.startswith("claim")}
            self._put(tx, id, free | {"crashes": crashes}, pause if crashes <= MAX_CRASHES else None)

        self._store.transact(change)

    def hold(self, id: str, claimed: StoredJob, lasts: float) -> bool:
        """Let a claim last for `lasts` more seconds at least; False if another process has the job by now."""

        def change(tx: Transaction) -> bool:
            record = tx.record("job", id)
            if record is None or record.get("claim", "") != claimed.claim:
                return False
            if self._claim_left(record) < lasts:
                self._claim(tx, id, record, lasts)
            return True

        return self._store.transact(change)

    def add(self, id: str, add: Callable[[str | None], str | None], *, waiting: str = "") -> str:
        """Begin a job without an entry, due at once, or keep the existing one. Returns the body that is stored.

        `add` receives the body of the existing job or None. It returns the body of the job to begin, or None to keep
        the existing one. `waiting`: the id of a job that becomes due when this one ends.
        """

        def change(tx: Transaction) -> str:
            record = tx.record("job", id)
            stored = None if record is None else stored_job(record)
            body = add(stored.body if stored else None)
            if body is not None:
                self._put(tx, id, json.loads(body) | ({"waiting": [waiting]} if waiting else {}), 0.0)
                return body
            if stored is None:
                return ""
            if waiting and waiting not in stored.waiting:
                tx.put_record("job", id, {**record, "waiting": [*stored.waiting, waiting]}, kept=JOB_KEPT_SECONDS)
            return stored.body

        return self._store.transact(change)

    def ask_again(self, id: str) -> None:
        """Record that a caller wants a job done again, and make it due now. A step that runs meanwhile keeps this."""
        self._store.transact(lambda tx: self._wake(tx, id, "asked"))

    def outcomes(self) -> dict[str, int]:
        """Read how many jobs ended with each outcome."""
        return self._store.read(lambda tx: tx.record("job", OUTCOMES_RECORD)) or {}

    def count_open(self) -> int:
        """Read how many jobs are open."""
        return self._store.read(lambda tx: tx.dues())

    def take_room(self, id: str, size: int, lasts: float) -> int:
        """Reserve `size` bytes for a download, for at most `lasts` seconds. Returns the bytes reserved by others."""

        def change(tx: Transaction) -> int:
            now = self.clock.now().wall
            coming = self._coming(tx, now)
            others = sum(int(size) for other, (size, _) in coming.items() if other != id)
            tx.put_record("job", COMING_RECORD, {**coming, id: [size, now + lasts]}, kept=DAY)
            return others

        return self._store.transact(change)

    def leave_room(self, id: str) -> None:
        """Release a reservation."""

        def change(tx: Transaction) -> None:
            coming = self._coming(tx, self.clock.now().wall)
            coming.pop(id, None)
            tx.put_record("job", COMING_RECORD, coming or None, kept=DAY)

        self._store.transact(change)

    @staticmethod
    def _coming(tx: Transaction, now: float) -> dict[str, list[float]]:
        stored: dict[str, list[float]] = tx.record("job", COMING_RECORD) or {}
        return {id: [size, until] for id, (size, until) in stored.items() if until > now}

    def due(self, limit: int) -> list[str]:
        """Read the ids of the jobs that are due, oldest first."""
        return self._store.read(lambda tx: tx.due(self.clock.now().wall, limit))

    def behind(self) -> float:
        """Seconds since the oldest due job became due; 0 if none is due."""
        oldest = self._store.read(lambda tx: tx.next_due())
        return 0.0 if oldest is None else max(0.0, self.clock.now().wall - oldest)

    def note_report(self, process: str, report: JobsReport) -> None:
        """Record what a jobs process gets done. `process`: its name."""
        now = self.clock.now()

        def change(tx: Transaction) -> None:
            others = self._fresh(tx.record("consumer", "reports"))
            tx.put_record("consumer", "reports", {**others, process: [list(now), asdict(report)]}, kept=DAY)

        self._store.transact(change, durable=False)

    def report(self) -> JobsReport | None:
        """What all jobs processes of the last minute get done; None without one."""
        stored = self._store.read(lambda tx: tx.record("consumer", "reports"))
        reports = [JobsReport(**report) for _, report in self._fresh(stored).values()]
        if not reports:
            return None
        return JobsReport(
            slots=sum(report.slots for report in reports),
            free_slots=sum(report.free_slots for report in reports),
            no_slot_for=min(report.no_slot_for for report in reports),
            stalled_for=max(report.stalled_for for report in reports),
            unread_for=max(report.unread_for for report in reports),
        )

    def _fresh(self, reports: Any) -> Any:
        stored = (reports or {}).items()
        return {name: each for name, each in stored if self.clock.since(Moment(*each[0])) < REPORT_VALID_SECONDS}

    def note_consumer(self) -> None:
        """Record that a jobs process is alive. If the wall clock may have been set back, all jobs are due now.

        A job is due by the wall clock, as machines share it. One that is looked at too early waits again.
        """
        now = self.clock.now()

        def change(tx: Transaction) -> None:
            before = tx.record("consumer", "seen")
            if not before or _was_set_back(Moment(*before), now):
                for id in tx.due(math.inf, MAX_DUE_JOBS):
                    tx.put_due(id, now.wall)
            tx.put_record("consumer", "seen", list(now), kept=DAY)

        self._store.transact(change)

    def consumer_seen(self) -> float | None:
        """Seconds since a jobs process was last seen; None if none was seen recently."""
        seen = self._store.read(lambda tx: tx.record("consumer", "seen"))
        return self.clock.since(Moment(*seen)) if seen else None

    def _wake(self, tx: Transaction, id: str, *counts: str) -> None:
        record = tx.record("job", id)
        if record is not None:
            more = {name: record.get(name, 0) + 1 for name in {"woken", *counts}}
            self._put(tx, id, {**record, **more}, 0.0)

    def _put(self, tx: Transaction, id: str, record: Any, due_in: float | None) -> None:
        tx.put_record("job", id, record, kept=JOB_KEPT_SECONDS)
        tx.put_due(id, None if due_in is None else self._due_at(tx, due_in))

    def _due_at(self, tx: Transaction, due_in: float) -> float:
        """When a job is due, by the wall clock.

        A clock that was set forward since the latest sweep does not count: it may be set back before the next one,
        which would then find nothing to mend. If it is not, the job is due early, once.
        """
        now, seen = self.clock.now(), tx.record("consumer", "seen")
        swept = Moment(*seen) if seen else now
        is_comparable = swept.boot_id == now.boot_id and swept.boot <= now.boot
        return (min(now.wall, swept.wall + now.boot - swept.boot) if is_comparable else now.wall) + due_in

    def _claim(self, tx: Transaction, id: str, record: Any, lasts: float) -> Any:
        claimed = {**record, "claimed_at": list(self.clock.now()), "claimed_for": lasts}
        self._put(tx, id, claimed, lasts)
        return claimed

    def _claim_left(self, record: Any) -> float:
        """Seconds that a claim still counts, even if the wall clock was set since."""
        if "claimed_at" not in record:
            return 0.0
        lasts: float = record["claimed_for"]
        passed = self.clock.since(Moment(*record["claimed_at"]))
        # Negative: not Linux, and the machine was restarted since (app/splits/clock.py).
        return lasts - passed if passed >= 0 else 0.0


def stored_job(record: Any) -> StoredJob:
    """Read the record of a job."""
    return StoredJob(
        body=json.dumps({name: value for name, value in record.items() if name not in _TABLE_FIELDS}),
        claim=record.get("claim", ""),
        waiting=tuple(record.get("waiting", ())),
        woken=record.get("woken", 0),
        asked=record.get("asked", 0),
        crashes=record.get("crashes", 0),
    )


def _was_set_back(before: Moment, now: Moment) -> bool:
    """Whether the wall clock was set back between two moments of one boot."""
    return before.boot_id == now.boot_id and now.wall - before.wall < now.boot - before.boot - CLOCK_SET_BACK_SECONDS
