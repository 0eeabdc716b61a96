"""Orders: quote, take, look, continue and cancel."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Any

from flask import Response
from webargs.flaskparser import abort
from werkzeug.routing import BaseConverter

from app.accounts import CallerNotAllowed, budget_of
from app.callers import Caller
from app.ids import new_id
from app.splits.budget import Budget
from app.splits.order import OrderedSong, OrderState, Problem, SongOrder, SongState
from app.splits.order_table import TooManyOrders
from app.splits.quote import Outlook, QuotedSong, quote
from app.splits.refusals import KeyReused
from app.splits.store import Owner
from app.splits.wait import Ended
from app.suno.clip import Credits
from app.suno.errors import SunoError
from app.suno.gateway import AudioFormat
from app.suno.ids import folded
from app.suno.session import Account
from app.suno.stems import StemChoice
from app.web import audio
from app.web.access import caller_of_request
from app.web.api import FREE_READ, OF_BODY, Blueprint
from app.web.current import parts
from app.web.errors import ErrorCode, OrderNotFound, OrderTooLarge, OverLimit, TooManyOpenOrders
from app.web.idempotency import IDEMPOTENCY_KEY, idempotency_key
from app.web.order_schemas import (
    EXAMPLE_ORDER,
    EXAMPLE_ORDERS,
    EXAMPLE_QUOTE,
    MAX_SONGS,
    Caps,
    OrderReply,
    OrderRequest,
    OrdersQuery,
    OrderZipQuery,
)
from app.web.order_zip import signed_order, zip_of, zip_url
from app.web.split_checks import check_job
from app.web.suno_account import account_of_request, owners_of_request

CODES = {Outlook.NOT_FOUND: "song_not_found", Outlook.REFUSED: "refused_by_suno"}

ORDER_ID = {
    "name": "order_id",
    "in": "path",
    "description": "The `id` of an order.",
    "schema": {"type": "string"},
    "example": "5f0c7d9e3a4b4a7f8f7c1b1d3c2e9a10",
}


class OrderConverter(BaseConverter):
    """An order's id in a path. It has no dot: the ZIP of an order is another resource."""

    regex = r"[^/.]+"


OF_ORDERS = (
    ErrorCode.SUNO_COOKIE_MISSING,
    ErrorCode.NOT_ALLOWED,
    ErrorCode.NOT_FOUND,
    ErrorCode.INTERNAL_ERROR,
    ErrorCode.LEDGER_UNAVAILABLE,
)
"""Errors of requests for an order."""

blueprint = Blueprint("orders", __name__, url_prefix="/api", description="Many songs for one price")


@blueprint.route("/orders", methods=["POST"])
@blueprint.arguments(OrderRequest, examples=EXAMPLE_ORDERS)
@blueprint.response(202, OrderReply, description="The order.", example=EXAMPLE_ORDER)
@blueprint.alt_response(
    200, schema=OrderReply, description="With `quote`: what it would cost.", example=EXAMPLE_QUOTE, success=True
)
@blueprint.doc(operationId="makeOrder", parameters=[IDEMPOTENCY_KEY])
@blueprint.fails_with(
    *FREE_READ,
    *OF_BODY,
    ErrorCode.ORDER_TOO_LARGE,
    ErrorCode.WEBHOOK_NOT_ALLOWED,
    ErrorCode.OVER_LIMIT,
    ErrorCode.IDEMPOTENCY_KEY_REUSED,
    ErrorCode.LEDGER_UNAVAILABLE,
)
def make_order(wanted: dict[str, Any]) -> tuple[dict[str, Any], int, dict[str, str]]:
    """Split many songs for at most a given price, or tell what that would cost.

    With `quote`: free. Otherwise it needs `max_credits` and an `Idempotency-Key`. Songs go in the order given; stems
    that a song has are taken for free. An order that costs more than its limit does what fits, and pauses. Only with
    the operator's accounts.
    """
    account, caller = account_of_request(), caller_of_request()
    audio.require_own(account, "Orders are")
    choice = StemChoice(wanted["task"], wanted.get("stem_name", ""))
    if wanted["task"] not in caller.tasks:
        raise CallerNotAllowed(f"This API key may not use stem_task {wanted['task'].value}. Nothing was charged.")
    check_job(wanted, account, caller)
    if wanted["quote"]:
        songs = _look_at(_songs(wanted, account), wanted, account, choice)
        return _quoted(songs, account, caller), 200, {}
    key = idempotency_key()
    if not key:
        sentence = "An order needs an Idempotency-Key: a repeated order then pays for no song twice."
        abort(400, messages={"headers": {"Idempotency-Key": [sentence]}})
    owners = owners_of_request(account, ledger_needed=True)
    question = json.dumps([wanted.get(name) for name in ("songs", "playlist", "task", "stem_name", "audio_format")])
    orders = parts().ledger.orders
    earlier = next((order for owner in owners if (order := orders.of_key(*owner, key))), None)
    if earlier is None:
        songs = _look_at(_songs(wanted, account), wanted, account, choice, looks_for_stems=False)
        new = _new_order(wanted, account, owners[0], caller, key, question, songs)
        try:
            taken = orders.take(new, most_open=parts().settings.open_orders)
        except TooManyOrders:
            raise TooManyOpenOrders(parts().settings.open_orders) from None
        earlier = taken.order if taken.is_replay else None
        if earlier is None:
            parts().queue.put(new.id)
            return _shown(new, account), 202, {}
    if earlier.question != question:
        raise KeyReused(
            "This Idempotency-Key was used for another order. Use a new key for a new order, or repeat the first "
            "request to get its state."
        )
    return _shown(earlier, account), 202, {"Idempotent-Replayed": "true"}


