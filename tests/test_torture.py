"""The proof: whatever fails, there is one charge per key, and no stem is in two replies."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from tests import torture_jobs, torture_person
from tests.person_run import Asked, Run, Sums
from tests.splits.conftest import REDIS
from tests.torture import torture


@pytest.mark.parametrize("redis", [False, True], ids=["sqlite", "redis"])
def test_each_key_is_paid_once_and_gets_its_own_stems(redis: bool) -> None:
    if redis and not REDIS:
        pytest.skip("redis-server is not installed: the ledger in Redis is not tortured")
    outcome = torture(seed=7, keys=6, redis=redis)
    assert outcome.lagging == ["stems_lag"]
    assert outcome.complaints() == [], outcome
    assert outcome.attempts > outcome.keys
    assert sum(charge["reply_lost"] for charge in outcome.charges) > 0
    assert sum(outcome.kills.values()) > 0


def test_without_the_ledger_the_proof_fails() -> None:
    assert torture(seed=7, keys=6, ledger=False).complaints() != []


@pytest.mark.timeout(280)
def test_each_key_gets_a_webhook_of_final_stems_with_the_files_of_suno() -> None:
    outcome = torture_jobs.torture(seed=3, keys=5, redis=False, keep_killing_for=3.0, hours=False)
    assert outcome.complaints == [], outcome
    assert outcome.webhooks > outcome.keys
    assert outcome.kills["a process of jobs"] > 0


def test_each_set_of_a_person_belongs_to_one_request_and_nothing_is_paid_twice() -> None:
    outcome = torture_person.torture(seed=1, runs=2, redis=False, patient=False, kill_for=2.0)
    assert outcome.wrong == [], [str(run) for run in outcome.wrong]
    assert outcome.sums.runs == 2


def done(number: int, *stems: str, charged: bool | None = None) -> tuple[Asked, dict[str, Any]]:
    """A request that has these stems, and the webhook that told so."""
    titles = [f"Song ({name})" for name in ("Drum Kit", "Without Drum Kit")]
    clips = [{"id": id, "title": title} for id, title in zip(stems, titles, strict=True)]
    cost = {} if charged is None else {"charged": charged}
    one = Asked(id=f"run-{number}", key="k", song="s", kind={"stem_name": "Drum Kit"}, path=f"/{number}")
    one.state = {"state": "done", "ready": True, "clips": clips, "webhook": {"state": "delivered"}, **cost}
    return one, {"type": "stems.completed", "data": {"stems": clips, **cost}}


PAID = {"account": "sandbox-load-1", "task": "extract", "clips": ["a", "b"], "by_person": False, "at": 100.0}
BY_PERSON = PAID | {"clips": ["c", "d"], "by_person": True}


@pytest.mark.parametrize(
    ("second", "charges", "wrong"),
    [
        (done(2, "c", "d", charged=False), [PAID, BY_PERSON], ""),
        (done(2, "a", "b"), [PAID, BY_PERSON], "belong to two requests"),
        (done(2, "c", "d"), [PAID, BY_PERSON], "was told that it paid"),
        (done(2, "c", "d", charged=False), [PAID, BY_PERSON | {"by_person": False}], "was told that it was not"),
        (done(2, "c", "d", charged=False), [PAID], "never made together"),
        (done(2, "c", "d", charged=False), [PAID, BY_PERSON, PAID | {"clips": ["e", "f"]}], "2 paid calls for 1"),
        (done(2, "c", "d", charged=False), [PAID | {"at": 500.0}, BY_PERSON], "while no request was sent"),
        (done(2, "c", "d", charged=False), [PAID, BY_PERSON | {"task": "twelve"}], "asked for"),
    ],
)
def test_the_comparison_of_persons_and_charges_notices_what_is_wrong(
    second: tuple[Asked, dict[str, Any]], charges: list[dict[str, Any]], wrong: str
) -> None:
    asked = [done(1, "a", "b"), second]
    received = {one.path: [(f"msg_{one.id}", told)] for one, told in asked}
    place: Any = SimpleNamespace(receivers=SimpleNamespace(of=lambda path: received[path]))
    run = Run(1, 1, place)
    run.asked, run.sent = [one for one, _ in asked], [(99.0, 101.0)]
    run.compare(charges, Sums())
    assert any(wrong in complaint for complaint in run.complaints) if wrong else run.complaints == []
