"""What can go wrong when Suno is asked for something.

    SunoError
    ├── SunoUnreachable    nothing that costs was asked
    ├── OutcomeUnknown     a paid call was sent and no whole answer came
    ├── SunoFailed         Suno answered, but not with an answer
    ├── SessionExpired     the cookie no longer signs in
    ├── OutOfCredits
    ├── CaptchaRequired    only a browser can go on
    ├── NotAllowed         not in the plan, or not the account's song
    ├── SongNotFound
    ├── RateLimited
    └── RefusedBySuno      Suno finds the request itself wrong

The text of each is a sentence for the caller: it never holds a cookie, a token or what the caller sent. Where Suno
may have charged, what to do about it is added where the sentence is told.
"""


class SunoError(Exception):
    """Suno was asked and did not do it.

    `retry_after`: seconds until Suno wants to be asked again, where it said so.
    `may_have_charged`: a paid call may have gone through all the same.
    `status`: that of Suno's answer, where this is one.
    """

    may_have_charged = False
    is_download = False
    """Whether what may have been charged is one of the month's downloads, and not credits."""
    status: int | None = None

    def __init__(self, sentence: str, *, retry_after: int | None = None) -> None:
        super().__init__(sentence)
        self.retry_after = retry_after


class SunoUnreachable(SunoError):
    """No connection, or a free call without an answer: nothing was charged, safe to try again."""


class OutcomeUnknown(SunoError):
    """A paid call was sent and no whole answer came: Suno may have charged. Never send it again blindly."""

    may_have_charged = True


class SunoFailed(SunoError):
    """Suno answered 5xx, or something that is not its JSON."""

    def __init__(self, sentence: str, *, may_have_charged: bool = False) -> None:
        super().__init__(sentence)
        self.may_have_charged = may_have_charged


class SessionExpired(SunoError):
    """Clerk or Suno refuses the cookie: a person has to copy a new one from a signed-in browser."""


class OutOfCredits(SunoError):
    """The account's credits do not pay for this."""


class CaptchaRequired(SunoError):
    """Suno wants a captcha solved in a browser before it goes on."""


class NotAllowed(SunoError):
    """The account's plan does not include this, or the song is somebody else's."""


class SongNotFound(SunoError):
    """There is no such song on this account."""


class RateLimited(SunoError):
    """Suno wants fewer jobs or requests; `retry_after` is Suno's own."""


class RefusedBySuno(SunoError):
    """Suno finds the input wrong, or its wire format has changed."""
