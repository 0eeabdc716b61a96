"""The types of settings: how each value is read, and what is said about a wrong one."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv6Address, ip_network
from pathlib import Path
from typing import Any, Generic, TypeVar

from environs import Env
from marshmallow import ValidationError, fields
from marshmallow.validate import URL, OneOf, Range, Regexp

from app.callers import MIN_KEY_LENGTH, SIGNING_KEY, SIGNING_KEY_RULE, hash_of, read_callers, uncommented
from app.suno.cookie import HOW_TO_COPY, ONLY_SESSION, UnusableCookie, cookie_of, has_only_session

T = TypeVar("T")
E = TypeVar("E", bound=StrEnum)


class Cookie(fields.String):
    """A Cookie header or its bare `__client` value, or `@` and the path of a file with either; "" means none."""

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Any:
        is_file, value = value.startswith("@"), _file_or(value).strip()
        if is_file and not value:
            raise ValidationError("Its file is empty.")
        try:
            client = cookie_of(value)
        except UnusableCookie:
            client = None
        if client is None and has_only_session(value):
            raise ValidationError(ONLY_SESSION)
        if value and client is None:
            raise ValidationError(f"It has no cookie __client. {HOW_TO_COPY}")
        return client


class CallersFile(fields.String):
    """The path of the callers file; "" means none."""

    def __init__(self, *, suno_cookie: str | None, **how: Any) -> None:
        super().__init__(**how)
        self._suno_cookie = suno_cookie

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Any:
        return read_callers(Path(value), self._suno_cookie) if value else None


class Listed(fields.String):
    """Comma-separated values; "" means none."""

    ITEM = re.compile("")
    COMPLAINT = ""

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Any:
        items = tuple(item.strip() for item in value.split(",") if item.strip())
        if not all(self.ITEM.fullmatch(item) for item in items) or (value.strip() and not items):
            raise ValidationError(self.COMPLAINT)
        return items


class ListedInFile(Listed):
    """Comma-separated values, or `@` and the path of a file with them: one per line, with # comments."""

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Any:
        text = ",".join(uncommented(_file_or(value)).splitlines()) if value.startswith("@") else value
        return super()._deserialize(text, attr, data, **kwargs)


class ApiKeys(ListedInFile):
    """API keys. `of_callers` are the hashes of the keys in CALLERS_FILE."""

    ITEM = re.compile(r"[!-~]+")
    COMPLAINT = "An API key consists of ASCII letters, digits and signs; keys are comma-separated."
    # Without limits here, the key would escape its caller's budget.
    TAKEN = "A key of CALLERS_FILE is here too. Remove it here."

    def __init__(self, *, of_callers: frozenset[str], **how: Any) -> None:
        super().__init__(**how)
        self._of_callers = of_callers

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Any:
        keys = super()._deserialize(value, attr, data, **kwargs)
        if value.startswith("@") and not keys:
            # Otherwise an empty file would open the service to everyone.
            raise ValidationError("Its file contains no key.")
        if any(hash_of(key.encode()) in self._of_callers for key in keys):
            raise ValidationError(self.TAKEN)
        return keys


class MetricsKeys(ApiKeys):
    """Keys for /metrics. `of_callers` are the hashes of all API keys."""

    ITEM = re.compile(rf"[!-+\--~]{{{MIN_KEY_LENGTH},}}")
    COMPLAINT = (
        f"A key has at least {MIN_KEY_LENGTH} ASCII letters, digits and signs; `openssl rand -hex 24` makes one."
    )
    TAKEN = "It is an API key too: callers could read /metrics."


class WebhookSecrets(ListedInFile):
    """Secrets that sign webhooks, given in the same way as API keys."""

    ITEM = re.compile(SIGNING_KEY)
    COMPLAINT = SIGNING_KEY_RULE


class LinkSecrets(ListedInFile):
    """Secrets that sign file addresses, given in the same way as API keys."""

    ITEM = re.compile(r"[!-+\--~]{32,}")
    COMPLAINT = "A secret has at least 32 ASCII letters, digits and signs; `openssl rand -hex 32` makes one."


class AudioPlace(fields.String):
    """A folder (a path or a file: address) or a bucket."""

    COMPLAINT = "It is a folder (instance/audio, file:///var/lib/audio) or a bucket (s3://bucket/prefix)."

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Any:
        is_bucket = re.fullmatch(r"s3://[A-Za-z0-9.-]{3,63}(/[!-~]*)?", value)
        path = value.removeprefix("file://")
        if not (is_bucket or (path and "://" not in path and (path == value or path.startswith("/")))):
            raise ValidationError(self.COMPLAINT)
        return value


class HostsAndNetworks(Listed):
    """Names, `.suffixes` and networks."""

    ITEM = re.compile(r"\.?[A-Za-z0-9_-][A-Za-z0-9._-]*|[0-9A-Fa-f.:]+/\d{1,3}")
    COMPLAINT = "A host is a name (n8n), a suffix (.internal) or a network (10.0.0.0/8)."

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Any:
        hosts = super()._deserialize(value.lower(), attr, data, **kwargs)
        for host in hosts:
            if "/" in host:
                try:
                    ip_network(host)
                except ValueError:
                    raise ValidationError(self.COMPLAINT) from None
        return hosts


