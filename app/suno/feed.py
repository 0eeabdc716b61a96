"""Read clips by id, or list the account's own songs. Free. Suno has had several calls for such lists."""

from __future__ import annotations

import json
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import suppress
from threading import Lock
from typing import Any
from urllib.parse import urlencode

from app.suno.answer import NOTHING_CHARGED
from app.suno.call import Call, CallKind, Deadline
from app.suno.clip import Clip, all_clips_from_wire, clips_from_wire, playlist_from_wire
from app.suno.errors import SongNotFound, SunoFailed
from app.suno.ids import as_sent, is_same
from app.suno.session import Account
from app.suno.statuses import CALL_GONE, LIST_REFUSED, NO_SUCH_PAGE, NO_SUCH_PLAYLIST
from app.suno.stems import made_at
from app.suno.studio import JsonObject, StudioApi, changed, read_as, reply_of

LIST_GONE_SECONDS = 3600.0
"""Seconds until a removed list call is tried again."""

MAX_CLIP_READS = 10
"""Maximum clips that one request reads one by one."""

SONGS_PER_PAGE = 20

SONGS_PER_PLAYLIST_PAGE = 50
"""Songs on a full page of a playlist (capture of 2026-09)."""

MAX_CLIPS_PER_PAGE = 100
"""Maximum clips that Suno returns at once: more is a 400."""

SORT_ERROR_SECONDS = 60.0
"""Seconds by which a clip may be newer than one before it in a list that is newest first."""

MAX_CURSOR_ACCOUNTS = 1_000
"""Maximum accounts for which a process caches song cursors."""

_ReadPage = Callable[[Account, str | None, Deadline], tuple[list[Clip], str | None]]
"""Reads a page of an account's clips from a cursor; returns it with the next cursor."""


class _ListRefused(Exception):
    """Suno refuses this list: it is gone, or it no longer takes such a request."""

    def __init__(self, status: int) -> None:
        self.is_gone = status in CALL_GONE


