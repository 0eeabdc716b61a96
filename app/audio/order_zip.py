"""The kept stems of many songs as one ZIP, with a folder for each song.

However many songs there are, at most one of their files is open, and their small files are in memory only up to
MAX_SMALL_BYTES_IN_MEMORY: the others are on the disk.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from tempfile import SpooledTemporaryFile

from app.audio.files import Details, distinct_name, folder_name
from app.audio.shelf import Shelf
from app.audio.store import AudioUnavailable
from app.audio.timeline import Timeline
from app.audio.zip import Zip, ZipEntry, in_folder, song_entries

MAX_SMALL_BYTES_IN_MEMORY = 1_000_000
"""Bytes."""

SONGS_AT_ONCE = 8
"""How many songs are looked up at once: a bucket answers slowly."""


@dataclass(frozen=True, slots=True)
class SongOfZip:
    """A song, and which of its stems belong into the ZIP if they are kept."""

    song_id: str
    title: str | None
    stem_ids: Sequence[str] | None
    """None: all that are known."""

    def stems(self, shelf: Shelf, folders: Sequence[str]) -> list[Details]:
        """The details of its stems, kept or not. Raises AudioUnavailable."""
        noted = {stem.id: stem for stem in shelf.stems(folders, self.song_id) or ()}
        if self.stem_ids is None:
            return list(noted.values())
        found = (noted.get(id) or shelf.details(folders, id) for id in self.stem_ids)
        return [stem for stem in found if stem is not None]


class SmallFiles:
    """The content of small files, until it is sent."""

    def __init__(self) -> None:
        self._file = SpooledTemporaryFile(MAX_SMALL_BYTES_IN_MEMORY)  # noqa: SIM115 - `close` closes it
        self._size = 0

    def stored(self, entry: ZipEntry) -> ZipEntry:
        """The entry, with its content moved here. Raises AudioUnavailable."""
        first, crc = self._size, entry.crc()
        content = b"".join(entry.chunks(0, entry.size))
        try:
            self._file.seek(first)
            self._file.write(content)
        except OSError as error:
            raise AudioUnavailable(f"the disk for temporary files: {error.strerror}") from error
        self._size += len(content)
        return replace(entry, crc=lambda: crc, chunks=lambda start, length: self._chunks(first + start, length))

    def _chunks(self, first: int, length: int) -> Iterator[bytes]:
        self._file.seek(first)
        yield self._file.read(length)

    def close(self) -> None:
        """Forget the content."""
        self._file.close()


@dataclass(frozen=True, slots=True)
class OrderZip:
    """The ZIP of many songs."""

    content: Zip
    begin: int
    """How many pieces are before the first byte of audio, and with it."""
    small: SmallFiles
    """To be closed after the ZIP was sent."""


def order_zip(
    songs: Sequence[SongOfZip], folders: Sequence[str], format: str, shelf: Shelf, timeline: Timeline
) -> OrderZip | None:
    """Pack the stems that are kept in a format; None if there are none. Raises AudioUnavailable.

    `timeline` should not ask Suno: there may be 200 songs.
    """
    small, entries, begin = SmallFiles(), list[ZipEntry](), 0
    taken: set[str] = set()
    try:
        for found in _packed(songs, folders, format, shelf, timeline):
            folder = distinct_name(found.folder, "", taken)
            of_song = [in_folder(folder, each) for each in found.entries]
            entries += [*map(small.stored, of_song[: found.small]), *of_song[found.small :]]
            begin = begin or found.small + 1
    except BaseException:
        small.close()
        raise
    if not entries:
        small.close()
        return None
    return OrderZip(Zip(entries), begin, small)


@dataclass(frozen=True, slots=True)
class _Folder:
    """The folder of a song."""

    folder: str
    entries: Sequence[ZipEntry]
    """With names inside the folder; the small files are first."""
    small: int
    """How many small files there are."""


def _packed(
    songs: Sequence[SongOfZip], folders: Sequence[str], format: str, shelf: Shelf, timeline: Timeline
) -> Iterator[_Folder]:
    """The folders of the songs that have kept stems, in order."""

    def pack(song: SongOfZip) -> _Folder | None:
        stems = song.stems(shelf, folders)
        kept = [(each, shelf.later(stored)) for each in stems if (stored := shelf.stat(folders, each.id, format))]
        if not kept:
            return None
        about = timeline.known(song.song_id, song.title)
        entries = song_entries(kept, format, shelf, about)
        # Let other requests go on.
        time.sleep(0)
        name = folder_name(kept[0][0].song_title, song.song_id, bpm=about.bpm, key=about.song.key)
        return _Folder(name, entries, len(entries) - len(kept))

    with ThreadPoolExecutor(SONGS_AT_ONCE) as pool:
        # In parts: all small files of all songs would be in memory at once.
        for start in range(0, len(songs), SONGS_AT_ONCE):
            yield from filter(None, pool.map(pack, songs[start : start + SONGS_AT_ONCE]))
