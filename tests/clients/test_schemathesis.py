"""Schemathesis asks all that the spec allows, and much that it does not: each answer is as the spec says."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import hypothesis
import pytest
import requests
import schemathesis
from schemathesis.checks import load_all_checks
from schemathesis.core.transport import Response
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

from app.web.schemas import EXAMPLE_SONG
from app.web.stems import REQUEST_ID
from tests import stack
from tests.conftest import Client, pause
from tools.process import free_port

load_all_checks()

NOT_IN_A_SCHEMA = {
    "refused_by_suno",  # Suno alone judges which stem_name there are
    "webhook_not_allowed",  # which hosts a webhook may reach is its operator's to say
    "idempotency_key_reused",  # depends on what was asked before under the same key
    "out_of_credits",  # depends on what was split before
}
"""Codes with which a request may be refused that is all that the spec asks for, and why."""

BETWEEN_FIELDS = {
    # A schema could say this (oneOf), but generators then make no class of it, or three.
    "Give either ids, of songs or stems, or audio_id, of a song.",
    # As well: that one field may not be with one value of another.
    'stem_name goes with stem_task "two": "twelve" takes out every part.',
}
"""What the descriptions of fields say in words, as `invalid_request` tells it."""


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """The service with an account of 1,000 credits, one split of the spec's song, its files and its webhook."""
    folder = tmp_path_factory.mktemp("schemathesis")
    settings = {
        "SUNO_COOKIE": "sandbox-load-1",
        "SUNO_POLL_INTERVAL": "0.1",
        "SUNO_WAIT_TIMEOUT": "1",
        "LEDGER_URL": f"sqlite:///{folder}/ledger.db",
        "JOBS_URL": f"sqlite:///{folder}/jobs.db",
        "AUDIO_URL": f"file://{folder}/audio",
        "WEBHOOK_SECRET": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "WEBHOOK_HOSTS": "127.0.0.1",
    }
    with stack.suno("--pace", "0.05") as suno, stack.service(suno.url, settings) as service:
        client = Client(service)
        # Only for this: later nothing shall fetch what is made up, nor send webhooks to made up hosts.
        with stack.jobs(suno.url, settings):
            body = {"audio_id": EXAMPLE_SONG, "webhook_url": f"http://127.0.0.1:{free_port()}/"}
            split = client.post("/api/generate_stems", json=body, headers={"X-Request-ID": REQUEST_ID["example"]})
            assert split.status_code == 200, split.text
            for body in ({"audio_id": EXAMPLE_SONG}, {"ids": [EXAMPLE_SONG]}):
                while client.post("/api/audio", json={**body, "format": "mp3"}).status_code != 200:
                    pause()
                    time.sleep(0.1)
        yield client


# What is served is this file: tests/test_docs.py. Its operations have to be known before anything is started.
api = schemathesis.openapi.from_path("openapi.yaml", config=schemathesis.Config(seed=1))


def session() -> requests.Session:
    """One that takes nothing from the environment."""
    made = requests.Session()
    made.trust_env = False
    return made


SESSION = session()


def settings(examples: int) -> hypothesis.settings:
    """The same requests in every run."""
    return hypothesis.settings(
        derandomize=True,
        database=None,
        deadline=None,
        max_examples=examples,
        stateful_step_count=6,
        suppress_health_check=list(hypothesis.HealthCheck),
    )


def check(case: schemathesis.Case, response: Response) -> None:
    """Judge an answer by all checks; one of them only where a refusal is not among those above."""
    excluded = [positive_data_acceptance] if may_be_refused(response) else []
    if "ids" in (case.query or {}):
        # All is text in a query: `true`, sent for a list, is an id there.
        excluded.append(negative_data_rejection)
    case.validate_response(response, excluded_checks=excluded)


def may_be_refused(response: Response) -> bool:
    """Whether it is for a reason that the spec's schemas do not tell."""
    if response.status_code not in (400, 402, 422):
        return False
    told = response.json()
    return told["code"] in NOT_IN_A_SCHEMA or any(sentence in told["error"] for sentence in BETWEEN_FIELDS)


def made_for(operation_id: str) -> Callable[..., None]:
    @api.include(operation_id=operation_id).parametrize()
    @settings(80)
    def test(case: schemathesis.Case, deployed: Client) -> None:
        check(case, case.call(deployed.url, SESSION))

    return test


# Schemathesis gives all operations of one test the same name, and then pytest-xdist runs only one of them.
for operation in api.get_all_operations():
    operation_id = operation.ok().definition.raw["operationId"]
    globals()[f"test_{operation_id}"] = made_for(operation_id)


def test_operations_one_after_the_other(deployed: Client) -> None:
    class Workflow(api.as_state_machine()):
        def get_call_kwargs(self, case: schemathesis.Case) -> dict[str, Any]:
            return {"base_url": deployed.url, "session": SESSION}

        def validate_response(self, response: Response, case: schemathesis.Case, **_: Any) -> None:
            check(case, response)

    Workflow.run(settings=settings(30))
