"""Find out, for free, what an attempt in doubt has made: ask Suno's witnesses, and let the ledger judge."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

from app.splits.evidence import (
    MAX_DATE_ERROR_SECONDS,
    SUNO_CLOCK_ERROR_SECONDS,
    Evidence,
    Finding,
    Others,
    Reason,
    Verdict,
    evidence,
)
from app.splits.ledger import Ledger
from app.splits.store import Entry, LedgerUnavailable
from app.splits.wait import Wait
from app.suno.call import Deadline
from app.suno.clip import Clip
from app.suno.errors import SunoError
from app.suno.gateway import SunoGateway
from app.suno.session import Account
from app.suno.stems import StemChoice
from app.timing import LOST_STEMS_SECONDS, Timing

log = logging.getLogger(__name__)

MAX_LOOKS = 4
"""How often to look for lost stems before reporting `outcome_unknown`, `poll_interval` apart."""

Shown = frozenset[tuple[str, ...]]
NOTHING: Shown = frozenset()

PASSING_REASONS = (Reason.UNCONFIRMED, Reason.RUNNING)
"""Reasons that may be gone a moment later."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inquiry:
    """Asks about the entries of one song, on one account."""

    account: Account
    choice: StemChoice
    witnesses: SunoGateway
    ledger: Ledger
    timing: Timing

    def recover(self, entry: Entry, lasts: float) -> Sequence[Clip]:
        """Poll for the stems of a lost answer for at most `lasts` seconds; empty if they are not found.

        An empty or failed poll does not end it: new stems appear late, and Suno may recover.
        """
        deadline = Deadline(lasts)
        seen = NOTHING
        for look in range(MAX_LOOKS):
            if look:
                self._pause(deadline)
            try:
                found = self._arrange(entry, self._listed(entry, deadline), seen)
                finding, seen = self.ledger.settle(entry, found), found.shown
                if finding.verdict is Verdict.OURS:
                    return finding.stems
            except (SunoError, LedgerUnavailable) as error:
                log.warning("Request %s could not look for its stems: %s", entry.request_id, error)
        return ()

    def find_out(self, stored: Entry) -> Finding:
        """Find out the outcome of an entry in doubt. OURS is recorded in the ledger. Raises a SunoError."""
        deadline = Deadline(LOST_STEMS_SECONDS)
        settled = self.ledger.overdue_seconds(stored) >= self.timing.settle_time
        stems = self._listed(stored, deadline)
        found = self._arrange(stored, stems, settled=settled)
        finding = self.ledger.settle(stored, found)
        if finding.reason in PASSING_REASONS:
            self._pause(deadline)
            stems = self._listed(stored, deadline)
            found = self._arrange(stored, stems, found.shown, settled=settled)
            finding = self.ledger.settle(stored, found)
        if finding.verdict is Verdict.UNSEEN and settled:
            others = self._others(stored, self._when_made(stored)[0], deadline)
            finding = self.ledger.settle(stored, self._arrange(stored, stems, settled=True, others=others))
        return finding

    def find_new(self, stored: Entry, wait: Wait, *, ask_all: bool) -> Finding:
        """Look for stems that a person has made since a request began to wait. OURS is recorded in the ledger.

        `ask_all`: ask all three witnesses; otherwise the song's list alone, which proves no NONE. Raises a SunoError.
        """
        deadline = Deadline(LOST_STEMS_SECONDS)
        stems = self._listed(stored, deadline)
        found = self._arrange_new(stored, wait, stems)
        finding = self.ledger.waits.adopt(stored, found)
        if finding.reason is Reason.UNCONFIRMED:
            self._pause(deadline)
            stems = self._listed(stored, deadline)
            finding = self.ledger.waits.adopt(stored, self._arrange_new(stored, wait, stems, found.shown))
        if ask_all and finding.verdict is Verdict.UNSEEN:
            others = self._others(stored, self._began_to_wait(wait), deadline)
            finding = self.ledger.waits.adopt(stored, self._arrange_new(stored, wait, stems, others=others))
        return finding

    def recent(self, entry: Entry, stems: Sequence[Clip]) -> tuple[str, ...]:
        """The ids of listed stems that may be an entry's, by their dates."""
        return self._arrange(entry, stems).recent

    def _listed(self, entry: Entry, deadline: Deadline) -> Sequence[Clip]:
        return self.witnesses.stems(self.account, entry.song_id, deadline)

    def _others(self, entry: Entry, began: float, deadline: Deadline) -> Others:
        has_stem = self.witnesses.song_has_stems(self.account, entry.song_id, deadline)
        return Others(has_stem, self.witnesses.newest_clips(self.account, began - MAX_DATE_ERROR_SECONDS, deadline))

    def _arrange_new(
        self, entry: Entry, wait: Wait, stems: Sequence[Clip], seen: Shown = NOTHING, *, others: Others | None = None
    ) -> Evidence:
        """Nothing was paid: so there is no settle time, and no set is late."""
        began = self._began_to_wait(wait)
        return evidence(
            entry.song_id, self.choice, stems, began=began, ended=math.inf, others=others, seen=seen, settled=True
        )

    def _began_to_wait(self, wait: Wait) -> float:
        """Seconds since 1970 by Suno's clock."""
        now = self.witnesses.now()
        return wait.began.wall if now is None else now - self.ledger.clock.since(wait.began)

    def _arrange(
        self,
        entry: Entry,
        stems: Sequence[Clip],
        seen: Shown = NOTHING,
        *,
        settled: bool = False,
        others: Others | None = None,
    ) -> Evidence:
        began, ended = self._when_made(entry)
        return evidence(
            entry.song_id, self.choice, stems, began=began, ended=ended, others=others, seen=seen, settled=settled
        )

    def _when_made(self, entry: Entry) -> tuple[float, float]:
        """From when to when Suno should have made the entry's stems: seconds since 1970 by Suno's clock."""
        now = self.witnesses.now()
        clock = self.ledger.clock
        if now is None:
            first, last = entry.began.wall, entry.attempt_began.wall
        else:
            first, last = now - clock.since(entry.began), now - clock.since(entry.attempt_began)
        return first, last + entry.lasts + self.timing.settle_time + SUNO_CLOCK_ERROR_SECONDS

    def _pause(self, deadline: Deadline) -> None:
        time.sleep(min(self.timing.poll_interval, deadline.remaining))
