"""Why something failed, for receivers and callers: without words about a request's cost.

The texts of most errors say that nothing was charged, by the call that failed. But the split was, or the song's
unlock, or another song of the order.
"""

from __future__ import annotations

from app.jobs.job import Unreadable
from app.splits.budget import OverBudget
from app.splits.waiting import TooManyWaiting
from app.suno.errors import (
    CaptchaRequired,
    NotAllowed,
    OutcomeUnknown,
    OutOfCredits,
    RateLimited,
    RefusedBySuno,
    SessionExpired,
    SongNotFound,
)


def reason(error: Exception) -> str:
    """A sentence without the cost."""
    match error:
        case OverBudget() | TooManyWaiting():
            return error.without_cost
        case SessionExpired():
            return "The cookie of the Suno account no longer signs in: the operator has to copy a new one."
        case CaptchaRequired():
            return (
                "Suno wants a captcha: open suno.com in the browser that the cookie is from, and make one song there."
            )
        case RateLimited():
            return "Suno wants fewer requests at once."
        case RefusedBySuno() if error.status is not None:
            return "Suno refused the request." + (f' Suno says: "{error.said}"' if error.said else "")
        case Unreadable() | RefusedBySuno() | NotAllowed() | SongNotFound() | OutOfCredits() | OutcomeUnknown():
            return str(error)
        case _:
            return "Suno cannot be read now."
