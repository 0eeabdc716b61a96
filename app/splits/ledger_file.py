"""Which file is the ledger: gunicorn's main process tells its workers, so that none starts with another one.

The main process loads this module before gevent has patched anything.
"""

from __future__ import annotations

import os

IN_USE = "SUNO_STEMS_LEDGER_FILE"
"""The environment variable with which it names the file, in the form of `describe`."""


def describe(file: os.stat_result) -> str:
    """Identify a file: its device and inode."""
    return f"{file.st_dev}:{file.st_ino}"
