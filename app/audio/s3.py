"""Files in a bucket of S3 or a compatible service.

The usual S3 variables set its endpoint and credentials: AWS_ENDPOINT_URL, AWS_REGION, AWS_ACCESS_KEY_ID,
AWS_SECRET_ACCESS_KEY.
"""

from __future__ import annotations

import errno
import logging
import os
import re
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import boto3
import gevent
from boto3.exceptions import Boto3Error
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from app.audio.folder import DISK_FULL_ERRORS, check_folder, clear_folder
from app.audio.store import CHUNK_BYTES, AudioFull, AudioRemoved, AudioUnavailable, Stored

log = logging.getLogger(__name__)

OPERATION_SECONDS = 15.0
"""Maximum seconds of an operation on the bucket that sends no file, with all of its attempts."""

BUCKET_CONNECT_SECONDS, BUCKET_READ_SECONDS, BUCKET_ATTEMPTS = 2, 5, 2
"""They end such an operation within OPERATION_SECONDS even without gevent: botocore pauses up to a second between two
attempts."""

PROBE = ".probe"
"""The object that `check` writes and removes."""

RIGHTS = {
    "PutObject": "s3:PutObject",
    "CreateMultipartUpload": "s3:PutObject",
    "GetObject": "s3:GetObject, and s3:ListBucket: without that a missing file looks refused",
    "HeadObject": "s3:GetObject, and s3:ListBucket: without that a missing file looks refused",
    "ListObjectsV2": "s3:ListBucket",
    "DeleteObject": "s3:DeleteObject",
    "ListMultipartUploads": "s3:ListBucketMultipartUploads",
    "AbortMultipartUpload": "s3:AbortMultipartUpload",
}
"""The right that an operation needs."""

MAX_REASON_LENGTH = 200
"""Maximum characters of the bucket's own reason in an error."""

_URL = re.compile(r"\w+://\S+")

DAY = 24 * 3600.0

NOTE_USE_EVERY_SECONDS = DAY
"""Seconds between updates of a file's last use: S3 has no access time, and an update copies the object."""

ABORT_UPLOAD_AFTER_SECONDS = DAY
"""Seconds after which an unfinished multipart upload is aborted: its process is taken for dead."""


