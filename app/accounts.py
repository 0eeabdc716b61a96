"""The Suno account of a request, its name in the ledger, and its budgets."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Mapping
from itertools import product

from app.callers import DEFAULT, Caller, OperatorAccount
from app.splits.budget import Budget
from app.splits.ledger import Ledger, Owner
from app.splits.store import LedgerUnavailable
from app.suno.gateway import SunoGateway
from app.suno.session import Account

log = logging.getLogger(__name__)

REMEMBERED = 10_000
"""Maximum cookies that a process remembers as recorded in the ledger."""


class NotAllowed(Exception):
    """The operator does not allow this caller to do this."""


class Accounts:
    """The operator's accounts, and which of them a caller may use.

    An account that the caller may not use is refused in the same words as one that does not exist.
    """

    def __init__(self, accounts: Mapping[str, OperatorAccount]) -> None:
        self._limits = {name: account.credits_per_day for name, account in accounts.items()}
        self._by_name = {
            name: Account(account.cookie, "SUNO_COOKIE" if name == DEFAULT else f"the account {name}", name)
            for name, account in accounts.items()
        }
        self._by_cookie = {account.cookie: account for account in self._by_name.values()}

    @property
    def default(self) -> Account | None:
        """The account of SUNO_COOKIE."""
        return self._by_name.get(DEFAULT)

    def by_name(self, name: str) -> Account | None:
        """The account with this name, for any caller."""
        return self._by_name.get(name)

    def of_cookie(self, caller: Caller, cookie: str, named_by: str) -> Account:
        """The account of a cookie that the caller sent. Raises NotAllowed."""
        known = self._by_cookie.get(cookie)
        if not caller.own_cookie and not (known and self._may_use(caller, known.name)):
            raise NotAllowed(
                "This API key may not send a Suno cookie of its own. Leave it out, and choose one of the operator's "
                "accounts with X-Suno-Account."
            )
        return Account(cookie, named_by, known.name if known else "")

    def named(self, caller: Caller, name: str) -> Account:
        """The operator's account with this name. Raises NotAllowed."""
        account = self._by_name.get(name)
        if account is None or not self._may_use(caller, name):
            raise NotAllowed("X-Suno-Account names no account that this API key may use. Nothing was charged.")
        return account

    def first(self, caller: Caller) -> Account | None:
        """The account to use if a request names none."""
        name = DEFAULT if caller.accounts is None else next(iter(caller.accounts), None)
        return self._by_name.get(name) if name else None

    def budgets(self, caller: Caller, account: Account, owner: Owner) -> tuple[Budget, ...]:
        """The budgets that a split's credits are taken from."""
        own = budget_of(caller, "credits")
        limit = self._limits.get(account.name)
        if limit is None:
            return (own,) if own else ()
        shared = Budget(f"account {account.name}", f"credits:account:{owner[0]}", "credits", limit, 1)
        return (own, shared) if own else (shared,)

    @staticmethod
    def _may_use(caller: Caller, name: str) -> bool:
        return caller.accounts is None or name in caller.accounts


def budget_of(caller: Caller, unit: str) -> Budget | None:
    """A caller's budget: credits in 1 day, or downloads in 30 days; None if there is no limit."""
    limit, days = {"credits": (caller.credits_per_day, 1), "downloads": (caller.downloads_per_month, 30)}[unit]
    return (
        None if limit is None else Budget(f"caller {caller.name}", f"{unit}:caller:{caller.name}", unit, limit, days)
    )


def owners(account_names: tuple[str, ...], caller: Caller) -> tuple[Owner, ...]:
    """The ledger's names for account and caller, then those of older ledgers."""
    return tuple(product(account_names, (caller.name, *caller.older_names)))


class AccountNames:
    """Finds the ledger's names for accounts. One per process."""

    def __init__(self, gateway: SunoGateway, ledger: Ledger) -> None:
        self._gateway = gateway
        self._ledger = ledger
        self._noted: OrderedDict[str, str] = OrderedDict()

    def of(self, account: Account, *, ledger_needed: bool) -> tuple[str, ...]:
        """The ledger's name for an account, then those of older ledgers.

        The name is Suno's own user, or a hash of the cookie if Suno's token names no user. A cookie that has signed
        in before, in any process, needs no call. Otherwise it signs in, for free. Raises a SunoError if that fails;
        with `ledger_needed`, raises LedgerUnavailable before any call to Suno.
        """
        cookie = account.cookie_hash
        user = self._gateway.known_user(account)
        if user is None:
            known = self._noted.get(cookie) or self._known_to_ledger(cookie, ledger_needed=ledger_needed)
            user = known or self._gateway.user_of(account) or cookie
        if self._noted.get(cookie) != user:
            self._note(cookie, user)
        older = (cookie, "house") if account.name == DEFAULT else (cookie,)
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
            log.warning("The ledger could not record the account of a cookie: %s", error.why)
            return
        self._noted[cookie] = name
        if len(self._noted) > REMEMBERED:
            self._noted.popitem(last=False)
