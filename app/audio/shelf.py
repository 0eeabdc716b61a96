"""What is kept, by account, clip and format: found, bounded, and forgotten when its time is over."""

from __future__ import annotations

import errno
import json
import logging
import os
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from app.audio.files import TYPES, Details
from app.audio.peaks import NotAudio, peaks_of
from app.audio.store import AudioFull, AudioUnavailable, Opened, Store, Stored

log = logging.getLogger(__name__)

T = TypeVar("T")

RUBBISH_AFTER = 3600.0
"""Seconds after which a file that did not become whole is given up."""

DETAILS, PEAKS, STEMS = "json", "peaks.json", "stems.json"
"""Ends of the small files beside the audio: what is known of a clip, its waveform, which stems a song has."""


class Shelf:
    """The kept audio of all accounts. Every method raises AudioUnavailable.

    `folders` are those of one Suno account (`folder_of` its names in the ledger), the current one first: nobody else
    is told that a file is there.
    """

    def __init__(self, store: Store, *, limit: int, kept_for: float) -> None:
        """`limit`: bytes that are kept at most. `kept_for`: seconds since a file was last used; 0 is for ever."""
        self._store = store
        self._limit = limit
        self._kept_for = kept_for

    def stat(self, folders: Sequence[str], clip_id: str, end: str) -> Stored | None:
        """Tell of a file; None where it is not kept."""
        return self._first(folders, clip_id, end, self._store.stat)

    def open(self, folders: Sequence[str], clip_id: str, end: str) -> Opened | None:
        """Begin to send a file; None where it is not kept. Close it."""
        return self._first(folders, clip_id, end, self._store.open)

    def details(self, folders: Sequence[str], clip_id: str) -> Details | None:
        """Read what is known of a clip of which something is kept."""
        return _details(self._first(folders, clip_id, DETAILS, self._store.read))

    def peaks(self, folders: Sequence[str], clip_id: str) -> bytes | None:
        """Read a clip's waveform, as JSON."""
        return self._first(folders, clip_id, PEAKS, self._store.read)

    def stems(self, folders: Sequence[str], song_id: str) -> list[Details] | None:
        """Read which stems a song has, as far as that was known when one was last kept."""
        found = _json(self._first(folders, song_id, STEMS, self._store.read))
        if not isinstance(found, list):
            return None
        return [details for each in found if (details := _details(each)) is not None]

    def note_stems(self, folder: str, song_id: str, stems: Iterable[Details]) -> None:
        """Write which stems a song has. Raises AudioFull."""
        self._write(folder, song_id, STEMS, [stem.as_json() for stem in stems])

    def spool_file(self, name: str) -> Path:
        """Make a place for a file that grows."""
        try:
            self._store.spool.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise AudioUnavailable(error.strerror or type(error).__name__) from error
        return self._store.spool / f"{name}.{time.monotonic_ns()}"

    def keep(
        self,
        folder: str,
        details: Details,
        format: str,
        file: Path,
        *,
        measure: Callable[[Path, str], dict[str, Any]] = peaks_of,
    ) -> None:
        """Take over a whole file of the spool, and what goes with it. Raises AudioFull.

        `measure` makes the waveform, once for a clip; it may raise NotAudio.
        """
        peaks: dict[str, Any] | None = None
        if self._store.stat(_name(folder, details.id, PEAKS)) is None:
            try:
                peaks = measure(file, format)
            except NotAudio as error:
                log.warning("The waveform of clip %s cannot be made: %s", details.id, error)
        self._write(folder, details.id, DETAILS, details.as_json())
        if peaks:
            self._write(folder, details.id, PEAKS, peaks)
        # Last: it is kept once this is there.
        self._store.put(_name(folder, details.id, format), file)

    def check_room(self) -> None:
        """Raise AudioFull where no file could be kept now, whatever was removed for it."""
        try:
            self._store.check()
        except AudioFull as error:
            raise AudioFull(f"{error} Nothing was charged.") from error

    def make_room(self, file: Path, size: int, others: int) -> None:
        """Have room for a file that is to come, beside `others` that come just now (bytes); the oldest give way.

        Takes the room on the disk. Raises AudioFull.
        """
        if size > self._limit:
            raise AudioFull(f"A file of {size:,} bytes is more than AUDIO_LIMIT allows at all.")
        if self._give_way(size + others) > 0:
            raise AudioFull("AUDIO_LIMIT is reached by files that are being fetched or sent: try again later.")
        _take(file, size)

    def clean(self) -> None:
        """Remove what has not been used for too long, and what was left half done."""
        self._store.clear_rubbish(RUBBISH_AFTER)
        self._give_way(0)
        audio: dict[str, set[str]] = {}
        small: list[Stored] = []
        for stored in list(self._store.list()):
            folder, _, file = stored.name.partition("/")
            clip_id, _, end = file.partition(".")
            if end not in TYPES:
                small.append(stored)
            elif not (self._kept_for and time.time() - stored.used > self._kept_for and self._remove(stored)):
                audio.setdefault(folder, set()).add(clip_id)
        for stored in small:
            # What is known of clips goes with the last of their files; of songs, when it is as old.
            folder, _, file = stored.name.partition("/")
            id, _, end = file.partition(".")
            is_needed = not self._kept_for if end == STEMS else id in audio.get(folder, ())
            if not is_needed and time.time() - stored.kept > max(self._kept_for, RUBBISH_AFTER):
                self._store.remove(stored.name)

    def total(self) -> int:
        """Bytes that are kept."""
        return sum(stored.size for stored in self._store.list())

    def free(self) -> int | None:
        """Bytes of room on the disk; None where that has no end."""
        return self._store.free()

    @property
    def limit(self) -> int:
        """Bytes that are kept at most."""
        return self._limit

    def _give_way(self, coming: int) -> int:
        """Remove the oldest files until there is room for so many bytes; return how many are still too much."""
        files = [stored for stored in self._store.list() if not stored.name.endswith(".json")]
        over = sum(stored.size for stored in files) + coming - self._limit
        for stored in sorted(files, key=lambda stored: stored.used):
            if over <= 0:
                break
            if self._remove(stored):
                over -= stored.size
        return over

    def _remove(self, stored: Stored) -> bool:
        removed = self._store.remove(stored.name)
        if removed:
            log.info("The audio %s was removed: it was not used for %.0f s.", stored.name, time.time() - stored.used)
        return removed

    def _write(self, folder: str, id: str, end: str, value: Any) -> None:
        self._store.write(_name(folder, id, end), json.dumps(value, separators=(",", ":")).encode())

    @staticmethod
    def _first(folders: Sequence[str], id: str, end: str, look: Callable[[str], T | None]) -> T | None:
        return next((found for folder in folders if (found := look(_name(folder, id, end))) is not None), None)


def _take(file: Path, size: int) -> None:
    """Take the room for a file, so that a full disk shows before Suno's storage is asked for it."""
    try:
        with file.open("wb") as content:
            os.posix_fallocate(content.fileno(), 0, size)
    except OSError as error:
        file.unlink(missing_ok=True)
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise AudioFull("The disk on which audio is kept is full: its operator has to make room.") from error
        raise AudioUnavailable(error.strerror or type(error).__name__) from error


def _name(folder: str, id: str, end: str) -> str:
    return f"{folder}/{id}.{end}"


def _json(content: bytes | None) -> Any:
    try:
        return json.loads(content) if content is not None else None
    except ValueError:
        return None


def _details(content: bytes | dict[str, Any] | None) -> Details | None:
    found = _json(content) if isinstance(content, bytes) else content
    try:
        return Details.read(found) if found is not None else None
    except (TypeError, ValueError):
        return None
