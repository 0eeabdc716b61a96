"""`python bench/stub.py PORT`: a minimal Suno, so that a measurement shows the service's own cost.

It accepts every sign-in and every split, and checks nothing. `sandbox/` simulates Suno's behaviour.
`/count` returns the number of calls, `/delay/100` makes each split take 100 ms.
"""

from __future__ import annotations

import asyncio
import base64
import json
import sys
import time
from asyncio.transports import BaseTransport, Transport
from typing import cast

SONG = "c3d4e5f6-a7b8-9012-cdef-123456789012"
CLIPS = {
    "clips": [
        {
            "id": id,
            "status": "submitted",
            "created_at": "2024-01-15T12:00:00.000Z",
            "title": f"Ocean Wanderer ({part})",
            "audio_url": "",
            "video_url": "",
            "image_url": None,
            "model_name": "chirp-stem",
            "metadata": {"type": "stem", "stem_from_id": SONG, "duration": 183.4, "tags": "pop", "prompt": ""},
        }
        for id, part in [
            ("d4e5f6a7-b8c9-0123-defa-NUMBER", "Vocals"),
            ("e5f6a7b8-c9d0-1234-efab-NUMBER", "Instrumental"),
        ]
    ]
}


def reply(value: object) -> bytes:
    """A whole reply with `value` as JSON; NUMBER in it stands for twelve digits."""
    body = json.dumps(value)
    length = len(body.replace("NUMBER", 12 * "0"))
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
    return (head + body).encode()


def token() -> str:
    """A bearer token for one day: the cost of renewing it is not measured."""
    claims = json.dumps({"iat": time.time(), "exp": time.time() + 86_400}).encode()
    return f"e30.{base64.urlsafe_b64encode(claims).decode().rstrip('=')}.c2lnbmF0dXJl"


SPLIT = reply(CLIPS).replace(b"NUMBER", b"%012d")
SESSION = reply({"response": {"last_active_session_id": "sess_1", "sessions": []}})


class Stub:
    """The state that all connections share."""

    def __init__(self) -> None:
        self.delay = 0.0
        self.splits = self.sign_ins = self.sockets = 0

    def answer(self, path: bytes) -> bytes:
        """Answer anything but a split."""
        if path.startswith(b"/v1/client"):
            self.sign_ins += 1
            return reply({"jwt": token()}) if b"/tokens" in path else SESSION
        if path.startswith(b"/delay/"):
            self.delay = int(path.removeprefix(b"/delay/")) / 1000
        return reply({"splits": self.splits, "sign_ins": self.sign_ins, "sockets": self.sockets})


class Connection(asyncio.Protocol):
    """One client, which sends one request at a time."""

    def __init__(self, stub: Stub) -> None:
        self._stub = stub
        self._unread = b""

    def connection_made(self, transport: BaseTransport) -> None:
        """Count the connection."""
        self._transport = cast(Transport, transport)
        self._stub.sockets += 1

    def data_received(self, data: bytes) -> None:
        """Answer the request once its body is complete."""
        data = self._unread + data
        head, found, body = data.partition(b"\r\n\r\n")
        _, _, length = head.lower().partition(b"\r\ncontent-length:")
        if not found or len(body) < int(length.partition(b"\r\n")[0] or 0):
            self._unread = data
            return
        self._unread = b""
        path = data.split(b" ", 2)[1]
        if not path.startswith(b"/api/edit/stems/"):
            self._transport.write(self._stub.answer(path))
            return
        self._stub.splits += 1
        split = SPLIT % (self._stub.splits, self._stub.splits)
        if self._stub.delay:
            asyncio.get_running_loop().call_later(self._stub.delay, self._transport.write, split)
        else:
            self._transport.write(split)


async def main(port: int) -> None:
    """Serve until killed."""
    stub = Stub()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(stub), "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
