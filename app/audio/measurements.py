"""Reads what was measured of kept files."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from app.audio.facts import FULL_SCALE_DBFS, Facts, Fault, Measures, SongMeasures, StemSet
from app.audio.files import Details

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.audio.shelf import Shelf


@dataclass(frozen=True, slots=True)
class Measurements:
    """Reads the measures of kept files. Every method raises AudioUnavailable.

    `folders`: those of one account, the current one first.
    """

    shelf: Shelf
    folders: Sequence[str]
    _sets: dict[tuple[str, str], list[StemSet]] = field(default_factory=dict)

    def of_song(self, clips: Sequence[Details], format: str) -> SongMeasures:
        """The measures of some clips of one song."""
        sets = self.sets(clips[0].song_id, format) if clips else ()
        return SongMeasures({clip.id: self.of(clip, format) for clip in clips}, sets)

    def of(self, clip: Details, format: str) -> Measures:
        """The measures of a file."""
        facts = _facts(self.shelf.note(self.folders, clip.id, f"{format}facts"))
        silent = clip.silent if clip.silent is not None or facts is None else facts.is_silent
        faults = [Fault.SILENT] if silent else []
        if facts is None:
            return Measures(silent=silent, faults=tuple(faults))
        if format == "wav" and facts.peak_dbfs is not None and facts.peak_dbfs >= FULL_SCALE_DBFS:
            faults.append(Fault.CLIPPED)
        of_set = next((each for each in self.sets(clip.song_id, format) if clip.id in each.stems), None)
        fit = of_set.stems[clip.id] if of_set else None
        return Measures(
            **asdict(facts),
            silent=silent,
            same_length=fit.same_length if fit else None,
            lag_ms=fit.lag_ms if fit else None,
            residual_dbfs=of_set.residual_dbfs if of_set else None,
            faults=(*faults, *(fit.faults if fit else ())),
        )

    def sets(self, song_id: str, format: str) -> list[StemSet]:
        """The sets of a song's stems that were compared with the original."""
        if (song_id, format) not in self._sets:
            self._sets[song_id, format] = read_sets(self.shelf.note(self.folders, song_id, f"{format}set"))
        return self._sets[song_id, format]


def read_sets(note: Any) -> list[StemSet]:
    """The sets in a note; [] if it is none."""
    try:
        return [StemSet.read(each) for each in note["sets"]]
    except (TypeError, ValueError, KeyError, AttributeError):
        return []


def _facts(note: Any) -> Facts | None:
    try:
        return Facts.read(note)
    except (TypeError, ValueError):
        return None
