"""Named callers with their own accounts and budgets, over real sockets and with both kinds of ledger."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import redis
import requests
from click.testing import CliRunner

from app.callers import hash_of
from app.web.caller import make_caller
from tests import stack
from tests.asserts import assert_error
from tests.conftest import NUMBERS, SONG, Client, Suno, pause
from tests.deploy.conftest import workers
from tests.splits.conftest import redis_url as redis_url

N8N, BOT, OLD, GUEST = (f"{name}-{'k' * 20}" for name in ("n8n", "bot", "old", "guest"))


class Operator:
    """A callers file and the settings of a service that reads it, with Suno accounts for one test only."""

    def __init__(self, folder: Path, account: str) -> None:
        self.folder = folder
        self.default, self.studio, self.own = account, *(f"sandbox-load-{next(NUMBERS)}" for _ in range(2))
        self.file = folder / "callers.toml"
        for name, text in {"studio.cookie": self.studio, "n8n.key": N8N}.items():
            (folder / name).write_text(text)
            (folder / name).chmod(0o600)
        self.write()

    def write(self, n8n: str = "credits_per_day = 50", more: str = "") -> None:
        self.file.write_text(
            f"""
            [accounts.studio]
            cookie = "@studio.cookie"

            [callers.n8n]
            api_key = "@n8n.key"
            accounts = ["studio", "default"]
            own_cookie = false
            {n8n}

            [callers.bot]
            api_key_sha256 = ["{hash_of(BOT.encode())}", "{hash_of(OLD.encode())}"]
            tasks = ["two"]
            {more}
            """
        )
        self.file.chmod(0o600)

    @property
    def settings(self) -> dict[str, str]:
        return {"CALLERS_FILE": str(self.file), "SUNO_COOKIE": self.default}


@pytest.fixture
def operator(tmp_path: Path, account: str) -> Operator:
    return Operator(tmp_path, account)


@pytest.fixture(params=["sqlite", "redis"])
def ledger(request: pytest.FixtureRequest) -> dict[str, str]:
    return {} if request.param == "sqlite" else {"LEDGER_URL": request.getfixturevalue("empty_redis")}


@pytest.fixture
def empty_redis(redis_url: str) -> str:
    redis.Redis.from_url(redis_url).flushdb()
    return redis_url


@pytest.fixture
def serve(suno: Suno) -> Iterator[Callable[..., Client]]:
    with ExitStack() as servers:
        yield lambda settings: Client(servers.enter_context(stack.service(suno.url, settings)))


def ask(service: Client, api_key: str, song: str = SONG, *, json: dict[str, Any] | None = None, **headers: str):
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    body = {"audio_id": song, **(json or {})}
    return service.post("/api/generate_stems", json=body, headers={"X-API-Key": api_key, **names})


def budget_of(service: Client, api_key: str) -> dict[str, Any]:
    return service.get("/api/get_limit", headers={"X-API-Key": api_key}).json()["budget"]


def test_a_caller_can_use_only_its_accounts(serve: Callable[..., Client], operator: Operator, suno: Suno) -> None:
    service = serve(operator.settings)
    assert ask(service, N8N).status_code == 200
    assert ask(service, N8N, X_Suno_Account="default").status_code == 200
    assert ask(service, BOT).status_code == 200
    assert (len(suno.charges(operator.studio)), len(suno.charges(operator.default))) == (1, 2)

    foreign = assert_error(ask(service, BOT, X_Suno_Account="studio"), 403, "not_allowed")
    nowhere = assert_error(ask(service, BOT, X_Suno_Account="nowhere"), 403, "not_allowed")
    assert foreign["error"] == nowhere["error"]
    own = assert_error(ask(service, N8N, X_Suno_Cookie=operator.own), 403, "not_allowed")
    assert "X-Suno-Account" in own["error"]
    assert_error(ask(service, N8N, Cookie=f"__client={operator.own}"), 403, "not_allowed")
    assert ask(service, BOT, X_Suno_Cookie=operator.own).status_code == 200
    assert len(suno.charges(operator.own)) == 1
    assert_error(ask(service, BOT, json={"stem_task": "twelve"}), 403, "not_allowed")
    assert_error(ask(service, "nobody" * 4), 401, "api_key_required")

    lines = [line for line in service.server.logged().splitlines() if "generate_stems 200" in line]
    assert '"account": "studio", "caller": "n8n"' in lines[0]
    assert '"account": "default", "caller": "bot"' in lines[2]
    for secret in (N8N, BOT, f"{operator.studio} ", f"{operator.own} "):
        assert secret not in service.server.logged()


def test_an_exceeded_budget_is_refused_before_suno_is_called_and_says_when_to_retry(
    serve: Callable[..., Client], operator: Operator, suno: Suno, ledger: dict[str, str]
) -> None:
    service = serve(operator.settings | ledger)
    assert budget_of(service, N8N) == {"credits_per_day": 50, "credits_left": 50, "more_credits_in": None}
    first = ask(service, N8N, Idempotency_Key="k")
    assert_error(ask(service, N8N, "fault-404"), 404, "song_not_found")
    assert budget_of(service, N8N)["credits_left"] == 40
    suno.forget()
    over = ask(service, N8N, json={"stem_task": "twelve"})
    body = assert_error(over, 402, "over_budget")
    assert "caller n8n is 50 credits in any 24 hours. Of that, 40 are left, and this takes 50" in body["error"]
    assert 86_300 < int(over.headers["Retry-After"]) <= 86_400 + 1800
    assert suno.log() == []

    for _ in range(4):
        assert ask(service, N8N).status_code == 200
    assert_error(ask(service, N8N), 402, "over_budget")
    assert ask(service, N8N, Idempotency_Key="k").content == first.content
    assert len(suno.charges(operator.studio)) == 5
    assert ask(service, BOT).status_code == 200
    assert "budget" not in service.get("/api/get_limit", headers={"X-API-Key": BOT}).json()

    metrics = service.get("/metrics").text
    assert 'suno_stems_credits_spent_total{account="studio",caller="n8n",task="two"} 50.0' in metrics
    assert 'suno_stems_budget_left{caller="n8n"} 0.0' in metrics
    assert 'suno_stems_budget_limit{caller="n8n"} 50.0' in metrics


def test_existing_stems_are_reused_even_if_the_budget_is_spent(
    serve: Callable[..., Client], operator: Operator, suno: Suno
) -> None:
    operator.write("credits_per_day = 20")
    service = serve(operator.settings)
    song = SONG
    stems = ask(service, N8N, json={"wait_audio": True})
    reused = ask(service, N8N, song, json={"reuse_existing": True})
    assert {stem["id"] for stem in reused.json()} == {stem["id"] for stem in stems.json()}
    assert budget_of(service, N8N)["credits_left"] == 10
    assert ask(service, N8N).status_code == 200
    headers = {"Idempotency_Key": "again"}
    reused = ask(service, N8N, song, json={"reuse_existing": True}, **headers)
    assert (reused.status_code, len(reused.json())) == (200, 2)
    assert ask(service, N8N, song, json={"reuse_existing": True}, **headers).headers["Idempotent-Replayed"] == "true"
    assert_error(ask(service, N8N, "fault-hang", json={"reuse_existing": True}), 402, "over_budget")
    assert len(suno.charges(operator.studio)) == 2


def test_64_concurrent_requests_on_two_workers_spend_exactly_the_budget(
    serve: Callable[..., Client], operator: Operator, suno: Suno, ledger: dict[str, str]
) -> None:
    service = serve(operator.settings | ledger)
    with ThreadPoolExecutor(64) as pool:
        statuses = list(pool.map(lambda _: ask(service, N8N).status_code, range(64)))
    assert (statuses.count(200), statuses.count(402)) == (5, 59)
    assert len(suno.charges(operator.studio)) == 5


def test_64_concurrent_requests_on_two_instances_spend_exactly_the_budget(
    serve: Callable[..., Client], operator: Operator, suno: Suno, empty_redis: str
) -> None:
    instances = [serve(operator.settings | {"LEDGER_URL": empty_redis}) for _ in range(2)]
    with ThreadPoolExecutor(64) as pool:
        statuses = list(pool.map(lambda n: ask(instances[n % 2], N8N).status_code, range(64)))
    assert (statuses.count(200), statuses.count(402)) == (5, 59)
    assert len(suno.charges(operator.studio)) == 5


def test_a_killed_worker_never_lets_requests_exceed_the_budget(
    serve: Callable[..., Client], operator: Operator, suno: Suno, ledger: dict[str, str]
) -> None:
    service = serve(operator.settings | ledger | {"SUNO_SETTLE_TIME": "0.5", "SUNO_DEADLINE": "3"})

    def send(number: int) -> int:
        try:
            return ask(service, N8N, "fault-hang").status_code
        except requests.RequestException:
            return 0

    with ThreadPoolExecutor(64) as pool:
        sent = [pool.submit(send, number) for number in range(64)]
        while not suno.charges(operator.studio):
            pause()
            assert not all(one.done() for one in sent)
        os.kill(min(workers(service.server.process.pid)), signal.SIGKILL)
        statuses = [one.result() for one in sent]
    assert set(statuses) <= {0, 200, 402, 503}
    assert {ask(service, N8N).status_code for _ in range(10)} <= {200, 402}
    assert len(suno.charges(operator.studio)) <= 5


def test_a_reload_removes_a_caller_and_a_wrong_file_changes_nothing(
    serve: Callable[..., Client], operator: Operator
) -> None:
    service = serve(operator.settings | {"WEB_CONCURRENCY": "1"})
    assert ask(service, OLD).status_code == 200
    operator.write(more='accounts = ["nowhere"]')
    reload(service)
    checks = service.get("/readyz").json()["checks"]
    assert "callers.bot.accounts: there is no account 'nowhere'" in checks["settings"]
    assert "suno_stems_settings_stale 1.0" in service.get("/metrics").text
    assert ask(service, OLD).status_code == 200

    operator.file.write_text(operator.file.read_text().partition("[callers.bot]")[0])
    reload(service)
    assert_error(ask(service, OLD), 401, "api_key_required")
    assert ask(service, N8N).status_code == 200


def reload(service: Client) -> None:
    old = workers(service.server.process.pid)
    service.server.process.send_signal(signal.SIGHUP)
    while old & workers(service.server.process.pid):
        pause()
        assert service.server.process.poll() is None


def test_idempotency_keys_survive_a_changed_api_key_and_a_changed_cookie(
    serve: Callable[..., Client], operator: Operator, suno: Suno, tmp_path: Path
) -> None:
    kept = {"LEDGER_URL": f"sqlite:///{tmp_path}/ledger.db", "WEB_CONCURRENCY": "1"}
    unnamed = serve(kept | {"SUNO_COOKIE": operator.default, "API_KEYS": BOT})
    first = ask(unnamed, BOT, Idempotency_Key="k")
    unnamed.server.process.send_signal(signal.SIGTERM)
    unnamed.server.process.wait()
    named = serve(kept | operator.settings | {"SUNO_COOKIE": f"{operator.default}-again"})
    for api_key in (BOT, OLD):
        replay = ask(named, api_key, Idempotency_Key="k")
        assert (replay.content, replay.headers.get("Idempotent-Replayed")) == (first.content, "true")
    found = named.get(f"/api/requests/{first.headers['X-Request-ID']}", headers={"X-API-Key": OLD})
    assert found.json()["state"] == "done"
    another = named.get(f"/api/requests/{first.headers['X-Request-ID']}", headers={"X-API-Key": N8N})
    assert_error(another, 404, "not_found")
    assert len(suno.charges(operator.default)) == 1


def test_without_a_ledger_only_callers_with_a_budget_are_refused(
    serve: Callable[..., Client], operator: Operator, suno: Suno
) -> None:
    service = serve(operator.settings | {"LEDGER_URL": "sqlite:////proc/nowhere/ledger.db"})
    assert_error(ask(service, N8N), 503, "ledger_unavailable")
    assert ask(service, BOT).status_code == 200
    assert len(suno.charges(operator.studio)) == 0


def test_the_budget_of_an_account_is_shared_by_its_callers(
    serve: Callable[..., Client], operator: Operator, suno: Suno
) -> None:
    operator.write(more="[accounts.default]\ncredits_per_day = 20")
    service = serve(operator.settings)
    assert ask(service, BOT).status_code == 200
    assert ask(service, N8N, X_Suno_Account="default").status_code == 200
    for refused in (ask(service, BOT), ask(service, N8N, X_Suno_Account="default")):
        assert "account default is 20 credits" in assert_error(refused, 402, "over_budget")["error"]
    assert budget_of(service, N8N)["credits_left"] == 40


def test_downloads_have_their_own_budget(serve: Callable[..., Client], operator: Operator, suno: Suno) -> None:
    operator.write("downloads_per_month = 1")
    service = serve(operator.settings)

    def download(clip: str) -> requests.Response:
        return service.post("/api/download", json={"id": clip, "format": "mp3"}, headers={"X-API-Key": N8N})

    songs = service.get("/api/get", headers={"X-API-Key": N8N}).json()
    one, other = (song["id"] for song in songs[:2])
    assert download(one).json()["counted"] is True
    assert download(one).json()["counted"] is False
    assert budget_of(service, N8N)["downloads_left"] == 0
    body = assert_error(download(other), 402, "over_budget")
    assert "caller n8n is 1 download in any 30 days" in body["error"]


def test_a_file_that_others_can_read_is_logged_at_startup(serve: Callable[..., Client], operator: Operator) -> None:
    operator.file.chmod(0o644)
    (operator.folder / "n8n.key").chmod(0o604)
    logged = serve(operator.settings | {"WEB_CONCURRENCY": "1"}).server.logged()
    assert "callers.toml can be read by others" in logged
    assert "n8n.key can be read by others" in logged
    assert "studio.cookie can be read by others" not in logged


def test_a_key_created_by_the_command_works(serve: Callable[..., Client], operator: Operator) -> None:
    made = CliRunner().invoke(make_caller, ["new-one"]).output
    api_key, table = made.partition("once:")[2].split()[0], made.partition("CALLERS_FILE:")[2]
    assert len(api_key) > 40
    assert api_key not in table
    operator.file.write_text(operator.file.read_text() + table)
    service = serve(operator.settings | {"WEB_CONCURRENCY": "1"})
    assert ask(service, api_key).status_code == 200
    refused = CliRunner().invoke(make_caller, ["a b"])
    assert (refused.exit_code, "A name is 1 to 40" in refused.output) == (2, True)
