"""Which Suno account a request speaks for, and what that account has left."""

from __future__ import annotations

from flask import request

from app.api import FREE_READ, Blueprint
from app.current import gateway, settings
from app.errors import CookieMissing
from app.schemas import EXAMPLE_CREDITS, CreditsLeft
from app.suno.clip import Credits
from app.suno.session import Account, client_in, client_of

blueprint = Blueprint("account", __name__, url_prefix="/api", description="The Suno account")


def account_of_request() -> Account:
    """The account of the request's own cookie, else of the header X-Suno-Cookie, else of SUNO_COOKIE.

    Browsers forbid scripts to set `Cookie`, hence the second header. Raises CookieMissing where there is no
    account, and where X-Suno-Cookie was sent without one: it asks for another account, so the operator's must
    not pay instead.
    """
    if client := client_in(request.headers.get("Cookie", "")):
        return Account(client, "the request's Cookie header")
    if named := request.headers.get("X-Suno-Cookie", "").strip():
        if client := client_of(named):
            return Account(client, "the header X-Suno-Cookie")
        raise CookieMissing(
            "The header X-Suno-Cookie has no cookie __client: send the Cookie header of a browser that is signed in "
            "to suno.com, or the value of __client alone."
        )
    if client := settings.suno_client:
        return Account(client, "SUNO_COOKIE")
    raise CookieMissing(
        "No Suno account: send the cookie __client of a browser that is signed in to suno.com in the header "
        "X-Suno-Cookie, or set SUNO_COOKIE."
    )


@blueprint.route("/get_limit", methods=["GET"])
@blueprint.response(200, CreditsLeft, description="What is left.", example=EXAMPLE_CREDITS)
@blueprint.doc(operationId="getLimit")
@blueprint.fails_with(*FREE_READ)
def get_limit() -> Credits:
    """Tell what the account has left.

    Free. Enough `credits_left` for a split are 10 for two stems and 50 for twelve, as reported in 2026.
    """
    return gateway.credits(account_of_request())
