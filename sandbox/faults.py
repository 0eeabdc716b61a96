"""The failures of the paid call, one row each.

A split of the song `fault-<name>` triggers the fault; so can the random faults (`POST /sandbox/faults`).
A fault that charges strikes after the split was made and paid: the stems exist and the free calls return them.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import formatdate
from typing import Any

from sandbox.accounts import LocalAccount
from sandbox.connection import ClientConnection
from sandbox.message import Reply, Request, detail, html_reply, json_reply
from sandbox.songs import CatalogueSong

OVERSIZE_BYTES = 6 * 1024 * 1024
SERVER_ERROR = {
    "status_code": 500,
    "detail": "An unexpected error occurred.",
    "error_type": "server_error",
    "retryable": False,
}
LONG_DETAIL = ("Insufficient credits.\r\n\tBuy more \x1b[31mnow\x1b[0m.\x00 \u202e" * 250)[:10_000]


@dataclass(frozen=True, slots=True)
class StruckCall:
    """The paid call that a fault strikes. `paid` is its ordinary reply if the fault charges, else None."""

    request: Request
    account: LocalAccount
    token: str
    song: CatalogueSong
    paid: Reply | None

    @property
    def ordinary(self) -> Reply:
        """The reply without the fault. Raises LookupError if the fault does not charge."""
        if self.paid is None:
            raise LookupError("this fault does not charge: there is no paid reply")
        return self.paid


@dataclass(frozen=True, slots=True)
class SunoFault:
    """A kind of failure. `play` returns the reply for the client, or None for the ordinary reply."""

    name: str
    about: str
    play: Callable[[StruckCall], Reply | None]
    charges: bool = False
    loses_reply: bool = True  # if it charges: whether the client does not learn its stems
    is_queued: bool = False  # whether the split is made and charged after the reply


def _always(make: Callable[[], Reply]) -> Callable[[StruckCall], Reply]:
    return lambda call: make()


def _act(reply: Reply, act: Callable[[ClientConnection], None]) -> Reply:
    reply.act = act
    return reply


def _reset(call: StruckCall) -> Reply:
    return Reply(0, act=lambda connection: connection.reset())


def _refuse_first_token(call: StruckCall) -> Reply | None:
    first = call.account.memory.setdefault("refused token", call.token)
    return detail(401, "Unauthorized") if first == call.token else None


def _redirect_slash(status: int) -> Callable[[StruckCall], Reply | None]:
    """Redirect once to the other slash form (final `/` added or removed); the call to that path then succeeds."""

    def play(call: StruckCall) -> Reply | None:
        path, mark, query = call.request.target.partition("?")
        awaited: list[str] = call.account.memory.setdefault("redirected to", [])
        if path in awaited:
            awaited.remove(path)
            return None
        other = path[:-1] if path.endswith("/") else f"{path}/"
        awaited.append(other)
        return Reply(status, headers={"Location": other + mark + query})

    return play


def _redirect_to_clip(status: int) -> Callable[[StruckCall], Reply]:
    # The target exists: a client that follows gets a clip that is not a stem, and can mistake it for the reply.
    return lambda call: Reply(status, headers={"Location": f"/api/clip/{call.song.id}"})


def _redirect_to_other_host(call: StruckCall) -> Reply:
    host, _, port = call.request.headers.get("host", "").rpartition(":")
    name = "127.0.0.1" if host == "localhost" else "localhost"
    return Reply(307, headers={"Location": f"http://{name}:{port}/elsewhere{call.request.path}"})


def _truncate(call: StruckCall) -> Reply:
    reply = call.ordinary
    return _act(reply, lambda connection: connection.send(reply.head() + reply.body[: len(reply.body) // 2]))


def _chunked_head() -> bytes:
    head = f"HTTP/1.1 200 OK\r\nDate: {formatdate(usegmt=True)}\r\nContent-Type: application/json\r\n"
    return head.encode() + b"Transfer-Encoding: chunked\r\n\r\n"


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def _truncate_chunked(call: StruckCall) -> Reply:
    reply = call.ordinary
    half = reply.body[: len(reply.body) // 2]
    return _act(reply, lambda connection: connection.send(_chunked_head() + _chunk(half)))


def _drip_body(call: StruckCall) -> Reply:
    reply = call.ordinary

    def act(connection: ClientConnection) -> None:
        connection.send(reply.head())
        connection.drip(reply.body)

    return _act(reply, act)


def _drip_headers(call: StruckCall) -> Reply:
    reply = call.ordinary
    return _act(reply, lambda connection: connection.drip(reply.encode()))


def _hang(call: StruckCall) -> Reply:
    return Reply(0, act=lambda connection: connection.hold())


def _oversize(call: StruckCall) -> Reply:
    content: dict[str, Any] = json.loads(call.ordinary.body)
    return json_reply(200, {**content, "padding": "x" * OVERSIZE_BYTES})


def _endless(call: StruckCall) -> Reply:
    def act(connection: ClientConnection) -> None:
        connection.send(_chunked_head() + _chunk(b'{"padding": "'))
        while True:
            connection.pause(0.001)
            connection.send(_chunk(b"x" * 65536))

    return _act(call.ordinary, act)


def _with_clips(change: Callable[[list[dict[str, Any]]], list[dict[str, Any]]]) -> Callable[[StruckCall], Reply]:
    def play(call: StruckCall) -> Reply:
        content: dict[str, Any] = json.loads(call.ordinary.body)
        return json_reply(200, content | {"clips": change(content["clips"])})

    return play


def _of_another_song(clips: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        clip | {"id": f"foreign-{n}", "metadata": clip["metadata"] | {"stem_from_id": "song-with-two"}}
        for n, clip in enumerate(clips)
    ]


def _with_paths(clips: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [clip | {"id": f"../../pwned{n}"} for n, clip in enumerate(clips)]


def _slow(call: StruckCall) -> Reply:
    reply = call.ordinary
    reply.delay += 2.0
    return reply


FAULTS: dict[str, SunoFault] = {
    fault.name: fault
    for fault in (
        SunoFault("400", "400 with a detail", _always(lambda: detail(400, "This clip cannot be split."))),
        SunoFault("401", "401 for every token", _always(lambda: detail(401, "Unauthorized"))),
        SunoFault(
            "401-once",
            "401 for the first token that an account sends, an ordinary split for any other",
            _refuse_first_token,
        ),
        SunoFault("402", "402 with a detail", _always(lambda: detail(402, "Insufficient credits."))),
        SunoFault(
            "long-detail",
            "402 with 10,000 characters, including control characters",
            _always(lambda: detail(402, LONG_DETAIL)),
        ),
        SunoFault(
            "403-plan", "403: not in the plan", _always(lambda: detail(403, "Your plan does not include stems."))
        ),
        SunoFault(
            "403-not-yours", "403: someone else's clip", _always(lambda: detail(403, "You do not own this clip."))
        ),
        SunoFault("403-jwt", "403 JWT expired for every token", _always(lambda: detail(403, "JWT expired"))),
        SunoFault("403-html", "403 in HTML: a bot wall", _always(lambda: html_reply(403, "Attention Required!"))),
        SunoFault("404", "404 with a detail", _always(lambda: detail(404, "Clip not found."))),
        SunoFault(
            "422-captcha", "422 Token validation failed.", _always(lambda: detail(422, "Token validation failed."))
        ),
        SunoFault(
            "422-schema",
            "422 with a list of loc and msg",
            _always(
                lambda: detail(422, [{"type": "missing", "loc": ["body", "stem_task"], "msg": "Field required"}])
            ),
        ),
        SunoFault(
            "422-schema-text",
            "422 with the same list as a string, as Python prints it",
            _always(
                lambda: detail(422, str([{"type": "missing", "loc": ("body", "stem_task"), "msg": "Field required"}]))
            ),
        ),
        SunoFault(
            "429",
            "429, Retry-After 13",
            _always(lambda: detail(429, "Too many running jobs.", {"Retry-After": "13"})),
        ),
        SunoFault("429-html", "429 in HTML, no Retry-After", _always(lambda: html_reply(429, "Too Many Requests"))),
        SunoFault(
            "1015-html",
            "429 in HTML: Cloudflare's error 1015",
            _always(lambda: html_reply(429, "Error 1015: You are being rate limited")),
        ),
        SunoFault(
            "422-verify",
            "422 We couldn't verify your request.",
            _always(lambda: detail(422, "We couldn't verify your request.")),
        ),
        SunoFault(
            "bad-retry-after",
            "429, Retry-After: soon",
            _always(lambda: detail(429, "Slow down.", {"Retry-After": "soon"})),
        ),
        SunoFault(
            "retry-after-date",
            "429, Retry-After as an HTTP date 20 seconds from now",
            _always(lambda: detail(429, "Slow down.", {"Retry-After": formatdate(time.time() + 20, usegmt=True)})),
        ),
        SunoFault("500", "500 as recorded", _always(lambda: json_reply(500, SERVER_ERROR))),
        SunoFault("502-html", "502 in HTML, nothing done", _always(lambda: html_reply(502, "Bad Gateway"))),
        SunoFault(
            "504-queued",
            "504 in HTML; the split is made and charged `queue` seconds later",
            _always(lambda: html_reply(504, "Gateway Time-out")),
            is_queued=True,
        ),
        SunoFault("200-html", "200 in HTML", _always(lambda: html_reply(200, "Just a moment..."))),
        SunoFault("wrong-shape", '200 {"ok": true}', _always(lambda: json_reply(200, {"ok": True}))),
        SunoFault("no-clips", '200 {"clips": []}', _always(lambda: json_reply(200, {"clips": []}))),
        SunoFault("reset-before-reading", "the connection is reset, nothing done", _reset),
        SunoFault("redirect-301", "301 to GET /api/clip/<song>", _redirect_to_clip(301)),
        SunoFault("redirect-302", "302 to GET /api/clip/<song>", _redirect_to_clip(302)),
        SunoFault("redirect-303", "303 to GET /api/clip/<song>", _redirect_to_clip(303)),
        SunoFault("redirect-slash-307", "307 to the other slash form, which makes the split", _redirect_slash(307)),
        SunoFault("redirect-slash-308", "308 to the other slash form, which makes the split", _redirect_slash(308)),
        SunoFault(
            "redirect-other-host-307",
            "307 to /elsewhere/… under another host name; the log shows whether a client followed",
            _redirect_to_other_host,
        ),
        SunoFault(
            "not-json",
            "200 application/json, but invalid JSON",
            _always(lambda: Reply(200, b'{"clips": [{"id": ', {"Content-Type": "application/json"})),
            charges=True,
        ),
        SunoFault(
            "clip-without-id",
            "200, clips without id",
            _always(lambda: json_reply(200, {"clips": [{"status": "submitted", "title": "Nameless"}]})),
            charges=True,
        ),
        SunoFault("another-song", "200, clips that state another song", _with_clips(_of_another_song), charges=True),
        SunoFault("clip-twice", "200, the first clip twice", _with_clips(lambda clips: clips[:1] * 2), charges=True),
        SunoFault("path-ids", "200, clips with paths as ids", _with_clips(_with_paths), charges=True),
        SunoFault("slow-2s", "the ordinary reply, 2 seconds late", _slow, charges=True, loses_reply=False),
        SunoFault("reset-after-charge", "the connection is reset", _reset, charges=True),
        SunoFault("502-after-charge", "502 in HTML", _always(lambda: html_reply(502, "Bad Gateway")), charges=True),
        SunoFault(
            "500-after-charge", "500 as recorded", _always(lambda: json_reply(500, SERVER_ERROR)), charges=True
        ),
        SunoFault("truncated", "closed after half of the announced Content-Length", _truncate, charges=True),
        SunoFault("truncated-chunked", "a chunked reply closed before its end", _truncate_chunked, charges=True),
        SunoFault("drip-body", "headers at once, then one byte a second", _drip_body, charges=True),
        SunoFault("drip-headers", "one byte a second from the start", _drip_headers, charges=True),
        SunoFault("hang", "no reply until the client disconnects", _hang, charges=True),
        SunoFault("oversize", "a 6 MB reply", _oversize, charges=True),
        SunoFault("oversize-chunked-endless", "a chunked reply that never ends", _endless, charges=True),
    )
}

FAULT_SONGS: dict[str, CatalogueSong] = {
    f"fault-{name}": CatalogueSong(f"fault-{name}", f"Fault {name}", fault.about, listed=False)
    for name, fault in FAULTS.items()
}