class Feed:
    """The list calls of the studio API, newest first: v3, then two others for ids, then v2 (nearly gone)."""

    def __init__(self, studio: StudioApi) -> None:
        self._studio = studio
        self._gone_until: dict[str, float] = {}
        self._cursors: OrderedDict[tuple[str, str], list[str | None]] = OrderedDict()
        self._lock = Lock()

    def clips(self, account: Account, ids: Sequence[str], deadline: Deadline, *, one_by_one: bool) -> list[Clip]:
        """The clips with these ids, in this order, without those that Suno does not know (yet).

        `one_by_one`: also read clips one by one that the list leaves out: lists may be incomplete.
        """
        ids = list(dict.fromkeys(map(as_sent, ids)))
        body = {"cursor": None, "limit": len(ids), "filters": {"ids": {"presence": "True", "clipIds": ids}}}
        listed = self._first_that_is_there(
            ("v3", lambda: read_as(clips_from_wire, self._v3_reply(account, body, deadline), "clips")),
            (
                "by ids",
                lambda: self._get(account, "/api/clips/get_songs_by_ids?", [("ids", i) for i in ids], deadline),
            ),
            ("bare", lambda: self._get(account, "/api/feed/?", [("ids", ",".join(ids))], deadline)),
            ("v2", lambda: self._get(account, "/api/feed/v2?", [("ids", ",".join(ids))], deadline)),
        )
        if listed is None and len(ids) > MAX_CLIP_READS:
            raise changed("an account's clips in any known list")
        found = {clip.id.casefold(): clip for clip in listed or ()}
        missing = [id for id in ids if id.casefold() not in found]
        if one_by_one or listed is None:
            alone = self.clips_by_themselves(account, missing[:MAX_CLIP_READS], deadline)
            found |= {clip.id.casefold(): clip for clip in alone}
        return [found[id.casefold()] for id in ids if id.casefold() in found]

    def clips_by_themselves(self, account: Account, ids: Sequence[str], deadline: Deadline) -> list[Clip]:
        """The clips with these ids, with one call for each. Those that Suno does not know (yet) are left out."""
        found = []
        for id in ids:
            with suppress(SongNotFound):
                found.append(self.clip(account, id, deadline))
        return found

    def clip(self, account: Account, id: str, deadline: Deadline) -> Clip:
        """One clip. Raises SongNotFound."""
        return read_as(Clip.from_wire, self.clip_as_sent(account, id, deadline))

    def clip_as_sent(self, account: Account, id: str, deadline: Deadline) -> JsonObject:
        """One clip as Suno sends it. Raises SongNotFound."""
        reply = self._studio.read(account, Call(CallKind.CLIP, "GET", f"/api/clip/{as_sent(id)}", deadline))
        if not isinstance(reply, dict) or not isinstance(found := reply.get("id"), str) or not is_same(found, id):
            raise changed("a clip")
        return reply

    def songs(self, account: Account, page: int, deadline: Deadline) -> list[Clip]:
        """A page of the account's songs, newest first. Pages count from 0; only a page after the last is empty.

        Suno pages by cursors. They are cached, so that the next page takes one call; a page far away takes one for
        each page before it, and more than one request if the deadline ends them.
        """
        listed = self._first_that_is_there(
            ("v3 library", lambda: self._page_of(account, "v3", self._v3_songs, page, deadline)),
            ("v2", lambda: self._page_of(account, "v2", self._v2_songs, page, deadline)),
        )
        if listed is None:
            raise changed("an account's songs in any known list")
        return listed

    def playlist(self, account: Account, id: str, most: int, deadline: Deadline) -> list[Clip]:
        """The songs of a playlist, in its order, each once: all, or the first that are more than `most`.

        Pages count from 1 (capture of 2026-09). Raises SongNotFound.
        """
        found: dict[str, Clip] = {}
        page = 1
        while len(found) <= most:
            path = f"/api/playlist/{as_sent(id)}/?page={page}"
            none = NO_SUCH_PAGE if page > 1 else NO_SUCH_PLAYLIST
            answer = self._studio.ask(account, Call(CallKind.FEED, "GET", path, deadline, accept=none))
            if page == 1 and not answer.succeeded:
                raise SongNotFound(
                    "This account sees no such playlist at suno.com: check its link, and who may see it."
                )
            clips = read_as(playlist_from_wire, reply_of(answer)) if answer.succeeded else []
            new = {clip.id: clip for clip in clips if clip.id not in found}
            found |= new
            # A page without new songs may be the last one again.
            if len(clips) < SONGS_PER_PLAYLIST_PAGE or not new:
                break
            page += 1
        return list(found.values())

    def newest(self, account: Account, until: float, deadline: Deadline) -> list[Clip]:
        """The account's newest clips, stems too, newest first: all that are not older than `until`.

        `until`: seconds since 1970 by Suno's clock. Raises SunoFailed unless Suno's list is sorted, has only clips
        with an id and a date, and goes back to a clip older than `until`: only then does it show what does not exist.
        """
        # The list may need the account's user id, which only the token contains.
        self._studio.sessions.bearer(account, deadline)
        user = self._studio.sessions.suno_user(account)
        found: dict[str, Clip] = {}
        cursors: set[str | None] = set()
        cursor: str | None = None
        oldest = math.inf
        while cursor not in cursors:
            cursors.add(cursor)
            try:
                reply = self._v3_reply(account, _everything(user, cursor), deadline)
            except _ListRefused:
                raise changed("an account's newest clips") from None
            for clip in read_as(all_clips_from_wire, reply):
                made = made_at(clip)
                if made is None or made > oldest + SORT_ERROR_SECONDS:
                    raise changed("its newest clips with their dates, newest first")
                oldest = min(oldest, made)
                if made < until:
                    return list(found.values())
                found.setdefault(clip.id, clip)
            cursor = _next_cursor(reply)
        raise SunoFailed(f"Suno's list of the account's newest clips does not go back far enough. {NOTHING_CHARGED}")

    def _page_of(
        self, account: Account, list_name: str, read: _ReadPage, page: int, deadline: Deadline
    ) -> list[Clip]:
        known = self._known_cursors(account, list_name)
        at = min(page, len(known) - 1)
        while True:
            cursor = known[at]
            if at and cursor is None:
                return []
            songs, further = self._songs_from(account, read, cursor, deadline)
            if further in known[: at + 1]:
                further = None
            if known[at + 1 : at + 2] != [further]:
                # The songs have moved: the cached cursors of later pages are invalid.
                known[at + 1 :] = [further]
                self._remember(account, list_name, known)
            if at == page:
                return songs
            at += 1

    def _songs_from(
        self, account: Account, read: _ReadPage, cursor: str | None, deadline: Deadline
    ) -> tuple[list[Clip], str | None]:
        """The next songs, and the cursor after them. A page of Suno's that has only stems is not the end."""
        seen = {cursor}
        while True:
            clips, further = read(account, cursor, deadline)
            songs = [clip for clip in clips if not clip.is_stem]
            if songs or further is None:
                return songs, further
            if further in seen:
                return songs, None
            seen.add(further)
            cursor = further

    def _v3_songs(self, account: Account, cursor: str | None, deadline: Deadline) -> tuple[list[Clip], str | None]:
        # The library may need the account's user id, which only the token contains.
        self._studio.sessions.bearer(account, deadline)
        reply = self._v3_reply(account, library_body(self._studio.sessions.suno_user(account), cursor), deadline)
        return read_as(clips_from_wire, reply, "clips"), _next_cursor(reply)

    def _v2_songs(self, account: Account, cursor: str | None, deadline: Deadline) -> tuple[list[Clip], str | None]:
        """v2 counts pages. The cursor has the first clip of the page before: a dying v2 answers every page alike."""
        page, _, first_before = (cursor or "0 ").partition(" ")
        clips = self._get(account, "/api/feed/v2?", [("page", page)], deadline)
        is_repeated = bool(clips) and clips[0].id == first_before
        if is_repeated and all(clip.is_stem for clip in clips):
            # The songs are behind what it tells.
            raise changed("an account's songs in any known list")
        if not clips or is_repeated:
            return [], None
        return clips, f"{int(page) + 1} {clips[0].id}"

    def _known_cursors(self, account: Account, list_name: str) -> list[str | None]:
        """The known cursors, one per page. The first is None; a later None means that there is no such page.

        A copy: other requests may read the same account's songs at the same time.
        """
        with self._lock:
            return list(self._cursors.get((account.cookie_hash, list_name), (None,)))

    def _remember(self, account: Account, list_name: str, known: list[str | None]) -> None:
        key = account.cookie_hash, list_name
        with self._lock:
            self._cursors[key] = list(known)
            self._cursors.move_to_end(key)
            if len(self._cursors) > MAX_CURSOR_ACCOUNTS:
                self._cursors.popitem(last=False)

    def _v3_reply(self, account: Account, body: JsonObject, deadline: Deadline) -> Any:
        call = Call(CallKind.FEED, "POST", "/api/feed/v3", deadline, json.dumps(body).encode(), accept=LIST_REFUSED)
        return self._reply(account, call)

    def _get(self, account: Account, path: str, query: Sequence[tuple[str, str]], deadline: Deadline) -> list[Clip]:
        call = Call(CallKind.FEED, "GET", path + urlencode(query, safe=","), deadline, accept=LIST_REFUSED)
        return read_as(_clips_in, self._reply(account, call))

    def _reply(self, account: Account, call: Call) -> Any:
        """The reply of a list. Raises _ListRefused, also for a web page that says that the call is gone (2026-09)."""
        try:
            answer = self._studio.ask(account, call)
        except SunoFailed as failure:
            if failure.status in CALL_GONE:
                raise _ListRefused(failure.status) from failure
            raise
        if not answer.succeeded:
            raise _ListRefused(answer.status)
        return reply_of(answer)

    def _first_that_is_there(self, *lists: tuple[str, Callable[[], list[Clip]]]) -> list[Clip] | None:
        """Read the first list that still exists; None if none does. Skip a removed one for LIST_GONE_SECONDS.

        A list that is refused, but not gone, is skipped only now: the refusal is about this request.
        """
        for name, ask in lists:
            if time.monotonic() >= self._gone_until.get(name, 0.0):
                try:
                    return ask()
                except _ListRefused as refused:
                    if refused.is_gone:
                        self._gone_until[name] = time.monotonic() + LIST_GONE_SECONDS
        # All are gone: try each of them again next time.
        for name, _ in lists:
            self._gone_until.pop(name, None)
        return None


