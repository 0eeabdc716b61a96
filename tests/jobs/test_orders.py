"""Orders of many songs, over real sockets: the service, its jobs process, and a local Suno."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from typing import Any

import pytest
import requests

from tests.asserts import assert_error
from tests.conftest import NUMBERS, SONG, Client, Suno, until
from tests.jobs.conftest import PUBLIC_URL, Deployed, Receiver, Service, Shared

LIBRARY = [f"song-library-{number}" for number in range(1, 6)]


def send(deployed: Service, songs: list[str], key: str = "", **more: Any) -> requests.Response:
    headers = {"Idempotency-Key": key or f"order-{next(NUMBERS)}"}
    return deployed.client.post("/api/orders", json={"songs": songs, **more}, headers=headers)


def order(deployed: Service, songs: list[str], **more: Any) -> str:
    reply = send(deployed, songs, **more)
    assert reply.status_code == 202, reply.text
    id: str = reply.json()["id"]
    return id


def state_of(deployed: Service, id: str) -> dict[str, Any]:
    state: dict[str, Any] = deployed.client.get(f"/api/orders/{id}").json()
    return state


def ended(deployed: Service, id: str, *states: str) -> dict[str, Any]:
    """Wait until the order is in one of these states, and no song of it runs."""

    def look() -> dict[str, Any] | None:
        state = state_of(deployed, id)
        is_running = any(song["state"] == "running" for song in state["songs"])
        return state if state["state"] in (states or ("finished",)) and not is_running else None

    return until(look)


def songs_in(state: dict[str, Any]) -> list[tuple[str, int]]:
    return [(song["state"], song["credits"]) for song in state["songs"]]


def test_a_quote_tells_what_each_song_would_cost_and_is_free(deployed: Service, suno: Suno, account: str) -> None:
    wanted = [SONG, "song-with-two", "no-such-song", "fault-500", "Song-With-Two", f"m_{SONG}", "FAULT-500"]
    reply = deployed.client.post("/api/orders", json={"songs": wanted, "quote": True, "audio_format": "mp3"})
    assert reply.status_code == 200
    quoted = reply.json()
    assert [(song["song_id"], song["state"], song["credits"], song["downloads"]) for song in quoted["songs"]] == [
        (SONG, "split", 10, 1),
        ("song-with-two", "has_stems", 0, 1),
        ("no-such-song", "not_found", 0, 0),
        ("fault-500", "split", 10, 1),
    ]
    assert quoted["songs"][2]["error"]["code"] == "song_not_found"
    assert (quoted["credits"], quoted["downloads"]) == (20, 3)
    assert (quoted["credits_left"], quoted["downloads_left"]) == (1000, 20)
    assert quoted["does_not_fit"] == []
    assert suno.charges(account) == []


def test_a_playlist_is_quoted_whole(deployed: Service) -> None:
    playlist = "https://suno.com/playlist/playlist-of-120?sh=abc"
    reply = deployed.client.post("/api/orders", json={"playlist": playlist, "quote": True})
    quoted = reply.json()
    assert [song["song_id"] for song in quoted["songs"]] == [f"song-library-{n}" for n in range(1, 121)]
    # The account has 1,000 credits: the songs behind the hundredth do not fit.
    assert quoted["does_not_fit"] == [f"song-library-{n}" for n in range(101, 121)]


def test_a_playlist_that_cannot_be_seen_is_named_as_one(deployed: Service) -> None:
    reply = deployed.client.post("/api/orders", json={"playlist": "playlist-of-nobody", "quote": True})
    assert "no such playlist" in assert_error(reply, 404, "song_not_found")["error"]


def test_an_order_splits_each_song_once_and_tells_its_end(
    deployed: Service, receiver: Callable[..., Receiver], suno: Suno, account: str
) -> None:
    there = receiver()
    id = order(deployed, [*LIBRARY[:3], LIBRARY[0]], max_credits=30, webhook_url=there.url)
    state = ended(deployed, id)
    assert songs_in(state) == [("done", 10)] * 3
    assert (state["credits"], state["credits_left"], state["next_song"]) == (30, 0, None)
    assert [charge["song"] for charge in suno.charges(account)] == LIBRARY[:3]
    webhooks = there.verified(4)
    assert sorted(webhook["type"] for webhook in webhooks) == ["order.finished", *["stems.completed"] * 3]
    [finished] = [webhook["data"] for webhook in webhooks if webhook["type"] == "order.finished"]
    assert (finished["order_id"], finished["credits"], finished["songs"]["done"]) == (id, 30, 3)
    request_id = state["songs"][0]["request_id"]
    assert deployed.client.get(f"/api/requests/{request_id}").json()["state"] == "done"
    assert [held["id"] for held in deployed.client.get("/api/orders").json()] == [id]


def test_a_repeated_order_is_the_same_order(deployed: Service, suno: Suno, account: str) -> None:
    first = send(deployed, LIBRARY[:2], key="one", max_credits=20)
    again = send(deployed, LIBRARY[:2], key="one", max_credits=20)
    assert (again.json()["id"], again.headers["Idempotent-Replayed"]) == (first.json()["id"], "true")
    assert again.json()["created_at"] == first.json()["created_at"] != ""
    assert [again.json()[name] for name in ("stem_task", "stem_name", "audio_format")] == ["two", "", None]
    ended(deployed, first.json()["id"])
    assert send(deployed, LIBRARY[:2], key="one", max_credits=20).json()["state"] == "finished"
    assert_error(send(deployed, LIBRARY[:3], key="one", max_credits=20), 422, "idempotency_key_reused")
    assert len(suno.charges(account)) == 2


def test_an_order_never_spends_more_than_its_limit_and_continues_with_a_higher_one(
    deployed: Service, receiver: Callable[..., Receiver], suno: Suno, account: str
) -> None:
    there = receiver()
    id = order(deployed, [LIBRARY[0], "song-with-two", LIBRARY[1]], max_credits=15, webhook_url=there.url)
    state = ended(deployed, id, "paused")
    # The stems that are there cost nothing.
    assert songs_in(state) == [("done", 10), ("done", 0), ("waiting", 0)]
    assert (state["error"]["code"], state["credits"], state["credits_left"]) == ("over_limit", 10, 5)
    assert "order.paused" in {webhook["type"] for webhook in there.verified(3)}
    deployed.client.post(f"/api/orders/{id}/again", json={"max_credits": 20}).raise_for_status()
    assert songs_in(ended(deployed, id)) == [("done", 10), ("done", 0), ("done", 10)]
    assert len(suno.charges(account)) == 2


def test_existing_stems_are_taken_although_nothing_may_be_spent(deployed: Service, suno: Suno, account: str) -> None:
    id = order(deployed, ["song-with-two", "song-stem-ids"], max_credits=0)
    assert songs_in(ended(deployed, id)) == [("done", 0)] * 2
    assert suno.charges(account) == []


@pytest.mark.parametrize(
    ("field", "meant"), [("audio_formt", "audio_format"), ("format", "audio_format"), ("max_credit", "max_credits")]
)
def test_a_misspelt_field_of_an_order_is_refused(
    deployed: Service, suno: Suno, account: str, field: str, meant: str
) -> None:
    body = {"songs": [SONG], "max_credits": 20, field: 1}
    error = assert_error(deployed.client.post("/api/orders", json=body), 400, "invalid_request")
    assert f"did you mean {meant}?" in error["error"]
    assert suno.charges(account) == []


def test_fields_of_the_reply_to_an_order_are_ignored(deployed: Service) -> None:
    quoted = deployed.client.post("/api/orders", json={"songs": [SONG], "quote": True}).json()
    sent_back = quoted | {"songs": [f"https://suno.com/song/{SONG}?sh=1 "], "quote": True}
    assert deployed.client.post("/api/orders", json=sent_back).json() == quoted


def test_an_order_of_which_nothing_fits_is_refused(deployed: Service) -> None:
    assert_error(send(deployed, LIBRARY[:2], max_credits=9), 402, "over_limit")
    assert_error(send(deployed, [f"song-library-{n}" for n in range(1, 202)], max_credits=9), 400, "order_too_large")
    assert_error(send(deployed, LIBRARY), 400, "invalid_request")
    assert_error(send(deployed, LIBRARY, max_credits=90, audio_format="mp3"), 400, "invalid_request")
    without_key = deployed.client.post("/api/orders", json={"songs": LIBRARY, "max_credits": 90})
    assert_error(without_key, 400, "invalid_request")
    assert deployed.client.get("/api/orders").json() == []


def test_an_order_pauses_when_the_account_is_out_of_credits(shared: Shared, suno: Suno) -> None:
    deployed = Service(shared.client("sandbox-poor"))
    state = ended(deployed, order(deployed, ["song-with-two", *LIBRARY], max_credits=200), "paused")
    assert state["error"]["code"] == "out_of_credits"
    assert songs_in(state) == [("done", 0), *[("waiting", 0)] * 5]
    assert suno.charges("sandbox-poor") == []


def test_a_captcha_pauses_the_order_and_fails_no_song(shared: Shared) -> None:
    deployed = Service(shared.client("sandbox-needs-captcha"))
    state = ended(deployed, order(deployed, LIBRARY, max_credits=500, stem_task="twelve"), "paused")
    assert state["error"]["code"] == "captcha_required"
    assert songs_in(state) == [("waiting", 0)] * 5


def test_a_price_that_suno_has_changed_pauses_the_order(
    beside: Callable[..., Deployed], suno: Suno, account: str
) -> None:
    deployed = beside(SUNO_TWO_CREDITS="4")
    state = ended(deployed, order(deployed, LIBRARY[:3], max_credits=40), "paused")
    assert state["error"]["code"] == "price_changed"
    assert songs_in(state) == [("done", 10), ("waiting", 0), ("waiting", 0)]
    assert len(suno.charges(account)) == 1


def test_a_song_that_suno_refuses_fails_and_the_others_go_on(deployed: Service) -> None:
    state = ended(deployed, order(deployed, ["no-such-song", "fault-400", LIBRARY[0]], max_credits=100))
    assert songs_in(state) == [("failed", 0), ("failed", 0), ("done", 10)]
    assert [song["error"] and song["error"]["code"] for song in state["songs"]] == [
        "song_not_found",
        "refused_by_suno",
        None,
    ]


def test_a_cancelled_order_begins_no_further_song(without_jobs: Deployed, suno: Suno, account: str) -> None:
    id = order(without_jobs, LIBRARY, max_credits=100)
    cancelled = without_jobs.client.request("DELETE", f"/api/orders/{id}").json()
    assert (cancelled["state"], cancelled["credits"]) == ("cancelled", 0)
    without_jobs.start_jobs()
    later = order(without_jobs, LIBRARY[:1], max_credits=10)
    assert songs_in(ended(without_jobs, later)) == [("done", 10)]
    assert songs_in(state_of(without_jobs, id)) == [("waiting", 0)] * 5
    again = without_jobs.client.post(f"/api/orders/{id}/again", json={}).json()
    assert again["state"] == "cancelled"
    assert len(suno.charges(account)) == 1


def test_downloads_have_a_limit_of_their_own(deployed: Service, suno: Suno, account: str) -> None:
    id = order(deployed, LIBRARY[:2], max_credits=100, audio_format="mp3", max_downloads=1)
    state = ended(deployed, id, "paused")
    assert (state["error"]["code"], state["downloads"], state["downloads_left"]) == ("over_limit", 1, 0)
    assert songs_in(state) == [("done", 10), ("waiting", 0)]
    request_id = state["songs"][0]["request_id"]
    files = deployed.client.get(f"/api/requests/{request_id}").json()["audio"]
    assert [file["status"] for file in files] == ["kept"] * 2


def test_the_kept_stems_of_an_order_are_one_zip_with_a_folder_for_each_song(
    deployed: Service, shared: Shared, suno: Suno
) -> None:
    id = order(
        deployed, [LIBRARY[0], "song-with-two", "no-such-song"], max_credits=10, audio_format="mp3", max_downloads=2
    )
    path = f"/api/orders/{id}.zip"
    assert "zip_url" in state_of(deployed, id)
    state = ended(deployed, id)
    suno.forget()
    url = state["zip_url"]
    assert url.startswith(f"{PUBLIC_URL}{path}?token=")
    whole = deployed.client.get(path)
    assert whole.status_code == 200, whole.text
    assert whole.headers["Content-Length"] == str(len(whole.content))
    assert whole.headers["Content-Disposition"] == f'attachment; filename="Order {id[:8]} - Stems.zip"'
    with zipfile.ZipFile(io.BytesIO(whole.content)) as archive:
        assert archive.testzip() is None
        names = archive.namelist()
    assert len({name.partition("/")[0] for name in names}) == 2
    assert sum(name.endswith(".mp3") for name in names) == 4
    # The signed address needs no account; it can be resumed, and is of this order only.
    browser, signed = Client(shared.service), url.removeprefix(PUBLIC_URL)
    part = browser.get(signed, headers={"Range": "bytes=1000-", "If-Range": whole.headers["ETag"]})
    assert (part.status_code, part.content) == (206, whole.content[1000:])
    assert_error(browser.get(signed.replace(id, "0" * 32)), 403, "not_allowed")
    assert_error(browser.get(signed[:-1]), 403, "not_allowed")
    assert_error(deployed.client.get(f"{path}?format=wav"), 409, "audio_incomplete")
    assert_error(deployed.client.get(f"{path}?format=flac"), 400, "invalid_request")
    assert_error(deployed.client.get(f"/api/orders/{'0' * 32}.zip"), 404, "not_found")
    other = Service(shared.client("sandbox-needs-captcha"))
    assert_error(other.client.get(path), 404, "not_found")
    # The names are those of a song's own ZIP.
    of_song = deployed.client.get("/api/stems.zip?audio_id=song-with-two&format=mp3")
    [folder] = {name.partition("/")[0] for name in zipfile.ZipFile(io.BytesIO(of_song.content)).namelist()}
    assert "BPM" in folder and f"{folder}/stems.json" in names
    assert [call["path"] for call in suno.log() if "/api/download/" in call["path"]] == []


def test_an_order_without_files_has_no_zip(deployed: Service) -> None:
    id = order(deployed, ["song-with-two"], max_credits=0)
    assert ended(deployed, id)["zip_url"] is None
    assert_error(deployed.client.get(f"/api/orders/{id}.zip"), 400, "invalid_request")
    assert_error(deployed.client.get(f"/api/orders/{id}.zip?format=mp3"), 409, "audio_incomplete")


def test_identical_orders_at_once_pay_for_each_song_once(without_jobs: Deployed, suno: Suno, account: str) -> None:
    ids = [order(without_jobs, LIBRARY[:3], max_credits=100) for _ in range(3)]
    for _ in range(2):
        without_jobs.start_jobs()
    states = [ended(without_jobs, id) for id in ids]
    assert sorted(charge["song"] for charge in suno.charges(account)) == LIBRARY[:3]
    assert sum(state["credits"] for state in states) == 30


def test_an_order_is_seen_by_its_own_account_only(deployed: Service, shared: Shared, account: str) -> None:
    id = order(deployed, ["song-with-two"], max_credits=0)
    other = Service(shared.client("sandbox-needs-captcha"))
    assert_error(other.client.get(f"/api/orders/{id}"), 404, "not_found")
    assert_error(other.client.request("DELETE", f"/api/orders/{id}"), 404, "not_found")
    assert id not in [held["id"] for held in other.client.get("/api/orders").json()]


def test_an_order_waits_for_a_person_at_that_song(deployed: Service, suno: Suno, account: str) -> None:
    def act(**what: Any) -> None:
        suno.post("/sandbox/person", json={"account": account, **what}).raise_for_status()

    def shown(id: str, *states: str) -> dict[str, Any]:
        def look() -> dict[str, Any] | None:
            state = state_of(deployed, id)
            return state if [song["state"] for song in state["songs"]] == list(states) else None

        return until(look)

    drums = {"stem_name": "Drum Kit"}
    act(action="want")
    id = order(deployed, LIBRARY[:2], max_credits=20, on_captcha="wait", **drums)
    waiting = shown(id, "needs_person", "waiting")
    assert (waiting["state"], waiting["credits"]) == ("running", 0)
    request_id = waiting["songs"][0]["request_id"]
    assert "person" in deployed.client.get(f"/api/requests/{request_id}").json()
    # A try by itself would not be counted before it pays.
    by_itself = deployed.client.post(f"/api/requests/{request_id}/again")
    assert id in assert_error(by_itself, 409, "not_waiting")["error"]

    # The person splits the first song; Suno then wants no captcha for the second.
    act(action="split", song=LIBRARY[0], **drums)
    deployed.client.post(f"/api/orders/{id}/again", json={}).raise_for_status()
    assert songs_in(ended(deployed, id)) == [("done", 0), ("done", 10)]

    # The person only solves a captcha: the order pays.
    act(action="want")
    id = order(deployed, LIBRARY[2:3], max_credits=10, on_captcha="wait", **drums)
    shown(id, "needs_person")
    act(action="solve")
    deployed.client.post(f"/api/orders/{id}/again", json={}).raise_for_status()
    assert songs_in(ended(deployed, id)) == [("done", 10)]

    # The person does nothing, and the caller cancels the song.
    act(action="want")
    id = order(deployed, LIBRARY[3:4], max_credits=10, on_captcha="wait", **drums)
    request_id = shown(id, "needs_person")["songs"][0]["request_id"]
    deployed.client.request("DELETE", f"/api/requests/{request_id}").raise_for_status()
    [song] = ended(deployed, id)["songs"]
    assert (song["state"], song["credits"], song["error"]["code"]) == ("failed", 0, "cancelled")

    # The caller cancels the order, twice: nobody has to split the song any more.
    id = order(deployed, LIBRARY[4:5], max_credits=10, on_captcha="wait", **drums)
    request_id = shown(id, "needs_person")["songs"][0]["request_id"]
    for _ in range(2):
        cancelled = deployed.client.request("DELETE", f"/api/orders/{id}").json()
        assert (cancelled["state"], cancelled["credits"], cancelled["error"]) == ("cancelled", 0, None)
    assert deployed.client.get(f"/api/requests/{request_id}").json()["error"]["code"] == "cancelled"
    assert shown(id, "failed")["songs"][0]["error"]["code"] == "cancelled"
    paid = [charge["song"] for charge in suno.charges(account) if not charge["by_person"]]
    assert paid == LIBRARY[1:3]
