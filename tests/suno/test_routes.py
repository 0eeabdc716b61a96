"""The two routes for splits, and when each is used."""

from __future__ import annotations

import json
import logging
import time
import uuid
from collections.abc import Callable
from typing import Any

import pytest
import requests
from responses import RequestsMock

from app.suno import errors
from app.suno.clip import Clip
from app.suno.endpoint import ExtractGroup, StemsRoute
from app.suno.gateway import SunoGateway
from app.suno.stems import StemChoice, StemTask
from tests.suno.conftest import ALICE, API, BOB, CLIP, SONG, SPLIT, TOKENS, calls, endpoint, jwt, signed_in

V2_WEB = f"{API}/api/generate/v2-web/"
CHECK = f"{API}/api/c/check"
DETAIL = {"detail": "Not Found"}
STALE = {"detail": "Token validation failed."}
TWELVE = StemChoice(StemTask.TWELVE)


@pytest.fixture(autouse=True)
def sign_in(wire: RequestsMock) -> None:
    signed_in(wire, jwt(n=1), jwt(n=2))


def reply_with(*ids: str) -> dict[str, Any]:
    return {"clips": [CLIP | {"id": id} for id in ids]}


@pytest.fixture
def v2_web(wire: RequestsMock) -> None:
    """Make v2-web accept every request."""
    wire.get(f"{API}/api/clip/{SONG}", json=CLIP | {"status": "complete", "id": SONG, "title": "Song"})
    wire.post(CHECK, json={"required": False, "captcha_version": 1})
    wire.post(V2_WEB, json=reply_with("a", "b") | {"status": "submitted", "batch_size": 2})


def body_of(wire: RequestsMock) -> dict[str, Any]:
    return json.loads(wire.calls[-1].request.body)


