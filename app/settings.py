"""Every setting, its default and its meaning: the only reader of the environment."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from environs import Env
from marshmallow import ValidationError, fields
from marshmallow.validate import URL, OneOf, Range, Regexp

from app.suno.gateway import Endpoint
from app.suno.session import UnusableCookie, client_of

# Clerk and Suno expect a browser; which one ages, hence the setting.
USER_AGENT = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the environment asks for. Times are in seconds."""

    suno_client: str | None = field(repr=False)
    """The `__client` value of SUNO_COOKIE: the account that pays where a request names none."""
    suno: Endpoint
    suno_wait_timeout: float
    suno_poll_interval: float
    suno_settle_time: float
    ledger_url: str = field(repr=False)
    log_level: str


def read_settings(env: Env | None = None) -> Settings:
    """Read the environment. Raises environs.EnvError, which names each variable that is wrong, never a value.

    Give an `env` to learn from its `dump()` which variables there are.
    """
    env = env or Env(eager=False)
    env.add_parser_from_field("cookie", Cookie)
    url = URL(schemes={"http", "https"}, require_tld=False)
    seconds = Range(min=0, min_inclusive=False, max=3600)
    text = Regexp(r"[ -~]+\Z", error="It has to be printable ASCII.")
    ledger = Regexp(r"sqlite:///.+|(rediss?|unix)://.+", error="It begins with sqlite:/// or redis://.")
    settings = Settings(
        suno_client=env.cookie("SUNO_COOKIE", None),
        suno=Endpoint(
            api_url=env.str("SUNO_API_URL", "https://studio-api.prod.suno.com", validate=url),
            auth_url=env.str("SUNO_AUTH_URL", "https://auth.suno.com", validate=url),
            stems_route=env.str("SUNO_STEMS_ROUTE", "edit", validate=OneOf(["edit", "v2-web"])),
            connect_timeout=env.float("SUNO_CONNECT_TIMEOUT", 5.0, validate=seconds),
            read_timeout=env.float("SUNO_READ_TIMEOUT", 30.0, validate=seconds),
            deadline=env.float("SUNO_DEADLINE", 40.0, validate=seconds),
            user_agent=env.str("SUNO_USER_AGENT", USER_AGENT, validate=text),
            clerk_api_version=env.str("SUNO_CLERK_API_VERSION", "2025-11-10", validate=text),
            clerk_js_version=env.str("SUNO_CLERK_JS_VERSION", "5.117.0", validate=text),
        ),
        suno_wait_timeout=env.float("SUNO_WAIT_TIMEOUT", 100.0, validate=seconds),
        suno_poll_interval=env.float("SUNO_POLL_INTERVAL", 3.0, validate=seconds),
        suno_settle_time=env.float("SUNO_SETTLE_TIME", 60.0, validate=seconds),
        ledger_url=env.str("LEDGER_URL", "sqlite:///instance/ledger.db", validate=ledger),
        log_level=env.str("LOG_LEVEL", "INFO", validate=OneOf(["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"])),
    )
    env.seal()
    return settings


class Cookie(fields.String):
    """A Cookie header or its bare `__client` value, or `@` and the path of a file with either; "" is none."""

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Any:
        value = _file_or(value).strip()
        try:
            client = client_of(value)
        except UnusableCookie:
            client = None
        if value and client is None:
            raise ValidationError("It has no cookie __client: copy it from a browser that is signed in to suno.com.")
        return client


def _file_or(value: str) -> str:
    if not value.startswith("@"):
        return value
    try:
        return Path(value[1:]).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ValidationError(f"Its file cannot be read: {type(error).__name__}.") from error
