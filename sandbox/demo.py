"""One real split, from the request to two audio files, through a local Suno: `make demo`."""

from __future__ import annotations

import json
import sys
import time
import urllib.error
import urllib.request
from typing import Any

from sandbox import stack
from sandbox.songs import OCEAN_WANDERER

FOLDER = stack.ROOT / "demo"
STAGES = ["submitted", "queued", "streaming", "complete"]
PATIENCE = 60.0
"""Seconds until the stems have to be complete."""


class FailedError(Exception):
    """The demo did not go as it should; the text says where."""


def main() -> int:
    """Run the demo; 0 when the two files are there."""
    try:
        with stack.suno() as suno, stack.service(suno.url) as service:
            stems = split(service.url)
            follow(suno.url, stems)
            for stem in stems:
                save(suno.url, stem)
    except (FailedError, stack.NotStartedError, urllib.error.URLError, OSError) as error:
        print(f"\nThe demo failed: {error}", file=sys.stderr)
        return 1
    print("\nBoth servers are stopped. `make sandbox` keeps them running, with Swagger UI to try.")
    return 0


def split(url: str) -> list[dict[str, Any]]:
    """Ask the service for the stems, as the shown curl line would."""
    body = json.dumps({"audio_id": OCEAN_WANDERER})
    print(f"$ curl -X POST {url}/api/generate_stems \\\n    -H 'Content-Type: application/json' \\\n    -d '{body}'")
    stems: list[dict[str, Any]] = ask(f"{url}/api/generate_stems", body)
    print(json.dumps(stems, indent=2))
    return stems


def follow(url: str, stems: list[dict[str, Any]]) -> None:
    """Show how far Suno is until every stem is complete."""
    token = sign_in(url)
    ids = ",".join(stem["id"] for stem in stems)
    ends = time.monotonic() + PATIENCE
    while time.monotonic() < ends:
        reply = ask(f"{url}/api/feed/v2?ids={ids}", headers={"Authorization": f"Bearer {token}"})
        statuses = [clip["status"] for clip in reply["clips"]]
        show_progress(statuses)
        if statuses and all(status == "complete" for status in statuses):
            print()
            return
        if "error" in statuses:
            raise FailedError("Suno could not make a stem.")
        time.sleep(0.1)
    raise FailedError(f"The stems were not complete after {PATIENCE:.0f} seconds.")


def show_progress(statuses: list[str]) -> None:
    """Draw a bar over the line before."""
    done = sum(STAGES.index(status) + 1 for status in statuses if status in STAGES)
    width = 30
    filled = width * done // (len(STAGES) * max(1, len(statuses)))
    print(f"\r[{'#' * filled}{'.' * (width - filled)}] {' / '.join(statuses):<24}", end="", flush=True)


def save(url: str, stem: dict[str, Any]) -> None:
    """Fetch a stem's audio into a file named after its part."""
    part = "vocals" if "Vocals" in stem["title"] else "instrumental"
    FOLDER.mkdir(exist_ok=True)
    file = FOLDER / f"{part}.wav"
    with urllib.request.urlopen(f"{url}/audio/{stem['id']}.wav", timeout=10) as reply:
        file.write_bytes(reply.read())
    print(f"{file.relative_to(stack.ROOT)}  {file.stat().st_size:,} bytes  {stem['title']}")


def sign_in(url: str) -> str:
    """Get a token of the sandbox's own sign-in."""
    query = "__clerk_api_version=2025-11-10&_clerk_js_version=5.117.0"
    cookie = {"Cookie": f"__client={stack.ACCOUNT}"}
    client = ask(f"{url}/v1/client?{query}", headers=cookie)
    session = client["response"]["last_active_session_id"]
    token: str = ask(f"{url}/v1/client/sessions/{session}/tokens?{query}", "{}", headers=cookie)["jwt"]
    return token


def ask(url: str, body: str | None = None, headers: dict[str, str] | None = None) -> Any:
    """Call an API of JSON; a failure's own words become the demo's."""
    request = urllib.request.Request(
        url,
        data=body.encode() if body is not None else None,
        headers={"Content-Type": "application/json", **(headers or {})},
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as reply:
            return json.load(reply)
    except urllib.error.HTTPError as error:
        raise FailedError(f"{url} answered {error.code}: {error.read().decode(errors='replace')[:300]}") from None


if __name__ == "__main__":
    sys.exit(main())
