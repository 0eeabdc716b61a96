"""Containers: files as encoders write them, whole and cut at any byte."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from struct import pack

import pytest

from app.audio.container import CutShort, WrongFormat, check_audio, is_format
from sandbox.storage import encoded
from tests.audio.conftest import wav

SOUND = wav(seconds=1, rate=22_050)

Check = Callable[[bytes, str], None]


@pytest.fixture
def check(tmp_path: Path) -> Check:
    def check(content: bytes, format: str) -> None:
        (tmp_path / "file").write_bytes(content)
        check_audio(tmp_path / "file", format)

    return check


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    return {"wav": SOUND, "mp3": encoded(SOUND, "mp3"), "m4a": encoded(SOUND, "m4a")}


@pytest.mark.parametrize("format", ["wav", "mp3", "m4a"])
def test_a_file_cut_at_any_place_is_noticed(check: Check, files: dict[str, bytes], format: str) -> None:
    whole = files[format]
    check(whole, format)
    for length in (*range(len(whole) // 10, len(whole), len(whole) // 10), len(whole) - 2):
        with pytest.raises(CutShort):
            check(whole[:length], format)


@pytest.mark.parametrize("format", ["wav", "mp3", "m4a"])
def test_a_file_of_another_format_is_noticed(check: Check, files: dict[str, bytes], format: str) -> None:
    for other in {"wav", "mp3", "m4a"} - {format}:
        with pytest.raises(WrongFormat, match=format):
            check(files[other], format)


@pytest.mark.parametrize("unknown", [0, 0xFFFF_FFFF, 0x7FFF_F024])
def test_a_wav_without_a_length_is_whole(check: Check, unknown: int) -> None:
    length = pack("<I", unknown)
    check(SOUND[:4] + length + SOUND[8:40] + length + SOUND[44:], "wav")
    check(SOUND[:4] + length + SOUND[8:], "wav")


def test_a_wav_whose_chunk_ends_after_the_file_is_cut(check: Check) -> None:
    unknown = pack("<I", 0)
    with pytest.raises(CutShort, match="44,144 bytes"):
        check((SOUND[:4] + unknown + SOUND[8:])[:30_000], "wav")


def test_data_after_the_end_and_an_omitted_pad_byte_are_no_cut(check: Check) -> None:
    check(SOUND + b"id3 \4\0\0\0more", "wav")
    odd = SOUND[:40] + pack("<I", 3) + b"abc"
    check(odd[:4] + pack("<I", len(odd) - 8 + 1) + odd[8:], "wav")


def test_a_long_wav_has_its_length_in_another_chunk(check: Check) -> None:
    sound, unknown = SOUND[44:], pack("<I", 0xFFFF_FFFF)

    def long(whole: int, data: int) -> bytes:
        sizes = b"ds64" + pack("<IQQQI", 28, whole, data, 0, 0)
        return b"RF64" + unknown + b"WAVE" + sizes + SOUND[12:36] + b"data" + unknown + sound

    size = len(long(0, 0))
    check(long(size - 8, len(sound)), "wav")
    for whole, data in ((size, len(sound)), (size - 8, len(sound) + 1)):
        with pytest.raises(CutShort):
            check(long(whole, data), "wav")


def test_a_tag_before_an_mp3_is_not_part_of_its_stream(check: Check, files: dict[str, bytes]) -> None:
    mp3 = files["mp3"]
    bare = mp3[10 + mp3[9] :]
    tag = b"ID3\4\0\0\0\0\7\x68" + bytes(7 * 128 + 0x68)
    check(bare, "mp3")
    check(tag + bare, "mp3")
    check(tag + bare + b"TAG".ljust(128), "mp3")
    with pytest.raises(CutShort):
        check((tag + bare)[:-100], "mp3")
    with pytest.raises(CutShort):
        check(tag[:500], "mp3")


def test_an_m4a_without_its_index_is_cut(check: Check, files: dict[str, bytes]) -> None:
    m4a = files["m4a"]
    assert m4a.index(b"mdat") < m4a.index(b"moov"), "its end is the index"
    with pytest.raises(CutShort, match="moov"):
        check(m4a[: m4a.index(b"moov") - 4], "m4a")


def test_a_long_or_last_box_of_an_m4a_has_another_length(check: Check, files: dict[str, bytes]) -> None:
    m4a = files["m4a"]
    start = m4a.index(b"ftyp") - 4
    head, moov = m4a[start : start + int.from_bytes(m4a[:4], "big")], m4a[m4a.index(b"moov") - 4 :]
    check(head + moov + pack(">I4sQ", 1, b"mdat", 116) + bytes(100), "m4a")
    check(head + moov + pack(">I4s", 0, b"mdat") + bytes(100), "m4a")
    with pytest.raises(CutShort):
        check(head + moov + pack(">I4sQ", 1, b"mdat", 117) + bytes(100), "m4a")


@pytest.mark.parametrize(
    ("format", "beginning", "fits"),
    [
        ("wav", b"RIFF\0\0\0\0WAVEfmt ", True),
        ("wav", b"RF64\0\0\0\0WAVE", True),
        ("wav", b"ID3\4", False),
        ("wav", b"RIFF\0\0\0\0AVI ", False),
        ("wav", b"", False),
        ("mp3", b"ID3\4", True),
        ("mp3", b"\xff\xfb\x90\x00", True),
        ("mp3", b"\xff\xf3\x84\xc4", True),
        ("mp3", b"\xff\xf1\x50\x80", False),  # AAC in ADTS
        ("mp3", b"\xff\xfe<\0!\0D\0", False),  # a text in UTF-16
        ("mp3", b"\xff\x00\x00\x00", False),
        ("m4a", b"\0\0\0\x1cftypM4A ", True),
        ("m4a", b"<!DOCTYPE html>", False),
    ],
)
def test_the_first_bytes_must_match_the_format(format: str, beginning: bytes, fits: bool) -> None:
    assert is_format(beginning, format) is fits


@pytest.mark.parametrize("format", ["wav", "mp3", "m4a"])
def test_random_content_is_read_to_an_end(check: Check, format: str) -> None:
    beginning = {"wav": b"RIFF\0\0\0\0WAVE", "mp3": b"ID3\4\0\0\0\0\0\0", "m4a": b"\0\0\0\x0cftypM4A "}[format]
    for _ in range(50):
        try:
            check(beginning + os.urandom(1000), format)
        except CutShort:
            continue
