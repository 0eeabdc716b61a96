"""Unlocks and download addresses: Suno refuses with status 200."""

from __future__ import annotations

import json
from typing import Any

import pytest
import requests
from responses import RequestsMock

from app.suno import errors
from app.suno.gateway import SunoGateway, UnknownFormat
from tests.suno.conftest import ALICE, API, SONG, calls, signed_in

AUTHORIZE = f"{API}/api/download/authorize"
FILE = f"{API}/api/download/clip/a"
REFUSED = {"ok": False, "reason": "no_permission", "message": "You have used all downloads."}


@pytest.fixture(autouse=True)
def sign_in(wire: RequestsMock) -> None:
    signed_in(wire)


@pytest.mark.parametrize("already", [True, False])
def test_an_unlock_reports_whether_it_was_counted(gateway: SunoGateway, wire: RequestsMock, already: bool) -> None:
    wire.post(AUTHORIZE, json={"ok": True, "already_unlocked": already, "credit_deducted": False})
    assert gateway.unlock(ALICE, SONG).counted is (not already)
    assert json.loads(wire.calls[-1].request.body) == {"item_id": SONG, "item_type": "clip"}


def test_the_error_page_of_a_proxy_does_not_mean_that_suno_needs_no_unlock(
    gateway: SunoGateway, wire: RequestsMock
) -> None:
    wire.post(AUTHORIZE, status=404, body="<html>", content_type="text/html")
    with pytest.raises(errors.SunoFailed, match="HTML page") as raised:
        gateway.unlock(ALICE, SONG)
    assert not raised.value.may_have_charged


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("not_authorized", errors.NotAllowed),
        ("no_permission", errors.NotAllowed),
        ("rate_limited", errors.RateLimited),
        ("a new one", errors.NotAllowed),
        (None, errors.NotAllowed),
    ],
)
def test_a_refusal_with_200_is_reported_in_sunos_words(
    gateway: SunoGateway, wire: RequestsMock, reason: object, expected: type[Exception]
) -> None:
    wire.post(AUTHORIZE, json=REFUSED | {"reason": reason})
    wire.get(FILE, json=REFUSED | {"reason": reason})
    with pytest.raises(expected, match=r"nothing was counted.*used all downloads"):
        gateway.unlock(ALICE, SONG)
    with pytest.raises(expected, match="used all downloads") as raised:
        gateway.download_url(ALICE, "a", "mp3")
    assert "counted" not in str(raised.value), "the unlock before it may have been counted"


@pytest.mark.parametrize("message", [None, "", 5])
def test_a_refusal_without_words_says_nothing_in_sunos_name(
    gateway: SunoGateway, wire: RequestsMock, message: object
) -> None:
    wire.post(AUTHORIZE, json=REFUSED | {"message": message})
    with pytest.raises(errors.NotAllowed, match=r"download; nothing was counted\.$"):
        gateway.unlock(ALICE, SONG)
    wire.get(FILE, json=REFUSED | {"message": message})
    with pytest.raises(errors.NotAllowed, match=r"this download\.$"):
        gateway.download_url(ALICE, "a", "mp3")


@pytest.mark.parametrize(
    "reply", [{"body": requests.ReadTimeout()}, {"body": requests.ConnectionError()}, {"status": 200, "body": "?"}]
)
def test_an_unlock_without_a_reply_is_never_resent(
    gateway: SunoGateway, wire: RequestsMock, reply: dict[str, Any]
) -> None:
    wire.post(AUTHORIZE, **reply)
    with pytest.raises(errors.OutcomeUnknown, match=r"unlock|download") as raised:
        gateway.unlock(ALICE, SONG)
    assert raised.value.is_download is True
    assert calls(wire, AUTHORIZE) == 1


@pytest.mark.parametrize(
    "reply",
    [{}, [], {"detail": "?"}, {"ok": None, "already_unlocked": True}, {"ok": "false"}, {"already_unlocked": 1}],
)
def test_an_unlock_that_does_not_say_that_it_worked_is_checked_before_it_counts_as_done(
    gateway: SunoGateway, wire: RequestsMock, reply: Any
) -> None:
    wire.post(AUTHORIZE, json=reply)
    with pytest.raises(errors.OutcomeUnknown, match="does not say whether") as raised:
        gateway.unlock(ALICE, SONG)
    assert raised.value.is_download is True


