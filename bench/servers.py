"""The stub, the service and nginx as processes, and what the kernel knows of their cost."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SONG = "c3d4e5f6-a7b8-9012-cdef-123456789012"
NGINX = """\
daemon off;
pid {folder}/nginx.pid;
worker_processes 2;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  keepalive_requests 1000000;
  upstream stub {{ server 127.0.0.1:{stub}; keepalive 512; keepalive_requests 1000000; }}
  server {{
    listen 127.0.0.1:{port} backlog=2048;
    location / {{ proxy_pass http://stub; proxy_http_version 1.1; proxy_set_header Connection ""; }}
  }}
}}
"""

_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True)
class Server:
    """A process with its children, and the call that it is loaded with."""

    name: str
    port: int
    path: str
    body: str
    process: subprocess.Popen[bytes]

    def pids(self) -> list[int]:
        """Its processes, the first one first."""
        parent = self.process.pid
        children = Path(f"/proc/{parent}/task/{parent}/children").read_text(encoding="utf-8")
        return [parent, *map(int, children.split())]

    def cpu_ms(self) -> float:
        """CPU time that its threads have used so far, in user and kernel mode."""
        threads = [thread for pid in self.pids() for thread in Path(f"/proc/{pid}/task").iterdir()]
        return sum(int((thread / "schedstat").read_text(encoding="utf-8").split()[0]) for thread in threads) / 1e6

    def resident_mb(self) -> list[float]:
        """Resident memory of each of its processes."""
        status = [Path(f"/proc/{pid}/status").read_text(encoding="utf-8") for pid in self.pids()]
        return [int(text.partition("VmRSS:")[2].split()[0]) / 1024 for text in status]

    def get(self, path: str) -> dict[str, int]:
        """Ask for a JSON object."""
        with _opener.open(f"http://127.0.0.1:{self.port}{path}", timeout=10) as reply:
            answer: dict[str, int] = json.load(reply)
            return answer

    def post(self) -> bool:
        """Make the call once; whether it was answered well."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{self.path}", self.body.encode(), {"Content-Type": "application/json"}
        )
        try:
            with _opener.open(request, timeout=10) as reply:
                return bool(reply.status == 200)
        except (urllib.error.HTTPError, OSError):
            return False


@contextlib.contextmanager
def stub() -> Iterator[Server]:
    """Suno, at no cost."""
    port = _free_port()
    command = [sys.executable, str(ROOT / "bench/stub.py"), str(port)]
    with _running("straight", port, command) as server:
        yield server


@contextlib.contextmanager
def service(suno: Server, **settings: str) -> Iterator[Server]:
    """The service as gunicorn.conf.py has it, its log in a file."""
    port, url = _free_port(), f"http://127.0.0.1:{suno.port}"
    own = {"SUNO_API_URL": url, "SUNO_AUTH_URL": url, "SUNO_COOKIE": "bench", "NO_PROXY": "127.0.0.1"}
    call = "/api/generate_stems", json.dumps({"audio_id": SONG})
    with tempfile.TemporaryDirectory() as folder:
        ledger = f"sqlite:///{folder}/ledger.db"
        environment = {"PORT": str(port), "WEB_CONCURRENCY": "2", "LEDGER_URL": ledger, **own, **settings}
        with _running("service", port, [sys.executable, "-m", "gunicorn"], *call, **environment) as server:
            yield server


@contextlib.contextmanager
def nginx(suno: Server) -> Iterator[Server]:
    """A proxy that does nothing else."""
    with tempfile.TemporaryDirectory() as folder:
        port, conf = _free_port(), Path(folder) / "nginx.conf"
        conf.write_text(NGINX.format(folder=folder, stub=suno.port, port=port), encoding="utf-8")
        with _running("nginx", port, ["nginx", "-e", "stderr", "-c", str(conf)]) as server:
            yield server


@contextlib.contextmanager
def _running(
    name: str, port: int, command: list[str], path: str = f"/api/edit/stems/{SONG}/", body: str = "{}", **own: str
) -> Iterator[Server]:
    # Not the caller's own settings: they may name a real account, which nothing here may spend.
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("SUNO_", "GUNICORN_"))}
    with tempfile.TemporaryFile() as log:
        environment = {**inherited, "PATH": f"{os.environ['PATH']}:/usr/sbin", **own}
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT)
        server = Server(name, port, path, body, process)
        try:
            ends = time.monotonic() + 30
            while not server.post():
                if process.poll() is not None or time.monotonic() > ends:
                    log.seek(0)
                    sys.exit(f"{name} did not start:\n{log.read().decode(errors='replace')[-2000:]}")
                time.sleep(0.01)
            yield server
        finally:
            process.terminate()
            process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
