"""Every setting: one row each, with its name, how it is read, its default and its meaning."""

from __future__ import annotations

from app.callers import Callers
from app.setting_types import (
    ApiKeys,
    AudioPlace,
    CallersFile,
    Cookie,
    Hosts,
    HostsAndNetworks,
    LinkSecrets,
    ListenAddress,
    MetricsKeys,
    Origins,
    Setting,
    WebhookSecrets,
    matching,
    member,
    number,
    of_field,
    one_of,
    read_elsewhere,
    text,
    url,
    url_or_none,
    values,
    whole,
)
from app.suno.endpoint import ExtractGroup, StemsRoute
from app.suno.stems import StemTask
from app.timing import MAX_PERSON_WAIT_SECONDS

# Clerk and Suno expect a browser. Its version becomes outdated, so it is a setting.
BROWSER = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36"

DEFAULT_AUDIO_URL = "instance/audio"

SECONDS = number(0, 3600, includes_lowest=False)
ASCII = matching(r"[ -~]+\Z", "It must be printable ASCII.")
STORE = matching(
    r"sqlite:///.+|(rediss?|unix)://.+",
    "It must begin with sqlite:///, or for Redis with redis://, rediss:// or unix://.",
)
LOCATION = matching(r"(/[A-Za-z0-9/_-]*/)?\Z", "It must begin and end with a slash: /kept-audio/")


class _SunoAccount:
    GROUP = "The Suno account"

    SUNO_COOKIE: Setting[str | None] = Setting(
        of_field(Cookie),
        None,
        "The account that pays, if a request names no other: a Cookie header, its bare `__client` "
        "value, or `@` and the path of a file with either. Unset: only requests that bring a cookie are served.",
        is_usual=True,
    )
    CALLERS_FILE: Setting[Callers | None] = Setting(
        of_field(CallersFile),
        None,
        "A TOML file with the callers: their API keys, accounts and budgets. See [Callers and budgets](budgets.md).",
        is_usual=True,
    )


class _Access:
    GROUP = "Access"

    API_KEYS: Setting[tuple[str, ...]] = Setting(
        values(ApiKeys),
        (),
        "Comma-separated API keys, or `@` and the path of a file with one per line. With keys here "
        "or in `CALLERS_FILE`, every call under `/api/` needs one, as `Authorization: Bearer <key>` or "
        "`X-API-Key: <key>`. Use 16 characters or more; 2.0 will refuse shorter ones.",
        is_usual=True,
    )
    METRICS_KEY: Setting[tuple[str, ...]] = Setting(
        values(MetricsKeys),
        (),
        "The key that `/metrics` requires, as `Authorization: Bearer <key>` or `X-API-Key: <key>`: at "
        "least 16 characters; comma-separated while you change it; or `@` and the path of a file. Unset: only "
        "requests from the service's own machine, without a proxy, may read `/metrics`. An API key never opens it.",
        is_usual=True,
    )
    TRUSTED_HOSTS: Setting[tuple[str, ...]] = Setting(
        values(Hosts),
        (),
        "The names that are accepted in `Host`, comma-separated, without port; `.example.com` means "
        "every name under it. Unset: loopback names if `HOST` is loopback, otherwise any name.",
        is_usual=True,
    )
    CORS_ORIGINS: Setting[tuple[str, ...]] = Setting(
        values(Origins),
        (),
        "Other web pages that may send requests: comma-separated origins such as "
        "`https://app.example.com`, or `*` for any. Unset: none.",
    )


class _Network:
    GROUP = "Network"

    HOST = Setting(
        of_field(ListenAddress),
        "127.0.0.1",
        "The address to listen on, or `unix:` and the path of a socket. Anyone who can reach it can spend "
        "the account's credits, unless there are API keys: in `API_KEYS` or `CALLERS_FILE`.",
        is_usual=True,
    )
    PORT = Setting(whole(1, 65_535), 3000, "The port to listen on.", is_usual=True)
    WEB_CONCURRENCY = Setting(
        whole(1, 1_000), 2, "Worker processes. Each signs in at Suno separately.", is_usual=True
    )
    BODY_TIMEOUT = Setting(SECONDS, 15.0, "Seconds for a client to send the body of its request.")
    SEND_TIMEOUT = Setting(
        SECONDS,
        30.0,
        "Seconds without progress before the connection of a client that does not read its reply is closed.",
    )
    CONNECTIONS_PER_ADDRESS = Setting(
        whole(1, 1_000),
        900,
        "Connections per client address that a worker keeps open. With more, the oldest "
        "idle one is closed. Behind a TCP proxy all clients have its address; on a unix socket there is no limit.",
    )
    GUNICORN_CMD_ARGS = Setting(read_elsewhere, "", "Other gunicorn settings, as on its command line.")


