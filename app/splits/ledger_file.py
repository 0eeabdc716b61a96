"""The ledger's file: how it is created, and which one it is.

gunicorn's main process tells its workers which file it is, so that none starts with another one. It loads this module
before gevent has patched anything.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

IN_USE = "SUNO_STEMS_LEDGER_FILE"
"""The environment variable with which it names the file, in the form of `describe`."""


def describe(file: os.stat_result) -> str:
    """Identify a file: its device and inode."""
    return f"{file.st_dev}:{file.st_ino}"


def create(path: Path) -> None:
    """Create an empty file and its folders, unless they are there; a power failure does not remove them again."""
    missing = [folder for folder in path.parents if not folder.exists()]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    for folder in {path.parent, *(made.parent for made in missing)}:
        sync_folder(folder)


def sync_folder(folder: Path) -> None:
    """Wait until the disk has the folder's list of files."""
    # Some file systems cannot do this for a folder.
    with suppress(OSError):
        opened = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)
