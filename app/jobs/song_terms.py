"""On which terms a song of an order begins: whose account, which budgets, and whether its files can be fetched.

They are read when each song begins: the operator may have changed them since the order was taken.
"""

from __future__ import annotations

from dataclasses import dataclass

from app.accounts import CallerNotAllowed, budget_of
from app.audio.sizes import least_bytes
from app.audio.store import AudioFull, AudioUnavailable
from app.callers import EVERYONE, Caller
from app.jobs.job import ACCOUNT_UNKNOWN
from app.parts import Parts
from app.splits.budget import Budget
from app.splits.order import OrderedSong, Problem, SongOrder
from app.suno.clip import Credits
from app.suno.session import Account
from app.suno.stems import StemTask


class Paused(Exception):
    """No further song may begin until a caller continues the order."""

    def __init__(self, code: str, error: str) -> None:
        super().__init__(error)
        self.problem = Problem(code, error)


class NotYet(Exception):
    """A song may begin once others have ended."""


@dataclass(frozen=True, slots=True)
class Terms:
    """The account and the budgets of an order, as they are now."""

    account: Account
    budgets: tuple[Budget, ...]
    """The budgets that credits are taken from."""
    downloads: Budget | None
    """The budget that a download is taken from."""


def terms_of(parts: Parts, order: SongOrder) -> Terms:
    """Read the terms. Raises Paused, and what AccountNames.of raises."""
    account = parts.accounts.by_name(order.account)
    if account is None or order.owner not in parts.names.of(account, ledger_needed=True):
        raise Paused("suno_cookie_missing", ACCOUNT_UNKNOWN)
    caller = _caller_of(parts, order)
    try:
        if caller is None or StemTask(order.task) not in caller.tasks:
            raise CallerNotAllowed
        parts.accounts.named(caller, order.account)
    except CallerNotAllowed:
        raise Paused(
            "not_allowed",
            "The caller of this order may not use the Suno account, or split like this, any more. No further song "
            "was begun. Ask the operator, then continue the order.",
        ) from None
    budgets = parts.accounts.budgets(caller, account, (order.owner, order.caller))
    return Terms(account, budgets, budget_of(caller, "downloads"))


def downloads_of(parts: Parts, order: SongOrder, song: OrderedSong, terms: Terms, left: Credits) -> int:
    """Check that the files of a song can be fetched. Returns how many downloads Suno will count.

    Raises Paused, NotYet, and a SunoError. `left`: what the account has left.
    """
    if not order.audio_format:
        return 0
    clip = parts.gateway.clip(terms.account, song.song_id)
    least = least_bytes(order.audio_format, clip.duration)
    try:
        parts.shelf.check([least] * StemTask(order.task).fewest_stems, together=True)
    except (AudioFull, AudioUnavailable) as error:
        raise Paused("audio_full", str(error)) from error
    if clip.download_unlocked:
        return 0
    allowed = parts.ledger.left(terms.downloads).amount if terms.downloads else None
    if terms.downloads and allowed is not None and allowed < 1:
        raise Paused(
            "over_budget",
            f"The budget of {terms.downloads.whose} has no download left for this song. Nothing was charged for it. "
            "Continue the order once there is one.",
        )
    if left.downloads_left is not None and left.downloads_left < 1:
        raise Paused(
            "out_of_downloads",
            "The Suno account has no downloads left, so the files of the next song could not be fetched. "
            "Nothing was charged for it. Continue the order when there are downloads again.",
        )
    known = [amount for amount in (allowed, left.downloads_left) if amount is not None]
    if known and min(known) <= parts.ledger.orders.downloads_underway(order, song):
        # What runs may need the last ones: its songs are unlocked only when their stems are final.
        raise NotYet
    return 1


def _caller_of(parts: Parts, order: SongOrder) -> Caller | None:
    """The caller who has sent the order; None if the operator has removed it."""
    callers = parts.settings.callers or (EVERYONE,)
    return next((each for each in callers if order.caller in (each.name, *each.older_names)), None)
