"""Debian's nginx with deploy/nginx.conf, started by the tests in front of the service."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from tests import stack
from tests.conftest import Client, Suno, until
from tools.process import Server, free_port, running

NGINX = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
OPENSSL = shutil.which("openssl")

HAS_IPV6 = Path("/proc/net/if_inet6").exists() and "00000001 01" in Path("/proc/net/if_inet6").read_text()
"""Whether this machine has the address ::1."""

OFTEN = 10_000
"""A burst that no test reaches: the tests send more requests than a caller may."""

SHORT = {
    "LOG_LEVEL": "DEBUG",
    "SUNO_CONNECT_TIMEOUT": "1",
    "SUNO_READ_TIMEOUT": "1.5",
    "SUNO_DEADLINE": "2",
    "SUNO_POLL_INTERVAL": "0.1",
}


@dataclass(frozen=True)
class Tls:
    """A self-signed certificate for localhost."""

    certificate: Path
    key: Path


class Proxy(Client):
    """A client of the service behind nginx, which also controls that nginx."""

    def __init__(self, server: Server, tls: Tls, folder: Path, metrics_url: str = "") -> None:
        super().__init__(server)
        self.tls = tls
        self.folder = folder
        self.metrics_url = metrics_url
        """The server for Prometheus."""

    def request(self, method: str, path: str, **options: Any) -> requests.Response:
        return super().request(method, path, verify=str(self.tls.certificate), **options)

    def balance(self, servers: Sequence[str]) -> None:
        """Write the upstream file. Each of `servers` is the text after the word `server`."""
        one = "server unix:/run/suno-stems/gunicorn.sock;"
        text = Path("deploy/upstream.conf").read_text(encoding="utf-8")
        assert text.count(one) == 1
        text = text.replace(one, " ".join(f"server {server};" for server in servers))
        (self.folder / "upstream.conf").write_text(text, encoding="utf-8")

    def reload(self) -> None:
        """Reload, and wait until the old workers have finished their requests."""
        old = workers(self.server.process.pid)
        subprocess.run([*command(self.folder), "-s", "reload"], check=True, capture_output=True)

        def all_are_new() -> bool:
            assert self.server.process.poll() is None
            return not old & workers(self.server.process.pid)

        until(all_are_new)

    def logged(self) -> str:
        return "".join(log.read_text(encoding="utf-8") for log in sorted(self.folder.glob("*.log")))


def workers(pid: int) -> set[int]:
    return {int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}


def command(folder: Path) -> list[str]:
    assert NGINX
    return [NGINX, "-e", str(folder / "main.log"), "-p", str(folder), "-c", str(folder / "nginx.conf")]


@contextmanager
def nginx_at(folder: Path, tls: Tls, *servers: str, burst: int | None = None, **changes: str) -> Iterator[Proxy]:
    """Run nginx with deploy/nginx.conf in front of `servers`, with only the changes that the tests need.

    `burst` replaces the burst of every limit. `changes` replaces directives: `proxy_read_timeout="…"` replaces
    everything after the name.
    """
    port, metrics_port = free_port(), free_port()
    text = Path("deploy/nginx.conf").read_text(encoding="utf-8")
    for production, here in {
        "/etc/nginx/suno-stems/upstream.conf": f"{folder}/upstream.conf",
        "/etc/nginx/suno-stems/fullchain.pem": f"{tls.certificate}",
        "/etc/nginx/suno-stems/privkey.pem": f"{tls.key}",
        "/var/log/nginx/": f"{folder}/",
        "listen 443 ": f"listen 127.0.0.1:{port} ",
        "listen [::]:443 ": f"listen [::1]:{port} ",
        "server_name stems.example.com;": "server_name localhost;",
        "listen 127.0.0.1:9180;": f"listen 127.0.0.1:{metrics_port};",
        "Host stems.example.com;": "Host localhost;",
    }.items():
        assert text.count(production) >= 1, production
        text = text.replace(production, here)
    if burst is not None:
        text = re.sub(r" burst=\d+ ", f" burst={burst} ", text)
    for name, value in changes.items():
        [line] = [line for line in text.splitlines() if line.strip().startswith(f"{name} ")]
        text = text.replace(line, f"{name} {value};")
    if not HAS_IPV6:
        text = text.replace(f"listen [::1]:{port} ", "# listen [::1] ")
    (folder / "suno-stems.conf").write_text(text, encoding="utf-8")
    temporary = " ".join(
        f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        # Without this, nginx started by root runs its workers as a user that cannot read the folder.
        f"{'user root;' if os.geteuid() == 0 else ''} daemon off; pid {folder}/pid; worker_processes 2;\n"
        f"error_log {folder}/main.log warn; events {{ worker_connections 500; }}\n"
        f"http {{ {temporary} include {folder}/suno-stems.conf; }}\n",
        encoding="utf-8",
    )
    # The certificate is for this name.
    url = f"https://localhost:{port}"
    Proxy(Server(url, None, folder / "main.log"), tls, folder).balance(servers)
    with running(command(folder), lambda server: answers(Proxy(server, tls, folder)), url=url) as server:
        yield Proxy(server, tls, folder, f"http://127.0.0.1:{metrics_port}")


def answers(proxy: Proxy) -> bool:
    try:
        return proxy.get("/metrics").status_code == 404
    except requests.ConnectionError:
        return False


@pytest.fixture(scope="session")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Tls:
    if not NGINX or not OPENSSL:
        pytest.skip("nginx and openssl are not both installed: deploy/nginx.conf is not tested")
    folder = tmp_path_factory.mktemp("tls")
    made = Tls(folder / "certificate.pem", folder / "key.pem")
    options = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    files = ["-out", str(made.certificate), "-keyout", str(made.key)]
    subprocess.run([OPENSSL, *options, *names, *files], check=True, capture_output=True)
    return made


@dataclass(frozen=True)
class Stack:
    """The service on a unix socket, and nginx in front of it."""

    service: Server
    socket: Path
    nginx: Proxy


@pytest.fixture(scope="session")
def deployed(suno: Suno, tls: Tls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("deployed")
    socket = folder / "gunicorn.sock"
    with ExitStack() as servers:
        service = servers.enter_context(
            stack.service(suno.url, SHORT | {"HOST": f"unix:{socket}", "TRUSTED_HOSTS": "localhost"})
        )
        nginx = servers.enter_context(nginx_at(folder, tls, f"unix:{socket}", burst=OFTEN))
        yield Stack(service, socket, nginx)
