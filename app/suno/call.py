"""A call to Suno: its kind, what it may cost, and its deadline."""

from __future__ import annotations

import time
from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import Self


class Cost(Enum):
    """What a call may cost the account."""

    NOTHING = "nothing"
    CREDITS = "credits"
    DOWNLOAD = "one of the month's downloads"


class CallKind(StrEnum):
    """The kind of a call. It is reported to the observer, and decides how the call is sent."""

    cost: Cost
    """What the call may cost. If it may cost anything, it is sent once and never resent blindly."""

    def __new__(cls, value: str, cost: Cost) -> Self:
        """Make a member of its value and its cost."""
        kind = str.__new__(cls, value)
        kind._value_, kind.cost = value, cost
        return kind

    SPLIT = "split", Cost.CREDITS
    UNLOCK = "unlock", Cost.DOWNLOAD
    CONVERT_WAV = "convert_wav", Cost.DOWNLOAD
    DOWNLOAD = "download", Cost.NOTHING
    STEMS = "stems", Cost.NOTHING
    CLIP = "clip", Cost.NOTHING
    CAPTCHA = "captcha", Cost.NOTHING
    FEED = "feed", Cost.NOTHING
    BILLING = "billing", Cost.NOTHING
    SONG_TIME = "song_time", Cost.NOTHING

    @property
    def names_clip(self) -> bool:
        """Whether the call names a song or a stem: only then a 404 can mean that Suno does not know it."""
        return self not in (CallKind.CAPTCHA, CallKind.BILLING)


class Deadline:
    """The time at which a request to this service stops waiting for Suno."""

    def __init__(self, seconds: float) -> None:
        self._ends = time.monotonic() + seconds

    @property
    def remaining(self) -> float:
        """Seconds left; 0 when it has passed."""
        return max(0.0, self._ends - time.monotonic())


@dataclass(frozen=True, slots=True)
class Call:
    """A call to the studio API."""

    kind: CallKind
    method: str
    path: str
    """With its query."""
    deadline: Deadline
    body: bytes | None = None
    """JSON; None for a call without a body."""
    accept: tuple[int, ...] = ()
    """Statuses of Suno itself, besides 2xx, that are an answer and no error."""

    @property
    def may_cost(self) -> bool:
        """Whether it may cost credits or a download: then it is sent once."""
        return self.kind.cost is not Cost.NOTHING
