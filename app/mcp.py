"""`python -m app.mcp` starts the MCP server, as in versions before 1.1: configurations of clients name it."""

from __future__ import annotations

from clients.mcp.__main__ import main

if __name__ == "__main__":
    main()