@pytest.mark.parametrize("status", [400, 403, 422])
@pytest.mark.usefixtures("v2_web")
def test_a_refusal_of_edit_that_is_about_one_song_moves_that_split_alone(
    gateway: SunoGateway, wire: RequestsMock, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    wire.post(SPLIT, status=status, json=DETAIL)
    wire.post(f"{API}/api/edit/stems/another/", json={"clips": [{"id": "of-another"}]})
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            assert [stem.id for stem in gateway.generate_stems(ALICE, SONG)] == ["a", "b"]
            assert [stem.id for stem in gateway.generate_stems(BOB, "another")] == ["of-another"]
    assert (calls(wire, SPLIT), calls(wire, V2_WEB)) == (2, 2)
    assert caplog.text == ""


@pytest.mark.usefixtures("v2_web")
def test_edit_is_not_gone_if_v2_web_refuses_the_song_too(gateway: SunoGateway, wire: RequestsMock) -> None:
    wire.post(SPLIT, status=404, json=DETAIL)
    wire.replace("POST", V2_WEB, status=403, json=DETAIL)
    with pytest.raises(errors.NotAllowed):
        gateway.generate_stems(ALICE, SONG)
    wire.post(f"{API}/api/edit/stems/another/", json={"clips": [{"id": "of-another"}]})
    assert [stem.id for stem in gateway.generate_stems(ALICE, "another")] == ["of-another"]


@pytest.mark.parametrize("status", [404, 405, 410])
@pytest.mark.usefixtures("v2_web")
def test_v2_web_replaces_edit_for_an_hour_if_edit_is_gone(
    gateway: SunoGateway,
    wire: RequestsMock,
    status: int,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wire.post(SPLIT, status=status, json=DETAIL)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert [stem.id for stem in gateway.generate_stems(ALICE, SONG)] == ["a", "b"]
    assert (calls(wire, SPLIT), calls(wire, V2_WEB)) == (1, 3)
    assert caplog.text.count("SUNO_STEMS_ROUTE") == 1
    later = time.monotonic() + 3601
    monkeypatch.setattr("app.suno.gateway.time.monotonic", lambda: later)
    gateway.generate_stems(ALICE, SONG)
    assert calls(wire, SPLIT) == 2


@pytest.mark.usefixtures("v2_web")
def test_a_pair_by_v2_web_extracts_the_lead_vocal(wire: RequestsMock) -> None:
    SunoGateway(endpoint(stems_route=StemsRoute.V2_WEB)).generate_stems(ALICE, SONG)
    body = body_of(wire)
    assert (body["stem_task"], body["stem_type_group_name"], body["stem_name"]) == (
        "extract",
        "Lead Vocal",
        "Lead Vocal",
    )
    assert (body["title"], body["mv"]) == ("Song", "chirp-v3-5-b")
    assert calls(wire, SPLIT) == 0


@pytest.mark.parametrize("route", [StemsRoute.EDIT, StemsRoute.V2_WEB])
@pytest.mark.usefixtures("v2_web")
def test_stems_belong_to_the_song_that_was_split_even_if_the_reply_does_not_say_so(
    wire: RequestsMock, route: StemsRoute
) -> None:
    wire.post(SPLIT, json={"clips": [{"id": "a"}]})
    wire.replace("POST", V2_WEB, json={"id": "the batch", "clips": [{"id": "a"}]})
    stems = SunoGateway(endpoint(stems_route=route)).generate_stems(ALICE, SONG)
    assert stems == [Clip("a", stem_from_id=SONG, is_stem=True)]


@pytest.mark.parametrize("route", list(StemsRoute))
@pytest.mark.usefixtures("v2_web")
def test_a_named_part_always_uses_v2_web(wire: RequestsMock, route: StemsRoute) -> None:
    gateway = SunoGateway(endpoint(stems_route=route, stems_model="chirp-x"))
    gateway.generate_stems(ALICE, SONG, StemChoice(stem_name="Drum Kit"))
    assert (body_of(wire)["stem_name"], body_of(wire)["mv"]) == ("Drum Kit", "chirp-x")
    assert calls(wire, SPLIT) == 0


@pytest.mark.usefixtures("v2_web")
def test_a_refusal_is_final_with_the_route_edit(wire: RequestsMock) -> None:
    wire.post(SPLIT, status=404, json=DETAIL)
    with pytest.raises(errors.SongNotFound):
        SunoGateway(endpoint(stems_route=StemsRoute.EDIT)).generate_stems(ALICE, SONG)
    assert calls(wire, V2_WEB) == 0


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ({"status": 402, "json": DETAIL}, errors.OutOfCredits),
        ({"status": 429, "json": DETAIL}, errors.RateLimited),
        ({"status": 500, "json": DETAIL}, errors.SunoFailed),
        ({"status": 401, "json": DETAIL}, errors.SessionExpired),
        ({"body": requests.ReadTimeout()}, errors.OutcomeUnknown),
        ({"status": 200, "json": {"ok": True}}, errors.OutcomeUnknown),
    ],
)
@pytest.mark.usefixtures("v2_web")
def test_any_other_failure_of_edit_is_final(
    gateway: SunoGateway, wire: RequestsMock, reply: dict[str, Any], expected: type[Exception]
) -> None:
    wire.post(SPLIT, **reply)
    with pytest.raises(expected):
        gateway.generate_stems(ALICE, SONG)
    assert calls(wire, V2_WEB) == 0


@pytest.mark.parametrize("song", [{"status": 404, "json": DETAIL}, {"body": requests.ConnectionError()}])
def test_the_refusal_of_edit_is_final_if_the_song_cannot_be_read(
    gateway: SunoGateway, wire: RequestsMock, song: dict[str, Any]
) -> None:
    wire.post(SPLIT, status=400, json={"detail": "Bad clip."})
    wire.get(f"{API}/api/clip/{SONG}", **song)
    with pytest.raises(errors.RefusedBySuno, match="Bad clip"):
        gateway.generate_stems(ALICE, SONG)


def test_the_refusal_of_v2_web_is_reported_if_both_routes_refuse(gateway: SunoGateway, wire: RequestsMock) -> None:
    wire.post(SPLIT, status=404, json=DETAIL)
    wire.get(f"{API}/api/clip/{SONG}", json=CLIP | {"status": "complete", "id": SONG})
    wire.post(CHECK, json={"required": False})
    wire.post(V2_WEB, status=403, json={"detail": "Upgrade to Pro."})
    for _ in range(2):
        with pytest.raises(errors.NotAllowed, match="Upgrade to Pro"):
            gateway.generate_stems(ALICE, SONG)
    assert calls(wire, SPLIT) == 2


