"""Errors of calls to Suno.

    SunoError
    ├── SunoUnreachable    no paid call was sent
    ├── OutcomeUnknown     a paid call was sent, and no usable answer came
    ├── SunoFailed         Suno answered 5xx, or not with its JSON
    ├── SessionExpired     the cookie no longer signs in
    ├── OutOfCredits
    ├── CaptchaRequired    only a browser can solve it
    ├── NotAllowed         not in the plan, or not the account's song
    ├── SongNotFound
    ├── RateLimited
    └── RefusedBySuno      Suno rejects the request as invalid

The text of each is a sentence for the caller. It never contains a cookie, a token or the caller's input. If Suno may
have charged, app/web/errors.py adds what to do.
"""

from typing import TypedDict, Unpack

from app import charge


class About(TypedDict, total=False):
    """What an error says besides its sentence."""

    status: int | None
    """The status of Suno's answer, if the error comes from one."""
    is_download: bool
    """Whether the possible charge is one of the month's downloads, not credits."""
    said: str
    """Suno's own words, if it sent any."""


class SunoError(charge.ChargeIsKnown):
    """A call to Suno failed.

    `retry_after`: seconds to wait, if Suno sent them.
    `paid_calls_pause`: seconds for which Suno's proxy wants no further paid call of the account; 0 without a pause.
    """

    def __init__(
        self,
        sentence: str,
        *,
        retry_after: int | None = None,
        paid_calls_pause: float = 0.0,
        status: int | None = None,
        is_download: bool = False,
        said: str = "",
    ) -> None:
        super().__init__(sentence)
        self.retry_after = retry_after
        self.paid_calls_pause = paid_calls_pause
        self.status = status
        self.is_download = is_download
        self.said = said


class SunoUnreachable(SunoError):
    """No connection, or a free call without an answer: nothing was charged, safe to retry."""


class OutcomeUnknown(SunoError):
    """A paid call was sent, and no usable answer came: Suno may have charged. Never resend it blindly."""

    may_have_charged = True


class SunoFailed(SunoError):
    """Suno answered 5xx, or something that is not its JSON."""

    def __init__(self, sentence: str, *, may_have_charged: bool = False, **about: Unpack[About]) -> None:
        super().__init__(sentence, **about)
        self.may_have_charged = may_have_charged


class SessionExpired(SunoError):
    """Clerk or Suno refuses the cookie: a person has to copy a new one from a signed-in browser.

    `cost`: a sentence about the cost, after which the text ends.
    """

    def __init__(self, sentence: str, *, cost: str = "Nothing was charged.", **about: Unpack[About]) -> None:
        super().__init__(f"{sentence} {cost}", **about)
        self.sentence = sentence


class OutOfCredits(SunoError):
    """The account does not have enough credits."""


class CaptchaRequired(SunoError):
    """Suno wants a captcha, which only a browser can solve.

    `at_sign_in`: before any call to the studio API. Then a new cookie is needed, too.
    """

    def __init__(self, sentence: str, *, at_sign_in: bool = False, **about: Unpack[About]) -> None:
        super().__init__(sentence, **about)
        self.at_sign_in = at_sign_in


class NotAllowed(SunoError):
    """The account's plan does not include this, or the song belongs to another account."""


class SongNotFound(SunoError):
    """There is no such song on this account."""


class RateLimited(SunoError):
    """Too many jobs or requests for Suno; `retry_after` comes from Suno."""


class RefusedBySuno(SunoError):
    """Suno rejects the input, or its wire format has changed."""
