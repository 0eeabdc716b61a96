"""`make demo` and `make sandbox`."""

from __future__ import annotations

import array
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import wave
from collections.abc import Callable
from pathlib import Path

import pytest
import requests
from standardwebhooks.webhooks import Webhook

from tests.conftest import PATIENCE, SONG
from tests.jobs.conftest import SECRET, Receiver, receiver
from tools.process import ROOT, free_port

__all__ = ["receiver"]


def samples(file: Path) -> array.array[int]:
    with wave.open(str(file)) as sound:
        return array.array("h", sound.readframes(sound.getnframes()))


def test_the_demo_shows_a_real_split() -> None:
    shutil.rmtree(ROOT / "demo", ignore_errors=True)

    run = subprocess.run([sys.executable, "-m", "tools.demo"], cwd=ROOT, capture_output=True, text=True)

    folder = "Ocean Wanderer [120 BPM, C major] c3d4e5f6"
    assert run.returncode == 0, run.stderr
    assert "curl -X POST" in run.stdout
    assert '"title": "Ocean Wanderer (Vocals)"' in run.stdout
    assert "complete / complete" in run.stdout
    assert "its signature is right: stems.completed." in run.stdout
    assert re.search(r"Ocean Wanderer - Vocals\.wav +176,444 bytes +http://127\.0\.0\.1:\d+/api/audio/", run.stdout)
    assert f"   176444  {folder}/Instrumental.wav" in run.stdout
    assert "Credits after: 490" in run.stdout
    song, vocals, instrumental = (
        samples(ROOT / "demo" / f"{name}.wav")
        for name in (
            "Ocean Wanderer",
            f"{folder}/Vocals",
            f"{folder}/Instrumental",
        )
    )
    assert [a + b for a, b in zip(vocals, instrumental, strict=True)] == list(song)
    assert max(vocals) > 1000
    assert max(instrumental) > 1000
    assert (ROOT / "demo" / "waveforms.png").stat().st_size > 5_000


def test_a_failed_demo_names_the_cause(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "tools.demo"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={"PATH": "/usr/bin:/bin", "SUNO_DEADLINE": "40", "WEB_CONCURRENCY": "2", "LOG_LEVEL": "nonsense"},
    )
    assert run.returncode == 1
    assert "The demo failed" in run.stderr
    assert "LOG_LEVEL" in run.stderr


def test_make_sandbox_fails_if_its_port_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        run = subprocess.run(
            [sys.executable, "-m", "tools.serve"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            env={**os.environ, "PORT": str(taken.getsockname()[1])},
        )
    assert run.returncode == 1
    assert "No credits are spent" not in run.stdout
    assert "cannot be used" in run.stderr and "Set PORT" in run.stderr


def test_make_sandbox_works_on_a_mac() -> None:
    environment = os.environ | {"PORT": str(free_port()), "PYTHONPATH": str(ROOT / "tests" / "mac")}
    probe = "import os, pathlib; print(hasattr(os, 'posix_fallocate'), pathlib.Path('/proc/self/stat').read_text())"
    seen = subprocess.run([sys.executable, "-c", probe], env=environment, capture_output=True, text=True)
    assert "FileNotFoundError" in seen.stderr, "the process is as on a Mac"
    with (
        tempfile.TemporaryFile("w+") as complaints,
        subprocess.Popen(
            [sys.executable, "-m", "tools.serve"],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=complaints,
            text=True,
            env=environment,
        ) as process,
    ):
        try:
            assert process.stdout
            found = re.search(r"http://[\d.:]+", process.stdout.readline())
            complaints.seek(0)
            assert found, complaints.read()
            wanted = {"audio_id": SONG, "wait_audio": True, "audio_format": "wav"}
            stems = requests.post(f"{found[0]}/api/generate_stems", json=wanted, timeout=PATIENCE).json()
            assert [stem["status"] for stem in stems] == ["complete", "complete"]
            for stem in stems:
                assert requests.get(f"{found[0]}/api/audio/{stem['id']}.wav", timeout=PATIENCE).content[:4] == b"RIFF"
            ready = requests.get(f"{found[0]}/readyz", timeout=PATIENCE).json()
            assert ready["checks"] == {"session": "ok", "ledger": "ok", "audio": "ok", "jobs": "ok"}
            assert "suno_stems_splits_paid_total 1.0" in requests.get(f"{found[0]}/metrics", timeout=PATIENCE).text
        finally:
            process.terminate()


@pytest.mark.parametrize("own", [{}, {"WEBHOOK_SECRET": SECRET, "WEBHOOK_HOSTS": "127.0.0.0/8,n8n"}])
def test_a_receiver_can_verify_the_webhooks_of_make_sandbox(
    receiver: Callable[..., Receiver], own: dict[str, str]
) -> None:
    there = receiver()
    with subprocess.Popen(
        [sys.executable, "-m", "tools.serve"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PORT": str(free_port())} | own,
    ) as process:
        try:
            assert process.stdout
            banner = "".join(iter(process.stdout.readline, "No credits are spent. Ctrl-C stops all.\n"))
            [url] = re.findall(r"The page +(http://[\d.:]+)/", banner)
            [secret] = re.findall(r"Webhooks +signed with (.*), for receivers on this machine", banner)
            wanted = {"audio_id": SONG, "webhook_url": there.url}
            assert requests.post(f"{url}/api/generate_stems", json=wanted, timeout=PATIENCE).status_code == 200
            [received] = there.wait(1)
        finally:
            process.terminate()
    headers, body = received
    assert (secret == "your WEBHOOK_SECRET") == bool(own)
    assert Webhook(own.get("WEBHOOK_SECRET", secret)).verify(body, headers)["type"] == "stems.completed"


def test_make_sandbox_stops_both_servers(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "tools.serve"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PORT": str(free_port())},
    )
    assert process.stdout
    urls = [re.search(r"http://[\d.:]+", process.stdout.readline()) for _ in range(2)]
    process.stdout.readline()
    process.terminate()
    assert process.wait(timeout=60) == 0
    for url in urls:
        assert url
        with pytest.raises(requests.ConnectionError):
            requests.get(url[0], timeout=5)