@pytest.mark.parametrize(
    ("version", "which"),
    [(1, "hCaptcha"), (2, "Turnstile"), (None, "a captcha"), (9, "a captcha"), ([1], "a captcha")],
)
def test_a_required_captcha_is_named(wire: RequestsMock, version: object, which: str) -> None:
    wire.get(f"{API}/api/clip/{SONG}", json=CLIP | {"status": "complete", "id": SONG})
    wire.post(CHECK, json={"required": True, "captcha_version": version})
    with pytest.raises(errors.CaptchaRequired, match=which):
        SunoGateway(endpoint(stems_route=StemsRoute.V2_WEB)).generate_stems(ALICE, SONG)
    assert calls(wire, V2_WEB) == 0


def test_a_stale_token_is_renewed_once_before_a_captcha_is_reported(gateway: SunoGateway, wire: RequestsMock) -> None:
    wire.post(SPLIT, status=422, json=STALE)
    wire.post(SPLIT, json=reply_with("a"))
    assert [stem.id for stem in gateway.generate_stems(ALICE, SONG)] == ["a"]
    assert (calls(wire, SPLIT), calls(wire, TOKENS)) == (2, 2)


@pytest.mark.parametrize(
    ("check", "which"),
    [
        ({"json": {"required": True, "captcha_version": 2}}, "Turnstile"),
        ({"json": {"required": False, "captcha_version": 2}}, "a captcha"),
        ({"json": []}, "a captcha"),
        ({"status": 500, "json": DETAIL}, "a captcha"),
    ],
)
def test_a_captcha_is_reported_if_a_new_token_is_refused_too(
    wire: RequestsMock, check: dict[str, Any], which: str
) -> None:
    wire.post(SPLIT, status=422, json=STALE)
    wire.post(CHECK, **check)
    with pytest.raises(errors.CaptchaRequired, match=f"wants .*{which}") as raised:
        SunoGateway(endpoint(stems_route=StemsRoute.EDIT)).generate_stems(ALICE, SONG)
    assert raised.value.status == 422
    assert calls(wire, SPLIT) == 2


@pytest.mark.parametrize("status", [400, 403, 422])
def test_a_check_for_a_captcha_that_is_refused_too_is_not_asked_again_and_again(
    gateway: SunoGateway, wire: RequestsMock, status: int
) -> None:
    wire.get(f"{API}/api/clip/{SONG}", json=CLIP | {"status": "complete", "id": SONG})
    wire.post(CHECK, status=status, json=STALE)
    with pytest.raises(errors.CaptchaRequired, match="wants a captcha"):
        gateway.generate_stems(ALICE, SONG, TWELVE)
    assert (calls(wire, CHECK), calls(wire, V2_WEB)) == (2, 0)


def test_a_check_for_a_captcha_that_is_gone_does_not_mean_that_the_song_is_unknown(
    gateway: SunoGateway, wire: RequestsMock
) -> None:
    wire.get(f"{API}/api/clip/{SONG}", json=CLIP | {"status": "complete", "id": SONG})
    wire.post(CHECK, status=404, json=DETAIL)
    with pytest.raises(errors.SunoFailed, match="answered 404"):
        gateway.generate_stems(ALICE, SONG, TWELVE)
    assert calls(wire, V2_WEB) == 0


def test_a_schema_error_may_be_sent_as_text(gateway: SunoGateway, wire: RequestsMock) -> None:
    wire.get(f"{API}/api/clip/{SONG}", json=CLIP | {"status": "complete", "id": SONG})
    wire.post(CHECK, json={"required": False})
    wire.post(V2_WEB, status=422, json={"detail": "[{'loc': ['body', 'mv'], 'msg': 'Field required'}]"})
    with pytest.raises(errors.RefusedBySuno, match=r"body\.mv: Field required"):
        gateway.generate_stems(ALICE, SONG, TWELVE)


def test_attempts_of_one_order_have_the_same_transaction_uuid(gateway: SunoGateway, wire: RequestsMock) -> None:
    wire.get(f"{API}/api/clip/{SONG}", json=CLIP | {"status": "complete", "id": SONG})
    wire.post(CHECK, json={"required": False})
    wire.post(V2_WEB, json=reply_with("a"))
    for order in ("one", "one", "other", ""):
        gateway.generate_stems(ALICE, SONG, TWELVE, order=order)
    sent = [json.loads(call.request.body)["transaction_uuid"] for call in wire.calls if call.request.url == V2_WEB]
    assert [str(uuid.UUID(order)) for order in sent] == sent
    assert sent[0] == sent[1] and len({*sent}) == 3


