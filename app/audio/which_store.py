"""Opens the store of files that an address names."""

from __future__ import annotations

from pathlib import Path

from app.audio.store import FileStore


def open_store(url: str) -> FileStore:
    """Make the store for AUDIO_URL. It connects on first use."""
    if url.startswith("s3://"):
        from app.audio.s3 import S3Store

        return S3Store(url)
    from app.audio.folder import FolderStore

    return FolderStore(Path(url.removeprefix("file://")))
