"""The replies and logs of docs/incidents.md are those of the service."""

from __future__ import annotations

import errno
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from app.audio.sizes import MAX_BYTES_PER_SECOND
from tests.conftest import SONG, Client, until
from tests.in_process import InProcess
from tools.process import free_port

DAY = Path("docs/incidents.md").read_text(encoding="utf-8").partition("## An operator's day")[2]
KEPT_AUDIO = Path("docs/kept-audio.md").read_text(encoding="utf-8")
API_KEY = "a-key-of-the-test"
ALERTS = Path("deploy/alerts.yml").read_text(encoding="utf-8")


def test_every_documented_reply_is_one_of_the_service(
    start: Callable[..., Client],
    in_process: Callable[..., InProcess],
    service: Client,
    suno: Client,
    account: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dead = start(SUNO_COOKIE="sandbox-dead", CALLERS_FILE=str(callers_file(tmp_path, account)))
    moved = start(SUNO_AUTH_URL=f"{suno.url}/old")
    unreachable = in_process(f"http://127.0.0.1:{free_port()}")
    full = in_process(SUNO_COOKIE=account, AUDIO_URL=str(tmp_path / "audio"))
    monkeypatch.setattr("os.posix_fallocate", no_space)
    lost = start(LEDGER_URL=f"sqlite:///{tmp_path}/lost/ledger.db")
    for file in (tmp_path / "lost").glob("ledger.db*"):
        file.unlink()
    repeated = [dead.split(headers={"X-API-Key": API_KEY}) for _ in range(3)]
    replies = [
        repeated[-1],
        dead.split(headers={"X-API-Key": f"{API_KEY}-2"}),
        *(one.split() for one in (moved, unreachable)),
        *(one.get("/readyz") for one in (dead, unreachable, lost)),
        service.post(
            "/api/generate_stems",
            json={"audio_id": SONG, "stem_name": "Drum Kit"},
            headers={"X-Suno-Cookie": "sandbox-needs-captcha"},
        ),
        full.post("/api/generate_stems", json={"audio_id": SONG, "audio_format": "mp3"}),
        lost.split(headers={"Idempotency-Key": "k"}),
        *(service.split(cookie=cookie) for cookie in ("sandbox-poor", "sandbox-clerk-wrong-shape")),
        *(
            service.split(f"fault-{fault}", account)
            for fault in ("422-schema", "wrong-shape", "502-html", "reset-before-reading")
        ),
    ]
    given = {(reply.json()["code"], reply.json()["error"]) for reply in replies}

    documented = [json.loads(line) for line in DAY.splitlines() if line.startswith('{"error"')]
    assert {(body["code"], body["error"]) for body in documented} == given

    moved.get("/readyz")
    logged = dead.server.logged() + moved.server.logged() + lost.server.logged()
    for line in DAY.splitlines():
        if line.startswith("WARNING app.web.health"):
            assert line.partition(": ")[2] in logged


def no_space(*_: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def callers_file(folder: Path, account: str) -> Path:
    """A file with a caller that has a budget and an account of its own, and one that has neither."""
    file = folder / "callers.toml"
    file.write_text(
        f'[accounts.studio]\ncookie = "{account}"\n'
        f'[callers.n8n]\napi_key = "{API_KEY}"\naccounts = ["studio"]\ncredits_per_day = 20\n'
        f'[callers.bot]\napi_key = "{API_KEY}-2"\n'
    )
    return file


def test_every_documented_alert_exists() -> None:
    named = set(re.findall(r"`(Suno[A-Z]\w+)`", DAY))
    assert len(named) >= 5
    assert named <= set(re.findall(r"- alert: (\w+)", ALERTS))


def test_the_metrics_notice_a_lost_ledger_by_themselves(start: Callable[..., Client], tmp_path: Path) -> None:
    service = start(LEDGER_URL=f"sqlite:///{tmp_path}/ledger.db", WEB_CONCURRENCY="1")
    assert 'suno_stems_ready{part="ledger"} 1.0' in service.get("/metrics").text
    for file in tmp_path.glob("ledger.db*"):
        file.unlink()
    until(lambda: 'suno_stems_ready{part="ledger"} 0.0' in service.get("/metrics").text)


def test_the_capacity_figures_are_those_of_the_code() -> None:
    rows = re.findall(r"^\| (\d+) (MP3|WAV)s? \| (\S+) to (\S+) GB \| (\d+) to (\d+) \|$", KEPT_AUDIO, re.MULTILINE)
    assert len(rows) == 4
    for number, format, _, most, fewest, _ in rows:
        size = int(number) * MAX_BYTES_PER_SECOND[format.lower()] * 180
        assert float(most) == pytest.approx(size / 1e9, rel=0.05)
        assert int(fewest) == int(20e9 / size)
