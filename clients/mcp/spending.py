"""What a process has spent."""

from __future__ import annotations

from collections import defaultdict

import anyio
from mcp.server.mcpserver.exceptions import ToolError

from clients.mcp.texts import counted

PRICES = {"two": 10, "twelve": 50}
"""With how many credits a split counts, as reported in 2026: what Suno takes is known only after it."""


class Spending:
    """The credits that this process has spent, or may have spent, by the keys of its splits and orders."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._spent: dict[str, int] = {}
        self._turns: defaultdict[str, anyio.Lock] = defaultdict(anyio.Lock)

    def turn(self, key: str) -> anyio.Lock:
        """The lock of a key: of two calls at once, the refusal of one must not cancel what the other has spent."""
        return self._turns[key]

    def counts(self, key: str) -> bool:
        """Whether this key was sent, and has not certainly cost nothing."""
        return key in self._spent

    def begin(self, key: str, price: int, *, confirmed: bool, what: str, cost: str = "Nothing was charged.") -> int:
        """Count a split or an order before it is sent. Raises ToolError above the limit.

        `price`: the most that it may cost in total. Returns what was added: 0 if as much counts already.
        `what`: the beginning of the error's sentence, such as "This split counts as". `cost`: its words on the cost.
        """
        before = self._spent.get(key, 0)
        added = max(0, price - before)
        spent = sum(self._spent.values())
        if added and spent + added > self._limit and not confirmed:
            together = f", and {spent} were counted before: together" if spent else ","
            raise ToolError(
                f"{what} {counted(added, 'credit')}{together} more than the {self._limit} of MCP_CREDITS. "
                f"{cost} Ask the user, then call again with confirm=true."
            )
        self._spent[key] = before + added
        return added

    def cancel(self, key: str, added: int) -> None:
        """What `begin` has added certainly cost nothing."""
        self._spent[key] -= added
        if not self._spent[key]:
            del self._spent[key]
