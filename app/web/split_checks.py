"""What a split needs before it begins: a webhook that may be sent, and room for its files."""

from __future__ import annotations

from typing import Any

from app.accounts import budget_of
from app.audio.sizes import least_bytes
from app.callers import Caller
from app.splits.budget import OverBudget
from app.suno.clip import Clip
from app.suno.errors import SunoError
from app.suno.gateway import AudioFormat
from app.suno.session import Account
from app.suno.stems import StemTask
from app.web import audio
from app.web.current import parts
from app.web.errors import WebhookNotAllowed


def check_job(wanted: dict[str, Any], account: Account, caller: Caller) -> None:
    """Raise WebhookNotAllowed, or a 400, if the work after the reply is not possible."""
    if url := wanted.get("webhook_url"):
        _check_webhook(url, account, caller)
    if wanted.get("audio_format"):
        audio.require_own(account, "audio_format is", instead="use POST /api/download after the split")
    if wanted["on_captcha"] == "wait":
        audio.require_own(account, 'on_captcha: "wait" is', instead='send on_captcha: "fail"')


def check_new(song_id: str, format: AudioFormat | None, task: StemTask, account: Account, caller: Caller) -> None:
    """Raise AudioFull, AudioUnavailable or OverBudget if a new split's files could not be fetched."""
    if format is None:
        return
    budget = budget_of(caller, "downloads")
    left = parts().ledger.left(budget) if budget else None
    is_spent = left is not None and left.amount < 1
    song = _song_to_fetch(song_id, account, is_needed=is_spent)
    least = least_bytes(format, song.duration if song else None)
    parts().shelf.check_room([least] * task.fewest_stems, together=True)
    # A song that is unlocked costs no download.
    if left is not None and is_spent and song and not song.download_unlocked:
        raise OverBudget(left, 1)


def _song_to_fetch(song_id: str, account: Account, *, is_needed: bool) -> Clip | None:
    """The song as Suno lists it; None if it cannot be read now, and is not needed."""
    try:
        return parts().gateway.clip(account, song_id)
    except SunoError:
        if is_needed:
            raise
        return None


def _check_webhook(url: str, account: Account, caller: Caller) -> None:
    from app.jobs.webhook import check_address

    settings = parts().settings
    if not (caller.webhook_secrets or settings.webhook_secrets):
        raise WebhookNotAllowed(
            "This service signs no webhooks yet: its operator has to set WEBHOOK_SECRET to what "
            "`make webhook-secret` prints. Nothing was charged."
        )
    if not account.name:
        raise WebhookNotAllowed(
            "A webhook works with the operator's accounts only: it is sent long after this request, and a request's "
            "cookie is never written down. Leave the cookie out, or poll for the stems instead. Nothing was "
            "charged."
        )
    try:
        check_address(url, settings.webhook_hosts)
    except ValueError as error:
        raise WebhookNotAllowed(f"{error} Nothing was charged.") from None
