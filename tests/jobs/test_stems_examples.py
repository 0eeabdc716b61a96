"""Each example in examples/stems* saves the stems of a song to disk and pays once, even if a reply is lost."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests

from tests import stack
from tests.callers_file import key_of, tables
from tests.conftest import NUMBERS, Client, Suno
from tests.jobs.audio import digest
from tests.jobs.conftest import settings_in
from tools.process import Server

EXAMPLES = Path("examples").resolve()
SONG = "song-right-to-left"
LINK = f"https://suno.com/song/{SONG}"
NAMES = ["أغنية البحر - Instrumental.mp3", "أغنية البحر - Vocals.mp3"]


@dataclass(frozen=True)
class Example:
    """A file in examples/, and the command that runs it."""

    name: str
    command: tuple[str, ...]
    programs: tuple[str, ...] = ()
    module: str = ""

    def require(self) -> None:
        """Skip the test if something is missing, and say what."""
        missing = [name for name in self.programs if not shutil.which(name)]
        if self.module and not importlib.util.find_spec(self.module):
            missing.append(f"Python's {self.module}")
        if self.name.endswith(".php") and not missing:
            loaded = subprocess.run(["php", "-r", "exit(extension_loaded('curl') ? 0 : 1);"])
            missing += ["PHP's curl extension"] if loaded.returncode else []
        if missing:
            pytest.skip(f"{self.name} is not tested: {' and '.join(missing)} not found")


ALL = [
    Example("stems.sh", ("bash",), ("bash", "curl", "jq")),
    Example("stems_requests.py", (sys.executable,)),
    Example("stems_httpx.py", (sys.executable,), module="httpx"),
    Example("stems.mjs", ("node",), ("node",)),
    Example("stems.go", ("go", "run"), ("go",)),
    Example("stems.php", ("php",), ("php",)),
]


PLAYLISTS = [
    Example("playlist.sh", ("bash",), ("bash", "curl", "jq")),
    Example("playlist.py", (sys.executable,)),
    Example("playlist.mjs", ("node",), ("node",)),
]


@pytest.fixture(params=ALL, ids=lambda example: example.name)
def example(request: pytest.FixtureRequest) -> Example:
    request.param.require()
    return request.param


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home directory of the programs: they keep their build caches here."""
    return tmp_path_factory.mktemp("home")


@dataclass(frozen=True)
class Run:
    example: Example
    api_key: str
    home: Path
    folder: Path

    def __call__(self, url: str, link: str, *more: str) -> subprocess.CompletedProcess[str]:
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "GOCACHE": str(self.home / "go"),
            "GOFLAGS": "-mod=mod",
            "SUNO_STEMS_URL": url,
            "SUNO_STEMS_API_KEY": self.api_key,
        }
        command = [*self.example.command, str(EXAMPLES / self.example.name), link, str(self.folder), *more]
        return subprocess.run(command, env=environment, cwd=self.home, capture_output=True, text=True, timeout=80)

    @property
    def saved(self) -> dict[str, str]:
        """The SHA-256 of each file in the folder, by name."""
        return {path.name: digest(path.read_bytes()) for path in self.folder.iterdir()}


@pytest.fixture(scope="module")
def accounts() -> dict[str, str]:
    """The account of each example, by its name."""
    return {example.name: f"sandbox-load-{next(NUMBERS)}" for example in [*ALL, *PLAYLISTS]}


