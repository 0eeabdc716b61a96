from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from app.audio.files import Details
from app.audio.folder import FolderStore
from app.audio.measure import Measured, measure
from app.audio.shelf import Shelf
from app.audio.store import AudioFull, AudioUnavailable, FileStore
from tests.audio.conftest import wav

MINE, OTHERS = "mine", "others"
SOUND = wav()


def details(id: str = "clip", **fields: object) -> Details:
    known = {"song_id": "song", "song_title": "Song", "title": None, "part": "vocals", "take": 1}
    return Details(id=id, created_at=None, duration=None, **known | fields)  # type: ignore[arg-type]


SMALL = {format: [f"{format}{end}.json" for end in ("crc", "facts", "trace")] for format in ("wav", "mp3")}
"""The small files of a file in each format."""


def shelf_of(store: FileStore, limit: int = 10**9, kept_for: float = 0.0) -> Shelf:
    return Shelf(store, limit=limit, kept_for=kept_for)


def keep(shelf: Shelf, id: str, content: bytes = SOUND, format: str = "wav", folder: str = MINE) -> None:
    file = shelf.spool_file(f"{id}.{format}")
    file.write_bytes(content)
    shelf.keep(folder, details(id), format, file)


def age(store: FolderStore, name: str, seconds: float) -> None:
    path = store.spool.parent / name
    os.utime(path, (time.time() - seconds,) * 2)


def test_a_file_is_visible_only_to_its_account(store: FileStore) -> None:
    shelf = shelf_of(store)
    keep(shelf, "clip")
    stored = shelf.stat((OTHERS, MINE), "clip", "wav")
    assert stored and stored.size == len(SOUND)
    assert (shelf.stat((OTHERS,), "clip", "wav"), shelf.open((OTHERS,), "clip", "wav")) == (None, None)
    assert (shelf.details((OTHERS,), "clip"), shelf.peaks((OTHERS,), "clip")) == (None, None)
    assert shelf.details((MINE,), "clip") == details()
    assert b'"length":1000' in (shelf.peaks((MINE,), "clip") or b"")


@pytest.mark.parametrize("id", ["../../pwned0", "..", "a/b", "a.b.c", "", "x" * 129])
def test_a_clip_with_a_path_as_its_id_is_not_kept(store: FileStore, tmp_path: Path, id: str) -> None:
    shelf, file = shelf_of(store), tmp_path / "fetched"
    file.write_bytes(SOUND)
    for call in (
        lambda: shelf.spool_file(f"{id}.wav"),
        lambda: shelf.keep(MINE, details(id), "wav", file),
        lambda: shelf.note_stems(MINE, id, []),
        lambda: shelf.stat((MINE,), id, "wav"),
    ):
        with pytest.raises(AudioUnavailable, match="cannot be the name of a file"):
            call()
    assert list(store.list()) == []


def test_each_file_is_decoded_once_and_a_failure_loses_no_file(store: FileStore) -> None:
    shelf, measured = shelf_of(store), []

    def count(file: Path, format: str) -> Measured:
        measured.append(format)
        return measure(file, format)

    for format in ("wav", "mp3"):
        file = shelf.spool_file("clip")
        file.write_bytes(SOUND)
        shelf.keep(MINE, details(), format, file, measure=count)
    assert measured == ["wav", "mp3"]
    assert {f"{MINE}/clip.{end}.json" for end in ("peaks", "wavfacts", "wavtrace", "mp3facts")} <= names(store)
    keep(shelf, "noise", b"RIFF")
    assert shelf.stat((MINE,), "noise", "wav") and shelf.peaks((MINE,), "noise") is None
    assert shelf.note((MINE,), "noise", "wavfacts") is None


def test_the_stems_of_a_song_are_known_without_suno(store: FileStore) -> None:
    shelf = shelf_of(store)
    assert shelf.stems((MINE,), "song") is None
    shelf.note_stems(MINE, "song", [details("a"), details("b", take=2)])
    assert shelf.stems((OTHERS, MINE), "song") == [details("a"), details("b", take=2)]
    store.write(f"{MINE}/song.stems.json", b"{half")
    assert shelf.stems((MINE,), "song") is None


def names(store: FileStore) -> set[str]:
    return {stored.name for stored in store.list()}


def make_room(shelf: Shelf, size: int, others: int = 0) -> None:
    file = shelf.spool_file("new")
    shelf.make_room(file, size, others)
    assert file.stat().st_size == size
    file.unlink()


def test_only_as_many_of_the_oldest_files_are_removed_as_needed(folder: FolderStore) -> None:
    shelf = shelf_of(folder, limit=3 * len(SOUND))
    for number, id in enumerate(("newest", "old", "oldest")):
        keep(shelf, id)
        age(folder, f"{MINE}/{id}.wav", number * 100)
    make_room(shelf, 10)
    assert [bool(shelf.stat((MINE,), id, "wav")) for id in ("newest", "old", "oldest")] == [True, True, False]


