"""Which Suno account a request speaks for, and what that account has left."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

from flask import request

from app.accounts import budget_of, owners
from app.splits.ledger import Owner
from app.suno.cookie import UnusableCookie, cookie_in, cookie_of
from app.suno.session import Account
from app.web import telemetry
from app.web.access import caller_of_request
from app.web.api import FREE_READ, Blueprint
from app.web.current import parts
from app.web.errors import CookieMissing, ErrorCode
from app.web.schemas import EXAMPLE_CREDITS, CreditsLeft

blueprint = Blueprint("account", __name__, url_prefix="/api", description="The Suno account")


def account_of_request() -> Account:
    """The account of the request's own cookie, else of X-Suno-Cookie or X-Suno-Account, else the caller's first.

    Browsers forbid scripts to set `Cookie`, hence the second header. Raises NotAllowed, and CookieMissing where there
    is no account or where the request asks for one in a way that cannot be used: the operator's must not pay instead.
    """
    account = _named_account()
    telemetry.note_account(account)
    return account


def owners_of_request(account: Account, *, ledger_needed: bool) -> tuple[Owner, ...]:
    """How the ledger calls the account and the caller. Raises what AccountNames.of raises."""
    return owners(parts().names.of(account, ledger_needed=ledger_needed), caller_of_request())


def _named_account() -> Account:
    caller, accounts = caller_of_request(), parts().accounts
    try:
        if cookie := cookie_in(request.headers.get("Cookie", "")):
            return accounts.of_cookie(caller, cookie, "the request's Cookie header")
        if "X-Suno-Cookie" in request.headers:
            if cookie := cookie_of(request.headers["X-Suno-Cookie"].strip()):
                return accounts.of_cookie(caller, cookie, "the header X-Suno-Cookie")
            raise UnusableCookie
    except UnusableCookie:
        raise CookieMissing(
            "The request names an account, but without a usable cookie __client: send the Cookie header of a browser "
            "that is signed in to suno.com, or in X-Suno-Cookie the value of __client alone. Nothing was charged."
        ) from None
    if "X-Suno-Account" in request.headers:
        return accounts.named(caller, request.headers["X-Suno-Account"].strip())
    if account := accounts.first(caller):
        return account
    raise CookieMissing(
        "No Suno account: send the cookie __client of a browser that is signed in to suno.com in the header "
        "X-Suno-Cookie, or set SUNO_COOKIE."
    )


@blueprint.route("/get_limit", methods=["GET"])
@blueprint.response(
    200,
    CreditsLeft,
    description="What is left.",
    example=EXAMPLE_CREDITS,
    headers={
        "X-Suno-Account": {
            "description": "Which of the operator's accounts it is; none where the request brought its own cookie.",
            "schema": {"type": "string"},
        }
    },
)
@blueprint.doc(operationId="getLimit")
@blueprint.fails_with(*FREE_READ, ErrorCode.LEDGER_UNAVAILABLE)
def get_limit() -> tuple[dict[str, Any], int, dict[str, str]]:
    """Tell what the account has left, and what the caller may still spend of it.

    Free. Enough `credits_left` for a split are 10 for two stems and 50 for twelve, as reported in 2026. `budget` is
    there where the operator has set a limit for the API key.
    """
    account = account_of_request()
    told = asdict(parts().gateway.credits(account))
    budget: dict[str, int | None] = {}
    for unit, time in (("credits", "day"), ("downloads", "month")):
        if own := budget_of(caller_of_request(), unit):
            left = parts().ledger.left(own)
            more_in = None if left.more_in is None else math.ceil(left.more_in)
            budget |= {f"{unit}_per_{time}": own.limit, f"{unit}_left": left.amount, f"more_{unit}_in": more_in}
    name = {"X-Suno-Account": account.name} if account.name else {}
    return told | ({"budget": budget} if budget else {}), 200, name
