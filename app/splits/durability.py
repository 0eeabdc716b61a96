"""Whether the ledger keeps what was committed, if its server or its machine stops."""

from __future__ import annotations

import logging
import time

from app.splits.store import Durability, LedgerUnavailable, Store

log = logging.getLogger(__name__)

DURABILITY_CHECK_SECONDS = 3600.0
"""Seconds between two looks at a store's settings, and between two log lines about them."""


class DurabilityCheck:
    """Looks at the store's settings once an hour, and says if they may lose what was paid."""

    def __init__(self, store: Store, *, is_required: bool = False) -> None:
        """`is_required`: refuse what relies on the ledger until it is durable."""
        self._store = store
        self._is_required = is_required
        self._found: Durability | None = None
        self._looks_at = 0.0
        self._says_at = 0.0

    def look(self) -> Durability:
        """Look now. Raises LedgerUnavailable."""
        found = self._store.durability()
        now = time.monotonic()
        if found.is_durable:
            self._says_at = 0.0
        elif found != self._found or now >= self._says_at:
            self._says_at = now + DURABILITY_CHECK_SECONDS
            log.error("The ledger may forget paid splits: %s.", found.why)
        self._found, self._looks_at = found, now + DURABILITY_CHECK_SECONDS
        return found

    def is_durable(self) -> bool:
        """Whether it was durable at the last look. Raises LedgerUnavailable."""
        return self._latest().is_durable

    def require(self) -> None:
        """Raise LedgerUnavailable if durability is required, and missing or unknown."""
        found = self._latest()
        if self._is_required and not found.is_durable and not (found := self.look()).is_durable:
            raise LedgerUnavailable(f"LEDGER_DURABLE is require, and {found.why}")

    def _latest(self) -> Durability:
        if self._found is None or time.monotonic() >= self._looks_at:
            return self.look()
        return self._found
