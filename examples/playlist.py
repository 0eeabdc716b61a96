"""Saves the stems of a playlist, a folder for each song. Needs requests. Without max_credits it only shows the price.

python playlist.py https://suno.com/playlist/<id> [folder [max_credits]]
"""

import hashlib
import json
import os
import re
import sys
import time
from pathlib import Path
from typing import Any

import requests

BASE = os.environ.get("SUNO_STEMS_URL", "http://127.0.0.1:3000")
RETRIES, LOOKS_EVERY = 5, 1
LOST = (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError)

session = requests.Session()
if "SUNO_STEMS_API_KEY" in os.environ:
    session.headers["X-API-Key"] = os.environ["SUNO_STEMS_API_KEY"]


def ask(method: str, path: str, **options: Any) -> requests.Response:
    """Send a request; retry after a lost connection, 409 or 503. Exit with the message if it fails."""
    for left in reversed(range(RETRIES + 1)):
        wait = str(LOOKS_EVERY)
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
    sys.exit(complaint)


def clean(name: str) -> str:
    """The name without what would make it a path."""
    return re.sub(r"[/\\]", "_", name)


if len(sys.argv) < 2:
    sys.exit(__doc__)
playlist, folder = sys.argv[1], Path(sys.argv[2] if len(sys.argv) > 2 else ".")

wanted = {"playlist": playlist, "audio_format": "mp3", "quote": True}
quote = ask("POST", "/api/orders", json=wanted).json()
downloads_left = "any number of" if quote["downloads_left"] is None else quote["downloads_left"]
print(
    f"{len(quote['songs'])} songs: {quote['credits']} credits and {quote['downloads']} downloads. "
    f"Left: {quote['credits_left']} credits, {downloads_left} downloads."
)
if len(sys.argv) < 4:
    print("Nothing was ordered. Add the most credits that it may spend.")
    sys.exit()

# One key for what is ordered: a retry, a second run and one after a crash are the same order, and pay for no song
# twice. Songs that are added to the playlist make another order, which takes the stems of the others for free.
limit, songs = int(sys.argv[3]), [song["song_id"] for song in quote["songs"]]
key = hashlib.sha256(json.dumps([songs, "mp3"]).encode()).hexdigest()
wanted = {"songs": songs, "audio_format": "mp3", "max_credits": limit, "max_downloads": quote["downloads"]}
order = ask("POST", "/api/orders", json=wanted, headers={"Idempotency-Key": key}).json()
if order["state"] == "paused":
    order = ask("POST", f"/api/orders/{order['id']}/again", json={"max_credits": limit}).json()
while order["state"] == "running" or any(song["state"] == "running" for song in order["songs"]):
    time.sleep(LOOKS_EVERY)
    order = ask("GET", f"/api/orders/{order['id']}").json()
print(f"Spent: {order['credits']} credits, {order['downloads']} downloads.")

complaints = []
for song in order["songs"]:
    if song["state"] == "failed":
        complaints.append(f"{song['title'] or song['song_id']}: {song['error']['error']}")
    if song["state"] != "done":
        continue
    place = folder / clean(f"{song['title'] or 'Untitled'} {song['song_id']}")
    place.mkdir(parents=True, exist_ok=True)
    for file in ask("GET", f"/api/requests/{song['request_id']}").json()["audio"]:
        path = place / clean(file["filename"])
        if file["error"]:
            complaints.append(f"{place.name}: {file['filename']}: {file['error']}")
        elif not path.exists() or path.stat().st_size != file["bytes"]:
            part = path.with_name(f"{path.name}.part")
            part.write_bytes(ask("GET", f"/api/audio/{file['id']}.mp3").content)
            part.replace(path)
            print(path)
if order["error"]:
    complaints.append(order["error"]["error"])
sys.exit("\n".join(complaints) or None)
