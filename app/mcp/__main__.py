"""`python -m app.mcp`: serve the tools until the client disconnects."""

from __future__ import annotations

import os
import sys

from app.mcp.settings import Settings
from app.mcp.tools import Tools


def main() -> None:
    """Serve until the client disconnects."""
    try:
        settings = Settings.read(os.environ)
    except ValueError as error:
        sys.exit(str(error))
    Tools(settings).serve().run("stdio")


if __name__ == "__main__":
    main()
