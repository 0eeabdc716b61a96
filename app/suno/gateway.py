"""All that is asked of Suno, one method per thing."""

from __future__ import annotations

import json
import time
import uuid
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from threading import Lock
from typing import Any, Literal, ParamSpec, TypeVar

from app.suno.answer import NOTHING_CHARGED, SOLVE_CAPTCHA, Answer
from app.suno.clip import Clip, Credits, StemTask, UnreadableReply, clips_from_wire, stems_from_wire
from app.suno.errors import (
    CaptchaRequired,
    OutcomeUnknown,
    RateLimited,
    RefusedBySuno,
    SongNotFound,
    SunoError,
    SunoFailed,
    SunoUnreachable,
)
from app.suno.session import Account, Sessions
from app.suno.wire import Deadline, NotSent, Observer, Wire, WireError

P = ParamSpec("P")
T = TypeVar("T")

MOST_PAGES = 500
"""Pages of stems that are read of one song; 24 stems are two. Of more it is not known which are the newest."""

WAV_TAKES = 600.0
"""Seconds for which a WAV conversion counts as under way."""

WAV_CONVERSIONS = 1_000
"""Conversions that a process remembers."""


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """Where Suno is, and how long it is waited for, in seconds."""

    api_url: str
    auth_url: str
    connect_timeout: float
    read_timeout: float
    deadline: float
    """Over all that one method asks of Suno."""
    user_agent: str
    clerk_api_version: str
    clerk_js_version: str
    stems_route: str = "edit"
    """Which of Suno's two calls makes a `two`, `edit` or `v2-web`; a `twelve` is always made by v2-web."""


