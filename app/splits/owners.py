"""Who owns a song's stems, within a transaction of the ledger: what it knows of them, and of other entries."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from app.splits.attempt import latest_of
from app.splits.clock import Clock
from app.splits.evidence import Evidence, Recorded
from app.splits.listed import listed_before
from app.splits.store import Entry, State, Transaction
from app.splits.wait import read_wait
from app.suno.clip import Clip
from app.timing import DAY, MAX_PERSON_WAIT_SECONDS

log = logging.getLogger(__name__)

KEY_KEPT_SECONDS = DAY
"""Seconds to remember a key, and the outcome of a request."""

CLOCK_STEP_SECONDS = 2 * DAY
"""Seconds by which the wall clock may be set, forwards or back, before a key is forgotten."""

OWNER_KEPT_SECONDS = KEY_KEPT_SECONDS + CLOCK_STEP_SECONDS + MAX_PERSON_WAIT_SECONDS
"""Seconds to remember who owns a stem: as long as any entry could claim it."""


def as_seen_now(clock: Clock, entry: Entry) -> Entry:
    """The entry; in doubt if it is `started` and past its deadline."""
    return entry._replace(state=latest_of(entry).state_now(clock))


def is_forgotten(clock: Clock, entry: Entry) -> bool:
    """Whether the key of an entry has ended. It does not end while its attempt runs, or waits for a person."""
    # The time of the latest attempt: a key must not end while its own attempt runs.
    kept = KEY_KEPT_SECONDS + entry.lasts if entry.state.has_paid_nothing else KEY_KEPT_SECONDS
    same_boot = entry.attempt_began.boot_id == clock.boot_id
    return clock.since(entry.attempt_began) > (kept if same_boot else kept + CLOCK_STEP_SECONDS)


def known_stems(tx: Transaction, clock: Clock, entry: Entry, found: Evidence) -> Recorded:
    """What the ledger knows of the song that can explain listed stems."""
    # Releases until 1.0.2 kept a song's UUID in the caller's case.
    songs = {entry.song_id, entry.song_id.lower(), entry.song_id.upper()}
    others = [other for song in songs for other in tx.entries_of_song(song) if other.id != entry.id]
    owned = {stem.id for other in others if other.paid for stem in other.stems}
    # An earlier attempt's stems are the reply already.
    owned |= {stem.id for stem in entry.stems}
    for kind in ("taken", "owned"):
        owned |= {clip for clip, owner in tx.records(kind, found.ids).items() if owner != entry.id}
    wait = read_wait(tx, entry.id)
    # No paid call had left when it began to wait.
    earlier = listed_before(tx, clock, entry) | set(wait.listed if wait else ())
    return Recorded(
        owned=owned,
        earlier=earlier,
        running=any(as_seen_now(clock, other).state is State.STARTED for other in others),
        in_doubt=sum(_is_rival(clock, entry, other, wait.names if wait else ()) for other in others),
        contested=_contested(tx, [other for other in others if _waits_before(tx, clock, entry, other)], found),
    )


def withdraw_guesses(tx: Transaction, entry: Entry, stems: Sequence[Clip]) -> list[Entry]:
    """Take stems from entries that claimed them: Suno's answer named them for this entry. Returns those entries.

    They are in doubt again; or wait for a person again, if they have paid nothing.
    """
    wrong: list[Entry] = []
    for clip, taker in tx.records("taken", [stem.id for stem in stems]).items():
        if taker == entry.id:
            continue
        stored = tx.entry(taker)
        if stored is not None and stored.state is State.DONE:
            log.error("Request %s received stems that another request had paid for", stored.request_id)
            wait = read_wait(tx, taker)
            is_free = wait is not None and wait.is_adopted
            state = State.NEEDS_PERSON if is_free else State.IN_DOUBT
            wrong.append(stored._replace(state=state, stems=(), reply=(), final_reply=()))
            tx.put(wrong[-1])
        tx.put_record("taken", clip, None, kept=0)
    return wrong


def own(tx: Transaction, entry: Entry, stems: Sequence[Clip]) -> None:
    """Record that Suno's answer named these stems for the entry."""
    for stem in stems:
        tx.put_record("owned", stem.id, entry.id, kept=OWNER_KEPT_SECONDS)


def take(tx: Transaction, entry: Entry, stems: Sequence[Clip]) -> None:
    """Record that the evidence shows that these stems are the entry's."""
    for stem in stems:
        tx.put_record("taken", stem.id, entry.id, kept=OWNER_KEPT_SECONDS)


def _contested(tx: Transaction, rivals: Sequence[Entry], found: Evidence) -> set[str]:
    """The stems that requests which wait for a person may take: what was listed before is not new to them."""
    lists = [wait.listed if (wait := read_wait(tx, rival.id)) else () for rival in rivals]
    return {id for id in found.ids if any(id not in listed for listed in lists)}


def _is_rival(clock: Clock, entry: Entry, other: Entry, names: Sequence[str]) -> bool:
    """Whether another entry in doubt may own stems that this one may own too. `names`: others of its account."""
    same = other.task == entry.task and other.account in (entry.account, *names)
    return same and as_seen_now(clock, other).state is State.IN_DOUBT and not is_forgotten(clock, other)


def _waits_before(tx: Transaction, clock: Clock, entry: Entry, other: Entry) -> bool:
    """Whether another entry waits for a person, and may take such a set before this one.

    Among those that wait for the same part, the oldest takes the first set. Of a paid call, it is not known which
    part it asked for.
    """
    if other.state is not State.NEEDS_PERSON or other.task != entry.task:
        return False
    own_wait, its_wait = read_wait(tx, entry.id), read_wait(tx, other.id)
    if entry.account not in (other.account, *(its_wait.names if its_wait else ())):
        return False
    if its_wait is not None and clock.since(its_wait.began) >= its_wait.lasts:
        # No jobs process has ended it.
        return False
    if own_wait is None or its_wait is None or not entry.state.has_paid_nothing:
        return True
    if own_wait.part != its_wait.part:
        return False
    if entry.state is not State.NEEDS_PERSON:
        # Its own wait has ended.
        return True
    own_age, its_age = clock.since(own_wait.began), clock.since(its_wait.began)
    return its_age > own_age or (its_age == own_age and other.id < entry.id)
