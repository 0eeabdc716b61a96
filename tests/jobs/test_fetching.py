"""Fetching files: unlocked once, fetched once and kept, whatever fails."""

from __future__ import annotations

import hashlib
import io
import signal
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import redis
import requests

from tests.asserts import assert_error
from tests.audio.conftest import s3_server as s3_server
from tests.audio.conftest import s3_settings as s3_settings
from tests.conftest import SONG, Suno, pause
from tests.jobs.audio import (
    Deploy,
    digest,
    fetch,
    file_at_suno,
    files_of,
    post_audio,
    split,
    unlocks,
    wait_for_files,
)
from tests.jobs.audio import (
    audio_settings as settings,  # noqa: F401 (a fixture)
)
from tests.jobs.conftest import LINK_SECRET, Receiver, Service, until
from tests.splits.conftest import redis_url as redis_url


def test_a_lost_unlock_reply_is_checked_and_not_repeated(deployed: Service, suno: Suno, account: str) -> None:
    reply = post_audio(deployed, ids=["song-unlock-lost"], format="mp3")
    assert reply.status_code == 202
    [file] = wait_for_files(deployed, ids=["song-unlock-lost"], format="mp3")
    assert file["status"] == "kept"
    assert unlocks(suno, account) == ["song-unlock-lost"]
    assert len(suno.log("/api/download/authorize")) >= 1


@pytest.mark.parametrize("kind", ["sqlite", "redis"])
def test_many_requests_on_two_instances_unlock_and_fetch_once(
    deploy: Deploy, request: pytest.FixtureRequest, suno: Suno, account: str, kind: str
) -> None:
    more = {"WEB_CONCURRENCY": "2"}
    if kind == "redis":
        url = request.getfixturevalue("redis_url")
        redis.Redis.from_url(url).flushdb()
        more |= {"LEDGER_URL": url, "JOBS_URL": url}
    one, two = deploy(**more), deploy(**more)
    one.start_jobs()
    two.start_jobs()
    suno.forget()
    with ThreadPoolExecutor(16) as pool:
        replies = list(pool.map(lambda n: post_audio((one, two)[n % 2], ids=[SONG]).status_code, range(16)))
    assert set(replies) <= {200, 202}
    [file] = wait_for_files(one, ids=[SONG])
    assert fetch(two, file).status_code == 200
    assert unlocks(suno, account) == [SONG]
    assert len([entry for entry in suno.log("/audio/") if entry["status"] == 200]) == 1


def test_a_file_is_complete_if_storage_breaks_off_at_every_tenth(deployed: Service, suno: Suno) -> None:
    suno.set(storage="breaks")
    try:
        [file] = wait_for_files(deployed, ids=[SONG])
    finally:
        suno.set(storage="ordinary")
    assert file["status"] == "kept"
    assert digest(fetch(deployed, file).content) == digest(file_at_suno(deployed, SONG))


def test_an_expired_url_is_requested_again_without_another_unlock(
    deployed: Service, suno: Suno, account: str
) -> None:
    suno.set(address_lifetime=0)
    suno.forget()
    try:
        post_audio(deployed, ids=[SONG])
        until(lambda: len(suno.log("/audio/")) > 2)
        suno.set(address_lifetime=3600)
        [file] = wait_for_files(deployed, ids=[SONG])
    finally:
        suno.set(address_lifetime=3600)
    assert (file["status"], unlocks(suno, account)) == ("kept", [SONG])


def test_a_web_page_instead_of_audio_is_not_kept(deployed: Service, suno: Suno) -> None:
    suno.set(storage="web-page")
    try:
        [file] = wait_for_files(deployed, ids=[SONG])
    finally:
        suno.set(storage="ordinary")
    assert (file["status"], "text/html" in file["error"]) == ("failed", True)
    assert_error(deployed.client.get(f"/api/audio/{SONG}.wav"), 404, "audio_not_kept")


def test_another_process_continues_after_a_kill(deploy: Deploy, suno: Suno, account: str, tmp_path: Path) -> None:
    deployed = deploy()
    first = deployed.start_jobs()
    suno.set(storage="slow")
    suno.forget()
    try:
        post_audio(deployed, ids=[SONG])
        until(lambda: bool(suno.log("/audio/")))
        first.process.send_signal(signal.SIGKILL)
        first.process.wait()
        assert not list((tmp_path / "audio").rglob("*.wav"))
        suno.set(storage="ordinary")
        deployed.start_jobs()
        [file] = wait_for_files(deployed, ids=[SONG])
        assert digest(fetch(deployed, file).content) == digest(file_at_suno(deployed, SONG))
    finally:
        suno.set(storage="ordinary")
    assert (file["status"], unlocks(suno, account)) == ("kept", [SONG])


def test_the_oldest_file_is_removed_for_a_new_one(deploy: Deploy, suno: Suno) -> None:
    deployed = deploy(AUDIO_LIMIT="400000")
    deployed.start_jobs()
    songs = [SONG, "song-unlock-slow"]
    for id in songs:
        wait_for_files(deployed, ids=[id])
    assert {deployed.client.get(f"/api/audio/{id}.wav").status_code for id in songs} == {200}
    wait_for_files(deployed, ids=["song-bare"])
    assert_error(deployed.client.get(f"/api/audio/{SONG}.wav"), 404, "audio_not_kept")
    assert deployed.client.get("/api/audio/song-unlock-slow.wav").status_code == 200


