"""Old and new processes share one ledger and one queue, as during a rolling restart: version 1.0.2, and this one.

It needs the history of the repository. Without it, test_stored_jobs.py shows the same with what 1.0.2 has stored.
"""

from __future__ import annotations

import subprocess
import sys
import tarfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
import requests

from tests import stack
from tests.conftest import SONG, Client, Suno, until
from tests.jobs.conftest import Receiver, settings_in
from tools.process import ROOT, Server, free_port, running

OLD = "4ea7ffcdccd54a50ce3cbe7ba8fd33a949912026"
"""The commit of version 1.0.2."""

SONGS = [SONG, "song-4-stems", "fault-reset-after-charge", "song-right-to-left"]
KEYS = 8


@pytest.fixture
def old_code(tmp_path: Path) -> Path:
    archive = tmp_path / "old.tar"
    made = subprocess.run(["git", "-C", str(ROOT), "archive", "-o", str(archive), OLD], capture_output=True)
    if made.returncode:
        pytest.skip("version 1.0.2 is not in this copy of the repository: only what it has stored is tested")
    with tarfile.open(archive) as opened:
        opened.extractall(tmp_path / "old", filter="data")
    return tmp_path / "old"


def split(service: Server | Client, receivers: list[Receiver], number: int) -> list[str]:
    """Split a song with a key of this number until it is answered. Returns the ids of the stems."""
    body = {"audio_id": SONGS[number % len(SONGS)], "webhook_url": receivers[number].url}
    if number % 2:
        body["audio_format"] = "mp3"

    def ask() -> list[str] | None:
        headers = {"Idempotency-Key": f"key-{number}"}
        reply = requests.post(f"{service.url}/api/generate_stems", json=body, headers=headers, timeout=30)
        return [stem["id"] for stem in reply.json()] if reply.ok else None

    return until(ask)


def test_each_key_is_paid_once_and_has_one_result_while_two_versions_run(
    old_code: Path, suno: Suno, account: str, receiver: Callable[..., Receiver], tmp_path: Path
) -> None:
    receivers = [receiver() for _ in range(KEYS)]
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    settings = settings_in(tmp_path) | {"SUNO_COOKIE": account, "SUNO_DEADLINE": "4", "SUNO_READ_TIMEOUT": "3"}
    at_suno = {"SUNO_API_URL": suno.url, "SUNO_AUTH_URL": suno.url, "NO_PROXY": "127.0.0.1", "PORT": str(port)}
    with ExitStack() as servers, ThreadPoolExecutor(4) as pool:
        before = ExitStack()
        servers.callback(before.close)

        def start(command: list[str], is_ready: Callable[[Server], bool]) -> Server:
            environment = settings | at_suno
            return before.enter_context(running(command, is_ready, url=url, settings=environment, cwd=old_code))

        old = start([sys.executable, "-m", "gunicorn"], lambda server: requests.get(f"{url}/healthz", timeout=5).ok)
        start([sys.executable, "-m", "app.jobs"], lambda server: "Ready for jobs." in server.logged())
        early = list(pool.map(lambda number: split(old, receivers, number), range(KEYS // 2)))

        new = servers.enter_context(stack.service(suno.url, settings))
        servers.enter_context(stack.jobs(suno.url, settings))
        late = list(pool.map(lambda number: split((old, new)[number % 2], receivers, number), range(KEYS // 2, KEYS)))
        for version in (old, new):
            assert list(pool.map(split, [version] * KEYS, [receivers] * KEYS, range(KEYS))) == early + late
        before.close()
        assert [split(new, receivers, number) for number in range(KEYS)] == early + late

        for number, there in enumerate(receivers):
            until(lambda there=there: "stems.completed" in [event["type"] for event in there.verified(0)])  # type: ignore[misc]
            webhook = there.verified()[-1]
            assert "stems.delayed" not in [event["type"] for event in there.verified()], "nothing took an hour"
            data = webhook["data"]
            assert (webhook["type"], [stem["id"] for stem in data["stems"]]) == (
                "stems.completed",
                (early + late)[number],
            )
            assert {file["status"] for file in data.get("files", [])} == ({"kept"} if number % 2 else set())
    assert len(suno.charges(account)) == KEYS
    unlocked = suno.get("/sandbox/unlocks").json()[account]
    assert sorted(unlocked) == sorted(set(SONGS[1::2]))
