"""Jobs as they are stored: those of 1.0.2 are read word for word, and 1.0.2 can read ours."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from app.jobs.job import (
    Delivery,
    FileCode,
    FileState,
    JobKind,
    SplitState,
    kind_of,
    read_file,
    read_split,
    write_file,
    write_split,
)
from app.splits.budget import Budget
from app.splits.clock import BY_WALL, Moment
from app.splits.sqlite import SqliteStore
from app.suno.stems import StemTask
from tests.jobs import stored_by_1_0_2 as old
from tests.jobs.fakes import World

BUDGET = Budget("caller n8n", "downloads:caller:n8n", "downloads", 20, 30)
SPLITS = {
    SplitState.FOLLOWING: old.FOLLOWING,
    SplitState.FETCHING: old.FETCHING,
    SplitState.DELIVERING: old.RETRYING,
    SplitState.DELIVERED: old.DELIVERED,
}
FILES = {FileState.FETCHING: old.FILE_CLAIMED, FileState.KEPT: old.FILE_KEPT, FileState.FAILED: old.FILE_FAILED}


@pytest.mark.parametrize(("state", "text"), SPLITS.items())
def test_a_splits_job_of_1_0_2_is_read(state: SplitState, text: str) -> None:
    job = read_split(text)
    assert (kind_of(text), job.state, job.task, job.audio_format) == (JobKind.SPLIT, state, StemTask.TWELVE, "wav")
    assert (job.account, job.caller, job.request_id, job.song_id) == ("default", "n8n", "lanterns-1", "song")
    assert (job.budget, job.began) == (BUDGET, Moment(BY_WALL, 0.0, 1_800_000_000.0))
    assert (job.webhook_url, job.base) == ("https://hooks.example.com/x", "https://stems.example.com/")
    assert job.webhook_id.startswith("msg_")
    if state is not SplitState.FOLLOWING:
        assert [(stem.id, stem.part, stem.duration, stem.error) for stem in job.stems] == [
            ("a", "vocals", "183.4", None),
            ("b", "drums", "183.4", None),
        ]
        assert job.attempts[:1] == (Delivery("2027-01-15T08:00:00Z", 500, "no"),) * (state != SplitState.FETCHING)
        assert [id.rpartition(":")[2] for id in job.files] == ["a.wav", "b.wav"]


def test_the_next_attempt_of_a_webhook_of_1_0_2_is_at_its_time() -> None:
    job = read_split(old.RETRYING)
    assert job.tried and job.tried.wall + job.pause == 1_800_000_005.0
    assert job.next_at == "2027-01-15T08:00:05Z"
    assert read_split(old.AGAIN).before == 2
    assert read_split(old.AGAIN).tried is None


def test_jobs_of_1_0_2_are_as_old_as_they_say_however_long_the_machine_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise an upgrade ends them: ten days are over for a machine that has run for a month."""
    monkeypatch.setattr("app.splits.clock.boot_time", lambda: 30 * 86_400.0)
    clock = SqliteStore(str(tmp_path / "ledger.db")).clock
    now = time.time()
    split = read_split(json.dumps(json.loads(old.FOLLOWING) | {"began": now - 60}))
    file = read_file(json.dumps(json.loads(old.FILE_CLAIMED) | {"began": now - 60}))
    webhook = read_split(json.dumps(json.loads(old.RETRYING) | {"not_before": now + 3600}))
    assert clock.since(split.began) == pytest.approx(60, abs=30)
    assert clock.since(file.began) == pytest.approx(60, abs=30)
    assert webhook.tried
    assert webhook.pause - clock.since(webhook.tried) == pytest.approx(3600, abs=30)
    again = read_split(write_split(split))
    assert clock.since(again.began) == pytest.approx(60, abs=30)


def test_a_files_job_of_1_0_2_is_read() -> None:
    jobs = {state: read_file(text) for state, text in FILES.items()}
    assert {job.state for job in jobs.values()} == set(FILES)
    kept, failed = jobs[FileState.KEPT], jobs[FileState.FAILED]
    assert (kept.bytes, kept.unlocked, kept.tries, kept.budget) == (176444, True, 2, BUDGET)
    assert (kept.details.name, kept.format, kept.owner) == ("Song - Vocals", "wav", "user")
    assert (failed.code, failed.error) == (FileCode.SUNO, "Suno could not make this clip.")
    assert kind_of(old.FILE_KEPT) is JobKind.FILE


