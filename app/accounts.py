"""Which account of Suno's a cookie is of: its name in the ledger, whatever becomes of the cookie."""

from __future__ import annotations

import logging
from collections import OrderedDict

from app.splits.ledger import Ledger
from app.splits.store import LedgerUnavailable
from app.suno.gateway import SunoGateway
from app.suno.session import Account

log = logging.getLogger(__name__)

REMEMBERED = 10_000
"""Cookies of which a process remembers that the ledger knows them."""


class AccountNames:
    """Finds the names of accounts. One for a process."""

    def __init__(self, gateway: SunoGateway, ledger: Ledger) -> None:
        self._gateway = gateway
        self._ledger = ledger
        self._noted: OrderedDict[str, str] = OrderedDict()

    def of(self, account: Account, *, ledger_needed: bool) -> tuple[str, ...]:
        """How the ledger calls an account, and after that how an older ledger called it.

        The name is Suno's own user, or a hash of the cookie where Suno's token names nobody. No call where the cookie
        has signed in before, in any process; else it signs in, for free. Raises a SunoError where it cannot, and with
        `ledger_needed` LedgerUnavailable before anything is asked of Suno.
        """
        cookie = account.cookie_hash
        user = self._gateway.known_user(account)
        if user is None:
            known = self._noted.get(cookie) or self._known_to_ledger(cookie, ledger_needed=ledger_needed)
            user = known or self._gateway.user_of(account) or cookie
        if self._noted.get(cookie) != user:
            self._note(cookie, user)
        older = (cookie, "house") if account.is_default else (cookie,)
        return (user, *(name for name in older if name != user))

    def _known_to_ledger(self, cookie: str, *, ledger_needed: bool) -> str | None:
        try:
            return self._ledger.account_of_cookie(cookie)
        except LedgerUnavailable:
            if ledger_needed:
                raise
            return None

    def _note(self, cookie: str, name: str) -> None:
        try:
            self._ledger.note_cookie(cookie, name)
        except LedgerUnavailable as error:
            log.warning("The ledger was not told which account a cookie is of: %s", error.why)
            return
        self._noted[cookie] = name
        if len(self._noted) > REMEMBERED:
            self._noted.popitem(last=False)
