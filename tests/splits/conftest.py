"""The three stores: in memory, a SQLite file, and a real Redis with the persistence that the ledger needs."""

from __future__ import annotations

import shutil
import socket
import subprocess
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import redis

from app.splits.clock import Clock, Moment
from app.splits.evidence import Evidence, Others
from app.splits.ledger import Ledger
from app.splits.redis import RedisStore
from app.splits.sqlite import SqliteStore
from app.splits.store import Entry, Store
from app.suno.clip import Clip
from app.suno.stems import Made
from tests.splits.memory_store import MemoryStore
from tools.process import free_port, running

REDIS = shutil.which("redis-server")


@dataclass
class SteppedClock(Clock):
    """A fake clock that advances on demand, with a wall clock that can be set."""

    seconds: float = 1_000.0
    wall: float = 1_800_000_000.0
    boot: str = "this start"

    @property
    def boot_id(self) -> str:
        return self.boot

    def now(self) -> Moment:
        return Moment(self.boot, self.seconds, self.wall)

    def advance(self, seconds: float) -> None:
        self.seconds += seconds
        self.wall += seconds

    def step_wall(self, seconds: float) -> None:
        """Set the wall clock forward or back, while no time passes."""
        self.wall += seconds


MADE = 1_795_600_800.0
"""2026-11-25T10:00:00Z, the date of `stems`."""


def stems(*ids: str, at: str = "2026-11-25T10:00:00.000Z", **fields: Any) -> tuple[Clip, ...]:
    """A set of stems with different titles."""
    return tuple(
        Clip(id, status="submitted", created_at=at, title=f"Song (Part {n})", stem_from_id="song", **fields)
        for n, id in enumerate(ids)
    )


def entry(ledger: Ledger, idempotency_key: str = "", **fields: Any) -> Entry:
    """A new entry, by default with its own song and account."""
    own = uuid.uuid4().hex
    usual: dict[str, Any] = {
        "caller": "",
        "account": own,
        "idempotency_key": idempotency_key,
        "question": '["song", "two", false]',
        "song_id": own,
        "task": "two",
        "request_id": own,
        "lasts": 41.0,
    }
    return ledger.new_entry(**usual | fields)


def listed(*sets: Sequence[Clip], unknown: Sequence[Clip] = (), **fields: Any) -> Evidence:
    """What two reads of Suno's lists have shown alike, after the settle time."""
    usual: dict[str, Any] = {
        "made": Made(tuple(map(tuple, sets)), tuple(unknown)),
        "began": MADE,
        "ended": MADE + 100,
        "listed": frozenset(stem.id for one in (*sets, unknown) for stem in one),
        "recent": tuple(stem.id for one in (*sets, unknown) for stem in one),
        "others": Others(has_stem=False, newest=()),
        "settled": True,
    }
    found = Evidence(**usual | fields)
    return replace(found, seen=found.shown)


@contextmanager
def redis_server(
    folder: Path, port: int, settings: str = "--appendonly yes --appendfsync always --maxmemory-policy noeviction"
) -> Iterator[subprocess.Popen[bytes]]:
    """Run Redis, by default with the persistence that the ledger needs."""
    assert REDIS
    settings += " --save"
    command = [REDIS, "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), *settings.split(), ""]
    with running(command, lambda _: answers(port)) as server:
        try:
            yield server.process
        finally:
            server.process.kill()


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
def clock() -> SteppedClock:
    return SteppedClock()


@pytest.fixture(params=["memory", "sqlite", "redis"])
def store(request: pytest.FixtureRequest, tmp_path: Path, clock: SteppedClock) -> Store:
    match request.param:
        case "memory":
            return MemoryStore(clock)
        case "sqlite":
            return SqliteStore(str(tmp_path / "ledger.db"), clock)
        case _:
            url = request.getfixturevalue("redis_url")
            redis.Redis.from_url(url).flushdb()
            return RedisStore(url, clock)


@pytest.fixture
def ledger(store: Store) -> Ledger:
    return Ledger(store)
