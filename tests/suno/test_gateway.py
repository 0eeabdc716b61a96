from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
import requests
from responses import RequestsMock

from app.suno import errors
from app.suno.gateway import SunoGateway
from tests.suno.conftest import (
    ALICE,
    API,
    BOB,
    CLIENT,
    CLIP,
    SONG,
    SPLIT,
    TOKENS,
    calls,
    endpoint,
    jwt,
    signed_in,
)

HTML = {"body": "<!doctype html><title>Just a moment...</title>", "content_type": "text/html; charset=UTF-8"}
SERVER_ERROR = {
    "status_code": 500,
    "detail": "An unexpected error occurred.",
    "error_type": "server_error",
    "retryable": False,
}


def test_a_split_returns_our_own_clips(gateway: SunoGateway, wire: RequestsMock) -> None:
    signed_in(wire)
    wire.post(SPLIT, json={"clips": [CLIP]})

    [stem] = gateway.generate_stems(ALICE, SONG)

    assert (stem.id, stem.status, stem.title) == (CLIP["id"], "queued", "Song - Vocals")
    assert (stem.created_at, stem.stem_from_id, stem.duration) == ("2024-12-25T16:51:36.619Z", SONG, 217.24)


def test_a_split_sends_the_headers_of_a_browser(gateway: SunoGateway, wire: RequestsMock) -> None:
    token = jwt()
    signed_in(wire, token)
    wire.post(SPLIT, json={"clips": [CLIP]})

    gateway.generate_stems(ALICE, SONG)

    assert wire.calls[-1].request.body == b"{}"
    request = wire.calls[-1].request
    assert request.headers["Authorization"] == f"Bearer {token}"
    assert request.headers["Content-Type"] == "application/json"
    assert request.headers["User-Agent"] == "Mozilla/5.0"
    assert (request.headers["Origin"], request.headers["Referer"]) == ("https://suno.com", "https://suno.com/")
    assert len(request.headers["device-id"]) == 36
    assert "Cookie" not in request.headers


def test_an_observer_is_told_the_kind_and_the_outcome_of_each_exchange(wire: RequestsMock) -> None:
    seen: list[tuple[str, str]] = []
    gateway = SunoGateway(endpoint(), observer=lambda kind, outcome, seconds: seen.append((kind, outcome)))
    signed_in(wire)
    wire.post(SPLIT, status=402, **HTML)
    wire.get(f"{API}/api/billing/info/", json={"total_credits_left": 1})
    with pytest.raises(errors.SunoFailed):
        gateway.generate_stems(ALICE, SONG)
    gateway.credits(ALICE)
    assert seen == [("sign_in", "200"), ("token", "200"), ("split", "html"), ("billing", "200")]


def test_each_call_has_the_timeouts_of_the_settings(wire: RequestsMock) -> None:
    signed_in(wire)
    wire.post(SPLIT, json={"clips": [CLIP]})
    wire.get(f"{API}/api/billing/info/", json={"total_credits_left": 1})
    gateway = SunoGateway(endpoint(connect_timeout=3, read_timeout=7))
    gateway.generate_stems(ALICE, SONG)
    gateway.credits(ALICE)
    sent: list[Any] = [call.request for call in wire.calls]
    assert [request.req_kwargs["timeout"] for request in sent] == [(3, 7)] * 4


def test_in_steady_state_a_split_is_one_call(gateway: SunoGateway, wire: RequestsMock) -> None:
    signed_in(wire)
    wire.post(SPLIT, json={"clips": [CLIP]})
    gateway.generate_stems(ALICE, SONG)
    before = len(wire.calls)

    for _ in range(3):
        gateway.generate_stems(ALICE, SONG)

    assert len(wire.calls) - before == 3


def test_accounts_have_their_own_tokens_and_devices(gateway: SunoGateway, wire: RequestsMock) -> None:
    signed_in(wire, jwt(sub="alice"), jwt(sub="bob"))
    wire.post(SPLIT, json={"clips": [CLIP]})

    gateway.generate_stems(ALICE, SONG)
    gateway.generate_stems(BOB, SONG)
    gateway.generate_stems(ALICE, SONG)

    splits = [call.request.headers for call in wire.calls if call.request.url == SPLIT]
    assert splits[0]["Authorization"] == splits[2]["Authorization"] != splits[1]["Authorization"]
    assert splits[0]["device-id"] == splits[2]["device-id"] != splits[1]["device-id"]