class _Ledger:
    GROUP = "The ledger"

    LEDGER_URL = Setting(
        STORE,
        "sqlite:///instance/ledger.db",
        "Where the ledger is: a SQLite file (`sqlite:///` and a path; four slashes for an absolute "
        "path), or Redis (`redis://…`, `rediss://…`, `unix://…`) for several machines.",
        is_usual=True,
    )
    LEDGER_DURABLE = Setting(
        one_of("warn", "require"),
        "warn",
        "What to do if Redis may forget the [ledger](ledger.md#what-it-keeps): `warn`, or "
        "`require`, which refuses requests with a key, a budget or a webhook until Redis keeps its data.",
    )
    SUNO_TWO_CREDITS = Setting(
        whole(0, 100_000),
        StemTask.TWO.credits,
        "How many credits a split into two stems counts as, for budgets, orders and the page. "
        "What Suno charges does not depend on it: [find the price](suno.md#the-price-of-a-split).",
    )
    SUNO_TWELVE_CREDITS = Setting(
        whole(0, 100_000), StemTask.TWELVE.credits, "The same for a split into every instrument."
    )


class _Orders:
    GROUP = "Orders"

    ORDER_PACE = Setting(
        number(0, 3600), 10.0, "Seconds between two paid calls of [orders](orders.md) for one account."
    )
    OPEN_ORDERS = Setting(whole(1, 10_000), 20, "How many orders of a caller may be running or paused.")


class _Webhooks:
    GROUP = "Webhooks"

    WEBHOOK_SECRET: Setting[tuple[str, ...]] = Setting(
        values(WebhookSecrets),
        (),
        "The secret that signs webhooks: `whsec_…`; comma-separated while you change it; or `@` "
        "and the path of a file. Unset: no webhooks.",
        is_usual=True,
    )
    WEBHOOK_HOSTS: Setting[tuple[str, ...]] = Setting(
        values(HostsAndNetworks),
        (),
        "Hosts that webhooks may reach over http and on private addresses: names (`n8n`), suffixes "
        "(`.internal`), networks (`10.0.0.0/8`; only for addresses, not for names that resolve into it).",
    )
    HANDOVER_TIME = Setting(
        number(1, MAX_PERSON_WAIT_SECONDS),
        86_400.0,
        'Seconds for which a split with `on_captcha: "wait"` waits for a person; at most two days. '
        "See [Captchas](captcha.md).",
    )
    WAITING_REQUESTS = Setting(
        whole(1, 1_000), 100, "How many requests of a caller may wait for a person at the same time."
    )
    JOBS_URL: Setting[str | None] = Setting(
        STORE,
        None,
        "The queue of the jobs process: `sqlite:///…`, or Redis as in `LEDGER_URL`. Unset: the ledger's "
        "Redis, otherwise `sqlite:///instance/jobs.db`.",
    )


class _KeptAudio:
    GROUP = "Kept audio"

    AUDIO_URL = Setting(
        of_field(AudioPlace),
        DEFAULT_AUDIO_URL,
        "Where audio is kept: a folder (a path or `file:///…`), or a bucket (`s3://bucket/prefix`).",
        is_usual=True,
    )
    AUDIO_LIMIT = Setting(
        whole(1, None), 20_000_000_000, "Maximum bytes of audio to keep. The least recently used files are removed."
    )
    AUDIO_KEPT = Setting(
        whole(0, 3650 * 86_400), 7_776_000, "Seconds after its last use until a file is removed. `0`: never."
    )
    AUDIO_FETCHES = Setting(whole(1, 100), 4, "Files that a jobs process fetches at once.")
    AUDIO_ACCEL = Setting(
        LOCATION,
        "",
        "The internal location of nginx that sends kept files, such as `/kept-audio/`. Unset: the service sends "
        "them.",
    )
    LINK_SECRET: Setting[tuple[str, ...]] = Setting(
        values(LinkSecrets),
        (),
        "The secret that signs file addresses: at least 32 characters (`openssl rand -hex 32`); "
        "comma-separated while you change it, the new one first; or `@` and the path of a file. Unset: addresses are "
        "plain and need the API key.",
    )
    LINK_LIFETIME = Setting(whole(1, 365 * 86_400), 86_400, "Seconds for which a signed address is valid.")
    PAGE_NOTICE = Setting(
        text, "", "A sentence at the top of the page for all who use it, such as when the service is down next."
    )
    PUBLIC_URL = Setting(
        url_or_none,
        "",
        "The service's address for clients, such as `https://stems.example.com` or "
        "`https://example.com/stems`: file addresses begin with it, and the spec names it. Unset: the address that "
        "the request was sent to.",
        is_usual=True,
    )


