"""The present state of an order's song, from its split's job and entry."""

from __future__ import annotations

from dataclasses import replace

from app.jobs import event
from app.jobs.job import read_split
from app.jobs.person import WAIT_ENDED_WITHOUT_STEMS
from app.splits.ledger import Ledger
from app.splits.order import OrderedSong, Problem, SongOrder, SongState
from app.splits.store import Entry, State

MAX_REPEATS = 2
"""How often a song is tried again whose paid call was lost, and made and charged nothing."""

MAX_REPEAT_AGE_SECONDS = 20 * 3600.0
"""Seconds after its paid call. The key of a split is forgotten after a day, and with it that it was tried."""


def followed_song(ledger: Ledger, order: SongOrder, song: OrderedSong) -> OrderedSong:
    """The song as its split is now. Raises LedgerUnavailable."""
    stored, entry = ledger.jobs.get(song.split), ledger.get(song.split)
    if stored is None:
        # A split without a job was refused, and cost nothing: its entry is removed together with its job.
        return waiting(song) if song.state is SongState.RUNNING else song
    job = read_split(stored.body)
    if entry is not None and entry.state is State.NEEDS_PERSON:
        # Its download stays counted: the files of what the person makes are fetched too.
        return replace(song, state=SongState.NEEDS_PERSON, credits=0, balance_before=None)
    wait = ledger.waits.get(song.split) if order.waits_for_person else None
    if entry is not None and entry.state is State.FAILED and wait and wait.ended:
        problem = Problem(wait.ended, WAIT_ENDED_WITHOUT_STEMS[wait.ended])
        return replace(song, state=SongState.FAILED, credits=0, downloads=0, error=problem)
    is_adopted = wait is not None and wait.is_adopted
    is_done = entry is not None and entry.state is State.DONE
    is_free = is_adopted or (entry is not None and is_done and not entry.paid)
    if is_done and not is_free and song.state is SongState.FAILED:
        song = _late(order, song)
    if not job.state.has_result or job.body is None:
        return replace(song, credits=0) if is_free else song
    charged, error = event.charged_in(job.body), event.error_in(job.body)
    if charged is False and song.balance_before is not None:
        # Its cost has to be read first.
        return song
    # If the balance fell meanwhile, something was charged, although no stems are seen.
    credits = 0 if is_free or (charged is False and not song.fell) else max(song.credits, order.price)
    if error is None:
        return replace(song, state=SongState.DONE, credits=credits, error=None)
    if charged is False and entry is not None and _may_repeat(ledger, song, entry):
        return replace(song, state=SongState.WAITING, credits=0, downloads=0, repeats=song.repeats + 1)
    problem = Problem("outcome_unknown" if charged is None else "suno_failed", error)
    return replace(song, state=SongState.FAILED, credits=credits, downloads=0, error=problem)


def waiting(song: OrderedSong) -> OrderedSong:
    """The song before it has begun."""
    return replace(
        song, state=SongState.WAITING, credits=0, downloads=0, split="", request_id="", balance_before=None
    )


def _may_repeat(ledger: Ledger, song: OrderedSong, entry: Entry) -> bool:
    """Whether to try a song again that made and charged nothing: Suno's refusal may have been lost.

    The split looks for its stems once more before it pays (Split, an entry in doubt).
    """
    return (
        song.state is SongState.RUNNING
        and entry.state is State.IN_DOUBT
        and song.balance_before is None
        and not song.fell
        and song.repeats < MAX_REPEATS
        and ledger.clock.since(entry.attempt_began) < MAX_REPEAT_AGE_SECONDS
    )


def _late(order: SongOrder, song: OrderedSong) -> OrderedSong:
    """A song that has failed, and has got its stems after all: they count before another song begins."""
    credits, downloads = max(song.credits, order.price), int(order.audio_format is not None)
    return replace(song, state=SongState.RUNNING, credits=credits, downloads=downloads, error=None)
