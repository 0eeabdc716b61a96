"""Both ledgers, each as it is deployed: a file, and a real Redis that keeps what it was told."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from app.splits.ledger import Ledger, open_ledger
from sandbox.stack import free_port

REDIS = shutil.which("redis-server")


@contextmanager
def redis_server(folder: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """Run Redis with the persistence that the ledger needs."""
    assert REDIS
    settings = "--appendonly yes --appendfsync always --maxmemory-policy noeviction --save"
    process = subprocess.Popen(
        [REDIS, "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), *settings.split(), ""],
        stdout=subprocess.DEVNULL,
    )
    try:
        ends = time.monotonic() + 20
        while time.monotonic() < ends and not answers(port):
            assert process.poll() is None, "redis-server did not start"
        yield process
    finally:
        process.kill()
        process.wait()


def answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(100).startswith(b"+PONG")
    except OSError:
        return False


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if not REDIS:
        pytest.skip("redis-server is not installed: the ledger in Redis is not tested")
    port = free_port()
    with redis_server(tmp_path_factory.mktemp("redis"), port):
        yield f"redis://127.0.0.1:{port}/0"


@pytest.fixture(params=["sqlite", "redis"])
def ledger_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/ledger.db"
    url: str = request.getfixturevalue("redis_url")
    return url


@pytest.fixture
def ledger(ledger_url: str) -> Ledger:
    return open_ledger(ledger_url)
