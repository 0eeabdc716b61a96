"""What a newcomer sees first."""

from __future__ import annotations

import array
import subprocess
import sys
import wave
from pathlib import Path

from sandbox import stack


def samples(file: Path) -> array.array[int]:
    with wave.open(str(file)) as sound:
        return array.array("h", sound.readframes(sound.getnframes()))


def test_the_demo_shows_a_real_split() -> None:
    for file in stack.ROOT.glob("demo/*"):
        file.unlink()

    run = subprocess.run([sys.executable, "-m", "sandbox.demo"], cwd=stack.ROOT, capture_output=True, text=True)

    assert run.returncode == 0, run.stderr
    assert "curl -X POST" in run.stdout
    assert '"title": "Ocean Wanderer (Vocals)"' in run.stdout
    assert "complete / complete" in run.stdout
    assert "Credits after: 490" in run.stdout
    song, vocals, instrumental = (
        samples(stack.ROOT / "demo" / f"{name}.wav") for name in ("song", "vocals", "instrumental")
    )
    assert [a + b for a, b in zip(vocals, instrumental, strict=True)] == list(song)
    assert max(vocals) > 1000
    assert max(instrumental) > 1000
    assert (stack.ROOT / "demo" / "waveforms.png").stat().st_size > 5_000


def test_the_demo_fails_with_a_clear_word(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "sandbox.demo"],
        cwd=stack.ROOT,
        capture_output=True,
        text=True,
        env={"PATH": "/usr/bin:/bin", "SUNO_DEADLINE": "40", "WEB_CONCURRENCY": "2", "LOG_LEVEL": "nonsense"},
    )
    assert run.returncode == 1
    assert "The demo failed" in run.stderr
    assert "LOG_LEVEL" in run.stderr
