"""`/healthz` and `/readyz`: over real sockets, or in the test's own process if gunicorn plays no part."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests

from app.splits.jobs import JobsReport
from app.splits.ledger import open_ledger
from app.web.health import Check
from tests import stack
from tests.conftest import Client, Suno, until
from tests.in_process import InProcess
from tools.process import free_port


def assert_not_ready(response: requests.Response, session: str) -> dict[str, Any]:
    body: dict[str, Any] = response.json()
    assert response.status_code == 503
    assert list(body) == ["error", "code", "request_id", "checks"]
    assert (body["code"], body["checks"]["session"]) == ("not_ready", session)
    assert body["request_id"] == response.headers["X-Request-ID"]
    return body


@pytest.fixture(scope="module")
def without_suno() -> Iterator[Client]:
    """The service without a Suno that answers, and without an account."""
    with stack.service(f"http://127.0.0.1:{free_port()}", {"SUNO_COOKIE": "", "WEB_CONCURRENCY": "1"}) as server:
        yield Client(server)


def test_a_process_that_answers_is_healthy(without_suno: Client) -> None:
    response = without_suno.get("/healthz")
    assert (response.status_code, response.json()) == (200, {"status": "ok"})


def test_readyz_costs_nothing_and_at_most_one_sign_in(start: Callable[..., Client], suno: Suno, account: str) -> None:
    service = start(SUNO_COOKIE=account, WEB_CONCURRENCY="1")
    suno.forget()

    with ThreadPoolExecutor(16) as pool:
        replies = list(pool.map(lambda _: service.get("/readyz"), range(32)))

    assert {reply.status_code for reply in replies} == {200}
    assert replies[0].json() == {"status": "ok", "checks": {"session": "ok", "ledger": "ok", "audio": "ok"}}
    assert [entry["path"].partition("?")[0][:10] for entry in suno.log()] == ["/v1/client"]
    assert suno.charges(account) == []


@pytest.mark.parametrize(
    ("cookie", "code"),
    [
        ("sandbox-dead", "suno_session_expired"),
        ("sandbox-captcha", "captcha_required"),
        ("sandbox-clerk-429", "rate_limited"),
        ("sandbox-clerk-html", "suno_failed"),
    ],
)
def test_a_failing_session_is_named_and_rarely_checked(
    in_process: Callable[..., InProcess], suno: Suno, capfd: pytest.CaptureFixture[str], cookie: str, code: str
) -> None:
    service = in_process(SUNO_COOKIE=cookie)
    suno.forget()

    with ThreadPoolExecutor(16) as pool:
        replies = list(pool.map(lambda _: service.get("/readyz"), range(32)))

    assert cookie not in replies[0].text
    assert code in assert_not_ready(replies[0], code)["error"]
    assert len(suno.log("/v1/")) <= 2
    assert "Not ready, session: Suno" in capfd.readouterr().err


def test_an_unreachable_suno_is_reported_without_its_address(in_process: Callable[..., InProcess]) -> None:
    response = in_process(f"http://127.0.0.1:{free_port()}").get("/readyz")
    assert_not_ready(response, "suno_unreachable")
    assert "127.0.0.1" not in response.text


def test_a_ledger_that_cannot_be_written_is_reported(in_process: Callable[..., InProcess]) -> None:
    response = in_process(LEDGER_URL="sqlite:////proc/nowhere/ledger.db").get("/readyz")
    body = assert_not_ready(response, "ok")
    assert body["checks"] == {"session": "ok", "ledger": "ledger_unavailable", "audio": "ok"}
    assert "nowhere" not in response.text


def test_without_suno_cookie_no_session_is_checked(without_suno: Client) -> None:
    response = without_suno.get("/readyz")
    assert (response.status_code, response.json()["checks"]) == (
        200,
        {"session": "not_configured", "ledger": "ok", "audio": "ok"},
    )


def test_a_reload_reads_the_new_cookie_and_keys_from_their_files(
    start: Callable[..., Client], tmp_path: Path, account: str
) -> None:
    cookie, keys = tmp_path / "cookie", tmp_path / "keys"
    cookie.write_text("sandbox-dead")
    keys.write_text("old-key")
    service = start(SUNO_COOKIE=f"@{cookie}", API_KEYS=f"@{keys}", WEB_CONCURRENCY="1")
    assert_not_ready(service.get("/readyz"), "suno_session_expired")

    cookie.write_text(account)
    keys.write_text("old-key\nnew-key")
    service.server.process.send_signal(signal.SIGHUP)

    until(lambda: service.get("/readyz").status_code == 200)

    def status_with_the_new_key() -> int | None:
        status = service.split(headers={"X-API-Key": "new-key"}).status_code
        # The old worker may still accept a request while it stops.
        return None if status == 401 else status

    assert until(status_with_the_new_key) == 200
    assert "suno_stems_worker_starts_total 2.0" in service.get("/metrics").text


def test_a_check_is_cached_for_a_few_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    checked_at, now = [], [1000.0]
    monkeypatch.setattr("app.web.health.time.monotonic", lambda: now[0])
    check = Check("ledger", lambda: checked_at.append(now[0]) or "ok")
    for seconds in (0, 1, 10, 1):
        now[0] += seconds
        assert check.find() == ("ok", True)
    assert checked_at == [1000, 1011]


@pytest.mark.parametrize(
    ("report", "told"),
    [
        (JobsReport(4, 4, 0.0, 0.0, 0.0), "ok"),
        (JobsReport(4, 4, 0.0, 7_300.0, 900.0), "Suno could not be read for 900 s"),
        (JobsReport(4, 0, 3_700.0, 7_300.0, 0.0), "no fetch slot was free for 3700 s"),
        (JobsReport(4, 1, 0.0, 7_300.0, 0.0), "a job has made no progress for 7300 s"),
    ],
)
def test_what_stands_still_in_the_jobs_process_is_named(
    in_process: Callable[..., InProcess], tmp_path: Path, report: JobsReport, told: str
) -> None:
    url = f"sqlite:///{tmp_path}/ledger.db"
    service = in_process(LEDGER_URL=url, WEBHOOK_SECRET="whsec_" + "A" * 32)
    jobs = open_ledger(url).jobs
    jobs.note_consumer()
    jobs.note_report("process", report)
    assert service.get("/readyz").json()["checks"]["jobs"] == told
    assert f"suno_stems_fetch_slots_free {report.free_slots}.0" in service.get("/metrics").text