def test_a_single_clip_object_is_accepted(gateway: SunoGateway, wire: RequestsMock) -> None:
    signed_in(wire)
    wire.post(SPLIT, json=CLIP)
    assert [stem.id for stem in gateway.generate_stems(ALICE, SONG)] == [CLIP["id"]]


def test_24_clips_keep_sunos_order(gateway: SunoGateway, wire: RequestsMock) -> None:
    signed_in(wire)
    wire.post(SPLIT, json={"clips": [CLIP | {"id": f"stem-{n}"} for n in range(24)]})
    assert [stem.id for stem in gateway.generate_stems(ALICE, SONG)] == [f"stem-{n}" for n in range(24)]


@pytest.mark.parametrize(
    ("refusal", "body"),
    [
        (401, {"detail": "Unauthorized"}),
        (403, {"detail": "JWT expired"}),
        (403, {"detail": "invalid token"}),
    ],
)
def test_a_refused_token_is_renewed_once_and_the_call_repeated(
    gateway: SunoGateway, wire: RequestsMock, refusal: int, body: dict[str, str]
) -> None:
    first, second = jwt(n=1), jwt(n=2)
    signed_in(wire, first, second)
    wire.post(SPLIT, status=refusal, json=body)
    wire.post(SPLIT, json={"clips": [CLIP]})

    gateway.generate_stems(ALICE, SONG)

    tokens = [call.request.headers["Authorization"] for call in wire.calls if call.request.url == SPLIT]
    assert tokens == [f"Bearer {first}", f"Bearer {second}"]
    assert (calls(wire, CLIENT), calls(wire, TOKENS)) == (1, 2)


def test_a_token_refused_twice_is_an_expired_session_and_not_renewed_each_time(
    gateway: SunoGateway, wire: RequestsMock
) -> None:
    signed_in(wire, jwt(n=1), jwt(n=2))
    wire.post(SPLIT, status=401, json={"detail": "Unauthorized"})
    for _ in range(3):
        with pytest.raises(errors.SessionExpired, match="SUNO_COOKIE"):
            gateway.generate_stems(ALICE, SONG)
    assert (calls(wire, SPLIT), calls(wire, TOKENS)) == (4, 2)


def test_one_song_that_is_refused_leaves_the_account_usable(gateway: SunoGateway, wire: RequestsMock) -> None:
    signed_in(wire)
    wire.post(SPLIT, status=401, json={"detail": "Unauthorized"})
    wire.post(f"{API}/api/edit/stems/another/", json={"clips": [{"id": "a-stem"}]})
    with pytest.raises(errors.SessionExpired):
        gateway.generate_stems(ALICE, SONG)
    assert len(gateway.generate_stems(ALICE, "another")) == 1


@pytest.mark.parametrize(
    ("reply", "expected", "words"),
    [
        ({"status": 400, "json": {"detail": "Bad clip."}}, errors.RefusedBySuno, "Bad clip."),
        ({"status": 402, "json": {"detail": "Insufficient credits."}}, errors.OutOfCredits, "Insufficient credits."),
        ({"status": 402, "body": ""}, errors.OutOfCredits, "out of credits"),
        ({"status": 403, "json": {"detail": "Upgrade to Pro."}}, errors.NotAllowed, "Upgrade to Pro."),
        ({"status": 403} | HTML, errors.SunoFailed, "bot wall"),
        ({"status": 401} | HTML, errors.SunoFailed, "bot wall"),
        ({"status": 404, "json": {"detail": "Clip not found."}}, errors.SongNotFound, "Clip not found."),
        (
            {"status": 422, "json": {"detail": [{"loc": ["body", "task"], "msg": "field required"}]}},
            errors.RefusedBySuno,
            "body.task: field required",
        ),
        ({"status": 429, "json": {"detail": "Too many jobs."}}, errors.RateLimited, "Too many jobs."),
        ({"status": 429} | HTML, errors.RateLimited, "fewer requests"),
        ({"status": 500, "json": SERVER_ERROR}, errors.SunoFailed, "An unexpected error occurred."),
        ({"status": 502} | HTML, errors.SunoFailed, "bot wall"),
        ({"status": 204, "body": ""}, errors.OutcomeUnknown, "with an empty body"),
        ({"status": 200} | HTML, errors.SunoFailed, "bot wall"),
        ({"status": 200, "body": "{oops"}, errors.OutcomeUnknown, "not JSON"),
        ({"status": 200, "body": "[" * 100_000}, errors.OutcomeUnknown, "not JSON"),
        ({"status": 200, "json": {"ok": True}}, errors.OutcomeUnknown, "without clips"),
        ({"status": 200, "json": {"clips": []}}, errors.OutcomeUnknown, "no clip with an id"),
        ({"status": 200, "json": {"clips": [{"title": "Song"}]}}, errors.OutcomeUnknown, "no clip with an id"),
        ({"status": 200, "json": {"clips": None}}, errors.OutcomeUnknown, "without clips"),
        ({"status": 200, "json": []}, errors.OutcomeUnknown, "a list"),
        ({"status": 418, "json": {"detail": "Teapot."}}, errors.SunoFailed, "418"),
    ],
)
def test_every_refusal_raises_its_error_and_is_sent_once(
    gateway: SunoGateway, wire: RequestsMock, reply: dict[str, object], expected: type[Exception], words: str
) -> None:
    signed_in(wire)
    wire.post(SPLIT, **reply)

    with pytest.raises(expected, match=words) as raised:
        gateway.generate_stems(ALICE, SONG)

    assert raised.type is expected
    assert calls(wire, SPLIT) == 1


