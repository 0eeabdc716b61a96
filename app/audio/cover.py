"""Covers of songs, fetched from Suno's CDN: the page may load nothing from another host."""

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

MAX_COVER_BYTES = 2_000_000
"""Maximum bytes of a cover."""

MAX_CACHED_COVERS = 5_000
"""Maximum number of cover addresses in a process's cache."""

CDN_PAUSE_SECONDS = 60.0
"""Seconds to pause after the CDN failed, so that a list does not wait for each of its covers."""

IMAGE_SIGNATURES = {b"\xff\xd8\xff": "image/jpeg", b"\x89PNG\r\n\x1a\n": "image/png", b"RIFF": "image/webp"}


@dataclass(frozen=True, slots=True)
class Cover:
    """An image, and its media type by its first bytes."""

    content: bytes
    type: str


class Covers:
    """Fetches covers, and caches their addresses from the clips that Suno returned. One instance per process."""

    def __init__(self, make_fetcher: Callable[[], Fetcher]) -> None:
        """The fetcher is made for the first cover: lists of clips do not need it."""
        self._make_fetcher = make_fetcher
        self._addresses: OrderedDict[str, str | None] = OrderedDict()
        self._rests_until = 0.0

    @cached_property
    def _fetcher(self) -> Fetcher:
        return self._make_fetcher()

    def note(self, clips: Iterable[Clip]) -> None:
        """Cache the addresses of covers."""
        for clip in clips:
            self._addresses[clip.id] = clip.image_url
            self._addresses.move_to_end(clip.id)
        while len(self._addresses) > MAX_CACHED_COVERS:
            self._addresses.popitem(last=False)

    def of(self, song_id: str, find: Callable[[], Clip]) -> Cover | None:
        """The cover of a song; None if it has none, or it cannot be fetched now. Raises what `find` raises.

        `find` requests the clip from Suno, and is called only if the address is not cached. A cover is public: every
        caller who knows the song's id gets it, on any account.
        """
        from app.audio.fetch import FetchFailed

        if song_id not in self._addresses:
            self.note([find()])
        address = self._addresses.get(song_id)
        if not address or time.monotonic() < self._rests_until:
            return None
        try:
            content = self._fetcher.small(address, MAX_COVER_BYTES)
        except FetchFailed as error:
            if error.for_now:
                self._rests_until = time.monotonic() + CDN_PAUSE_SECONDS
            return None
        type = next((type for beginning, type in IMAGE_SIGNATURES.items() if content.startswith(beginning)), None)
        return Cover(content, type) if type else None
