"""Every operation on Suno, one method each."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, assert_never

from app.suno.call import Call, CallKind, Deadline
from app.suno.clip import Clip, Credits, UnreadableReply, bare_stem, listed_stems_from_wire, why_not_split
from app.suno.endpoint import Endpoint, StemsRoute
from app.suno.errors import NotAllowed, OutcomeUnknown, RateLimited, RefusedBySuno, SongNotFound, SunoError
from app.suno.feed import Feed
from app.suno.session import Account, User
from app.suno.song_time import AlignedLyrics, Beat, Novelty, beats_from_wire
from app.suno.statuses import (
    CALL_GONE,
    NO_FILE_YET,
    NO_SONG_TIME,
    NO_STEMS_YET,
    NO_SUCH_PAGE,
    NO_UNLOCKING,
    NOT_MADE,
    UNKNOWN_FORMAT,
)
from app.suno.stems import StemChoice
from app.suno.studio import JsonObject, StudioApi, changed, json_of, read_as, reply_of
from app.suno.v2_web import V2Web, stems_of
from app.suno.wire import Observer

log = logging.getLogger(__name__)

AudioFormat = Literal["mp3", "m4a", "wav"]

MAX_STEM_PAGES = 500
"""Maximum pages of stems of one song; 24 stems are two. With more, it is unknown which are the newest."""

MAX_IDS_PER_CALL = 50
"""Maximum ids in one call of a list."""

EDIT_GONE_SECONDS = 3600.0
"""Seconds until the older call for a pair of stems is tried again."""


@dataclass(frozen=True, slots=True)
class Unlock:
    """The result of unlocking a song."""

    counted: bool
    """Whether Suno counts it against the account's downloads, which it does once for a song."""


