"""A gateway with a mocked wire, and bodies as Suno and Clerk send them."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
import responses

from app.suno.endpoint import Endpoint
from app.suno.gateway import SunoGateway
from app.suno.session import Account

API = "https://studio-api-prod.suno.com"
AUTH = "https://auth.suno.com"
CLIENT = f"{AUTH}/v1/client"
TOKENS = f"{AUTH}/v1/client/sessions/sess_2Z1/tokens"
SONG = "a624123d-9a4f-4b3f-8f0e-1d7f2a1c9b10"
SPLIT = f"{API}/api/edit/stems/{SONG}/"
ALICE = Account("alice-client", "SUNO_COOKIE")
BOB = Account("bob-client", "the header X-Suno-Cookie")

CLIP: dict[str, Any] = {
    "id": "5f3587e2-0d5c-4a0e-9d8e-3f6f0b1f7a11",
    "status": "queued",
    "created_at": "2024-12-25T16:51:36.619Z",
    "title": "Song - Vocals",
    "audio_url": "",
    "video_url": "",
    "image_url": None,
    "model_name": "chirp-stem",
    "metadata": {
        "type": "stem",
        "stem_from_id": SONG,
        "duration": 217.24,
        "tags": "pop",
        "prompt": "",
        "error_type": None,
        "error_message": None,
    },
}


def jwt(lifetime: float = 3600, /, **claims: object) -> str:
    """A token that expires `lifetime` seconds from now."""
    payload = {"exp": time.time() + lifetime, "iat": time.time(), "sid": "sess_2Z1"} | claims
    parts = [{"alg": "RS256", "typ": "JWT"}, payload]
    encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts]
    return ".".join([*encoded, "c2lnbmF0dXJl"])


def signed_in(wire: responses.RequestsMock, *tokens: str) -> None:
    """Make Clerk accept every sign-in and return these tokens in turn; the last one repeats."""
    wire.get(CLIENT, json={"response": {"last_active_session_id": "sess_2Z1", "sessions": []}})
    for token in tokens or (jwt(),):
        wire.post(TOKENS, json={"jwt": token})


def calls(wire: responses.RequestsMock, url: str) -> int:
    """The number of calls to `url`, with any query."""
    return sum(call.request.url.partition("?")[0] == url for call in wire.calls)


@pytest.fixture
def wire() -> Iterator[responses.RequestsMock]:
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield mock


def endpoint(**changes: Any) -> Endpoint:
    """The endpoint of the default settings."""
    usual: dict[str, Any] = {
        "api_url": API,
        "auth_url": AUTH,
        "connect_timeout": 5,
        "read_timeout": 30,
        "deadline": 40,
        "user_agent": "Mozilla/5.0",
        "clerk_api_version": "2025-11-10",
        "clerk_js_version": "5.117.0",
    }
    return Endpoint(**usual | changes)


@pytest.fixture
def gateway() -> SunoGateway:
    return SunoGateway(endpoint())
