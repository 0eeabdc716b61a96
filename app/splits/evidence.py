"""The judgement of evidence: what Suno's witnesses prove about an attempt in doubt.

Pure functions: they ask nobody, and write nothing. app/splits/inquiry.py asks the witnesses, app/splits/ledger.py
judges in the transaction that acts on the result. How each witness can be wrong, and what follows:

The song's stems (`stems/pages`, then `stems`):
    late      lists nothing yet: no proof, so the others are asked after the settle time
    partial   too few stems are no whole set before the settle time; two reads must show the same set
    lost      an error: stays in doubt
    forged    a wrong date: PERHAPS, unless it is after the attempt began, or too old for any clock
The song's own `has_stem`:
    late      still false: proves nothing alone
    partial   missing: UNREADABLE
    lost      an error: stays in doubt
    forged    true, and no listed stem explains it, by its owner or its age: PERHAPS
The account's newest clips:
    late      a stem is missing: proves nothing alone
    partial   the list ends before it reaches MAX_DATE_ERROR_SECONDS before the attempt: UNREADABLE
    lost      an error: stays in doubt
    forged    a stem that names no song counts as this song's: PERHAPS
              a clip without a stem's marks that comes from this song, and is new: PERHAPS
The ledger's own records:
    late      another request still runs: PERHAPS
    partial   nobody owns a stem: it is not "none", it is this entry's or PERHAPS
    lost      an owner is forgotten: its stem is too old by then
    forged    a list that was recorded after the entry began explains nothing

Only NONE lets a retry pay again. In each other case the entry stays in doubt.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from app.suno.clip import Clip
from app.suno.ids import is_same
from app.suno.stems import Made, StemChoice, StemTask, made_at, may_be_of, stems_made

SUNO_CLOCK_ERROR_SECONDS = 10.0
"""Seconds by which the dates of Suno's clips and the `Date` of its answers may differ, either way."""

MAX_DATE_ERROR_SECONDS = 26 * 3600.0
"""Seconds by which a clip's date may be wrong: all time zones span 26 hours. An older stem is of an earlier split."""


class Verdict(StrEnum):
    """What the witnesses prove."""

    OURS = "ours"
    """A whole set of stems is this entry's."""
    NONE = "none"
    """All three witnesses were read after the settle time, and none contradicts: the attempt made nothing."""
    PERHAPS = "perhaps"
    """There are signs of stems that may be this entry's."""
    UNREADABLE = "unreadable"
    """A witness answered, but did not say what it was asked."""
    UNSEEN = "unseen"
    """The song's list shows nothing. That is no proof: the other witnesses were not asked, or too early."""


class Reason(StrEnum):
    """Why it is not certain."""

    UNCONFIRMED = "unconfirmed"
    """Only one read has shown the set; the next must show the same."""
    RUNNING = "running"
    """Another request for the song still runs, and may receive the set."""
    CONTENDED = "contended"
    """Other requests may own the set too: it is late and they are in doubt, or they wait for a person."""
    LISTED = "listed"
    """The song lists unowned stems that are not explained."""
    NEWEST = "newest"
    """The account's newest clips have such stems; the song does not list them."""
    MARKED = "marked"
    """The song's mark says that it has stems; no listed stem explains it."""
    CHANGED = "changed"
    """Another process has changed the entry since."""


@dataclass(frozen=True, slots=True)
class Others:
    """What the two other witnesses said. None: the answer does not have it."""

    has_stem: bool | None
    newest: Sequence[Clip] | None
    """The account's clips, newest first, until they are older than MAX_DATE_ERROR_SECONDS before the attempt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What was read for one entry. Times are seconds since 1970 by Suno's clock."""

    made: Made
    """The stems of this kind, listed by the song or among the newest clips, not older than MAX_DATE_ERROR_SECONDS."""
    began: float
    """When the first paid call began."""
    ended: float
    """Until when the last paid call should have made its stems. A later set is late."""
    listed: frozenset[str]
    """Ids of all stems that the song lists, of any kind and age."""
    recent: tuple[str, ...] = ()
    """Those of them that are not too old."""
    explaining: bool = False
    """Whether the song lists a stem that is too old: it explains `has_stem`."""
    of_other_kind: frozenset[str] = frozenset()
    """Ids of the listed stems that are certainly of another kind."""
    others: Others | None = None
    """None: not asked."""
    seen: frozenset[tuple[str, ...]] = frozenset()
    """The sets that the read before this one showed."""
    settled: bool = False
    """Whether the settle time had passed before the first witness was read."""
    kind: StemTask = StemTask.TWO

    @property
    def shown(self) -> frozenset[tuple[str, ...]]:
        """The sets of this read, for the next one."""
        return frozenset(_ids(made) for made in self.made.sets)

    @property
    def ids(self) -> tuple[str, ...]:
        """The stems that the ledger may know."""
        return (*self.listed, *(id for id in _ids(self.made.all) if id not in self.listed))