class SunoGateway:
    """Suno, for any number of accounts, over kept-alive connections. Safe to share between greenlets.

    A call that may cost is sent once; a free one is retried if no answer came. Every method raises a SunoError that
    says what to do next.
    """

    def __init__(self, suno: Endpoint, *, observer: Observer | None = None, free_only: bool = False) -> None:
        """`free_only`: refuse every call that may cost."""
        self._suno = suno
        self._studio = StudioApi(suno, observer=observer, free_only=free_only)
        self._feed = Feed(self._studio)
        self._v2_web = V2Web(self._studio)
        self._edit_gone_until = 0.0

    def sign_in(self, account: Account) -> None:
        """Check that the account's cookie signs in; free, and no call while its token is fresh."""
        self._studio.sessions.bearer(account, self._deadline())

    def known_user(self, account: Account) -> User | None:
        """The user of the account's cookie; None if this process has not signed in with it. Makes no call."""
        return self._studio.sessions.user(account)

    def user_of(self, account: Account) -> User | None:
        """The user of the account's cookie; free, and no call once this process has signed in.

        None if Suno's token names no user.
        """
        user = self._studio.sessions.user(account)
        if user is None:
            self.sign_in(account)
            user = self._studio.sessions.user(account)
        return user

    def wants_captcha(self, account: Account) -> bool | None:
        """Whether Suno's newer split call wants a captcha now; None if that cannot be read. Free."""
        try:
            return self._studio.captcha(account, self._deadline())[0]
        except SunoError:
            return None

    def must_solve_captcha(self, account: Account, choice: StemChoice, deadline: Deadline | None = None) -> bool:
        """Whether Suno would refuse such a split now because it wants a captcha; free. Raises a SunoError.

        False if the split begins with the older call, which wants none.
        """
        if choice == StemChoice() and self._edit_is_there():
            return False
        return self._studio.captcha(account, deadline or self._deadline())[0]

    def now(self) -> float | None:
        """Seconds since 1970 by Suno's clock, which dates the clips; None before its first answer."""
        return self._studio.clock.now()

    def generate_stems(
        self,
        account: Account,
        song_id: str,
        choice: StemChoice | None = None,
        deadline: Deadline | None = None,
        *,
        order: str = "",
        look_first: bool = False,
    ) -> list[Clip]:
        """Split a song; the account is charged. The stems are not ready yet.

        `order`: a name that is the same for every attempt of one split; Suno gets a UUID made of it. One client of
        2026-08 sends the same one again after a lost answer; no source shows that Suno then charges once.
        `look_first`: read the song first, even where the call does not need it. Where the song is read,
        RefusedBySuno says why Suno would refuse it: then nothing was sent.
        """
        choice, deadline = choice or StemChoice(), deadline or self._deadline()
        if choice != StemChoice() or not self._edit_is_there():
            song = _fit_to_split(self._feed.clip_as_sent(account, song_id, deadline))
            return self._v2_web.split(account, song, choice, deadline, order=order)
        if look_first:
            self._refuse_unfit(account, song_id, deadline)
        try:
            return self._by_edit(account, song_id, deadline)
        except SunoError as refusal:
            may_move = self._suno.stems_route is StemsRoute.AUTO and not refusal.paid_calls_pause
            if not may_move or refusal.status not in NOT_MADE:
                raise
            song = self._song_in_spite_of(refusal, account, song_id, deadline)
            is_gone = refusal.status in CALL_GONE
        stems = self._v2_web.split(account, song, choice, deadline, order=order)
        if is_gone:
            self._edit_gone_until = time.monotonic() + EDIT_GONE_SECONDS
            log.warning(
                "Suno no longer has /api/edit/stems: /api/generate/v2-web makes pairs of stems for an hour. "
                "Set SUNO_STEMS_ROUTE=v2-web to always use it."
            )
        return stems

    def stems(self, account: Account, song_id: str, deadline: Deadline | None = None) -> list[Clip]:
        """All stems of a song, in Suno's order; free.

        [] means none, *or not yet*: Suno's list was seen empty just after a split. An unknown song has none either.
        Raises SunoFailed if Suno has stems, but not all of them can be read.
        """
        deadline = deadline or self._deadline()
        path = f"/api/clip/{song_id}/stems"
        pages = self._pages_of_stems(account, song_id, f"{path}/pages", deadline)
        stems: dict[str, Clip] = {}
        for page in range(pages):
            answer = self._studio.ask(
                account, Call(CallKind.STEMS, "GET", f"{path}?page={page}", deadline, accept=NO_SUCH_PAGE)
            )
            if not answer.succeeded:
                raise changed("the stems that it counts")
            for stem in read_as(listed_stems_from_wire, reply_of(answer), song_id=song_id):
                stems.setdefault(stem.id, stem)
        return self._filled(account, song_id, stems, deadline)

    def song_has_stems(self, account: Account, song_id: str, deadline: Deadline | None = None) -> bool | None:
        """Whether Suno marks the song as split; None if the mark is missing. Free. Raises SongNotFound."""
        sent = self._feed.clip_as_sent(account, song_id, deadline or self._deadline())
        metadata = sent.get("metadata")
        mark = metadata.get("has_stem") if isinstance(metadata, dict) else None
        return mark if isinstance(mark, bool) else None

    def newest_clips(self, account: Account, until: float, deadline: Deadline | None = None) -> list[Clip]:
        """The account's clips that are not older than `until`, newest first, stems too; free.

        `until`: seconds since 1970 by Suno's clock. Raises SunoFailed if Suno's list does not reach an older clip, or
        cannot be read completely.
        """
        return self._feed.newest(account, until, deadline or self._deadline())

    def clips(
        self, account: Account, ids: Sequence[str], *, within: float | None = None, one_by_one: bool = True
    ) -> list[Clip]:
        """The clips with these ids, in this order; free. Those that Suno does not know (yet) are left out.

        `within`: a deadline in seconds, if it is shorter than the gateway's. `one_by_one`: also read up to ten clips
        one by one that Suno's list leaves out.
        """
        return self._feed.clips(account, ids, self._deadline(within), one_by_one=one_by_one)

    def clips_by_themselves(self, account: Account, ids: Sequence[str], *, within: float | None = None) -> list[Clip]:
        """The clips with these ids, with one call for each and no list; free. Those that are unknown are left out."""
        return self._feed.clips_by_themselves(account, ids, self._deadline(within))

    def clip(self, account: Account, id: str) -> Clip:
        """One clip; free. Raises SongNotFound."""
        return self._feed.clip(account, id, self._deadline())

    def clip_as_sent(self, account: Account, id: str) -> JsonObject:
        """One clip as Suno sends it; free. Raises SongNotFound."""
        return self._feed.clip_as_sent(account, id, self._deadline())

    def songs(self, account: Account, page: int = 0) -> list[Clip]:
        """A page of the account's own songs, newest first; free. Pages count from 0."""
        return self._feed.songs(account, page, self._deadline())

    def playlist(self, account: Account, id: str, most: int) -> list[Clip]:
        """The songs of a playlist, in its order; free. At least one more than `most`, if there are more.

        Raises SongNotFound.
        """
        return self._feed.playlist(account, id, most, self._deadline())

    def credits(self, account: Account) -> Credits:
        """The account's remaining credits and downloads; free."""
        reply = self._studio.read(account, Call(CallKind.BILLING, "GET", "/api/billing/info/", self._deadline()))
        return read_as(Credits.from_wire, reply)

    def unlock(self, account: Account, song_id: str) -> Unlock:
        """Unlock a song and its stems for download: **Suno counts this**, once for a song. Sent once.

        Raises OutcomeUnknown if the answer is lost: check the song's `download_unlocked` before anything else.
        """
        body = json.dumps({"item_id": song_id, "item_type": "clip"}).encode()
        answer = self._studio.ask(
            account,
            Call(CallKind.UNLOCK, "POST", "/api/download/authorize", self._deadline(), body, accept=NO_UNLOCKING),
        )
        if not answer.succeeded:
            return Unlock(counted=False)
        try:
            reply = json_of(answer)
        except UnreadableReply as error:
            raise OutcomeUnknown(
                f"Suno was asked to unlock the song, and answered with {error}.", is_download=True
            ) from error
        _raise_refusal(reply, "; nothing was counted")
        if not _says_unlocked(reply):
            raise OutcomeUnknown(
                "Suno was asked to unlock the song, and its answer does not say whether it has.", is_download=True
            )
        return Unlock(counted=reply.get("already_unlocked") is not True)

    def download_url(
        self, account: Account, clip_id: str, format: AudioFormat, *, within: float | None = None
    ) -> str | None:
        """The address of a clip's audio; None while Suno prepares it: then retry. Counts no download.

        Raises NotAllowed while the clip's song is locked, UnknownFormat if only the older calls may know the format.
        """
        path = f"/api/download/clip/{clip_id}?format={format}"
        accept = UNKNOWN_FORMAT if format == "wav" else ()
        deadline = self._deadline(within)
        answer = self._studio.ask(account, Call(CallKind.DOWNLOAD, "GET", path, deadline, accept=accept))
        if not answer.succeeded:
            raise UnknownFormat
        reply = reply_of(answer)
        _raise_refusal(reply)
        url = reply.get("download_url") if isinstance(reply, dict) else None
        if not url and isinstance(reply, dict) and reply.get("status") == "processing":
            return None
        return _url(url)

    def aligned_lyrics(self, account: Account, song_id: str) -> AlignedLyrics:
        """A song's words in time; free. Without any for an instrumental, or if Suno has not aligned the song."""
        path = f"/api/gen/{song_id}/aligned_lyrics/v2/"
        reply = self._song_time(account, path)
        return AlignedLyrics() if reply is None else read_as(AlignedLyrics.from_wire, reply)

    def downbeats(self, account: Account, song_id: str) -> tuple[Beat, ...]:
        """A song's beats; free. () if Suno has none."""
        reply = self._song_time(account, f"/api/gen/{song_id}/downbeats")
        return () if reply is None else read_as(beats_from_wire, reply)

    def novelty_sections(self, account: Account, song_id: str) -> Novelty:
        """Where a song changes; free. Suno computes it when it is first asked for: then it is not ready."""
        reply = self._song_time(account, f"/api/gen/{song_id}/novelty-sections")
        return Novelty(is_ready=True) if reply is None else read_as(Novelty.from_wire, reply)

    def _song_time(self, account: Account, path: str) -> Any:
        """A reply about a song in time; None for 404, with which Suno says that there is nothing (2026-08)."""
        answer = self._studio.ask(
            account, Call(CallKind.SONG_TIME, "GET", path, self._deadline(), accept=NO_SONG_TIME)
        )
        return reply_of(answer) if answer.succeeded else None

    def wav_file(self, account: Account, clip_id: str, *, within: float | None = None) -> str | None:
        """The address of a clip's WAV file, from the older call; None if it is not converted (yet)."""
        answer = self._studio.ask(
            account,
            Call(
                CallKind.DOWNLOAD, "GET", f"/api/gen/{clip_id}/wav_file/", self._deadline(within), accept=NO_FILE_YET
            ),
        )
        if not answer.succeeded:
            return None
        reply = reply_of(answer)
        if isinstance(reply, dict) and reply.get("wav_file_url", True) in (None, ""):
            return None
        return _url(reply.get("wav_file_url") if isinstance(reply, dict) else None)

    def convert_wav(self, account: Account, clip_id: str) -> None:
        """Start to convert a clip to WAV with the older call, which may count as a download. Sent once."""
        path = f"/api/gen/{clip_id}/convert_wav/"
        self._studio.ask(account, Call(CallKind.CONVERT_WAV, "POST", path, self._deadline(), b""))

    def _deadline(self, within: float | None = None) -> Deadline:
        return Deadline(min(within or self._suno.deadline, self._suno.deadline))

    def _edit_is_there(self) -> bool:
        match self._suno.stems_route:
            case StemsRoute.EDIT:
                return True
            case StemsRoute.V2_WEB:
                return False
            case StemsRoute.AUTO:
                return time.monotonic() >= self._edit_gone_until
        assert_never(self._suno.stems_route)

    def _by_edit(self, account: Account, song_id: str, deadline: Deadline) -> list[Clip]:
        path = f"/api/edit/stems/{song_id}/"
        return stems_of(self._studio.ask(account, Call(CallKind.SPLIT, "POST", path, deadline, b"{}")), song_id)

    def _song_in_spite_of(self, refusal: SunoError, account: Account, song_id: str, deadline: Deadline) -> Clip:
        """The song of a refused split. Raises the refusal if the song cannot be read."""
        try:
            sent = self._feed.clip_as_sent(account, song_id, deadline)
        except SunoError:
            raise refusal from None
        return _fit_to_split(sent)

    def _refuse_unfit(self, account: Account, song_id: str, deadline: Deadline) -> None:
        """Raise RefusedBySuno if the song shows that Suno would refuse it. One that cannot be read shows nothing."""
        try:
            sent = self._feed.clip_as_sent(account, song_id, deadline)
        except SunoError:
            return
        _fit_to_split(sent)

    def _pages_of_stems(self, account: Account, song_id: str, path: str, deadline: Deadline) -> int:
        """How many pages of stems a song has. 0 means none, or not yet."""
        answer = self._studio.ask(account, Call(CallKind.STEMS, "GET", path, deadline, accept=NO_STEMS_YET))
        if not answer.succeeded:
            # A removed call would answer like this too.
            if self._is_marked_as_split(account, song_id, deadline):
                raise changed("which stems a song has")
            return 0
        reply = reply_of(answer)
        pages = reply.get("pages") if isinstance(reply, dict) else None
        if type(pages) is not int or not 0 <= pages <= MAX_STEM_PAGES:
            raise changed("the number of a song's pages of stems")
        return pages

    def _is_marked_as_split(self, account: Account, song_id: str, deadline: Deadline) -> bool:
        try:
            return self.song_has_stems(account, song_id, deadline) is True
        except SongNotFound:
            return False

    def _filled(self, account: Account, song_id: str, stems: dict[str, Clip], deadline: Deadline) -> list[Clip]:
        """The stems; those that the list has only by their ids are read."""
        bare = [id for id, stem in stems.items() if stem == bare_stem(id, song_id)]
        for start in range(0, len(bare), MAX_IDS_PER_CALL):
            ids = bare[start : start + MAX_IDS_PER_CALL]
            for clip in self._feed.clips(account, ids, deadline, one_by_one=True):
                stems[clip.id] = replace(clip, stem_from_id=song_id, is_stem=True)
        return list(stems.values())


