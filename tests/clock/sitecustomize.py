"""Lets the clocks of a Python process run ahead by as much as a test says: tests/shared_clock.py.

Python loads it at its start if PYTHONPATH has this folder. To the process it looks as if the machine had slept.
"""

import mmap
import os
import struct
import time

if path := os.environ.get("TEST_CLOCK"):
    with open(path, "rb") as file:  # noqa: PTH123 (pathlib is slow to load)
        memory = mmap.mmap(file.fileno(), 8, prot=mmap.PROT_READ)

    def ahead(read):
        return lambda *about: read(*about) + struct.unpack("d", memory)[0]

    time.time, time.monotonic, time.clock_gettime = map(ahead, (time.time, time.monotonic, time.clock_gettime))