@pytest.fixture(scope="module")
def server(suno: Suno, accounts: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A service and its jobs process, with an API key for each account."""
    folder = tmp_path_factory.mktemp("deployed")
    callers = folder / "callers.toml"
    callers.write_text(tables(accounts.values()))
    # A split is answered before its stems are complete.
    more = {"CALLERS_FILE": str(callers), "SUNO_COOKIE": "", "SUNO_WAIT_TIMEOUT": "0.1", "SUNO_DEADLINE": "4"}
    settings = settings_in(folder) | more
    with stack.service(suno.url, settings) as service, stack.jobs(suno.url, settings):
        yield service


@pytest.fixture
def account(example: Example, accounts: dict[str, str]) -> str:
    return accounts[example.name]


@pytest.fixture
def service(server: Server, account: str) -> Client:
    """The service, for the example's caller."""
    return Client(server, {"X-API-Key": key_of(account)})


@pytest.fixture
def run(example: Example, account: str, home: Path, tmp_path: Path) -> Run:
    return Run(example, key_of(account), home, tmp_path / "stems of a song")


def kept(service: Client) -> dict[str, str]:
    """Return the SHA-256 of each stem that the service keeps for the song, by file name."""
    reply = service.post("/api/audio", json={"audio_id": SONG, "format": "mp3"})
    assert reply.status_code == 200, reply.text
    return {file["filename"]: digest(service.get(f"/api/audio/{file['id']}.mp3").content) for file in reply.json()}


def test_a_refusal_prints_the_services_error(run: Run, service: Client) -> None:
    refusal = service.split("unknown-song").json()
    assert refusal["code"] == "song_not_found"
    done = run(service.url, "unknown-song")
    assert done.returncode == 1
    assert refusal["error"] in done.stderr.splitlines()


@dataclass
class Lossy:
    """A proxy in front of the service: it drops the first reply and answers the second split with 503."""

    service: str
    url: str = ""
    splits: list[str | None] = field(default_factory=list)
    """The Idempotency-Keys of the received splits."""
    bodies: list[dict[str, Any]] = field(default_factory=list)
    """The bodies of the received splits."""
    statuses: list[int] = field(default_factory=list)
    """The statuses of the replies to POST /api/audio."""
    on_fetching: Callable[[], Any] = lambda: None
    """Called when the first of these is known, before the reply is sent."""

    def answer(self, method: str, path: str, headers: dict[str, str], body: bytes) -> requests.Response | int | None:
        if path == "/api/generate_stems":
            self.splits.append(headers.get("idempotency-key"))
            self.bodies.append(json.loads(body))
            if len(self.splits) == 2:
                return 503
        sent = {name: value for name, value in headers.items() if name not in ("host", "content-length")}
        reply = requests.request(method, self.service + path, data=body, headers=sent, timeout=30)
        if path == "/api/audio":
            self.statuses.append(reply.status_code)
            if len(self.statuses) == 1:
                self.on_fetching()
        return None if len(self.splits) == 1 else reply


@dataclass
class Renaming:
    """A proxy in front of the service: the first file gets a hostile name, and a file is listed that is not kept."""

    service: str
    url: str = ""

    def answer(self, method: str, path: str, headers: dict[str, str], body: bytes) -> requests.Response:
        sent = {name: value for name, value in headers.items() if name not in ("host", "content-length")}
        reply = requests.request(method, self.service + path, data=body, headers=sent, timeout=30)
        if path == "/api/audio" and reply.status_code == 200:
            kept, *others = sorted(reply.json(), key=lambda file: file["status"] != "kept")
            missing = kept | {"id": "missing", "filename": "Missing.mp3"}
            files = [missing, kept | {"filename": "../\\.\nup\x85\x1b.mp3"}, *others]
            reply._content = json.dumps(files).encode()
            del reply.headers["Content-Length"]
        return reply


@pytest.fixture
def lossy() -> Iterator[Any]:
    servers: list[ThreadingHTTPServer] = []

    def start(service: str, kind: type[Lossy | Renaming] = Lossy) -> Lossy | Renaming:
        between = kind(service)

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                headers = {name.lower(): value for name, value in self.headers.items()}
                body = self.rfile.read(int(headers.get("content-length", 0)))
                reply = between.answer(self.command, self.path, headers, body)
                if reply is None:
                    return
                if isinstance(reply, int):
                    self.send_response(reply)
                    self.send_header("Retry-After", "0")
                    self.end_headers()
                    self.wfile.write(b"<html>a proxy's words</html>")
                    return
                self.send_response(reply.status_code)
                for name in ("Content-Type", "Content-Length", "Retry-After"):
                    if name in reply.headers:
                        self.send_header(name, reply.headers[name])
                if "Content-Length" not in reply.headers:
                    self.send_header("Content-Length", str(len(reply.content)))
                self.end_headers()
                self.wfile.write(reply.content)

            do_GET = do_POST  # noqa: N815 (http.server's name)

            def log_message(self, *about: Any) -> None:
                pass

        servers.append(ThreadingHTTPServer(("127.0.0.1", 0), Handler))
        threading.Thread(target=servers[-1].serve_forever, args=(0.05,), daemon=True).start()
        between.url = f"http://127.0.0.1:{servers[-1].server_address[1]}"
        return between

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_a_link_becomes_files_and_a_lost_reply_is_paid_once(
    run: Run, service: Client, lossy: Any, suno: Suno, account: str
) -> None:
    # No file can be fetched until the example has been told to wait for it.
    suno.set(address_lifetime=0)
    between = lossy(service.url)
    between.on_fetching = lambda: suno.set(address_lifetime=3600)
    try:
        done = run(between.url, f"{LINK}/")
    finally:
        suno.set(address_lifetime=3600)
    assert done.returncode == 0, done.stderr
    assert len(between.splits) == 3
    assert len(set(between.splits)) == 1
    assert re.fullmatch(rf"{SONG}-two-\d{{4}}-\d\d-\d\d", between.splits[0] or "")
    assert [body["reuse_existing"] for body in between.bodies] == [True] * 3, "tomorrow has another key"
    assert (between.statuses[0], between.statuses[-1]) == (202, 200)
    assert sorted(run.saved) == NAMES
    assert run.saved == kept(service)
    assert len(suno.charges(account, SONG)) == 1
    again = run(service.url, f"{LINK}?sh=abc")
    assert again.returncode == 0, again.stderr
    assert len(suno.charges(account, SONG)) == 1, "a second run, or one after a crash, pays nothing"


def test_a_file_that_fails_leaves_the_others_and_none_leaves_the_folder(
    run: Run, service: Client, lossy: Any, suno: Suno, account: str
) -> None:
    done = run(lossy(service.url, Renaming).url, "https://suno.com/song/song-stem-fails")
    assert done.returncode == 1, done.stdout
    [usable, _] = suno.charges(account, "song-stem-fails")[0]["clips"]
    assert run.saved == {
        "__._up__.mp3": digest(service.get(f"/api/audio/{usable}.mp3").content),
    }, done.stderr
    missing = service.get("/api/audio/missing.mp3").json()["error"]
    assert f"Missing.mp3: {missing}" in done.stderr.splitlines()
    assert "Suno could not make this clip." in done.stderr


@pytest.mark.timeout(240)
@pytest.mark.parametrize("example", PLAYLISTS, ids=lambda example: example.name)
def test_a_playlist_becomes_folders_and_a_second_run_fetches_only_what_is_missing(
    example: Example, accounts: dict[str, str], server: Server, home: Path, tmp_path: Path, suno: Suno
) -> None:
    example.require()
    account = accounts[example.name]
    run = Run(example, key_of(account), home, tmp_path / "stems")
    service = Client(server, {"X-API-Key": key_of(account)})
    playlist = "https://suno.com/playlist/playlist-of-3?sh=abc"

    def saved() -> list[Path]:
        return sorted(path for path in run.folder.rglob("*") if path.is_file())

    shown = run(server.url, playlist)
    assert shown.returncode == 0, shown.stderr
    assert "3 songs: 30 credits and 3 downloads. Left: 1000 credits, 20 downloads." in shown.stdout
    assert (suno.charges(account), saved() if run.folder.exists() else []) == ([], [])

    first = run(server.url, playlist, "10")
    assert (first.returncode, len(saved())) == (1, 2), first.stderr
    assert "max_credits" in first.stderr
    missing, kept = saved()
    content, kept_at = missing.read_bytes(), kept.stat().st_mtime_ns
    missing.unlink()

    more = run(server.url, playlist, "20")
    assert (more.returncode, len(saved())) == (1, 4), more.stderr
    assert "Spent: 20 credits, 2 downloads." in more.stdout
    assert sorted(line for line in more.stdout.splitlines() if line.endswith(".mp3")) == [
        str(path) for path in saved() if path != kept
    ]
    assert (missing.read_bytes(), kept.stat().st_mtime_ns) == (content, kept_at)

    [order] = service.get("/api/orders").json()
    service.request("DELETE", f"/api/orders/{order['id']}").raise_for_status()
    cancelled = run(server.url, playlist, "30")
    assert (cancelled.returncode, len(suno.charges(account))) == (1, 2)
    assert "the order was cancelled before this song." in cancelled.stderr
    assert "add a word after max_credits" in cancelled.stderr

    whole = run(server.url, playlist, "30", "again")
    assert whole.returncode == 0, whole.stderr
    assert "Spent: 10 credits, 1 download." in whole.stdout
    assert [len(list(folder.iterdir())) for folder in run.folder.iterdir()] == [2, 2, 2]
    assert len(suno.charges(account)) == 3
