"""The servers of tools.stack, killed at the end: a graceful stop takes time, and few tests need it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from tools import stack
from tools.process import Server


def suno(*options: str) -> AbstractContextManager[Server]:
    return _killed(stack.suno(*options))


def service(suno_url: str, settings: dict[str, str] | None = None, **more: Any) -> AbstractContextManager[Server]:
    return _killed(stack.service(suno_url, settings, **more))


def jobs(suno_url: str, settings: dict[str, str]) -> AbstractContextManager[Server]:
    return _killed(stack.jobs(suno_url, settings))


@contextmanager
def _killed(server: AbstractContextManager[Server]) -> Iterator[Server]:
    with server as started:
        try:
            yield started
        finally:
            started.kill()
