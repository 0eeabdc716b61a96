from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from app.audio.measure import measure
from app.audio.peaks import PAIRS, NotAudio
from sandbox.storage import encoded
from tests.audio.conftest import wav


def peaks(tmp_path: Path, content: bytes, format: str) -> dict[str, Any]:
    file = tmp_path / "file"
    file.write_bytes(content)
    return dict(measure(file, format).peaks)


def test_a_waveform_has_a_thousand_pairs_in_audiowaveform_format(tmp_path: Path) -> None:
    found = peaks(tmp_path, wav(seconds=5), "wav")
    data = found.pop("data")
    assert found == {
        "version": 2,
        "channels": 1,
        "sample_rate": 8_000,
        "samples_per_pixel": 40,
        "bits": 16,
        "length": PAIRS,
    }
    assert len(data) == 2 * PAIRS
    assert (min(data), max(data)) == (-19_999, 19_999)
    assert all(low <= high for low, high in zip(data[::2], data[1::2], strict=True))


def test_silence_and_sound_are_at_the_right_positions(tmp_path: Path) -> None:
    tone = wav(seconds=1)
    head, samples = tone[:44], tone[44:]
    silent_half = head + bytes(len(samples) // 2) + samples[len(samples) // 2 :]
    data = peaks(tmp_path, silent_half, "wav")["data"]
    assert set(data[: PAIRS - 4]) == {0}
    assert min(map(abs, data[PAIRS + 40 :: 2])) > 0


@pytest.mark.parametrize(("format", "off"), [("mp3", 0.1), ("m4a", 0.1)])
def test_lossy_formats_have_nearly_the_same_waveform(tmp_path: Path, format: str, off: float) -> None:
    found = peaks(tmp_path, encoded(wav(seconds=4, rate=22_050), format), format)
    assert len(found["data"]) == 2 * PAIRS
    assert max(found["data"]) == pytest.approx(20_000, rel=off)


@pytest.mark.parametrize("seconds", [0.001, 0.02, 0.13])
def test_short_files_also_have_a_thousand_pairs(tmp_path: Path, seconds: float) -> None:
    assert len(peaks(tmp_path, wav(seconds=seconds), "wav")["data"]) == 2 * PAIRS


@pytest.mark.parametrize("content", [b"", b"RIFF", wav()[:44], b"<!DOCTYPE html>" * 99, b"ID3" + bytes(999)])
@pytest.mark.parametrize("format", ["wav", "mp3", "m4a"])
def test_content_that_is_not_audio_raises_not_audio(tmp_path: Path, content: bytes, format: str) -> None:
    with pytest.raises(NotAudio):
        peaks(tmp_path, content, format)
