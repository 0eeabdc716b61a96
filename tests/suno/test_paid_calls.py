"""What a paid call must do that a free call need not, and the other way round."""

from __future__ import annotations

import json
import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from responses import RequestsMock

from app.suno import errors, session
from app.suno.endpoint import StemsRoute
from app.suno.gateway import SunoGateway
from app.suno.studio import CostsSomething
from tests.suno.conftest import ALICE, API, BOB, CLIENT, CLIP, SONG, SPLIT, TOKENS, calls, endpoint, jwt, signed_in

V2_WEB = f"{API}/api/generate/v2-web/"
BILLING = f"{API}/api/billing/info/"
UNLOCK = f"{API}/api/download/authorize"


@contextmanager
def suno_that_hangs_up(*, signs_in: bool = True) -> Iterator[tuple[str, list[str]]]:
    """Suno on a real socket: it reads each request, and closes the connection. Yields its URL, and the paths."""
    paths: list[str] = []

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            path = self.rfile.readline().decode().split()[1]
            length = 0
            while (line := self.rfile.readline().strip().lower()) != b"":
                length = int(line.partition(b":")[2]) if line.startswith(b"content-length:") else length
            self.rfile.read(length)
            if not signs_in:
                paths.append(path)
                return
            if path.startswith("/v1/client?"):
                body: dict[str, Any] = {"response": {"last_active_session_id": "sess_2Z1", "sessions": []}}
            elif path.startswith("/v1/client"):
                body = {"jwt": jwt()}
            else:
                paths.append(path)
                return
            reply = json.dumps(body).encode()
            self.wfile.write(
                b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(reply) + reply
            )

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}", paths
        finally:
            server.shutdown()


def test_a_paid_call_that_was_sent_is_not_repeated_and_a_free_one_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with suno_that_hangs_up() as (url, paths):
        gateway = SunoGateway(endpoint(api_url=url, auth_url=url))
        with pytest.raises(errors.OutcomeUnknown):
            gateway.generate_stems(ALICE, SONG)
        assert paths == [f"/api/edit/stems/{SONG}/"]
        with pytest.raises(errors.SunoUnreachable):
            gateway.credits(ALICE)
        assert paths[1:] == ["/api/billing/info/"] * 2


def test_a_sign_in_that_got_no_answer_is_sent_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with suno_that_hangs_up(signs_in=False) as (url, paths), pytest.raises(errors.SunoUnreachable):
        SunoGateway(endpoint(auth_url=url)).sign_in(ALICE)
    assert paths == ["/v1/client?__clerk_api_version=2025-11-10&_clerk_js_version=5.117.0"] * 2


def test_a_gateway_for_free_calls_only_sends_nothing_that_may_cost(wire: RequestsMock) -> None:
    gateway = SunoGateway(endpoint(), free_only=True)
    signed_in(wire)
    wire.get(BILLING, json={"total_credits_left": 50})
    assert gateway.credits(ALICE).credits_left == 50
    before = len(wire.calls)
    for paid in (gateway.generate_stems, gateway.unlock, gateway.convert_wav):
        with pytest.raises(CostsSomething):
            paid(ALICE, SONG)
    assert len(wire.calls) == before


def test_only_a_paid_call_needs_a_young_token(
    gateway: SunoGateway, wire: RequestsMock, monkeypatch: pytest.MonkeyPatch
) -> None:
    life = 3600.0
    signed_in(wire, jwt(life, n=1), jwt(life, n=2))
    wire.get(BILLING, json={"total_credits_left": 50})
    wire.post(SPLIT, json={"clips": [CLIP]})
    gateway.credits(ALICE)
    began = session.time.monotonic()
    middle = life * (session.PAID_CALL_TOKEN_AGE + 1 - session.RENEW_FRACTION) / 2
    monkeypatch.setattr(session.time, "monotonic", lambda: began + middle)
    gateway.credits(ALICE)
    assert calls(wire, TOKENS) == 1
    gateway.generate_stems(ALICE, SONG)
    assert (calls(wire, TOKENS), calls(wire, CLIENT)) == (2, 1)


def test_a_call_is_repeated_with_its_body_after_a_refused_token(gateway: SunoGateway, wire: RequestsMock) -> None:
    signed_in(wire, jwt(n=1), jwt(n=2))
    wire.post(SPLIT, status=401, json={"detail": "Unauthorized"})
    wire.post(SPLIT, json={"clips": [CLIP]})
    gateway.generate_stems(ALICE, SONG)
    assert [call.request.body for call in wire.calls if call.request.url == SPLIT] == [b"{}", b"{}"]


@pytest.mark.parametrize("route", [StemsRoute.AUTO, StemsRoute.V2_WEB])
@pytest.mark.parametrize("title", ["Night Drive", None])
def test_the_other_route_splits_the_same_song_under_its_title(
    wire: RequestsMock, route: StemsRoute, title: str | None
) -> None:
    gateway = SunoGateway(endpoint(stems_route=route))
    signed_in(wire)
    wire.post(SPLIT, status=404, json={"detail": "Not Found"})
    wire.get(f"{API}/api/clip/{SONG}", json=CLIP | {"status": "complete", "id": SONG, "title": title})
    wire.post(f"{API}/api/c/check", json={"required": False})
    wire.post(V2_WEB, json={"clips": [CLIP]})
    gateway.generate_stems(ALICE, SONG)
    body = json.loads(wire.calls[-1].request.body or "")
    assert (body["continue_clip_id"], body["title"]) == (SONG, title or "")
    assert calls(wire, f"{API}/api/clip/{SONG}") == 1


