"""The callers file (CALLERS_FILE): API keys, the Suno accounts they may use, and what each may spend.

Like `app/settings.py`, which imports it, this module imports nothing that gevent has to patch.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import tomllib
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from marshmallow import RAISE, Schema, ValidationError, fields, validate

from app.suno.cookie import HOW_TO_COPY, ONLY_SESSION, UnusableCookie, cookie_of, has_only_session
from app.suno.stems import StemTask

DEFAULT_ACCOUNT = "default"
"""The account of SUNO_COOKIE."""

NAME_PATTERN = r"[A-Za-z0-9_-]{1,40}"
NAME_RULE = "A name is 1 to 40 letters, digits, - and _."
SIGNING_KEY = r"whsec_[A-Za-z0-9+/]{16,200}={0,2}"
SIGNING_KEY_RULE = "A webhook's secret is whsec_ and Base64: create one with `make webhook-secret`."
BUDGET_RANGE = validate.Range(min=0, max=1_000_000_000)
MIN_KEY_LENGTH = 16
"""Minimum characters of an API key in the file: a shorter one could be guessed."""


@dataclass(frozen=True, slots=True)
class OperatorAccount:
    """A Suno account of the operator."""

    name: str
    cookie: str = field(repr=False)
    """The value of `__client`."""
    credits_per_day: int | None = None
    """Maximum for all callers together in any 24 hours; None: no limit."""


@dataclass(frozen=True, slots=True)
class Caller:
    """A program or person with its own API keys; without any API keys, everyone."""

    name: str
    """"" is everyone."""
    key_hashes: tuple[str, ...] = field(default=(), repr=False)
    """SHA-256 of its API keys, in hexadecimal."""
    accounts: tuple[str, ...] | None = None
    """Which of the operator's accounts it may use; the first if a request names none. None: all."""
    own_cookie: bool = True
    """Whether it may send the cookie of another account."""
    credits_per_day: int | None = None
    downloads_per_month: int | None = None
    tasks: frozenset[StemTask] = frozenset(StemTask)
    webhook_secrets: tuple[str, ...] = field(default=(), repr=False)
    """The secrets that sign its webhooks; (): the common ones."""

    @property
    def older_names(self) -> tuple[str, ...]:
        """Its names in the ledger while its keys were in API_KEYS."""
        return tuple(hash[:12] for hash in self.key_hashes if hash[:12] != self.name)


@dataclass(frozen=True, slots=True)
class Callers:
    """The content of the file."""

    accounts: Mapping[str, OperatorAccount]
    callers: tuple[Caller, ...]
    files: tuple[Path, ...]
    """The file, and the files that it names."""


EVERYONE = Caller("")
"""The caller of every request if there are no API keys."""


def uncommented(text: str) -> str:
    """The content of a file of keys without its comments: from # at the begin of a line or after a space."""
    return re.sub(r"(?:^|(?<=\s))#.*", "", text, flags=re.MULTILINE)


def hash_of(api_key: bytes) -> str:
    """SHA-256 of an API key, in hexadecimal."""
    return hashlib.sha256(api_key).hexdigest()


def new_signing_key() -> str:
    """A random secret that signs webhooks. Behind the Base64 is text: n8n's Crypto node takes no other key."""
    return f"whsec_{b64encode(secrets.token_urlsafe(36).encode()).decode()}"


def caller_of_key(api_key: str) -> Caller:
    """The caller of a key in API_KEYS. Its name is part of the key's hash; it has no limits."""
    hash = hash_of(api_key.encode())
    return Caller(hash[:12], (hash,))


def read_callers(path: Path, suno_cookie: str | None) -> Callers:
    """Read the file. `suno_cookie` is the account `default`. Raises ValidationError, which names table and key."""
    reader = _Reader(path)
    try:
        text = tomllib.loads(reader.read(path))
    except tomllib.TOMLDecodeError as error:
        raise ValidationError(f"It is not valid TOML: {error}.") from None
    content = _load(_File(), text, "")
    for kind, tables in content.items():
        for name, table in tables.items():
            if not isinstance(table, dict):
                raise ValidationError(f"{kind}.{name}: it is not a table.")
            if not re.fullmatch(NAME_PATTERN, name):
                raise ValidationError(f"{kind}.{name}: {NAME_RULE}")
    accounts = {name: reader.account(name, table, suno_cookie) for name, table in content["accounts"].items()}
    if suno_cookie and DEFAULT_ACCOUNT not in accounts:
        accounts = {DEFAULT_ACCOUNT: OperatorAccount(DEFAULT_ACCOUNT, suno_cookie), **accounts}
    callers = tuple(reader.caller(name, table, accounts) for name, table in content["callers"].items())
    hashes = [hash for caller in callers for hash in caller.key_hashes]
    if len(set(hashes)) < len(hashes):
        raise ValidationError("callers: two of them have the same API key.")
    return Callers(accounts, callers, tuple(reader.files))


class _Account(Schema):
    cookie = fields.String()
    credits_per_day = fields.Integer(strict=True, validate=BUDGET_RANGE)


