"""Fetching files: unlocked once, fetched once and kept, whatever fails."""

from __future__ import annotations

import hashlib
import io
import signal
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import redis
import requests

from app.audio.files import folder_of
from sandbox.suno import user_id_of
from tests import stack
from tests.asserts import assert_error
from tests.audio.bucket import Bucket
from tests.audio.conftest import s3_server as s3_server
from tests.audio.conftest import s3_settings as s3_settings
from tests.conftest import SONG, Suno, until
from tests.jobs.audio import (
    Deploy,
    digest,
    fetch,
    file_at_suno,
    files_of,
    kept_file,
    last_reply,
    post_audio,
    split,
    unlocks,
    wait_for_files,
)
from tests.jobs.audio import (
    audio_settings as settings,  # noqa: F401 (a fixture)
)
from tests.jobs.conftest import LINK_SECRET, Receiver, Service, Shared, deployment, name_of
from tests.splits.conftest import redis_url as redis_url


def test_a_lost_unlock_reply_is_checked_and_not_repeated(deployed: Service, suno: Suno, account: str) -> None:
    reply = post_audio(deployed, ids=["song-unlock-lost"], format="mp3")
    assert reply.status_code == 202
    [file] = wait_for_files(deployed, ids=["song-unlock-lost"], format="mp3")
    assert file["status"] == "kept"
    assert unlocks(suno, account) == ["song-unlock-lost"]
    assert len(suno.log("/api/download/authorize")) >= 1


@pytest.fixture
def two_with_sqlite(deployed: Service, beside: Deploy) -> tuple[Service, Service]:
    """Two services, each with a jobs process, that share a ledger and a queue in files."""
    two = beside()
    two.start_jobs()
    return deployed, two


@pytest.fixture
def two_with_redis(deploy: Deploy, redis_url: str) -> tuple[Service, Service]:
    """Two services, each with a jobs process, that share a ledger and a queue in Redis."""
    redis.Redis.from_url(redis_url).flushdb()
    one, two = (deploy(LEDGER_URL=redis_url, JOBS_URL=redis_url) for _ in range(2))
    one.start_jobs()
    two.start_jobs()
    return one, two


@pytest.mark.parametrize("kind", ["two_with_sqlite", "two_with_redis"])
def test_many_requests_on_two_instances_unlock_and_fetch_once(
    request: pytest.FixtureRequest, suno: Suno, account: str, kind: str
) -> None:
    one, two = request.getfixturevalue(kind)
    suno.forget()
    with ThreadPoolExecutor(16) as pool:
        replies = list(pool.map(lambda n: post_audio((one, two)[n % 2], ids=[SONG]).status_code, range(16)))
    assert set(replies) <= {200, 202}
    [file] = wait_for_files(one, ids=[SONG])
    assert fetch(two, file).status_code == 200
    assert unlocks(suno, account) == [SONG]
    assert len([entry for entry in suno.log(f"/audio/{SONG}.wav") if entry["status"] == 200]) == 1


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
        until(lambda: len(suno.log(f"/audio/{SONG}.wav")) > 2)
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
        until(lambda: bool(suno.log(f"/audio/{SONG}.wav")))
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


@pytest.fixture(scope="module")
def small_deployment(suno: Suno, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shared]:
    """A service and a jobs process that keep two files of 400 seconds at most."""
    with deployment(suno, tmp_path_factory.mktemp("small"), AUDIO_LIMIT="40000000", SUNO_DEADLINE="4") as running:
        yield running


@pytest.fixture
def small(small_deployment: Shared, suno: Suno) -> Iterator[Shared]:
    """The same, with files of 400 seconds: only for one test, as an MP3 of that length takes long to make."""
    suno.set(audio_length=400)
    yield small_deployment
    suno.set(audio_length=4)


