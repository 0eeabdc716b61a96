"""One real split, from the request to a webhook, files on disk and a picture, through a local Suno: `make demo`."""

from __future__ import annotations

import array
import base64
import json
import secrets
import shlex
import sys
import time
import urllib.error
import urllib.request
import wave
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Empty, Queue
from tempfile import TemporaryDirectory
from threading import Thread
from typing import Any

from PIL import Image, ImageDraw
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from sandbox.songs import OCEAN_WANDERER
from tools import stack
from tools.process import ROOT, NotStartedError

SECRET = "whsec_" + base64.b64encode(b"the secret of the demo alone").decode()
FOLDER = ROOT / "demo"
STAGES = ["submitted", "queued", "streaming", "complete"]
PATIENCE = 60.0
"""Seconds to wait for complete stems, and again for the webhook and for the song's file."""

OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class FailedError(Exception):
    """The demo failed; the text says where."""


class Service:
    """A client of the service's API."""

    def __init__(self, url: str) -> None:
        self.url = url

    def get(self, path: str) -> Any:
        """Get JSON."""
        return self._ask(urllib.request.Request(f"{self.url}{path}"))[1]

    def post(self, path: str, body: dict[str, Any], *, shown: bool = False) -> tuple[int, Any]:
        """Send JSON; return the status and JSON of the reply. `shown`: print the equivalent curl command."""
        text = json.dumps(body)
        if shown:
            print(f"$ curl -X POST {self.url}{path} \\")
            print(f"    -H 'Content-Type: application/json' \\\n    -d {shlex.quote(text)}")
        headers = {"Content-Type": "application/json"}
        return self._ask(urllib.request.Request(f"{self.url}{path}", text.encode(), headers))

    def save(self, path: str, folder: Path) -> Path:
        """Save a file in a folder, under the name given by the reply, as `curl -OJ` does."""
        with OPENER.open(f"{self.url}{path}", timeout=60) as reply:
            file = folder / Path(reply.headers.get_filename()).name
            file.write_bytes(reply.read())
        return file

    def _ask(self, request: urllib.request.Request) -> tuple[int, Any]:
        try:
            with OPENER.open(request, timeout=60) as reply:
                return reply.status, json.load(reply)
        except urllib.error.HTTPError as error:
            words = error.read().decode(errors="replace")[:300]
            raise FailedError(f"{request.full_url} answered {error.code}: {words}") from None


def main() -> int:
    """Run the demo; return 0 if the files are there."""
    try:
        with ExitStack() as running:
            receiver = running.enter_context(receiving())
            settings = settings_in(running.enter_context(TemporaryDirectory()))
            # More of the local Suno's options: `make demo DEMO="--wire 2024"`.
            suno = running.enter_context(stack.suno("--pace", "0.7", *sys.argv[1:]))
            running.enter_context(stack.jobs(suno.url, settings))
            service = Service(running.enter_context(stack.service(suno.url, settings)).url)
            print(f"Credits before: {service.get('/api/get_limit')['credits_left']}\n")
            stems = split(service, receiver.url)
            follow(service, [stem["id"] for stem in stems])
            show_webhook(receiver, stems)
            print(f"Credits after: {service.get('/api/get_limit')['credits_left']}\n")
            FOLDER.mkdir(exist_ok=True)
            draw([fetch_song(service), *unpack(fetch_zip(service))], FOLDER / "waveforms.png")
    except (FailedError, NotStartedError, OSError, ValueError, KeyError) as error:
        print(f"\nThe demo failed: {type(error).__name__}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped.", file=sys.stderr)
        return 130
    print("\nAll servers are stopped. `make sandbox` keeps them running, with the page and Swagger UI to try.")
    return 0


def settings_in(folder: str) -> dict[str, str]:
    """The settings that the service and the jobs process share."""
    return {
        "SUNO_COOKIE": stack.ACCOUNT,
        "SUNO_POLL_INTERVAL": "0.5",
        "LEDGER_URL": f"sqlite:///{folder}/ledger.db",
        "JOBS_URL": f"sqlite:///{folder}/jobs.db",
        "AUDIO_URL": f"{folder}/audio",
        "LINK_SECRET": secrets.token_hex(32),
        "WEBHOOK_SECRET": SECRET,
        "WEBHOOK_HOSTS": "127.0.0.1",
    }


