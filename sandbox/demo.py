"""One real split, from the request to audio files and a picture, through a local Suno: `make demo`."""

from __future__ import annotations

import array
import json
import shlex
import sys
import time
import urllib.error
import urllib.request
import wave
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

from sandbox import stack
from sandbox.songs import OCEAN_WANDERER

FOLDER = stack.ROOT / "demo"
STAGES = ["submitted", "queued", "streaming", "complete"]
PATIENCE = 60.0
"""Seconds until the stems have to be complete, and again until each file has to be ready."""

OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class FailedError(Exception):
    """The demo did not go as it should; the text says where."""


class Service:
    """The service's API, as any client would use it."""

    def __init__(self, url: str) -> None:
        self._url = url

    def get(self, path: str) -> Any:
        """Ask for something."""
        return self._ask(urllib.request.Request(f"{self._url}{path}"))[1]

    def post(self, path: str, body: dict[str, Any], *, shown: bool = False) -> tuple[int, Any]:
        """Send JSON; the status and the JSON that comes back. `shown`: print the curl line that does the same."""
        text = json.dumps(body)
        if shown:
            print(f"$ curl -X POST {self._url}{path} \\")
            print(f"    -H 'Content-Type: application/json' \\\n    -d {shlex.quote(text)}")
        headers = {"Content-Type": "application/json"}
        return self._ask(urllib.request.Request(f"{self._url}{path}", text.encode(), headers))

    def _ask(self, request: urllib.request.Request) -> tuple[int, Any]:
        try:
            with OPENER.open(request, timeout=60) as reply:
                return reply.status, json.load(reply)
        except urllib.error.HTTPError as error:
            words = error.read().decode(errors="replace")[:300]
            raise FailedError(f"{request.full_url} answered {error.code}: {words}") from None


def main() -> int:
    """Run the demo; 0 when the files are there."""
    try:
        # More of the local Suno's options: `make demo DEMO="--wire 2024"`.
        with stack.suno("--pace", "0.7", *sys.argv[1:]) as suno, stack.service(suno.url) as server:
            service = Service(server.url)
            print(f"Credits before: {service.get('/api/get_limit')['credits_left']}\n")
            stems = split(service)
            follow(service, [stem["id"] for stem in stems])
            print(f"Credits after: {service.get('/api/get_limit')['credits_left']}\n")
            FOLDER.mkdir(exist_ok=True)
            files = [save(service, OCEAN_WANDERER, "song")]
            files += [save(service, stem["id"], part_of(stem)) for stem in stems]
            draw(files, FOLDER / "waveforms.png")
    except (FailedError, stack.NotStartedError, OSError, ValueError, KeyError) as error:
        print(f"\nThe demo failed: {type(error).__name__}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped.", file=sys.stderr)
        return 130
    print("\nBoth servers are stopped. `make sandbox` keeps them running, with Swagger UI to try.")
    return 0


def split(service: Service) -> list[dict[str, Any]]:
    """Ask for the stems of the song."""
    _, stems = service.post("/api/generate_stems", {"audio_id": OCEAN_WANDERER}, shown=True)
    print(json.dumps(stems, indent=2) + "\n")
    return list(stems)


def follow(service: Service, ids: list[str]) -> None:
    """Show how far Suno is until every stem is complete."""
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
    """Draw a bar, over the last one on a terminal."""
    done = sum(STAGES.index(status) + 1 for status in statuses if status in STAGES)
    width = 32
    filled = width * done // (len(STAGES) * max(1, len(statuses)))
    bar = f"[{'#' * filled}{'.' * (width - filled)}] {' / '.join(statuses)}"
    print(f"\r{bar:<70}" if sys.stdout.isatty() else bar, end="" if sys.stdout.isatty() else "\n", flush=True)


def part_of(stem: dict[str, Any]) -> str:
    """Name a stem's file after its part."""
    return "vocals" if "Vocals" in stem["title"] else "instrumental"


def save(service: Service, id: str, name: str) -> Path:
    """Fetch a clip's audio, asking until it is ready."""
    ends = time.monotonic() + PATIENCE
    status, reply = service.post("/api/download", {"id": id, "format": "wav"})
    while status == 202 and time.monotonic() < ends:
        time.sleep(0.1)
        status, reply = service.post("/api/download", {"id": id, "format": "wav"})
    if not reply["download_url"]:
        raise FailedError(f"{name}.wav was not ready after {PATIENCE:.0f} seconds")
    file = FOLDER / f"{name}.wav"
    with OPENER.open(reply["download_url"], timeout=30) as audio:
        file.write_bytes(audio.read())
    with wave.open(str(file)) as sound:
        seconds = sound.getnframes() / sound.getframerate()
    print(f"{file.relative_to(stack.ROOT)!s:<24} {seconds:.1f} s, {file.stat().st_size:,} bytes")
    return file


def draw(files: list[Path], picture: Path) -> None:
    """Draw the waveforms of WAV files under each other."""
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
    print(f"{picture.relative_to(stack.ROOT)!s:<24} the song, and what it was split into")


def extremes(file: Path, columns: int) -> list[tuple[float, float]]:
    """Find the lowest and highest sample of each column, from -1 to 1, of 16-bit mono audio."""
    with wave.open(str(file)) as sound:
        samples = array.array("h", sound.readframes(sound.getnframes()))
    per_column = max(1, len(samples) // columns)
    slices = [samples[start : start + per_column] for start in range(0, per_column * columns, per_column)]
    return [(min(slice) / 32768, max(slice) / 32768) for slice in slices if slice]


if __name__ == "__main__":
    sys.exit(main())
