from __future__ import annotations

import array
import io
import math
import wave
from itertools import combinations
from operator import add, mul

import pytest
import requests

from sandbox.audio import BEAT, LENGTH, TWELVE, Score, stem, synthesise
from sandbox.message import Request
from sandbox.storage import reply_with
from tests.sandbox.conftest import OCEAN_WANDERER, ids_of, v2_web_body


def samples(wav: bytes) -> list[int]:
    with wave.open(io.BytesIO(wav)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (22_050, 1, 2)
        return list(array.array("h", file.readframes(file.getnframes())))


@pytest.fixture
def complete(alice, eventually):
    """Return a function that waits until clips are complete and returns their ids."""

    def wait(reply):
        ids = ids_of(reply)
        eventually(lambda: all(clip["status"] == "complete" for clip in alice.feed(ids)))
        return ids

    return wait


def fetch(sandbox, clip_id):
    path = f"/audio/{clip_id}.wav"
    address = {"Expires": "99999999999", "Signature": sandbox.suno.sign(f"{path} 99999999999")}
    return samples(requests.get(sandbox.url + path, params=address, timeout=5).content)


def test_the_stems_add_up_to_the_song_sample_by_sample(sandbox, alice):
    twelve = alice.post("/api/generate/v2-web/", v2_web_body())
    song = fetch(sandbox, OCEAN_WANDERER)
    assert len(song) == LENGTH
    for ids in (ids_of(alice.split()), ids_of(twelve)[:12], ids_of(twelve)[12:]):
        assert list(map(sum, zip(*(fetch(sandbox, clip) for clip in ids), strict=True))) == song
    assert max(map(abs, song)) > 15_000


@pytest.mark.parametrize("name", ["Lead Vocal", "Drum Kit", "Rhythm Electric Guitar"])
def test_the_extracted_part_and_the_rest_add_up_to_the_song(sandbox, alice, name):
    extract = {"stem_task": "extract", "stem_type_group_name": name, "stem_name": name}
    part, rest = (
        fetch(sandbox, clip) for clip in ids_of(alice.post("/api/generate/v2-web/", v2_web_body() | extract))
    )
    assert list(map(add, part, rest)) == fetch(sandbox, OCEAN_WANDERER)
    assert any(part)


def test_the_etag_of_a_file_is_the_same_in_every_process():
    reply = reply_with(Request("GET", "/audio/song.wav", {}), b"RIFF", "wav", "ordinary")
    assert reply.headers["ETag"] == '"a40ff3d5900fb769"'


def test_audio_depends_only_on_the_song():
    assert synthesise(OCEAN_WANDERER) == synthesise.__wrapped__(OCEAN_WANDERER)
    assert Score("one").melody != Score("another").melody


def test_each_of_the_twelve_parts_is_audible_and_differs_from_the_others():
    parts = [samples(stem(OCEAN_WANDERER, "twelve", name)) for name in TWELVE]
    assert all(max(map(abs, part)) > 1_000 for part in parts)
    for one, other in combinations(parts, 2):
        assert abs(sum(map(mul, one, other))) < 0.5 * math.hypot(*one) * math.hypot(*other)


@pytest.mark.parametrize("song", [OCEAN_WANDERER, "one", "another", "a third", "a fourth"])
def test_a_song_is_loud_and_no_mix_of_its_parts_clips(song):
    moments = list(zip(*(samples(stem(song, "twelve", name)) for name in TWELVE), strict=True))
    assert max(abs(sum(moment)) for moment in moments) > 15_000
    assert max(sum(map(abs, moment)) for moment in moments) < 32_768


def test_the_voice_rests_between_phrases_while_the_band_plays(sandbox, alice):
    vocals, instrumental = (fetch(sandbox, clip) for clip in ids_of(alice.split()))
    rest = slice(int(3.4 * BEAT), int(4.4 * BEAT))
    assert not any(vocals[rest])
    assert max(map(abs, vocals)) > 5_000
    assert max(map(abs, instrumental[rest])) > 2_000


@pytest.mark.parametrize("wanted", ["mp3", "m4a"])
@pytest.mark.usefixtures("wire_of_2024")
def test_a_download_is_polled_until_it_is_ready(alice, complete, eventually, wanted):
    clip = complete(alice.split())[0]
    path = f"/api/download/clip/{clip}"
    assert alice.get(path, format=wanted).json() == {"status": "processing"}
    url = eventually(lambda: alice.get(path, format=wanted).json().get("download_url"))
    assert url == f"{alice.url}/audio/{clip}.wav"
    assert len(samples(requests.get(url, timeout=5).content)) == LENGTH


@pytest.mark.usefixtures("wire_of_2024")
def test_a_wav_file_exists_only_after_a_conversion(alice, complete, eventually):
    clip = complete(alice.split())[0]
    file = f"/api/gen/{clip}/wav_file/"
    assert alice.get(file).status_code == 404
    reply = alice.post(f"/api/gen/{clip}/convert_wav/")
    assert (reply.status_code, reply.content) == (204, b"")
    eventually(lambda: alice.get(file).status_code == 200)
    assert alice.get(file).json() == {"wav_file_url": f"{alice.url}/audio/{clip}.wav"}


def test_a_plan_without_wav_is_403(sign_in):
    free = sign_in("sandbox-free")
    assert free.get(f"/api/gen/{OCEAN_WANDERER}/wav_file/").status_code == 403
    assert free.post(f"/api/gen/{OCEAN_WANDERER}/convert_wav/").status_code == 403


@pytest.mark.usefixtures("wire_of_2024")
def test_the_stems_of_a_song_share_one_download_and_the_plan_has_a_cap(sign_in):
    free = sign_in("sandbox-free")

    def download(song):
        stems = free.get(f"/api/clip/{song}/stems").json()
        clips = stems.get("stems") or stems["clips"]
        return [free.get(f"/api/download/clip/{c['id']}", format="mp3").status_code for c in clips[:2]]

    assert download("song-with-two") == [200, 200]
    used = free.get("/api/billing/info/").json()["download_usage"]["current_period_downloads_used"]
    assert used == 6
    assert download("song-with-twelve") == [200, 200]
    assert download("song-with-old-stems") == [403, 403]


@pytest.mark.usefixtures("wire_of_2024")
def test_a_download_needs_a_complete_clip_and_a_known_format(alice):
    alice.post("/sandbox/settings", {"pace": 60})
    clip = ids_of(alice.split())[0]
    assert alice.get(f"/api/download/clip/{clip}", format="mp3").status_code == 400
    assert alice.get(f"/api/download/clip/{OCEAN_WANDERER}", format="ogg").status_code == 422
    assert alice.get("/api/download/clip/nothing", format="mp3").status_code == 404
    assert requests.get(f"{alice.url}/audio/nothing.wav", timeout=5).status_code == 404
