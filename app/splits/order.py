"""An order of many songs: its songs, its limits and its state, as it is stored (rules: app/splits/order_table.py)."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from enum import StrEnum
from typing import Any

from app.splits.clock import Moment


def key_of_song(order_id: str, song_id: str) -> str:
    """The idempotency key of an order's song."""
    # No caller can send a key with a space.
    return f"order {order_id} {song_id}"


def order_of_key(idempotency_key: str) -> str:
    """The id of the order whose song has this key; "" if it is a caller's key."""
    prefix, _, rest = idempotency_key.partition(" ")
    return rest.partition(" ")[0] if prefix == "order" else ""


class OrderState(StrEnum):
    """The state of an order."""

    RUNNING = "running"
    PAUSED = "paused"
    FINISHED = "finished"
    CANCELLED = "cancelled"

    @property
    def is_open(self) -> bool:
        """Whether it may begin another song."""
        return self in (OrderState.RUNNING, OrderState.PAUSED)


class SongState(StrEnum):
    """The state of a song of an order."""

    WAITING = "waiting"
    RUNNING = "running"
    NEEDS_PERSON = "needs_person"
    DONE = "done"
    FAILED = "failed"

    @property
    def has_ended(self) -> bool:
        """Whether nothing more happens to it."""
        return self in (SongState.DONE, SongState.FAILED)


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a song failed, or why an order is paused."""

    code: str
    """The `code` of an error."""
    error: str
    """A sentence, with the next step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderedSong:
    """A song of an order."""

    song_id: str
    title: str | None = None
    state: SongState = SongState.WAITING
    credits: int = 0
    """What was spent for it; in doubt counts as spent."""
    downloads: int = 0
    """The same in downloads."""
    error: Problem | None = None
    split: str = ""
    """The ledger's id of its split; "" before it begins."""
    request_id: str = ""
    """The request id of its split."""
    is_asked: bool = False
    """Whether a caller has asked to try it again while it waits for a person."""
    blocked: Moment | None = None
    """Since when another split of this song holds it up."""
    balance_before: int | None = None
    """The account's credits before its paid call; None once its cost was read."""
    counted_before: int = 0
    """What all orders had counted on the account when its paid call began, with its own price."""
    fell: int = 0
    """How many credits the balance fell by with that call."""
    repeats: int = 0
    """How often it was tried again, after Suno had certainly made and charged nothing."""

    @property
    def is_repeated(self) -> bool:
        """Whether its split is there, and is tried again: a person has solved a captcha, or nothing was charged."""
        return bool(self.split) and self.state in (SongState.WAITING, SongState.NEEDS_PERSON)


@dataclass(frozen=True, slots=True, kw_only=True)
class SongOrder:
    """An order as it is stored, without secrets."""

    id: str
    account: str
    """The operator's name for the Suno account."""
    owner: str
    """The ledger's name for it."""
    caller: str
    idempotency_key: str
    question: str
    """The request's parameters, as JSON. A retry with the same key must have the same ones."""
    began: Moment
    songs: tuple[OrderedSong, ...]
    task: str
    stem_name: str
    price: int
    """Credits that a split is expected to cost."""
    max_credits: int
    max_downloads: int | None = None
    """None: no limit but the caller's budget."""
    audio_format: str | None = None
    webhook_url: str = ""
    waits_for_person: bool = False
    """Whether a captcha lets it wait for a person, at that song. Otherwise a captcha pauses it."""
    base: str = ""
    """The address of this service."""
    state: OrderState = OrderState.RUNNING
    error: Problem | None = None
    """Why it is paused."""
    events: int = 0
    """How many webhooks of its own it has begun."""

    @property
    def credits(self) -> int:
        """What was spent; in doubt counts as spent."""
        return sum(song.credits for song in self.songs)

    @property
    def dearest(self) -> int:
        """What the dearest song has cost: the next one may cost that too, although its price is lower."""
        return max((song.credits for song in self.songs), default=0)

    @property
    def downloads(self) -> int:
        """The same in downloads."""
        return sum(song.downloads for song in self.songs)

    @property
    def next_song(self) -> OrderedSong | None:
        """The song that begins next. Those that another request holds up let the others go first."""
        waiting = [song for song in self.songs if song.state is SongState.WAITING]
        return min(waiting, key=lambda song: song.blocked is not None, default=None)

    @property
    def has_ended(self) -> bool:
        """Whether nothing more happens to any of its songs."""
        return all(song.state.has_ended for song in self.songs)

    @property
    def unread_song(self) -> OrderedSong | None:
        """The song whose cost was not read yet: the account's balance has to show it before another song begins."""
        return next((song for song in self.songs if song.balance_before is not None), None)

    @property
    def song_of_person(self) -> OrderedSong | None:
        """The song that waits for a person. Those behind it wait too."""
        return next((song for song in self.songs if song.state is SongState.NEEDS_PERSON), None)

    def with_song(self, changed: OrderedSong) -> SongOrder:
        """The order with another state of this song."""
        songs = tuple(changed if song.song_id == changed.song_id else song for song in self.songs)
        return replace(self, songs=songs)


def read_order(stored: Any) -> SongOrder:
    """Read an order as it is stored, also by a newer release: its other fields are left out."""
    return SongOrder(
        **_known(SongOrder, stored)
        | {
            "began": Moment(*stored["began"]),
            "songs": tuple(map(_read_song, stored["songs"])),
            "state": OrderState(stored["state"]),
            "error": _problem(stored["error"]),
        }
    )


def _read_song(stored: Any) -> OrderedSong:
    blocked = Moment(*stored["blocked"]) if stored.get("blocked") else None
    state, error = SongState(stored["state"]), _problem(stored["error"])
    return OrderedSong(**_known(OrderedSong, stored) | {"state": state, "error": error, "blocked": blocked})


def _problem(stored: Any) -> Problem | None:
    return Problem(**_known(Problem, stored)) if stored else None


def _known(of: type[Any], stored: Any) -> Any:
    names = {field.name for field in fields(of)}
    return {name: value for name, value in stored.items() if name in names}
