"""The queue of jobs: what is stored in it, and a queue that cannot be used."""

from __future__ import annotations

import json
import logging
import os
import pickle
import sqlite3
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis

from app.jobs import queue as queues
from app.jobs.queue import Queue
from tests.jobs.conftest import Deployed, Receiver
from tests.splits.conftest import ledger_url as ledger_url
from tests.splits.conftest import redis_url as redis_url
from tools.process import free_port

OF_1_0_2 = (
    b"\x80\x05\x95~\x00\x00\x00\x00\x00\x00\x00\x8c\rhuey.registry\x94\x8c\x07Message\x94\x93\x94(\x8c$338d0058-36d8-"
    b"4ca7-9b96-2bdd5b1978d3\x94\x8c\x15app.jobs.queue.follow\x94NK\x00K\x00N\x8c\x080f8b6c1e\x94\x85\x94}\x94NNNNNNK"
    b"\x00t\x94\x81\x94."
)
"""What version 1.0.2 has stored for the job 0f8b6c1e."""

OF_1_0_2_FOR_LATER = (
    b"\x80\x05\x95\xa6\x00\x00\x00\x00\x00\x00\x00\x8c\rhuey.registry\x94\x8c\x07Message\x94\x93\x94(\x8c$0e6fb927-daaf"
    b"-4e60-af87-48811b9c707e\x94\x8c\x15app.jobs.queue.follow\x94\x8c\x08datetime\x94\x8c\x08datetime\x94\x93\x94C\n\x07"
    b"\xea\x0b\x1e\x04')\x05pX\x94\x85\x94R\x94K\x00K\x00N\x8c\x080f8b6c1e\x94\x85\x94}\x94NNNNNNK\x00t\x94\x81\x94."
)
"""The same, due in 5 s."""


class Opened:
    """A queue, and what it has run."""

    def __init__(self, url: str) -> None:
        self.ran: list[str] = []
        self.queue = Queue(url)
        self.huey: Any = self.queue.open(self.ran.append)

    def run_all(self) -> list[str]:
        for task in self.huey.read_schedule():
            self.huey.enqueue(task)
        while (task := self.huey.dequeue()) is not None:
            self.huey.execute(task)
        return self.ran


@pytest.fixture
def opened(ledger_url: str) -> Opened:
    if ledger_url.startswith("redis"):
        redis.Redis.from_url(ledger_url).flushdb()
    return Opened(ledger_url)


def test_a_task_is_stored_as_json_and_run(opened: Opened) -> None:
    opened.queue.put("now")
    opened.queue.put("later", 3600.0)

    stored = [json.loads(data) for data in opened.huey.storage.enqueued_items()]
    assert [(task["job"], task["eta"] is None) for task in stored] == [("now", True), ("later", False)]
    assert opened.run_all() == ["now"]
    [scheduled] = opened.huey.storage.scheduled_items()
    assert json.loads(scheduled)["job"] == "later"


def test_a_scheduled_task_is_run_when_it_is_due(opened: Opened) -> None:
    opened.queue.put("soon", 0.001)
    assert [*opened.run_all(), *opened.run_all()] == ["soon"] * 2, "the same list, twice"


class Evil:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def test_tasks_of_an_older_version_and_forged_ones_are_ignored_with_one_warning(
    opened: Opened, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    forged = [
        pickle.dumps(Evil(tmp_path / "evil")),
        b"",
        b"[]",
        b"7",
        b'{"job": "x"}',
        b'{"job": "x", "task": "t", "eta": 5}',
        b"[" * 100_000,
        b"\xff\xfe",
    ]
    for data in (OF_1_0_2, OF_1_0_2_FOR_LATER, *forged):
        opened.huey.storage.enqueue(data)
    opened.huey.storage.add_to_schedule(OF_1_0_2_FOR_LATER, queues.datetime(2026, 1, 1))
    opened.queue.put("new")

    assert opened.run_all() == ["new"]
    assert not (tmp_path / "evil").exists()
    # Warnings alone: huey's own lines are there too where another test has set up the logs of the service.
    [warning] = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert "No job is lost" in warning.getMessage()


@pytest.mark.parametrize("exists", [False, True])
def test_only_its_owner_can_read_the_file(tmp_path: Path, exists: bool) -> None:
    path = tmp_path / "jobs.db"
    if exists:
        before = sqlite3.connect(path)
        before.execute("PRAGMA journal_mode=wal")
        before.execute("CREATE TABLE other (x)")
        for file in tmp_path.iterdir():
            file.chmod(0o644)

    Queue(f"sqlite:///{path}").put("id")

    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()}
    assert set(modes) >= {"jobs.db"}
    assert set(modes.values()) == {0o600}, modes


def away(tmp_path: Path, kind: str) -> str:
    """The address of a queue that cannot be used."""
    if kind == "damaged":
        (tmp_path / "damaged.db").write_bytes(os.urandom(8192))
        return f"sqlite:///{tmp_path}/damaged.db"
    return {"no folder": "sqlite:////proc/nowhere/jobs.db", "no Redis": f"redis://127.0.0.1:{free_port()}/0"}[kind]


AWAY = pytest.mark.parametrize("kind", ["damaged", "no folder", "no Redis"])


@AWAY
def test_a_queue_that_cannot_be_used_is_logged_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    queue = Queue(away(tmp_path, kind))
    for _ in range(3):
        queue.put("id")
    [said] = caplog.messages
    assert "The queue (JOBS_URL) cannot be used" in said
    assert "No job is lost" in said


def test_a_queue_that_can_be_used_again_is_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queues, "RECOVERED_AFTER_SECONDS", -1.0)
    path = tmp_path / "jobs.db"
    path.write_bytes(os.urandom(8192))
    queue = Queue(f"sqlite:///{path}")
    queue.put("id")
    path.unlink()
    queue.put("id")
    queue.put("id")

    assert [record.levelno for record in caplog.records] == [logging.WARNING] * 2
    assert "can be used again" in caplog.messages[1]
    assert Opened(f"sqlite:///{path}").run_all() == ["id", "id"]


@AWAY
def test_the_jobs_process_works_without_its_queue_and_says_so_once(
    deploy: Callable[..., Deployed], receiver: Callable[..., Receiver], tmp_path: Path, kind: str
) -> None:
    deployed, there = deploy(JOBS_URL=away(tmp_path, kind)), receiver()
    jobs = deployed.start_jobs()
    deployed.split(there.url)

    assert there.verified()[0]["type"] == "stems.completed"
    jobs.process.terminate()
    assert jobs.process.wait() == 0
    logged = jobs.logged()
    assert logged.count("The queue (JOBS_URL) cannot be used") == 1
    assert "Traceback" not in logged


def test_a_queue_of_version_1_0_2_is_carried_on(
    deploy: Callable[..., Deployed], receiver: Callable[..., Receiver], tmp_path: Path
) -> None:
    deployed, there = deploy(), receiver()
    deployed.split(there.url)
    queue = sqlite3.connect(tmp_path / "jobs.db")
    queue.execute("UPDATE task SET data = ?", (OF_1_0_2,))
    queue.execute("INSERT INTO task (queue, data) VALUES ('suno-stems', ?)", (OF_1_0_2_FOR_LATER,))
    queue.commit()
    queue.close()

    jobs = deployed.start_jobs()

    assert there.verified()[0]["type"] == "stems.completed"
    assert jobs.logged().count("tasks of an older version") == 1
    assert "Traceback" not in jobs.logged()