class Origins(Listed):
    """Origins as browsers send them, or `*` for any."""

    ITEM = re.compile(r"\*|[a-z][a-z0-9+.-]*://[A-Za-z0-9.-]+(:\d+)?")
    COMPLAINT = "An origin is a scheme and a host, and a port if it is not the default: https://app.example.com"


class Hosts(Listed):
    """Names and addresses as in a Host header, without port."""

    ITEM = re.compile(r"\.?[A-Za-z0-9_-][A-Za-z0-9._-]*|[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*|\[[0-9A-Fa-f:.]+\]")
    COMPLAINT = "A host is a name or an address, without port: stems.example.com, or .example.com for all its names."

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Any:
        hosts = super()._deserialize(value, attr, data, **kwargs)
        return tuple(host.lower().strip("[]") for host in hosts)


def files_of(*names: str) -> list[Path]:
    """The files that these variables name with @."""
    return [Path(value[1:]) for name in names if (value := os.environ.get(name, "")).startswith("@")]


def _file_or(value: str) -> str:
    if not value.startswith("@"):
        return value
    try:
        return Path(value[1:]).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ValidationError(f"Its file cannot be read: {type(error).__name__}.") from error


class ListenAddress(fields.String):
    """A name or an address without port, IPv6 with or without brackets; or `unix:` and a path; "" means all."""

    COMPLAINT = "It is an address or a name without port (127.0.0.1, ::1, localhost), or unix: and a path."

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Any:
        if value.startswith("unix:") or re.fullmatch(r"[A-Za-z0-9._-]*", value):
            return value
        address = value.removeprefix("[").removesuffix("]")
        try:
            IPv6Address(address)
        except ValueError:
            raise ValidationError(self.COMPLAINT) from None
        return address


@dataclass(eq=False)
class Setting(Generic[T]):
    """A setting: an attribute with the name of its environment variable, in the class of its group."""

    parse: Callable[..., T]
    """Reads it: called with the environment, the name, the default, and what `read` gets besides."""
    default: T
    meaning: str
    is_usual: bool = False
    """Whether it is one of the few that people set; docs/settings.md shows the others as advanced."""
    name: str = ""
    group: str = ""

    def __set_name__(self, owner: Any, name: str) -> None:
        self.name, self.group = name, owner.GROUP

    def read(self, env: Env, **context: object) -> T:
        """Read the variable. Errors are collected in `env`."""
        return self.parse(env, self.name, self.default, **context)


def of_field(field: type[fields.Field[Any]]) -> Callable[..., Any]:
    """Read a value with a field; its arguments are the context."""

    def parse(env: Env, name: str, default: Any, **context: Any) -> Any:
        parser = f"parse_{name.lower()}"
        env.add_parser_from_field(parser, field)
        return getattr(env, parser)(name, default, **context)

    return parse


def values(field: type[Listed]) -> Callable[..., tuple[str, ...]]:
    """Read several values with a field."""
    parse = of_field(field)
    return lambda env, name, default, **context: parse(env, name, None, **context) or default


def number(lowest: float, highest: float, *, includes_lowest: bool = True) -> Callable[[Env, str, float], float]:
    """Read a number in these limits."""
    limits = Range(min=lowest, max=highest, min_inclusive=includes_lowest)
    return lambda env, name, default: env.float(name, default, validate=limits)


def whole(lowest: int, highest: int | None) -> Callable[[Env, str, int], int]:
    """Read a whole number in these limits."""
    limits = Range(min=lowest, max=highest)
    return lambda env, name, default: env.int(name, default, validate=limits)


def text(env: Env, name: str, default: str) -> str:
    """Read any text."""
    return env.str(name, default)


def matching(pattern: str, complaint: str) -> Callable[[Env, str, Any], Any]:
    """Read a text that matches a pattern."""
    check = Regexp(pattern, error=complaint)
    return lambda env, name, default: env.str(name, default, validate=check)


def one_of(*choices: str) -> Callable[[Env, str, Any], Any]:
    """Read one of these words."""
    return lambda env, name, default: env.str(name, default, validate=OneOf(choices))


def member(kind: type[E]) -> Callable[[Env, str, E], E]:
    """Read the value of a member of an enum."""
    return lambda env, name, default: kind(env.str(name, default.value, validate=OneOf(list(kind))) or default)


_URL = URL(schemes={"http", "https"}, require_tld=False)


def url(env: Env, name: str, default: str) -> str:
    """Read an address with http or https."""
    return env.str(name, default, validate=_URL)


def url_or_none(env: Env, name: str, default: str) -> str:
    """Read an address with http or https, or ""."""
    return env.str(name, default, validate=lambda value: value == "" or _URL(value))


def read_elsewhere(env: Env, name: str, default: str) -> str:
    """Read nothing: gunicorn or requests reads this variable."""
    return default
