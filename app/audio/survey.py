"""What is known of the kept audio: looked up in the background, so that a slow bucket delays nobody who asks."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from threading import Lock, Thread
from typing import Generic, TypeVar

from app.audio.shelf import Shelf
from app.audio.store import AudioFull, AudioUnavailable

log = logging.getLogger(__name__)

T = TypeVar("T")

FIRST_WAIT_SECONDS = 1.0
"""Maximum seconds to wait for a result if there was none yet."""

STATE_CACHED_SECONDS = 60.0
"""Seconds until the store is probed again: each probe writes a small file."""

SIZE_CACHED_SECONDS = 300.0
"""Seconds until the files are added up again: that is slow, and costs money for a bucket."""


class Glance(Generic[T]):
    """A value that a thread looks up again when it is older than `known_for` seconds."""

    def __init__(self, look: Callable[[], T], known_for: float) -> None:
        self._look, self._known_for = look, known_for
        self._lock = Lock()
        self._looking: Thread | None = None
        self._found: T | None = None
        self._until = 0.0

    def find(self, patience: float) -> T | None:
        """The last value; None if there is none yet, after waiting for at most `patience` seconds."""
        with self._lock:
            if time.monotonic() >= self._until and (self._looking is None or not self._looking.is_alive()):
                self._looking = Thread(target=self._look_now, daemon=True)
                self._looking.start()
            looking = self._looking
        if self._found is None and looking is not None:
            looking.join(patience)
        return self._found

    def _look_now(self) -> None:
        self._found = self._look()
        self._until = time.monotonic() + self._known_for


class Survey:
    """The state and the size of the kept audio. One instance per process."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self._state = Glance(self._look_at_state, STATE_CACHED_SECONDS)
        self._size = Glance(self._look_at_size, SIZE_CACHED_SECONDS)

    def state(self) -> str:
        """`ok`, the code of the error that a new file would get, or `unknown`."""
        return self._state.find(FIRST_WAIT_SECONDS) or "unknown"

    def size(self) -> int | None:
        """Total bytes kept; None if that is not known."""
        found = self._size.find(0.0)
        return None if found is None or found < 0 else found

    def _look_at_state(self) -> str:
        try:
            self._shelf.check()
        except AudioFull as error:
            log.error("No audio can be kept: %s", error)
            return "audio_full"
        except AudioUnavailable as error:
            log.error("No audio can be kept: %s", error)
            return "audio_unavailable"
        return "ok"

    def _look_at_size(self) -> int:
        try:
            return self._shelf.total()
        except (AudioFull, AudioUnavailable) as error:
            log.warning("The kept audio could not be added up: %s", error)
            return -1
