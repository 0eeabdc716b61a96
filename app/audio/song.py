"""A song and all of its stems, as Suno lists them now. File names and take numbers come from it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from app.audio.files import Details, details_of
from app.audio.shelf import Shelf
from app.audio.timeline import note_subject
from app.suno.clip import Clip
from app.suno.gateway import SunoGateway
from app.suno.session import Account


@dataclass(frozen=True, slots=True)
class Song:
    """A song, and every stem that Suno lists for it."""

    clip: Clip
    stems: list[Clip]

    @classmethod
    def of(cls, gateway: SunoGateway, account: Account, song_id: str) -> Song:
        """Read a song and its stems from Suno; free. Raises SongNotFound and other SunoErrors."""
        return cls(gateway.clip(account, song_id), gateway.stems(account, song_id))

    @property
    def usable(self) -> list[Details]:
        """The details of its stems, without those that Suno could not make."""
        return [self.details_of(stem) for stem in self.stems if stem.status != "error"]

    def details_of(self, clip: Clip) -> Details:
        """The details of the song or one of its stems, even of a stem too new for Suno's list."""
        if clip.id == self.clip.id:
            return details_of(self.clip, self.clip, ())
        others = [stem for stem in self.stems if stem.id != clip.id]
        own = next((stem for stem in self.stems if stem.id == clip.id), replace(clip, is_stem=True))
        own = replace(own, stem_from_id=self.clip.id)
        siblings = [replace(stem, stem_from_id=self.clip.id) for stem in others]
        return details_of(own, self.clip, [*siblings, own])

    def note(self, shelf: Shelf, folder: str) -> None:
        """Store the song and the list of its stems beside the files. Raises AudioFull and AudioUnavailable."""
        shelf.note_stems(folder, self.clip.id, self.usable)
        note_subject(shelf, folder, self.clip)
