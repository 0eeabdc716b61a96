"""Call the studio API with an account's token: resend only if that is safe, and raise Suno's errors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from app.suno.answer import NOTHING_CHARGED, Answer, captcha_required, paid_calls_paused
from app.suno.call import Call, CallKind, Cost, Deadline
from app.suno.clip import UnreadableReply
from app.suno.clock import SunoClock
from app.suno.endpoint import Endpoint
from app.suno.errors import OutcomeUnknown, SunoError, SunoFailed, SunoUnreachable
from app.suno.session import Account, Sessions
from app.suno.wire import NotSent, Observer, Wire, WireError

JsonObject = dict[str, Any]
"""JSON as Suno sends or wants it: its shape is Suno's, and may change."""

P = ParamSpec("P")
T = TypeVar("T")


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

    def read(self, account: Account, call: Call) -> Any:
        """Make a free call and return its JSON."""
        return reply_of(self.ask(account, call))

    def ask(self, account: Account, call: Call) -> Answer:
        """Send a call with the account's token. Resend it only after Suno refused the token (and did nothing).

        Returns a 2xx answer, or one of Suno itself with a status that the call accepts. Raises the SunoError of any
        other: a proxy's error page says nothing about what Suno has.
        """
        if call.may_cost and self._free_only:
            raise CostsSomething(call.kind)
        if call.kind.cost is Cost.CREDITS and (pause := self.sessions.pause_left(account)):
            raise paid_calls_paused(pause)
        token = self.sessions.bearer(account, call.deadline, paid=call.may_cost)
        answer = self._send(account, token, call)
        if answer.refuses_token or answer.refuses_stale_token:
            token = self.sessions.bearer(account, call.deadline, paid=call.may_cost, refused=token)
            answer = self._send(account, token, call)
            if answer.refuses_token:
                raise self.sessions.refused_after_renewal(account)
        if answer.succeeded or (answer.status in call.accept and not answer.is_html):
            return answer
        if answer.refuses_stale_token:
            # A new token was refused too.
            raise captcha_required(self._captcha_version(account, call), answer.status)
        failure = answer.failure(call.kind)
        if failure.paid_calls_pause:
            self.sessions.pause_paid_calls(account, failure.paid_calls_pause)
        raise failure

    def captcha(self, account: Account, deadline: Deadline) -> tuple[bool, object]:
        """Whether the newer split call wants a captcha now, and its version (1 hCaptcha, 2 Turnstile); free."""
        reply = self.read(
            account, Call(CallKind.CAPTCHA, "POST", "/api/c/check", deadline, b'{"ctype":"generation"}')
        )
        return captcha_from_wire(reply)

    def _captcha_version(self, account: Account, refused: Call) -> object:
        if refused.kind is CallKind.CAPTCHA:
            # It would ask itself again and again.
            return None
        try:
            required, version = self.captcha(account, refused.deadline)
        except SunoError:
            return None
        return version if required else None

    def _send(self, account: Account, token: str, call: Call) -> Answer:
        # With less time left, a slow answer could be cut off after Suno has charged.
        if call.may_cost and call.deadline.remaining < self.endpoint.deadline / 2:
            raise SunoUnreachable(f"Suno took too long before the {call.kind} call was sent. {NOTHING_CHARGED}")
        headers = self.sessions.headers(account)
        headers["Authorization"] = f"Bearer {token}"
        if call.body is not None:
            headers["Content-Type"] = "application/json"
        wire = self._once if call.may_cost else self._again
        try:
            answer = wire.ask(
                call.method, call.path, headers=headers, body=call.body, deadline=call.deadline, kind=call.kind
            )
        except NotSent as error:
            raise SunoUnreachable(
                f"Suno could not be reached: {error}. The request was not sent and nothing was charged: it is safe "
                "to try again."
            ) from error
        except WireError as error:
            match call.kind.cost:
                case Cost.CREDITS:
                    raise OutcomeUnknown(f"Suno was asked to split the song, but {error}.") from error
                case Cost.DOWNLOAD:
                    raise OutcomeUnknown(
                        f"Suno was asked to prepare the download, but {error}.", is_download=True
                    ) from error
                case Cost.NOTHING:
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


def captcha_from_wire(reply: Any) -> tuple[bool, object]:
    """Whether a captcha is wanted, and its version. Raises SunoFailed."""
    required = reply.get("required") if isinstance(reply, dict) else None
    if not isinstance(required, bool):
        raise changed("whether a captcha is required")
    return required, reply.get("captcha_version")


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
