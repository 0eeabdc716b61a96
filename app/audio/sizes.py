"""How large a file can be, by the length of its sound.

A WAV of Suno has 20 to 31 MB a minute (seen in October 2026). Suno's bit rates for MP3 and M4A were never seen.
"""

from __future__ import annotations

MAX_BYTES_PER_SECOND = {"wav": 31_000_000 / 60, "mp3": 320_000 / 8, "m4a": 320_000 / 8}
"""The most bytes a second that are expected."""

MIN_BYTES_PER_SECOND = {"wav": 10_000_000 / 60, "mp3": 32_000 / 8, "m4a": 32_000 / 8}
"""A file certainly has as many bytes a second: half of the smallest WAV that was seen."""

SIZE_MARGIN = 2.0
"""How many times the expected size is still believed: Suno may raise its quality."""

SMALLEST_BOUND_BYTES, UNKNOWN_BOUND_BYTES, LARGEST_BOUND_BYTES = 100_000_000, 500_000_000, 2_000_000_000
"""Bytes: the bound of a short file, of a file whose length is not known, and of any file (see container.py)."""


def most_bytes(format: str, seconds: float | None) -> int:
    """The size in bytes above which a file is not fetched."""
    if not seconds:
        return UNKNOWN_BOUND_BYTES
    return int(
        min(LARGEST_BOUND_BYTES, max(SMALLEST_BOUND_BYTES, SIZE_MARGIN * seconds * MAX_BYTES_PER_SECOND[format]))
    )


def least_bytes(format: str, seconds: float | None) -> int:
    """The size in bytes that a file has at least; 0 if its length is not known."""
    return int((seconds or 0) * MIN_BYTES_PER_SECOND[format])
