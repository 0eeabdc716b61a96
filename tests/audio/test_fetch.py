"""Fetching from a scripted storage server on a real socket."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from app.audio import fetch as fetching
from app.audio.fetch import Fetcher, FetchFailed
from tests.audio.conftest import wav

SOUND = wav(seconds=5)

Answer = Callable[[BaseHTTPRequestHandler], None]


class Storage:
    """Answers each request with the next entry of its script. The last entry repeats."""

    def __init__(self) -> None:
        self.script: list[Answer] = [whole]
        self.requests: list[dict[str, str]] = []
        storage = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                storage.requests.append(dict(self.headers.items()) | {"path": self.path})
                answer = storage.script.pop(0) if len(storage.script) > 1 else storage.script[0]
                answer(self)

            def log_message(self, *about: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/file"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def send(to: BaseHTTPRequestHandler, status: int, body: bytes, length: int | None = None, **headers: str) -> None:
    to.send_response(status)
    for name, value in {"Content_Type": "audio/wav", "ETag": '"1"', **headers}.items():
        if value:
            to.send_header(name.replace("_", "-"), value)
    to.send_header("Content-Length", str(len(body) if length is None else length))
    to.end_headers()
    to.wfile.write(body)
    to.close_connection = True


def whole(to: BaseHTTPRequestHandler) -> None:
    send(to, 200, SOUND)


def part(share: float, *, ranges: bool = True, content: bytes = SOUND, **headers: Any) -> Answer:
    """Send this share of the file, or of its requested rest, and break the connection. `If-Range` is ignored."""

    def answer(to: BaseHTTPRequestHandler) -> None:
        first = int(to.headers["Range"][6:-1]) if ranges and "Range" in to.headers else 0
        rest, sent = content[first:], max(1, int(len(content) * share))
        if first:
            content_range = f"bytes {first}-{len(content) - 1}/{len(content)}"
            send(to, 206, rest[:sent], len(rest), Content_Range=content_range, **headers)
        else:
            send(to, 200, rest[:sent], len(rest), **headers)

    return answer


def status(code: int, **headers: Any) -> Answer:
    return lambda to: send(to, code, b"<Error/>", Content_Type="application/xml", **headers)


@pytest.fixture
def storage(monkeypatch: pytest.MonkeyPatch) -> Iterator[Storage]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    # Only for this module: other threads of the process would wait no longer either, and take the whole processor.
    monkeypatch.setattr(fetching, "time", SimpleNamespace(sleep=lambda seconds: None, monotonic=time.monotonic))
    one = Storage()
    yield one
    one.close()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "file.wav"


def fetch(storage: Storage, file: Path, *addresses: str, format: str = "wav") -> bytes:
    left = list(addresses or [storage.url])
    Fetcher(loopback_too=True).fetch(lambda: left.pop(0) if len(left) > 1 else left[0], file, format=format)
    return file.read_bytes()


def test_a_file_is_fetched_completely(storage: Storage, file: Path) -> None:
    assert fetch(storage, file) == SOUND
    [request] = storage.requests
    assert not {"Authorization", "Cookie", "Range"} & set(request)


def test_a_download_that_breaks_off_at_every_tenth_is_resumed(storage: Storage, file: Path) -> None:
    storage.script = [part(0.1)]
    assert fetch(storage, file) == SOUND
    assert len(storage.requests) in (10, 11)
    assert {request.get("If-Range") for request in storage.requests[1:]} == {'"1"'}


def test_a_storage_without_ranges_is_read_from_the_start(storage: Storage, file: Path) -> None:
    storage.script = [part(0.4), whole]
    assert fetch(storage, file) == SOUND


@pytest.mark.parametrize("code", [401, 403, 404, 410])
def test_an_expired_url_is_requested_again(storage: Storage, file: Path, code: int) -> None:
    storage.script = [part(0.5), status(code), part(1.0)]
    assert fetch(storage, file, storage.url, f"{storage.url}?new") == SOUND
    assert [request["path"] for request in storage.requests] == ["/file", "/file", "/file?new"]


@pytest.mark.parametrize("answer", [status(403), status(500), status(429), part(0.0, ranges=False)])
def test_a_storage_that_sends_nothing_is_a_temporary_failure(storage: Storage, file: Path, answer: Answer) -> None:
    storage.script = [answer]
    with pytest.raises(FetchFailed) as failed:
        fetch(storage, file)
    assert failed.value.for_now
    assert len(storage.requests) <= 2 * fetching.MAX_EMPTY_CONNECTIONS + 1


def test_an_unreachable_storage_is_a_temporary_failure(storage: Storage, file: Path) -> None:
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
def test_a_wrong_file_is_a_permanent_failure(storage: Storage, file: Path, answer: Answer, why: str) -> None:
    storage.script = [answer]
    with pytest.raises(FetchFailed, match=why) as failed:
        fetch(storage, file)
    assert not failed.value.for_now
    assert len(storage.requests) == 1


def test_the_caller_sets_the_largest_size(storage: Storage, file: Path) -> None:
    fetcher = Fetcher(loopback_too=True)
    fetcher.fetch(lambda: storage.url, file, format="wav", most=len(SOUND))
    with pytest.raises(FetchFailed, match="are allowed") as failed:
        fetcher.fetch(lambda: storage.url, file, format="wav", most=len(SOUND) - 1)
    assert not failed.value.for_now


OTHER = SOUND[:44] + bytes(len(SOUND) - 44)
LONGER = wav(seconds=6)
YESTERDAY, TODAY = "Sun, 29 Nov 2026 10:00:00 GMT", "Mon, 30 Nov 2026 10:00:00 GMT"


@pytest.mark.parametrize(
    ("headers", "changed"),
    [
        ({"ETag": '"1"'}, part(0.5, content=OTHER, ETag='"2"')),
        ({"ETag": '"1"'}, part(0.5, content=OTHER, ETag="")),
        ({"ETag": '"1"'}, part(0.5, content=LONGER)),
        ({"ETag": '"1"'}, lambda to: send(to, 206, b"x", Content_Range=f"bytes 0-0/{len(SOUND)}")),
        ({"ETag": '"1"'}, lambda to: send(to, 206, b"x")),
        ({"ETag": '"1"'}, status(416, Content_Range="bytes */99")),
        ({"ETag": "", "Last_Modified": YESTERDAY}, part(0.5, content=OTHER, ETag="", Last_Modified=TODAY)),
        ({"ETag": 'W/"1"', "Last_Modified": YESTERDAY}, part(0.5, content=OTHER, ETag='W/"2"')),
    ],
)
def test_parts_of_two_versions_are_not_joined(
    storage: Storage, file: Path, headers: dict[str, Any], changed: Answer
) -> None:
    storage.script = [part(0.5, **headers), changed, lambda to: send(to, 200, LONGER, ETag='"3"')]
    assert fetch(storage, file) == LONGER
    assert [("Range" in request) for request in storage.requests] == [False, True, False]


@pytest.mark.parametrize(
    ("headers", "validator"),
    [
        ({"ETag": '"1"', "Last_Modified": YESTERDAY}, '"1"'),
        ({"ETag": "", "Last_Modified": YESTERDAY}, YESTERDAY),
        ({"ETag": 'W/"1"', "Last_Modified": YESTERDAY}, YESTERDAY),
    ],
)
def test_the_rest_is_requested_of_the_same_version(
    storage: Storage, file: Path, headers: dict[str, Any], validator: str
) -> None:
    storage.script = [part(0.4, **headers)]
    assert fetch(storage, file) == SOUND
    assert [request.get("If-Range") for request in storage.requests] == [None, validator, validator]


@pytest.mark.parametrize("etag", ["", 'W/"1"'])
def test_a_file_whose_version_is_unknown_is_fetched_from_the_start(storage: Storage, file: Path, etag: str) -> None:
    storage.script = [part(0.5, ETag=etag), part(0.9, content=OTHER, ETag=etag), part(1.0, content=OTHER, ETag=etag)]
    assert fetch(storage, file) == OTHER
    assert not any("Range" in request for request in storage.requests)


def test_a_file_that_always_breaks_and_cannot_be_resumed_fails_for_now(storage: Storage, file: Path) -> None:
    storage.script = [part(0.5, ETag="")]
    with pytest.raises(FetchFailed, match="does not send it") as failed:
        fetch(storage, file)
    assert failed.value.for_now
    assert len(storage.requests) == fetching.MAX_EMPTY_CONNECTIONS + 1


def test_a_storage_that_always_sends_another_part_fails_for_now(storage: Storage, file: Path) -> None:
    storage.script = [part(0.5), lambda to: send(to, 206, b"xx", Content_Range=f"bytes 0-1/{len(SOUND)}")]
    with pytest.raises(FetchFailed, match="another part") as failed:
        fetch(storage, file)
    assert failed.value.for_now


def test_a_part_ends_where_it_says(storage: Storage, file: Path) -> None:
    half, end = len(SOUND) // 2, len(SOUND) // 2 + 9
    storage.script = [
        part(0.5),
        lambda to: send(to, 206, SOUND[half:end] + b"more", Content_Range=f"bytes {half}-{end - 1}/{len(SOUND)}"),
        part(1.0),
    ]
    assert fetch(storage, file) == SOUND


@pytest.mark.parametrize("announced", ["audio/wav", "audio/mpeg", "text/html", ""])
def test_the_content_decides_whether_it_is_the_wanted_format(storage: Storage, file: Path, announced: str) -> None:
    storage.script = [lambda to: send(to, 200, SOUND, Content_Type=announced)]
    assert fetch(storage, file) == SOUND
    with pytest.raises(FetchFailed, match=f"not a file of the format mp3.*{announced}") as failed:
        fetch(storage, file, format="mp3")
    assert not failed.value.for_now


def test_a_file_that_is_sent_cut_short_is_tried_a_few_times(storage: Storage, file: Path) -> None:
    storage.script = [lambda to: send(to, 200, SOUND[:-1000])]
    with pytest.raises(FetchFailed, match="cut short") as failed:
        fetch(storage, file)
    assert (failed.value.for_now, failed.value.most_tries) == (True, fetching.MAX_CUT_TRIES)


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


def test_loopback_is_allowed_only_for_a_local_suno(storage: Storage, file: Path) -> None:
    fetcher = Fetcher(loopback_too=False)
    with pytest.raises(FetchFailed, match="https"):
        fetcher.fetch(lambda: storage.url, file, format="wav")
    with pytest.raises(FetchFailed, match="public"):
        fetcher.fetch(lambda: storage.url.replace("http:", "https:"), file, format="wav")
    assert storage.requests == []


def test_redirects_are_followed_only_to_allowed_addresses(storage: Storage, file: Path) -> None:
    storage.script = [status(302, Location="/elsewhere"), whole]
    assert fetch(storage, file) == SOUND
    storage.script = [status(302, Location="http://169.254.169.254/latest")]
    with pytest.raises(FetchFailed, match="https"):
        fetch(storage, file)
    storage.script = [status(302, Location="/again")]
    with pytest.raises(FetchFailed, match="TooManyRedirects"):
        fetch(storage, file)


@pytest.mark.parametrize(
    "location",
    [
        *("http://[", "//169.254.169.254/", "https://2130706433/", "\\\\169.254.169.254\\latest", "https://x:99999/"),
        *("https://storage.example.com\\@10.0.0.1/", "https://10.0.0.1\\.example.com/", "https://user@10.0.0.1/"),
        *("https://[64:ff9b::a9fe:a9fe]/", "https://[::ffff:10.0.0.1]/", "gopher://127.0.0.1/"),
    ],
)
def test_a_hostile_redirect_is_a_permanent_failure(storage: Storage, file: Path, location: str) -> None:
    storage.script = [status(302, Location=location)]
    with pytest.raises(FetchFailed, match="address") as failed:
        fetch(storage, file)
    assert not failed.value.for_now
    assert len(storage.requests) == 1


def test_an_endless_redirect_is_not_read(storage: Storage, file: Path) -> None:
    def endless(to: BaseHTTPRequestHandler) -> None:
        to.wfile.write(b"HTTP/1.0 302 Found\r\nLocation: /elsewhere\r\n\r\n")
        with suppress(OSError):
            while True:
                to.wfile.write(b"x" * 9_000)

    storage.script = [endless, whole]
    assert fetch(storage, file) == SOUND


def test_the_length_is_reported_before_the_first_byte_and_can_stop_the_download(storage: Storage, file: Path) -> None:
    totals: list[int] = []

    class NoRoom(Exception):
        pass

    def no_room(total: int) -> None:
        totals.append(total)
        raise NoRoom

    with pytest.raises(NoRoom):
        Fetcher(loopback_too=True).fetch(lambda: storage.url, file, format="wav", note_total=no_room)
    assert (totals, file.read_bytes()) == ([len(SOUND)], b"")


def test_a_dripping_download_is_ended(storage: Storage, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "MAX_FETCH_SECONDS", 0.0)
    storage.script = [part(0.01)]
    with pytest.raises(FetchFailed, match="within 0 s"):
        fetch(storage, file)


def test_progress_is_reported_during_the_download(storage: Storage, file: Path) -> None:
    seen: list[int] = []
    Fetcher(loopback_too=True).fetch(lambda: storage.url, file, format="wav", note_progress=lambda: seen.append(1))
    assert seen
    assert file.stat().st_size == len(SOUND)


def test_a_small_file_is_returned_completely_or_not_at_all(storage: Storage) -> None:
    assert Fetcher(loopback_too=True).small(storage.url, len(SOUND)) == SOUND
    with pytest.raises(FetchFailed, match="more than"):
        Fetcher(loopback_too=True).small(storage.url, len(SOUND) - 1)


@pytest.mark.parametrize(("code", "for_now"), [(404, False), (403, False), (500, True), (503, True)])
def test_the_status_decides_if_a_small_files_failure_is_temporary(storage: Storage, code: int, for_now: bool) -> None:
    storage.script = [status(code)]
    with pytest.raises(FetchFailed) as failed:
        Fetcher(loopback_too=True).small(storage.url, 1_000)
    assert failed.value.for_now == for_now


def test_a_dripping_small_file_is_ended(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "MAX_SMALL_FETCH_SECONDS", 0.0)
    with pytest.raises(FetchFailed, match="did not come within"):
        Fetcher(loopback_too=True).small(storage.url, len(SOUND))