class S3Store:
    """A bucket, or a prefix in one."""

    def __init__(self, url: str) -> None:
        self._bucket, _, prefix = url.removeprefix("s3://").partition("/")
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""

    @cached_property
    def spool(self) -> Path:
        folder = Path(tempfile.gettempdir()) / f"suno-stems-{os.getuid()}-fetching"
        with _translated():
            folder.mkdir(mode=0o700, exist_ok=True)
            if folder.is_symlink() or folder.stat().st_uid != os.getuid():
                raise PermissionError(errno.EPERM, f"{folder} belongs to another user")
        return folder

    @cached_property
    def _s3(self) -> Any:
        config = Config(
            connect_timeout=BUCKET_CONNECT_SECONDS,
            read_timeout=BUCKET_READ_SECONDS,
            retries={"total_max_attempts": BUCKET_ATTEMPTS, "mode": "standard"},
            # By default boto3 sends checksums that strict S3-compatible stores refuse.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        )
        return boto3.client("s3", config=config)

    def stat(self, name: str) -> Stored | None:
        with _bounded():
            try:
                found = self._s3.head_object(Bucket=self._bucket, Key=self._prefix + name)
            except ClientError as error:
                if _is_missing(error):
                    return None
                raise
        return _stored(name, found["ContentLength"], found)

    def open(self, name: str) -> OpenObject | None:
        stored = self.stat(name)
        if stored is None:
            return None
        if time.time() - stored.used > NOTE_USE_EVERY_SECONDS:
            self._note_use(name)
        return OpenObject(stored, None, self._s3, self._bucket, self._prefix + name)

    def put(self, name: str, file: Path) -> None:
        with _translated():
            # A large file is uploaded in parts. If one fails, the whole upload is aborted.
            self._s3.upload_file(str(file), self._bucket, self._prefix + name)
        file.unlink(missing_ok=True)

    def read(self, name: str) -> bytes | None:
        with _bounded():
            try:
                content: bytes = self._s3.get_object(Bucket=self._bucket, Key=self._prefix + name)["Body"].read()
            except ClientError as error:
                if _is_missing(error):
                    return None
                raise
        return content

    def write(self, name: str, content: bytes) -> None:
        with _bounded():
            self._s3.put_object(Bucket=self._bucket, Key=self._prefix + name, Body=content)

    def remove(self, name: str) -> bool:
        # A read in progress continues: S3 sends the old object.
        with _bounded():
            self._s3.delete_object(Bucket=self._bucket, Key=self._prefix + name)
        return True

    def list(self, folder: str = "") -> Iterator[Stored]:
        for page in self._pages("list_objects_v2", self._prefix + (f"{folder}/" if folder else "")):
            for found in page.get("Contents", ()):
                name = found["Key"].removeprefix(self._prefix)
                if name != PROBE:
                    yield _stored(name, found["Size"], found)

    def check(self) -> None:
        with _bounded():
            check_folder(self.spool)
            self._s3.put_object(Bucket=self._bucket, Key=self._prefix + PROBE, Body=b"probe")
            self._s3.list_objects_v2(Bucket=self._bucket, Prefix=self._prefix, MaxKeys=1)
            # Another process may have removed it.
            self.stat(PROBE)
        try:
            self.remove(PROBE)
        except AudioUnavailable as error:
            # Files can be kept all the same, and a rule of the bucket may remove them.
            log.warning("No kept audio can be removed: %s", error.why)

    def free(self) -> int | None:
        return None

    def clear_rubbish(self, older_than: float) -> None:
        with _translated():
            clear_folder(self.spool, older_than)
        for page in self._pages("list_multipart_uploads", self._prefix):
            for upload in page.get("Uploads", ()):
                if time.time() - upload["Initiated"].timestamp() > max(older_than, ABORT_UPLOAD_AFTER_SECONDS):
                    with _bounded():
                        self._s3.abort_multipart_upload(
                            Bucket=self._bucket, Key=upload["Key"], UploadId=upload["UploadId"]
                        )

    def _pages(self, operation: str, prefix: str) -> Iterator[dict[str, Any]]:
        with _translated():
            pages = iter(self._s3.get_paginator(operation).paginate(Bucket=self._bucket, Prefix=prefix))
        while True:
            with _bounded():
                page = next(pages, None)
            if page is None:
                return
            yield page

    def _note_use(self, name: str) -> None:
        key = self._prefix + name
        with suppress(AudioUnavailable), _bounded():
            self._s3.copy_object(
                Bucket=self._bucket,
                Key=key,
                CopySource={"Bucket": self._bucket, "Key": key},
                MetadataDirective="REPLACE",
                Metadata={"used": str(int(time.time()))},
            )


@dataclass(slots=True)
class OpenObject:
    """An object that is being sent. Until `chunks` requests it, it may be removed.

    Not requested earlier: each stem of a ZIP would hold a connection until its turn, which the bucket may close.
    """

    stored: Stored
    path: Path | None
    s3: Any
    bucket: str
    key: str

    def chunks(self, first: int, length: int) -> Iterator[bytes]:
        """Read `length` bytes from offset `first`."""
        if length <= 0:
            return
        span = f"bytes={first}-{first + length - 1}"
        with _bounded():
            try:
                body = self.s3.get_object(Bucket=self.bucket, Key=self.key, Range=span)["Body"]
            except ClientError as error:
                if _is_missing(error):
                    raise AudioRemoved("the file was just removed") from None
                raise
        try:
            with _translated():
                yield from body.iter_chunks(CHUNK_BYTES)
        finally:
            body.close()

    def close(self) -> None:
        """Do nothing: `chunks` closes what it opens."""


@contextmanager
def _bounded() -> Iterator[None]:
    """End an operation within OPERATION_SECONDS: botocore's timeouts limit only the silence between two bytes."""
    timeout = gevent.Timeout.start_new(OPERATION_SECONDS)
    try:
        with _translated():
            yield
    except gevent.Timeout as expired:
        if expired is not timeout:
            raise
        raise AudioUnavailable(f"the bucket did not answer within {OPERATION_SECONDS:.0f} s") from None
    finally:
        timeout.close()


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (BotoCoreError, ClientError, Boto3Error) as error:
        # Before OSError: some of these are one too.
        raise AudioUnavailable(_reason(error)) from error
    except OSError as error:
        # Of the spool, on this machine.
        if error.errno in DISK_FULL_ERRORS:
            raise AudioFull("The disk for incomplete audio is full: the operator has to free some space.") from error
        why = error.strerror or type(error).__name__
        raise AudioUnavailable(f"{why}: {error.filename}" if error.filename else why) from error


def _reason(error: Exception) -> str:
    """Why the bucket failed, in its own words where it has some: without addresses, which may be signed."""
    if isinstance(error, Boto3Error) and isinstance(error.__context__, ClientError):
        # An upload hides the bucket's answer.
        error = error.__context__
    if not isinstance(error, ClientError):
        return f"the bucket failed with {type(error).__name__}"
    found = error.response.get("Error", {})
    said = " ".join(_URL.sub("…", str(found.get("Message") or "")).split())[:MAX_REASON_LENGTH].strip(" .")
    why = f"the bucket failed with {found.get('Code')}" + (f": {said}" if said else "")
    right = RIGHTS.get(error.operation_name)
    if right and error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") == 403:
        why += f" ({error.operation_name}: the key needs {right})"
    return why


def _is_missing(error: ClientError) -> bool:
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    return bool(status == 404 and error.response.get("Error", {}).get("Code") != "NoSuchBucket")


def _stored(name: str, size: int, found: dict[str, Any]) -> Stored:
    changed = found["LastModified"].timestamp()
    return Stored(name, size, changed, changed, found["ETag"].strip('"'))
