"""`python -m clients.mcp`: serve the tools until the client disconnects."""

from __future__ import annotations

import os
import sys

from clients.mcp.settings import Settings
from clients.mcp.tools import Tools


def main() -> None:
    """Serve until the client disconnects."""
    try:
        settings = Settings.read(os.environ)
    except ValueError as error:
        sys.exit(str(error))
    Tools(settings).serve().run("stdio")


if __name__ == "__main__":
    main()
