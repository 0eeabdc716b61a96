"""What both stores guarantee."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from app.audio import s3
from app.audio.folder import FolderStore
from app.audio.s3 import S3Store
from app.audio.store import AudioFull, AudioRemoved, AudioUnavailable, FileStore
from app.audio.which_store import open_store
from tests.audio.conftest import s3_client

Put = Callable[..., None]


def read_all(store: FileStore, name: str, first: int = 0, length: int | None = None) -> bytes:
    opened = store.open(name)
    assert opened is not None
    try:
        return b"".join(opened.chunks(first, opened.stored.size - first if length is None else length))
    finally:
        opened.close()


def test_a_file_can_be_read_whole_and_in_part(store: FileStore, put: Put) -> None:
    content = os.urandom(700_000)
    put(store, "a/clip.wav", content)
    assert read_all(store, "a/clip.wav") == content
    assert read_all(store, "a/clip.wav", 299_990, 20) == content[299_990:300_010]
    assert read_all(store, "a/clip.wav", 5, 0) == b""
    stored = store.stat("a/clip.wav")
    assert stored and stored.size == len(content) and abs(stored.used - time.time()) < 60
    assert list(store.spool.iterdir()) == []


def test_a_missing_file_is_none_and_can_be_removed(store: FileStore) -> None:
    assert (store.stat("a/x.wav"), store.open("a/x.wav"), store.read("a/x.json")) == (None, None, None)
    assert store.remove("a/x.wav")
    assert list(store.list()) == list(store.list("a")) == []


@pytest.mark.parametrize(
    "name", ["../a.wav", "a/../../b.wav", "a/../b.wav", "/a/b.wav", "a/b/c.wav", "a/.wav", "a/b\0.wav"]
)
def test_a_name_that_is_a_path_to_another_place_is_refused(tmp_path: Path, name: str) -> None:
    store = FolderStore(tmp_path / "kept")
    half = tmp_path / "half"
    half.write_bytes(b"x")
    for call in (
        lambda: store.write(name, b"1"),
        lambda: store.put(name, half),
        lambda: store.read(name),
        lambda: store.open(name),
        lambda: store.stat(name),
        lambda: store.remove(name),
    ):
        with pytest.raises(AudioUnavailable, match="cannot be the name of a file"):
            call()
    assert {path.name for path in tmp_path.rglob("*")} <= {"half", "kept"}


def test_small_files_are_overwritten(store: FileStore) -> None:
    store.write("a/x.json", b"1")
    store.write("a/x.json", b"22")
    assert store.read("a/x.json") == b"22"


def test_files_are_listed_by_account_and_all_together(store: FileStore, put: Put) -> None:
    put(store, "a/1.wav", b"1")
    put(store, "b/1.wav", b"22")
    store.write("a/1.json", b"{}")
    assert {(stored.name, stored.size) for stored in store.list()} == {
        ("a/1.wav", 1),
        ("a/1.json", 2),
        ("b/1.wav", 2),
    }
    assert {stored.name for stored in store.list("b")} == {"b/1.wav"}
    assert store.remove("a/1.wav") and store.stat("a/1.wav") is None


def test_different_content_has_a_different_etag(store: FileStore, put: Put) -> None:
    put(store, "a/1.wav", b"one")
    put(store, "a/2.wav", b"three")
    one, two = store.stat("a/1.wav"), store.stat("a/2.wav")
    assert one and two and one.etag != two.etag
    assert store.stat("a/1.wav") == one


def test_old_incomplete_files_are_removed(store: FileStore) -> None:
    store.spool.mkdir(parents=True, exist_ok=True)
    old, young = store.spool / "old", store.spool / "young"
    for file in (old, young):
        file.write_bytes(b"half")
    os.utime(old, (1, 1))
    store.clear_rubbish(3600)
    assert (old.exists(), young.exists()) == (False, True)
    young.unlink()


def test_a_file_that_is_being_sent_is_not_removed(folder: FolderStore, put: Put) -> None:
    put(folder, "a/1.wav", b"one")
    opened, another = folder.open("a/1.wav"), folder.open("a/1.wav")
    assert opened and another
    opened.close()
    assert not folder.remove("a/1.wav")
    another.close()
    assert folder.remove("a/1.wav")


def test_sending_a_file_updates_its_last_use_and_not_its_etag(folder: FolderStore, put: Put, tmp_path: Path) -> None:
    put(folder, "a/1.wav", b"one")
    os.utime(tmp_path / "audio/a/1.wav", (1_000, 1_000))
    before = folder.stat("a/1.wav")
    read_all(folder, "a/1.wav")
    after = folder.stat("a/1.wav")
    assert before and after and (before.used, before.etag, after.etag, after.kept) == (1_000, "3e8-3", "3e8-3", 1_000)
    assert after.used > time.time() - 60


def test_kept_files_are_not_readable_by_all_users(folder: FolderStore, put: Put, tmp_path: Path) -> None:
    put(folder, "a/1.wav", b"one")
    assert [oct(path.stat().st_mode & 0o777) for path in (tmp_path / "audio/a", tmp_path / "audio/a/1.wav")] == [
        "0o750",
        "0o640",
    ]


def test_the_group_may_enter_each_folder_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        open_store(str(tmp_path / "state/audio")).write("a/1.json", b"{}")
    finally:
        os.umask(before)
    for folder in ("state", "state/audio", "state/audio/a"):
        assert oct((tmp_path / folder).stat().st_mode & 0o777) == "0o750", folder


def test_an_unusable_folder_raises_audio_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    store = open_store(str(tmp_path / "file"))
    for call in (lambda: store.stat("a/1.wav"), lambda: store.write("a/1.json", b""), lambda: list(store.list())):
        with pytest.raises(AudioUnavailable, match="Not a directory"):
            call()


def test_a_full_disk_raises_an_audio_error(put: Put) -> None:
    store = FolderStore(Path("/dev/full/audio"))
    with pytest.raises((AudioFull, AudioUnavailable)):
        store.write("a/1.json", b"1")


def test_a_failure_of_the_spool_folder_is_not_reported_as_the_buckets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3.tempfile, "tempdir", str(tmp_path))
    folder = tmp_path / f"suno-stems-{os.getuid()}-fetching"
    folder.symlink_to("/")
    store = S3Store("s3://bucket")
    with pytest.raises(AudioUnavailable, match=f"used now: {folder} belongs to another user"):
        store.check()
    folder.unlink()
    folder.write_text("")
    with pytest.raises(AudioUnavailable, match=f"used now: File exists: {folder}"):
        store.check()
    folder.unlink()
    with pytest.raises(AudioUnavailable, match=f"used now: No such file or directory: {store.spool}/half.wav"):
        store.put("a/1.wav", store.spool / "half.wav")
    folder.rmdir()
    folder.write_text("")
    with pytest.raises(AudioUnavailable, match=f"used now: Not a directory: {folder}"):
        store.clear_rubbish(0)


def test_an_object_removed_before_it_is_read_cannot_be_sent(s3_settings: dict[str, str], put: Put) -> None:
    store = open_store(s3_settings["AUDIO_URL"])
    put(store, "a/1.wav", b"one")
    opened = store.open("a/1.wav")
    assert opened and store.remove("a/1.wav")
    with pytest.raises(AudioRemoved, match="just removed"):
        list(opened.chunks(0, 3))


def test_a_missing_bucket_is_unavailable_and_not_empty(s3_settings: dict[str, str]) -> None:
    store = open_store("s3://no-such-bucket-at-all")
    for call in (lambda: list(store.list()), lambda: store.read("a/1.json"), lambda: store.write("a/1", b"")):
        with pytest.raises(AudioUnavailable, match="NoSuchBucket"):
            call()


def test_large_files_are_uploaded_in_parts_and_old_parts_are_removed(
    s3_settings: dict[str, str], put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(s3_settings["AUDIO_URL"])
    content = os.urandom(9 * 1024 * 1024)
    put(store, "a/long.wav", content)
    client, bucket = s3_client(), s3_settings["AUDIO_URL"].split("/")[2]
    assert client.head_object(Bucket=bucket, Key="kept/a/long.wav")["ETag"].endswith('-2"')
    assert read_all(store, "a/long.wav") == content
    # moto dates every multipart upload in 2010.
    client.create_multipart_upload(Bucket=bucket, Key="kept/a/half.wav")
    monkeypatch.setattr(s3, "ABORT_UPLOAD_AFTER_SECONDS", 100 * 365 * s3.DAY)
    store.clear_rubbish(0)
    assert len(client.list_multipart_uploads(Bucket=bucket)["Uploads"]) == 1
    monkeypatch.undo()
    for name, value in s3_settings.items():
        monkeypatch.setenv(name, value)
    store.clear_rubbish(0)
    assert "Uploads" not in client.list_multipart_uploads(Bucket=bucket)


def test_the_last_use_of_an_object_is_written_once_a_day(
    s3_settings: dict[str, str], put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(s3_settings["AUDIO_URL"])
    assert isinstance(store, S3Store)
    put(store, "a/1.wav", b"one")
    client, bucket = s3_client(), s3_settings["AUDIO_URL"].split("/")[2]
    read_all(store, "a/1.wav")
    assert client.head_object(Bucket=bucket, Key="kept/a/1.wav")["Metadata"] == {}
    monkeypatch.setattr(s3, "NOTE_USE_EVERY_SECONDS", -1.0)
    assert read_all(store, "a/1.wav") == b"one"
    assert list(client.head_object(Bucket=bucket, Key="kept/a/1.wav")["Metadata"]) == ["used"]
