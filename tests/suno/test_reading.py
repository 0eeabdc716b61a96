"""Free calls: stems, credits, and failures."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import requests
from responses import RequestsMock

from app.suno import errors
from app.suno.clip import Clip
from app.suno.gateway import SunoGateway
from tests.suno.conftest import ALICE, API, CLIP, SONG, signed_in

STEMS = f"{API}/api/clip/{SONG}/stems"
BILLING = f"{API}/api/billing/info/"
DETAIL = {"detail": "Not Found"}


@pytest.fixture(autouse=True)
def sign_in(wire: RequestsMock) -> None:
    signed_in(wire)


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
        (f"{API}/api/clip/a", lambda gateway: gateway.clip(ALICE, "a")),
        (f"{STEMS}/pages", lambda gateway: gateway.stems(ALICE, SONG)),
        (BILLING, lambda gateway: gateway.credits(ALICE)),
        (f"{API}/api/download/clip/a", lambda gateway: gateway.download_url(ALICE, "a", "mp3")),
        (f"{API}/api/gen/a/wav_file/", lambda gateway: gateway.wav_file(ALICE, "a")),
    ],
)
def test_a_failed_free_call_says_that_nothing_was_charged(
    gateway: SunoGateway,
    wire: RequestsMock,
    url: str,
    ask: Callable[[SunoGateway], object],
    reply: dict[str, object],
    expected: type[errors.SunoError],
) -> None:
    wire.get(url, **reply)
    with pytest.raises(expected, match=r"[Nn]othing was charged") as raised:
        ask(gateway)
    assert not raised.value.may_have_charged


@pytest.mark.parametrize("key", ["stems", "clips"])
def test_stems_are_read_from_all_pages_once_each(gateway: SunoGateway, wire: RequestsMock, key: str) -> None:
    wire.get(f"{STEMS}/pages", json={"pages": 2})
    wire.get(f"{STEMS}?page=0", json={key: [CLIP | {"id": "a"}, CLIP | {"id": "b"}]})
    wire.get(f"{STEMS}?page=1", json={key: [CLIP | {"id": "b"}, CLIP | {"id": "c"}]})
    assert [stem.id for stem in gateway.stems(ALICE, SONG)] == ["a", "b", "c"]


def test_stems_belong_to_the_requested_song_even_if_the_list_does_not_say_so(
    gateway: SunoGateway, wire: RequestsMock
) -> None:
    wire.get(f"{STEMS}/pages", json={"pages": 1})
    wire.get(f"{STEMS}?page=0", json={"stems": [{"id": "a", "status": "complete"}]})
    assert gateway.stems(ALICE, SONG) == [Clip("a", "complete", stem_from_id=SONG, is_stem=True)]


UNREADABLE_PAGES = [
    {"status": 400, "json": {"detail": "Invalid page number"}},
    {"status": 404, "json": DETAIL},
    {"status": 422, "json": DETAIL},
    {"status": 500, "json": {"detail": "Invalid page"}},
    {"json": {"stems": []}},
    {"json": {"stems": [{"title": "Nameless"}]}},
    {"json": {"stems": [CLIP, {"title": "Nameless"}]}},
    {"json": {"stems": [CLIP, None]}},
    {"json": {"stems": [CLIP, {"id": "../a"}]}},
    {"json": {"stems": [CLIP, "../a"]}},
    {"json": {"stems": [CLIP | {"metadata": {"stem_from_id": "another"}}]}},
    {"json": {"clip": [CLIP]}},
    {"json": [CLIP]},
    {"json": None},
]


@pytest.mark.parametrize("page", [0, 1])
@pytest.mark.parametrize("reply", UNREADABLE_PAGES)
def test_stems_that_suno_counts_but_does_not_show_are_not_an_empty_list(
    gateway: SunoGateway, wire: RequestsMock, page: int, reply: dict[str, object]
) -> None:
    wire.get(f"{STEMS}/pages", json={"pages": 2})
    wire.get(f"{STEMS}?page={page}", **reply)
    wire.get(f"{STEMS}?page={1 - page}", json={"stems": [CLIP]})
    with pytest.raises(errors.SunoFailed):
        gateway.stems(ALICE, SONG)


def test_no_page_is_requested_if_suno_counts_none(gateway: SunoGateway, wire: RequestsMock) -> None:
    wire.get(f"{STEMS}/pages", json={"pages": 0})
    assert gateway.stems(ALICE, SONG) == []
    assert wire.calls[-1].request.url == f"{STEMS}/pages"


@pytest.mark.parametrize("listed", [["a", "b"], [{"id": "a"}, {"id": "b"}]])
def test_stems_that_come_as_ids_are_read(gateway: SunoGateway, wire: RequestsMock, listed: list[object]) -> None:
    wire.get(f"{STEMS}/pages", json={"pages": 1})
    wire.get(f"{STEMS}?page=0", json={"stems": listed})
    wire.post(f"{API}/api/feed/v3", json={"clips": [{"id": "a", "title": "Song (Bass)"}]})
    wire.get(f"{API}/api/clip/b", status=404, json=DETAIL)
    assert gateway.stems(ALICE, SONG) == [
        Clip("a", title="Song (Bass)", stem_from_id=SONG, is_stem=True),
        Clip("b", stem_from_id=SONG, is_stem=True),
    ]


@pytest.mark.parametrize("status", [400, 404, 422])
def test_the_error_page_of_a_proxy_is_never_an_empty_list(
    gateway: SunoGateway, wire: RequestsMock, status: int
) -> None:
    wire.get(f"{STEMS}/pages", json={"pages": 1})
    wire.get(f"{STEMS}?page=0", status=status, body="<html>", content_type="text/html")
    wire.get(f"{STEMS}?page=1", json={"stems": []})
    with pytest.raises(errors.SunoFailed, match="HTML page"):
        gateway.stems(ALICE, SONG)


@pytest.mark.parametrize(
    ("page", "status", "expected"),
    [(0, 403, errors.NotAllowed), (0, 500, errors.SunoFailed), (1, 404, errors.SunoFailed)],
)
def test_a_list_of_stems_with_a_missing_page_is_not_returned(
    gateway: SunoGateway, wire: RequestsMock, page: int, status: int, expected: type[Exception]
) -> None:
    wire.get(f"{STEMS}/pages", json={"pages": 2})
    wire.get(f"{STEMS}?page={page}", status=status, json=DETAIL)
    for other in range(3):
        wire.get(f"{STEMS}?page={other}", json={"stems": [CLIP]})
    with pytest.raises(expected):
        gateway.stems(ALICE, SONG)


@pytest.mark.parametrize(
    "reply", [{"json": {"pages": 0}}, {"status": 404, "json": DETAIL}, {"status": 400, "json": DETAIL}]
)
def test_a_song_without_stems_has_an_empty_list(
    gateway: SunoGateway, wire: RequestsMock, reply: dict[str, object]
) -> None:
    wire.get(f"{STEMS}/pages", **reply)
    wire.get(f"{API}/api/clip/{SONG}", json=CLIP | {"id": SONG})
    assert gateway.stems(ALICE, SONG) == []


def test_a_refused_number_of_pages_is_not_an_empty_list(gateway: SunoGateway, wire: RequestsMock) -> None:
    wire.get(f"{STEMS}/pages", status=422, json=DETAIL)
    with pytest.raises(errors.RefusedBySuno):
        gateway.stems(ALICE, SONG)


@pytest.mark.parametrize(
    ("metadata", "marked"),
    [
        ({"has_stem": True}, True),
        ({"has_stem": False}, False),
        ({"has_stem": None}, None),
        ({"has_stem": "false"}, None),
        ({"has_stem": 0}, None),
        ({}, None),
        (None, None),
        ([], None),
    ],
)
def test_it_is_unknown_whether_a_song_has_stems_unless_suno_says_so(
    gateway: SunoGateway, wire: RequestsMock, metadata: object, marked: bool | None
) -> None:
    wire.get(f"{API}/api/clip/{SONG}", json={"id": SONG, "metadata": metadata})
    assert gateway.song_has_stems(ALICE, SONG) is marked


def test_an_unknown_song_has_no_mark(gateway: SunoGateway, wire: RequestsMock) -> None:
    wire.get(f"{API}/api/clip/{SONG}", status=404, json=DETAIL)
    with pytest.raises(errors.SongNotFound):
        gateway.song_has_stems(ALICE, SONG)


def test_an_unknown_song_has_no_stems(gateway: SunoGateway, wire: RequestsMock) -> None:
    wire.get(f"{STEMS}/pages", status=404, json=DETAIL)
    wire.get(f"{API}/api/clip/{SONG}", status=404, json=DETAIL)
    assert gateway.stems(ALICE, SONG) == []


def test_a_missing_list_of_stems_does_not_count_as_empty(gateway: SunoGateway, wire: RequestsMock) -> None:
    wire.get(f"{STEMS}/pages", status=404, json=DETAIL)
    wire.get(f"{API}/api/clip/{SONG}", json=CLIP | {"id": SONG, "metadata": {"has_stem": True}})
    with pytest.raises(errors.SunoFailed, match="which stems a song has"):
        gateway.stems(ALICE, SONG)


@pytest.mark.parametrize(
    "reply", [{"pages": 10**9}, {"pages": 2}, {"pages": -1}, {"pages": True}, {"pages": "1"}, {}, []]
)
def test_a_list_of_stems_that_is_too_long_or_of_unknown_length_is_not_truncated(
    gateway: SunoGateway, wire: RequestsMock, monkeypatch: pytest.MonkeyPatch, reply: object
) -> None:
    monkeypatch.setattr("app.suno.gateway.MAX_STEM_PAGES", 1)
    wire.get(f"{STEMS}/pages", json=reply)
    wire.get(STEMS, json={"stems": [CLIP]})
    with pytest.raises(errors.SunoFailed, match="number of a song's pages"):
        gateway.stems(ALICE, SONG)
    wire.replace("GET", f"{STEMS}/pages", json={"pages": 1})
    assert len(gateway.stems(ALICE, SONG)) == 1


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
            "download_usage": {
                "current_period_downloads_limit": 20,
                "current_period_downloads_used": 3,
                "additional_download_remaining": 2,
            },
        },
    )
    credits = gateway.credits(ALICE)
    assert (credits.credits_left, credits.period, credits.can_split) == (480, "month", True)
    assert (credits.monthly_limit, credits.monthly_usage) == (2500, 2020)
    assert (credits.downloads_limit, credits.downloads_used, credits.downloads_extra) == (20, 3, 2)


def test_a_billing_call_that_is_gone_does_not_mean_that_a_song_is_unknown(
    gateway: SunoGateway, wire: RequestsMock
) -> None:
    wire.get(BILLING, status=404, json=DETAIL)
    with pytest.raises(errors.SunoFailed, match="answered 404"):
        gateway.credits(ALICE)


def test_missing_credit_fields_are_none(gateway: SunoGateway, wire: RequestsMock) -> None:
    wire.get(BILLING, json={"total_credits_left": 1})
    credits = gateway.credits(ALICE)
    assert (credits.period, credits.monthly_limit, credits.downloads_used) == (None, None, None)
    assert credits.can_split is None


@pytest.mark.parametrize(
    ("features", "can_split"),
    [(["get_stems"], True), (["covers", "get_stems"], True), (["covers"], False), ([], False)],
)
def test_a_plan_includes_splits_if_it_lists_them(
    gateway: SunoGateway, wire: RequestsMock, features: list[str], can_split: bool
) -> None:
    wire.get(BILLING, json={"total_credits_left": 1, "accessible_features": [{"name": name} for name in features]})
    assert gateway.credits(ALICE).can_split is can_split
