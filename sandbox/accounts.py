"""The accounts, named by the value of their __client cookie, and the special behaviour of some."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, Literal

from sandbox.clips import LocalStem, PaidSplit
from sandbox.message import Reply, html_reply, json_reply


@dataclass(frozen=True, slots=True)
class Plan:
    """What a subscription includes, per month."""

    name: str
    key: str
    monthly_limit: int  # credits
    downloads: int
    downloads_used: int = 0
    wav: bool = True
    stems: bool = True


FREE = Plan("Free Plan", "free", 50, downloads=7, downloads_used=5, wav=False)
BASIC = Plan("Basic Plan", "basic", 50, downloads=7, wav=False, stems=False)
PRO = Plan("Pro Plan", "pro", 2_500, downloads=20)
PREMIER = Plan("Premier Plan", "premier", 10_000_000, downloads=60)


def clerk_error(status: int, code: str, message: str) -> Reply:
    """An error in Clerk's format."""
    error = {"message": message, "long_message": f"{message}.", "code": code}
    return json_reply(status, {"errors": [error], "clerk_trace_id": "5a4d0b0c5a4d0b0c5a4d0b0c5a4d0b0c"})


def _drip(reply: Reply) -> Reply:
    reply.act = lambda connection: connection.drip(reply.encode())
    return reply


@dataclass(frozen=True, slots=True)
class AccountKind:
    """One row of the table of accounts."""

    name: str
    about: str
    _: KW_ONLY
    credits: int = 500
    plan: Plan = PRO
    clerk: Callable[[], Reply] | None = None  # answers every sign-in call
    sessions: Literal["active", "none", "ended", "second"] = "active"
    token_calls: Literal["ordinary", "without-jwt"] = "ordinary"
    rotates: bool = False  # each token call replaces the cookie
    loses_session: bool = False  # the first session ends after one token
    first_token: Literal["accepted", "401", "403"] = "accepted"
    refuses_tokens: bool = False
    needs_captcha: bool = False
    captcha_version: int = 1  # 1: hCaptcha, 2: Turnstile
    captcha_after: int | None = None  # splits after a solved captcha until the next one; None: no other
    old_billing: bool = False
    kept_splits: int | None = None  # None: all
    has_library: bool = False  # whether its songs are the large library instead of the catalogue


ACCOUNTS: dict[str, AccountKind] = {
    kind.name: kind
    for kind in (
        AccountKind("sandbox-alice", "500 credits, Pro plan"),
        AccountKind("sandbox-bob", "120 credits, Pro plan", credits=120),
        AccountKind("sandbox-poor", "no credits: every split gets 402", credits=0),
        AccountKind("sandbox-free", "50 credits, Free plan: no WAV, 2 downloads left", credits=50, plan=FREE),
        AccountKind("sandbox-no-stems", "50 credits, a plan without get_stems: every split gets 403", plan=BASIC),
        AccountKind(
            "sandbox-rich",
            "10,000,000 credits, for load tests; only its newest 5,000 splits are kept",
            credits=10_000_000,
            plan=PREMIER,
            kept_splits=5_000,
        ),
        AccountKind(
            "sandbox-library",
            "1,050 songs (song-library-1 …), and 1,000 credits: enough for 100 of them",
            credits=1_000,
            has_library=True,
        ),
        AccountKind("sandbox-load-<n>", "1,000 credits; each number n is another account", credits=1_000),
        AccountKind(
            "sandbox-needs-captcha",
            "c/check requires an hCaptcha and v2-web answers 422, until /sandbox/person solves it",
            needs_captcha=True,
        ),
        AccountKind(
            "sandbox-captcha-returns",
            "like sandbox-needs-captcha, but requires one again after every 2 splits",
            needs_captcha=True,
            captcha_after=2,
        ),
        AccountKind(
            "sandbox-needs-turnstile",
            "c/check requires a Turnstile and v2-web answers 422, until /sandbox/person solves it",
            needs_captcha=True,
            captcha_version=2,
        ),
        AccountKind(
            "sandbox-old-billing", "billing/info returns credits only, no plan, no downloads", old_billing=True
        ),
        AccountKind(
            "sandbox-dead",
            'sign-in answers {"response": null}, as for any unknown cookie',
            clerk=lambda: json_reply(200, {"response": None}),
        ),
        AccountKind(
            "sandbox-dead-401",
            "sign-in answers 401",
            clerk=lambda: clerk_error(401, "authentication_invalid", "Unable to authenticate"),
        ),
        AccountKind(
            "sandbox-dead-403",
            "sign-in answers 403",
            clerk=lambda: clerk_error(403, "not_allowed_access", "Access not allowed"),
        ),
        AccountKind("sandbox-signed-out", "signed in, but has no session", sessions="none"),
        AccountKind("sandbox-session-ended", "its only session has ended", sessions="ended"),
        AccountKind(
            "sandbox-no-last-session",
            "last_active_session_id is null; the second of two sessions is active",
            sessions="second",
        ),
        AccountKind(
            "sandbox-captcha",
            "sign-in answers 401 requires_captcha",
            clerk=lambda: clerk_error(401, "requires_captcha", "Please complete a CAPTCHA"),
        ),
        AccountKind(
            "sandbox-clerk-429",
            "sign-in answers 429 in HTML, Retry-After 7",
            clerk=lambda: html_reply(429, "Too Many Requests", {"Retry-After": "7"}),
        ),
        AccountKind(
            "sandbox-clerk-500",
            "sign-in answers 500",
            clerk=lambda: clerk_error(500, "internal_clerk_error", "Oops, an unexpected error occurred"),
        ),
        AccountKind(
            "sandbox-clerk-html", "sign-in answers 200 in HTML", clerk=lambda: html_reply(200, "Just a moment...")
        ),
        AccountKind(
            "sandbox-clerk-wrong-shape", 'sign-in answers {"ok": true}', clerk=lambda: json_reply(200, {"ok": True})
        ),
        AccountKind(
            "sandbox-clerk-drip",
            "sign-in sends its headers one byte a second",
            clerk=lambda: _drip(json_reply(200, {"response": None})),
        ),
        AccountKind(
            "sandbox-clerk-reset",
            "sign-in breaks the connection",
            clerk=lambda: Reply(0, act=lambda connection: connection.reset()),
        ),
        AccountKind("sandbox-no-jwt", "the token call answers 200 without a jwt", token_calls="without-jwt"),
        AccountKind(
            "sandbox-rotating",
            "each token call sets a new __client (sandbox-rotating-2, …); older ones then get 401",
            rotates=True,
        ),
        AccountKind("sandbox-revoked", "its first token is refused with 401, later ones work", first_token="401"),
        AccountKind(
            "sandbox-jwt-expired",
            "its first token is refused with 403 JWT expired, later ones work",
            first_token="403",
        ),
        AccountKind("sandbox-always-401", "every token is refused with 401", refuses_tokens=True),
        AccountKind(
            "sandbox-session-gone",
            "its first session gives one token, then 404; signing in again gives another session",
            loses_session=True,
        ),
    )
}

