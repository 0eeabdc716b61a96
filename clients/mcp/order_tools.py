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

from clients.mcp.arguments import (
    ID,
    USUAL_KIND,
    Format,
    Keys,
    Kind,
    asked_of,
    id_of,
    left_out,
    part_named,
    playlist_of,
)
from clients.mcp.clock import Clock
from clients.mcp.results import OrderLine, Orders, OrderStatus, Quote, QuotedSong
from clients.mcp.service import CONNECTS_WITHIN, JsonObject, NoAnswer, Refused, Service
from clients.mcp.spending import Spending
from clients.mcp.texts import counted

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
OrderId = Annotated[str, Field(description="The order_id that `order` or list_orders returned.")]
HigherLimit = Annotated[
    int | None, Field(description="A higher limit of the whole order, that the user agreed to.", ge=0), left_out(None)
]
Confirm = Annotated[bool, Field(description="The user has agreed to an order above the limit."), left_out(False)]


class OrderTools:
    """The tools for orders. Their docstrings are the descriptions that a model reads."""

    def __init__(self, service: Service, keys: Keys, spending: Spending) -> None:
        self._service, self._keys, self._spending = service, keys, spending
        self._counted_as: dict[str, tuple[str, int]] = {}
        """By an order's id: under which key its credits count, and how many were spent before this process."""
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
        confirm: Confirm = False,
        again: Annotated[
            int,
            Field(description="Add 1 to order the same once more: it was cancelled, or songs failed.", ge=0),
            left_out(0),
        ] = 0,
    ) -> OrderStatus:
        """The tool splits many songs, or a playlist, for at most `credits` of the user's account.

        Call quote_order first, and ask the user: `credits` and `downloads` must be the sums that it returned. If they
        have changed, nothing is ordered. The same call on the same day is the same order. It takes a while:
        follow_order shows how far it is, and continue_order continues it if it is paused.
        """
        clock, body = Clock(ctx), _body(songs, playlist, kind, part, format)
        downloads = downloads if format else 0
        key = self._keys.of(json.dumps([body, credits, downloads] + ([again] if again else [])))
        limits = {"max_credits": credits} | ({"max_downloads": downloads} if format else {})
        async with self._spending.turn(key):
            if not self._spending.counts(key):
                _check_sum(await self._quote(body, clock), credits, downloads, has_files=format is not None)
            reply = await self._order(key, body | limits, clock, confirmed=confirm)
        told: JsonObject = reply.json()
        self._counted_as[told["id"]] = (key, 0)
        is_repeated = reply.headers.get("Idempotent-Replayed") == "true"
        if is_repeated and _can_continue(told):
            told = await self._continued(told, {}, clock, confirmed=confirm)
        return await self._status(told, clock)

    async def continue_order(
        self,
        ctx: Context[Any, Any],
        order_id: OrderId,
        credits: HigherLimit = None,
        downloads: HigherLimit = None,
        confirm: Confirm = False,
    ) -> OrderStatus:
        """The tool continues an order that is paused, or that waits for the user to solve a captcha.

        It may spend what is left of the order's limits. Ask the user before you pass higher ones.
        """
        clock = Clock(ctx)
        told = await self._told(order_id, clock)
        limits = {"max_credits": credits, "max_downloads": downloads}
        higher = {name: limit for name, limit in limits.items() if limit is not None}
        if _can_continue(told) or (higher and told["state"] == "running"):
            told = await self._continued(told, higher, clock, confirmed=confirm)
        return await self._status(told, clock)

    async def follow_order(self, ctx: Context[Any, Any], order_id: OrderId) -> OrderStatus:
        """The tool reports how far an order is, and waits up to 50 seconds for its end. It is free."""
        clock = Clock(ctx)
        while True:
            told = await self._told(order_id, clock)
            ended = sum(song["state"] in ("done", "failed") for song in told["songs"])
            has = "has" if ended == 1 else "have"
            await clock.report(f"{ended} of {counted(len(told['songs']), 'song')} {has} ended.")
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

    async def _told(self, order_id: str, clock: Clock) -> JsonObject:
        if not ID.fullmatch(order_id):
            raise ToolError("order_id must be one that `order` or list_orders returned.")
        told: JsonObject = (await self._ask("GET", f"/api/orders/{order_id}", within=clock.left)).json()
        return told

    async def _quote(self, body: JsonObject, clock: Clock) -> Quote:
        told = (await self._ask("POST", "/api/orders", body=body | {"quote": True}, within=clock.left)).json()
        missing = len(told["does_not_fit"])
        left = f" What is left is not enough for {counted(missing, 'song')}: the order pauses there."
        return Quote(
            **_named(told, "credits", "downloads", "credits_left", "downloads_left", "does_not_fit"),
            songs=[QuotedSong.of(song) for song in told["songs"]],
            next=f"Ask the user, then call `order` with credits={told['credits']} and downloads={told['downloads']}."
            + (left if missing else ""),
        )

    async def _order(self, key: str, body: JsonObject, clock: Clock, *, confirmed: bool) -> Any:
        """Send an order. What it may spend counts as spent, unless it is refused. Raises ToolError."""
        is_new = not self._spending.counts(key)
        added = self._spending.begin(key, body["max_credits"], confirmed=confirmed, what="This order may spend")
        try:
            return await self._ask(
                "POST",
                "/api/orders",
                body=body | {"on_captcha": "wait"},
                headers={"Idempotency-Key": key},
                within=clock.left,
            )
        except Refused as refused:
            if refused.is_free and is_new:
                self._spending.cancel(key, added)
            raise
        except NoAnswer as lost:
            raise ToolError(
                f"{lost} The order may have been taken. Repeat the same call to find out, or call list_orders: the "
                "same call is the same order, and pays for no song twice."
            ) from None

    async def _continued(self, told: JsonObject, limits: JsonObject, clock: Clock, *, confirmed: bool) -> JsonObject:
        """Continue an order. What it may still spend counts as spent, unless it is refused. Raises ToolError."""
        id = told["id"]
        key, before = self._counted_as.setdefault(id, (id, told["credits"]))
        most = max(told["max_credits"], limits.get("max_credits", 0)) - before
        async with self._spending.turn(key):
            # The order may have been charged before.
            what, cost = "This order may spend", "This call charged nothing."
            added = self._spending.begin(key, most, confirmed=confirmed, what=what, cost=cost)
            try:
                reply = await self._ask("POST", f"/api/orders/{id}/again", body=limits, within=clock.left)
            except Refused as refused:
                if refused.is_free:
                    self._spending.cancel(key, added)
                raise
            except NoAnswer as lost:
                raise ToolError(f"{lost} The order may go on: follow_order with order_id {id} tells.") from None
        continued: JsonObject = reply.json()
        return continued

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
                    "only solved a captcha, call continue_order: the order goes on, for credits."
                )
        return status


