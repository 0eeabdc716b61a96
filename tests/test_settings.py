from __future__ import annotations

import re
import runpy
from pathlib import Path
from typing import Any

import pytest
from environs import Env, EnvError

from app.callers import hash_of
from app.setting_rows import ALL_SETTINGS
from app.settings import read_settings, remembered, reread_settings
from app.timing import LOST_STEMS_SECONDS

OF_GUNICORN = {"GUNICORN_CMD_ARGS"}
STANDARD = {"HTTPS_PROXY", "NO_PROXY", "REQUESTS_CA_BUNDLE"}

LONG = "a-key-of-the-test"


@pytest.fixture(autouse=True)
def empty_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in known():
        monkeypatch.delenv(name, raising=False)


def known() -> dict[str, Any]:
    env = Env(eager=False)
    read_settings(env)
    return dict(env.dump())


def test_the_defaults_are_usable() -> None:
    settings = read_settings()
    assert not settings.accounts
    assert settings.suno.deadline == 40.0


@pytest.mark.parametrize("value", ["abc", "__client=abc", "theme=dark; __client=abc; a=b", "  abc\n"])
def test_a_cookie_may_be_a_header_or_the_bare_value(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("SUNO_COOKIE", value)
    assert read_settings().accounts["default"].cookie == "abc"


def test_a_cookie_may_be_in_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "cookie"
    file.write_text("__client=abc; a=b\n")
    monkeypatch.setenv("SUNO_COOKIE", f"@{file}")
    assert read_settings().accounts["default"].cookie == "abc"


def test_an_empty_cookie_is_no_account(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUNO_COOKIE", "")
    assert not read_settings().accounts


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SUNO_COOKIE", "theme=my-secret"),
        ("SUNO_COOKIE", "my secret"),
        ("SUNO_COOKIE", "@/my/secret/file"),
        ("SUNO_API_URL", "my-secret"),
        ("SUNO_API_URL", "ftp://my-secret"),
        ("SUNO_AUTH_URL", "my-secret"),
        ("SUNO_CONNECT_TIMEOUT", "0"),
        ("SUNO_READ_TIMEOUT", "-1"),
        ("SUNO_DEADLINE", "my-secret"),
        ("SUNO_DEADLINE", "nan"),
        ("SUNO_DEADLINE", "inf"),
        ("SUNO_USER_AGENT", ""),
        ("SUNO_STEMS_ROUTE", "my-secret"),
        ("SUNO_WAIT_TIMEOUT", "0"),
        ("SUNO_POLL_INTERVAL", "0"),
        ("LOG_LEVEL", "my-secret"),
        ("LOG_FORMAT", "my-secret"),
        ("API_KEYS", "my secret"),
        ("API_KEYS", "my-secret,schlüssel"),
        ("API_KEYS", " , "),
        ("API_KEYS", "@/my/secret/file"),
        ("API_KEYS", "@/dev/null"),
        ("METRICS_KEY", "my-secret"),
        ("METRICS_KEY", "@/dev/null"),
        ("METRICS_KEY", "@/my/secret/file"),
        ("CORS_ORIGINS", "my-secret"),
        ("CORS_ORIGINS", "https://my-secret/path"),
        ("CORS_ORIGINS", "https://*.my-secret"),
        ("TRUSTED_HOSTS", "my-secret:3000"),
        ("TRUSTED_HOSTS", "https://my-secret"),
        ("TRUSTED_HOSTS", "*"),
        ("HOST", "my-secret:3000"),
        ("HOST", "[::1]:3000"),
        ("HOST", "https://my-secret"),
    ],
)
def test_a_wrong_setting_is_named_and_its_value_is_not(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(EnvError, match=name) as raised:
        read_settings()
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize("name", ["LEDGER_URL", "JOBS_URL"])
@pytest.mark.parametrize("scheme", ["sqlite:///", "redis://", "rediss://", "unix://"])
def test_the_error_for_a_wrong_store_lists_each_accepted_scheme(
    monkeypatch: pytest.MonkeyPatch, name: str, scheme: str
) -> None:
    monkeypatch.setenv(name, f"{scheme}x")
    read_settings()
    monkeypatch.setenv(name, "mysql://x")
    with pytest.raises(EnvError, match=rf"{name}.*\b{scheme}"):
        read_settings()


def test_api_keys_may_be_in_the_variable_or_in_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text("one, two\nthree\n\n")
    for value, keys in (
        ("", ()),
        ("one", ("one",)),
        (" one,two,", ("one", "two")),
        (f"@{file}", ("one", "two", "three")),
    ):
        monkeypatch.setenv("API_KEYS", value)
        assert [caller.key_hashes for caller in read_settings().callers] == [(hash_of(key.encode()),) for key in keys]


def test_comments_in_a_file_of_keys_are_no_keys(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text("#n8n:\none\n  # a, b\ntwo # the second, of alice\nthree#3, four\n#\n")
    monkeypatch.setenv("API_KEYS", f"@{file}")
    keys = ["one", "two", "three#3", "four"]
    assert [caller.key_hashes for caller in read_settings().callers] == [(hash_of(key.encode()),) for key in keys]
    file.write_text("# only-a-comment\n")
    with pytest.raises(EnvError, match=r"API_KEYS.*contains no key"):
        read_settings()


@pytest.mark.parametrize(
    ("name", "value"), [("LINK_SECRET", "l" * 32), ("WEBHOOK_SECRET", "whsec_" + "A" * 32), ("METRICS_KEY", "m" * 16)]
)
def test_comments_in_other_files_of_secrets_are_no_secrets(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, value: str
) -> None:
    (file := tmp_path / "secret").write_text(f"#{'c' * 40}\n{value} # ours\n")
    monkeypatch.setenv(name, f"@{file}")
    settings = read_settings()
    assert len(settings.link_secrets + settings.webhook_secrets + settings.metrics_key_hashes) == 1


def test_short_api_keys_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_KEYS", f"1,{'x' * 15},{'y' * 16}")
    assert read_settings().short_api_keys == 2


@pytest.mark.parametrize("kind", ["api_key", "api_key_sha256"])
def test_a_key_in_two_places_is_refused_at_the_start_and_at_a_reload(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kind: str
) -> None:
    file, keys = tmp_path / "callers.toml", tmp_path / "keys"
    value = LONG if kind == "api_key" else hash_of(LONG.encode())
    file.write_text(f'[callers.n8n]\n{kind} = "{value}"\ncredits_per_day = 5\n')
    monkeypatch.setenv("CALLERS_FILE", str(file))
    monkeypatch.setenv("API_KEYS", f"@{keys}")
    keys.write_text("another-key\n")
    before = reread_settings()
    keys.write_text(f"another-key\n{LONG}\n")
    with pytest.raises(EnvError, match=r"API_KEYS.*CALLERS_FILE") as raised:
        read_settings()
    assert reread_settings() is before
    assert "API_KEYS" in remembered.complaint
    for text in (str(raised.value), remembered.complaint):
        assert LONG not in text and hash_of(LONG.encode()) not in text


@pytest.mark.parametrize("place", ["API_KEYS", "CALLERS_FILE"])
def test_an_api_key_is_no_key_for_the_metrics(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, place: str) -> None:
    (file := tmp_path / "callers.toml").write_text(f'[callers.n8n]\napi_key = "{LONG}"\n')
    monkeypatch.setenv(place, LONG if place == "API_KEYS" else str(file))
    monkeypatch.setenv("METRICS_KEY", LONG)
    with pytest.raises(EnvError, match=r"METRICS_KEY.*API key") as raised:
        read_settings()
    assert LONG not in str(raised.value)


def test_trusted_hosts_are_normalised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRUSTED_HOSTS", "Stems.example.com, .example.org,[::1],::2,10.0.0.1")
    assert read_settings().trusted_hosts == ("stems.example.com", ".example.org", "::1", "::2", "10.0.0.1")


def test_the_settings_that_people_set_come_first() -> None:
    usual, _, others = Path("docs/settings.md").read_text(encoding="utf-8").partition("\n## Advanced\n")
    assert len(re.findall(r"^\| `[A-Z_]+` \|", usual, re.MULTILINE)) == 12
    assert len(re.findall(r"^\| `[A-Z_]+` \|", others, re.MULTILINE)) == len(ALL_SETTINGS) - 12


def test_every_setting_is_in_the_docs_with_its_default() -> None:
    text = Path("docs/settings.md").read_text(encoding="utf-8")
    table = dict(re.findall(r"^\| `([A-Z_]+)` \| (.*?) \|", text, re.MULTILINE))
    settings = known()
    assert set(table) == set(settings) | OF_GUNICORN | STANDARD
    for name, default in settings.items():
        if name != "SUNO_USER_AGENT":  # long, and of no use to a reader
            assert table[name] == ("" if default in (None, "") else f"`{formatted(default)}`"), name


def formatted(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def test_gunicorn_waits_for_requests_in_flight_for_their_longest_time(monkeypatch: pytest.MonkeyPatch) -> None:
    for deadline in ("40", "300"):
        monkeypatch.setenv("SUNO_DEADLINE", deadline)
        timing = read_settings().timing
        longest = timing.deadline + timing.poll_interval + LOST_STEMS_SECONDS
        assert longest < runpy.run_path("gunicorn.conf.py")["graceful_timeout"] < longest + 10


def test_gunicorn_listens_where_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOST", raising=False)
    monkeypatch.delenv("PORT", raising=False)
    assert runpy.run_path("gunicorn.conf.py")["bind"] == "127.0.0.1:3000"
    monkeypatch.setenv("HOST", "0.0.0.0")
    monkeypatch.setenv("PORT", "80")
    assert runpy.run_path("gunicorn.conf.py")["bind"] == "0.0.0.0:80"
    for loopback in ("::1", "[::1]"):
        monkeypatch.setenv("HOST", loopback)
        assert runpy.run_path("gunicorn.conf.py")["bind"] == "[::1]:80"
    monkeypatch.setenv("HOST", "unix:/run/suno-stems/gunicorn.sock")
    assert runpy.run_path("gunicorn.conf.py")["bind"] == "unix:/run/suno-stems/gunicorn.sock"


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("[callers", "not valid TOML"),
        ('[accounts.studio]\ncookie = ""', "accounts.studio.cookie: it has no cookie __client"),
        ('[accounts.studio]\ncookie = "__session=abc"', "accounts.studio.cookie: There is only the cookie __session"),
        ('[accounts.studio]\ncookie = "@nowhere"', "accounts.studio.cookie: nowhere cannot be read"),
        ('[accounts."a b"]\ncookie = "secret"', "accounts.a b: A name is 1 to 40 letters"),
        ('[accounts.default]\ncookie = "secret"', "accounts.default.cookie: SUNO_COOKIE is set too"),
        ("[callers.n8n]", "callers.n8n: it has neither api_key nor api_key_sha256"),
        ('[callers.n8n]\napi_key = "secret"', "callers.n8n.api_key: a key is 16"),
        ("[callers.n8n]\napi_key = 5", "callers.n8n.api_key: it must be a string"),
        ('[callers.n8n]\napi_key_sha256 = "secret"', "callers.n8n.api_key_sha256: a SHA-256"),
        (f'[callers.n8n]\napi_key = "{LONG}"\naccounts = ["studio"]', "callers.n8n.accounts: there is no account"),
        (f'[callers.n8n]\napi_key = "{LONG}"\ncredits_per_day = -1', "callers.n8n.credits_per_day: "),
        (f'[callers.n8n]\napi_key = "{LONG}"\ncredits_per_day = "secret"', "callers.n8n.credits_per_day: "),
        (f'[callers.n8n]\napi_key = "{LONG}"\nown_cookie = "secret"', "callers.n8n.own_cookie: "),
        (f'[callers.n8n]\napi_key = "{LONG}"\ntasks = ["three"]', "callers.n8n.tasks.0: "),
        (f'[callers.n8n]\napi_key = "{LONG}"\nbudget = 5', "callers.n8n.budget: Unknown field"),
        (f'[callers.a]\napi_key = "{LONG}"\n[callers.b]\napi_key = "{LONG}"', "callers: two of them"),
        ("key = 5", "key: Unknown field"),
        ("callers = 5", "callers: "),
        ("[callers]\nn8n = 5", "callers.n8n: it is not a table"),
    ],
)
def test_the_error_for_a_wrong_callers_file_names_table_and_key_without_a_value(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str, complaint: str
) -> None:
    file = tmp_path / "callers.toml"
    file.write_text(content)
    monkeypatch.setenv("SUNO_COOKIE", "cookie")
    monkeypatch.setenv("CALLERS_FILE", str(file))
    with pytest.raises(EnvError) as raised:
        read_settings()
    assert complaint in str(raised.value)
    assert "CALLERS_FILE" in str(raised.value)
    assert "secret" not in str(raised.value)
    assert LONG not in str(raised.value)


def test_the_callers_file_and_the_older_settings_can_be_combined(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "n8n.key").write_text(f"#the-keys-of-our-n8n\n{LONG} # old\n{LONG}er\n")
    (tmp_path / "studio.cookie").write_text("__client=abc; a=b")
    file = tmp_path / "callers.toml"
    file.write_text(
        '[accounts.studio]\ncookie = "@studio.cookie"\n[accounts.default]\ncredits_per_day = 30\n'
        '[callers.n8n]\napi_key = "@n8n.key"\n'
    )
    for name, value in (("SUNO_COOKIE", "its-own"), ("API_KEYS", "another"), ("CALLERS_FILE", str(file))):
        monkeypatch.setenv(name, value)
    settings = read_settings()
    assert {name: (a.cookie, a.credits_per_day) for name, a in settings.accounts.items()} == {
        "studio": ("abc", None),
        "default": ("its-own", 30),
    }
    n8n, another = settings.callers
    assert (n8n.name, n8n.accounts, n8n.own_cookie) == ("n8n", ("default",), True)
    assert n8n.key_hashes == (hash_of(LONG.encode()), hash_of(f"{LONG}er".encode()))
    assert (another.name, another.accounts) == (hash_of(b"another")[:12], None)
    assert not {"abc", "its-own", LONG, "another", *n8n.key_hashes} & set(re.findall(r"[\w-]+", repr(settings)))