def test_the_oldest_file_is_removed_for_a_new_one(small: Shared, account: str) -> None:
    deployed = Service(small.client(account))
    songs = [SONG, "song-unlock-slow"]
    for id in songs:
        wait_for_files(deployed, ids=[id])
    assert {deployed.client.get(f"/api/audio/{id}.wav").status_code for id in songs} == {200}
    wait_for_files(deployed, ids=["song-bare"])
    assert_error(deployed.client.get(f"/api/audio/{SONG}.wav"), 404, "audio_not_kept")
    assert deployed.client.get("/api/audio/song-unlock-slow.wav").status_code == 200


def test_a_file_over_the_audio_limit_is_507(small: Shared, suno: Suno, account: str) -> None:
    deployed = Service(small.client(account))
    suno.set(audio_length=1000)
    try:
        reply = last_reply(deployed, ids=[SONG])
    finally:
        suno.set(audio_length=400)
    assert "AUDIO_LIMIT" in assert_error(reply, 507, "audio_full")["error"]


def test_a_file_that_is_certainly_too_large_is_507_before_anything_is_paid(
    beside: Deploy, suno: Suno, account: str
) -> None:
    # The song has 183 seconds: a WAV of Suno has 60 MB or more, and two stems twice that.
    deployed = beside(AUDIO_LIMIT="40000000")
    error = assert_error(split(deployed), 507, "audio_full")["error"]
    assert error == (
        "The audio has at least 61,133,332 bytes, and AUDIO_LIMIT allows 40,000,000. Nothing was charged."
    )
    assert split(deployed, audio_format="mp3", wait_audio=False).status_code == 200
    assert_error(post_audio(beside(AUDIO_LIMIT="30000000"), ids=[SONG]), 507, "audio_full")
    assert len(suno.charges(account)) == 1


@pytest.mark.parametrize("song", ["song-trashed", "song-unfinished", "song-not-offered"])
def test_a_song_that_suno_would_refuse_is_not_sent_if_its_files_are_wanted(
    deployed: Service, suno: Suno, account: str, song: str
) -> None:
    suno.forget()
    body = {"audio_id": song, "audio_format": "mp3"}
    error = assert_error(deployed.client.post("/api/generate_stems", json=body), 400, "refused_by_suno")["error"]
    assert error.startswith("This song cannot be split: ")
    assert (suno.log("/api/edit/"), suno.charges(account), unlocks(suno, account)) == ([], [], [])


def test_a_removed_file_is_fetched_again_without_unlocking(
    deployed: Service, shared: Shared, suno: Suno, account: str
) -> None:
    wait_for_files(deployed, ids=[SONG])
    kept_file(shared, account, SONG).unlink()
    assert post_audio(deployed, ids=[SONG]).status_code == 202
    [file] = wait_for_files(deployed, ids=[SONG])
    assert (file["status"], unlocks(suno, account)) == ("kept", [SONG])


def test_a_downloads_budget_applies_to_files(beside: Deploy, suno: Suno, account: str, tmp_path: Path) -> None:
    callers = tmp_path / "callers.toml"
    digest = hashlib.sha256(b"key-of-n8n-that-is-long").hexdigest()
    callers.write_text(
        f'[accounts.{name_of(account)}]\ncookie = "{account}"\n[callers.n8n]\naccounts = ["{name_of(account)}"]\n'
        f'api_key_sha256 = ["{digest}"]\ndownloads_per_month = 1\n'
    )
    callers.chmod(0o600)
    deployed = beside(CALLERS_FILE=str(callers))
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
    deployed.client.headers |= headers
    assert {file["status"] for file in wait_for_files(deployed, audio_id=SONG, format="mp3")} == {"kept"}
    assert (unlocks(suno, account), len(suno.charges(account))) == ([SONG], 1)


@pytest.fixture(scope="module")
def shared_without_store(suno: Suno, shared: Shared) -> Iterator[Shared]:
    """A service beside the shared one that cannot use its store of audio."""
    (shared.folder / "file").write_text("")
    broken = shared.settings | {"AUDIO_URL": f"{shared.folder}/file/audio"}
    with stack.service(suno.url, broken) as service:
        yield replace(shared, settings=broken, service=service)


