"""Opens the store of the ledger that an address names."""

from __future__ import annotations

from app.splits.store import Store


def open_store(url: str) -> Store:
    """Make the store at LEDGER_URL. It connects on first use."""
    if url.startswith("sqlite:///"):
        from app.splits.sqlite import SqliteStore

        return SqliteStore(url.removeprefix("sqlite:///"))
    from app.splits.redis import RedisStore

    return RedisStore(url)
