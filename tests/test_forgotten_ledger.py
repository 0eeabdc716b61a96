"""A ledger that forgets while the service runs: nothing is paid again, and the operator hears of it."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
import redis

from app.splits.ledger import Ledger
from app.splits.redis import RedisStore
from app.splits.store import LedgerUnavailable
from app.web.health import CHECK_CACHED_SECONDS
from tests.asserts import assert_error
from tests.conftest import Client, Suno, until
from tests.in_process import InProcess
from tests.splits.conftest import REDIS, entry, redis_server
from tests.splits.conftest import redis_url as redis_url
from tools.process import free_port

KEYS = [f"key-{n}" for n in range(5)]


@pytest.fixture(params=["sqlite", "redis"])
def forgets(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Callable[[], Callable[[], object]]]:
    """A ledger's URL, and what copies it: the result puts the copy back while the service runs."""
    file = tmp_path / "ledger.db"
    if request.param == "sqlite":

        def copy_file() -> Callable[[], None]:
            older = sqlite3.connect(":memory:", check_same_thread=False)
            with closing(sqlite3.connect(file)) as db:
                db.backup(older)

            def restore() -> None:
                with closing(sqlite3.connect(file)) as db:
                    older.backup(db)

            return restore

        return f"sqlite:///{file}", copy_file
    url: str = request.getfixturevalue("redis_url").replace("/0", "/7")
    client = redis.Redis.from_url(url)
    client.flushdb()
    return url, lambda: client.flushdb


def split(service: Client, account: str, key: str) -> int:
    return service.split(cookie=account, headers={"Idempotency-Key": key}).status_code


