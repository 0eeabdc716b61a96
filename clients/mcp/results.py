"""What the tools return."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, Field

from clients.mcp.texts import NOTICE, Text, Title


class Result(BaseModel):
    """A result with texts of Suno."""

    notice: str = NOTICE


class Song(BaseModel):
    """A song of the account."""

    id: str
    title: Title = None
    created_at: Text = None
    duration: float | None = None
    tags: Text = None


class Songs(Result):
    """Songs that were found."""

    songs: list[Song]
    next_page: int | None
    """The page to continue with; None if there are no more."""


class Stem(BaseModel):
    """A stem and its state."""

    id: str
    status: Text = None
    title: Title = None
    part: Title = None
    take: int | None = None
    silent: bool | None = None
    duration: float | None = None
    error_message: Text = None
    stem_from_id: str | None = Field(default=None, exclude=True)
    """The song."""

    @property
    def is_final(self) -> bool:
        """Whether Suno has finished with it."""
        return self.status in ("complete", "error")


class Stems(Result):
    """The stems of a song."""

    stems: list[Stem]


class Split(Result):
    """The state of a split."""

    state: str
    """complete, partly complete, in progress, failed, started, in doubt or needs a person."""
    stems: list[Stem]
    next: str
    """What to do now."""
    request_id: str | None = None
    paid_before: bool | None = None
    """Whether an earlier call paid for it."""
    link: Text = None
    """For a person: the song's page at suno.com, if Suno wants a captcha."""


class SavedFile(BaseModel):
    """A file on disk."""

    stem_id: str
    path: str
    bytes: int
    silent: bool | None = None


class Files(Result):
    """The result of saving a song's stems."""

    complete: bool
    folder: str
    files: list[SavedFile]
    failed: list[str]
    next: str
    """What to do now."""


class SongSection(BaseModel):
    """A place where the song changes."""

    at: float
    """Seconds."""
    name: Title = None


class SungLine(BaseModel):
    """A line of the lyrics."""

    text: Text
    start_s: float
    end_s: float
    section: Title = None


class SongInTime(Result):
    """A song's tempo, bars, sections and lyrics. What Suno does not know is null or []."""

    bpm: float | None
    steady: bool | None
    beats_per_bar: int | None
    bars: list[float]
    """Seconds of each bar's first beat."""
    sections: list[SongSection]
    lines: list[SungLine]


class QuotedSong(BaseModel):
    """A song of an order, or of a quote."""

    song_id: str
    title: Title = None
    state: str
    credits: int
    error: Text = None

    @classmethod
    def of(cls, song: Mapping[str, Any]) -> QuotedSong:
        """Read a song of the service's reply."""
        return cls.model_validate({**song, "error": song["error"] and song["error"]["error"]})


class Quote(Result):
    """What an order would cost."""

    credits: int
    downloads: int
    credits_left: int | None
    downloads_left: int | None
    songs: list[QuotedSong]
    does_not_fit: list[str]
    next: str
    """What to do now."""


class OrderStatus(Result):
    """How far an order is."""

    order_id: str
    state: str
    """running, paused, finished or cancelled."""
    credits: int
    """What was spent; in doubt counts as spent."""
    downloads: int
    max_credits: int
    max_downloads: int | None
    songs: list[QuotedSong]
    next: str
    """What to do now."""
    link: Text = None
    """For a person: the song's page at suno.com, if Suno wants a captcha."""


class OrderLine(BaseModel):
    """An order in a list."""

    order_id: str
    state: str
    credits: int
    songs: int


class Orders(Result):
    """The latest orders."""

    orders: list[OrderLine]


def stem_of(clip: Mapping[str, Any]) -> Stem:
    """A stem from any of the service's replies: a duration in text becomes a number."""
    return Stem.model_validate(clip)


def needs_person(person: Mapping[str, Any], request_id: str) -> Split:
    """The state of a split that needs a person."""
    next = (
        "Suno wants a captcha, which only the user can solve. Nothing was charged. Give the user this link, and "
        f"tell them: {person['what']} Then call follow_split with request_id: the stems are taken within about a "
        "minute. If the user has only solved a captcha, repeat the same split_song: it then splits the song, for "
        "credits. "
        f"The split waits until {person['until']}."
    )
    return Split(state="needs a person", stems=[], next=next, request_id=request_id, link=person["url"])
