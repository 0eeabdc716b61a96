"""Robustness: full disks, removed temporary files, stalled clients, and wrong files at a reload."""

from __future__ import annotations

import gc
import os
import runpy
import shutil
import signal
import socket
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from select import POLLIN, poll
from types import SimpleNamespace
from typing import Any

import pytest
import requests

from app import serving
from app.serving import LAST_REQUEST_SECONDS, Connection
from app.timing import no_end
from app.web import current
from tests import stack
from tests.asserts import assert_error
from tests.conftest import NUMBERS, SONG, Client, Suno
from tests.deploy.conftest import workers

Start = Callable[..., Client]


def eventually(condition: Callable[[], Any]) -> Any:
    """Wait until `condition` returns something true, and return it."""
    ends = time.monotonic() + 30
    while time.monotonic() < ends:
        if result := condition():
            return result
        time.sleep(0.02)
    raise AssertionError("the condition did not become true")


def connect(service: Client) -> socket.socket:
    host, _, port = service.url.removeprefix("http://").partition(":")
    return socket.create_connection((host, int(port)), timeout=30)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A temporary folder with room for 12 MB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = shutil.which("mount") and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", str(folder)], capture_output=True
    )
    if not mounted or mounted.returncode != 0:
        pytest.skip("only root can mount a small disk: a full temporary folder is not tested")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder: Path, *, but: int = 0) -> None:
    """Fill a disk, except for `but` bytes."""
    filler = folder / "filler"
    with pytest.raises(OSError, match="No space left"), filler.open("wb", buffering=0) as file:
        for _ in range(1_000):
            file.write(bytes(65_536))
    os.truncate(filler, filler.stat().st_size - but)


def read_all(connection: socket.socket) -> bytes:
    received = b""
    while chunk := connection.recv(65_536):
        received += chunk
    return received


def worker_of(service: Client) -> int:
    pid = service.server.process.pid
    [worker] = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return int(worker)


def test_a_split_works_with_a_full_temporary_folder(start: Start, suno: Suno, account: str, small_disk: Path) -> None:
    service = start(TMPDIR=str(small_disk))
    assert service.split(cookie=account).status_code == 200
    fill(small_disk)
    for _ in range(30):
        assert service.split(cookie=f"sandbox-load-{next(NUMBERS)}").status_code == 200
    assert "suno_stems_splits_paid_total 31.0" in service.get("/metrics").text
    assert "metrics" not in service.get("/readyz").json()["checks"]


def test_metrics_are_off_and_reported_as_off_without_disk_space(start: Start, account: str, small_disk: Path) -> None:
    fill(small_disk, but=200_000)
    service = start(TMPDIR=str(small_disk))
    assert service.split(cookie=account).status_code == 200
    ready = service.get("/readyz")
    assert (ready.status_code, ready.json()["checks"]["metrics"]) == (200, "off")
    assert service.get("/metrics").status_code == 200
    assert "Metrics are off" in service.server.logged()


def test_metrics_recover_after_their_temporary_folder_is_removed(start: Start, account: str, tmp_path: Path) -> None:
    service = start(TMPDIR=str(tmp_path))
    [folder] = tmp_path.glob("suno-stems-metrics-*")
    shutil.rmtree(folder)
    assert service.split(cookie=account).status_code == 200
    eventually(lambda: folder.is_dir() and service.split(cookie=account).status_code == 200)
    eventually(lambda: "suno_stems_splits_paid_total" in service.get("/metrics").text)
    service.server.process.send_signal(signal.SIGHUP)
    eventually(lambda: "suno_stems_worker_starts_total" in service.get("/metrics").text)
    assert service.server.process.poll() is None


