"""A split, from the question to its stems: paid once for a key, and never lost once paid."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import ParamSpec, TypeVar

from app import metrics
from app.settings import Settings
from app.splits.ledger import Entry, Found, Ledger, LedgerUnavailable, State, seconds_until
from app.suno.clip import Clip, StemTask, finished_set, sets_made
from app.suno.errors import OutcomeUnknown, SessionExpired, SunoError
from app.suno.gateway import SunoGateway
from app.suno.session import Account
from app.suno.wire import Deadline
from app.web import telemetry
from app.web.access import caller_of_request
from app.web.account import ledger_name
from app.web.current import is_stopping, ledger
from app.web.errors import InProgress, KeyReused, SplitNotFound

log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

LOOKS = 4
"""How often a request that lost Suno's answer looks for its stems before it says so, SUNO_POLL_INTERVAL apart."""

LOOK_FOR = 20.0
"""Seconds for all of these looks."""

INSIST = 10.0
"""Seconds for which a ledger that is away is told again what was paid for, SUNO_POLL_INTERVAL apart."""

CLOCKS_DIFFER = 10.0
"""Seconds between Suno's clock and ours, either way."""

SLACK = 1.0
"""Seconds between the deadline of the paid call and the moment at which the ledger counts it as over."""

GLANCE = 0.1
"""Seconds between two looks at the ledger, for a retry that waits for the first request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stems:
    """The answer to a split."""

    clips: Sequence[Clip]
    replayed: bool
    """Whether it was paid for by an earlier request with the same key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """A request for the stems of a song."""

    account: Account
    song_id: str
    task: StemTask
    reuse_existing: bool
    wait_audio: bool
    key: str
    """The Idempotency-Key; "" where there is none: then each request is a split of its own."""

    gateway: SunoGateway
    ledger: Ledger
    settings: Settings

    def stems(self) -> Stems:
        """Split the song, or answer with what an earlier request with the same key has paid for.

        Raises KeyReused, InProgress, LedgerUnavailable (nothing was sent then), or what Suno says.
        """
        patience = Deadline(self.settings.suno.deadline)
        while True:
            entry = self._entry()
            found = self._begin(entry)
            if found.id == entry.id:
                return self._first(entry)
            if found.question != entry.question:
                raise KeyReused(
                    "This Idempotency-Key was used for another question within 24 hours: take a new key for a new "
                    "split, or send the first question again for its answer."
                )
            if (stems := self._later(found, patience)) is not None:
                return stems

    def _entry(self) -> Entry:
        return Entry.begin(
            caller=caller_of_request(),
            account=ledger_name(self.account),
            key=self.key,
            question=json.dumps([self.song_id, self.task, self.reuse_existing]),
            song=self.song_id,
            task=self.task,
            request_id=telemetry.request_id(),
            lasts=self._paid_call_lasts(),
        )

    def _paid_call_lasts(self) -> float:
        return self.settings.suno.deadline + SLACK

    def _begin(self, entry: Entry) -> Entry:
        if self.key:
            return self.ledger.begin(entry)
        return _told(self.ledger.begin, entry) or entry

    def _first(self, entry: Entry) -> Stems:
        """Ask Suno, and find out what became of the question where Suno's answer is lost."""
        try:
            clips = self._ask(entry)
        except Exception as error:
            if not getattr(error, "may_have_charged", True):
                _told(self.ledger.free, entry)
                raise
            _told(self.ledger.doubt, entry)
            clips = self._recover(entry)
            if not clips:
                raise
        if self.wait_audio:
            clips = self._wait(clips)
        if self.wait_audio or self.key:
            # Else what was answered is what was paid for, which the ledger has; nobody can ask for it again.
            _told(self.ledger.answer, entry, clips)
        return Stems(clips=clips, replayed=False)

    def _ask(self, entry: Entry) -> Sequence[Clip]:
        # What the ledger took to write the entry is gone: it counts this call as over at the entry's deadline.
        left = entry.deadline - SLACK - time.time()
        # But no longer than that where the clock was set back meanwhile.
        deadline = Deadline(min(left, self.settings.suno.deadline))
        if self.reuse_existing:
            existing = finished_set(self.gateway.stems(self.account, self.song_id, deadline), self.task)
            if existing:
                _told(self.ledger.finish, entry, existing, claim=False)
                return existing
        clips = self.gateway.generate_stems(self.account, self.song_id, self.task, deadline)
        if self._tell_paid(entry, clips) is False and self.key:
            raise OutcomeUnknown("Suno's stems were taken by another request that was in doubt about its own.")
        return clips

    def _tell_paid(self, entry: Entry, clips: Sequence[Clip]) -> bool | None:
        """Tell the ledger what this entry has paid for; with a key, for a while if it is away.

        Else a request in doubt for the same song would take these stems for its own, once the entry is overdue.
        """
        patience = Deadline(INSIST if self.key else 0)
        while patience.remaining and not is_stopping():
            try:
                return self.ledger.finish(entry, clips, claim=True)
            except LedgerUnavailable as error:
                log.warning("Request %s tells the ledger again what it paid for: %s", entry.request_id, error.why)
                time.sleep(min(self.settings.suno_poll_interval, patience.remaining))
        return _told(self.ledger.finish, entry, clips, claim=True)

    def _recover(self, entry: Entry) -> Sequence[Clip]:
        try:
            return self._look(entry, LOOKS)[1]
        except (SunoError, LedgerUnavailable) as error:
            log.warning("Request %s could not look for its stems: %s", entry.request_id, error)
            return ()

    def _later(self, found: Entry, patience: Deadline) -> Stems | None:
        """Answer a retry; None where the ledger has to be asked again."""
        match found.state:
            case State.DONE:
                return self._replay(found)
            case State.IN_DOUBT:
                return self._settle(found)
            case State.STARTED:
                now: Entry | None = found
                while now and now.state is State.STARTED:
                    if not patience.remaining or is_stopping():
                        raise InProgress(
                            "The first request with this Idempotency-Key is still under way: send it again later.",
                            retry_after=seconds_until(now.deadline),
                        )
                    time.sleep(GLANCE)
                    now = self.ledger.get(found.id)
                return None

    def _replay(self, found: Entry) -> Stems:
        clips: Sequence[Clip] = found.reply or found.stems
        if self.wait_audio and not all(clip.is_final for clip in clips):
            clips = self._wait(clips)
            _told(self.ledger.answer, found, clips)
        return Stems(clips=clips, replayed=True)

    def _settle(self, found: Entry) -> Stems | None:
        """Look for the stems of a request in doubt; pay again only once it is certain that it made none."""
        certain = found.deadline + self.settings.suno_settle_time
        try:
            outcome, clips = self._look(found, 2)
        except SessionExpired:
            raise
        except SunoError as error:
            raise InProgress(
                f"What became of the first request with this Idempotency-Key cannot be found out now. {error}",
                retry_after=max(
                    seconds_until(certain), seconds_until(time.time() + self.settings.suno_poll_interval)
                ),
            ) from error
        if outcome is Found.YES:
            return self._replay(replace(found, stems=tuple(clips)))
        if outcome is Found.NO and time.time() >= certain:
            again = self.ledger.restart(found, self._paid_call_lasts())
            return self._first(again) if again else None
        raise InProgress(
            "The first request with this Idempotency-Key got no whole answer from Suno, which may have charged; its "
            "stems are not to be found yet. Send it again later: it is not paid for twice.",
            retry_after=max(seconds_until(certain), seconds_until(time.time() + self.settings.suno_poll_interval)),
        )

    def _look(self, entry: Entry, looks: int) -> tuple[Found, Sequence[Clip]]:
        """Look for the stems that an entry in doubt has paid for, until nothing changes between two looks.

        With two looks it ends after the first that sees none or fails; with more it goes on, for new stems appear
        late, and Suno may be back by then.
        """
        deadline = Deadline(LOOK_FOR)
        until = entry.deadline + self.settings.suno_settle_time + CLOCKS_DIFFER
        before: list[list[str]] = []
        outcome = Found.NO
        for look in range(looks):
            if look:
                time.sleep(min(self.settings.suno_poll_interval, deadline.remaining))
            try:
                stems = self.gateway.stems(self.account, self.song_id, deadline)
            except SunoError:
                if look + 1 == looks or looks == 2:
                    raise
                continue
            sets = sets_made(stems, self.task, since=entry.began - CLOCKS_DIFFER, until=until)
            ids = [[clip.id for clip in clips] for clips in sets]
            if sets:
                outcome = self.ledger.settle(entry, sets) if ids == before else Found.PERHAPS
            elif looks == 2:
                return Found.NO, ()
            if outcome is Found.YES:
                settled = self.ledger.get(entry.id)
                return outcome, settled.stems if settled else ()
            before = ids
        return outcome, ()

    def _wait(self, clips: Sequence[Clip]) -> Sequence[Clip]:
        with metrics.WAITERS.track_inprogress():
            return self.gateway.wait_for(
                self.account,
                clips,
                patience=self.settings.suno_wait_timeout,
                interval=self.settings.suno_poll_interval,
                stopping=is_stopping,
            )


def split_of_request(account: Account, request_id: str) -> Entry:
    """Read what the ledger has of a split. Raises SplitNotFound, which also is what others' requests are."""
    entry = ledger.of_request(caller_of_request(), ledger_name(account), request_id)
    if entry is None:
        raise SplitNotFound(
            "No split of the last 24 hours is known by this request id, for this account: it was not sent, was not "
            "charged, or was another's."
        )
    return entry


def _told(tell: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
    """Tell the ledger something that must not stop the request; its failure is logged."""
    try:
        return tell(*args, **kwargs)
    except LedgerUnavailable as error:
        log.error("The ledger was not told of request %s: %s", telemetry.request_id(), error.why)
        return None
