"""The kinds of splits, and which stems of a song come from which split."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Self, assert_never

from app.suno.clip import Clip

LEAD_VOCAL = "Lead Vocal"
"""The part to extract for voice and music: the only such pair on Suno's page since August 2026."""

WITHOUT = "without "
"""In an `extract`, the part of the other stem begins with this, in lower case."""

_VOICES = frozenset({"vocals", LEAD_VOCAL.lower()})
_MUSICS = frozenset({"instrumental", WITHOUT + LEAD_VOCAL.lower()})

STEM_GROUPS = {
    "Lead Vocal": "Vocals",
    "Backing Vocals": "Backing_Vocals",
    "Drum Kit": "Drums",
    "Keyboards": "Keyboard",
    "String Section": "Strings",
    "Sound Effects": "FX",
    "Brass Section": "Brass",
}
"""The group of each part that is not its own group (one client of 2026-09, from the page's own dialog)."""

MAX_GAP_SECONDS = 1.0
"""Maximum seconds between two consecutive stems of one split."""


class StemTask(StrEnum):
    """How many parts a song is split into. Suno makes one or two takes of each part."""

    credits: int
    """The default price in credits, from Suno's help pages of August 2026. What it charges, only Suno knows."""
    fewest_stems: int
    """The fewest stems of a split that were seen: Suno may leave out silent ones."""
    unfinished_below: int
    """With fewer stems, more may appear until the settle time."""
    usual_parts: int
    """The parts of a split, unless Suno leaves out silent ones."""

    def __new__(cls, value: str, *numbers: int) -> Self:
        """Make a member: its value, then the numbers in the order above."""
        task = str.__new__(cls, value)
        task._value_ = value
        task.credits, task.fewest_stems, task.unfinished_below, task.usual_parts = numbers
        return task

    TWO = "two", 10, 2, 2, 2
    """One part and the rest: voice and music, if no part is named."""
    TWELVE = "twelve", 50, 8, 3, 12
    """Every instrument."""


@dataclass(frozen=True, slots=True)
class StemChoice:
    """The split that a caller requests."""

    task: StemTask = StemTask.TWO
    stem_name: str = ""
    """The part to extract, by Suno's name; "" for voice and music. Ignored with TWELVE."""

    @property
    def extracted(self) -> str:
        """The part to extract with Suno's newer call."""
        return self.stem_name or LEAD_VOCAL

    @property
    def group(self) -> str:
        """The group of the extracted part, by Suno's name."""
        return STEM_GROUPS.get(self.extracted, self.extracted)

    @property
    def part(self) -> str:
        """The extracted part as `Clip.part` names it."""
        return _named(self.extracted)

    @property
    def parts(self) -> frozenset[str]:
        """All that `Clip.part` may be for the two stems of the extract: Suno may name the part or its group."""
        names = self.part, _named(self.group)
        return frozenset((*names, *(WITHOUT + name for name in names)))

    def is_like(self, other: StemChoice) -> bool:
        """Whether stems of the one may be what the other requests: a part has several names."""
        if self.task is not other.task:
            return False
        return self.task is StemTask.TWELVE or not self.parts.isdisjoint(other.parts)


@dataclass(frozen=True, slots=True)
class Made:
    """The stems that splits of one kind made of a song in a time window, as far as Suno's list shows."""

    sets: tuple[tuple[Clip, ...], ...] = ()
    """The stems of each split, oldest first."""
    unknown: tuple[Clip, ...] = ()
    """Stems that may come from such a split, but do not show this, or not when they were made."""

    @property
    def all(self) -> tuple[Clip, ...]:
        """All of them."""
        return tuple(stem for stems in (*self.sets, self.unknown) for stem in stems)


def finished_set(stems: Sequence[Clip], choice: StemChoice) -> list[Clip]:
    """The complete stems of such a split of a song, if they are a whole set; otherwise [].

    A set is whole if each part that any such split started has a complete stem. Stems of the older call are
    preferred, then those of the newer one, then stems from before 2026, which have no label.
    """
    by_label: dict[str | None, list[Clip]] = {"two": [], "twelve": [], "extract": [], None: []}
    for stem in stems:
        if may_be_of(stem, choice):
            by_label[stem.stem_task].append(stem)
    unlabelled = [stem for stem in stems if stem.stem_task is None and stem.part]
    if _is_set_of(unlabelled, choice) and choice.task is StemTask.TWO:
        by_label[None] = unlabelled
    return next((whole for made in by_label.values() if (whole := _complete(made))), [])