@pytest.mark.parametrize("text", [*SPLITS.values(), *FILES.values()])
def test_what_is_written_is_read_again_and_has_all_that_1_0_2_reads(text: str) -> None:
    if kind_of(text) is JobKind.SPLIT:
        written = write_split(read_split(text))
        assert read_split(written) == read_split(text)
    else:
        written = write_file(read_file(text))
        assert read_file(written) == read_file(text)
    stored, before = json.loads(written), json.loads(text)
    others = {"claim", "claimed_at", "claimed_for", "waiting", "stems", "not_before", "details"}
    for name in before.keys() - others:
        assert stored[name] == before[name], name
    # 1.0.2 ignores details that it does not know.
    assert stored.get("details", {}).items() >= before.get("details", {}).items()


def test_a_time_that_an_old_worker_has_changed_counts() -> None:
    job = replace(read_split(old.RETRYING), tried=Moment("boot", 10.0, 1_800_000_100.0), pause=300.0)
    stored = json.loads(write_split(job))
    assert stored["not_before"] == 1_800_000_400.0
    job = read_split(json.dumps(stored | {"not_before": 1_800_007_200.0}))
    assert job.tried and job.tried.wall + job.pause == 1_800_007_200.0


def test_a_job_of_a_newer_version_is_not_read() -> None:
    with pytest.raises(ValueError, match="orders"):
        kind_of('{"kind": "orders"}')


@pytest.mark.parametrize("text", [old.FOLLOWING, old.CLAIMED, old.RETRYING])
def test_an_open_job_of_1_0_2_is_carried_on(text: str) -> None:
    world = World()
    entry = world.begin(audio=True)
    world.ledger.finish(entry, world.suno.make("a", "b"), paid=True)
    world.store.transact(lambda tx: tx.put_record("job", entry.id, json.loads(text), kept=10**6))
    world.store.transact(lambda tx: tx.put_due(entry.id, world.clock.wall))
    world.run(3600.0)
    assert world.receiver.types == ["stems.completed"]
    assert world.job(entry).state is SplitState.DELIVERED
    if text != old.RETRYING:
        assert [file["status"] for file in world.receiver.last["files"]] == ["kept", "kept"]


def test_an_entry_in_doubt_with_a_job_of_1_0_2_is_carried_on() -> None:
    world = World()
    entry = world.lose(song="song")
    stored = json.loads(old.FOLLOWING) | {"audio_format": ""}
    world.store.transact(lambda tx: tx.put_record("job", entry.id, stored, kept=10**6))
    world.suno.make("vocals", "drums")
    world.run(3600.0)
    assert world.receiver.types == ["stems.completed"]
    assert {stem["id"] for stem in world.receiver.last["stems"]} == {"vocals", "drums"}


def test_an_old_worker_that_changes_a_job_loses_nothing_that_it_does_not_know() -> None:
    """1.0.2 copies a job and changes the fields that it knows: during a rolling restart it may do so."""
    world = World()
    entry = world.split("vocals", "drums", status="streaming")
    world.run(2 * 3600.0)
    job = world.job(entry)
    assert job.delayed and job.stems

    def as_1_0_2(tx: Any) -> None:
        held = tx.record("job", entry.id)
        tx.put_record("job", entry.id, {**held, "claim": "old", "claimed_at": list(world.clock.now())}, kept=10**6)
        held = tx.record("job", entry.id)
        free = {name: value for name, value in held.items() if name not in ("claim", "claimed_at", "claimed_for")}
        tx.put_record("job", entry.id, {**free, "next_at": None}, kept=10**6)

    world.store.transact(as_1_0_2)
    assert world.job(entry) == job
    world.suno.make("vocals", "drums")
    world.run(3600.0)
    assert world.receiver.types == ["stems.delayed", "stems.completed"]