class SunoGateway:
    """Suno, for any number of accounts, over kept-alive connections. Safe to share between greenlets.

    A call that costs is sent once, a free one again where it got no answer. Every method raises a SunoError that
    says what to do next.
    """

    def __init__(self, suno: Endpoint, *, observer: Observer | None = None) -> None:
        self._suno = suno
        self._observer = observer
        self._once = self._wire(suno.api_url, resend=False)
        self._again = self._wire(suno.api_url, resend=True)
        self._sessions = Sessions(
            self._wire(suno.auth_url, resend=True),
            user_agent=suno.user_agent,
            clerk_api_version=suno.clerk_api_version,
            clerk_js_version=suno.clerk_js_version,
        )
        self._feed_v2_is_gone = False
        self._wav_started: OrderedDict[tuple[str, str], float] = OrderedDict()
        self._wav_lock = Lock()

    def sign_in(self, account: Account) -> None:
        """Make sure that the account's cookie signs in; free, and no call at all while its token is fresh."""
        self._sessions.bearer(account, Deadline(self._suno.deadline))

    def generate_stems(
        self, account: Account, song_id: str, task: StemTask = StemTask.TWO, deadline: Deadline | None = None
    ) -> list[Clip]:
        """Split a song; the account is charged. The stems are not ready yet."""
        deadline = deadline or Deadline(self._suno.deadline)
        if task is StemTask.TWO and self._suno.stems_route == "edit":
            path, body = f"/api/edit/stems/{song_id}/", b"{}"
        else:
            title = self._clip(account, song_id, deadline).title
            self._check_captcha(account, deadline)
            path, body = "/api/generate/v2-web/", _v2_web_body(song_id, title or "", task)
        answer = self._ask(account, "split", "POST", path, body, deadline=deadline)
        try:
            return stems_from_wire(_json(answer), song_id=song_id)
        except UnreadableReply as error:
            sentence = f"Suno answered {answer.status} with {error}, which is not what it sends for a split."
            if answer.is_html:
                raise SunoFailed(sentence, may_have_charged=True) from error
            raise OutcomeUnknown(sentence) from error

    def stems(self, account: Account, song_id: str, deadline: Deadline | None = None) -> list[Clip]:
        """Every stem that a song has, in Suno's order; free. None where Suno knows no such song.

        An empty list is certain: a retry of a split in doubt pays again on the strength of it.
        """
        deadline = deadline or Deadline(self._suno.deadline)
        path = f"/api/clip/{song_id}/stems"
        try:
            reply = self._read(account, "stems", "GET", f"{path}/pages", deadline=deadline)
        except (SongNotFound, RefusedBySuno) as error:
            # How Suno says that a song has none, but also what a call would answer that is there no more.
            if self._has_stems(account, song_id, deadline):
                raise _changed("which stems a song has") from error
            return []
        pages = reply.get("pages") if isinstance(reply, dict) else None
        if not isinstance(pages, int) or pages > MOST_PAGES:
            raise _changed("the number of a song's pages of stems")
        stems: dict[str, Clip] = {}
        for page in range(pages):
            reply = self._read(account, "stems", "GET", f"{path}?page={page}", deadline=deadline)
            for stem in _read_as(clips_from_wire, reply, "stems", "clips", stem_of=song_id):
                stems.setdefault(stem.id, stem)
        return list(stems.values())

    def clips(self, account: Account, ids: Sequence[str], *, within: float | None = None) -> list[Clip]:
        """The clips with these ids, in this order; free. Those that Suno does not know (yet) are left out.

        `within`: seconds to spend on it, where that is less than the gateway's deadline.
        """
        deadline = Deadline(min(within or self._suno.deadline, self._suno.deadline))
        filters = {"ids": {"presence": "True", "clipIds": list(ids)}}
        v3 = {"filters": filters, "limit": len(ids)}
        found = {clip.id: clip for clip in self._feed(account, f"?ids={','.join(ids)}", v3, deadline)}
        return [found[id] for id in dict.fromkeys(ids) if id in found]

    def songs(self, account: Account, page: int = 0) -> list[Clip]:
        """A page of the account's own clips, newest first; free. Pages count from 0.

        Raises RefusedBySuno for a further page where only v3 of the feed is left, which has none.
        """
        deadline = Deadline(self._suno.deadline)
        return self._feed(account, f"?page={page}", {"limit": 20} if page == 0 else None, deadline)

    def credits(self, account: Account) -> Credits:
        """What the account has left; free."""
        reply = self._read(account, "billing", "GET", "/api/billing/info/", deadline=Deadline(self._suno.deadline))
        return _read_as(Credits.from_wire, reply)

    def download_url(self, account: Account, clip_id: str, format: Literal["mp3", "m4a", "wav"]) -> str | None:
        """Where a clip's audio can be fetched, or None while Suno prepares it: then ask again.

        It counts against the account's monthly downloads: call it for nobody who has not asked for just that.
        """
        deadline = Deadline(self._suno.deadline)
        if format == "wav":
            return self._wav_url(account, clip_id, deadline)
        path = f"/api/download/clip/{clip_id}?format={format}"
        reply = self._read(account, "download", "GET", path, deadline=deadline)
        url = reply.get("download_url") if isinstance(reply, dict) else None
        if url is None and isinstance(reply, dict) and reply.get("status") == "processing":
            return None
        return _url(url)

    def wait_for(
        self,
        account: Account,
        stems: Sequence[Clip],
        *,
        patience: float,
        interval: float,
        stopping: Callable[[], bool] = lambda: False,
    ) -> list[Clip]:
        """The stems once all are final, or as they are when `patience` is over or the process is `stopping`.

        Never raises for a failure of Suno's: the stems are paid for, and their ids have to reach the caller.
        `patience` and the `interval` between two questions are in seconds.
        """
        known = {stem.id: stem for stem in stems}
        ends = time.monotonic() + patience
        pause = interval
        while not all(stem.is_final for stem in known.values()):
            left = ends - time.monotonic()
            if left <= 0 or not _slept(min(pause, left), interval, stopping):
                break
            pause = interval
            try:
                seen = self.clips(account, list(known), within=max(1.0, ends - time.monotonic()))
            except RateLimited as error:
                pause = max(interval, error.retry_after or 2 * interval)
            except SunoError:
                pass
            else:
                known |= {clip.id: _with_parent(clip, known[clip.id]) for clip in seen}
        return list(known.values())

    def _has_stems(self, account: Account, song_id: str, deadline: Deadline) -> bool:
        try:
            return self._clip(account, song_id, deadline).has_stems
        except SongNotFound:
            return False

    def _clip(self, account: Account, id: str, deadline: Deadline) -> Clip:
        reply = self._read(account, "clip", "GET", f"/api/clip/{id}", deadline=deadline)
        if not isinstance(reply, dict) or reply.get("id") != id:
            raise _changed("a clip")
        return Clip.from_wire(reply)

    def _check_captcha(self, account: Account, deadline: Deadline) -> None:
        body = b'{"ctype":"generation"}'
        reply = self._read(account, "captcha", "POST", "/api/c/check", body, deadline=deadline)
        required = reply.get("required") if isinstance(reply, dict) else None
        if not isinstance(required, bool):
            raise _changed("whether a captcha is required")
        if required:
            raise CaptchaRequired(SOLVE_CAPTCHA)

    def _feed(self, account: Account, v2: str, v3: dict[str, Any] | None, deadline: Deadline) -> list[Clip]:
        """Ask v2 of the feed, or v3 once v2 is gone; `v3` is None for what that cannot tell."""
        if not self._feed_v2_is_gone:
            path = f"/api/feed/v2{v2}"
            answer = self._ask(account, "feed", "GET", path, deadline=deadline, accept=(404, 405))
            if answer.succeeded:
                return _read_as(clips_from_wire, _reply(answer), "clips")
            self._feed_v2_is_gone = True
        if v3 is None:
            raise RefusedBySuno(
                "Suno lists the account's songs by cursor now, not by page: only the first page can be had (page=0)."
            )
        body = json.dumps(v3).encode()
        reply = self._read(account, "feed", "POST", "/api/feed/v3", body, deadline=deadline)
        return _read_as(clips_from_wire, reply, "clips")

    def _wav_url(self, account: Account, clip_id: str, deadline: Deadline) -> str | None:
        path = f"/api/gen/{clip_id}"
        answer = self._ask(account, "download", "GET", f"{path}/wav_file/", deadline=deadline, accept=(404,))
        if answer.status != 404:
            self._wav_started.pop((account.key, clip_id), None)
            reply = _reply(answer)
            return _url(reply.get("wav_file_url") if isinstance(reply, dict) else None)
        if self._begins_wav(account, clip_id):
            try:
                self._ask(account, "convert_wav", "POST", f"{path}/convert_wav/", b"", deadline=deadline)
            except SunoError as error:
                # Without an answer it may be under way: the next request looks, and does not ask again.
                if not isinstance(error, SunoUnreachable):
                    self._wav_started.pop((account.key, clip_id), None)
                raise
        return None

    def _begins_wav(self, account: Account, clip_id: str) -> bool:
        """Note a WAV conversion as begun; False where one is under way."""
        now = time.monotonic()
        key = (account.key, clip_id)
        with self._wav_lock:
            if now - self._wav_started.get(key, -WAV_TAKES) < WAV_TAKES:
                return False
            self._wav_started[key] = now
            if len(self._wav_started) > WAV_CONVERSIONS:
                self._wav_started.popitem(last=False)
            return True

    def _read(
        self, account: Account, kind: str, method: str, path: str, body: bytes | None = None, *, deadline: Deadline
    ) -> Any:
        """Ask for something that is free; its JSON."""
        return _reply(self._ask(account, kind, method, path, body, deadline=deadline))

    def _ask(
        self,
        account: Account,
        kind: str,
        method: str,
        path: str,
        body: bytes | None = None,
        *,
        deadline: Deadline,
        accept: tuple[int, ...] = (),
    ) -> Answer:
        """Send a call with the account's token, again only after Suno refused the token (and did nothing).

        Of its kinds, `split` costs credits and `convert_wav` a download: they are sent once. Returns a success, or
        an answer with a status of `accept`; any other raises what it means.
        """
        # A paid call keeps half of the time for itself: sent later, a slow answer would be cut off once charged.
        sign_in = deadline.earlier(self._suno.deadline / 2) if kind == "split" else deadline
        token = self._sessions.bearer(account, sign_in)
        answer = self._send(account, token, kind, method, path, body, deadline)
        if answer.refuses_token:
            token = self._sessions.bearer(account, sign_in, refused=token)
            answer = self._send(account, token, kind, method, path, body, deadline)
            if answer.refuses_token:
                raise self._sessions.renewed_in_vain(account)
        if answer.succeeded or answer.status in accept:
            return answer
        raise answer.failure(paid=kind == "split")

    def _send(
        self,
        account: Account,
        token: str,
        kind: str,
        method: str,
        path: str,
        body: bytes | None,
        deadline: Deadline,
    ) -> Answer:
        paid = kind == "split"
        if paid and deadline.remaining < self._suno.deadline / 2:
            raise SunoUnreachable(f"Suno took too long before the split was asked for. {NOTHING_CHARGED}")
        headers = self._sessions.headers(account)
        headers["Authorization"] = f"Bearer {token}"
        if body is not None:
            headers["Content-Type"] = "application/json"
        wire = self._once if kind in ("split", "convert_wav") else self._again
        try:
            return wire.ask(method, path, headers=headers, body=body, deadline=deadline, kind=kind)
        except NotSent as error:
            raise SunoUnreachable(
                f"Suno could not be reached: {error}. Nothing was asked or charged; it is safe to try again."
            ) from error
        except WireError as error:
            if paid:
                raise OutcomeUnknown(f"Suno was asked to split the song, but {error}.") from error
            raise SunoUnreachable(f"Suno was asked, but {error}. {NOTHING_CHARGED}") from error

    def _wire(self, url: str, *, resend: bool) -> Wire:
        return Wire(
            base_url=url,
            connect_timeout=self._suno.connect_timeout,
            read_timeout=self._suno.read_timeout,
            resend=resend,
            observer=self._observer,
        )