def accept(url: str) -> str:
    command = [sys.executable, "-m", "flask", "--app", "wsgi", "ledger", "accept"]
    run = subprocess.run(command, env={**os.environ, "LEDGER_URL": url}, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return run.stdout


def test_no_key_is_paid_again_on_an_older_ledger_until_it_is_accepted(
    start: Callable[..., Client],
    suno: Suno,
    account: str,
    forgets: tuple[str, Callable[[], Callable[[], object]]],
) -> None:
    url, copy = forgets
    service = start(LEDGER_URL=url, WEB_CONCURRENCY="2")
    restore = copy()
    assert {split(service, account, key) for key in KEYS} == {200}
    restore()
    refused = service.split(cookie=account, headers={"Idempotency-Key": KEYS[0]})
    assert "flask ledger accept" in assert_error(refused, 503, "ledger_unavailable")["error"]
    for pid in service.server.pids()[1:]:
        os.kill(pid, signal.SIGKILL)
    until(lambda: service.server.logged().count("Booting worker") == 4)
    assert {split(service, account, key) for key in KEYS} == {503}
    assert len(suno.charges(account)) == len(KEYS)
    ready = until(lambda: (found := service.get("/readyz")).status_code == 503 and found)
    assert ready.json()["checks"]["ledger"] == "ledger_unavailable"  # type: ignore[union-attr]
    assert service.split(cookie=account).status_code == 200, "without a key"

    assert accept(url).startswith("The ledger is accepted")
    assert {split(service, account, key) for key in KEYS} == {200}
    until(lambda: service.get("/readyz").status_code == 200)
    assert accept(url).startswith("No process has refused")
    assert {split(service, account, key) for key in KEYS} == {200}
    assert len(suno.charges(account)) == 2 * len(KEYS) + 1, "as the operator has accepted"


@pytest.fixture(scope="module")
def forgetful(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Redis with its own defaults, which keep nothing."""
    if not REDIS:
        pytest.skip("redis-server is not installed: the ledger in Redis is not tested")
    port = free_port()
    with redis_server(tmp_path_factory.mktemp("forgetful"), port, ""):
        yield f"redis://127.0.0.1:{port}/0"


@pytest.fixture
def configured(forgetful: str) -> Iterator[Callable[..., None]]:
    client = redis.Redis.from_url(forgetful)

    def configure(**settings: str) -> None:
        for name, value in settings.items():
            client.config_set(name.replace("_", "-"), value)

    yield configure
    configure(appendonly="no", appendfsync="everysec", maxmemory_policy="noeviction")


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({}, "appendonly is off"),
        ({"appendonly": "yes"}, "appendfsync is everysec, which is not durable"),
        ({"appendonly": "yes", "appendfsync": "always", "maxmemory_policy": "allkeys-lru"}, "is allkeys-lru"),
        ({"appendonly": "yes", "appendfsync": "always"}, ""),
    ],
)
def test_redis_is_durable_only_with_the_documented_settings(
    forgetful: str, configured: Callable[..., None], settings: dict[str, str], why: str
) -> None:
    configured(**settings)
    found = RedisStore(forgetful).durability()
    assert (found.is_durable, found.is_known, why in found.why) == (not why, True, True)
    assert why == "" or "appendonly yes, appendfsync always and maxmemory-policy noeviction" in found.why


@pytest.mark.parametrize(("forbidden", "named"), [("info", "INFO"), ("config", "CONFIG")])
def test_a_redis_that_does_not_tell_its_settings_is_not_known_to_be_durable(
    forgetful: str, configured: Callable[..., None], forbidden: str, named: str
) -> None:
    configured(appendonly="yes", appendfsync="always")
    redis.Redis.from_url(forgetful).acl_setuser(
        f"no-{forbidden}", enabled=True, passwords=["+pw"], keys=["*"], commands=["+@all", f"-{forbidden}"]
    )
    found = RedisStore(forgetful.replace("redis://", f"redis://no-{forbidden}:pw@")).durability()
    assert (found.is_durable, found.is_known, f"({named})" in found.why) == (False, False, True)


def test_with_require_keys_are_refused_until_the_ledger_is_durable(
    forgetful: str, configured: Callable[..., None]
) -> None:
    ledger = Ledger(RedisStore(forgetful), must_be_durable=True)
    with pytest.raises(LedgerUnavailable, match="LEDGER_DURABLE is require, and appendonly is off"):
        ledger.begin(entry(ledger, "k"))
    ledger.begin(entry(ledger))
    configured(appendonly="yes", appendfsync="always")
    ledger.begin(entry(ledger, "k"))


def test_a_ledger_that_is_not_durable_is_reported_and_used(
    start: Callable[..., Client], forgetful: str, configured: Callable[..., None], account: str
) -> None:
    service = start(LEDGER_URL=forgetful, WEB_CONCURRENCY="1")
    [line] = [line for line in service.server.logged().splitlines() if "may forget" in line]
    assert "appendonly is off" in line
    ready = service.get("/readyz")
    assert (ready.status_code, ready.json()["checks"]["ledger"]) == (200, "not durable")
    assert "suno_stems_ledger_durable 0.0" in service.get("/metrics").text
    assert split(service, account, "k") == 200


def test_metrics_and_readiness_follow_a_ledger_that_is_durable_no_longer_and_then_again(
    in_process: Callable[..., InProcess],
    forgetful: str,
    configured: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [time.monotonic()]
    monkeypatch.setattr("app.web.health.time.monotonic", lambda: now[0])

    def told(service: Client) -> list[object]:
        now[0] += CHECK_CACHED_SECONDS
        gauges = [line for line in service.get("/metrics").text.splitlines() if "ledger_durable " in line]
        ready = service.get("/readyz")
        return [*gauges[-1:], ready.status_code, ready.json()["checks"]["ledger"]]

    configured(appendonly="yes", appendfsync="always")
    service = in_process(LEDGER_URL=forgetful)
    for _ in range(2):
        assert told(service) == ["suno_stems_ledger_durable 1.0", 200, "ok"]
        configured(appendonly="no")
        assert told(service) == ["suno_stems_ledger_durable 0.0", 200, "not durable"]
        configured(appendonly="yes")
