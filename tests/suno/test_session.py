from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from threading import Event
from typing import Any

import pytest
import requests
from responses import RequestsMock

from app.suno import errors
from app.suno.call import Deadline
from app.suno.cookie import UnusableCookie, cookie_in, cookie_of, has_only_session
from app.suno.gateway import SunoGateway
from app.suno.session import Account, Sessions, User
from app.suno.wire import Wire
from tests.suno.conftest import ALICE, AUTH, BOB, CLIENT, CLIP, SONG, SPLIT, TOKENS, calls, jwt, signed_in

CLERK_REFUSAL = {
    "errors": [{"message": "Signed out", "long_message": "You are signed out", "code": "signed_out"}],
    "clerk_trace_id": "t1",
}


@pytest.fixture
def sessions() -> Sessions:
    wire = Wire(base_url=AUTH, connect_timeout=5, read_timeout=30, resend=True)
    return Sessions(
        wire,
        user_agent="Mozilla/5.0",
        clerk_api_version="2025-11-10",
        clerk_js_version="5.117.0",
        renewal_lasts=40,
        limit=2,
    )


class Clock:
    now = 0.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A fake monotonic clock that advances on demand."""
    clock = Clock()
    monkeypatch.setattr("app.suno.session.time.monotonic", lambda: clock.now)
    return clock


def bearer(sessions: Sessions, account: Account = ALICE, **options: Any) -> str:
    return sessions.bearer(account, Deadline(40), **options)


@pytest.mark.parametrize(
    ("header", "client"),
    [
        ("__client=eyJ.a-b_c", "eyJ.a-b_c"),
        ("theme=dark; __client=abc; __client_uat=1", "abc"),
        ("__client_uat=1;__client=abc", "abc"),
        ("__client_uat=1", None),
        ("theme=dark", None),
        ("x__client=abc", None),
        ("__client=; __client=abc", "abc"),
        ('theme=dark; __client="abc"', "abc"),
        ("theme=dark,__client=abc", "abc"),
        (" __client = abc ", "abc"),
        ("__client=a=b==; theme=dark", "a=b=="),
        ("__CLIENT=abc", None),
        ("abc", None),
        ("", None),
        ("__client_Jnxw-muT=abc; __client_uat_Jnxw-muT=1; __client_uat=1", "abc"),
        ("__client_uat_Jnxw-muT=1", None),
        ("__client_Jnxw-muT=other; __client=abc", "abc"),
        ("__client_a=; __client_b=abc", "abc"),
        ("__client_=abc", None),
        ("__client_a b=abc", None),
        ("__session=abc", None),
    ],
)
def test_only_the_cookie_named_client_identifies_an_account(header: str, client: str | None) -> None:
    assert cookie_in(header) == client


@pytest.mark.parametrize(
    "header",
    [
        *("__client=a b", "__client=a\r\nX-Evil: 1", "__client=ä", '__client=a"b'),
        *("__client=", "__client", '__client=""', "theme=dark; __client= ", "__client_uat=1; __client=;"),
    ],
)
def test_an_unusable_cookie_does_not_count_as_missing(header: str) -> None:
    with pytest.raises(UnusableCookie):
        cookie_in(header)


@pytest.mark.parametrize(
    ("header", "only"),
    [
        ("__session=abc", True),
        ("theme=dark; __session_Jnxw-muT=abc; __client_uat=1", True),
        ("__session=abc; __client=def", False),
        ("__session=abc; __client_Jnxw-muT=def", False),
        ("__session=", False),
        ("__sessions=abc", False),
        ("theme=dark", False),
        ("", False),
    ],
)
def test_a_header_may_have_only_the_session(header: str, only: bool) -> None:
    assert has_only_session(header) is only


@pytest.mark.parametrize(
    ("client", "words"),
    [
        ({"last_active_session_id": None, "sessions": []}, "nobody is signed in"),
        ({"last_active_session_id": None, "sessions": [{"id": "sess_1", "status": "ended"}]}, "no longer accepts"),
        (None, "no longer accepts"),
    ],
)
def test_a_cookie_that_nobody_has_signed_in_with_is_told_from_a_dead_one(
    sessions: Sessions, wire: RequestsMock, client: object, words: str
) -> None:
    wire.get(CLIENT, json={"response": client})
    for _ in range(2):
        with pytest.raises(errors.SessionExpired, match=f"{words}.*tab Network.*__client"):
            bearer(sessions)
    assert len(wire.calls) == 1


@pytest.mark.parametrize(
    ("text", "client"),
    [("abc", "abc"), ("__client=abc", "abc"), ("a=1; __client=abc", "abc"), ("a=1", None), ("a b", None), ("", None)],
)
def test_an_account_may_be_given_by_the_bare_value(text: str, client: str | None) -> None:
    assert cookie_of(text) == client


def test_an_account_never_shows_its_cookie() -> None:
    assert "alice-client" not in repr(ALICE) + ALICE.cookie_hash


def test_sign_in_sends_the_cookie_in_both_headers_with_clerks_versions(
    sessions: Sessions, wire: RequestsMock
) -> None:
    signed_in(wire)
    bearer(sessions)
    for call in wire.calls:
        assert call.request.headers["Cookie"] == "__client=alice-client"
        assert call.request.headers["Authorization"] == "alice-client"
        assert call.request.url.endswith("?__clerk_api_version=2025-11-10&_clerk_js_version=5.117.0")
        assert call.request.headers["Origin"] == "https://suno.com"


@pytest.mark.parametrize(
    "client",
    [
        {"last_active_session_id": "sess_2Z1", "sessions": [{"id": "sess_other", "status": "active"}]},
        {
            "last_active_session_id": None,
            "sessions": [{"id": "x", "status": "ended"}, {"id": "sess_2Z1", "status": "active"}],
        },
        {"sessions": [None, {"id": 5, "status": "active"}, {"id": "sess_2Z1", "status": "active"}]},
    ],
)
def test_the_session_is_the_last_active_one_or_the_first_active(
    sessions: Sessions, wire: RequestsMock, client: dict[str, object]
) -> None:
    token = jwt()
    wire.get(CLIENT, json={"response": client})
    wire.post(TOKENS, json={"jwt": token})
    assert bearer(sessions) == token


@pytest.mark.parametrize(
    "reply",
    [
        {"json": {"response": None}},
        {"json": {"response": {"last_active_session_id": None, "sessions": []}}},
        {"json": {"response": {"sessions": [{"id": "sess_2Z1", "status": "ended"}]}}},
        {"status": 401, "json": CLERK_REFUSAL},
        {"status": 403, "json": CLERK_REFUSAL},
        {"status": 401, "json": ["signed_out"]},
        {"status": 403, "body": "?"},
    ],
)
def test_a_dead_cookie_is_reported_and_clerk_is_not_called_again(
    sessions: Sessions, wire: RequestsMock, reply: dict[str, object]
) -> None:
    wire.get(CLIENT, **reply)
    for _ in range(3):
        with pytest.raises(errors.SessionExpired, match="given by SUNO_COOKIE"):
            bearer(sessions)
    assert len(wire.calls) == 1


@pytest.mark.parametrize(
    ("reply", "expected", "words"),
    [
        ({"status": 401, "json": {"errors": [{"code": "requires_captcha"}]}}, errors.CaptchaRequired, "captcha"),
        ({"status": 429, "body": "<html>", "content_type": "text/html"}, errors.RateLimited, "sign-in"),
        ({"status": 500, "json": {}}, errors.SunoFailed, "500"),
        ({"status": 200, "body": "<html>", "content_type": "text/html"}, errors.SunoFailed, "HTML"),
        ({"status": 403, "body": "<html>", "content_type": "text/html"}, errors.SunoFailed, "HTML"),
        ({"status": 200, "body": "?"}, errors.SunoFailed, "not JSON"),
        ({"status": 200, "json": ["?"]}, errors.SunoFailed, "JSON"),
        ({"status": 200, "json": {"client": {}}}, errors.SunoFailed, "without a session"),
        ({"status": 302, "headers": {"Location": "https://evil.example/"}}, errors.SunoFailed, "302"),
        ({"body": requests.ConnectionError("refused")}, errors.SunoUnreachable, "sign-in"),
        ({"body": requests.ReadTimeout("late")}, errors.SunoUnreachable, "did not answer in time"),
    ],
)
def test_each_sign_in_failure_raises_its_error(
    sessions: Sessions, wire: RequestsMock, reply: dict[str, object], expected: type[Exception], words: str
) -> None:
    wire.get(CLIENT, **reply)
    with pytest.raises(expected, match=words) as raised:
        bearer(sessions)
    assert raised.type is expected


@pytest.mark.parametrize("reply", [{}, {"jwt": None}, {"jwt": ""}, {"jwt": "a\r\nb"}, {"jwt": "ä"}])
def test_a_reply_without_a_token_is_a_clear_failure(
    sessions: Sessions, wire: RequestsMock, reply: dict[str, object]
) -> None:
    wire.get(CLIENT, json={"response": {"last_active_session_id": "sess_2Z1"}})
    wire.post(TOKENS, json=reply)
    with pytest.raises(errors.SunoFailed, match="without a token"):
        bearer(sessions)


@pytest.mark.parametrize(
    "make",
    [
        lambda: jwt(3600, exp=10**400),
        lambda: f"a.{'[' * 5000}.b",
        lambda: jwt(60),
        lambda: jwt(3600),
        lambda: "opaque",
        lambda: "a.b.c",
        lambda: "a.WzFd.b",
        lambda: jwt(60, iat="?"),
    ],
)
def test_a_token_is_kept_until_it_expires(sessions: Sessions, wire: RequestsMock, make: Callable[[], str]) -> None:
    kept = make()
    signed_in(wire, kept, "next")
    assert [bearer(sessions) for _ in range(3)] == [kept] * 3
    assert len(wire.calls) == 2


def test_a_token_is_renewed_before_it_expires(sessions: Sessions, wire: RequestsMock, clock: Clock) -> None:
    signed_in(wire, jwt(60), jwt(60))
    bearer(sessions)
    clock.now += 49
    bearer(sessions)
    assert calls(wire, TOKENS) == 1
    clock.now += 2
    bearer(sessions)
    assert calls(wire, TOKENS) == 2


@pytest.mark.parametrize("wrong", [90, -90])
def test_a_wrong_local_clock_neither_keeps_a_token_too_long_nor_wastes_calls(
    sessions: Sessions, wire: RequestsMock, clock: Clock, wrong: float
) -> None:
    signed_in(wire, jwt(60, exp=time.time() + wrong + 60, iat=time.time() + wrong), "next")
    first = bearer(sessions)
    clock.now += 45
    assert bearer(sessions) == first
    clock.now += 10
    assert bearer(sessions) == "next"


@pytest.mark.parametrize("stale", [jwt(0), jwt(-5), jwt(3600, exp=0)])
def test_an_expired_token_is_renewed_by_one_call(sessions: Sessions, wire: RequestsMock, stale: str) -> None:
    signed_in(wire, stale, "next")
    assert [bearer(sessions) for _ in range(3)] == [stale, "next", "next"]
    assert (calls(wire, CLIENT), calls(wire, TOKENS)) == (1, 2)


def holding(jwt: str | None, session_id: str = "sess_2Z1") -> dict[str, Any]:
    """A sign-in reply that already contains a token, as Clerk sends it (captured 2026-08)."""
    session = {"id": session_id, "status": "active", "last_active_token": {"object": "token", "jwt": jwt}}
    return {"response": {"last_active_session_id": "sess_2Z1", "sessions": [session]}}


def test_a_young_token_in_the_sign_in_reply_is_used(sessions: Sessions, wire: RequestsMock) -> None:
    held = jwt(3000, iat=time.time() - 600)
    wire.get(CLIENT, json=holding(held))
    assert [bearer(sessions), bearer(sessions)] == [held, held]
    assert len(wire.calls) == 1


@pytest.mark.parametrize(
    "reply",
    [
        holding(jwt(2400, iat=time.time() - 1200)),
        holding(jwt(0, iat=time.time() - 3600)),
        holding("opaque"),
        holding(None),
        holding(jwt(), session_id="another"),
    ],
)
def test_a_token_in_the_sign_in_reply_is_ignored_unless_it_is_known_to_be_young(
    sessions: Sessions, wire: RequestsMock, reply: dict[str, Any]
) -> None:
    wire.get(CLIENT, json=reply)
    wire.post(TOKENS, json={"jwt": "new"})
    assert bearer(sessions) == "new"


@pytest.mark.parametrize("days", [-1, 0, 1])
def test_the_age_of_a_token_is_known_from_sunos_date_even_if_this_machines_clock_is_wrong(
    sessions: Sessions, wire: RequestsMock, days: int
) -> None:
    sunos = datetime.now(UTC) + timedelta(days=days)
    date = {"Date": format_datetime(sunos, usegmt=True)}
    wire.get(CLIENT, json=holding(jwt(exp=sunos.timestamp() + 2400, iat=sunos.timestamp() - 1200)), headers=date)
    wire.post(TOKENS, json={"jwt": "new"})
    assert bearer(sessions) == "new", "too old by Suno's clock"
    held = jwt(exp=sunos.timestamp() + 2400, iat=sunos.timestamp() - 600)
    wire.replace("GET", CLIENT, json=holding(held), headers=date)
    assert bearer(sessions, BOB) == held, "young by Suno's clock"


def test_a_refused_cookie_is_tried_again_after_a_while_and_may_sign_in_with_a_ready_token(
    sessions: Sessions, wire: RequestsMock, clock: Clock
) -> None:
    wire.get(CLIENT, status=401, json=CLERK_REFUSAL)
    with pytest.raises(errors.SessionExpired):
        bearer(sessions)
    held = jwt()
    wire.replace("GET", CLIENT, json=holding(held))
    clock.now += 16
    assert bearer(sessions) == held


def test_a_refused_token_of_the_sign_in_reply_is_not_used_again(sessions: Sessions, wire: RequestsMock) -> None:
    held = jwt()
    wire.get(CLIENT, json=holding(held))
    wire.post(TOKENS, status=404, json=CLERK_REFUSAL)
    wire.post(TOKENS, json={"jwt": "new"})
    bearer(sessions)
    assert bearer(sessions, refused=held) == "new"


def test_a_paid_call_uses_a_token_in_the_first_half_of_its_lifetime(
    sessions: Sessions, wire: RequestsMock, clock: Clock
) -> None:
    first = jwt(3600)
    signed_in(wire, first, "next")
    bearer(sessions)
    clock.now += 1430
    assert sessions.bearer(ALICE, Deadline(40), paid=True) == first
    clock.now += 20
    assert bearer(sessions) == first
    assert sessions.bearer(ALICE, Deadline(40), paid=True) == "next"


def test_the_age_of_a_token_in_the_sign_in_reply_counts_for_a_paid_call(
    sessions: Sessions, wire: RequestsMock, clock: Clock
) -> None:
    held = jwt(3000, iat=time.time() - 600)
    wire.get(CLIENT, json=holding(held))
    wire.post(TOKENS, json={"jwt": "next"})
    assert bearer(sessions) == held
    clock.now += 830
    assert sessions.bearer(ALICE, Deadline(40), paid=True) == held
    clock.now += 100
    assert sessions.bearer(ALICE, Deadline(40), paid=True) == "next"


@pytest.mark.parametrize(
    ("claims", "user"),
    [
        ({"suno.com/claims/user_id": "uuid", "sub": "user_1", "email": "a@example.com"}, User("uuid", "user_1")),
        ({"suno.com/claims/user_id": "", "sub": "user_1"}, User("", "user_1")),
        ({"suno.com/claims/user_id": "../../x", "sub": "user_1"}, User("", "user_1")),
        ({"suno.com/claims/user_id": "../../x", "sub": "a b"}, None),
        ({"suno.com/claims/user_id": 5}, None),
        ({}, None),
    ],
)
def test_an_account_is_identified_by_sunos_user_id(
    gateway: SunoGateway, wire: RequestsMock, claims: dict[str, object], user: User | None
) -> None:
    signed_in(wire, jwt(**claims))
    assert gateway.known_user(ALICE) is None
    assert gateway.user_of(ALICE) == gateway.known_user(ALICE) == user
    gateway.user_of(ALICE)
    assert len(wire.calls) == 2


@pytest.mark.parametrize(
    ("claims", "user"),
    [
        ({"sub": "user_1"}, User("uuid", "user_1")),
        ({}, User("uuid", "user_1")),
        ({"sub": "user_2"}, User("", "user_2")),
        ({"suno.com/claims/user_id": "other", "sub": "user_2"}, User("other", "user_2")),
    ],
)
def test_a_later_token_without_sunos_user_id_is_of_the_same_user(
    gateway: SunoGateway, wire: RequestsMock, claims: dict[str, object], user: User
) -> None:
    signed_in(wire, jwt(0, **{"suno.com/claims/user_id": "uuid", "sub": "user_1"}), jwt(**claims))
    gateway.sign_in(ALICE)
    gateway.sign_in(ALICE)
    assert gateway.known_user(ALICE) == user


def test_a_known_user_is_told_without_a_call_even_if_the_token_has_expired(
    gateway: SunoGateway, wire: RequestsMock
) -> None:
    signed_in(wire, jwt(0, sub="user_1"))
    assert [gateway.user_of(ALICE) for _ in range(3)] == [User("", "user_1")] * 3
    assert len(wire.calls) == 2


def test_each_call_has_a_browser_token_with_its_own_time(sessions: Sessions, monkeypatch: pytest.MonkeyPatch) -> None:
    for second in (1_795_608_000, 1_795_608_001):
        monkeypatch.setattr("app.suno.session.time.time", lambda second=second: second)
        sent = json.loads(sessions.headers(ALICE)["browser-token"])
        assert json.loads(base64.b64decode(sent["token"])) == {"timestamp": second * 1000}


def test_an_ended_session_is_replaced_by_a_new_sign_in(sessions: Sessions, wire: RequestsMock) -> None:
    signed_in(wire, jwt(0))
    bearer(sessions)
    wire.replace("POST", TOKENS, status=404, json=CLERK_REFUSAL)
    wire.replace("GET", CLIENT, json={"response": {"last_active_session_id": "sess_new"}})
    wire.post(f"{AUTH}/v1/client/sessions/sess_new/tokens", json={"jwt": "new"})
    assert bearer(sessions) == "new"


def test_the_newest_cookie_that_clerk_sets_is_used_next(sessions: Sessions, wire: RequestsMock) -> None:
    wire.get(
        CLIENT,
        json={"response": {"last_active_session_id": "sess_2Z1"}},
        headers={"Set-Cookie": "__client=second; Path=/; HttpOnly; Secure"},
    )
    wire.post(TOKENS, json={"jwt": jwt(0)}, headers={"Set-Cookie": "__client_uat=1; Path=/"})
    bearer(sessions)
    bearer(sessions)
    assert [call.request.headers["Cookie"] for call in wire.calls] == ["__client=alice-client"] + [
        "__client=second"
    ] * 2


@pytest.mark.parametrize("deleted", ["__client=; Path=/", "__client=gone; Path=/; Max-Age=0", "__client_uat=2"])
def test_a_deleted_cookie_does_not_replace_the_current_one(
    sessions: Sessions, wire: RequestsMock, deleted: str
) -> None:
    signed_in(wire, jwt(0))
    answer = {"response": {"last_active_session_id": "sess_2Z1"}}
    wire.replace("GET", CLIENT, json=answer, headers={"Set-Cookie": deleted})
    bearer(sessions)
    assert wire.calls[-1].request.headers["Cookie"] == "__client=alice-client"


def test_a_new_cookie_is_used_whatever_its_attributes(sessions: Sessions, wire: RequestsMock) -> None:
    signed_in(wire, jwt(0))
    answer = {"response": {"last_active_session_id": "sess_2Z1"}}
    modern = "__client=new; Path=/; HttpOnly; Secure; SameSite=None; Partitioned"
    wire.replace("GET", CLIENT, json=answer, headers={"Set-Cookie": modern})
    bearer(sessions)
    assert wire.calls[-1].request.headers["Cookie"] == "__client=new"


def test_the_first_cookie_is_tried_once_more_if_the_newest_is_refused(sessions: Sessions, wire: RequestsMock) -> None:
    answer = {"response": {"last_active_session_id": "sess_2Z1"}}
    wire.get(CLIENT, json=answer, headers={"Set-Cookie": "__client=new"})
    wire.get(CLIENT, status=401, json=CLERK_REFUSAL)
    wire.get(CLIENT, json=answer)
    wire.post(TOKENS, json={"jwt": jwt(0)})
    wire.post(TOKENS, status=401, json=CLERK_REFUSAL)
    wire.post(TOKENS, json={"jwt": "next"})
    bearer(sessions)
    assert [bearer(sessions), bearer(sessions)] == ["next", "next"]
    assert [call.request.headers["Authorization"] for call in wire.calls[2:]] == [
        *("new", "new", "alice-client", "alice-client")
    ]
    assert bearer(sessions, refused="next") == "next", "an account that has signed in since is not dead"


def test_the_least_recently_used_account_is_forgotten_first(sessions: Sessions, wire: RequestsMock) -> None:
    signed_in(wire)
    one, two, three = (Account(f"client-{n}", "SUNO_COOKIE") for n in range(3))
    for account in (one, two, one, three, one, two):
        bearer(sessions, account)
    signed_in_as = [call.request.headers["Cookie"][-1] for call in wire.calls if "sessions" not in call.request.url]
    assert signed_in_as == ["0", "1", "2", "1"]


def test_an_account_that_never_signed_in_is_forgotten_before_one_that_did(
    sessions: Sessions, wire: RequestsMock
) -> None:
    signed_in(wire)
    bearer(sessions, ALICE)
    for client in ("client-1", "client-2", "client-3"):
        sessions.headers(Account(client, "the header X-Suno-Cookie"))
    bearer(sessions, ALICE)
    assert len(wire.calls) == 2


def test_the_operators_account_is_never_forgotten(sessions: Sessions, wire: RequestsMock) -> None:
    signed_in(wire)
    operator = Account("client-h", "SUNO_COOKIE", name="default")
    for client in ("client-h", "client-1", "client-2", "client-3", "client-h"):
        bearer(sessions, operator if client == "client-h" else Account(client, "the header X-Suno-Cookie"))
    assert sum(call.request.headers["Cookie"] == "__client=client-h" for call in wire.calls) == 2


def test_the_operators_accounts_may_be_more_than_the_limit(sessions: Sessions, wire: RequestsMock) -> None:
    signed_in(wire)
    accounts = [Account(f"client-{n}", f"the account {n}", name=str(n)) for n in range(4)]
    for account in (*accounts, *accounts):
        bearer(sessions, account)
    assert calls(wire, CLIENT) == len(accounts)


@pytest.mark.parametrize("id", ["..", "../../evil?x=", "sess_1/../../evil", "x" * 129])
@pytest.mark.parametrize("is_last", [True, False])
def test_a_session_id_that_could_be_a_path_is_unreadable(
    sessions: Sessions, wire: RequestsMock, id: str, is_last: bool
) -> None:
    client = {"last_active_session_id": id} if is_last else {"sessions": [{"id": id, "status": "active"}]}
    wire.get(CLIENT, json={"response": client})
    with pytest.raises(errors.SunoFailed, match="unreadable session"):
        bearer(sessions)
    assert len(wire.calls) == 1


def test_a_request_with_little_time_does_not_end_the_renewal_for_others(
    sessions: Sessions, wire: RequestsMock
) -> None:
    asked, answer = Event(), Event()

    def slow(request: object) -> tuple[int, dict[str, str], str]:
        asked.set()
        assert answer.wait(30)
        return 200, {}, json.dumps({"jwt": "token"})

    wire.get(CLIENT, json={"response": {"last_active_session_id": "sess_2Z1"}})
    wire.add_callback("POST", TOKENS, slow)
    with ThreadPoolExecutor(1) as pool:
        with pytest.raises(errors.SunoUnreachable, match=r"did not answer in time\. Nothing was charged"):
            sessions.bearer(ALICE, Deadline(0.01))
        other = pool.submit(bearer, sessions)
        assert asked.wait(30)
        answer.set()
        assert other.result(30) == "token"
    assert calls(wire, TOKENS) == 1


def test_a_renewal_that_does_not_end_is_given_up(wire: RequestsMock) -> None:
    sessions = Sessions(
        Wire(base_url=AUTH, connect_timeout=5, read_timeout=30, resend=True),
        user_agent="Mozilla/5.0",
        clerk_api_version="2025-11-10",
        clerk_js_version="5.117.0",
        renewal_lasts=0,
    )
    signed_in(wire)
    with pytest.raises(errors.SunoUnreachable, match="deadline of this request had passed"):
        bearer(sessions)
    assert len(wire.calls) == 0


def test_no_paid_call_is_sent_if_sign_in_fails(gateway: SunoGateway, wire: RequestsMock) -> None:
    wire.get(CLIENT, json={"response": None})
    wire.post(SPLIT, json={"clips": [CLIP]})
    with pytest.raises(errors.SessionExpired):
        gateway.generate_stems(ALICE, SONG)
    assert calls(wire, SPLIT) == 0


def test_a_dead_cookie_is_named_as_each_request_gave_it(sessions: Sessions, wire: RequestsMock, clock: Clock) -> None:
    wire.get(CLIENT, status=401, json=CLERK_REFUSAL)
    for named_by in ("the request's Cookie header", "the header X-Suno-Cookie"):
        with pytest.raises(errors.SessionExpired, match=named_by):
            bearer(sessions, Account("same", named_by))
        clock.now += 1_000
