"""The main path on Suno's wire of 2026 and on that of 2024, which some accounts may still have."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import requests

from tests import stack
from tests.conftest import SONG, Client, Suno

ANOTHER = "a624123d-5b1e-4c0f-9a57-7b6f0e1d2c3b"


@pytest.fixture(scope="module", params=["2026", "2024"])
def wire(request: pytest.FixtureRequest) -> Iterator[tuple[Suno, Client]]:
    if request.param == "2026":
        # The sandbox simulates this wire by default.
        yield request.getfixturevalue("suno"), request.getfixturevalue("service")
        return
    settings = {"WEB_CONCURRENCY": "1", "SUNO_POLL_INTERVAL": "0.05"}
    with (
        stack.suno("--pace", "0.05", "--wire", request.param) as suno,
        stack.service(suno.url, settings) as service,
    ):
        yield Suno(suno), Client(service)


def test_a_song_is_found_split_followed_and_fetched(wire: tuple[Suno, Client], account: str) -> None:
    suno, service = wire
    cookie = {"X-Suno-Cookie": account}
    assert SONG in [song["id"] for song in service.get("/api/get", headers=cookie).json()]
    body = {"audio_id": SONG, "wait_audio": True}
    key = {"Idempotency-Key": "k"}
    stems = service.post("/api/generate_stems", json=body, headers=cookie | key)
    assert [stem["status"] for stem in stems.json()] == ["complete", "complete"]
    assert service.post("/api/generate_stems", json=body, headers=cookie | key).content == stems.content
    listed = service.get(f"/api/stems?audio_id={SONG}", headers=cookie).json()
    assert [stem["part"] for stem in listed] == ["vocals", "instrumental"]
    for format in ("mp3", "wav"):
        wanted = {"id": stems.json()[0]["id"], "format": format, "wait": True}
        address = service.post("/api/download", json=wanted, headers=cookie).json()["download_url"]
        assert requests.get(address, timeout=10).content[:3] in (b"RIF", b"ID3")
    assert len(suno.charges(account, SONG)) == 1


def test_every_instrument_can_be_split(wire: tuple[Suno, Client], account: str) -> None:
    _, service = wire
    cookie = {"X-Suno-Cookie": account}
    stems = service.post("/api/generate_stems", json={"audio_id": ANOTHER, "stem_task": "twelve"}, headers=cookie)
    assert len(stems.json()) == 24, stems.text
