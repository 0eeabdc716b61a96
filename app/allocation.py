"""Space on a disk, allocated before it is used.

gunicorn's main process loads this module before gevent has patched anything.
"""

from __future__ import annotations

import errno
import os

CANNOT = frozenset({errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS})
"""Errors of a file system that cannot allocate space without a write."""

ZEROS = bytes(1 << 20)


def allocate(file: int, size: int) -> None:
    """Allocate the first `size` bytes of an empty file. Raises OSError, such as ENOSPC if the disk is full."""
    # macOS has no such call.
    if hasattr(os, "posix_fallocate"):
        try:
            os.posix_fallocate(file, 0, size)
        except OSError as error:
            if error.errno not in CANNOT:
                raise
        else:
            return
    written = 0
    while written < size:
        written += os.pwrite(file, ZEROS[: size - written], written)
