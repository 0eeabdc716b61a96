"""The log line of each request, and the metrics of all workers."""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY
from prometheus_client.parser import text_string_to_metric_families

from app.metrics import note_call
from app.web.factory import create_app
from tests import stack
from tests.asserts import assert_error
from tests.conftest import NUMBERS, SONG, Client, Suno, until
from tests.in_process import InProcess
from tools.process import NotStartedError

ALERTS = Path("deploy/alerts.yml")
API_KEY = "a-key-of-the-test"


def lines(service: Client, request_id: str) -> list[dict[str, Any]]:
    """The log lines of a request."""
    return [
        line for line in map(json.loads, service.server.logged().splitlines()) if line.get("request_id") == request_id
    ]


def metrics(service: Client) -> dict[str, float]:
    """All samples, named as in the exposition with sorted labels."""
    response = service.get("/metrics")
    assert response.status_code == 200, response.text
    return {
        sample.name + "".join(f" {name}={value}" for name, value in sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(response.text)
        for sample in family.samples
    }


def total(service: Client, name: str) -> float:
    return sum(value for sample, value in metrics(service).items() if sample.split()[0] == name)


def wait_for_workers(service: Client, started: int) -> None:
    """Wait until this number of workers has started. Each counts itself as it loads the app."""
    until(lambda: service.get("/healthz") and total(service, "suno_stems_worker_starts_total") >= started)


@pytest.fixture(scope="module")
def with_a_budget(suno: Suno, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A service with one worker, one account, a caller with a budget, and webhooks."""
    callers = tmp_path_factory.mktemp("callers") / "callers.toml"
    callers.write_text(f'[callers.n8n]\napi_key = "{API_KEY}"\ncredits_per_day = 500\n')
    settings = {
        "SUNO_COOKIE": f"sandbox-load-{next(NUMBERS)}",
        "SUNO_READ_TIMEOUT": "0.5",
        "SUNO_POLL_INTERVAL": "0.1",
        "CALLERS_FILE": str(callers),
        "WEBHOOK_SECRET": "whsec_" + "A" * 32,
        "WEB_CONCURRENCY": "1",
    }
    with stack.service(suno.url, settings) as server:
        yield Client(server, {"X-API-Key": API_KEY})


@pytest.fixture(scope="module")
def public(suno: Suno) -> Iterator[Client]:
    """A service on all addresses that requires a key and writes its log as text."""
    settings = {"HOST": "0.0.0.0", "API_KEYS": "first-key", "LOG_FORMAT": "text", "WEB_CONCURRENCY": "1"}
    with stack.service(suno.url, settings) as server:
        yield Client(server)


def test_a_request_is_logged_in_one_line_with_all_fields(single_worker: Client, account: str) -> None:
    for id in (f"first-of-{account}", f"second-of-{account}"):
        single_worker.split(cookie=account, headers={"X-Request-ID": id})
    [first] = lines(single_worker, f"first-of-{account}")
    [second] = lines(single_worker, f"second-of-{account}")

    assert list(first)[:4] == ["time", "level", "logger", "message"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", first["time"])
    assert (first["method"], first["route"], first["status"]) == ("POST", "/api/generate_stems", 200)
    assert (first["code"], first["caller"]) == (None, None)
    assert re.fullmatch(r"[0-9a-f]{12}", first["account"])
    assert (first["suno_calls"], second["suno_calls"]) == (2, 1)
    assert 0 < second["suno_duration"] <= second["duration"]
    assert first["account"] == second["account"]


def test_a_failure_is_logged_with_its_code(service: Client, account: str) -> None:
    body = assert_error(service.split("fault-402", account), 402, "out_of_credits")
    [line] = lines(service, body["request_id"])
    assert (line["status"], line["code"], line["level"]) == (402, "out_of_credits", "INFO")
    body = assert_error(service.split("fault-500", account), 500, "suno_failed")
    [line] = lines(service, body["request_id"])
    assert (line["status"], line["code"], line["level"]) == (500, "suno_failed", "WARNING")


def test_unknown_paths_and_methods_are_in_no_log_line_and_no_label(service: Client) -> None:
    for method, path in (("GET", "/made-up/by-anyone"), ("MADEUP", "/docs"), ("PUT", "/api/generate_stems")):
        body = service.request(method, path).json()
        [line] = lines(service, body["request_id"])
        assert (line["route"], "made" in json.dumps(line).lower()) == ("(none)", False)
    exposition = service.get("/metrics").text
    assert "made-up" not in exposition
    assert "MADEUP" not in exposition
    assert 'method="(other)"' in exposition


def test_probes_are_logged_at_level_debug(single_worker: Client, service: Client) -> None:
    for path in ("/healthz", "/readyz", "/metrics"):
        assert lines(single_worker, single_worker.get(path).headers["X-Request-ID"]) == []
        [line] = lines(service, service.get(path).headers["X-Request-ID"])
        assert (line["level"], line["route"]) == ("DEBUG", path)


def test_gunicorns_own_log_lines_have_the_same_format(service: Client) -> None:
    logged = [json.loads(line) for line in service.server.logged().splitlines()]
    assert {tuple(line)[:4] for line in logged} == {("time", "level", "logger", "message")}
    assert {"gunicorn.error", "app.web.telemetry"} <= {line["logger"] for line in logged}


def test_the_text_format_is_readable(public: Client, account: str) -> None:
    public.split("fault-402", account, headers={"X-API-Key": "first-key", "X-Request-ID": "mine"})
    [line] = [line for line in public.server.logged().splitlines() if "request_id=mine" in line]
    assert re.fullmatch(
        r"[\d-]+ [\d:,]+ INFO app.web.telemetry: POST /api/generate_stems 402 code=out_of_credits duration=[\d.]+ "
        r"suno_duration=[\d.]+ suno_calls=2 account=[0-9a-f]{12} caller=[0-9a-f]{12} request_id=mine",
        line,
    )


def test_metrics_count_requests_calls_and_paid_splits(with_a_budget: Client) -> None:
    before = metrics(with_a_budget)
    for song in (SONG, SONG, "fault-402", "fault-reset-before-reading", "fault-200-html", "fault-500"):
        with_a_budget.split(song)
    after = metrics(with_a_budget)
    added = {name: value - before.get(name, 0) for name, value in after.items()}

    route = "method=POST route=/api/generate_stems"
    assert added[f"suno_stems_requests_total code=ok {route} status=200"] == 2
    assert added[f"suno_stems_requests_total code=out_of_credits {route} status=402"] == 1
    assert added[f"suno_stems_requests_total code=outcome_unknown {route} status=503"] == 1
    assert added["suno_stems_request_duration_seconds_count route=/api/generate_stems"] == 6
    for outcome, count in {"200": 2, "402": 1, "no_whole_answer": 1, "html": 1, "500": 1}.items():
        assert added[f"suno_stems_suno_calls_total kind=split outcome={outcome}"] == count
    assert added["suno_stems_suno_call_duration_seconds_count kind=split"] == 6
    assert added["suno_stems_splits_paid_total"] == 2
    assert after["suno_stems_sign_ins_total"] == 1
    assert added["suno_stems_in_doubt_total"] == 3
    assert added["suno_stems_house_failures_total code=out_of_credits"] == 1
    assert after["suno_stems_waiters"] == 0


def test_durations_are_recorded_in_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    now = itertools.count(0.0, 7.0)
    monkeypatch.setattr("app.web.telemetry.time.perf_counter", lambda: next(now))
    series = ("suno_stems_request_duration_seconds_sum", {"route": "/healthz"})
    before = REGISTRY.get_sample_value(*series) or 0.0
    create_app().test_client().get("/healthz")
    assert (REGISTRY.get_sample_value(*series) or 0.0) - before == 7.0
    series = ("suno_stems_suno_call_duration_seconds_sum", {"kind": "captcha"})
    before = REGISTRY.get_sample_value(*series) or 0.0
    note_call("captcha", "200", 7.0)
    assert (REGISTRY.get_sample_value(*series) or 0.0) - before == 7.0


def test_a_callers_own_dead_cookie_does_not_count_as_the_operators_failure(single_worker: Client) -> None:
    expired = "suno_stems_house_failures_total code=suno_session_expired"
    before = metrics(single_worker)[expired]
    assert_error(single_worker.split(cookie="sandbox-dead"), 401, "suno_session_expired")
    assert metrics(single_worker)[expired] == before


def test_all_workers_count_together_across_restarts_and_leave_no_files(
    start: Callable[..., Client], tmp_path: Path
) -> None:
    def files() -> set[str]:
        return {file.name for file in tmp_path.glob("suno-stems-metrics-*/*")}

    def booted() -> list[int]:
        return [int(pid) for pid in re.findall(r"Booting worker with pid: (\d+)", service.server.logged())]

    service = start(TMPDIR=str(tmp_path), WEB_CONCURRENCY="2")
    for round in range(3):
        wait_for_workers(service, 2 + round)
        for _ in range(10):
            service.get("/nowhere")
        counted = metrics(service)["suno_stems_requests_total code=not_found method=GET route=(none) status=404"]
        assert counted == 10 * (round + 1)
        os.kill(booted()[-1], signal.SIGKILL)

    wait_for_workers(service, 5)
    assert {name.rpartition("_")[2] for name in files()} == {"0.db", "1.db"}
    service.server.process.send_signal(signal.SIGTERM)
    assert service.server.process.wait(timeout=60) == 0
    assert list(tmp_path.glob("suno-stems-metrics-*")) == []


def test_a_start_that_fails_leaves_no_files(start: Callable[..., Client], tmp_path: Path) -> None:
    with pytest.raises(NotStartedError, match="LOG_FORMAT"):
        start(TMPDIR=str(tmp_path), LOG_FORMAT="my-form")
    assert list(tmp_path.glob("suno-stems-metrics-*")) == []


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "X-Real-IP", "Via"])
def test_without_their_key_the_metrics_are_refused_behind_a_proxy(service: Client, header: str) -> None:
    body = assert_error(service.get("/metrics", headers={header: "127.0.0.1"}), 403, "not_allowed")
    assert "METRICS_KEY" in body["error"]


def test_without_their_key_the_metrics_are_refused_under_another_host_name(public: Client) -> None:
    for key in ({}, {"X-API-Key": "first-key"}, {"Authorization": "Bearer first-key"}):
        response = public.get("/metrics", headers={"Host": "stems.example.com", **key})
        assert_error(response, 403, "not_allowed")
    assert public.get("/metrics").status_code == 200


def test_only_their_key_opens_the_metrics(in_process: Callable[..., InProcess]) -> None:
    key = "a-key-for-prometheus"
    service = in_process(METRICS_KEY=key, API_KEYS="first-key", HOST="0.0.0.0")
    for refused in ({}, {"X-API-Key": "first-key"}, {"Authorization": f"Bearer {key}x"}, {"X-API-Key": ""}):
        assert_error(service.get("/metrics", headers=refused), 401, "api_key_required")
    for accepted in ({"X-API-Key": key}, {"Authorization": f"Bearer {key}", "X-Forwarded-For": "192.0.2.1"}):
        assert service.get("/metrics", headers=accepted).status_code == 200
    assert_error(service.get("/api/get_limit", headers={"X-API-Key": key}), 401, "api_key_required")


def promtool(*arguments: str, given: str | None = None) -> str:
    if not shutil.which("promtool"):
        pytest.skip("promtool is not installed: the alert rules are not checked (Debian's package prometheus has it)")
    done = subprocess.run(["promtool", *arguments], input=given, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_promtool_accepts_the_alert_rules() -> None:
    assert "SUCCESS" in promtool("check", "rules", str(ALERTS))
    assert "SUCCESS" in promtool("test", "rules", "deploy/alerts_test.yml")


def test_promtool_accepts_the_metrics(service: Client) -> None:
    assert promtool("check", "metrics", given=service.get("/metrics").text) == ""


def test_every_metric_and_code_of_the_alerts_exists_in_the_running_service(with_a_budget: Client) -> None:
    with_a_budget.get("/readyz")
    with_a_budget.split()
    exposition = with_a_budget.get("/metrics").text
    alerts = ALERTS.read_text(encoding="utf-8")
    named = set(re.findall(r"suno_stems_\w+", alerts))
    assert len(named) > 8
    for name in named:
        assert re.search(rf"^{name}[ {{]", exposition, re.MULTILINE), name
    for code in set(re.findall(r'code="(\w+)"', alerts)) - {"ok"}:
        assert f'suno_stems_house_failures_total{{code="{code}"}}' in exposition, code
    for route in set(re.findall(r'route="([^"]+)"', alerts)):
        assert f'route="{route}"' in exposition, route
    for kind in set(re.findall(r'kind="(\w+)"', alerts)):
        assert f'kind="{kind}"' in exposition, kind