class _CallsToSuno:
    GROUP = "Calls to Suno"

    SUNO_API_URL = Setting(url, "https://studio-api-prod.suno.com", "Suno's studio API.")
    SUNO_AUTH_URL = Setting(url, "https://auth.suno.com", "Suno's sign-in.")
    SUNO_STEMS_ROUTE = Setting(
        member(StemsRoute),
        StemsRoute.AUTO,
        "Which call makes voice and music: `edit` (one call, no captcha; no longer used by "
        "Suno's own page), `v2-web` (what the page sends), or `auto`: `edit` while Suno accepts it. All other splits "
        "use `v2-web`.",
    )
    SUNO_EXTRACT_GROUP = Setting(
        member(ExtractGroup),
        ExtractGroup.NAME,
        "What `v2-web` sends as the group of a single part: its `name` or its `group`. If Suno "
        "refuses one as malformed, the other is tried.",
    )
    SUNO_STEMS_MODEL = Setting(ASCII, "chirp-v3-5-b", "The model that `v2-web` sends to Suno.")
    SUNO_CONNECT_TIMEOUT = Setting(
        SECONDS, 5.0, "Seconds for one attempt to connect. A failed attempt is retried twice."
    )
    SUNO_READ_TIMEOUT = Setting(SECONDS, 30.0, "Maximum seconds of silence between two bytes of a reply.")
    SUNO_DEADLINE = Setting(SECONDS, 40.0, "Seconds for all of a request's calls to Suno, including sign-in.")
    SUNO_WAIT_TIMEOUT = Setting(
        SECONDS,
        90.0,
        "Seconds until the reply to a request with `wait_audio` or `wait`: then it has "
        "the stems as they are. Cloudflare ends a request after 100 s, Heroku after 30 s.",
    )
    SUNO_POLL_INTERVAL = Setting(SECONDS, 3.0, "Seconds between two polls of stems that are not final.")
    SUNO_SETTLE_TIME = Setting(
        SECONDS,
        60.0,
        "Seconds in which lost stems may still appear, after a paid call without a reply. A "
        "retry with the same key pays again only after that.",
    )
    SUNO_USER_AGENT = Setting(ASCII, BROWSER, "The `User-Agent` sent to Suno. Unset: a recent Chrome.")
    SUNO_CLERK_API_VERSION = Setting(
        ASCII, "2025-11-10", "The Clerk API version that Suno's page sends at sign-in. It becomes outdated."
    )
    SUNO_CLERK_JS_VERSION = Setting(ASCII, "5.117.0", "The Clerk JS version that Suno's page sends at sign-in.")
    HTTPS_PROXY = Setting(
        read_elsewhere,
        "",
        "A proxy for calls to Suno, downloads and webhooks. `HTTP_PROXY` and `ALL_PROXY` work too. It "
        "resolves the names.",
    )
    NO_PROXY = Setting(read_elsewhere, "", "Hosts to reach without the proxy.")
    REQUESTS_CA_BUNDLE = Setting(
        read_elsewhere, "", "A file of CA certificates to trust instead of the default ones."
    )


class _Log:
    GROUP = "The log"

    LOG_LEVEL = Setting(
        one_of("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"),
        "INFO",
        "`DEBUG`, `INFO`, `WARNING`, `ERROR` or `CRITICAL`.",
    )
    LOG_FORMAT: Setting[str | None] = Setting(
        one_of("json", "text"), None, "`json` or `text`. Unset: text on a terminal, else JSON."
    )


class SettingRows(_SunoAccount, _Access, _Network, _Ledger, _Orders, _Webhooks, _KeptAudio, _CallsToSuno, _Log):
    """All settings."""


ALL_SETTINGS: tuple[Setting[object], ...] = tuple(
    row for group in SettingRows.__bases__ for row in vars(group).values() if isinstance(row, Setting)
)
"""In the order of docs/settings.md, which `make reference` makes of them."""
