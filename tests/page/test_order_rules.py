"""What the page decides about orders, run without a browser."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from tests.npm import NODE
from tests.page import test_rules

pytestmark = NODE

DOCS = Path(__file__).parents[2] / "docs"


def run(expression: str, *given: Any) -> Any:
    return test_rules.run(expression, *given, module="order-rules")


def song(id: str, state: str, credits: int = 0, downloads: int = 0, error: str = "") -> dict[str, Any]:
    problem = {"code": "x", "error": error} if error else None
    return {"song_id": id, "title": id, "state": state, "credits": credits, "downloads": downloads, "error": problem}


def order(state: str, *songs: dict[str, Any], **more: Any) -> dict[str, Any]:
    spent = {name: sum(each[name] for each in songs) for name in ("credits", "downloads")}
    rest = {"max_credits": 40, "max_downloads": None, "next_song": None, "next_in": None, "error": None}
    return {"id": "1", "state": state, "songs": songs, **spent, **rest, **more}


QUOTE = {
    "songs": [
        song("a", "split", 10, 1),
        song("b", "has_stems", 0, 1),
        song("c", "not_found", error="unknown"),
        song("d", "refused", error="it is too long"),
        song("e", "split", 10, 1),
    ],
    "does_not_fit": ["e"],
    "credits_left": 15,
    "downloads_left": None,
}


def test_only_what_is_possible_and_fits_is_ordered_and_summed() -> None:
    sums = run("order_rules.payable(given[0])", QUOTE)
    assert (sums["songs"], sums["credits"], sums["downloads"]) == (["a", "b"], 10, 2)
    assert (
        run("[false, true].map((files) => order_rules.buttonWords(given[0], files))", sums)
        == ["Split 1 song · 10 credits · 2 downloads"] * 2
    )
    assert run("order_rules.sumWords(given[0], true)", QUOTE) == [
        "1 song to split: 10 credits.",
        "1 song has such stems already.",
        "The files use 2 downloads.",
        "Left to spend: 15 credits.",
        "1 song does not fit, and is left out.",
        "2 songs cannot be split, and are left out.",
    ]


def test_a_button_never_orders_nothing() -> None:
    free = {**QUOTE, "songs": [song("b", "has_stems")], "does_not_fit": []}
    words = run("[false, true].map((files) => order_rules.buttonWords(order_rules.payable(given[0]), files))", free)
    assert words == ["", "Fetch the stems of 1 song · free"]


def test_that_nothing_is_split_is_not_said_to_be_unneeded() -> None:
    poor = {**QUOTE, "songs": [song("e", "split", 10), song("f", "has_stems")], "credits_left": 5}
    assert run("order_rules.sumWords(given[0], false)", poor)[0] == "No song is split."


def test_what_may_have_been_charged_is_not_said_to_be_spent() -> None:
    lost = {**song("a", "failed", 10), "error": {"code": "outcome_unknown", "error": "Lost."}}
    words = run("given.map(order_rules.spentWords)", order("finished", lost), order("running", lost))
    assert words == ["It has spent up to 10 credits.", "Spent so far: up to 10 credits, of at most 40."]


def test_each_documented_reason_of_a_pause_is_said_with_a_next_step() -> None:
    section = (DOCS / "orders.md").read_text(encoding="utf-8").partition("## When it pauses")[2]
    table = section.partition("\nWith `")[0]
    rows = [row.split("|")[1] for row in table.splitlines() if row.startswith("| `")]
    reasons = [{"code": code, "error": "For programs."} for row in rows for code in re.findall("`(.*?)`", row)[:2]]
    words = run("given[0].map(order_rules.reasonWords)", [each for each in reasons if each["code"] != "error.code"])
    assert len(words) == 12
    assert [each for each in words if "go on" not in each.lower() or "For programs." in each] == []


def test_what_would_happen_is_said_in_plain_words() -> None:
    words = run("given[0].songs.map((song) => order_rules.outlookWords(song, given[0].does_not_fit))", QUOTE)
    assert words == [
        "split",
        "has stems already",
        "not found",
        "refused: it is too long",
        "does not fit: too little is left",
    ]


def test_an_order_is_told_in_words() -> None:
    songs = [
        song("a", "done", 10),
        song("b", "failed", error="it broke"),
        song("c", "running", 10),
        song("d", "running"),
        song("e", "waiting"),
    ]
    running = order("running", *songs, next_song="e", next_in=7.2)
    states = [running, order("paused", *songs), order("cancelled", *songs), order("finished", *songs[:2])]
    assert run("given.map(order_rules.stateWords)", *states) == [
        "Running: 1 of 5 songs is done, 1 failed.",
        "Paused: 1 of 5 songs is done, 1 failed. 2 songs that have begun go on.",
        "Stopped: 1 of 5 songs is done, 1 failed. 2 songs that have begun go on.",
        "Done: 1 of 2 songs is done, 1 failed.",
    ]
    assert run("given.map(order_rules.spentWords)", running, order("finished", *songs, max_downloads=5)) == [
        "Spent so far: 20 credits, of at most 40.",
        "It has spent 20 credits and 0 downloads.",
    ]
    assert run("order_rules.nextOf(given[0])", running) == {
        "before": "Next: ",
        "title": "e",
        "after": ", in about 8 seconds.",
    }
    assert run(
        "given[0].map((song) => [order_rules.songWords(song, given[1]), order_rules.songCost(song)])", songs, running
    ) == [
        ["done", "10 credits"],
        ["failed: it broke", ""],
        ["in progress", "10 credits"],
        ["in progress", "free"],
        ["waiting", ""],
    ]
    assert run("given.map(order_rules.isMoving)", *states) == [True, True, True, False]
    assert run("given.map(order_rules.isOver)", *states) == [False, False, False, True]


def test_higher_limits_cover_the_songs_that_wait_at_the_highest_price_seen() -> None:
    paused = order("paused", song("a", "done", 15), song("b", "waiting"), song("c", "waiting"), max_credits=20)
    quote = {"songs": [song("b", "split", 10), song("c", "has_stems")], "downloads": 0}
    more = run("order_rules.capsFor(...given)", paused, quote)
    assert more == {"credits": 10, "downloads": 0, "caps": {"max_credits": 30}}
    with_files = {**paused, "max_credits": 100, "max_downloads": 1, "downloads": 1}
    more = run("order_rules.capsFor(...given)", with_files, quote | {"downloads": 2})
    assert more == {"credits": 0, "downloads": 2, "caps": {"max_credits": 100, "max_downloads": 3}}


def test_addresses_of_orders() -> None:
    hashes = ["#/orders", "#/order", "#/order/5f0c", "#/order/", "#/song/x", ""]
    views = [{"isList": True}, {"isNew": True}, {"id": "5f0c"}, None, None, None]
    assert run("given[0].map(order_rules.viewIn)", hashes) == views
    assert run("order_rules.addressOf('5f0c')") == "#/order/5f0c"
