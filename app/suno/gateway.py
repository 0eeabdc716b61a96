"""All that is asked of Suno, one method per thing."""

from __future__ import annotations

from typing import Any

from app.suno.clip import Clip, UnreadableReply, stems_from_wire
from app.suno.errors import (
    CaptchaRequired,
    NotAllowed,
    OutcomeUnknown,
    OutOfCredits,
    RateLimited,
    RefusedBySuno,
    SongNotFound,
    SunoError,
    SunoFailed,
    SunoUnreachable,
)
from app.suno.session import Account, Sessions
from app.suno.wire import Answer, Deadline, NotSent, Observer, Wire, WireError
from app.suno.words import kind_of, retry_after, words_of

LOOK_FIRST = "Suno may have charged for it: look at the song's stems on suno.com before you ask again."


class SunoGateway:
    """Suno, for any number of accounts, over kept-alive connections. Safe to share between greenlets.

    A call that costs is sent once. Every method raises a SunoError that says what to do next, and gives up
    `deadline` seconds after it was called.
    """

    def __init__(
        self,
        *,
        api_url: str,
        auth_url: str,
        connect_timeout: float,
        read_timeout: float,
        deadline: float,
        user_agent: str,
        clerk_api_version: str,
        clerk_js_version: str,
        observer: Observer | None = None,
    ) -> None:
        self._deadline = deadline
        self._paid = Wire(
            base_url=api_url,
            connect_timeout=connect_timeout,
            read_timeout=read_timeout,
            resend=False,
            observer=observer,
        )
        self._sessions = Sessions(
            Wire(
                base_url=auth_url,
                connect_timeout=connect_timeout,
                read_timeout=read_timeout,
                resend=True,
                observer=observer,
            ),
            user_agent=user_agent,
            clerk_api_version=clerk_api_version,
            clerk_js_version=clerk_js_version,
        )

    def sign_in(self, account: Account) -> None:
        """Make sure that the account's cookie signs in; free, and no call at all while its token is fresh."""
        self._sessions.bearer(account, Deadline(self._deadline))

    def generate_stems(self, account: Account, song_id: str) -> list[Clip]:
        """Split a song; the account is charged (10 credits reported in 2026). The stems are not ready yet."""
        answer = self._split(account, f"/api/edit/stems/{song_id}/", b"{}")
        try:
            return stems_from_wire(_json(answer), song_id=song_id)
        except UnreadableReply as error:
            raise SunoFailed(
                f"Suno answered {answer.status} with {error}, which is not what it sends for a split. {LOOK_FIRST}",
                may_have_charged=True,
            ) from error

    def _split(self, account: Account, path: str, body: bytes) -> Answer:
        """Send the call that costs, again only after Suno refused the token (so that nothing was done)."""
        deadline = Deadline(self._deadline)
        token = self._sessions.bearer(account, deadline)
        answer = self._pay(account, token, path, body, deadline)
        if _refuses_token(answer):
            token = self._sessions.bearer(account, deadline, refused=token)
            answer = self._pay(account, token, path, body, deadline)
            if _refuses_token(answer):
                raise self._sessions.bury(account)
        if not 200 <= answer.status < 300:
            raise _failure(answer)
        return answer

    def _pay(self, account: Account, token: str, path: str, body: bytes, deadline: Deadline) -> Answer:
        if deadline.remaining < self._deadline / 2:
            # Sent now, a slow answer would be cut off after the credits are spent.
            raise SunoUnreachable("Suno's sign-in took too long; nothing was charged. Try again.")
        headers = self._sessions.headers(account)
        headers["Authorization"] = f"Bearer {token}"
        headers["Content-Type"] = "application/json"
        try:
            return self._paid.ask("POST", path, headers=headers, body=body, deadline=deadline, kind="split")
        except NotSent as error:
            raise SunoUnreachable(
                f"Suno could not be reached: {error}. Nothing was asked or charged; it is safe to try again."
            ) from error
        except WireError as error:
            raise OutcomeUnknown(f"Suno was asked to split the song, but {error}. {LOOK_FIRST}") from error


def _json(answer: Answer) -> Any:
    if answer.is_html:
        raise UnreadableReply(kind_of(answer))
    try:
        return answer.json()
    except ValueError:
        raise UnreadableReply(kind_of(answer)) from None


def _refuses_token(answer: Answer) -> bool:
    if answer.is_html:
        return False
    words = words_of(answer).lower() if answer.status == 403 else ""
    return answer.status == 401 or "jwt expired" in words or "invalid token" in words


def _failure(answer: Answer) -> SunoError:
    """What a status that is no success means, with Suno's own words where it has any."""
    words = words_of(answer)
    said = f' Suno says: "{words}"' if words else ""
    match answer.status:
        case 429:
            return RateLimited(
                f"Suno wants fewer requests at once; nothing was charged. Wait and try again.{said}",
                retry_after=retry_after(answer),
            )
        case _ if answer.is_html:
            pass
        case 402:
            return OutOfCredits(f"The Suno account is out of credits.{said}")
        case 403:
            return NotAllowed(f"Suno does not allow this: not in the account's plan, or not its song.{said}")
        case 404:
            return SongNotFound(f"Suno knows no such song on this account.{said}")
        case 422 if "token validation failed" in words.lower():
            return CaptchaRequired(
                "Suno wants a captcha, which only a browser can solve: open suno.com, make one song there, and try "
                f"again. Nothing was charged.{said}"
            )
        case 400 | 422:
            return RefusedBySuno(f"Suno refused the request; nothing was charged.{said}")
    doubt = answer.status >= 500
    return SunoFailed(
        f"Suno answered {answer.status} with {kind_of(answer)}.{said} "
        + (LOOK_FIRST if doubt else "Nothing was charged; try again later."),
        may_have_charged=doubt,
    )