class Receiver(ThreadingHTTPServer):
    """Receives webhooks and keeps those with a valid signature."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.taken: Queue[dict[str, Any]] = Queue()
        self.url = f"http://127.0.0.1:{self.server_port}/stems"


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        """Verify a webhook, as every receiver should."""
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        try:
            told = Webhook(SECRET).verify(body, {name.lower(): value for name, value in self.headers.items()})
        except WebhookVerificationError:
            self.send_error(400)
            return
        self.server.taken.put(told)
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *about: Any) -> None:
        """Print nothing: the demo shows each webhook itself."""


@contextmanager
def receiving() -> Iterator[Receiver]:
    """Run a receiver."""
    with Receiver() as receiver:
        Thread(target=receiver.serve_forever, daemon=True).start()
        yield receiver
        receiver.shutdown()


def show_webhook(receiver: Receiver, stems: list[dict[str, Any]]) -> None:
    """Show the webhook that is sent once the files of the stems are kept."""
    try:
        told = receiver.taken.get(timeout=PATIENCE)
    except Empty:
        raise FailedError(f"no webhook came within {PATIENCE:.0f} seconds") from None
    files = told["data"]["files"]
    if [file["id"] for file in files if file["status"] == "kept"] != [stem["id"] for stem in stems]:
        raise FailedError(f"not all files are kept: {files}")
    print(f"A webhook came, and its signature is right: {told['type']}. The files and their URLs:")
    for file in files:
        print(f"  {file['filename']:<34} {file['bytes']:>8,} bytes   {file['url'][:60]}…")
    print()


def split(service: Service, webhook_url: str) -> list[dict[str, Any]]:
    """Split the song."""
    asked = {"audio_id": OCEAN_WANDERER, "audio_format": "wav", "webhook_url": webhook_url}
    _, stems = service.post("/api/generate_stems", asked, shown=True)
    print(json.dumps(stems, indent=2) + "\n")
    return list(stems)


def follow(service: Service, ids: list[str]) -> None:
    """Show Suno's progress until every stem is complete."""
    ends = time.monotonic() + PATIENCE
    shown: list[str] = []
    while time.monotonic() < ends:
        statuses = [clip["status"] for clip in service.get(f"/api/get?ids={','.join(ids)}")]
        if statuses != shown:
            show_progress(statuses)
            shown = statuses
        if len(statuses) == len(ids) and set(statuses) == {"complete"}:
            print()
            return
        if "error" in statuses:
            raise FailedError("Suno could not make a stem.")
        time.sleep(0.1)
    raise FailedError(f"the stems were not complete after {PATIENCE:.0f} seconds")


def show_progress(statuses: list[str]) -> None:
    """Draw a progress bar; on a terminal it replaces the last one."""
    done = sum(STAGES.index(status) + 1 for status in statuses if status in STAGES)
    width = 32
    filled = width * done // (len(STAGES) * max(1, len(statuses)))
    bar = f"[{'#' * filled}{'.' * (width - filled)}] {' / '.join(statuses)}"
    print(f"\r{bar:<70}" if sys.stdout.isatty() else bar, end="" if sys.stdout.isatty() else "\n", flush=True)


def fetch_zip(service: Service) -> Path:
    """Fetch the stems as one ZIP and list its content."""
    path = f"/api/stems.zip?audio_id={OCEAN_WANDERER}&format=wav"
    file = service.save(path, FOLDER)
    print(f'$ curl -OJ "{service.url}{path}"')
    print(f'$ unzip -l "{file.relative_to(ROOT)}"')
    with zipfile.ZipFile(file) as zipped:
        for each in zipped.infolist():
            print(f"{each.file_size:>9}  {each.filename}")
    return file


def unpack(zipped: Path) -> list[Path]:
    """Unpack the stems, the voice first."""
    with zipfile.ZipFile(zipped) as content:
        content.extractall(FOLDER)
        files = [FOLDER / name for name in content.namelist() if name.endswith(".wav")]
    return sorted(files, key=lambda file: "Vocals" not in file.name)


def fetch_song(service: Service) -> Path:
    """Have the service keep the song itself too, and fetch it, for comparison."""
    ends = time.monotonic() + PATIENCE
    wanted = {"ids": [OCEAN_WANDERER], "format": "wav"}
    status, files = service.post("/api/audio", wanted)
    while status == 202 and time.monotonic() < ends:
        time.sleep(0.1)
        status, files = service.post("/api/audio", wanted)
    if status != 200 or files[0]["status"] != "kept":
        raise FailedError(f"the song was not kept after {PATIENCE:.0f} seconds: {files}")
    return service.save(files[0]["url"].removeprefix(service.url), FOLDER)


def draw(files: list[Path], picture: Path) -> None:
    """Draw the waveforms of WAV files, one below the other."""
    width, height, margin = 1000, 140, 24
    image = Image.new("RGB", (width, len(files) * (height + margin)), "white")
    canvas = ImageDraw.Draw(image)
    for row, (file, colour) in enumerate(zip(files, ("#444444", "#c2410c", "#1d4ed8"), strict=True)):
        top = row * (height + margin)
        canvas.text((8, top + 5), file.stem, fill=colour, font_size=14)
        middle = top + margin + height / 2
        for x, (low, high) in enumerate(extremes(file, width)):
            canvas.line((x, middle - high * height / 2, x, middle - low * height / 2), fill=colour)
    image.save(picture)
    print(f"{picture.relative_to(ROOT)!s:<24} the song and its stems")


def extremes(file: Path, columns: int) -> list[tuple[float, float]]:
    """Return the lowest and highest sample of each column of 16-bit mono audio, from -1 to 1."""
    with wave.open(str(file)) as sound:
        samples = array.array("h", sound.readframes(sound.getnframes()))
    per_column = max(1, len(samples) // columns)
    slices = [samples[start : start + per_column] for start in range(0, per_column * columns, per_column)]
    return [(min(slice) / 32768, max(slice) / 32768) for slice in slices if slice]


if __name__ == "__main__":
    sys.exit(main())
