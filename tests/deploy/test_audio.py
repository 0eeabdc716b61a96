"""Kept audio through deploy/nginx.conf, sent by the service and by nginx itself."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import requests

from tests import stack
from tests.asserts import assert_error
from tests.conftest import SONG, Suno, until
from tests.deploy.conftest import OFTEN, SHORT, Proxy, Tls, nginx_at

PAGE = "https://app.example.com"


@pytest.fixture(scope="module", params=["", "/kept-audio/"], ids=["the service", "nginx"])
def kept(
    request: pytest.FixtureRequest, suno: Suno, tls: Tls, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Proxy, str, str]]:
    """nginx, the signed path of a file, and the SHA-256 of the file."""
    folder = tmp_path_factory.mktemp("audio")
    socket = folder / "gunicorn.sock"
    settings = SHORT | {
        "SUNO_COOKIE": "sandbox-load-4242",
        "HOST": f"unix:{socket}",
        "TRUSTED_HOSTS": "localhost",
        "LEDGER_URL": f"sqlite:///{folder}/ledger.db",
        "JOBS_URL": f"sqlite:///{folder}/jobs.db",
        "AUDIO_URL": f"file://{folder}/audio",
        "AUDIO_ACCEL": request.param,
        "LINK_SECRET": "l" * 32,
        "CORS_ORIGINS": PAGE,
    }
    with ExitStack() as servers:
        servers.enter_context(stack.jobs(suno.url, settings))
        servers.enter_context(stack.service(suno.url, settings))
        nginx = servers.enter_context(nginx_at(folder, tls, f"unix:{socket}", burst=OFTEN, alias=f"{folder}/audio/"))
        until(lambda: nginx.post("/api/audio", json={"ids": [SONG], "format": "wav"}).status_code != 202)
        [file] = nginx.post("/api/audio", json={"ids": [SONG], "format": "wav"}).json()
        assert file["url"].startswith("https://localhost/api/audio/"), "the host and scheme of the request to nginx"
        [on_disk] = Path(folder / "audio").rglob("*.wav")
        yield nginx, file["url"].removeprefix("https://localhost"), hashlib.sha256(on_disk.read_bytes()).hexdigest()


def test_a_file_is_complete_and_has_its_name(kept: tuple[Proxy, str, str]) -> None:
    nginx, path, digest = kept
    reply = nginx.get(path)
    assert (reply.status_code, hashlib.sha256(reply.content).hexdigest()) == (200, digest)
    assert reply.headers["Content-Type"] == "audio/wav"
    assert reply.headers["Content-Disposition"] == 'attachment; filename="Ocean Wanderer.wav"'
    assert reply.headers["X-Request-ID"]
    assert "X-Accel-Redirect" not in reply.headers
    assert reply.headers["X-Content-Type-Options"] == "nosniff"
    assert reply.headers["Cache-Control"] == "private, no-cache"
    assert reply.headers["Cross-Origin-Resource-Policy"] == "cross-origin", "its address is signed"
    own = nginx.get(path.partition("?")[0], headers={"Origin": PAGE})
    assert own.headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert own.headers["Access-Control-Allow-Origin"] == PAGE
    assert "Content-Range" in own.headers["Access-Control-Expose-Headers"]


def test_ranges_and_etags_work(kept: tuple[Proxy, str, str]) -> None:
    nginx, path, _ = kept
    whole = nginx.get(path)
    part = nginx.get(path, headers={"Range": "bytes=100-109"})
    assert (part.status_code, part.content) == (206, whole.content[100:110])
    assert nginx.get(path, headers={"If-None-Match": whole.headers["ETag"]}).status_code == 304
    assert nginx.get(path, headers={"Range": "bytes=999999999-"}).status_code == 416
    head = nginx.request("HEAD", path)
    assert (head.headers["Content-Length"], head.content) == (str(len(whole.content)), b"")


def test_the_folder_itself_is_not_served(kept: tuple[Proxy, str, str]) -> None:
    nginx, path, _ = kept
    for forbidden in ("/kept-audio/", f"/kept-audio/{path.partition('?')[0]}", "/kept-audio/../ledger.db"):
        assert_error(nginx.get(forbidden), 404, "not_found")
    assert_error(nginx.get(path[:-3]), 403, "not_allowed")


def test_the_service_and_nginx_send_the_same_etag(
    kept: tuple[Proxy, str, str], request: pytest.FixtureRequest
) -> None:
    nginx, path, _ = kept
    reply: requests.Response = nginx.get(path)
    modified, size = reply.headers["ETag"].strip('"').split("-")
    assert (int(size, 16), int(modified, 16) > 1_700_000_000) == (len(reply.content), True)
