from __future__ import annotations

import contextlib
import json
import threading

import pytest
import requests

from sandbox.faults import FAULTS
from tests.sandbox.conftest import OCEAN_WANDERER, ids_of, v2_web_body

ENDLESS = {"drip-body", "hang", "oversize-chunked-endless"}
ON_SECOND_CALL = {"401-once", "redirect-slash-307", "redirect-slash-308"}
STATUSES = {
    "400": 400,
    "401": 401,
    "402": 402,
    "long-detail": 402,
    "403-plan": 403,
    "403-not-yours": 403,
    "403-jwt": 403,
    "404": 404,
    "422-captcha": 422,
    "422-schema": 422,
    "422-verify": 422,
    "422-schema-text": 422,
    "429": 429,
    "bad-retry-after": 429,
    "retry-after-date": 429,
    "500": 500,
    "wrong-shape": 200,
    "no-clips": 200,
    "clip-without-id": 200,
    "another-song": 200,
    "clip-twice": 200,
    "path-ids": 200,
    "500-after-charge": 500,
}


def split(client, fault):
    return client.split(f"fault-{fault}", timeout=(5, 0.3))


@pytest.mark.parametrize("name", [name for name in FAULTS if name not in ON_SECOND_CALL and name != "slow-2s"])
def test_a_fault_charges_as_the_table_says_and_its_stems_can_be_read(alice, name):
    alice.post("/sandbox/settings", {"drip": 60})
    with contextlib.suppress(requests.RequestException):
        alice.split(f"fault-{name}", timeout=(5, 0.2), stream=name in ENDLESS)
    stems = alice.get(f"/api/clip/fault-{name}/stems").json().get("stems", [])
    charges = alice.charges()
    assert [clip["id"] for clip in stems] == [clip for charge in charges for clip in charge["clips"]]
    assert [charge["reply_lost"] for charge in charges] == [FAULTS[name].loses_reply] * FAULTS[name].charges
    assert alice.credits() == 500 - 10 * len(charges)


@pytest.mark.parametrize(("name", "status"), STATUSES.items())
def test_a_refusal_is_json_with_its_status(alice, name, status):
    reply = split(alice, name)
    assert (reply.status_code, reply.headers["Content-Type"]) == (status, "application/json")
    reply.json()


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("403-html", 403),
        ("429-html", 429),
        ("1015-html", 429),
        ("502-html", 502),
        ("200-html", 200),
        ("502-after-charge", 502),
    ],
)
def test_a_bot_wall_answers_with_html(alice, name, status):
    reply = split(alice, name)
    assert (reply.status_code, reply.headers["Content-Type"]) == (status, "text/html; charset=UTF-8")


def test_refusals_have_sunos_wording(alice):
    assert split(alice, "403-jwt").json() == {"detail": "JWT expired"}
    assert split(alice, "422-captcha").json() == {"detail": "Token validation failed."}
    assert split(alice, "422-schema").json()["detail"][0]["loc"] == ["body", "stem_task"]
    assert (
        split(alice, "422-schema-text")
        .json()["detail"]
        .startswith("[{'type': 'missing', 'loc': ('body', 'stem_task')")
    )
    assert split(alice, "429").headers["Retry-After"] == "13"
    assert split(alice, "bad-retry-after").headers["Retry-After"] == "soon"
    assert split(alice, "retry-after-date").headers["Retry-After"].endswith("GMT")
    assert split(alice, "500").json()["error_type"] == "server_error"
    assert len(split(alice, "long-detail").json()["detail"]) == 10_000


@pytest.mark.parametrize("name", ["truncated-chunked", "oversize-chunked-endless", "drip-body", "500", "429-html"])
def test_every_kind_of_reply_has_a_date(alice, name):
    assert alice.split(f"fault-{name}", stream=True).headers["Date"].endswith("GMT")


def test_401_once_refuses_the_first_token_and_accepts_the_next(alice):
    assert [split(alice, "401-once").status_code for _ in range(2)] == [401, 401]
    alice.sign_in()
    assert [split(alice, "401-once").status_code for _ in range(2)] == [200, 200]


@pytest.mark.parametrize("name", ["reset-before-reading", "reset-after-charge"])
def test_a_reset_breaks_the_connection(alice, name):
    with pytest.raises(requests.ConnectionError):
        split(alice, name)


@pytest.mark.parametrize("name", ["truncated", "truncated-chunked"])
def test_a_truncated_reply_ends_too_early(alice, name):
    with pytest.raises((requests.exceptions.ChunkedEncodingError, requests.ConnectionError)):
        split(alice, name)


def test_the_fault_not_json_declares_json_and_sends_an_invalid_body(alice):
    reply = split(alice, "not-json")
    assert reply.headers["Content-Type"] == "application/json"
    with pytest.raises(ValueError, match="Expecting"):
        reply.json()


