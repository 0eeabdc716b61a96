"""What is free: clips, songs, stems, credits; and the split by v2-web, which reads before it pays."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable
from typing import Any

import pytest
import requests
from responses import RequestsMock

from app.suno import errors
from app.suno.clip import Clip, StemTask, finished_set
from app.suno.gateway import SunoGateway
from tests.suno.conftest import ALICE, API, CLIP, SONG, SPLIT, calls, endpoint, signed_in

FEED_V2 = f"{API}/api/feed/v2"
FEED_V3 = f"{API}/api/feed/v3"
STEMS = f"{API}/api/clip/{SONG}/stems"
BILLING = f"{API}/api/billing/info/"
V2_WEB = f"{API}/api/generate/v2-web/"
CHECK = f"{API}/api/c/check"
DETAIL = {"detail": "Not Found"}


@pytest.fixture(autouse=True)
def sign_in(wire: RequestsMock) -> None:
    signed_in(wire)


def named(*ids: str) -> dict[str, Any]:
    return {"clips": [CLIP | {"id": id} for id in ids]}


def test_clips_come_in_the_order_asked_and_unknown_ones_are_absent(gateway: SunoGateway, wire: RequestsMock) -> None:
    wire.get(FEED_V2, json=named("c", "a"))
    assert [clip.id for clip in gateway.clips(ALICE, ["a", "b", "c", "a"])] == ["a", "c"]
    assert wire.calls[-1].request.url == f"{FEED_V2}?ids=a,b,c,a"


@pytest.mark.parametrize("gone", [404, 405])
def test_v3_of_the_feed_is_asked_once_v2_is_gone_and_remembered(
    gateway: SunoGateway, wire: RequestsMock, gone: int
) -> None:
    wire.get(FEED_V2, status=gone, json=DETAIL)
    wire.post(FEED_V3, json=named("a", "b") | {"has_more": False, "next_cursor": None})

    for _ in range(2):
        assert [clip.id for clip in gateway.clips(ALICE, ["a", "b"])] == ["a", "b"]

    assert (calls(wire, FEED_V2), calls(wire, FEED_V3)) == (1, 2)
    assert json.loads(wire.calls[-1].request.body) == {
        "filters": {"ids": {"presence": "True", "clipIds": ["a", "b"]}},
        "limit": 2,
    }


def test_songs_are_listed_by_page(gateway: SunoGateway, wire: RequestsMock) -> None:
    wire.get(FEED_V2, json=named("a"))
    assert [clip.id for clip in gateway.songs(ALICE, 3)] == ["a"]
    assert wire.calls[-1].request.url == f"{FEED_V2}?page=3"


def test_with_v3_only_the_first_page_of_songs_can_be_had(gateway: SunoGateway, wire: RequestsMock) -> None:
    wire.get(FEED_V2, status=404, json=DETAIL)
    wire.post(FEED_V3, json=named("a"))
    assert [clip.id for clip in gateway.songs(ALICE)] == ["a"]
    with pytest.raises(errors.RefusedBySuno, match="first page"):
        gateway.songs(ALICE, 1)


def test_a_free_call_that_gets_no_answer_is_sent_again(gateway: SunoGateway, wire: RequestsMock) -> None:
    assert gateway._again._adapter.max_retries.read == 1
    assert gateway._once._adapter.max_retries.read is False


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ({"status": 500, "json": DETAIL}, errors.SunoFailed),
        ({"status": 200, "json": {"ok": True}}, errors.SunoFailed),
        ({"status": 200, "body": "?"}, errors.SunoFailed),
        ({"status": 200, "body": "<html>", "content_type": "text/html"}, errors.SunoFailed),
        ({"status": 429, "json": DETAIL}, errors.RateLimited),
        ({"body": requests.ReadTimeout()}, errors.SunoUnreachable),
        ({"body": requests.ConnectionError()}, errors.SunoUnreachable),
    ],
)
@pytest.mark.parametrize(
    ("url", "ask"),
    [
        (FEED_V2, lambda gateway: gateway.clips(ALICE, ["a"])),
        (f"{STEMS}/pages", lambda gateway: gateway.stems(ALICE, SONG)),
        (BILLING, lambda gateway: gateway.credits(ALICE)),
        (f"{API}/api/download/clip/a", lambda gateway: gateway.download_url(ALICE, "a", "mp3")),
        (f"{API}/api/gen/a/wav_file/", lambda gateway: gateway.download_url(ALICE, "a", "wav")),
    ],
)
def test_a_free_call_that_fails_cost_nothing_and_says_so(
    gateway: SunoGateway,
    wire: RequestsMock,
    url: str,
    ask: Callable[[SunoGateway], object],
    reply: dict[str, object],
    expected: type[errors.SunoError],
) -> None:
    wire.get(url, **reply)
    with pytest.raises(expected, match=r"[Nn]othing was (asked or )?charged") as raised:
        ask(gateway)
    assert not raised.value.may_have_charged


@pytest.mark.parametrize("key", ["stems", "clips"])
def test_stems_are_read_from_all_pages_once_each(gateway: SunoGateway, wire: RequestsMock, key: str) -> None:
    wire.get(f"{STEMS}/pages", json={"pages": 2})
    wire.get(f"{STEMS}?page=0", json={key: [CLIP | {"id": "a"}, CLIP | {"id": "b"}]})
    wire.get(f"{STEMS}?page=1", json={key: [CLIP | {"id": "b"}, CLIP | {"id": "c"}]})
    assert [stem.id for stem in gateway.stems(ALICE, SONG)] == ["a", "b", "c"]


@pytest.mark.parametrize(
    "reply", [{"json": {"pages": 0}}, {"status": 404, "json": DETAIL}, {"status": 400, "json": DETAIL}]
)
def test_a_song_without_stems_has_none(gateway: SunoGateway, wire: RequestsMock, reply: dict[str, object]) -> None:
    wire.get(f"{STEMS}/pages", **reply)
    wire.get(f"{API}/api/clip/{SONG}", json=CLIP | {"id": SONG})
    assert gateway.stems(ALICE, SONG) == []


def test_a_song_that_is_not_there_has_no_stems(gateway: SunoGateway, wire: RequestsMock) -> None:
    wire.get(f"{STEMS}/pages", status=404, json=DETAIL)
    wire.get(f"{API}/api/clip/{SONG}", status=404, json=DETAIL)
    assert gateway.stems(ALICE, SONG) == []


def test_a_list_of_stems_that_is_gone_is_not_taken_for_an_empty_one(gateway: SunoGateway, wire: RequestsMock) -> None:
    wire.get(f"{STEMS}/pages", status=404, json=DETAIL)
    wire.get(f"{API}/api/clip/{SONG}", json=CLIP | {"id": SONG, "metadata": {"has_stem": True}})
    with pytest.raises(errors.SunoFailed, match="which stems a song has"):
        gateway.stems(ALICE, SONG)


def test_a_list_of_stems_that_is_too_long_is_not_told_in_part(gateway: SunoGateway, wire: RequestsMock) -> None:
    wire.get(f"{STEMS}/pages", json={"pages": 10**9})
    with pytest.raises(errors.SunoFailed, match="number of a song's pages"):
        gateway.stems(ALICE, SONG)


def test_credits_are_whole_numbers(gateway: SunoGateway, wire: RequestsMock) -> None:
    wire.get(
        BILLING,
        json={
            "total_credits_left": 480.0,
            "period": "month",
            "monthly_limit": 2500,
            "monthly_usage": 2020,
            "plan": {"name": "Pro Plan"},
            "accessible_features": [{"name": "get_stems"}, None],
            "download_usage": {"current_period_downloads_limit": 20, "current_period_downloads_used": 3},
        },
    )
    credits = gateway.credits(ALICE)
    assert (credits.credits_left, credits.period, credits.can_split) == (480, "month", True)
    assert (credits.monthly_limit, credits.monthly_usage) == (2500, 2020)
    assert (credits.downloads_limit, credits.downloads_used) == (20, 3)


def test_credits_that_suno_does_not_tell_are_nothing(gateway: SunoGateway, wire: RequestsMock) -> None:
    wire.get(BILLING, json={"total_credits_left": 1, "accessible_features": []})
    credits = gateway.credits(ALICE)
    assert (credits.period, credits.monthly_limit, credits.downloads_used) == (None, None, None)
    assert credits.can_split is False


def test_twelve_is_asked_as_a_browser_asks_after_reading_and_checking(
    gateway: SunoGateway, wire: RequestsMock
) -> None:
    wire.get(f"{API}/api/clip/{SONG}", json=CLIP | {"id": SONG, "title": "Song"})
    wire.post(CHECK, json={"required": False, "captcha_version": 1})
    wire.post(V2_WEB, json=named("a", "b") | {"status": "submitted", "batch_size": 2})

    stems = gateway.generate_stems(ALICE, SONG, StemTask.TWELVE)

    assert [stem.id for stem in stems] == ["a", "b"]
    asked = [call.request.url for call in wire.calls[2:]]
    assert asked == [f"{API}/api/clip/{SONG}", CHECK, V2_WEB]
    assert json.loads(wire.calls[-2].request.body) == {"ctype": "generation"}
    body = json.loads(wire.calls[-1].request.body)
    assert len(body.pop("transaction_uuid")) == len(body["metadata"].pop("create_session_token")) == 36
    assert body == {
        "task": "gen_stem",
        "generation_type": "TEXT",
        "title": "Song",
        "tags": "",
        "negative_tags": "",
        "prompt": "",
        "mv": "chirp-v3-0",
        "make_instrumental": True,
        "continue_clip_id": SONG,
        "stem_type_id": 91,
        "stem_type_group_name": "Twelve",
        "stem_task": "twelve",
        "override_fields": [],
        "token": None,
        "token_provider": None,
        "metadata": {
            "web_client_pathname": "/create",
            "create_mode": "custom",
            "disable_volume_normalization": False,
            "is_remix": True,
        },
    }


def test_two_goes_by_v2_web_where_the_setting_says_so(wire: RequestsMock) -> None:
    wire.get(f"{API}/api/clip/{SONG}", json=CLIP | {"id": SONG, "title": None})
    wire.post(CHECK, json={"required": False})
    wire.post(V2_WEB, json=named("a"))
    SunoGateway(endpoint(stems_route="v2-web")).generate_stems(ALICE, SONG)
    body = json.loads(wire.calls[-1].request.body)
    assert (body["stem_type_group_name"], body["stem_task"], body["mv"]) == ("Two", "two", "chirp-auk")
    assert body["title"] == ""


@pytest.mark.parametrize(
    ("clip", "check", "expected"),
    [
        ({"status": 404, "json": DETAIL}, {"json": {"required": False}}, errors.SongNotFound),
        ({"status": 500, "json": DETAIL}, {"json": {"required": False}}, errors.SunoFailed),
        ({"body": requests.ConnectionError()}, {"json": {"required": False}}, errors.SunoUnreachable),
        ({"json": {"id": "another"}}, {"json": {"required": False}}, errors.SunoFailed),
        ({"json": CLIP | {"id": SONG}}, {"json": {"required": True}}, errors.CaptchaRequired),
        ({"json": CLIP | {"id": SONG}}, {"json": {}}, errors.SunoFailed),
        ({"json": CLIP | {"id": SONG}}, {"status": 500, "json": DETAIL}, errors.SunoFailed),
    ],
)
def test_what_stops_v2_web_stops_it_before_it_pays(
    gateway: SunoGateway, wire: RequestsMock, clip: Any, check: Any, expected: type[Exception]
) -> None:
    wire.get(f"{API}/api/clip/{SONG}", **clip)
    wire.post(CHECK, **check)
    wire.post(V2_WEB, json=named("a"))
    with pytest.raises(expected):
        gateway.generate_stems(ALICE, SONG, StemTask.TWELVE)
    assert calls(wire, V2_WEB) == calls(wire, SPLIT) == 0


def test_a_paid_call_is_not_sent_with_less_than_half_of_its_time_left(
    gateway: SunoGateway, wire: RequestsMock, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.monotonic()

    def slow(request: object) -> tuple[int, dict[str, str], str]:
        monkeypatch.setattr("app.suno.wire.time.monotonic", lambda: now + 25)
        return 200, {}, json.dumps(CLIP | {"id": SONG})

    wire.add_callback("GET", f"{API}/api/clip/{SONG}", slow)
    wire.post(CHECK, json={"required": False})
    wire.post(V2_WEB, json=named("a"))
    with pytest.raises(errors.SunoUnreachable, match="took too long"):
        gateway.generate_stems(ALICE, SONG, StemTask.TWELVE)
    assert calls(wire, V2_WEB) == 0


@pytest.mark.parametrize("format", ["mp3", "m4a"])
def test_asking_again_is_how_a_download_is_polled(gateway: SunoGateway, wire: RequestsMock, format: str) -> None:
    url = f"{API}/api/download/clip/a?format={format}"
    wire.get(url, json={"status": "processing"})
    wire.get(url, json={"download_url": "https://cdn.example/a"})
    assert gateway.download_url(ALICE, "a", format) is None  # type: ignore[arg-type]
    assert gateway.download_url(ALICE, "a", format) == "https://cdn.example/a"  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "reply", [{}, {"download_url": "javascript:1"}, {"download_url": 5}, {"status": "error"}, []]
)
def test_a_download_without_an_address_is_a_clear_failure(
    gateway: SunoGateway, wire: RequestsMock, reply: Any
) -> None:
    wire.get(f"{API}/api/download/clip/a", json=reply)
    with pytest.raises(errors.SunoFailed, match="no longer tells where"):
        gateway.download_url(ALICE, "a", "mp3")


def test_a_wav_is_converted_once_however_often_it_is_asked_for(gateway: SunoGateway, wire: RequestsMock) -> None:
    file, convert = f"{API}/api/gen/a/wav_file/", f"{API}/api/gen/a/convert_wav/"
    for _ in range(3):
        wire.get(file, status=404, json=DETAIL)
    wire.get(file, json={"wav_file_url": "https://cdn.example/a.wav"})
    wire.post(convert, status=204)

    assert [gateway.download_url(ALICE, "a", "wav") for _ in range(4)] == [None] * 3 + ["https://cdn.example/a.wav"]

    assert (calls(wire, file), calls(wire, convert)) == (4, 1)


def test_a_wav_that_is_there_is_not_converted(gateway: SunoGateway, wire: RequestsMock) -> None:
    wire.get(f"{API}/api/gen/a/wav_file/", json={"wav_file_url": "https://cdn.example/a.wav"})
    assert gateway.download_url(ALICE, "a", "wav") == "https://cdn.example/a.wav"


@pytest.mark.parametrize(
    ("reply", "expected", "conversions"),
    [
        ({"status": 403, "json": {"detail": "WAV is for Pro."}}, errors.NotAllowed, 2),
        ({"status": 404, "json": DETAIL}, errors.SongNotFound, 2),
        ({"body": requests.ReadTimeout()}, errors.SunoUnreachable, 1),
    ],
)
def test_a_conversion_that_may_be_under_way_is_not_begun_again(
    gateway: SunoGateway, wire: RequestsMock, reply: Any, expected: type[Exception], conversions: int
) -> None:
    convert = f"{API}/api/gen/a/convert_wav/"
    wire.get(f"{API}/api/gen/a/wav_file/", status=404, json=DETAIL)
    wire.post(convert, **reply)
    with pytest.raises(expected):
        gateway.download_url(ALICE, "a", "wav")
    with contextlib.suppress(expected):
        gateway.download_url(ALICE, "a", "wav")
    assert calls(wire, convert) == conversions


def stem(id: str, title: str, task: str | None = "two", status: str = "complete", group: str | None = None) -> Clip:
    return Clip(id, status=status, title=title, stem_task=task, stem_group=group)


@pytest.mark.parametrize(
    ("stems", "task", "reused"),
    [
        ([], "two", []),
        ([stem("a", "S (Vocals)"), stem("b", "S (Instrumental)")], "two", ["a", "b"]),
        ([stem("a", "S (Vocals)"), stem("b", "S (Instrumental)")], "twelve", []),
        ([stem("a", "S (Vocals)")], "two", []),
        ([stem("a", "S (Vocals)"), stem("b", "S (Instrumental)", status="streaming")], "two", []),
        ([stem("a", "S (Vocals)"), stem("b", "S (Instrumental)", status="error")], "two", []),
        (
            [
                stem("c", "S (Vocals)", status="queued"),
                stem("a", "S (Vocals)"),
                stem("d", "S (Instrumental)", status="error"),
                stem("b", "S (Instrumental)"),
            ],
            "two",
            ["a", "b"],
        ),
        ([stem("a", "S - Vocals", None), stem("b", "S - Instrumental", None)], "two", ["a", "b"]),
        ([stem("a", "S - Vocals", None), stem("b", "S - Instrumental", None)], "twelve", []),
        ([stem("a", "S - Vocals", None), stem("b", "S - Drums", None)], "two", []),
        ([stem("a", "S", None, group="Vocals"), stem("b", "S", None, group="Instrumental")], "two", ["a", "b"]),
        (
            [stem(f"{take}{n}", f"S (Part {n})", "twelve", group=f"P_{n}") for take in "ab" for n in range(12)],
            "twelve",
            [f"{take}{n}" for take in "ab" for n in range(12)],
        ),
        ([stem(f"a{n}", f"S (Part {n})", "twelve") for n in range(12)], "two", []),
    ],
)
def test_a_finished_set_is_of_the_kind_and_whole(stems: list[Clip], task: str, reused: list[str]) -> None:
    assert [stem.id for stem in finished_set(stems, StemTask(task))] == reused
