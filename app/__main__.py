"""The service and the jobs process together: `python -m app`.

On SIGTERM both finish their work. If one ends, so does the other.
"""

from __future__ import annotations

import os
import sys

from honcho import command, manager

KILL_WAIT = 90
"""Seconds until a process that does not end is killed. honcho's 5 s are too short: requests may be paid for."""


def main() -> None:
    """Start what the Procfile lists, with honcho's options: `-p 3000`."""
    manager.KILL_WAIT = KILL_WAIT
    os.environ.setdefault("PORT", "3000")
    sys.argv[1:1] = ["start"]
    command.main()


if __name__ == "__main__":
    main()
