"""One exchange over real sockets: if it fails before the request is sent, Suno got nothing; otherwise it may have."""

from __future__ import annotations

import itertools
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from app.suno.call import Deadline
from app.suno.errors import SunoUnreachable
from app.suno.session import Account, Sessions
from app.suno.wire import NotSent, NoWholeAnswer, Wire
from tools.process import free_port

OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
INTERIM = b"HTTP/1.1 103 Early Hints\r\n\r\n"
NOT_GZIP = OK.replace(b"\r\n\r\n", b"\r\nContent-Encoding: gzip\r\n\r\n")
Script = Callable[[socket.socket, int], None]


class Host:
    """A host that runs its script on each connection, and counts the connections."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=16)
        self.port = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.connections = 0
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self.connections += 1
                threading.Thread(target=self._run, args=(connection, self.connections), daemon=True).start()

    def _run(self, connection: socket.socket, number: int) -> None:
        with connection, suppress(OSError):
            self._script(connection, number)

    def close(self) -> None:
        self._listener.close()


@pytest.fixture
def host() -> Iterator[Callable[[Script], Host]]:
    hosts: list[Host] = []

    def make(script: Script) -> Host:
        hosts.append(Host(script))
        return hosts[-1]

    yield make
    for one in hosts:
        one.close()


def read_request(connection: socket.socket) -> bytes:
    received = b""
    while not received.endswith(b"\r\n\r\n{}"):
        part = connection.recv(65_536)
        if not part:
            return received
        received += part
    return received


def answer_once(connection: socket.socket, number: int) -> None:
    read_request(connection)
    connection.sendall(OK)


def wire(url: str, *, connect: float = 1, read: float = 1, resend: bool = False) -> Wire:
    return Wire(base_url=url, connect_timeout=connect, read_timeout=read, resend=resend)


def ask(wire: Wire, body: bytes | None = b"{}", deadline: float = 10) -> int:
    method = "GET" if body is None else "POST"
    return wire.ask(method, "/", headers={}, body=body, deadline=Deadline(deadline)).status


@pytest.mark.parametrize("body", [b"{}", None])
def test_nothing_is_sent_if_nothing_listens(body: bytes | None) -> None:
    with pytest.raises(NotSent, match="no connection could be made"):
        ask(wire(f"http://127.0.0.1:{free_port()}"), body)


def test_a_failed_connection_is_retried(monkeypatch: pytest.MonkeyPatch, host: Callable[[Script], Host]) -> None:
    server = host(answer_once)
    create_connection, failures = socket.socket.connect, [OSError("refused"), OSError("refused")]

    def connect(self: socket.socket, address: object) -> None:
        if failures:
            raise failures.pop()
        create_connection(self, address)  # type: ignore[arg-type]

    monkeypatch.setattr(socket.socket, "connect", connect)
    assert ask(wire(server.url)) == 200
    assert server.connections == 1


def test_a_host_that_does_not_accept_is_given_up_after_the_connect_timeout() -> None:
    full = socket.socket()
    full.bind(("127.0.0.1", 0))
    full.listen(0)
    waiting = [socket.socket() for _ in range(4)]
    for one in waiting:
        one.setblocking(False)
        one.connect_ex(full.getsockname())
    try:
        with pytest.raises(NotSent, match="in time"):
            ask(wire(f"http://127.0.0.1:{full.getsockname()[1]}", connect=0.1))
    finally:
        for one in (full, *waiting):
            one.close()


@pytest.mark.parametrize(
    ("after_reading", "why"),
    [
        pytest.param(lambda connection: None, "broke", id="closed"),
        pytest.param(lambda connection: connection.sendall(OK[:7]), "broke", id="head cut"),
        pytest.param(lambda connection: connection.sendall(OK[:-1]), "broke", id="body cut"),
        pytest.param(lambda connection: connection.sendall(b"nonsense\r\n\r\n"), "broke", id="not HTTP"),
        pytest.param(lambda connection: connection.sendall(INTERIM), "interim", id="interim only"),
        pytest.param(lambda connection: connection.sendall(NOT_GZIP), "broke", id="not gzip"),
        pytest.param(lambda connection: threading.Event().wait(3), "in time", id="silent"),
    ],
)
def test_a_request_with_a_broken_reply_is_sent_once(
    host: Callable[[Script], Host], after_reading: Callable[[socket.socket], object], why: str
) -> None:
    requests: list[bytes] = []

    def script(connection: socket.socket, number: int) -> None:
        requests.append(read_request(connection))
        after_reading(connection)

    with pytest.raises(NoWholeAnswer, match=why):
        ask(wire(host(script).url, read=0.3))
    assert len(requests) == 1


@pytest.mark.parametrize(("failing_write", "error"), [(1, NotSent), (2, NoWholeAnswer)], ids=["head", "body"])
def test_a_request_is_certainly_not_sent_only_if_its_head_cannot_be_written(
    monkeypatch: pytest.MonkeyPatch, host: Callable[[Script], Host], failing_write: int, error: type[Exception]
) -> None:
    server, sendall, writes = host(answer_once), socket.socket.sendall, itertools.count(1)

    def send(self: socket.socket, data: bytes) -> None:
        if next(writes) == failing_write:
            raise ConnectionResetError
        sendall(self, data)

    monkeypatch.setattr(socket.socket, "sendall", send)
    with pytest.raises(error):
        ask(wire(server.url))


def test_a_request_is_not_resent_if_its_kept_connection_breaks(host: Callable[[Script], Host]) -> None:
    requests: list[bytes] = []

    def script(connection: socket.socket, number: int) -> None:
        requests.append(read_request(connection))
        connection.sendall(OK)
        requests.append(read_request(connection))

    kept = wire(host(script).url)
    assert ask(kept) == 200
    with pytest.raises(NoWholeAnswer):
        ask(kept)
    assert len(requests) == 2


def test_a_free_call_is_resent_if_its_connection_breaks(host: Callable[[Script], Host]) -> None:
    def script(connection: socket.socket, number: int) -> None:
        read_request(connection)
        if number == 2:
            connection.sendall(OK)

    server = host(script)
    assert ask(wire(server.url, resend=True)) == 200
    assert server.connections == 2


def test_the_final_reply_after_an_interim_one_never_goes_to_the_next_request(host: Callable[[Script], Host]) -> None:
    def script(connection: socket.socket, number: int) -> None:
        read_request(connection)
        if number == 1:
            connection.sendall(b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 402 Another's\r\nContent-Length: 0\r\n\r\n")
        connection.sendall(OK)

    both = wire(host(script).url)
    with pytest.raises(NoWholeAnswer):
        ask(both)
    assert ask(both) == 200


def test_a_proxy_that_loses_the_reply_may_have_forwarded_the_request(
    monkeypatch: pytest.MonkeyPatch, host: Callable[[Script], Host]
) -> None:
    requests: list[bytes] = []
    proxy = host(lambda connection, _: requests.append(read_request(connection)))
    monkeypatch.setenv("HTTP_PROXY", proxy.url)
    monkeypatch.setenv("http_proxy", proxy.url)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    with pytest.raises(NoWholeAnswer):
        ask(wire("http://suno.example"))
    assert [request.split(b"\r\n")[0] for request in requests] == [b"POST http://suno.example/ HTTP/1.1"]


@pytest.mark.parametrize("answer", [b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", b""])
def test_nothing_is_sent_if_a_proxy_makes_no_tunnel(
    monkeypatch: pytest.MonkeyPatch, host: Callable[[Script], Host], answer: bytes
) -> None:
    def script(connection: socket.socket, number: int) -> None:
        connection.recv(65_536)
        connection.sendall(answer)

    proxy = host(script)
    monkeypatch.setenv("HTTPS_PROXY", proxy.url)
    monkeypatch.setenv("https_proxy", proxy.url)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    with pytest.raises(NotSent):
        ask(wire("https://suno.example"))


def test_the_variable_no_proxy_is_respected(monkeypatch: pytest.MonkeyPatch, host: Callable[[Script], Host]) -> None:
    server = host(answer_once)
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    assert ask(wire(server.url)) == 200


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for 127.0.0.1, with its key."""
    file = tmp_path_factory.mktemp("tls") / "both.pem"
    command = (
        "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1"
    )
    both = [*command.split(), "-keyout", str(file.with_name("key")), "-out", str(file.with_name("certificate"))]
    subprocess.run(both, check=True, capture_output=True)
    file.write_text(file.with_name("key").read_text() + file.with_name("certificate").read_text())
    return file


