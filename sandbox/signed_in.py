"""Calls with a bearer token."""

from __future__ import annotations

import time

from sandbox.accounts import LocalAccount
from sandbox.clips import LocalStem
from sandbox.message import Refused, Request, detail
from sandbox.suno import Suno

UNAUTHORIZED = "Unauthorized"


class SignedIn:
    """Calls of the studio host: each checks the bearer token first."""

    def __init__(self, suno: Suno) -> None:
        self._suno = suno

    def _account_of_2026(self, request: Request) -> LocalAccount:
        """Like `_account`, for a call that does not exist on the wire of 2024."""
        account = self._account(request)
        if self._suno.options.wire == "2024":
            raise Refused(detail(404, "Not Found"))
        return account

    def _account(self, request: Request) -> LocalAccount:
        """Return the account of the token. Raises Refused if the token is not accepted."""
        scheme, _, value = request.headers.get("authorization", "").partition(" ")
        token = self._suno.read_token(value) if scheme == "Bearer" else None
        if token is None:
            raise Refused(detail(401, UNAUTHORIZED))
        account = token.account
        request.account = account.name
        if account.kind.refuses_tokens or token.number <= account.revoked_up_to or time.time() >= token.expires_at:
            raise Refused(detail(401, UNAUTHORIZED))
        if token.number == account.first_token and account.kind.first_token != "accepted":
            raise Refused(
                detail(401, UNAUTHORIZED) if account.kind.first_token == "401" else detail(403, "JWT expired")
            )
        return account

    def _status(self, stem: LocalStem) -> str:
        return stem.status(time.time(), self._suno.options.pace)
