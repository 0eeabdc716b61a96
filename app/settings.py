"""The settings of the service, read from the environment.

Only this module reads the environment and, through app/callers.py, the callers file. gunicorn's main process reads
them, and its workers inherit the result: a reload with a wrong file leaves the old settings in force. So this module
loads nothing that gevent has to patch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TypeVar

from environs import Env, EnvError

from app.callers import DEFAULT_ACCOUNT, MIN_KEY_LENGTH, Caller, Callers, OperatorAccount, caller_of_key, hash_of
from app.setting_rows import SettingRows as Rows
from app.setting_types import files_of
from app.suno.endpoint import Endpoint
from app.suno.stems import StemTask
from app.timing import LOST_STEMS_SECONDS, Timing

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings of the service. Times are in seconds."""

    accounts: Mapping[str, OperatorAccount]
    """The operator's accounts by name; `default` is the account of SUNO_COOKIE."""
    callers: tuple[Caller, ...]
    """The callers with API keys. If there are none, everyone who reaches the port may send requests."""
    short_api_keys: int
    """How many keys of API_KEYS are shorter than MIN_KEY_LENGTH."""
    metrics_key_hashes: tuple[str, ...] = field(repr=False)
    """SHA-256 of the keys that open /metrics, in hexadecimal; (): only requests from this machine may read it."""
    secret_files: tuple[Path, ...]
    """Files that other users should not be able to read."""
    prices: Mapping[StemTask, int]
    """Credits that Suno charges for a split."""
    webhook_secrets: tuple[str, ...] = field(repr=False)
    """Secrets that sign webhooks. All of them sign, so that one can be replaced."""
    webhook_hosts: tuple[str, ...]
    """Hosts that webhooks may reach over http and on private addresses: names, `.suffixes`, networks."""
    jobs_url: str = field(repr=False)
    handover_time: float
    """Maximum seconds for which a split waits for a person."""
    audio_url: str
    """Where files are kept: a folder, or s3://bucket/prefix."""
    audio_limit: int
    """Maximum bytes to keep."""
    audio_kept: int
    """Seconds after its last use until a file is removed; 0 means never."""
    audio_fetches: int
    """How many files a jobs process fetches at once."""
    audio_accel: str
    """The internal location of nginx that sends kept files; "" if the service sends them."""
    link_secrets: tuple[str, ...] = field(repr=False)
    """Secrets for signed file addresses: the first one signs, and all of them are accepted."""
    link_lifetime: int
    public_url: str
    """Where callers reach this service; "" means the address that the request was sent to."""
    page_notice: str
    """A sentence at the top of the page; "" for none."""
    suno: Endpoint
    timing: Timing
    ledger_url: str = field(repr=False)
    order_pace: float
    """Seconds between two paid calls of orders for one account."""
    open_orders: int
    """How many open orders a caller may have."""
    waiting_requests: int
    """How many requests of a caller may wait for a person."""
    ledger_must_be_durable: bool
    """Whether requests that rely on the ledger are refused while it may forget what was paid."""
    cors_origins: tuple[str, ...]
    trusted_hosts: tuple[str, ...]
    """In lower case, IPv6 without brackets; a leading dot means all names under it."""
    log_level: str
    log_format: str | None
    host: str
    """The address to listen on, IPv6 without brackets, or `unix:` and a path."""
    port: int
    workers: int
    """Worker processes."""
    body_timeout: float
    """For the whole body of a request."""
    send_timeout: float
    """For a client to read any more of its response."""
    connections_per_address: int
    """Connections per client address that a worker keeps open; no limit on a unix socket, which has no addresses."""

    @property
    def webhook_secrets_by_caller(self) -> Mapping[str, tuple[str, ...]]:
        """Webhook secrets by caller name; "" is for all others."""
        own = {caller.name: caller.webhook_secrets for caller in self.callers if caller.webhook_secrets}
        return {"": self.webhook_secrets, **own}

    @property
    def bind(self) -> str:
        """Where gunicorn listens."""
        if self.host.startswith("unix:"):
            return self.host
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def graceful_timeout(self) -> int:
        """Seconds that a stopping worker has to finish its requests: one in flight may have been paid for.

        A request that waits for its stems checks for the stop once per poll interval. A request that lost Suno's
        answer looks for its stems for LOST_STEMS_SECONDS.
        """
        return math.ceil(self.timing.deadline + self.timing.poll_interval + LOST_STEMS_SECONDS + 5)


