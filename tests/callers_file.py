"""A callers file for several tests: an account of the operator for each, and a caller who may use only that one."""

from __future__ import annotations

from collections.abc import Iterable

from app.callers import hash_of


def key_of(account: str) -> str:
    """The API key of the account's caller."""
    return f"{account}-{'k' * 16}"


def tables(accounts: Iterable[str]) -> str:
    """The content of the file. Accounts and callers are named like the cookies."""
    return "".join(
        f'[accounts.{account}]\ncookie = "{account}"\n'
        f'[callers.{account}]\napi_key_sha256 = "{hash_of(key_of(account).encode())}"\naccounts = ["{account}"]\n'
        for account in accounts
    )