@pytest.fixture(scope="module")
def temporary_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files of a service that was killed, and of a process that is running."""
    folder = tmp_path_factory.mktemp("temporary")
    process = subprocess.Popen(["true"])
    process.wait()
    (folder / f"suno-stems-metrics-{process.pid}-left").mkdir()
    (folder / f"suno-stems-metrics-{os.getpid()}-kept").mkdir()
    return folder


def test_files_of_a_killed_service_are_removed_at_the_next_start(crowded: Client, temporary_folder: Path) -> None:
    left, kept = (list(temporary_folder.glob(f"suno-stems-metrics-*-{name}")) for name in ("left", "kept"))
    assert (len(left), len(kept)) == (0, 1)
    assert crowded.server.process.poll() is None


CROWD = 40


@pytest.fixture(scope="module")
def crowded(suno: Suno, temporary_folder: Path) -> Iterator[Client]:
    settings = {"CONNECTIONS_PER_ADDRESS": "10", "SEND_TIMEOUT": "60", "BODY_TIMEOUT": "60"}
    settings |= {"WEB_CONCURRENCY": "1", "TMPDIR": str(temporary_folder)}
    with stack.service(suno.url, settings) as server:
        yield Client(server)


@pytest.mark.parametrize(
    "request_head",
    [
        "GET /docs/swagger-ui-bundle.js HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "POST /api/generate_stems HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9999\r\n"
        "Content-Type: application/json\r\n\r\n{",
        "GET /healthz HTTP/1.1\r\n",
    ],
    ids=["answers-that-are-not-read", "bodies-that-never-end", "heads-that-never-end"],
)
def test_many_stalled_connections_do_not_block_others(crowded: Client, request_head: str) -> None:
    with ExitStack() as stalled:
        for _ in range(CROWD):
            connection = stalled.enter_context(connect(crowded))
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.sendall(request_head.encode())
        for _ in range(5):
            assert crowded.get("/healthz").status_code == 200


def test_a_running_request_is_not_ended_for_new_connections(crowded: Client, suno: Suno, account: str) -> None:
    crowded.split(cookie=account)
    suno.forget()
    with ThreadPoolExecutor(8) as pool, ExitStack() as stalled:
        paid = [pool.submit(crowded.split, "fault-slow-2s", account) for _ in range(8)]
        eventually(lambda: len(suno.log("/api/edit/stems/")) == 8)
        for _ in range(CROWD):
            stalled.enter_context(connect(crowded)).sendall(b"GET / HTTP/1.1\r\n")
        assert [reply.result().status_code for reply in paid] == [200] * 8


INCOMPLETE = (
    b"POST /api/generate_stems HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99\r\n"
    b"Content-Type: application/json\r\n\r\n{"
)


@pytest.fixture(scope="module")
def impatient(suno: Suno) -> Iterator[Client]:
    """A service that gives its clients a tenth of a second."""
    settings = {"BODY_TIMEOUT": "0.1", "SEND_TIMEOUT": "0.1", "WEB_CONCURRENCY": "1"}
    with stack.service(suno.url, settings) as server:
        yield Client(server)


def test_a_body_must_arrive_in_time(impatient: Client) -> None:
    with connect(impatient) as slow:
        slow.sendall(INCOMPLETE)
        answer = read_all(slow)
    assert b" 408 " in answer
    assert b"request_timeout" in answer


def test_a_reply_must_be_read_in_time(impatient: Client) -> None:
    impatient.get("/docs/swagger-ui-bundle.js")
    with connect(impatient) as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.sendall(b"GET /docs/swagger-ui-bundle.js HTTP/1.1\r\nHost: localhost\r\n\r\n" * 20)
        port = slow.getsockname()[1]
        # On a busy machine it may be closed before this process looks: its first byte shows that it was open.
        with suppress(ConnectionResetError):
            assert slow.recv(1) == b"H"
        eventually(lambda: not is_open_in(worker_of(impatient), port))


def segments_received(connection: socket.socket) -> int:
    """Segments with data: the server's socket sends one for each short write."""
    return int(struct.unpack_from("I", connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 192), 152)[0])