@pytest.mark.parametrize(
    ("reply", "counted"),
    [
        ({"ok": True}, True),
        ({"ok": True, "reason": "r", "message": "m", "already_unlocked": True}, False),
        ({"already_unlocked": True}, False),
        ({"credit_deducted": True}, True),
    ],
)
def test_an_unlock_counts_unless_suno_says_that_it_was_unlocked(
    gateway: SunoGateway, wire: RequestsMock, reply: dict[str, Any], counted: bool
) -> None:
    wire.post(AUTHORIZE, json=reply)
    assert gateway.unlock(ALICE, SONG).counted is counted


@pytest.mark.parametrize("status", [408, 409, 500, 502, 504])
def test_a_failure_that_may_have_counted_says_so(gateway: SunoGateway, wire: RequestsMock, status: int) -> None:
    wire.post(AUTHORIZE, status=status, json={"detail": "?"})
    with pytest.raises(errors.SunoFailed) as raised:
        gateway.unlock(ALICE, SONG)
    assert raised.value.may_have_charged


def test_a_suno_without_unlocks_counts_nothing(gateway: SunoGateway, wire: RequestsMock) -> None:
    wire.post(AUTHORIZE, status=404, json={"detail": "Not Found"})
    assert gateway.unlock(ALICE, SONG).counted is False


@pytest.mark.parametrize("format", ["mp3", "m4a", "wav"])
def test_there_is_no_address_until_the_file_is_ready(gateway: SunoGateway, wire: RequestsMock, format: str) -> None:
    url = f"{FILE}?format={format}"
    wire.get(url, json={"ok": True, "status": "processing"})
    wire.get(url, json={"ok": True, "status": "ready", "download_url": "https://cdn.example/a"})
    wire.get(url, json={"ok": True, "status": "ready", "download_url": "http://cdn.example/a"})
    told = [gateway.download_url(ALICE, "a", format) for _ in range(3)]  # type: ignore[arg-type]
    assert told == [None, "https://cdn.example/a", "http://cdn.example/a"]


@pytest.mark.parametrize(
    "reply", [{}, {"download_url": "javascript:1"}, {"download_url": 5}, {"status": "error"}, []]
)
def test_a_reply_without_an_address_is_a_clear_failure(gateway: SunoGateway, wire: RequestsMock, reply: Any) -> None:
    wire.get(FILE, json=reply)
    wire.get(f"{API}/api/gen/a/wav_file/", json=reply)
    with pytest.raises(errors.SunoFailed, match="no longer reports where"):
        gateway.download_url(ALICE, "a", "mp3")
    with pytest.raises(errors.SunoFailed, match="no longer reports where"):
        gateway.wav_file(ALICE, "a")


@pytest.mark.parametrize("empty", [None, ""])
def test_an_empty_address_is_that_of_a_file_that_is_not_ready(
    gateway: SunoGateway, wire: RequestsMock, empty: object
) -> None:
    wire.get(FILE, json={"ok": True, "status": "processing", "download_url": empty})
    wire.get(f"{API}/api/gen/a/wav_file/", json={"wav_file_url": empty})
    assert gateway.download_url(ALICE, "a", "wav") is None
    assert gateway.wav_file(ALICE, "a") is None


@pytest.mark.parametrize("format", ["mp3", "m4a"])
def test_every_suno_knows_these_formats_so_a_missing_file_is_a_missing_clip(
    gateway: SunoGateway, wire: RequestsMock, format: str
) -> None:
    wire.get(FILE, status=404, json={"detail": "?"})
    with pytest.raises(errors.SongNotFound):
        gateway.download_url(ALICE, "a", format)  # type: ignore[arg-type]


@pytest.mark.parametrize("status", [400, 404, 405, 422])
def test_a_wav_that_the_newer_call_does_not_know_comes_from_the_older_calls(
    gateway: SunoGateway, wire: RequestsMock, status: int
) -> None:
    wire.get(FILE, status=status, json={"detail": "?"})
    with pytest.raises(UnknownFormat):
        gateway.download_url(ALICE, "a", "wav")
    wire.get(f"{API}/api/gen/a/wav_file/", status=404, json={"detail": "?"})
    wire.get(f"{API}/api/gen/a/wav_file/", json={"wav_file_url": "https://cdn.example/a.wav"})
    wire.post(f"{API}/api/gen/a/convert_wav/", status=204)
    assert gateway.wav_file(ALICE, "a") is None
    gateway.convert_wav(ALICE, "a")
    assert (wire.calls[-1].request.body, wire.calls[-1].request.headers["Content-Length"]) == (b"", "0")
    assert gateway.wav_file(ALICE, "a") == "https://cdn.example/a.wav"
