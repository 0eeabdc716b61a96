"""Audio over real sockets: unlocked once, fetched once, kept, named and served."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from typing import Any

import pytest

from tests.asserts import assert_error
from tests.conftest import NUMBERS, SONG, Client, Suno
from tests.jobs.audio import (
    LOCKED_SONG,
    Deploy,
    digest,
    fetch,
    file_at_suno,
    files_of,
    kept_file,
    path_of,
    post_audio,
    split,
    unlocks,
    wait_for_files,
)
from tests.jobs.audio import (
    audio_settings as settings,  # noqa: F401 (a fixture)
)
from tests.jobs.conftest import PUBLIC_URL, Receiver, Service, Shared

FOLDER = "Ocean Wanderer [120 BPM, C major] c3d4e5f6"
"""In a ZIP of SONG."""


def test_a_split_is_answered_after_its_files_are_kept(deployed: Service, suno: Suno, account: str) -> None:
    reply = split(deployed)
    assert set(reply.json()[0]) == {"id", "status", "created_at", "title", "stem_from_id", "duration"}
    files = files_of(deployed, reply)
    assert [file["id"] for file in files] == [stem["id"] for stem in reply.json()]
    assert [file["filename"] for file in files] == [
        "Ocean Wanderer - Vocals.wav",
        "Ocean Wanderer - Instrumental.wav",
    ]
    for file in files:
        assert (file["status"], file["error"]) == ("kept", None)
        content = fetch(deployed, file).content
        assert len(content) == file["bytes"]
        assert digest(content) == digest(file_at_suno(deployed, file["id"]))
    assert unlocks(suno, account) == [SONG]
    assert len(suno.charges(account)) == 1


@pytest.mark.parametrize("format", ["mp3", "m4a"])
def test_the_webhook_lists_the_files_and_their_urls(
    deployed: Service, receiver: Callable[..., Receiver], format: str
) -> None:
    there = receiver(500, 200)
    reply = deployed.split(there.url, audio_format=format)
    assert {stem["status"] for stem in reply.json()} == {"submitted"}
    webhooks = there.verified(2)
    assert {each["type"] for each in webhooks} == {"stems.completed"}
    files = webhooks[1]["data"]["files"]
    assert [file["filename"] for file in files] == [
        f"Ocean Wanderer - Vocals.{format}",
        f"Ocean Wanderer - Instrumental.{format}",
    ]
    for file in files:
        assert file["url"].startswith(f"{PUBLIC_URL}/api/audio/")
        assert (file["sample_rate"], file["channels"], file["faults"]) == (22_050, 1, [])
        content = fetch(deployed, file)
        assert content.headers["Content-Type"] == {"mp3": "audio/mpeg", "m4a": "audio/mp4"}[format]
        assert digest(content.content) == digest(file_at_suno(deployed, file["id"], format))
        waveform = deployed.client.get(f"/api/audio/{file['id']}.peaks.json")
        assert waveform.headers["Cache-Control"] == "private, no-cache"
        known = {"If-None-Match": waveform.headers["ETag"]}
        assert deployed.client.get(f"/api/audio/{file['id']}.peaks.json", headers=known).status_code == 304
        peaks = waveform.json()
        assert (peaks["version"], len(peaks["data"])) == (2, 2000) and max(peaks["data"]) > 1000


def test_a_file_is_served_with_ranges_and_etags(deployed: Service) -> None:
    [file, _] = files_of(deployed, split(deployed))
    whole = fetch(deployed, file)
    assert whole.headers["Content-Type"] == "audio/wav"
    assert whole.headers["Content-Disposition"] == 'attachment; filename="Ocean Wanderer - Vocals.wav"'
    assert whole.headers["Accept-Ranges"] == "bytes"
    part = fetch(deployed, file, headers={"Range": "bytes=100-199"})
    assert (part.status_code, part.content) == (206, whole.content[100:200])
    assert part.headers["Content-Range"] == f"bytes 100-199/{len(whole.content)}"
    last = fetch(deployed, file, headers={"Range": "bytes=-7"})
    assert (last.status_code, last.content) == (206, whole.content[-7:])
    several = fetch(deployed, file, headers={"Range": "bytes=0-1,5-6"})
    assert (several.status_code, several.content) == (200, whole.content)
    of_a_client = fetch(deployed, file, headers={"Accept": "application/octet-stream"})
    assert (of_a_client.headers["Content-Type"], of_a_client.content) == ("application/octet-stream", whole.content)
    other_unit = fetch(deployed, file, headers={"Range": "items=0-3"})
    assert (other_unit.status_code, other_unit.content) == (200, whole.content)
    beyond = fetch(deployed, file, headers={"Range": "bytes=999999999-"})
    assert_error(beyond, 416, "invalid_request")
    assert beyond.headers["Content-Range"] == f"bytes */{len(whole.content)}"
    etag = whole.headers["ETag"]
    assert fetch(deployed, file, headers={"If-None-Match": etag}).status_code == 304
    stale = fetch(deployed, file, headers={"Range": "bytes=0-9", "If-Range": '"another"'})
    assert (stale.status_code, len(stale.content)) == (200, len(whole.content))
    head = deployed.client.request("HEAD", path_of(file["url"]))
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["Content-Length"] == str(len(whole.content))


def test_a_signed_url_opens_only_its_file_without_a_key(beside: Deploy) -> None:
    deployed = beside(API_KEYS="secret")  # the jobs process does not need the API keys
    anyone = Service(Client(deployed.client.server))
    key = {"X-API-Key": "secret"}
    body = {"audio_id": SONG, "wait_audio": True, "audio_format": "wav"}
    reply = deployed.client.post("/api/generate_stems", json=body, headers=key)
    state = deployed.client.get(f"/api/requests/{reply.headers['X-Request-ID']}", headers=key).json()
    [one, other] = state["audio"]
    assert fetch(anyone, one).status_code == 200
    for client in (anyone.client, deployed.client):
        assert_error(client.get(f"/api/audio/{one['id']}.wav"), 401, "api_key_required")
    assert deployed.client.get(f"/api/audio/{one['id']}.wav", headers=key).status_code == 200
    token = one["url"].partition("?")[2]
    for path in (f"{other['id']}.wav", f"{one['id']}.mp3", f"{one['id']}.peaks.json"):
        for client in (anyone.client, deployed.client):
            error = assert_error(client.get(f"/api/audio/{path}?{token}"), 403, "not_allowed")["error"]
            assert "changed" in error
    of_zip = f"/api/stems.zip?audio_id={SONG}&format=wav&{token}"
    assert_error(deployed.client.get(of_zip), 403, "not_allowed")
    assert_error(deployed.client.get(f"/api/get_limit?{token}"), 401, "api_key_required")
    assert_error(deployed.client.post(f"/api/audio?{token}", json={}), 401, "api_key_required")
    changed = fetch(deployed, one | {"url": one["url"][:-1] + ("A" if one["url"][-1] != "A" else "B")}, headers=key)
    assert_error(changed, 403, "not_allowed")


def test_urls_are_unsigned_without_a_secret(beside: Deploy) -> None:
    deployed = beside(LINK_SECRET="", PUBLIC_URL="")
    [file, _] = files_of(deployed, split(deployed))
    assert file["url"] == f"{deployed.client.url}/api/audio/{file['id']}.wav"
    assert fetch(deployed, file).status_code == 200
    assert_error(deployed.client.get(path_of(file["url"]) + "?token=x"), 403, "not_allowed")


def test_files_of_another_account_are_not_served(deployed: Service) -> None:
    reply = split(deployed)
    id = reply.json()[0]["id"]
    other = {"X-Suno-Cookie": f"sandbox-load-{next(NUMBERS)}"}
    error = assert_error(deployed.client.get(f"/api/audio/{id}.wav", headers=other), 404, "audio_not_kept")["error"]
    assert f'{{"ids": ["{id}"], "format": "wav"}}' in error
    assert_error(deployed.client.get(f"/api/audio/{id}.peaks.json", headers=other), 404, "audio_not_kept")
    path = f"/api/stems.zip?audio_id={SONG}&format=wav"
    assert_error(deployed.client.get(path, headers=other), 404, "song_not_found")
    assert_error(deployed.client.get(f"/api/audio/{id}.ogg"), 404, "not_found")
    assert_error(deployed.client.get("/api/audio/..%2f..%2fledger.wav"), 404, "not_found")
    assert_error(deployed.client.get("/api/audio/%00.wav"), 404, "not_found")


def test_silent_stems_are_kept_and_labelled(deployed: Service, receiver: Callable[..., Receiver]) -> None:
    there = receiver()
    reply = deployed.split(there.url, "song-silent-part", audio_format="mp3")
    [webhook] = there.verified(1)
    silent = {
        file["filename"].removeprefix("Keys Left at Home - "): file["silent"] for file in webhook["data"]["files"]
    }
    # Suno marks only one of them; the other was measured.
    assert silent == {"Vocals.mp3": True, "Instrumental.mp3": False}
    for files in (files_of(deployed, reply), post_audio(deployed, audio_id="song-silent-part", format="mp3").json()):
        assert [(file["status"], file["silent"]) for file in files] == [("kept", True), ("kept", False)]
    zipped = deployed.client.get("/api/stems.zip?audio_id=song-silent-part&format=mp3")
    with zipfile.ZipFile(io.BytesIO(zipped.content)) as file:
        [name] = [name for name in file.namelist() if name.endswith("/stems.json")]
        stems = json.loads(file.read(name))["stems"]
        assert {stem["part"]: stem["silent"] for stem in stems} == {"vocals": True, "instrumental": False}
        assert len([name for name in file.namelist() if name.endswith(".mp3")]) == 2


def test_existing_stems_are_fetched_once_and_zipped(deployed: Service, suno: Suno, account: str) -> None:
    for _ in range(2):
        split(deployed, audio_format="mp3")
    missing = assert_error(deployed.client.get(f"/api/stems.zip?audio_id={SONG}&format=wav"), 409, "audio_incomplete")
    assert "Of the 4 stems of this song, 4 are not kept as wav" in missing["error"]
    files = wait_for_files(deployed, audio_id=SONG)
    assert sorted(file["filename"] for file in files) == [
        "Ocean Wanderer - Instrumental (take 2).wav",
        "Ocean Wanderer - Instrumental.wav",
        "Ocean Wanderer - Vocals (take 2).wav",
        "Ocean Wanderer - Vocals.wav",
    ]
    some = [file["id"] for file in files if "take 2" in file["filename"]]
    path = f"/api/stems.zip?audio_id={SONG}&format=wav&ids={','.join(some)}"
    names = zipfile.ZipFile(io.BytesIO(deployed.client.get(path).content)).namelist()
    assert sorted(name for name in names if name.endswith(".wav")) == [
        f"{FOLDER}/Instrumental (take 2).wav",
        f"{FOLDER}/Vocals (take 2).wav",
    ]
    unknown = assert_error(deployed.client.get(f"{path},another"), 404, "song_not_found")
    assert "no such stems: another" in unknown["error"]
    suno.forget()
    assert post_audio(deployed, ids=[file["id"] for file in files]).status_code == 200
    assert [entry["path"] for entry in suno.log()] == []
    reply = deployed.client.get(f"/api/stems.zip?audio_id={SONG}&format=wav")
    assert reply.headers["Content-Disposition"] == 'attachment; filename="Ocean Wanderer - Stems.zip"'
    assert int(reply.headers["Content-Length"]) == len(reply.content)
    zipped = zipfile.ZipFile(io.BytesIO(reply.content))
    assert zipped.testzip() is None
    small = ["stems.json", "lyrics.lrc", "tempo.mid", "Ocean Wanderer.rpp"]
    about = json.loads(zipped.read(f"{FOLDER}/stems.json"))
    assert (about["bpm"], about["key"], len(about["beats"])) == (120.0, "C_major", 8)
    by_id = {each["id"]: each["file"] for each in about["stems"]}
    assert zipped.namelist() == [f"{FOLDER}/{name}" for name in (*small, *by_id.values())]
    for file in files:
        assert file["filename"] == f"Ocean Wanderer - {by_id[file['id']]}"
        assert zipped.read(f"{FOLDER}/{by_id[file['id']]}") == fetch(deployed, file).content
    assert unlocks(suno, account) == [SONG]


MEASURES = ("sample_rate", "channels", "same_length", "faults")


def test_kept_files_have_measures_and_with_the_original_a_place(deployed: Service, suno: Suno, account: str) -> None:
    split(deployed)
    files = wait_for_files(deployed, audio_id=SONG)
    assert [[file[name] for name in MEASURES] for file in files] == [[22_050, 1, None, []]] * 2
    assert all(file["frames"] == (file["bytes"] - 44) // 2 for file in files)
    assert all(-60 < file["loudness_lufs"] < file["peak_dbfs"] < -1 for file in files)
    assert [file["silent"] for file in files] == [False, False]

    [original] = wait_for_files(deployed, ids=[SONG])
    assert [original[name] for name in ("same_length", "lag_ms", "residual_dbfs")] == [None] * 3
    files = wait_for_files(deployed, audio_id=SONG)
    assert [file["lag_ms"] for file in files] == pytest.approx([0, 0], abs=1)
    assert [(file["same_length"], file["residual_dbfs"]) for file in files] == [(True, -120)] * 2
    zipped = zipfile.ZipFile(io.BytesIO(deployed.client.get(f"/api/stems.zip?audio_id={SONG}&format=wav").content))
    about = json.loads(zipped.read(f"{FOLDER}/stems.json"))
    assert {name: about["sets"][0][name] for name in ("take", "same_length", "residual_dbfs")} == {
        "take": 1,
        "same_length": True,
        "residual_dbfs": -120,
    }
    assert [each["loudness_lufs"] for each in about["stems"]] == [file["loudness_lufs"] for file in files]
    assert unlocks(suno, account) == [SONG]


def test_a_second_zip_asks_suno_nothing_until_there_are_more_stems(deployed: Service, suno: Suno) -> None:
    split(deployed)
    wait_for_files(deployed, audio_id=SONG)
    path = f"/api/stems.zip?audio_id={SONG}&format=wav"
    first = deployed.client.get(path).content
    suno.forget()
    assert deployed.client.get(path).content == first
    assert [entry["path"] for entry in suno.log()] == []
    deployed.client.post("/api/generate_stems", json={"audio_id": SONG, "wait_audio": True})
    assert_error(deployed.client.get(path), 409, "audio_incomplete")


def test_a_zip_does_without_words_and_beats_that_cannot_be_read(deployed: Service, beside: Deploy) -> None:
    split(deployed)
    wait_for_files(deployed, audio_id=SONG)
    away = beside(SUNO_API_URL="http://127.0.0.1:9")
    reply = away.client.get(f"/api/stems.zip?audio_id={SONG}&format=wav")
    names = zipfile.ZipFile(io.BytesIO(reply.content)).namelist()
    assert sorted(name.partition("/")[2] for name in names) == [
        "Instrumental.wav", "Ocean Wanderer.rpp", "Vocals.wav", "stems.json",
    ]  # fmt: skip


def test_files_of_one_split_have_the_same_take(deployed: Service) -> None:
    split(deployed, stem_task="twelve", audio_format="mp3")
    second = split(deployed, audio_format="mp3").json()
    listed = deployed.client.get(f"/api/stems?audio_id={SONG}").json()
    takes = {stem["id"]: stem["take"] for stem in listed}
    assert [takes[stem["id"]] for stem in second] == [3, 3]
    files = {file["id"]: file["filename"] for file in wait_for_files(deployed, audio_id=SONG, format="mp3")}
    own = [f"Ocean Wanderer - {part} (take 3).mp3" for part in ("Vocals", "Instrumental")]
    assert [files[stem["id"]] for stem in second] == own
    zipped = deployed.client.get(f"/api/stems.zip?audio_id={SONG}&format=mp3").content
    names = zipfile.ZipFile(io.BytesIO(zipped)).namelist()
    assert f"{FOLDER}/Instrumental (take 3).mp3" in names and f"{FOLDER}/Vocals (take 3).mp3" in names


def sign_zip(deployed: Service, **wanted: Any) -> dict[str, Any]:
    reply = deployed.client.post("/api/stems.zip", json={"audio_id": SONG, "format": "wav"} | wanted)
    assert reply.status_code == 200, reply.text
    return reply.json()


def test_a_signed_zip_needs_no_key_and_can_be_resumed(beside: Deploy, suno: Suno) -> None:
    deployed = beside(API_KEYS="secret")
    deployed.client.headers["X-API-Key"] = "secret"
    split(deployed)
    ids = [file["id"] for file in wait_for_files(deployed, audio_id=SONG)]
    signed = sign_zip(deployed)
    assert signed["filename"] == "Ocean Wanderer - Stems.zip"
    assert signed["url"].startswith(
        f"{PUBLIC_URL}/api/stems.zip?audio_id={SONG}&format=wav&ids={ids[0]},{ids[1]}&token="
    )
    split(deployed, audio_format="mp3")  # these stems do not belong to the address
    suno.forget()
    browser, path = Client(deployed.client.server), path_of(signed["url"])
    whole = browser.get(path)
    assert (whole.status_code, len(whole.content)) == (200, signed["bytes"])
    assert whole.headers["Content-Type"] == "application/zip" and whole.headers["Accept-Ranges"] == "bytes"
    assert whole.headers["Content-Disposition"] == 'attachment; filename="Ocean Wanderer - Stems.zip"'
    assert suno.log() == []
    parts = [whole.content[:100_000]]
    resumed = {"If-Range": whole.headers["ETag"]}
    for span in ("100000-199999", "200000-"):
        part = browser.get(path, headers=resumed | {"Range": f"bytes={span}"})
        assert part.status_code == 206
        parts.append(part.content)
    assert digest(b"".join(parts)) == digest(whole.content)
    stale = browser.get(path, headers={"If-Range": '"another"', "Range": "bytes=9-"})
    assert (stale.status_code, digest(stale.content)) == (200, digest(whole.content))
    assert browser.get(path, headers={"If-None-Match": whole.headers["ETag"]}).status_code == 304
    assert_error(browser.get(path, headers={"Range": "bytes=999999999-"}), 416, "invalid_request")
    head = browser.request("HEAD", path)
    assert (head.content, head.headers["Content-Length"]) == (b"", str(signed["bytes"]))
    assert len(zipfile.ZipFile(io.BytesIO(whole.content)).namelist()) == 6


def test_a_signed_zip_opens_only_what_was_signed(beside: Deploy) -> None:
    deployed = beside(API_KEYS="secret")
    deployed.client.headers["X-API-Key"] = "secret"
    split(deployed)
    [one, other] = wait_for_files(deployed, audio_id=SONG)
    path = path_of(sign_zip(deployed, ids=[one["id"]])["url"])
    browser = Client(deployed.client.server)
    assert browser.get(path).status_code == 200
    token = path.partition("&token=")[2]
    for changed in (
        path.replace(one["id"], other["id"]),
        path.replace("format=wav", "format=mp3"),
        path.replace(SONG, LOCKED_SONG),
        f"/api/stems.zip?audio_id={SONG}&format=wav&token={token}",
        path[:-1],
        f"/api/audio/{one['id']}.wav?token={token}",
        f"/api/stems.zip?audio_id={SONG}&format=wav&ids={one['id']}&{one['url'].partition('?')[2]}",
    ):
        assert_error(browser.get(changed), 403, "not_allowed")
    assert_error(browser.get(path.replace("format=wav", "format=flac")), 400, "invalid_request")
    assert_error(browser.post("/api/stems.zip", json={"audio_id": SONG, "format": "wav"}), 401, "api_key_required")


def test_a_zip_is_only_signed_if_all_of_it_is_kept(deployed: Service, shared: Shared, account: str) -> None:
    split(deployed)
    [one, _] = wait_for_files(deployed, audio_id=SONG)
    path = path_of(sign_zip(deployed)["url"])
    [listed] = deployed.client.get("/api/requests?limit=1").json()
    assert (listed["audio_format"], listed["kept"], listed["ready"]) == ("wav", True, True)
    kept_file(shared, account, one["id"]).unlink()
    [listed] = deployed.client.get("/api/requests?limit=1").json()
    assert listed["kept"] is False
    for reply in (
        deployed.client.get(path),
        deployed.client.post("/api/stems.zip", json={"audio_id": SONG, "format": "wav"}),
    ):
        assert one["filename"] in assert_error(reply, 409, "audio_incomplete")["error"]
    unknown = deployed.client.post("/api/stems.zip", json={"audio_id": SONG, "format": "wav", "ids": ["another"]})
    assert_error(unknown, 404, "song_not_found")


def test_a_repeated_request_for_pending_files_does_not_call_suno(deploy: Deploy, suno: Suno) -> None:
    deployed = deploy()
    body = {"audio_id": SONG, "wait_audio": True}
    ids = [stem["id"] for stem in deployed.client.post("/api/generate_stems", json=body).json()]
    assert (post_audio(deployed, audio_id=SONG).status_code, post_audio(deployed, ids=ids).status_code) == (202, 202)
    suno.forget()
    assert (post_audio(deployed, audio_id=SONG).status_code, post_audio(deployed, ids=ids).status_code) == (202, 202)
    assert suno.log() == []


def test_kept_files_are_served_while_suno_is_unreachable(deployed: Service, beside: Deploy) -> None:
    split(deployed)
    before = wait_for_files(deployed, audio_id=SONG)
    away = beside(SUNO_API_URL="http://127.0.0.1:9")
    for file in before:
        assert away.client.get(f"/api/audio/{file['id']}.wav").status_code == 200
    assert [file["filename"] for file in post_audio(away, audio_id=SONG).json()] == [
        file["filename"] for file in before
    ]
    assert away.client.get(f"/api/stems.zip?audio_id={SONG}&format=wav").status_code == 200
    assert_error(post_audio(away, audio_id=SONG, format="mp3"), 503, "suno_unreachable")


def test_a_song_itself_can_be_fetched(deployed: Service, suno: Suno, account: str) -> None:
    assert_error(deployed.client.get(f"/api/audio/{SONG}.peaks.json"), 404, "audio_not_kept")
    [file] = wait_for_files(deployed, ids=[SONG], format="m4a")
    assert (file["filename"], file["status"]) == ("Ocean Wanderer.m4a", "kept")
    assert digest(fetch(deployed, file).content) == digest(file_at_suno(deployed, SONG, "m4a"))
    assert len(deployed.client.get(f"/api/audio/{SONG}.peaks.json").json()["data"]) == 2000
    assert unlocks(suno, account) == [SONG]


@pytest.mark.parametrize(
    ("body", "names"),
    [
        ({}, "format"),
        ({"format": "wav"}, "ids"),
        ({"ids": ["a", None, 7], "format": "wav"}, "ids"),
        ({"ids": [], "format": "wav"}, "ids"),
        ({"ids": ["a"] * 51, "format": "wav"}, "ids"),
        ({"ids": ["../a"], "format": "wav"}, "ids"),
        ({"ids": "a", "format": "wav"}, "ids"),
        ({"ids": ["a"], "audio_id": "b", "format": "wav"}, "ids"),
        ({"audio_id": "a"}, "format"),
        ({"audio_id": "a", "format": "flac"}, "format"),
        ({"audio_id": None, "format": "wav"}, "audio_id"),
    ],
)
def test_an_invalid_request_is_400_and_names_the_field(deployed: Service, body: dict[str, Any], names: str) -> None:
    error = assert_error(deployed.client.post("/api/audio", json=body), 400, "invalid_request")
    assert names in error["details"] and names in error["error"]


def test_unavailable_files_have_specific_errors_and_cost_nothing(deployed: Service, suno: Suno, account: str) -> None:
    own = {"X-Suno-Cookie": "sandbox-bob"}
    body = {"ids": [SONG], "format": "wav"}
    assert (
        "never written down"
        in assert_error(deployed.client.post("/api/audio", json=body, headers=own), 400, "invalid_request")["error"]
    )
    body = {"audio_id": SONG, "audio_format": "wav"}
    assert (
        "never written down"
        in assert_error(deployed.client.post("/api/generate_stems", json=body, headers=own), 400, "invalid_request")[
            "error"
        ]
    )
    assert_error(
        deployed.client.post("/api/generate_stems", json=body | {"audio_format": "ogg"}), 400, "invalid_request"
    )
    assert "no such clip" in assert_error(post_audio(deployed, ids=["nowhere", SONG]), 404, "song_not_found")["error"]
    assert "no stems yet" in assert_error(post_audio(deployed, audio_id=SONG), 404, "song_not_found")["error"]
    assert_error(post_audio(deployed, ids=[LOCKED_SONG]), 429, "rate_limited")
    assert (unlocks(suno, account), suno.charges(account)) == ([], [])


def test_a_format_outside_the_plan_fails_and_can_be_requested_again(shared: Shared) -> None:
    deployed = Service(shared.client("sandbox-free"))
    for _ in range(2):
        [file] = wait_for_files(deployed, ids=[SONG])
        assert (file["status"], file["url"], file["bytes"]) == ("failed", None, None)
        assert "WAV downloads are not included in your plan" in file["error"]
        assert post_audio(deployed, ids=[SONG]).status_code == 202
