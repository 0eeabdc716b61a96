"""Which Suno account a request speaks for, and the gateway that it is asked through."""

from __future__ import annotations

from typing import cast

from flask import current_app, request
from werkzeug.local import LocalProxy

from app import telemetry
from app.suno.gateway import SunoGateway
from app.suno.session import Account, client_in, client_of

gateway = cast(SunoGateway, LocalProxy(lambda: current_app.extensions["suno"]))


class CookieMissing(Exception):
    """Neither the request nor the operator names an account."""


def account_of_request() -> Account:
    """The account of the request's own cookie, else of the header X-Suno-Cookie, else of SUNO_COOKIE.

    Browsers forbid scripts to set `Cookie`, hence the second header. Raises CookieMissing where there is no
    account, and where X-Suno-Cookie was sent without one: it asks for another account, so the operator's must
    not pay instead.
    """
    account = _named_account()
    telemetry.note_account(account)
    return account


def house_account() -> Account | None:
    """The account of SUNO_COOKIE."""
    client = current_app.extensions["house_client"]
    return Account(client, "SUNO_COOKIE") if client else None


def _named_account() -> Account:
    if client := client_in(request.headers.get("Cookie", "")):
        return Account(client, "the request's Cookie header")
    if named := request.headers.get("X-Suno-Cookie", "").strip():
        if client := client_of(named):
            return Account(client, "the header X-Suno-Cookie")
        raise CookieMissing(
            "The header X-Suno-Cookie has no cookie __client: send the Cookie header of a browser that is signed in "
            "to suno.com, or the value of __client alone."
        )
    if account := house_account():
        return account
    raise CookieMissing(
        "No Suno account: send the cookie __client of a browser that is signed in to suno.com in the header "
        "X-Suno-Cookie, or set SUNO_COOKIE."
    )
