"""Named callers with their own accounts and budgets, over real sockets and with both kinds of ledger."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests
from click.testing import CliRunner

from app.callers import hash_of
from app.web.caller import make_caller
from tests import stack
from tests.asserts import assert_error
from tests.conftest import NUMBERS, SONG, Client, Suno, until
from tests.deploy.conftest import workers
from tests.in_process import InProcess
from tests.splits.conftest import redis_url as redis_url


def new_account() -> str:
    return f"sandbox-load-{next(NUMBERS)}"


@dataclass(frozen=True)
class Callers:
    """The callers n8n and bot, with an account studio for n8n: for one test only, so their names end in a number."""

    limits: str = "credits_per_day = 50"
    """The limits of n8n."""
    shared_limit: str = ""
    """A limit of the account studio, which bot then uses too."""
    number: int = field(default_factory=lambda: next(NUMBERS))
    studio_cookie: str = field(default_factory=new_account)
    own_cookie: str = field(default_factory=new_account)
    """The cookie of an account that is none of the operator's."""

    @property
    def n8n(self) -> str:
        return f"n8n-{self.number}"

    @property
    def bot(self) -> str:
        return f"bot-{self.number}"

    @property
    def studio(self) -> str:
        return f"studio-{self.number}"

    @property
    def n8n_key(self) -> str:
        return f"{self.n8n}-{'k' * 20}"

    @property
    def bot_key(self) -> str:
        return f"{self.bot}-{'k' * 20}"

    @property
    def old_key(self) -> str:
        """The other key of bot."""
        return f"old-{self.bot_key}"

    def write_secrets(self, folder: Path) -> None:
        for name, text in {f"{self.studio}.cookie": self.studio_cookie, f"{self.n8n}.key": self.n8n_key}.items():
            (folder / name).write_text(text)
            (folder / name).chmod(0o600)

    def tables(self, more: str = "") -> str:
        """The tables of the file, with `more` in that of bot, which comes last."""
        return f"""
            [accounts.{self.studio}]
            cookie = "@{self.studio}.cookie"
            {self.shared_limit}

            [callers.{self.n8n}]
            api_key = "@{self.n8n}.key"
            accounts = ["{self.studio}", "default"]
            own_cookie = false
            {self.limits}

            [callers.{self.bot}]
            api_key_sha256 = ["{hash_of(self.bot_key.encode())}", "{hash_of(self.old_key.encode())}"]
            tasks = ["two"]
            {f'accounts = ["{self.studio}"]' if self.shared_limit else ""}
            {more}
            """


class Operator:
    """A callers file, and the settings of a service that reads it."""

    def __init__(self, folder: Path, *callers: Callers) -> None:
        self.folder = folder
        self.default = new_account()
        self.file = folder / "callers.toml"
        for one in callers:
            one.write_secrets(folder)
        self.write(*(one.tables() for one in callers))

    def write(self, *tables: str) -> None:
        self.file.write_text("\n".join(tables))
        self.file.chmod(0o600)

    @property
    def settings(self) -> dict[str, str]:
        return {"CALLERS_FILE": str(self.file), "SUNO_COOKIE": self.default}


@pytest.fixture
def callers() -> Callers:
    return Callers()


@pytest.fixture
def operator(tmp_path: Path, callers: Callers) -> Operator:
    """The operator of a service for one test."""
    return Operator(tmp_path, callers)


@pytest.fixture(params=["sqlite", "redis"])
def ledger(request: pytest.FixtureRequest) -> dict[str, str]:
    return {} if request.param == "sqlite" else {"LEDGER_URL": request.getfixturevalue("redis_url")}


@pytest.fixture
def serve(suno: Suno) -> Iterator[Callable[..., Client]]:
    with ExitStack() as servers:
        yield lambda settings: Client(servers.enter_context(stack.service(suno.url, settings)))


