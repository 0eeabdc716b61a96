"""The containers of audio files: whether a file is in the wanted format, and not cut short.

Only a contradiction is a fault: a length that a file does not state, or states as unknown, is no sign of a cut.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from struct import unpack
from typing import BinaryIO, NamedTuple

UNKNOWN_LENGTH_BYTES = 0x7FFF_0000
"""A WAV of this length and more, in bytes, is not fetched: writers to a pipe put 0, 0x7FFFF000 or 0xFFFFFFFF here."""

MAX_BOXES = 100_000
"""Maximum boxes to read of an M4A."""


class WrongFormat(Exception):
    """The file is in another format than the wanted one."""


class CutShort(Exception):
    """The file ends before the end that it states."""


class _Chunk(NamedTuple):
    """A chunk of a WAV, or a box of an M4A. `end` is as the file states it."""

    name: bytes
    start: int
    end: int


def check_audio(file: Path, format: str) -> None:
    """Check a complete file. Raises WrongFormat and CutShort."""
    with file.open("rb") as content:
        size = os.fstat(content.fileno()).st_size
        if not is_format(content.read(16), format):
            raise WrongFormat(f"it is not a file of the format {format}")
        match format:
            case "wav":
                _check_wav(content, size)
            case "mp3":
                _check_mp3(content, size)
            case "m4a":
                _check_m4a(content, size)


def is_format(beginning: bytes, format: str) -> bool:
    """Whether a file that begins so can be in this format."""
    match format:
        case "wav":
            return beginning[:4] in (b"RIFF", b"RF64") and beginning[8:12] == b"WAVE"
        case "mp3":
            return beginning[:3] == b"ID3" or _is_layer_3(beginning)
        case "m4a":
            return beginning[4:8] == b"ftyp"
    return False


def _check_wav(content: BinaryIO, size: int) -> None:
    beginning = _at(content, 0, 12)
    is_long = beginning[:4] == b"RF64"
    long_data = 0
    for chunk in _chunks(content, size):
        length = chunk.end - chunk.start
        if chunk.name == b"ds64" and is_long:
            whole, long_data = unpack("<QQ", _at(content, chunk.start, 16).ljust(16, b"\0"))
            _check_end(8 + whole, size)
        if chunk.name == b"data":
            _check_end(chunk.start + (long_data or (length if _is_known(length) else 0)), size)
            break
        _check_end(chunk.end, size)
    whole = int.from_bytes(beginning[4:8], "little")
    if not is_long and _is_known(whole):
        # Some writers count the byte that pads an odd last chunk, and leave it out.
        _check_end(8 + whole, size + size % 2)


def _chunks(content: BinaryIO, size: int) -> Iterator[_Chunk]:
    at = 12
    while at + 8 <= size:
        name, length = unpack("<4sI", _at(content, at, 8))
        if not _is_name(name):
            return
        yield _Chunk(name, at + 8, at + 8 + length)
        at += 8 + length + length % 2


def _is_known(length: int) -> bool:
    return 0 < length < UNKNOWN_LENGTH_BYTES


def _check_m4a(content: BinaryIO, size: int) -> None:
    names = set()
    for box in _boxes(content, size):
        _check_end(box.end, size)
        names.add(box.name)
    if b"mdat" in names and b"moov" not in names:
        raise CutShort("it has no index of its sound (moov)")


def _boxes(content: BinaryIO, size: int) -> Iterator[_Chunk]:
    at = 0
    for _ in range(MAX_BOXES):
        if at + 8 > size:
            return
        length, name = unpack(">I4s", _at(content, at, 8))
        if not _is_name(name):
            return
        head = 8
        if length == 1:
            head, length = 16, int.from_bytes(_at(content, at + 8, 8), "big")
        elif length == 0:
            length = size - at
        if length < head:
            return
        yield _Chunk(name, at + head, at + length)
        at += length


def _check_mp3(content: BinaryIO, size: int) -> None:
    start = _end_of_tag(content)
    _check_end(start, size)
    stated = _length_of_stream(_at(content, start, 200))
    # Some writers count the tag before the stream too.
    if stated != size:
        _check_end(start + stated, size)


def _end_of_tag(content: BinaryIO) -> int:
    """Where the stream begins: after the ID3 tag, if there is one."""
    tag = _at(content, 0, 10)
    if tag[:3] != b"ID3" or len(tag) < 10 or any(byte >= 0x80 for byte in tag[6:]):
        return 0
    length = 0
    for byte in tag[6:]:
        length = length << 7 | byte
    return 10 + length + (10 if tag[5] & 0x10 else 0)


def _length_of_stream(frame: bytes) -> int:
    """The bytes of an MP3 stream as its first frame states them; 0 if it does not."""
    if not _is_layer_3(frame):
        return 0
    is_mpeg_1, is_mono = frame[1] >> 3 & 1, frame[3] >> 6 == 3
    at = 4 + ((17 if is_mono else 32) if is_mpeg_1 else (9 if is_mono else 17))
    if frame[at : at + 4] in (b"Xing", b"Info"):
        flags = int.from_bytes(frame[at + 4 : at + 8], "big")
        has_frames, has_bytes = flags & 1, flags & 2
        at += 8 + (4 if has_frames else 0)
        return int.from_bytes(frame[at : at + 4], "big") if has_bytes else 0
    return int.from_bytes(frame[46:50], "big") if frame[36:40] == b"VBRI" else 0


def _is_layer_3(frame: bytes) -> bool:
    """Whether a frame of an MP3 begins so. A byte order mark does not."""
    if len(frame) < 4 or frame[0] != 0xFF or frame[1] & 0xE0 != 0xE0:
        return False
    version, layer, bitrate, rate = frame[1] >> 3 & 3, frame[1] >> 1 & 3, frame[2] >> 4, frame[2] >> 2 & 3
    return version != 1 and layer == 1 and bitrate != 15 and rate != 3


def _check_end(stated: int, size: int) -> None:
    if stated > size:
        raise CutShort(f"it states {stated:,} bytes, but has {size:,}")


def _is_name(name: bytes) -> bool:
    return all(0x20 <= byte < 0x7F or byte == 0xA9 for byte in name)


def _at(content: BinaryIO, at: int, length: int) -> bytes:
    content.seek(at)
    return content.read(length)
