"""A reload under load: no request fails, and no paid split is cut off."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

from tests.conftest import Client, Suno, until
from tests.deploy.conftest import Stack, workers
from tests.deploy.test_two_instances import PATIENCE, RICH, load, wait_for_replies


def wait_for_new_workers(service: Client, old: set[int]) -> None:
    def all_are_new() -> bool:
        assert service.server.process.poll() is None
        return not old & workers(service.server.process.pid)

    until(all_are_new)


def test_a_reload_under_load_fails_no_request(start: Callable[..., Client], suno: Suno) -> None:
    service = start(**PATIENCE)
    before = len(suno.charges(RICH))
    with load(lambda song, key: service.split(song, RICH)) as sent:
        for _ in range(2):
            wait_for_replies(sent, len(sent) + 6)
            old = workers(service.server.process.pid)
            service.server.process.send_signal(signal.SIGHUP)
            wait_for_new_workers(service, old)
            wait_for_replies(sent, len(sent) + 6)
    replies = [reply.result() for reply in sent]
    assert {reply.status_code for reply in replies} == {200}
    assert len(suno.charges(RICH)) - before == len(replies)


def test_a_reload_on_a_unix_socket_keeps_the_socket(deployed: Stack, account: str) -> None:
    old = workers(deployed.service.process.pid)
    deployed.service.process.send_signal(signal.SIGHUP)

    def all_are_new() -> bool:
        assert deployed.nginx.get("/healthz").status_code == 200
        return not old & workers(deployed.service.process.pid)

    until(all_are_new)
    assert deployed.nginx.split(cookie=account).status_code == 200


def test_a_reload_opens_a_new_log_file_after_a_rotation(start: Callable[..., Client], tmp_path: Path) -> None:
    log = tmp_path / "log"
    service = start(GUNICORN_CMD_ARGS=f"--capture-output --error-logfile={log}", WEB_CONCURRENCY="1")
    service.get("/nowhere", headers={"X-Request-ID": "before"})
    log.rename(tmp_path / "log.1")
    old = workers(service.server.process.pid)

    service.server.process.send_signal(signal.SIGHUP)
    wait_for_new_workers(service, old)
    service.get("/nowhere", headers={"X-Request-ID": "after"})

    assert '"before"' in (tmp_path / "log.1").read_text(encoding="utf-8")
    assert '"after"' in log.read_text(encoding="utf-8")
    assert service.server.logged() == ""