@blueprint.route("/orders", methods=["GET"])
@blueprint.arguments(OrdersQuery, location="query", as_kwargs=True)
@blueprint.response(
    200, OrderReply(many=True), description="The latest orders, newest first.", example=[EXAMPLE_ORDER]
)
@blueprint.doc(operationId="listOrders")
@blueprint.fails_with(*OF_ORDERS, ErrorCode.INVALID_REQUEST)
def list_orders(limit: int) -> list[dict[str, object]]:
    """List this caller's and account's latest orders.

    Free. An order is kept for ten days after its last change.
    """
    account = account_of_request()
    owners = owners_of_request(account, ledger_needed=True)
    return [_shown(order) for order in parts().ledger.orders.latest(owners, limit)]


@blueprint.route("/orders/<order:order_id>", methods=["GET"], parameters=[ORDER_ID])
@blueprint.response(200, OrderReply, description="The order.", example=EXAMPLE_ORDER)
@blueprint.doc(operationId="getOrder")
@blueprint.fails_with(*OF_ORDERS)
def get_order(order_id: str) -> dict[str, object]:
    """Get an order: its songs with their states, and what was spent.

    Free.
    """
    account = account_of_request()
    return _shown(_found(order_id, account), account)


@blueprint.route("/orders/<order:order_id>.zip", methods=["GET"], parameters=[ORDER_ID])
@blueprint.arguments(OrderZipQuery, location="query", as_kwargs=True)
@blueprint.response(200, audio.BINARY, content_type="application/zip", description="A folder for each song.")
@blueprint.alt_response(
    206, schema=audio.BINARY, content_type="application/zip", description="The requested `Range` of it.", success=True
)
@blueprint.doc(operationId="getOrderZip")
@blueprint.fails_with(*OF_ORDERS, ErrorCode.INVALID_REQUEST, ErrorCode.AUDIO_INCOMPLETE, ErrorCode.AUDIO_UNAVAILABLE)
def get_order_zip(order_id: str, format: AudioFormat | None = None, token: str | None = None) -> Response:
    """Download all kept stems of an order as one ZIP file, with a folder for each song.

    Free; Suno is not asked. It has what is kept now, even while the order runs. `Range` and `If-Range` are supported.
    `zip_url` of an order is its URL; if that has a `token`, it needs no API key and no cookie.
    """
    order = signed_order(order_id, token) if token is not None else _found(order_id, account_of_request())
    return zip_of(order, format)


