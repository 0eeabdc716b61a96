"""Files in a bucket of S3 or a compatible service.

The usual S3 variables set its endpoint and credentials: AWS_ENDPOINT_URL, AWS_REGION, AWS_ACCESS_KEY_ID,
AWS_SECRET_ACCESS_KEY.
"""

from __future__ import annotations

import errno
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import boto3
from boto3.exceptions import Boto3Error
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from app.audio.folder import NO_ROOM, check_folder, clear_folder
from app.audio.store import CHUNK, AudioFull, AudioUnavailable, Stored

DAY = 24 * 3600.0

NOTED_EVERY = DAY
"""Seconds between updates of a file's last use: S3 has no access time, and an update copies the object."""

ABORTED_AFTER = DAY
"""Seconds after which an unfinished multipart upload is aborted: its process is taken for dead."""


class S3Store:
    """A bucket, or a prefix in one."""

    def __init__(self, url: str) -> None:
        self._bucket, _, prefix = url.removeprefix("s3://").partition("/")
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""

    @cached_property
    def spool(self) -> Path:
        folder = Path(tempfile.gettempdir()) / f"suno-stems-{os.getuid()}-fetching"
        with _told():
            folder.mkdir(mode=0o700, exist_ok=True)
            if folder.is_symlink() or folder.stat().st_uid != os.getuid():
                raise PermissionError(errno.EPERM, f"{folder} belongs to another user")
        return folder

    @cached_property
    def _s3(self) -> Any:
        config = Config(connect_timeout=5, read_timeout=30, retries={"max_attempts": 3, "mode": "standard"})
        return boto3.client("s3", config=config)

    def stat(self, name: str) -> Stored | None:
        with _told():
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
        if time.time() - stored.used > NOTED_EVERY:
            self._note_use(name)
        return OpenObject(stored, None, self._s3, self._bucket, self._prefix + name)

    def put(self, name: str, file: Path) -> None:
        with _told():
            # A large file is uploaded in parts. If one fails, the whole upload is aborted.
            self._s3.upload_file(str(file), self._bucket, self._prefix + name)
        file.unlink(missing_ok=True)

    def read(self, name: str) -> bytes | None:
        with _told():
            try:
                content: bytes = self._s3.get_object(Bucket=self._bucket, Key=self._prefix + name)["Body"].read()
            except ClientError as error:
                if _is_missing(error):
                    return None
                raise
        return content

    def write(self, name: str, content: bytes) -> None:
        with _told():
            self._s3.put_object(Bucket=self._bucket, Key=self._prefix + name, Body=content)

    def remove(self, name: str) -> bool:
        # A read in progress continues: S3 sends the old object.
        with _told():
            self._s3.delete_object(Bucket=self._bucket, Key=self._prefix + name)
        return True

    def list(self, folder: str = "") -> Iterator[Stored]:
        with _told():
            pages = self._s3.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=self._prefix + (f"{folder}/" if folder else "")
            )
            for page in pages:
                for found in page.get("Contents", ()):
                    yield _stored(found["Key"].removeprefix(self._prefix), found["Size"], found)

    def check(self) -> None:
        with _told():
            check_folder(self.spool)
            self._s3.head_bucket(Bucket=self._bucket)

    def free(self) -> int | None:
        return None

    def clear_rubbish(self, older_than: float) -> None:
        with _told():
            clear_folder(self.spool, older_than)
            pages = self._s3.get_paginator("list_multipart_uploads").paginate(
                Bucket=self._bucket, Prefix=self._prefix
            )
            for page in pages:
                for upload in page.get("Uploads", ()):
                    if time.time() - upload["Initiated"].timestamp() > max(older_than, ABORTED_AFTER):
                        self._s3.abort_multipart_upload(
                            Bucket=self._bucket, Key=upload["Key"], UploadId=upload["UploadId"]
                        )

    def _note_use(self, name: str) -> None:
        key = self._prefix + name
        with suppress(BotoCoreError, ClientError):
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
        with _told():
            body = self.s3.get_object(Bucket=self.bucket, Key=self.key, Range=f"bytes={first}-{first + length - 1}")[
                "Body"
            ]
        try:
            with _told():
                yield from body.iter_chunks(CHUNK)
        finally:
            body.close()

    def close(self) -> None:
        """Do nothing: `chunks` closes what it opens."""


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except (BotoCoreError, ClientError, Boto3Error) as error:
        # Before OSError: some of these are one too. The message is left out: it may quote a signed address.
        code = error.response.get("Error", {}).get("Code") if isinstance(error, ClientError) else None
        raise AudioUnavailable(f"the bucket failed with {code or type(error).__name__}") from error
    except OSError as error:
        # Of the spool, on this machine.
        if error.errno in NO_ROOM:
            raise AudioFull("The disk for incomplete audio is full: the operator has to free some space.") from error
        why = error.strerror or type(error).__name__
        raise AudioUnavailable(f"{why}: {error.filename}" if error.filename else why) from error


def _is_missing(error: ClientError) -> bool:
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    return bool(status == 404 and error.response.get("Error", {}).get("Code") != "NoSuchBucket")


def _stored(name: str, size: int, found: dict[str, Any]) -> Stored:
    changed = found["LastModified"].timestamp()
    return Stored(name, size, changed, changed, found["ETag"].strip('"'))