LOAD_ACCOUNT = re.compile(r"sandbox-load-\d{1,9}")
ROTATED = re.compile(r"sandbox-rotating(-\d{1,9})?")


@dataclass(slots=True)
class LocalAccount:
    """The state of an account since the start."""

    kind: AccountKind
    name: str
    credits: int
    cookie: str
    wants_captcha: bool = False
    splits_until_captcha: int | None = None  # None: it does not come back
    downloads: set[str] = field(default_factory=set)  # wire of 2024: what was counted
    unlocked: list[str] = field(default_factory=list)  # song ids, in order of unlocking
    stems: dict[str, LocalStem] = field(default_factory=dict)
    splits: dict[str, deque[PaidSplit]] = field(default_factory=dict)  # by song, oldest first
    paid: deque[PaidSplit] = field(default_factory=deque)  # oldest first
    charges: int = 0  # total, including splits no longer kept
    preparing: dict[tuple[str, str], float] = field(default_factory=dict)  # (clip, format): time of the first request
    feed_failures: dict[str, int] = field(default_factory=dict)  # by song: failures left
    session: int = 1
    session_used: bool = False
    first_token: int | None = None
    revoked_up_to: int = 0  # tokens up to this number are refused
    memory: dict[str, Any] = field(default_factory=dict)  # state of faults that happen once

    @property
    def downloads_used(self) -> int:
        """Downloads of the month so far, including those before the start."""
        return self.kind.plan.downloads_used + len(self.downloads) + len(self.unlocked)

    def solve_captcha(self) -> None:
        """The owner has solved a captcha on Suno's page."""
        self.wants_captcha = False
        self.splits_until_captcha = self.kind.captcha_after

    def note_split(self) -> None:
        """Count a split, after which a captcha may come back."""
        if self.splits_until_captcha is not None:
            self.splits_until_captcha -= 1
            if self.splits_until_captcha <= 0:
                self.wants_captcha, self.splits_until_captcha = True, None


def kind_of(cookie: str) -> tuple[str, AccountKind] | None:
    """Return the name and kind of a cookie's account; `<name>-again` is another cookie of the same account."""
    cookie = cookie.removesuffix("-again")
    if LOAD_ACCOUNT.fullmatch(cookie):
        return cookie, ACCOUNTS["sandbox-load-<n>"]
    name = "sandbox-rotating" if ROTATED.fullmatch(cookie) else cookie
    kind = ACCOUNTS.get(name)
    return (name, kind) if kind else None
