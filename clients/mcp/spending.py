"""What a process has spent."""

from __future__ import annotations

from mcp.server.mcpserver.exceptions import ToolError

PRICES = {"two": 10, "twelve": 50}
"""With how many credits a split counts, as reported in 2026: what Suno takes is known only after it."""


class Spending:
    """The credits that this process has spent, or may have spent, by the keys of its splits."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._spent: dict[str, int] = {}

    def begin(self, key: str, price: int, *, confirmed: bool) -> bool:
        """Count a split before it is sent. Returns whether it is new. Raises ToolError above the limit."""
        if key in self._spent:
            return False
        spent = sum(self._spent.values())
        if spent + price > self._limit and not confirmed:
            before = f", and {spent} were counted before: together" if spent else ","
            raise ToolError(
                f"Suno decides what a split costs. This one counts as {price} credits{before} more than the "
                f"{self._limit} of MCP_CREDITS. Nothing was charged. Ask the user, then call again with confirm=true."
            )
        self._spent[key] = price
        return True

    def cancel(self, key: str) -> None:
        """The split of this key certainly cost nothing."""
        self._spent.pop(key, None)
