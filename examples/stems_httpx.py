"""Saves the stems of a song, given its link. Needs httpx.

python stems_httpx.py https://suno.com/song/<id> [folder]
"""

import asyncio
import os
import re
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

BASE = os.environ.get("SUNO_STEMS_URL", "http://127.0.0.1:3000")
HEADERS = {"X-API-Key": os.environ["SUNO_STEMS_API_KEY"]} if "SUNO_STEMS_API_KEY" in os.environ else {}
RETRIES = 5


class Failed(SystemExit):
    """The service refused a request, or did not answer. It ends the program with the message, unless it is caught."""


async def ask(client: httpx.AsyncClient, method: str, path: str, **options: Any) -> httpx.Response:
    """Send a request; retry after a lost connection, 409 or 503. Raises Failed."""
    for left in reversed(range(RETRIES + 1)):
        wait = "1"
        try:
            reply = await client.request(method, path, **options)
        except httpx.TransportError as error:
            complaint = f"No answer from {BASE}: {error!r}"
        else:
            if reply.is_success:
                return reply
            is_json = "json" in reply.headers.get("Content-Type", "")
            complaint = reply.json()["error"] if is_json else f"{BASE} answered {reply.status_code}."
            if reply.status_code not in (409, 503):
                break
            wait = reply.headers.get("Retry-After", wait)
        if left:
            await asyncio.sleep(int(wait))
    raise Failed(complaint)


def clean(name: str) -> str:
    """The name as a part of a path: nothing that leaves the folder or hides."""
    return re.sub(r"[/\\\x00-\x1f\x7f-\x9f]", "_", name).lstrip(". ") or "Untitled"


async def save(client: httpx.AsyncClient, file: dict[str, Any], folder: Path) -> str:
    """Download a file. Returns what failed, or ""."""
    path = folder / clean(file["filename"])
    try:
        if file["error"]:
            raise Failed(file["error"])
        path.write_bytes((await ask(client, "GET", f"/api/audio/{file['id']}.mp3")).content)
        print(path)
    except (Failed, OSError) as error:
        return f"{path.name}: {error}"
    return ""


async def main(link: str, folder: Path) -> None:
    """Split the song, wait for the files, download them in parallel."""
    async with httpx.AsyncClient(base_url=BASE, headers=HEADERS, timeout=150) as client:
        # One key for song, kind and day: a retry, a second run and one after a crash are paid for once.
        song = link.partition("?")[0].rstrip("/").rpartition("/")[2]
        key = {"Idempotency-Key": f"{song}-two-{datetime.now(UTC).date()}"}
        wanted = {"audio_id": link, "wait_audio": True, "audio_format": "mp3", "reuse_existing": True}
        stems = (await ask(client, "POST", "/api/generate_stems", json=wanted, headers=key)).json()

        ids = {"ids": [stem["id"] for stem in stems], "format": "mp3"}
        while (reply := await ask(client, "POST", "/api/audio", json=ids)).status_code == 202:
            await asyncio.sleep(int(reply.headers["Retry-After"]))

        folder.mkdir(parents=True, exist_ok=True)
        complaints = await asyncio.gather(*(save(client, file, folder) for file in reply.json()))
    sys.exit("\n".join(filter(None, complaints)) or None)


if len(sys.argv) < 2:
    sys.exit(__doc__)
asyncio.run(main(sys.argv[1], Path(sys.argv[2] if len(sys.argv) > 2 else ".")))
