"""The proof: whatever fails, there is one charge per key, and no stem is in two replies."""

from __future__ import annotations

import pytest

from tests import torture_jobs
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
