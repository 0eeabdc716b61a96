"""The Suno account of a request, and what it has left."""

from __future__ import annotations

import math
from dataclasses import asdict

from app.accounts import budget_of, owners
from app.splits.store import Owner
from app.suno.cookie import HOW_TO_COPY, ONLY_SESSION, UnusableCookie, cookie_in, cookie_of, has_only_session
from app.suno.session import Account
from app.web import telemetry
from app.web.access import caller_of_request
from app.web.account_schemas import CreditsLeft
from app.web.api import FREE_READ, Blueprint
from app.web.current import current_request, parts
from app.web.errors import CookieMissing, ErrorCode
from app.web.examples import EXAMPLE_CREDITS

blueprint = Blueprint("account", __name__, url_prefix="/api", description="The Suno account")


def account_of_request() -> Account:
    """The account of `Cookie`, otherwise of X-Suno-Cookie, of X-Suno-Account, or the caller's first.

    X-Suno-Cookie is for scripts in browsers, which cannot set `Cookie`. Raises NotAllowed. Raises CookieMissing if
    there is no account, or if the request's cookie is unusable: the operator's account must not pay instead.
    """
    account = _named_account()
    telemetry.note_account(account)
    return account


def owners_of_request(account: Account, *, ledger_needed: bool) -> tuple[Owner, ...]:
    """The ledger's names for the account and the caller. Raises what AccountNames.of raises."""
    return owners(parts().names.of(account, ledger_needed=ledger_needed), caller_of_request())


def _named_account() -> Account:
    caller, accounts = caller_of_request(), parts().accounts
    # Not from `request.headers`: Werkzeug raises an error for each header that is missing.
    sent = current_request().environ.get
    own_cookie, name = sent("HTTP_X_SUNO_COOKIE"), sent("HTTP_X_SUNO_ACCOUNT")
    cookies: str = sent("HTTP_COOKIE", "")
    try:
        if cookies and (cookie := cookie_in(cookies)):
            return accounts.of_cookie(caller, cookie, "the request's Cookie header")
        if own_cookie is not None:
            if cookie := cookie_of(own_cookie.strip()):
                return accounts.of_cookie(caller, cookie, "the header X-Suno-Cookie")
            raise UnusableCookie
    except UnusableCookie:
        if has_only_session(own_cookie or ""):
            raise CookieMissing(f"{ONLY_SESSION} Nothing was charged.") from None
        raise CookieMissing(
            f"The request names an account, but has no usable cookie __client. {HOW_TO_COPY} Send it, or the whole "
            "header, in X-Suno-Cookie. Nothing was charged."
        ) from None
    if name is not None:
        return accounts.named(caller, name.strip())
    if account := accounts.first(caller):
        return account
    # Any app on this host that signs in with Clerk sets a __session: only without an account is it a mistake.
    if has_only_session(cookies):
        raise CookieMissing(f"{ONLY_SESSION} Nothing was charged.")
    raise CookieMissing(
        f"There is no Suno account. {HOW_TO_COPY} Send it in the header X-Suno-Cookie, or set SUNO_COOKIE. "
        "Nothing was charged."
    )


@blueprint.route("/get_limit", methods=["GET"])
@blueprint.response(
    200,
    CreditsLeft,
    description="What is left.",
    example=EXAMPLE_CREDITS,
    headers={
        "X-Suno-Account": {
            "description": "The name of the operator's account; absent if the request has its own cookie.",
            "schema": {"type": "string"},
        }
    },
)
@blueprint.doc(operationId="getLimit")
@blueprint.fails_with(*FREE_READ, ErrorCode.LEDGER_UNAVAILABLE)
def get_limit() -> tuple[dict[str, object], int, dict[str, str]]:
    """Get the account's remaining credits and downloads, and the caller's budget.

    Free. To know what a split cost, compare `credits_left` before and after it: Suno decides its price. `budget` is
    present if the operator has set a limit for the API key.
    """
    account = account_of_request()
    reply = asdict(parts().gateway.credits(account)) | {"captcha": parts().gateway.wants_captcha(account)}
    budget: dict[str, int | None] = {}
    for unit, time in (("credits", "day"), ("downloads", "month")):
        if own := budget_of(caller_of_request(), unit):
            left = parts().ledger.left(own)
            more_in = None if left.more_in is None else math.ceil(left.more_in)
            budget |= {f"{unit}_per_{time}": own.limit, f"{unit}_left": left.amount, f"more_{unit}_in": more_in}
    name = {"X-Suno-Account": account.name} if account.name else {}
    return reply | ({"budget": budget} if budget else {}), 200, name