class UnknownFormat(Exception):
    """Suno's newer file call does not know the format; the older calls may."""


def _fit_to_split(sent: JsonObject) -> Clip:
    """The song, if nothing shows that Suno would refuse to split it. Raises RefusedBySuno."""
    if why := why_not_split(sent):
        raise RefusedBySuno(f"This song cannot be split: {why}. Nothing was charged.")
    return read_as(Clip.from_wire, sent)


def _says_unlocked(reply: Any) -> bool:
    """Whether the reply to an unlock is a success in the form of the captures of 2026-10."""
    if not isinstance(reply, dict):
        return False
    has_result = any(isinstance(reply.get(name), bool) for name in ("already_unlocked", "credit_deducted"))
    return reply.get("ok") is True or ("ok" not in reply and has_result)


def _raise_refusal(reply: Any, cost: str = "") -> None:
    """Raise the error for a download's `ok: false`, which Suno sends with status 200 since 2026-09.

    `cost`: what is certain of the cost. Without an unlock it is "": the song's unlock may have been counted before.
    """
    if not isinstance(reply, dict) or reply.get("ok") is not False:
        return
    message = reply.get("message")
    said = f' Suno says: "{" ".join(message.split())[:300]}"' if isinstance(message, str) and message else ""
    if reply.get("reason") == "rate_limited":
        raise RateLimited(f"Suno wants fewer downloads at once{cost}. Wait and try again.{said}")
    raise NotAllowed(f"Suno does not allow this download{cost}.{said}")


def _url(value: Any) -> str:
    if not isinstance(value, str) or not value.startswith(("https://", "http://")):
        raise changed("where the audio can be fetched")
    return value