def tls(certificate: Path) -> Script:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

    def script(connection: socket.socket, number: int) -> None:
        with context.wrap_socket(connection, server_side=True) as secure:
            read_request(secure)
            secure.sendall(OK)

    return script


def test_nothing_is_sent_to_a_host_with_an_untrusted_certificate(
    host: Callable[[Script], Host], certificate: Path
) -> None:
    with pytest.raises(NotSent, match="certificate is not trusted"):
        ask(wire(host(tls(certificate)).url.replace("http:", "https:")))


def test_certificates_from_the_environment_are_trusted(
    monkeypatch: pytest.MonkeyPatch, host: Callable[[Script], Host], certificate: Path
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate.with_name("certificate")))
    assert ask(wire(host(tls(certificate)).url.replace("http:", "https:"))) == 200


def test_nothing_is_sent_to_a_host_without_tls(host: Callable[[Script], Host]) -> None:
    with pytest.raises(NotSent):
        ask(wire(host(lambda connection, _: connection.sendall(OK)).url.replace("http:", "https:")))


def test_nothing_is_sent_after_the_deadline(host: Callable[[Script], Host]) -> None:
    server = host(lambda connection, _: None)
    with pytest.raises(NotSent, match="deadline"):
        ask(wire(server.url), deadline=0)
    assert server.connections == 0


