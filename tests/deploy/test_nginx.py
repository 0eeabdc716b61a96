"""deploy/nginx.conf under Debian's nginx, with gunicorn on a unix socket behind it."""

from __future__ import annotations

import http.client
import itertools
import json
import re
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from environs import Env

from app.settings import read_settings
from app.timing import LOST_STEMS_SECONDS
from app.web.errors import ErrorCode
from app.web.factory import MAX_BODY_BYTES
from tests import stack
from tests.asserts import assert_error
from tests.conftest import SONG, Suno, until
from tests.deploy.conftest import HAS_IPV6, Proxy, Stack, Tls, nginx_at
from tests.test_errors import FAULTS
from tools.process import ROOT

CONF = Path("deploy/nginx.conf").read_text(encoding="utf-8")
JSON = {"Content-Type": "application/json"}
SONG_OF_24_STEMS = "song-with-twelve"
ANY = itertools.count(1)
SHOWN = "location = /shown { return 200 $suno_stems_client; } error_page 418 /"
HSTS = "max-age=31536000"


class OverSocket(http.client.HTTPConnection):
    """A connection to the service itself, without nginx."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=30)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(30)
        self.sock.connect(str(self.path))


def both(deployed: Stack, method: str, path: str, body: Any = None, **headers: str) -> tuple[Any, Any]:
    """Send one request to the service itself and through nginx. Return status, headers and body of both replies."""
    sent = {
        "X-Request-ID": f"both-{next(ANY)}",
        "Accept-Encoding": "identity",
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    text = body if isinstance(body, (bytes, str, type(None))) else json.dumps(body)
    if text is not None and "Content-Type" not in sent:
        sent |= JSON
    direct = OverSocket(deployed.socket)
    direct.request(method, path, text, sent)
    reply = direct.getresponse()
    straight = (reply.status, ours(dict(reply.getheaders())), reply.read())
    direct.close()
    answer = deployed.nginx.request(method, path, data=text, headers=sent)
    through = ours(dict(answer.headers))
    assert through.pop("strict-transport-security") == HSTS
    if straight[1].get("vary") is None and through.get("vary") == "Accept-Encoding":
        del through["vary"]
    return straight, (answer.status_code, through, answer.content)


def ours(headers: dict[str, str]) -> dict[str, str]:
    hops = {"server", "date", "connection", "content-length", "transfer-encoding"}
    return {name.lower(): value for name, value in headers.items() if name.lower() not in hops}


def raw(nginx: Proxy, text: bytes, *, ends: bool = False) -> bytes:
    """Send raw bytes over TLS and read the whole reply. With `ends`, disconnect instead."""
    with connected(nginx) as connection:
        connection.sendall(text)
        return b"" if ends else b"".join(iter(lambda: connection.recv(65_536), b""))


def connected(nginx: Proxy) -> ssl.SSLSocket:
    port = int(nginx.url.rpartition(":")[2])
    context = ssl.create_default_context(cafile=str(nginx.tls.certificate))
    connection = socket.create_connection(("127.0.0.1", port), timeout=30)
    return context.wrap_socket(connection, server_hostname="localhost", suppress_ragged_eofs=True)


def post(body: bytes, *more: str) -> bytes:
    lines = ["POST /api/generate_stems HTTP/1.1", "Host: localhost", "Connection: close"]
    lines += ["Content-Type: application/json", f"Content-Length: {len(body)}", *more, "", ""]
    return "\r\n".join(lines).encode() + body


# The service's replies pass through.


@pytest.mark.parametrize("fault", [fault for fault, *_ in FAULTS])
def test_every_suno_error_passes_through_unchanged(deployed: Stack, account: str, fault: str) -> None:
    straight, through = both(
        deployed, "POST", "/api/generate_stems", {"audio_id": f"fault-{fault}"}, X_Suno_Cookie=account
    )
    if fault == "1015-html":  # the account's splits pause after the first
        for _, headers, body in (straight, through):
            assert 60 <= int(headers.pop("retry-after")) <= 120
            assert json.loads(body)["code"] == "rate_limited"
        straight, through = straight[:2], through[:2]
    if fault == "retry-after-date":  # the seconds until that date
        assert {int(answer[1].pop("retry-after")) for answer in (through, straight)} <= set(range(10, 21))
    assert through == straight
    assert [through[0]] == [status for name, status, *_ in FAULTS if name == fault]


@pytest.mark.parametrize(
    ("status", "method", "path", "body", "headers"),
    [
        (400, "POST", "/api/generate_stems", {}, {}),
        (401, "POST", "/api/generate_stems", {"audio_id": SONG}, {"X_Suno_Cookie": "sandbox-dead"}),
        (401, "POST", "/api/generate_stems", {"audio_id": SONG}, {"X_Suno_Cookie": "theme=dark"}),
        (401, "GET", "/api/get_limit", None, {"Cookie": "__client=a b"}),
        (402, "POST", "/api/generate_stems", {"audio_id": SONG}, {"X_Suno_Cookie": "sandbox-poor"}),
        (403, "POST", "/api/generate_stems", {"audio_id": SONG}, {"X_Suno_Cookie": "sandbox-captcha"}),
        (404, "GET", "/nowhere", None, {}),
        (404, "GET", "//api//get_limit", None, {}),
        (405, "GET", "/api/generate_stems", None, {}),
        (405, "DELETE", "/api/get_limit", None, {}),
        (415, "POST", "/api/generate_stems", b"text", {"Content_Type": "text/plain"}),
        (400, "POST", "/api/generate_stems", b"{" + b" " * (MAX_BODY_BYTES - 1), {}),
        (429, "POST", "/api/generate_stems", {"audio_id": SONG}, {"X_Suno_Cookie": "sandbox-clerk-429"}),
        (500, "POST", "/api/generate_stems", {"audio_id": SONG}, {"X_Suno_Cookie": "sandbox-clerk-html"}),
        (503, "POST", "/api/generate_stems", {"audio_id": SONG}, {"X_Suno_Cookie": "sandbox-clerk-reset"}),
        (200, "GET", "/api/get_limit", None, {}),
        (200, "GET", "/healthz", None, {}),
        (200, "GET", "/openapi.json", None, {}),
        (200, "OPTIONS", "/api/generate_stems", None, {}),
        (200, "GET", "/", None, {}),
        (302, "GET", "/docs/", None, {}),
    ],
)
def test_every_status_passes_through_unchanged(
    deployed: Stack, status: int, method: str, path: str, body: Any, headers: dict[str, str]
) -> None:
    straight, through = both(deployed, method, path, body, **headers)
    # nginx compresses too, and says so once more.
    if "vary" in through[1]:
        through[1]["vary"] = ", ".join(dict.fromkeys(through[1]["vary"].split(", ")))
    assert through == straight
    assert through[0] == status
    assert through[1]["x-request-id"].startswith("both-")


def test_a_reused_key_is_replayed_or_refused_as_by_the_service(deployed: Stack, account: str) -> None:
    key = {"Idempotency-Key": f"key-{account}"}
    first = deployed.nginx.split(cookie=account, headers=key)
    again = deployed.nginx.split(cookie=account, headers=key)
    assert (first.status_code, again.status_code) == (200, 200)
    assert again.content == first.content
    assert again.headers["Idempotent-Replayed"] == "true"
    other = deployed.nginx.split("song-4-stems", account, headers=key)
    assert_error(other, 422, "idempotency_key_reused")

    key = {"Idempotency-Key": f"doubt-{account}"}
    deployed.nginx.split("fault-reset-before-reading", account, headers=key)
    doubtful = deployed.nginx.split("fault-reset-before-reading", account, headers=key)
    assert_error(doubtful, 409, "in_progress")
    assert int(doubtful.headers["Retry-After"]) > 0


def test_a_reply_of_24_clips_passes_through(deployed: Stack) -> None:
    reply = deployed.nginx.get("/api/stems", params={"audio_id": SONG_OF_24_STEMS})
    assert reply.status_code == 200
    assert len(reply.json()) == 24


def test_a_browsers_full_cookie_passes_through(deployed: Stack, account: str) -> None:
    cookie = f"__client={account}; theme={'x' * 16_000}"
    for header in ("X-Suno-Cookie", "Cookie"):
        assert deployed.nginx.get("/api/get_limit", headers={header: cookie}).status_code == 200
    stranger = cookie.replace(account, "sandbox-dead")
    assert_error(deployed.nginx.get("/api/get_limit", headers={"Cookie": stranger}), 401, "suno_session_expired")


@pytest.mark.parametrize("given", ["", "a b", "x" * 129, 'a"b', "a\\b"])
def test_a_request_id_is_created_if_none_is_usable(deployed: Stack, given: str) -> None:
    for path in ("/nowhere", "/metrics"):
        body = assert_error(deployed.nginx.get(path, headers={"X-Request-ID": given}), 404, "not_found")
        assert re.fullmatch("[0-9a-f]{32}", body["request_id"])
    # nginx logs the request after it has sent the reply.
    until(lambda: f'"{body["request_id"]}"' in (deployed.nginx.folder / "access.log").read_text())


@pytest.mark.parametrize(
    "path",
    [
        *("/", "/docs/swagger-ui.css", "/docs/swagger-ui-bundle.js", "/page/page.js"),
        *("/openapi.json", "/openapi.yaml", f"/api/stems?audio_id={SONG_OF_24_STEMS}"),
    ],
)
def test_text_is_compressed(deployed: Stack, path: str) -> None:
    plain = deployed.nginx.get(path, headers={"Accept-Encoding": "identity"})
    small = deployed.nginx.get(path, headers={"Accept-Encoding": "gzip"})
    assert (plain.status_code, small.status_code) == (200, 200)
    assert "Content-Encoding" not in plain.headers
    assert (small.headers["Content-Encoding"], small.content) == ("gzip", plain.content)
    assert "Accept-Encoding" in small.headers["Vary"]
    if etag := small.headers.get("ETag"):
        known = {"Accept-Encoding": "gzip", "If-None-Match": etag}
        assert deployed.nginx.get(path, headers=known).status_code == 304


def test_ipv6_works(deployed: Stack) -> None:
    if not HAS_IPV6:
        pytest.skip("this machine has no IPv6: nginx is not tested on it")
    port = int(deployed.nginx.url.rpartition(":")[2])
    context = ssl.create_default_context(cafile=str(deployed.nginx.tls.certificate))
    with socket.create_connection(("::1", port), timeout=30) as plain:
        connection = context.wrap_socket(plain, server_hostname="localhost")
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert connection.recv(12) == b"HTTP/1.1 200"
        connection.close()


def test_http_2_works(deployed: Stack, account: str) -> None:
    curl = shutil.which("curl")
    if not curl or "HTTP2" not in subprocess.run([curl, "--version"], capture_output=True, text=True).stdout:
        pytest.skip("curl with HTTP/2 is not installed: HTTP/2 is not tested")
    command = [curl, "--silent", "--http2", "--noproxy", "*", "--cacert", str(deployed.nginx.tls.certificate)]
    command += ["--json", json.dumps({"audio_id": SONG}), "--header", f"X-Suno-Cookie: {account}"]
    command += ["--write-out", "\n%{http_version} %{http_code}", f"{deployed.nginx.url}/api/generate_stems"]
    text, _, summary = subprocess.run(command, capture_output=True, text=True, check=True).stdout.rpartition("\n")
    assert summary == "2 200"
    assert len(json.loads(text)) == 2


# The identity of clients and hosts.


def test_forwarding_headers_of_a_client_are_ignored(deployed: Stack) -> None:
    plain = deployed.nginx.get("/api/get_limit")
    forged = {
        "X-Forwarded-For": "127.0.0.1",
        "X-Forwarded-Host": "evil.example",
        "X-Forwarded-Proto": "http",
        "X-Forwarded-Protocol": "nonsense",
        "X-Forwarded-Ssl": "off",
        "X-Real-IP": "127.0.0.1",
        "Forwarded": "for=127.0.0.1",
        "SCRIPT_NAME": "/api",
        "PATH_INFO": "/metrics",
    }
    reply = deployed.nginx.get("/api/get_limit", headers=forged)
    assert (reply.status_code, reply.json()) == (plain.status_code, plain.json()) == (200, plain.json())
    logged = (deployed.nginx.folder / "access.log").read_text().splitlines()
    assert {json.loads(line)["client"] for line in logged} <= {"127.0.0.1", "::1"}


@pytest.mark.parametrize(
    "path", ["/metrics", "//metrics", "/%6detrics", "/docs/../metrics", "/metrics?a=b", "/./metrics"]
)
def test_metrics_are_not_public(deployed: Stack, path: str) -> None:
    assert b"HTTP/1.1 404" in raw(
        deployed.nginx, f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
    )


def test_no_client_is_local_on_a_unix_socket(deployed: Stack) -> None:
    direct = OverSocket(deployed.socket)
    direct.request("GET", "/metrics")
    assert direct.getresponse().status == 403
    direct.close()
    assert "API_KEYS is not set while HOST is unix:" in deployed.service.logged()


def test_another_host_name_is_refused_by_the_service(deployed: Stack) -> None:
    assert_error(deployed.nginx.get("/healthz", headers={"Host": "evil.example"}), 400, "invalid_request")


# Slow clients, and clients that disconnect.


def test_slow_clients_do_not_block_the_service(deployed: Stack, suno: Suno, account: str) -> None:
    body = json.dumps({"audio_id": SONG}).encode()
    text = post(body, f"X-Suno-Cookie: {account}")
    slow = [connected(deployed.nginx) for _ in range(50)]
    try:
        for position in range(len(text) - 1):
            for connection in slow:
                connection.sendall(text[position : position + 1])
        assert deployed.nginx.split(cookie=account).status_code == 200
        assert len(suno.charges(account)) == 1
        for connection in slow[25:]:
            connection.close()  # without their last byte
        for connection in slow[:25]:
            connection.sendall(text[-1:])
        for connection in slow[:25]:
            assert connection.recv(12) == b"HTTP/1.1 200"
    finally:
        for connection in slow:
            connection.close()
    assert len(suno.charges(account)) == 26


def test_a_client_that_disconnects_pays_once_and_gets_its_stems_later(
    deployed: Stack, suno: Suno, account: str
) -> None:
    clients = 8
    body = json.dumps({"audio_id": "fault-slow-2s"}).encode()
    for number in range(clients):
        raw(
            deployed.nginx, post(body, f"X-Suno-Cookie: {account}", f"Idempotency-Key: {account}-{number}"), ends=True
        )

    def retry(number: int) -> Any:
        headers = {"Idempotency-Key": f"{account}-{number}"}

        def ended() -> Any:
            reply = deployed.nginx.split("fault-slow-2s", account, headers=headers)
            return None if reply.status_code == 409 else reply

        return until(ended)

    with ThreadPoolExecutor(clients) as pool:
        replies = list(pool.map(retry, range(clients)))
    assert [reply.status_code for reply in replies] == [200] * clients
    paid = {clip for charge in suno.charges(account) for clip in charge["clips"]}
    assert {clip["id"] for reply in replies for clip in reply.json()} == paid
    assert len(suno.charges(account)) == clients


# nginx's own errors.


def test_a_body_over_64_kib_is_413(deployed: Stack, suno: Suno) -> None:
    suno.forget()
    logged = deployed.service.logged().count("\n")
    for size in (MAX_BODY_BYTES + 1, MAX_BODY_BYTES * 100):
        reply = deployed.nginx.post("/api/generate_stems", data=b" " * size, headers=JSON)
        assert_error(reply, 413, "body_too_large")
    chunks = (b" " * 10_000 for _ in range(10))
    assert_error(deployed.nginx.post("/api/generate_stems", data=chunks, headers=JSON), 413, "body_too_large")
    assert deployed.service.logged().count("\n") == logged


def test_a_body_over_64_kib_is_413_with_http_2(deployed: Stack, tmp_path: Path) -> None:
    (body := tmp_path / "body").write_bytes(b" " * (MAX_BODY_BYTES + 1))
    command = [
        "curl",
        "-sS",
        "--http2",
        "--cacert",
        str(deployed.nginx.tls.certificate),
        "--noproxy",
        "*",
        "--data-binary",
        f"@{body}",
    ]
    command += ["-w", "\\n%{http_version} %{http_code}", "-H", "Content-Type: application/json"]
    run = subprocess.run([*command, f"{deployed.nginx.url}/api/generate_stems"], capture_output=True, text=True)
    answer, _, summary = run.stdout.strip().rpartition("\n")
    assert (summary, json.loads(answer)["code"]) == ("2 413", "body_too_large"), run.stdout + run.stderr


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (400, b"nonsense\r\n\r\n"),
        (400, b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n"),
        (400, b"GET / HTTP/1.1\r\n\r\n"),
        (400, b"GET /%00 HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        (400, b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip\r\n\r\n"),
        (400, b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n"),
        (405, b"TRACE / HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        (414, b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        (431, b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Suno-Cookie: secret" + b"x" * 20_000 + b"\r\n\r\n"),
        (404, b"GET /-/413 HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    ],
)
def test_errors_of_nginx_have_the_common_shape(deployed: Stack, status: int, text: bytes) -> None:
    head, _, body = raw(deployed.nginx, text.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1)).partition(
        b"\r\n\r\n"
    )
    assert int(head.split()[1]) == status
    shape = json.loads(body)
    assert list(shape) == ["error", "code", "request_id"]
    assert b"application/json" in head
    assert f"X-Request-ID: {shape['request_id']}".encode() in head
    assert (b"Allow: " in head) == (status == 405)
    assert f"Strict-Transport-Security: {HSTS}".encode() in head


def test_plain_http_on_the_tls_port_is_400(deployed: Stack) -> None:
    port = int(deployed.nginx.url.rpartition(":")[2])
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", "/healthz")
    reply = connection.getresponse()
    assert (reply.status, json.loads(reply.read())["code"]) == (400, "invalid_request")
    connection.close()


def test_every_error_of_nginx_has_a_code_and_status_of_the_service() -> None:
    errors = re.findall(r"return (\d{3}) \'(\{.*\})\\n\';", CONF)
    assert len(errors) == CONF.count("location = /-/") == 9
    for status, text in errors:
        shape = json.loads(text)
        assert list(shape) == ["error", "code", "request_id"]
        assert len(shape["error"]) > 20
        known = {code.slug: code.status for code in ErrorCode}[shape["code"]]
        assert int(status) == known or (shape["code"] == "invalid_request" and status in ("414", "431"))


@pytest.fixture
def nginx_alone(tls: Tls, tmp_path: Path) -> Iterator[Proxy]:
    """An nginx without a service behind it."""
    with nginx_at(tmp_path, tls, f"unix:{tmp_path}/gunicorn.sock") as nginx:
        yield nginx


def test_a_split_without_a_service_is_in_doubt_and_the_rest_is_safe_to_retry(nginx_alone: Proxy) -> None:
    assert_error(nginx_alone.split(headers={"X-Request-ID": "mine"}), 503, "outcome_unknown")
    assert nginx_alone.split(headers={"X-Request-ID": "mine"}).headers["X-Request-ID"] == "mine"
    assert_error(nginx_alone.get("/api/get_limit"), 503, "suno_unreachable")


def test_more_than_one_split_per_second_from_one_address_is_429(nginx_alone: Proxy) -> None:
    with ThreadPoolExecutor(10) as pool:
        replies = list(pool.map(lambda _: nginx_alone.split(), range(60)))
        reads = list(pool.map(lambda _: nginx_alone.get("/api/get_limit"), range(60)))
    refused = [reply for reply in replies if reply.status_code == 429]
    assert len(refused) > 0
    for reply in refused:
        assert_error(reply, 429, "rate_limited")
        assert reply.headers["Retry-After"] == "2"
    assert {reply.status_code for reply in reads} == {503}


@pytest.mark.parametrize("path", ["/api/download", "/api/audio"])
def test_downloads_are_limited_by_address(nginx_alone: Proxy, path: str) -> None:
    started = time.monotonic()
    with ThreadPoolExecutor(10) as pool:
        replies = list(pool.map(lambda _: nginx_alone.post(path, json={}), range(40)))
        passed = time.monotonic() - started
        reads = list(pool.map(lambda _: nginx_alone.get(path), range(20)))
    refused = [reply for reply in replies if reply.status_code == 429]
    assert len(replies) - len(refused) <= 10 + passed + 2, "a burst, then one a second"
    for reply in refused:
        assert_error(reply, 429, "rate_limited")
        assert reply.headers["Strict-Transport-Security"] == HSTS
    assert {reply.status_code for reply in reads} == {503}


def test_what_needs_no_key_is_limited_by_address(nginx_alone: Proxy) -> None:
    with ThreadPoolExecutor(10) as pool:
        replies = list(pool.map(lambda _: nginx_alone.get("/openapi.yaml"), range(300)))
    refused = [reply for reply in replies if reply.status_code == 429]
    assert refused
    assert len(refused) < 200, "a burst of 100 is allowed"
    for reply in refused:
        assert_error(reply, 429, "rate_limited")
        assert reply.headers["Retry-After"] == "2"
    assert nginx_alone.get("/api/get_limit").status_code == 503, "calls with a key are not counted"


def test_guesses_of_a_key_are_limited_before_the_service_compares_them(suno: Suno, tls: Tls, tmp_path: Path) -> None:
    key, guesses = "the-right-key-of-the-test", 900
    socket = tmp_path / "gunicorn.sock"
    settings = {"HOST": f"unix:{socket}", "TRUSTED_HOSTS": "localhost", "API_KEYS": key, "WEB_CONCURRENCY": "1"}
    request = "GET /api/get_limit HTTP/1.1\r\nHost: localhost\r\nX-API-Key: guess-{}\r\n\r\n"
    last = "GET /api/get_limit HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    with stack.service(suno.url, settings) as service, nginx_at(tmp_path, tls, f"unix:{socket}") as nginx:
        started = time.monotonic()
        answers = raw(nginx, ("".join(map(request.format, range(guesses))) + last).encode())
        passed = time.monotonic() - started
        compared, refused = answers.count(b"HTTP/1.1 401"), answers.count(b"HTTP/1.1 429")
        assert compared + refused == guesses + 1
        assert refused > 0
        assert compared <= 200 + 50 * passed + 2, "a burst, then 50 a second"
        assert service.logged().count('"api_key_required"') <= compared
        until(lambda: nginx.get("/api/get_limit", headers={"X-API-Key": key}).status_code == 200)


def test_every_location_that_leads_to_the_service_has_a_limit() -> None:
    """`/metrics` too: an operator may open it, and then its key can be guessed."""
    locations = re.findall(r"location (= )?(/[^ ]*) \{([^}]*)\}", CONF)
    to_limit = {path: text for _, path, text in locations if "proxy_pass" in text or path == "/metrics"}
    assert {"/", "/api/", "/api/generate_stems", "/api/download", "/api/audio", "/metrics"} <= set(to_limit)
    for path, text in to_limit.items():
        zone = "suno_stems_open" if path == "/" else "suno_stems_api"
        assert f"limit_req zone={zone} " in text, path


@pytest.mark.parametrize(
    ("address", "client"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2::5", "2001:db8:1:2:"),
        ("2001:db8:1:2:a:b:c:d", "2001:db8:1:2:"),
        ("2001:db8::1", "2001:db8::"),
        ("2001:db8::a:b:c:d", "2001:db8::"),
        ("::1", "::"),
    ],
)
def test_limits_count_a_network_of_ipv6_as_one_client(tls: Tls, tmp_path: Path, address: str, client: str) -> None:
    show = f"off; set_real_ip_from 0.0.0.0/0; set_real_ip_from ::/0; real_ip_header X-Shown; {SHOWN}"
    with nginx_at(tmp_path, tls, f"unix:{tmp_path}/gunicorn.sock", server_tokens=show) as nginx:
        assert nginx.get("/shown", headers={"X-Shown": address}).text == client


def test_a_split_without_a_reply_is_in_doubt_and_sent_once(tls: Tls, tmp_path: Path) -> None:
    with socket.socket() as deaf, socket.socket() as other:
        for listener in (deaf, other):
            listener.bind(("127.0.0.1", 0))
            listener.listen()
        servers = [f"127.0.0.1:{listener.getsockname()[1]}" for listener in (deaf, other)]
        with nginx_at(tmp_path, tls, *servers, proxy_read_timeout="1s") as nginx:
            assert_error(nginx.split(), 503, "outcome_unknown")
        deaf.setblocking(False)
        other.setblocking(False)
        assert connections(deaf) + connections(other) == 1


def connections(listener: socket.socket) -> int:
    count = 0
    while True:
        try:
            listener.accept()[0].close()
        except BlockingIOError:
            return count
        count += 1


def test_no_secret_is_in_nginxs_logs(deployed: Stack) -> None:
    secret = "my-" + "secret"
    deployed.nginx.split(cookie=f"__client={secret}", headers={"Authorization": f"Bearer {secret}"})
    deployed.nginx.get(f"/api/get?ids={secret}", headers={"Cookie": f"__client={secret}"})
    for broken in (f"Cookie {secret}", f"X-Suno-Cookie: {secret}\0", "X: " + secret + "x" * 20_000):
        raw(deployed.nginx, f"GET / HTTP/1.1\r\nHost: localhost\r\n{broken}\r\nConnection: close\r\n\r\n".encode())
    assert "suno-stems" in deployed.nginx.folder.joinpath("suno-stems.conf").read_text()
    assert secret not in deployed.nginx.logged()


# Limits of nginx and of the service.


def seconds(directive: str) -> float:
    [value] = re.findall(rf"^    {directive} (\d+)s;", CONF, re.MULTILINE)
    return float(value)


def test_nginx_waits_longer_than_the_service_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    env = Env(eager=False)
    read_settings(env)
    for name in env.dump():
        monkeypatch.delenv(name, raising=False)
    settings = read_settings()
    longest = max(2 * settings.suno.deadline + 2 * LOST_STEMS_SECONDS, settings.timing.wait_timeout)
    assert seconds("proxy_read_timeout") > longest + settings.timing.poll_interval


def test_nginx_has_the_services_body_limit() -> None:
    assert f"client_max_body_size {MAX_BODY_BYTES // 1024}k;" in CONF


def test_nginx_uses_the_services_socket() -> None:
    assert "HOST=unix:/run/suno-stems/gunicorn.sock" in Path("docs/deploy.md").read_text(encoding="utf-8")
    assert "server unix:/run/suno-stems/gunicorn.sock;" in Path("deploy/upstream.conf").read_text(encoding="utf-8")
    assert ROOT.joinpath("deploy/nginx.conf").exists()