@pytest.mark.parametrize("path", ["/healthz", "/docs/", "/favicon.ico", "/no-such-page"])
def test_a_short_reply_is_one_write(service: Client, path: str) -> None:
    with connect(service) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode())
        reply = read_all(connection)
        assert segments_received(connection) == 1, reply


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS"])
def test_a_reply_without_a_body_leaves_at_once(service: Client, method: str) -> None:
    with connect(service) as connection:
        for _ in range(2):
            connection.sendall(f"{method} /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
            assert connection.recv(65_536).startswith(b"HTTP/1.1 200 OK")


def test_the_head_of_a_reply_that_fails_is_not_sent() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        with serving.ReplySocket(ours) as reply:
            reply.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            reply.shutdown(socket.SHUT_RDWR)
        assert theirs.recv(100) == b""


def test_the_head_of_a_reply_is_sent_before_a_file(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"body")
    ours, theirs = socket.socketpair()
    with ours, theirs, file.open("rb") as opened:
        with serving.ReplySocket(ours) as reply:
            reply.sendall(b"head")
            reply.sendfile(opened, offset=0, count=4)
        ours.close()
        assert read_all(theirs) == b"headbody"


def is_open_in(pid: int, client_port: int) -> bool:
    """Whether a process has the connection of a client with this port."""
    rows = [row.split() for row in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    sockets = {f"socket:[{row[9]}]" for row in rows if int(row[2].rpartition(":")[2], 16) == client_port}
    links = []
    for file in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            links.append(str(file.readlink()))
    return not sockets.isdisjoint(links)


def test_an_incomplete_request_does_not_delay_the_stop(start: Start, suno: Suno, account: str) -> None:
    service = start(BODY_TIMEOUT="600", SEND_TIMEOUT="600")
    service.split(cookie=account)
    suno.forget()
    with ThreadPoolExecutor(1) as pool, connect(service) as body, connect(service):
        body.sendall(INCOMPLETE)
        paid = pool.submit(service.split, "fault-slow-2s", account)
        eventually(lambda: suno.log("/api/edit/stems/"))
        service.server.process.send_signal(signal.SIGTERM)
        assert paid.result().status_code == 200
        assert service.server.process.wait(timeout=20) == 0


@pytest.mark.parametrize("keys", [("one", "two"), ("one", "one"), ('"one"', "two"), ("a,b", "c")])
def test_two_idempotency_keys_are_refused(service: Client, suno: Suno, keys: tuple[str, str]) -> None:
    suno.forget()
    body = f'{{"audio_id": "{SONG}"}}'.encode()
    lines = "".join(f"Idempotency-Key: {key}\r\n" for key in keys)
    with connect(service) as raw:
        raw.sendall(
            f"POST /api/generate_stems HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{lines}"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode()
            + body
        )
        answer = read_all(raw)
    assert b" 400 " in answer
    assert b"Idempotency-Key" in answer
    assert suno.log() == []


@dataclass(frozen=True)
class FromFiles:
    """A service with its cookie and its API keys in files."""

    service: Client
    files: dict[str, Path]

    def reload(self) -> set[int]:
        """Return the workers that the reload replaces."""
        main = self.service.server.process
        old = workers(main.pid)
        main.send_signal(signal.SIGHUP)
        return old


@pytest.fixture(scope="module")
def from_files(suno: Suno, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FromFiles]:
    folder = tmp_path_factory.mktemp("secrets")
    files = {"SUNO_COOKIE": folder / "cookie", "API_KEYS": folder / "keys"}
    files["SUNO_COOKIE"].write_text(f"sandbox-load-{next(NUMBERS)}")
    files["API_KEYS"].write_text("first-key")
    settings = {name: f"@{file}" for name, file in files.items()}
    with stack.service(suno.url, settings | {"WEB_CONCURRENCY": "1"}) as server:
        yield FromFiles(Client(server, {"X-API-Key": "first-key"}), files)


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("SUNO_COOKIE", "theme=dark"),
        ("SUNO_COOKIE", ""),
        ("SUNO_COOKIE", None),
        ("API_KEYS", "sp ace"),
        ("API_KEYS", ""),
    ],
)
def test_a_reload_with_a_wrong_file_leaves_the_old_settings_in_force(
    from_files: FromFiles, name: str, wrong: str | None
) -> None:
    service, file = from_files.service, from_files.files[name]
    right, complaints = file.read_text(), service.server.logged().count("The old settings stay in force")
    assert service.split().status_code == 200

    file.unlink() if wrong is None else file.write_text(wrong)
    from_files.reload()
    stale = eventually(lambda: service.get("/readyz").json()["checks"].get("settings"))

    assert name in stale
    assert service.get("/readyz").status_code == 200
    assert service.split().status_code == 200
    assert "suno_stems_settings_stale 1.0" in service.get("/metrics").text
    assert service.server.logged().count("The old settings stay in force") == complaints + 1

    file.write_text(right)
    with_wrong_file = from_files.reload()
    eventually(lambda: "settings" not in service.get("/readyz").json()["checks"])
    # The next test must get no answer of the old worker.
    eventually(lambda: not with_wrong_file & workers(service.server.process.pid))