def _next_cursor(reply: Any) -> str | None:
    """The cursor of the next page; None on the last page."""
    cursor = reply.get("next_cursor") if isinstance(reply, dict) else None
    return cursor if isinstance(cursor, str) and cursor else None


def _clips_in(reply: Any) -> list[Clip]:
    """The clips of a reply that is or contains a list: no capture shows the shape of `get_songs_by_ids`."""
    if isinstance(reply, list):
        return clips_from_wire({"clips": reply}, "clips")
    return clips_from_wire(reply, "clips", "songs", "data")


def library_body(user: str | None, cursor: str | None) -> JsonObject:
    """The body that suno.com sends to list an account's songs (captured 2026-10-05); flags are strings."""
    filters: JsonObject = {
        "disliked": "False",
        "trashed": "False",
        "stem": {"presence": "False"},
        "stemComplement": "False",
        "fromStudioProject": {"presence": "False"},
    }
    return {"cursor": cursor, "limit": SONGS_PER_PAGE, "filters": filters | _own(user)}


def _everything(user: str | None, cursor: str | None) -> JsonObject:
    """The body that lists an account's songs and stems: without the filter `stem`."""
    return {"cursor": cursor, "limit": MAX_CLIPS_PER_PAGE, "filters": {"trashed": "False"} | _own(user)}


def _own(user: str | None) -> JsonObject:
    return {"user": {"presence": "True", "userId": user}} if user else {}
