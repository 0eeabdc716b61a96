"""Files in a folder of this machine, or in one that all instances share."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from app.allocation import allocate
from app.audio.store import CHUNK_BYTES, AudioFull, AudioUnavailable, Stored, checked

SPOOL = ".fetching"

QUICK_CHUNKS_IN_A_ROW, QUICK_CHUNK_SECONDS, QUICK_CHUNK_BYTES = 32, 0.001, 512 * 1024
"""A client that takes so many chunks in a row in under so many seconds each then gets so many bytes at once."""

MIN_FREE_BYTES = 1_000_000
"""A disk with fewer free bytes counts as full."""

DISK_FULL_ERRORS = (errno.ENOSPC, errno.EDQUOT)


class FolderStore:
    """A folder. A file's access time is when it was last served. A lock on it means that it is being sent."""

    def __init__(self, root: Path) -> None:
        self._root = root

    @property
    def spool(self) -> Path:
        return self._root / SPOOL

    def stat(self, name: str) -> Stored | None:
        with self._translated():
            try:
                found = (self._root / checked(name)).stat()
            except FileNotFoundError:
                return None
        return _stored(name, found)

    def open(self, name: str) -> OpenFile | None:
        path = self._root / checked(name)
        with self._translated():
            try:
                descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                return None
            try:
                fcntl.flock(descriptor, fcntl.LOCK_SH)
                found = os.fstat(descriptor)
                with suppress(OSError):
                    os.utime(descriptor, ns=(time.time_ns(), found.st_mtime_ns))
            except BaseException:
                os.close(descriptor)
                raise
        return OpenFile(_stored(name, found), path, self._root, descriptor)

    def put(self, name: str, file: Path) -> None:
        with self._translated():
            target = self._root / checked(name)
            _make_folder(target.parent)
            descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
            try:
                # Readable for nginx's group, in case nginx serves the file.
                os.fchmod(descriptor, 0o640)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            file.replace(target)
            _sync_folder(target.parent)

    def read(self, name: str) -> bytes | None:
        with self._translated():
            try:
                return (self._root / checked(name)).read_bytes()
            except FileNotFoundError:
                return None

    def write(self, name: str, content: bytes) -> None:
        checked(name)
        with self._translated():
            _make_folder(self.spool)
            # A unique name: two processes may write the same file.
            file = self.spool / f"{name.replace('/', '-')}.{os.getpid()}.{time.monotonic_ns()}"
            try:
                file.write_bytes(content)
                self.put(name, file)
            finally:
                file.unlink(missing_ok=True)

    def remove(self, name: str) -> bool:
        with self._translated():
            path = self._root / checked(name)
            try:
                descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                return True
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink(missing_ok=True)
            except BlockingIOError:
                return False
            finally:
                os.close(descriptor)
        return True

    def list(self, folder: str = "") -> Iterator[Stored]:
        with self._translated():
            for account in [self._root / folder] if folder else _folders_in(self._root):
                try:
                    entries = list(os.scandir(account))
                except FileNotFoundError:
                    continue
                for entry in entries:
                    with suppress(FileNotFoundError):
                        yield _stored(f"{account.name}/{entry.name}", entry.stat())

    def check(self) -> None:
        with self._translated():
            check_folder(self.spool)

    def free(self) -> int | None:
        with self._translated():
            there = next(folder for folder in (self._root, *self._root.absolute().parents) if folder.exists())
            return shutil.disk_usage(there).free

    def clear_rubbish(self, older_than: float) -> None:
        with self._translated():
            clear_folder(self.spool, older_than)

    def _translated(self) -> AbstractContextManager[None]:
        return _translated(self._root)


@dataclass(slots=True)
class OpenFile:
    """An open file, and the lock that prevents its removal."""

    stored: Stored
    path: Path | None
    root: Path
    """The folder of AUDIO_URL."""
    descriptor: int

    def chunks(self, first: int, length: int) -> Iterator[bytes]:
        """Read `length` bytes from offset `first`."""
        end, size, quick = first + length, CHUNK_BYTES, 0
        while first < end:
            with _translated(self.root):
                chunk = os.pread(self.descriptor, min(size, end - first), first)
            if not chunk:
                raise AudioUnavailable("a file has become shorter")
            first += len(chunk)
            began = time.monotonic()
            yield chunk
            # Small chunks for a slow client, or one of many: they hold little memory.
            quick = quick + 1 if time.monotonic() - began < QUICK_CHUNK_SECONDS else 0
            size = QUICK_CHUNK_BYTES if quick >= QUICK_CHUNKS_IN_A_ROW else CHUNK_BYTES

    def close(self) -> None:
        """Release the lock."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


def check_folder(folder: Path) -> None:
    """Check that a folder is writable and its disk has room. Raises OSError if not."""
    _make_folder(folder)
    descriptor, name = tempfile.mkstemp(dir=folder)
    try:
        allocate(descriptor, MIN_FREE_BYTES)
    finally:
        os.close(descriptor)
        Path(name).unlink()


def clear_folder(folder: Path, older_than: float) -> None:
    """Remove the files in a folder that were last written more than `older_than` seconds ago."""
    with suppress(FileNotFoundError):
        for entry in list(os.scandir(folder)):
            with suppress(FileNotFoundError):
                if time.time() - entry.stat().st_mtime > older_than:
                    Path(entry.path).unlink()


@contextmanager
def _translated(root: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in DISK_FULL_ERRORS:
            raise AudioFull("The disk for kept audio is full: free some space, or lower AUDIO_LIMIT.") from error
        raise AudioUnavailable(f"{error.strerror or type(error).__name__}: {root} (AUDIO_URL)") from error


def _stored(name: str, found: os.stat_result) -> Stored:
    # The same tag as nginx makes, so that it does not depend on which of the two serves the file.
    etag = f"{int(found.st_mtime):x}-{found.st_size:x}"
    return Stored(name, found.st_size, max(found.st_atime, found.st_mtime), found.st_mtime, etag)


def _folders_in(root: Path) -> list[Path]:
    try:
        return [Path(entry.path) for entry in os.scandir(root) if entry.is_dir() and entry.name != SPOOL]
    except FileNotFoundError:
        return []


def _make_folder(folder: Path) -> None:
    if not folder.is_dir():
        if not folder.parent.exists():
            _make_folder(folder.parent)
        folder.mkdir(mode=0o750, exist_ok=True)
        with suppress(OSError):
            # Regardless of the umask; keep the set-group-id bit.
            folder.chmod(0o750 | (folder.stat().st_mode & 0o2000))


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
