"""Which Suno account a request speaks for, and what that account has left."""

from __future__ import annotations

from flask import Flask, current_app, request

from app.settings import Settings
from app.suno.clip import Credits
from app.suno.cookie import UnusableCookie, cookie_in, cookie_of
from app.suno.session import Account
from app.web import telemetry
from app.web.api import FREE_READ, Blueprint
from app.web.current import parts
from app.web.errors import CookieMissing
from app.web.schemas import EXAMPLE_CREDITS, CreditsLeft

blueprint = Blueprint("account", __name__, url_prefix="/api", description="The Suno account")


def account_of_request() -> Account:
    """The account of the request's own cookie, else of the header X-Suno-Cookie, else of SUNO_COOKIE.

    Browsers forbid scripts to set `Cookie`, hence the second header. Raises CookieMissing where there is no account,
    and where the request asks for another in a way that cannot be used: the operator's must not pay instead.
    """
    account = _named_account()
    telemetry.note_account(account)
    return account


def register(app: Flask, settings: Settings) -> None:
    """Make the operator's account, once: it knows its own hash then."""
    cookie = settings.suno_cookie
    app.extensions["default_account"] = Account(cookie, "SUNO_COOKIE", is_default=True) if cookie else None


def default_account() -> Account | None:
    """The account of SUNO_COOKIE."""
    default: Account | None = current_app.extensions["default_account"]
    return default


def _named_account() -> Account:
    try:
        if cookie := cookie_in(request.headers.get("Cookie", "")):
            return _account(cookie, "the request's Cookie header")
        if "X-Suno-Cookie" in request.headers:
            if cookie := cookie_of(request.headers["X-Suno-Cookie"].strip()):
                return _account(cookie, "the header X-Suno-Cookie")
            raise UnusableCookie
    except UnusableCookie:
        raise CookieMissing(
            "The request names an account, but without a usable cookie __client: send the Cookie header of a browser "
            "that is signed in to suno.com, or in X-Suno-Cookie the value of __client alone. Nothing was charged."
        ) from None
    if account := default_account():
        return account
    raise CookieMissing(
        "No Suno account: send the cookie __client of a browser that is signed in to suno.com in the header "
        "X-Suno-Cookie, or set SUNO_COOKIE."
    )


def _account(cookie: str, named_by: str) -> Account:
    default = default_account()
    return Account(cookie, named_by, is_default=default is not None and cookie == default.cookie)


@blueprint.route("/get_limit", methods=["GET"])
@blueprint.response(200, CreditsLeft, description="What is left.", example=EXAMPLE_CREDITS)
@blueprint.doc(operationId="getLimit")
@blueprint.fails_with(*FREE_READ)
def get_limit() -> Credits:
    """Tell what the account has left.

    Free. Enough `credits_left` for a split are 10 for two stems and 50 for twelve, as reported in 2026.
    """
    return parts().gateway.credits(account_of_request())
