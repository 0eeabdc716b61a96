"""The interface of a store for files. `folder.py` and `s3.py` implement it.

A file exists completely or not at all. Its name is its account's folder, its clip and its format: `3f…/clip.wav`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

CHUNK_BYTES = 128 * 1024
"""Bytes to read or send at once."""

_FILE_NAME = re.compile(r"[A-Za-z0-9_-]{1,128}/[A-Za-z0-9_-]{1,128}(\.[a-z0-9]{1,10}){0,2}")


class AudioFull(Exception):
    """There is no room for another file. The message says what to do.

    `is_passing`: there may be room later.
    """

    def __init__(self, sentence: str, *, is_passing: bool = True) -> None:
        super().__init__(sentence)
        self.is_passing = is_passing


class AudioUnavailable(Exception):
    """The files cannot be read or written now. It may be raised before or after a download.

    `cost`: a sentence about the cost, only where it is certain.
    """

    def __init__(self, why: str, cost: str = "") -> None:
        self.why = why
        super().__init__(f"The kept audio cannot be used now: {why}. {cost}".rstrip())


def checked(name: str) -> str:
    """The name of a file, which is never a path to another place. Raises AudioUnavailable."""
    if not _FILE_NAME.fullmatch(name):
        raise AudioUnavailable("a clip has an id that cannot be the name of a file")
    return name


class AudioRemoved(AudioUnavailable):
    """The file was removed after it was found: it is not kept any more."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A file that is kept."""

    name: str
    size: int
    """Bytes."""
    used: float
    """When it was last served, or kept; seconds since 1970."""
    kept: float
    """When it was kept; seconds since 1970."""
    etag: str
    """Changes with the content; without quotes."""


class Opened(Protocol):
    """A file that is being sent.

    In a folder it is not removed before it is closed. A bucket has no locks: if an object is removed before `chunks`
    begins to read it, `chunks` raises AudioRemoved.
    """

    stored: Stored
    path: Path | None
    """Its path, if it is on this machine."""

    def chunks(self, first: int, length: int) -> Iterator[bytes]:
        """Read `length` bytes from offset `first`. Raises AudioUnavailable."""

    def close(self) -> None:
        """Allow its removal, if it was prevented."""


class FileStore(Protocol):
    """A store for files. Every method raises AudioUnavailable."""

    @property
    def spool(self) -> Path:
        """A folder on this machine for incomplete files."""

    def stat(self, name: str) -> Stored | None:
        """Look up a file; None if there is none."""

    def open(self, name: str) -> Opened | None:
        """Open a file for sending, and record its use; None if there is none."""

    def put(self, name: str, file: Path) -> None:
        """Move a complete file from the spool to the store. Raises AudioFull."""

    def read(self, name: str) -> bytes | None:
        """Read a small file; None if there is none."""

    def write(self, name: str, content: bytes) -> None:
        """Write a small file. Raises AudioFull."""

    def remove(self, name: str) -> bool:
        """Remove a file; False if it is being sent from a folder."""

    def list(self, folder: str = "") -> Iterator[Stored]:
        """List all files, or those in one account's folder."""

    def check(self) -> None:
        """Raise AudioFull or AudioUnavailable if no file can be kept now: it writes a small one and removes it."""

    def free(self) -> int | None:
        """Free bytes on its disk; None if unlimited."""

    def clear_rubbish(self, older_than: float) -> None:
        """Remove incomplete files that are older than this, in seconds."""
