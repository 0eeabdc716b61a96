"""Run a server for tests, bench and tools: log its output, wait until it is ready, stop it at the end."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

STARTS_WITHIN = 30.0
"""Seconds."""

ENDS_WITHIN = 60.0
"""Seconds from SIGTERM to SIGKILL."""


class NotStartedError(Exception):
    """A server did not start: the text has the end of its log, or says that its port is in use."""


@dataclass(frozen=True)
class Server:
    """A server process and its URL."""

    url: str
    process: subprocess.Popen[bytes]
    log: Path

    def logged(self) -> str:
        """Everything that the process has written so far."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def pids(self) -> list[int]:
        """The ids of its processes, the parent first."""
        parent = self.process.pid
        children = Path(f"/proc/{parent}/task/{parent}/children").read_text(encoding="utf-8")
        return [parent, *map(int, children.split())]

    def kill(self) -> None:
        """End all of its processes at once, without a graceful stop."""
        with contextlib.suppress(OSError):
            # The parent first: it would replace the others.
            for pid in self.pids():
                os.kill(pid, signal.SIGKILL)


@contextlib.contextmanager
def running(
    command: Sequence[str],
    is_ready: Callable[[Server], bool],
    *,
    url: str = "",
    settings: Mapping[str, str] | None = None,
    cwd: Path = ROOT,
) -> Iterator[Server]:
    """Run a server with additional environment variables. Raises NotStartedError.

    `cwd`: the folder with its code. `is_ready` is polled; if it raises OSError, the server is not ready yet.
    """
    # Drop the caller's own settings: they may name a real account, and its credits must not be spent here.
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("SUNO_", "GUNICORN_"))}
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                list(command),
                cwd=cwd,
                env={**inherited, "PATH": f"{os.environ['PATH']}:/usr/sbin", "TMPDIR": folder, **(settings or {})},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
            server = Server(url, process, log)
            try:
                _wait_for(server, is_ready)
                yield server
            finally:
                process.terminate()
                try:
                    process.wait(timeout=ENDS_WITHIN)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()


def _wait_for(server: Server, is_ready: Callable[[Server], bool]) -> None:
    ends = time.monotonic() + STARTS_WITHIN
    while server.process.poll() is None and time.monotonic() < ends:
        with contextlib.suppress(OSError):
            if is_ready(server):
                return
        time.sleep(0.02)
    raise NotStartedError(f"{server.process.args!r} did not start:\n{server.logged()[-8000:]}")


_ports = itertools.count(os.getpid() * 997)


def free_port() -> int:
    """Find a free port.

    It is not an ephemeral port, which an outgoing connection could take before the server does. Parallel processes
    start their search far apart, so that they do not find the same port.
    """
    while True:
        port = 10_000 + next(_ports) % 20_000
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def require_free(port: int) -> None:
    """Raise NotStartedError if the port is in use: another server must not be mistaken for the one to start."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise NotStartedError(f"port {port} cannot be used: {error.strerror}. Set PORT to another one.") from None
