"""The doctor with a healthy Suno and with broken ones: it reports what is wrong and what to change, for free."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from requests import ReadTimeout
from responses import RequestsMock

from app.suno.call import Call, CallKind, Cost, Deadline
from app.suno.doctor import CheckResult, Doctor, shape_of
from app.suno.statuses import LIST_REFUSED
from app.suno.studio import CostsSomething, StudioApi
from sandbox.suno import user_id_of
from tests.conftest import Suno
from tests.in_process import InProcess
from tests.suno.conftest import ALICE, API, endpoint, signed_in
from tests.suno.conftest import wire as wire


def process(
    suno: Suno, tmp_path: Path, cookie: str, *options: str, **settings: str
) -> subprocess.CompletedProcess[str]:
    """Run the doctor as `make doctor` does."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SUNO_")}
    environment |= {
        "SUNO_API_URL": suno.url,
        "SUNO_AUTH_URL": suno.url,
        "SUNO_COOKIE": cookie,
        "LEDGER_URL": f"sqlite:///{tmp_path}/ledger.db",
        "LOG_LEVEL": "ERROR",
        **settings,
    }
    command = [sys.executable, "-m", "flask", "--app", "wsgi", "doctor", *options]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)


def diagnose(service: InProcess, *options: str) -> Result:
    """Run the doctor in the test's own process, which is faster."""
    return service.app.test_cli_runner().invoke(args=["doctor", *options])


def findings(stdout: str) -> dict[str, dict[str, Any]]:
    return {finding["check"]: finding for finding in map(json.loads, stdout.splitlines())}


def test_a_healthy_account_is_reported_with_free_calls_only(suno: Suno, tmp_path: Path, account: str) -> None:
    suno.forget()
    run = process(suno, tmp_path, account)
    assert run.returncode == 0, run.stdout + run.stderr
    for words in ("signs in", "1000 credits left", "20 of 20 downloads left", "includes stems", "no captcha now"):
        assert words in run.stdout
    assert {name for name in ("words", "beats", "sections") if f"the {name} of a song" in run.stdout} == {
        "words",
        "beats",
        "sections",
    }
    assert suno.charges(account) == []
    paths = [entry["path"] for entry in suno.log()]
    assert not [
        path for path in paths if "/edit/" in path or "v2-web" in path or "authorize" in path or "wav" in path
    ]


@pytest.mark.parametrize(
    ("cookie", "options", "check", "words", "turn"),
    [
        ("sandbox-dead", {}, "sign-in", "no longer accepts the cookie", "SUNO_COOKIE"),
        ("sandbox-clerk-wrong-shape", {}, "sign-in", "wire format", "SUNO_AUTH_URL"),
        ("sandbox-no-stems", {}, "plan", "does not say", "the plan"),
        ("sandbox-needs-turnstile", {}, "captcha", "Turnstile", "make one song"),
        ("sandbox-alice", {"feed": "v2-only"}, "feed v3", "gone", "falls back"),
        ("sandbox-alice", {"feed": "by-ids"}, "songs", "No song can be seen", "make one song"),
    ],
)
def test_each_problem_is_reported_with_what_to_change(
    suno: Suno,
    in_process: Callable[..., InProcess],
    cookie: str,
    options: dict[str, str],
    check: str,
    words: str,
    turn: str,
) -> None:
    suno.set(**options)
    try:
        run = diagnose(in_process(SUNO_COOKIE=cookie), "--json")
    finally:
        suno.set(feed="dying")
    assert run.exit_code == 1
    found = findings(run.stdout)[check]
    assert (found["ok"], words in found["said"], turn in found["turn"]) == (False, True, True), found


def test_a_missing_cookie_or_an_unreachable_suno_is_reported(in_process: Callable[..., InProcess]) -> None:
    assert "SUNO_COOKIE is not set" in diagnose(in_process(SUNO_COOKIE="")).stdout
    away = findings(diagnose(in_process(SUNO_AUTH_URL="http://127.0.0.1:1"), "--json").stdout)["sign-in"]
    assert "could not be reached" in away["said"]
    assert "HTTPS_PROXY" in away["turn"] and "CLERK" not in away["turn"], "no version helps without a connection"


def test_a_report_has_shapes_and_no_values(
    in_process: Callable[..., InProcess], tmp_path: Path, account: str
) -> None:
    report = tmp_path / "report.json"
    diagnose(in_process(SUNO_COOKIE=account), "--report", str(report))
    text = report.read_text()
    shapes = json.loads(text)
    assert shapes["billing billing"]["total_credits_left"] == "int"
    assert shapes["clip clip"]["metadata"]["avg_bpm"] == "float"
    assert shapes["captcha captcha"]["required"] == "bool"
    assert "aligned_words" in shapes["song_time words"]
    assert {"song_time beats", "song_time sections"} <= set(shapes)
    for value in (
        account,
        user_id_of(account),
        "Ocean Wanderer",
        "Glass Orchard",
        "song-with",
        "C_major",
        "2026-",
        "eyJ",
    ):
        assert value not in text


