"""A split with `reuse_existing` does not pay for stems that another one makes now, on each of the three stores."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from functools import partial
from typing import Any

import pytest

from app.ids import new_id
from app.splits.admission import SONG_SETTLED_SECONDS, NotBegun, Refusal, admit_unless_being_made
from app.splits.jobs import NewJob
from app.splits.ledger import Ledger, open_ledger
from app.splits.order import OrderedSong, Problem, SongOrder, read_order
from app.splits.store import Entry, Transaction
from tests.splits.conftest import SteppedClock, entry, stems

PAIR = json.dumps(["song", "two", False])


def new(ledger: Ledger, key: str = "", **fields: Any) -> Entry:
    return entry(ledger, key, **{"song_id": "song", "account": "user", "question": PAIR} | fields)


def reuse(ledger: Ledger, key: str = "reuses") -> Entry:
    return ledger.begin(new(ledger, key), admit=partial(admit_unless_being_made, ledger.clock))


def waits(ledger: Ledger) -> bool:
    """Whether a split that would reuse stems may not pay now."""
    try:
        ledger.free(reuse(ledger))
    except NotBegun as refused:
        return refused.why is Refusal.BEING_MADE
    return False


def test_it_waits_for_another_split_of_the_account_until_its_stems_must_be_listed(
    ledger: Ledger, clock: SteppedClock
) -> None:
    assert not waits(ledger)
    one = ledger.begin(new(ledger, caller="another"))
    assert waits(ledger)
    ledger.finish(one, stems("a", "b"), paid=True)
    assert waits(ledger)
    clock.advance(SONG_SETTLED_SECONDS - 1)
    assert waits(ledger)
    clock.advance(1)
    assert not waits(ledger)


def test_it_waits_for_nothing_that_pays_for_nothing(ledger: Ledger) -> None:
    one = ledger.begin(new(ledger))
    ledger.finish(one, stems("a", "b"), paid=False)
    assert not waits(ledger), "reused"
    ledger.free(ledger.begin(new(ledger)))
    assert not waits(ledger), "refused"


@pytest.mark.parametrize("is_killed", [False, True])
def test_it_waits_for_a_split_in_doubt_until_its_stems_must_be_listed(
    ledger: Ledger, clock: SteppedClock, is_killed: bool
) -> None:
    one = ledger.begin(new(ledger))
    if not is_killed:
        ledger.doubt(one)
    clock.advance(SONG_SETTLED_SECONDS - 1)
    assert waits(ledger), "Suno may have made its stems"
    clock.advance(1)
    assert not waits(ledger)


def followed(ledger: Ledger, one: Entry, **statuses: str) -> None:
    """Let the job of a split see these statuses of its stems."""
    claimed = ledger.jobs.claim(one.id, lasts=60)
    assert claimed
    seen = [{"id": id, "status": status} for id, status in statuses.items()]
    ledger.jobs.release(one.id, claimed, json.dumps({"body": "{}", "stems": seen}), due_in=None)


@pytest.mark.parametrize(
    ("a", "b", "is_awaited"),
    [
        ("complete", "complete", True),
        ("complete", "streaming", True),
        ("error", "streaming", True),
        ("error", "error", False),
        ("complete", "error", False),
    ],
)
def test_it_waits_until_complete_stems_are_listed_but_not_for_a_set_of_which_one_has_failed(
    ledger: Ledger, a: str, b: str, is_awaited: bool
) -> None:
    one = ledger.begin(new(ledger, "k"), job=NewJob(json.dumps({"body": None})))
    ledger.finish(one, stems("a", "b"), paid=True)
    assert waits(ledger)
    followed(ledger, one, a=a, b=b)
    assert waits(ledger) is is_awaited


def test_it_waits_although_the_job_of_the_other_split_has_told_how_an_earlier_attempt_ended(ledger: Ledger) -> None:
    one = ledger.begin(new(ledger, "k"), job=NewJob(json.dumps({"body": None})))
    followed(ledger, one)
    ledger.finish(one, stems("a", "b"), paid=True)
    assert waits(ledger)


@pytest.mark.parametrize("name", ["", "Lead Vocal", "lead vocal", "Lead_Vocal", "Vocals"])
def test_it_waits_for_the_same_part_by_another_name(ledger: Ledger, name: str) -> None:
    ledger.begin(new(ledger, question=json.dumps(["song", "two", False, *([name] if name else [])])))
    assert waits(ledger)


def test_a_list_that_shows_failed_stems_of_another_split_ends_the_wait_for_them(ledger: Ledger) -> None:
    one = ledger.begin(new(ledger))
    made = stems("a", "b")
    ledger.finish(one, made, paid=True)
    other = new(ledger, "looks")
    for statuses, is_awaited in ((("complete", "streaming"), True), (("complete", "error"), False)):
        listed = [replace(stem, status=status) for stem, status in zip(made, statuses, strict=True)]
        ledger.note_listed(new(ledger, account="another"), ["a", "b"], listed[:1])
        ledger.note_listed(other, ["a", "b"], listed)
        assert waits(ledger) is is_awaited


@pytest.mark.parametrize(
    "other",
    [
        {"song_id": "another"},
        {"account": "another"},
        {"task": "twelve"},
        {"question": json.dumps(["song", "two", False, "Drum Kit"])},
        {"question": json.dumps(["song", "two", False, "Drum Kit", "https://hooks.example.com/", "mp3"])},
    ],
)
def test_it_waits_for_no_split_of_another_song_account_kind_or_part(ledger: Ledger, other: dict[str, Any]) -> None:
    ledger.begin(new(ledger, **other))
    assert not waits(ledger)


@pytest.mark.parametrize("rest", [[""], ["https://hooks.example.com/"], ["", "mp3"], ["http://a/", "wav"]])
def test_a_split_with_a_job_is_of_the_same_kind(ledger: Ledger, rest: list[str]) -> None:
    ledger.begin(new(ledger, question=json.dumps(["song", "two", True, *rest])))
    assert waits(ledger)


@pytest.mark.parametrize(("part", "holds_up"), [("Drum Kit", False), ("Bass", True), ("bass", True)])
def test_a_song_of_an_order_waits_for_no_split_of_another_part(ledger: Ledger, part: str, holds_up: bool) -> None:
    bass = ordered(ledger, "Bass")
    ledger.begin(new(ledger, question=json.dumps(["song", "two", True, part])))
    entry = new(ledger, "of an order", question=json.dumps(["song", "two", True, bass.stem_name]))

    def admit(tx: Transaction, entry: Entry) -> NotBegun | None:
        return ledger.orders.begin_song(tx, bass.id, entry, downloads=0, balance=0, pace=0, pays=True)

    if holds_up:
        with pytest.raises(NotBegun) as refused:
            ledger.begin(entry, admit=admit)
        assert refused.value.why is Refusal.SAME_SONG
    else:
        assert ledger.begin(entry, admit=admit).id == entry.id


def test_an_order_counts_only_stems_of_its_part_as_made_lately(ledger: Ledger) -> None:
    for part, ids in (("Drum Kit", "ab"), ("Bass", "cd")):
        one = ledger.begin(new(ledger, question=json.dumps(["song", "two", True, part])))
        ledger.finish(one, stems(*ids), paid=True)
    assert ledger.orders.made_lately(ordered(ledger, "Bass"), "song") == {"c", "d"}


def test_an_order_that_a_newer_release_has_written_can_be_read(ledger: Ledger) -> None:
    order = ordered(ledger, "Bass")
    paused = replace(order, error=Problem("over_limit", "Not one song fits."))
    stored = asdict(paused)
    for place in (stored, stored["songs"][0], stored["error"]):
        place["of a newer release"] = 1
    assert read_order(stored) == paused


def ordered(ledger: Ledger, part: str) -> SongOrder:
    order = SongOrder(
        id=new_id(),
        account="default",
        owner="user",
        caller="",
        idempotency_key=new_id(),
        question="[]",
        began=ledger.clock.now(),
        songs=(OrderedSong(song_id="song"),),
        task="two",
        stem_name=part,
        price=10,
        max_credits=10,
    )
    return ledger.orders.take(order, most_open=10).order


def test_of_concurrent_requests_with_keys_of_their_own_one_pays(ledger_url: str) -> None:
    ledgers = [open_ledger(ledger_url) for _ in range(8)]
    song = entry(ledgers[0]).song_id

    def ask(numbered: tuple[int, Ledger]) -> bool:
        number, ledger = numbered
        admit = partial(admit_unless_being_made, ledger.clock)
        try:
            return bool(ledger.begin(new(ledger, f"key-{number}", song_id=song), admit=admit))
        except NotBegun:
            return False

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(ask, enumerate(ledgers))) == 1
