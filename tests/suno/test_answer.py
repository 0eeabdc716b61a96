"""What an answer of Suno means."""

from __future__ import annotations

import json
from typing import Any

import pytest
from urllib3 import HTTPHeaderDict

from app.suno.answer import Answer
from app.suno.call import CallKind

FREE = [300, 301, 302, *range(304, 402), 402, 403, 404, 405, 410, 415, 422, 429]
"""Statuses with which Suno certainly did nothing."""


def answer(status: int, body: Any = None, type: str = "application/json") -> Answer:
    return Answer(status, HTTPHeaderDict({"Content-Type": type}), b"" if body is None else json.dumps(body).encode())


@pytest.mark.parametrize("type", ["application/json", "text/html; charset=UTF-8"])
def test_only_a_paid_call_with_these_statuses_certainly_cost_nothing(type: str) -> None:
    answers = [answer(status, type=type) for status in range(300, 600)]
    assert [one.status for one in answers if not one.failure(CallKind.SPLIT).may_have_charged] == FREE
    assert not any(one.failure(CallKind.CLIP).may_have_charged for one in answers)
    assert all(one.failure(CallKind.SPLIT).status == one.status for one in answers)


@pytest.mark.parametrize(
    ("detail", "words"),
    [
        ("No.", "No."),
        (["No.", 5], "No.; 5"),
        ([{"loc": ["body", 0, "mv"], "msg": "field required"}, "No."], "body.0.mv: field required; No."),
        ([{"msg": "field required"}], "field required"),
        ([{"loc": "body", "msg": "field required"}], "field required"),
        ([{"loc": [], "msg": "field required"}], "field required"),
        ({"msg": "field required"}, ""),
        (None, ""),
    ],
)
def test_sunos_reasons_are_read_in_every_form(detail: object, words: str) -> None:
    assert answer(422, {"detail": detail}).words == words
