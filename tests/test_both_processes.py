"""`python -m app`: the service and the jobs process together."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import pytest
import requests

from tests.conftest import SONG, Suno
from tools.process import Server, free_port, running


def test_one_command_runs_both_and_ends_both(suno: Suno, account: str, tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{(port := free_port())}"
    settings = {
        "PORT": str(port),
        "SUNO_API_URL": suno.url,
        "SUNO_AUTH_URL": suno.url,
        "SUNO_COOKIE": account,
        "SUNO_POLL_INTERVAL": "0.2",
        "LEDGER_URL": f"sqlite:///{tmp_path}/ledger.db",
        "JOBS_URL": f"sqlite:///{tmp_path}/jobs.db",
        "AUDIO_URL": f"file://{tmp_path}/audio",
        "WEB_CONCURRENCY": "1",
    }

    def is_ready(server: Server) -> bool:
        return requests.get(f"{url}/healthz", timeout=5).ok

    with running([sys.executable, "-m", "app"], is_ready, url=url, settings=settings) as both:
        body = {"audio_id": SONG, "wait_audio": True, "audio_format": "mp3"}
        reply = requests.post(f"{url}/api/generate_stems", json=body, timeout=60)
        assert reply.status_code == 200, reply.text
        zipped = requests.get(f"{url}/api/stems.zip?audio_id={SONG}&format=mp3", timeout=60)
        assert zipped.status_code == 200, zipped.text
        both.process.send_signal(signal.SIGTERM)
        both.process.wait(60)
        assert "The jobs process has stopped." in both.logged()
        with pytest.raises(requests.ConnectionError):
            requests.get(f"{url}/healthz", timeout=5)
