"""The sandbox and the service in front of it, started side by side on free ports."""

from __future__ import annotations

import contextlib
import itertools
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

ACCOUNT = "sandbox-alice"
"""The cookie of the account that pays in the sandbox unless a request names another."""

STARTS_WITHIN = 30.0
"""Seconds."""


class NotStartedError(Exception):
    """A server did not come up; the text has the end of what it logged."""


@dataclass(frozen=True)
class Server:
    """A server process and where it listens."""

    url: str
    process: subprocess.Popen[bytes]
    log: Path

    def logged(self) -> str:
        """All that the process has written so far."""
        return self.log.read_text(encoding="utf-8", errors="replace")


_ports = itertools.count(os.getpid() * 997)


def free_port() -> int:
    """Find a port that nothing listens on.

    None of those that the system gives to connections: one could have it before the server. And processes that look
    at the same time begin far from each other.
    """
    while True:
        port = 10_000 + next(_ports) % 20_000
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def require_free(port: int) -> None:
    """Raise NotStartedError where something listens on the port: it must not be taken for what is started here."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise NotStartedError(f"port {port} cannot be used: {error.strerror}") from None


@contextlib.contextmanager
def suno(*options: str, port: int = 0) -> Iterator[Server]:
    """Run the sandbox with these options of its command line."""
    port = port or free_port()
    require_free(port)
    command = [sys.executable, "-m", "sandbox", "--quiet", "--port", str(port), *options]
    with _running(command, {}, f"http://127.0.0.1:{port}", "/sandbox/accounts") as server:
        yield server


@contextlib.contextmanager
def service(suno_url: str, settings: Mapping[str, str] | None = None, *, port: int = 0) -> Iterator[Server]:
    """Run the service under gunicorn with Suno at `suno_url`; `settings` are environment variables besides.

    With the setting HOST=unix:…, that is also the server's url.
    """
    port = port or free_port()
    require_free(port)
    environment = {
        "SUNO_API_URL": suno_url,
        "SUNO_AUTH_URL": suno_url,
        "SUNO_COOKIE": ACCOUNT,
        "HOST": "127.0.0.1",
        "PORT": str(port),
        "WEB_CONCURRENCY": "2",
        "NO_PROXY": "127.0.0.1",
        **(settings or {}),
    }
    command = [sys.executable, "-m", "gunicorn"]
    host = environment["HOST"]
    url = host if host.startswith("unix:") else f"http://127.0.0.1:{port}"
    with _running(command, environment, url, "/openapi.json") as server:
        yield server


@contextlib.contextmanager
def jobs(suno_url: str, settings: Mapping[str, str]) -> Iterator[Server]:
    """Run the process that does the jobs, with the settings of a service."""
    environment = {"SUNO_API_URL": suno_url, "SUNO_AUTH_URL": suno_url, "NO_PROXY": "127.0.0.1", **settings}
    with _running([sys.executable, "-m", "app.jobs"], environment, "", "Ready for jobs.") as server:
        yield server


@contextlib.contextmanager
def _running(command: list[str], settings: Mapping[str, str], url: str, ready: str) -> Iterator[Server]:
    # Not the caller's own settings: they may name a real account, which nothing here may spend.
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("SUNO_")}
    with tempfile.TemporaryDirectory() as folder, (Path(folder) / "log").open("wb") as log:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**inherited, "LEDGER_URL": f"sqlite:///{folder}/ledger.db", **settings},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        server = Server(url, process, Path(log.name))
        try:
            _wait_for(server, ready)
            yield server
        finally:
            process.terminate()
            try:
                process.wait(timeout=60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait_for(server: Server, ready: str) -> None:
    """Wait until a server answers at a path; or until the log of one that listens nowhere says that it is ready."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    ends = time.monotonic() + STARTS_WITHIN
    while server.process.poll() is None and time.monotonic() < ends:
        try:
            if not server.url:
                if ready in server.logged():
                    return None
            elif server.url.startswith("unix:"):
                return _ask_socket(server.url.removeprefix("unix:"), ready)
            else:
                with opener.open(server.url + ready, timeout=5):
                    return None
        except urllib.error.HTTPError:
            return None
        except OSError:
            pass
        time.sleep(0.02)
    raise NotStartedError(f"{server.process.args} did not start:\n{server.logged()[-8000:]}")


def _ask_socket(socket_path: str, path: str) -> None:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(5)
        connection.connect(socket_path)
        connection.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
        if not connection.recv(1):
            raise ConnectionResetError
