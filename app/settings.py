"""Every setting with its default and its meaning.

Only this module reads the environment and, through app/callers.py, the callers file. gunicorn's main process reads
them, and its workers inherit the result: a reload with a wrong file leaves the old settings in force. So this module
loads nothing that gevent has to patch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from environs import Env, EnvError
from marshmallow.validate import URL, OneOf, Range, Regexp

from app.callers import DEFAULT_ACCOUNT, MIN_KEY_LENGTH, Caller, Callers, OperatorAccount, caller_of_key, hash_of
from app.setting_types import (
    ApiKeys,
    AudioPlace,
    CallersFile,
    Cookie,
    Hosts,
    HostsAndNetworks,
    LinkSecrets,
    MetricsKeys,
    Origins,
    WebhookSecrets,
    files_of,
)
from app.suno.endpoint import Endpoint, ExtractGroup, StemsRoute
from app.suno.stems import StemTask
from app.timing import LOST_STEMS_SECONDS, MAX_PERSON_WAIT_SECONDS, Timing

# Clerk and Suno expect a browser. Its version becomes outdated, so it is a setting.
USER_AGENT = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36"

STORE_RULE = "It must begin with sqlite:///, or for Redis with redis://, rediss:// or unix://."
DEFAULT_AUDIO_URL = "instance/audio"

ACCEL_RULE = "It must begin and end with a slash: /kept-audio/"


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
    """The address to listen on, or `unix:` and a path."""
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
        return self.host if self.host.startswith("unix:") else f"{self.host}:{self.port}"

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
    env.add_parser_from_field("cookie", Cookie)
    env.add_parser_from_field("api_keys", ApiKeys)
    env.add_parser_from_field("metrics_keys", MetricsKeys)
    env.add_parser_from_field("origins", Origins)
    env.add_parser_from_field("hosts", Hosts)
    env.add_parser_from_field("callers", CallersFile)
    env.add_parser_from_field("secrets", WebhookSecrets)
    env.add_parser_from_field("networks", HostsAndNetworks)
    env.add_parser_from_field("link_secrets", LinkSecrets)
    env.add_parser_from_field("audio", AudioPlace)
    url = URL(schemes={"http", "https"}, require_tld=False)
    seconds = Range(min=0, min_inclusive=False, max=3600)
    text = Regexp(r"[ -~]+\Z", error="It must be printable ASCII.")
    ledger = Regexp(r"sqlite:///.+|(rediss?|unix)://.+", error=STORE_RULE)
    deadline = env.float("SUNO_DEADLINE", 40.0, validate=seconds)
    price = Range(min=0, max=100_000)
    kept = Range(min=0, max=3650 * 86_400)
    suno_cookie = env.cookie("SUNO_COOKIE", None)
    callers = env.callers("CALLERS_FILE", None, suno_cookie=suno_cookie)
    if callers is None:
        own = {DEFAULT_ACCOUNT: OperatorAccount(DEFAULT_ACCOUNT, suno_cookie)} if suno_cookie else {}
        callers = Callers(own, (), ())
    of_callers = frozenset(hash for caller in callers.callers for hash in caller.key_hashes)
    api_keys = env.api_keys("API_KEYS", None, of_callers=of_callers) or ()
    of_callers |= {hash_of(key.encode()) for key in api_keys}
    ledger_url = env.str("LEDGER_URL", "sqlite:///instance/ledger.db", validate=ledger)
    jobs_url = env.str("JOBS_URL", None, validate=ledger)
    if jobs_url is None:
        in_redis = ledger_url is not None and not ledger_url.startswith("sqlite:")
        jobs_url = ledger_url if in_redis else "sqlite:///instance/jobs.db"
    settings = Settings(
        accounts=callers.accounts,
        callers=(*callers.callers, *map(caller_of_key, api_keys)),
        short_api_keys=sum(len(key) < MIN_KEY_LENGTH for key in api_keys),
        metrics_key_hashes=tuple(
            hash_of(key.encode()) for key in env.metrics_keys("METRICS_KEY", None, of_callers=of_callers) or ()
        ),
        secret_files=(
            *files_of("SUNO_COOKIE", "API_KEYS", "METRICS_KEY", "WEBHOOK_SECRET", "LINK_SECRET"),
            *callers.files,
        ),
        prices={
            StemTask.TWO: env.int("SUNO_TWO_CREDITS", StemTask.TWO.credits, validate=price),
            StemTask.TWELVE: env.int("SUNO_TWELVE_CREDITS", StemTask.TWELVE.credits, validate=price),
        },
        suno=Endpoint(
            api_url=env.str("SUNO_API_URL", "https://studio-api-prod.suno.com", validate=url),
            auth_url=env.str("SUNO_AUTH_URL", "https://auth.suno.com", validate=url),
            stems_route=StemsRoute(env.str("SUNO_STEMS_ROUTE", "auto", validate=OneOf(list(StemsRoute))) or "auto"),
            extract_group=ExtractGroup(
                env.str("SUNO_EXTRACT_GROUP", "name", validate=OneOf(list(ExtractGroup))) or "name"
            ),
            stems_model=env.str("SUNO_STEMS_MODEL", "chirp-v3-5-b", validate=text),
            connect_timeout=env.float("SUNO_CONNECT_TIMEOUT", 5.0, validate=seconds),
            read_timeout=env.float("SUNO_READ_TIMEOUT", 30.0, validate=seconds),
            deadline=deadline,
            user_agent=env.str("SUNO_USER_AGENT", USER_AGENT, validate=text),
            clerk_api_version=env.str("SUNO_CLERK_API_VERSION", "2025-11-10", validate=text),
            clerk_js_version=env.str("SUNO_CLERK_JS_VERSION", "5.117.0", validate=text),
        ),
        timing=Timing(
            deadline=deadline,
            wait_timeout=env.float("SUNO_WAIT_TIMEOUT", 90.0, validate=seconds),
            poll_interval=env.float("SUNO_POLL_INTERVAL", 3.0, validate=seconds),
            settle_time=env.float("SUNO_SETTLE_TIME", 60.0, validate=seconds),
        ),
        ledger_url=ledger_url,
        order_pace=env.float("ORDER_PACE", 10.0, validate=Range(min=0, max=3600)),
        open_orders=env.int("OPEN_ORDERS", 20, validate=Range(min=1, max=10_000)),
        waiting_requests=env.int("WAITING_REQUESTS", 100, validate=Range(min=1, max=1_000)),
        ledger_must_be_durable=env.str("LEDGER_DURABLE", "warn", validate=OneOf(["warn", "require"])) == "require",
        jobs_url=jobs_url,
        handover_time=env.float("HANDOVER_TIME", 86_400.0, validate=Range(min=1, max=MAX_PERSON_WAIT_SECONDS)),
        webhook_secrets=env.secrets("WEBHOOK_SECRET", None) or (),
        webhook_hosts=env.networks("WEBHOOK_HOSTS", None) or (),
        audio_url=env.audio("AUDIO_URL", DEFAULT_AUDIO_URL),
        audio_limit=env.int("AUDIO_LIMIT", 20_000_000_000, validate=Range(min=1)),
        audio_kept=env.int("AUDIO_KEPT", 7_776_000, validate=kept),
        audio_fetches=env.int("AUDIO_FETCHES", 4, validate=Range(min=1, max=100)),
        audio_accel=env.str("AUDIO_ACCEL", None, validate=Regexp(r"(/[A-Za-z0-9/_-]*/)?\Z", error=ACCEL_RULE)) or "",
        link_secrets=env.link_secrets("LINK_SECRET", None) or (),
        link_lifetime=env.int("LINK_LIFETIME", 86_400, validate=Range(min=1, max=365 * 86_400)),
        public_url=env.str("PUBLIC_URL", None, validate=lambda value: value == "" or url(value)) or "",
        cors_origins=env.origins("CORS_ORIGINS", None) or (),
        trusted_hosts=env.hosts("TRUSTED_HOSTS", None) or (),
        page_notice=env.str("PAGE_NOTICE", ""),
        log_level=env.str("LOG_LEVEL", "INFO", validate=OneOf(["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"])),
        log_format=env.str("LOG_FORMAT", None, validate=OneOf(["json", "text"])),
        host=env.str("HOST", "127.0.0.1"),
        port=env.int("PORT", 3000, validate=Range(min=1, max=65_535)),
        workers=env.int("WEB_CONCURRENCY", 2, validate=Range(min=1, max=1_000)),
        body_timeout=env.float("BODY_TIMEOUT", 15.0, validate=seconds),
        send_timeout=env.float("SEND_TIMEOUT", 30.0, validate=seconds),
        connections_per_address=env.int("CONNECTIONS_PER_ADDRESS", 900, validate=Range(min=1, max=1_000)),
    )
    env.seal()
    return settings


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


MEANINGS: dict[str, dict[str, str]] = {
    "The Suno account": {
        "SUNO_COOKIE": "The account that pays, if a request names no other: a Cookie header, its bare `__client` "
        "value, or `@` and the path of a file with either. Unset: only requests that bring a cookie are served.",
        "CALLERS_FILE": "A TOML file with the callers: their API keys, accounts and budgets. See [Access and "
        "budgets](access.md).",
    },
    "Access": {
        "API_KEYS": "Comma-separated API keys, or `@` and the path of a file with one per line. With keys here "
        "or in `CALLERS_FILE`, every call under `/api/` needs one, as `Authorization: Bearer <key>` or "
        "`X-API-Key: <key>`. Use 16 characters or more; 2.0 will refuse shorter ones.",
        "METRICS_KEY": "The key that `/metrics` requires, as `Authorization: Bearer <key>` or `X-API-Key: <key>`: at "
        "least 16 characters; comma-separated while you change it; or `@` and the path of a file. Unset: only "
        "requests from the service's own machine, without a proxy, may read `/metrics`. An API key never opens it.",
        "TRUSTED_HOSTS": "The names that are accepted in `Host`, comma-separated, without port; `.example.com` means "
        "every name under it. Unset: loopback names if `HOST` is loopback, otherwise any name.",
        "CORS_ORIGINS": "Other web pages that may send requests: comma-separated origins such as "
        "`https://app.example.com`, or `*` for any. Unset: none.",
    },
    "Network": {
        "HOST": "The address to listen on, or `unix:` and the path of a socket. Anyone who can reach it can spend "
        "the account's credits, unless there are API keys: in `API_KEYS` or `CALLERS_FILE`.",
        "PORT": "The port to listen on.",
        "WEB_CONCURRENCY": "Worker processes. Each signs in at Suno separately.",
        "BODY_TIMEOUT": "Seconds for a client to send the body of its request.",
        "SEND_TIMEOUT": "Seconds without progress before the connection of a client that does not read its reply is "
        "closed.",
        "CONNECTIONS_PER_ADDRESS": "Connections per client address that a worker keeps open. With more, the oldest "
        "idle one is closed. Behind a TCP proxy all clients have its address; on a unix socket there is no limit.",
        "GUNICORN_CMD_ARGS": "Other gunicorn settings, as on its command line.",
    },
    "The ledger": {
        "LEDGER_URL": "Where the ledger is: a SQLite file (`sqlite:///` and a path; four slashes for an absolute "
        "path), or Redis (`redis://…`, `rediss://…`, `unix://…`) for several machines.",
        "LEDGER_DURABLE": "What to do if Redis may forget the [ledger](paid-once.md#the-ledger): `warn`, or "
        "`require`, which refuses requests with a key, a budget or a webhook until Redis keeps its data.",
        "SUNO_TWO_CREDITS": "How many credits a split into two stems counts as, for budgets, orders and the page. "
        "What Suno charges does not depend on it: [find the price](suno.md#the-price-of-a-split).",
        "SUNO_TWELVE_CREDITS": "The same for a split into every instrument.",
    },
    "Orders": {
        "ORDER_PACE": "Seconds between two paid calls of [orders](orders.md) for one account.",
        "OPEN_ORDERS": "How many orders of a caller may be running or paused.",
    },
    "Webhooks": {
        "WEBHOOK_SECRET": "The secret that signs webhooks: `whsec_…`; comma-separated while you change it; or `@` "
        "and the path of a file. Unset: no webhooks.",
        "WEBHOOK_HOSTS": "Hosts that webhooks may reach over http and on private addresses: names (`n8n`), suffixes "
        "(`.internal`), networks (`10.0.0.0/8`; only for addresses, not for names that resolve into it).",
        "HANDOVER_TIME": 'Seconds for which a split with `on_captcha: "wait"` waits for a person; at most two days. '
        "See [Captchas](captcha.md).",
        "WAITING_REQUESTS": "How many requests of a caller may wait for a person at the same time.",
        "JOBS_URL": "The queue of the jobs process: `sqlite:///…`, or Redis as in `LEDGER_URL`. Unset: the ledger's "
        "Redis, otherwise `sqlite:///instance/jobs.db`.",
    },
    "Kept audio": {
        "AUDIO_URL": "Where audio is kept: a folder (a path or `file:///…`), or a bucket (`s3://bucket/prefix`).",
        "AUDIO_LIMIT": "Maximum bytes of audio to keep. The least recently used files are removed.",
        "AUDIO_KEPT": "Seconds after its last use until a file is removed. `0`: never.",
        "AUDIO_FETCHES": "Files that a jobs process fetches at once.",
        "AUDIO_ACCEL": "The internal location of nginx that sends kept files, such as `/kept-audio/`. Unset: the "
        "service sends them.",
        "LINK_SECRET": "The secret that signs file addresses: at least 32 characters (`openssl rand -hex 32`); "
        "comma-separated while you change it, the new one first; or `@` and the path of a file. Unset: addresses are "
        "plain and need the API key.",
        "LINK_LIFETIME": "Seconds for which a signed address is valid.",
        "PAGE_NOTICE": "A sentence at the top of the page for all who use it, such as when the service is down next.",
        "PUBLIC_URL": "The service's address for clients, such as `https://stems.example.com` or "
        "`https://example.com/stems`: file addresses begin with it, and the spec names it. Unset: the address that "
        "the request was sent to.",
    },
    "Calls to Suno": {
        "SUNO_API_URL": "Suno's studio API.",
        "SUNO_AUTH_URL": "Suno's sign-in.",
        "SUNO_STEMS_ROUTE": "Which call makes voice and music: `edit` (one call, no captcha; no longer used by "
        "Suno's own page), `v2-web` (what the page sends), or `auto`: `edit` while Suno accepts it. All other splits "
        "use `v2-web`.",
        "SUNO_EXTRACT_GROUP": "What `v2-web` sends as the group of a single part: its `name` or its `group`. If Suno "
        "refuses one as malformed, the other is tried.",
        "SUNO_STEMS_MODEL": "The model that `v2-web` sends to Suno.",
        "SUNO_CONNECT_TIMEOUT": "Seconds for one attempt to connect. A failed attempt is retried twice.",
        "SUNO_READ_TIMEOUT": "Maximum seconds of silence between two bytes of a reply.",
        "SUNO_DEADLINE": "Seconds for all of a request's calls to Suno, including sign-in.",
        "SUNO_WAIT_TIMEOUT": "Seconds until the reply to a request with `wait_audio` or `wait`: then it has "
        "the stems as they are. Cloudflare ends a request after 100 s, Heroku after 30 s.",
        "SUNO_POLL_INTERVAL": "Seconds between two polls of stems that are not final.",
        "SUNO_SETTLE_TIME": "Seconds in which lost stems may still appear, after a paid call without a reply. A "
        "retry with the same key pays again only after that.",
        "SUNO_USER_AGENT": "The `User-Agent` sent to Suno. Unset: a recent Chrome.",
        "SUNO_CLERK_API_VERSION": "The Clerk API version that Suno's page sends at sign-in. It becomes outdated.",
        "SUNO_CLERK_JS_VERSION": "The Clerk JS version that Suno's page sends at sign-in.",
        "HTTPS_PROXY": "A proxy for calls to Suno, downloads and webhooks. `HTTP_PROXY` and `ALL_PROXY` work too. It "
        "resolves the names.",
        "NO_PROXY": "Hosts to reach without the proxy.",
        "REQUESTS_CA_BUNDLE": "A file of CA certificates to trust instead of the default ones.",
    },
    "The log": {
        "LOG_LEVEL": "`DEBUG`, `INFO`, `WARNING`, `ERROR` or `CRITICAL`.",
        "LOG_FORMAT": "`json` or `text`. Unset: text on a terminal, else JSON.",
    },
}
"""The meaning of each variable, by subject; `make reference` generates docs/settings.md from it."""
