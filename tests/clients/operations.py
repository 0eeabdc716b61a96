"""Schemathesis sends valid and invalid requests: each reply conforms to the spec."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import hypothesis
import pytest
import requests
import schemathesis
from schemathesis.checks import load_all_checks
from schemathesis.core.transport import Response
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

from app.web.examples import EXAMPLE_SONG
from app.web.stems import REQUEST_ID
from tests import stack
from tests.conftest import Client, until
from tools.process import free_port

load_all_checks()

EXAMPLES = int(os.environ.get("REQUESTS_PER_OPERATION", "14"))
"""Generated requests for each operation. Run more of them by hand after a change of the spec."""

NOT_IN_A_SCHEMA = {
    "refused_by_suno",  # only Suno decides which values of stem_name are valid
    "webhook_not_allowed",  # the operator decides which hosts a webhook may reach
    "idempotency_key_reused",  # depends on earlier requests with the same key
    "out_of_credits",  # depends on earlier splits
    "over_limit",  # depends on the operator's prices
    "order_too_large",  # a playlist may have too many songs
}
"""Codes that may refuse a request that conforms to the spec, and why."""

BETWEEN_FIELDS = {
    # A schema could express this (oneOf), but generators then create no class for it, or three.
    "Give either ids, of songs or stems, or audio_id, of a song.",
    "Give either songs or playlist.",
    # The same: some fields are needed unless it is a quote.
    "max_credits is missing",
    "max_downloads is missing",
    "An order needs an Idempotency-Key",
    # It depends on the order.
    "This order fetches no files: name the format",
    # The same: one field is not allowed with one value of another.
    'stem_name goes with stem_task "two": "twelve" takes out every part.',
}
"""Rules that only the descriptions of the fields have, as `invalid_request` words them."""


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """The service with an account of 1,000 credits, and one split of the spec's song with files and webhook."""
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
        # Stopped after this: nothing may fetch generated ids or send webhooks to generated hosts.
        with stack.jobs(suno.url, settings):
            body = {"audio_id": EXAMPLE_SONG, "webhook_url": f"http://127.0.0.1:{free_port()}/"}
            split = client.post("/api/generate_stems", json=body, headers={"X-Request-ID": REQUEST_ID["example"]})
            assert split.status_code == 200, split.text
            for files in ({"audio_id": EXAMPLE_SONG}, {"ids": [EXAMPLE_SONG]}):
                wanted = {**files, "format": "mp3"}
                until(lambda wanted=wanted: client.post("/api/audio", json=wanted).status_code == 200)  # type: ignore[misc]
        yield client


# tests/test_docs.py checks that the service serves this file. Its operations are needed before anything is started.
api = schemathesis.openapi.from_path("openapi.yaml", config=schemathesis.Config(seed=1))


def session() -> requests.Session:
    """Return a session that ignores the environment."""
    made = requests.Session()
    made.trust_env = False
    return made


SESSION = session()


def settings(examples: int) -> hypothesis.settings:
    """Return settings that generate the same requests in every run."""
    return hypothesis.settings(
        derandomize=True,
        database=None,
        deadline=None,
        max_examples=examples,
        stateful_step_count=6,
        suppress_health_check=list(hypothesis.HealthCheck),
    )


def check(case: schemathesis.Case, response: Response) -> None:
    """Run all checks on a reply, without those that do not apply to it."""
    excluded = [positive_data_acceptance] if may_be_refused(response) else []
    if "ids" in (case.query or {}):
        # Everything in a query is text: `true`, sent for a list, is an id.
        excluded.append(negative_data_rejection)
    case.validate_response(response, excluded_checks=excluded)  # type: ignore[arg-type]


def may_be_refused(response: Response) -> bool:
    """Return whether the request may be refused for a reason that the spec's schemas do not express."""
    if response.status_code not in (400, 402, 422):
        return False
    body = response.json()
    return body["code"] in NOT_IN_A_SCHEMA or any(sentence in body["error"] for sentence in BETWEEN_FIELDS)


def made_for(operation_id: str) -> Callable[..., None]:
    @api.include(operation_id=operation_id).parametrize()
    @settings(EXAMPLES)
    def test(case: schemathesis.Case, deployed: Client) -> None:
        check(case, case.call(deployed.url, SESSION))

    return test


# Schemathesis gives all operations of one test the same name, and pytest-xdist then runs only one of them.
for operation in api.get_all_operations():
    operation_id = operation.ok().definition.raw["operationId"]  # type: ignore[union-attr]
    globals()[f"test_{operation_id}"] = made_for(operation_id)


def test_sequences_of_operations(deployed: Client) -> None:
    class Workflow(api.as_state_machine()):  # type: ignore[misc]
        def get_call_kwargs(self, case: schemathesis.Case) -> dict[str, Any]:
            return {"base_url": deployed.url, "session": SESSION}

        def validate_response(self, response: Response, case: schemathesis.Case, **_: Any) -> None:
            check(case, response)

    Workflow.run(settings=settings(EXAMPLES // 2))
