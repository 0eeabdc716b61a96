"""The kept stems of a song as one ZIP file, made while it is sent. Its length is known in advance.

Sizes and CRCs are in the local headers. Readers of streams, such as Java's ZipInputStream, refuse stored entries with
a data descriptor. The libraries that write ZIPs as a stream always add one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from struct import pack
from zlib import crc32

from app.audio.companions import companions_of, dawproject_of
from app.audio.files import Details, distinct
from app.audio.shelf import Shelf
from app.audio.store import AudioUnavailable, Opened
from app.audio.timeline import SongInTime
from app.music.dawproject import AUDIO_FOLDER

LOCAL_HEADER, CENTRAL_HEADER = 30, 46
"""Bytes of the headers of an entry, without its name and the extra field."""

END, END_64 = 22, 56 + 20
"""Bytes of the records at the end; a large file has both."""

TOO_LONG, TOO_MANY = 0xFFFF_FFFF, 0xFFFF
"""Sizes, offsets and numbers from these on are in 64-bit fields."""

UTF_8 = 0x800
"""The flag that says that a name is in UTF-8."""

REGULAR_FILE = 0o100644 << 16
"""The permissions of an entry, for Unix."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A file in the ZIP. `crc` and `chunks` are called when it is its turn, `note_wrong` if the CRC was wrong."""

    name: bytes
    size: int
    changed: float
    """Seconds since 1970."""
    crc: Callable[[], int]
    chunks: Callable[[], Iterable[bytes]]
    note_wrong: Callable[[], None] = lambda: None


class Zip:
    """An uncompressed ZIP: compression does not make audio smaller."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        self._entries = entries

    @property
    def number(self) -> int:
        """How many files are in it."""
        return len(self._entries)

    def __len__(self) -> int:
        """Its length in bytes."""
        offset = directory = 0
        for entry in self._entries:
            directory += CENTRAL_HEADER + len(entry.name) + len(_extra(entry.size, entry.size, offset))
            offset += LOCAL_HEADER + len(entry.name) + len(_extra_of_local(entry)) + entry.size
        return offset + directory + len(_end(len(self._entries), directory, offset))

    def __iter__(self) -> Iterator[bytes]:
        """Each piece that begins a file has its first bytes too. Raises AudioUnavailable."""
        offset, directory = 0, b""
        for entry in self._entries:
            crc = entry.crc()
            directory += _central_header(entry, crc, offset)
            head = _local_header(entry, crc)
            offset += len(head) + entry.size
            sent, found = 0, 0
            for chunk in entry.chunks():
                sent, found = sent + len(chunk), crc32(chunk, found)
                yield head + chunk if head else chunk
                head = b""
            if head:
                yield head
            if (sent, found) != (entry.size, crc):
                entry.note_wrong()
                raise AudioUnavailable(f"{entry.name.decode()} is not the file that was kept")
        yield directory + _end(len(self._entries), len(directory), offset)


def stems_zip(
    folder: str, stems: Sequence[tuple[Details, Opened]], format: str, shelf: Shelf, about: SongInTime
) -> Zip:
    """The ZIP of kept stems. `folder`: the name of the only folder in it. The small files are first."""
    return Zip(song_entries(folder, stems, format, shelf, about))


def song_entries(
    folder: str, stems: Sequence[tuple[Details, Opened]], format: str, shelf: Shelf, about: SongInTime
) -> list[Entry]:
    """The entries of one song's folder."""
    names = distinct((details.id, f"{details.track}.{format}") for details, _ in stems)
    newest = max((opened.stored.kept for _, opened in stems), default=0.0)
    small = companions_of(about, [details for details, _ in stems], names)
    return [
        *(content_entry(f"{folder}/{name}", content, newest) for name, content in small),
        *(file_entry(f"{folder}/{names[details.id]}", opened, shelf) for details, opened in stems),
    ]


def dawproject_zip(
    clips: Sequence[tuple[Details, Opened]], format: str, shelf: Shelf, about: SongInTime, *, version: str
) -> Zip:
    """The kept clips of a song as a DAWproject file. `version`: of this service."""
    names = distinct((details.id, f"{details.track}.{format}") for details, _ in clips)
    newest = max((opened.stored.kept for _, opened in clips), default=0.0)
    small = dawproject_of(about, [details for details, _ in clips], names, version=version)
    entries = [content_entry(name, content, newest) for name, content in small]
    entries += [file_entry(f"{AUDIO_FOLDER}/{names[details.id]}", opened, shelf) for details, opened in clips]
    return Zip(entries)


def content_entry(name: str, content: bytes, changed: float) -> Entry:
    """An entry with this content."""
    return Entry(name.encode(), len(content), changed, lambda: crc32(content), lambda: [content])


def file_entry(name: str, opened: Opened, shelf: Shelf) -> Entry:
    """An entry with a kept file."""
    size = opened.stored.size
    return Entry(
        name.encode(),
        size,
        opened.stored.kept,
        crc=lambda: shelf.checksum(opened),
        chunks=lambda: opened.chunks(0, size),
        note_wrong=lambda: shelf.forget_checksum(opened),
    )


def _local_header(entry: Entry, crc: int) -> bytes:
    extra = _extra_of_local(entry)
    size = min(entry.size, TOO_LONG)
    fields = (_version(extra), UTF_8, 0, *_dos_time(entry.changed), crc, size, size, len(entry.name), len(extra))
    return b"PK\3\4" + pack("<5H3I2H", *fields) + entry.name + extra


def _central_header(entry: Entry, crc: int, offset: int) -> bytes:
    extra = _extra(entry.size, entry.size, offset)
    size, at, unix = min(entry.size, TOO_LONG), min(offset, TOO_LONG), 3 << 8
    version = _version(extra)
    fields = (unix | version, version, UTF_8, 0, *_dos_time(entry.changed), crc, size, size, len(entry.name))
    return b"PK\1\2" + pack("<6H3I5H2I", *fields, len(extra), 0, 0, 0, REGULAR_FILE, at) + entry.name + extra


def _end(number: int, length: int, offset: int) -> bytes:
    """The end of the ZIP: after a directory of `number` entries and `length` bytes at `offset`."""
    few = min(number, TOO_MANY)
    end = b"PK\5\6" + pack("<4H2IH", 0, 0, few, few, min(length, TOO_LONG), min(offset, TOO_LONG), 0)
    if max(length, offset) < TOO_LONG and number < TOO_MANY:
        return end
    large = b"PK\6\6" + pack("<Q2H2I4Q", 44, 45, 45, 0, 0, number, number, length, offset)
    return large + b"PK\6\7" + pack("<IQI", 0, offset + length, 1) + end


def _extra_of_local(entry: Entry) -> bytes:
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
