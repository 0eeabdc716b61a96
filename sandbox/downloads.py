"""The studio API's files: unlocked, prepared, and their addresses."""

from __future__ import annotations

import time
from urllib.parse import urlencode

from sandbox.accounts import LocalAccount
from sandbox.bodies import body_of, complaint, is_text
from sandbox.message import Reply, Request, detail, json_reply
from sandbox.signed_in import SignedIn
from sandbox.studio import NOT_FOUND
from sandbox.suno import Suno

SLOW_UNLOCK_SECONDS = 2.0


class Downloads(SignedIn):
    """The calls of the studio host for files."""

    def authorize(self, request: Request) -> Reply:
        """Unlock a song for download: counts as one download for the song and its stems."""
        account = self._account_of_2026(request)
        body = body_of(request)
        if not isinstance(body, dict) or body.get("item_type") != "clip" or not is_text(body.get("item_id")):
            return detail(422, [complaint("Field required", "item_id")])
        song = self._suno.song(body["item_id"])
        if song is None:
            known = body["item_id"] in account.stems
            return _refusal("no_permission", "Unlock the song of this stem.") if known else detail(404, NOT_FOUND)
        if song.id in account.unlocked:
            return json_reply(200, {"ok": True, "already_unlocked": True, "credit_deducted": False})
        strikes = song.unlock if account.memory.setdefault(f"unlock {song.id}", song.unlock) else "ordinary"
        account.memory[f"unlock {song.id}"] = ""
        if strikes == "busy":
            return _refusal("rate_limited", "Too many downloads at once. Try again in a minute.")
        if strikes == "reset":
            return Reply(0, act=lambda connection: connection.reset())
        if account.downloads_used >= account.kind.plan.downloads:
            return _refusal("no_permission", "You have used all downloads of this period.")
        account.unlocked.append(song.id)
        if strikes == "lost":
            return Reply(0, act=lambda connection: connection.reset())
        reply = json_reply(200, {"ok": True, "already_unlocked": False, "credit_deducted": True})
        if strikes == "slow":
            reply.delay = SLOW_UNLOCK_SECONDS
        return reply

    def download(self, request: Request, clip_id: str) -> Reply:
        """Return the URL of a file once it is ready."""
        account = self._account(request)
        old = self._suno.options.wire == "2024"
        known = ("mp3", "m4a", "wav") if self._suno.options.wav_by_download and not old else ("mp3", "m4a")
        if (wanted := request.query.get("format", "")) not in known:
            return detail(422, [complaint("Input should be 'mp3' or 'm4a'", "format", place="query")])
        if refusal := self._refuse_download(account, clip_id):
            return refusal
        if wanted == "wav" and not account.kind.plan.wav:
            return _refusal("no_permission", "WAV downloads are not included in your plan.")
        ready = self._prepare(account, clip_id, wanted)
        if old:
            url = {"download_url": f"{request.origin}/audio/{clip_id}.wav"}
            return json_reply(200, url if ready else {"status": "processing"})
        if ready:
            url = {"download_url": self._address(request, clip_id, wanted)}
            return json_reply(200, {"ok": True, "status": "ready", **url})
        return json_reply(200, {"ok": True, "status": "processing"})

    def _address(self, request: Request, clip_id: str, wanted: str) -> str:
        path = f"/audio/{clip_id}.{wanted}"
        if self._suno.options.wire == "2024":
            return f"{request.origin}{path}"
        expires = f"{time.time() + self._suno.options.address_lifetime:.3f}"
        signature = self._suno.sign(f"{path} {expires}")
        return f"{request.origin}{path}?{urlencode({'Expires': expires, 'Signature': signature})}"

    def convert_wav(self, request: Request, clip_id: str) -> Reply:
        """Start to make a WAV file."""
        account = self._account(request)
        if refusal := self._refuse_wav(account) or self._refuse_download(account, clip_id):
            return refusal
        self._prepare(account, clip_id, "wav")
        return Reply(204)

    def wav_file(self, request: Request, clip_id: str) -> Reply:
        """Return the URL of a WAV file once it is ready."""
        account = self._account(request)
        if refusal := self._refuse_wav(account):
            return refusal
        started = account.preparing.get((clip_id, "wav"))
        if started is None or time.time() - started < self._suno.options.pace:
            return detail(404, "No WAV file for this clip yet.")
        return json_reply(200, {"wav_file_url": self._address(request, clip_id, "wav")})

    def _refuse_wav(self, account: LocalAccount) -> Reply | None:
        return None if account.kind.plan.wav else detail(403, "WAV downloads are not included in your plan.")

    def _refuse_download(self, account: LocalAccount, clip_id: str) -> Reply | None:
        """Return the refusal of this download, or None; on the wire of 2024, count it if it is allowed."""
        stem = account.stems.get(clip_id)
        if not stem and not self._suno.song(clip_id):
            return detail(404, NOT_FOUND)
        if stem and self._status(stem) != "complete":
            return detail(400, "This clip is not complete yet.")
        if self._suno.options.wire == "2026":
            locked = (stem.song.id if stem else clip_id) not in account.unlocked
            return _refusal("not_authorized", "This clip has not been unlocked for download.") if locked else None
        counted_as = f"stems of {stem.song.id}" if stem else clip_id
        if counted_as not in account.downloads:
            if account.downloads_used >= account.kind.plan.downloads:
                return detail(403, "You have used all downloads of this period.")
            account.downloads.add(counted_as)
        return None

    def _prepare(self, account: LocalAccount, clip_id: str, wanted: str) -> bool:
        """Whether the file is ready; the first call starts it and returns False."""
        now = time.time()
        started = account.preparing.setdefault((clip_id, wanted), now)
        return started != now and now - started >= self._suno.options.pace + self._suno.options.preparation


def address_is_good(suno: Suno, request: Request) -> bool:
    """Whether storage serves this URL: it is signed and has not expired (2024: always)."""
    if suno.options.wire == "2024":
        return True
    query = request.query
    expires, signature = query.get("Expires", ""), query.get("Signature", "")
    try:
        is_in_time = time.time() < float(expires)
    except ValueError:
        return False
    return is_in_time and suno.sign(f"{request.path} {expires}") == signature


def _refusal(reason: str, message: str) -> Reply:
    """A refused download: 200 since September 2026."""
    return json_reply(200, {"ok": False, "reason": reason, "message": message})
