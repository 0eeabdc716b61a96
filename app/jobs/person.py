"""A split's job while a person is needed: call that person, and look for what they have made at suno.com.

One look a minute serves all requests of an account that wait. It reads the list of stems of at most LISTS_A_LOOK
songs, in turn, and of those that Suno marks as split meanwhile. Whichever job takes the turn looks for all; it wakes
the jobs of those that have got stems.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice

from app.jobs.deliver import as_text
from app.jobs.job import SplitJob, read_split
from app.parts import Parts
from app.splits.evidence import Verdict
from app.splits.inquiry import Inquiry
from app.splits.store import Entry
from app.splits.wait import Ended, Wait
from app.splits.waiting import Look
from app.suno.ids import is_same
from app.suno.session import Account
from app.suno.stems import StemChoice, StemTask

log = logging.getLogger(__name__)

LOOKS_EVERY = 60.0
"""Minimum seconds between two looks for the requests of an account that wait."""

LISTS_A_LOOK = 2
"""Songs whose stems every look reads, in turn: Suno's mark of a song may be late, or wrong."""

MOST_LISTS = 10
"""Maximum songs whose stems a look reads, because Suno marks them as split."""

BATCH = 50
"""Maximum songs in one call to Suno."""

WAITED_IN_VAIN = {
    Ended.TOO_LATE: "Suno wanted a captcha, and no person split the song at suno.com in time. Nothing was charged.",
    Ended.CANCELLED: "The request was cancelled while it waited for a person. Nothing was charged.",
}
"""What receivers and callers are told about a wait that has ended without stems."""

AccountOf = Callable[[SplitJob], Account]


@dataclass(frozen=True, slots=True)
class Person:
    """What a person has to do."""

    url: str
    """The page of the song."""
    what: str
    """What to choose there, in one sentence."""
    until: str
    """When the wait ends; ISO 8601 in UTC."""


def person_of(wait: Wait, song_id: str, choice: StemChoice) -> Person:
    """What a person has to do for a request that waits."""
    match choice.task:
        case StemTask.TWELVE:
            action = "choose Auto Split"
        case StemTask.TWO:
            action = f"choose Split from Mix and {choice.extracted}"
    what = (
        f"Open the song at suno.com as the owner of the account, and {action}: Suno asks for its captcha there. This "
        "request then takes those stems."
    )
    return Person(f"https://suno.com/song/{song_id}", what, as_text(wait.began.wall + wait.lasts))


class Lookout:
    """Looks for what persons have made. One instance per process."""

    def __init__(self, parts: Parts, account_of: AccountOf) -> None:
        self._parts, self._ledger, self._account_of = parts, parts.ledger, account_of

    def look(self, entry: Entry, job: SplitJob) -> float:
        """Look for all requests of the account that wait, if it is time. Returns the seconds until the next look.

        Raises a SunoError, and what `account_of` raises.
        """
        account = self._account_of(job)
        turn = self._ledger.waits.take_look(entry.account, LOOKS_EVERY)
        if isinstance(turn, float):
            return turn
        wanted = self._worth_a_look(account, turn)
        for waiting, wait in turn.waiting:
            if waiting.song_id in wanted:
                self._find_new(account, waiting, wait)
        return LOOKS_EVERY

    def _worth_a_look(self, account: Account, turn: Look) -> set[str]:
        """The songs whose stems this look reads."""
        songs = list(dict.fromkeys(waiting.song_id for waiting, _ in turn.waiting))
        first = turn.number * LISTS_A_LOOK % len(songs) if songs else 0
        in_turn = [*songs[first:], *songs[:first]][:LISTS_A_LOOK]
        if len(songs) <= LISTS_A_LOOK:
            return set(in_turn)
        # A song that already had stems has had its mark before.
        unmarked = dict.fromkeys(waiting.song_id for waiting, wait in turn.waiting if not wait.listed)
        return {*in_turn, *islice(self._marked(account, list(unmarked)), MOST_LISTS)}

    def _marked(self, account: Account, songs: Sequence[str]) -> list[str]:
        """The songs that Suno marks as split."""
        marked: list[str] = []
        for start in range(0, len(songs), BATCH):
            batch = songs[start : start + BATCH]
            clips = self._parts.gateway.clips(account, batch, one_by_one=False)
            marked += [song for song in batch if any(is_same(clip.id, song) and clip.has_stems for clip in clips)]
        return marked

    def _find_new(self, account: Account, waiting: Entry, wait: Wait) -> None:
        stored = self._ledger.jobs.get(waiting.id)
        if stored is None:
            return
        inquiry = Inquiry(
            account=account,
            choice=read_split(stored.body).choice,
            witnesses=self._parts.gateway,
            ledger=self._ledger,
            timing=self._parts.settings.timing,
        )
        finding = inquiry.find_new(waiting, wait, ask_all=False)
        if finding.verdict is Verdict.OURS:
            log.info("Request %s takes stems that a person has made.", waiting.request_id)
            self._parts.queue.put(waiting.id)
