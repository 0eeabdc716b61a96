"""Fetching from a storage on a real socket, which does what a test says."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from app.audio import fetch as fetching
from app.audio.fetch import Fetcher, FetchFailed
from tests.audio.conftest import wav

SOUND = wav(seconds=5)

Answer = Callable[[BaseHTTPRequestHandler], None]


class Storage:
    """Answers each request as its script says, the last part of that for ever."""

    def __init__(self) -> None:
        self.script: list[Answer] = [whole]
        self.asked: list[dict[str, str]] = []
        storage = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                storage.asked.append(dict(self.headers.items()) | {"path": self.path})
                answer = storage.script.pop(0) if len(storage.script) > 1 else storage.script[0]
                answer(self)

            def log_message(self, *about: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/file"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def send(to: BaseHTTPRequestHandler, status: int, body: bytes, length: int | None = None, **headers: str) -> None:
    to.send_response(status)
    for name, value in {"Content_Type": "audio/wav", "ETag": '"1"', **headers}.items():
        to.send_header(name.replace("_", "-"), value)
    to.send_header("Content-Length", str(len(body) if length is None else length))
    to.end_headers()
    to.wfile.write(body)
    to.close_connection = True


def whole(to: BaseHTTPRequestHandler) -> None:
    send(to, 200, SOUND)


def part(share: float, *, ranges: bool = True) -> Answer:
    """So much of the file, or of what is left of it, before the connection breaks."""

    def answer(to: BaseHTTPRequestHandler) -> None:
        first = int(to.headers["Range"][6:-1]) if ranges and "Range" in to.headers else 0
        rest, sent = SOUND[first:], max(1, int(len(SOUND) * share))
        if first:
            told = f"bytes {first}-{len(SOUND) - 1}/{len(SOUND)}"
            send(to, 206, rest[:sent], len(rest), Content_Range=told)
        else:
            send(to, 200, rest[:sent], len(rest))

    return answer


def status(code: int, **headers: str) -> Answer:
    return lambda to: send(to, code, b"<Error/>", Content_Type="application/xml", **headers)


@pytest.fixture
def storage(monkeypatch: pytest.MonkeyPatch) -> Iterator[Storage]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(fetching.time, "sleep", lambda seconds: None)
    one = Storage()
    yield one
    one.close()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "file.wav"


def fetch(storage: Storage, file: Path, *addresses: str) -> bytes:
    left = list(addresses or [storage.url])
    Fetcher(loopback_too=True).fetch(lambda: left.pop(0) if len(left) > 1 else left[0], file)
    return file.read_bytes()


def test_a_file_comes_whole(storage: Storage, file: Path) -> None:
    assert fetch(storage, file) == SOUND
    [asked] = storage.asked
    assert not {"Authorization", "Cookie", "Range"} & set(asked)


def test_what_breaks_off_at_every_tenth_goes_on_where_it_was(storage: Storage, file: Path) -> None:
    storage.script = [part(0.1)]
    assert fetch(storage, file) == SOUND
    assert len(storage.asked) in (10, 11)
    assert {asked.get("If-Range") for asked in storage.asked[1:]} == {'"1"'}


def test_a_storage_without_ranges_begins_anew(storage: Storage, file: Path) -> None:
    storage.script = [part(0.4), whole]
    assert fetch(storage, file) == SOUND


@pytest.mark.parametrize("code", [401, 403, 404, 410])
def test_an_expired_address_is_asked_for_anew(storage: Storage, file: Path, code: int) -> None:
    storage.script = [part(0.5), status(code), part(1.0)]
    assert fetch(storage, file, storage.url, f"{storage.url}?new") == SOUND
    assert [asked["path"] for asked in storage.asked] == ["/file", "/file", "/file?new"]


@pytest.mark.parametrize("answer", [status(403), status(500), status(429), part(0.0, ranges=False)])
def test_a_storage_that_brings_nothing_is_given_up_for_now(storage: Storage, file: Path, answer: Answer) -> None:
    storage.script = [answer]
    with pytest.raises(FetchFailed) as failed:
        fetch(storage, file)
    assert failed.value.for_now
    assert len(storage.asked) <= 2 * fetching.IN_VAIN + 1


def test_a_storage_that_is_not_there_is_given_up_for_now(storage: Storage, file: Path) -> None:
    with pytest.raises(FetchFailed, match="ConnectionError") as failed:
        fetch(storage, file, "http://127.0.0.1:9/file")
    assert failed.value.for_now


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (lambda to: send(to, 200, b"<!DOCTYPE html>" * 9, Content_Type="text/html"), "text/html"),
        (lambda to: send(to, 200, b"<!DOCTYPE html>" * 9), "audio/wav"),
        (lambda to: send(to, 200, b""), "0 bytes"),
        (lambda to: send(to, 200, b"RIFF", 500_000_001), "500,000,001 bytes"),
        (lambda to: to.wfile.write(b"HTTP/1.0 200 OK\r\n\r\nRIFF"), "does not report its length"),
    ],
)
def test_what_is_no_such_file_is_refused_for_good(storage: Storage, file: Path, answer: Answer, why: str) -> None:
    storage.script = [answer]
    with pytest.raises(FetchFailed, match=why) as failed:
        fetch(storage, file)
    assert not failed.value.for_now
    assert len(storage.asked) == 1


def test_a_file_that_changes_on_the_way_is_not_put_together(storage: Storage, file: Path) -> None:
    longer = SOUND + b"more"
    storage.script = [
        part(0.5),
        lambda to: send(to, 206, b"x", Content_Range=f"bytes {len(SOUND) // 2}-{len(longer) - 1}/{len(longer)}"),
    ]
    with pytest.raises(FetchFailed, match="changed"):
        fetch(storage, file)


def test_another_part_than_was_asked_for_is_not_taken(storage: Storage, file: Path) -> None:
    storage.script = [part(0.5), lambda to: send(to, 206, b"xx", Content_Range=f"bytes 0-1/{len(SOUND)}")]
    with pytest.raises(FetchFailed, match="another part"):
        fetch(storage, file)


@pytest.mark.parametrize(
    "url", ["http://storage.example.com/x", "ftp://127.0.0.1/x", "file:///etc/passwd", "https://", "//x", ""]
)
def test_only_https_is_fetched(storage: Storage, file: Path, url: str) -> None:
    with pytest.raises(FetchFailed, match="https"):
        fetch(storage, file, url)


@pytest.mark.parametrize("url", ["https://10.0.0.1/x", "https://169.254.169.254/x", "https://[fd00::1]/x"])
def test_no_private_address_is_fetched(storage: Storage, file: Path, url: str) -> None:
    with pytest.raises(FetchFailed, match="public") as failed:
        fetch(storage, file, url)
    assert not failed.value.for_now


def test_this_machine_is_fetched_from_only_where_suno_is_played_on_it(storage: Storage, file: Path) -> None:
    fetcher = Fetcher(loopback_too=False)
    with pytest.raises(FetchFailed, match="https"):
        fetcher.fetch(lambda: storage.url, file)
    with pytest.raises(FetchFailed, match="public"):
        fetcher.fetch(lambda: storage.url.replace("http:", "https:"), file)
    assert storage.asked == []


def test_a_redirect_is_followed_to_where_one_may_go_alone(storage: Storage, file: Path) -> None:
    storage.script = [status(302, Location="/elsewhere"), whole]
    assert fetch(storage, file) == SOUND
    storage.script = [status(302, Location="http://169.254.169.254/latest")]
    with pytest.raises(FetchFailed, match="https"):
        fetch(storage, file)
    storage.script = [status(302, Location="/again")]
    with pytest.raises(FetchFailed, match="TooManyRedirects"):
        fetch(storage, file)


def test_its_length_is_known_before_the_first_byte_and_may_be_too_much(storage: Storage, file: Path) -> None:
    totals: list[int] = []

    class NoRoom(Exception):
        pass

    def no_room(total: int) -> None:
        totals.append(total)
        raise NoRoom

    with pytest.raises(NoRoom):
        Fetcher(loopback_too=True).fetch(lambda: storage.url, file, note_total=no_room)
    assert (totals, file.read_bytes()) == ([len(SOUND)], b"")


def test_what_drips_is_given_up_in_the_end(storage: Storage, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "LASTS", 0.0)
    storage.script = [part(0.01)]
    with pytest.raises(FetchFailed, match="within 0 s"):
        fetch(storage, file)


def test_progress_is_told_while_it_comes(storage: Storage, file: Path) -> None:
    seen: list[int] = []
    Fetcher(loopback_too=True).fetch(lambda: storage.url, file, note_progress=lambda: seen.append(1))
    assert seen
    assert file.stat().st_size == len(SOUND)


def test_a_small_file_comes_whole_or_not_at_all(storage: Storage) -> None:
    assert Fetcher(loopback_too=True).small(storage.url, len(SOUND)) == SOUND
    with pytest.raises(FetchFailed, match="more than"):
        Fetcher(loopback_too=True).small(storage.url, len(SOUND) - 1)


@pytest.mark.parametrize(("code", "for_now"), [(404, False), (403, False), (500, True), (503, True)])
def test_why_a_small_file_does_not_come(storage: Storage, code: int, for_now: bool) -> None:
    storage.script = [status(code)]
    with pytest.raises(FetchFailed) as failed:
        Fetcher(loopback_too=True).small(storage.url, 1_000)
    assert failed.value.for_now == for_now


def test_a_small_file_that_drips_is_given_up(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "SMALL_LASTS", 0.0)
    with pytest.raises(FetchFailed, match="did not come within"):
        Fetcher(loopback_too=True).small(storage.url, len(SOUND))
