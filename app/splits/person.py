"""A person is needed: let a request wait, and find out what the person has done (rules: app/splits/waiting.py)."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from app.splits.evidence import Finding, Verdict
from app.splits.inquiry import Inquiry
from app.splits.jobs import NewJob
from app.splits.ledger import Ledger
from app.splits.refusals import InProgress, whole_seconds
from app.splits.store import Entry, LedgerUnavailable, State
from app.splits.wait import Wait
from app.suno.call import Deadline
from app.suno.errors import CaptchaRequired, SessionExpired, SunoError, SunoUnreachable
from app.suno.gateway import SunoGateway
from app.suno.session import Account
from app.suno.stems import StemChoice, StemTask
from app.timing import LOST_STEMS_SECONDS

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PersonNeeded:
    """Suno wants a captcha, and the request waits for a person. It has paid nothing."""

    entry: Entry


@dataclass(frozen=True, slots=True, kw_only=True)
class Handover:
    """What a request does if Suno wants a captcha: wait for a person."""

    lasts: float
    """Maximum seconds of the wait."""
    job: NewJob
    """Begins with the wait, unless the split has a job: somebody has to look for what the person makes."""
    most: int
    """How many requests of a caller may wait."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonInquiry:
    """Asks about one request."""

    account: Account
    choice: StemChoice
    gateway: SunoGateway
    inquiry: Inquiry
    ledger: Ledger
    names: Sequence[str] = ()
    """The ledger's names of the account."""
    handover: Handover | None = None

    def hand_over(self, entry: Entry, error: CaptchaRequired) -> Entry | None:
        """Let the request wait for a person; None if it shall not, or if a paid call of it may have left.

        Raises SunoUnreachable if it is not known what the song lists now, and TooManyWaiting.
        """
        before = self.ledger.waits.get(entry.id) if entry.attempt > 1 else None
        goes_on = before is not None and before.attempt == entry.attempt - 1 and before.ended is None
        if error.at_sign_in or not (goes_on or self.handover):
            return None
        wait, job = before, None
        if self.handover and not goes_on:
            # Stems that are listed before the wait begins are not what the person makes.
            listed = self._listed_before_wait(entry)
            part = "" if self.choice.task is StemTask.TWELVE else self.choice.extracted
            began = self.ledger.clock.now()
            wait = Wait(
                began=began,
                lasts=self.handover.lasts,
                listed=listed,
                part=part,
                names=tuple(self.names),
                attempt=entry.attempt,
            )
            job = self.handover.job
        waiting = self._wait(entry, wait, job) if wait else None
        if waiting and not goes_on:
            log.warning(
                "Suno wants a captcha from the account %s: request %s waits until a person splits the song %s at "
                "suno.com, or solves one there.",
                self.account.name,
                entry.request_id,
                entry.song_id,
            )
        return waiting

    def _listed_before_wait(self, entry: Entry) -> tuple[str, ...]:
        """The ids of all stems that the song lists. Raises SunoUnreachable if they cannot be read."""
        try:
            return tuple(
                stem.id for stem in self.gateway.stems(self.account, entry.song_id, Deadline(LOST_STEMS_SECONDS))
            )
        except SunoError as error:
            log.warning("Request %s cannot wait for a person: %s", entry.request_id, error)
            raise SunoUnreachable(
                "Suno wants a captcha, and the song's stems cannot be read now. So this request cannot wait for a "
                "person: it could not tell new stems from those that are there. Nothing was charged: try again."
            ) from error

    def look(self, stored: Entry) -> tuple[Finding, bool]:
        """Look for what a person has made; if that is nothing, ask whether Suno still wants a captcha.

        Raises SessionExpired, and InProgress if Suno cannot be read.
        """
        wait = self.ledger.waits.get(stored.id)
        if wait is None:
            raise InProgress("The record of this request is incomplete. Use a new Idempotency-Key.", retry_after=60)
        try:
            finding = self.inquiry.find_new(stored, wait, ask_all=True)
            must_ask = finding.verdict is Verdict.NONE and stored.state is State.NEEDS_PERSON
            must_wait = must_ask and self.gateway.must_solve_captcha(self.account, self.choice)
        except SessionExpired:
            raise
        except SunoError as error:
            log.warning("Request %s could not look for new stems: %s", stored.request_id, error)
            raise InProgress(
                "Suno cannot be read now, so it is not known whether a person has split the song. Nothing was "
                "charged. Send it again later.",
                retry_after=whole_seconds(self.inquiry.timing.poll_interval),
            ) from error
        return finding, must_wait

    def _wait(self, entry: Entry, wait: Wait, job: NewJob | None) -> Entry | None:
        try:
            return self.ledger.wait(entry, wait, job, most=self.handover.most if self.handover else None)
        except LedgerUnavailable as error:
            log.error("Request %s cannot wait for a person: %s", entry.request_id, error.why)
            return None
