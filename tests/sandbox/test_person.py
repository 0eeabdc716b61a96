"""The account's owner acts on suno.com."""

from __future__ import annotations

import pytest

from tests.sandbox.conftest import OCEAN_WANDERER, v2_web_body

CHECK = {"ctype": "generation"}
NAME = "sandbox-needs-captcha"


def act(client, name=NAME, **what):
    return client.post("/sandbox/person", {"account": name, **what})


def is_wanted(client):
    return client.post("/api/c/check", CHECK).json()["required"]


def split(client):
    return client.post("/api/generate/v2-web/", v2_web_body())


def test_a_split_works_once_the_owner_has_solved_the_captcha(sign_in):
    client = sign_in(NAME)
    assert (is_wanted(client), split(client).status_code) == (True, 422)
    assert act(client, action="solve").json() == {"captcha": False, "clips": []}
    assert (is_wanted(client), split(client).status_code) == (False, 200)
    assert [charge["by_person"] for charge in client.charges()] == [False]


def test_a_captcha_comes_back_after_two_splits(sign_in):
    client = sign_in("sandbox-captcha-returns")
    act(client, "sandbox-captcha-returns", action="solve")
    assert [split(client).status_code for _ in range(3)] == [200, 200, 422]
    assert is_wanted(client)
    act(client, "sandbox-captcha-returns", action="solve")
    assert split(client).status_code == 200


def test_suno_can_want_a_captcha_of_any_account_at_any_time(sign_in):
    client = sign_in("sandbox-alice")
    act(client, "sandbox-alice", action="want")
    assert (is_wanted(client), split(client).status_code) == (True, 422)


@pytest.mark.parametrize(
    ("kind", "task", "stems"),
    [({}, "extract", 2), ({"stem_name": "Drum Kit"}, "extract", 2), ({"stem_task": "twelve"}, "twelve", 12)],
)
def test_the_owner_splits_a_song_and_pays_for_it(sign_in, kind, task, stems):
    client = sign_in(NAME)
    done = act(client, action="split", song=OCEAN_WANDERER, **kind)
    [charge] = client.charges()
    assert (charge["task"], charge["by_person"], charge["clips"]) == (task, True, done.json()["clips"])
    assert len({clip["title"] for clip in client.feed(charge["clips"])}) == stems
    assert not is_wanted(client)


def test_the_lists_show_the_owners_stems_late_too(sandbox, sign_in, eventually):
    client = sign_in(NAME)
    client.post("/sandbox/settings", {"index_lag": 0.3})
    act(client, action="split", song=OCEAN_WANDERER)
    pages = f"/api/clip/{OCEAN_WANDERER}/stems/pages"
    assert client.get(pages).json().get("pages", 0) == 0
    eventually(lambda: client.get(pages).json().get("pages", 0) == 1)


def test_the_page_has_plain_forms_that_come_back_to_it(sandbox, stranger):
    client = stranger("")
    page = client.get("/sandbox/person", account=NAME, song=OCEAN_WANDERER)
    assert "Suno wants a captcha now." in page.text
    form = {"account": NAME, "action": "split", "song": OCEAN_WANDERER, "stem_task": "two", "stem_name": "Drum Kit"}
    sent = client.call("POST", "/sandbox/person", data=form)
    assert sent.status_code == 303
    back = client.call("GET", sent.headers["Location"])
    assert "Suno wants no captcha now." in back.text
    assert f"<li>{OCEAN_WANDERER}: extract</li>" in back.text


@pytest.mark.parametrize(
    ("what", "status"),
    [
        ({"name": "nobody", "action": "solve"}, 404),
        ({"action": "dance"}, 400),
        ({"action": "split", "song": "nothing"}, 404),
        ({"action": "split", "song": OCEAN_WANDERER, "stem_name": "Kazoo"}, 400),
        ({"name": "sandbox-poor", "action": "split", "song": OCEAN_WANDERER}, 402),
    ],
)
def test_what_the_owner_cannot_do_changes_nothing(sandbox, stranger, what, status):
    client = stranger("")
    assert act(client, **what).status_code == status
    assert client.charges() == []


def test_an_address_cannot_put_markup_into_the_page(sandbox, stranger):
    page = stranger("").get("/sandbox/person", account=NAME, song='"><script>').text
    assert "<script>" not in page
