"""Nothing is paid again while a sign remains that it was made: over real sockets, with lists that lag or lie."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests

from tests import stack
from tests.asserts import assert_error
from tests.conftest import SONG, Client, Suno
from tests.test_idempotency import FAST, ids, split, until_answered

LOST = "fault-reset-after-charge"
SETTLED = 3.7
"""Seconds after which a retry may pay again: FAST's deadline, slack and settle time."""


@pytest.fixture(scope="module")
def doubting(suno: Suno, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """The service with short timeouts."""
    ledger = tmp_path_factory.mktemp("doubt") / "ledger.db"
    with stack.service(suno.url, FAST | {"LEDGER_URL": f"sqlite:///{ledger}"}) as server:
        yield Client(server)


@pytest.fixture
def suno_is(suno: Suno) -> Iterator[Callable[..., None]]:
    """Change the sandbox for one test."""
    yield suno.set
    suno.set(index_lag=0, dated_behind=0, user_claim=True, queue=2, extract_group="name")


def retries(ask: Callable[[], requests.Response], seconds: float) -> set[int]:
    """The statuses of retries until so many seconds have passed since the first."""
    ends, statuses = time.monotonic() + seconds, set()
    while time.monotonic() < ends:
        reply = ask()
        statuses.add(reply.status_code)
        assert reply.status_code != 409 or int(reply.headers["Retry-After"]) >= 1
    return statuses


@pytest.mark.parametrize("fault", ["another-song", "clip-twice", "path-ids"])
def test_a_reply_with_clips_that_cannot_be_its_stems_is_in_doubt_and_is_not_recorded(
    doubting: Client, suno: Suno, suno_is: Callable[..., None], account: str, fault: str
) -> None:
    song = f"fault-{fault}"
    suno_is(index_lag=3_600)
    lost = split(doubting, account, song=song)
    assert "not what it sends for a split" in assert_error(lost, 503, "outcome_unknown")["error"]
    state = doubting.get(f"/api/requests/{lost.headers['X-Request-ID']}", headers={"X-Suno-Cookie": account}).json()
    assert (state["state"], state["clips"]) == ("in_doubt", [])
    suno_is(index_lag=0)
    reply = until_answered(lambda: split(doubting, account, song=song))
    [charge] = suno.charges(account)
    assert ids(reply) == charge["clips"]


@pytest.mark.parametrize(
    "behind",
    [("stems_lag",), ("stems_lag", "has_stem_lag"), ("stems_lag", "feed_lag")],
    ids=["the song's stems", "and has_stem", "and the newest clips"],
)
def test_an_empty_list_is_no_proof_while_another_witness_contradicts(
    doubting: Client, suno: Suno, suno_is: Callable[..., None], account: str, behind: tuple[str, ...]
) -> None:
    suno_is(**dict.fromkeys(behind, 3_600))
    assert_error(split(doubting, account, song=LOST), 503, "outcome_unknown")
    assert retries(lambda: split(doubting, account, song=LOST), SETTLED + 1) == {409}
    suno_is(index_lag=0)
    reply = until_answered(lambda: split(doubting, account, song=LOST))
    [charge] = suno.charges(account)
    assert ids(reply) == charge["clips"]


def test_reuse_existing_does_not_pay_for_what_another_request_may_have_just_paid_for(
    doubting: Client, suno: Suno, suno_is: Callable[..., None], account: str
) -> None:
    suno_is(index_lag=3_600)
    assert_error(split(doubting, account, "one", LOST), 503, "outcome_unknown")
    assert_error(split(doubting, account, "another", LOST, reuse_existing=True), 409, "in_progress")
    suno_is(index_lag=0)
    reused = until_answered(lambda: split(doubting, account, "another", LOST, reuse_existing=True))
    [charge] = suno.charges(account)
    assert sorted(ids(reused)) == sorted(charge["clips"])


@pytest.mark.parametrize("behind", [15, 5 * 3_600])
def test_unowned_stems_with_a_wrong_date_are_named_and_not_paid_again(
    doubting: Client, suno: Suno, suno_is: Callable[..., None], account: str, behind: int
) -> None:
    suno_is(dated_behind=behind)
    assert_error(split(doubting, account, song=LOST), 503, "outcome_unknown")
    assert retries(lambda: split(doubting, account, song=LOST), SETTLED + 1) == {409}
    body = assert_error(split(doubting, account, song=LOST), 409, "in_progress")
    [charge] = suno.charges(account)
    assert all(clip in body["error"] for clip in charge["clips"])
    assert "new Idempotency-Key with reuse_existing: true" in body["error"]
    reused = split(doubting, account, "another", LOST, reuse_existing=True)
    assert sorted(ids(reused)) == sorted(charge["clips"])
    assert len(suno.charges(account)) == 1


def test_stems_that_suno_makes_after_a_504_are_the_keys(
    doubting: Client, suno: Suno, suno_is: Callable[..., None], account: str
) -> None:
    suno_is(queue=2.5)
    assert_error(split(doubting, account, song="fault-504-queued"), 500, "suno_failed")
    assert suno.charges(account) == []
    reply = until_answered(lambda: split(doubting, account, song="fault-504-queued"))
    [charge] = suno.charges(account)
    assert ids(reply) == charge["clips"]


def test_lost_stems_that_name_the_group_of_their_part_are_the_keys(
    start: Callable[..., Client], suno: Suno, suno_is: Callable[..., None], account: str
) -> None:
    suno_is(extract_group="group")
    service = start(**FAST, SUNO_STEMS_ROUTE="v2-web", SUNO_EXTRACT_GROUP="group")
    reply = until_answered(lambda: split(service, account, song=LOST))
    [charge] = suno.charges(account)
    assert sorted(ids(reply)) == sorted(charge["clips"])


def test_a_token_that_loses_sunos_user_id_finds_the_same_keys(
    start: Callable[..., Client], suno: Suno, suno_is: Callable[..., None], account: str, tmp_path: Path
) -> None:
    ledger = {"LEDGER_URL": f"sqlite:///{tmp_path}/ledger.db"}
    first = split(start(**ledger), account, song=SONG)
    suno_is(user_claim=False)
    later = start(**ledger)
    # Sign in before the split: then the token's own names are known.
    assert later.get("/api/get_limit", headers={"X-Suno-Cookie": account}).status_code == 200
    assert split(later, account, song=SONG).content == first.content
    assert len(suno.charges(account)) == 1
    assert later.server.logged().count("names another user than before") == 1
