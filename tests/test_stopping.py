"""Stopping the service lets a request in flight finish: it may have been paid."""

from __future__ import annotations

import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from tests.conftest import Client, Suno, until


def test_sigterm_lets_requests_in_flight_finish(start: Callable[..., Client], suno: Suno, account: str) -> None:
    service = start()
    service.split(cookie=account)
    suno.forget()

    with ThreadPoolExecutor(8) as pool:
        replies = [pool.submit(service.split, "fault-slow-2s", account) for _ in range(8)]
        until(lambda: len(suno.log("/api/edit/stems/")) == 8)
        assert not any(reply.done() for reply in replies)
        service.server.process.send_signal(signal.SIGTERM)
        statuses = [reply.result().status_code for reply in replies]

    assert statuses == [200] * 8
    assert service.server.process.wait(timeout=30) == 0
    assert len(suno.charges(account)) == 9