@blueprint.route("/orders/<order:order_id>", methods=["DELETE"], parameters=[ORDER_ID])
@blueprint.response(200, OrderReply, description="The order.", example={**EXAMPLE_ORDER, "state": "cancelled"})
@blueprint.doc(operationId="cancelOrder")
@blueprint.fails_with(*OF_ORDERS)
def cancel_order(order_id: str) -> dict[str, object]:
    """Cancel an order: no further song begins.

    Free. Songs that have begun go on, and none waits for a person any more. The reply says what was spent.
    """
    account = account_of_request()
    found = _found(order_id, account)
    cancelled = _changed(found, _cancelled)
    waiting = cancelled.song_of_person
    if waiting and (entry := parts().ledger.get(waiting.split)) and cancelled.state is OrderState.CANCELLED:
        parts().ledger.waits.end(entry, Ended.CANCELLED)
        parts().queue.put(waiting.split)
    return _shown(cancelled, account)


@blueprint.route("/orders/<order:order_id>/again", methods=["POST"], parameters=[ORDER_ID])
@blueprint.arguments(Caps)
@blueprint.response(202, OrderReply, description="The order.", example=EXAMPLE_ORDER)
@blueprint.doc(operationId="continueOrder")
@blueprint.fails_with(*OF_ORDERS, *OF_BODY)
def continue_order(caps: dict[str, Any], order_id: str) -> tuple[dict[str, Any], int]:
    """Continue a paused order, with other limits if they are given.

    An order that is finished or cancelled stays as it is.
    """
    account = account_of_request()
    found = _found(order_id, account)

    def change(order: SongOrder) -> SongOrder:
        if not order.state.is_open:
            return order
        limited = replace(order, **caps)
        if waiting := limited.song_of_person:
            limited = limited.with_song(replace(waiting, is_asked=True))
        return replace(limited, state=OrderState.RUNNING, error=None)

    return _shown(_changed(found, change), account), 202


def _found(order_id: str, account: Account) -> SongOrder:
    """The order of this caller and account. Raises OrderNotFound."""
    order = parts().ledger.orders.get(order_id)
    if order is None or (order.owner, order.caller) not in owners_of_request(account, ledger_needed=True):
        raise OrderNotFound
    return order


def _changed(order: SongOrder, change: Callable[[SongOrder], SongOrder]) -> SongOrder:
    changed = parts().ledger.orders.change(order.id, change, is_due=True)
    if changed is None:
        raise OrderNotFound
    parts().queue.put(order.id)
    return changed


def _cancelled(order: SongOrder) -> SongOrder:
    return replace(order, state=OrderState.CANCELLED, error=None) if order.state.is_open else order


def _songs(wanted: dict[str, Any], account: Account) -> list[str]:
    """The ids of the wanted songs, each once. Raises OrderTooLarge and a SunoError."""
    if "playlist" in wanted:
        ids = [clip.id for clip in parts().gateway.playlist(account, wanted["playlist"], MAX_SONGS)]
    else:
        by_song: dict[str, str] = {}
        for id in wanted["songs"]:
            by_song.setdefault(folded(id), id)
        ids = list(by_song.values())
    if len(ids) > MAX_SONGS:
        raise OrderTooLarge(MAX_SONGS)
    return ids


def _look_at(
    ids: Sequence[str],
    wanted: dict[str, Any],
    account: Account,
    choice: StemChoice,
    *,
    looks_for_stems: bool = True,
) -> list[QuotedSong]:
    return quote(
        parts().gateway,
        account,
        ids,
        choice,
        price=parts().settings.prices[choice.task],
        with_files="audio_format" in wanted,
        looks_for_stems=looks_for_stems,
    )


def _new_order(
    wanted: dict[str, Any],
    account: Account,
    owner: Owner,
    caller: Caller,
    key: str,
    question: str,
    songs: Sequence[QuotedSong],
) -> SongOrder:
    """Make the order; write nothing. Raises OverLimit if not one song fits."""
    max_credits, max_downloads = wanted["max_credits"], wanted.get("max_downloads")
    usable = [song for song in songs if song.outlook not in CODES]
    fits = [
        song
        for song in usable
        if song.credits <= max_credits and (max_downloads is None or song.downloads <= max_downloads)
    ]
    if usable and not fits:
        raise OverLimit
    of_app = parts()
    return SongOrder(
        id=new_id(),
        account=account.name,
        owner=owner[0],
        caller=caller.name,
        idempotency_key=key,
        question=question,
        began=of_app.ledger.clock.now(),
        songs=tuple(map(_ordered, songs)),
        task=wanted["task"].value,
        stem_name=wanted.get("stem_name", ""),
        price=of_app.settings.prices[wanted["task"]],
        max_credits=max_credits,
        max_downloads=max_downloads,
        audio_format=wanted.get("audio_format"),
        webhook_url=wanted.get("webhook_url", ""),
        waits_for_person=wanted["on_captcha"] == "wait",
        base=audio.base(),
    )


