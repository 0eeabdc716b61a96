"""The Suno account of a request, its name in the ledger, and its budgets."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product

from app.callers import DEFAULT_ACCOUNT, Caller, OperatorAccount
from app.splits.budget import Budget
from app.splits.ledger import Ledger
from app.splits.store import LedgerUnavailable, Owner
from app.suno.gateway import SunoGateway
from app.suno.session import Account, User

log = logging.getLogger(__name__)

MAX_KNOWN_COOKIES = 10_000
"""Maximum cookies that a process remembers as recorded in the ledger."""


class CallerNotAllowed(Exception):
    """The operator does not allow this caller to do this."""


class Accounts:
    """The operator's accounts, and which of them a caller may use.

    An account that the caller may not use is refused in the same words as one that does not exist.
    """

    def __init__(self, accounts: Mapping[str, OperatorAccount]) -> None:
        self._limits = {name: account.credits_per_day for name, account in accounts.items()}
        self._by_name = {
            name: Account(account.cookie, "SUNO_COOKIE" if name == DEFAULT_ACCOUNT else f"the account {name}", name)
            for name, account in accounts.items()
        }
        self._by_cookie = {account.cookie: account for account in self._by_name.values()}

    @property
    def default(self) -> Account | None:
        """The account of SUNO_COOKIE."""
        return self._by_name.get(DEFAULT_ACCOUNT)

    def by_name(self, name: str) -> Account | None:
        """The account with this name, for any caller."""
        return self._by_name.get(name)

    def of_cookie(self, caller: Caller, cookie: str, named_by: str) -> Account:
        """The account of a cookie that the caller sent. Raises NotAllowed."""
        known = self._by_cookie.get(cookie)
        if not caller.own_cookie and not (known and self._may_use(caller, known.name)):
            raise CallerNotAllowed(
                "This API key may not send a Suno cookie of its own. Leave it out, and choose one of the operator's "
                "accounts with X-Suno-Account."
            )
        return Account(cookie, named_by, known.name if known else "")

    def named(self, caller: Caller, name: str) -> Account:
        """The operator's account with this name. Raises NotAllowed."""
        account = self._by_name.get(name)
        if account is None or not self._may_use(caller, name):
            raise CallerNotAllowed("X-Suno-Account names no account that this API key may use. Nothing was charged.")
        return account

    def first(self, caller: Caller) -> Account | None:
        """The account to use if a request names none."""
        name = DEFAULT_ACCOUNT if caller.accounts is None else next(iter(caller.accounts), None)
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


@dataclass(frozen=True, slots=True)
class _Noted:
    """What a process has recorded of a cookie."""

    user: User | None
    """The user that the last token named."""
    names: tuple[str, ...]
    """The cookie's names in the ledger, the current one first."""


class AccountNames:
    """Finds the ledger's names for accounts. One per process."""

    def __init__(self, gateway: SunoGateway, ledger: Ledger) -> None:
        self._gateway = gateway
        self._ledger = ledger
        self._noted: OrderedDict[str, _Noted] = OrderedDict()

    def of(self, account: Account, *, ledger_needed: bool) -> tuple[str, ...]:
        """The ledger's name for an account, then its other names: keys and files are found by each of them.

        The name is Suno's own user. If Suno's token does not have it, the name stays what it was; else it is the
        sign-in's user, or a hash of the cookie. A cookie that has signed in before, in any process, needs no call.
        Otherwise it signs in, for free. Raises a SunoError if that fails; with `ledger_needed`, raises
        LedgerUnavailable before any call to Suno.
        """
        cookie, user = account.cookie_hash, self._gateway.known_user(account)
        noted = self._noted.get(cookie)
        if noted is None or noted.user != user:
            noted = self._note(account, user, ledger_needed=ledger_needed)
        return noted.names if cookie in noted.names else (*noted.names, cookie)

    def _note(self, account: Account, user: User | None, *, ledger_needed: bool) -> _Noted:
        """Find the names of a cookie, and record them."""
        cookie = account.cookie_hash
        try:
            if user is None and not self._ledger.names.of(cookie):
                user = self._gateway.user_of(account)
            names, is_changed = self._ledger.names.note(
                cookie, suno=user.suno if user else "", clerk=user.clerk if user else ""
            )
        except LedgerUnavailable as error:
            if ledger_needed:
                raise
            log.warning("The ledger could not record the account of a cookie: %s", error.why)
            user = user or self._gateway.user_of(account)
            return _Noted(user, (user.name if user else cookie,))
        if is_changed:
            log.warning(
                "Suno's token for the cookie of %s names another user than before: its keys and files are found by "
                "both names.",
                account.named_by,
            )
        self._noted[cookie] = noted = _Noted(user, names)
        if len(self._noted) > MAX_KNOWN_COOKIES:
            self._noted.popitem(last=False)
        return noted
