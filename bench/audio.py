"""The cost of serving kept audio: `python -m bench.audio`. README.md explains the figures.

wrk fetches a file of 60 MB over 1, 4 and 32 connections: from the service, from nginx directly out of its folder,
and from nginx by X-Accel-Redirect. curl fetches a ZIP of 24 such files. All processes share one machine. It needs
1.5 GB of disk temporarily.
"""

from __future__ import annotations

import json
import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from app.audio.fetch import Fetcher
from bench.servers import cpu_ms
from bench.waiters import control, split
from tools import stack
from tools.process import Server, free_port, running

SONG = "c3d4e5f6-a7b8-9012-cdef-123456789012"
LENGTH = 1_400
"""Seconds of the local Suno's WAV files: 62 MB."""

ROUNDS = 7
CONNECTIONS = (1, 4, 32)
LOADED_SECONDS = 3
MB_PER_UNIT = {"B": 1e-6, "KB": 1024 / 1e6, "MB": 1024**2 / 1e6, "GB": 1024**3 / 1e6}
"""MB in each unit that wrk prints."""

AT_ONCE = 32
BESIDE = 16
SPLITS = 100
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def ask(url: str, body: dict[str, Any] | None = None) -> Any:
    """Send a request to the service; return the JSON of the reply."""
    request = urllib.request.Request(url, json.dumps(body).encode() if body else None)
    request.add_header("Content-Type", "application/json")
    with OPENER.open(request, timeout=300) as reply:
        return json.load(reply)


def curl(url: str, file: Path = Path("/dev/null")) -> tuple[float, float]:
    """Fetch a URL; return MB per second and the seconds until the first byte."""
    form = "%{http_code} %{speed_download} %{time_starttransfer}"
    command = ["curl", "--silent", "--noproxy", "*", "--output", str(file), "--write-out", form, url]
    status, speed, first = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    if status != "200":
        sys.exit(f"{url} answered {status}")
    return float(speed) / 1e6, float(first)


def keep(service: str) -> list[dict[str, Any]]:
    """Split a song into every instrument, two takes of each, and wait until the files are kept."""
    ask(f"{service}/api/generate_stems", {"audio_id": SONG, "stem_task": "twelve", "wait_audio": True})
    wanted = {"audio_id": SONG, "format": "wav"}
    while True:
        files: list[dict[str, Any]] = ask(f"{service}/api/audio", wanted)
        if all(file["status"] == "kept" for file in files):
            return files
        if any(file["status"] == "failed" for file in files):
            sys.exit(f"not all files are kept: {files}")
        time.sleep(0.5)


@contextmanager
def nginx(folder: Path, audio: Path, service: str) -> Iterator[Server]:
    """Run nginx over the folder of kept audio, and in front of a service that uses X-Accel-Redirect."""
    port = free_port()
    user = "user root;" if os.geteuid() == 0 else ""
    (folder / "nginx.conf").write_text(
        f"{user} daemon off; worker_processes 2; pid {folder}/pid; error_log {folder}/log; events {{}}\n"
        f"http {{ access_log off; sendfile on; server {{ listen 127.0.0.1:{port}; root {audio};\n"
        f"location /api/ {{ proxy_pass {service}; }} location /kept/ {{ internal; alias {audio}/; }} }} }}\n"
    )
    command = ["nginx", "-p", str(folder), "-c", str(folder / "nginx.conf")]
    with running(command, _listens, url=f"http://127.0.0.1:{port}") as server:
        yield server


def _listens(server: Server) -> bool:
    with socket.create_connection(("127.0.0.1", urlsplit(server.url).port or 0)):
        return True


def load(url: str, connections: int, servers: list[Server]) -> tuple[float, float]:
    """Fetch a URL again and again over so many connections; return MB per second and CPU ms of the servers per MB."""
    pids = [pid for server in servers for pid in server.pids()]
    before = cpu_ms(pids)
    command = ["wrk", "-t1", f"-c{connections}", f"-d{LOADED_SECONDS}s", "--timeout", "60s", url]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in printed:
        sys.exit(f"{url} did not answer 200: {printed}")
    [(number, unit)] = re.findall(r"([0-9.]+)(B|KB|MB|GB) read", printed)
    fetched = float(number) * MB_PER_UNIT[unit]
    return fetched / LOADED_SECONDS, (cpu_ms(pids) - before) / fetched


