"""The table of jobs: which work after the reply (app/jobs/) is due, who has claimed it, and how it ended.

A job of a split begins and ends in the same transaction as its entry (app/splits/ledger.py).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from app.ids import new_id
from app.splits.budget import DAY
from app.splits.clock import Moment
from app.splits.store import Store, Transaction

OUTCOMES, COMING = "(outcomes)", "(coming)"
"""Names of the two records that all jobs share: counted outcomes, and bytes reserved for downloads."""

FOR_GOOD = 3650 * DAY

JOB_KEPT = 10 * DAY
"""Seconds to remember a job: longer than its webhook is retried."""

CLAIM_FIELDS = ("claim", "claimed_at", "claimed_for")
"""The fields of a job that a process has claimed: a new id for each claim, when it began, and for how long."""


class JobTable:
    """The jobs. Every method is one transaction and raises LedgerUnavailable, but `put`, which is part of one."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.clock = store.clock

    def put(self, tx: Transaction, id: str, job: dict[str, Any] | None, due: float | None) -> None:
        """Within a transaction: write a job, or delete it (None), and when it is due (seconds since 1970)."""
        tx.put_record("job", id, job, kept=JOB_KEPT)
        tx.put_due(id, due)

    def get(self, id: str) -> dict[str, Any] | None:
        """Read a job."""
        found: dict[str, Any] | None = self._store.read(lambda tx: tx.record("job", id))
        return found

    def claim(self, id: str, lasts: float) -> dict[str, Any] | None:
        """Claim a job for `lasts` seconds, then it is due again. None if it is missing or another process has it."""

        def change(tx: Transaction) -> dict[str, Any] | None:
            job = tx.record("job", id)
            if job is None:
                tx.put_due(id, None)
                return None
            if self._is_claimed(job):
                return None
            return self._claim(tx, id, {**job, "claim": new_id()}, lasts)

        return self._store.transact(change)

    def release(self, id: str, job: dict[str, Any], due_in: float | None, *, outcome: str = "") -> None:
        """Write a claimed job and release it. It is due again in `due_in` seconds, or never (None).

        Writes nothing if the job was claimed again, or begun again by a retry that pays again. `outcome`: how the job
        ended, in a word, to be counted.
        """

        def change(tx: Transaction) -> None:
            held = tx.record("job", id)
            if held is not None and held.get("claim") != job.get("claim"):
                return
            free = {name: value for name, value in job.items() if name not in CLAIM_FIELDS}
            self.put(tx, id, free, None if due_in is None else self.clock.now().wall + due_in)
            if outcome:
                counted: dict[str, int] = tx.record("job", OUTCOMES) or {}
                counted[outcome] = counted.get(outcome, 0) + 1
                tx.put_record("job", OUTCOMES, counted, kept=FOR_GOOD)

        self._store.transact(change)

    def hold(self, id: str, job: dict[str, Any], lasts: float) -> bool:
        """Extend a claim to `lasts` seconds from now; False if another process has the job by now."""

        def change(tx: Transaction) -> bool:
            held = tx.record("job", id)
            if held is None or held.get("claim") != job.get("claim"):
                return False
            self._claim(tx, id, held, lasts)
            return True

        return self._store.transact(change)

    def add(self, id: str, add: Callable[[dict[str, Any] | None], dict[str, Any] | None]) -> dict[str, Any]:
        """Begin a job without an entry, due at once, or keep the existing one. Returns the job that is stored.

        `add` receives the existing job or None. It returns the job to begin, or None to keep the existing one.
        """

        def change(tx: Transaction) -> dict[str, Any]:
            held: dict[str, Any] | None = tx.record("job", id)
            new = add(held)
            if new is None:
                return held or {}
            self.put(tx, id, new, self.clock.now().wall)
            return new

        return self._store.transact(change)

    def outcomes(self) -> dict[str, int]:
        """Read how many jobs ended with each outcome."""
        return self._store.read(lambda tx: tx.record("job", OUTCOMES)) or {}

    def count_open(self) -> int:
        """Read how many jobs are open."""
        return self._store.read(lambda tx: tx.dues())

    def take_room(self, id: str, size: int, lasts: float) -> int:
        """Reserve `size` bytes for a download, for at most `lasts` seconds. Returns the bytes reserved by others."""

        def change(tx: Transaction) -> int:
            now = self.clock.now().wall
            coming = self._coming(tx, now)
            others = sum(int(size) for other, (size, _) in coming.items() if other != id)
            tx.put_record("job", COMING, {**coming, id: [size, now + lasts]}, kept=DAY)
            return others

        return self._store.transact(change)

    def leave_room(self, id: str) -> None:
        """Release a reservation."""

        def change(tx: Transaction) -> None:
            coming = self._coming(tx, self.clock.now().wall)
            coming.pop(id, None)
            tx.put_record("job", COMING, coming or None, kept=DAY)

        self._store.transact(change)

    @staticmethod
    def _coming(tx: Transaction, now: float) -> dict[str, Any]:
        held: dict[str, Any] = tx.record("job", COMING) or {}
        return {id: [size, until] for id, (size, until) in held.items() if until > now}

    def due(self, limit: int) -> list[str]:
        """Read the ids of the jobs that are due, oldest first."""
        return self._store.read(lambda tx: tx.due(self.clock.now().wall, limit))

    def behind(self) -> float:
        """Seconds since the oldest due job became due; 0 if none is due."""
        oldest = self._store.read(lambda tx: tx.next_due())
        return 0.0 if oldest is None else max(0.0, self.clock.now().wall - oldest)

    def note_consumer(self) -> None:
        """Record that a jobs process is alive."""
        now = list(self.clock.now())
        self._store.transact(lambda tx: tx.put_record("consumer", "seen", now, kept=DAY))

    def consumer_seen(self) -> float | None:
        """Seconds since a jobs process was last seen; None if none was seen recently."""
        seen = self._store.read(lambda tx: tx.record("consumer", "seen"))
        return self.clock.since(Moment(*seen)) if seen else None

    def _claim(self, tx: Transaction, id: str, job: dict[str, Any], lasts: float) -> dict[str, Any]:
        now = self.clock.now()
        claimed = {**job, "claimed_at": list(now), "claimed_for": lasts}
        self.put(tx, id, claimed, now.wall + lasts)
        return claimed

    def _is_claimed(self, job: dict[str, Any]) -> bool:
        """Whether a claim still counts, even if the wall clock was set since."""
        if "claimed_at" not in job:
            return False
        lasts: float = job["claimed_for"]
        # Negative: not Linux, and the machine was restarted since (app/splits/clock.py).
        return 0.0 <= self.clock.since(Moment(*job["claimed_at"])) < lasts
