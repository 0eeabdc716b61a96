"""Call the studio API with an account's token: resend only if that is safe, and raise Suno's errors."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, StrEnum
from typing import Any, ParamSpec, TypeVar, assert_never

from app.suno.answer import NOTHING_CHARGED, Answer, captcha_required, paid_calls_paused
from app.suno.clip import UnreadableReply
from app.suno.clock import SunoClock
from app.suno.endpoint import Endpoint
from app.suno.errors import OutcomeUnknown, SunoError, SunoFailed, SunoUnreachable
from app.suno.session import Account, Sessions
from app.suno.wire import Deadline, NotSent, Observer, Wire, WireError

JsonObject = dict[str, Any]
"""JSON as Suno sends or wants it: its shape is Suno's, and may change."""

P = ParamSpec("P")
T = TypeVar("T")


class Cost(Enum):
    """What a call may cost the account."""

    NOTHING = "nothing"
    CREDITS = "credits"
    DOWNLOAD = "one of the month's downloads"


class CallKind(StrEnum):
    """The kind of a call. It is reported to the observer, and decides how the call is sent."""

    SPLIT = "split"
    UNLOCK = "unlock"
    CONVERT_WAV = "convert_wav"
    DOWNLOAD = "download"
    STEMS = "stems"
    CLIP = "clip"
    CAPTCHA = "captcha"
    FEED = "feed"
    BILLING = "billing"
    WAVEFORM = "waveform"
    SONG_TIME = "song_time"

    @property
    def cost(self) -> Cost:
        """What the call may cost. If it may cost anything, it is sent once and never resent blindly."""
        match self:
            case CallKind.SPLIT:
                return Cost.CREDITS
            case CallKind.UNLOCK | CallKind.CONVERT_WAV:
                return Cost.DOWNLOAD
            case (
                CallKind.DOWNLOAD
                | CallKind.STEMS
                | CallKind.CLIP
                | CallKind.CAPTCHA
                | CallKind.FEED
                | CallKind.BILLING
                | CallKind.WAVEFORM
                | CallKind.SONG_TIME
            ):
                return Cost.NOTHING
        assert_never(self)


class CostsSomething(Exception):
    """A free-only API got a call that may cost: a bug, and nothing was sent."""