def compare(servers: dict[str, tuple[str, list[Server]]]) -> None:
    """Load each server in turn, and print the medians. `servers`: by name, what to fetch and who serves it."""
    for connections in CONNECTIONS:
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in servers}
        for _ in range(ROUNDS):
            for name, (url, processes) in servers.items():
                found[name].append(load(url, connections, processes))
        for name, runs in found.items():
            speed, cpu = (statistics.median(figures) for figures in zip(*runs, strict=True))
            print(f"  {connections:2} connections, {name}: {speed:,.0f} MB/s, {cpu:.2f} s of CPU per GB", flush=True)


def memory(server: Server) -> float:
    """Memory (PSS) of a server's processes, in MB."""
    lines = [line for pid in server.pids() for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()]
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


@contextmanager
def downloads(url: str, number: int, *options: str) -> Iterator[None]:
    """Fetch a URL repeatedly, with `number` downloads at once."""
    command = f"while :; do curl --silent --noproxy '*' --output /dev/null {' '.join(options)} '{url}' || exit; done"
    running = [subprocess.Popen(["sh", "-c", command], start_new_session=True) for _ in range(number)]
    time.sleep(2)
    try:
        yield
    finally:
        for process in running:
            os.killpg(process.pid, 9)
            process.wait()


def median_split(service: str) -> float:
    """Median duration of an ordinary split, in milliseconds."""
    return statistics.median(split(service) for _ in range(SPLITS)) * 1000


def main() -> int:
    """Measure, and print a table."""
    with ExitStack() as opened:
        folder = Path(opened.enter_context(tempfile.TemporaryDirectory(dir=Path.cwd())))
        settings = {
            "SUNO_COOKIE": "sandbox-rich",
            "SUNO_POLL_INTERVAL": "0.5",
            "LEDGER_URL": f"sqlite:///{folder}/ledger.db",
            "JOBS_URL": f"sqlite:///{folder}/jobs.db",
            "AUDIO_URL": f"file://{folder}/audio",
            "LINK_SECRET": "l" * 32,
        }
        suno = opened.enter_context(stack.suno("--pace", "0.2", "--set", f"audio_length={LENGTH}"))
        opened.enter_context(stack.jobs(suno.url, settings))
        service = opened.enter_context(stack.service(suno.url, settings))
        files = keep(service.url)
        file = files[0]["url"]
        [on_disk] = folder.glob(f"audio/*/{files[0]['id']}.wav")
        sends_by_nginx = opened.enter_context(stack.service(suno.url, settings | {"AUDIO_ACCEL": "/kept/"}))
        beside = opened.enter_context(nginx(folder, folder / "audio", sends_by_nginx.url))
        servers = {
            "the service": (str(file), [service]),
            "nginx": (f"{beside.url}/{on_disk.relative_to(folder / 'audio')}", [beside]),
            "both, by X-Accel-Redirect": (file.replace(service.url, beside.url), [beside, sends_by_nginx]),
        }
        print(f"a kept file of {files[0]['bytes'] / 1e6:.0f} MB:")
        compare(servers)
        _, first = curl(f"{service.url}/api/stems.zip?audio_id={SONG}&format=wav")
        print(f"a ZIP of {len(files)} such files begins after {first * 1000:.0f} ms")
        address = ask(f"{service.url}/api/download", {"id": files[0]["id"], "format": "wav", "wait": True})
        at_suno, fetched, by_curl = address["download_url"], [], []
        for _ in range(ROUNDS):
            began = time.perf_counter()
            size = Fetcher(loopback_too=True).fetch(lambda: at_suno, folder / "fetched", format="wav")
            fetched.append(size / 1e6 / (time.perf_counter() - began))
            by_curl.append(curl(at_suno, folder / "by-curl")[0])
        print(f"a fetch from the local Suno: {statistics.median(fetched):.0f} MB/s", end="")
        print(f", curl {statistics.median(by_curl):.0f} MB/s")
        before = memory(service)
        with downloads(file, AT_ONCE, "--limit-rate", "20M"):
            print(f"{AT_ONCE} downloads at once: {memory(service) - before:.1f} MB more")
        for delay, rate in ((0.1, "10M"), (0.1, "1000M"), (0.0, "10M"), (0.0, "1000M")):
            control(suno.url, "settings", {"delay": delay})
            alone = median_split(service.url)
            with downloads(file, BESIDE, "--limit-rate", rate):
                together = median_split(service.url)
            print(
                f"Suno at {delay * 1000:.0f} ms, a split during {BESIDE} downloads of at most {rate}B/s: "
                f"{together:.1f} ms, alone {alone:.1f} ms"
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
