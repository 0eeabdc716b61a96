"""The examples of playlists go on after a failure, say what is missing, and write only into their folder."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.jobs.test_stems_examples import PLAYLISTS, Example, Run

LONG_TITLE = "é" * 300
REFUSED = {"error": "Suno refused it."}
ONCE_MORE = (
    "To order what is missing again, add a word after max_credits that you have not used before, such as the date. "
    "Stems that are there are free."
)


def song(id: str, title: str | None, state: str = "done", error: Any = None) -> dict[str, Any]:
    request = {"request_id": f"of-{id}"} if state == "done" else {}
    return {"song_id": id, "title": title, "state": state, "error": error} | request


def file(id: str, name: str, error: str | None = None) -> dict[str, Any]:
    return {"id": id, "filename": f"{name}.mp3", "bytes": len(id), "error": error}


FILES = {
    "up": [file("up-1", "First"), file("up-2", "Second")],
    "long-1": [file("l-1", f"../.a\n\\b/{LONG_TITLE}"), file("l-2", f"..a{LONG_TITLE}"), file("l-3", "é" * 75)],
    "long-2": [file("m-1", "", "Broken."), file("m-2", "..")],
    "empty": [file("e-1", "One")],
    "none": [file("n-1", "One")],
}
DONE = [
    song("up", "../../up\n/of-none\x1b\x85"),
    song("long-1", LONG_TITLE),
    song("lost", "Lost request"),
    song("long-2", LONG_TITLE),
    song("empty", " .. "),
    song("none", None),
]
OPEN = [song("red", "Red", "failed", REFUSED), song("late", "Late", "waiting")]
WHOLE = [each for each in DONE if each["song_id"] in ("up", "empty")]


@dataclass
class Service:
    """A service whose replies are written here. Each key makes the next order; the first of them is cancelled."""

    url: str = ""
    orders: dict[str, dict[str, Any]] = field(default_factory=dict)
    missing: set[str] = field(default_factory=lambda: {"/api/audio/up-1.mp3"})
    fetched: list[str] = field(default_factory=list)

    def order(self, key: str) -> dict[str, Any]:
        counts = {"id": "o", "credits": 1, "downloads": 1, "error": None}
        new = ("finished", WHOLE) if self.orders else ("cancelled", DONE + OPEN)
        return self.orders.setdefault(key, {"state": new[0], "songs": new[1], **counts})

    def answer(self, path: str, key: str, body: Any) -> tuple[int, bytes]:
        kind, _, id = path.removeprefix("/api/").partition("/")
        reply: Any = {"error": f"{path} is not here.", "code": "not_found", "request_id": "r"}
        if path in self.missing:
            return 404, json.dumps(reply).encode()
        if kind == "audio":
            self.fetched.append(path)
            return 200, id.removesuffix(".mp3").encode()
        if kind == "requests":
            files = FILES.get(id.removeprefix("of-"))
            return (200, json.dumps({"audio": files}).encode()) if files else (404, b"<html>a proxy's words</html>")
        if body.get("quote"):
            sums = {"credits": 1, "downloads": 0, "credits_left": 2, "downloads_left": None}
            return 200, json.dumps({"songs": DONE[:1], **sums}).encode()
        return 202, json.dumps(self.order(key)).encode()


@pytest.fixture
def service() -> Iterator[Service]:
    fake = Service()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, content = fake.answer(self.path, self.headers["Idempotency-Key"], json.loads(body or b"{}"))
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST  # noqa: N815 (http.server's name)

        def log_message(self, *about: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    fake.url = f"http://127.0.0.1:{server.server_address[1]}"
    yield fake
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("example", PLAYLISTS, ids=["bash", "python", "node"])
def test_a_playlist_goes_on_says_what_is_missing_and_stays_in_its_folder(
    example: Example, service: Service, tmp_path: Path
) -> None:
    example.require()
    inside = tmp_path / "home" / "deep" / "stems"
    inside.mkdir(parents=True)
    run = Run(example, "key", tmp_path / "home", inside)

    def saved() -> dict[str, str]:
        files = [path for path in tmp_path.rglob("*") if path.is_file()]
        return {str(path.relative_to(inside)): path.read_text() for path in files}

    up, long = "_.._up__of-none__ up", "é" * 50
    first = run(service.url, "a playlist", "1")
    assert saved() == {
        f"{up}/Second.mp3": "up-2",
        f"{long} long-1/_.a__b_{'é' * 71} l-1.mp3": "l-1",
        f"{long} long-1/a{'é' * 74} l-2.mp3": "l-2",
        f"{long} long-1/{'é' * 75}.mp3": "l-3",
        f"{long} long-2/Untitled m-2.mp3": "m-2",
        "Untitled empty/One.mp3": "e-1",
        "Untitled none/One.mp3": "n-1",
    }, first.stderr
    assert first.returncode == 1
    *failed, last = first.stderr.splitlines()
    assert (sorted(failed), last) == (
        sorted(
            [
                f"{up}: First.mp3: /api/audio/up-1.mp3 is not here.",
                f"Lost request lost: {service.url} answered 404.",
                f"{long} long-2: Untitled m-1.mp3: Broken.",
                "Red red: Suno refused it.",
                "Late late: the order was cancelled before this song.",
            ]
        ),
        ONCE_MORE,
    )
    assert "1 song: 1 credit and 0 downloads. Left: 2 credits, any number of downloads." in first.stdout
    assert "Spent: 1 credit, 1 download." in first.stdout

    service.missing.clear()
    service.fetched.clear()
    whole = run(service.url, "a playlist", "1", "today")
    assert (whole.returncode, whole.stderr) == (0, "")
    assert service.fetched == ["/api/audio/up-1.mp3"]
    assert (len(service.orders), saved()[f"{up}/First.mp3"]) == (2, "up-1")
