"""An answer from Suno: what it says, and which error it means if it is not a success."""

from __future__ import annotations

import ast
import json
import math
import re
from dataclasses import dataclass
from functools import cached_property
from http import HTTPStatus
from typing import Any

from urllib3 import HTTPHeaderDict, Retry
from urllib3.exceptions import InvalidHeader

from app.suno.call import CallKind, Cost
from app.suno.errors import (
    About,
    CaptchaRequired,
    NotAllowed,
    OutOfCredits,
    RateLimited,
    RefusedBySuno,
    SongNotFound,
    SunoError,
    SunoFailed,
)
from app.suno.statuses import NOT_VERIFIED, did_nothing

MAX_TEXT_LENGTH = 300
"""Maximum characters of Suno's text that are passed on."""

_RETRY = Retry(retry_after_max=86_400)
"""Parses Retry-After, and limits it to one day."""

NOTHING_CHARGED = "Nothing was charged; try again later."
CAPTCHAS = {1: "an hCaptcha", 2: "a Turnstile check"}
"""Keyed by `captcha_version` in Suno's answer to /api/c/check."""

_STATUSES = frozenset(HTTPStatus)
_EDGE_LIMIT = re.compile(rb"\b1015\b")

_NOT_VERIFIED_WORDS = ("token validation failed", "couldn't verify your request")
"""Seen until 2026-10, and in the page of 2026-08."""

EDGE_LIMIT_SECONDS = 120
"""Seconds to wait after Cloudflare's 1015, which came after 50 requests in 2 minutes, if it does not say how long."""

_TOKEN = re.compile(r"eyJ[\w-]+(\.[\w-]*)*")