@pytest.mark.parametrize(
    ("reply", "in_doubt"),
    [
        ({"status": 200} | HTML, True),
        ({"status": 408, "body": ""}, True),
        ({"status": 499, "body": ""}, True),
        ({"status": 409, "json": {"detail": "Conflict"}}, True),
        ({"status": 500, "json": SERVER_ERROR}, True),
        ({"status": 502} | HTML, True),
        ({"status": 403} | HTML, False),
        ({"status": 405, "body": ""}, False),
        ({"status": 302, "body": ""}, False),
    ],
)
def test_a_failure_says_whether_suno_may_have_charged(
    gateway: SunoGateway, wire: RequestsMock, reply: dict[str, object], in_doubt: bool
) -> None:
    signed_in(wire)
    wire.post(SPLIT, **reply)
    with pytest.raises(errors.SunoFailed) as raised:
        gateway.generate_stems(ALICE, SONG)
    assert raised.value.may_have_charged is in_doubt
    assert ("Nothing was charged" in str(raised.value)) is not in_doubt


@pytest.mark.parametrize("error", [requests.ReadTimeout("read timed out"), requests.ConnectionError("aborted")])
def test_a_paid_call_that_may_have_arrived_is_never_sent_again(
    gateway: SunoGateway, wire: RequestsMock, error: Exception
) -> None:
    signed_in(wire)
    wire.post(SPLIT, body=error)
    with pytest.raises(errors.OutcomeUnknown):
        gateway.generate_stems(ALICE, SONG)
    assert calls(wire, SPLIT) == 1


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("13", 13),
        ("0", 0),
        (" 13 ", 13),
        ("999999999999", 86_400),
        ("soon", None),
        ("-1", None),
        ("", None),
        ("Mon, 01 Jan 99999999999999999999 00:00:00 GMT", None),
        (format_datetime(datetime.now(UTC) - timedelta(minutes=1), usegmt=True), 0),
        (format_datetime(datetime.now(UTC) + timedelta(days=3), usegmt=True), 86_400),
    ],
    # Fixed ids: two values contain the current time, so pytest's processes would give them different ids.
    ids=[
        "seconds",
        "at-once",
        "spaces",
        "too-many",
        "words",
        "negative",
        "empty",
        "no-such-year",
        "a-date-past",
        "a-date-to-come",
    ],
)
def test_retry_after_is_read_in_both_forms(
    gateway: SunoGateway, wire: RequestsMock, header: str, expected: int | None
) -> None:
    signed_in(wire)
    wire.post(SPLIT, status=429, json={"detail": "Too many."}, headers={"Retry-After": header})
    with pytest.raises(errors.RateLimited) as raised:
        gateway.generate_stems(ALICE, SONG)
    assert raised.value.retry_after == expected


def test_sunos_message_is_shortened_to_one_line_without_tokens(gateway: SunoGateway, wire: RequestsMock) -> None:
    token = jwt()
    signed_in(wire, token)
    wire.post(SPLIT, status=402, json={"detail": f"No\ncredits\x1b[31m for {token}, " + "x" * 10_000})

    with pytest.raises(errors.OutOfCredits) as raised:
        gateway.generate_stems(ALICE, SONG)

    message = str(raised.value)
    assert "No credits" in message
    assert len(message) < 400
    assert message.isprintable()
    assert token not in message


