"""What the jobs process gets done, for `/readyz`, metrics and alerts."""

from __future__ import annotations

from app.splits.clock import Clock, Moment
from app.splits.jobs import JobsReport

STALLED_JOB_SECONDS = 3600.0
"""Seconds after its last step in this process for which a job counts: another process may have it now."""


class Progress:
    """What the steps of one process have shown."""

    def __init__(self, clock: Clock, slots: int) -> None:
        """`slots`: how many fetches may run at once."""
        self._clock, self._slots = clock, slots
        self._open: dict[str, tuple[Moment, Moment]] = {}
        """Of each open job: its last progress, and its last step here."""
        self._unread_since: Moment | None = None
        self._no_slot_since: Moment | None = None

    def note_step(self, id: str, progressed: Moment | None, is_suno_read: bool | None) -> None:
        """Note a step. `progressed`: the job's last progress; None if it has ended, or does not wait for Suno."""
        now = self._clock.now()
        if progressed is None:
            self._open.pop(id, None)
        else:
            self._open[id] = progressed, now
        if is_suno_read is not None:
            self._unread_since = None if is_suno_read else self._unread_since or now

    def report(self, free_slots: int) -> JobsReport:
        """What can be said now."""
        since = self._clock.since
        self._open = {id: each for id, each in self._open.items() if since(each[1]) < STALLED_JOB_SECONDS}
        self._no_slot_since = None if free_slots else self._no_slot_since or self._clock.now()
        return JobsReport(
            slots=self._slots,
            free_slots=free_slots,
            no_slot_for=since(self._no_slot_since) if self._no_slot_since else 0.0,
            stalled_for=max((since(progressed) for progressed, _ in self._open.values()), default=0.0),
            unread_for=since(self._unread_since) if self._unread_since and self._open else 0.0,
        )