def test_a_new_worker_refuses_a_replaced_ledger(start: Start, suno: Suno, account: str, tmp_path: Path) -> None:
    service = start(LEDGER_URL=f"sqlite:///{tmp_path}/ledger.db")
    key = {"Idempotency-Key": "k"}
    assert service.split(cookie=account, headers=key).status_code == 200
    for file in tmp_path.glob("ledger.db*"):
        file.unlink()
    eventually(lambda: service.split(cookie=account, headers=key).status_code == 503)
    os.kill(worker_of(service), signal.SIGKILL)

    def answers() -> list[requests.Response]:
        try:
            return [service.split(cookie=account, headers=key)]
        except requests.ConnectionError:
            return []

    assert_error(eventually(answers)[0], 503, "ledger_unavailable")
    assert service.get("/readyz").json()["checks"]["ledger"] == "ledger_unavailable"
    assert len(suno.charges(account)) == 1


def test_a_stopping_worker_ends_no_connection_that_may_have_a_request() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        connection = Connection(None, ours)
        assert not connection.is_idle, "it is new"
        connection.since -= LAST_REQUEST_SECONDS
        assert connection.is_idle
        theirs.sendall(b"GET")
        assert not connection.is_idle
        ours.close()
        assert connection.is_idle


def test_a_used_connection_stays_open_longer_than_load_balancers_use_it(monkeypatch: pytest.MonkeyPatch) -> None:
    keepalive = runpy.run_path("gunicorn.conf.py")["keepalive"]
    assert keepalive > 60
    worker = SimpleNamespace(cfg=SimpleNamespace(keepalive=keepalive))
    connection = Connection(None)
    monkeypatch.setattr(serving.gevent, "getcurrent", lambda: SimpleNamespace(connection=connection))
    waits = []
    for connection.has_served in (False, True):
        with serving.Worker.timeout_ctx(worker) as timeout:  # type: ignore[arg-type]
            waits.append(timeout.seconds)
    assert waits == [2.0, keepalive]


def test_a_used_connection_is_still_open_after_the_wait_for_a_first_request(service: Client) -> None:
    request = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with connect(service) as connection, connection.makefile("rb") as reader:

        def ask() -> bytes:
            connection.sendall(request)
            head = b"".join(iter(reader.readline, b"\r\n"))
            return head.splitlines()[0] + reader.readline()

        assert ask() == b'HTTP/1.1 200 OK{"status":"ok"}\n'
        closing = poll()
        closing.register(connection, POLLIN)
        assert closing.poll((serving.FIRST_REQUEST_SECONDS + 0.5) * 1_000) == [], "it is not closed"
        assert ask() == b'HTTP/1.1 200 OK{"status":"ok"}\n'


def test_a_full_worker_closes_the_connection_that_has_waited_longest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "MAX_CONNECTIONS", 5)
    connections, killed = serving.Connections(), []
    with ExitStack() as stack:

        def opened(address: str, waits: float) -> Connection:
            ours, theirs = map(stack.enter_context, socket.socketpair())
            connection = stack.enter_context(connections.open(address, 900, ours))
            connection.since -= waits
            connection.greenlet = SimpleNamespace(kill=lambda block: killed.append(connection))
            connection.theirs = theirs  # type: ignore[attr-defined]
            return connection

        working, asked, longest, _, _ = (opened(f"192.0.2.{n}", 60 - n) for n in range(5))
        working.stage = serving.Stage.WORKING
        asked.theirs.sendall(b"GET")  # type: ignore[attr-defined]
        assert killed == []
        opened("192.0.2.9", 0)
        assert killed == [longest]


def test_a_worker_collects_garbage_again_once_it_has_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(current, "time_left_hook", current.time_left_hook)
    thresholds = gc.get_threshold()
    gc.disable()
    try:
        serving.post_worker_init(SimpleNamespace(time_left=no_end))  # type: ignore[arg-type]
        assert gc.isenabled()
    finally:
        gc.enable()
        gc.set_threshold(*thresholds)