def stems_made(stems: Sequence[Clip], choice: StemChoice, *, since: float, until: float) -> Made:
    """The stems that splits of this kind made from `since` to `until` (seconds since 1970 by Suno's clock).

    Suno does not say which stems belong to one split. A split makes all its stems at once: with the same
    `created_at`, or some milliseconds apart. If they are apart, a repeated title starts the next split.
    """
    of_kind: list[tuple[float, Clip]] = []
    unlabelled: list[tuple[float, Clip]] = []
    unknown: list[Clip] = []
    for stem in stems:
        kind, made = may_be_of(stem, choice), made_at(stem)
        if kind is False or (made is not None and not since <= made <= until):
            continue
        if made is None:
            unknown.append(stem)
        elif kind:
            of_kind.append((made, stem))
        elif stem.stem_task is None:
            unlabelled.append((made, stem))
        else:
            unknown.append(stem)
    sets = _sets(of_kind)
    for made_together in _sets(unlabelled):
        if _is_set_of(made_together, choice):
            sets.append(made_together)
        else:
            unknown += made_together
    sets.sort(key=lambda made: made_at(made[0]) or 0.0)
    return Made(tuple(tuple(made) for made in sets), tuple(unknown))


def may_be_of(stem: Clip, choice: StemChoice) -> bool | None:
    """Whether a split of this kind makes such a stem; None if the stem does not show it."""
    label = stem.stem_task
    match choice.task:
        case StemTask.TWELVE:
            return label == "twelve" if label in ("two", "twelve", "extract") else None
        case StemTask.TWO if label == "extract":
            return stem.part in choice.parts if stem.part else None
        case StemTask.TWO:
            return label == "two" and not choice.stem_name if label in ("two", "twelve") else None
    assert_never(choice.task)


def made_at(stem: Clip) -> float | None:
    """When Suno says that it made a stem: seconds since 1970; None if it does not say."""
    try:
        moment = datetime.fromisoformat(stem.created_at or "")
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def numbered(stems: Iterable[Clip]) -> dict[str, int]:
    """The take of each stem, by its id: the number of its split among those of its song, from 1, oldest first.

    Stems with the same take belong together. A split that made each part twice counts as two.
    """
    songs: dict[str | None, dict[str | None, list[tuple[float, Clip]]]] = {}
    for stem in stems:
        if stem.is_stem:
            of_kind = songs.setdefault(stem.stem_from_id, {}).setdefault(stem.stem_task, [])
            of_kind.append((made_at(stem) or 0.0, stem))
    numbers: dict[str, int] = {}
    for kinds in songs.values():
        splits = [split for made in kinds.values() for split in _sets(made)]
        splits.sort(key=lambda split: made_at(split[0]) or 0.0)
        takes = [take for split in splits for take in _takes(split)]
        numbers |= {stem.id: number for number, take in enumerate(takes, 1) for stem in take}
    return numbers


def _takes(split: Sequence[Clip]) -> list[list[Clip]]:
    """The stems of one split by take: a part that is there twice is of two takes, in Suno's order."""
    takes: list[list[Clip]] = []
    number_of_part: Counter[str | None] = Counter()
    for stem in split:
        part = stem.part or stem.title
        if number_of_part[part] == len(takes):
            takes.append([])
        takes[number_of_part[part]].append(stem)
        number_of_part[part] += 1
    return takes


def _named(name: str) -> str:
    return name.replace("_", " ").lower()


def _is_set_of(stems: Sequence[Clip], choice: StemChoice) -> bool:
    """Whether stems without a label come from one split of this kind, judged by their parts."""
    parts = {stem.part for stem in stems}
    match choice.task:
        case StemTask.TWELVE:
            return len(parts) > 2
        case StemTask.TWO if choice.stem_name:
            return any(part.startswith(WITHOUT) for part in parts) and parts <= choice.parts
        case StemTask.TWO:
            return bool(parts & _MUSICS) and parts <= _VOICES | _MUSICS
    assert_never(choice.task)


def _complete(made: Sequence[Clip]) -> list[Clip]:
    complete = [stem for stem in made if stem.status == "complete"]
    parts = {(stem.part, stem.title) for stem in complete}
    return complete if len(parts) > 1 and parts == {(stem.part, stem.title) for stem in made} else []


def _sets(made: list[tuple[float, Clip]]) -> list[list[Clip]]:
    made.sort(key=lambda pair: pair[0])
    exact = _grouped(made, 0.0)
    if all(len({stem.title for _, stem in stems}) > 1 for stems in exact):
        return [[stem for _, stem in stems] for stems in exact]
    return [part for near in _grouped(made, MAX_GAP_SECONDS) for part in _by_titles(near)]


def _grouped(made: Sequence[tuple[float, Clip]], gap: float) -> list[list[tuple[float, Clip]]]:
    groups: list[list[tuple[float, Clip]]] = []
    before = -math.inf
    for moment, stem in made:
        if moment - before > gap:
            groups.append([])
        groups[-1].append((moment, stem))
        before = moment
    return groups


def _by_titles(near: Sequence[tuple[float, Clip]]) -> list[list[Clip]]:
    """Divide a group at repeated titles, except at the same moment: two takes are made at once."""
    sets: list[tuple[dict[str | None, float], list[Clip]]] = []
    for moment, stem in near:
        for one_set in sets:
            if one_set[0].get(stem.title, moment) == moment:
                break
        else:
            one_set = {}, []
            sets.append(one_set)
        one_set[0][stem.title] = moment
        one_set[1].append(stem)
    return [stems for _, stems in sets]