def _v2_web_body(song_id: str, title: str, task: StemTask) -> bytes:
    """What suno.com sends for stems, as captured from a browser on 2026-06-30 with twelve.

    Two was never captured: its `mv` is from a reseller's page.
    """
    body: dict[str, Any] = {
        "task": "gen_stem",
        "generation_type": "TEXT",
        "title": title,
        "tags": "",
        "negative_tags": "",
        "prompt": "",
        "mv": "chirp-v3-0" if task is StemTask.TWELVE else "chirp-auk",
        "make_instrumental": True,
        "continue_clip_id": song_id,
        "stem_type_id": 91,
        "stem_type_group_name": task.capitalize(),
        "stem_task": task,
        "override_fields": [],
        "token": None,
        "token_provider": None,
        "transaction_uuid": str(uuid.uuid4()),
        "metadata": {
            "web_client_pathname": "/create",
            "create_mode": "custom",
            "create_session_token": str(uuid.uuid4()),
            "disable_volume_normalization": False,
            "is_remix": True,
        },
    }
    return json.dumps(body).encode()


def _json(answer: Answer) -> Any:
    if answer.is_html:
        raise UnreadableReply(answer.kind)
    try:
        return answer.json()
    except ValueError:
        raise UnreadableReply(answer.kind) from None