def test_a_dripped_body_starts_immediately_and_dripped_headers_do_not(alice):
    with alice.split("fault-drip-body", stream=True) as reply:
        assert reply.status_code == 200
        assert reply.raw.read(5) == b'{"cli'
    alice.post("/sandbox/settings", {"drip": 60})
    with pytest.raises(requests.ReadTimeout):
        split(alice, "drip-headers")


def test_a_slow_reply_does_not_count_as_lost(alice):
    with pytest.raises(requests.ReadTimeout):
        split(alice, "slow-2s")
    assert [charge["reply_lost"] for charge in alice.charges()] == [False]


def test_an_oversize_reply_is_valid_json_of_6_megabytes(alice):
    reply = alice.split("fault-oversize")
    assert len(reply.content) > 6_000_000
    assert len(reply.json()["clips"]) == 2


def test_an_endless_reply_exceeds_6_megabytes(alice):
    with alice.split("fault-oversize-chunked-endless", stream=True) as reply:
        assert len(reply.raw.read(6_000_000)) == 6_000_000


@pytest.mark.parametrize("code", [301, 302, 303])
def test_a_redirect_points_to_a_clip_that_is_not_a_stem(alice, code):
    reply = split(alice, f"redirect-{code}")
    assert reply.status_code == code
    assert alice.get(reply.headers["Location"]).json()["id"] == f"fault-redirect-{code}"


@pytest.mark.parametrize("code", [307, 308])
@pytest.mark.parametrize(("sent_to", "redirects_to"), [("/", ""), ("", "/")])
def test_a_slash_redirect_points_to_a_path_that_splits(alice, code, sent_to, redirects_to):
    path = f"/api/edit/stems/fault-redirect-slash-{code}"
    for _ in range(2):
        reply = alice.post(path + sent_to)
        assert (reply.status_code, reply.headers["Location"]) == (code, path + redirects_to)
        assert len(ids_of(alice.post(path + redirects_to))) == 2
    assert len(alice.charges()) == 2


def test_a_slash_redirect_works_on_v2_web_too(alice):
    body = v2_web_body(song="fault-redirect-slash-308")
    reply = alice.post("/api/generate/v2-web/", body)
    assert (reply.status_code, reply.headers["Location"]) == (308, "/api/generate/v2-web")
    assert len(ids_of(alice.post("/api/generate/v2-web", body))) == 24


def test_a_client_that_follows_a_redirect_to_another_host_is_logged(alice):
    location = split(alice, "redirect-other-host-307").headers["Location"]
    assert location.startswith("http://localhost:")
    assert not any(entry["path"].startswith("/elsewhere") for entry in alice.log())
    requests.post(location, headers={"Authorization": f"Bearer {alice.token}"}, timeout=5)
    followed = alice.log()[-1]
    assert followed["path"].startswith("/elsewhere/api/edit/stems/")
    assert followed["host"].startswith("localhost")
    assert followed["token_sha256"] == alice.log()[-2]["token_sha256"]


def test_random_faults_depend_on_the_seed_and_stop_on_delete(alice):
    def outcomes():
        alice.post("/sandbox/faults", {"seed": 7, "rate": 0.5, "kinds": ["500", "502-after-charge", "429"]})
        return [alice.split().status_code for _ in range(12)]

    first = outcomes()
    assert first == outcomes()
    assert {200, 429, 500, 502} >= set(first)
    assert len(set(first)) > 2
    alice.call("DELETE", "/sandbox/faults")
    assert {alice.split().status_code for _ in range(8)} == {200}


def test_random_faults_respect_their_limit(alice):
    alice.post("/sandbox/faults", {"seed": 1, "rate": 1, "kinds": ["500"], "limit": 2})
    assert [alice.split().status_code for _ in range(4)] == [500, 500, 200, 200]


def test_a_reply_after_the_clients_timeout_counts_as_lost(alice, eventually):
    alice.post("/sandbox/settings", {"delay": 0.2})
    with pytest.raises(requests.ReadTimeout):
        alice.split(timeout=(5, 0.05))
    assert alice.charges()[0]["reply_lost"] is False
    eventually(lambda: alice.charges()[0]["reply_lost"])


def test_a_hanging_client_does_not_delay_others(alice):
    def hang():
        with pytest.raises(requests.ReadTimeout):
            alice.split("fault-hang", timeout=(5, 0.5))

    hanging = [threading.Thread(target=hang) for _ in range(8)]
    for thread in hanging:
        thread.start()
    assert alice.split().elapsed.total_seconds() < 0.4
    for thread in hanging:
        thread.join()


def test_the_recorded_server_error_is_reproduced_exactly(alice):
    assert json.loads(split(alice, "500").text) == {
        "status_code": 500,
        "detail": "An unexpected error occurred.",
        "error_type": "server_error",
        "retryable": False,
    }
    assert alice.split(OCEAN_WANDERER).status_code == 200
