"""The ZIP of an order: a folder for each song, and no more than one open file."""

from __future__ import annotations

import io
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from unittest.mock import Mock

import pytest

from app.audio import order_zip as order_zips
from app.audio.files import Details
from app.audio.folder import FolderStore, OpenFile
from app.audio.order_zip import OrderZip, SongOfZip, order_zip
from app.audio.shelf import Shelf
from app.audio.store import AudioRemoved, AudioUnavailable
from app.audio.timeline import Timeline
from tests.audio.conftest import wav
from tests.audio.test_zip import read_as_a_stream

MINE = "mine"
SOUND = wav()
SUBJECT = {"title": "Song", "duration": 2.0, "is_complete": True, "bpm": 120.0, "key": "C_major"}


class Counted(FolderStore):
    """A folder that counts the files that are open."""

    is_open = most = 0

    def open(self, name: str) -> OpenFile | None:
        found = super().open(name)
        if found is None:
            return None
        Counted.is_open += 1
        Counted.most = max(Counted.most, Counted.is_open)
        return _Closing(found.stored, found.path, found.root, found.descriptor)


@dataclass(slots=True)
class _Closing(OpenFile):
    def close(self) -> None:
        Counted.is_open -= 1
        OpenFile.close(self)


@pytest.fixture
def shelf(folder: FolderStore) -> Shelf:
    return Shelf(Counted(folder._root), limit=10**9, kept_for=0)


@pytest.fixture(autouse=True)
def counted() -> Iterator[None]:
    Counted.is_open = Counted.most = 0
    yield
    assert Counted.is_open == 0


def keep(shelf: Shelf, song: str, *stems: str, title: str | None = "Song", kept: bool = True) -> SongOfZip:
    ids = [f"{song}-{stem}" for stem in stems]
    shelf.note_stems(
        MINE, song, [Details(id, song, title, None, stem, 1, None, None) for id, stem in zip(ids, stems, strict=True)]
    )
    for id in ids if kept else ():
        shelf._store.write(f"{MINE}/{id}.wav", SOUND)
    return SongOfZip(song, title, ids)


def packed(shelf: Shelf, songs: list[SongOfZip]) -> OrderZip:
    found = order_zip(songs, (MINE,), "wav", shelf, timeline(shelf))
    assert found
    return found


def timeline(shelf: Shelf) -> Timeline:
    not_asked: Any = Mock()
    return Timeline(None, (MINE,), not_asked, lambda: shelf, 0.01)


def names_in(content: bytes) -> list[str]:
    return zipfile.ZipFile(io.BytesIO(content)).namelist()


def test_each_song_has_a_folder_and_one_file_is_open_at_a_time(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(order_zips, "MAX_SMALL_BYTES_IN_MEMORY", 10_000)
    songs = [keep(shelf, f"{number:08}-song", "bass", "drums", title=f"Song {number}") for number in range(20)]
    found = packed(shelf, songs)
    content = b"".join(found.content)
    found.small.close()
    assert Counted.most == 1
    assert len(found.content) == len(content)
    assert names_in(content) == [
        f"Song {number} {number:08}/{file}"
        for number in range(20)
        for file in ("stems.json", f"Song {number}.rpp", "Bass.wav", "Drums.wav")
    ]
    streamed = read_as_a_stream(content)
    assert zipfile.ZipFile(io.BytesIO(content)).testzip() is None
    assert [body for name, body in streamed.items() if name.endswith(".wav")] == [SOUND] * 40
    assert found.begin == 3


@pytest.mark.parametrize("titles", [("Rain", "Rain"), ("Rain", "RAIN"), ("Vol. 2", "vol. 2"), (None, None)])
def test_songs_of_one_title_never_meet(shelf: Shelf, titles: tuple[str | None, ...]) -> None:
    # Their ids begin alike.
    songs = [keep(shelf, f"same-beginning-{n}", "bass", title=title) for n, title in enumerate(titles)]
    names = names_in(b"".join(packed(shelf, songs).content))
    assert len({name.partition("/")[0].casefold() for name in names}) == 2
    assert sum(name.endswith("/Bass.wav") for name in names) == 2
    assert len(names) == len({name.casefold() for name in names})


def test_only_what_is_kept_is_packed(shelf: Shelf) -> None:
    kept, other = keep(shelf, "kept", "bass", "drums"), keep(shelf, "other", "bass", kept=False)
    shelf._store.remove(f"{MINE}/kept-drums.wav")
    assert "Song kept/Bass.wav" in (names := names_in(b"".join(packed(shelf, [other, kept]).content)))
    assert {name.partition("/")[0] for name in names} == {"Song kept"}
    assert "Song kept/Drums.wav" not in names
    assert order_zip([other], (MINE,), "wav", shelf, timeline(shelf)) is None
    assert order_zip([kept], ("another",), "wav", shelf, timeline(shelf)) is None
    assert order_zip([kept], (MINE,), "mp3", shelf, timeline(shelf)) is None
    # Stems of another split of the song are not in the order.
    assert order_zip([SongOfZip("kept", "Song", ["no-such-stem"])], (MINE,), "wav", shelf, timeline(shelf)) is None


def test_a_file_that_goes_or_changes_after_the_beginning_breaks_the_zip(shelf: Shelf) -> None:
    songs = [keep(shelf, song, "bass") for song in ("one", "two")]
    one = packed(shelf, songs)
    shelf._store.remove(f"{MINE}/two-bass.wav")
    with pytest.raises(AudioRemoved):
        b"".join(one.content)
    shelf._store.write(f"{MINE}/two-bass.wav", SOUND[:-2])
    with pytest.raises(AudioUnavailable, match="has changed"):
        b"".join(one.content)
    assert packed(shelf, songs).content.etag != one.content.etag


def test_what_is_not_known_of_the_songs_is_no_warning(shelf: Shelf, caplog: pytest.LogCaptureFixture) -> None:
    song = keep(shelf, "one", "bass")
    shelf.keep_note(MINE, "one", "song", {"at": time.time(), "song": {**SUBJECT, "id": "one"}})
    packed(shelf, [song, keep(shelf, "two", "bass")])
    assert caplog.records == []


def test_any_part_of_it_can_be_made_alone(shelf: Shelf) -> None:
    content = packed(shelf, [keep(shelf, song, "bass") for song in ("one", "two")]).content
    whole = b"".join(content)
    for first in range(0, len(whole), 997):
        assert (
            b"".join(content.chunks(first, 997 if first + 997 < len(whole) else len(whole) - first))
            == (whole[first : first + 997])
        )