def test_a_file_that_was_just_served_is_not_the_oldest(folder: FolderStore) -> None:
    shelf = shelf_of(folder, limit=2 * len(SOUND))
    for number, id in enumerate(("young", "old")):
        keep(shelf, id)
        age(folder, f"{MINE}/{id}.wav", 100 + number * 100)
    opened = shelf.open((MINE,), "old", "wav")
    assert opened
    opened.close()
    make_room(shelf, 10)
    assert [bool(shelf.stat((MINE,), id, "wav")) for id in ("young", "old")] == [False, True]


def test_a_file_being_sent_stays_and_the_next_oldest_is_removed(folder: FolderStore) -> None:
    shelf = shelf_of(folder, limit=2 * len(SOUND))
    keep(shelf, "sent")
    keep(shelf, "kept")
    opened = shelf.open((MINE,), "sent", "wav")
    assert opened
    age(folder, f"{MINE}/sent.wav", 500)
    make_room(shelf, 10)
    assert [bool(shelf.stat((MINE,), id, "wav")) for id in ("sent", "kept")] == [True, False]
    with pytest.raises(AudioFull, match="AUDIO_LIMIT"):
        make_room(shelf, 2 * len(SOUND))
    assert b"".join(opened.chunks(0, len(SOUND))) == SOUND
    opened.close()


def test_files_being_fetched_count_towards_the_limit(folder: FolderStore) -> None:
    shelf = shelf_of(folder, limit=1000)
    make_room(shelf, 600, others=400)
    with pytest.raises(AudioFull, match="AUDIO_LIMIT"):
        make_room(shelf, 600, others=401)
    with pytest.raises(AudioFull, match="alone is more"):
        make_room(shelf, 1001)


def test_a_full_disk_is_detected_before_anything_is_fetched(
    folder: FolderStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf = shelf_of(folder)

    def no_space(descriptor: int, start: int, size: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", no_space)
    with pytest.raises(AudioFull, match="disk"):
        make_room(shelf, 100)
    with pytest.raises(AudioFull, match="disk"):
        shelf.check_room()
    monkeypatch.undo()
    shelf.check_room()
    assert list(folder.spool.iterdir()) == []


def test_unused_files_are_removed_with_their_metadata(folder: FolderStore) -> None:
    shelf = shelf_of(folder, kept_for=7200)
    for id in ("used", "unused"):
        keep(shelf, id)
    keep(shelf, "unused", format="mp3")
    unused = (f"unused.{end}" for end in ("wav", "mp3", "json", "peaks.json", *SMALL["wav"], *SMALL["mp3"]))
    for name in (*unused, "used.json", "used.peaks.json"):
        age(folder, f"{MINE}/{name}", 7300)
    shelf.clean()
    assert names(folder) == {f"{MINE}/used.{end}" for end in ("wav", "json", "peaks.json", *SMALL["wav"])}


def test_one_used_format_keeps_the_clips_metadata(folder: FolderStore) -> None:
    shelf = shelf_of(folder, kept_for=7200)
    keep(shelf, "clip")
    keep(shelf, "clip", format="mp3")
    for end in ("wav", "json", "peaks.json"):
        age(folder, f"{MINE}/clip.{end}", 7300)
    shelf.clean()
    assert names(folder) == {
        f"{MINE}/clip.{end}" for end in ("mp3", "json", "peaks.json", *SMALL["wav"], *SMALL["mp3"])
    }


def test_nothing_is_removed_without_a_time_limit(folder: FolderStore) -> None:
    shelf = shelf_of(folder)
    keep(shelf, "clip")
    shelf.note_stems(MINE, "song", [details()])
    before = names(folder)
    for name in before:
        age(folder, name, 10**9)
    shelf.clean()
    assert names(folder) == before
    assert shelf.total() == sum(stored.size for stored in folder.list())


def test_cleaning_removes_incomplete_files_of_a_crash(folder: FolderStore, put: Callable[..., None]) -> None:
    shelf = shelf_of(folder)
    half = shelf.spool_file("half")
    half.write_bytes(b"RIFF")
    shelf.clean()
    assert half.exists()
    os.utime(half, (1, 1))
    shelf.clean()
    assert not half.exists()


def test_a_lowered_limit_applies_without_a_new_file(folder: FolderStore) -> None:
    for id in ("young", "old"):
        keep(shelf_of(folder), id)
    age(folder, f"{MINE}/old.wav", 100)
    shelf_of(folder, limit=len(SOUND)).clean()
    assert [bool(shelf_of(folder).stat((MINE,), id, "wav")) for id in ("young", "old")] == [True, False]


def test_only_the_check_before_paid_calls_says_that_nothing_was_charged(tmp_path: Path) -> None:
    root = tmp_path / "file"
    root.write_text("")
    shelf = shelf_of(FolderStore(root))
    with pytest.raises(AudioUnavailable) as read:
        shelf.stat((MINE,), "clip", "wav")
    assert str(read.value) == f"The kept audio cannot be used now: Not a directory: {root} (AUDIO_URL)."
    with pytest.raises(AudioUnavailable, match=r"^The kept audio cannot be used now: .*\. Nothing was charged\.$"):
        shelf.check_room()