class _Caller(Schema):
    api_key = fields.Raw()
    api_key_sha256 = fields.Raw()
    accounts = fields.List(fields.String())
    own_cookie = fields.Boolean(truthy={True}, falsy={False})
    credits_per_day = fields.Integer(strict=True, validate=BUDGET_RANGE)
    downloads_per_month = fields.Integer(strict=True, validate=BUDGET_RANGE)
    webhook_secret = fields.Raw()
    tasks = fields.List(fields.Enum(StemTask, by_value=True), validate=validate.Length(min=1))


class _File(Schema):
    accounts = fields.Dict(load_default=dict)
    callers = fields.Dict(load_default=dict)


class _Reader:
    """Reads the tables and the files that they name. Paths are relative to the callers file."""

    def __init__(self, path: Path) -> None:
        self._folder = path.parent
        self.files: list[Path] = []

    def read(self, path: Path) -> str:
        self.files.append(path)
        try:
            return path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ValidationError(f"{path.name} cannot be read: {type(error).__name__}.") from None

    def account(self, name: str, table: dict[str, Any], suno_cookie: str | None) -> OperatorAccount:
        where = f"accounts.{name}"
        loaded = _load(_Account(), table, where)
        if name == DEFAULT_ACCOUNT and suno_cookie:
            if "cookie" in loaded:
                raise ValidationError(f"{where}.cookie: SUNO_COOKIE is set too, and is the cookie of this account.")
            return OperatorAccount(name, suno_cookie, loaded.get("credits_per_day"))
        given = self._value(loaded.get("cookie", ""), f"{where}.cookie").strip()
        try:
            cookie = cookie_of(given)
        except UnusableCookie:
            cookie = None
        if not cookie and has_only_session(given):
            raise ValidationError(f"{where}.cookie: {ONLY_SESSION}")
        if not cookie:
            raise ValidationError(f"{where}.cookie: it has no cookie __client. {HOW_TO_COPY}")
        return OperatorAccount(name, cookie, loaded.get("credits_per_day"))

    def caller(self, name: str, table: dict[str, Any], accounts: Mapping[str, OperatorAccount]) -> Caller:
        where = f"callers.{name}"
        loaded = _load(_Caller(), table, where)
        hashes = [hash.lower() for hash in _texts(loaded.pop("api_key_sha256", []), f"{where}.api_key_sha256")]
        if not all(len(hash) == 64 and set(hash) <= set("0123456789abcdef") for hash in hashes):
            raise ValidationError(f"{where}.api_key_sha256: a SHA-256 is 64 hexadecimal digits.")
        for text in _texts(loaded.pop("api_key", []), f"{where}.api_key"):
            keys = self._value(text, f"{where}.api_key").split()
            if not keys or any(len(key) < MIN_KEY_LENGTH or not key.isascii() for key in keys):
                raise ValidationError(f"{where}.api_key: a key is {MIN_KEY_LENGTH} ASCII characters or more.")
            hashes += [hash_of(key.encode()) for key in keys]
        if not hashes:
            raise ValidationError(f"{where}: it has neither api_key nor api_key_sha256.")
        where_secret = f"{where}.webhook_secret"
        secrets = [
            secret
            for text in _texts(loaded.pop("webhook_secret", []), where_secret)
            for secret in self._value(text, where_secret).split()
        ]
        if not all(re.fullmatch(SIGNING_KEY, secret) for secret in secrets):
            raise ValidationError(f"{where_secret}: {SIGNING_KEY_RULE}")
        own = tuple(loaded.pop("accounts", [DEFAULT_ACCOUNT] if DEFAULT_ACCOUNT in accounts else []))
        if unknown := [account for account in own if account not in accounts]:
            raise ValidationError(f"{where}.accounts: there is no account {unknown[0]!r}.")
        tasks = frozenset(loaded.pop("tasks", StemTask))
        loaded |= {"tasks": tasks, "webhook_secrets": tuple(secrets)}
        return Caller(name, tuple(dict.fromkeys(hashes)), own, **loaded)

    def _value(self, text: str, where: str) -> str:
        """A value, or for @ and a path the content of that file."""
        if not text.startswith("@"):
            return text
        try:
            return uncommented(self.read(self._folder / text[1:]))
        except ValidationError as error:
            raise ValidationError(f"{where}: {error.messages[0]}") from None


def _load(schema: Schema, table: Any, where: str) -> dict[str, Any]:
    try:
        loaded: dict[str, Any] = schema.load(table, unknown=RAISE)
        return loaded
    except ValidationError as error:
        raise ValidationError([f"{place}: {text}" for place, text in _flat(error.messages, where)]) from None


def _flat(messages: Any, where: str) -> list[tuple[str, str]]:
    """Flatten marshmallow's nested messages: each with its TOML path, and without any value."""
    if isinstance(messages, list):
        return [(where, text) for text in messages]
    return [found for key, inner in messages.items() for found in _flat(inner, f"{where}.{key}".lstrip("."))]


def _texts(value: Any, where: str) -> list[str]:
    """A string or a list of strings, as a list."""
    texts = value if isinstance(value, list) else [value]
    if not all(isinstance(text, str) for text in texts):
        raise ValidationError(f"{where}: it must be a string, or a list of strings.")
    return texts
