from __future__ import annotations

import base64
import json
import time
from typing import Any

import pytest
import requests

from sandbox.accounts import ACCOUNTS
from tests.sandbox.conftest import QUERY

ORDINARY = [
    name
    for name, kind in ACCOUNTS.items()
    if not kind.clerk and kind.sessions in ("active", "second") and kind.token_calls == "ordinary"
]


def claims(token: str) -> dict[str, Any]:
    payload = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))


@pytest.mark.parametrize("name", [name.replace("<n>", "7") for name in ORDINARY])
def test_signing_in_returns_a_token_that_lasts_an_hour(stranger, name):
    token = stranger(name).sign_in().token
    assert claims(token)["exp"] - claims(token)["iat"] == 3600
    assert claims(token)["exp"] > time.time()


def test_every_sign_in_returns_a_new_token(alice):
    assert alice.token != alice.sign_in().token


@pytest.mark.parametrize(
    ("headers", "known"),
    [
        ({"Cookie": "__client=sandbox-alice"}, True),
        ({"Authorization": "sandbox-alice"}, True),
        ({"Cookie": "a=b; __client=sandbox-alice; __client_uat=1"}, True),
        ({"Cookie": "__client_uat=sandbox-alice"}, False),
        ({"Authorization": "Bearer sandbox-alice"}, False),
        ({"Cookie": "__client=nobody"}, False),
        ({}, False),
    ],
)
def test_only_the_cookie_named_client_signs_in(sandbox, headers, known):
    reply = requests.get(f"{sandbox.url}/v1/client", params=QUERY, headers=headers, timeout=5)
    assert (reply.json()["response"] is not None) == known


def test_cookie_and_authorization_must_agree(sandbox):
    headers = {"Cookie": "__client=sandbox-alice", "Authorization": "sandbox-bob"}
    reply = requests.get(f"{sandbox.url}/v1/client", params=QUERY, headers=headers, timeout=5)
    assert reply.status_code == 401
    assert reply.json()["errors"][0]["code"] == "authentication_invalid"


def test_the_2024_wire_requires_the_versions_in_the_query(sandbox, wire_of_2024):
    reply = requests.get(f"{sandbox.url}/v1/client", headers={"Cookie": "__client=sandbox-alice"}, timeout=5)
    assert reply.status_code == 400


@pytest.mark.parametrize(
    ("name", "status", "kind"),
    [
        ("sandbox-dead-401", 401, "application/json"),
        ("sandbox-dead-403", 403, "application/json"),
        ("sandbox-captcha", 401, "application/json"),
        ("sandbox-clerk-500", 500, "application/json"),
        ("sandbox-clerk-429", 429, "text/html; charset=UTF-8"),
        ("sandbox-clerk-html", 200, "text/html; charset=UTF-8"),
    ],
)
def test_some_accounts_are_refused(stranger, name, status, kind):
    reply = stranger(name).client()
    assert (reply.status_code, reply.headers["Content-Type"]) == (status, kind)


def test_each_failing_account_fails_in_its_own_way(stranger):
    assert stranger("sandbox-dead").client().json() == {"response": None}
    assert stranger("sandbox-signed-out").client().json()["response"]["sessions"] == []
    assert stranger("sandbox-captcha").client().json()["errors"][0]["code"] == "requires_captcha"
    assert stranger("sandbox-clerk-429").client().headers["Retry-After"] == "7"
    assert "jwt" not in (lonely := stranger("sandbox-no-jwt")).new_token(lonely.session()).json()
    with pytest.raises(requests.ConnectionError):
        stranger("sandbox-clerk-reset").client()
    dripped = stranger("sandbox-clerk-drip")
    dripped.post("/sandbox/settings", {"drip": 60})
    with pytest.raises(requests.ReadTimeout):
        dripped.call(
            "GET", "/v1/client", params=QUERY, headers={"Cookie": "__client=sandbox-clerk-drip"}, timeout=0.1
        )


def test_an_ended_session_is_not_the_last_active_one(stranger):
    sessions = stranger("sandbox-no-last-session").client().json()["response"]
    assert sessions["last_active_session_id"] is None
    assert [session["status"] for session in sessions["sessions"]] == ["ended", "active"]
    ended = stranger("sandbox-session-ended")
    sid = ended.client().json()["response"]["sessions"][0]["id"]
    assert ended.new_token(sid).status_code == 404


def test_only_the_newest_value_of_a_rotating_cookie_works(stranger):
    account = stranger("sandbox-rotating")
    session = account.session()
    assert account.new_token(session).cookies["__client"] == "sandbox-rotating-2"
    assert account.client().status_code == 401
    account.cookie = "sandbox-rotating-2"
    assert account.new_token(session).cookies["__client"] == "sandbox-rotating-3"
    assert stranger("sandbox-rotating-3").sign_in().credits() == 500


def test_the_first_token_of_some_accounts_is_refused(sign_in):
    revoked, expired, never = (sign_in(f"sandbox-{name}") for name in ("revoked", "jwt-expired", "always-401"))
    assert revoked.split().status_code == revoked.split().status_code == 401
    assert (expired.split().status_code, expired.split().json()) == (403, {"detail": "JWT expired"})
    assert revoked.sign_in().split().status_code == expired.sign_in().split().status_code == 200
    assert never.split().status_code == never.sign_in().split().status_code == 401


def test_an_ended_session_is_replaced_by_a_new_one(stranger):
    account = stranger("sandbox-session-gone")
    first = account.session()
    assert account.new_token(first).status_code == 200
    assert account.session() == first
    assert account.new_token(first).status_code == 404
    second = account.session()
    assert second != first
    assert account.new_token(second).status_code == account.new_token(second).status_code == 200


def test_a_token_expires_and_a_forged_one_never_works(alice, eventually):
    alice.post("/sandbox/settings", {"token_lifetime": 0.05})
    alice.sign_in()
    assert alice.get("/api/billing/info/").status_code == 200
    eventually(lambda: alice.get("/api/billing/info/").status_code == 401)
    alice.post("/sandbox/settings", {"token_lifetime": 60})
    alice.sign_in()
    head, _, signature = alice.token.split(".")
    other = base64.urlsafe_b64encode(json.dumps({**claims(alice.token), "sub": "sandbox-bob"}).encode())
    alice.token = f"{head}.{other.decode().rstrip('=')}.{signature}"
    assert alice.split().json() == {"detail": "Unauthorized"}


def test_an_account_can_be_given_credits(alice):
    for wrong in ({"account": "sandbox-alice", "credits": -1}, {"account": "sandbox-alice"}):
        assert alice.post("/sandbox/credits", wrong).status_code == 400
    assert alice.post("/sandbox/credits", {"credits": 1}).status_code == 404
    alice.post("/sandbox/credits", {"account": "sandbox-alice", "credits": 10})
    alice.sign_in()
    assert [alice.split().status_code for _ in range(2)] == [200, 402]


def test_revoked_tokens_are_refused_and_new_ones_are_not(alice):
    alice.post("/sandbox/revoke", {"account": "sandbox-alice"})
    assert alice.split().status_code == 401
    assert alice.sign_in().split().status_code == 200
