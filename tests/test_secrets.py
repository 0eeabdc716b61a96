"""No cookie, token or request body is logged or returned, even at level DEBUG."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from app.accounts import AccountNames
from app.suno.session import User
from app.web.factory import create_app
from sandbox.accounts import ACCOUNTS
from sandbox.faults import FAULTS
from tests import stack
from tests.asserts import assert_error
from tests.conftest import Client

BODY = "what-the-body-says"
KEY = "my-api-key"
TOKEN = "eyJ"  # the start of every JWT


@pytest.fixture
def untouched() -> Iterator[str]:
    """The address of a separate sandbox: the test uses up accounts that other tests need fresh."""
    with stack.suno() as server:
        yield server.url


def test_no_error_path_logs_or_returns_a_secret(start: Callable[..., Client], untouched: str) -> None:
    service = start(
        untouched,
        LOG_LEVEL="DEBUG",
        SUNO_COOKIE="sandbox-load-70000",
        API_KEYS=f"{KEY},{KEY}-2",
        SUNO_DEADLINE="2",
        SUNO_READ_TIMEOUT="1.5",
        SUNO_POLL_INTERVAL="0.1",
        GUNICORN_CMD_ARGS="--log-level debug",
    )
    cookies = [name for name in ACCOUNTS if "<" not in name]
    cases = [(f"fault-{fault}", f"sandbox-load-7{n:04}") for n, fault in enumerate(FAULTS, 1)]
    cases += [("song-4-stems", cookie) for cookie in cookies]

    def ask(case: tuple[str, str]) -> str:
        song, cookie = case
        reply = service.post(
            "/api/generate_stems",
            json={"audio_id": song, "note": BODY},
            headers={"X-Suno-Cookie": cookie, "X-API-Key": KEY},
        )
        return f"{reply.headers}{reply.text}"

    with ThreadPoolExecutor(16) as pool:
        replies = list(pool.map(ask, cases))
    for key in (f"{KEY}-2", f"{KEY}-3"):
        given = {"Authorization": f"Bearer {key}"}
        replies.append(service.post("/api/generate_stems", json={"audio_id": f"{BODY}/"}, headers=given).text)
        replies += [
            service.get(path, headers=given).text for path in ("/metrics", "/readyz", "/docs", "/openapi.json")
        ]
    replies.append(service.post("/api/generate_stems", data=f"{{{BODY}").text)
    replies.append(service.get("/nowhere", headers={"Cookie": "__client=sandbox-load-79999"}).text)
    send_nonsense(service, b"GET / HTTP/1.1\r\nCookie __client=sandbox-load-78888\r\n\r\n")
    send_nonsense(service, b"GET / HTTP/1.1\r\nCookie: __client=sandbox-load-78888\x00\r\n\r\n")

    logged = service.server.logged()
    assert "DEBUG" in logged
    assert "not valid HTTP" in logged
    for secret in [*cookies, KEY, "sandbox-load-7", TOKEN, BODY]:
        assert secret not in logged
        assert secret not in "".join(replies)


def test_reply_headers_quoted_by_urllib3_are_not_logged(start: Callable[..., Client]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as clerk:
        service = start(SUNO_AUTH_URL=f"http://127.0.0.1:{clerk.getsockname()[1]}", LOG_LEVEL="DEBUG")
        with ThreadPoolExecutor(1) as pool:
            reply = pool.submit(service.split)
            connection, _ = clerk.accept()
            with connection:
                connection.recv(65_536)
                connection.sendall(
                    b"HTTP/1.1 200 OK\r\nnot a header\r\nSet-Cookie: __client=sandbox-load-7\r\n"
                    b"Content-Length: 0\r\n\r\n"
                )
            assert_error(reply.result(), 500, "suno_failed")
    assert "sandbox-load-7" not in service.server.logged()


def test_a_crash_is_logged_without_its_message(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken:
        def generate_stems(self, account: object, *question: object, **how: object) -> None:
            raise RuntimeError(f"it had {account} and the cookie {secret}")

        def stems(self, account: object, *question: object) -> list[object]:
            return []

        def known_user(self, account: object) -> User:
            return User("user", "")

        def now(self) -> None:
            return None

    secret = "my-" + "secret"
    monkeypatch.setenv("SUNO_COOKIE", secret)
    monkeypatch.setenv("SUNO_POLL_INTERVAL", "0.01")
    app = create_app()
    app.extensions["parts"].gateway = Broken()
    app.extensions["parts"].names = AccountNames(Broken(), app.extensions["parts"].ledger)  # type: ignore[arg-type]

    response = app.test_client().post("/api/generate_stems", json={"audio_id": "song"})

    assert response.status_code == 500
    body = response.get_json()
    assert (list(body), body["code"]) == (["error", "code", "request_id"], "internal_error")
    logged = capfd.readouterr().err
    assert "RuntimeError" in logged
    assert "test_secrets.py" in logged
    assert body["request_id"] in logged
    assert secret not in logged + response.text


@pytest.mark.parametrize("name", ["SUNO_COOKIE", "API_KEYS"])
def test_settings_never_show_a_secret(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    from app.settings import read_settings

    monkeypatch.setenv(name, "my-secret")
    assert "my-secret" not in repr(read_settings())


def test_an_error_has_the_callers_request_id_if_that_is_valid(service: Client) -> None:
    for given, kept in (("my-request.1", True), ("a b", False), ("x" * 129, False), ('"><script>', False)):
        response = service.post("/api/generate_stems", headers={"X-Request-ID": given})
        assert_error(response, 400, "invalid_request")
        assert (response.headers["X-Request-ID"] == given) is kept


def send_nonsense(service: Client, nonsense: bytes) -> None:
    host, port = service.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(nonsense)
        connection.recv(65_536)