def test_concurrent_exchanges_reuse_kept_connections(host: Callable[[Script], Host]) -> None:
    barrier = threading.Barrier(8)

    def answer_when_all_have_arrived(connection: socket.socket, number: int) -> None:
        while read_request(connection):
            barrier.wait(timeout=10)
            connection.sendall(OK)

    server = host(answer_when_all_have_arrived)
    suno = wire(server.url, read=10)
    with ThreadPoolExecutor(8) as pool:
        for _ in range(2):
            assert list(pool.map(lambda _: ask(suno), range(8))) == [200] * 8
    assert server.connections == 8


def test_the_environment_is_not_read_again_for_each_exchange(
    monkeypatch: pytest.MonkeyPatch, host: Callable[[Script], Host]
) -> None:
    def script(connection: socket.socket, number: int) -> None:
        while read_request(connection):
            connection.sendall(OK)

    suno = wire(host(script).url)
    ask(suno)
    for name in ("getproxies", "proxy_bypass"):
        monkeypatch.setattr(f"requests.utils.{name}", lambda *_: pytest.fail("read again"))
    assert ask(suno) == 200


def test_a_request_waits_for_anothers_sign_in_only_until_its_own_deadline(host: Callable[[Script], Host]) -> None:
    arrived, finished = threading.Event(), threading.Event()

    def script(connection: socket.socket, number: int) -> None:
        connection.recv(65_536)
        arrived.set()
        finished.wait(10)

    sessions = Sessions(
        wire(host(script).url, read=5),
        user_agent="Mozilla/5.0",
        clerk_api_version="1",
        clerk_js_version="1",
        renewal_lasts=5,
    )
    account = Account("client", "SUNO_COOKIE")
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(sessions.bearer, account, Deadline(10))
        arrived.wait(10)
        try:
            with pytest.raises(SunoUnreachable, match=r"did not answer in time\. Nothing was charged"):
                sessions.bearer(account, Deadline(0.1))
        finally:
            finished.set()
        with pytest.raises(SunoUnreachable):
            first.result()
