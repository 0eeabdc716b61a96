"""Every row of the error table, over real sockets; paid calls are sent once."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from app.suno import errors as suno_errors
from app.web.errors import OF_EXCEPTION
from tests import stack
from tests.asserts import assert_error
from tests.conftest import SONG, Client, Suno
from tests.in_process import InProcess
from tools.process import free_port

JSON = {"Content-Type": "application/json"}


def send(service: Client, text: bytes) -> bytes:
    """Send raw bytes, close the sending side, and read the whole reply."""
    host, port = service.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(text)
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(65_536), b""))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "audio_id is missing"),
        ({"json": {}}, "audio_id is missing"),
        ({"json": {"audio_id": None}}, "audio_id is null"),
        ({"json": {"audio_id": ""}}, "1 to 128"),
        ({"json": {"audio_id": 5}}, "must be a string"),
        ({"json": {"audio_id": [SONG]}}, "must be a string"),
        ({"json": {"audio_id": "a" * 129}}, "1 to 128"),
        ({"json": {"audio_id": "../../generate/v2-web"}}, "1 to 128"),
        ({"json": {"audio_id": "a/b"}}, "1 to 128"),
        ({"json": {"audio_id": "a%2Fb"}}, "1 to 128"),
        ({"json": {"audio_id": "a?b"}}, "1 to 128"),
        ({"json": {"audio_id": "a.b"}}, "1 to 128"),
        ({"json": {"audio_id": " "}}, "1 to 128"),
        ({"json": {"audio_id": "a b"}}, "1 to 128"),
        ({"json": {"audio_id": "a\nb"}}, "1 to 128"),
        ({"json": {"audio_id": "ä"}}, "1 to 128"),
        ({"json": [SONG]}, "must be a JSON object"),
        ({"data": "null", "headers": JSON}, "must be a JSON object"),
        ({"data": '"text"', "headers": JSON}, "must be a JSON object"),
        ({"data": "{", "headers": JSON}, "not valid JSON"),
        ({"data": b"\xff\xfe\xff", "headers": JSON}, "not valid JSON"),
        ({"data": "[" * 60_000, "headers": JSON}, "not valid JSON"),
        ({"data": '{"audio_id": ' + "9" * 5_000 + "}", "headers": JSON}, "not valid JSON"),
    ],
)
def test_invalid_input_is_400_with_the_field_and_is_not_sent_to_suno(
    service: Client, suno: Suno, options: dict[str, Any], words: str
) -> None:
    suno.forget()
    body = assert_error(service.post("/api/generate_stems", **options), 400, "invalid_request")
    assert words in body["error"]
    assert list(body["details"]) in (["audio_id"], ["body"])
    assert suno.log() == []


def test_the_longest_and_the_shortest_id_are_sent_to_suno(service: Client, account: str) -> None:
    for song in ("a" * 128, "-", "_"):
        assert_error(service.split(song, account), 404, "song_not_found")


@pytest.mark.parametrize("sent", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", None])
def test_a_body_that_is_not_declared_as_json_is_415(service: Client, suno: Suno, sent: str | None) -> None:
    suno.forget()
    response = service.post(
        "/api/generate_stems", data=f'{{"audio_id": "{SONG}"}}'.encode(), headers={"Content-Type": sent}
    )
    assert_error(response, 415, "not_json")
    assert suno.log() == []


def test_a_body_over_64_kib_is_413(service: Client) -> None:
    fits = '{"audio_id": "-", "x": "' + "x" * 65_000 + '"}'
    assert service.post("/api/generate_stems", data=fits, headers=JSON).status_code == 404
    for body in (fits + " " * 1_000, fits * 100):
        assert_error(service.post("/api/generate_stems", data=body, headers=JSON), 413, "body_too_large")


def test_a_chunked_body_over_64_kib_is_413(service: Client) -> None:
    chunks = (b"x" * 10_000 for _ in range(10))
    assert_error(service.post("/api/generate_stems", data=chunks, headers=JSON), 413, "body_too_large")


@pytest.mark.parametrize(("size", "connection"), [(60_000, "keep-alive"), (700_000, "close")])
def test_a_long_body_that_is_refused_is_not_parsed_and_its_client_gets_the_reply(
    service: Client, size: int, connection: str
) -> None:
    for path in ("/nowhere", "/docs"):
        response = service.post(path, data=b"x" * size)
        assert response.status_code in (404, 405)
        assert response.headers["Connection"] == connection


def test_a_client_that_sends_a_long_body_first_can_read_the_refusal(service: Client) -> None:
    head = b"POST /nowhere HTTP/1.1\r\nHost: localhost\r\nContent-Length: 8000000\r\n\r\n"
    answer = send(service, head + b"x" * 8_000_000)
    assert answer.startswith(b"HTTP/1.1 404")
    assert b'"not_found"' in answer


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
def test_another_method_is_405_with_allow(service: Client, method: str) -> None:
    response = service.request(method, "/api/generate_stems")
    assert_error(response, 405, "method_not_allowed")
    assert set(response.headers["Allow"].split(", ")) == {"POST", "OPTIONS"}


@pytest.mark.parametrize(
    "path", ["/nowhere", "/api/", "//api//get_limit", "/api/generate_stems/", "/docs/../wsgi.py", "/docs/nothing"]
)
def test_an_unknown_path_is_404(service: Client, path: str) -> None:
    assert_error(service.get(path), 404, "not_found")


@pytest.mark.parametrize(
    "request_text",
    [
        b"nonsense\r\n\r\n",
        b"GET / HTTP/1.1\r\nX-Suno-Cookie secret\r\n\r\n",
        b"POST /api/generate_stems HTTP/1.1\r\nX: " + b"x" * 20_000 + b"\r\n\r\n",
        b"GET /" + b"x" * 5_000 + b" HTTP/1.1\r\n\r\n",
    ],
)
def test_invalid_http_gets_an_error_of_the_same_shape(service: Client, request_text: bytes) -> None:
    answer = send(service, request_text)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.split(b" ")[1] in (b"400", b"414", b"431")
    assert b"application/json" in head
    assert b'"code": "invalid_request"' in body
    assert b"secret" not in body


def test_an_incomplete_body_is_400_and_is_not_sent_to_suno(service: Client, suno: Suno) -> None:
    suno.forget()
    body = f'{{"audio_id": "{SONG}"}}'.encode()
    head = b"POST /api/generate_stems HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    answer = send(service, head + b"Content-Length: %d\r\n\r\n" % (len(body) + 9) + body)
    assert answer.startswith(b"HTTP/1.1 400")
    assert suno.log() == []


def test_malformed_chunks_are_400(service: Client) -> None:
    head = b"POST /api/generate_stems HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    answer = send(service, head + b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\nnonsense\r\n")
    assert answer.startswith(b"HTTP/1.1 400")
    assert b'"invalid_request"' in answer


def test_a_request_without_an_account_is_401_and_says_what_to_set(
    in_process: Callable[..., InProcess], account: str, capfd: pytest.CaptureFixture[str]
) -> None:
    service = in_process(SUNO_COOKIE="")
    body = assert_error(service.split(), 401, "suno_cookie_missing")
    assert "X-Suno-Cookie" in body["error"]
    assert "SUNO_COOKIE" in body["error"]
    assert "SUNO_COOKIE is not set" in capfd.readouterr().err
    assert service.split(cookie=account).status_code == 200


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("X-Suno-Cookie", value) for value in ("theme=dark", "__client_uat=1", "__client=", "a b", "")],
        *[("Cookie", value) for value in ("__client=a b", '__client=a"b', "theme=dark; __client=a\\b")],
        *[("Cookie", value) for value in ("__client=", "theme=dark; __client=", '__client=""')],
    ],
)
def test_a_request_with_an_unusable_cookie_never_falls_back_to_the_operators_account(
    service: Client, suno: Suno, name: str, value: str
) -> None:
    before = len(suno.charges("sandbox-alice"))
    assert_error(service.split(headers={name: value}), 401, "suno_cookie_missing")
    assert len(suno.charges("sandbox-alice")) == before


def test_a_request_with_only_a_session_is_401_and_says_where_the_cookie_is(
    in_process: Callable[..., InProcess],
) -> None:
    service = in_process(SUNO_COOKIE="")
    for header in ("Cookie", "X-Suno-Cookie"):
        body = assert_error(service.split(headers={header: "theme=dark; __session=abc"}), 401, "suno_cookie_missing")
        assert "only the cookie __session" in body["error"] and "tab Network" in body["error"]


def test_the_session_of_another_app_does_not_replace_the_operators_account(service: Client, suno: Suno) -> None:
    before = len(suno.charges("sandbox-alice"))
    assert service.split(headers={"Cookie": "__session=abc; __client_uat=1"}).status_code == 200
    assert len(suno.charges("sandbox-alice")) == before + 1
    body = assert_error(service.split(headers={"X-Suno-Cookie": "__session=abc"}), 401, "suno_cookie_missing")
    assert "only the cookie __session" in body["error"]


def test_the_cookie_may_have_a_suffix(service: Client, suno: Suno, account: str) -> None:
    cookie = f"__client_uat_Jnxw-muT=1; __client_Jnxw-muT={account}"
    assert service.split(headers={"Cookie": cookie}).status_code == 200
    assert len(suno.charges(account)) == 1


@pytest.mark.parametrize(
    ("cookie", "status", "code", "words"),
    [
        ("sandbox-nobody", 401, "suno_session_expired", "the header X-Suno-Cookie"),
        ("sandbox-dead", 401, "suno_session_expired", "copy the cookie"),
        ("sandbox-dead-401", 401, "suno_session_expired", "copy the cookie"),
        ("sandbox-dead-403", 401, "suno_session_expired", "copy the cookie"),
        ("sandbox-signed-out", 401, "suno_session_expired", "nobody is signed in with it"),
        ("sandbox-session-ended", 401, "suno_session_expired", "copy the cookie"),
        ("sandbox-always-401", 401, "suno_session_expired", "copy the cookie"),
        ("sandbox-captcha", 403, "captcha_required", "open suno.com"),
        ("sandbox-clerk-429", 429, "rate_limited", "sign-in"),
        ("sandbox-clerk-500", 500, "suno_failed", "sign-in answered 500"),
        ("sandbox-clerk-html", 500, "suno_failed", "HTML"),
        ("sandbox-clerk-wrong-shape", 500, "suno_failed", "without a session"),
        ("sandbox-no-jwt", 500, "suno_failed", "without a token"),
        ("sandbox-clerk-drip", 503, "suno_unreachable", "Nothing was charged"),
        ("sandbox-clerk-reset", 503, "suno_unreachable", "Nothing was charged"),
        ("sandbox-poor", 402, "out_of_credits", "out of credits"),
        ("sandbox-no-stems", 403, "not_allowed", "plan"),
    ],
)
def test_each_failure_of_an_account_has_its_own_error(
    service: Client, suno: Suno, cookie: str, status: int, code: str, words: str
) -> None:
    response = service.split(cookie=cookie)
    assert words in assert_error(response, status, code)["error"]
    assert suno.charges(cookie) == []
    if code == "rate_limited":
        assert response.headers["Retry-After"] == "7"


@pytest.fixture(scope="module")
def without_studio(suno: Suno) -> Iterator[Client]:
    """A service with a dead cookie and without a studio: only the sign-in can be reached."""
    settings = {"SUNO_COOKIE": "sandbox-dead-401", "SUNO_API_URL": f"http://127.0.0.1:{free_port()}"}
    with stack.service(suno.url, settings | {"WEB_CONCURRENCY": "1"}) as server:
        yield Client(server)


def test_the_operators_own_dead_cookie_is_named(without_studio: Client, suno: Suno) -> None:
    suno.forget()
    for _ in range(5):
        body = assert_error(without_studio.split(), 401, "suno_session_expired")
        assert "given by SUNO_COOKIE" in body["error"]
    assert len(suno.log()) == 1


FAULTS = [
    ("400", 400, "refused_by_suno", "This clip cannot be split."),
    ("401", 401, "suno_session_expired", "copy the cookie"),
    ("402", 402, "out_of_credits", "Insufficient credits."),
    ("long-detail", 402, "out_of_credits", "Insufficient credits."),
    ("403-plan", 403, "not_allowed", "Your plan does not include stems."),
    ("403-not-yours", 403, "not_allowed", "You do not own this clip."),
    ("403-jwt", 401, "suno_session_expired", "copy the cookie"),
    ("403-html", 500, "suno_failed", "HTML page"),
    ("404", 404, "song_not_found", "Clip not found."),
    ("422-captcha", 403, "captcha_required", "Open suno.com"),
    ("422-verify", 403, "captcha_required", "Open suno.com"),
    ("1015-html", 429, "rate_limited", "Cloudflare"),
    ("422-schema", 400, "refused_by_suno", "body.stem_task: Field required"),
    ("422-schema-text", 400, "refused_by_suno", "Field required"),
    ("429", 429, "rate_limited", "Too many running jobs."),
    ("429-html", 429, "rate_limited", "fewer requests"),
    ("bad-retry-after", 429, "rate_limited", "Slow down."),
    ("retry-after-date", 429, "rate_limited", "Slow down."),
    ("500", 500, "suno_failed", "An unexpected error occurred."),
    ("502-html", 500, "suno_failed", "may have charged"),
    ("200-html", 500, "suno_failed", "HTML page"),
    ("wrong-shape", 503, "outcome_unknown", "without clips"),
    ("no-clips", 503, "outcome_unknown", "no clip with an id"),
    ("reset-before-reading", 503, "outcome_unknown", "may have charged"),
    ("redirect-301", 500, "suno_failed", "301"),
    ("redirect-302", 500, "suno_failed", "302"),
    ("redirect-303", 500, "suno_failed", "303"),
    ("redirect-other-host-307", 500, "suno_failed", "307"),
]


@pytest.mark.parametrize(("fault", "status", "code", "words"), FAULTS)
def test_each_failure_of_suno_has_its_own_error_and_the_call_is_sent_once(
    service: Client, suno: Suno, account: str, fault: str, status: int, code: str, words: str
) -> None:
    suno.forget()

    body = assert_error(service.split(f"fault-{fault}", account), status, code)

    assert words in body["error"]
    assert len(body["error"]) < 600
    assert len(suno.charges(account)) <= 1
    renewed = fault in ("401", "403-jwt", "422-captcha", "422-verify")
    assert len(suno.log("/api/edit/")) == (2 if renewed else 1)


def test_every_fault_of_the_sandbox_is_covered() -> None:
    from sandbox.faults import FAULTS as ALL
    from tests.test_idempotency import RECOVERED

    tested_elsewhere = {"401-once", "504-queued", "redirect-slash-307", "redirect-slash-308", "slow-2s"}
    assert {fault for fault, *_ in FAULTS} | set(RECOVERED) | tested_elsewhere == set(ALL)


@pytest.mark.parametrize(
    ("fault", "seconds"),
    [
        ("429", range(13, 14)),
        ("1015-html", range(120, 121)),
        ("retry-after-date", range(15, 21)),
        ("429-html", None),
        ("bad-retry-after", None),
    ],
)
def test_retry_after_comes_from_suno(service: Client, account: str, fault: str, seconds: range | None) -> None:
    response = service.split(f"fault-{fault}", account)
    header = response.headers.get("Retry-After")
    assert header is None if seconds is None else int(header) in seconds


def test_one_worker_that_meets_cloudflares_1015_pauses_the_accounts_splits_in_all_workers(
    service: Client, suno: Suno, account: str
) -> None:
    suno.forget()
    song = "fault-1015-html"
    assert service.split(song, account).headers["Retry-After"] == "120"
    with ThreadPoolExecutor(16) as pool:
        replies = list(pool.map(lambda _: service.split(song, account), range(48)))
    assert {reply.status_code for reply in replies} == {429}
    assert all(1 <= int(reply.headers["Retry-After"]) <= 120 for reply in replies)
    assert len(suno.log(f"/api/edit/stems/{song}")) == 1


@pytest.mark.parametrize(("seconds", "header"), [(0, "0"), (13, "13"), (None, None)])
def test_a_retry_after_of_0_is_passed_on_too(
    in_process: Callable[..., InProcess], seconds: int | None, header: str | None
) -> None:
    def limited() -> None:
        raise suno_errors.RateLimited("Wait and try again.", retry_after=seconds)

    service = in_process()
    service.app.add_url_rule("/limited", view_func=limited)
    assert assert_error(service.get("/limited"), 429, "rate_limited")["error"] == "Wait and try again."
    assert service.get("/limited").headers.get("Retry-After") == header


def test_an_unreachable_suno_is_503_and_safe_to_retry(in_process: Callable[..., InProcess]) -> None:
    service = in_process(f"http://127.0.0.1:{free_port()}")
    body = assert_error(service.split(), 503, "suno_unreachable")
    assert "Nothing was charged" in body["error"]


def test_an_unreachable_studio_after_a_sign_in_costs_nothing(
    without_studio: Client, suno: Suno, account: str
) -> None:
    body = assert_error(without_studio.split(cookie=account), 503, "suno_unreachable")
    assert "safe to try again" in body["error"]
    assert suno.charges(account) == []


def test_each_suno_exception_has_a_row_in_the_table() -> None:
    failures = {kind for kind in vars(suno_errors).values() if isinstance(kind, type) and issubclass(kind, Exception)}
    assert failures - {suno_errors.SunoError} <= OF_EXCEPTION.keys()
