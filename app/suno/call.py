"""A call to Suno: its kind, what it may cost, and its deadline."""

from __future__ import annotations

import time
from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import assert_never


class Cost(Enum):
    """What a call may cost the account."""

    NOTHING = "nothing"
    CREDITS = "credits"
    DOWNLOAD = "one of the month's downloads"


class CallKind(StrEnum):
    """The kind of a call. It is reported to the observer, and decides how the call is sent."""

    SPLIT = "split"
    UNLOCK = "unlock"
    CONVERT_WAV = "convert_wav"
    DOWNLOAD = "download"
    STEMS = "stems"
    CLIP = "clip"
    CAPTCHA = "captcha"
    FEED = "feed"
    BILLING = "billing"
    SONG_TIME = "song_time"

    @property
    def cost(self) -> Cost:
        """What the call may cost. If it may cost anything, it is sent once and never resent blindly."""
        match self:
            case CallKind.SPLIT:
                return Cost.CREDITS
            case CallKind.UNLOCK | CallKind.CONVERT_WAV:
                return Cost.DOWNLOAD
            case (
                CallKind.DOWNLOAD
                | CallKind.STEMS
                | CallKind.CLIP
                | CallKind.CAPTCHA
                | CallKind.FEED
                | CallKind.BILLING
                | CallKind.SONG_TIME
            ):
                return Cost.NOTHING
        assert_never(self)

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
