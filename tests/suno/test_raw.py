"""A clip as Suno sends it, without tokens and signed addresses."""

from __future__ import annotations

import pytest

from app.suno.raw import without_addresses
from tests.suno.conftest import jwt


@pytest.mark.parametrize(
    "secret",
    [
        "https://storage.example/a.wav?X-Amz-Signature=00ff&X-Amz-Expires=3600",
        "https://cdn1.suno.ai/a.mp3?token=1",
        "https://user:word@storage.example/a.wav",
        "https://token@storage.example/a.wav",
        "https://:token@storage.example/a.wav",
        "https://storage.example/a.wav?00ff",
        "https://storage.example/a.wav?width=100&00ff=",
        "https://storage.example/a.wav#token",
        "https://[storage.example/a.wav",
        "//storage.example/a.wav?X-Amz-Signature=00ff",
        "what came of it, after forty characters or so: https://storage.example/a.wav?Signature=1",
        f"said: {jwt()}",
    ],
)
def test_tokens_and_signed_addresses_are_removed_from_every_field(secret: str) -> None:
    sent = {"audio_url": secret, "media_urls": [{"url": secret, "delivery": "progressive"}]}
    assert without_addresses(sent) == {"audio_url": None, "media_urls": [{"url": None, "delivery": "progressive"}]}


def test_other_fields_stay_as_suno_sent_them() -> None:
    sent = {
        "id": "a",
        "audio_url": "https://studio-api.prod.suno.com/api/forbidden",
        "image_url": "https://cdn2.suno.ai/image_a.jpeg?width=100",
        "is_download_unlocked": False,
        "metadata": {"avg_bpm": 130.05, "prompt": "Who? Me.", "history": None},
    }
    assert without_addresses(sent) == sent
