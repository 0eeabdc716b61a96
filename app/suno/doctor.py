"""Check the cookie, what its account may do, and whether Suno's wire has changed. Free calls only."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from app.suno.answer import captcha_name
from app.suno.call import Call, CallKind, Deadline
from app.suno.clip import Clip, Credits, UnreadableReply
from app.suno.cookie import HOW_TO_COPY
from app.suno.endpoint import Endpoint, StemsRoute
from app.suno.errors import SessionExpired, SunoError, SunoUnreachable
from app.suno.feed import library_body
from app.suno.ids import is_id
from app.suno.session import Account
from app.suno.song_time import AlignedLyrics, Novelty, beats_from_wire
from app.suno.statuses import LIST_REFUSED, NO_SONG_TIME, NO_STEMS_YET
from app.suno.studio import JsonObject, StudioApi

DOCTOR_SECONDS = 30.0
"""Seconds for all checks."""

CLIP_FIELDS = ("id", "status", "title", "created_at", "metadata", "is_download_unlocked")
METADATA_FIELDS = ("duration", "type")

SONG_TIME: dict[str, tuple[str, Callable[[Any], object]]] = {
    "words": ("aligned_lyrics/v2/", AlignedLyrics.from_wire),
    "beats": ("downbeats", beats_from_wire),
    "sections": ("novelty-sections", Novelty.from_wire),
}
"""What Suno tells of a song in time: the end of its path, and how it is read."""

Shape = JsonObject | list[Any] | str


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The result of one check."""

    check: str
    ok: bool
    said: str
    """One sentence without secrets."""
    turn: str = ""
    """Which setting to change, or what else to do, if it is not ok."""


class _NotedStudio(StudioApi):
    """A studio API that notes the shape of each reply."""

    def __init__(self, suno: Endpoint, *, free_only: bool) -> None:
        super().__init__(suno, free_only=free_only)
        self.shapes: dict[str, Shape] = {}

    def read(self, account: Account, call: Call) -> Any:
        reply = super().read(account, call)
        path = call.path.partition("?")[0]
        song_time = next((check for check, (end, _) in SONG_TIME.items() if path.endswith(end)), "")
        name = path if call.kind is CallKind.FEED else song_time or call.kind
        self.shapes[f"{call.kind} {name}"] = shape_of(reply)
        return reply