@dataclass(frozen=True, slots=True)
class Recorded:
    """What the ledger knows of the song."""

    owned: Collection[str] = frozenset()
    """Stems that other entries own or have claimed."""
    earlier: Collection[str] = frozenset()
    """Stems in a list that was recorded before the entry's first paid call."""
    running: bool = False
    """Whether another request for the song is under way."""
    in_doubt: int = 0
    """Other requests in doubt, of this account and for the same kind."""
    contested: Collection[str] = frozenset()
    """Stems that another request may take first, which waits until a person splits the song at suno.com."""


@dataclass(frozen=True, slots=True)
class Finding:
    """The judgement, with the stems that it rests on."""

    verdict: Verdict
    stems: tuple[Clip, ...] = ()
    """With OURS: the set."""
    ids: tuple[str, ...] = ()
    """With PERHAPS: the stems that may be this entry's."""
    reason: Reason | None = None


def evidence(
    song_id: str,
    choice: StemChoice,
    stems: Sequence[Clip],
    *,
    began: float,
    ended: float,
    others: Others | None = None,
    seen: frozenset[tuple[str, ...]] = frozenset(),
    settled: bool = False,
) -> Evidence:
    """Arrange what was read. `stems`: all that the song lists."""
    oldest = began - MAX_DATE_ERROR_SECONDS
    listed = frozenset(_ids(stems))
    newest = others.newest if others and others.newest else ()
    unlisted = [clip for clip in newest if clip.id not in listed and _may_be_from(clip, song_id, began)]
    return Evidence(
        made=stems_made([*stems, *unlisted], choice, since=oldest, until=float("inf")),
        began=began,
        ended=ended,
        listed=listed,
        recent=_ids(stem for stem in stems if not _is_old(stem, oldest)),
        explaining=any(_is_old(stem, oldest) for stem in stems),
        of_other_kind=frozenset(_ids(stem for stem in stems if may_be_of(stem, choice) is False)),
        others=others,
        seen=seen,
        settled=settled,
        kind=choice.task,
    )


def judge(found: Evidence, known: Recorded) -> Finding:
    """Say what the evidence proves, given what the ledger knows."""
    explained = {*known.owned, *known.earlier}
    sets = _unexplained(found, explained)
    candidates = [(made, left) for made, left in sets if _can_be_ours(left, found)]
    if candidates:
        made, ours = candidates[0]
        return _claim(found, known, made, ours, late=sum(_is_late(left, found) for _, left in candidates))
    return _without_set(found, explained, sets)


def judge_new(found: Evidence, known: Recorded) -> Finding:
    """Say which set a request may take that has paid nothing, and waits until a person splits the song at suno.com.

    OURS: the oldest whole set that is new and that no request owns, or could own. NONE: there is none, by all three
    witnesses. No paid call of the request has left: so there is no settle time, no set is late, and what the person
    has split into another kind explains the song's mark.
    """
    explained = {*known.owned, *known.earlier, *found.of_other_kind}
    sets = _unexplained(found, explained)
    whole = [(made, left) for made, left in sets if _is_whole(left, found)]
    if not whole:
        return _without_set(found, explained, sets)
    made, new = whole[0]
    if known.running:
        return Finding(Verdict.PERHAPS, ids=_ids(new), reason=Reason.RUNNING)
    if known.in_doubt or _is_contested(new, known):
        return Finding(Verdict.PERHAPS, ids=_ids(new), reason=Reason.CONTENDED)
    if _ids(made) not in found.seen:
        return Finding(Verdict.PERHAPS, ids=_ids(new), reason=Reason.UNCONFIRMED)
    return Finding(Verdict.OURS, tuple(new))


def _is_contested(stems: Sequence[Clip], known: Recorded) -> bool:
    return any(stem.id in known.contested for stem in stems)


def _unexplained(found: Evidence, explained: Collection[str]) -> list[tuple[Sequence[Clip], Sequence[Clip]]]:
    """Each set that has unexplained stems of its own, and these stems."""
    return [(made, left) for made in found.made.sets if (left := left_of(made, explained))]


