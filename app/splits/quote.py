"""What an order would do and cost, from free reads of Suno."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum

from app.suno.clip import Clip
from app.suno.gateway import SunoGateway
from app.suno.session import Account
from app.suno.stems import StemChoice, finished_set

SONGS_ASKED_AT_ONCE = 4
"""How many songs are asked for their stems at once."""

CLIPS_AT_ONCE = 50
"""Maximum clips in one call of a list."""


class Outlook(StrEnum):
    """What would happen to a song."""

    SPLIT = "split"
    HAS_STEMS = "has_stems"
    """Its stems of this kind are taken for free."""
    NOT_FOUND = "not_found"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class QuotedSong:
    """A song as it would be ordered."""

    song_id: str
    title: str | None
    outlook: Outlook
    credits: int
    """What it is expected to cost."""
    downloads: int
    """How many downloads Suno will count for its files."""
    error: str = ""
    """Why it cannot be split."""


def quote(
    gateway: SunoGateway,
    account: Account,
    song_ids: Sequence[str],
    choice: StemChoice,
    *,
    price: int,
    with_files: bool,
    looks_for_stems: bool = True,
) -> list[QuotedSong]:
    """Look at each song; free. Raises a SunoError.

    Only songs that Suno marks as split are asked for their stems: the mark may be late, so a song that is quoted as
    `split` may turn out to have stems, and then costs nothing. `looks_for_stems`: False to believe the mark.
    """
    found: dict[str, Clip] = {}
    for start in range(0, len(song_ids), CLIPS_AT_ONCE):
        listed = gateway.clips(account, song_ids[start : start + CLIPS_AT_ONCE], one_by_one=False)
        found |= {clip.id.casefold(): clip for clip in listed}
    # Lists may leave out songs: only the call for one clip says that a song is unknown.
    left_out = [id for id in song_ids if id.casefold() not in found]
    found |= {clip.id.casefold(): clip for clip in gateway.clips_by_themselves(account, left_out)}

    def quoted(id: str) -> QuotedSong:
        clip = found.get(id.casefold())
        if clip is None:
            error = "Suno knows no such song on this account."
            return QuotedSong(id, None, Outlook.NOT_FOUND, 0, 0, error)
        if error := _refusal(clip):
            return QuotedSong(id, clip.title, Outlook.REFUSED, 0, 0, error)
        has_stems = clip.has_stems and (not looks_for_stems or bool(finished_set(gateway.stems(account, id), choice)))
        outlook = Outlook.HAS_STEMS if has_stems else Outlook.SPLIT
        downloads = int(with_files and not clip.download_unlocked)
        return QuotedSong(id, clip.title, outlook, 0 if has_stems else price, downloads)

    with ThreadPoolExecutor(SONGS_ASKED_AT_ONCE) as pool:
        return list(pool.map(quoted, song_ids))


def _refusal(clip: Clip) -> str:
    if clip.is_stem:
        return "This is a stem, not a song."
    return f"This song cannot be split: {clip.refusal}." if clip.refusal else ""
