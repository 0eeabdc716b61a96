"""On SIGHUP the jobs process reads its accounts again, as the service does."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import SONG, Suno, until
from tests.deploy.conftest import workers
from tests.deploy.test_reload import wait_for_new_workers
from tests.jobs.conftest import Deployed

ONE = '[accounts.one]\ncookie = "sandbox-alice"\n'


@pytest.fixture
def callers(tmp_path: Path) -> Path:
    file = tmp_path / "callers.toml"
    file.write_text(ONE, encoding="utf-8")
    return file


def test_files_of_an_account_that_the_jobs_process_does_not_know_yet_wait_for_its_reread(
    deploy: Callable[..., Deployed], suno: Suno, account: str, callers: Path
) -> None:
    deployed = deploy(SUNO_COOKIE="", CALLERS_FILE=str(callers))
    jobs = deployed.start_jobs()
    callers.write_text(f'{ONE}[accounts.new]\ncookie = "{account}"\n', encoding="utf-8")
    old = workers(deployed.client.server.process.pid)
    deployed.client.server.process.send_signal(signal.SIGHUP)
    wait_for_new_workers(deployed.client, old)

    def state() -> dict[str, object]:
        [file] = deployed.client.post(
            "/api/audio", json={"ids": [SONG], "format": "mp3"}, headers={"X-Suno-Account": "new"}
        ).json()
        assert file["status"] != "failed"
        return dict(file)

    assert state()["status"] == "fetching"
    until(lambda: "on SIGHUP" in str(state()["error"]))
    jobs.process.send_signal(signal.SIGHUP)
    until(lambda: state()["status"] == "kept")
    assert suno.get("/sandbox/unlocks").json()[account] == [SONG]


def test_a_wrong_file_leaves_the_old_accounts_in_force(deploy: Callable[..., Deployed], callers: Path) -> None:
    deployed = deploy(SUNO_COOKIE="", CALLERS_FILE=str(callers))
    jobs = deployed.start_jobs()
    callers.write_text("[accounts.one]\ncookie = 5\n", encoding="utf-8")
    jobs.process.send_signal(signal.SIGHUP)
    until(lambda: "The old settings stay in force" in jobs.logged())
    callers.write_text(ONE, encoding="utf-8")
    jobs.process.send_signal(signal.SIGHUP)
    until(lambda: "are read again" in jobs.logged())
    jobs.process.terminate()
    assert jobs.process.wait(timeout=30) == 0
