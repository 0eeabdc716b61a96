"""A sandbox on a free port for each test, and a small client for Suno's protocol."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests

from sandbox.server import Sandbox
from sandbox.suno import OF_2024, Options, change

QUERY = {"__clerk_api_version": "2025-11-10", "_clerk_js_version": "5.117.0"}
OCEAN_WANDERER = "c3d4e5f6-a7b8-9012-cdef-123456789012"
PACE = 0.03


class Client:
    """A client of Suno with one method per call; it follows no redirects."""

    def __init__(self, url: str, cookie: str) -> None:
        self.url = url
        self.cookie = cookie
        self.token: str | None = None
        self._http = requests.Session()
        self._http.trust_env = False

    def call(self, method: str, path: str, **how: Any) -> requests.Response:
        headers = how.pop("headers", {})
        if self.token and "Authorization" not in headers:
            headers["Authorization"] = f"Bearer {self.token}"
        how.setdefault("timeout", 5)
        return self._http.request(method, self.url + path, headers=headers, allow_redirects=False, **how)

    def get(self, path: str, **query: Any) -> requests.Response:
        return self.call("GET", path, params=query)

    def post(self, path: str, body: Any = None, **how: Any) -> requests.Response:
        return self.call("POST", path, json={} if body is None else body, **how)

    def client(self) -> requests.Response:
        headers = {"Cookie": f"__client={self.cookie}", "Authorization": self.cookie}
        return self.call("GET", "/v1/client", params=QUERY, headers=headers)

    def session(self) -> str:
        client = self.client().json()["response"]
        active = [session["id"] for session in client["sessions"] if session["status"] == "active"]
        return client["last_active_session_id"] or active[0]

    def new_token(self, session: str) -> requests.Response:
        headers = {"Cookie": f"__client={self.cookie}", "Authorization": self.cookie}
        return self.call("POST", f"/v1/client/sessions/{session}/tokens", params=QUERY, headers=headers)

    def sign_in(self) -> Client:
        self.token = self.new_token(self.session()).json()["jwt"]
        return self

    def split(self, song: str = OCEAN_WANDERER, **how: Any) -> requests.Response:
        return self.post(f"/api/edit/stems/{song}/", **how)

    def feed(self, ids: list[str]) -> list[dict[str, Any]]:
        body = {"filters": {"ids": {"presence": "True", "clipIds": ids}}, "limit": 100}
        return self.post("/api/feed/v3", body).json()["clips"]

    def credits(self) -> int:
        return self.get("/api/billing/info/").json()["total_credits_left"]

    def charges(self) -> list[dict[str, Any]]:
        return self.get("/sandbox/charges").json()

    def log(self) -> list[dict[str, Any]]:
        return self.get("/sandbox/log").json()


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(Options(pace=PACE, drip=0.01)) as running:
        yield running


@pytest.fixture
def wire_of_2024(sandbox: Sandbox) -> None:
    """Switch the sandbox to the wire of 2024."""
    sandbox.suno.initial = Options(wire="2024", pace=PACE, drip=0.01)
    change(sandbox.suno.initial, OF_2024)
    sandbox.suno.reset()


@pytest.fixture
def sign_in(sandbox: Sandbox) -> Callable[[str], Client]:
    return lambda cookie: Client(sandbox.url, cookie).sign_in()


@pytest.fixture
def stranger(sandbox: Sandbox) -> Callable[[str], Client]:
    return lambda cookie: Client(sandbox.url, cookie)


@pytest.fixture
def alice(sign_in: Callable[[str], Client]) -> Client:
    return sign_in("sandbox-alice")


@pytest.fixture
def eventually() -> Callable[[Callable[[], Any]], Any]:
    def wait(condition: Callable[[], Any]) -> Any:
        deadline = time.monotonic() + 3
        while not (result := condition()):
            assert time.monotonic() < deadline, "the condition did not become true"
            time.sleep(0.005)
        return result

    return wait


def ids_of(response: requests.Response) -> list[str]:
    return [clip["id"] for clip in response.json()["clips"]]


def v2_web_body(task: str = "twelve", song: str = OCEAN_WANDERER) -> dict[str, Any]:
    """The body that suno.com sends, as captured."""
    return {
        "task": "gen_stem",
        "generation_type": "TEXT",
        "title": "Ocean Wanderer",
        "tags": "",
        "negative_tags": "",
        "prompt": "",
        "mv": "chirp-v3-0",
        "make_instrumental": True,
        "continue_clip_id": song,
        "stem_type_id": 91,
        "stem_type_group_name": task.title(),
        "stem_task": task,
        "override_fields": [],
        "token": None,
        "token_provider": None,
        "transaction_uuid": "0f8fad5b-d9cb-469f-a165-70867728950e",
        "metadata": {
            "web_client_pathname": "/create",
            "create_mode": "custom",
            "create_session_token": "7c9e6679-7425-40de-944b-e07fc1f90ae7",
            "disable_volume_normalization": False,
            "is_remix": True,
        },
    }