def test_twelve_makes_the_calls_of_a_browser(gateway: SunoGateway, wire: RequestsMock) -> None:
    wire.get(f"{API}/api/clip/{SONG}", json=CLIP | {"status": "complete", "id": SONG, "title": "Song"})
    wire.post(CHECK, json={"required": False, "captcha_version": 1})
    wire.post(V2_WEB, json=reply_with("a", "b") | {"status": "submitted", "batch_size": 2})

    stems = gateway.generate_stems(ALICE, SONG, StemChoice(StemTask.TWELVE))

    assert [stem.id for stem in stems] == ["a", "b"]
    requested = [call.request.url for call in wire.calls[2:]]
    assert requested == [f"{API}/api/clip/{SONG}", CHECK, V2_WEB]
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
        "mv": "chirp-v3-5-b",
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


@pytest.mark.parametrize(
    ("clip", "check", "expected"),
    [
        ({"status": 404, "json": DETAIL}, {"json": {"required": False}}, errors.SongNotFound),
        ({"status": 500, "json": DETAIL}, {"json": {"required": False}}, errors.SunoFailed),
        ({"body": requests.ConnectionError()}, {"json": {"required": False}}, errors.SunoUnreachable),
        ({"json": {"id": "another"}}, {"json": {"required": False}}, errors.SunoFailed),
        ({"json": CLIP | {"status": "complete", "id": SONG}}, {"json": {"required": True}}, errors.CaptchaRequired),
        ({"json": CLIP | {"status": "complete", "id": SONG}}, {"json": {}}, errors.SunoFailed),
        ({"json": CLIP | {"status": "complete", "id": SONG}}, {"json": []}, errors.SunoFailed),
        ({"json": CLIP | {"status": "complete", "id": SONG}}, {"status": 500, "json": DETAIL}, errors.SunoFailed),
    ],
)
def test_v2_web_is_not_called_if_a_step_before_it_fails(
    gateway: SunoGateway, wire: RequestsMock, clip: Any, check: Any, expected: type[Exception]
) -> None:
    wire.get(f"{API}/api/clip/{SONG}", **clip)
    wire.post(CHECK, **check)
    wire.post(V2_WEB, json=reply_with("a"))
    with pytest.raises(expected):
        gateway.generate_stems(ALICE, SONG, StemChoice(StemTask.TWELVE))
    assert calls(wire, V2_WEB) == calls(wire, SPLIT) == 0


