"""Sign-in: from the __client cookie to sessions, from a session to a bearer token."""

from __future__ import annotations

import hashlib

from sandbox.accounts import LocalAccount, clerk_error
from sandbox.message import JsonObject, Refused, Reply, Request, json_reply
from sandbox.suno import Suno


class Clerk:
    """The calls of the sign-in host."""

    def __init__(self, suno: Suno) -> None:
        self._suno = suno

    def client(self, request: Request) -> Reply:
        """List the sessions of a cookie."""
        account = self._account(request)
        sessions = sessions_of(account)
        for session in sessions:
            if session["status"] == "active" and self._tells_token(account):
                account.session_used = True
                session["last_active_token"] = {
                    "object": "token",
                    "jwt": self._suno.issue_token(account, session["id"], self._suno.options.active_token_age),
                }
        last = sessions[0]["id"] if sessions and sessions[0]["status"] == "active" else None
        return json_reply(
            200, {"response": {"object": "client", "last_active_session_id": last, "sessions": sessions}}
        )

    def token(self, request: Request, session_id: str) -> Reply:
        """Issue a bearer token for an active session."""
        account = self._account(request)
        active = [session["id"] for session in sessions_of(account) if session["status"] == "active"]
        ended = account.kind.loses_session and account.session == 1 and account.session_used
        if session_id not in active or ended:
            if session_id in active:
                account.session = 2
            return clerk_error(404, "resource_not_found", "Session not found")
        if account.kind.token_calls == "without-jwt":
            return json_reply(200, {"object": "token"})
        account.session_used = True
        reply = json_reply(200, {"object": "token", "jwt": self._suno.issue_token(account, session_id)})
        if account.kind.rotates:
            number = int(account.cookie.rpartition("-")[2]) if account.cookie != account.name else 1
            account.cookie = f"{account.name}-{number + 1}"
            reply.headers["Set-Cookie"] = (
                f"__client={account.cookie}; Path=/; Max-Age=315360000; HttpOnly; SameSite=Lax"
            )
        return reply

    def _tells_token(self, account: LocalAccount) -> bool:
        kind = account.kind
        ordinary = kind.token_calls == "ordinary" and kind.first_token == "accepted" and not kind.loses_session
        return self._suno.options.active_token and ordinary and not kind.rotates

    def _account(self, request: Request) -> LocalAccount:
        """Return the account of the cookie. Raises Refused if the cookie does not sign in."""
        query = request.query
        for name in ("__clerk_api_version", "_clerk_js_version") if self._suno.options.wire == "2024" else ():
            if not query.get(name):
                raise Refused(clerk_error(400, "missing_parameter", f"The query lacks {name}"))
        cookie, header = client_cookie(request), request.headers.get("authorization") or None
        if cookie and header and cookie != header:
            raise Refused(clerk_error(401, "authentication_invalid", "Cookie and Authorization differ"))
        value = cookie or header
        account = self._suno.account(value) if value else None
        if account is None:
            raise Refused(json_reply(200, {"response": None}))
        request.account = account.name
        if account.kind.clerk:
            raise Refused(account.kind.clerk())
        if account.kind.rotates and value != account.cookie:
            raise Refused(clerk_error(401, "authentication_invalid", "This cookie has been replaced"))
        return account


def client_cookie(request: Request) -> str | None:
    """The value of the cookie named exactly __client."""
    for pair in request.headers.get("cookie", "").split(";"):
        name, _, value = pair.partition("=")
        if name.strip() == "__client":
            return value.strip()
    return None


def sessions_of(account: LocalAccount) -> list[JsonObject]:
    """The sessions of an account, the last active one first if it is known."""
    match account.kind.sessions:
        case "none":
            return []
        case "ended":
            return [_session(account, 1, "ended")]
        case "second":
            return [_session(account, 1, "ended"), _session(account, 2, "active")]
        case "active":
            return [_session(account, account.session, "active")]


def _session(account: LocalAccount, number: int, status: str) -> JsonObject:
    digest = hashlib.sha256(f"{account.name}/{number}".encode()).hexdigest()
    return {"id": f"sess_{digest[:27]}", "object": "session", "status": status}