def read_settings(env: Env | None = None) -> Settings:
    """Read the environment. Raises environs.EnvError, which names each wrong variable, never a value.

    Pass an `env` to get all variables from its `dump()`.
    """
    env = env or Env(eager=False)
    deadline = Rows.SUNO_DEADLINE.read(env)
    suno_cookie = Rows.SUNO_COOKIE.read(env)
    callers = Rows.CALLERS_FILE.read(env, suno_cookie=suno_cookie)
    if callers is None:
        own = {DEFAULT_ACCOUNT: OperatorAccount(DEFAULT_ACCOUNT, suno_cookie)} if suno_cookie else {}
        callers = Callers(own, (), ())
    of_callers = frozenset(hash for caller in callers.callers for hash in caller.key_hashes)
    api_keys = Rows.API_KEYS.read(env, of_callers=of_callers)
    of_callers |= {hash_of(key.encode()) for key in api_keys}
    ledger_url = Rows.LEDGER_URL.read(env)
    jobs_url = Rows.JOBS_URL.read(env)
    if jobs_url is None:
        in_redis = ledger_url is not None and not ledger_url.startswith("sqlite:")
        jobs_url = ledger_url if in_redis else "sqlite:///instance/jobs.db"
    settings = _read(
        Settings,
        env,
        accounts=callers.accounts,
        callers=(*callers.callers, *map(caller_of_key, api_keys)),
        short_api_keys=sum(len(key) < MIN_KEY_LENGTH for key in api_keys),
        metrics_key_hashes=tuple(hash_of(key.encode()) for key in Rows.METRICS_KEY.read(env, of_callers=of_callers)),
        secret_files=(
            *files_of("SUNO_COOKIE", "API_KEYS", "METRICS_KEY", "WEBHOOK_SECRET", "LINK_SECRET"),
            *callers.files,
        ),
        prices={
            StemTask.TWO: Rows.SUNO_TWO_CREDITS.read(env),
            StemTask.TWELVE: Rows.SUNO_TWELVE_CREDITS.read(env),
        },
        suno=_read(Endpoint, env, "SUNO_", deadline=deadline),
        timing=_read(Timing, env, "SUNO_", deadline=deadline),
        ledger_url=ledger_url,
        ledger_must_be_durable=Rows.LEDGER_DURABLE.read(env) == "require",
        jobs_url=jobs_url,
        webhook_secrets=Rows.WEBHOOK_SECRET.read(env),
        link_secrets=Rows.LINK_SECRET.read(env),
        workers=Rows.WEB_CONCURRENCY.read(env),
    )
    env.seal()
    return settings


def _read(kind: type[T], env: Env, prefix: str = "", **known: object) -> T:
    """Make a dataclass: the other fields have the names of their settings, in lower case and without the prefix."""
    names = [field.name for field in fields(kind) if field.name not in known]  # type: ignore[arg-type]
    return kind(**known, **{name: getattr(Rows, prefix + name.upper()).read(env) for name in names})


@dataclass(slots=True)
class Remembered:
    """What this process, or gunicorn's main process before it, has read."""

    settings: Settings | None = None
    complaint: str = ""
    """Which settings failed at a reload, so that the old ones stay in force; contains no value."""


remembered = Remembered()


def current_settings() -> Settings:
    """The settings that gunicorn's main process has read, otherwise the environment's. Raises EnvError."""
    return remembered.settings or read_settings()


def reread_settings() -> Settings:
    """Read the environment and its files again, and remember the result. If it is wrong, the old one stays in force.

    Raises EnvError if there is no old one.
    """
    try:
        settings, complaint = read_settings(), ""
    except EnvError as error:
        if remembered.settings is None:
            raise
        settings, complaint = remembered.settings, str(error)
    remembered.settings, remembered.complaint = settings, complaint
    return settings
