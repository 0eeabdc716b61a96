"""A split, from the question to its stems."""

from __future__ import annotations

from collections.abc import Sequence

from app import current
from app.suno.clip import Clip, StemTask, finished_set
from app.suno.session import Account


def split_song(
    account: Account, *, song_id: str, task: StemTask, reuse_existing: bool, wait_audio: bool
) -> Sequence[Clip]:
    """The song's stems: those it has, where they are wanted and whole, else new ones, which are charged."""
    stems: Sequence[Clip] = ()
    if reuse_existing:
        stems = finished_set(current.gateway.stems(account, song_id), task)
    if not stems:
        stems = current.gateway.generate_stems(account, song_id, task)
    return wait_for(account, stems) if wait_audio else stems


def wait_for(account: Account, stems: Sequence[Clip]) -> Sequence[Clip]:
    """The stems once all are final, or as they are when SUNO_WAIT_TIMEOUT is over or the process stops."""
    return current.gateway.wait_for(
        account,
        stems,
        patience=current.settings.suno_wait_timeout,
        interval=current.settings.suno_poll_interval,
        stopping=current.is_stopping,
    )