def _without_set(
    found: Evidence, explained: Collection[str], sets: Sequence[tuple[Sequence[Clip], Sequence[Clip]]]
) -> Finding:
    """Judge evidence that shows no set to take. `sets`: those that are not explained."""
    whole = {stem.id for _, left in sets for stem in left}
    # The rest of a set with an owner may also be part of another set, of which the list lacks the others.
    rest = [stem for made in found.made.sets for stem in made if stem.id not in whole]
    unknown = [stem for stem in (*rest, *found.made.unknown) if stem.id not in explained]
    if perhaps := _ids(stem for stems in ([left for _, left in sets] + [unknown]) for stem in stems):
        is_listed = any(id in found.listed for id in perhaps)
        return Finding(Verdict.PERHAPS, ids=perhaps, reason=Reason.LISTED if is_listed else Reason.NEWEST)
    return _without_stems(found, explained)


def left_of(made: Sequence[Clip], explained: Collection[str]) -> list[Clip]:
    """The unexplained stems of a set; [] if an explained title is missing: then they are the rest of that set."""
    left = [stem for stem in made if stem.id not in explained]
    return left if {stem.title for stem in made if stem.id in explained} <= {stem.title for stem in left} else []


def _claim(found: Evidence, known: Recorded, made: Sequence[Clip], ours: Sequence[Clip], *, late: int) -> Finding:
    """Judge a set that can be this entry's. `late`: how many such sets came late."""
    ids = _ids(ours)
    if known.running:
        return Finding(Verdict.PERHAPS, ids=ids, reason=Reason.RUNNING)
    if _is_contested(ours, known) or (_is_late(ours, found) and known.in_doubt >= late):
        return Finding(Verdict.PERHAPS, ids=ids, reason=Reason.CONTENDED)
    if _ids(made) not in found.seen:
        return Finding(Verdict.PERHAPS, ids=ids, reason=Reason.UNCONFIRMED)
    return Finding(Verdict.OURS, tuple(ours))


def _without_stems(found: Evidence, explained: Collection[str]) -> Finding:
    """Judge the absence of stems: all three witnesses must say it, after the settle time."""
    if found.others is None or not found.settled:
        return Finding(Verdict.UNSEEN)
    if found.others.has_stem is None or found.others.newest is None:
        return Finding(Verdict.UNREADABLE)
    is_explained = found.explaining or any(id in explained for id in found.listed)
    if found.others.has_stem and not is_explained:
        return Finding(Verdict.PERHAPS, reason=Reason.MARKED)
    return Finding(Verdict.NONE)


def _can_be_ours(made: Sequence[Clip], found: Evidence) -> bool:
    """Whether the song lists the whole set, and each stem is dated after the first paid call began."""
    is_whole = found.settled or len(made) >= found.kind.unfinished_below
    since = found.began - SUNO_CLOCK_ERROR_SECONDS
    return is_whole and all(stem.id in found.listed and (made_at(stem) or 0.0) >= since for stem in made)


def _is_whole(made: Sequence[Clip], found: Evidence) -> bool:
    """Whether the song lists a set with enough different parts.

    With fewer than usual, it may list only some of them yet: until they are final.
    """
    parts = len({(stem.title, stem.part) for stem in made})
    is_usual = parts >= found.kind.usual_parts
    is_enough = parts >= found.kind.unfinished_below and all(stem.is_final for stem in made)
    return (is_usual or is_enough) and all(stem.id in found.listed for stem in made)


def _is_late(made: Sequence[Clip], found: Evidence) -> bool:
    return any((made_at(stem) or 0.0) > found.ended for stem in made)


def _is_old(stem: Clip, oldest: float) -> bool:
    made = made_at(stem)
    return made is not None and made < oldest


def _may_be_from(clip: Clip, song_id: str, began: float) -> bool:
    """Whether it may be a stem of this song. One without a stem's marks may be its cover, if it is an older clip."""
    if clip.is_stem:
        return clip.stem_from_id is None or is_same(clip.stem_from_id, song_id)
    is_new = (made_at(clip) or 0.0) >= began - SUNO_CLOCK_ERROR_SECONDS
    return is_new and clip.ancestor is not None and is_same(clip.ancestor, song_id)


def _ids(stems: Iterable[Clip]) -> tuple[str, ...]:
    return tuple(stem.id for stem in stems)
