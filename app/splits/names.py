"""The names of a cookie's account: the ledger finds its keys, and the shelf its files, by each of them."""

from __future__ import annotations

from app.splits.store import Store, Transaction
from app.timing import DAY

NAMES_KEPT_SECONDS = 365 * DAY
"""Seconds to remember the names of a cookie's account: as long as Suno's cookie lives."""


class NameTable:
    """The names of all cookies. Every method is one transaction and raises LedgerUnavailable."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def of(self, cookie_hash: str) -> tuple[str, ...]:
        """Read the names of a cookie's account, the current one first; () if the cookie is not known."""
        return self._store.read(lambda tx: _names(tx, cookie_hash))

    def note(self, cookie_hash: str, *, suno: str, clerk: str) -> tuple[tuple[str, ...], bool]:
        """Record how a token names the account of a cookie; the cookie keeps all names that it had.

        `suno`, `clerk`: the ids of the user in the token, or "". Returns the names, the current one first, and
        whether one is new for a cookie that had another. A token without Suno's own id proves no other account: the
        current name stays.
        """

        def change(tx: Transaction) -> tuple[tuple[str, ...], bool]:
            before = _names(tx, cookie_hash)
            # Another cookie of this user may have had a token with Suno's own id.
            known = before or (_names(tx, clerk) if clerk and not suno else ())
            named = [name for name in ((suno or clerk),) if name]
            every = dict.fromkeys((*named, *known) if suno else (*known, *named))
            names = tuple(name for name in every if name != cookie_hash) or (cookie_hash,)
            tx.put_record("names", cookie_hash, names, kept=NAMES_KEPT_SECONDS)
            if suno and clerk:
                tx.put_record("names", clerk, [suno], kept=NAMES_KEPT_SECONDS)
            return names, bool(before) and not set(named) <= set(before)

        return self._store.transact(change)


def _names(tx: Transaction, cookie_hash: str) -> tuple[str, ...]:
    if (names := tx.record("names", cookie_hash)) is not None:
        return tuple(names)
    # The record of versions before 1.1.
    name: str | None = tx.record("cookie", cookie_hash)
    return (name,) if name else ()
