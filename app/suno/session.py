"""Exchange a browser cookie for a bearer token; cache and renew the token.

Clerk runs Suno's sign-in: the long-lived cookie `__client` identifies a browser, `GET /v1/client` returns its
session, and `POST /v1/client/sessions/{id}/tokens` returns the short-lived token for the studio API.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import time
import uuid
from collections import OrderedDict
from collections.abc import Mapping
from concurrent.futures import Future
from contextlib import suppress
from contextvars import copy_context
from dataclasses import dataclass, field
from functools import cached_property
from threading import Lock, Thread
from typing import Any, TypeGuard
from urllib.parse import quote, urlencode

from app.suno.answer import NOTHING_CHARGED, Answer
from app.suno.call import Deadline
from app.suno.clock import moment_of
from app.suno.cookie import HOW_TO_COPY, UnusableCookie, cookie_in
from app.suno.errors import CaptchaRequired, RateLimited, SessionExpired, SunoFailed, SunoUnreachable
from app.suno.ids import is_id
from app.suno.statuses import SESSION_ENDED
from app.suno.wire import Wire, WireError

MAX_SIGNED_IN_ACCOUNTS = 1_000
"""Maximum accounts that a process remembers; the least recently used goes first."""

DEAD_COOKIE_SECONDS = 15.0
"""Seconds to reject a refused cookie without another call to Clerk."""

RENEW_FRACTION = 1 / 6
"""Renew a token when this fraction of its lifetime is left: 10 s of 60 s."""

PAID_CALL_TOKEN_AGE = 0.4
"""Send a token with a paid call only in this first fraction of its lifetime: half, minus time for the call."""

SIGN_IN_TOKEN_AGE = 1 / 4
"""Use a token from the sign-in reply only in this first fraction of its lifetime."""

SUNO_USER, CLERK_USER = "suno.com/claims/user_id", "sub"
"""Claims with the ids of a user: Suno's and Clerk's (captured 2026-08). No other claim is kept."""


@dataclass(frozen=True)
class Account:
    """A Suno account, from a request or from the operator."""

    cookie: str = field(repr=False)
    """The value of the cookie `__client`: a secret that signs in as the account's owner."""
    named_by: str
    """The source of the cookie, for error messages: `SUNO_COOKIE`, `the header X-Suno-Cookie`."""

    name: str = ""
    """The operator's name for the account; "" if it is not the operator's."""

    @cached_property
    def cookie_hash(self) -> str:
        """Identifies the account; not a secret."""
        return hashlib.sha256(self.cookie.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class User:
    """What tokens call the user of an account. At least one id is not ""."""

    suno: str = field(repr=False)
    """Suno's own id, which is on the account's clips; "" if no token had it."""
    clerk: str = field(repr=False)
    """The sign-in's id; "" if no token had it."""

    @property
    def name(self) -> str:
        """The best id: the same for all cookies of the user."""
        return self.suno or self.clerk


@dataclass(frozen=True, slots=True)
class _Token:
    value: str = field(repr=False)
    renew_at: float
    stale_at: float
    """From then on it is too old for a paid call: Suno refused tokens past half their lifetime (seen 2026-04)."""
    user: User | None

    def will_do(self, *, paid: bool) -> bool:
        """Whether it can be sent; a paid call is never sent with a token past half its lifetime."""
        return time.monotonic() < (min(self.renew_at, self.stale_at) if paid else self.renew_at)


@dataclass(slots=True)
class _SignIn:
    """One account's sign-in in this process."""

    account: Account
    cookie: str = field(repr=False)
    """The newest value that Clerk has set for the account's cookie."""
    device_id: str
    session_id: str | None = None
    token: _Token | None = None
    user: User | None = None
    dead_until: float = 0.0
    is_empty: bool = False
    """Whether the cookie is valid, but nobody has signed in with it."""
    refused_until: float = 0.0
    """Until then a refused token is not renewed: Suno refused a new one too."""
    paid_calls_from: float = 0.0
    """Before this time no paid call is sent: Suno's proxy has asked for a pause."""
    renewal: Future[str] | None = None


class Sessions:
    """The sign-ins of all accounts of this process, keyed by a hash of the cookie."""

    def __init__(
        self,
        wire: Wire,
        *,
        user_agent: str,
        clerk_api_version: str,
        clerk_js_version: str,
        renewal_lasts: float,
        limit: int = MAX_SIGNED_IN_ACCOUNTS,
    ) -> None:
        """`renewal_lasts`: seconds after which a renewal is given up."""
        self._wire = wire
        self._user_agent = user_agent
        self._query = urlencode({"__clerk_api_version": clerk_api_version, "_clerk_js_version": clerk_js_version})
        self._renewal_lasts = renewal_lasts
        self._limit = limit
        self._lock = Lock()
        self._sessions: OrderedDict[str, _SignIn] = OrderedDict()

    def headers(self, account: Account) -> dict[str, str]:
        """The headers that a browser sends with every call, with the account's own device id."""
        return self._browser_headers(self._session(account))

    def user(self, account: Account) -> User | None:
        """The account's user, the same for all its cookies; None before sign-in, or if no token names it."""
        return self._session(account).user

    def suno_user(self, account: Account) -> str:
        """Suno's own id of the account's user; "" if it is not known."""
        user = self._session(account).user
        return user.suno if user else ""

    def bearer(self, account: Account, deadline: Deadline, *, paid: bool = False, refused: str | None = None) -> str:
        """A token that Suno should accept; with `paid`, one that is young enough for a paid call.

        `refused` is a token that Suno refused; it is not returned again. A token is renewed once for all requests
        that wait for it. The renewal has its own deadline, and each request waits until its own. Raises
        SessionExpired, CaptchaRequired, RateLimited, SunoFailed or SunoUnreachable: in each case nothing was charged.
        """
        session = self._session(account)
        with self._lock:
            if session.token and session.token.will_do(paid=paid) and session.token.value != refused:
                return session.token.value
            now = time.monotonic()
            if now < session.dead_until or (refused and now < session.refused_until):
                raise _expired(account, is_empty=session.is_empty)
            renewal, ours = session.renewal, session.renewal is None
            if renewal is None:
                renewal = session.renewal = Future()
        if ours:
            # It goes on if this request ends: others wait for it, and Clerk may set a new cookie with its answer.
            renews = copy_context().run
            Thread(target=renews, args=(self._settle, renewal, session), name="renewal", daemon=True).start()
        try:
            return renewal.result(timeout=deadline.remaining)
        except SessionExpired:
            # The renewal names the cookie as the request gave it that was first.
            raise _expired(account, is_empty=session.is_empty) from None
        except TimeoutError:
            raise SunoUnreachable("Suno's sign-in did not answer in time. Nothing was charged. Try again.") from None

    def pause_paid_calls(self, account: Account, seconds: float) -> None:
        """Send no paid call of this account for some seconds."""
        self._session(account).paid_calls_from = time.monotonic() + seconds

    def pause_left(self, account: Account) -> float:
        """Seconds until a paid call of this account may be sent; 0 without a pause."""
        session = self._sessions.get(account.cookie_hash)
        return max(0.0, session.paid_calls_from - time.monotonic()) if session and session.paid_calls_from else 0.0

    def refused_after_renewal(self, account: Account) -> SessionExpired:
        """Record that Suno refused a new token too; return the error to raise.

        The token is not renewed again for DEAD_COOKIE_SECONDS. It is still used: Suno may answer like this for one
        song only, not for the account.
        """
        self._session(account).refused_until = time.monotonic() + DEAD_COOKIE_SECONDS
        return _expired(account)

    def _bury(self, session: _SignIn) -> SessionExpired:
        session.token = session.session_id = None
        session.dead_until = time.monotonic() + DEAD_COOKIE_SECONDS
        return _expired(session.account, is_empty=session.is_empty)

    def _session(self, account: Account) -> _SignIn:
        key = account.cookie_hash
        with self._lock:
            session = self._sessions.get(key)
            if session is None:
                device_id = str(uuid.uuid5(uuid.NAMESPACE_OID, key))
                session = self._sessions[key] = _SignIn(account, account.cookie, device_id)
                if len(self._sessions) > self._limit:
                    self._forget_one()
            else:
                self._sessions.move_to_end(key)
            return session

    def _forget_one(self) -> None:
        """Forget the least recently used account: first those that never signed in, never the operator's."""
        others = [key for key, session in self._sessions.items() if not session.account.name][:-1]
        never_in = (key for key in others if self._sessions[key].session_id is None)
        if others:
            del self._sessions[next(never_in, others[0])]

    def _settle(self, renewal: Future[str], session: _SignIn) -> None:
        try:
            session.token = self._renew(session, Deadline(self._renewal_lasts))
            session.user = _user_after(session.user, session.token.user)
            outcome = session.token.value
        except BaseException as error:
            session.renewal = None
            renewal.set_exception(error)
        else:
            session.renewal = None
            renewal.set_result(outcome)

    def _renew(self, session: _SignIn, deadline: Deadline) -> _Token:
        if session.session_id:
            answer = self._clerk("POST", _tokens(session.session_id), session, deadline)
            if answer.is_html or answer.status not in SESSION_ENDED:
                return _token(self._understood(answer, session), answer)
        try:
            ready = self._sign_in(session, deadline)
        except SessionExpired:
            # Another process may have received a newer cookie than ours: try the original one once more.
            if session.cookie == session.account.cookie:
                raise
            session.cookie = session.account.cookie
            ready = self._sign_in(session, deadline)
            session.dead_until = 0.0
        # Sign-in may return a refused token again.
        if ready and (session.token is None or ready.value != session.token.value):
            return ready
        answer = self._clerk("POST", _tokens(session.session_id or ""), session, deadline)
        return _token(self._understood(answer, session), answer)

    def _sign_in(self, session: _SignIn, deadline: Deadline) -> _Token | None:
        """Find the account's session. Return the token in the sign-in reply, if it is young."""
        session.is_empty = False
        answer = self._clerk("GET", "", session, deadline)
        reply = self._understood(answer, session)
        if "response" not in reply:
            raise _changed("answered without a session")
        client = reply["response"]
        session_id = _session_id(client) if isinstance(client, dict) else None
        # The sign-in host gives each fresh tab a valid cookie without a session (seen 2026-08).
        session.is_empty = isinstance(client, dict) and not client.get("sessions") and session_id is None
        if session_id is None:
            raise self._bury(session)
        session.session_id = session_id
        return _ready_token(client, session_id, answer)

    def _clerk(self, method: str, path: str, session: _SignIn, deadline: Deadline) -> Answer:
        headers = self._browser_headers(session)
        headers["Cookie"] = f"__client={session.cookie}"
        headers["Authorization"] = session.cookie
        body = b"" if method == "POST" else None
        try:
            answer = self._wire.ask(
                method,
                f"/v1/client{path}?{self._query}",
                headers=headers,
                body=body,
                deadline=deadline,
                kind="token" if path else "sign_in",
            )
        except WireError as error:
            raise SunoUnreachable(
                f"Suno's sign-in could not be reached: {error}. Nothing was charged; try again."
            ) from error
        session.cookie = _newest_cookie(answer.headers.getlist("Set-Cookie")) or session.cookie
        return answer

    def _understood(self, answer: Answer, session: _SignIn) -> Mapping[str, Any]:
        if answer.status == 429:
            raise RateLimited(
                "Suno's sign-in wants fewer requests; nothing was charged. Wait and try again.",
                retry_after=answer.retry_after,
            )
        try:
            reply = None if answer.is_html else answer.json()
        except ValueError:
            reply = None
        if answer.status in (401, 403) and not answer.is_html:
            if "requires_captcha" in _clerk_codes(reply):
                raise CaptchaRequired(
                    "Suno's sign-in wants a captcha: open suno.com in the browser that the cookie is from, solve it, "
                    "and copy the cookie again.",
                    at_sign_in=True,
                )
            raise self._bury(session)
        if not answer.succeeded or not isinstance(reply, dict):
            raise SunoFailed(f"Suno's sign-in answered {answer.status} with {answer.kind}. {NOTHING_CHARGED}")
        return reply

    def _browser_headers(self, session: _SignIn) -> dict[str, str]:
        return {
            "User-Agent": self._user_agent,
            "Origin": "https://suno.com",
            "Referer": "https://suno.com/",
            "device-id": session.device_id,
            "browser-token": _browser_token(),
        }


def _changed(what: str) -> SunoFailed:
    """The error for a sign-in reply that this version cannot read."""
    return SunoFailed(f"Suno's sign-in {what}: its wire format may have changed. {NOTHING_CHARGED}")


def _expired(account: Account, *, is_empty: bool = False) -> SessionExpired:
    if is_empty:
        return SessionExpired(
            f"The cookie given by {account.named_by} is valid, but nobody is signed in with it: a browser gets "
            f"such a cookie before it signs in. {HOW_TO_COPY}"
        )
    return SessionExpired(f"Suno no longer accepts the cookie given by {account.named_by}. {HOW_TO_COPY}")


def _tokens(session_id: str) -> str:
    return f"/sessions/{quote(session_id, safe='')}/tokens"


def _session_id(client: Mapping[str, Any]) -> str | None:
    """The id of the session to use; None if there is none. Raises SunoFailed if it is not an id."""
    found = client.get("last_active_session_id")
    if not (isinstance(found, str) and found):
        sessions = client.get("sessions")
        of_active = (
            session["id"]
            for session in (sessions if isinstance(sessions, list) else [])
            if isinstance(session, dict) and session.get("status") == "active" and isinstance(session.get("id"), str)
        )
        found = next(of_active, None)
    if found is not None and not is_id(found):
        raise _changed("answered with an unreadable session")
    return found


def _clerk_codes(reply: Any) -> list[Any]:
    errors = reply.get("errors") if isinstance(reply, dict) else None
    return [error.get("code") for error in errors or [] if isinstance(error, dict)]


def _token(reply: Mapping[str, Any], answer: Answer) -> _Token:
    jwt = reply.get("jwt")
    if not _is_jwt(jwt):
        raise _changed("answered without a token")
    claims = _claims(jwt)
    life, age = _life(claims, answer), 0.0
    return _kept(jwt, claims, life, age)


def _ready_token(client: Mapping[str, Any], session_id: str, answer: Answer) -> _Token | None:
    """The token in the sign-in reply, if it is young (seen 2026-08 and 2026-09)."""
    sessions = client.get("sessions")
    for session in sessions if isinstance(sessions, list) else []:
        if isinstance(session, dict) and session.get("id") == session_id:
            token = session.get("last_active_token")
            jwt = token.get("jwt") if isinstance(token, dict) else None
            if _is_jwt(jwt):
                claims = _claims(jwt)
                life, age = _life(claims, answer), _now(answer) - _number(claims, "iat", -math.inf)
                if life < math.inf and -5 < age < life * SIGN_IN_TOKEN_AGE:
                    return _kept(jwt, claims, life, max(0.0, age))
    return None


def _kept(jwt: str, claims: Mapping[str, Any], life: float, age: float) -> _Token:
    begins = time.monotonic() - age
    suno, clerk = (value if is_id(value := claims.get(name)) else "" for name in (SUNO_USER, CLERK_USER))
    user = User(suno, clerk) if suno or clerk else None
    return _Token(jwt, begins + life * (1 - RENEW_FRACTION), begins + life * PAID_CALL_TOKEN_AGE, user)


def _user_after(before: User | None, now: User | None) -> User | None:
    """The user of a session with a new token: one without Suno's own id does not change it for the same user."""
    if now is None or before is None:
        return now or before
    is_same = not now.suno and now.clerk in (before.clerk, before.clerk or now.clerk)
    return User(before.suno, now.clerk) if is_same else now


def _is_jwt(value: Any) -> TypeGuard[str]:
    return isinstance(value, str) and value != "" and value.isascii() and value.isprintable()


def _claims(jwt: str) -> Mapping[str, Any]:
    """The claims of a token; {} if they cannot be read."""
    try:
        payload = jwt.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (ValueError, LookupError, RecursionError):
        return {}
    return claims if isinstance(claims, dict) else {}


def _life(claims: Mapping[str, Any], answer: Answer) -> float:
    """A token's lifetime in seconds, `exp - iat` (seen: 60, 3600); without `exp` it lasts until a 401."""
    ends = _number(claims, "exp", math.inf)
    return ends - _number(claims, "iat", _now(answer))


def _number(claims: Mapping[str, Any], name: str, default: float) -> float:
    try:
        return float(claims[name])
    except (LookupError, ValueError, TypeError, OverflowError):
        return default


def _now(answer: Answer) -> float:
    """Seconds since 1970 by the `Date` of the answer; by our clock if it has none."""
    date = moment_of(answer.headers.get("Date", ""))
    return time.time() if date is None else date


def _browser_token() -> str:
    """The page makes a new one for each call (several clients of 2026; no refusal without it was captured)."""
    made = base64.b64encode(b'{"timestamp":%d}' % (time.time() * 1000)).decode()
    return f'{{"token":"{made}"}}'


def _newest_cookie(set_cookies: list[str]) -> str | None:
    """The last `__client` that a reply sets; deleted ones do not count."""
    newest = None
    for header in set_cookies:
        cookie, _, attributes = header.partition(";")
        if "max-age=0" not in attributes.replace(" ", "").lower():
            with suppress(UnusableCookie):
                newest = cookie_in(cookie) or newest
    return newest
