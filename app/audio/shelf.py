"""The kept audio by account, clip and format: reads, the size limit, and expiry."""

from __future__ import annotations

import errno
import json
import logging
import math
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence, Set
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from zlib import crc32

from app.allocation import allocate
from app.audio.files import TYPES, Details, crc32_of
from app.audio.peaks import NotAudio
from app.audio.store import AudioFull, AudioRemoved, AudioUnavailable, FileStore, Opened, Stored, checked

log = logging.getLogger(__name__)

if TYPE_CHECKING:
    from app.audio.measure import Measured

T = TypeVar("T")

INCOMPLETE_KEPT_SECONDS = 3600.0
"""Seconds after which an incomplete file is removed."""

DETAILS, PEAKS, STEMS = "json", "peaks.json", "stems.json"
"""Extensions of the small files beside the audio: a clip's details, its waveform, a song's list of stems."""

CRC = "crc.json"
"""Is added to the name of an audio file: the small file with its CRC-32, for ZIPs."""

SETS = tuple(f"{format}set.json" for format in TYPES)
"""What was compared in each format; FACTS and TRACE, behind a format: what was measured of a file."""
FACTS, TRACE = "facts.json", "trace.json"

OF_SONG = (STEMS, "song.json", "words.json", "beats.json", "sections.json", *SETS)
"""Extensions of the small files that a song may have without audio of its own."""


NeededBy = Callable[[str], Set[str]]
"""Returns the ids of the unfinished splits that need a stored file, by its name."""


def needed_by_nobody(name: str) -> Set[str]:
    """Nobody needs any file."""
    return frozenset()