def _body(songs: Sequence[str] | None, playlist: str, kind: Kind, part: str, format: Format | None) -> JsonObject:
    """What the service is asked. The order's key is made from it. Raises ToolError."""
    if bool(songs) == bool(playlist.strip()):
        raise ToolError("Give either songs or a playlist.")
    # Each song once, as the service takes them: the same songs have the same key.
    subject: JsonObject = (
        {"songs": list(dict.fromkeys(map(id_of, songs)))} if songs else {"playlist": playlist_of(playlist)}
    )
    return subject | asked_of(kind, part_named(part)) | ({"audio_format": format} if format else {})


def _check_sum(quote: Quote, credits: int, downloads: int, *, has_files: bool) -> None:
    """Raise ToolError if these are not the sums of the quote."""
    if credits == quote.credits and (downloads == quote.downloads or not has_files):
        return
    costs = f"{counted(quote.credits, 'credit')} and {counted(quote.downloads, 'download')}"
    raise ToolError(
        f"The order costs {costs} now, not {credits} and {downloads}. This call ordered nothing. If you have ordered "
        "these songs before, list_orders has that order, and continue_order continues it. Otherwise ask the user, "
        "then call again with these sums."
    )


def _can_continue(told: JsonObject) -> bool:
    return told["state"] == "paused" or bool(_songs_in(told, "needs_person"))


def _songs_in(told: JsonObject, *states: str) -> list[JsonObject]:
    return [song for song in told["songs"] if song["state"] in states]


def _named(told: JsonObject, *names: str) -> JsonObject:
    return {name: told[name] for name in names}


ONCE_MORE = "To order the others once more, ask the user, call quote_order, then `order` with a higher `again`."


def _next(told: JsonObject) -> str:
    done, failed = _songs_in(told, "done"), _songs_in(told, "failed")
    all_done = len(done) == len(told["songs"])
    fetch = (
        f"Call fetch_stems for {'each song' if all_done else 'each song that is done'} to save its stems as files."
    )
    match told["state"]:
        case "paused":
            higher = " With a higher limit, ask the user first."
            return f"{told['error']['error']} To continue, call continue_order with this order_id.{higher}"
        case "finished" if failed:
            return " ".join(
                [f"{counted(len(failed), 'song')} failed: see error.", ONCE_MORE, *([fetch] if done else [])]
            )
        case "finished":
            return f"All songs have ended. {fetch}"
        case "cancelled" if _songs_in(told, "running"):
            return "The order was cancelled: no further song begins. Call follow_order until the running ones end."
        case "cancelled" if all_done:
            return f"The order was cancelled, but all songs are done. {fetch}"
        case "cancelled":
            return " ".join(
                ["The order was cancelled: no further song begins.", ONCE_MORE, *([fetch] if done else [])]
            )
        case _:
            return "Call follow_order to see how far it is."