def _reply(answer: Answer) -> Any:
    """The JSON of a free call's answer."""
    return _read_as(_json, answer)


def _read_as(read: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Read a free call's reply; what cannot be read is a failure of Suno's that cost nothing."""
    try:
        return read(*args, **kwargs)
    except UnreadableReply as error:
        raise SunoFailed(
            f"Suno answered with {error}: its wire format may have changed. {NOTHING_CHARGED}"
        ) from error


def _changed(what: str) -> SunoFailed:
    return SunoFailed(f"Suno no longer tells {what}: its wire format may have changed. {NOTHING_CHARGED}")


def _url(value: Any) -> str:
    if not isinstance(value, str) or not value.startswith(("https://", "http://")):
        raise _changed("where the audio can be fetched")
    return value


def _with_parent(clip: Clip, before: Clip) -> Clip:
    """The parent is known from the split, where the feed does not name it."""
    return replace(clip, stem_from_id=clip.stem_from_id or before.stem_from_id)


def _slept(seconds: float, slice: float, stopping: Callable[[], bool]) -> bool:
    """Sleep, looking each `slice` whether the process is to stop; False where it is."""
    ends = time.monotonic() + seconds
    while not stopping() and (left := ends - time.monotonic()) > 0:
        time.sleep(min(slice, left))
    return not stopping()
