"""The tools for orders: many songs, for a sum that the user has agreed to."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any

import anyio
import anyio.to_thread
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError
from pydantic import Field

from clients.mcp.arguments import ID, USUAL_KIND, Format, Keys, Kind, asked_of, id_of, left_out, part_named
from clients.mcp.clock import Clock
from clients.mcp.results import OrderLine, Orders, OrderStatus, Quote, QuotedSong
from clients.mcp.service import CONNECTS_WITHIN, JsonObject, NoAnswer, Refused, Service
from clients.mcp.spending import Spending

LOOKS_EVERY = 3.0
"""Seconds between two looks at an order."""

SongIds = Annotated[
    list[str] | None,
    Field(description="Ids of songs, or the addresses of their pages: at most 200. Or give a playlist."),
    left_out(None),
]
Playlist = Annotated[str, Field(description="Instead: the address of a playlist's page."), left_out("", "null")]
KindOfAll = Annotated[Kind, Field(description="What to make of each song."), left_out(USUAL_KIND)]
Part = Annotated[
    str, Field(description="For `part`: Lead Vocal, Drum Kit, Bass, Guitar, Piano, …"), left_out("", "null")
]
FilesFormat = Annotated[
    Format | None, Field(description="Also fetch the stems as files. May count monthly downloads."), left_out(None)
]


class OrderTools:
    """The tools for orders. Their docstrings are the descriptions that a model reads."""

    def __init__(self, service: Service, keys: Keys, spending: Spending) -> None:
        self._service, self._keys, self._spending = service, keys, spending
        self._sent: dict[str, str] = {}
        """The ids of the orders that this process has sent, by their keys; "" while the reply is not known."""
        self._called: set[str] = set()
        """The orders for which the user was called to solve a captcha."""

    async def quote_order(
        self,
        ctx: Context[Any, Any],
        songs: SongIds = None,
        playlist: Playlist = "",
        kind: KindOfAll = USUAL_KIND,
        part: Part = "",
        format: FilesFormat = None,
    ) -> Quote:
        """The tool tells what it would cost to split many songs, or a playlist. It is free.

        Stems that a song has are taken for free. Tell the user the credits and the downloads, and ask before `order`.
        """
        return await self._quote(_body(songs, playlist, kind, part, format), Clock(ctx))

    async def order(
        self,
        ctx: Context[Any, Any],
        credits: Annotated[int, Field(description="The credits that quote_order returned, and the user agreed to.")],
        songs: SongIds = None,
        playlist: Playlist = "",
        kind: KindOfAll = USUAL_KIND,
        part: Part = "",
        format: FilesFormat = None,
        downloads: Annotated[
            int, Field(description="The downloads that quote_order returned, with `format`."), left_out(0)
        ] = 0,
    ) -> OrderStatus:
        """The tool splits many songs, or a playlist, for at most `credits` of the user's account.

        Call quote_order first, and ask the user: `credits` and `downloads` must be the sums that it returned. If they
        have changed, nothing is ordered. The same call on the same day is the same order, and continues it if it is
        paused. It takes a while: follow_order shows how far it is.
        """
        clock, body = Clock(ctx), _body(songs, playlist, kind, part, format)
        key = self._keys.of(json.dumps([body, credits, downloads]))
        if key not in self._sent:
            _check_sum(await self._quote(body, clock), credits, downloads, has_files=format is not None)
        is_new = self._spending.begin(key, credits, confirmed=True)
        earlier = self._sent.setdefault(key, "")
        limits = {"max_credits": credits} | ({"max_downloads": downloads} if format else {})
        try:
            reply = await self._ask(
                "POST",
                "/api/orders",
                body=body | limits | {"on_captcha": "wait"},
                headers={"Idempotency-Key": key},
                within=clock.left,
            )
        except Refused as refused:
            if refused.is_free and not earlier:
                del self._sent[key]
                if is_new:
                    self._spending.cancel(key)
            raise
        except NoAnswer as lost:
            raise ToolError(
                f"{lost} The order may have been taken. Repeat the same call to find out: it is the same order, and "
                "pays for no song twice."
            ) from None
        told: JsonObject = reply.json()
        self._sent[key] = told["id"]
        is_repeated = reply.headers.get("Idempotent-Replayed") == "true"
        if is_repeated and (told["state"] == "paused" or _songs_in(told, "needs_person")):
            again = await self._ask("POST", f"/api/orders/{told['id']}/again", body={}, within=clock.left)
            told = again.json()
        return await self._status(told, clock)

    async def follow_order(
        self,
        ctx: Context[Any, Any],
        order_id: Annotated[str, Field(description="The order_id that `order` returned.")],
    ) -> OrderStatus:
        """The tool reports how far an order is, and waits up to 50 seconds for its end. It is free."""
        clock = Clock(ctx)
        if not ID.fullmatch(order_id):
            raise ToolError("order_id must be one that `order` or list_orders returned.")
        while True:
            told = (await self._ask("GET", f"/api/orders/{order_id}", within=clock.left)).json()
            ended = sum(song["state"] in ("done", "failed") for song in told["songs"])
            await clock.report(f"{ended} of {len(told['songs'])} songs have ended.")
            needs_call = _songs_in(told, "needs_person") and order_id not in self._called
            stops = told["state"] != "running" or needs_call
            if (stops and not _songs_in(told, "running")) or clock.left < LOOKS_EVERY + CONNECTS_WITHIN:
                return await self._status(told, clock)
            await anyio.sleep(LOOKS_EVERY)

    async def list_orders(self) -> Orders:
        """The tool lists the latest orders of the user, the newest first. It is free."""
        told = (await self._ask("GET", "/api/orders")).json()
        return Orders(
            orders=[
                OrderLine(order_id=each["id"], songs=len(each["songs"]), **_named(each, "state", "credits"))
                for each in told
            ]
        )

    async def _ask(self, method: str, path: str, **how: Any) -> Any:
        return await anyio.to_thread.run_sync(partial(self._service.ask, method, path, **how))

    async def _quote(self, body: JsonObject, clock: Clock) -> Quote:
        told = (await self._ask("POST", "/api/orders", body=body | {"quote": True}, within=clock.left)).json()
        missing = len(told["does_not_fit"])
        left = f" What is left is not enough for {missing} songs: the order pauses there." if missing else ""
        return Quote(
            **_named(told, "credits", "downloads", "credits_left", "downloads_left", "does_not_fit"),
            songs=[QuotedSong.of(song) for song in told["songs"]],
            next=f"Ask the user, then call `order` with credits={told['credits']} and downloads={told['downloads']}."
            + left,
        )

    async def _status(self, told: JsonObject, clock: Clock) -> OrderStatus:
        status = OrderStatus(
            order_id=told["id"],
            **_named(told, "state", "credits", "downloads", "max_credits", "max_downloads"),
            songs=[QuotedSong.of(song) for song in told["songs"]],
            next=_next(told),
        )
        for song in _songs_in(told, "needs_person")[:1]:
            reply = await self._ask("GET", f"/api/requests/{song['request_id']}", within=clock.left)
            if person := reply.json().get("person"):
                self._called.add(told["id"])
                status.link = person["url"]
                status.next = (
                    "Suno wants a captcha, which only the user can solve. Nothing was charged for this song. Give "
                    f"the user this link, and tell them: {person['what']} Then call follow_order. If the user has "
                    "only solved a captcha, repeat the same `order`: it goes on, for credits."
                )
        return status


def _body(songs: Sequence[str] | None, playlist: str, kind: Kind, part: str, format: Format | None) -> JsonObject:
    """What the service is asked. Raises ToolError."""
    if bool(songs) == bool(playlist.strip()):
        raise ToolError("Give either songs or a playlist.")
    subject: JsonObject = {"songs": [id_of(song) for song in songs]} if songs else {"playlist": playlist.strip()}
    return subject | asked_of(kind, part_named(part)) | ({"audio_format": format} if format else {})


def _check_sum(quote: Quote, credits: int, downloads: int, *, has_files: bool) -> None:
    """Raise ToolError if these are not the sums of the quote."""
    if credits == quote.credits and (downloads == quote.downloads or not has_files):
        return
    raise ToolError(
        f"The order costs {quote.credits} credits and {quote.downloads} downloads now, not {credits} and "
        f"{downloads}. This call ordered nothing. If you have ordered these songs before, list_orders has "
        "that order. Otherwise ask the user, then call again with these sums."
    )


def _songs_in(told: JsonObject, state: str) -> list[JsonObject]:
    return [song for song in told["songs"] if song["state"] == state]


def _named(told: JsonObject, *names: str) -> JsonObject:
    return {name: told[name] for name in names}


def _next(told: JsonObject) -> str:
    match told["state"]:
        case "paused":
            why = told["error"]["error"]
            return f"{why} Repeating the same `order` continues it. For a higher limit, call quote_order again."
        case "finished":
            return "All songs have ended. Call fetch_stems for each song to save its stems as files."
        case "cancelled":
            return "The order was cancelled: no further song begins."
        case _:
            return "Call follow_order to see how far it is."
