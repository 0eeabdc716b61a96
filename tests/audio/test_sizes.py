"""The sizes of files by the length of their sound."""

from __future__ import annotations

import pytest

from app.audio.container import UNKNOWN_LENGTH_BYTES
from app.audio.folder import FolderStore
from app.audio.shelf import Shelf
from app.audio.sizes import LARGEST_BOUND_BYTES, least_bytes, most_bytes
from app.audio.store import AudioFull


@pytest.mark.parametrize(
    ("format", "seconds", "most"),
    [
        ("wav", None, 500_000_000),
        ("wav", 0.0, 500_000_000),
        ("wav", 60.0, 100_000_000),
        ("wav", 240.0, 248_000_000),
        ("wav", 1_200.0, 1_240_000_000),
        ("wav", 1e9, 2_000_000_000),
        ("mp3", 240.0, 100_000_000),
    ],
)
def test_the_bound_grows_with_the_song(format: str, seconds: float | None, most: int) -> None:
    assert most_bytes(format, seconds) == most


@pytest.mark.parametrize(("seconds", "seen"), [(120.0, 61_400_000), (60.0, 20_000_000), (60.0, 31_000_000)])
def test_a_wav_that_was_seen_at_suno_is_within_the_bounds(seconds: float, seen: int) -> None:
    assert least_bytes("wav", seconds) <= seen <= most_bytes("wav", seconds)


def test_nothing_is_certain_about_a_song_of_unknown_length() -> None:
    assert least_bytes("wav", None) == 0


def test_every_wav_within_the_bounds_can_state_its_length() -> None:
    assert LARGEST_BOUND_BYTES < UNKNOWN_LENGTH_BYTES


def test_files_that_certainly_do_not_fit_are_refused(folder: FolderStore, monkeypatch: pytest.MonkeyPatch) -> None:
    shelf = Shelf(folder, limit=1_000, kept_for=0)
    shelf.check([600, 600])
    shelf.check_room([1_000])
    with pytest.raises(AudioFull, match=r"1,001 bytes, and AUDIO_LIMIT allows 1,000\.\Z"):
        shelf.check([1, 1_001])
    with pytest.raises(AudioFull, match=r"1,200 bytes, .* Nothing was charged\.") as refused:
        shelf.check_room([600, 600], together=True)
    assert not refused.value.is_passing


def test_a_disk_that_is_certainly_too_small_is_full(folder: FolderStore, monkeypatch: pytest.MonkeyPatch) -> None:
    shelf = Shelf(folder, limit=10**12, kept_for=0)
    monkeypatch.setattr(FolderStore, "free", lambda self: 1_000)
    shelf.check([1_000])
    with pytest.raises(AudioFull, match="1,001 bytes, and the disk for kept audio has 1,000"):
        shelf.check([1, 1_000])
    folder.write("mine/old.wav", b"removed for it")
    shelf.check([1, 1_000])