class StudioApi:
    """The studio API, for any number of accounts, over kept-alive connections. Safe to share between greenlets.

    Every method raises a SunoError that says what to do next.
    """

    def __init__(self, suno: Endpoint, *, observer: Observer | None = None, free_only: bool = False) -> None:
        """`free_only`: refuse every call that may cost."""
        self.endpoint = suno
        self.clock = SunoClock()
        self._free_only = free_only
        self._observer = observer
        self._once = self._wire(suno.api_url, resend=False)
        self._again = self._wire(suno.api_url, resend=True)
        self.sessions = Sessions(
            self._wire(suno.auth_url, resend=True),
            user_agent=suno.user_agent,
            clerk_api_version=suno.clerk_api_version,
            clerk_js_version=suno.clerk_js_version,
            renewal_lasts=suno.deadline,
        )

    def read(
        self,
        account: Account,
        kind: CallKind,
        method: str,
        path: str,
        body: bytes | None = None,
        *,
        deadline: Deadline,
    ) -> Any:
        """Make a free call and return its JSON."""
        return reply_of(self.ask(account, kind, method, path, body, deadline=deadline))

    def ask(
        self,
        account: Account,
        kind: CallKind,
        method: str,
        path: str,
        body: bytes | None = None,
        *,
        deadline: Deadline,
        accept: tuple[int, ...] = (),
    ) -> Answer:
        """Send a call with the account's token. Resend it only after Suno refused the token (and did nothing).

        Returns a 2xx answer, or one of Suno itself with a status in `accept`. Raises the SunoError of any other: a
        proxy's error page says nothing about what Suno has.
        """
        costs = kind.cost is not Cost.NOTHING
        if costs and self._free_only:
            raise CostsSomething(kind)
        if kind.cost is Cost.CREDITS and (pause := self.sessions.pause_left(account)):
            raise paid_calls_paused(pause)
        token = self.sessions.bearer(account, deadline, paid=costs)
        answer = self._send(account, token, kind, method, path, body, deadline)
        if answer.refuses_token or answer.refuses_stale_token:
            token = self.sessions.bearer(account, deadline, paid=costs, refused=token)
            answer = self._send(account, token, kind, method, path, body, deadline)
            if answer.refuses_token:
                raise self.sessions.refused_after_renewal(account)
        if answer.succeeded or (answer.status in accept and not answer.is_html):
            return answer
        if answer.refuses_stale_token:
            # A new token was refused too.
            wanted = captcha_required(self._captcha_version(account, deadline))
            wanted.status = answer.status
            raise wanted
        failure = answer.failure(costs=costs)
        if answer.is_edge_limit and kind.cost is Cost.CREDITS and failure.retry_after:
            self.sessions.pause_paid_calls(account, failure.retry_after)
            failure.paid_calls_pause = failure.retry_after
        failure.is_download = kind.cost is Cost.DOWNLOAD
        raise failure

    def captcha(self, account: Account, deadline: Deadline) -> tuple[bool, object]:
        """Whether the newer split call wants a captcha now, and its version (1 hCaptcha, 2 Turnstile); free."""
        reply = self.read(
            account, CallKind.CAPTCHA, "POST", "/api/c/check", b'{"ctype":"generation"}', deadline=deadline
        )
        required = reply.get("required") if isinstance(reply, dict) else None
        if not isinstance(required, bool):
            raise changed("whether a captcha is required")
        return required, reply.get("captcha_version")

    def _captcha_version(self, account: Account, deadline: Deadline) -> object:
        try:
            required, version = self.captcha(account, deadline)
        except SunoError:
            return None
        return version if required else None

    def _send(
        self,
        account: Account,
        token: str,
        kind: CallKind,
        method: str,
        path: str,
        body: bytes | None,
        deadline: Deadline,
    ) -> Answer:
        costs = kind.cost is not Cost.NOTHING
        # With less time left, a slow answer could be cut off after Suno has charged.
        if costs and deadline.remaining < self.endpoint.deadline / 2:
            raise SunoUnreachable(f"Suno took too long before the {kind} call was sent. {NOTHING_CHARGED}")
        headers = self.sessions.headers(account)
        headers["Authorization"] = f"Bearer {token}"
        if body is not None:
            headers["Content-Type"] = "application/json"
        wire = self._once if costs else self._again
        try:
            answer = wire.ask(method, path, headers=headers, body=body, deadline=deadline, kind=kind)
        except NotSent as error:
            raise SunoUnreachable(
                f"Suno could not be reached: {error}. The request was not sent and nothing was charged: it is safe "
                "to try again."
            ) from error
        except WireError as error:
            if kind is CallKind.SPLIT:
                raise OutcomeUnknown(f"Suno was asked to split the song, but {error}.") from error
            if costs:
                lost = OutcomeUnknown(f"Suno was asked to prepare the download, but {error}.")
                lost.is_download = True
                raise lost from error
            raise SunoUnreachable(f"Suno was asked, but {error}. {NOTHING_CHARGED}") from error
        self.clock.note(answer.headers.get("Date", ""))
        return answer

    def _wire(self, url: str, *, resend: bool) -> Wire:
        return Wire(
            base_url=url,
            connect_timeout=self.endpoint.connect_timeout,
            read_timeout=self.endpoint.read_timeout,
            resend=resend,
            observer=self._observer,
        )


def json_of(answer: Answer) -> Any:
    """The JSON of an answer. Raises UnreadableReply."""
    if answer.is_html:
        raise UnreadableReply(answer.kind)
    try:
        return answer.json()
    except ValueError:
        raise UnreadableReply(answer.kind) from None


def reply_of(answer: Answer) -> Any:
    """The JSON of a free call's answer. Raises SunoFailed."""
    return read_as(json_of, answer)


def read_as(read: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Parse a free call's reply. Raises SunoFailed if it cannot be read; nothing was charged."""
    try:
        return read(*args, **kwargs)
    except UnreadableReply as error:
        raise SunoFailed(
            f"Suno answered with {error}: its wire format may have changed. {NOTHING_CHARGED}"
        ) from error


def changed(what: str) -> SunoFailed:
    """The error if a free call's reply lacks something that this version needs."""
    return SunoFailed(f"Suno no longer reports {what}: its wire format may have changed. {NOTHING_CHARGED}")
