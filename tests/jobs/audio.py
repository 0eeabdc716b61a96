"""Helpers for the tests of audio: requests for files and comparisons."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from app.audio.files import folder_of
from sandbox.suno import user_id_of
from tests.conftest import SONG, Suno, until
from tests.jobs.conftest import Deployed, Service, Shared

LOCKED_SONG = "song-unlock-busy"

Deploy = Callable[..., Deployed]


@pytest.fixture
def audio_settings(settings: dict[str, str]) -> dict[str, str]:
    return settings | {"SUNO_WAIT_TIMEOUT": "20", "SUNO_DEADLINE": "4"}


def split(deployed: Service, **more: Any) -> requests.Response:
    body = {"audio_id": SONG, "wait_audio": True, "audio_format": "wav"} | more
    return deployed.client.post("/api/generate_stems", json=body)


def files_of(deployed: Service, reply: requests.Response) -> list[dict[str, Any]]:
    return deployed.client.get(f"/api/requests/{reply.headers['X-Request-ID']}").json()["audio"]


def post_audio(deployed: Service, **wanted: Any) -> requests.Response:
    return deployed.client.post("/api/audio", json={"format": "wav"} | wanted)


def last_reply(deployed: Service, **wanted: Any) -> requests.Response:
    """Repeat the request until no file is being fetched; return the reply."""

    def answered() -> requests.Response | None:
        reply = post_audio(deployed, **wanted)
        assert reply.status_code != 202 or reply.headers["Retry-After"] == "1"
        return None if reply.status_code == 202 else reply

    return until(answered)


def wait_for_files(deployed: Service, **wanted: Any) -> list[dict[str, Any]]:
    """Repeat the request until no file is being fetched; return the files."""
    reply = last_reply(deployed, **wanted)
    assert reply.status_code == 200, reply.text
    return reply.json()


def path_of(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.path}?{parts.query}" if parts.query else parts.path


def fetch(deployed: Service, file: dict[str, Any], **options: Any) -> requests.Response:
    return deployed.client.get(path_of(file["url"]), **options)


def file_at_suno(deployed: Service, id: str, format: str = "wav") -> bytes:
    """Return a file as the local Suno serves it."""
    found = deployed.client.post("/api/download", json={"id": id, "format": format, "wait": True}).json()
    return requests.get(found["download_url"], timeout=10).content


def kept_file(shared: Shared, account: str, id: str, format: str = "wav") -> Path:
    """Where the shared service keeps a file of an account."""
    return shared.folder / "audio" / folder_of(user_id_of(account)) / f"{id}.{format}"


def digest(content: bytes) -> str:
    """Return the SHA-256. Tests compare this, because a failure would print the whole file."""
    return hashlib.sha256(content).hexdigest()


def unlocks(suno: Suno, account: str) -> list[str]:
    return suno.get("/sandbox/unlocks").json().get(account, [])
