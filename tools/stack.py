"""The local Suno, the service in front of it and the jobs process, side by side on free ports."""

from __future__ import annotations

import contextlib
import socket
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence

from tools.process import Server, free_port, require_free, running

ACCOUNT = "sandbox-alice"
"""The cookie of the sandbox account that pays unless a request names another."""

_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@contextlib.contextmanager
def suno(*options: str, port: int = 0) -> Iterator[Server]:
    """Run the sandbox with these command-line options."""
    port = port or free_port()
    require_free(port)
    command = [sys.executable, "-m", "sandbox", "--quiet", "--port", str(port), *options]
    url = f"http://127.0.0.1:{port}"
    with running(command, lambda server: _answers(server, "/sandbox/accounts"), url=url) as server:
        yield server


@contextlib.contextmanager
def service(
    suno_url: str, settings: Mapping[str, str] | None = None, *, port: int = 0, prefix: Sequence[str] = ()
) -> Iterator[Server]:
    """Run the service under gunicorn with Suno at `suno_url`; `settings` are additional environment variables.

    With the setting HOST=unix:…, the server's `url` is the same. `prefix`: a program that runs it, such as strace.
    """
    port = port or free_port()
    require_free(port)
    own = {"HOST": "127.0.0.1", "PORT": str(port), "WEB_CONCURRENCY": "2", **(settings or {})}
    host = own["HOST"]
    url = host if host.startswith("unix:") else f"http://{'[::1]' if host == '::1' else '127.0.0.1'}:{port}"
    command = [*prefix, sys.executable, "-m", "gunicorn"]
    with (
        _settings(suno_url, {"SUNO_COOKIE": ACCOUNT, **own}) as environment,
        running(command, lambda server: _answers(server, "/openapi.json"), url=url, settings=environment) as server,
    ):
        yield server


@contextlib.contextmanager
def jobs(suno_url: str, settings: Mapping[str, str]) -> Iterator[Server]:
    """Run the jobs process with the settings of a service."""
    with (
        _settings(suno_url, settings) as environment,
        running(
            [sys.executable, "-m", "app.jobs"],
            lambda server: "Ready for jobs." in server.logged(),
            settings=environment,
        ) as server,
    ):
        yield server


@contextlib.contextmanager
def _settings(suno_url: str, more: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """Settings for Suno's URL, a temporary ledger and a temporary folder for audio, updated by `more`."""
    with tempfile.TemporaryDirectory() as folder:
        at_suno = {"SUNO_API_URL": suno_url, "SUNO_AUTH_URL": suno_url, "NO_PROXY": "127.0.0.1"}
        yield {**at_suno, "LEDGER_URL": f"sqlite:///{folder}/ledger.db", "AUDIO_URL": f"{folder}/audio", **more}


def _answers(server: Server, path: str) -> bool:
    """Whether a server answers at a path, with any status."""
    if server.url.startswith("unix:"):
        return _socket_answers(server.url.removeprefix("unix:"), path)
    try:
        with _opener.open(server.url + path, timeout=5):
            return True
    except urllib.error.HTTPError:
        return True


def _socket_answers(socket_path: str, path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(5)
        connection.connect(socket_path)
        connection.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
        return bool(connection.recv(1))
