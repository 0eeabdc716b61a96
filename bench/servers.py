"""The stub, the service and nginx as processes, and their cost as the kernel reports it."""

from __future__ import annotations

import contextlib
import json
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tools.process import ROOT, Server, free_port, running

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


def cpu_ms(pids: list[int]) -> float:
    """CPU ms that the threads of these processes have used so far, in user and kernel mode."""
    threads = [thread for pid in pids for thread in Path(f"/proc/{pid}/task").iterdir()]
    return sum(int((thread / "schedstat").read_text(encoding="utf-8").split()[0]) for thread in threads) / 1e6


@dataclass(frozen=True)
class Loaded:
    """A server, and the call to load it with."""

    server: Server
    name: str
    port: int
    path: str
    body: str

    def pids(self) -> list[int]:
        """The ids of its processes, the parent first."""
        return self.server.pids()

    def cpu_ms(self) -> float:
        """CPU ms that its threads have used so far, in user and kernel mode."""
        return cpu_ms(self.pids())

    def resident_mb(self) -> list[float]:
        """Resident memory of each of its processes, in MB."""
        status = [Path(f"/proc/{pid}/status").read_text(encoding="utf-8") for pid in self.pids()]
        return [int(text.partition("VmRSS:")[2].split()[0]) / 1024 for text in status]

    def get(self, path: str) -> dict[str, int]:
        """Get a JSON object."""
        with _opener.open(f"http://127.0.0.1:{self.port}{path}", timeout=10) as reply:
            answer: dict[str, int] = json.load(reply)
            return answer

    def post(self) -> bool:
        """Make the call once; return whether the status is 200."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{self.path}", self.body.encode(), {"Content-Type": "application/json"}
        )
        try:
            with _opener.open(request, timeout=10) as reply:
                return bool(reply.status == 200)
        except (urllib.error.HTTPError, OSError):
            return False


@contextlib.contextmanager
def stub() -> Iterator[Loaded]:
    """Run the stub of Suno."""
    port = free_port()
    command = [sys.executable, str(ROOT / "bench/stub.py"), str(port)]
    with _running("straight", port, command) as server:
        yield server


@contextlib.contextmanager
def service(suno: Loaded, **settings: str) -> Iterator[Loaded]:
    """Run the service with gunicorn.conf.py, logging to a file."""
    port, url = free_port(), f"http://127.0.0.1:{suno.port}"
    own = {"SUNO_API_URL": url, "SUNO_AUTH_URL": url, "SUNO_COOKIE": "bench", "NO_PROXY": "127.0.0.1"}
    call = "/api/generate_stems", json.dumps({"audio_id": SONG})
    with tempfile.TemporaryDirectory() as folder:
        ledger = f"sqlite:///{folder}/ledger.db"
        environment = {"PORT": str(port), "WEB_CONCURRENCY": "2", "LEDGER_URL": ledger, **own, **settings}
        with _running("service", port, [sys.executable, "-m", "gunicorn"], *call, **environment) as server:
            yield server


@contextlib.contextmanager
def nginx(suno: Loaded) -> Iterator[Loaded]:
    """Run nginx as a bare proxy."""
    with tempfile.TemporaryDirectory() as folder:
        port, conf = free_port(), Path(folder) / "nginx.conf"
        conf.write_text(NGINX.format(folder=folder, stub=suno.port, port=port), encoding="utf-8")
        with _running("nginx", port, ["nginx", "-e", "stderr", "-c", str(conf)]) as server:
            yield server


@contextlib.contextmanager
def _running(
    name: str, port: int, command: list[str], path: str = f"/api/edit/stems/{SONG}/", body: str = "{}", **own: str
) -> Iterator[Loaded]:
    url = f"http://127.0.0.1:{port}"
    with running(
        command, lambda server: Loaded(server, name, port, path, body).post(), url=url, settings=own
    ) as server:
        yield Loaded(server, name, port, path, body)