def _ordered(song: QuotedSong) -> OrderedSong:
    new = OrderedSong(song_id=song.song_id, title=song.title)
    if song.outlook not in CODES:
        return new
    return replace(new, state=SongState.FAILED, error=Problem(CODES[song.outlook], song.error))


def _quoted(songs: Sequence[QuotedSong], account: Account, caller: Caller) -> dict[str, object]:
    credits = parts().gateway.credits(account)
    owner = owners_of_request(account, ledger_needed=caller.credits_per_day is not None)[0]
    budgets = parts().accounts.budgets(caller, account, owner)
    credits_left = _least(credits.credits_left, *map(_left, budgets))
    downloads_left = _least(credits.downloads_left, _left(budget_of(caller, "downloads")))
    return {
        "songs": [
            asdict(song)
            | {
                "state": song.outlook,
                "error": {"code": CODES[song.outlook], "error": song.error} if song.error else None,
            }
            for song in songs
        ],
        "credits": sum(song.credits for song in songs),
        "downloads": sum(song.downloads for song in songs),
        "credits_left": credits_left,
        "downloads_left": downloads_left,
        "does_not_fit": _too_many(songs, credits_left, downloads_left),
    }


def _too_many(songs: Sequence[QuotedSong], credits: int | None, downloads: int | None) -> list[str]:
    """The ids of the songs for which not enough is left, if they go in this order."""
    missing = []
    for song in songs:
        if (credits is not None and song.credits > credits) or (downloads is not None and song.downloads > downloads):
            missing.append(song.song_id)
            continue
        credits = None if credits is None else credits - song.credits
        downloads = None if downloads is None else downloads - song.downloads
    return missing


def _shown(order: SongOrder, account: Account | None = None) -> dict[str, object]:
    """The reply. With the account, what it has left is there too, if Suno can be read."""
    next_song = order.next_song if order.state is OrderState.RUNNING else None
    credits = _credits(account)
    caller, of_order = caller_of_request(), parts().accounts.by_name(order.account)
    budgets = parts().accounts.budgets(caller, of_order, (order.owner, order.caller)) if of_order else ()
    own_downloads = None if order.max_downloads is None else order.max_downloads - order.downloads
    return {
        "id": order.id,
        "state": order.state,
        "created_at": datetime.fromtimestamp(order.began.wall, UTC).isoformat(timespec="seconds"),
        "stem_task": order.task,
        "stem_name": order.stem_name,
        "audio_format": order.audio_format,
        "songs": [_shown_song(song) for song in order.songs],
        "credits": order.credits,
        "downloads": order.downloads,
        "max_credits": order.max_credits,
        "max_downloads": order.max_downloads,
        "credits_left": _least(
            order.max_credits - order.credits, *map(_left, budgets), credits.credits_left if credits else None
        ),
        "downloads_left": _least(
            own_downloads, _left(budget_of(caller, "downloads")), credits.downloads_left if credits else None
        ),
        "next_song": next_song.song_id if next_song else None,
        "next_in": parts().ledger.orders.time_to_turn(order, parts().settings.order_pace) if next_song else None,
        "error": order.error,
        "zip_url": zip_url(order),
    }


def _shown_song(song: OrderedSong) -> dict[str, object]:
    shown = {name: getattr(song, name) for name in ("song_id", "title", "state", "credits", "downloads", "error")}
    return shown | ({"request_id": song.request_id} if song.request_id else {})


def _credits(account: Account | None) -> Credits | None:
    try:
        return parts().gateway.credits(account) if account else None
    except SunoError:
        return None


def _left(budget: Budget | None) -> int | None:
    return None if budget is None else parts().ledger.left(budget).amount


def _least(*amounts: int | None) -> int | None:
    known = [amount for amount in amounts if amount is not None]
    return max(0, min(known)) if known else None