@dataclass(frozen=True)
class Deployment:
    """A service with two workers, and the callers of each test. Only the account `default` is common to all."""

    operator: Operator
    callers: dict[str, Callers]
    made: str
    """What `flask caller` printed; its table is in the file."""
    settings: dict[str, str]
    service: Client


@contextmanager
def deployment_with(suno: Suno, folder: Path, ledger: dict[str, str]) -> Iterator[Deployment]:
    callers = {
        **{test: Callers() for test in ("accounts", "budget", "workers", "instances")},
        "reuse": Callers("credits_per_day = 20"),
        "shared": Callers("credits_per_day = 100", "credits_per_day = 20"),
        "downloads": Callers("downloads_per_month = 1"),
    }
    operator = Operator(folder, *callers.values())
    made = CliRunner().invoke(make_caller, ["new-one"]).output
    # All tests together spend less of it, and a split into twelve costs more.
    limit = "[accounts.default]\ncredits_per_day = 45\n"
    operator.write(limit, *(one.tables() for one in callers.values()), made.partition("CALLERS_FILE:")[2])
    operator.file.chmod(0o644)
    (folder / f"{callers['accounts'].n8n}.key").chmod(0o604)
    settings = operator.settings | ledger
    with stack.service(suno.url, settings) as server:
        yield Deployment(operator, callers, made, settings, Client(server))


