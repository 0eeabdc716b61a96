"""A cover for every song: a gradient between two colours derived from its id."""

from __future__ import annotations

import random
import struct
import zlib
from colorsys import hls_to_rgb
from functools import lru_cache

SIDE_PIXELS = 96
"""Pixels."""


@lru_cache(maxsize=256)
def png(song_id: str) -> bytes:
    """The cover as a PNG file."""
    drawn = random.Random(song_id)
    hue = drawn.random()
    light, dark = hls_to_rgb(hue, 0.65, 0.6), hls_to_rgb((hue + 0.12) % 1, 0.3, 0.7)
    rows = bytearray()
    for y in range(SIDE_PIXELS):
        rows.append(0)  # no filter
        for x in range(SIDE_PIXELS):
            share = (x + y) / (2 * SIDE_PIXELS)
            rows += bytes(round(255 * (a + (b - a) * share)) for a, b in zip(light, dark, strict=True))
    header = struct.pack(">IIBBBBB", SIDE_PIXELS, SIDE_PIXELS, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(rows))), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, content) for name, content in chunks)


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
