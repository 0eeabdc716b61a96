"""Covers of songs, fetched from Suno's CDN: a page may load nothing from another host."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from app.suno.clip import Clip

if TYPE_CHECKING:
    from app.audio.fetch import Fetcher

MOST = 2_000_000
"""Bytes of a cover."""

REMEMBERED = 5_000
"""Songs of which a process remembers where the cover is."""

REST = 60.0
"""Seconds in which nothing is asked of a CDN that could not be reached: nobody waits for each cover of a list."""

BEGINNINGS = {b"\xff\xd8\xff": "image/jpeg", b"\x89PNG\r\n\x1a\n": "image/png", b"RIFF": "image/webp"}


@dataclass(frozen=True, slots=True)
class Cover:
    """An image, as its first bytes say what it is."""

    content: bytes
    type: str


class Covers:
    """Finds covers; it learns their addresses from the clips that a process has told. One for a process."""

    def __init__(self, make_fetcher: Callable[[], Fetcher]) -> None:
        """Lists are told without it: the fetcher is made when the first cover is asked for."""
        self._make_fetcher = make_fetcher
        self._addresses: OrderedDict[str, str | None] = OrderedDict()
        self._rests_until = 0.0

    @cached_property
    def _fetcher(self) -> Fetcher:
        return self._make_fetcher()

    def note(self, clips: Iterable[Clip]) -> None:
        """Remember where covers are."""
        for clip in clips:
            self._addresses[clip.id] = clip.image_url
            self._addresses.move_to_end(clip.id)
        while len(self._addresses) > REMEMBERED:
            self._addresses.popitem(last=False)

    def of(self, song_id: str, find: Callable[[], Clip]) -> Cover | None:
        """The cover of a song; None where it has none, or none can be had now. Raises what `find` raises.

        `find` asks Suno for the clip, and is called only if the address is not known. A cover is public: whoever
        knows the song's id gets it, whatever the account.
        """
        from app.audio.fetch import FetchFailed

        if song_id not in self._addresses:
            self.note([find()])
        address = self._addresses.get(song_id)
        if not address or time.monotonic() < self._rests_until:
            return None
        try:
            content = self._fetcher.small(address, MOST)
        except FetchFailed as error:
            if error.for_now:
                self._rests_until = time.monotonic() + REST
            return None
        type = next((type for beginning, type in BEGINNINGS.items() if content.startswith(beginning)), None)
        return Cover(content, type) if type else None