@pytest.mark.parametrize("status", [500, 504])
def test_a_failure_says_whether_a_download_or_credits_are_at_stake(
    gateway: SunoGateway, wire: RequestsMock, status: int
) -> None:
    signed_in(wire)
    wire.post(UNLOCK, status=status, json={"detail": "Oops"})
    wire.post(SPLIT, status=status, json={"detail": "Oops"})
    with pytest.raises(errors.SunoError) as download:
        gateway.unlock(ALICE, SONG)
    with pytest.raises(errors.SunoError) as split:
        gateway.generate_stems(ALICE, SONG)
    assert (download.value.may_have_charged, download.value.is_download) == (True, True)
    assert (split.value.may_have_charged, split.value.is_download) == (True, False)


def test_a_paid_call_that_was_not_sent_says_that_it_is_safe_to_try_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    safe = "was not sent and nothing was charged: it is safe to try again"
    with suno_that_hangs_up() as (url, _), pytest.raises(errors.SunoUnreachable, match=safe):
        SunoGateway(endpoint(api_url="http://127.0.0.1:1", auth_url=url)).generate_stems(ALICE, SONG)


EDGE_LIMIT = {"status": 429, "body": "<title>Error 1015</title>", "content_type": "text/html; charset=UTF-8"}


@pytest.mark.parametrize(
    ("status", "headers", "seconds"), [(429, {}, 120), (403, {}, 120), (429, {"Retry-After": "30"}, 30)]
)
@pytest.mark.parametrize(
    "page", [EDGE_LIMIT, {"body": "error code: 1015", "content_type": "text/plain; charset=UTF-8"}]
)
def test_paid_calls_of_an_account_wait_after_cloudflares_1015(
    gateway: SunoGateway,
    wire: RequestsMock,
    monkeypatch: pytest.MonkeyPatch,
    page: dict[str, Any],
    status: int,
    headers: dict[str, str],
    seconds: int,
) -> None:
    signed_in(wire)
    now = time.monotonic()
    monkeypatch.setattr("app.suno.session.time.monotonic", lambda: now)
    wire.post(SPLIT, **page | {"status": status, "headers": headers})
    for _ in range(2):
        with pytest.raises(errors.RateLimited) as raised:
            gateway.generate_stems(ALICE, SONG)
        assert (raised.value.retry_after, raised.value.may_have_charged) == (seconds, False)
    assert calls(wire, SPLIT) == 1
    wire.replace("POST", SPLIT, json={"clips": [{"id": "a"}]})
    assert len(gateway.generate_stems(BOB, SONG)) == 1, "another account does not wait"
    now += seconds
    assert len(gateway.generate_stems(ALICE, SONG)) == 1


def test_cloudflares_1015_is_not_an_answer_of_the_older_call(wire: RequestsMock) -> None:
    signed_in(wire)
    wire.post(SPLIT, **EDGE_LIMIT | {"status": 403})
    wire.get(f"{API}/api/clip/{SONG}", json={"id": SONG})
    with pytest.raises(errors.RateLimited) as raised:
        SunoGateway(endpoint(stems_route=StemsRoute.AUTO)).generate_stems(ALICE, SONG)
    assert (raised.value.paid_calls_pause, calls(wire, f"{API}/api/clip/{SONG}")) == (120, 0)


def test_reads_do_not_wait_after_cloudflares_1015(gateway: SunoGateway, wire: RequestsMock) -> None:
    signed_in(wire)
    wire.post(SPLIT, **EDGE_LIMIT)
    wire.get(f"{API}/api/clip/{SONG}", json={"id": SONG})
    with pytest.raises(errors.RateLimited):
        gateway.generate_stems(ALICE, SONG)
    assert gateway.clip(ALICE, SONG).id == SONG


@pytest.mark.parametrize("body", ["<title>Too Many Requests</title>", "<p>110155</p>"])
def test_other_pages_with_429_make_no_pause(gateway: SunoGateway, wire: RequestsMock, body: str) -> None:
    signed_in(wire)
    wire.post(SPLIT, **EDGE_LIMIT | {"body": body})
    for _ in range(2):
        with pytest.raises(errors.RateLimited) as raised:
            gateway.generate_stems(ALICE, SONG)
        assert raised.value.retry_after is None
    assert calls(wire, SPLIT) == 2


@pytest.mark.parametrize("words", ["We couldn't verify your request.", "We couldn\u2019t verify your request"])
@pytest.mark.parametrize("status", [400, 403, 422])
def test_the_second_wording_of_a_captcha_is_recognised(wire: RequestsMock, status: int, words: str) -> None:
    signed_in(wire, jwt(n=1), jwt(n=2))
    wire.post(SPLIT, status=status, json={"detail": words})
    wire.post(f"{API}/api/c/check", json={"required": True, "captcha_version": 2})
    with pytest.raises(errors.CaptchaRequired, match="Turnstile"):
        SunoGateway(endpoint(stems_route=StemsRoute.EDIT)).generate_stems(ALICE, SONG)
    assert calls(wire, SPLIT) == 2
