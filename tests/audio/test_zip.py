"""ZIPs of kept stems, read as a stream and as a file."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from struct import unpack
from zlib import crc32

import pytest

from app.audio import zip as zips
from app.audio.files import Details
from app.audio.folder import FolderStore
from app.audio.shelf import CRC, Shelf
from app.audio.store import AudioUnavailable, Opened
from app.audio.timeline import SongInTime, Subject
from app.audio.zip import Zip, ZipEntry, stems_zip
from tests.audio.conftest import wav

MINE = "mine"
SOUNDS = {"a": wav(), "b": wav(loud=9_000)}
SONG = SongInTime(Subject("song", "Söng", 0.1, is_complete=True))


def details(id: str) -> Details:
    return Details(id, "song", "Söng", None, f"part {id}", 1, None, None)


@pytest.fixture
def shelf(folder: FolderStore) -> Shelf:
    """A shelf with two kept files."""
    one = Shelf(folder, limit=10**9, kept_for=0)
    for id, sound in SOUNDS.items():
        file = one.spool_file(id)
        file.write_bytes(sound)
        one.keep(MINE, details(id), "wav", file)
    return one


@pytest.fixture
def stems(shelf: Shelf) -> Iterator[Sequence[tuple[Details, Opened]]]:
    found = [(details(id), opened) for id in SOUNDS if (opened := shelf.open((MINE,), id, "wav"))]
    yield found
    for _, opened in found:
        opened.close()


def read_as_a_stream(content: bytes) -> dict[str, bytes]:
    """Read only the local headers, from the first byte on."""
    found, at = {}, 0
    while content[at : at + 4] == b"PK\3\4":
        _, flags, method, _, crc, packed, size, name, extra = unpack("<3HI3I2H", content[at + 4 : at + 30])
        assert (method, packed, flags & 8) == (0, size, 0), "no data descriptor"
        start = at + 30 + name + extra
        body = content[start : start + size]
        assert crc32(body) == crc
        found[content[at + 30 : at + 30 + name].decode()] = body
        at = start + size
    assert content[at : at + 4] == b"PK\1\2"
    return found


def test_a_zip_can_be_read_as_a_stream_and_as_a_file(shelf: Shelf, stems: Sequence[tuple[Details, Opened]]) -> None:
    zip = stems_zip("Söng", stems, "wav", shelf, SONG)
    content = b"".join(zip)
    assert len(zip) == len(content)
    streamed = read_as_a_stream(content)
    names = ["Söng/stems.json", "Söng/Söng.rpp", "Söng/Part A.wav", "Söng/Part B.wav"]
    assert list(streamed) == names
    assert [streamed[name] for name in names[2:]] == list(SOUNDS.values())
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.testzip() is None
        assert {name: archive.read(name) for name in archive.namelist()} == streamed


def test_a_zip_is_the_same_each_time(shelf: Shelf, stems: Sequence[tuple[Details, Opened]]) -> None:
    first, second = (b"".join(stems_zip("Song", stems, "wav", shelf, SONG)) for _ in range(2))
    assert first == second


def test_any_part_of_a_zip_can_be_made_alone(shelf: Shelf, stems: Sequence[tuple[Details, Opened]]) -> None:
    zip = stems_zip("Söng", stems, "wav", shelf, SONG)
    whole = b"".join(zip)
    cuts = [*range(0, len(whole), 211), *range(len(whole) - 60, len(whole) + 1)]
    for first, end in [*pairwise(cuts), *((cut, len(whole)) for cut in cuts), *((0, cut) for cut in cuts)]:
        assert b"".join(zip.chunks(first, end - first)) == whole[first:end]


def test_a_part_of_a_zip_reads_only_its_own_files(shelf: Shelf, stems: Sequence[tuple[Details, Opened]]) -> None:
    (_, first), (_, second) = stems
    whole = b"".join(stems_zip("Song", stems, "wav", shelf, SONG))
    at = whole.index(SOUNDS["b"])
    first.close()
    zip = stems_zip("Song", stems, "wav", shelf, SONG)
    assert b"".join(zip.chunks(at, second.stored.size)) == SOUNDS["b"]
    with pytest.raises(AudioUnavailable):
        list(zip.chunks(0, at))


def test_the_etag_of_a_zip_changes_with_its_content(shelf: Shelf, stems: Sequence[tuple[Details, Opened]]) -> None:
    def etag(title: str = "Song", of: Sequence[tuple[Details, Opened]] = stems) -> str:
        return stems_zip(title, of, "wav", shelf, SONG).etag

    (named, opened), other = stems
    renamed = replace(named, part="another part")
    assert etag() == etag()
    assert len({etag(), etag("Other"), etag(of=stems[:1]), etag(of=[(renamed, opened), other])}) == 4
    before = etag()
    opened.stored = replace(opened.stored, etag="another")
    assert etag() != before


def test_each_small_file_is_one_piece_before_the_stems(shelf: Shelf, stems: Sequence[tuple[Details, Opened]]) -> None:
    zip = stems_zip("Song", stems, "wav", shelf, SONG)
    pieces = list(zip)
    assert b"stems.json" in pieces[0]
    assert SOUNDS["a"] in pieces[zip.number - len(stems)]


def test_the_crc_of_a_file_of_an_older_version_is_computed_once(
    shelf: Shelf, folder: FolderStore, stems: Sequence[tuple[Details, Opened]], monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"{MINE}/a.wav{CRC}"
    known = folder.read(name)
    for older in (None, b"{half", b'{"crc32": 7, "bytes": 1}', b'{"crc32": "x"}', b"[]"):
        folder.remove(name) if older is None else folder.write(name, older)
        assert zipfile.ZipFile(io.BytesIO(b"".join(stems_zip("Song", stems, "wav", shelf, SONG)))).testzip() is None
        assert folder.read(name) == known
    monkeypatch.setattr("app.audio.shelf.crc32", None)
    assert shelf.checksum(stems[0][1]) == crc32(SOUNDS["a"])


def test_a_wrong_crc_breaks_the_zip_off_and_is_computed_again(
    shelf: Shelf, folder: FolderStore, stems: Sequence[tuple[Details, Opened]]
) -> None:
    folder.write(f"{MINE}/a.wav{CRC}", f'{{"crc32": 7, "bytes": {len(SOUNDS["a"])}}}'.encode())
    with pytest.raises(AudioUnavailable, match=r"Part A\.wav is not the file that was kept"):
        list(stems_zip("Song", stems, "wav", shelf, SONG))
    assert zipfile.ZipFile(io.BytesIO(b"".join(stems_zip("Song", stems, "wav", shelf, SONG)))).testzip() is None


def test_a_file_that_became_shorter_breaks_the_zip_off() -> None:
    zip = Zip([ZipEntry(b"a", 4, 0.0, "", lambda: crc32(b"abc"), lambda at, length: [b"abc"])])
    with pytest.raises(AudioUnavailable):
        list(zip)


def test_a_crc_lives_as_long_as_its_clip_has_files(shelf: Shelf, folder: FolderStore, tmp_path: Path) -> None:
    kept = {stored.name for stored in folder.list()}
    assert {f"{MINE}/a.wav{CRC}", f"{MINE}/b.wav{CRC}"} <= kept
    shelf.clean()
    assert {stored.name for stored in folder.list()} == kept
    assert shelf.total() < sum(map(len, SOUNDS.values())) + 50_000


def test_files_after_four_gigabytes_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zips, "crc32", lambda chunk, before=0: 0)
    block = bytes(1 << 26)
    size = 65 * len(block)
    large = ZipEntry(b"large", size, 0.0, "", lambda: 0, lambda at, length: (block for _ in range(65)))
    zip = Zip([large, ZipEntry(b"small", 0, 0.0, "", lambda: 0, lambda at, length: [])])
    with (tmp_path / "sparse.zip").open("wb") as file:
        for piece in zip:
            # A hole takes no space.
            file.seek(len(piece), io.SEEK_CUR) if piece is block else file.write(piece)
    assert (tmp_path / "sparse.zip").stat().st_size == len(zip) > size
    with zipfile.ZipFile(tmp_path / "sparse.zip") as archive:
        infos = archive.infolist()
        assert [(info.filename, info.file_size) for info in infos] == [("large", size), ("small", 0)]
        assert infos[1].header_offset > size
        assert archive.read("small") == b""
