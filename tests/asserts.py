"""A check for every error reply."""

from __future__ import annotations

from typing import Any

import requests


def assert_error(response: requests.Response, status: int, code: str) -> dict[str, Any]:
    """Check the shape of an error reply, and return its body."""
    assert response.status_code == status, response.text
    assert response.headers["Content-Type"] == "application/json"
    body: dict[str, Any] = response.json()
    assert list(body)[:3] == ["error", "code", "request_id"]
    assert set(body) <= {"error", "code", "request_id", "details"}
    assert body["code"] == code
    assert body["request_id"] == response.headers["X-Request-ID"]
    assert len(body["error"]) > 10
    return body
