"""A split's job while a person is needed: call that person, and look for what they have made at suno.com.

One look a minute serves all requests of an account that wait. It reads the list of stems of at most LISTS_PER_LOOK
songs, in turn, and of those that Suno marks as split meanwhile. Whichever job takes the turn looks for all; it wakes
the jobs of those that have got stems.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import islice

from app.jobs.job import Next, SplitJob, Unreadable
from app.jobs.notice import Notices
from app.jobs.person import PERSON_LOOK_SECONDS
from app.parts import Parts
from app.splits.evidence import Verdict
from app.splits.inquiry import Inquiry
from app.splits.store import Entry
from app.splits.wait import Ended, Wait
from app.splits.waiting import LookTurn
from app.suno.errors import SunoError
from app.suno.ids import is_same
from app.suno.session import Account
from app.timing import MAX_RETRY_AFTER_SECONDS

log = logging.getLogger(__name__)

LISTS_PER_LOOK = 2
"""Songs whose stems every look reads, in turn: Suno's mark of a song may be late, or wrong."""

MAX_LISTS_PER_LOOK = 10
"""Maximum songs whose stems a look reads, because Suno marks them as split."""

MAX_IDS_PER_CALL = 50
"""Maximum songs in one call to Suno."""

MAX_LOOK_PAUSE_SECONDS = 600.0
"""Maximum seconds between two looks while Suno cannot be read."""

AccountOf = Callable[[SplitJob], Account]


class Lookout:
    """Runs the jobs of splits that wait for a person. One instance per process."""

    def __init__(self, parts: Parts, notices: Notices, account_of: AccountOf) -> None:
        self._parts, self._ledger = parts, parts.ledger
        self._notices, self._account_of = notices, account_of

    def step(self, id: str, job: SplitJob, entry: Entry) -> Next[SplitJob]:
        """Call the person, and look whether the song is split at suno.com.

        If the wait's time is over, look a last time, and end it.
        """
        wait, left = self._ledger.waits.get(id), -self._ledger.overdue_seconds(entry)
        if wait is None or left <= 0:
            if wait is not None:
                self._look_a_last_time(entry, job, wait)
            self._ledger.waits.end(entry, Ended.TOO_LATE)
            return Next(job, 0.0)
        if job.called != wait.began:
            job = self._notices.call_person(id, job, wait)
        try:
            return Next(replace(job, failures=0), min(left, self._look(entry, job)))
        except (SunoError, Unreadable) as error:
            log.warning("The job of request %s cannot look for new stems: %s", job.request_id, error)
            wanted = min(MAX_RETRY_AFTER_SECONDS, getattr(error, "retry_after", None) or 0.0)
            pause = max(wanted, min(MAX_LOOK_PAUSE_SECONDS, PERSON_LOOK_SECONDS * (job.failures + 1)))
            return Next(replace(job, failures=job.failures + 1), min(left, pause), is_suno_read=False)

    def _look(self, entry: Entry, job: SplitJob) -> float:
        """Look for all requests of the account that wait, if it is time. Returns the seconds until the next look.

        Raises a SunoError, and what `account_of` raises.
        """
        account = self._account_of(job)
        turn = self._ledger.waits.take_look(entry.account, PERSON_LOOK_SECONDS)
        if isinstance(turn, float):
            return turn
        wanted = self._worth_a_look(account, turn)
        for waiting, wait in turn.waiting:
            if waiting.song_id in wanted:
                self._find_new(account, waiting, wait)
        return PERSON_LOOK_SECONDS

    def _look_a_last_time(self, entry: Entry, job: SplitJob, wait: Wait) -> None:
        try:
            self._find_new(self._account_of(job), entry, wait)
        except (SunoError, Unreadable) as error:
            log.warning("The job of request %s cannot look a last time: %s", job.request_id, error)

    def _worth_a_look(self, account: Account, turn: LookTurn) -> set[str]:
        """The songs whose stems this look reads."""
        songs = list(dict.fromkeys(waiting.song_id for waiting, _ in turn.waiting))
        first = turn.number * LISTS_PER_LOOK % len(songs) if songs else 0
        in_turn = [*songs[first:], *songs[:first]][:LISTS_PER_LOOK]
        if len(songs) <= LISTS_PER_LOOK:
            return set(in_turn)
        # A song that already had stems has had its mark before.
        unmarked = dict.fromkeys(waiting.song_id for waiting, wait in turn.waiting if not wait.listed)
        return {*in_turn, *islice(self._marked(account, list(unmarked)), MAX_LISTS_PER_LOOK)}

    def _marked(self, account: Account, songs: Sequence[str]) -> list[str]:
        """The songs that Suno marks as split."""
        marked: list[str] = []
        for start in range(0, len(songs), MAX_IDS_PER_CALL):
            batch = songs[start : start + MAX_IDS_PER_CALL]
            clips = self._parts.gateway.clips(account, batch, one_by_one=False)
            marked += [song for song in batch if any(is_same(clip.id, song) and clip.has_stems for clip in clips)]
        return marked

    def _find_new(self, account: Account, waiting: Entry, wait: Wait) -> None:
        inquiry = Inquiry(
            account=account,
            choice=waiting.choice,
            witnesses=self._parts.gateway,
            ledger=self._ledger,
            timing=self._parts.settings.timing,
        )
        finding = inquiry.find_new(waiting, wait, ask_all=False)
        if finding.verdict is Verdict.OURS:
            log.info("Request %s takes stems that a person has made.", waiting.request_id)
            self._parts.queue.put(waiting.id)
