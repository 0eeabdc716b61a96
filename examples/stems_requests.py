"""Saves the stems of a song, given its link. Needs requests.

python stems_requests.py https://suno.com/song/<id> [folder]
"""

import os
import re
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import requests

BASE = os.environ.get("SUNO_STEMS_URL", "http://127.0.0.1:3000")
RETRIES = 5
LOST = (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError)

session = requests.Session()
if "SUNO_STEMS_API_KEY" in os.environ:
    session.headers["X-API-Key"] = os.environ["SUNO_STEMS_API_KEY"]


class Failed(SystemExit):
    """The service refused a request, or did not answer. It ends the program with the message, unless it is caught."""


def ask(method: str, path: str, **options: Any) -> requests.Response:
    """Send a request; retry after a lost connection, 409 or 503. Raises Failed."""
    for left in reversed(range(RETRIES + 1)):
        wait = "1"
        try:
            reply = session.request(method, BASE + path, timeout=150, **options)
        except LOST as error:
            complaint = f"No answer from {BASE}: {error!r}"
        else:
            if reply.ok:
                return reply
            is_json = "json" in reply.headers.get("Content-Type", "")
            complaint = reply.json()["error"] if is_json else f"{BASE} answered {reply.status_code}."
            if reply.status_code not in (409, 503):
                break
            wait = reply.headers.get("Retry-After", wait)
        if left:
            time.sleep(int(wait))
    raise Failed(complaint)


def clean(name: str) -> str:
    """The name as a part of a path: nothing that leaves the folder or hides."""
    return re.sub(r"[/\\\x00-\x1f\x7f-\x9f]", "_", name).lstrip(". ") or "Untitled"


if len(sys.argv) < 2:
    sys.exit(__doc__)
folder = Path(sys.argv[2] if len(sys.argv) > 2 else ".")

# One key for song, kind and day: a retry, a second run and one after a crash are paid for once.
song = sys.argv[1].partition("?")[0].rstrip("/").rpartition("/")[2]
key = {"Idempotency-Key": f"{song}-two-{datetime.now(UTC).date()}"}
wanted = {"audio_id": sys.argv[1], "wait_audio": True, "audio_format": "mp3", "reuse_existing": True}
stems = ask("POST", "/api/generate_stems", json=wanted, headers=key).json()

ids = {"ids": [stem["id"] for stem in stems], "format": "mp3"}
while (reply := ask("POST", "/api/audio", json=ids)).status_code == 202:
    time.sleep(int(reply.headers["Retry-After"]))

folder.mkdir(parents=True, exist_ok=True)
complaints = []
for file in reply.json():
    path = folder / clean(file["filename"])
    try:
        if file["error"]:
            raise Failed(file["error"])
        path.write_bytes(ask("GET", f"/api/audio/{file['id']}.mp3").content)
        print(path)
    except (Failed, OSError) as error:
        complaints.append(f"{path.name}: {error}")
sys.exit("\n".join(complaints) or None)
