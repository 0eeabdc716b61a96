"""A bucket that refuses, is slow, or is stricter than Amazon's."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import gevent
import pytest

from app.audio import s3
from app.audio.s3 import S3Store
from app.audio.shelf import Shelf
from app.audio.store import AudioRemoved, AudioUnavailable
from app.audio.survey import Survey
from tests.audio.bucket import Bucket
from tests.conftest import PATIENCE


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Bucket]:
    one = Bucket()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for name, value in one.settings.items():
        monkeypatch.setenv(name, value)
    yield one
    one.close()


@pytest.fixture
def store(bucket: Bucket) -> S3Store:
    return S3Store("s3://stems/kept")


def test_a_store_without_checksums_is_written_and_read(bucket: Bucket, store: S3Store, tmp_path: Path) -> None:
    store.check()
    (tmp_path / "clip.wav").write_bytes(b"RIFF")
    store.put("a/clip.wav", tmp_path / "clip.wav")
    store.write("a/clip.json", b"{}")
    opened = store.open("a/clip.wav")
    assert opened and b"".join(opened.chunks(1, 2)) == b"IF"
    assert bucket.objects == {"kept/a/clip.wav": b"RIFF", "kept/a/clip.json": b"{}"}


@pytest.mark.parametrize(
    ("operation", "right"),
    [("PutObject", "s3:PutObject"), ("ListObjectsV2", "s3:ListBucket"), ("HeadObject", "s3:GetObject")],
)
def test_a_key_that_lacks_a_right_is_found_by_the_check(
    bucket: Bucket, store: S3Store, operation: str, right: str
) -> None:
    bucket.refused.add(operation)
    with pytest.raises(AudioUnavailable, match=f"{operation}: the key needs {right}"):
        store.check()
    assert set(bucket.objects) <= {"kept/.probe"}


def test_the_check_leaves_nothing_in_the_bucket(bucket: Bucket, store: S3Store) -> None:
    store.check()
    assert (bucket.objects, "PutObject" in bucket.operations) == ({}, True)
    bucket.refused.add("DeleteObject")
    store.check()
    assert (list(bucket.objects), list(store.list())) == (["kept/.probe"], [])


def test_an_error_has_the_stores_own_reason_without_addresses(bucket: Bucket, store: S3Store, tmp_path: Path) -> None:
    (tmp_path / "clip.wav").write_bytes(b"RIFF")
    bucket.refused.add("PutObject")
    for call in (lambda: store.write("a/x.json", b""), lambda: store.put("a/x.wav", tmp_path / "clip.wav")):
        with pytest.raises(AudioUnavailable) as failed:
            call()
        assert failed.value.why == (
            "the bucket failed with AccessDenied: Access Denied, see … (PutObject: the key needs s3:PutObject)"
        )
    assert (tmp_path / "clip.wav").exists()


def test_a_missing_file_that_looks_refused_is_not_called_missing(bucket: Bucket, store: S3Store) -> None:
    bucket.refused.add("ListObjectsV2")
    with pytest.raises(AudioUnavailable, match="without that a missing file looks refused"):
        store.stat("a/clip.wav")


def test_a_file_removed_after_it_was_found_is_named_as_such(bucket: Bucket, store: S3Store) -> None:
    bucket.objects["kept/a/clip.wav"] = b"RIFF"
    opened = store.open("a/clip.wav")
    bucket.objects.clear()
    assert opened
    with pytest.raises(AudioRemoved):
        list(opened.chunks(0, 4))


@pytest.mark.parametrize("refused", ["ListMultipartUploads", "DeleteObject", "ListObjectsV2"])
def test_a_refused_step_does_not_stop_the_others(
    bucket: Bucket, store: S3Store, refused: str, caplog: pytest.LogCaptureFixture
) -> None:
    bucket.objects = {"kept/a/old.wav": b"RIFF", "kept/a/older.wav": b"RIFF"}
    bucket.refused.add(refused)
    Shelf(store, limit=7, kept_for=0.001).clean()
    assert {"ListMultipartUploads", "ListObjectsV2"} <= set(bucket.operations)
    assert f"{refused}: the key needs" in caplog.text
    assert bool(bucket.objects) == (refused != "ListMultipartUploads")


def test_the_timeouts_of_an_operation_add_up_to_its_limit() -> None:
    pause = 1.0
    assert (
        s3.BUCKET_ATTEMPTS * (s3.BUCKET_CONNECT_SECONDS + s3.BUCKET_READ_SECONDS) + (s3.BUCKET_ATTEMPTS - 1) * pause
        <= s3.OPERATION_SECONDS
    )


@pytest.mark.parametrize(
    ("operation", "call"),
    [
        ("HeadObject", lambda store: store.stat("a/clip.wav")),
        ("GetObject", lambda store: store.read("a/clip.json")),
        ("ListObjectsV2", lambda store: list(store.list())),
        ("PutObject", lambda store: store.check()),
    ],
)
def test_a_slow_bucket_ends_each_operation(
    bucket: Bucket,
    store: S3Store,
    operation: str,
    call: Callable[[S3Store], object],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(s3, "BUCKET_READ_SECONDS", 0.05)
    bucket.slow.add(operation)
    with pytest.raises(AudioUnavailable, match=r"ReadTimeoutError|ConnectTimeout"):
        call(store)
    assert bucket.operations.count(operation) == s3.BUCKET_ATTEMPTS


def test_an_operation_that_drips_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3, "OPERATION_SECONDS", 0.01)
    with pytest.raises(AudioUnavailable, match="did not answer within"), s3._bounded():
        gevent.sleep(60)


def test_a_slow_bucket_delays_nobody_who_asks_for_its_size(
    bucket: Bucket, store: S3Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.audio.survey.FIRST_WAIT_SECONDS", 0.0)
    bucket.slow |= {"ListObjectsV2", "PutObject"}
    survey = Survey(Shelf(store, limit=7, kept_for=0))
    assert [(survey.size(), survey.state()) for _ in range(3)] == [(None, "unknown")] * 3
    # The looks must not go on in the next test: its bucket may get the same port.
    bucket.slow.clear()
    bucket.closing.set()
    for thread in threading.enumerate():
        if "_look_now" in thread.name:
            thread.join(PATIENCE)