@pytest.fixture(scope="module")
def with_sqlite(suno: Suno, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    with deployment_with(suno, tmp_path_factory.mktemp("sqlite"), {}) as deployment:
        yield deployment


@pytest.fixture(scope="module")
def with_redis(suno: Suno, tmp_path_factory: pytest.TempPathFactory, redis_url: str) -> Iterator[Deployment]:
    with deployment_with(suno, tmp_path_factory.mktemp("redis"), {"LEDGER_URL": redis_url}) as deployment:
        yield deployment


@pytest.fixture(params=["sqlite", "redis"])
def deployment(request: pytest.FixtureRequest) -> Deployment:
    """The service with each kind of ledger."""
    deployed: Deployment = request.getfixturevalue(f"with_{request.param}")
    return deployed


def ask(service: Client, api_key: str, song: str = SONG, *, json: dict[str, Any] | None = None, **headers: str):
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    body = {"audio_id": song, **(json or {})}
    return service.post("/api/generate_stems", json=body, headers={"X-API-Key": api_key, **names})


def budget_of(service: Client, api_key: str) -> dict[str, Any]:
    return service.get("/api/get_limit", headers={"X-API-Key": api_key}).json()["budget"]


def test_a_caller_can_use_only_its_accounts(with_sqlite: Deployment, suno: Suno) -> None:
    service, callers, default = with_sqlite.service, with_sqlite.callers["accounts"], with_sqlite.operator.default
    before = len(suno.charges(default))
    assert ask(service, callers.n8n_key).status_code == 200
    assert ask(service, callers.n8n_key, X_Suno_Account="default").status_code == 200
    assert ask(service, callers.bot_key).status_code == 200
    assert (len(suno.charges(callers.studio_cookie)), len(suno.charges(default)) - before) == (1, 2)

    foreign = assert_error(ask(service, callers.bot_key, X_Suno_Account=callers.studio), 403, "not_allowed")
    nowhere = assert_error(ask(service, callers.bot_key, X_Suno_Account="nowhere"), 403, "not_allowed")
    assert foreign["error"] == nowhere["error"]
    own = assert_error(ask(service, callers.n8n_key, X_Suno_Cookie=callers.own_cookie), 403, "not_allowed")
    assert "X-Suno-Account" in own["error"]
    assert_error(ask(service, callers.n8n_key, Cookie=f"__client={callers.own_cookie}"), 403, "not_allowed")
    assert ask(service, callers.bot_key, X_Suno_Cookie=callers.own_cookie).status_code == 200
    assert len(suno.charges(callers.own_cookie)) == 1
    assert_error(ask(service, callers.bot_key, json={"stem_task": "twelve"}), 403, "not_allowed")
    assert_error(ask(service, "nobody" * 4), 401, "api_key_required")

    lines = [line for line in service.server.logged().splitlines() if "generate_stems 200" in line]
    lines = [line for line in lines if f'"caller": "{callers.n8n}"' in line or f'"caller": "{callers.bot}"' in line]
    assert f'"account": "{callers.studio}", "caller": "{callers.n8n}"' in lines[0]
    assert f'"account": "default", "caller": "{callers.bot}"' in lines[2]
    for secret in (callers.n8n_key, callers.bot_key, callers.studio_cookie, callers.own_cookie):
        assert not re.search(rf"{secret}\b", service.server.logged())


def test_an_exceeded_budget_is_refused_before_suno_is_called_and_says_when_to_retry(
    deployment: Deployment, suno: Suno
) -> None:
    service, callers = deployment.service, deployment.callers["budget"]
    n8n = callers.n8n_key
    assert budget_of(service, n8n) == {"credits_per_day": 50, "credits_left": 50, "more_credits_in": None}
    first = ask(service, n8n, Idempotency_Key="k")
    assert_error(ask(service, n8n, "fault-404"), 404, "song_not_found")
    assert budget_of(service, n8n)["credits_left"] == 40
    suno.forget()
    over = ask(service, n8n, json={"stem_task": "twelve"})
    body = assert_error(over, 402, "over_budget")
    assert (
        f"caller {callers.n8n} is 50 credits in any 24 hours. Of that, 40 are left, and this counts as 50"
        in body["error"]
    )
    assert 86_300 < int(over.headers["Retry-After"]) <= 86_400 + 1800
    assert suno.log() == []

    for _ in range(4):
        assert ask(service, n8n).status_code == 200
    assert_error(ask(service, n8n), 402, "over_budget")
    assert ask(service, n8n, Idempotency_Key="k").content == first.content
    assert len(suno.charges(callers.studio_cookie)) == 5
    assert ask(service, callers.bot_key).status_code == 200
    assert "budget" not in service.get("/api/get_limit", headers={"X-API-Key": callers.bot_key}).json()

    metrics = service.get("/metrics").text
    spent = f'account="{callers.studio}",caller="{callers.n8n}",task="two"'
    assert f"suno_stems_credits_spent_total{{{spent}}} 50.0" in metrics
    assert f'suno_stems_budget_left{{caller="{callers.n8n}"}} 0.0' in metrics
    assert f'suno_stems_budget_limit{{caller="{callers.n8n}"}} 50.0' in metrics


def test_existing_stems_are_reused_even_if_the_budget_is_spent(with_sqlite: Deployment, suno: Suno) -> None:
    service, callers = with_sqlite.service, with_sqlite.callers["reuse"]
    song, n8n = SONG, callers.n8n_key
    stems = ask(service, n8n, json={"wait_audio": True})
    reused = ask(service, n8n, song, json={"reuse_existing": True})
    assert {stem["id"] for stem in reused.json()} == {stem["id"] for stem in stems.json()}
    assert budget_of(service, n8n)["credits_left"] == 10
    assert ask(service, n8n).status_code == 200
    headers = {"Idempotency_Key": "again"}
    reused = ask(service, n8n, song, json={"reuse_existing": True}, **headers)
    assert (reused.status_code, len(reused.json())) == (200, 2)
    assert ask(service, n8n, song, json={"reuse_existing": True}, **headers).headers["Idempotent-Replayed"] == "true"
    assert_error(ask(service, n8n, "fault-hang", json={"reuse_existing": True}), 402, "over_budget")
    assert len(suno.charges(callers.studio_cookie)) == 2


def test_64_concurrent_requests_on_two_workers_spend_exactly_the_budget(deployment: Deployment, suno: Suno) -> None:
    callers = deployment.callers["workers"]
    with ThreadPoolExecutor(64) as pool:
        statuses = list(pool.map(lambda _: ask(deployment.service, callers.n8n_key).status_code, range(64)))
    assert (statuses.count(200), statuses.count(402)) == (5, 59)
    assert len(suno.charges(callers.studio_cookie)) == 5


def test_64_concurrent_requests_on_two_instances_spend_exactly_the_budget(
    serve: Callable[..., Client], with_redis: Deployment, suno: Suno
) -> None:
    callers = with_redis.callers["instances"]
    instances = [with_redis.service, serve(with_redis.settings)]
    with ThreadPoolExecutor(64) as pool:
        statuses = list(pool.map(lambda n: ask(instances[n % 2], callers.n8n_key).status_code, range(64)))
    assert (statuses.count(200), statuses.count(402)) == (5, 59)
    assert len(suno.charges(callers.studio_cookie)) == 5


def test_a_killed_worker_never_lets_requests_exceed_the_budget(
    serve: Callable[..., Client], operator: Operator, callers: Callers, suno: Suno, ledger: dict[str, str]
) -> None:
    service = serve(operator.settings | ledger | {"SUNO_SETTLE_TIME": "0.5", "SUNO_DEADLINE": "3"})

    def send(number: int) -> int:
        try:
            return ask(service, callers.n8n_key, "fault-hang").status_code
        except requests.RequestException:
            return 0

    with ThreadPoolExecutor(64) as pool:
        sent = [pool.submit(send, number) for number in range(64)]
        until(lambda: suno.charges(callers.studio_cookie))
        assert not all(one.done() for one in sent)
        os.kill(min(workers(service.server.process.pid)), signal.SIGKILL)
        statuses = [one.result() for one in sent]
    assert set(statuses) <= {0, 200, 402, 503}
    assert {ask(service, callers.n8n_key).status_code for _ in range(10)} <= {200, 402}
    assert len(suno.charges(callers.studio_cookie)) <= 5


def test_a_reload_removes_a_caller_and_a_wrong_file_changes_nothing(
    serve: Callable[..., Client], operator: Operator, callers: Callers
) -> None:
    service = serve(operator.settings | {"WEB_CONCURRENCY": "1"})
    assert ask(service, callers.old_key).status_code == 200
    operator.write(callers.tables('accounts = ["nowhere"]'))
    reload(service)
    checks = service.get("/readyz").json()["checks"]
    assert f"callers.{callers.bot}.accounts: there is no account 'nowhere'" in checks["settings"]
    assert "suno_stems_settings_stale 1.0" in service.get("/metrics").text
    assert ask(service, callers.old_key).status_code == 200

    operator.write(callers.tables().partition(f"[callers.{callers.bot}]")[0])
    reload(service)
    assert_error(ask(service, callers.old_key), 401, "api_key_required")
    assert ask(service, callers.n8n_key).status_code == 200


def reload(service: Client) -> None:
    old = workers(service.server.process.pid)
    service.server.process.send_signal(signal.SIGHUP)
    until(lambda: not old & workers(service.server.process.pid))
    assert service.server.process.poll() is None


def test_idempotency_keys_survive_a_changed_api_key_and_a_changed_cookie(
    serve: Callable[..., Client], operator: Operator, callers: Callers, suno: Suno, tmp_path: Path
) -> None:
    kept = {"LEDGER_URL": f"sqlite:///{tmp_path}/ledger.db", "WEB_CONCURRENCY": "1"}
    unnamed = serve(kept | {"SUNO_COOKIE": operator.default, "API_KEYS": callers.bot_key})
    first = ask(unnamed, callers.bot_key, Idempotency_Key="k")
    unnamed.server.process.send_signal(signal.SIGTERM)
    unnamed.server.process.wait()
    named = serve(kept | operator.settings | {"SUNO_COOKIE": f"{operator.default}-again"})
    for api_key in (callers.bot_key, callers.old_key):
        replay = ask(named, api_key, Idempotency_Key="k")
        assert (replay.content, replay.headers.get("Idempotent-Replayed")) == (first.content, "true")
    request_id = first.headers["X-Request-ID"]
    found = named.get(f"/api/requests/{request_id}", headers={"X-API-Key": callers.old_key})
    assert found.json()["state"] == "done"
    another = named.get(f"/api/requests/{request_id}", headers={"X-API-Key": callers.n8n_key})
    assert_error(another, 404, "not_found")
    later = ask(named, callers.bot_key, Idempotency_Key="later", song="song-4-stems").headers["X-Request-ID"]
    its = named.get("/api/requests", headers={"X-API-Key": callers.bot_key}).json()
    assert [split["request_id"] for split in its] == [later, request_id]
    assert named.get("/api/requests", headers={"X-API-Key": callers.n8n_key}).json() == []
    own = {"X-API-Key": callers.bot_key, "X-Suno-Cookie": callers.own_cookie}
    assert named.get("/api/requests", headers=own).json() == []
    assert len(suno.charges(operator.default, SONG)) == 1


def test_without_a_ledger_only_callers_with_a_budget_are_refused(
    in_process: Callable[..., InProcess], operator: Operator, callers: Callers, suno: Suno
) -> None:
    service = in_process(**operator.settings, LEDGER_URL="sqlite:////proc/nowhere/ledger.db")
    assert_error(ask(service, callers.n8n_key), 503, "ledger_unavailable")
    assert ask(service, callers.bot_key).status_code == 200
    assert len(suno.charges(callers.studio_cookie)) == 0


def test_the_budget_of_an_account_is_shared_by_its_callers(with_sqlite: Deployment) -> None:
    service, callers = with_sqlite.service, with_sqlite.callers["shared"]
    assert ask(service, callers.bot_key).status_code == 200
    assert ask(service, callers.n8n_key).status_code == 200
    for refused in (ask(service, callers.bot_key), ask(service, callers.n8n_key)):
        assert f"account {callers.studio} is 20 credits" in assert_error(refused, 402, "over_budget")["error"]
    assert budget_of(service, callers.n8n_key)["credits_left"] == 90
    refused = ask(service, callers.n8n_key, json={"stem_task": "twelve"}, X_Suno_Account="default")
    assert "account default is 45 credits" in assert_error(refused, 402, "over_budget")["error"]


def test_downloads_have_their_own_budget(with_sqlite: Deployment) -> None:
    service, callers = with_sqlite.service, with_sqlite.callers["downloads"]
    key = {"X-API-Key": callers.n8n_key}

    def download(clip: str) -> requests.Response:
        return service.post("/api/download", json={"id": clip, "format": "mp3"}, headers=key)

    songs = service.get("/api/get", headers=key).json()
    one, other = (song["id"] for song in songs[:2])
    assert download(one).json()["counted"] is True
    assert download(one).json()["counted"] is False
    assert budget_of(service, callers.n8n_key)["downloads_left"] == 0
    body = assert_error(download(other), 402, "over_budget")
    assert f"caller {callers.n8n} is 1 download in any 30 days" in body["error"]


def test_a_file_that_others_can_read_is_logged_at_startup(with_sqlite: Deployment) -> None:
    logged = with_sqlite.service.server.logged()
    assert "callers.toml can be read by others" in logged
    assert f"{with_sqlite.callers['accounts'].n8n}.key can be read by others" in logged
    assert f"{with_sqlite.callers['budget'].n8n}.key can be read by others" not in logged
    assert ".cookie can be read by others" not in logged


def test_a_key_created_by_the_command_works(with_sqlite: Deployment) -> None:
    api_key, table = (with_sqlite.made.partition(words)[2] for words in ("once:", "CALLERS_FILE:"))
    api_key = api_key.split()[0]
    assert len(api_key) > 40
    assert api_key not in table
    assert ask(with_sqlite.service, api_key).status_code == 200
    refused = CliRunner().invoke(make_caller, ["a b"])
    assert (refused.exit_code, "A name is 1 to 40" in refused.output) == (2, True)