@pytest.fixture
def without_store(shared_without_store: Shared, account: str) -> Service:
    """That service, with the account of the test."""
    return Service(shared_without_store.client(account))


def test_a_replay_is_answered_while_the_store_is_unavailable(
    deployed: Service, without_store: Service, suno: Suno, account: str
) -> None:
    key = {"Idempotency-Key": "k"}
    body = {"audio_id": SONG, "audio_format": "mp3"}
    first = deployed.client.post("/api/generate_stems", json=body, headers=key)
    assert without_store.client.post("/api/generate_stems", json=body, headers=key).content == first.content
    refused = without_store.client.post("/api/generate_stems", json=body, headers={"Idempotency-Key": "new"})
    assert_error(refused, 503, "audio_unavailable")
    assert deployed.client.post("/api/generate_stems", json=body, headers={"Idempotency-Key": "new"}).ok
    assert {file["status"] for file in wait_for_files(deployed, audio_id=SONG, format="mp3")} == {"kept"}
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
    names = zipfile.ZipFile(io.BytesIO(zipped.content)).namelist()
    assert sum(name.endswith(".wav") for name in names) == 2
    assert unlocks(suno, account) == [SONG]


@pytest.fixture
def bucket() -> Iterator[Bucket]:
    one = Bucket()
    yield one
    one.close()


def test_a_failure_of_the_bucket_after_its_head_is_a_json_error(
    beside: Deploy, bucket: Bucket, account: str, suno: Suno
) -> None:
    deployed = beside(**bucket.settings)
    kept = f"kept/{folder_of(user_id_of(account))}/{SONG}"
    bucket.objects = {f"{kept}.wav": b"RIFF", f"{kept}.mp3": b"ID3"}
    bucket.refused.add("GetObject wav")
    error = assert_error(deployed.client.get(f"/api/audio/{SONG}.wav"), 503, "audio_unavailable")
    assert "the bucket failed with AccessDenied" in error["error"]
    counted = deployed.client.get("/metrics").text
    assert 'code="audio_unavailable",method="GET",route="/api/audio/<clip:id>.<any(mp3, m4a, wav):format>"' in counted
    assert deployed.client.get(f"/api/audio/{SONG}.mp3").content == b"ID3"
    bucket.vanishing.add("GetObject mp3")
    assert_error(deployed.client.get(f"/api/audio/{SONG}.mp3"), 404, "audio_not_kept")


def test_a_bucket_that_cannot_be_written_costs_nothing(
    beside: Deploy, bucket: Bucket, account: str, suno: Suno
) -> None:
    bucket.refused.add("PutObject")
    deployed = beside(**bucket.settings)
    error = assert_error(split(deployed), 503, "audio_unavailable")
    assert error["error"].endswith("(PutObject: the key needs s3:PutObject). Nothing was charged.")
    assert_error(post_audio(deployed, ids=[SONG]), 503, "audio_unavailable")
    assert (suno.charges(account), unlocks(suno, account)) == ([], [])
    ready = deployed.client.get("/readyz")
    assert (ready.status_code, ready.json()["checks"]["audio"]) == (200, "audio_unavailable")


def test_a_split_is_refused_uncharged_if_the_store_is_unavailable(
    without_store: Service, suno: Suno, account: str
) -> None:
    assert_error(split(without_store), 503, "audio_unavailable")
    assert_error(without_store.client.get(f"/api/audio/{SONG}.wav"), 503, "audio_unavailable")
    assert suno.charges(account) == []


def test_suno_urls_and_secrets_are_neither_stored_nor_logged(
    deployed: Service, shared: Shared, receiver: Callable[..., Receiver], account: str
) -> None:
    there = receiver()
    deployed.split(there.url, audio_format="wav")
    there.wait(1)
    kept = b"".join(file.read_bytes() for file in shared.folder.rglob("*") if file.is_file() and "db" in file.suffix)
    logged = shared.logged().encode()
    for secret in (b"Signature=", LINK_SECRET.encode(), b"token=", account.encode()):
        assert secret not in logged
        assert secret not in kept