def test_a_file_over_the_audio_limit_is_507(deploy: Deploy) -> None:
    deployed = deploy(AUDIO_LIMIT="1000")
    deployed.start_jobs()
    reply = post_audio(deployed, ids=[SONG])
    while reply.status_code == 202:
        pause()
        reply = post_audio(deployed, ids=[SONG])
    assert "AUDIO_LIMIT" in assert_error(reply, 507, "audio_full")["error"]


def test_a_removed_file_is_fetched_again_without_unlocking(
    deploy: Deploy, suno: Suno, account: str, tmp_path: Path
) -> None:
    deployed = deploy()
    deployed.start_jobs()
    wait_for_files(deployed, ids=[SONG])
    for file in (tmp_path / "audio").rglob("*.wav"):
        file.unlink()
    assert post_audio(deployed, ids=[SONG]).status_code == 202
    [file] = wait_for_files(deployed, ids=[SONG])
    assert (file["status"], unlocks(suno, account)) == ("kept", [SONG])


def test_a_downloads_budget_applies_to_files(deploy: Deploy, suno: Suno, account: str, tmp_path: Path) -> None:
    callers = tmp_path / "callers.toml"
    digest = hashlib.sha256(b"key-of-n8n-that-is-long").hexdigest()
    callers.write_text(f'[callers.n8n]\napi_key_sha256 = ["{digest}"]\ndownloads_per_month = 1\n')
    callers.chmod(0o600)
    deployed = deploy(CALLERS_FILE=str(callers))
    deployed.start_jobs()
    headers = {"X-API-Key": "key-of-n8n-that-is-long"}

    def post(path: str, **body: Any) -> requests.Response:
        return deployed.client.post(path, json=body, headers=headers)

    assert post("/api/audio", ids=[SONG], format="mp3").status_code == 202
    assert_error(post("/api/audio", ids=["song-unlock-slow"], format="mp3"), 402, "over_budget")
    assert_error(post("/api/generate_stems", audio_id="song-unlock-slow", audio_format="mp3"), 402, "over_budget")
    assert (unlocks(suno, account), suno.charges(account)) == ([SONG], [])
    # An unlocked song uses no further download, and a replay is answered whatever is left of the budget.
    body = {"audio_id": SONG, "audio_format": "mp3"}
    key = headers | {"Idempotency-Key": "k"}
    replies = [deployed.client.post("/api/generate_stems", json=body, headers=key) for _ in range(2)]
    assert ([reply.status_code for reply in replies], replies[0].content) == ([200, 200], replies[1].content)
    assert len(suno.charges(account)) == 1


def test_a_replay_is_answered_while_the_store_is_unavailable(
    deploy: Deploy, suno: Suno, account: str, tmp_path: Path
) -> None:
    deployed = deploy()
    key = {"Idempotency-Key": "k"}
    body = {"audio_id": SONG, "audio_format": "mp3"}
    first = deployed.client.post("/api/generate_stems", json=body, headers=key)
    (tmp_path / "file").write_text("")
    away = deploy(AUDIO_URL=f"{tmp_path}/file/audio")
    assert away.client.post("/api/generate_stems", json=body, headers=key).content == first.content
    refused = away.client.post("/api/generate_stems", json=body, headers={"Idempotency-Key": "new"})
    assert_error(refused, 503, "audio_unavailable")
    assert deployed.client.post("/api/generate_stems", json=body, headers={"Idempotency-Key": "new"}).ok
    assert len(suno.charges(account)) == 2


def test_files_are_kept_in_a_bucket(deploy: Deploy, s3_settings: dict[str, str], suno: Suno, account: str) -> None:
    deployed = deploy(**s3_settings)
    deployed.start_jobs()
    reply = split(deployed)
    files = files_of(deployed, reply)
    for file in files:
        whole = fetch(deployed, file)
        assert digest(whole.content) == digest(file_at_suno(deployed, file["id"]))
        assert fetch(deployed, file, headers={"Range": "bytes=5-9"}).content == whole.content[5:10]
        assert fetch(deployed, file, headers={"If-None-Match": whole.headers["ETag"]}).status_code == 304
    zipped = deployed.client.get(f"/api/stems.zip?audio_id={SONG}&format=wav")
    assert len(zipfile.ZipFile(io.BytesIO(zipped.content)).namelist()) == 3
    assert unlocks(suno, account) == [SONG]


def test_a_split_is_refused_uncharged_if_the_store_is_unavailable(
    deploy: Deploy, suno: Suno, account: str, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    deployed = deploy(AUDIO_URL=f"{tmp_path}/file/audio")
    assert_error(split(deployed), 503, "audio_unavailable")
    assert_error(deployed.client.get(f"/api/audio/{SONG}.wav"), 503, "audio_unavailable")
    assert suno.charges(account) == []


def test_suno_urls_and_secrets_are_neither_stored_nor_logged(
    deploy: Deploy, tmp_path: Path, receiver: Callable[..., Receiver], account: str
) -> None:
    deployed, there = deploy(), receiver()
    jobs = deployed.start_jobs()
    deployed.split(there.url, audio_format="wav")
    there.wait(1)
    kept = b"".join(file.read_bytes() for file in tmp_path.rglob("*") if file.is_file() and "db" in file.suffix)
    logged = (jobs.logged() + deployed.client.server.logged()).encode()
    for secret in (b"Signature=", LINK_SECRET.encode(), b"token=", account.encode()):
        assert secret not in logged
        assert secret not in kept
