"""Both stores as deployed: a folder, and a bucket on a real S3 server."""

from __future__ import annotations

import io
import math
import tempfile
import uuid
import wave
from array import array
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from app.audio.folder import FolderStore
from app.audio.store import FileStore
from app.audio.which_store import open_store


def wav(seconds: float = 0.1, rate: int = 8_000, loud: int = 20_000) -> bytes:
    """Return a WAV file with a tone."""
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(array("h", [int(loud * math.sin(i / 9)) for i in range(int(seconds * rate))]).tobytes())
    return out.getvalue()


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    # Slow to load, and every process of the suite loads this file.
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


def s3_client() -> Any:
    """A client of the server in `s3_settings`."""
    import boto3

    return boto3.client("s3")


@pytest.fixture
def s3_settings(s3_server: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, str]:
    """The environment variables for a bucket. Each test gets a new one, and its own folder for incomplete files."""
    # By default all processes of a user share that folder: another test may clear it.
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    settings = {
        "AWS_ENDPOINT_URL": s3_server,
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "NO_PROXY": "127.0.0.1",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    bucket = f"stems-{uuid.uuid4().hex}"
    s3_client().create_bucket(Bucket=bucket)
    return settings | {"AUDIO_URL": f"s3://{bucket}/kept"}


@pytest.fixture
def folder(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "audio")


@pytest.fixture(params=["folder", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> FileStore:
    if request.param == "folder":
        return open_store(f"file://{tmp_path}/audio")
    return open_store(request.getfixturevalue("s3_settings")["AUDIO_URL"])


@pytest.fixture
def put(tmp_path: Path) -> Callable[..., None]:
    """Return a function that puts a file with this content into a store."""

    def put(store: Any, name: str, content: bytes) -> None:
        store.spool.mkdir(parents=True, exist_ok=True)
        file = store.spool / uuid.uuid4().hex
        file.write_bytes(content)
        store.put(name, file)

    return put