@pytest.fixture
def silent() -> Iterator[str]:
    """A host that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_the_report_is_written_even_if_the_time_runs_out(
    suno: Suno, tmp_path: Path, account: str, silent: str
) -> None:
    report = tmp_path / "report.json"
    options = ("--json", "--within", "2", "--report", str(report))
    run = process(suno, tmp_path, account, *options, SUNO_API_URL=silent)
    assert run.returncode == 1, run.stdout + run.stderr
    assert list(findings(run.stdout)) == ["sign-in", "time"]
    assert "within 2 s" in findings(run.stdout)["time"]["said"]
    assert json.loads(report.read_text()) == {}


def findings_with_feed_v2(wire: RequestsMock, **reply: Any) -> dict[str, CheckResult]:
    signed_in(wire)
    wire.get(f"{API}/api/billing/info/", json={"total_credits_left": 1})
    wire.post(f"{API}/api/feed/v3", json={"clips": []})
    wire.get(f"{API}/api/feed/v2", **reply)
    wire.post(f"{API}/api/c/check", json={"required": False})
    return {finding.check: finding for finding in Doctor(endpoint(), ALICE).checks()}


@pytest.mark.parametrize("status", LIST_REFUSED)
def test_a_removed_feed_v2_is_expected(wire: RequestsMock, status: int) -> None:
    found = findings_with_feed_v2(wire, status=status)["feed v2"]
    assert found == CheckResult("feed v2", True, "It is gone, as expected.")


@pytest.mark.parametrize("reply", [*({"status": status} for status in (403, 429, 500)), {"body": ReadTimeout()}])
def test_any_other_failure_of_feed_v2_is_reported(wire: RequestsMock, reply: dict[str, Any]) -> None:
    found = findings_with_feed_v2(wire, **reply)["feed v2"]
    assert not found.ok and found.said and "later" in found.turn


@pytest.mark.parametrize("clip", [{"id": "a", "metadata": 5}, {"id": "a", "metadata": "text"}, ["a"], 5])
def test_a_clip_of_another_shape_is_reported_without_a_traceback(wire: RequestsMock, clip: object) -> None:
    signed_in(wire)
    wire.get(f"{API}/api/billing/info/", json={"total_credits_left": 1})
    wire.post(f"{API}/api/feed/v3", json={"clips": [{"id": "a"}]})
    wire.get(f"{API}/api/feed/v2", json={"clips": []})
    wire.get(f"{API}/api/clip/a", json=clip)
    wire.get(f"{API}/api/clip/a/stems/pages", json={"pages": 0})
    wire.post(f"{API}/api/c/check", json=["?"])
    found = {finding.check: finding for finding in Doctor(endpoint(), ALICE).checks()}
    assert "metadata.duration" in found["clip"].said
    assert (found["clip"].ok, found["captcha"].ok, found["stems"].ok) == (False, False, True)


def test_names_that_could_be_values_are_left_out() -> None:
    assert shape_of({"c3d4e5f6-a7b8": 1, "ok": [True, False]}) == {"…": "int", "ok": ["2 of", "bool"]}


@pytest.mark.parametrize("kind", [kind for kind in CallKind if kind.cost is not Cost.NOTHING])
def test_no_call_that_may_cost_can_be_sent(kind: CallKind) -> None:
    studio = StudioApi(endpoint(api_url="http://127.0.0.1:1", auth_url="http://127.0.0.1:1"), free_only=True)
    with pytest.raises(CostsSomething):
        studio.ask(ALICE, Call(kind, "POST", "/api/edit/stems/song/", Deadline(1), b"{}"))


SONG_TIME = {"words": "aligned_lyrics/v2/", "beats": "downbeats", "sections": "novelty-sections"}


def findings_with_song_time(wire: RequestsMock, **reply: Any) -> dict[str, CheckResult]:
    signed_in(wire)
    wire.get(f"{API}/api/billing/info/", json={"total_credits_left": 1})
    wire.post(f"{API}/api/feed/v3", json={"clips": [{"id": "../a"}, {"id": "a"}]})
    wire.get(f"{API}/api/feed/v2", status=404)
    wire.get(f"{API}/api/clip/a", json={"id": "../a"})
    wire.get(f"{API}/api/clip/a/stems/pages", json={"pages": 0})
    for path in SONG_TIME.values():
        wire.get(f"{API}/api/gen/a/{path}", **reply)
    wire.post(f"{API}/api/c/check", json={"required": False})
    return {finding.check: finding for finding in Doctor(endpoint(), ALICE).checks()}


@pytest.mark.parametrize(
    ("reply", "ok", "words"),
    [
        ({"status": 404, "json": {}}, True, "has no"),
        ({"status": 500, "json": {}}, False, "500"),
        ({"json": "text"}, False, "cannot read"),
    ],
)
def test_the_words_beats_and_sections_are_checked(
    wire: RequestsMock, reply: dict[str, Any], ok: bool, words: str
) -> None:
    found = findings_with_song_time(wire, **reply)
    assert [(found[check].ok, words in found[check].said) for check in SONG_TIME] == [(ok, True)] * 3
    assert found["captcha"].ok, "the other checks go on"


def test_the_doctor_asks_nothing_about_an_id_that_could_be_a_path(wire: RequestsMock) -> None:
    found = findings_with_song_time(wire, status=404, json={})
    assert not found["clip"].ok
    assert not [call.request.url for call in wire.calls if ".." in call.request.url]