@dataclass(frozen=True)
class Answer:
    """A complete answer with any status."""

    status: int
    headers: HTTPHeaderDict
    body: bytes

    @property
    def succeeded(self) -> bool:
        """Whether the status is 2xx; the body may still be wrong."""
        return 200 <= self.status < 300

    @cached_property
    def is_html(self) -> bool:
        """Whether a proxy or bot wall in front of Suno answered: Suno itself sends JSON."""
        return "html" in self.headers.get("Content-Type", "").lower()

    @property
    def outcome(self) -> str:
        """For the observer: the status, `html` for a web page, or `(other)` for an unknown status."""
        return "html" if self.is_html else str(self.status) if self.status in _STATUSES else "(other)"

    @property
    def refuses_token(self) -> bool:
        """Whether Suno refuses the token; if so, it did nothing."""
        if self.is_html:
            return False
        words = self.words.lower() if self.status == 403 else ""
        return self.status == 401 or "jwt expired" in words or "invalid token" in words

    @property
    def refuses_stale_token(self) -> bool:
        """Whether Suno wants a newer token for a paid call, or a captcha. Both look the same; Suno did nothing."""
        if self.status not in NOT_VERIFIED:
            return False
        words = self.words.lower().replace("\u2019", "'")
        return any(refusal in words for refusal in _NOT_VERIFIED_WORDS)

    @cached_property
    def is_edge_limit(self) -> bool:
        """Whether Cloudflare blocked the request before it reached Suno: its page for error 1015 (seen 2026-08).

        It sends a short text in place of the page to programs that it does not take for a browser.
        """
        type = self.headers.get("Content-Type", "").lower()
        is_its_own = self.is_html or type.startswith("text/plain")
        return is_its_own and self.status in (403, 429) and _EDGE_LIMIT.search(self.body) is not None

    @property
    def kind(self) -> str:
        """What the body is, as words for an error message."""
        if self.is_html:
            return "an HTML page (a proxy or bot wall in front of Suno, not Suno itself)"
        if not self.body:
            return "an empty body"
        try:
            self.json()
        except ValueError:
            return "something that is not JSON"
        return "JSON"

    @property
    def words(self) -> str:
        """Suno's `detail` on one line, shortened, without anything like a token; "" if there is none.

        A list of schema errors, `[{"loc": [...], "msg": ...}]`, becomes `loc.loc: msg; ...`, even if it is sent as
        text, as Python prints it.
        """
        try:
            reply = None if self.is_html else self.json()
        except ValueError:
            reply = None
        detail = reply.get("detail") if isinstance(reply, dict) else None
        if isinstance(detail, str) and detail.startswith("[{"):
            detail = _printed_list(detail)
        if isinstance(detail, list):
            detail = "; ".join(_complaint(item) for item in detail[:MAX_TEXT_LENGTH])
        if not isinstance(detail, str):
            return ""
        detail = detail[: 10 * MAX_TEXT_LENGTH]
        line = " ".join("".join(c if c.isprintable() else " " for c in _TOKEN.sub("…", detail)).split())
        return line if len(line) <= MAX_TEXT_LENGTH else line[: MAX_TEXT_LENGTH - 1].rstrip() + "…"

    @property
    def retry_after(self) -> int | None:
        """Seconds to wait, from Retry-After (a number or a date); None without a valid one."""
        try:
            return round(_RETRY.parse_retry_after(self.headers.get("Retry-After", "")))
        except (InvalidHeader, ValueError, OverflowError):
            return None

    def json(self) -> Any:
        """The body as JSON. Raises ValueError if it is not JSON."""
        try:
            return json.loads(self.body)
        except RecursionError as error:
            raise ValueError("nested too deeply") from error

    def failure(self, kind: CallKind) -> SunoError:
        """The error that a failed status means, with Suno's own text if there is any. `kind`: of the call."""
        cost = kind.cost
        said = f' Suno says: "{self.words}"' if self.words else ""
        doubt = cost is not Cost.NOTHING and not did_nothing(self.status)
        about = About(status=self.status, is_download=cost is Cost.DOWNLOAD, said=self.words)
        match self.status:
            case _ if self.is_edge_limit:
                wait = self.retry_after or EDGE_LIMIT_SECONDS
                return RateLimited(
                    "Cloudflare in front of Suno wants fewer requests; nothing was charged. Wait and try again.",
                    retry_after=wait,
                    paid_calls_pause=wait if cost is Cost.CREDITS else 0.0,
                    **about,
                )
            case 429:
                return RateLimited(
                    f"Suno wants fewer requests at once; nothing was charged. Wait and try again.{said}",
                    retry_after=self.retry_after,
                    **about,
                )
            case _ if self.is_html:
                pass
            case 402:
                return OutOfCredits(f"The Suno account is out of credits.{said}", **about)
            case 403:
                return NotAllowed(
                    f"Suno does not allow this: not in the account's plan, or not its own song.{said}", **about
                )
            case 404 if kind.names_clip:
                return SongNotFound(f"Suno knows no such song on this account.{said}", **about)
            case 400 | 422:
                return RefusedBySuno(f"Suno refused the request; nothing was charged.{said}", **about)
        what = f"Suno answered {self.status} with {self.kind}.{said}"
        return SunoFailed(what if doubt else f"{what} {NOTHING_CHARGED}", may_have_charged=doubt, **about)


def captcha_name(version: object) -> str:
    """What a captcha is called; `version` is Suno's `captcha_version`."""
    return CAPTCHAS.get(version, "a captcha") if isinstance(version, int) else "a captcha"


def captcha_required(version: object, status: int | None = None) -> CaptchaRequired:
    """The error for a captcha, which only a browser can solve; `version` is Suno's `captcha_version`, if sent.

    `status`: of the answer that shows it, if one does.
    """
    return CaptchaRequired(
        f"Suno wants {captcha_name(version)}, which only a browser can solve. Nothing was charged. Open suno.com in "
        "the browser that the cookie is from, make one song there, and try again.",
        status=status,
    )


def paid_calls_paused(seconds: float) -> RateLimited:
    """The error while an account's paid calls pause after Cloudflare's 1015: nothing is sent."""
    return RateLimited(
        "Cloudflare in front of Suno has blocked this account's splits for a while. Nothing was charged: wait and "
        "try again.",
        retry_after=math.ceil(seconds),
    )


def _printed_list(text: str) -> Any:
    try:
        return ast.literal_eval(text[:10_000])
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return text


def _complaint(item: Any) -> str:
    if not isinstance(item, dict):
        return str(item)
    loc = item.get("loc")
    place = ".".join(str(part) for part in loc) if isinstance(loc, list) else ""
    return f"{place}: {item.get('msg')}" if place else str(item.get("msg"))
