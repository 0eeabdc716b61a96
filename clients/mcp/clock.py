"""The time limit of a tool's call."""

from __future__ import annotations

import time
from typing import Any

from mcp.server.mcpserver import Context

from clients.mcp.service import PATIENCE


class Clock:
    """The time limit of a call, and its progress reports."""

    def __init__(self, ctx: Context[Any, Any]) -> None:
        self._ctx = ctx
        self._began = time.monotonic()

    @property
    def passed(self) -> float:
        """Seconds since the call began."""
        return time.monotonic() - self._began

    @property
    def left(self) -> float:
        """Seconds left to answer the call."""
        return PATIENCE - self.passed

    async def report(self, message: str) -> None:
        """Report progress to the client in seconds: progress may only increase."""
        await self._ctx.report_progress(round(self.passed, 3), PATIENCE, message)
