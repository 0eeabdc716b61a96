"""What is needed of a place for files; `folder.py` and `s3.py` are the two there are.

A file is there whole or not at all. Its name is its account's folder, its clip and its format: `3f…/clip.wav`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

CHUNK = 128 * 1024
"""Bytes that are handed out at once."""


class AudioFull(Exception):
    """There is no room for another file; the text says what the operator can do."""


class AudioUnavailable(Exception):
    """The files cannot be read or written now."""

    def __init__(self, why: str) -> None:
        super().__init__(f"The kept audio cannot be used now: {why}. Nothing was asked of Suno for it.")


@dataclass(frozen=True, slots=True)
class Stored:
    """A file that is kept."""

    name: str
    size: int
    """Bytes."""
    used: float
    """When it was last handed out, or kept; seconds since 1970."""
    kept: float
    """When it was kept."""
    etag: str
    """Another for other content; without quotes."""


class Opened(Protocol):
    """A file that is being sent: it is not removed meanwhile."""

    stored: Stored
    path: Path | None
    """Where it is on this machine, if it is."""

    def chunks(self, first: int, length: int) -> Iterator[bytes]:
        """So many bytes of it, from the byte `first` on. Raises AudioUnavailable."""

    def close(self) -> None:
        """Let it be removed."""


class Store(Protocol):
    """A place for files. Every method raises AudioUnavailable."""

    @property
    def spool(self) -> Path:
        """A folder of this machine in which files grow until they are whole."""

    def stat(self, name: str) -> Stored | None:
        """Tell of a file; None where there is none."""

    def open(self, name: str) -> Opened | None:
        """Begin to send a file, and note that it was; None where there is none."""

    def put(self, name: str, file: Path) -> None:
        """Take over a whole file of the spool. Raises AudioFull."""

    def read(self, name: str) -> bytes | None:
        """Read a small file."""

    def write(self, name: str, content: bytes) -> None:
        """Write a small file. Raises AudioFull."""

    def remove(self, name: str) -> bool:
        """Remove a file; False where it is being sent."""

    def list(self, folder: str = "") -> Iterator[Stored]:
        """Tell of all files, or of those of one account's folder."""

    def check(self) -> None:
        """Do nothing where a file could be kept now. Raises AudioFull otherwise."""

    def free(self) -> int | None:
        """Bytes of room on its disk; None where it has no end."""

    def clear_rubbish(self, older_than: float) -> None:
        """Remove what was left half done so many seconds ago."""


def open_store(url: str) -> Store:
    """Make the store that AUDIO_URL names. It connects when it is first used."""
    if url.startswith("s3://"):
        from app.audio.s3 import S3Store

        return S3Store(url)
    from app.audio.folder import FolderStore

    return FolderStore(Path(url.removeprefix("file://")))