class Shelf:
    """The kept audio of all accounts. Every method raises AudioUnavailable.

    `folders` are those of one Suno account (`folder_of` its names in the ledger), the current one first. Other
    accounts cannot see that a file exists.
    """

    def __init__(self, store: FileStore, *, limit: int, kept_for: float) -> None:
        """`limit`: maximum bytes to keep. `kept_for`: seconds to keep a file after its last use; 0: forever."""
        self._store = store
        self._limit = limit
        self._kept_for = kept_for

    def stat(self, folders: Sequence[str], clip_id: str, end: str) -> Stored | None:
        """Look up a file; None if it is not kept."""
        return self._first(folders, clip_id, end, self._store.stat)

    def open(self, folders: Sequence[str], clip_id: str, end: str) -> Opened | None:
        """Open a file for sending; None if it is not kept. The caller must close it."""
        return self._first(folders, clip_id, end, self._store.open)

    def later(self, stored: Stored) -> Opened:
        """A kept file that is opened only while it is read. Unlike one of `open`, it may be removed before that."""
        return _Later(stored, self._store)

    def details(self, folders: Sequence[str], clip_id: str) -> Details | None:
        """Read the details of a clip that has kept files."""
        return _details(self._first(folders, clip_id, DETAILS, self._store.read))

    def peaks(self, folders: Sequence[str], clip_id: str) -> bytes | None:
        """Read a clip's waveform, as JSON."""
        return self._first(folders, clip_id, PEAKS, self._store.read)

    def stems(self, folders: Sequence[str], song_id: str) -> list[Details] | None:
        """Read the stored list of a song's stems, which may be old; None if there is none."""
        found = _json(self._first(folders, song_id, STEMS, self._store.read))
        if not isinstance(found, list):
            return None
        return [details for each in found if (details := _details(each)) is not None]

    def stems_age(self, folders: Sequence[str], song_id: str) -> float:
        """Seconds since the list of a song's stems was stored; infinite if there is none."""
        stored = self.stat(folders, song_id, STEMS)
        return time.time() - stored.kept if stored else math.inf

    def note_stems(self, folder: str, song_id: str, stems: Iterable[Details]) -> None:
        """Store the list of a song's stems. Raises AudioFull."""
        self._write(folder, song_id, STEMS, [asdict(stem) for stem in stems])

    def note(self, folders: Sequence[str], song_id: str, name: str) -> Any:
        """Read a note about a song or another clip, as `keep_note` writes it; None if there is none."""
        return _json(self._first(folders, song_id, f"{name}.json", self._store.read))

    def keep_note(self, folder: str, song_id: str, name: str, value: Any) -> None:
        """Store a note about a song: JSON. `name` is one of OF_SONG without `.json`. Raises AudioFull."""
        self._write(folder, song_id, f"{name}.json", value)

    def checksum(self, opened: Opened) -> int:
        """The CRC-32 of a kept file. It is computed now, and stored, for a file of an older version."""
        stored = opened.stored
        known = _json(self._store.read(stored.name + CRC))
        if isinstance(known, dict) and known.get("bytes") == stored.size and isinstance(known.get("crc32"), int):
            return int(known["crc32"])
        crc = 0
        for chunk in opened.chunks(0, stored.size):
            crc = crc32(chunk, crc)
            # Let other requests go on.
            time.sleep(0)
        try:
            self._store.write(stored.name + CRC, _dumped({"crc32": crc, "bytes": stored.size}))
        except (AudioFull, AudioUnavailable) as error:
            log.warning("The CRC of %s could not be stored: %s", stored.name, error)
        return crc

    def forget_checksum(self, opened: Opened) -> None:
        """Remove a CRC that was wrong: the next request computes it again."""
        self._store.remove(opened.stored.name + CRC)

    def spool_file(self, name: str) -> Path:
        """Return a new path in the spool, for a file that is being fetched."""
        checked(f"spool/{name}")
        return self._spool() / f"{name}.{time.monotonic_ns()}"

    def fetched_file(self, folder: str, clip_id: str, format: str) -> Path:
        """Return the path in the spool of a complete file that is not in the store yet.

        It stays there if the store fails, so that the next try on this machine need not fetch it again.
        """
        return self._spool() / f"{folder}-{clip_id}.{format}.fetched"

    def _spool(self) -> Path:
        spool = self._store.spool
        try:
            spool.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise AudioUnavailable(f"{error.strerror or type(error).__name__}: {spool}") from error
        return spool

    def keep(
        self,
        folder: str,
        details: Details,
        format: str,
        file: Path,
        *,
        measure: Callable[[Path, str], Measured] | None = None,
        add_up: Callable[[Path], int] = crc32_of,
        compare: Callable[[], object] = lambda: None,
    ) -> None:
        """Move a complete file from the spool to the store, with its details, measures and CRC. Raises AudioFull.

        `measure` decodes it, once. It may raise NotAudio. `add_up` computes the CRC-32. `compare` is called when the
        measures are stored, before the file counts as kept.
        """
        measured: Measured | None = None
        try:
            measured = (measure or _measure)(file, format)
        except NotAudio as error:
            log.warning("Clip %s cannot be measured: %s", details.id, error)
        self._write(folder, details.id, DETAILS, asdict(details))
        self._write(folder, details.id, format + CRC, {"crc32": add_up(file), "bytes": file.stat().st_size})
        if measured:
            if self._store.stat(_name(folder, details.id, PEAKS)) is None:
                self._write(folder, details.id, PEAKS, measured.peaks)
            self._write(folder, details.id, format + FACTS, asdict(measured.facts))
            self._write(folder, details.id, format + TRACE, measured.trace.dumped())
        compare()
        # Last: from now on the file counts as kept.
        self._store.put(_name(folder, details.id, format), file)

    def check(self, least: Sequence[int] = (), *, together: bool = False) -> None:
        """Raise AudioFull if no file can be kept now, or the files that come certainly cannot.

        Old files count as removed. `least`: the bytes that each of them has at least. `together`: none of them may be
        removed for another.
        """
        if any(size > self._limit for size in least) or (together and sum(least) > self._limit):
            needs = sum(least) if together else max(least)
            raise AudioFull(
                f"The audio has at least {needs:,} bytes, and AUDIO_LIMIT allows {self._limit:,}.", is_passing=False
            )
        self._store.check()
        free = self._store.free()
        if free is not None and sum(least) > free and sum(least) > free + self.total():
            raise AudioFull(
                f"The audio has at least {sum(least):,} bytes, and the disk for kept audio has {free:,}: the "
                "operator has to free some space."
            )

    def check_room(self, least: Sequence[int] = (), *, together: bool = False) -> None:
        """The same, but only before anything that costs: the text says that nothing was charged."""
        try:
            self.check(least, together=together)
        except AudioFull as error:
            raise AudioFull(f"{error} Nothing was charged.", is_passing=error.is_passing) from error
        except AudioUnavailable as error:
            raise AudioUnavailable(error.why, "Nothing was charged.") from error

    def make_room(
        self, file: Path, size: int, others: int, needed_by: NeededBy = needed_by_nobody, ours: Collection[str] = ()
    ) -> None:
        """Make room for a file of `size` bytes, in addition to `others` (the bytes of other fetches).

        Removes the least recently used files that nobody needs, and allocates the disk space. `ours`: the splits that
        wait for this file. Raises AudioFull.
        """
        if size > self._limit:
            raise AudioFull(f"A file of {size:,} bytes alone is more than AUDIO_LIMIT allows.", is_passing=False)
        if self._give_way(size + others, needed_by) > 0:
            siblings = sum(stored.size for stored in self._audio() if not needed_by(stored.name).isdisjoint(ours))
            if siblings + size > self._limit:
                raise AudioFull("The files of this split alone are more than AUDIO_LIMIT allows.", is_passing=False)
            raise AudioFull("Files that are being fetched or sent fill AUDIO_LIMIT: try again later.")
        _take(file, size)

    def clean(self, needed_by: NeededBy = needed_by_nobody) -> None:
        """Remove expired and incomplete files, and the least recently used ones above the limit that nobody needs.

        A step that fails is logged, and does not stop the others.
        """
        for step in (
            lambda: self._store.clear_rubbish(INCOMPLETE_KEPT_SECONDS),
            lambda: self._give_way(0, needed_by),
            lambda: self._remove_expired(needed_by),
        ):
            try:
                step()
            except (AudioFull, AudioUnavailable) as error:
                log.error("The kept audio could not be cleaned up completely: %s", error)

    def _remove_expired(self, needed_by: NeededBy) -> None:
        audio: dict[str, set[str]] = {}
        small: list[Stored] = []
        for stored in list(self._store.list()):
            folder, _, file = stored.name.partition("/")
            clip_id, _, end = file.partition(".")
            if end not in TYPES:
                small.append(stored)
            elif not (self._is_expired(stored) and not needed_by(stored.name) and self._remove(stored)):
                audio.setdefault(folder, set()).add(clip_id)
        for stored in small:
            # A clip's small files go after its last audio file; a song's list of stems goes by its own age.
            folder, _, file = stored.name.partition("/")
            id, _, end = file.partition(".")
            is_needed = not self._kept_for if end in OF_SONG else id in audio.get(folder, ())
            if not is_needed and time.time() - stored.kept > max(self._kept_for, INCOMPLETE_KEPT_SECONDS):
                self._store.remove(stored.name)

    def _is_expired(self, stored: Stored) -> bool:
        return bool(self._kept_for) and time.time() - stored.used > self._kept_for

    def total(self) -> int:
        """Total bytes kept."""
        return sum(stored.size for stored in self._store.list())

    def free(self) -> int | None:
        """Free bytes on the disk; None if unlimited."""
        return self._store.free()

    @property
    def limit(self) -> int:
        """Maximum bytes to keep."""
        return self._limit

    def _audio(self) -> list[Stored]:
        return [stored for stored in self._store.list() if not stored.name.endswith(".json")]

    def _give_way(self, coming: int, needed_by: NeededBy) -> int:
        """Remove the least recently used files until `coming` bytes fit. Returns the bytes still over the limit."""
        files = self._audio()
        over = sum(stored.size for stored in files) + coming - self._limit
        for stored in sorted(files, key=lambda stored: stored.used):
            if over <= 0:
                break
            if not needed_by(stored.name) and self._remove(stored):
                over -= stored.size
        return over

    def _remove(self, stored: Stored) -> bool:
        removed = self._store.remove(stored.name)
        if removed:
            log.info("The audio %s was removed: it was not used for %.0f s.", stored.name, time.time() - stored.used)
        return removed

    def _write(self, folder: str, id: str, end: str, value: Any) -> None:
        self._store.write(_name(folder, id, end), _dumped(value))

    @staticmethod
    def _first(folders: Sequence[str], id: str, end: str, look: Callable[[str], T | None]) -> T | None:
        return next((found for folder in folders if (found := look(_name(folder, id, end))) is not None), None)