@pytest.mark.parametrize("status", [307, 308])
def test_a_redirect_to_the_slash_form_is_followed_with_its_method_and_body(
    gateway: SunoGateway, wire: RequestsMock, status: int
) -> None:
    signed_in(wire)
    wire.post(SPLIT, status=status, headers={"Location": f"/api/edit/stems/{SONG}"})
    wire.post(SPLIT.rstrip("/"), json={"clips": [CLIP]})

    gateway.generate_stems(ALICE, SONG)

    assert (wire.calls[-1].request.method, wire.calls[-1].request.body) == ("POST", b"{}")


@pytest.mark.parametrize(
    ("status", "location"),
    [
        (301, "/api/edit/stems/other/"),
        (302, "/api/edit/stems/other/"),
        (303, "/api/edit/stems/other/"),
        (307, "https://evil.example/api/edit/stems/other/"),
        (307, "//evil.example/"),
        (307, "http://studio-api.prod.suno.com/api/edit/stems/other/"),
        (308, "https://studio-api.prod.suno.com:8443/api/edit/stems/other/"),
        (308, "https://studio-api.prod.suno.com:nonsense/"),
        (308, "https://studio-api.prod.suno.com@evil.example/"),
        (308, "https://evil.example\\@studio-api-prod.suno.com/"),
        (308, "https://user@studio-api-prod.suno.com/"),
        (308, ""),
        (307, "http://[evil"),
    ],
)
def test_no_other_redirect_is_followed(gateway: SunoGateway, wire: RequestsMock, status: int, location: str) -> None:
    signed_in(wire)
    wire.post(SPLIT, status=status, headers={"Location": location})
    with pytest.raises(errors.SunoFailed, match=str(status)):
        gateway.generate_stems(ALICE, SONG)
    assert wire.calls[-1].request.url == SPLIT


def test_a_redirect_loop_is_given_up(gateway: SunoGateway, wire: RequestsMock) -> None:
    signed_in(wire)
    wire.post(SPLIT, status=307, headers={"Location": SPLIT.rstrip("/")})
    wire.post(SPLIT.rstrip("/"), status=307, headers={"Location": SPLIT})
    with pytest.raises(errors.SunoFailed, match="307"):
        gateway.generate_stems(ALICE, SONG)
    assert calls(wire, SPLIT) == 1


def test_a_reply_over_5_mb_is_refused(gateway: SunoGateway, wire: RequestsMock) -> None:
    signed_in(wire)
    wire.post(SPLIT, body=json.dumps({"clips": [CLIP | {"title": "x" * 6_000_000}]}))
    with pytest.raises(errors.OutcomeUnknown, match="5 MB"):
        gateway.generate_stems(ALICE, SONG)


def test_a_host_may_have_a_path_or_a_trailing_slash(wire: RequestsMock, gateway: SunoGateway) -> None:
    behind_proxy = SunoGateway(endpoint(api_url=f"{API}/suno/", auth_url="https://auth.suno.com/"))
    signed_in(wire)
    wire.post(f"{API}/suno/api/edit/stems/{SONG}/", json={"clips": [CLIP]})
    assert len(behind_proxy.generate_stems(ALICE, SONG)) == 1


@pytest.mark.parametrize("status", [300, 400, 401, 402, 403, 404, 405, 410, 415, 422, 429])
def test_these_statuses_certainly_cost_nothing(gateway: SunoGateway, wire: RequestsMock, status: int) -> None:
    signed_in(wire)
    wire.post(SPLIT, status=status, json={"detail": "No."})
    wire.get(f"{API}/api/clip/{SONG}", status=404, json={"detail": "No."})
    with pytest.raises(errors.SunoError) as raised:
        gateway.generate_stems(ALICE, SONG)
    assert raised.value.may_have_charged is False


@pytest.mark.parametrize("status", [408, 409, 418, 425, 499, 500, 502, 503, 504])
def test_these_statuses_may_have_been_charged(gateway: SunoGateway, wire: RequestsMock, status: int) -> None:
    signed_in(wire)
    wire.post(SPLIT, status=status, json={"detail": "No."})
    with pytest.raises(errors.SunoError) as raised:
        gateway.generate_stems(ALICE, SONG)
    assert raised.value.may_have_charged is True
    assert calls(wire, SPLIT) == 1