class Doctor:
    """Checks, one by one, that Suno offers what this version needs.

    It cannot spend: a call that may cost is refused before it is sent.
    """

    def __init__(self, suno: Endpoint, account: Account | None, *, within: float = DOCTOR_SECONDS) -> None:
        """`within`: seconds for all checks."""
        self._suno = replace(suno, deadline=min(suno.deadline, within))
        self._account = account
        self._studio = _NotedStudio(self._suno, free_only=True)
        self._ends = Deadline(within)

    @property
    def shapes(self) -> dict[str, Shape]:
        """The shape of each reply: field names, types and list lengths, no values."""
        return self._studio.shapes

    def checks(self) -> Iterator[CheckResult]:
        """Run the checks and yield each result. Skip those that make no sense after a failure."""
        if self._account is None:
            yield CheckResult("cookie", False, "SUNO_COOKIE is not set.", f"SUNO_COOKIE. {HOW_TO_COPY}")
            return
        sign_in = self._sign_in(self._account)
        yield sign_in
        if not sign_in.ok:
            return
        yield from self._billing(self._account)
        yield from self._feed(self._account)
        yield self._captcha(self._account)
        yield self._route()

    def _sign_in(self, account: Account) -> CheckResult:
        started = time.monotonic()
        try:
            self._studio.sessions.bearer(account, self._ends)
        except SunoError as error:
            turn = "SUNO_AUTH_URL, SUNO_CLERK_API_VERSION or SUNO_CLERK_JS_VERSION: compare with the page's calls."
            if isinstance(error, SessionExpired):
                turn = f"SUNO_COOKIE. {HOW_TO_COPY}"
            elif isinstance(error, SunoUnreachable):
                turn = "check the network; then SUNO_AUTH_URL, or HTTPS_PROXY if only a proxy reaches Suno."
            return CheckResult("sign-in", False, str(error), turn)
        user = "names its user" if self._studio.sessions.suno_user(account) else "names no user"
        return CheckResult(
            "sign-in", True, f"The cookie signs in ({time.monotonic() - started:.1f} s); its token {user}."
        )

    def _billing(self, account: Account) -> Iterator[CheckResult]:
        try:
            reply = self._read(account, CallKind.BILLING, "GET", "/api/billing/info/")
            left = Credits.from_wire(reply)
        except Exception as error:
            yield self._failed(
                "credits", error, "SUNO_API_URL: compare it with the host of the page's calls to /api/."
            )
            return
        plan = reply.get("plan") if isinstance(reply.get("plan"), dict) else {}
        yield CheckResult("credits", True, f"{left.credits_left} credits left; plan: {_word(plan.get('plan_key'))}.")
        if left.downloads_limit is None:
            yield CheckResult(
                "downloads", False, "Suno no longer reports downloads.", "nothing: the service then shows none."
            )
        else:
            used, extra = left.downloads_used or 0, left.downloads_extra or 0
            yield CheckResult(
                "downloads", True, f"{left.downloads_limit - used + extra} of {left.downloads_limit} downloads left."
            )
        yield CheckResult(
            "plan",
            left.can_split is not False,
            "The plan includes stems." if left.can_split else "The plan does not say that it includes stems.",
            "" if left.can_split else "the plan at suno.com",
        )

    def _feed(self, account: Account) -> Iterator[CheckResult]:
        songs: list[Any] = []
        library = library_body(self._studio.sessions.suno_user(account), None)
        for name, method, path, body in (
            ("feed v3", "POST", "/api/feed/v3", library),
            ("feed v2", "GET", "/api/feed/v2?page=0", None),
        ):
            try:
                reply = self._read(account, CallKind.FEED, method, path, body)
            except SunoError as error:
                if error.status not in LIST_REFUSED:
                    yield self._failed(name, error, "nothing if Suno fails only now: check again later.")
                elif name == "feed v2":
                    yield CheckResult(name, True, "It is gone, as expected.")
                else:
                    yield CheckResult(
                        name, False, "It is gone.", "nothing: the service falls back to the older lists."
                    )
                continue
            listed = reply.get("clips") if isinstance(reply, dict) else None
            if isinstance(listed, list):
                yield CheckResult(name, True, f"It lists {len(listed)} clips.")
                songs = songs or [clip for clip in listed if isinstance(clip, dict) and is_id(clip.get("id"))]
            else:
                yield CheckResult(name, False, "Its reply has no clips.", "a newer version of this service")
        if not songs:
            yield CheckResult(
                "songs", False, "No song can be seen, so clips are not checked.", "make one song at suno.com"
            )
            return
        yield self._clip(account, songs[0])
        yield self._stems(account, songs[0]["id"])
        yield from self._song_time(account, songs[0]["id"])

    def _clip(self, account: Account, song: Mapping[str, Any]) -> CheckResult:
        try:
            sent = self._read(account, CallKind.CLIP, "GET", f"/api/clip/{song['id']}")
        except SunoError as error:
            return self._failed("clip", error, "a newer version of this service")
        metadata = sent.get("metadata") if isinstance(sent, dict) else None
        fields = metadata if isinstance(metadata, dict) else {}
        missing = [name for name in CLIP_FIELDS if not isinstance(sent, dict) or name not in sent]
        missing += [f"metadata.{name}" for name in METADATA_FIELDS if name not in fields]
        if missing:
            return CheckResult(
                "clip",
                False,
                f"A clip lacks {', '.join(missing)}.",
                "nothing if null is enough; otherwise a newer version",
            )
        try:
            Clip.from_wire(sent)
        except UnreadableReply as error:
            return self._failed("clip", error, "a newer version of this service")
        return CheckResult("clip", True, "A clip has the fields that this version reads.")

    def _song_time(self, account: Account, song_id: str) -> Iterator[CheckResult]:
        """The words, beats and sections of the song checked: free, and no split needs them."""
        for check, (path, parse) in SONG_TIME.items():
            try:
                parse(self._read(account, CallKind.SONG_TIME, "GET", f"/api/gen/{song_id}/{path}"))
            except SunoError as error:
                if error.status in NO_SONG_TIME:
                    yield CheckResult(check, True, f"The checked song has no {check}.")
                else:
                    yield self._failed(check, error, "nothing: splits do not need it")
            except UnreadableReply as error:
                yield self._failed(check, error, "a newer version of this service; splits do not need it")
            else:
                yield CheckResult(check, True, f"Suno reports the {check} of a song as this version reads them.")

    def _stems(self, account: Account, song_id: str) -> CheckResult:
        try:
            reply = self._read(account, CallKind.STEMS, "GET", f"/api/clip/{song_id}/stems/pages")
        except SunoError as error:
            if error.status in NO_STEMS_YET:
                return CheckResult("stems", True, "The checked song has no stems.")
            return self._failed("stems", error, "a newer version of this service")
        if not isinstance(reply, dict) or not isinstance(reply.get("pages"), int):
            return CheckResult("stems", False, "Suno does not report pages of stems.", "a newer version")
        return CheckResult("stems", True, f"Suno reports pages of stems ({reply['pages']} for the song checked).")

    def _captcha(self, account: Account) -> CheckResult:
        try:
            required, version = self._studio.captcha(account, self._ends)
        except SunoError as error:
            return self._failed("captcha", error, "SUNO_STEMS_ROUTE=edit, which needs none")
        if required:
            return CheckResult(
                "captcha",
                False,
                f"Suno wants {captcha_name(version)} now.",
                "make one song in the cookie's own browser",
            )
        return CheckResult("captcha", True, "Suno wants no captcha now.")

    def _route(self) -> CheckResult:
        said = {
            StemsRoute.AUTO: "Pairs use edit/stems while Suno accepts it, then v2-web: keep this.",
            StemsRoute.EDIT: "Pairs use only edit/stems, which Suno's page no longer uses.",
            StemsRoute.V2_WEB: "Pairs use only v2-web, which may want a captcha.",
        }[self._suno.stems_route]
        turn = "SUNO_STEMS_ROUTE=auto" if self._suno.stems_route is StemsRoute.EDIT else ""
        return CheckResult("route", True, f"{said} Only a paid call shows whether edit/stems still works.", turn)

    def _read(self, account: Account, kind: CallKind, method: str, path: str, body: JsonObject | None = None) -> Any:
        sent = None if body is None else json.dumps(body).encode()
        return self._studio.read(account, Call(kind, method, path, self._ends, sent))

    def _failed(self, check: str, error: Exception, turn: str) -> CheckResult:
        said = str(error) if isinstance(error, SunoError) else f"This version cannot read it: {error}"
        return CheckResult(check, False, said, turn)


def shape_of(reply: Any) -> Shape:
    """The shape of a reply: field names, types and list lengths, no values.

    A name that is not a plain word could be a value, and becomes `…`.
    """
    if isinstance(reply, dict):
        return {_word(name): shape_of(value) for name, value in list(reply.items())[:200]}
    if isinstance(reply, list):
        return [f"{len(reply)} of", *([shape_of(reply[0])] if reply else [])]
    return "null" if reply is None else type(reply).__name__


def _word(value: Any) -> str:
    plain = isinstance(value, str) and value.replace("_", "").isalpha() and value.isascii() and len(value) <= 40
    return value if plain else "…"
