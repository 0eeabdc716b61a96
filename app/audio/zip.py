"""The kept stems of a song as one ZIP file, made while it is sent. Its length is known in advance.

Sizes and CRCs are in the local headers. Readers of streams, such as Java's ZipInputStream, refuse stored entries with
a data descriptor. The libraries that write ZIPs as a stream always add one.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from struct import pack
from zlib import crc32

from app.audio.companions import companions_of, dawproject_of
from app.audio.facts import SongMeasures
from app.audio.files import Details, distinct
from app.audio.measurements import Measurements
from app.audio.shelf import Shelf
from app.audio.store import AudioUnavailable, Opened
from app.audio.timeline import SongInTime
from app.music.dawproject import AUDIO_FOLDER

LOCAL_HEADER_BYTES, CENTRAL_HEADER_BYTES = 30, 46
"""Bytes of the headers of an entry, without its name and the extra field."""

TOO_LONG, TOO_MANY = 0xFFFF_FFFF, 0xFFFF
"""Sizes, offsets and numbers from these on are in 64-bit fields."""

UTF_8_FLAG = 0x800
"""The flag that says that a name is in UTF-8."""

FILE_PERMISSIONS = 0o100644 << 16
"""The permissions of an entry, for Unix."""


@dataclass(frozen=True, slots=True)
class ZipEntry:
    """A file in the ZIP. `crc` and `chunks` are called when it is its turn, `note_wrong` if the CRC was wrong."""

    name: bytes
    size: int
    changed: float
    """Seconds since 1970."""
    etag: str
    """Changes with the content."""
    crc: Callable[[], int]
    chunks: Callable[[int, int], Iterable[bytes]]
    """Read a number of bytes (the second argument) from an offset (the first)."""
    note_wrong: Callable[[], None] = lambda: None


class Zip:
    """An uncompressed ZIP: compression does not make audio smaller. Any part of it can be made alone."""

    def __init__(self, entries: Sequence[ZipEntry]) -> None:
        self._entries = entries
        self._crcs: dict[int, int] = {}

    @property
    def number(self) -> int:
        """How many files are in it."""
        return len(self._entries)

    def __len__(self) -> int:
        """Its length in bytes."""
        offset = directory = 0
        for entry in self._entries:
            directory += CENTRAL_HEADER_BYTES + len(entry.name) + len(_extra(entry.size, entry.size, offset))
            offset += _length(entry)
        return offset + directory + len(_end(len(self._entries), directory, offset))

    @property
    def etag(self) -> str:
        """Changes with its content. No file is read for it."""
        facts = [(entry.name.decode(), entry.size, entry.changed, entry.etag) for entry in self._entries]
        return sha256(json.dumps(facts).encode()).hexdigest()[:32]

    def __iter__(self) -> Iterator[bytes]:
        """The whole ZIP. Raises AudioUnavailable."""
        return self.chunks(0, len(self))

    def chunks(self, first: int, length: int) -> Iterator[bytes]:
        """Make `length` bytes from offset `first`: files outside of that are not read. Raises AudioUnavailable.

        Each piece that begins a file has its first bytes too.
        """
        end, offset = first + length, 0
        for number, entry in enumerate(self._entries):
            start, stop = max(first - offset, 0), min(end - offset, _length(entry))
            if start < stop:
                yield from self._of_entry(number, start, stop)
            offset += _length(entry)
        if end > offset:
            yield self._directory(offset)[max(first - offset, 0) : end - offset]

    def _of_entry(self, number: int, start: int, stop: int) -> Iterator[bytes]:
        """The bytes of an entry and its header, from `start` to `stop`."""
        entry, crc = self._entries[number], self._crc(number)
        header = _local_header(entry, crc)
        head = header[start:stop]
        first, last = max(start - len(header), 0), max(stop - len(header), 0)
        sent = found = 0
        for chunk in entry.chunks(first, last - first) if first < last else ():
            sent, found = sent + len(chunk), crc32(chunk, found)
            yield head + chunk if head else chunk
            head = b""
        if head:
            yield head
        # Of a part, only the length can be checked.
        is_whole = (first, last) == (0, entry.size)
        if sent != last - first or (is_whole and found != crc):
            entry.note_wrong()
            raise AudioUnavailable(f"{entry.name.decode()} is not the file that was kept")

    def _directory(self, offset: int) -> bytes:
        """The directory at the end, which begins at `offset`."""
        headers, at = list[bytes](), 0
        for number, entry in enumerate(self._entries):
            headers.append(_central_header(entry, self._crc(number), at))
            at += _length(entry)
        directory = b"".join(headers)
        return directory + _end(len(self._entries), len(directory), offset)

    def _crc(self, number: int) -> int:
        if number not in self._crcs:
            self._crcs[number] = self._entries[number].crc()
        return self._crcs[number]


def stems_zip(
    folder: str, stems: Sequence[tuple[Details, Opened]], format: str, shelf: Shelf, about: SongInTime
) -> Zip:
    """The ZIP of kept stems. `folder`: the name of the only folder in it. The small files are first."""
    return Zip([in_folder(folder, entry) for entry in song_entries(stems, format, shelf, about)])


def in_folder(folder: str, entry: ZipEntry) -> ZipEntry:
    """The entry with its name in a folder."""
    return replace(entry, name=f"{folder}/{entry.name.decode()}".encode())


def song_entries(
    stems: Sequence[tuple[Details, Opened]], format: str, shelf: Shelf, about: SongInTime
) -> list[ZipEntry]:
    """The entries of one song, without a folder. The small files are first."""
    names = distinct((details.id, f"{details.track}.{format}") for details, _ in stems)
    newest = max((opened.stored.kept for _, opened in stems), default=0.0)
    small = companions_of(about, [details for details, _ in stems], names, _measured(stems, format, shelf))
    return [
        *(content_entry(name, content, newest) for name, content in small),
        *(file_entry(names[details.id], opened, shelf) for details, opened in stems),
    ]


def dawproject_zip(
    clips: Sequence[tuple[Details, Opened]], format: str, shelf: Shelf, about: SongInTime, *, version: str
) -> Zip:
    """The kept clips of a song as a DAWproject file. `version`: of this service."""
    names = distinct((details.id, f"{details.track}.{format}") for details, _ in clips)
    newest = max((opened.stored.kept for _, opened in clips), default=0.0)
    measured = _measured(clips, format, shelf)
    small = dawproject_of(about, [details for details, _ in clips], names, measured, version=version)
    entries = [content_entry(name, content, newest) for name, content in small]
    entries += [file_entry(f"{AUDIO_FOLDER}/{names[details.id]}", opened, shelf) for details, opened in clips]
    return Zip(entries)


def _measured(clips: Sequence[tuple[Details, Opened]], format: str, shelf: Shelf) -> SongMeasures:
    folders = dict.fromkeys(opened.stored.name.partition("/")[0] for _, opened in clips)
    return Measurements(shelf, tuple(folders)).of_song([details for details, _ in clips], format)


def content_entry(name: str, content: bytes, changed: float) -> ZipEntry:
    """An entry with this content."""
    crc, etag = crc32(content), sha256(content).hexdigest()
    return ZipEntry(
        name.encode(),
        len(content),
        changed,
        etag,
        lambda: crc,
        lambda first, length: [content[first : first + length]],
    )


def file_entry(name: str, opened: Opened, shelf: Shelf) -> ZipEntry:
    """An entry with a kept file."""
    stored = opened.stored
    return ZipEntry(
        name.encode(),
        stored.size,
        stored.kept,
        stored.etag,
        crc=lambda: shelf.checksum(opened),
        chunks=opened.chunks,
        note_wrong=lambda: shelf.forget_checksum(opened),
    )


def _length(entry: ZipEntry) -> int:
    """Bytes of an entry and its header."""
    return LOCAL_HEADER_BYTES + len(entry.name) + len(_extra_of_local(entry)) + entry.size


def _local_header(entry: ZipEntry, crc: int) -> bytes:
    extra = _extra_of_local(entry)
    size = min(entry.size, TOO_LONG)
    fields = (_version(extra), UTF_8_FLAG, 0, *_dos_time(entry.changed), crc, size, size, len(entry.name), len(extra))
    return b"PK\3\4" + pack("<5H3I2H", *fields) + entry.name + extra


def _central_header(entry: ZipEntry, crc: int, offset: int) -> bytes:
    extra = _extra(entry.size, entry.size, offset)
    size, at, unix = min(entry.size, TOO_LONG), min(offset, TOO_LONG), 3 << 8
    version = _version(extra)
    fields = (unix | version, version, UTF_8_FLAG, 0, *_dos_time(entry.changed), crc, size, size, len(entry.name))
    return b"PK\1\2" + pack("<6H3I5H2I", *fields, len(extra), 0, 0, 0, FILE_PERMISSIONS, at) + entry.name + extra


def _end(number: int, length: int, offset: int) -> bytes:
    """The end of the ZIP: after a directory of `number` entries and `length` bytes at `offset`."""
    few = min(number, TOO_MANY)
    end = b"PK\5\6" + pack("<4H2IH", 0, 0, few, few, min(length, TOO_LONG), min(offset, TOO_LONG), 0)
    if max(length, offset) < TOO_LONG and number < TOO_MANY:
        return end
    large = b"PK\6\6" + pack("<Q2H2I4Q", 44, 45, 45, 0, 0, number, number, length, offset)
    return large + b"PK\6\7" + pack("<IQI", 0, offset + length, 1) + end


def _extra_of_local(entry: ZipEntry) -> bytes:
    # A local header has no offset, and needs both sizes.
    return _extra(entry.size, entry.size, 0)


def _extra(*numbers: int) -> bytes:
    """The extra field with the numbers that are too large for a header."""
    large = [number for number in numbers if number >= TOO_LONG]
    return pack(f"<2H{len(large)}Q", 1, 8 * len(large), *large) if large else b""


def _version(extra: bytes) -> int:
    return 45 if extra else 20


def _dos_time(at: float) -> tuple[int, int]:
    """Time and date in UTC, in steps of two seconds; years before 1980 do not exist."""
    year, month, day, hour, minute, second, *_ = time.gmtime(max(at, 315_532_800.0))
    return hour << 11 | minute << 5 | second // 2, (year - 1980) << 9 | month << 5 | day