@dataclass(slots=True)
class _Later:
    """A kept file that is open only while it is read."""

    stored: Stored
    store: FileStore
    path: Path | None = None

    def chunks(self, first: int, length: int) -> Iterator[bytes]:
        """Open the file, read `length` bytes from offset `first`, and close it. Raises AudioRemoved."""
        opened = self.store.open(self.stored.name)
        if opened is None:
            raise AudioRemoved("a file was removed just now")
        try:
            if opened.stored.etag != self.stored.etag:
                raise AudioUnavailable("a file has changed just now")
            yield from opened.chunks(first, length)
        finally:
            opened.close()

    def close(self) -> None:
        """Do nothing: it is not open."""


def _measure(file: Path, format: str) -> Measured:
    # Imported here: it is slow to load, and only who keeps a file needs it.
    from app.audio.measure import measure

    return measure(file, format)


def _take(file: Path, size: int) -> None:
    """Allocate the space for a file, so that a full disk is found before the download starts."""
    try:
        with file.open("wb") as content:
            allocate(content.fileno(), size)
    except OSError as error:
        file.unlink(missing_ok=True)
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise AudioFull("The disk for kept audio is full: the operator has to free some space.") from error
        raise AudioUnavailable(f"{error.strerror or type(error).__name__}: {file}") from error


def _name(folder: str, id: str, end: str) -> str:
    return checked(f"{folder}/{id}.{end}")


def _dumped(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _json(content: bytes | None) -> Any:
    try:
        return json.loads(content) if content is not None else None
    except ValueError:
        return None


def _details(content: Any) -> Details | None:
    found = _json(content) if isinstance(content, bytes) else content
    try:
        return Details.read(found) if found is not None else None
    except (TypeError, ValueError):
        return None