def test_a_paid_call_is_not_sent_with_less_than_half_of_its_time_left(
    gateway: SunoGateway, wire: RequestsMock, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.monotonic()

    def slow(request: object) -> tuple[int, dict[str, str], str]:
        monkeypatch.setattr("app.suno.wire.time.monotonic", lambda: now + 25)
        return 200, {}, json.dumps(CLIP | {"status": "complete", "id": SONG})

    wire.add_callback("GET", f"{API}/api/clip/{SONG}", slow)
    wire.post(CHECK, json={"required": False})
    wire.post(V2_WEB, json=reply_with("a"))
    with pytest.raises(errors.SunoUnreachable, match="took too long"):
        gateway.generate_stems(ALICE, SONG, StemChoice(StemTask.TWELVE))
    assert calls(wire, V2_WEB) == 0


DRUMS = StemChoice(stem_name="Drum Kit")


def groups(wire: RequestsMock) -> list[str]:
    return [
        json.loads(call.request.body)["stem_type_group_name"] for call in wire.calls if call.request.url == V2_WEB
    ]


def wants(group: str) -> Callable[[Any], tuple[int, dict[str, str], str]]:
    def answer(request: Any) -> tuple[int, dict[str, str], str]:
        fits = json.loads(request.body)["stem_type_group_name"] == group
        return (200, {}, json.dumps(reply_with("a"))) if fits else (422, {}, json.dumps(DETAIL))

    return answer


@pytest.mark.parametrize(
    ("extract_group", "stem_name", "sent"),
    [
        (ExtractGroup.NAME, "Drum Kit", "Drum Kit"),
        (ExtractGroup.GROUP, "Drum Kit", "Drums"),
        (ExtractGroup.GROUP, "", "Vocals"),
        (ExtractGroup.GROUP, "Backing Vocals", "Backing_Vocals"),
        (ExtractGroup.GROUP, "Bass", "Bass"),
        (ExtractGroup.GROUP, "Lead Electric Guitar", "Lead Electric Guitar"),
    ],
)
@pytest.mark.usefixtures("v2_web")
def test_an_extract_names_the_part_or_its_group(
    wire: RequestsMock, extract_group: ExtractGroup, stem_name: str, sent: str
) -> None:
    suno = endpoint(extract_group=extract_group, stems_route=StemsRoute.V2_WEB)
    SunoGateway(suno).generate_stems(ALICE, SONG, StemChoice(stem_name=stem_name))
    assert groups(wire) == [sent]
    assert body_of(wire)["stem_name"] == (stem_name or "Lead Vocal")


@pytest.mark.parametrize(
    ("extract_group", "first", "other"),
    [(ExtractGroup.NAME, "Drum Kit", "Drums"), (ExtractGroup.GROUP, "Drums", "Drum Kit")],
)
@pytest.mark.usefixtures("v2_web")
def test_the_other_group_is_tried_once_after_a_422_and_kept_for_an_hour(
    wire: RequestsMock,
    extract_group: ExtractGroup,
    first: str,
    other: str,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wire.remove("POST", V2_WEB)
    wire.add_callback("POST", V2_WEB, wants(other))
    gateway = SunoGateway(endpoint(extract_group=extract_group))
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            assert len(gateway.generate_stems(ALICE, SONG, DRUMS)) == 1
    assert groups(wire) == [first, other, other]
    assert caplog.text.count("SUNO_EXTRACT_GROUP") == 1
    later = time.monotonic() + 3601
    monkeypatch.setattr("app.suno.v2_web.time.monotonic", lambda: later)
    gateway.generate_stems(ALICE, SONG, DRUMS)
    assert groups(wire)[3:] == [first, other]


@pytest.mark.usefixtures("v2_web")
def test_a_group_that_suno_takes_no_longer_is_left_before_the_hour_ends(wire: RequestsMock) -> None:
    gateway = SunoGateway(endpoint())
    wire.remove("POST", V2_WEB)
    for group in ("Drums", "Drum Kit", "Drum Kit"):
        wire.add_callback("POST", V2_WEB, wants(group))
        gateway.generate_stems(ALICE, SONG, DRUMS)
        wire.remove("POST", V2_WEB)
    assert groups(wire) == ["Drum Kit", "Drums", "Drums", "Drum Kit", "Drum Kit"]


@pytest.mark.parametrize("choice", [DRUMS, StemChoice(stem_name="Bass"), TWELVE])
@pytest.mark.usefixtures("v2_web")
def test_the_first_refusal_is_reported_if_suno_takes_neither_group(wire: RequestsMock, choice: StemChoice) -> None:
    wire.remove("POST", V2_WEB)
    wire.post(V2_WEB, status=422, json={"detail": "first"})
    wire.post(V2_WEB, status=422, json={"detail": "second"})
    with pytest.raises(errors.RefusedBySuno, match="first"):
        SunoGateway(endpoint()).generate_stems(ALICE, SONG, choice)
    assert len(groups(wire)) == (2 if choice is DRUMS else 1)


@pytest.mark.parametrize(
    "reply",
    [
        {"status": 400, "json": DETAIL},
        {"status": 402, "json": DETAIL},
        {"status": 403, "json": DETAIL},
        {"status": 500, "json": DETAIL},
        {"status": 422, "body": "<html>", "content_type": "text/html"},
        {"body": requests.ReadTimeout()},
        {"json": {"ok": True}},
    ],
)
@pytest.mark.usefixtures("v2_web")
def test_the_other_group_is_tried_after_nothing_but_a_422_of_suno(wire: RequestsMock, reply: dict[str, Any]) -> None:
    wire.remove("POST", V2_WEB)
    wire.post(V2_WEB, **reply)
    with pytest.raises(errors.SunoError):
        SunoGateway(endpoint()).generate_stems(ALICE, SONG, DRUMS)
    assert groups(wire) == ["Drum Kit"]


UNFIT = [
    ({"is_trashed": True}, "trash"),
    ({"status": "streaming"}, "not complete"),
    ({"status": "error"}, "not complete"),
    ({"download_disabled_reason": "made on\nthe free plan"}, r"download \(made on the free plan\)\."),
    ({"action_config": {"actions": [{"action_type": "get_stems", "disabled": True, "visible": True}]}}, "no stems"),
    ({"action_config": {"actions": [None, {"action_type": "get_stems", "visible": False}]}}, "no stems"),
]


@pytest.mark.parametrize(("song", "why"), UNFIT)
@pytest.mark.parametrize("choice", [StemChoice(), TWELVE])
@pytest.mark.usefixtures("v2_web")
def test_a_song_that_suno_would_refuse_is_not_sent_where_it_is_read_anyway(
    wire: RequestsMock, choice: StemChoice, song: dict[str, Any], why: str
) -> None:
    wire.post(SPLIT, status=400, json=DETAIL)
    wire.replace("GET", f"{API}/api/clip/{SONG}", json=CLIP | {"id": SONG, "status": "complete"} | song)
    with pytest.raises(errors.RefusedBySuno, match=why):
        SunoGateway(endpoint()).generate_stems(ALICE, SONG, choice)
    assert calls(wire, V2_WEB) == 0


@pytest.mark.parametrize(
    "song",
    [
        {"status": None},
        {"is_trashed": False, "download_disabled_reason": None},
        {"download_disabled_reason": ""},
        {"action_config": {"actions": [{"action_type": "get_stems", "disabled": False, "visible": True}]}},
        {"action_config": {"actions": [{"action_type": "download", "disabled": True}]}},
        {"action_config": {"actions": None}},
        {"action_config": []},
    ],
)
@pytest.mark.usefixtures("v2_web")
def test_a_song_without_such_signs_is_sent(wire: RequestsMock, song: dict[str, Any]) -> None:
    wire.replace("GET", f"{API}/api/clip/{SONG}", json=CLIP | {"id": SONG, "status": "complete"} | song)
    assert len(SunoGateway(endpoint()).generate_stems(ALICE, SONG, TWELVE)) == 2


@pytest.mark.parametrize(("song", "why"), UNFIT)
@pytest.mark.parametrize("route", [StemsRoute.AUTO, StemsRoute.EDIT])
def test_a_pair_of_a_song_that_suno_would_refuse_is_not_sent_if_it_is_read_first(
    wire: RequestsMock, route: StemsRoute, song: dict[str, Any], why: str
) -> None:
    wire.get(f"{API}/api/clip/{SONG}", json=CLIP | {"id": SONG, "status": "complete"} | song)
    with pytest.raises(errors.RefusedBySuno, match=why) as raised:
        SunoGateway(endpoint(stems_route=route)).generate_stems(ALICE, SONG, look_first=True)
    assert "Nothing was charged" in str(raised.value)
    assert [call.request.method for call in wire.calls[2:]] == ["GET"]


@pytest.mark.parametrize(
    "song",
    [
        {"json": CLIP | {"id": SONG, "status": "complete"}},
        {"status": 404, "json": DETAIL},
        {"status": 400, "json": DETAIL},
        {"status": 500, "json": DETAIL},
        {"body": requests.ConnectionError()},
        {"json": []},
    ],
)
def test_a_pair_of_a_song_without_such_signs_is_sent_though_it_is_read_first(
    gateway: SunoGateway, wire: RequestsMock, song: dict[str, Any]
) -> None:
    wire.get(f"{API}/api/clip/{SONG}", **song)
    wire.post(SPLIT, json=reply_with("a"))
    assert len(gateway.generate_stems(ALICE, SONG, look_first=True)) == 1
    assert calls(wire, SPLIT) == 1


def test_a_plain_pair_is_one_paid_call_and_reads_no_song(gateway: SunoGateway, wire: RequestsMock) -> None:
    wire.post(SPLIT, json=reply_with("a"))
    gateway.generate_stems(ALICE, SONG)
    assert [call.request.url for call in wire.calls[2:]] == [SPLIT]


@pytest.mark.parametrize(
    ("answer", "wanted"),
    [
        ({"json": {"required": True}}, True),
        ({"json": {"required": False, "captcha_version": 1}}, False),
        ({"json": {"required": "no"}}, None),
        ({"json": []}, None),
        ({"status": 500, "json": DETAIL}, None),
    ],
)
def test_whether_a_captcha_is_wanted_is_unknown_if_suno_does_not_say(
    gateway: SunoGateway, wire: RequestsMock, answer: dict[str, Any], wanted: bool | None
) -> None:
    wire.post(CHECK, **answer)
    assert gateway.wants_captcha(ALICE) is wanted
