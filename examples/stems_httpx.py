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


async def ask(client: httpx.AsyncClient, method: str, path: str, **options: Any) -> httpx.Response:
    """Send a request; retry after a lost connection, 409 or 503. Exit with the message if it fails."""
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
    sys.exit(complaint)


async def save(client: httpx.AsyncClient, file: dict[str, Any], folder: Path) -> None:
    """Download a kept file."""
    path = folder / re.sub(r"[/\\]", "_", file["filename"])
    path.write_bytes((await ask(client, "GET", f"/api/audio/{file['id']}.mp3")).content)
    print(path)


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
        files = reply.json()
        await asyncio.gather(*(save(client, file, folder) for file in files if file["status"] == "kept"))
    sys.exit("\n".join(f"{file['filename']}: {file['error']}" for file in files if file["error"]) or None)


if len(sys.argv) < 2:
    sys.exit(__doc__)
asyncio.run(main(sys.argv[1], Path(sys.argv[2] if len(sys.argv) > 2 else ".")))
