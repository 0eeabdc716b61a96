"""Saves the stems of a playlist, a folder for each song. Needs requests. Without max_credits it only shows the price.

python playlist.py https://suno.com/playlist/<id> [folder [max_credits [word]]]

The same playlist is the same order: a second run continues it. A word makes it another order.
"""

import hashlib
import json
import os
import re
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import requests

BASE = os.environ.get("SUNO_STEMS_URL", "http://127.0.0.1:3000")
RETRIES, LOOKS_EVERY = 5, 1
LOST = (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError)
TITLE_BYTES, FILE_BYTES, ID_BYTES = 100, 150, 64
ONCE_MORE = (
    "To order what is missing again, add a word after max_credits that you have not used before, such as the date. "
    "Stems that are there are free."
)

session = requests.Session()
if "SUNO_STEMS_API_KEY" in os.environ:
    session.headers["X-API-Key"] = os.environ["SUNO_STEMS_API_KEY"]


class Failed(Exception):
    """The service refused a request, or did not answer."""


def ask(method: str, path: str, **options: Any) -> requests.Response:
    """Send a request; retry after a lost connection, 409 or 503. Raises Failed with the message."""
    for left in reversed(range(RETRIES + 1)):
        wait = str(LOOKS_EVERY)
        try:
            reply = session.request(method, BASE + path, timeout=150, **options)
        except LOST as error:
            complaint = f"No answer from {BASE}: {error!r}"
        else:
            if reply.ok:
                return reply
            complaint = f"{BASE} answered {reply.status_code}."
            with suppress(ValueError, KeyError, TypeError):
                complaint = reply.json()["error"]
            if reply.status_code not in (409, 503):
                break
            wait = reply.headers.get("Retry-After", wait)
        if left:
            time.sleep(int(wait))
    raise Failed(complaint)


def counted(number: int | None, noun: str) -> str:
    """A number of things, in words. None: no limit is known."""
    return f"{'any number of' if number is None else number} {noun}{'' if number == 1 else 's'}"


def clean(text: str | None, longest: int) -> str:
    """A text of others as a part of a path: nothing that leaves the folder or hides, and at most so many bytes."""
    plain = re.sub(r"[/\\\x00-\x1f\x7f-\x9f]", "_", text or "").lstrip(". ")
    return plain.encode("utf-8", "ignore")[:longest].decode("utf-8", "ignore") or "Untitled"


def file_name(file: dict[str, Any]) -> str:
    """The file's own name. One that had to be changed gets the id, so that it is no other file's."""
    name = file["filename"].removesuffix(".mp3")
    cleaned = clean(name, FILE_BYTES)
    return f"{cleaned}.mp3" if cleaned == name else f"{cleaned} {clean(file['id'], ID_BYTES)}.mp3"


def save(file: dict[str, Any], path: Path) -> None:
    """Download a file, unless it is there."""
    if file["error"]:
        raise Failed(file["error"])
    if path.is_file() and path.stat().st_size == file["bytes"]:
        return
    part = path.with_name(f"{path.name}.part")
    part.write_bytes(ask("GET", f"/api/audio/{file['id']}.mp3").content)
    part.replace(path)
    print(path)


def save_song(song: dict[str, Any], place: Path) -> list[str]:
    """Save the stems of a song. Returns what failed: the other files are saved."""
    complaints = []
    try:
        files = ask("GET", f"/api/requests/{song['request_id']}").json()["audio"]
        place.mkdir(parents=True, exist_ok=True)
    except (Failed, OSError) as error:
        return [f"{place.name}: {error}"]
    for file in files:
        name = file_name(file)
        try:
            save(file, place / name)
        except (Failed, OSError) as error:
            complaints.append(f"{place.name}: {name}: {error}")
    return complaints


def main(playlist: str, folder: str = ".", limit: str = "", *words: str) -> list[str]:
    """Show the price, order, wait, save. Returns what failed."""
    wanted = {"playlist": playlist, "audio_format": "mp3", "quote": True}
    quote = ask("POST", "/api/orders", json=wanted).json()
    print(
        f"{counted(len(quote['songs']), 'song')}: {counted(quote['credits'], 'credit')} and "
        f"{counted(quote['downloads'], 'download')}. Left: {counted(quote['credits_left'], 'credit')}, "
        f"{counted(quote['downloads_left'], 'download')}."
    )
    if not limit:
        print("Nothing was ordered. Add the most credits that it may spend.")
        return []

    # One key for what is ordered: a retry, a second run and one after a crash are the same order, and pay for no song
    # twice. Songs that are added to the playlist make another order, which takes the stems of the others for free.
    max_credits, songs = int(limit), [song["song_id"] for song in quote["songs"]]
    key = hashlib.sha256(json.dumps([songs, "mp3", *words]).encode()).hexdigest()
    wanted = {"songs": songs, "audio_format": "mp3", "max_credits": max_credits, "max_downloads": quote["downloads"]}
    order = ask("POST", "/api/orders", json=wanted, headers={"Idempotency-Key": key}).json()
    if order["state"] == "paused":
        order = ask("POST", f"/api/orders/{order['id']}/again", json={"max_credits": max_credits}).json()
    while order["state"] == "running" or any(song["state"] == "running" for song in order["songs"]):
        time.sleep(LOOKS_EVERY)
        order = ask("GET", f"/api/orders/{order['id']}").json()
    print(f"Spent: {counted(order['credits'], 'credit')}, {counted(order['downloads'], 'download')}.")

    complaints = []
    for song in order["songs"]:
        name = f"{clean(song['title'], TITLE_BYTES)} {clean(song['song_id'], ID_BYTES)}"
        if song["state"] == "done":
            complaints += save_song(song, Path(folder) / name)
        elif song["state"] == "failed":
            complaints.append(f"{name}: {song['error']['error']}")
        elif order["state"] == "cancelled":
            complaints.append(f"{name}: the order was cancelled before this song.")
    if order["error"]:
        complaints.append(order["error"]["error"])
    if order["state"] != "paused" and any(song["state"] != "done" for song in order["songs"]):
        complaints.append(ONCE_MORE)
    return complaints


if len(sys.argv) < 2:
    sys.exit(__doc__)
try:
    sys.exit("\n".join(main(*sys.argv[1:])) or None)
except Failed as error:
    sys.exit(str(error))
